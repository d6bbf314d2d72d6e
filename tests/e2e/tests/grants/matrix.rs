//! Every grant with every kind of credential.

use anyhow::{Context as _, Result, ensure};
use edgepass::{
    ErrorClass, Grant, Provider, Secret, Token, TokenRequest, TokenSource, TokenType, UserReference,
};
use edgepass_emulator::{App, JournalEntry, Mint, User};
use serde_json::{Value, json};

use crate::{READ, World, asking, claims, has, on_behalf_of};

/// A kind of credential: its configuration, and how the emulator says that it was proved.
struct Credential {
    name: &'static str,
    config: fn(&World) -> Result<Value>,
    proof: &'static str,
}

const CREDENTIALS: &[Credential] = &[
    Credential {
        name: "secret",
        config: |world| Ok(world.secret()),
        proof: "secret",
    },
    Credential {
        name: "certificate",
        config: |_| Ok(json!({ "certificate": { "name": "demo" } })),
        proof: "certificate",
    },
    Credential {
        name: "token file",
        config: |world| {
            let path = world.lab.files.token_file();
            Ok(json!({ "federated_token_file": { "path": path } }))
        },
        proof: "federated",
    },
    Credential {
        name: "bound certificate",
        config: |_| Ok(json!({ "bound_certificate": { "name": "demo" } })),
        proof: "bound-assertion",
    },
    Credential {
        name: "managed identity",
        config: |world| {
            let identity = world.lab.user_assigned()?;
            Ok(json!({ "managed_identity_assertion": { "client_id": identity.client_id } }))
        },
        proof: "federated",
    },
];

/// The token requests since the last look, all of which were granted.
fn granted(world: &World) -> Result<Vec<JournalEntry>> {
    let requests = world.emulator().token_requests();
    world.emulator().clear_journal();
    for request in &requests {
        ensure!(
            request.status == Some(200),
            "{} {:?}: {:?}",
            request.path,
            request.status,
            request.aadsts
        );
    }
    Ok(requests)
}

/// Asks, and sees one exchange, proved by that credential.
async fn exchanged(
    world: &World,
    provider: &Provider,
    credential: &Credential,
    request: &TokenRequest,
) -> Result<Token> {
    world.emulator().clear_journal();
    let token = provider.get_token(request).await?;
    world.lab.issued(&token);
    ensure!(token.source == TokenSource::Exchange, "{:?}", token.source);
    let requests = granted(world)?;
    let [one] = requests.as_slice() else {
        anyhow::bail!("{} requests", requests.len());
    };
    let proof = one.method_of_proof.as_deref();
    ensure!(proof == Some(credential.proof), "proved by {proof:?}");
    ensure!(one.nonconforming.is_empty(), "{:?}", one.nonconforming);
    Ok(token)
}

#[tokio::test]
async fn on_behalf_of_a_user_with_every_credential() -> Result<()> {
    let world = World::new("grants_on_behalf_of")?;
    let object_id = world.object_id()?;
    for credential in CREDENTIALS {
        let config = world.lab.config(&(credential.config)(&world)?);
        let provider = world.provider(&config).await?;
        let request = asking(&[READ], on_behalf_of(world.user_token(&Mint::new())?));
        let token = exchanged(&world, &provider, credential, &request).await;
        let token = token.context(credential.name)?;
        has(
            &token,
            &[("oid", &object_id), ("scp", "User.Read"), ("idtyp", "user")],
        )?;
        // nobody has asked to keep one
        ensure!(token.refresh_token.is_none(), "{}", credential.name);
        // the same user again: no exchange
        let again = provider.get_token(&request).await?;
        ensure!(again.source == TokenSource::Cache && granted(&world)?.is_empty());
        // the same user's other token: another exchange
        let other = asking(&[READ], on_behalf_of(world.user_token(&Mint::new())?));
        let other = exchanged(&world, &provider, credential, &other).await?;
        ensure!(other.token != token.token);
    }
    Ok(())
}

#[tokio::test]
async fn codes_and_refresh_tokens_with_every_credential() -> Result<()> {
    let world = World::new("grants_codes")?;
    let object_id = world.object_id()?;
    for credential in CREDENTIALS {
        let config = world.lab.config(&(credential.config)(&world)?);
        let provider = world.provider(&config).await?;
        let scope = format!("openid profile offline_access {READ}");
        let code = world.code(&scope).await?;
        let request = asking(&[READ, "openid", "offline_access"], World::redemption(code));
        let token = exchanged(&world, &provider, credential, &request).await;
        let token = token.context(credential.name)?;
        has(&token, &[("oid", &object_id), ("scp", "User.Read")])?;
        ensure!(token.id_token.is_some(), "{}: no ID token", credential.name);
        let refresh_token = token.refresh_token.clone().context("no refresh token")?;
        // it counts once, here as there
        let again = provider.get_token(&request).await;
        let error = again.err().context("a code was redeemed twice")?;
        world.lab.evidence.saw_error("a code, twice", &error);
        world.emulator().clear_journal();

        // what it brought is void by that: so says RFC 6749 section 4.1.2
        let refused = asking(&[READ], Grant::RefreshToken(refresh_token));
        ensure!(provider.get_token(&refused).await.is_err());
        let refresh_token = world.refresh_token(&provider).await?;
        let request = asking(
            &[READ, "offline_access"],
            Grant::RefreshToken(refresh_token.clone()),
        );
        let renewed = exchanged(&world, &provider, credential, &request).await;
        let renewed = renewed.with_context(|| format!("{}, refresh", credential.name))?;
        has(&renewed, &[("oid", &object_id), ("scp", "User.Read")])?;
        let next = renewed.refresh_token.clone().context("no next one")?;
        ensure!(next != refresh_token, "it rotates");
    }
    Ok(())
}

#[tokio::test]
async fn assertions_and_exchanges_with_every_credential() -> Result<()> {
    let world = World::new("grants_generic")?;
    let issuer = world.emulator().generic_issuer();
    for credential in CREDENTIALS {
        let config = world.generic(&(credential.config)(&world)?);
        let provider = world.provider(&config).await?;
        let workload = Mint::new().audience(&issuer).subject("somebody");
        let workload = Secret::new(world.emulator().issuer().mint(&workload)?);
        let request = asking(&["read"], Grant::JwtBearer(workload.clone()));
        let token = exchanged(&world, &provider, credential, &request).await;
        let token = token.with_context(|| format!("{}, RFC 7523", credential.name))?;
        has(&token, &[("sub", "somebody"), ("scope", "read")])?;

        let subject = world.user_token(&Mint::new())?;
        let actor = Secret::new(world.emulator().issuer().token()?);
        let kind = |name: &str| format!("urn:ietf:params:oauth:token-type:{name}");
        let exchange = Grant::TokenExchange {
            subject_token: subject.clone(),
            subject_token_type: kind("access_token"),
            actor: Some((actor, kind("jwt"))),
            audience: vec![
                "api://edgepass-demo".into(),
                "https://vault.azure.net".into(),
            ],
            resource: vec!["https://storage.azure.com".into()],
            requested_token_type: Some(kind("access_token")),
        };
        let token = exchanged(&world, &provider, credential, &asking(&["read"], exchange)).await;
        let token = token.with_context(|| format!("{}, RFC 8693", credential.name))?;
        let told = claims(&token)?;
        ensure!(
            told["aud"].as_array().is_some_and(|all| all.len() == 3),
            "{told}"
        );
        ensure!(told["act"]["sub"].is_string(), "{told}");
        ensure!(token.issued_token_type == Some(kind("access_token")));

        let other = Grant::TokenExchange {
            subject_token: subject,
            subject_token_type: kind("access_token"),
            actor: None,
            audience: Vec::new(),
            resource: Vec::new(),
            requested_token_type: Some(kind("id_token")),
        };
        let token = exchanged(&world, &provider, credential, &asking(&[], other)).await?;
        ensure!(token.token_type == "N_A" && token.authorization().is_err());
    }
    Ok(())
}

#[tokio::test]
async fn agents_of_a_blueprint_with_every_credential() -> Result<()> {
    const AGENT: &str = "7c1d2e3f-0000-4000-8000-0000000000a1";
    const USER: &str = "agent@edgepass-demo.example";
    const GRAPH: &str = "https://graph.microsoft.com";

    let world = World::new("grants_agents")?;
    let emulator = world.emulator();
    let blueprint = emulator.client_id();
    let app = emulator.app(blueprint).context("no application")?;
    emulator.register_app(app.blueprint());
    emulator.register_app(App::new(AGENT).agent_of(blueprint).role("Agent.Read"));
    let user = User::new(USER).of_agent(AGENT);
    let object_id = user.object_id.clone();
    emulator.register_user(user.consent(AGENT, GRAPH, &["User.Read"]));
    for credential in CREDENTIALS {
        let config = world.lab.config(&(credential.config)(&world)?);
        let provider = world.provider(&config).await?;
        let own = asking(&[&format!("{GRAPH}/.default")], Grant::agent(AGENT));
        emulator.clear_journal();
        if credential.name == "bound certificate" {
            let error = provider.get_token(&own).await.err();
            let error = error.context("an agent has no certificate")?;
            ensure!(error.class() == ErrorClass::Unsupported, "{error}");
            ensure!(granted(&world)?.is_empty());
            continue;
        }
        let token = provider.get_token(&own).await;
        let token = token.context(credential.name)?;
        world.lab.issued(&token);
        has(
            &token,
            &[
                ("appid", AGENT),
                ("idtyp", "app"),
                ("xms_par_app_azp", blueprint),
            ],
        )?;
        let proofs = |requests: Vec<JournalEntry>| -> Vec<String> {
            let proofs = requests.into_iter().map(|one| one.method_of_proof);
            proofs.map(Option::unwrap_or_default).collect()
        };
        let by = proofs(granted(&world)?);
        ensure!(by == [credential.proof, "federated"], "{by:?}");

        // what the blueprint vouches for is kept, so the user takes two more
        let user = asking(&[READ], Grant::agent_user(AGENT, USER));
        let token = provider.get_token(&user).await;
        let token = token.with_context(|| format!("{}, user", credential.name))?;
        world.lab.issued(&token);
        has(
            &token,
            &[
                ("appid", AGENT),
                ("oid", &object_id),
                ("scp", "User.Read"),
                ("idtyp", "user"),
            ],
        )?;
        let by = proofs(granted(&world)?);
        ensure!(by == ["federated", "federated"], "{by:?}");
        for request in [&own, &user] {
            let again = provider.get_token(request).await?;
            ensure!(again.source == TokenSource::Cache);
        }
        // by the other name it is another question, and the last leg alone
        let by_id = UserReference::ObjectId(object_id.clone());
        let by_id = asking(&[READ], Grant::agent_user(AGENT, by_id));
        world.lab.issued(&provider.get_token(&by_id).await?);
        ensure!(granted(&world)?.len() == 1);
    }
    Ok(())
}

/// A session goes on by its key after the user's token, until it is ended.
#[tokio::test]
async fn sessions_outlive_the_users_token_with_every_credential() -> Result<()> {
    let world = World::new("grants_sessions")?;
    let object_id = world.object_id()?;
    let emulator = world.emulator();
    for (n, credential) in CREDENTIALS.iter().enumerate() {
        let config = world.lab.config(&(credential.config)(&world)?);
        let provider = world.provider(&config).await?;
        let key = Secret::new(format!("a key of the session with number {n}"));
        world.lab.evidence.secret("session key", key.expose());
        let alone = |scope: &str| asking(&[scope], Grant::session(key.clone()));
        let unknown = provider.get_token(&alone(READ)).await.err();
        let unknown = unknown.context("nothing has begun")?;
        ensure!(
            unknown.class() == ErrorClass::InteractionRequired,
            "{unknown}"
        );

        let grant = Grant::on_behalf_of_in_session(world.user_token(&Mint::new())?, key.clone());
        let begin = asking(&[READ], grant);
        let token = exchanged(&world, &provider, credential, &begin).await;
        let token = token.with_context(|| format!("{}, begin", credential.name))?;
        ensure!(token.refresh_token.is_none(), "{}", credential.name);
        let later = exchanged(&world, &provider, credential, &alone(READ)).await;
        let later = later.with_context(|| format!("{}, later", credential.name))?;
        has(&later, &[("oid", &object_id), ("scp", "User.Read")])?;
        ensure!(later.refresh_token.is_none(), "{}", credential.name);
        let again = provider.get_token(&alone(READ)).await?;
        ensure!(again.source == TokenSource::Cache);

        ensure!(provider.end_session(None, &key).await?);
        ensure!(!provider.end_session(None, &key).await?);
        emulator.clear_journal();
        ensure!(provider.get_token(&alone(READ)).await.is_err());
        ensure!(granted(&world)?.is_empty(), "nothing is sent");

        // begun anew with the same token
        exchanged(&world, &provider, credential, &begin).await?;
        exchanged(&world, &provider, credential, &alone(READ)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_session_ends_with_its_users_revocation() -> Result<()> {
    let world = World::new("grants_session_revoked")?;
    let emulator = world.emulator();
    let provider = world.provider(&world.lab.config(&world.secret())).await?;
    let key = Secret::new("a key of the session that is revoked");
    world.lab.evidence.secret("session key", key.expose());
    let grant = Grant::on_behalf_of_in_session(world.user_token(&Mint::new())?, key.clone());
    let token = provider.get_token(&asking(&[READ], grant)).await?;
    world.lab.issued(&token);
    emulator.revoke_user(emulator.username())?;
    let alone = asking(&[READ], Grant::session(key));
    let error = provider.get_token(&alone).await.err();
    let error = error.context("a revoked user")?;
    let evidence = &world.lab.evidence;
    evidence.saw_error("a session of a revoked user", &error);
    ensure!(
        error.class() == ErrorClass::InteractionRequired
            && error.to_string().contains("the session has ended"),
        "{error}"
    );
    emulator.clear_journal();
    ensure!(provider.get_token(&alone).await.is_err());
    ensure!(emulator.token_requests().is_empty(), "something was sent");
    Ok(())
}

/// A user's token that is bound to the client's certificate.
#[tokio::test]
async fn a_users_token_may_be_bound() -> Result<()> {
    let world = World::new("grants_bound")?;
    let config = world
        .lab
        .config(&json!({ "bound_certificate": { "name": "demo" } }));
    let provider = world.provider(&config).await?;
    let request = asking(&[READ], on_behalf_of(world.user_token(&Mint::new())?))
        .with_token_type(TokenType::MtlsPop);
    let token = provider.get_token(&request).await?;
    world.lab.issued(&token);
    let thumbprint = &world.emulator().client_certificate().thumbprint;
    ensure!(claims(&token)?["cnf"]["x5t#S256"] == *thumbprint);
    Ok(())
}
