//! Certificates whose private keys stay in the host: loaded from PEM, loaded again when they rotate, used to sign and to
//! authenticate connections.

mod pair;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use edgepass_core::{Algorithm, SecretBytes};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use tokio::sync::OnceCell;

pub(crate) use self::pair::{LoadError, SignError};
use self::pair::{Pair, SigningKey};
use crate::egress::{Egress, Pool};
use crate::files;
use crate::limits;

/// Where a certificate and its private key come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CertificateSource {
    /// PEM files, read again when they change.
    Files {
        /// The certificate chain, in any order.
        certificate: PathBuf,
        /// The private key; in the certificate's file if left out.
        private_key: Option<PathBuf>,
    },
    /// PEM text that the program already has.
    Pem {
        /// The certificate chain, in any order.
        certificate: SecretBytes,
        /// The private key; in the certificate's text if left out.
        private_key: Option<SecretBytes>,
    },
}

impl CertificateSource {
    /// PEM files, read again when they change. Without a key file the certificate's file holds the key as well.
    pub fn files(certificate: impl Into<PathBuf>, private_key: Option<PathBuf>) -> Self {
        Self::Files {
            certificate: certificate.into(),
            private_key,
        }
    }

    /// PEM text with chain and key in it.
    pub fn pem(text: impl Into<Vec<u8>>) -> Self {
        Self::Pem {
            certificate: SecretBytes::new(text),
            private_key: None,
        }
    }

    /// PEM text of the chain, and PEM text of the key.
    pub fn pem_pair(certificate: impl Into<Vec<u8>>, private_key: impl Into<Vec<u8>>) -> Self {
        Self::Pem {
            certificate: SecretBytes::new(certificate),
            private_key: Some(SecretBytes::new(private_key)),
        }
    }
}

/// The certificates of one host, by name.
pub(crate) struct Certificates(BTreeMap<String, Arc<Certificate>>);

impl Certificates {
    pub(crate) fn new(sources: BTreeMap<String, CertificateSource>) -> Self {
        let certificate = |name: &String, source| {
            Arc::new(Certificate {
                name: name.clone(),
                source,
                state: Mutex::new(State::default()),
            })
        };
        Self(
            sources
                .into_iter()
                .map(|(name, source)| (name.clone(), certificate(&name, source)))
                .collect(),
        )
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Certificate)> {
        self.0
            .iter()
            .map(|(name, certificate)| (name.as_str(), certificate.as_ref()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Certificate>> {
        self.0.get(name)
    }
}

/// One name, and the certificate behind it now.
pub(crate) struct Certificate {
    name: String,
    source: CertificateSource,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Snapshot>>,
    /// What the files looked like when `current` was read.
    stamps: Option<Stamps>,
    /// Since when the files do not make a usable pair.
    unusable_since: Option<Instant>,
}

impl Certificate {
    /// The certificate and key as they are now. Reads files: call it where blocking is allowed.
    ///
    /// Certificate and key are two files, and whoever replaces both does it one after the other. A key that is not the
    /// certificate's is never used: the pair is read again shortly, and meanwhile the previous one stays in use.
    pub(crate) fn current(&self) -> Result<Arc<Snapshot>, LoadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &state.current
            && state.stamps == self.stamps().ok()
        {
            return Ok(Arc::clone(current));
        }
        let attempts = if state.unusable_since.is_some() {
            1
        } else {
            limits::PAIR_READS
        };
        match self.load(attempts) {
            Ok((pair, stamps)) => {
                state.stamps = stamps;
                state.unusable_since = None;
                // files that were only written again are the same certificate, and keep their connections
                let same = state
                    .current
                    .as_ref()
                    .filter(|current| current.chain == pair.chain);
                let current =
                    same.map_or_else(|| Arc::new(Snapshot::new(&self.name, pair)), Arc::clone);
                state.current = Some(Arc::clone(&current));
                Ok(current)
            }
            Err(error) => {
                let since = *state.unusable_since.get_or_insert_with(Instant::now);
                match &state.current {
                    Some(previous) if since.elapsed() < limits::PAIR_GRACE => {
                        log::warn!(
                            "certificate {}: {error}; the previous certificate stays in use",
                            self.name
                        );
                        Ok(Arc::clone(previous))
                    }
                    _ => Err(error),
                }
            }
        }
    }

    fn load(&self, attempts: u32) -> Result<(Pair, Option<Stamps>), LoadError> {
        let mut attempt = 1;
        loop {
            // stamps from before reading: a change in between shows as one the next time
            let stamps = self.stamps().ok();
            match self.read() {
                Ok(pair) => return Ok((pair, stamps)),
                Err(error)
                    if attempt >= attempts
                        || matches!(self.source, CertificateSource::Pem { .. }) =>
                {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(limits::PAIR_READ_INTERVAL),
            }
            attempt += 1;
        }
    }

    fn read(&self) -> Result<Pair, LoadError> {
        match &self.source {
            CertificateSource::Files {
                certificate,
                private_key,
            } => {
                let read = |path: &Path| {
                    files::read_bounded(path, limits::PEM_FILE_BYTES).map_err(|cause| {
                        LoadError::Unreadable {
                            path: path.to_owned(),
                            cause,
                        }
                    })
                };
                let chain = read(certificate)?;
                let key = private_key.as_deref().map(read).transpose()?;
                let place = private_key
                    .as_ref()
                    .unwrap_or(certificate)
                    .display()
                    .to_string();
                Pair::parse(
                    &chain,
                    key.as_ref().unwrap_or(&chain),
                    &certificate.display().to_string(),
                    &place,
                )
            }
            CertificateSource::Pem {
                certificate,
                private_key,
            } => {
                let key = private_key.as_ref().unwrap_or(certificate);
                Pair::parse(
                    certificate.expose(),
                    key.expose(),
                    "the given PEM",
                    "the given PEM",
                )
            }
        }
    }

    fn stamps(&self) -> std::io::Result<Stamps> {
        let CertificateSource::Files {
            certificate,
            private_key,
        } = &self.source
        else {
            return Ok(Stamps::default());
        };
        let key = private_key.as_deref().map(Stamp::of).transpose()?;
        Ok(Stamps(Some(Stamp::of(certificate)?), key))
    }
}

/// One certificate and its key. It never changes: whoever signs with it and sends on it uses one key.
pub(crate) struct Snapshot {
    name: String,
    chain: Vec<CertificateDer<'static>>,
    certified: Arc<CertifiedKey>,
    signing: Option<SigningKey>,
    /// Its connections; they end with it.
    pool: OnceCell<Pool>,
}

impl Snapshot {
    fn new(name: &str, pair: Pair) -> Self {
        log::info!(
            "certificate {name}: {} in use",
            pair.chain
                .first()
                .map_or_else(String::new, |leaf| edgepass_core::sha256_hex(leaf))
        );
        Self {
            name: name.to_owned(),
            chain: pair.chain,
            certified: pair.certified,
            signing: pair.signing,
            pool: OnceCell::new(),
        }
    }

    /// The name that credentials use.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// DER, leaf first.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        self.chain
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect()
    }

    /// A JWS signature. Call it where blocking is allowed.
    pub(crate) fn sign(&self, algorithm: Algorithm, input: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = self.signing.as_ref().ok_or(SignError::Unsupported)?;
        key.sign(algorithm, input)
    }

    /// The connections that are authenticated with this certificate.
    pub(crate) async fn pool(&self, egress: &Egress) -> Result<&Pool, wasmtime_wasi_http::Error> {
        self.pool
            .get_or_try_init(|| egress.pool(Some(Arc::clone(&self.certified))))
            .await
    }
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

/// What two files looked like.
#[derive(Debug, Default, Eq, PartialEq)]
struct Stamps(Option<Stamp>, Option<Stamp>);

/// What tells a replaced file from the one before.
#[derive(Debug, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode,
        })
    }
}
