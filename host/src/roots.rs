//! The certification authorities (CA) that token endpoints' certificates are verified with.

mod bundle;
mod error;
mod system;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustls::RootCertStore;
use tokio::sync::Mutex;

use self::bundle::{named, of_file, of_variables};
use self::system::load_system;
use crate::files::Stamp;
use crate::limits;
use crate::local::Mounts;
use crate::repeat::named as shown;

pub(crate) use self::bundle::store;
pub(crate) use self::error::RootsError;

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
    #[cfg(any(test, feature = "tower"))]
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

fn is_blank(value: &std::ffi::OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests;
