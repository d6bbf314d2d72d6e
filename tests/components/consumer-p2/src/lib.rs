//! An application of WASI 0.2 that gets its tokens from another component. What it exports are plain functions, so it could
//! not call an asynchronous import.

use sha2::{Digest, Sha256};

use bindings::edgepass::credentials::types::{
    AuthorizeError, ErrorDetail, Grant, Refresh, RejectionOutcome, TokenSource, TokenType,
};
use bindings::edgepass::credentials_p2::credential_provider::{
    CredentialError, Rejection, TokenRequest, cached_token, drop_cached, get_header, get_token,
    report_rejection,
};
use bindings::edgepass::credentials_p2::opaque_tokens;
use bindings::exports::edgepass::consumer_p2::app::Guest;
use bindings::wasi::http::types::{Fields, OutgoingRequest};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/p2", "wit"],
        world: "edgepass:consumer-p2/application",
        generate_all,
    });
}

struct App;

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{App, bindings};

    bindings::export!(App with_types_in bindings);
}

impl Guest for App {
    fn run(scope: String) -> Result<String, String> {
        let token = get_token(&request(&scope)).map_err(|error| in_words(&error))?;
        let header = get_header(&request(&scope)).map_err(|error| in_words(&error))?;
        let (scheme, credentials) = header.value.split_once(' ').unwrap_or_default();
        if credentials != token.token {
            return Err("the header carries another token".to_owned());
        }
        Ok(format!(
            "{} token by {}, header {}: {scheme}",
            token.token_type,
            source_name(token.source),
            header.name
        ))
    }

    fn token(scope: String) -> Result<String, String> {
        get_token(&request(&scope))
            .map(|token| token.token)
            .map_err(|error| in_words(&error))
    }

    fn cached(scope: String) -> Option<String> {
        cached_token(&request(&scope)).map(|token| token.token)
    }

    fn fail(identity: String) -> String {
        let request = TokenRequest {
            identity: Some(identity),
            ..request("")
        };
        match get_token(&request) {
            Ok(_) => "no error".to_owned(),
            Err(error) => in_words(&error),
        }
    }

    fn reject(scope: String) -> Result<String, String> {
        let token = get_token(&request(&scope)).map_err(|error| in_words(&error))?;
        let rejection = Rejection {
            token_sha256: sha256_hex(&token.token),
            www_authenticate: None,
        };
        let outcome =
            report_rejection(&request(&scope), &rejection).map_err(|error| in_words(&error))?;
        let next = get_token(&request(&scope)).map_err(|error| in_words(&error))?;
        Ok(format!(
            "{}: {}",
            outcome_name(outcome),
            source_name(next.source)
        ))
    }

    fn opaque(scope: String) -> Result<bool, String> {
        let token = opaque_tokens::get(&request(&scope)).map_err(|error| in_words(&error))?;
        let headers = Fields::new();
        token.authorize(&headers).map_err(|error| refusal(&error))?;
        let set = headers.get("authorization");
        let fresh = opaque_tokens::fresh(&request(&scope)).ok_or("no token is fresh")?;
        let same = Fields::new();
        fresh.authorize(&same).map_err(|error| refusal(&error))?;
        if same.get("authorization") != set {
            return Err("a fresh token is another than the one that was got".to_owned());
        }
        let readable = get_header(&request(&scope)).map_err(|error| in_words(&error))?;
        let finished = OutgoingRequest::new(headers).headers();
        match token.authorize(&finished) {
            Err(AuthorizeError::Fields(_)) => {}
            Ok(()) => return Err("the headers of a request were changed".to_owned()),
            Err(error) => return Err(refusal(&error)),
        }
        Ok(set == [readable.value.into_bytes()])
    }

    fn forget() -> u32 {
        drop_cached(None)
    }
}

fn request(scope: &str) -> TokenRequest {
    TokenRequest {
        identity: None,
        scopes: Some(scope.to_owned())
            .filter(|scope| !scope.is_empty())
            .into_iter()
            .collect(),
        tenant: None,
        grant: Grant::ClientCredentials,
        claims: None,
        token_type: TokenType::Bearer,
        refresh: Refresh::IfNeeded,
    }
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn source_name(source: TokenSource) -> &'static str {
    match source {
        TokenSource::Exchange => "exchange",
        TokenSource::Cache => "cache",
        TokenSource::SharedExchange => "shared-exchange",
    }
}

fn outcome_name(outcome: RejectionOutcome) -> &'static str {
    match outcome {
        RejectionOutcome::Invalidated => "invalidated",
        RejectionOutcome::AlreadyReplaced => "already-replaced",
        RejectionOutcome::Kept => "kept",
    }
}

fn refusal(error: &AuthorizeError) -> String {
    match error {
        AuthorizeError::Expired => "expired".to_owned(),
        AuthorizeError::NotAnAccessToken => "no access token".to_owned(),
        AuthorizeError::Fields(why) => why.clone(),
    }
}

fn in_words(error: &CredentialError) -> String {
    let (case, ErrorDetail { message, .. }) = match error {
        CredentialError::Configuration(detail) => ("configuration", detail),
        CredentialError::InvalidRequest(detail) => ("invalid-request", detail),
        CredentialError::Unsupported(detail) => ("unsupported", detail),
        CredentialError::CredentialUnavailable(detail) => ("credential-unavailable", detail),
        CredentialError::Network(detail) => ("network", detail),
        CredentialError::Timeout(detail) => ("timeout", detail),
        CredentialError::Throttled(detail) => ("throttled", detail),
        CredentialError::Server(detail) => ("server", detail),
        CredentialError::InvalidResponse(detail) => ("invalid-response", detail),
        CredentialError::CredentialRejected(detail) => ("credential-rejected", detail),
        CredentialError::FederationMismatch(detail) => ("federation-mismatch", detail),
        CredentialError::InteractionRequired(detail) => ("interaction-required", detail),
        CredentialError::Refused(detail) => ("refused", detail),
        CredentialError::Busy(detail) => ("busy", detail),
        CredentialError::Other(detail) => ("other", detail),
    };
    format!("{case}: {message}")
}
