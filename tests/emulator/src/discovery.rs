//! The documents by which clients find the endpoints.

use serde_json::{Value, json};
use url::Url;

use crate::errors::Refusal;
use crate::grant::find_tenant;
use crate::request::{Call, Version};
use crate::world::World;

/// The OpenID Connect discovery document of a tenant.
pub(crate) fn openid_configuration(
    world: &World,
    call: &Call,
    tenant: &str,
    version: Version,
) -> Result<Value, Refusal> {
    let tenant = find_tenant(world, tenant)?.id;
    let origin = call.origin();
    let mtls = world.identity.mtls_authority();
    let (issuer, oauth, keys) = match version {
        Version::V1 => (format!("{origin}/{tenant}/"), "oauth2", "discovery/keys"),
        Version::V2 => (
            format!("{origin}/{tenant}/v2.0"),
            "oauth2/v2.0",
            "discovery/v2.0/keys",
        ),
    };
    Ok(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{origin}/{tenant}/{oauth}/authorize"),
        "token_endpoint": format!("{origin}/{tenant}/{oauth}/token"),
        "mtls_endpoint_aliases": { "token_endpoint": format!("{mtls}/{tenant}/{oauth}/token") },
        "tls_client_certificate_bound_access_tokens": true,
        "jwks_uri": format!("{origin}/{tenant}/{keys}"),
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "tenant_region_scope": Value::Null,
        "cloud_instance_name": call.host,
    }))
}

/// The keys that sign access tokens.
pub(crate) fn keys(world: &World, tenant: &str) -> Result<Value, Refusal> {
    find_tenant(world, tenant)?;
    Ok(json!({ "keys": [world.signer.jwk()] }))
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
