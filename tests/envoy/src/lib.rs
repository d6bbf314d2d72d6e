//! The compiled Envoy filter in the real Envoy: an emulator as its token server over TLS, an upstream that records what
//! reaches it, and the process itself.
//!
//! Envoy is the one that `EDGEPASS_ENVOY` names, otherwise the one under `target/peers/envoy`; the filter is the one
//! that `EDGEPASS_ENVOY_WASM` names, otherwise `dist/edgepass-envoy.wasm`.

mod client;
mod envoy;
mod lab;
mod setup;
mod upstream;

pub use client::{Answer, get, get_with};
pub use envoy::{Envoy, validate};
pub use lab::{Lab, until};
pub use setup::{Setup, filter_path};
pub use upstream::{Reply, Seen, Upstream};
