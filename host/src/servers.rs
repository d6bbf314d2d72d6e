//! Servers whose certificates are checked otherwise than those of all others: by a name and by certification authorities
//! of their own. The token proxy of AKS identity bindings is one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use edgepass_core::HttpErrorKind;
use edgepass_core::needs::{Authorities, ServerNeed};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use wasmtime_wasi_http::Error;
use zeroize::Zeroizing;

use crate::egress::{Egress, Pool};
use crate::files;
use crate::limits;
use crate::roots;

/// All of them.
pub(crate) struct Servers(Vec<Server>);

struct Server {
    need: ServerNeed,
    connections: Mutex<Option<Connections>>,
}

/// The connections that were made with these authorities. New authorities mean new connections, and the end of the old.
#[derive(Clone)]
struct Connections {
    authorities: Arc<Zeroizing<Vec<u8>>>,
    store: Arc<RootCertStore>,
    pool: Pool,
}

impl Servers {
    pub(crate) fn new(needs: Vec<ServerNeed>) -> Self {
        let server = |need| Server {
            need,
            connections: Mutex::default(),
        };
        Self(needs.into_iter().map(server).collect())
    }

    /// The connections to that host and port, if it is one of these.
    pub(crate) async fn pool(
        &self,
        authority: &str,
        egress: &Egress,
    ) -> Option<Result<Pool, Error>> {
        let server = self.0.iter().find(|s| s.need.authority == authority)?;
        Some(server.pool(egress).await)
    }

    /// What is named for one and cannot be used now, in words. Reads files.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|server| {
            let Some(Authorities::File(path)) = &server.need.authorities else {
                return None;
            };
            let read = read(path).and_then(|pem| roots::store(&pem));
            let problem = read.err()?;
            Some(format!(
                "{path}, with the authorities of {}, cannot be used now: {problem}",
                server.need.authority
            ))
        })
    }
}

impl Server {
    async fn pool(&self, egress: &Egress) -> Result<Pool, Error> {
        let known = self.known();
        let (authorities, store) = match (&self.need.authorities, known) {
            (Some(Authorities::Pem(_)), Some(known)) => return Ok(known.pool),
            (None, known) => {
                let store = egress.roots().await?;
                match known {
                    Some(known) if Arc::ptr_eq(&known.store, &store) => return Ok(known.pool),
                    _ => (Vec::new(), store),
                }
            }
            (Some(Authorities::Pem(pem)), None) => {
                let pem = pem.as_bytes();
                let store = roots::store(pem).map_err(|e| self.unusable(&e))?;
                (pem.to_vec(), store)
            }
            (Some(Authorities::File(path)), known) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || read(&file)).await;
                let read = read.unwrap_or_else(|e| Err(e.to_string()));
                let read = match (read, &known) {
                    // mostly it is what it was
                    (Ok(pem), Some(known)) if *pem == **known.authorities => {
                        return Ok(known.pool.clone());
                    }
                    (read, _) => read.and_then(|pem| Ok((pem.to_vec(), roots::store(&pem)?))),
                };
                match (read, known) {
                    (Ok(new), _) => new,
                    // it is being replaced
                    (Err(problem), Some(known)) => {
                        log::warn!(
                            "{path}: {problem}; the authorities that were there before are kept"
                        );
                        return Ok(known.pool);
                    }
                    (Err(problem), None) => return Err(self.unusable(&problem)),
                }
            }
        };
        let name = self.need.server_name.as_deref();
        let name = name.map(|name| ServerName::try_from(name.to_owned()));
        let name = name.transpose().map_err(|e| self.unusable(&e))?;
        let pool = egress.pool_to_server(Arc::clone(&store), name).await?;
        *self.lock() = Some(Connections {
            authorities: Arc::new(Zeroizing::new(authorities)),
            store,
            pool: pool.clone(),
        });
        Ok(pool)
    }

    fn known(&self) -> Option<Connections> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Connections>> {
        // whole between any two statements
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, problem: &dyn std::fmt::Display) -> Error {
        let of = match &self.need.authorities {
            Some(Authorities::File(path)) => path,
            _ => &self.need.setting,
        };
        none(&format!("{of}: {problem}"))
    }
}

/// There is nobody who could vouch for the server.
fn none(problem: &dyn std::fmt::Display) -> Error {
    log::error!("certification authorities: {problem}");
    Error::InternalError(Some(format!(
        "{}: {problem}",
        HttpErrorKind::NO_AUTHORITIES
    )))
}

fn read(path: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    files::read_bounded(Path::new(path), limits::CA_FILE_BYTES).map_err(|e| e.to_string())
}
