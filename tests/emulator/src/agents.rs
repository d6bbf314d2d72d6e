//! Agent identities: applications without a credential of their own, for which
//! their blueprint vouches.

use crate::encoding::{base64url, guid_bytes};
use crate::metadata::TOKEN_EXCHANGE;
use crate::registry::{App, FederatedCredential};

/// How the subjects begin of tokens about what an application vouches for.
pub(crate) const PATH: &str = "/eid1/c/pub/t/";

/// The subject of the token by which a blueprint vouches for an agent
/// identity.
pub(crate) fn agent_subject(tenant: &str, blueprint: &str, agent: &str) -> String {
    let short = |guid: &str| base64url(&guid_bytes(guid));
    format!("{PATH}{}/a/{}/{agent}", short(tenant), short(blueprint))
}

/// What an agent identity trusts: its blueprint's word, in the tenant whose
/// issuer that is.
pub(crate) fn credential(app: &App, tenant: &str, issuer: String) -> Option<FederatedCredential> {
    let blueprint = app.agent_of.as_ref()?;
    Some(FederatedCredential {
        issuer,
        subject: agent_subject(tenant, blueprint, &app.client_id),
        audience: TOKEN_EXCHANGE.to_owned(),
    })
}
