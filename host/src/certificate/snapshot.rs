//! A certificate and its key as they were read once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

#[cfg(feature = "tower")]
use base64::Engine as _;
use edgepass_core::{Algorithm, Issuance};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::key_vault::Remote;
use super::pair::{Pair, SignError, SigningKey, Validity};
use crate::egress::{Egress, Pool, PoolCell};

/// One certificate and its key. It never changes: whoever signs with it and sends on it uses one key.
pub(crate) struct Snapshot {
    name: String,
    /// Empty if there is a key alone.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) public_key: Vec<u8>,
    certified: Option<Arc<CertifiedKey>>,
    signing: Option<SigningKey>,
    validity: Option<Validity>,
    /// What of its files is not used.
    unused: Vec<String>,
    /// Its connections; they end with it.
    pool: PoolCell,
    /// What the platform said that issued it.
    issuance: Option<Issuance>,
    /// Its key, if that does not leave the vault.
    remote: Option<Remote>,
    /// A server has ended a handshake in which it was shown.
    refused: AtomicBool,
}

impl Snapshot {
    pub(super) fn new(name: &str, pair: Pair) -> Self {
        let digest = |bytes: &[u8]| edgepass_core::sha256_hex(bytes);
        match pair.chain.first() {
            Some(leaf) => log::info!("certificate {name}: {} in use", digest(leaf)),
            None => log::info!("private key {name}: {} in use", digest(&pair.public_key)),
        }
        for unused in &pair.unused {
            log::warn!("certificate {name}: {unused}");
        }
        Self {
            name: name.to_owned(),
            validity: pair.chain.first().and_then(|leaf| Validity::of(leaf)),
            unused: pair.unused,
            chain: pair.chain,
            public_key: pair.public_key,
            certified: pair.certified,
            signing: pair.signing,
            pool: PoolCell::default(),
            issuance: None,
            remote: None,
            refused: AtomicBool::new(false),
        }
    }

    /// One that a platform has issued.
    pub(super) fn issued(name: &str, pair: Pair, issuance: Issuance) -> Self {
        Self {
            issuance: Some(issuance),
            ..Self::new(name, pair)
        }
    }

    /// One whose key does not leave its vault.
    pub(super) fn in_a_vault(name: &str, pair: Pair, remote: Remote) -> Self {
        Self {
            remote: Some(remote),
            ..Self::new(name, pair)
        }
    }

    /// What the platform said that issued it.
    pub(crate) fn issuance(&self) -> Option<&Issuance> {
        self.issuance.as_ref()
    }

    /// Takes in why a request on one of its connections has failed.
    pub(crate) fn note(&self, error: &wasmtime_wasi_http::Error) {
        use wasmtime_wasi_http::Error as E;

        if matches!(
            error,
            E::TlsAlertReceived { .. }
                | E::TlsProtocolError
                | E::TlsCertificateError
                | E::ConnectionTerminated
        ) || matches!(error, E::InternalError(Some(reason)) if reason.starts_with("tls-handshake"))
        {
            self.refused.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The name that credentials use.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Why no server will accept it now, if its dates say so. It is used all the same: the server's clock counts.
    pub(crate) fn over(&self) -> Option<String> {
        let over = self.validity?.over(since_epoch())?;
        Some(format!("certificate {} {over}", self.name))
    }

    /// What people should know of it: its dates, and what of its files is not used.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let ending = self
            .validity
            .and_then(|validity| validity.ending(since_epoch()));
        let ending = ending.map(|ending| format!("certificate {} {ending}", self.name));
        let unused = self.unused.iter();
        let unused = unused.map(|unused| format!("certificate {}: {unused}", self.name));
        self.over()
            .into_iter()
            .chain(ending)
            .chain(unused)
            .collect()
    }

    /// DER, leaf first.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        self.chain
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect()
    }

    /// `x5t#S256` (RFC 8705 section 3.1).
    #[cfg(feature = "tower")]
    pub(crate) fn thumbprint(&self) -> Option<String> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.chain.first()?);
        Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest))
    }

    /// What shows it on connections.
    #[cfg(feature = "tower")]
    pub(crate) fn certified(&self) -> Option<Arc<CertifiedKey>> {
        self.certified.clone()
    }

    /// A JWS signature.
    pub(crate) async fn sign(
        self: Arc<Self>,
        algorithm: Algorithm,
        input: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        if let Some(remote) = &self.remote {
            return remote.sign(algorithm, &input).await;
        }
        let signed = tokio::task::spawn_blocking(move || {
            let key = self.signing.as_ref().ok_or(SignError::Unsupported)?;
            key.sign(algorithm, &input)
        });
        let failed = |e: tokio::task::JoinError| SignError::Failed(e.to_string());
        signed.await.map_err(failed)?
    }

    /// The connections that are authenticated with this certificate.
    pub(crate) async fn pool(&self, egress: &Egress) -> Result<Pool, wasmtime_wasi_http::Error> {
        let Some(certified) = &self.certified else {
            let what = match &self.remote {
                Some(_) => {
                    "has a key that does not leave its Key Vault (`exportable` of its policy is false)"
                }
                None => "is a private key without a certificate",
            };
            // never a connection without the certificate that was asked for
            return Err(wasmtime_wasi_http::Error::InternalError(Some(format!(
                "{} {what}, which authenticates no connection",
                self.name
            ))));
        };
        egress.pool(&self.pool, Some(certified)).await
    }
}

fn since_epoch() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What the component's handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Opened(pub(crate) Arc<Snapshot>);

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
