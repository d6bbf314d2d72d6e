//! A component that gets its tokens from edgepass.
//!
//! It exports one function. Replace it by your own, and keep [`request`]: the generated `TokenRequest` has no default.

use bindings::edgepass::credentials::credential_provider::{
    CredentialError, TokenRequest, get_token,
};
use bindings::edgepass::credentials::types::{Grant, Refresh, TokenType};

mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "greeter",
        generate_all,
    });
}

struct Greeter;

bindings::export!(Greeter with_types_in bindings);

impl bindings::Guest for Greeter {
    async fn greet(name: String) -> Result<String, String> {
        // the scopes of the configuration; a token that is cached is there at once
        let token = get_token(request(&[])).await.map_err(|error| said(&error))?;
        Ok(format!(
            "hello {name}, with a {} token of {} bytes for {}",
            token.token_type,
            token.token.len(),
            token.scope
        ))
    }
}

/// A token of the default identity, for these scopes, or where there are none for those that the configuration names.
fn request(scopes: &[&str]) -> TokenRequest {
    TokenRequest {
        identity: None,
        scopes: scopes.iter().map(ToString::to_string).collect(),
        tenant: None,
        grant: Grant::ClientCredentials,
        claims: None,
        token_type: TokenType::Bearer,
        refresh: Refresh::IfNeeded,
    }
}

/// What to tell people. Programs look at the case: it says who can fix it.
fn said(error: &CredentialError) -> String {
    use CredentialError as E;
    let (E::Configuration(detail)
    | E::InvalidRequest(detail)
    | E::Unsupported(detail)
    | E::CredentialUnavailable(detail)
    | E::Network(detail)
    | E::Timeout(detail)
    | E::Throttled(detail)
    | E::Server(detail)
    | E::InvalidResponse(detail)
    | E::CredentialRejected(detail)
    | E::FederationMismatch(detail)
    | E::InteractionRequired(detail)
    | E::Refused(detail)
    | E::Busy(detail)
    | E::Other(detail)) = error;
    match &detail.hint {
        Some(hint) => format!("{}; {hint}", detail.message),
        None => detail.message.clone(),
    }
}
