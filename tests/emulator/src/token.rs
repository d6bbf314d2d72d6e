//! Access tokens and the answers that carry them.

use serde_json::{Map, Value, json};

use crate::encoding::{base64url, random};
use crate::errors::Refusal;
use crate::lock;
use crate::metadata::TOKEN_EXCHANGE;
use crate::registry::{App, Resource};
use crate::request::{TokenCall, Version};

/// Who gets the token.
pub(crate) struct Grantee {
    pub(crate) app: App,
    /// The certificate the token is bound to, for `mtls_pop`.
    pub(crate) bound_to: Option<String>,
    /// Of a managed identity: its service principal.
    pub(crate) object_id: Option<String>,
}

/// Issues the token and words the answer for the endpoint's version.
pub(crate) fn respond(
    ask: &TokenCall<'_>,
    grantee: &Grantee,
    requested: &str,
    resource: &Resource,
) -> Result<Value, Refusal> {
    let settings = lock(&ask.world.settings).clone();
    let life = settings.access_token_lifetime;
    let expires = ask.call.now.saturating_add(life);
    let token = issue(ask, grantee, requested, resource, expires)?;
    let token_type = if grantee.bound_to.is_some() {
        "mtls_pop"
    } else {
        "Bearer"
    };
    Ok(match ask.version {
        Version::V2 => {
            let mut answer = json!({
                "token_type": token_type,
                "expires_in": life,
                "ext_expires_in": life,
                "access_token": token,
            });
            if let (Some(refresh_in), Some(fields)) = (settings.refresh_in, answer.as_object_mut())
            {
                fields.insert("refresh_in".into(), json!(refresh_in));
            }
            answer
        }
        // The first version writes its numbers as strings.
        Version::V1 => json!({
            "token_type": token_type,
            "expires_in": life.to_string(),
            "ext_expires_in": life.to_string(),
            "expires_on": expires.to_string(),
            "not_before": ask.call.now.to_string(),
            "resource": requested,
            "access_token": token,
        }),
    })
}

/// An access token as the resource wants it, whichever endpoint was called.
fn issue(
    ask: &TokenCall<'_>,
    grantee: &Grantee,
    requested: &str,
    resource: &Resource,
    expires: i64,
) -> Result<String, Refusal> {
    let (world, app, tenant) = (ask.world, &grantee.app, &ask.tenant.id);
    let authority = world.identity.authority();
    let object_id = grantee.object_id.clone();
    let object_id = object_id.unwrap_or_else(|| app.object_id(tenant));
    let mut claims = Map::new();
    // a token that is another application's assertion is of the second version, whose issuer federated credentials name
    let exchange = requested.eq_ignore_ascii_case(TOKEN_EXCHANGE);
    if exchange || resource.token_version >= 2 {
        let audience = if exchange {
            requested
        } else {
            &resource.app_id
        };
        claims.insert("aud".into(), json!(audience));
        claims.insert("iss".into(), json!(format!("{authority}/{tenant}/v2.0")));
        claims.insert("azp".into(), json!(app.client_id));
        claims.insert("azpacr".into(), json!("2"));
        claims.insert("ver".into(), json!("2.0"));
    } else {
        claims.insert("aud".into(), json!(requested));
        claims.insert("iss".into(), json!(format!("{authority}/{tenant}/")));
        claims.insert("appid".into(), json!(app.client_id));
        claims.insert("appidacr".into(), json!("2"));
        claims.insert("ver".into(), json!("1.0"));
    }
    claims.insert("iat".into(), json!(ask.call.now));
    claims.insert("nbf".into(), json!(ask.call.now));
    claims.insert("exp".into(), json!(expires));
    claims.insert("idtyp".into(), json!("app"));
    claims.insert("oid".into(), json!(object_id));
    claims.insert("sub".into(), json!(object_id));
    claims.insert("tid".into(), json!(tenant));
    claims.insert("roles".into(), json!(app.roles));
    claims.insert("uti".into(), json!(base64url(&random::<16>())));
    if let Some(thumbprint) = &grantee.bound_to {
        claims.insert("cnf".into(), json!({ "x5t#S256": thumbprint }));
    }
    if let Some(capabilities) = client_capabilities(ask) {
        claims.insert("xms_cc".into(), capabilities);
    }
    let kid = world.signer.kid();
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid });
    world
        .signer
        .sign(&header, &Value::Object(claims))
        .map_err(|_| Refusal::plain(90_033))
}

/// The capabilities that the `claims` parameter declares (`xms_cc`).
fn client_capabilities(ask: &TokenCall<'_>) -> Option<Value> {
    let wanted = ask
        .found
        .claims
        .as_ref()?
        .get("access_token")?
        .get("xms_cc")?
        .get("values")?;
    Some(wanted.clone())
}
