//! The credential-provider component: the engine of `edgepass-core`, driven over WASI 0.3.
//!
//! It decides nothing. `export` takes calls, `driver` moves data between the callers, the engine and the tasks that
//! perform its effects, and `effects` is the one place that touches the world outside.

mod bindings;
mod body;
mod driver;
mod effects;
mod entry_points;
mod export;
mod http_error;
mod pause;
