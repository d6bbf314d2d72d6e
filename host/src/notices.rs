//! Says in the log, once each, that a credential of several was left aside, and that it works again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use edgepass_core::{Config, CredentialState, IdentityStatus};

/// What was said last.
pub(crate) struct Notices {
    /// The credentials that are left aside: identity and credential.
    aside: Mutex<BTreeSet<(String, String)>>,
}

impl Notices {
    /// None where every identity has one credential: its failures are told to callers.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let mut identities = config.identities.values();
        let has_list = identities.any(|identity| identity.credential_count() > 1);
        has_list.then(|| Self {
            aside: Mutex::default(),
        })
    }

    /// Takes in how the credentials stand.
    pub(crate) fn look(&self, identities: &[IdentityStatus]) {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        for identity in identities
            .iter()
            .filter(|identity| identity.credentials.len() > 1)
        {
            let name = &identity.identity;
            for status in &identity.credentials {
                let credential = status.credential.to_string();
                let of = (name.clone(), credential);
                match &status.state {
                    CredentialState::Untried => {}
                    CredentialState::Good(_) => {
                        if aside.remove(&of) {
                            log::warn!("identity {name}: {} works again", of.1);
                        }
                    }
                    CredentialState::Aside { failure, .. } => {
                        if !aside.contains(&of) {
                            log::warn!(
                                "identity {name}: {} is left aside, and the next credential is tried: {}",
                                of.1,
                                failure.message
                            );
                            aside.insert(of);
                        }
                    }
                }
            }
        }
    }
}
