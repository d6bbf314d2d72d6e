//! The credentials of one identity in the order in which they are tried, and how each of them stands.
//!
//! The first that is here and that the server accepts is used. One that is not, is left aside for a while, so that a broken
//! one costs its attempt now and then and not with each call; one that works again is used again by itself.

use std::collections::VecDeque;

use super::Credential;
use crate::flow::Io;
use crate::limits::{CREDENTIAL_BACKOFF_MS, MAX_CREDENTIAL_BACKOFF_MS};
use crate::retry::backoff_up_to;
use crate::{CredentialRef, CredentialState, CredentialStatus, Error, Now, Table, status};

/// Notices that nobody has fetched. A driver that fetches none loses the oldest.
const MAX_NOTICES: usize = 16;

/// At least one credential of a client.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    first: Credential,
    others: Vec<Credential>,
}

impl Credentials {
    pub(crate) fn new(list: Vec<Credential>) -> Option<Self> {
        let mut list = list.into_iter();
        let first = list.next()?;
        let others = list.collect();
        Some(Self { first, others })
    }

    pub(crate) fn first(&self) -> &Credential {
        &self.first
    }

    /// That one. A place that is none is the first's.
    pub(crate) fn get(&self, at: usize) -> &Credential {
        self.iter().nth(at).unwrap_or(&self.first)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Credential> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(crate) fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// What errors call that one. Of several, those without a name of their own go by their place, and so do two uses of
    /// one certificate.
    pub(crate) fn reference(&self, index: usize) -> CredentialRef {
        let mut reference = self.get(index).reference();
        let alike = self.iter().filter(|other| other.reference() == reference);
        if !self.others.is_empty() && (reference.name.is_none() || alike.count() > 1) {
            reference.name = Some(match &reference.name {
                None => format!("credential[{index}]"),
                Some(name) => format!("{name}, credential[{index}]"),
            });
        }
        reference
    }
}

/// A credential that was loaded, or not, without an exchange.
#[derive(Clone, Debug)]
pub struct CredentialTrial {
    /// Which.
    pub credential: CredentialRef,
    /// One line about it, for people.
    pub description: String,
    /// Why it is not ready for an exchange; nothing where it is.
    pub problem: Option<Error>,
}

/// How the credentials of all identities stand, as their attempts have shown.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    of: Table<(String, usize), Standing>,
    notices: VecDeque<String>,
}

#[derive(Debug)]
enum Standing {
    /// It has brought a token, then, unix seconds.
    Good(u64),
    Aside(Aside),
}

/// A credential that gave nothing.
#[derive(Debug)]
struct Aside {
    failures: u32,
    /// On the monotonic clock.
    until_mono_ms: u64,
    failure: status::Failure,
}

impl Standings {
    /// The places of the list in the order in which they are to be tried: those that were left aside come last, for the
    /// case that no other helps.
    pub(crate) fn order(&self, identity: &str, count: usize, now: Now) -> Vec<usize> {
        let is_aside = |index: &usize| {
            let standing = self.of.get(&(identity.to_owned(), *index));
            matches!(standing, Some(Standing::Aside(aside)) if aside.until_mono_ms > now.mono_ms)
        };
        let (last, first): (Vec<_>, Vec<_>) = (0..count).partition(is_aside);
        [first, last].concat()
    }

    /// How often in a row it has given nothing, with this time. `None` while it is left aside: two acquisitions at the
    /// same time saw the same failure.
    fn failures(&self, identity: &str, index: usize, now: Now) -> Option<u32> {
        match self.of.get(&(identity.to_owned(), index)) {
            Some(Standing::Aside(aside)) if aside.until_mono_ms > now.mono_ms => None,
            Some(Standing::Aside(aside)) => Some(aside.failures.saturating_add(1)),
            _ => Some(1),
        }
    }

    /// Tells people how that one stands now.
    fn notice(&mut self, identity: &str, credentials: &Credentials, at: usize, now: Now) {
        let status = self.one(identity, credentials, at, now);
        let Some(text) = status.notice(identity) else {
            return;
        };
        if self.notices.len() >= MAX_NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(text);
    }

    pub(crate) fn next_notice(&mut self) -> Option<String> {
        self.notices.pop_front()
    }

    /// How each credential of an identity stands.
    pub(crate) fn status(
        &self,
        identity: &str,
        credentials: &Credentials,
        now: Now,
    ) -> Vec<CredentialStatus> {
        let one = |index| self.one(identity, credentials, index, now);
        (0..credentials.len()).map(one).collect()
    }

    fn one(
        &self,
        identity: &str,
        credentials: &Credentials,
        index: usize,
        now: Now,
    ) -> CredentialStatus {
        let state = match self.of.get(&(identity.to_owned(), index)) {
            None => CredentialState::Untried,
            Some(Standing::Good(at)) => CredentialState::Good(*at),
            Some(Standing::Aside(aside)) => CredentialState::Aside {
                failure: aside.failure.clone(),
                retry_on: now
                    .unix_s()
                    .saturating_add(aside.until_mono_ms.saturating_sub(now.mono_ms) / 1000),
            },
        };
        CredentialStatus {
            credential: credentials.reference(index),
            state,
        }
    }
}

impl Io {
    /// A credential brought a token.
    pub(crate) fn credential_worked(&self, identity: &str, credentials: &Credentials, at: usize) {
        let now = self.now();
        let good = Standing::Good(now.unix_s());
        self.standings(|standings| {
            let before = standings.of.insert((identity.to_owned(), at), good);
            if credentials.len() > 1 && matches!(before, Some(Standing::Aside(_))) {
                standings.notice(identity, credentials, at, now);
            }
        });
    }

    /// A credential gave nothing. Of several the next is tried, and it is left aside for a while.
    pub(crate) fn credential_failed(
        &self,
        identity: &str,
        credentials: &Credentials,
        at: usize,
        error: &Error,
    ) {
        let now = self.now();
        let Some(failures) = self.standings(|standings| standings.failures(identity, at, now))
        else {
            return;
        };
        let is_alone = credentials.len() == 1;
        let wait_ms = match is_alone {
            true => 0,
            false => backoff_up_to(
                MAX_CREDENTIAL_BACKOFF_MS,
                CREDENTIAL_BACKOFF_MS,
                failures,
                self,
            ),
        };
        let message = &error.detail().message;
        let aside = Standing::Aside(Aside {
            failures,
            until_mono_ms: now.mono_ms.saturating_add(wait_ms),
            failure: status::Failure {
                class: error.class(),
                message: message.clone(),
                at: now.unix_s(),
            },
        });
        self.standings(|standings| {
            standings.of.insert((identity.to_owned(), at), aside);
            if failures == 1 && !is_alone {
                standings.notice(identity, credentials, at, now);
            }
        });
    }
}
