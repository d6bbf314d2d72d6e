//! Why there are no certification authorities.

use std::path::PathBuf;

use edgepass_core::ConfigError;

use super::CERT_DIR;
use crate::files::FileError;
use crate::repeat::named as shown;

/// Why there are no certification authorities.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    /// The file cannot be read.
    #[error("{setting}: the CA file {} cannot be read: {cause}", shown(path))]
    Unreadable {
        path: PathBuf,
        setting: &'static str,
        cause: FileError,
    },
    /// It holds nothing that can be used.
    #[error("{setting}: the CA file {} cannot be used: {reason}", shown(path))]
    Unusable {
        path: PathBuf,
        setting: &'static str,
        reason: String,
    },
    /// What the program gave holds nothing that can be used.
    #[error("{reason}")]
    Given { reason: String },
    /// A variable names nothing that can be used.
    #[error("{variable}: {problem}")]
    Variable {
        variable: &'static str,
        problem: String,
    },
    /// The system has none.
    #[error("no certification authorities: {reason}")]
    System { reason: String },
}

impl RootsError {
    /// The option, setting or variable that names what cannot be used, what is wrong with it, and what to do. `None` where
    /// nobody has named anything.
    pub(crate) fn named(&self) -> Option<ConfigError> {
        const ANOTHER: &str = "name a PEM file with certificates of certification authorities";

        let (setting, hint) = match self {
            Self::Unreadable { setting, cause, .. } => (*setting, cause.fix()),
            Self::Unusable { setting, .. } => (*setting, ANOTHER),
            Self::Variable { variable, .. } if *variable == CERT_DIR => (
                *variable,
                "name folders with PEM files of certification authorities, or unset it for the system's",
            ),
            Self::Variable { variable, .. } => (
                *variable,
                "name a PEM file with certification authorities, or unset it for the system's",
            ),
            Self::Given { .. } | Self::System { .. } => return None,
        };
        let text = self.to_string();
        let message = text.strip_prefix(setting).unwrap_or(&text);
        let message = message.strip_prefix(": ").unwrap_or(message);
        Some(ConfigError::new(setting, message).hint(hint))
    }
}
