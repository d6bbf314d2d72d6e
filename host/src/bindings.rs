//! What `bindgen!` makes of `wit/`. Its types stay inside this crate: see `conv` for the way in and out.

/// The world that the provider component targets.
pub(crate) mod provider {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "edgepass:credentials/provider",
        imports: {
            "edgepass:credentials/host-certificates.[method]certificate.chain": trappable,
            "edgepass:credentials/host-certificates.[method]certificate.sign": trappable,
            "edgepass:credentials/host-certificates.[method]certificate.send": trappable,
            "edgepass:credentials/host-certificates.open": trappable,
        },
        exports: { default: async | store },
        with: {
            "wasi:cli": wasmtime_wasi::p3::bindings::cli,
            "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
            "wasi:http": wasmtime_wasi_http::p3::bindings::http,
            "wasi:random": wasmtime_wasi::p3::bindings::random,
            "edgepass:credentials/host-certificates.certificate": crate::certificate::Opened,
        },
        require_store_data_send: true,
    });
}

/// The world of a component that asks for tokens: the same interface, seen from the other side.
pub(crate) mod consumer {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "edgepass:credentials/consumer",
        // plain functions for the component, but their answer is in another store: some microseconds away, for which
        // this one stands still
        imports: {
            "edgepass:credentials/credential-provider.report-rejection": async,
            "edgepass:credentials/credential-provider.drop-cached": async,
        },
        with: {
            "edgepass:credentials/types": super::provider::edgepass::credentials::types,
        },
        require_store_data_send: true,
    });
}

pub(crate) use provider::edgepass::credentials::{
    assertion_source, host_certificates, token_file, types,
};
pub(crate) use provider::{Provider, ProviderPre};
