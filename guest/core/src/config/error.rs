//! What is wrong with a configuration.

use std::fmt;

use crate::authority::Refusal;
use crate::{Error, ErrorClass};

/// What is wrong with the configuration. Never repeats a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// Where: a path such as `identities.app.credential`, or the name of an environment variable.
    pub setting: String,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(setting: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn from_error(setting: impl Into<String>, error: &Error) -> Self {
        Self {
            setting: setting.into(),
            message: error.to_string(),
            hint: error.detail().hint.clone(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let plain = Self::new(
            ErrorClass::Configuration,
            format!("{}: {}", error.setting, error.message),
        );
        match error.hint {
            Some(hint) => plain.hint(hint),
            None => plain,
        }
    }
}

/// Names the setting that a rule has refused.
pub(crate) fn check<T>(setting: &str, result: Result<T, Refusal>) -> Result<T, ConfigError> {
    result.map_err(|refusal| ConfigError {
        setting: setting.to_owned(),
        message: refusal.message,
        hint: Some(refusal.hint),
    })
}
