//! What every source is asked and answers alike: a token response, over a connection that no proxy is on.

use std::pin::Pin;

use crate::authority::Endpoint;
use crate::effect::{HttpErrorKind, HttpRequest, HttpResponse, Via};
use crate::exchange::{self, Asked, Granted, Wanted};
use crate::flow::Io;
use crate::limits::{HTTP_TIMEOUT_MS, MAX_RESPONSE_BYTES};
use crate::{Error, Secret, SecretBytes, http_date};

/// Why there is no token.
pub(super) struct Refused {
    pub(super) error: Error,
    pub(super) cause: Cause,
}

/// What came in its place.
pub(super) enum Cause {
    Answer(HttpResponse),
    NoAnswer(HttpErrorKind),
}

/// The answer to come.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Granted, Refused>> + 'a>>;

/// One request without a body: the source's own headers come to those of all.
pub(super) fn request(
    method: &'static str,
    scheme: &'static str,
    endpoint: Endpoint,
    own: &[(&'static str, Secret)],
    correlation_id: &str,
    timeout_ms: u64,
) -> HttpRequest {
    let mut headers = vec![
        ("accept", Secret::new("application/json")),
        ("accept-encoding", Secret::new("identity")),
        (
            "user-agent",
            Secret::new(concat!("edgepass/", env!("CARGO_PKG_VERSION"))),
        ),
        ("x-ms-client-request-id", Secret::new(correlation_id)),
    ];
    headers.extend_from_slice(own);
    HttpRequest {
        method,
        scheme,
        authority: endpoint.authority,
        path: endpoint.path,
        headers,
        body: SecretBytes::default(),
        timeout_ms: timeout_ms.min(HTTP_TIMEOUT_MS),
        max_response_bytes: MAX_RESPONSE_BYTES,
    }
}

/// Sends it and reads the answer. No secret of these comes back in an error.
pub(super) fn send<'a>(
    io: &'a Io,
    request: HttpRequest,
    correlation_id: &'a str,
    secrets: &'a [Secret],
) -> Answer<'a> {
    // one function, whoever awaits it
    Box::pin(exchanged(io, request, correlation_id, secrets))
}

async fn exchanged(
    io: &Io,
    request: HttpRequest,
    correlation_id: &str,
    secrets: &[Secret],
) -> Result<Granted, Refused> {
    let endpoint = Endpoint {
        authority: request.authority.clone(),
        path: request.path.clone(),
    };
    let result = io.http(request, Via::Public).await;
    let date = result
        .as_ref()
        .ok()
        .and_then(|response| response.header("date"));
    let server_unix_s = date
        .and_then(http_date::unix_seconds)
        .unwrap_or_else(|| io.now().unix_ms / 1000);
    let asked = Asked {
        endpoint: &endpoint,
        server_unix_s,
        correlation_id,
        presented: None,
        wanted: Wanted::default(),
        is_entra: true,
        secrets,
    };
    match result {
        Ok(response) => match exchange::response(&asked, &response) {
            #[cfg(feature = "every-credential")]
            Ok(granted) => Ok(super::answer::with_expiry(
                granted,
                &response,
                server_unix_s,
            )),
            #[cfg(not(feature = "every-credential"))]
            Ok(granted) => Ok(granted),
            Err(error) => Err(Refused {
                error,
                cause: Cause::Answer(response),
            }),
        },
        Err(error) => Err(Refused {
            cause: Cause::NoAnswer(error.kind),
            error: exchange::no_response(&asked, &error),
        }),
    }
}
