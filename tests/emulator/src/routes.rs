//! Which path means what.

use http::StatusCode;
use serde_json::Value;

use crate::errors::Refusal;
use crate::grant::Place;
use crate::journal::Findings;
use crate::reply::Reply;
use crate::request::{Call, Version};
use crate::world::World;
use crate::{authorize, discovery, generic, grant};

/// Where the workload issuer lives.
pub(crate) const ISSUER_PATH: &str = "issuer";

/// Answers a request that no fault took away.
pub(crate) fn answer(world: &World, call: &Call, found: &mut Findings) -> Reply {
    let result: Result<Value, Refusal> = match call.segments().as_slice() {
        ["common", "discovery", "instance"] => discovery::instance(world, call),
        [ISSUER_PATH, ".well-known", "openid-configuration"] => Ok(world.issuer.discovery()),
        [ISSUER_PATH, "openid", "v1", "jwks"] => Ok(world.issuer.jwks()),
        [generic::PATH, rest @ ..] => return generic::answer(world, call, rest, found),
        segments => match entra(call, segments) {
            Some((place, Endpoint::Token)) => grant::token(world, call, place.borrow(), found),
            Some((place, Endpoint::Authorize)) => {
                return authorize::answer(world, call, place.borrow(), found);
            }
            Some((place, Endpoint::Metadata)) => {
                discovery::openid_configuration(world, call, place.borrow())
            }
            Some((place, Endpoint::Keys)) => discovery::keys(world, call, place.borrow()),
            None => return Reply::text(StatusCode::NOT_FOUND, "text/plain", "no such page\n"),
        },
    };
    match result {
        Ok(value) => Reply::json(StatusCode::OK, &value),
        Err(refusal) => {
            found.aadsts = Some(refusal.code);
            let authority = world.identity.authority();
            let body = refusal.body(&authority, &call.trace_id, &call.correlation_id, call.now);
            Reply::json(refusal.status(), &body)
        }
    }
}

enum Endpoint {
    Authorize,
    Token,
    Metadata,
    Keys,
}

/// A [`Place`] that owns what a query has named.
struct Found<'a> {
    tenant: &'a str,
    version: Version,
    policy: Option<String>,
}

impl Found<'_> {
    fn borrow(&self) -> Place<'_> {
        Place {
            tenant: self.tenant,
            version: self.version,
            policy: self.policy.as_deref(),
        }
    }
}

/// A tenant's endpoint. A user flow of Azure AD B2C is in the path, as
/// Microsoft's libraries have it, or in the query, as others do.
fn entra<'a>(call: &Call, segments: &[&'a str]) -> Option<(Found<'a>, Endpoint)> {
    let (tenant, policy, rest) = match segments {
        ["tfp", tenant, policy, rest @ ..] => (tenant, Some(*policy), rest),
        [tenant, policy, rest @ ..] if is_policy(policy) => (tenant, Some(*policy), rest),
        [tenant, rest @ ..] => (tenant, None, rest),
        [] => return None,
    };
    let (version, endpoint) = match rest {
        ["oauth2", "v2.0", "token"] => (Version::V2, Endpoint::Token),
        ["oauth2", "token"] => (Version::V1, Endpoint::Token),
        ["oauth2", "v2.0", "authorize"] => (Version::V2, Endpoint::Authorize),
        ["oauth2", "authorize"] => (Version::V1, Endpoint::Authorize),
        ["v2.0", ".well-known", "openid-configuration"] => (Version::V2, Endpoint::Metadata),
        [".well-known", "openid-configuration"] => (Version::V1, Endpoint::Metadata),
        ["discovery", "v2.0", "keys"] => (Version::V2, Endpoint::Keys),
        ["discovery", "keys"] => (Version::V1, Endpoint::Keys),
        _ => return None,
    };
    let policy = policy.map(ToOwned::to_owned);
    let policy = policy.or_else(|| call.query_parameter("p").filter(|name| is_policy(name)));
    let found = Found {
        tenant,
        version,
        policy,
    };
    Some((found, endpoint))
}

/// Whether it is the name of a user flow, as all of them begin.
fn is_policy(name: &str) -> bool {
    name.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("b2c_"))
}
