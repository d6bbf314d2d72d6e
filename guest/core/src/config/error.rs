//! What is wrong with a configuration.

use std::fmt;
use std::ops::Deref;

use crate::refusal::{Reason, Refusal};
use crate::{Error, ErrorClass, text};

/// What is wrong with the configuration. Never repeats a secret.
///
/// One pointer wide: every check hands it on, and Envoy compiles each copy of a wide one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(Box<ConfigErrorDetail>);

/// What a [`ConfigError`] says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConfigErrorDetail {
    /// Where: a path such as `identities.app.credential`, or the name of an environment variable.
    pub setting: String,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where that is in the text of the configuration, as far as whoever has read the text knows: `edgepass.yaml:12:7`, line
    /// and column.
    #[cfg(not(target_family = "wasm"))]
    pub place: Option<String>,
}

impl ConfigError {
    /// An error about that setting; the message continues its name.
    pub fn new(setting: impl Into<String>, message: impl Into<String>) -> Self {
        // what is configured may be in either, with a line break at its end
        fn visible(setting: &str, message: &str) -> ConfigError {
            ConfigError(Box::new(ConfigErrorDetail {
                setting: text::visible(setting),
                message: text::visible(message),
                hint: None,
                #[cfg(not(target_family = "wasm"))]
                place: None,
            }))
        }
        visible(&setting.into(), &message.into())
    }

    /// Says where in the text of the configuration it is.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What a request is refused for, about the setting that it would come from.
    pub fn from_error(setting: impl Into<String>, error: &Error) -> Self {
        let mut refused = Self::new(setting, error.to_string());
        refused.0.hint.clone_from(&error.detail().hint);
        refused
    }

    /// What it says.
    pub fn into_detail(self) -> ConfigErrorDetail {
        *self.0
    }
}

impl Deref for ConfigError {
    type Target = ConfigErrorDetail;

    fn deref(&self) -> &ConfigErrorDetail {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)?;
        #[cfg(not(target_family = "wasm"))]
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
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
        match error.into_detail().hint {
            Some(hint) => plain.hint(hint),
            None => plain,
        }
    }
}

/// Names the setting that a rule has refused.
pub(crate) fn check<T>(setting: &str, result: Result<T, Refusal>) -> Result<T, ConfigError> {
    result.map_err(|refusal| {
        let Reason { message, hint } = refusal.into_reason();
        ConfigError::new(setting, message).hint(hint)
    })
}
