//! The HTTP filter for components: it stands between what a component sends and the network, and puts tokens on requests by
//! the rules of the section `http`. The component has no part in it, and never holds a token.
//!
//! `edgepass-rules` decides which request gets a token; `forward` carries that out, and `body` carries what a request has in
//! it. The tokens are the provider's, behind handles (`opaque-tokens`). `audit` writes down which request got which.

mod audit;
mod bindings;
mod body;
mod forward;
mod head;
mod settings;
mod token;

use bindings::exports::wasi::http::{client, handler};
use bindings::wasi::http::types::{ErrorCode, Request, Response};

struct Filter;

impl client::Guest for Filter {
    async fn send(request: Request) -> Result<Response, ErrorCode> {
        forward::send(request).await
    }
}

impl handler::Guest for Filter {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        forward::send(request).await
    }
}

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{Filter, bindings};

    bindings::export!(Filter with_types_in bindings);
}
