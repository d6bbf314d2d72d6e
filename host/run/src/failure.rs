//! Why the program ends before its application does.

use std::io::Write as _;
use std::process::ExitCode;

use edgepass::{BuildError, ConfigError, repeat};

/// The status of what is wrong with the command line, the configuration or the application: nothing was run. Beside
/// it an application's own statuses are passed on.
const SETUP: u8 = 2;

/// The status of an application that trapped or was ended by a bound.
const TRAP: u8 = 134;

/// What ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    status: u8,
}

impl Failure {
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            status: SETUP,
        }
    }

    pub(crate) fn trap(message: impl Into<String>) -> Self {
        Self {
            status: TRAP,
            ..Self::setup(message)
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Something about a setting, an option or a variable, and what to do about it.
    fn setting(error: ConfigError) -> Self {
        let detail = error.into_detail();
        let place = detail
            .place
            .map_or_else(String::new, |place| format!(" ({place})"));
        let failure = Self::setup(format!("{}: {}{place}", detail.setting, detail.message));
        Self {
            hint: detail.hint,
            ..failure
        }
    }

    /// Says it on standard error.
    pub(crate) fn report(self) -> ExitCode {
        let mut text = format!("edgepass-run: {}\n", self.message);
        if let Some(hint) = &self.hint {
            text += &format!("  hint: {hint}\n");
        }
        let text = repeat::without_arguments(&text, repeat::arguments());
        // nothing is left to say it to
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(self.status)
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Config(error) => Self::setting(error),
            other => Self::setup(format!("{other:#}")),
        }
    }
}
