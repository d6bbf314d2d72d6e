//! The client credentials grant.

use serde_json::Value;

use crate::agents::agent_subject;
use crate::errors::Refusal;
use crate::metadata::TOKEN_EXCHANGE;
use crate::request::{TokenCall, Version};
use crate::scopes::{check_characters, find_resource};
use crate::token::{Grantee, binding, respond};
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
    let resource = find_resource(ask.world, &ask.tenant.id, &requested)?;
    let bound_to = binding(&ask, &client)?;
    let exchange = requested.eq_ignore_ascii_case(TOKEN_EXCHANGE);
    let path = match ask.form.get("fmi_path") {
        // the first leg of an agent identity: a token about it
        Some(agent) if client.app.blueprint && exchange => {
            Some(agent_subject(&ask.tenant.id, &client.app.client_id, agent))
        }
        Some(_) => {
            return Err(Refusal::new(
                9_002_313,
                "Invalid request. Request is malformed or invalid: 'fmi_path' is for a blueprint of agent identities that asks for a token of api://AzureADTokenExchange.",
            ));
        }
        None if client.app.blueprint && exchange => return Err(Refusal::plain(82_008)),
        None => None,
    };
    let grantee = Grantee {
        app: client.app,
        bound_to,
        object_id: client.object_id,
    };
    respond(&ask, &grantee, &requested, &resource, path.as_deref())
}

/// The one resource that the v2 `scope` names.
fn requested_resource(ask: &TokenCall<'_>) -> Result<String, Refusal> {
    if ask.form.get("resource").is_some() {
        return Err(Refusal::plain(901_002));
    }
    let scope = ask.form.require("scope")?;
    check_characters(scope)?;
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
