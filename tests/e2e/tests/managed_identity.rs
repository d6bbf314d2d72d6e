//! Acceptance: a managed identity's token from the metadata service of the machine, as the token itself and as the
//! assertion that is exchanged for one.

use anyhow::{Context as _, Result};
use edgepass::{ErrorClass, Provider, TokenSource};
use edgepass_e2e::{GRAPH, Lab, forced, graph, jwt};
use edgepass_emulator::{App, Fault, ManagedIdentity};
use serde_json::{Value, json};

/// The resource whose tokens are assertions.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// An application that trusts the user-assigned identity.
const TRUSTING: &str = "7c1d2e3f-0000-4000-8000-000000000001";

/// A provider on the machine of the metadata service.
async fn provider(lab: &Lab, identity: &Value) -> Result<Provider> {
    let config = json!({
        "authority_hosts": [format!("localhost:{}", lab.emulator.port())],
        "identities": { "app": identity },
    });
    Ok(lab.on_the_machine(&config)?.build().await?)
}

/// An identity whose token is the managed identity's own.
fn direct(which: &Value) -> Value {
    json!({ "credential": { "managed_identity": which } })
}

/// An identity of the trusting application, which proves itself with the managed identity's token.
fn federated(lab: &Lab, which: &Value) -> Value {
    json!({
        "tenant_id": lab.emulator.tenant(),
        "client_id": TRUSTING,
        "authority_host": lab.emulator.authority(),
        "credential": { "managed_identity_assertion": which },
    })
}

#[tokio::test]
async fn the_machines_own_identity_needs_no_setting() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_own")?;
    let provider = provider(&lab, &direct(&json!({}))).await?;
    let token = provider.get_token(&graph()).await?;
    lab.issued(&token);
    assert_eq!(token.source, TokenSource::Exchange);
    let asked = lab.emulator.metadata_requests();
    assert_eq!(asked.len(), 1);
    let request = &asked[0];
    assert_eq!(request.status, Some(200));
    assert_eq!(request.method, "GET");
    assert_eq!(request.header("metadata"), Some("true"));
    assert!(request.body.is_empty());
    assert_eq!(
        query(&request.query),
        [
            ("api-version".into(), "2018-02-01".into()),
            ("resource".into(), "https://graph.microsoft.com".into())
        ]
    );
    assert!(
        lab.emulator.token_requests().is_empty(),
        "there is nothing to exchange"
    );

    let again = provider.get_token(&graph()).await?;
    assert_eq!(again.source, TokenSource::Cache);
    assert_eq!(lab.emulator.metadata_requests().len(), 1);
    // a day, of which half is over when the next is due
    let (life, fresh) = (
        token.expires_on.saturating_sub(now()),
        token.refresh_on.saturating_sub(now()),
    );
    assert!((80_000..=86_400).contains(&life), "{life}");
    assert!(fresh < life, "{fresh} of {life}");
    Ok(())
}

#[tokio::test]
async fn a_user_assigned_identity_is_chosen_by_any_of_its_names() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_chosen")?;
    let user = lab.user_assigned()?;
    let resource_id = user.resource_id.clone().context("it is user-assigned")?;
    for (setting, parameter, value) in [
        ("client_id", "client_id", &user.client_id),
        ("object_id", "object_id", &user.object_id),
        ("resource_id", "msi_res_id", &resource_id),
    ] {
        lab.emulator.clear_journal();
        let provider = provider(&lab, &direct(&json!({ setting: value }))).await?;
        let token = provider.get_token(&graph()).await?;
        let text = lab.issued(&token);
        assert_eq!(claim(&text, "oid")?, json!(user.object_id), "{setting}");
        let asked = lab.emulator.metadata_requests();
        assert_eq!(asked.len(), 1);
        let pair = (parameter.to_owned(), value.clone());
        assert!(query(&asked[0].query).contains(&pair), "{setting}");
    }
    Ok(())
}

#[tokio::test]
async fn its_token_is_the_assertion_of_an_application_that_trusts_it() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_assertion")?;
    let user = lab.user_assigned()?;
    lab.emulator.register_app(App::new(TRUSTING).federated(
        &lab.emulator.tenant_issuer(),
        &user.object_id,
        EXCHANGE,
    ));
    let which = json!({ "client_id": user.client_id });
    let provider = provider(&lab, &federated(&lab, &which)).await?;
    let text = lab.issued(&provider.get_token(&graph()).await?);
    assert_eq!(claim(&text, "appid")?, json!(TRUSTING));
    let [fetched, exchanged] = <[_; 2]>::try_from(lab.emulator.journal())
        .map_err(|journal| anyhow::anyhow!("{journal:?}"))?;
    assert!(fetched.is_metadata_request() && exchanged.is_token_request());
    assert!(query(&fetched.query).contains(&("resource".into(), EXCHANGE.into())));
    assert_eq!(exchanged.method_of_proof.as_deref(), Some("federated"));
    let assertion = exchanged.field("client_assertion").context("none")?;
    assert_eq!(claim(&assertion, "sub")?, json!(user.object_id));

    // one that the application does not trust: the server's words, and its code
    let provider = self::provider(&lab, &federated(&lab, &json!({}))).await?;
    let answer = provider.get_token(&graph()).await;
    let error = answer.err().context("it is not trusted")?;
    lab.evidence.saw_error("not trusted", &error);
    assert_eq!(error.class(), ErrorClass::FederationMismatch);
    assert_eq!(error.detail().aadsts, [700_213]);
    Ok(())
}

#[tokio::test]
async fn what_passes_is_waited_for() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_passing")?;
    let provider = provider(&lab, &direct(&json!({}))).await?;
    for (name, fault, requests) in [
        (
            "404",
            Fault::status(404).body(r#"{"error": "not_found"}"#),
            2,
        ),
        ("an update", Fault::status(410).body(""), 2),
        ("throttled", Fault::status(429).retry_after("1"), 2),
        ("500", Fault::status(500), 2),
        ("503 twice", Fault::status(503).times(2), 3),
        ("reset", Fault::reset(), 2),
        ("cut short", Fault::truncate(), 2),
        ("a page of a proxy", Fault::html(502), 2),
        ("numbers as numbers", Fault::default(), 1),
    ] {
        lab.emulator.clear_journal();
        lab.emulator.faults().push(fault.on("/metadata/"));
        match provider.get_token(&forced()).await {
            Ok(token) => lab.issued(&token),
            Err(error) => anyhow::bail!("{name}: {error}"),
        };
        let asked = lab.emulator.metadata_requests();
        assert_eq!(asked.len(), requests, "{name}");
    }
    assert_eq!(provider.stats().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn what_does_not_pass_is_named() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_named")?;
    let nobody = json!({ "client_id": "00000000-0000-4000-8000-000000000000" });
    let twice = vec![
        ManagedIdentity::user_assigned("one"),
        ManagedIdentity::user_assigned("two"),
    ];
    for (name, which, assigned, class, says) in [
        (
            "unknown",
            nobody,
            lab.emulator.managed_identities(),
            ErrorClass::CredentialUnavailable,
            "Identity not found",
        ),
        (
            "ambiguous",
            json!({}),
            twice,
            ErrorClass::Configuration,
            "Multiple user assigned identities exist",
        ),
        (
            "none",
            json!({}),
            Vec::new(),
            ErrorClass::CredentialUnavailable,
            "Identity not found",
        ),
    ] {
        lab.emulator.clear_journal();
        lab.emulator.set_managed_identities(assigned);
        let provider = provider(&lab, &direct(&which)).await?;
        let answer = provider.get_token(&graph()).await;
        let error = answer.err().context(name)?;
        lab.evidence.saw_error(name, &error);
        assert_eq!(error.class(), class, "{name}: {error}");
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert_eq!(lab.emulator.metadata_requests().len(), 1, "{name}");
    }
    for (fault, class) in [
        (Fault::html(200), ErrorClass::InvalidResponse),
        // another web server than the service
        (Fault::html(404), ErrorClass::CredentialUnavailable),
        (Fault::html(410), ErrorClass::CredentialUnavailable),
        (Fault::oversize(10 << 20), ErrorClass::InvalidResponse),
        (Fault::omit("access_token"), ErrorClass::InvalidResponse),
    ] {
        lab.emulator
            .set_managed_identities(vec![ManagedIdentity::system_assigned("machine")]);
        lab.emulator.faults().push(fault.on("/metadata/").forever());
        let provider = provider(&lab, &direct(&json!({}))).await?;
        let answer = provider.get_token(&graph()).await;
        let error = answer.err().context("no token was in it")?;
        lab.evidence.saw_error("what came is no token", &error);
        assert_eq!(error.class(), class, "{error}");
        lab.emulator.faults().clear();
    }
    Ok(())
}

#[test]
fn the_command_gets_one_and_http_leaves_the_machine_for_nobody() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_command")?;
    let config = json!({ "identities": { "app": direct(&json!({})) } });
    let authority = lab.metadata_authority()?;
    let token = |authority: &str| -> Result<_> {
        Ok(lab
            .edgepass(&["token", "--scope", GRAPH])?
            .config(&config)?
            .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", authority))
    };
    let ran = token(&authority)?.run()?.token()?;
    assert_eq!(ran["identity"], "app");
    assert_eq!(lab.emulator.metadata_requests().len(), 1);

    for elsewhere in ["http://metadata.example", "http://192.0.2.1:80"] {
        let (code, error) = token(elsewhere)?.run()?.error()?;
        assert_eq!(
            (code, &error["class"]),
            (2, &json!("configuration")),
            "{error}"
        );
        assert_eq!(error["setting"], "AZURE_POD_IDENTITY_AUTHORITY_HOST");
    }
    Ok(())
}

/// The parameters of a query, in order.
fn query(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

/// A claim of a token.
fn claim(token: &str, name: &str) -> Result<Value> {
    Ok(jwt::claims(token)?.get(name).cloned().unwrap_or_default())
}

fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs())
}
