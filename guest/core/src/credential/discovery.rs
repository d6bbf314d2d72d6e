//! The endpoints of a server by its issuer identifier: RFC 8414, and OpenID Connect Discovery 1.0.
//!
//! RFC 8414 puts its well-known path between host and path of the issuer, OpenID Connect after the path. The first is asked
//! first. A document counts only if it names the very issuer that was asked for (RFC 8414 section 3.3), and what it says is
//! followed only to hosts that the configuration trusts: whoever can change the document must not be able to have
//! credentials sent elsewhere.
//!
//! A document serves others than those in whose exchange it is asked for. One that repeats what that exchange presents or was
//! given is therefore not kept: `secrets` are what a server may know by then.

use crate::authority::{Description, Endpoint, Issuer, IssuerRule};
use crate::credential::kept::{Fresh, Kept, kept};
use crate::credential::platform::{Question, Server};
use crate::effect::HttpResponse;
use crate::flow::Io;
use crate::json::Json;
use crate::limits::{MAX_KEY_SETS, METADATA_LIFETIME_MS, METADATA_RENEWAL_MS};
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
    secrets: &[Secret],
) -> Result<Endpoint, Error> {
    let description = Description::of_issuer(issuer);
    let wanted = Wanted::TokenEndpoint;
    let found = described(io, &description, wanted, correlation_id, secrets).await;
    let endpoint = found.and_then(|found| {
        let Found { plain, alias, .. } = Found::parse(found.text());
        chosen(issuer, plain, alias.filter(|_| mtls), secrets)
    });
    endpoint.map_err(|error| {
        // by then it may say something else
        renew(io, issuer);
        of(&description, error, correlation_id, secrets)
    })
}

/// What a server says of itself where users sign in.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// `issuer`.
    pub(crate) issuer: String,
    /// `jwks_uri`.
    pub(crate) jwks_uri: String,
    /// `authorization_endpoint`.
    pub(crate) authorization_endpoint: Option<String>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207 section 3).
    pub(crate) names_issuer: bool,
}

/// That of the server, with its keys' place. Kept for a while.
pub(crate) async fn metadata(
    io: &Io,
    description: &Description,
    correlation_id: &str,
    secrets: &[Secret],
) -> Result<Metadata, Error> {
    with(io, description, Wanted::Keys, correlation_id, secrets).await
}

/// The same with its authorization endpoint.
pub(crate) async fn authorization_metadata(
    io: &Io,
    description: &Description,
    correlation_id: &str,
) -> Result<Metadata, Error> {
    with(
        io,
        description,
        Wanted::AuthorizationEndpoint,
        correlation_id,
        &[],
    )
    .await
}

async fn with(
    io: &Io,
    description: &Description,
    wanted: Wanted,
    correlation_id: &str,
    secrets: &[Secret],
) -> Result<Metadata, Error> {
    // what was asked for something else may do
    let others = [Wanted::TokenEndpoint, Wanted::Keys].into_iter();
    let mut others = others.filter(|other| {
        let kept = io.kept_text(&key(description, *other));
        kept.is_some_and(|text| Found::parse(&text).has(wanted))
    });
    let by = others.next().unwrap_or(wanted);
    let found = described(io, description, by, correlation_id, secrets).await;
    let found = found.map_err(|error| of(description, error, correlation_id, secrets))?;
    let found = Found::parse(found.text());
    Ok(Metadata {
        issuer: found.issuer.to_owned(),
        jwks_uri: found.jwks_uri.to_owned(),
        authorization_endpoint: Some(found.authorization_endpoint.to_owned())
            .filter(|url| !url.is_empty()),
        names_issuer: !found.names_issuer.is_empty(),
    })
}

/// The URL in that field of the metadata, if requests may go there.
pub(crate) fn permitted(
    description: &Description,
    field: &str,
    url: &str,
    secrets: &[Secret],
) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::parse(url).map_err(|refusal| {
        let message = format!("its {field} {}", refusal.message);
        Error::new(ErrorClass::InvalidResponse, message).hint("have the metadata mended")
    });
    let endpoint =
        endpoint.and_then(|endpoint| trusted(&description.hosts, field, endpoint, secrets));
    endpoint.map_err(|error| named(description, error, secrets))
}

/// Has the document asked for again at the next exchange: what it said did not work. Until that brings another, it counts.
pub(crate) fn renew(io: &Io, issuer: &Issuer) {
    let now = io.now();
    let key = key(&Description::of_issuer(issuer), Wanted::TokenEndpoint);
    io.shelf(&key, |shelf| shelf.renew_at(now));
}

/// What a document is asked for: it is no good without that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    TokenEndpoint,
    Keys,
    AuthorizationEndpoint,
}

/// No digest: it cannot be taken for the key of a credential.
fn key(description: &Description, wanted: Wanted) -> String {
    match wanted {
        Wanted::TokenEndpoint => description.name.clone(),
        Wanted::Keys => format!("{METADATA} {}", description.name),
        Wanted::AuthorizationEndpoint => format!("{METADATA} of users {}", description.name),
    }
}

/// How the keys begin of what is kept for one tenant or issuer.
const METADATA: &str = "metadata";

async fn described(
    io: &Io,
    description: &Description,
    wanted: Wanted,
    correlation_id: &str,
    secrets: &[Secret],
) -> Result<Kept, Error> {
    let key = key(description, wanted);
    if wanted != Wanted::TokenEndpoint {
        // a request may name any of many tenants
        io.bound_shelves(METADATA, &key, MAX_KEY_SETS);
    }
    let ask =
        Box::pin(async { Ok(found(io, description, wanted, correlation_id, secrets).await?) });
    let kept = kept(io, &key, None, ask)
        .await
        .map_err(|failure| failure.error)?;
    // somebody else may have asked, of whose exchange they say nothing
    check_in_confidence(&description.name, kept.text().expose(), secrets).inspect_err(|_| {
        io.shelf(&key, |shelf| shelf.forget(kept.text()));
    })?;
    Ok(kept)
}

/// Whether a document is fit to be kept for others.
///
/// # Errors
///
/// When there is something of those secrets in it.
pub(super) fn check_in_confidence(
    name: &str,
    document: &str,
    secrets: &[Secret],
) -> Result<(), Error> {
    if !Needles::of(secrets).without_short().are_in(document) {
        return Ok(());
    }
    let message = format!("{name} repeats what it was sent, or has issued, in confidence");
    Err(Error::new(ErrorClass::InvalidResponse, message)
        .hint("nothing of it is used or kept: have the server mended, and renew the credential"))
}

/// The error, as one of that server's metadata.
fn of(description: &Description, error: Error, correlation_id: &str, secrets: &[Secret]) -> Error {
    named(description, error, secrets)
        .edit(|detail| detail.correlation_id = Some(correlation_id.to_owned()))
}

fn named(description: &Description, error: Error, secrets: &[Secret]) -> Error {
    error.without(&Needles::of(secrets)).edit(|detail| {
        detail.message = format!("{}: {}", description.name, detail.message);
    })
}

/// The endpoint out of what was found, if requests may go there. RFC 8705 section 5 has the alias for mutual TLS.
fn chosen(
    issuer: &Issuer,
    plain: &str,
    alias: Option<&str>,
    secrets: &[Secret],
) -> Result<Endpoint, Error> {
    let (field, url) = match alias {
        Some(alias) => ("mtls_endpoint_aliases.token_endpoint", alias),
        None => ("token_endpoint", plain),
    };
    let endpoint = Endpoint::parse(url).map_err(|refusal| {
        let message = format!("its {field} {}", refusal.message);
        Error::new(ErrorClass::InvalidResponse, message)
            .hint("have the metadata mended, or set token_endpoint in place of issuer")
    })?;
    trusted(&issuer.hosts, field, endpoint, secrets)
}

fn trusted(
    hosts: &[String],
    field: &str,
    endpoint: Endpoint,
    secrets: &[Secret],
) -> Result<Endpoint, Error> {
    if hosts.contains(&endpoint.authority) {
        return Ok(endpoint);
    }
    let host = clean(&endpoint.authority, &Needles::of(secrets));
    let message = format!(
        "its {field} is at `{host}`, which is neither the issuer's host nor named as trusted"
    );
    Err(Error::new(ErrorClass::Configuration, message).hint(format!(
        "if it is meant, add \"{host}\" to authority_hosts or EDGEPASS_AUTHORITY_HOSTS"
    )))
}

/// Asks for the documents, one after the other. Of two failures the one that says more is reported: a document that is there
/// and is no good, one that may be there later, none.
async fn found(
    io: &Io,
    description: &Description,
    wanted: Wanted,
    correlation_id: &str,
    secrets: &[Secret],
) -> Result<Fresh, Error> {
    let says = |error: &Error| match error.detail().http_status {
        Some(200) => 2,
        _ => u8::from(error.detail().retryable),
    };
    let mut reported: Option<Error> = None;
    for document in &description.documents {
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
            secrets,
            correlation_id,
            hint: CHECK,
        };
        let error = match question.ask(io).await {
            Ok(response) => match read(description, wanted, document, &response, secrets) {
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

/// What a document says, a line each. What it does not say is an empty one.
struct Found<'a> {
    plain: &'a str,
    alias: Option<&'a str>,
    issuer: &'a str,
    jwks_uri: &'a str,
    authorization_endpoint: &'a str,
    /// Anything, where it is so.
    names_issuer: &'a str,
}

impl<'a> Found<'a> {
    fn parse(text: &'a Secret) -> Self {
        let mut lines = text.expose().lines();
        let mut next = || lines.next().unwrap_or_default();
        Self {
            plain: next(),
            alias: Some(next()).filter(|alias| !alias.is_empty()),
            issuer: next(),
            jwks_uri: next(),
            authorization_endpoint: next(),
            names_issuer: next(),
        }
    }

    fn has(&self, wanted: Wanted) -> bool {
        let field = match wanted {
            Wanted::TokenEndpoint => self.plain,
            Wanted::Keys => self.jwks_uri,
            Wanted::AuthorizationEndpoint => self.authorization_endpoint,
        };
        !field.is_empty()
    }
}

/// What is of use in a document: see [`Found`].
fn read(
    description: &Description,
    wanted: Wanted,
    document: &Endpoint,
    response: &HttpResponse,
    secrets: &[Secret],
) -> Result<Secret, Error> {
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
    if !description.takes(said) {
        let said = clean(said, &Needles::of(secrets));
        let error = invalid(&format!("is that of another issuer, `{said}`"));
        return Err(error.hint(match &description.issuer {
            IssuerRule::Exactly(_) => "the two must be the same to the letter (RFC 8414 section 3.3): if that one is meant, write it as issuer",
            IssuerRule::Entra { .. } => "it has to name the tenant that was asked, at a host of that authority: check tenant_id and authority_host, and what answers in its place",
        }));
    }
    let plain = text(metadata.get("token_endpoint"));
    let jwks_uri = text(metadata.get("jwks_uri"));
    let aliases = metadata.get("mtls_endpoint_aliases");
    let alias = text(aliases.and_then(|aliases| aliases.get("token_endpoint")));
    let authorization_endpoint = text(metadata.get("authorization_endpoint"));
    // a line each: a line break inside of one becomes a space, which no URL may have either
    let names_issuer = metadata.get("authorization_response_iss_parameter_supported");
    let names_issuer = matches!(names_issuer, Some(Json::Bool(true))).then_some("yes");
    let lines = [
        plain,
        alias,
        Some(said),
        jwks_uri,
        authorization_endpoint,
        names_issuer,
    ];
    let lines = lines.map(|url| url.unwrap_or_default().replace(['\n', '\r'], " "));
    let found = Secret::new(lines.join("\n"));
    check_in_confidence(&format!("{authority}{path}"), found.expose(), secrets)?;
    match wanted {
        _ if Found::parse(&found).has(wanted) => Ok(found),
        Wanted::TokenEndpoint => Err(invalid("names no token_endpoint")),
        Wanted::Keys => Err(invalid(
            "names no jwks_uri, by whose keys ID tokens are validated",
        )),
        Wanted::AuthorizationEndpoint => Err(invalid("names no authorization_endpoint")),
    }
}
