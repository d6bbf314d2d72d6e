//! Certificates whose private keys stay in the host: loaded from PEM or PKCS#12, loaded again when they rotate, used to
//! sign and to authenticate connections.

mod csr;
pub(crate) mod inline;
mod issued;
mod key_vault;
mod pair;
mod pkcs12;
#[cfg(unix)]
mod svid;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use edgepass_core::config::{CertificateFiles, KeyVaultFile};
use edgepass_core::needs::IssuedCertificateNeed;
use edgepass_core::{Algorithm, Environment, Issuance, Secret, SecretBytes};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use self::issued::Issued;
use self::key_vault::{KeyVault, Remote};
use self::pair::{Given, Life, Pair, SigningKey};
pub(crate) use self::pair::{LoadError, SignError};
#[cfg(unix)]
use self::svid::Workload;
use crate::egress::{Egress, Pool, PoolCell};
use crate::files::{self, Stamp};
use crate::instance::OwnCalls;
use crate::limits;

/// Where a certificate and its private key come from, or a private key alone: files, which are read again when they
/// change, or what the program already has. Certificates are PEM or PKCS#12 (PFX), keys PEM: PKCS#8, PKCS#1 or SEC 1.
#[derive(Clone, Debug)]
pub struct CertificateSource {
    certificate: Option<Content>,
    /// In the certificate's content if there is none.
    private_key: Option<Content>,
    password: Option<Password>,
    /// In the place of all that.
    workload_api: Option<(PathBuf, Option<String>)>,
}

#[derive(Clone, Debug)]
enum Content {
    File(PathBuf),
    Given(SecretBytes),
    /// Of a file.
    Base64(Secret),
}

impl CertificateSource {
    /// Files with the chain, in any order, and the key. Without a key file the certificate's file holds the key as well.
    pub fn files(certificate: impl Into<PathBuf>, private_key: Option<PathBuf>) -> Self {
        Self {
            certificate: Some(Content::File(certificate.into())),
            private_key: private_key.map(Content::File),
            ..Self::none()
        }
    }

    /// A file with a private key alone: for credentials that name their key by `kid`.
    pub fn key_file(private_key: impl Into<PathBuf>) -> Self {
        Self {
            private_key: Some(Content::File(private_key.into())),
            ..Self::none()
        }
    }

    /// PEM text with chain and key in it.
    pub fn pem(text: impl Into<Vec<u8>>) -> Self {
        Self::given(text.into())
    }

    /// PEM text of the chain, and PEM text of the key.
    pub fn pem_pair(certificate: impl Into<Vec<u8>>, private_key: impl Into<Vec<u8>>) -> Self {
        Self {
            private_key: Some(Content::Given(SecretBytes::new(private_key))),
            ..Self::given(certificate.into())
        }
    }

    /// PEM text of a private key alone.
    pub fn key_pem(private_key: impl Into<Vec<u8>>) -> Self {
        Self {
            private_key: Some(Content::Given(SecretBytes::new(private_key))),
            ..Self::none()
        }
    }

    /// The bytes of a PKCS#12 (PFX) file with chain and key in it.
    pub fn pkcs12(bytes: impl Into<Vec<u8>>, password: Password) -> Self {
        Self::given(bytes.into()).with_password(password)
    }

    /// Base64 of a PEM or PKCS#12 file with chain and key in it.
    pub fn base64(text: impl Into<Secret>) -> Self {
        Self {
            certificate: Some(Content::Base64(text.into())),
            ..Self::none()
        }
    }

    /// The X.509-SVID that the SPIFFE Workload API at that Unix socket gives this process: of that SPIFFE ID, or else its
    /// default one. The next is used when the agent sends it. On systems without such sockets there is none.
    pub fn workload_api(socket: impl Into<PathBuf>, spiffe_id: Option<String>) -> Self {
        Self {
            workload_api: Some((socket.into(), spiffe_id)),
            ..Self::none()
        }
    }

    /// The same with the password of its key or PKCS#12 file.
    #[must_use]
    pub fn with_password(mut self, password: Password) -> Self {
        self.password = Some(password);
        self
    }

    /// What a configuration names.
    pub(crate) fn configured(files: &CertificateFiles, environment: &Environment) -> Self {
        if let Some(socket) = files.workload_api() {
            return Self::workload_api(socket, files.spiffe_id.clone());
        }
        let private_key = files
            .private_key_file
            .as_ref()
            .map(|path| Content::File(path.into()));
        let certificate = match &files.certificate_base64 {
            Some(text) => Some(Content::Base64(text.clone())),
            None => Some(&files.certificate_file)
                .filter(|path| !path.is_empty())
                .map(|path| Content::File(path.into())),
        };
        let by_variable = || {
            let name = files.password_env.as_ref()?;
            Some(Password(match environment.get(name) {
                Some(value) => Place::Value(Secret::new(value)),
                None => Place::Unset,
            }))
        };
        let by_file = files.password_file.as_ref().map(Password::file);
        Self {
            certificate,
            private_key,
            password: by_file.or_else(by_variable),
            workload_api: None,
        }
    }

    fn given(bytes: Vec<u8>) -> Self {
        Self {
            certificate: Some(Content::Given(SecretBytes::new(bytes))),
            ..Self::none()
        }
    }

    fn none() -> Self {
        Self {
            certificate: None,
            private_key: None,
            password: None,
            workload_api: None,
        }
    }

    /// All files, so that a change of one is seen.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let contents = [&self.certificate, &self.private_key].into_iter().flatten();
        let files = contents.filter_map(|content| match content {
            Content::File(path) => Some(path.as_path()),
            Content::Given(_) | Content::Base64(_) => None,
        });
        files.chain(self.password.iter().filter_map(Password::path))
    }

    /// The same with the folder of a Kubernetes volume that certificate and key are links into now: what is read of it
    /// is of one generation. The kubelet swaps a link, and removes the folder before.
    fn of_one_generation(&self) -> Self {
        let mut out = self.clone();
        if let (Some(Content::File(certificate)), Some(Content::File(key))) =
            (&self.certificate, &self.private_key)
            && let Some(folder) = certificate.parent()
            && key.parent() == Some(folder)
            && let Ok(now) = std::fs::canonicalize(folder.join("..data"))
        {
            let inside = |path: &Path| path.file_name().map(|name| Content::File(now.join(name)));
            (out.certificate, out.private_key) = (inside(certificate), inside(key));
        }
        out
    }
}

/// The password of a key or of a PKCS#12 file.
#[derive(Clone, Debug)]
pub struct Password(Place);

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Value(Secret),
    /// A variable that is not set.
    Unset,
}

impl Password {
    /// In a file, which is read again when it changes. Line ends at its end are no part of it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// This one.
    pub fn value(password: impl Into<Secret>) -> Self {
        Self(Place::Value(password.into()))
    }

    fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Value(_) | Place::Unset => None,
        }
    }

    fn read(&self) -> Result<Secret, LoadError> {
        match &self.0 {
            Place::Value(password) => Ok(password.clone()),
            // a password may stand where the variable's name belongs
            Place::Unset => Err(LoadError::NoPassword {
                reason: "password_env names an environment variable that is not set; it takes the variable's name, not the password".to_owned(),
            }),
            Place::File(path) => {
                files::read_password(path).map_err(|reason| LoadError::NoPassword {
                    reason: format!(
                        "{} (password_file) cannot be read: {reason}",
                        path.display()
                    ),
                })
            }
        }
    }
}

/// The certificates of one host, by name.
pub(crate) struct Certificates {
    kept: BTreeMap<String, Arc<Certificate>>,
    /// Those that platforms issue.
    issued: BTreeMap<String, Issued>,
    /// Those that agents of SPIFFE give.
    #[cfg(unix)]
    workloads: BTreeMap<String, Workload>,
    /// Those that vaults keep.
    vaults: BTreeMap<String, Arc<KeyVault>>,
    /// Who gives tokens for the vaults.
    tokens: Arc<OnceLock<OwnCalls>>,
}

impl Certificates {
    /// `vaults` are asked by that egress.
    pub(crate) fn new(
        mut sources: BTreeMap<String, CertificateSource>,
        issued: Vec<IssuedCertificateNeed>,
        vaults: BTreeMap<String, KeyVaultFile>,
        to_vaults: Egress,
    ) -> Self {
        let (tokens, to_vaults) = (Arc::default(), Arc::new(to_vaults));
        let vault = |(name, file): (String, KeyVaultFile)| {
            let vault = KeyVault::new(&name, file, Arc::clone(&to_vaults), Arc::clone(&tokens));
            (name, Arc::new(vault))
        };
        let vaults = vaults.into_iter().map(vault).collect();
        #[cfg(unix)]
        let workloads = sources
            .extract_if(.., |_, source| source.workload_api.is_some())
            .filter_map(|(name, source)| {
                let (socket, id) = source.workload_api?;
                let workload = Workload::new(&name, &socket.to_string_lossy(), id.as_deref());
                Some((name, workload))
            })
            .collect();
        let certificate = |name: &String, source| {
            Arc::new(Certificate {
                name: name.clone(),
                source,
                state: Mutex::new(State::default()),
            })
        };
        let issued = issued.into_iter();
        Self {
            kept: sources
                .into_iter()
                .map(|(name, source)| (name.clone(), certificate(&name, source)))
                .collect(),
            issued: issued
                .map(|need| (need.name.clone(), Issued::new(need)))
                .collect(),
            #[cfg(unix)]
            workloads,
            vaults,
            tokens,
        }
    }

    /// Says who gives tokens for the vaults: the component, which runs only after what it may reach is there.
    pub(crate) fn serve(&self, tokens: OwnCalls) {
        // once: a host has one component
        let _ = self.tokens.set(tokens);
    }

    /// What is named for one and is not there now, and what is doubtful of those that are, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        let kept = self
            .kept
            .iter()
            .flat_map(|(name, certificate)| match certificate.current() {
                Ok(current) => current.doubts(),
                Err(error) => vec![format!("certificate {name} cannot be used now: {error}")],
            });
        #[cfg(unix)]
        let workloads = self.workloads.iter().filter_map(|(name, workload)| {
            let socket = workload.socket();
            let error = std::fs::metadata(socket).err()?;
            Some(format!(
                "{socket} of certificate {name} cannot be used now: {error}"
            ))
        });
        #[cfg(not(unix))]
        let workloads = std::iter::empty();
        kept.chain(workloads).collect()
    }

    /// Why no server will accept the one of that name now, if its dates say so. Reads files.
    pub(crate) fn over(&self, name: &str) -> Option<String> {
        match (self.kept.get(name), self.vaults.get(name)) {
            (Some(certificate), _) => certificate.current().ok()?.over(),
            (None, Some(vault)) => vault.snapshot()?.over(),
            (None, None) => None,
        }
    }

    /// The one of that name as it is now, if there is one of that name.
    pub(crate) async fn open(&self, name: &str) -> Option<Result<Arc<Snapshot>, OpenError>> {
        if let Some(certificate) = self.kept.get(name).map(Arc::clone) {
            let opened = tokio::task::spawn_blocking(move || certificate.current()).await;
            return Some(match opened {
                Ok(current) => current.map_err(|e| OpenError::Unavailable(e.to_string())),
                Err(e) => Err(OpenError::Temporary(e.to_string())),
            });
        }
        #[cfg(unix)]
        if let Some(workload) = self.workloads.get(name) {
            return Some(workload.current().await);
        }
        if let Some(vault) = self.vaults.get(name).map(Arc::clone) {
            return Some(vault.current().await);
        }
        match self.issued.get(name) {
            Some(issued) => Some(issued.current().await),
            None => None,
        }
    }
}

/// Why a certificate cannot be opened, in words.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0}")]
    Unavailable(String),
    /// The same may be had in a moment.
    #[error("{0}")]
    Temporary(String),
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
                let same = state.current.as_ref().filter(|current| {
                    current.chain == pair.chain && current.public_key == pair.public_key
                });
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
                        || error.is_dear()
                        || self.source.paths().next().is_none() =>
                {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(limits::PAIR_READ_INTERVAL),
            }
            attempt += 1;
        }
    }

    fn read(&self) -> Result<Pair, LoadError> {
        if let Some((socket, _)) = &self.source.workload_api {
            return Err(LoadError::Malformed {
                place: socket.display().to_string(),
                reason: "this system has no Workload API on Unix sockets".to_owned(),
            });
        }
        let source = self.source.of_one_generation();
        let certificate = source.certificate.as_ref().map(Read::of).transpose()?;
        let private_key = source.private_key.as_ref().map(Read::of).transpose()?;
        let password = source.password.as_ref().map(Password::read).transpose()?;
        let password = password.as_ref().map(Secret::expose);
        match (&certificate, &private_key) {
            (Some(certificate), key) => {
                Pair::parse(certificate.given(), key.as_ref().map(Read::given), password)
            }
            (None, Some(key)) => Pair::key_alone(key.given(), password),
            // no constructor makes one
            (None, None) => Err(LoadError::NotBase64),
        }
    }

    fn stamps(&self) -> std::io::Result<Stamps> {
        self.source.paths().map(Stamp::of).collect()
    }
}

/// What was read, and what errors call it.
struct Read {
    place: String,
    bytes: Zeroizing<Vec<u8>>,
}

impl Read {
    fn of(content: &Content) -> Result<Self, LoadError> {
        Ok(match content {
            Content::File(path) => Self {
                place: path.display().to_string(),
                bytes: files::read_bounded(path, limits::PEM_FILE_BYTES).map_err(|cause| {
                    LoadError::Unreadable {
                        path: path.clone(),
                        cause,
                    }
                })?,
            },
            Content::Given(bytes) => Self {
                place: "the given PEM or PKCS#12".to_owned(),
                bytes: Zeroizing::new(bytes.expose().to_vec()),
            },
            Content::Base64(text) => Self {
                place: "certificate_base64".to_owned(),
                bytes: decode(text.expose()).ok_or(LoadError::NotBase64)?,
            },
        })
    }

    fn given(&self) -> Given<'_> {
        Given {
            place: &self.place,
            content: &self.bytes,
        }
    }
}

/// Base64 with or without line ends.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    plain.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(vec![0; plain.len()]);
    let length = base64::engine::general_purpose::STANDARD
        .decode_slice(&plain, &mut bytes)
        .ok()?;
    bytes.truncate(length);
    (!bytes.is_empty()).then_some(bytes)
}

/// One certificate and its key. It never changes: whoever signs with it and sends on it uses one key.
pub(crate) struct Snapshot {
    name: String,
    /// Empty if there is a key alone.
    chain: Vec<CertificateDer<'static>>,
    public_key: Vec<u8>,
    certified: Option<Arc<CertifiedKey>>,
    signing: Option<SigningKey>,
    life: Option<Life>,
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
    fn new(name: &str, pair: Pair) -> Self {
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
            life: pair.chain.first().and_then(|leaf| Life::of(leaf)),
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
    fn issued(name: &str, pair: Pair, issuance: Issuance) -> Self {
        Self {
            issuance: Some(issuance),
            ..Self::new(name, pair)
        }
    }

    /// One whose key does not leave its vault.
    fn in_a_vault(name: &str, pair: Pair, remote: Remote) -> Self {
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

    fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The name that credentials use.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Why no server will accept it now, if its dates say so. It is used all the same: the server's clock counts.
    pub(crate) fn over(&self) -> Option<String> {
        let over = self.life?.over(since_epoch())?;
        Some(format!("certificate {} {over}", self.name))
    }

    /// What people should know of it: its dates, and what of its files is not used.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let ending = self.life.and_then(|life| life.ending(since_epoch()));
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

/// What the files looked like.
type Stamps = Vec<Stamp>;
