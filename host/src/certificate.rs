//! Certificates whose private keys stay in the host: loaded from PEM or PKCS#12, loaded again when they rotate, used to
//! sign and to authenticate connections.

mod csr;
pub(crate) mod inline;
mod issued;
mod key_vault;
mod pair;
mod pkcs12;
mod snapshot;
mod source;
#[cfg(unix)]
mod svid;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use edgepass_core::Secret;
use edgepass_core::config::KeyVaultFile;
use edgepass_core::needs::IssuedCertificateNeed;

use self::issued::Issued;
use self::key_vault::KeyVault;
use self::pair::Pair;
use self::source::Read;
#[cfg(unix)]
use self::svid::Workload;
use crate::egress::Egress;
use crate::files::Stamp;
use crate::instance::OwnCalls;
use crate::limits;

pub(crate) use self::pair::{LoadError, SignError};
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub use self::snapshot::Opened;
pub(crate) use self::snapshot::Snapshot;
pub use self::source::{CertificateSource, Password};

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

/// What the files looked like.
type Stamps = Vec<Stamp>;
