//! Why a credential gave nothing, and what that means for whoever could try another.

use crate::Error;
use crate::retry::{RetryClass, retry_class};

/// Whether a credential that gave nothing is there at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Availability {
    /// It does not exist where this runs: no such file, no such certificate, no metadata service. Nothing was sent to
    /// the server that issues tokens.
    NotHere,
    /// It exists, and did not work or was refused.
    Failed,
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) availability: Availability,
}

/// What comes after a failed attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// The next credential, if there is another. Waiting does not bring what is not installed here.
    NextCredential,
    /// The same credential read anew, once: it may have been replaced in the meantime.
    Reload,
    /// The failure itself, or the same again after a while. Another credential would hide a fault that somebody has to
    /// repair.
    Report,
}

impl Failure {
    /// Of a credential that is not there.
    pub(crate) fn not_here(error: Error) -> Self {
        Self {
            error,
            availability: Availability::NotHere,
        }
    }

    /// What is not here and may yet come (a metadata service that refuses connections while it restarts) is asked for
    /// again where it is the only credential, as it is today. A list would try its others first, by `availability`.
    pub(crate) fn step(&self) -> Step {
        match self.availability {
            Availability::NotHere if retry_class(&self.error) == RetryClass::None => {
                Step::NextCredential
            }
            Availability::Failed if retry_class(&self.error) == RetryClass::Reload => Step::Reload,
            Availability::NotHere | Availability::Failed => Step::Report,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            availability: Availability::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorClass, ErrorDetail};

    #[test]
    fn only_what_is_not_here_gives_way_to_the_next() {
        let missing = Error::new(ErrorClass::CredentialUnavailable, "no such file");
        assert_eq!(
            Failure::not_here(missing.clone()).step(),
            Step::NextCredential
        );
        assert_eq!(Failure::from(missing.clone()).step(), Step::Report);
        let may_come = Failure::not_here(missing.retryable());
        assert_eq!(may_come.step(), Step::Report);
        for class in ErrorClass::ALL {
            let error = Error::new(class, "x").retryable();
            assert_eq!(Failure::from(error).step(), Step::Report, "{class:?}");
        }
        let expired = Error::with_detail(
            ErrorClass::CredentialRejected,
            ErrorDetail {
                aadsts: vec![700_024],
                ..ErrorDetail::default()
            },
        );
        assert_eq!(Failure::from(expired).step(), Step::Reload);
    }
}
