//! The certification authorities (CA) that token endpoints' certificates are verified with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::OnceCell;

use crate::files::{self, FileError};
use crate::limits;

/// Where they come from.
pub(crate) enum Roots {
    /// What the system trusts, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Read at the first connection: most
    /// systems have some 150 of them.
    System(OnceCell<Arc<RootCertStore>>),
    /// These alone.
    Only(Arc<RootCertStore>),
}

impl Roots {
    /// What the system trusts.
    pub(crate) fn system() -> Self {
        Self::System(OnceCell::new())
    }

    /// The certificates of a PEM file alone.
    pub(crate) fn file(path: &Path) -> Result<Self, RootsError> {
        let pem = files::read_bounded(path, limits::CA_FILE_BYTES).map_err(|cause| {
            RootsError::Unreadable {
                path: path.to_owned(),
                cause,
            }
        })?;
        Self::pem(&pem).map_err(|reason| RootsError::Unusable {
            path: path.to_owned(),
            reason,
        })
    }

    /// These certificates alone.
    pub(crate) fn pem(pem: &[u8]) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| format!("not PEM: {e:?}"))?;
            store
                .add(certificate)
                .map_err(|e| format!("a certificate in it cannot be used: {e}"))?;
        }
        if store.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        Ok(Self::Only(Arc::new(store)))
    }

    /// The store, read when it is first needed.
    pub(crate) async fn load(&self) -> Result<Arc<RootCertStore>, RootsError> {
        match self {
            Self::Only(store) => Ok(Arc::clone(store)),
            Self::System(cell) => cell
                .get_or_try_init(|| async {
                    tokio::task::spawn_blocking(load_system)
                        .await
                        .unwrap_or_else(|e| {
                            Err(RootsError::System {
                                reason: e.to_string(),
                            })
                        })
                })
                .await
                .map(Arc::clone),
        }
    }
}

/// Why there are no certification authorities.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    /// The file cannot be read.
    #[error("the CA file {} cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: FileError },
    /// It holds nothing that can be used.
    #[error("the CA file {} cannot be used: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    /// The system has none.
    #[error("no certification authorities: {reason}")]
    System { reason: String },
}

fn load_system() -> Result<Arc<RootCertStore>, RootsError> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        log::warn!("certification authorities: {error}");
    }
    let mut store = RootCertStore::empty();
    let (usable, unusable) = store.add_parsable_certificates(loaded.certs);
    log::debug!("{usable} certification authorities of the system, {unusable} that cannot be used");
    if store.is_empty() {
        let reason = loaded.errors.first().map_or_else(
            || "the system has none; install its CA certificates, or set host.ca_file or SSL_CERT_FILE".to_owned(),
            |error| format!("{error}; see host.ca_file, SSL_CERT_FILE and SSL_CERT_DIR"),
        );
        return Err(RootsError::System { reason });
    }
    Ok(Arc::new(store))
}
