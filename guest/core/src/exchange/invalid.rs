//! Answers that are neither a token response nor an OAuth error: a redirect, a page of a proxy, broken JSON. They are named for
//! what they are, and never shown.

use crate::effect::HttpResponse;
use crate::exchange::Asked;
use crate::exchange::body::{self, Body};
use crate::exchange::class::default_hint;
use crate::exchange::retry_after::retry_after_ms;
use crate::{Error, ErrorClass, ErrorDetail};

/// An error status without an error object: a proxy's page, an empty body.
pub(super) fn no_error_object(asked: &Asked<'_>, response: &HttpResponse) -> Error {
    let host = &asked.endpoint.authority;
    let status = response.status;
    let body = Body::of(response);
    let (class, retryable) = match status {
        408 => (ErrorClass::Timeout, true),
        429 => (ErrorClass::Throttled, true),
        500..=599 => (ErrorClass::Server, true),
        _ => (ErrorClass::InvalidResponse, false),
    };
    Error::with_detail(
        class,
        ErrorDetail {
            message: format!("{host} answered HTTP {status} with {body} instead of an OAuth error"),
            hint: Some(default_hint(class).unwrap_or(body.hint()).to_owned()),
            retryable,
            retry_after_ms: retry_after_ms(response, asked.server_unix_s),
            http_status: Some(status),
            correlation_id: Some(asked.correlation_id.to_owned()),
            ..ErrorDetail::default()
        },
    )
}

/// Following it would carry the credential to another place, so it is an error (RFC 9700 section 4.12 shows why).
pub(super) fn redirect(asked: &Asked<'_>, response: &HttpResponse) -> Error {
    let target = response
        .header("location")
        .and_then(|location| location.split_once("://"))
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
        .map(|host| {
            format!(
                " to {}",
                asked.clean(host.rsplit('@').next().unwrap_or_default())
            )
        })
        .unwrap_or_default();
    let host = &asked.endpoint.authority;
    invalid(asked, response, format!("{host} answered with a redirect{target} (HTTP {}), which is never followed", response.status))
        .edit(|detail| detail.retryable = false)
        .hint("a token endpoint answers by itself; check the authority host, or the proxy on the way to it")
}

pub(super) fn not_json(
    asked: &Asked<'_>,
    response: &HttpResponse,
    error: &serde_json::Error,
) -> Error {
    let host = &asked.endpoint.authority;
    let status = response.status;
    let body = Body::of(response);
    let place = match error.classify() {
        _ if !body.is_text() => String::new(),
        // the position says where to look; serde's own text might quote what stands there
        serde_json::error::Category::Eof => ": it ends too early".to_owned(),
        // the one error of its own that the reader has
        serde_json::error::Category::Data => ": it has too many values".to_owned(),
        _ => format!(": line {} column {}", error.line(), error.column()),
    };
    let message =
        format!("{host} answered HTTP {status} with {body} that is not a token response{place}");
    let is_text = body.is_text();
    invalid(asked, response, message)
        .edit(|detail| detail.retryable = is_text)
        .hint(body.hint())
}

pub(super) fn invalid(asked: &Asked<'_>, response: &HttpResponse, message: String) -> Error {
    Error::with_detail(
        ErrorClass::InvalidResponse,
        ErrorDetail {
            message,
            hint: Some(body::NO_TOKEN_ENDPOINT.to_owned()),
            retryable: true,
            http_status: Some(response.status),
            correlation_id: Some(asked.correlation_id.to_owned()),
            ..ErrorDetail::default()
        },
    )
}
