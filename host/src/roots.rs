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
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use edgepass_emulator::Emulator;

    use super::*;

    /// A folder of the test's own, and a certification authority.
    struct Lab {
        folder: PathBuf,
        ca: String,
    }

    impl Lab {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("edgepass-roots-{}-{count}", std::process::id());
            let folder = env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            let emulator = Emulator::builder().start_blocking().unwrap();
            let ca = emulator.ca_pem();
            Self { folder, ca }
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.folder.join(name);
            fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    fn count(roots: &Roots) -> usize {
        let state = roots.state.try_lock().unwrap();
        let current = state.current.as_ref();
        current.map_or(0, |current| current.store.len())
    }

    fn broken() -> String {
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()
    }

    #[test]
    fn a_bundle_gives_what_can_be_used_and_counts_the_rest() {
        let lab = Lab::new();
        let no_base64 = broken().replace("AAAA", "?!");
        for (content, unusable) in [
            (lab.ca.clone(), 0),
            (format!("\u{feff}{}", lab.ca.replace('\n', "\r\n")), 0),
            (format!("# My CA\n{}{}", lab.ca, lab.ca), 0),
            (format!("{}{}", broken(), lab.ca), 1),
            (format!("{}{}{no_base64}", lab.ca, broken()), 2),
            (
                format!(
                    "{}{}",
                    lab.ca,
                    no_base64.replace("CERTIFICATE", "PRIVATE KEY")
                ),
                0,
            ),
        ] {
            let path = lab.write("ca.pem", content);
            let mut warnings = Vec::new();
            let roots = Roots::file(&path, CA_FILE, None, &mut warnings).unwrap();
            assert_eq!(count(&roots), 1);
            if unusable == 0 {
                assert_eq!(warnings, [""; 0]);
            } else {
                let [warning] = warnings.try_into().unwrap();
                assert!(
                    warning.contains(&*path.to_string_lossy())
                        && warning.contains(&format!(": {unusable} certificate")),
                    "{warning}"
                );
            }
        }
    }

    #[test]
    fn a_file_without_any_is_called_what_it_is() {
        let lab = Lab::new();
        for (content, says) in [
            (broken(), "the certificate in it cannot be used"),
            (
                broken().repeat(2).replacen("AAAA", "AAAB", 1),
                "none of the 2 certificates",
            ),
            (String::new(), "it is empty"),
            ("hello".to_owned(), "there is no certificate in it"),
            (
                lab.ca.replace("CERTIFICATE", "PRIVATE KEY"),
                "it is a private key",
            ),
            (lab.ca.replace("CERTIFICATE", "PKCS7"), "openssl pkcs7"),
        ] {
            let path = lab.write("ca.pem", content);
            let error = Roots::file(&path, CA_FILE, None, &mut Vec::new())
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn files_are_read_again_when_they_change_and_kept_while_they_cannot_be() {
        let (lab, own, other) = (Lab::new(), Lab::new().ca.clone(), Lab::new().ca.clone());
        let variables = |path: &Path, roots: &mut Option<Roots>| {
            let path = path.as_os_str().to_owned();
            let variable = |name: &str| (name == CERT_FILE).then(|| path.clone());
            *roots = Some(Roots::variables(&variable, None, &mut Vec::new()).unwrap());
        };
        // each with the authorities that are there besides
        for (what, more) in [("file", 0), ("variable", 0), ("extra", 1)] {
            let path = lab.write("ca.pem", &own);
            // as a volume of Kubernetes, and whoever is careful, replaces one
            let replace = |content: &str| {
                let new = lab.write("new.pem", content);
                fs::rename(new, &path).unwrap();
            };
            let mut roots = None;
            match what {
                "file" => roots = Some(Roots::file(&path, CA_FILE, None, &mut Vec::new()).unwrap()),
                "variable" => variables(&path, &mut roots),
                _ => {
                    let given = lab.ca.as_bytes();
                    roots = Some(Roots::pem(given, Some(&path), &mut Vec::new()).unwrap());
                }
            }
            let roots = roots.unwrap();
            let first = roots.load().await.unwrap();
            assert_eq!(first.len(), 1 + more, "{what}");
            // the same again is the same, with its connections
            replace(&own);
            assert!(Arc::ptr_eq(&first, &roots.load().await.unwrap()), "{what}");
            replace(&format!("{own}{other}"));
            let second = roots.load().await.unwrap();
            assert_eq!(second.len(), 2 + more, "{what}");
            for wrong in ["", "hello", &broken()] {
                replace(wrong);
                assert!(
                    Arc::ptr_eq(&second, &roots.load().await.unwrap()),
                    "{what}: {wrong}"
                );
            }
            fs::remove_file(&path).unwrap();
            assert!(Arc::ptr_eq(&second, &roots.load().await.unwrap()), "{what}");
            replace(&other);
            let third = roots.load().await.unwrap();
            assert_eq!(third.len(), 1 + more, "{what}");
            assert!(
                third.roots != first.roots && third.roots != second.roots,
                "{what}"
            );
        }
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[tokio::test]
    async fn further_authorities_stand_beside_those_of_the_system() {
        let lab = Lab::new();
        let extra = lab.write("extra.pem", &lab.ca);
        let nothing = |_: &str| None;
        let roots = Roots::variables(&nothing, Some(&extra), &mut Vec::new()).unwrap();
        let own = store(lab.ca.as_bytes()).unwrap();
        match (load_system(), roots.load().await) {
            (Ok(system), Ok(both)) => {
                let expected = [&*system.roots, &*own.roots].concat();
                assert_eq!(both.roots, expected);
            }
            // a machine without any: further ones take no place of the first
            (Err(_), Err(error)) => assert!(error.to_string().contains("the system has none")),
            (system, both) => panic!("{:?} {:?}", system.map(|s| s.len()), both.map(|s| s.len())),
        }
        let missing = lab.folder.join("missing.pem");
        let error = Roots::variables(&nothing, Some(&missing), &mut Vec::new());
        let error = error.err().unwrap().to_string();
        assert!(
            error.starts_with("host.extra_ca_file: the CA file ")
                && error.contains("missing.pem cannot be read"),
            "{error}"
        );
    }

    #[test]
    fn blank_variables_are_unset_and_wrong_ones_are_named() {
        let lab = Lab::new();
        let ca = lab.write("ca.pem", &lab.ca);
        let text = lab.write("text", "hello");
        let missing = lab.folder.join("missing");
        let (file, folder) = (ca.as_os_str(), lab.folder.as_os_str());
        let text = text.as_os_str();
        let missing = missing.as_os_str();
        let zero = std::ffi::OsStr::new("/dev/zero");
        let [empty, blank] = ["", " "].map(std::ffi::OsStr::new);
        let load = |file: Option<&std::ffi::OsStr>, folder: Option<&std::ffi::OsStr>| {
            let mut warnings = Vec::new();
            let variable = |name: &str| match name {
                CERT_FILE => file.map(ToOwned::to_owned),
                _ => folder.map(ToOwned::to_owned),
            };
            let roots = Roots::variables(&variable, None, &mut warnings);
            roots.map(|roots| (count(&roots), warnings.len()))
        };
        for (one, other, expected) in [
            (None, None, (0, 0)),
            (Some(empty), None, (0, 0)),
            (Some(blank), Some(empty), (0, 0)),
            (Some(file), None, (1, 0)),
            (Some(file), Some(empty), (1, 0)),
            (Some(empty), Some(folder), (1, 0)),
            (Some(file), Some(folder), (1, 0)),
            (Some(missing), Some(folder), (1, 1)),
            (Some(file), Some(missing), (1, 1)),
        ] {
            assert_eq!(load(one, other).unwrap(), expected, "{one:?} {other:?}");
        }
        let nothing = lab.folder.join("empty");
        fs::create_dir(&nothing).unwrap();
        let nothing = nothing.as_os_str();
        for (one, other, says) in [
            (Some(missing), None, "SSL_CERT_FILE"),
            (Some(folder), None, "not a regular file"),
            (Some(zero), None, "not a regular file"),
            (Some(text), None, "there is no certificate in it"),
            (None, Some(missing), "SSL_CERT_DIR"),
            (None, Some(file), "SSL_CERT_DIR"),
            (None, Some(nothing), "SSL_CERT_DIR"),
        ] {
            let error = load(one, other).unwrap_err().to_string();
            assert!(
                error.starts_with("SSL_CERT_") && error.contains(says),
                "{error}"
            );
        }
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn the_systems_folders_are_read_where_its_bundle_gives_nothing() {
        let lab = Lab::new();
        let other = Lab::new();
        let bundle = lab.write("bundle.pem", &lab.ca);
        let wrong = lab.write("wrong.pem", broken());
        let text = lab.write("text.pem", "hello");
        let missing = lab.folder.join("missing");
        let folder = lab.folder.join("folder");
        let empty = lab.folder.join("empty");
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&empty).unwrap();
        fs::write(folder.join("a.0"), &lab.ca).unwrap();
        std::os::unix::fs::symlink("a.0", folder.join("a.pem")).unwrap();
        fs::write(folder.join("b.0"), &other.ca).unwrap();
        for (file, folders, expected) in [
            // the bundle alone
            (Some(&bundle), &[&folder][..], Some(1)),
            (Some(&bundle), &[&missing], Some(1)),
            (Some(&bundle), &[], Some(1)),
            // each file of a folder once
            (Some(&missing), &[&folder], Some(2)),
            (Some(&wrong), &[&folder], Some(2)),
            (Some(&text), &[&folder], Some(2)),
            (Some(&folder), &[&folder], Some(2)),
            (None, &[&folder], Some(2)),
            (None, &[&missing, &folder], Some(2)),
            // nothing
            (None, &[&empty], None),
            (None, &[], None),
            (Some(&text), &[&empty], None),
            (Some(&missing), &[&missing], None),
        ] {
            let folders: Vec<PathBuf> = folders.iter().map(|&folder| folder.clone()).collect();
            let loaded = load_from(file.map(PathBuf::as_path), &folders);
            match (loaded, expected) {
                (Ok(store), Some(count)) => assert_eq!(store.len(), count, "{file:?} {folders:?}"),
                (Err(error), None) => {
                    let error = error.to_string();
                    let named = file.is_none_or(|file| error.contains(&*file.to_string_lossy()));
                    assert!(named && error.contains("SSL_CERT_FILE"), "{error}");
                }
                (loaded, _) => panic!("{file:?} {folders:?}: {:?}", loaded.map(|s| s.len())),
            }
        }
    }
}
