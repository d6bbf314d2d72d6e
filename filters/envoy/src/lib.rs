//! The Envoy filter: a proxy-wasm HTTP filter that puts a fresh access token on the requests that pass.
//!
//! It is the engine's second driver. Which request gets which token, and how a token lives, is in `edgepass_rules`; what
//! is here moves data between Envoy's callbacks and that. Every host call is in one module, and none of it blocks:
//! Envoy's own clusters carry the requests to the token endpoint, and its own listener serves the token file, because a
//! filter has neither network nor file system.

mod abi;
mod certificates;
mod driver;
mod entry;
mod host;
mod metrics;
#[cfg(feature = "every-credential")]
mod ps256;
mod request;
mod root;
mod synthetic;
