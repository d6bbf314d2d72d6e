//! ID tokens (OpenID Connect Core section 2), and who issues them.

use serde_json::{Map, Value, json};

use crate::encoding::{base64url, random};
use crate::errors::Refusal;
use crate::lock;
use crate::request::{Call, TokenCall, Version};
use crate::sessions::Granted;
use crate::token::pairwise;
use crate::users::User;

/// What stands in the place of the tenant in documents that are of several.
pub(crate) const ANY_TENANT: &str = "{tenantid}";

/// How the host of Entra External ID begins, whose issuer has another host.
const CIAM_HOST: &str = "ciam.";

/// How the host begins that demands certificates, whose issuer is the one of
/// the host beside it.
const MTLS_HOST: &str = "mtlsauth.";

/// The issuer that the metadata of the called host names.
pub(crate) fn issuer(call: &Call, tenant: &str, version: Version, policy: Option<&str>) -> String {
    // the host for certificates is another door to the same server
    let host = match call.host.strip_prefix(MTLS_HOST) {
        Some(rest) => format!("login.{rest}"),
        None => call.host.clone(),
    };
    let origin = format!("https://{host}");
    if policy.is_some() {
        return format!("{origin}/{tenant}/v2.0/");
    }
    if let Some(rest) = call.host.strip_prefix(CIAM_HOST) {
        return format!("https://{tenant}.{rest}/{tenant}/v2.0");
    }
    match version {
        Version::V1 => format!("{origin}/{tenant}/"),
        Version::V2 => format!("{origin}/{tenant}/v2.0"),
    }
}

/// An ID token for the application that the user signed in to.
pub(crate) fn issue(
    ask: &TokenCall<'_>,
    user: &User,
    granted: &Granted,
) -> Result<String, Refusal> {
    let claims = claims(ask, user, granted);
    let token = ask.world.keys.sign(&Value::Object(claims));
    token.map_err(|_| Refusal::plain(90_033))
}

fn claims(ask: &TokenCall<'_>, user: &User, granted: &Granted) -> Map<String, Value> {
    let (now, tenant) = (ask.call.now, &granted.tenant);
    let life = lock(&ask.world.settings).access_token_lifetime;
    let policy = granted.policy.as_deref();
    let mut claims = Map::new();
    let mut add = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    add("aud", json!(granted.client_id));
    add("iss", json!(issuer(ask.call, tenant, ask.version, policy)));
    add("iat", json!(now));
    add("nbf", json!(now));
    add("exp", json!(now.saturating_add(life)));
    add("sub", json!(pairwise(user, &granted.client_id)));
    if let Some(nonce) = &granted.nonce {
        add("nonce", json!(nonce));
    }
    let (given, family) = user.names();
    if let Some(policy) = policy {
        add("ver", json!("1.0"));
        add("tfp", json!(policy));
        add("oid", json!(user.object_id));
        add("given_name", json!(given));
        add("family_name", json!(family));
        add("name", json!(user.name));
        add("emails", json!([user.username]));
        add("auth_time", json!(granted.at));
        return claims;
    }
    add("tid", json!(tenant));
    add("uti", json!(base64url(&random::<16>())));
    add("oid", json!(user.object_id));
    add("name", json!(user.name));
    match ask.version {
        Version::V1 => {
            add("ver", json!("1.0"));
            add("given_name", json!(given));
            add("family_name", json!(family));
            add("upn", json!(user.username));
            add("unique_name", json!(user.username));
            add("amr", json!(["pwd"]));
        }
        Version::V2 => {
            add("ver", json!("2.0"));
            if granted.oidc.profile {
                add("preferred_username", json!(user.username));
            }
            if granted.oidc.email {
                add("email", json!(user.username));
            }
        }
    }
    claims
}
