//! The client credentials grant.

use serde_json::Value;

use crate::errors::Refusal;
use crate::lock;
use crate::registry::Resource;
use crate::request::{TokenCall, Version};
use crate::token::{Grantee, respond};
use crate::verify::authenticate;

/// The suffix by which a scope asks for everything consented.
const DEFAULT_SUFFIX: &str = "/.default";

/// Authenticates the client, finds the resource, issues a token.
pub(crate) fn answer(mut ask: TokenCall<'_>) -> Result<Value, Refusal> {
    let client = authenticate(&mut ask)?;
    let requested = match ask.version {
        Version::V1 => ask.form.require("resource")?.to_owned(),
        Version::V2 => requested_resource(&ask)?,
    };
    let resource = find_resource(&ask, &requested)?;
    let kind = ask.form.get("token_type").unwrap_or("Bearer");
    let proof_of_possession = kind.eq_ignore_ascii_case("mtls_pop");
    if !proof_of_possession && !kind.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::new(
            9_002_313,
            format!(
                "Invalid request. Request is malformed or invalid: the token_type '{kind}' is not \
                 supported."
            ),
        ));
    }
    if proof_of_possession && client.bound_to.is_none() {
        return Err(Refusal::plain(392_200));
    }
    let bound_to = client.bound_to.filter(|_| proof_of_possession);
    let grantee = Grantee {
        app: client.app,
        bound_to,
        object_id: client.object_id,
    };
    respond(&ask, &grantee, &requested, &resource)
}

/// The one resource that the v2 `scope` names.
fn requested_resource(ask: &TokenCall<'_>) -> Result<String, Refusal> {
    if ask.form.get("resource").is_some() {
        return Err(Refusal::plain(901_002));
    }
    let scope = ask.form.require("scope")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || " .-_:/".contains(c);
    if !scope.chars().all(plain) {
        return Err(Refusal::new(
            28_002,
            format!(
                "Provided value for the input parameter scope '{scope}' is not valid when \
                 requesting an access token. Please specify a valid scope."
            ),
        ));
    }
    let mut scopes = scope.split_ascii_whitespace();
    let (Some(one), None) = (scopes.next(), scopes.next()) else {
        return Err(Refusal::new(
            70_011,
            format!(
                "The provided request must include a 'scope' input parameter. The provided value \
                 for the input parameter 'scope' is not valid. The scope {scope} is not valid."
            ),
        ));
    };
    match one.strip_suffix(DEFAULT_SUFFIX) {
        Some(resource) if !resource.is_empty() => Ok(resource.to_owned()),
        _ => Err(Refusal::new(
            1_002_012,
            format!(
                "The provided value for scope {one} is not valid. Client credential flows must \
                 have a scope value with /.default suffixed to the resource identifier \
                 (application ID URI)."
            ),
        )),
    }
}

fn find_resource(ask: &TokenCall<'_>, requested: &str) -> Result<Resource, Refusal> {
    lock(&ask.world.registry).resource(requested).cloned().ok_or_else(|| {
        Refusal::new(
            500_011,
            format!(
                "The resource principal named {requested} was not found in the tenant named {}. \
                 This can happen if the application has not been installed by the administrator \
                 of the tenant or consented to by any user in the tenant. You might have sent your \
                 authentication request to the wrong tenant.",
                ask.tenant.id
            ),
        )
    })
}
