//! An application component that gets its tokens from another component.

use std::fmt::Write;
use std::pin::pin;

use futures::future::join_all;
use sha2::{Digest, Sha256};

use bindings::edgepass::credentials::credential_provider::{
    CredentialError, Rejection, TokenRequest, cached_token, drop_cached, get_client_assertion,
    get_header, get_token, report_rejection,
};
use bindings::edgepass::credentials::types::{
    AuthorizeError, ErrorDetail, Grant, IdentityStatus, Refresh, RejectionOutcome, TokenSource,
    TokenState, TokenType,
};
use bindings::edgepass::credentials::{opaque_tokens, status};
use bindings::exports::edgepass::consumer::app::Guest;
use bindings::wasi::cli::environment::{get_arguments, get_environment};
use bindings::wasi::http::types::{Fields, Request};
use bindings::wit_future;

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit", "wit"],
        world: "edgepass:consumer/application",
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
    async fn run(scope: String) -> Result<String, String> {
        let token = get_token(request(&scope))
            .await
            .map_err(|error| in_words(&error))?;
        let header = get_header(request(&scope))
            .await
            .map_err(|error| in_words(&error))?;
        let (scheme, credentials) = header.value.split_once(' ').unwrap_or_default();
        if credentials != token.token {
            return Err("the header carries another token".to_owned());
        }
        Ok(format!(
            "{} token of {} bytes by {}, header {}: {scheme}",
            token.token_type,
            token.token.len(),
            source_name(token.source),
            header.name
        ))
    }

    async fn token(scope: String) -> Result<String, String> {
        get_token(request(&scope))
            .await
            .map(|token| token.token)
            .map_err(|error| in_words(&error))
    }

    fn cached(scope: String) -> Option<String> {
        cached_token(&request(&scope)).map(|token| token.token)
    }

    async fn fail(identity: String) -> String {
        let request = TokenRequest {
            identity: Some(identity),
            ..request("")
        };
        match get_token(request).await {
            Ok(_) => "no error".to_owned(),
            Err(error) => in_words(&error),
        }
    }

    async fn race(scope: String) -> Result<String, String> {
        let mut leader = Box::pin(get_token(request(&scope)));
        if futures::poll!(leader.as_mut()).is_ready() {
            return Err("the first call was answered before it could be dropped".to_owned());
        }
        let mut follower = pin!(get_token(request(&scope)));
        if futures::poll!(follower.as_mut()).is_ready() {
            return Err("the second call did not wait for the first one's exchange".to_owned());
        }
        drop(leader);
        follower
            .await
            .map(|token| token.token)
            .map_err(|error| in_words(&error))
    }

    async fn reject(scope: String) -> Result<String, String> {
        let token = get_token(request(&scope))
            .await
            .map_err(|error| in_words(&error))?;
        let rejection = Rejection {
            token_sha256: sha256_hex(&token.token),
            www_authenticate: None,
        };
        let outcome =
            report_rejection(&request(&scope), &rejection).map_err(|error| in_words(&error))?;
        let next = get_token(request(&scope))
            .await
            .map_err(|error| in_words(&error))?;
        Ok(format!(
            "{}: {}",
            outcome_name(outcome),
            source_name(next.source)
        ))
    }

    async fn storm(n: u32, scope: String) -> (u32, u32, u32) {
        let calls = (0..n).map(|_| get_token(request(&scope)));
        let (mut tokens, mut busy, mut others) = (0, 0, 0);
        for answer in join_all(calls).await {
            match answer {
                Ok(_) => tokens += 1,
                Err(CredentialError::Busy(_)) => busy += 1,
                Err(_) => others += 1,
            }
        }
        (tokens, busy, others)
    }

    async fn opaque(scope: String) -> Result<String, String> {
        let get = async || {
            let token = opaque_tokens::get(request(&scope)).await;
            token.map_err(|error| in_words(&error))
        };
        let fresh = || opaque_tokens::fresh(&request(&scope));
        let token = get().await?;
        let headers = Fields::new();
        token.authorize(&headers).map_err(|error| refusal(&error))?;
        let at_once = fresh().ok_or("a token that is cached is not fresh")?;
        let same = Fields::new();
        at_once.authorize(&same).map_err(|error| refusal(&error))?;
        if same.get("authorization") != headers.get("authorization") {
            return Err("a fresh token is another than the one that was got".to_owned());
        }
        // a component can read the header back; this one proves with it that the token is the right one
        let set = headers.get("authorization");
        let readable = get_header(request(&scope))
            .await
            .map_err(|error| in_words(&error))?;
        if set != [readable.value.into_bytes()] {
            return Err("the request carries another token".to_owned());
        }
        let (_trailers, trailers) = wit_future::new(|| Ok(None));
        let (finished, _sent) = Request::new(headers, None, trailers, None);
        let late = match token.authorize(&finished.get_headers()) {
            Ok(()) => "set".to_owned(),
            Err(error) => refusal(&error),
        };
        let outcome = token
            .report_rejection(None)
            .map_err(|error| in_words(&error))?;
        if fresh().is_some() {
            return Err("a token that was refused is fresh".to_owned());
        }
        let (first, next) = (token.info(), get().await?.info());
        if fresh().is_none() {
            return Err("the token after one that was refused is not fresh".to_owned());
        }
        Ok(format!(
            "{} token by {}, later {late}, {}: {}",
            first.token_type,
            source_name(first.source),
            outcome_name(outcome),
            source_name(next.source)
        ))
    }

    fn watch() -> Vec<String> {
        status::identities().iter().map(summary).collect()
    }

    fn surroundings() -> (u32, u32) {
        let count = |many: usize| u32::try_from(many).unwrap_or(u32::MAX);
        (count(get_environment().len()), count(get_arguments().len()))
    }

    async fn assertion(audience: Option<String>) -> Result<String, String> {
        get_client_assertion(None, audience)
            .await
            .map(|assertion| assertion.assertion)
            .map_err(|error| in_words(&error))
    }

    fn forget() -> u32 {
        drop_cached(None)
    }
}

/// A client-credentials request of the default identity; no scope asks for the configured ones.
fn request(scope: &str) -> TokenRequest {
    TokenRequest {
        identity: None,
        scopes: if scope.is_empty() {
            Vec::new()
        } else {
            vec![scope.to_owned()]
        },
        tenant: None,
        grant: Grant::ClientCredentials,
        claims: None,
        token_type: TokenType::Bearer,
        refresh: Refresh::IfNeeded,
    }
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
        AuthorizeError::NotAnAccessToken => "not-an-access-token".to_owned(),
        AuthorizeError::Fields(why) => format!("refused ({why})"),
    }
}

fn summary(identity: &IdentityStatus) -> String {
    let mut line = format!("{}:", identity.identity);
    for counter in &identity.counters {
        _ = write!(line, " {} {}", counter.name, counter.value);
    }
    if let Some(failure) = &identity.last_failure {
        _ = write!(line, " last-failure {:?}", failure.class);
    }
    for token in &identity.tokens {
        let state = match token.state {
            TokenState::Fresh => "fresh",
            TokenState::RefreshDue => "refresh-due",
            TokenState::Expiring => "expiring",
            TokenState::Rejected => "rejected",
        };
        _ = write!(line, " token of {} {state}", token.scopes.join(" "));
    }
    line
}

/// The case as the WIT names it, and the message.
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

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            _ = write!(hex, "{byte:02x}");
            hex
        })
}
