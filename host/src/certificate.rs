//! Certificates whose private keys stay out here: loaded from PEM, loaded again when they rotate, used to sign and to
//! authenticate connections.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use edgepass_core::{Algorithm, SecretBytes};
use jsonwebtoken::EncodingKey;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use tokio::sync::OnceCell;
use zeroize::Zeroize;

use crate::der;
use crate::egress::{Egress, Pool};
use crate::files::{self, FileError};
use crate::limits;

/// Where a certificate and its private key come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CertificateSource {
    /// PEM files, read again when they change.
    Files {
        /// The certificate chain, leaf first.
        certificate: PathBuf,
        /// The private key; in the certificate's file if left out.
        private_key: Option<PathBuf>,
    },
    /// PEM text that the program already has.
    Pem {
        /// The certificate chain, leaf first.
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

/// The identities of one host, by name.
pub(crate) struct Identities(BTreeMap<String, Arc<Identity>>);

impl Identities {
    pub(crate) fn new(sources: BTreeMap<String, CertificateSource>) -> Self {
        let identity = |name: &String, source| {
            Arc::new(Identity {
                name: name.clone(),
                source,
                state: Mutex::new(State::default()),
            })
        };
        Self(
            sources
                .into_iter()
                .map(|(name, source)| (name.clone(), identity(&name, source)))
                .collect(),
        )
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Identity)> {
        self.0
            .iter()
            .map(|(name, identity)| (name.as_str(), identity.as_ref()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Identity>> {
        self.0.get(name)
    }
}

/// One name, and the certificate behind it now.
pub(crate) struct Identity {
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

impl Identity {
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
                            "identity {}: {error}; the previous certificate stays in use",
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
            "identity {name}: certificate {} in use",
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

    /// DER, leaf first.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        self.chain
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect()
    }

    /// A JWS signature (RFC 7518 section 3). Takes a third of a millisecond with RSA: call it where blocking is
    /// allowed.
    pub(crate) fn sign(&self, algorithm: Algorithm, input: &[u8]) -> Result<Vec<u8>, SignError> {
        let (key, algorithm) = match (&self.signing, algorithm) {
            (Some(SigningKey::Rsa(key)), Algorithm::Ps256) => (key, jsonwebtoken::Algorithm::PS256),
            (Some(SigningKey::Rsa(key)), Algorithm::Rs256) => (key, jsonwebtoken::Algorithm::RS256),
            (Some(SigningKey::P256(key)), Algorithm::Es256) => {
                (key, jsonwebtoken::Algorithm::ES256)
            }
            _ => return Err(SignError::Unsupported),
        };
        let encoded = jsonwebtoken::crypto::sign(input, key, algorithm)
            .map_err(|e| SignError::Failed(e.to_string()))?;
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, encoded)
            .map_err(|e| SignError::Failed(e.to_string()))
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

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: FileError },
    /// There is no certificate.
    #[error("there is no PEM certificate in {place}")]
    NoCertificate { place: String },
    /// There is no key.
    #[error("there is no PEM private key in {place}")]
    NoKey { place: String },
    /// The key wants a password.
    #[error(
        "the private key in {place} is encrypted, which is not supported: write it without a password, and protect the \
         file by its permissions"
    )]
    Encrypted { place: String },
    /// PEM or DER that does not parse, or a kind of key that nobody knows.
    #[error("the content of {place} cannot be used: {reason}")]
    Malformed { place: String, reason: String },
    /// They are of different pairs.
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    Mismatch { certificate: String, key: String },
}

/// Why there is no signature.
#[derive(Debug)]
pub(crate) enum SignError {
    /// The key cannot do that algorithm.
    Unsupported,
    /// The cryptographic library refused.
    Failed(String),
}

/// A certificate and the key that belongs to it.
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    certified: Arc<CertifiedKey>,
    signing: Option<SigningKey>,
}

impl Pair {
    fn parse(
        chain: &[u8],
        key: &[u8],
        chain_place: &str,
        key_place: &str,
    ) -> Result<Self, LoadError> {
        let malformed = |place: &str, reason: String| LoadError::Malformed {
            place: place.to_owned(),
            reason,
        };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| malformed(chain_place, pem_reason(&e)))?;
        if chain.is_empty() {
            return Err(LoadError::NoCertificate {
                place: chain_place.to_owned(),
            });
        }
        let mut der = match PrivateKeyDer::from_pem_slice(key) {
            Ok(der) => der,
            Err(pem::Error::NoItemsFound) if is_encrypted(key) => {
                return Err(LoadError::Encrypted {
                    place: key_place.to_owned(),
                });
            }
            Err(pem::Error::NoItemsFound) => {
                return Err(LoadError::NoKey {
                    place: key_place.to_owned(),
                });
            }
            Err(e) => return Err(malformed(key_place, pem_reason(&e))),
        };
        let tls = any_supported_type(&der);
        let signing = SigningKey::from_der(&der);
        der.zeroize();
        let tls = tls.map_err(|e| malformed(key_place, e.to_string()))?;
        let certified = CertifiedKey::new(chain.clone(), tls);
        match certified.keys_match() {
            Ok(()) => Ok(Self {
                chain,
                certified: Arc::new(certified),
                signing,
            }),
            Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(LoadError::Mismatch {
                    certificate: chain_place.to_owned(),
                    key: key_place.to_owned(),
                })
            }
            Err(e) => Err(malformed(chain_place, e.to_string())),
        }
    }
}

/// A key that signs assertions. Any other kind still authenticates connections.
enum SigningKey {
    Rsa(EncodingKey),
    P256(EncodingKey),
}

impl SigningKey {
    fn from_der(der: &PrivateKeyDer<'_>) -> Option<Self> {
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING as P256, EcdsaKeyPair, RsaKeyPair,
        };

        match der {
            PrivateKeyDer::Pkcs1(key) => {
                Some(Self::Rsa(EncodingKey::from_rsa_der(key.secret_pkcs1_der())))
            }
            PrivateKeyDer::Sec1(key) => {
                let pair = EcdsaKeyPair::from_private_key_der(&P256, key.secret_sec1_der()).ok()?;
                let pkcs8 = pair.to_pkcs8v1().ok()?;
                Some(Self::P256(EncodingKey::from_ec_der(pkcs8.as_ref())))
            }
            PrivateKeyDer::Pkcs8(key) => {
                let der = key.secret_pkcs8_der();
                if EcdsaKeyPair::from_pkcs8(&P256, der).is_ok() {
                    return Some(Self::P256(EncodingKey::from_ec_der(der)));
                }
                RsaKeyPair::from_pkcs8(der).ok()?;
                Some(Self::Rsa(EncodingKey::from_rsa_der(
                    der::pkcs8_private_key(der)?,
                )))
            }
            _ => None,
        }
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED";
    pem.windows(MARK.len()).any(|window| window == MARK)
}

/// Without the content, which may be a key's.
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a PEM section begins in a wrong way".to_owned(),
        pem::Error::Base64Decode(_) => "the base64 of a PEM section is wrong".to_owned(),
        _ => "it is not PEM".to_owned(),
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
