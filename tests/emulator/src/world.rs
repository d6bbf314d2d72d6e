//! What every connection shares.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::faults::FaultQueue;
use crate::issuer::WorkloadIssuer;
use crate::journal::Journal;
use crate::keys::TokenKeys;
use crate::lock;
use crate::metadata::IssuedTokens;
use crate::pki::Pki;
use crate::platforms::Secrets;
use crate::proxy::Proxy;
use crate::registry::Registry;
use crate::services::TokenServices;
use crate::sessions::Sessions;
use crate::vault::Vault;

/// Everything behind the endpoints.
pub(crate) struct World {
    pub(crate) clock: Arc<Clock>,
    pub(crate) pki: Pki,
    pub(crate) keys: TokenKeys,
    pub(crate) issuer: WorkloadIssuer,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) settings: Mutex<Settings>,
    pub(crate) journal: Journal,
    pub(crate) faults: FaultQueue,
    pub(crate) replays: Replays,
    pub(crate) sessions: Sessions,
    pub(crate) metadata_tokens: IssuedTokens,
    pub(crate) platforms: Secrets,
    /// Port and certificate thumbprint of Service Fabric's place.
    pub(crate) fabric: Option<(u16, String)>,
    pub(crate) services: TokenServices,
    pub(crate) vault: Vault,
    /// The token proxy, if there is one.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) directory: Mutex<Option<Directory>>,
    pub(crate) identity: Identity,
    pub(crate) log: AtomicBool,
    pub(crate) open: OpenConnections,
}

/// The client certificates of the connections that are open.
#[derive(Default)]
pub(crate) struct OpenConnections(Mutex<BTreeMap<u64, String>>);

impl OpenConnections {
    /// Notes one until what is returned goes.
    pub(crate) fn note(world: &Arc<World>, number: u64, thumbprint: String) -> OpenConnection {
        lock(&world.open.0).insert(number, thumbprint);
        OpenConnection {
            world: Arc::clone(world),
            number,
        }
    }

    /// Their `x5t#S256`, one for each connection.
    pub(crate) fn thumbprints(&self) -> Vec<String> {
        lock(&self.0).values().cloned().collect()
    }
}

/// A connection that is open.
pub(crate) struct OpenConnection {
    world: Arc<World>,
    number: u64,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        lock(&self.world.open.0).remove(&self.number);
    }
}

/// Who and where the emulator is.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) port: u16,
    pub(crate) mtls_port: u16,
    /// Where the metadata service listens, if it does.
    pub(crate) metadata_port: Option<u16>,
    /// Where the token proxy listens, if it does.
    pub(crate) proxy_port: Option<u16>,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

impl Identity {
    /// `https://localhost:PORT`.
    pub(crate) fn authority(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// `http://127.0.0.1:PORT`, the base of the metadata service.
    pub(crate) fn metadata_authority(&self) -> Option<String> {
        self.metadata_port
            .map(|port| format!("http://127.0.0.1:{port}"))
    }

    /// The issuer of tokens that are another application's assertion.
    pub(crate) fn tenant_issuer(&self) -> String {
        format!("{}/{}/v2.0", self.authority(), self.tenant)
    }

    /// The mTLS host by Entra's rule: `login.` replaced by `mtlsauth.`.
    pub(crate) fn mtls_authority(&self) -> String {
        format!("https://mtlsauth.localhost:{}", self.port)
    }

    /// The listener whose handshake fails without a client certificate.
    pub(crate) fn strict_mtls_authority(&self) -> String {
        format!("https://localhost:{}", self.mtls_port)
    }
}

impl World {
    /// The published keys of `issuer`, as far as this server can know them.
    pub(crate) fn issuer_keys(&self, issuer: &str) -> Option<Value> {
        if issuer == self.issuer.url() {
            return Some(self.issuer.jwks());
        }
        let registry = lock(&self.registry);
        if let Some(jwks) = registry.issuer_keys(issuer) {
            return Some(jwks.clone());
        }
        if issuer == crate::generic::issuer(self) {
            return Some(self.keys.jwks(None));
        }
        // This server's own tenants: a managed identity as federated credential.
        let own = issuer.strip_prefix(&format!("{}/", self.identity.authority()))?;
        let tenant = own.strip_suffix("/v2.0")?;
        registry.tenant(tenant).map(|_| self.keys.jwks(None))
    }
}

/// What tests turn.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Life of access tokens in seconds.
    pub(crate) access_token_lifetime: i64,
    /// `refresh_in` of token responses.
    pub(crate) refresh_in: Option<i64>,
    /// Life of the tokens of managed identities in seconds.
    pub(crate) managed_identity_token_lifetime: i64,
    /// Whether a second use of an assertion's `jti` is refused.
    pub(crate) refuse_replay: bool,
    /// Who sits before every browser: signs in without a page.
    pub(crate) signed_in: Option<String>,
    /// Whether users consent to what they are asked for.
    pub(crate) users_consent: bool,
    /// Life of authorization codes in seconds.
    pub(crate) code_lifetime: i64,
    /// Seconds without use after which a refresh token has expired.
    pub(crate) refresh_token_lifetime: i64,
    /// Whether a refresh token counts once, as RFC 9700 section 4.14.2 has it; Entra's go on being valid.
    pub(crate) refresh_once: bool,
}

impl Default for Settings {
    fn default() -> Self {
        // Entra writes 3599 for an hour.
        Self {
            access_token_lifetime: 3_599,
            refresh_in: None,
            managed_identity_token_lifetime: 86_400,
            refuse_replay: true,
            signed_in: None,
            users_consent: true,
            code_lifetime: 600,
            refresh_token_lifetime: 90 * 86_400,
            refresh_once: false,
        }
    }
}

/// The assertions already used, until they expire.
#[derive(Default)]
pub(crate) struct Replays {
    seen: Mutex<BTreeMap<(String, String), i64>>,
}

impl Replays {
    /// Notes a use; false when it is not the first.
    pub(crate) fn first_use(&self, client: &str, jti: &str, expires: i64, now: i64) -> bool {
        let mut seen = lock(&self.seen);
        seen.retain(|_, until| *until >= now);
        seen.insert((client.to_ascii_lowercase(), jti.to_owned()), expires)
            .is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jti_is_used_once_per_client_until_it_expires() {
        let replays = Replays::default();
        assert!(replays.first_use("a", "1", 100, 0));
        assert!(!replays.first_use("A", "1", 100, 50));
        assert!(replays.first_use("b", "1", 100, 50));
        assert!(replays.first_use("a", "1", 300, 101));
    }
}
