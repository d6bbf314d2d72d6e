//! The endpoints of a server by its issuer identifier: RFC 8414, and OpenID Connect Discovery 1.0.
//!
//! RFC 8414 puts its well-known path between host and path of the issuer, OpenID Connect after the path. The first is asked
//! first. A document counts only if it names the very issuer that was asked for (RFC 8414 section 3.3), and what it says is
//! followed only to hosts that the configuration trusts: whoever can change the document must not be able to have
//! credentials sent elsewhere.

use crate::authority::{Endpoint, Issuer};
use crate::credential::kept::{Fresh, kept};
use crate::credential::platform::{Question, Server};
use crate::effect::HttpResponse;
use crate::flow::Io;
use crate::json::Json;
use crate::limits::{METADATA_LIFETIME_MS, METADATA_RENEWAL_MS};
use crate::needs::{Purpose, Scheme};
use crate::text::{Needles, clean};
use crate::{Error, ErrorClass, Secret, SecretBytes};

/// What to do where nothing more is known.
const CHECK: &str = "check issuer and the way to its host, or set token_endpoint in its place; redirects are not followed";

/// Where that issuer's tokens are asked for; `mtls` on a connection with a client certificate. Kept for a while.
pub(super) async fn token_endpoint(
    io: &Io,
    issuer: &Issuer,
    mtls: bool,
    correlation_id: &str,
) -> Result<Endpoint, Error> {
    let key = key(issuer);
    let ask = Box::pin(async { Ok(found(io, issuer, correlation_id).await?) });
    let endpoint = match kept(io, &key, ask).await {
        Ok(kept) => chosen(issuer, kept.text().expose(), mtls),
        Err(failure) => Err(failure.error),
    };
    endpoint.map_err(|error| {
        // by then it may say something else
        renew(io, issuer);
        error.edit(|detail| {
            detail.message = format!("issuer {}: {}", issuer.identifier, detail.message);
            detail.correlation_id = Some(correlation_id.to_owned());
        })
    })
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

/// The endpoint out of what was found, if requests may go there. RFC 8705 section 5 has the alias for mutual TLS.
fn chosen(issuer: &Issuer, found: &str, mtls: bool) -> Result<Endpoint, Error> {
    let mut lines = found.lines();
    let (plain, alias) = (lines.next().unwrap_or_default(), lines.next());
    let (field, url) = match alias.filter(|_| mtls) {
        Some(alias) => ("mtls_endpoint_aliases.token_endpoint", alias),
        None => ("token_endpoint", plain),
    };
    let endpoint = Endpoint::parse(url).map_err(|refusal| {
        let message = format!("its {field} {}", refusal.message);
        Error::new(ErrorClass::InvalidResponse, message)
            .hint("have the metadata mended, or set token_endpoint in place of issuer")
    })?;
    let host = &endpoint.authority;
    if issuer.hosts.contains(host) {
        return Ok(endpoint);
    }
    let message = format!(
        "its {field} is at `{host}`, which is neither the issuer's host nor named as trusted"
    );
    Err(Error::new(ErrorClass::Configuration, message).hint(format!(
        "if it is meant, add \"{host}\" to authority_hosts or to EDGEPASS_AUTHORITY_HOSTS"
    )))
}

/// Asks for the documents, one after the other. Of two failures the one that says more is reported: a document that is there
/// and is no good, one that may be there later, none.
async fn found(io: &Io, issuer: &Issuer, correlation_id: &str) -> Result<Fresh, Error> {
    let says = |error: &Error| match error.detail().http_status {
        Some(200) => 2,
        _ => u8::from(error.detail().retryable),
    };
    let mut reported: Option<Error> = None;
    for document in &issuer.documents {
        let question = Question {
            who: "the server",
            server: &Server {
                scheme: Scheme::Https,
                authority: document.authority.clone(),
            },
            purpose: Purpose::Metadata,
            path: document.path.clone(),
            headers: vec![("accept", Secret::new("application/json"))],
            body: SecretBytes::default(),
            secrets: &[],
            correlation_id,
            hint: CHECK,
        };
        let error = match question.ask(io).await {
            Ok(response) => match read(issuer, document, &response) {
                Ok(text) => {
                    return Ok(Fresh {
                        text,
                        lifetime_ms: METADATA_LIFETIME_MS,
                        refresh_in_ms: Some(METADATA_RENEWAL_MS),
                        bound_to: None,
                    });
                }
                Err(error) => error.edit(|detail| detail.http_status = Some(200)),
            },
            Err(failure) if failure.error.class() == ErrorClass::CredentialUnavailable => {
                failure.error.reclassify(ErrorClass::InvalidResponse)
            }
            Err(failure) => failure.error,
        };
        if error.detail().http_status.is_none() {
            // whatever keeps this from being answered keeps the other from it, too
            return Err(error.hint(CHECK));
        }
        if reported
            .as_ref()
            .is_none_or(|known| says(known) < says(&error))
        {
            reported = Some(error);
        }
    }
    Err(reported.unwrap_or_else(|| Error::new(ErrorClass::Other, "has no documents")))
}

/// The token endpoint, and in another line the one for mutual TLS if there is one.
fn read(issuer: &Issuer, document: &Endpoint, response: &HttpResponse) -> Result<Secret, Error> {
    fn text(value: Option<&Json>) -> Option<&str> {
        value.and_then(Json::text).map(Secret::expose)
    }
    let Endpoint { authority, path } = document;
    let invalid = |what: &str| {
        let message = format!("{authority}{path} {what}");
        Error::new(ErrorClass::InvalidResponse, message).hint(CHECK)
    };
    let Ok(metadata) = Json::parse_answer(response.body.expose()) else {
        return Err(invalid("is no JSON"));
    };
    let said = text(metadata.get("issuer")).ok_or_else(|| invalid("names no issuer"))?;
    if said != issuer.identifier {
        let said = clean(said, &Needles::of(&[]));
        return Err(invalid(&format!("is that of another issuer, `{said}`")).hint(
            "the two must be the same to the letter (RFC 8414 section 3.3): if that one is meant, write it as issuer",
        ));
    }
    let plain = text(metadata.get("token_endpoint"));
    let plain = plain.ok_or_else(|| invalid("names no token_endpoint"))?;
    let aliases = metadata.get("mtls_endpoint_aliases");
    let alias = text(aliases.and_then(|aliases| aliases.get("token_endpoint")));
    // a line each: a line break inside of one becomes a space, which no URL may have either
    let lines: Vec<String> = std::iter::once(plain)
        .chain(alias)
        .map(|url| url.replace('\n', " "))
        .collect();
    Ok(Secret::new(lines.join("\n")))
}
