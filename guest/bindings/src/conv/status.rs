//! What may be known of identities.

use edgepass_core as core;

use super::wit;

impl From<core::CredentialState> for wit::CredentialState {
    fn from(state: core::CredentialState) -> Self {
        match state {
            core::CredentialState::Untried => Self::Untried,
            core::CredentialState::Good(at) => Self::Good(at),
            core::CredentialState::Aside { failure, retry_on } => {
                Self::Aside(wit::CredentialAside {
                    failure: failure.into(),
                    retry_on,
                })
            }
        }
    }
}

impl From<wit::CredentialState> for core::CredentialState {
    fn from(state: wit::CredentialState) -> Self {
        match state {
            wit::CredentialState::Untried => Self::Untried,
            wit::CredentialState::Good(at) => Self::Good(at),
            wit::CredentialState::Aside(wit::CredentialAside { failure, retry_on }) => {
                Self::Aside {
                    failure: failure.into(),
                    retry_on,
                }
            }
        }
    }
}

impl From<core::IdentityStatus> for wit::IdentityStatus {
    fn from(status: core::IdentityStatus) -> Self {
        let core::IdentityStatus {
            identity,
            counters,
            last_failure,
            credentials,
            tokens,
        } = status;
        Self {
            identity,
            counters: counters
                .named()
                .into_iter()
                .map(|(name, value)| wit::Counter {
                    name: name.to_owned(),
                    value,
                })
                .collect(),
            last_failure: last_failure.map(Into::into),
            credentials: credentials.into_iter().map(Into::into).collect(),
            tokens: tokens.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wit::IdentityStatus> for core::IdentityStatus {
    fn from(status: wit::IdentityStatus) -> Self {
        let wit::IdentityStatus {
            identity,
            counters,
            last_failure,
            credentials,
            tokens,
        } = status;
        let named = counters
            .iter()
            .map(|counter| (counter.name.as_str(), counter.value));
        Self {
            identity,
            counters: core::Counters::from_named(named),
            last_failure: last_failure.map(Into::into),
            credentials: credentials.into_iter().map(Into::into).collect(),
            tokens: tokens.into_iter().map(Into::into).collect(),
        }
    }
}
