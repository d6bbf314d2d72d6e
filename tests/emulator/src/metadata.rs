//! The instance metadata service of a machine, as far as it hands out tokens
//! of managed identities: over http, to whoever can reach it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::{HeaderName, Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::credentials;
use crate::encoding::{base64url, random};
use crate::lock;
use crate::registry::{ManagedIdentity, Resource};
use crate::reply::Reply;
use crate::request::Call;
use crate::world::World;

/// The audience of a token that is another application's assertion. Entra
/// issues it by its second version, whose issuer the federated credential
/// names.
pub const TOKEN_EXCHANGE: &str = "api://AzureADTokenExchange";

/// The versions of the interface that are known.
const VERSIONS: &[&str] = &[
    "2018-02-01",
    "2018-04-02",
    "2018-10-01",
    "2019-06-01",
    "2019-08-01",
    "2019-08-15",
    "2020-06-01",
    "2021-02-01",
    "2021-12-13",
    "2023-07-01",
    "2025-04-07",
];

/// The parameters that choose an identity, here and at other platforms: each
/// of those refuses what is not its own.
const SELECTORS: &[&str] = &[
    "client_id",
    "object_id",
    "msi_res_id",
    "mi_res_id",
    "clientid",
];

/// Answers a request to the metadata service.
pub(crate) fn answer(world: &World, call: &Call) -> Reply {
    // The SDK for JavaScript ends the path with a slash.
    let answer = match call.path.trim_end_matches('/') {
        "/metadata/identity/oauth2/token" => Some(token(world, call)),
        "/metadata/identity/getplatformmetadata" => Some(credentials::metadata(world, call)),
        "/metadata/identity/issuecredential" => Some(credentials::issue(world, call)),
        _ => None,
    };
    let mut reply = match answer {
        Some(Ok(value)) => Reply::json(StatusCode::OK, &value),
        Some(Err(refusal)) => refusal.reply(),
        None => Reply::json(StatusCode::NOT_FOUND, &json!({ "error": "Not found" })),
    };
    reply.set(HeaderName::from_static("server"), "IMDS/150.870.65.1854");
    reply
}

/// The tokens that were handed out: the service gives the same one again
/// until half of its life is over, and no parameter changes that.
#[derive(Default)]
pub(crate) struct IssuedTokens {
    /// By client ID and resource.
    tokens: Mutex<BTreeMap<(String, String), IssuedToken>>,
}

#[derive(Clone)]
struct IssuedToken {
    text: String,
    not_before: i64,
    expires: i64,
}

impl IssuedTokens {
    /// Forgets them, so that the next ones are new.
    pub(crate) fn clear(&self) {
        lock(&self.tokens).clear();
    }

    fn get_or_issue(
        &self,
        key: (String, String),
        now: i64,
        issue: impl FnOnce() -> Result<IssuedToken, Refusal>,
    ) -> Result<IssuedToken, Refusal> {
        let mut tokens = lock(&self.tokens);
        if let Some(known) = tokens.get(&key) {
            let half = known.not_before + (known.expires - known.not_before) / 2;
            if (known.not_before..half).contains(&now) {
                return Ok(known.clone());
            }
        }
        let fresh = issue()?;
        tokens.insert(key, fresh.clone());
        Ok(fresh)
    }
}

/// Why there is no token.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) description: String,
    /// Whether the answer lists the versions that are known.
    pub(crate) versions: bool,
}

impl Refusal {
    pub(crate) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
            versions: false,
        }
    }

    fn reply(&self) -> Reply {
        let mut body = json!({ "error": self.error, "error_description": self.description });
        if let (true, Some(fields)) = (self.versions, body.as_object_mut()) {
            let newest: Vec<_> = VERSIONS.iter().rev().take(3).collect();
            fields.insert("newest-versions".into(), json!(newest));
        }
        Reply::json(self.status, &body)
    }
}

/// A token and what an answer says of it.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) client_id: String,
    pub(crate) resource: String,
    pub(crate) not_before: i64,
    pub(crate) expires: i64,
    /// Seconds until then.
    pub(crate) left: i64,
}

fn token(world: &World, call: &Call) -> Result<Value, Refusal> {
    if call.method != Method::GET {
        return Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            ..Refusal::new("invalid_request", "The request must be a GET.")
        });
    }
    // Both headers guard against requests that an attacker made the machine
    // send: those rarely have the first, and proxies add the second.
    require_metadata(call)?;
    refuse_forwarded(call)?;
    let parameters = Parameters::parse(call.query.as_bytes());
    parameters.version(VERSIONS)?;
    // The service ignores what it does not know, and answers for another
    // identity than was meant.
    parameters.refuse_unknown(&[
        "api-version",
        "resource",
        "client_id",
        "object_id",
        "msi_res_id",
    ])?;
    let token = token_of(world, call.now, &parameters)?;
    let left = token.left.to_string();
    // Numbers are strings here.
    Ok(json!({
        "access_token": token.text,
        "client_id": token.client_id,
        "expires_in": left,
        "expires_on": token.expires.to_string(),
        "ext_expires_in": left,
        "not_before": token.not_before.to_string(),
        "resource": token.resource,
        "token_type": "Bearer",
    }))
}

/// That the request says that it is meant for here.
pub(crate) fn require_metadata(call: &Call) -> Result<(), Refusal> {
    let mut metadata = call.headers.get_all("metadata").iter();
    if metadata.next().map(http::HeaderValue::as_bytes) != Some(b"true")
        || metadata.next().is_some()
    {
        return Err(Refusal::new(
            "bad_request_102",
            "Required metadata header not specified",
        ));
    }
    Ok(())
}

/// That no proxy has passed the request on.
pub(crate) fn refuse_forwarded(call: &Call) -> Result<(), Refusal> {
    if call.headers.contains_key("x-forwarded-for") {
        return Err(Refusal::new(
            "invalid_request",
            "The request has an X-Forwarded-For header: this service answers no request that went through a proxy.",
        ));
    }
    Ok(())
}

/// The token that the parameters ask for.
pub(crate) fn token_of(world: &World, now: i64, parameters: &Parameters) -> Result<Token, Refusal> {
    let requested = parameters
        .get("resource")?
        .ok_or_else(|| {
            Refusal::new(
                "invalid_request",
                "The request is missing the required parameter 'resource'.",
            )
        })?
        .to_owned();
    let identity = identity(world, parameters)?;
    let resource = lock(&world.registry)
        .resource(&requested)
        .cloned()
        .ok_or_else(|| {
            Refusal::new(
                "invalid_resource",
                format!(
                    "AADSTS500011: The resource principal named {requested} was not found in the tenant named {}.",
                    world.identity.tenant
                ),
            )
        })?;

    let life = lock(&world.settings).managed_identity_token_lifetime;
    let key = (identity.client_id.clone(), requested.clone());
    let token = world.metadata_tokens.get_or_issue(key, now, || {
        let expires = now.saturating_add(life);
        let text = issue(world, &identity, &requested, &resource, now, expires)?;
        Ok(IssuedToken {
            text,
            not_before: now,
            expires,
        })
    })?;
    Ok(Token {
        text: token.text,
        client_id: identity.client_id,
        resource: requested,
        not_before: token.not_before,
        expires: token.expires,
        left: token.expires.saturating_sub(now),
    })
}

/// The parameters of a query or form.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// One that may be there once. An empty one is none.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return Err(Refusal::new(
                "invalid_request",
                format!("The request includes the parameter '{name}' more than once."),
            ));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// That the version is one of these.
    pub(crate) fn version(&self, known: &[&str]) -> Result<(), Refusal> {
        let version = self.get("api-version")?.unwrap_or_default();
        if known.contains(&version) {
            return Ok(());
        }
        Err(Refusal {
            versions: true,
            ..Refusal::new(
                "invalid_request",
                format!("The api-version '{version}' is missing or not supported."),
            )
        })
    }

    /// That there are no others than these.
    pub(crate) fn refuse_unknown(&self, known: &[&str]) -> Result<(), Refusal> {
        let mut names = self.0.iter().map(|(name, _)| name.as_str());
        match names.find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Refusal::new(
                "invalid_request",
                format!("The parameter '{name}' is not known here."),
            )),
        }
    }
}

/// The identity that the request means.
pub(crate) fn identity(world: &World, parameters: &Parameters) -> Result<ManagedIdentity, Refusal> {
    let mut selected = None;
    for name in SELECTORS {
        let Some(value) = parameters.get(name)? else {
            continue;
        };
        if let Some((other, _)) = selected.replace((*name, value)) {
            return Err(Refusal::new(
                "invalid_request",
                format!(
                    "The request has both '{other}' and '{name}': one of them names the identity."
                ),
            ));
        }
    }
    let registry = lock(&world.registry);
    let assigned = registry.managed_identities();
    let not_found = || Refusal::new("invalid_request", "Identity not found");
    if let Some((name, value)) = selected {
        let found = assigned.iter().find(|identity| {
            let known = match name {
                "client_id" | "clientid" => Some(&identity.client_id),
                "object_id" => Some(&identity.object_id),
                _ => identity.resource_id.as_ref(),
            };
            known.is_some_and(|known| known.eq_ignore_ascii_case(value))
        });
        return found.cloned().ok_or_else(not_found);
    }
    // Without a choice it is the machine's own, else the only one.
    let own = assigned
        .iter()
        .find(|identity| identity.resource_id.is_none());
    match (own, assigned) {
        (Some(one), _) | (None, [one]) => Ok(one.clone()),
        (None, []) => Err(not_found()),
        (None, _) => Err(Refusal::new(
            "invalid_request",
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
        )),
    }
}

fn issue(
    world: &World,
    identity: &ManagedIdentity,
    requested: &str,
    resource: &Resource,
    now: i64,
    expires: i64,
) -> Result<String, Refusal> {
    let (tenant, authority) = (&world.identity.tenant, world.identity.authority());
    let exchange = requested.eq_ignore_ascii_case(TOKEN_EXCHANGE);
    let mut claims = Map::new();
    let (issuer, client, version) = if exchange || resource.token_version >= 2 {
        (format!("{authority}/{tenant}/v2.0"), "azp", "2.0")
    } else {
        (format!("{authority}/{tenant}/"), "appid", "1.0")
    };
    let audience = if resource.token_version >= 2 {
        &resource.app_id
    } else {
        requested
    };
    for (name, value) in [
        ("aud", audience),
        ("iss", &issuer),
        (client, &identity.client_id),
        (&format!("{client}acr"), "2"),
        ("ver", version),
        ("idtyp", "app"),
        ("oid", &identity.object_id),
        ("sub", &identity.object_id),
        ("tid", tenant),
        ("uti", &base64url(&random::<16>())),
    ] {
        claims.insert(name.to_owned(), json!(value));
    }
    if let Some(resource_id) = &identity.resource_id {
        claims.insert("xms_mirid".into(), json!(resource_id));
    }
    for (name, time) in [("iat", now), ("nbf", now), ("exp", expires)] {
        claims.insert(name.to_owned(), json!(time));
    }
    world
        .keys
        .sign(&Value::Object(claims))
        .map_err(|_| Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Refusal::new(
                "unknown",
                "Failed to retrieve token from the Active directory.",
            )
        })
}
