//! A token server that is not Entra: RFC 7523 section 2.1 and RFC 8693 as the
//! RFCs have them, with their errors. Clients prove themselves as at Entra's
//! endpoints.

mod jwt_bearer;
mod subject;
mod token_exchange;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::encoding::{base64url, random};
use crate::errors::Refusal;
use crate::grant::{JWT_BEARER, posted_form_but};
use crate::journal::Findings;
use crate::lock;
use crate::registry::Tenant;
use crate::reply::Reply;
use crate::request::{Call, Form, TokenCall, Version};
use crate::verify::{Client, authenticate};
use crate::world::World;

/// Where it lives.
pub(crate) const PATH: &str = "generic";

/// The grant of RFC 8693.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The parameters of RFC 8693 section 2.1 that may be there several times.
const REPEATED: &[&str] = &["audience", "resource"];

/// Its issuer.
pub(crate) fn issuer(world: &World) -> String {
    format!("{}/{PATH}", world.identity.authority())
}

/// Answers a request below [`PATH`].
pub(crate) fn answer(world: &World, call: &Call, rest: &[&str], found: &mut Findings) -> Reply {
    match rest {
        [
            ".well-known",
            "openid-configuration" | "oauth-authorization-server",
        ] => Reply::json(StatusCode::OK, &metadata(world)),
        ["jwks"] => Reply::json(StatusCode::OK, &world.keys.jwks(None)),
        ["token"] => match token(world, call, found) {
            Ok(answer) => Reply::json(StatusCode::OK, &answer),
            Err(fault) => fault.reply(),
        },
        _ => Reply::text(StatusCode::NOT_FOUND, "text/plain", "no such page\n"),
    }
}

/// An error of RFC 6749 section 5.2.
pub(super) struct Fault {
    error: &'static str,
    description: String,
}

impl Fault {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            error,
            description: description.into(),
        }
    }

    fn reply(&self) -> Reply {
        let status = match self.error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({ "error": self.error, "error_description": self.description });
        Reply::json(status, &body)
    }
}

/// A refusal in Entra's words, without its code: those of client authentication.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let error = match refusal.name() {
            "unauthorized_client" => "invalid_client",
            other => other,
        };
        Self::new(error, refusal.text())
    }
}

/// A client with what it asks for.
pub(super) struct Ask<'a> {
    pub(super) world: &'a World,
    pub(super) call: &'a Call,
    pub(super) form: Form,
    /// Those of [`REPEATED`], in their order.
    pub(super) targets: Vec<(String, String)>,
    pub(super) client: Client,
}

/// A token about to be issued.
pub(super) struct Issue<'a> {
    pub(super) subject: &'a str,
    pub(super) audience: Value,
    pub(super) scope: Option<&'a str>,
    /// The `act` claim (RFC 8693 section 4.1).
    pub(super) actor: Option<Value>,
}

impl Ask<'_> {
    /// Signs a token, and says how long it lives.
    pub(super) fn issue(&self, of: &Issue<'_>) -> Result<(String, i64), Fault> {
        let life = lock(&self.world.settings).access_token_lifetime;
        let mut claims = json!({
            "iss": issuer(self.world),
            "sub": of.subject,
            "aud": of.audience,
            "client_id": self.client.app.client_id,
            "iat": self.call.now,
            "nbf": self.call.now,
            "exp": self.call.now.saturating_add(life),
            "jti": base64url(&random::<16>()),
        });
        let more = [
            ("scope", of.scope.map(Value::from)),
            ("act", of.actor.clone()),
            (
                "cnf",
                self.client
                    .bound_to
                    .as_ref()
                    .map(|thumbprint| json!({ "x5t#S256": thumbprint })),
            ),
        ];
        for (name, value) in more {
            if let (Some(value), Some(fields)) = (value, claims.as_object_mut()) {
                fields.insert(name.into(), value);
            }
        }
        let token = self.world.keys.sign(&claims);
        let token = token.map_err(|error| Fault::new("server_error", error.to_string()))?;
        Ok((token, life))
    }
}

fn token(world: &World, call: &Call, found: &mut Findings) -> Result<Value, Fault> {
    if call.method != Method::POST {
        return Err(Fault::new("invalid_request", "a token request is a POST"));
    }
    let (form, targets) = posted_form_but(call, REPEATED)?;
    let grant = form.require("grant_type")?.to_owned();
    let tenant = Tenant {
        id: world.identity.tenant.clone(),
        domains: Vec::new(),
    };
    let mut ask = TokenCall {
        world,
        call,
        tenant: &tenant,
        version: Version::V2,
        policy: None,
        form,
        found,
    };
    let client = authenticate(&mut ask)?;
    let ask = Ask {
        world,
        call,
        form: ask.form,
        targets,
        client,
    };
    match grant.as_str() {
        JWT_BEARER => jwt_bearer::exchange(&ask),
        TOKEN_EXCHANGE => token_exchange::exchange(&ask),
        _ => Err(Fault::new(
            "unsupported_grant_type",
            format!("the grant type {grant} is not supported here"),
        )),
    }
}

fn metadata(world: &World) -> Value {
    let issuer = issuer(world);
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "grant_types_supported": [JWT_BEARER, TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "private_key_jwt", "client_secret_basic", "tls_client_auth"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256"],
        "mtls_endpoint_aliases":
            { "token_endpoint": format!("{}/{PATH}/token", world.identity.mtls_authority()) },
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}
