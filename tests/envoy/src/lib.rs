//! The compiled Envoy filter in the real Envoy: an emulator as its token server over TLS, an upstream that records what
//! reaches it, and the process itself.
//!
//! Envoy is the one that `EDGEPASS_ENVOY` names, otherwise the one under `target/peers/envoy` (`EDGEPASS_ENVOY_1_39` and
//! `EDGEPASS_ENVOY_1_37` for the older ones); the filter is the one that `EDGEPASS_ENVOY_WASM` names, otherwise
//! `dist/edgepass-envoy.wasm`, and the full one `EDGEPASS_ENVOY_FULL_WASM` or `dist/edgepass-envoy-full.wasm`.

mod client;
mod envoy;
mod lab;
mod setup;
mod upstream;

pub use client::{Answer, Connection, get, get_with, post};
pub use envoy::{Envoy, Version, folder, main_port, validate, validation};
pub use lab::{Lab, until};
pub use setup::{
    ClientTls, Setup, cluster, filter_path, full_filter_path, http_listener, tls_context,
};
pub use upstream::{Reply, Seen, Upstream};
