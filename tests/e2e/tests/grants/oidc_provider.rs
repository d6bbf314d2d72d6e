//! The grants at a server that is not ours: the certified `oidc-provider`. Its own are authorization code, with PKCE and ID
//! tokens of every algorithm, and refresh tokens, which rotate; RFC 7523 and RFC 8693 are handlers at its extension points,
//! so that client authentication, parameters and answers are its own.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass::{ErrorClass, Grant, Provider, Secret, Token};
use edgepass_e2e::{Browser, Idp, Lab, jwt};
use edgepass_emulator::Mint;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{NONCE, REDIRECT, VERIFIER, World, asking};

const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A server with a client for each algorithm of ID tokens, all of them with the same key.
struct Server {
    idp: Idp,
    key: Value,
}

impl Server {
    fn start(lab: &Lab, more: &Value) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let file = lab.write("client.pem", key.serialize_pem())?;
        let clients: Vec<Value> = ALGORITHMS
            .iter()
            .map(|algorithm| {
                json!({
                    "client_id": algorithm,
                    "method": "private_key_jwt",
                    "algorithm": "ES256",
                    "public_key": key.public_key_pem(),
                    "redirect_uris": [REDIRECT],
                    "id_token_algorithm": algorithm,
                })
            })
            .collect();
        let mut config = json!({ "clients": clients });
        if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
            config.extend(more.clone());
        }
        Ok(Self {
            idp: Idp::start_with(lab, &config)?,
            key: json!({ "key": { "private_key_file": file } }),
        })
    }

    async fn provider(&self, client_id: &str) -> Result<Provider> {
        let credential = json!({ "private_key_jwt": { "name": "key", "algorithm": "ES256", "audience": self.idp.issuer } });
        let config = self.idp.by_issuer(client_id, &credential, &self.key);
        self.idp.provider(&config).await
    }

    /// A code of somebody of that name.
    async fn code(&self, client_id: &str, name: &str) -> Result<Secret> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", client_id),
                ("response_type", "code"),
                ("redirect_uri", REDIRECT),
                ("scope", "openid offline_access api"),
                ("prompt", "consent"),
                ("nonce", NONCE),
                ("login_hint", name),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        let browser = Browser::trusting(&self.idp.ca_pem)?;
        let url = format!("{}/auth?{query}", self.idp.issuer);
        let arrived = browser.until(&url, REDIRECT).await?;
        let code = arrived.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.with_context(|| arrived.to_string())?;
        Ok(Secret::new(code))
    }

    /// That it has granted for that account, as it says itself.
    fn granted(&self, account: &str) -> Result<()> {
        let told = self.idp.told()?;
        let granted = told.get("account").and_then(Value::as_str);
        ensure!(granted == Some(account), "{told}");
        Ok(())
    }
}

async fn get(lab: &Lab, provider: &Provider, grant: Grant) -> Result<Token> {
    let token = provider
        .get_token(&asking(&["api", "openid", "offline_access"], grant))
        .await?;
    lab.issued(&token);
    Ok(token)
}

#[tokio::test]
async fn codes_id_tokens_and_refresh_tokens() -> Result<()> {
    let lab = Lab::new("grants_oidc_provider")?;
    let server = Server::start(&lab, &json!({}))?;
    for algorithm in ALGORITHMS {
        let provider = server.provider(algorithm).await?;
        let code = server.code(algorithm, "alice").await?;
        let token = get(&lab, &provider, World::redemption(code.clone())).await;
        let token = token.context(algorithm)?;
        server.granted("alice")?;
        let id_token = token.id_token.as_ref().context("no ID token")?;
        let header = jwt::header(id_token.expose())?;
        ensure!(header["alg"] == algorithm, "{header}");
        let refresh_token = token.refresh_token.clone().context("no refresh token")?;
        let renewed = get(&lab, &provider, Grant::RefreshToken(refresh_token.clone())).await?;
        server.granted("alice")?;
        ensure!(renewed.token != token.token);

        // used twice, it counts as stolen
        let next = renewed.refresh_token.clone().context("no next one")?;
        if next != refresh_token {
            let again = get(&lab, &provider, Grant::RefreshToken(refresh_token)).await;
            let error = again.err().context("it counted twice")?;
            ensure!(error.to_string().contains("invalid_grant"), "{error:#}");
            ensure!(server.idp.told()?["refused"] == "invalid_grant");
        }
        let again = get(&lab, &provider, World::redemption(code)).await;
        ensure!(again.is_err());
        ensure!(server.idp.told()?["refused"] == "invalid_grant");
    }
    // another nonce than that of the sign-in
    let provider = server.provider("RS256").await?;
    let grant = Grant::AuthorizationCode {
        code: server.code("RS256", "bob").await?,
        redirect_uri: REDIRECT.to_owned(),
        code_verifier: Some(Secret::new(VERIFIER)),
        nonce: Some("another".into()),
    };
    let request = asking(&["api", "openid"], grant);
    let error = provider
        .get_token(&request)
        .await
        .err()
        .context("a token")?;
    ensure!(error.class() == ErrorClass::InvalidResponse, "{error:#}");
    ensure!(error.to_string().contains("nonce"), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn assertions_and_exchanges() -> Result<()> {
    let lab = Lab::new("grants_oidc_provider_exchange")?;
    let issuer = lab.emulator.outside_issuer("https://issuer.example")?;
    let issuers = json!({ issuer.url(): issuer.public_key_pem()? });
    let server = Server::start(&lab, &json!({ "issuers": issuers }))?;
    let provider = server.provider("RS256").await?;
    let mint = |mint: Mint| issuer.mint(&mint.subject("carol")).map(Secret::new);

    let grant = Grant::JwtBearer(mint(Mint::new().audience(&server.idp.issuer))?);
    let token = provider.get_token(&asking(&["api"], grant)).await?;
    lab.issued(&token);
    server.granted("carol")?;
    for bad in [
        Mint::new(),
        Mint::new().audience(&server.idp.issuer).expires_in(-600),
    ] {
        let refused = provider
            .get_token(&asking(&["api"], Grant::JwtBearer(mint(bad)?)))
            .await;
        let error = refused.err().context("a token")?;
        ensure!(
            error.detail().oauth_error.as_deref() == Some("invalid_grant"),
            "{error:#}"
        );
        ensure!(server.idp.told()?["refused"] == "invalid_grant");
    }

    let exchange = |subject: Secret, audience: &[&str]| Grant::TokenExchange {
        subject_token: subject,
        subject_token_type: ACCESS_TOKEN.to_owned(),
        actor: Some((token.token.clone(), ACCESS_TOKEN.to_owned())),
        audience: audience.iter().map(ToString::to_string).collect(),
        resource: Vec::new(),
        requested_token_type: Some(ACCESS_TOKEN.to_owned()),
    };
    let request = asking(&["api"], exchange(token.token.clone(), &["one", "two"]));
    let exchanged = provider.get_token(&request).await?;
    lab.issued(&exchanged);
    server.granted("carol")?;
    ensure!(exchanged.issued_token_type.as_deref() == Some(ACCESS_TOKEN));
    ensure!(exchanged.token != token.token);
    let request = asking(
        &["api"],
        exchange(Secret::new("a-token-of-nobody-at-all"), &[]),
    );
    let error = provider
        .get_token(&request)
        .await
        .err()
        .context("a token")?;
    ensure!(
        error.detail().oauth_error.as_deref() == Some("invalid_request"),
        "{error:#}"
    );
    Ok(())
}
