//! Which path means what.

use http::StatusCode;
use serde_json::Value;

use crate::errors::Refusal;
use crate::journal::Findings;
use crate::reply::Reply;
use crate::request::{Call, Version};
use crate::world::World;
use crate::{discovery, grant};

/// Where the workload issuer lives.
pub(crate) const ISSUER_PATH: &str = "issuer";

/// Answers a request that no fault took away.
pub(crate) fn answer(world: &World, call: &Call, found: &mut Findings) -> Reply {
    let result: Result<Value, Refusal> = match call.segments().as_slice() {
        ["common", "discovery", "instance"] => discovery::instance(world, call),
        [ISSUER_PATH, ".well-known", "openid-configuration"] => Ok(world.issuer.discovery()),
        [ISSUER_PATH, "openid", "v1", "jwks"] => Ok(world.issuer.jwks()),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => {
            discovery::openid_configuration(world, call, tenant, Version::V2)
        }
        [tenant, ".well-known", "openid-configuration"] => {
            discovery::openid_configuration(world, call, tenant, Version::V1)
        }
        [tenant, "discovery", "v2.0", "keys"] | [tenant, "discovery", "keys"] => {
            discovery::keys(world, tenant)
        }
        [tenant, "oauth2", "v2.0", "token"] => {
            grant::token(world, call, tenant, Version::V2, found)
        }
        // a user flow of Azure AD B2C, as Microsoft's libraries address it
        ["tfp", tenant, _, "oauth2", "v2.0", "token"] => {
            grant::token(world, call, tenant, Version::V2, found)
        }
        [tenant, "oauth2", "token"] => grant::token(world, call, tenant, Version::V1, found),
        _ => return Reply::text(StatusCode::NOT_FOUND, "text/plain", "no such page\n"),
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
