//! The documents by which clients find the endpoints.

use serde_json::{Value, json};
use url::Url;

use crate::errors::Refusal;
use crate::grant::{Place, is_shared, tenant_named};
use crate::id_token::{ANY_TENANT, issuer};
use crate::request::{Call, Version};
use crate::world::World;

/// The OpenID Connect discovery document of a tenant, of all of them, or of a
/// user flow.
pub(crate) fn openid_configuration(
    world: &World,
    call: &Call,
    place: Place<'_>,
) -> Result<Value, Refusal> {
    let (named, id) = tenant(world, place.tenant)?;
    let origin = call.origin();
    let mtls = world.identity.mtls_authority();
    let oauth = match place.version {
        Version::V1 => "oauth2",
        Version::V2 => "oauth2/v2.0",
    };
    let keys = match place.version {
        Version::V1 => "discovery/keys",
        Version::V2 => "discovery/v2.0/keys",
    };
    // the endpoints of a user flow are its own
    let between = match place.policy {
        Some(policy) => format!("{named}/{}", policy.to_ascii_lowercase()),
        None => named,
    };
    Ok(json!({
        "issuer": issuer(call, &id, place.version, place.policy),
        "authorization_endpoint": format!("{origin}/{between}/{oauth}/authorize"),
        "token_endpoint": format!("{origin}/{between}/{oauth}/token"),
        "mtls_endpoint_aliases": { "token_endpoint": format!("{mtls}/{between}/{oauth}/token") },
        "tls_client_certificate_bound_access_tokens": true,
        "jwks_uri": format!("{origin}/{between}/{keys}"),
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "tenant_region_scope": Value::Null,
        "cloud_instance_name": call.host,
    }))
}

/// The keys that sign tokens; of the second version each with its issuer.
pub(crate) fn keys(world: &World, call: &Call, place: Place<'_>) -> Result<Value, Refusal> {
    let (_, id) = tenant(world, place.tenant)?;
    let of = issuer(call, &id, place.version, place.policy);
    let has_issuer = place.version == Version::V2 && place.policy.is_none();
    Ok(world.keys.jwks(has_issuer.then_some(of.as_str())))
}

/// How a tenant is called in URLs, and in issuers.
fn tenant(world: &World, name: &str) -> Result<(String, String), Refusal> {
    if is_shared(name) {
        return Ok((name.to_ascii_lowercase(), ANY_TENANT.to_owned()));
    }
    let id = tenant_named(world, name)?.id;
    Ok((id.clone(), id))
}

/// Instance discovery: this server vouches for itself alone.
pub(crate) fn instance(world: &World, call: &Call) -> Result<Value, Refusal> {
    let asked = url::form_urlencoded::parse(call.query.as_bytes())
        .find(|(name, _)| name == "authorization_endpoint")
        .map(|(_, value)| value.into_owned());
    let asked = asked.ok_or_else(|| Refusal::missing("authorization_endpoint"))?;
    let url = Url::parse(&asked).map_err(|_| Refusal::plain(50_049))?;
    let host = url.host_str().unwrap_or_default();
    // Some clients leave the port out of the question.
    let ours = host == "localhost" || host == "127.0.0.1" || host.ends_with(".localhost");
    if !ours || url.port().is_some_and(|port| port != world.identity.port) {
        return Err(Refusal::new(
            50_049,
            format!("Unknown or invalid instance: {host}."),
        ));
    }
    let tenant = url
        .path_segments()
        .and_then(|mut path| path.next())
        .unwrap_or("common");
    let at = format!("{host}:{}", world.identity.port);
    Ok(json!({
        "tenant_discovery_endpoint":
            format!("https://{at}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{
            "preferred_network": at,
            "preferred_cache": at,
            "aliases": [at, host],
        }],
    }))
}
