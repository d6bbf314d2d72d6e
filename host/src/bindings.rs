//! What `bindgen!` makes of `wit/`. Its types stay inside this crate.

/// The way in and out: the files of the guests, compiled for the types here, which have the same names and fields. Links,
/// as `wit/` is, so that the packed crate has both.
mod conv;

/// The world that the provider component targets.
pub(crate) mod provider {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "edgepass:credentials/provider",
        imports: {
            "edgepass:credentials/host-certificates.[method]certificate.chain": trappable,
            "edgepass:credentials/host-certificates.[method]certificate.issuance": trappable,
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

/// The world of the provider component over WASI 0.2.
#[cfg(feature = "p2")]
pub(crate) mod p2 {
    wasmtime::component::bindgen!({
        path: "wit/p2",
        world: "edgepass:credentials-p2/provider",
        imports: {
            "edgepass:credentials-p2/assertion-source": async,
            "edgepass:credentials-p2/host-certificates.[method]certificate.chain": trappable,
            "edgepass:credentials-p2/host-certificates.[method]certificate.issuance": trappable,
            "edgepass:credentials-p2/host-certificates.[method]certificate.sign": async | trappable,
            "edgepass:credentials-p2/host-certificates.[method]certificate.send": trappable,
            "edgepass:credentials-p2/host-certificates.open": async | trappable,
            "edgepass:credentials-p2/token-file": async,
            "edgepass:credentials-p2/token-store": async,
        },
        with: {
            "wasi:cli": wasmtime_wasi::p2::bindings::cli,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:random": wasmtime_wasi::p2::bindings::random,
            "edgepass:credentials/types": super::provider::edgepass::credentials::types,
            "edgepass:credentials-p2/host-certificates.certificate": crate::certificate::Opened,
        },
        require_store_data_send: true,
    });
}

/// The world of a component that asks for tokens: the same interface, seen from the other side.
pub(crate) mod consumer {
    wasmtime::component::bindgen!({
        path: "wit",
        inline: "
            package edgepass:host;
            world served {
                import edgepass:credentials/credential-provider@0.2.0;
                import edgepass:credentials/opaque-tokens@0.2.0;
                import edgepass:credentials/status@0.2.0;
            }
        ",
        world: "edgepass:host/served",
        // plain functions for the component, but their answer is in another store: some microseconds away, for which
        // this one stands still
        imports: {
            "edgepass:credentials/credential-provider.report-rejection": async,
            "edgepass:credentials/credential-provider.drop-cached": async,
            "edgepass:credentials/credential-provider.end-session": async,
            "edgepass:credentials/opaque-tokens.[method]token.info": trappable,
            "edgepass:credentials/opaque-tokens.[method]token.authorize": trappable,
            "edgepass:credentials/opaque-tokens.[method]token.report-rejection": async | trappable,
            "edgepass:credentials/opaque-tokens.get": trappable,
            "edgepass:credentials/opaque-tokens.fresh": trappable,
            "edgepass:credentials/status.identities": async,
        },
        with: {
            "wasi:http": wasmtime_wasi_http::p3::bindings::http,
            "edgepass:credentials/opaque-tokens.token": crate::link::OpaqueToken,
            "edgepass:credentials/types": super::provider::edgepass::credentials::types,
        },
        require_store_data_send: true,
    });
}

/// The same over WASI 0.2. Every function is a plain one there, and its answer in another store.
#[cfg(feature = "p2")]
pub(crate) mod consumer_p2 {
    wasmtime::component::bindgen!({
        path: "wit/p2",
        inline: "
            package edgepass:host;
            world served {
                import edgepass:credentials-p2/credential-provider@0.2.0;
                import edgepass:credentials-p2/opaque-tokens@0.2.0;
            }
        ",
        world: "edgepass:host/served",
        imports: {
            "edgepass:credentials-p2/credential-provider.get-token": async,
            "edgepass:credentials-p2/credential-provider.get-header": async,
            "edgepass:credentials-p2/credential-provider.get-client-assertion": async,
            "edgepass:credentials-p2/credential-provider.try-credentials": async,
            "edgepass:credentials-p2/credential-provider.authorization-url": async,
            "edgepass:credentials-p2/credential-provider.report-rejection": async,
            "edgepass:credentials-p2/credential-provider.drop-cached": async,
            "edgepass:credentials-p2/credential-provider.end-session": async,
            "edgepass:credentials-p2/opaque-tokens.[method]token.info": trappable,
            "edgepass:credentials-p2/opaque-tokens.[method]token.authorize": trappable,
            "edgepass:credentials-p2/opaque-tokens.[method]token.report-rejection": async | trappable,
            "edgepass:credentials-p2/opaque-tokens.get": async | trappable,
            "edgepass:credentials-p2/opaque-tokens.fresh": trappable,
        },
        with: {
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "edgepass:credentials-p2/opaque-tokens.token": crate::link::OpaqueToken,
            "edgepass:credentials/types": super::provider::edgepass::credentials::types,
        },
        require_store_data_send: true,
    });
}

pub(crate) use provider::edgepass::credentials::{
    assertion_source, host_certificates, signatures, token_file, token_store, types,
};
pub(crate) use provider::{Provider, ProviderPre};
