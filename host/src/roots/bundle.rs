//! The certificates that are in files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::error::RootsError;
use super::{CERT_DIR, CERT_FILE};
use crate::files::{self, FileError};
use crate::limits;
use crate::pem::{self, Found};
use crate::repeat::named as shown;

/// These certificates alone.
pub(crate) fn store(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    named(pem, "the given PEM", &mut Vec::new()).map(Arc::new)
}

pub(super) fn of_variables(
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
pub(super) fn of_file(
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
pub(super) fn named(
    pem: &[u8],
    place: &str,
    warnings: &mut Vec<String>,
) -> Result<RootCertStore, String> {
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
pub(super) struct Bundle {
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

    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), String> {
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
    pub(super) fn add_folder(&mut self, folder: &Path) -> Result<(), FileError> {
        for entry in fs::read_dir(folder)
            .map_err(|e| FileError::of(folder, e))?
            .flatten()
        {
            if let Ok(pem) = files::read_bounded(&entry.path(), limits::CA_FILE_BYTES) {
                self.add_pem(&pem);
            }
        }
        Ok(())
    }

    /// The store, and how many certificates are not in it because they cannot be used.
    pub(super) fn finish(self) -> (RootCertStore, usize) {
        let mut store = RootCertStore::empty();
        let (_, unusable) = store
            .add_parsable_certificates(self.certificates.into_iter().map(CertificateDer::from));
        (store, unusable + self.broken)
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
