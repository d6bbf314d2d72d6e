//! The token endpoint: what every request must have, then its grant.

mod client_credentials;

use http::Method;
use serde_json::Value;

use crate::encoding::is_guid;
use crate::errors::Refusal;
use crate::journal::Findings;
use crate::lock;
use crate::registry::Tenant;
use crate::request::{Call, Form, TokenCall, Version, parse_claims};
use crate::world::World;

/// Tenant names that stand for more than one directory.
const SHARED_TENANTS: &[&str] = &["common", "organizations", "consumers"];

/// Answers a token request.
pub(crate) fn token(
    world: &World,
    call: &Call,
    tenant: &str,
    version: Version,
    found: &mut Findings,
) -> Result<Value, Refusal> {
    if call.method != Method::POST {
        return Err(Refusal::new(
            900_561,
            format!(
                "The endpoint only accepts POST requests. Received a {} request.",
                call.method
            ),
        ));
    }
    let content_type = call.header("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        // Entra looks for fields in a form and finds none.
        return Err(Refusal::missing("grant_type"));
    }
    let form = Form::parse(&call.body)?;
    let grant = form.require("grant_type")?.to_owned();
    let tenant = find_tenant(world, tenant)?;
    found.claims = parse_claims(&form)?;
    let ask = TokenCall {
        world,
        call,
        tenant: &tenant,
        version,
        form,
        found,
    };
    match grant.as_str() {
        "client_credentials" => client_credentials::answer(ask),
        _ => Err(Refusal::new(
            70_003,
            format!("The app requested an unsupported grant type '{grant}'."),
        )),
    }
}

/// The tenant named in a path.
pub(crate) fn find_tenant(world: &World, name: &str) -> Result<Tenant, Refusal> {
    if SHARED_TENANTS
        .iter()
        .any(|shared| shared.eq_ignore_ascii_case(name))
    {
        return Err(Refusal::plain(9_001_023));
    }
    if let Some(tenant) = lock(&world.registry).tenant(name) {
        return Ok(tenant.clone());
    }
    if is_guid(name) || is_domain(name) {
        return Err(Refusal::new(
            90_002,
            format!(
                "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and \
                 are signing into the correct cloud. Check with your subscription administrator, \
                 this may happen if there are no active subscriptions for the tenant."
            ),
        ));
    }
    Err(Refusal::new(
        900_023,
        format!(
            "Specified tenant identifier '{name}' is neither a valid DNS name, nor a valid \
             external domain."
        ),
    ))
}

fn is_domain(name: &str) -> bool {
    name.contains('.')
        && name.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}
