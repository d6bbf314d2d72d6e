//! What the kinds have in common that ask a platform for a token about this workload: one request, an answer in the
//! platform's own dialect, and a JWT in it that becomes the assertion. It is asked for at each exchange: such tokens live
//! for minutes, and an access token that is got with one for an hour.

use std::rc::Rc;

use crate::authority::{Authority, Endpoint};
use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::{Client, rules};
use crate::credential::{Failure, JWT_BEARER, Supplied, silence};
use crate::distinction::Distinction;
use crate::effect::{HttpErrorKind, HttpRequest, HttpResponse, Via};
use crate::exchange::{self, Asked, Wanted, retry_after_ms};
use crate::flow::{Io, race};
use crate::inspect::inspect_jwt;
use crate::json::Json;
use crate::limits::{HTTP_TIMEOUT_MS, MAX_ASSERTION_BYTES, MAX_RESPONSE_BYTES};
use crate::needs::{Connection, PathPattern, Permission, Purpose, Scheme, is_link_local};
use crate::refusal::Refusal;
use crate::text::{Needles, clean};
use crate::{Error, ErrorClass, ErrorDetail, Secret, SecretBytes};

/// The audience that is written, or that of the server: for Entra ID that of token exchanges in its cloud, for any other
/// its token endpoint (RFC 7523 section 3), or its issuer where that is what is known of it.
pub(super) fn audience(
    written: Option<&str>,
    place: &Place<'_>,
    client: &Client,
) -> Result<String, ConfigError> {
    if let Some(written) = client.audience(place, written)? {
        return Ok(written);
    }
    if let Authority::Discovered(issuer) = &client.authority {
        return Ok(issuer.identifier.clone());
    }
    if client.authority.is_entra() {
        return Ok(client.authority.federation_audience().to_owned());
    }
    let endpoint = client.token_endpoint(None, false);
    endpoint
        .map(|endpoint| endpoint.url())
        .map_err(|error| ConfigError::from_error(place.at("audience"), &error))
}

/// A server of a platform.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) scheme: Scheme,
    /// Host, with the port if it is not the scheme's own.
    pub(super) authority: String,
}

impl Server {
    /// Of an https URL in a variable, with its path and query.
    pub(super) fn https(variable: &str, url: &str) -> Result<(Self, String), ConfigError> {
        let Endpoint { authority, path } = check(variable, Endpoint::parse(url))?;
        let server = Self {
            scheme: Scheme::Https,
            authority,
        };
        Ok((server, path))
    }

    /// At an address of this machine or its link.
    pub(super) fn link_local(authority: &str) -> Option<Self> {
        let authority = crate::authority::canonical_authority(authority, HTTP_PORT).ok()?;
        is_link_local(&authority).then_some(Self {
            scheme: Scheme::LinkLocalHttp,
            authority,
        })
    }

    /// Notes what is asked there.
    pub(super) fn need(&self, place: &Place<'_>, purpose: Purpose, path: PathPattern) {
        place.need(|needs| {
            needs.connections.push(Connection {
                permission: Permission {
                    scheme: self.scheme,
                    authority: self.authority.clone(),
                    path,
                    purpose,
                },
                certificate: None,
                server_thumbprint: None,
            });
        });
    }
}

/// Where a job asks for a token of its own, with the query that says for what, and what it shows there.
#[derive(Clone, Debug)]
pub(super) struct JobService {
    pub(super) server: Server,
    pub(super) path: String,
    pub(super) token: Secret,
}

impl JobService {
    /// Of the variables of a job, each with its name.
    pub(super) fn of(
        (url_variable, url): (&str, &str),
        query: &str,
        (token_variable, token): (&'static str, &str),
    ) -> Result<Self, ConfigError> {
        check(url_variable, rules::filled_in(url))?;
        check(token_variable, rules::filled_in(token))?;
        let (server, mut path) = Server::https(url_variable, url)?;
        check(url_variable, asks_for_nothing_yet(&path, query))?;
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(query);
        Ok(Self {
            server,
            path,
            token: header_value(token_variable, token)?,
        })
    }

    /// Notes what is asked there.
    pub(super) fn need(&self, place: &Place<'_>, purpose: Purpose) {
        let exact = PathPattern::Exact(self.path.clone());
        self.server.need(place, purpose, exact);
    }

    pub(super) fn distinguish(&self, out: &mut Distinction) {
        out.add(&self.server.authority);
        out.add(&self.path);
        out.add(self.token.expose());
    }
}

/// Whether the URL that a platform has set leaves out what is asked of it: a parameter that is there twice is read in one way by
/// one server, and in another by the next.
fn asks_for_nothing_yet(path: &str, query: &str) -> Result<(), Refusal> {
    let parse = |query| form_urlencoded::parse(str::as_bytes(query));
    let (_, before) = path.split_once('?').unwrap_or_default();
    for (name, _) in parse(query) {
        if parse(before).any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(Refusal::new(
                format!("has `{name}` in its query, which edgepass writes there"),
                "leave it as the platform has set it",
            ));
        }
    }
    Ok(())
}

/// The port of http.
const HTTP_PORT: u16 = 80;

/// One question to a platform.
pub(super) struct Question<'a> {
    /// Who answers, for messages: `the token service of GitHub Actions`.
    pub(super) who: &'static str,
    pub(super) server: &'a Server,
    pub(super) purpose: Purpose,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, Secret)>,
    pub(super) body: SecretBytes,
    /// What is sent and must not come back in a message.
    pub(super) secrets: &'a [Secret],
    pub(super) correlation_id: &'a str,
    /// What to do about a refusal.
    pub(super) hint: &'static str,
}

impl Question<'_> {
    /// The answer, if it is a success.
    pub(super) async fn ask(self, io: &Io) -> Result<HttpResponse, Failure> {
        let Self { who, server, .. } = self;
        let mut headers = vec![
            ("accept-encoding", Secret::new("identity")),
            (
                "user-agent",
                Secret::new(concat!("edgepass/", env!("CARGO_PKG_VERSION"))),
            ),
        ];
        headers.extend(self.headers);
        let request = HttpRequest {
            method: self.purpose.method(),
            scheme: match server.scheme {
                Scheme::Https => "https",
                Scheme::LinkLocalHttp => "http",
            },
            authority: server.authority.clone(),
            path: self.path,
            headers,
            body: self.body,
            timeout_ms: HTTP_TIMEOUT_MS,
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        let answer = match server.scheme {
            Scheme::Https => io.http(request, Via::Public).await,
            Scheme::LinkLocalHttp => {
                let silence = silence::silence(io, &request);
                let Ok(answer) = race(io.http(request, Via::Public), silence).await else {
                    let message = format!(
                        "{who} is not here: nobody has answered at {} for {} ms",
                        server.authority,
                        silence::PROBE_MS
                    );
                    return Err(not_here(message, self.hint));
                };
                answer
            }
        };
        let error = match answer {
            // all of them say 200; Azure Pipelines says 203 with a page to sign in
            Ok(response) if response.status == 200 => return Ok(response),
            Ok(response) => refused(who, server, &response, self.secrets, self.hint),
            Err(error) => {
                let endpoint = Endpoint {
                    authority: server.authority.clone(),
                    path: String::new(),
                };
                let asked = Asked {
                    endpoint: &endpoint,
                    server_unix_s: 0,
                    correlation_id: self.correlation_id,
                    presented: None,
                    wanted: Wanted::default(),
                    is_entra: false,
                    secrets: self.secrets,
                };
                let known = exchange::no_response(&asked, &error)
                    .edit(|detail| detail.message = format!("{who}: {}", detail.message));
                // a name or an address that only this platform has
                let is_elsewhere = server.scheme == Scheme::LinkLocalHttp
                    && matches!(error.kind, HttpErrorKind::Connect | HttpErrorKind::Dns);
                if is_elsewhere {
                    let known = known.edit(|detail| detail.retryable = false);
                    return Err(Failure::not_here(
                        known
                            .reclassify(ErrorClass::CredentialUnavailable)
                            .hint(self.hint),
                    ));
                }
                match error.kind {
                    HttpErrorKind::Connect | HttpErrorKind::Dns => known.hint(
                        "where to ask is in the platform's own variables: check that it can be reached from here",
                    ),
                    _ => known,
                }
            }
        };
        Err(error
            .edit(|detail| detail.correlation_id = Some(self.correlation_id.to_owned()))
            .into())
    }
}

const BUSY_HINT: &str =
    "it has a fault of its own, or too many requests; the same request may succeed later";

/// A status that is no success, with what the platform says of it: JSON with `message` as GitHub and Azure write it, or
/// XML as AWS does.
fn refused(
    who: &str,
    server: &Server,
    response: &HttpResponse,
    secrets: &[Secret],
    hint: &str,
) -> Error {
    let status = response.status;
    let (class, retryable) = match status {
        408 | 504 => (ErrorClass::Timeout, true),
        429 => (ErrorClass::Throttled, true),
        500..=599 => (ErrorClass::Server, true),
        _ => (ErrorClass::CredentialUnavailable, false),
    };
    let text = std::str::from_utf8(response.body.expose()).unwrap_or_default();
    let said = match Json::parse_answer(text.as_bytes()) {
        Ok(body) => ["message", "error_description", "error", "Message"]
            .iter()
            .find_map(|name| Some(body.get(name)?.text()?.expose().to_owned())),
        Err(_) => match (element(text, "Code"), element(text, "Message")) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            _ => None,
        },
    };
    let said = said.map(|said| clean(&said, &Needles::of(secrets)));
    let said = said.filter(|said| !said.is_empty());
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    let trace_id = response.header("x-vss-e2eid");
    Error::with_detail(
        class,
        ErrorDetail {
            message: format!("{who} ({}) answered HTTP {status}{said}", server.authority),
            // the platform's own advice is about whom it refuses
            hint: Some(if retryable { BUSY_HINT } else { hint }.to_owned()),
            retryable,
            retry_after_ms: retry_after_ms(response, 0),
            http_status: Some(status),
            trace_id: trace_id.map(|id| clean(id, &Needles::of(secrets))),
            ..ErrorDetail::default()
        },
    )
}

/// The text of the first XML element of that name, which has no attributes and no elements in it.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    (!text.contains('<')).then(|| text.trim())
}

/// The text in that field of a JSON answer.
pub(super) fn field(who: &str, response: &HttpResponse, name: &str) -> Result<Secret, Failure> {
    let body = Json::parse_answer(response.body.expose()).unwrap_or(Json::Null);
    let text = body.get(name).and_then(Json::text).cloned();
    text.ok_or_else(|| invalid(format!("{who} gave an answer without the text `{name}`")))
}

/// The token of a platform as an assertion.
pub(super) fn supplied(who: &str, token: Secret) -> Result<Supplied, Failure> {
    let text = token.expose();
    let presented = (text.len() <= MAX_ASSERTION_BYTES)
        .then(|| inspect_jwt(text))
        .flatten();
    match presented {
        Some(presented) => Ok(Supplied::new(token, JWT_BEARER, Some(Rc::new(presented)))),
        None => Err(invalid(format!(
            "{who} gave {} bytes that are not a JWT",
            text.len()
        ))),
    }
}

pub(super) fn invalid(message: String) -> Failure {
    Error::new(ErrorClass::InvalidResponse, message)
        .retryable()
        .hint("something else answers in its place: look at the address, and at proxies on the way")
        .into()
}

/// The value of a variable that goes into a header.
pub(super) fn header_value(variable: &str, value: &str) -> Result<Secret, ConfigError> {
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Secret::new(value));
    }
    Err(
        ConfigError::new(variable, "has characters that no header may carry")
            .hint("look for spaces and line breaks in it"),
    )
}

/// Of a platform that is not this one.
pub(super) fn not_here(message: impl Into<String>, hint: &str) -> Failure {
    Failure::not_here(Error::new(ErrorClass::CredentialUnavailable, message).hint(hint))
}
