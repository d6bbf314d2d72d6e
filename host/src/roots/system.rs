//! What the system trusts.

#[cfg(all(unix, not(target_os = "macos")))]
use std::path::{Path, PathBuf};

use rustls::RootCertStore;

#[cfg(all(unix, not(target_os = "macos")))]
use super::bundle::Bundle;
use super::error::RootsError;

/// Where OpenSSL and what is built on it find them.
#[cfg(all(unix, not(target_os = "macos")))]
pub(super) fn load_system() -> Result<RootCertStore, RootsError> {
    let system = openssl_probe::probe();
    load_from(system.cert_file.as_deref(), &system.cert_dir)
}

/// The bundle alone, where it gives any: the folders hold the same certificates once more, each in a file of its own
/// with several links to it, and reading those took a start longer than all the rest of it.
#[cfg(all(unix, not(target_os = "macos")))]
pub(super) fn load_from(
    file: Option<&Path>,
    folders: &[PathBuf],
) -> Result<RootCertStore, RootsError> {
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
pub(super) fn load_system() -> Result<RootCertStore, RootsError> {
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
