//! What Envoy calls.
//!
//! It calls what a module exports, for bodies, trailers and log entries of every request too. Here is no more than the
//! filter has something to do with. The SDK's own functions have the names that Envoy looks for; `cargo xtask build` gives
//! them to these, and takes off what else the SDK exports.

#![expect(unsafe_code, reason = "exported functions are unsafe attributes")]

use crate::{request, root};

/// What becomes of a request or response when its headers have come.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

proxy_wasm::main! {{
    std::panic::set_hook(Box::new(|panic| crate::host::error(&panic.to_string())));
}}

#[unsafe(no_mangle)]
extern "C" fn edgepass_on_context_create(id: u32, root: u32) {
    request::created(id, root);
    if root == 0 {
        root::created(id);
    }
}

#[unsafe(no_mangle)]
extern "C" fn edgepass_on_configure(root: u32, _: usize) -> bool {
    root::configuration_came(root)
}

#[unsafe(no_mangle)]
extern "C" fn edgepass_on_tick(root: u32) {
    root::ticked(root);
}

#[unsafe(no_mangle)]
extern "C" fn edgepass_on_http_call_response(
    root: u32,
    call: u32,
    headers: usize,
    body_bytes: usize,
    _: usize,
) {
    root::answered(root, call, headers, body_bytes);
}

#[unsafe(no_mangle)]
extern "C" fn edgepass_on_request_headers(id: u32, _: usize, _: u32) -> u32 {
    if request::headers_came(id) {
        PAUSE
    } else {
        CONTINUE
    }
}

#[unsafe(no_mangle)]
extern "C" fn edgepass_on_response_headers(id: u32, _: usize, _: u32) -> u32 {
    request::response_came(id);
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn edgepass_on_delete(id: u32) {
    if request::gone(id) {
        root::gone(id);
    }
}
