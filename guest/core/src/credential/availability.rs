//! Why a credential gave nothing.

use crate::{Error, Secret};

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
    /// What was shown to others on the way: a server may say it again later.
    pub(crate) shown: Vec<Secret>,
}

impl Failure {
    /// Of a credential that is not there.
    pub(crate) fn not_here(error: Error) -> Self {
        Self {
            error,
            availability: Availability::NotHere,
            shown: Vec::new(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            availability: Availability::Failed,
            shown: Vec::new(),
        }
    }
}
