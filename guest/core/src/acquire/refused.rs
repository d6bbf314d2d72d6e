//! An attempt that brought nothing, and whose fault that was. What is tried next is decided elsewhere.

use crate::credential::{Availability, Failure};
use crate::effect::HttpErrorKind;
use crate::{Error, ErrorClass, Secret};

/// An attempt that brought nothing.
#[derive(Clone)]
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// Another credential of the list may do better. What a server or a network does to all of them is not hidden by
    /// trying them all.
    pub(super) gives_way: bool,
    /// The grant went out: what is spent by being sent is spent.
    pub(super) sent: bool,
    /// Of the material that was presented and refused.
    pub(super) fingerprint: Option<String>,
    /// Another attempt would build its assertion by a clock that shows something else, or show another certificate.
    pub(super) differs_anew: bool,
    /// What it presented, which the server may say again in any later answer.
    pub(super) secrets: Vec<Secret>,
}

impl Refused {
    /// Nothing went out, and no other credential changes that.
    pub(super) fn of(failure: Failure) -> Self {
        Self {
            secrets: failure.shown.clone(),
            failure,
            gives_way: false,
            sent: false,
            fingerprint: None,
            differs_anew: false,
        }
    }

    pub(super) fn error(&self) -> &Error {
        &self.failure.error
    }

    /// Of several, the one that says most is reported: what a server refused, what is broken, what is not here.
    pub(super) fn says(&self) -> u8 {
        match (self.sent, self.failure.availability) {
            (true, _) => 2,
            (false, Availability::Failed) => 1,
            (false, Availability::NotHere) => 0,
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::of(error.into())
    }
}

/// Whether it is the credential that the server refused, and not what was asked with it.
pub(super) fn is_of_the_credential(error: &Error) -> bool {
    matches!(
        error.class(),
        ErrorClass::CredentialRejected | ErrorClass::FederationMismatch
    )
}

/// Whether a connection that a certificate authenticates was not made because of that: by the certificate itself, or
/// because the host for such connections is another one, which is not reached from everywhere. A request that may have left
/// is none of it.
pub(super) fn is_of_the_connection(kind: HttpErrorKind) -> bool {
    #[cfg(feature = "every-credential")]
    if matches!(kind, HttpErrorKind::Proxy | HttpErrorKind::ProxyRefused) {
        return true;
    }
    matches!(
        kind,
        HttpErrorKind::Dns
            | HttpErrorKind::Connect
            | HttpErrorKind::ClientCertificate
            | HttpErrorKind::NoClientCertificate
            | HttpErrorKind::Tls
    )
}
