//! Says in the log, once each, that a credential of several was left aside, and that it works again; and that what the token
//! store has is not taken.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use edgepass_core::{Config, CredentialState, IdentityStatus};

/// What was said last.
pub(crate) struct Notices {
    /// The credentials that are left aside: identity and credential.
    aside: Mutex<BTreeSet<(String, String)>>,
    /// The identities of which it was said that entries of the token store are ignored.
    ignored: Mutex<BTreeSet<String>>,
}

impl Notices {
    /// None where every identity has one credential, whose failures are told to callers, and no store is shared.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let mut identities = config.identities.values();
        let has_list = identities.any(|identity| identity.credential_count() > 1);
        let has_store = config.host.token_store.is_some();
        (has_list || has_store).then(|| Self {
            aside: Mutex::default(),
            ignored: Mutex::default(),
        })
    }

    /// The identities of which what the token store has was ignored, in words.
    pub(crate) fn ignored(&self) -> Vec<String> {
        let ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        ignored.iter().map(|name| is_ignored(name)).collect()
    }

    /// Takes in how the credentials stand.
    pub(crate) fn look(&self, identities: &[IdentityStatus]) {
        let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        for identity in identities {
            let name = &identity.identity;
            if identity.counters.store_ignored > 0 && ignored.insert(name.clone()) {
                log::warn!("{}", is_ignored(name));
            }
        }
        drop(ignored);
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        for identity in identities
            .iter()
            .filter(|identity| identity.credentials.len() > 1)
        {
            let name = &identity.identity;
            for status in &identity.credentials {
                let credential = status.credential.to_string();
                let of = (name.clone(), credential);
                let is_news = match &status.state {
                    CredentialState::Untried => false,
                    CredentialState::Good(_) => aside.remove(&of),
                    CredentialState::Aside { .. } => aside.insert(of),
                };
                if let Some(notice) = status.notice(name).filter(|_| is_news) {
                    log::warn!("{notice}");
                }
            }
        }
    }
}

fn is_ignored(identity: &str) -> String {
    format!(
        "identity `{identity}`: what the token store has is ignored: it was got with another certificate or secret than the \
         present one, or by a clock that is wrong, or cannot be read"
    )
}
