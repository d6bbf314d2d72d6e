//! The credential-provider component: the engine of `edgepass-core`, driven over WASI 0.3.
//!
//! It decides nothing. `export` takes calls, `driver` moves data between the callers, the engine and the tasks that
//! perform its effects, which `effects` says how; `imports` and `http` are the places that touch the world outside.
//!
//! What does not depend on the version of WASI (`body`, `driver`, `effects`, `http_error`, `message`, `opaque`, `start`) is compiled
//! into the component over WASI 0.2 as well (`guest/provider-p2`): it names what differs by `crate::`.

mod bindings;
mod body;
mod driver;
mod effects;
mod entry_points;
mod export;
mod http;
mod http_error;
mod imports;
mod message;
mod opaque;
mod start;
mod tasks;
