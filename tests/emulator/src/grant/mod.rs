//! The token endpoint: what every request must have, then its grant.

mod authorization_code;
mod client_credentials;
mod delegated;
mod on_behalf_of;
mod refresh_token;
mod user_fic;

use http::Method;
use serde_json::Value;

use crate::encoding::is_guid;
use crate::errors::Refusal;
use crate::journal::Findings;
use crate::lock;
use crate::registry::Tenant;
use crate::request::{Call, Fields, Form, TokenCall, Version, parse_claims};
use crate::world::World;

/// Tenant names that stand for more than one directory.
const SHARED_TENANTS: &[&str] = &["common", "organizations", "consumers"];

/// The grant of RFC 7523 section 2.1.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Answers a token request.
pub(crate) fn token(
    world: &World,
    call: &Call,
    place: Place<'_>,
    found: &mut Findings,
) -> Result<Value, Refusal> {
    let form = posted_form(call)?;
    let grant = form.require("grant_type")?.to_owned();
    let tenant = tenant_of_grant(world, place.tenant, &grant, &form)?;
    found.claims = parse_claims(&form)?;
    let ask = TokenCall {
        world,
        call,
        tenant: &tenant,
        version: place.version,
        policy: place.policy.map(ToOwned::to_owned),
        form,
        found,
    };
    match grant.as_str() {
        "client_credentials" => client_credentials::answer(ask),
        "authorization_code" => authorization_code::redeem(ask),
        "refresh_token" => refresh_token::redeem(ask),
        JWT_BEARER => on_behalf_of::exchange(ask),
        "user_fic" => user_fic::exchange(ask),
        _ => Err(Refusal::new(
            70_003,
            format!("The app requested an unsupported grant type '{grant}'."),
        )),
    }
}

/// Which endpoint a path means.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) version: Version,
    /// The user flow of Azure AD B2C.
    pub(crate) policy: Option<&'a str>,
}

/// The form of a token request.
fn posted_form(call: &Call) -> Result<Form, Refusal> {
    posted_form_but(call, &[]).map(|(form, _)| form)
}

/// The same, and apart from it those fields, which may be there several times.
pub(crate) fn posted_form_but(call: &Call, repeated: &[&str]) -> Result<(Form, Fields), Refusal> {
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
    Form::parse_but(&call.body, repeated)
}

/// The tenant of a request: of a name that stands for several it is the
/// user's, whom some grants tell.
fn tenant_of_grant(world: &World, name: &str, grant: &str, form: &Form) -> Result<Tenant, Refusal> {
    let field = match grant {
        "authorization_code" => "code",
        "refresh_token" => "refresh_token",
        _ => return find_tenant(world, name),
    };
    if !is_shared(name) {
        return find_tenant(world, name);
    }
    let of_user = form
        .get(field)
        .and_then(|text| world.sessions.tenant_of(text));
    let of_user = of_user.unwrap_or_else(|| world.identity.tenant.clone());
    find_tenant(world, &of_user)
}

/// Whether a name stands for the tenants of several users.
pub(crate) fn is_shared(name: &str) -> bool {
    let mut shared = SHARED_TENANTS.iter();
    shared.any(|shared| shared.eq_ignore_ascii_case(name))
}

/// The one tenant that a path must name.
fn find_tenant(world: &World, name: &str) -> Result<Tenant, Refusal> {
    if is_shared(name) {
        return Err(Refusal::plain(9_001_023));
    }
    tenant_named(world, name)
}

/// The tenant with that ID or domain.
pub(crate) fn tenant_named(world: &World, name: &str) -> Result<Tenant, Refusal> {
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
