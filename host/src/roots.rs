//! The certification authorities (CA) that token endpoints' certificates are verified with.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use edgepass_core::ConfigError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::sync::Mutex;

use crate::files::{self, FileError, Stamp};
use crate::limits;
use crate::local::Mounts;
use crate::pem::{self, Found};
use crate::repeat::named as shown;

/// A PEM file that replaces the system's, as OpenSSL has it.
const CERT_FILE: &str = "SSL_CERT_FILE";

/// Folders of such files.
const CERT_DIR: &str = "SSL_CERT_DIR";

/// The configuration's file in their place.
pub(crate) const CA_FILE: &str = "host.ca_file";

/// Its file of further ones.
const EXTRA_CA_FILE: &str = "host.extra_ca_file";

/// What the engine's hints say of all that may name authorities.
const ALL: &str = "host.ca_file, host.extra_ca_file or SSL_CERT_FILE";

/// The authorities, and where they come from. What stands in files is read again when those change: who runs a private
/// authority replaces it one day, and then both are in the file for a while.
pub(crate) struct Roots {
    sources: Arc<Sources>,
    /// The program's option that takes the place of all but the further ones.
    option: Option<&'static str>,
    mounts: Mounts,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// When all files were found to be of this machine.
    local_at: Option<Instant>,
}

struct Sources {
    first: First,
    /// A file of further ones.
    extra: Option<PathBuf>,
}

enum First {
    /// What the system trusts. Read at the first connection: most systems have some 150 of them.
    System,
    /// These, once and for all.
    Given(Arc<RootCertStore>),
    /// Those of this file, which that option or setting names.
    File(PathBuf, &'static str),
    /// What `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    Variables {
        file: Option<PathBuf>,
        folders: Vec<PathBuf>,
    },
}

struct Current {
    store: Arc<RootCertStore>,
    /// What the files looked like.
    stamps: Stamps,
}

/// Of each file; `None` of one that cannot be seen.
type Stamps = Vec<Option<Stamp>>;

impl Roots {
    /// What `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or else what the system trusts. Blank ones are unset. Warnings go to
    /// the list.
    pub(crate) fn system(
        extra: Option<&Path>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, RootsError> {
        Self::variables(&|name| env::var_os(name), extra, warnings)
    }

    /// What the system trusts, whatever variables say.
    #[cfg(test)]
    pub(crate) fn of_the_system() -> Self {
        Self::of(First::System, None, &mut Vec::new()).unwrap()
    }

    /// For who asks no server over TLS.
    pub(crate) fn none() -> Self {
        let nobody = Arc::new(RootCertStore::empty());
        Self {
            sources: Arc::new(Sources {
                first: First::Given(Arc::clone(&nobody)),
                extra: None,
            }),
            option: None,
            mounts: Mounts::default(),
            state: Mutex::new(State {
                current: Some(Current {
                    store: nobody,
                    stamps: Vec::new(),
                }),
                local_at: None,
            }),
        }
    }

    fn variables(
        variable: &dyn Fn(&str) -> Option<OsString>,
        extra: Option<&Path>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, RootsError> {
        let set = |name| variable(name).filter(|value| !is_blank(value));
        let folders: Vec<PathBuf> = set(CERT_DIR).map_or_else(Vec::new, |folders| {
            env::split_paths(&folders)
                .filter(|folder| !is_blank(folder.as_os_str()))
                .collect()
        });
        let file = set(CERT_FILE).map(PathBuf::from);
        let first = if file.is_none() && folders.is_empty() {
            First::System
        } else {
            First::Variables { file, folders }
        };
        Self::of(first, extra, warnings)
    }

    /// The certificates of a PEM file. `setting` names it, for people.
    pub(crate) fn file(
        path: &Path,
        setting: &'static str,
        extra: Option<&Path>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, RootsError> {
        Self::of(First::File(path.to_owned(), setting), extra, warnings)
    }

    /// Of a program that has that option.
    pub(crate) fn offering(mut self, option: Option<&'static str>) -> Self {
        self.option = option;
        self
    }

    /// A hint of the engine's, with what names authorities and has an effect here: what is set goes before what is not, and
    /// the further ones stand beside all of them.
    pub(crate) fn explain(&self, hint: &str) -> String {
        let of_these = match &self.sources.first {
            First::System => {
                return match self.option {
                    Some(option) => hint.replace(ALL, &format!("{option}, {ALL}")),
                    None => hint.to_owned(),
                };
            }
            First::Given(_) => "what the program gives".to_owned(),
            First::File(path, setting) => format!("{setting} ({})", shown(path)),
            First::Variables {
                file: Some(file), ..
            } => format!("{CERT_FILE} ({})", shown(file)),
            First::Variables { file: None, .. } => CERT_DIR.to_owned(),
        };
        hint.replace(ALL, &format!("{of_these} or {EXTRA_CA_FILE}"))
    }

    /// What to do about a server whose certificate no authority here has signed.
    pub(crate) fn remedy(&self) -> String {
        self.explain(&format!("give the authority that signed it by {ALL}"))
    }

    /// These certificates.
    pub(crate) fn pem(
        pem: &[u8],
        extra: Option<&Path>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, RootsError> {
        let given =
            named(pem, "the given PEM", warnings).map_err(|reason| RootsError::Given { reason })?;
        Self::of(First::Given(Arc::new(given)), extra, warnings)
    }

    /// Reads what somebody has named, so that what is wrong with it is said at once.
    fn of(
        first: First,
        extra: Option<&Path>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, RootsError> {
        let sources = Sources {
            first,
            extra: extra.map(Path::to_owned),
        };
        let current = if matches!(sources.first, First::System) {
            if let Some(extra) = &sources.extra {
                of_file(extra, EXTRA_CA_FILE, warnings)?;
            }
            None
        } else {
            // stamps from before reading: a change in between shows as one the next time
            let stamps = sources.stamps();
            Some(Current {
                store: Arc::new(sources.gather(warnings)?),
                stamps,
            })
        };
        Ok(Self {
            sources: Arc::new(sources),
            option: None,
            mounts: Mounts::default(),
            state: Mutex::new(State {
                current,
                local_at: None,
            }),
        })
    }

    /// The store as it is now. One whose files cannot be used any more stays: somebody is replacing them.
    pub(crate) async fn load(&self) -> Result<Arc<RootCertStore>, RootsError> {
        let mut state = self.state.lock().await;
        let State { current, local_at } = &mut *state;
        let stamps = if self.is_local(local_at) {
            self.sources.stamps()
        } else {
            let sources = Arc::clone(&self.sources);
            let stamps = tokio::task::spawn_blocking(move || sources.stamps());
            stamps.await.unwrap_or_default()
        };
        if let Some(known) = current
            && known.stamps == stamps
        {
            return Ok(Arc::clone(&known.store));
        }
        let sources = Arc::clone(&self.sources);
        let gathered = tokio::task::spawn_blocking(move || {
            let mut warnings = Vec::new();
            let store = sources.gather(&mut warnings)?;
            Ok((store, warnings))
        });
        let gathered = gathered.await.unwrap_or_else(|e| {
            Err(RootsError::System {
                reason: e.to_string(),
            })
        });
        match (gathered, current) {
            // files that were only written again are the same, and keep their connections
            (Ok((store, _)), Some(known)) if store.roots == known.store.roots => {
                known.stamps = stamps;
                Ok(Arc::clone(&known.store))
            }
            (Ok((store, warnings)), current) => {
                for warning in warnings {
                    log::warn!("{warning}");
                }
                if current.is_some() {
                    let usable = store.len();
                    log::info!("certification authorities: {usable}, read again");
                }
                let store = Arc::new(store);
                *current = Some(Current {
                    store: Arc::clone(&store),
                    stamps,
                });
                Ok(store)
            }
            (Err(problem), Some(known)) => {
                log::warn!("{problem}; the authorities that were there before are kept");
                Ok(Arc::clone(&known.store))
            }
            (Err(problem), None) => Err(problem),
        }
    }
}

impl Roots {
    /// Whether looking at the files blocks for no longer than a disk may take. Asking that costs more than looking at them,
    /// so it is not asked for each exchange of a busy program.
    fn is_local(&self, local_at: &mut Option<Instant>) -> bool {
        if local_at.is_some_and(|at| at.elapsed() < limits::CA_FILE_IS_LOCAL) {
            return true;
        }
        let paths = self.sources.paths();
        let is_local = paths.iter().all(|path| self.mounts.is_local(path));
        *local_at = is_local.then(Instant::now);
        is_local
    }
}

impl Sources {
    /// What is watched. What the system trusts is its own concern: programs take that once.
    fn paths(&self) -> Vec<&Path> {
        let mut paths: Vec<&Path> = match &self.first {
            First::System | First::Given(_) => Vec::new(),
            First::File(path, _) => vec![path],
            First::Variables { file, folders } => {
                file.iter().chain(folders).map(PathBuf::as_path).collect()
            }
        };
        paths.extend(self.extra.as_deref());
        paths
    }

    fn stamps(&self) -> Stamps {
        let paths = self.paths().into_iter();
        paths.map(|path| Stamp::of(path).ok()).collect()
    }

    /// Call it where blocking is allowed.
    fn gather(&self, warnings: &mut Vec<String>) -> Result<RootCertStore, RootsError> {
        let mut store = match &self.first {
            First::System => load_system()?,
            First::Given(store) => RootCertStore::clone(store),
            First::File(path, setting) => of_file(path, setting, warnings)?,
            First::Variables { file, folders } => of_variables(file.as_deref(), folders, warnings)?,
        };
        if let Some(extra) = &self.extra {
            store
                .roots
                .extend(of_file(extra, EXTRA_CA_FILE, warnings)?.roots);
        }
        Ok(store)
    }
}

/// These certificates alone.
pub(crate) fn store(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    named(pem, "the given PEM", &mut Vec::new()).map(Arc::new)
}

fn of_variables(
    file: Option<&Path>,
    folders: &[PathBuf],
    warnings: &mut Vec<String>,
) -> Result<RootCertStore, RootsError> {
    let mut bundle = Bundle::default();
    let mut problems = Vec::new();
    if let Some(file) = file
        && let Err(problem) = bundle.add_file(file)
    {
        problems.push((CERT_FILE, format!("{}: {problem}", shown(file))));
    }
    for folder in folders {
        if let Err(problem) = bundle.add_folder(folder) {
            problems.push((CERT_DIR, format!("{}: {problem}", shown(folder))));
        }
    }
    let names = if file.is_some() { CERT_FILE } else { CERT_DIR };
    let (store, unusable) = bundle.finish();
    if store.is_empty() {
        let problem = problems.into_iter().next();
        let problem = problem.unwrap_or_else(|| {
            let places = file.into_iter().chain(folders.iter().map(PathBuf::as_path));
            let places = places.map(shown).collect::<Vec<_>>().join(", ");
            (names, format!("{places}: no certificate there can be used"))
        });
        let (variable, problem) = problem;
        return Err(RootsError::Variable { variable, problem });
    }
    let problems = problems.into_iter();
    warnings.extend(problems.map(|(variable, problem)| format!("{variable}: {problem}")));
    warnings.extend(some_unusable(names, unusable));
    Ok(store)
}

/// `setting` is what names it.
fn of_file(
    path: &Path,
    setting: &'static str,
    warnings: &mut Vec<String>,
) -> Result<RootCertStore, RootsError> {
    let pem = files::read_bounded(path, limits::CA_FILE_BYTES).map_err(|cause| {
        RootsError::Unreadable {
            path: path.to_owned(),
            setting,
            cause,
        }
    })?;
    let place = format!("the CA file {}", shown(path));
    named(&pem, &place, warnings).map_err(|reason| RootsError::Unusable {
        path: path.to_owned(),
        setting,
        reason,
    })
}

/// As the system's bundle is read: what can be used is, what cannot is counted.
fn named(pem: &[u8], place: &str, warnings: &mut Vec<String>) -> Result<RootCertStore, String> {
    let mut bundle = Bundle::default();
    bundle.add_pem(pem);
    let (store, unusable) = bundle.finish();
    if store.is_empty() {
        return Err(match (unusable, pem::found(pem)) {
            (0, Some(Found { what, fix })) => {
                format!("there is no certificate in it: it is {what}; {fix}")
            }
            (0, None) => "there is no certificate in it".to_owned(),
            (1, _) => "the certificate in it cannot be used".to_owned(),
            (count, _) => format!("none of the {count} certificates in it can be used"),
        });
    }
    warnings.extend(some_unusable(place, unusable));
    Ok(store)
}

/// Certificates that are gathered from files.
#[derive(Default)]
struct Bundle {
    /// DER, each once: folders have several links to one file.
    certificates: BTreeSet<Vec<u8>>,
    /// Sections that are no certificate at all.
    broken: usize,
}

impl Bundle {
    fn add_pem(&mut self, pem: &[u8]) {
        for certificate in pem::certificates(pem) {
            match certificate {
                Some(der) => {
                    self.certificates.insert(der);
                }
                None => self.broken += 1,
            }
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), String> {
        let pem = files::read_bounded(path, limits::CA_FILE_BYTES).map_err(|e| e.to_string())?;
        let before = self.certificates.len() + self.broken;
        self.add_pem(&pem);
        if self.certificates.len() + self.broken > before {
            return Ok(());
        }
        Err(match pem::found(&pem) {
            Some(Found { what, fix }) => {
                format!("there is no certificate in it: it is {what}; {fix}")
            }
            None => "there is no certificate in it".to_owned(),
        })
    }

    /// The files of a folder; what else there is (links to nothing, pipes, read-me files) is passed over.
    fn add_folder(&mut self, folder: &Path) -> Result<(), FileError> {
        for entry in fs::read_dir(folder).map_err(FileError::from)?.flatten() {
            if let Ok(pem) = files::read_bounded(&entry.path(), limits::CA_FILE_BYTES) {
                self.add_pem(&pem);
            }
        }
        Ok(())
    }

    /// The store, and how many certificates are not in it because they cannot be used.
    fn finish(self) -> (RootCertStore, usize) {
        let mut store = RootCertStore::empty();
        let (_, unusable) = store
            .add_parsable_certificates(self.certificates.into_iter().map(CertificateDer::from));
        (store, unusable + self.broken)
    }
}

/// Why there are no certification authorities.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    /// The file cannot be read.
    #[error("{setting}: the CA file {} cannot be read: {cause}", shown(path))]
    Unreadable {
        path: PathBuf,
        setting: &'static str,
        cause: FileError,
    },
    /// It holds nothing that can be used.
    #[error("{setting}: the CA file {} cannot be used: {reason}", shown(path))]
    Unusable {
        path: PathBuf,
        setting: &'static str,
        reason: String,
    },
    /// What the program gave holds nothing that can be used.
    #[error("{reason}")]
    Given { reason: String },
    /// A variable names nothing that can be used.
    #[error("{variable}: {problem}")]
    Variable {
        variable: &'static str,
        problem: String,
    },
    /// The system has none.
    #[error("no certification authorities: {reason}")]
    System { reason: String },
}

impl RootsError {
    /// The option, setting or variable that names what cannot be used, what is wrong with it, and what to do. `None` where
    /// nobody has named anything.
    pub(crate) fn named(&self) -> Option<ConfigError> {
        const ANOTHER: &str = "name a PEM file with certificates of certification authorities";

        let (setting, hint) = match self {
            Self::Unreadable { setting, cause, .. } => (*setting, cause.fix()),
            Self::Unusable { setting, .. } => (*setting, ANOTHER),
            Self::Variable { variable, .. } if *variable == CERT_DIR => (
                *variable,
                "name folders with PEM files of certification authorities, or unset it for the system's",
            ),
            Self::Variable { variable, .. } => (
                *variable,
                "name a PEM file with certification authorities, or unset it for the system's",
            ),
            Self::Given { .. } | Self::System { .. } => return None,
        };
        let text = self.to_string();
        let message = text.strip_prefix(setting).unwrap_or(&text);
        let message = message.strip_prefix(": ").unwrap_or(message);
        Some(ConfigError::new(setting, message).hint(hint))
    }
}

fn some_unusable(place: &str, count: usize) -> Option<String> {
    let certificates = if count == 1 {
        "certificate"
    } else {
        "certificates"
    };
    (count > 0).then(|| {
        format!("{place}: {count} {certificates} in it cannot be used, and the others are")
    })
}

fn is_blank(value: &std::ffi::OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

fn no_system_roots(problem: Option<String>) -> RootsError {
    let reason = problem.map_or_else(
        || {
            "the system has none; install its CA certificates, or set host.ca_file or SSL_CERT_FILE"
                .to_owned()
        },
        |problem| format!("{problem}; see host.ca_file, SSL_CERT_FILE and SSL_CERT_DIR"),
    );
    RootsError::System { reason }
}

/// Where OpenSSL and what is built on it find them.
#[cfg(all(unix, not(target_os = "macos")))]
fn load_system() -> Result<RootCertStore, RootsError> {
    let system = openssl_probe::probe();
    load_from(system.cert_file.as_deref(), &system.cert_dir)
}

/// The bundle alone, where it gives any: the folders hold the same certificates once more, each in a file of its own
/// with several links to it, and reading those took a start longer than all the rest of it.
#[cfg(all(unix, not(target_os = "macos")))]
fn load_from(file: Option<&Path>, folders: &[PathBuf]) -> Result<RootCertStore, RootsError> {
    let mut problem = None;
    let mut warn = |place: &Path, cause: String| {
        let text = format!("{}: {cause}", place.display());
        log::warn!("certification authorities: {text}");
        problem.get_or_insert(text);
    };
    if let Some(file) = file {
        let mut bundle = Bundle::default();
        match bundle.add_file(file) {
            Ok(()) => {
                let (store, unusable) = bundle.finish();
                if !store.is_empty() {
                    return Ok(loaded(store, unusable));
                }
                warn(file, "no certificate in it can be used".to_owned());
            }
            Err(cause) => warn(file, cause),
        }
    }
    let mut bundle = Bundle::default();
    for folder in folders {
        if let Err(cause) = bundle.add_folder(folder) {
            warn(folder, cause.to_string());
        }
    }
    let (store, unusable) = bundle.finish();
    if store.is_empty() {
        return Err(no_system_roots(problem));
    }
    Ok(loaded(store, unusable))
}

/// The system has no files of them.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn load_system() -> Result<RootCertStore, RootsError> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        log::warn!("certification authorities: {error}");
    }
    let mut store = RootCertStore::empty();
    let (_, unusable) = store.add_parsable_certificates(system.certs);
    if store.is_empty() {
        return Err(no_system_roots(
            system.errors.first().map(ToString::to_string),
        ));
    }
    Ok(loaded(store, unusable))
}

fn loaded(store: RootCertStore, unusable: usize) -> RootCertStore {
    let usable = store.len();
    log::debug!("{usable} certification authorities of the system, {unusable} that cannot be used");
    store
}

#[cfg(test)]
mod tests;
