//! Tokens as secrets of wasmCloud: a component written for `wasmcloud:secrets` gets access tokens unchanged.
//!
//! The key is `token/IDENTITY/SCOPE`: an identity of the configuration, or nothing for its default one, and what follows the
//! next slash, which are the scopes, with a space between two. Without a scope they are those that the identity has in the
//! configuration. Another key is not found.

mod key;

use std::cell::RefCell;

use edgepass_bindings::types::{AccessToken, TokenRequest};
use edgepass_core::{Error, ErrorClass};
use zeroize::Zeroizing;

use bindings::edgepass::credentials_p2::credential_provider::get_token;
use bindings::exports::wasmcloud::secrets::{reveal, store};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/p2", "wit"],
        world: "edgepass:secrets/adapter",
        with: { "edgepass:credentials/types@0.2.0": edgepass_bindings::types },
        generate_all,
    });
}

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{Adapter, bindings};

    bindings::export!(Adapter with_types_in bindings);
}

/// What the entry points call.
struct Adapter;

impl store::Guest for Adapter {
    type Secret = Token;

    fn get(key: String) -> Result<store::Secret, store::SecretsError> {
        let request = key::request(&key).ok_or(store::SecretsError::NotFound)?;
        let token = token(&request).map_err(|error| refusal(&error))?;
        Ok(store::Secret::new(Token {
            request,
            last: RefCell::new(token),
        }))
    }
}

impl reveal::Guest for Adapter {
    /// An application may keep a handle for as long as it lives, and a token lives for an hour: so the cache of the provider is
    /// asked each time. While there is none to be had, it is the last one.
    fn reveal(secret: store::SecretBorrow<'_>) -> store::SecretValue {
        let secret: &Token = secret.get();
        if let Ok(newer) = token(&secret.request) {
            secret.last.replace(newer);
        }
        store::SecretValue::String(String::clone(&secret.last.borrow()))
    }
}

/// A token behind a handle.
pub struct Token {
    request: TokenRequest,
    last: RefCell<Zeroizing<String>>,
}

impl store::GuestSecret for Token {}

fn token(request: &TokenRequest) -> Result<Zeroizing<String>, Error> {
    let AccessToken { token, .. } = get_token(request)?;
    Ok(Zeroizing::new(token))
}

fn refusal(error: &Error) -> store::SecretsError {
    let told = format!("{error:#}");
    match error.class() {
        ErrorClass::Network | ErrorClass::Timeout => store::SecretsError::Io(told),
        _ => store::SecretsError::Upstream(told),
    }
}
