//! The endpoints of a server by its issuer identifier: RFC 8414, and OpenID Connect Discovery 1.0.
//!
//! RFC 8414 puts its well-known path between host and path of the issuer, OpenID Connect after the path. The first is asked
//! first. A document counts only if it names the very issuer that was asked for (RFC 8414 section 3.3), and what it says is
//! followed only to hosts that the configuration trusts: whoever can change the document must not be able to have
//! credentials sent elsewhere.

use super::asked::Asked;
use super::body::{self, Body};
use super::transport::no_response;
use super::{Wanted, retry_after_ms};
use crate::authority::{Endpoint, Issuer};
use crate::credential::{Failure, Fresh, kept};
use crate::effect::{HttpErrorKind, HttpRequest, HttpResponse, Via};
use crate::flow::Io;
use crate::json::Json;
use crate::limits::{
    MAX_METADATA_BYTES, METADATA_LIFETIME_MS, METADATA_RENEWAL_MS, METADATA_TIMEOUT_MS,
};
use crate::needs::Purpose;
use crate::{Error, ErrorClass, ErrorDetail, Secret, SecretBytes};

/// Where that issuer's tokens are asked for; `mtls` on a connection with a client certificate. Kept for a while.
pub(crate) async fn token_endpoint(
    io: &Io,
    issuer: &Issuer,
    mtls: bool,
    correlation_id: &str,
) -> Result<Endpoint, Error> {
    let key = key(issuer);
    let ask = Box::pin(async {
        let found = found(io, issuer, correlation_id).await;
        found.map_err(Failure::from)
    });
    let kept = kept(io, &key, ask).await.map_err(|failure| failure.error)?;
    let mut lines = kept.text().expose().lines();
    let (plain, alias) = (lines.next().unwrap_or_default(), lines.next());
    // RFC 8705 section 5: the alias, if there is one, for whoever uses mutual TLS
    let (field, url) = match alias.filter(|_| mtls) {
        Some(alias) => ("mtls_endpoint_aliases.token_endpoint", alias),
        None => ("token_endpoint", plain),
    };
    let checked = checked(issuer, field, url, correlation_id);
    if checked.is_err() {
        // by then it may say something else
        renew(io, issuer);
    }
    checked
}

/// Has the document asked for again at the next exchange: what it said did not work. Until that brings another, it counts.
pub(crate) fn renew(io: &Io, issuer: &Issuer) {
    let now = io.now();
    io.shelf(&key(issuer), |shelf| shelf.renew_at(now));
}

/// No digest: it cannot be taken for the key of a credential.
fn key(issuer: &Issuer) -> String {
    format!("issuer {}", issuer.identifier)
}

/// The endpoint, if requests may go there.
fn checked(
    issuer: &Issuer,
    field: &str,
    url: &str,
    correlation_id: &str,
) -> Result<Endpoint, Error> {
    let said = |message: String| format!("its {field} {message}");
    let endpoint = Endpoint::parse(url).map_err(|refusal| {
        Refused::of(ErrorClass::InvalidResponse, said(refusal.message.clone()))
            .hint("the server's metadata must name an https URL; have it mended, or set token_endpoint in place of issuer")
            .error(issuer, correlation_id)
    })?;
    if issuer.hosts.contains(&endpoint.authority) {
        return Ok(endpoint);
    }
    let host = &endpoint.authority;
    Err(Refused::of(
        ErrorClass::Configuration,
        said(format!(
            "is at `{host}`, which is neither the issuer's host nor named as trusted"
        )),
    )
    .hint(format!(
        "if it is meant, add \"{host}\" to authority_hosts or to EDGEPASS_AUTHORITY_HOSTS"
    ))
    .error(issuer, correlation_id))
}

/// Why there are no endpoints.
struct Refused {
    class: ErrorClass,
    message: String,
    hint: String,
    retryable: bool,
    retry_after_ms: Option<u64>,
    http_status: Option<u16>,
}

impl Refused {
    fn of(class: ErrorClass, message: String) -> Self {
        Self {
            class,
            message,
            hint: "check issuer, or set token_endpoint in its place".to_owned(),
            retryable: false,
            retry_after_ms: None,
            http_status: None,
        }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: hint.into(),
            ..self
        }
    }

    fn error(self, issuer: &Issuer, correlation_id: &str) -> Error {
        Error::with_detail(
            self.class,
            ErrorDetail {
                message: format!("issuer {}: {}", issuer.identifier, self.message),
                hint: Some(self.hint),
                retryable: self.retryable,
                retry_after_ms: self.retry_after_ms,
                http_status: self.http_status,
                correlation_id: Some(correlation_id.to_owned()),
                ..ErrorDetail::default()
            },
        )
    }

    /// Of two documents the one that says most: one that is there and is no good, one that may be there later, none.
    fn says(&self) -> u8 {
        match (self.http_status, self.retryable) {
            (Some(200), _) => 2,
            (_, true) => 1,
            _ => 0,
        }
    }
}

/// Asks for the documents, one after the other.
async fn found(io: &Io, issuer: &Issuer, correlation_id: &str) -> Result<Fresh, Error> {
    let mut worst: Option<Refused> = None;
    for document in &issuer.documents {
        let request = HttpRequest {
            method: Purpose::Metadata.method(),
            scheme: "https",
            authority: document.authority.clone(),
            path: document.path.clone(),
            headers: vec![
                ("accept", Secret::new("application/json")),
                ("accept-encoding", Secret::new("identity")),
                (
                    "user-agent",
                    Secret::new(concat!("edgepass/", env!("CARGO_PKG_VERSION"))),
                ),
            ],
            body: SecretBytes::default(),
            timeout_ms: METADATA_TIMEOUT_MS,
            max_response_bytes: MAX_METADATA_BYTES,
        };
        let asked = Asked {
            endpoint: document,
            server_unix_s: io.now().unix_ms / 1000,
            correlation_id,
            presented: None,
            wanted: Wanted::default(),
            secrets: &[],
        };
        let refused = match io.http(request, Via::Public).await {
            Ok(response) => match read(issuer, &asked, &response) {
                Ok(text) => {
                    return Ok(Fresh {
                        text,
                        lifetime_ms: METADATA_LIFETIME_MS,
                        refresh_in_ms: Some(METADATA_RENEWAL_MS),
                    });
                }
                Err(refused) => refused,
            },
            Err(error) if error.kind == HttpErrorKind::BodyTooLarge => Refused::of(
                ErrorClass::InvalidResponse,
                format!(
                    "{}{} has more than {MAX_METADATA_BYTES} bytes, which is no metadata",
                    document.authority, document.path
                ),
            ),
            // whatever keeps this request from being answered keeps the other from it, too
            Err(error) => {
                let failure = no_response(&asked, &error).edit(|detail| {
                    detail.message = format!("issuer {}: {}", issuer.identifier, detail.message);
                });
                return Err(match error.kind {
                    HttpErrorKind::Dns | HttpErrorKind::Connect => failure.hint(
                        "check issuer and the way to that host, or set token_endpoint in its place",
                    ),
                    _ => failure,
                });
            }
        };
        if worst
            .as_ref()
            .is_none_or(|worst| worst.says() < refused.says())
        {
            worst = Some(refused);
        }
    }
    let none = || Refused::of(ErrorClass::Other, "has no documents".to_owned());
    Err(worst.unwrap_or_else(none).error(issuer, correlation_id))
}

/// The token endpoint, and in another line the one for mutual TLS if there is one.
fn read(issuer: &Issuer, asked: &Asked<'_>, response: &HttpResponse) -> Result<Secret, Refused> {
    let Endpoint { authority, path } = asked.endpoint;
    let what = format!("{authority}{path}");
    let status = response.status;
    let refused = |class, message: String| Refused {
        http_status: Some(status),
        ..Refused::of(class, message)
    };
    if status != 200 {
        let (class, retryable, hint) = match status {
            300..=399 => (
                ErrorClass::InvalidResponse,
                false,
                "redirects are never followed: write the issuer that the server names in its metadata, or set token_endpoint",
            ),
            408 | 504 => (ErrorClass::Timeout, true, BUSY),
            429 => (ErrorClass::Throttled, true, BUSY),
            500..=599 => (ErrorClass::Server, true, BUSY),
            _ => (
                ErrorClass::InvalidResponse,
                false,
                "the server has no metadata there: check issuer, or set token_endpoint in its place",
            ),
        };
        return Err(Refused {
            retryable,
            retry_after_ms: retry_after_ms(response, asked.server_unix_s),
            ..refused(class, format!("{what} answered HTTP {status}"))
        }
        .hint(hint));
    }
    let not_metadata = |message: String| {
        refused(ErrorClass::InvalidResponse, message)
            .hint("check issuer, and proxies on the way to it; or set token_endpoint in its place")
    };
    let Ok(document) = Json::parse_answer(body::text(response)) else {
        let body = Body::of(response);
        return Err(not_metadata(format!(
            "{what} answered with {body} that is no metadata"
        )));
    };
    fn text(value: Option<&Json>) -> Option<&str> {
        value.and_then(Json::text).map(Secret::expose)
    }
    match text(document.get("issuer")) {
        Some(said) if said == issuer.identifier => {}
        Some(said) => {
            let said = asked.clean(said);
            return Err(refused(
                ErrorClass::InvalidResponse,
                format!("{what} is that of another issuer, `{said}`"),
            )
            .hint("the two must be the same to the letter (RFC 8414 section 3.3): if that one is meant, write it as issuer"));
        }
        None => return Err(not_metadata(format!("{what} names no issuer"))),
    }
    let Some(plain) = text(document.get("token_endpoint")) else {
        return Err(not_metadata(format!("{what} names no token_endpoint")));
    };
    let alias = document.get("mtls_endpoint_aliases");
    let alias = text(alias.and_then(|aliases| aliases.get("token_endpoint")));
    // a line each: a line break inside of one becomes a space, which no URL may have either
    let mut out = plain.replace('\n', " ");
    if let Some(alias) = alias {
        out.push('\n');
        out.push_str(&alias.replace('\n', " "));
    }
    Ok(Secret::new(out))
}

const BUSY: &str =
    "it has a fault of its own, or too many requests; the same request may succeed later";
