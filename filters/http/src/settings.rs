//! The configuration, read at the first request.

use std::cell::OnceCell;
use std::rc::Rc;

use edgepass_core::recognise::explain_component;
use edgepass_core::{Config, ConfigError, Environment};
use edgepass_rules::http::HttpSettings;

use crate::bindings::wasi::cli::environment;

thread_local! {
    static SETTINGS: OnceCell<Result<Rc<HttpSettings>, ConfigError>> = const { OnceCell::new() };
}

/// The rules, or why there are none: then no request leaves, because nobody can say which of them were to get a token.
pub(crate) fn get() -> Result<Rc<HttpSettings>, ConfigError> {
    SETTINGS.with(|settings| settings.get_or_init(load).clone())
}

/// Of the provider's own document. Secrets that are in it, or in variables, go when it has been checked.
fn load() -> Result<Rc<HttpSettings>, ConfigError> {
    let environment = Environment::from_pairs(environment::get_environment());
    let json = environment.get(Environment::EDGEPASS_CONFIG_JSON);
    if json.is_none() {
        return Err(ConfigError::new(
            Environment::EDGEPASS_CONFIG_JSON,
            "is not set, and the rules of the HTTP filter are in it",
        )
        .hint("give the composition the configuration, JSON, in this variable"));
    }
    let config =
        Config::load(json, &environment).map_err(|error| explain_component(error, json))?;
    HttpSettings::check(&config).map(Rc::new)
}
