//! Stands where a runtime's TLS would be, for runtimes that cannot be told of a test's certification authority: what is for
//! this machine over https goes to a port of it over plain http, and from there on over TLS.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit", "wit"],
        world: "edgepass:to-plain-http/adapter",
        generate_all,
    });
}

use bindings::exports::wasi::http::client::Guest;
use bindings::wasi::cli::environment;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Request, Response, Scheme};

struct Adapter;

impl Guest for Adapter {
    async fn send(request: Request) -> Result<Response, ErrorCode> {
        let authority = request.get_authority().unwrap_or_default();
        let (host, _) = authority.split_once(':').unwrap_or((&authority, ""));
        let is_here = host == "localhost" || host.ends_with(".localhost");
        if is_here && matches!(request.get_scheme(), Some(Scheme::Https)) {
            let mut variables = environment::get_environment().into_iter();
            let port = variables.find(|(name, _)| name == "PLAIN_PORT");
            let (_, port) = port.ok_or(ErrorCode::ConfigurationError)?;
            let set = request
                .set_scheme(Some(&Scheme::Http))
                .and_then(|()| request.set_authority(Some(&format!("127.0.0.1:{port}"))));
            set.map_err(|()| ErrorCode::ConfigurationError)?;
        }
        client::send(request).await
    }
}

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{Adapter, bindings};

    bindings::export!(Adapter with_types_in bindings);
}
