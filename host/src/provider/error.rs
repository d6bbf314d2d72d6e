//! Why there is no provider.

use edgepass_core::ConfigError;

use crate::roots::RootsError;

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration or the environment is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are no certification authorities: neither in what the program gives nor on the system. A file of them that
    /// cannot be used is [`Config`](Self::Config), by what names it.
    #[error("{reason}")]
    Roots {
        /// The file, and what is wrong with it.
        reason: String,
    },
    /// A credential names a certificate that is not configured.
    #[error(
        "the certificate {name:?} is used by a credential, but the configuration's `certificates` does not have it"
    )]
    Certificate {
        /// Its name.
        name: String,
    },
    /// There is no tokio runtime that the provider can run on.
    #[error("{reason}")]
    Runtime {
        /// What is missing, and the remedy.
        reason: String,
    },
    /// The component does not run on this host.
    #[error("the component cannot be used: {reason}")]
    Component {
        /// What wasmtime says.
        reason: String,
    },
}

impl BuildError {
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn component(error: wasmtime::Error) -> Self {
        Self::Component {
            reason: format!("{error:#}"),
        }
    }
}

impl From<RootsError> for BuildError {
    fn from(error: RootsError) -> Self {
        match error.named() {
            Some(error) => Self::Config(error),
            None => Self::Roots {
                reason: error.to_string(),
            },
        }
    }
}
