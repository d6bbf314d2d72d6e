//! Acceptance: every grant with every kind of credential, through the real component, against an emulator that checks as
//! Entra ID does; each failure at the wire; and the requests of MSAL and python-social-auth beside ours.

mod failures;
mod matrix;
mod oidc_provider;
mod other_server;
mod side_by_side;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass::{Grant, Provider, Secret, Token, TokenRequest};
use edgepass_e2e::{Browser, Lab, jwt};
use edgepass_emulator::{Emulator, Mint, TOKEN_EXCHANGE};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What most grants ask for.
const READ: &str = "https://graph.microsoft.com/User.Read";

/// Where users come back to; nobody opens it.
const REDIRECT: &str = "https://app.example/complete";

/// A verifier of RFC 7636, and the nonce that goes with a sign-in.
const VERIFIER: &str = "a-verifier-of-a-test-that-is-long-enough-to-be-one";
const NONCE: &str = "a-nonce-of-a-test";

/// A machine with a metadata service, and an application that everything is registered for: users come back to it, and
/// it trusts the machine's identities.
struct World {
    lab: Lab,
}

impl World {
    fn new(test: &str) -> Result<Self> {
        let lab = Lab::of(test, Emulator::builder().metadata_port(0))?;
        let emulator = &lab.emulator;
        let client_id = emulator.client_id();
        let mut app = emulator.app(client_id).context("no application")?;
        for identity in emulator.managed_identities() {
            let issuer = emulator.tenant_issuer();
            app = app.federated(&issuer, &identity.object_id, TOKEN_EXCHANGE);
        }
        emulator.register_app(app.redirect_uri(REDIRECT));
        Ok(Self { lab })
    }

    fn emulator(&self) -> &Emulator {
        &self.lab.emulator
    }

    /// The object ID of the user that is there from the start.
    fn object_id(&self) -> Result<String> {
        let user = self.emulator().user(self.emulator().username());
        Ok(user.context("no user")?.object_id)
    }

    /// A user's token, as a client sends it to the application.
    fn user_token(&self, mint: &Mint) -> Result<Secret> {
        let own = self.emulator().own_resource();
        let username = self.emulator().username();
        let token = self.emulator().user_token(username, &own, mint)?;
        self.lab.evidence.secret("user token", &token);
        Ok(Secret::new(token))
    }

    /// A code of a user who has signed in, for these scopes.
    async fn code(&self, scope: &str) -> Result<Secret> {
        self.code_with(scope, Some(NONCE)).await
    }

    async fn code_with(&self, scope: &str, nonce: Option<&str>) -> Result<Secret> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("client_id", self.emulator().client_id()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", scope),
            ("login_hint", self.emulator().username()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        query.extend_pairs(nonce.map(|nonce| ("nonce", nonce)));
        let (authority, tenant) = (self.emulator().authority(), self.emulator().tenant());
        let url = format!(
            "{authority}/{tenant}/oauth2/v2.0/authorize?{}",
            query.finish()
        );
        let (page, next) = Browser::new(&self.lab)?.look(&url).await?;
        let next = next.with_context(|| page.text.clone())?;
        let code = next.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.with_context(|| next.to_string())?;
        self.lab.evidence.secret("code", &code);
        Ok(Secret::new(code))
    }

    /// Redeems a code.
    fn redemption(code: Secret) -> Grant {
        Grant::AuthorizationCode {
            code,
            redirect_uri: REDIRECT.to_owned(),
            code_verifier: Some(Secret::new(VERIFIER)),
            nonce: Some(NONCE.into()),
        }
    }

    /// A refresh token of a user who has signed in.
    async fn refresh_token(&self, provider: &Provider) -> Result<Secret> {
        let code = self.code(&format!("openid offline_access {READ}")).await?;
        let request = asking(&[READ, "offline_access"], Self::redemption(code));
        let token = provider.get_token(&request).await?;
        self.lab.issued(&token);
        token.refresh_token.clone().context("no refresh token")
    }

    /// A provider of one identity.
    async fn provider(&self, config: &Value) -> Result<Provider> {
        Ok(self.lab.on_the_machine(config)?.build().await?)
    }

    /// The application at the server that is not Entra, by its metadata: there the endpoints for mutual TLS are.
    fn generic(&self, credential: &Value) -> Value {
        let mut config = self.lab.config(credential);
        if let Some(app) = config.pointer_mut("/identities/app") {
            *app = json!({
                "client_id": self.emulator().client_id(),
                "issuer": self.emulator().generic_issuer(),
                "credential": credential,
            });
        }
        config
    }

    /// The application's secret, as a credential.
    fn secret(&self) -> Value {
        json!({ "client_secret": { "value": self.emulator().client_secret() } })
    }
}

/// A user's token on behalf of whom a call was made.
fn on_behalf_of(assertion: Secret) -> Grant {
    Grant::OnBehalfOf {
        assertion: Some(assertion),
        session_key: None,
    }
}

fn asking(scopes: &[&str], grant: Grant) -> TokenRequest {
    TokenRequest::for_scopes(scopes.iter().copied()).with_grant(grant)
}

/// The claims of a token of the emulator's, which is nobody else's business.
fn claims(token: &Token) -> Result<Value> {
    jwt::claims(token.token.expose())
}

/// That a token has these claims.
fn has(token: &Token, expected: &[(&str, &str)]) -> Result<()> {
    let claims = claims(token)?;
    for (name, value) in expected {
        let found = claims.get(name).and_then(Value::as_str);
        ensure!(found == Some(*value), "{name}: {claims}");
    }
    Ok(())
}
