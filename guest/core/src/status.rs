//! What an engine has done and holds, for metrics and status pages. Never a secret.

use crate::{CredentialRef, Error, ErrorClass, GrantKind, Now, Table, TokenType};

/// One configured identity.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityStatus {
    /// Its name.
    pub identity: String,
    /// What was done for it since the engine started.
    pub counters: Counters,
    /// The last failure; a token that came later does not remove it.
    pub last_failure: Option<Failure>,
    /// Its credentials, in the order in which they are tried. None where the platform gives its tokens without.
    pub credentials: Vec<CredentialStatus>,
    /// Its cached tokens.
    pub tokens: Vec<TokenStatus>,
}

/// The counters: one list, from which the fields, their names in the interface and the way back are made.
macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident $name:literal,)*) => {
        /// Counts since the engine started.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counters {
            /// All of them by the names that the interface uses.
            pub fn named(&self) -> [(&'static str, u64); [$($name),*].len()] {
                [$(($name, self.$field)),*]
            }

            /// From names and counts; a name that is not known here is left out, one that is missing is 0.
            pub fn from_named<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
                let mut counters = Self::default();
                for (name, count) in counts {
                    match name {
                        $($name => counters.$field = count,)*
                        _ => {}
                    }
                }
                counters
            }
        }
    };
}

counters! {
    /// Acquisitions that brought a token.
    exchanges "exchanges",
    /// Acquisitions that brought none.
    failures "failures",
    /// Calls answered with a cached token.
    cache_hits "cache-hits",
    /// Reports that a resource refused the cached token.
    rejections "rejections",
    /// Tokens that were taken from the token store.
    store_hits "store-hits",
    /// Looks into the token store that brought none.
    store_misses "store-misses",
    /// Calls of the token store that it did not answer.
    store_failures "store-failures",
    /// What was found there and not taken: of another credential or time, or not to be read.
    store_ignored "store-ignored",
}

/// A failed acquisition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What failed.
    pub class: ErrorClass,
    /// The same in one line.
    pub message: String,
    /// When, unix seconds.
    pub at: u64,
}

/// A credential of an identity.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredentialStatus {
    /// Which.
    pub credential: CredentialRef,
    /// How it stands.
    pub state: CredentialState,
}

impl CredentialStatus {
    /// What people are told of a credential of several when it has come to stand so: a line, never a secret.
    pub fn notice(&self, identity: &str) -> Option<String> {
        let name = &self.credential;
        match &self.state {
            CredentialState::Untried => None,
            CredentialState::Good(_) => Some(format!("identity `{identity}`: {name} works again")),
            CredentialState::Aside { failure, .. } => Some(format!(
                "identity `{identity}`: {name} is left aside, and the next credential is tried: {}",
                failure.message
            )),
        }
    }
}

/// How a credential stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CredentialState {
    /// It has not been tried yet.
    Untried,
    /// The last attempt with it brought a token, then, unix seconds.
    Good(u64),
    /// The last attempt with it brought none.
    Aside {
        /// Why, and when.
        failure: Failure,
        /// Until then others are tried before it, unix seconds.
        retry_on: u64,
    },
}

/// A cached token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenStatus {
    /// The scopes that it was asked for.
    pub scopes: Vec<String>,
    /// The tenant that it was asked of, where there is one.
    pub tenant: Option<String>,
    /// The grant that brought it: tokens of users are cached one by one.
    pub grant: GrantKind,
    /// The kind of token.
    pub token_type: TokenType,
    /// How it may be used now.
    pub state: TokenState,
    /// When it stops being served, unix seconds.
    pub expires_on: u64,
    /// From when a newer one is looked for, unix seconds.
    pub refresh_on: u64,
}

/// How a cached token may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenState {
    /// It is served.
    Fresh,
    /// It is served, and a newer one is looked for.
    RefreshDue,
    /// It is about to expire: callers wait a while for a newer one.
    Expiring,
    /// A resource refused it: another is looked for, and until there is one it may be served on.
    Rejected,
}

/// What is counted, by identity. It has the configured ones and no other, so it does not grow.
pub(crate) struct Activity(Table<String, (Counters, Option<Failure>)>);

impl Activity {
    pub(crate) fn of<'a>(identities: impl Iterator<Item = &'a String>) -> Self {
        Self(Table::from_iter(
            identities.map(|name| (name.clone(), Default::default())),
        ))
    }

    pub(crate) fn count(&mut self, identity: &String, count: impl FnOnce(&mut Counters)) {
        if let Some((counters, _)) = self.0.get_mut(identity) {
            count(counters);
        }
    }

    pub(crate) fn failed(&mut self, identity: &String, error: &Error, now: Now) {
        if let Some((counters, last)) = self.0.get_mut(identity) {
            counters.failures += 1;
            *last = Some(Failure {
                class: error.class(),
                message: error.detail().message.clone(),
                at: now.unix_s(),
            });
        }
    }

    /// Everything, with the tokens that are cached.
    pub(crate) fn status(
        &self,
        credentials: impl Fn(&str) -> Vec<CredentialStatus>,
        tokens: impl Fn(&str) -> Vec<TokenStatus>,
    ) -> Vec<IdentityStatus> {
        let identities = self.0.iter();
        identities
            .map(|(identity, (counters, last_failure))| IdentityStatus {
                identity: identity.clone(),
                counters: *counters,
                last_failure: last_failure.clone(),
                credentials: credentials(identity),
                tokens: tokens(identity),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_survive_their_names() {
        let counters = Counters {
            exchanges: 1,
            failures: 2,
            cache_hits: 3,
            rejections: 4,
            ..Counters::default()
        };
        assert_eq!(Counters::from_named(counters.named()), counters);
        assert_eq!(
            Counters::from_named([("of-tomorrow", 9), ("failures", 2)]).named(),
            [
                ("exchanges", 0),
                ("failures", 2),
                ("cache-hits", 0),
                ("rejections", 0),
                ("store-hits", 0),
                ("store-misses", 0),
                ("store-failures", 0),
                ("store-ignored", 0)
            ]
        );
    }
}
