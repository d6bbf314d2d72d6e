//! The environment of this process, and those of its variables that only some programs read.

use edgepass_core::{Config, ConfigError, Environment};

/// The environment of this process. Of a value that is not Unicode the bytes that are none are replaced (U+FFFD), so that
/// the variable counts as set and the rules for its value refuse it by name.
pub fn process_environment() -> Environment {
    Environment::from_pairs(std::env::vars_os().filter_map(|(name, value)| {
        let value = value.to_string_lossy().into_owned();
        Some((name.into_string().ok()?, value))
    }))
}

/// The variable that names a configuration which this program does not read.
fn unread_variable(document: Option<&str>, environment: &Environment) -> Option<&'static str> {
    let named = [
        Environment::EDGEPASS_CONFIG,
        Environment::EDGEPASS_CONFIG_JSON,
    ];
    let mut set = named
        .into_iter()
        .filter(|name| environment.get(name).is_some());
    set.next().filter(|_| document.is_none())
}

/// Says so where a variable that would have helped is not read by this program.
pub(super) fn unread(
    error: ConfigError,
    document: Option<&str>,
    environment: &Environment,
) -> ConfigError {
    let Some(name) = unread_variable(document, environment) else {
        return error;
    };
    let unread = format!(
        "{name} is set, but this program does not read it: begin with Builder::from_process()"
    );
    let hint = match &error.hint {
        Some(hint) => format!("{hint}; {unread}"),
        None => unread,
    };
    error.hint(hint)
}

/// Where such a variable is set and no client is, it is what was meant, and not the managed identity of the machine.
pub(super) fn unread_instead(
    config: &Config,
    document: Option<&str>,
    environment: &Environment,
) -> Option<ConfigError> {
    let mut identities = config.identities.values();
    let names_no_client =
        config.is_of_the_environment() && identities.all(|one| one.client().is_none());
    let name = unread_variable(document, environment).filter(|_| names_no_client)?;
    let message = "is set, but this program does not read it, and there is no other configuration";
    Some(
        ConfigError::new(name, message)
            .hint("in the program, begin with Builder::from_process() or call .config_file()"),
    )
}
