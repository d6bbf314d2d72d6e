//! The certificate and key that a SPIFFE Workload API gives this process (X.509-SVID). The agent sends the next one before
//! the end of the one that is there, and whoever listens has it at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use edgepass_core::AssertionError;
use tokio::task::JoinHandle;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::issued::validity;
use super::pair::Pair;
use super::{OpenError, Snapshot};
use crate::limits;
use crate::workload_api::{Svid, Svids};

/// The one of an agent's socket, and who listens for the next.
pub(crate) struct Workload {
    name: String,
    socket: String,
    spiffe_id: Option<String>,
    kept: Arc<Mutex<Option<Kept>>>,
    listener: tokio::sync::Mutex<Listener>,
}

/// A certificate and its end.
#[derive(Clone)]
struct Kept {
    snapshot: Arc<Snapshot>,
    end: SystemTime,
}

#[derive(Default)]
struct Listener {
    task: Option<JoinHandle<()>>,
    /// When the agent was not to be had.
    failed: Option<Instant>,
}

impl Listener {
    fn is_listening(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Workload {
    pub(crate) fn new(name: &str, socket: &str, spiffe_id: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            socket: socket.to_owned(),
            spiffe_id: spiffe_id.map(str::to_owned),
            kept: Arc::default(),
            listener: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn socket(&self) -> &str {
        &self.socket
    }

    /// The certificate as it is now. An agent that is gone leaves the one that it gave, until its end.
    pub(crate) async fn current(&self) -> Result<Arc<Snapshot>, OpenError> {
        let mut listener = match (self.listener.try_lock(), self.usable()) {
            (Ok(listener), _) => listener,
            (Err(_), Some(snapshot)) => return Ok(snapshot),
            (Err(_), None) => self.listener.lock().await,
        };
        let usable = self.usable();
        let is_tried = listener
            .failed
            .is_some_and(|at| at.elapsed() < limits::WORKLOAD_API_AGAIN);
        if let Some(snapshot) = &usable
            && (listener.is_listening() || is_tried)
        {
            return Ok(Arc::clone(snapshot));
        }
        let begun = tokio::time::timeout(limits::WORKLOAD_API_DEADLINE, self.listen()).await;
        let error = match begun {
            Ok(Ok((snapshot, task))) => {
                *listener = Listener {
                    task: Some(task),
                    failed: None,
                };
                return Ok(snapshot);
            }
            Ok(Err(error)) => error,
            Err(_) => AssertionError::Temporary("it did not answer in time".to_owned()),
        };
        listener.failed = Some(Instant::now());
        let at = &self.socket;
        let error = match error {
            AssertionError::NotConfigured => {
                OpenError::Temporary(format!("the SPIFFE Workload API at {at} is not there"))
            }
            AssertionError::Temporary(why) => {
                OpenError::Temporary(format!("the SPIFFE Workload API at {at}: {why}"))
            }
            // it gives this process none: what it gave before is not to be used any more
            AssertionError::Other(why) => {
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let why = format!("the SPIFFE Workload API at {at}: {why}");
                return Err(OpenError::Unavailable(why));
            }
            _ => OpenError::Unavailable(format!("the SPIFFE Workload API at {at} cannot be asked")),
        };
        match usable {
            Some(snapshot) => {
                log::warn!(
                    "certificate {}: {error}; the one before stays in use",
                    self.name
                );
                Ok(snapshot)
            }
            None => Err(error),
        }
    }

    fn usable(&self) -> Option<Arc<Snapshot>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref().filter(|kept| SystemTime::now() < kept.end);
        kept.map(|kept| Arc::clone(&kept.snapshot))
    }

    /// Waits for the first one, and has the others taken in as they come.
    async fn listen(&self) -> Result<(Arc<Snapshot>, JoinHandle<()>), AssertionError> {
        let mut svids = Svids::open(&self.socket, self.spiffe_id.as_deref()).await?;
        let first = svids.next().await?;
        let id = self.spiffe_id.clone();
        let snapshot = take_in(&self.name, id.as_deref(), &self.kept, &first)?;
        let (name, kept) = (self.name.clone(), Arc::clone(&self.kept));
        let task = tokio::spawn(async move {
            loop {
                let next = svids.next().await;
                let taken = next.and_then(|svid| take_in(&name, id.as_deref(), &kept, &svid));
                if let Err(error) = taken {
                    let why = match error {
                        AssertionError::Temporary(why) | AssertionError::Other(why) => why,
                        _ => "it is not there".to_owned(),
                    };
                    log::info!("certificate {name}: its agent is not heard any more: {why}");
                    return;
                }
            }
        });
        Ok((snapshot, task))
    }
}

/// `id` is whom the certificate itself must name, whatever the agent calls it (X509-SVID sections 2 and 4).
fn take_in(
    name: &str,
    id: Option<&str>,
    kept: &Mutex<Option<Kept>>,
    svid: &Svid,
) -> Result<Arc<Snapshot>, AssertionError> {
    let odd = |why: String| AssertionError::Other(format!("its X.509-SVID cannot be used: {why}"));
    let leaf = svid.chain.first().map(AsRef::as_ref).and_then(validity);
    let leaf = leaf.ok_or_else(|| odd("it has no certificate".to_owned()))?;
    if let Some(id) = id
        && !svid.chain.first().is_some_and(|leaf| names(leaf, id))
    {
        return Err(odd(format!("its certificate is not that of {id}")));
    }
    let pair = Pair::of(&svid.chain, &svid.key, "its answer", "its answer");
    let pair = pair.map_err(|e| odd(e.to_string()))?;
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    // the same once more, of an agent that has started again: its connections stay
    let same = kept
        .as_ref()
        .filter(|kept| kept.snapshot.chain == pair.chain);
    let snapshot = same.map_or_else(
        || Arc::new(Snapshot::new(name, pair)),
        |kept| Arc::clone(&kept.snapshot),
    );
    *kept = Some(Kept {
        snapshot: Arc::clone(&snapshot),
        end: leaf.not_after,
    });
    Ok(snapshot)
}

/// Whether that is the URI in the subject alternative name, of which an X.509-SVID has one.
fn names(leaf: &[u8], id: &str) -> bool {
    let Ok(leaf) = CertificateInner::<Raw>::from_der(leaf) else {
        return false;
    };
    let alternative = leaf.tbs_certificate().get_extension::<SubjectAltName>();
    let Ok(Some((_, SubjectAltName(all)))) = alternative else {
        return false;
    };
    let uris = all.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    uris.eq([id])
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    const ID: &str = "spiffe://a.example/b";

    fn leaf(uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        for uri in uris {
            let uri = SanType::URI((*uri).try_into().unwrap());
            params.subject_alt_names.push(uri);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_names_whom_it_is_of() {
        for (uris, expected) in [
            (&[ID][..], true),
            (&[], false),
            (&["spiffe://a.example/evil"], false),
            (&["spiffe://a.example/b/"], false),
            (&["spiffe://a.example/evil", ID], false),
            (&[ID, "spiffe://a.example/evil"], false),
        ] {
            assert_eq!(names(&leaf(uris), ID), expected, "{uris:?}");
        }
        assert!(!names(b"no certificate", ID));
    }
}
