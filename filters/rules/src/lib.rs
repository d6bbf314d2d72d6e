//! Which request gets which token, and how the tokens live: the part of a proxy filter that knows no proxy.
//!
//! [`Settings`] is the checked `envoy` section; the command checks a configuration with the same code before it writes
//! Envoy's. [`Requests`] decides about each request, and [`Lifecycle`] drives the engine: when a token is asked for, how
//! the instances of one process share it, and what becomes of it when it is refused or expires. All of it reaches the
//! proxy through [`Host`] and [`Driver`], so it runs natively, in tests and in a simulation of several instances.

mod callers;
mod host;
#[cfg(any(feature = "callers", not(target_family = "wasm")))]
pub mod http;
mod inbound;
mod lifecycle;
mod matching;
mod module;
mod requests;
mod requirements;
mod rule;
mod settings;
mod share;
mod token;

pub use edgepass_core::config::envoy as document;
pub use edgepass_core::matching::{NoPrefix, check_prefix, is_plain};

pub use callers::{CallerGrant, CallerRequest, MAX_CALLERS};
pub use host::{Driver, Host, Level};
pub use inbound::Inbound;
pub use lifecycle::Lifecycle;
pub use matching::Properties;
pub use module::Module;
pub use requests::{Counts, NO_TOKEN_YET, Outage, Passage, Requests, refuse};
pub use requirements::{Required, Requirements, certificate_files};
pub use rule::{MAX_RULES, RuleSettings};
pub use settings::{
    DEFAULT_DEADLINE_MS, MAX_DEADLINE_MS, Settings, Transport, check_served, of_certificate,
    request_path,
};
