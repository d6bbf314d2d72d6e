//! Calls to other services: which request gets which token, and what becomes of one that a service refuses.
//!
//! [`Rule`]s say it, and nothing else does: a request to a host that no rule names is left as it is.
//!
//! ```no_run
//! use edgepass::downstream::Rule;
//! # async fn example(provider: edgepass::Provider) -> Result<(), Box<dyn std::error::Error>> {
//! let downstream = provider.downstream([
//!     Rule::host("graph.microsoft.com").scopes(["https://graph.microsoft.com/.default"]),
//!     Rule::host("*.vault.azure.net").path_prefix("/secrets").scopes(["https://vault.azure.net/.default"]),
//! ])?;
//!
//! let mut request = http::Request::get("https://graph.microsoft.com/v1.0/users").body(())?;
//! let authorized = downstream.authorize(&mut request).await?;
//! assert!(authorized.is_some() && request.headers().contains_key("authorization"));
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `tower` there is a layer for clients ([`Downstream::layer`]), which asks for another token and sends
//! the request once more where a service answers 401 or with a claims challenge (RFC 6750 section 3,
//! [Microsoft's claims challenges](https://learn.microsoft.com/entra/identity-platform/claims-challenge)). Without it,
//! [`Authorized::refused`] is the same step by step.
//!
//! # What gets no token
//!
//! | request | is |
//! |---|---|
//! | to a host, port, path or with a method that no rule names | left as it is |
//! | that a rule [without a token](Rule::without_token) names | left as it is |
//! | `CONNECT`, which opens a tunnel, and `TRACE`, whose answer repeats the request | left as it is |
//! | over plain http, but where a rule [permits it](Rule::http_on_loopback) for this machine | refused |
//! | with a `Host` header of another host | refused |
//! | whose host not everybody reads alike (a user name before it, `127.1`, percent-encoding), whatever rules there are | refused |
//! | whose path servers read in several ways, where a rule looks at the path | refused |
//! | without a whole address (scheme and host) | refused |
//!
//! *Refused* is an error of the class [`InvalidRequest`](crate::ErrorClass::InvalidRequest); nothing is asked for then.
//!
//! # Redirects
//!
//! A request that a client sends on to another place is judged by the rules as any other, if the layer sees it: put what
//! follows redirects around the layer, and not below it. A client that follows them by itself takes the header along as
//! it sees fit. hyper follows none; of reqwest's client it is turned off by `redirect::Policy::none()`.

#[cfg(feature = "tower")]
mod audit;
#[cfg(feature = "tower")]
mod client;
#[cfg(feature = "tower")]
mod echo;
#[cfg(feature = "tower")]
mod layer;
#[cfg(feature = "tower")]
mod outgoing;
#[cfg(feature = "tower")]
mod patience;
#[cfg(feature = "tower")]
mod reach;
mod rule;
mod target;

use std::fmt;
use std::sync::Arc;

use edgepass_core::{
    ConfigError, Error, ErrorClass, ErrorDetail, Grant, Refresh, RejectionOutcome, Secret,
    TokenRequest, challenge,
};
use http::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};

#[cfg(feature = "tower")]
pub use self::audit::{Audit, Outcome, Record, Trace};
#[cfg(feature = "tower")]
pub use self::client::{BoundTo, Client};
#[cfg(feature = "tower")]
pub use self::layer::{Authorize, AuthorizeFuture, AuthorizeLayer, CloneBody, EmptyBody};
#[cfg(feature = "tower")]
pub use self::outgoing::Outgoing;
#[cfg(feature = "tower")]
pub use self::reach::Reach;
pub use self::rule::Rule;
use self::rule::{MAX_RULES, refusal};
use crate::cache::Token;
use crate::provider::Provider;

/// The assertion of the user for whom a request is made: the access token with which this program was called. It is an
/// extension of the request ([`http::Extensions`]), for rules [`on behalf of`](Rule::on_behalf_of) users.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OnBehalfOf(pub Secret);

/// Where a configuration has its rules.
const CONFIGURED: &str = "http.rules";

/// Puts tokens on requests, by rules. A cheap handle: clones share all.
#[derive(Clone)]
pub struct Downstream(Arc<DownstreamParts>);

struct DownstreamParts {
    provider: Provider,
    rules: Vec<Rule>,
}

impl Provider {
    /// Puts this provider's tokens on requests: the first rule that fits a request counts.
    ///
    /// # Errors
    ///
    /// When a rule is wrong: it names none that is a host, a path with several readings, an identity that is not
    /// configured, the header of another purpose, or scopes or a tenant that no request of that identity may have. It names the rule by its place (`rules[0]`).
    pub fn downstream(
        &self,
        rules: impl IntoIterator<Item = Rule>,
    ) -> Result<Downstream, ConfigError> {
        self.downstream_of("rules", rules.into_iter().collect())
    }

    /// The same by the rules of the configuration's section `http`. Without one no request gets a token.
    ///
    /// # Errors
    ///
    /// When a rule is wrong, named by its setting (`http.rules[0].match.host`), with its place in the text of a configuration.
    pub fn configured_downstream(&self) -> Result<Downstream, ConfigError> {
        let http = self.host().http();
        if http.is_some_and(|http| http.rules.is_empty()) {
            let error = refusal(
                CONFIGURED,
                "has no rules",
                "name each host that gets a token, or leave the section http out",
            );
            return Err(error);
        }
        let rules = http.map_or(&[][..], |http| &http.rules);
        let rules = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| Rule::of_configuration(&format!("{CONFIGURED}[{index}]"), rule));
        let rules = rules.collect::<Result<_, _>>();
        let downstream = rules.and_then(|rules| self.downstream_of(CONFIGURED, rules));
        downstream.map_err(|error| match self.host().place_of_rule(&error.setting) {
            Some(place) => error.at(place),
            None => error,
        })
    }

    fn downstream_of(&self, setting: &str, rules: Vec<Rule>) -> Result<Downstream, ConfigError> {
        if rules.len() > MAX_RULES {
            return Err(refusal(
                setting,
                format!("there are more than {MAX_RULES} rules"),
                "begin a host with `*.` for every host below a domain",
            ));
        }
        let rules = rules.into_iter().enumerate().map(|(index, rule)| {
            let place = format!("{setting}[{index}]");
            let of_match = match setting == CONFIGURED {
                true => format!("{place}.match"),
                false => place.clone(),
            };
            let rule = rule.checked(&place, &of_match, &|identity| self.has_identity(identity))?;
            rule.check_request(&place, self.host())?;
            Ok(rule)
        });
        Ok(Downstream(Arc::new(DownstreamParts {
            rules: rules.collect::<Result<_, _>>()?,
            provider: self.clone(),
        })))
    }
}

impl Downstream {
    /// Puts the token on the request that its rule says, in the place of what is in that header. `None`: no rule is for
    /// it, and it is as it was. The header is marked as sensitive, which clients show in no log.
    ///
    /// # Errors
    ///
    /// As [`Provider::get_token`], and of the class [`InvalidRequest`](ErrorClass::InvalidRequest) where a rule is for the
    /// request and a token does not go there ([what gets no token](self#what-gets-no-token)).
    pub async fn authorize<B>(
        &self,
        request: &mut Request<B>,
    ) -> Result<Option<Authorized>, Error> {
        // the body is nobody's business here, and need not be shareable
        let Some(question) = self.question(request)? else {
            return Ok(None);
        };
        let authorized = question.ask().await?;
        authorized.put_on(request)?;
        Ok(Some(authorized))
    }

    /// Whether there is a rule at all, one that puts no token on its requests among them.
    pub fn has_rules(&self) -> bool {
        !self.0.rules.is_empty()
    }

    /// The identities of the rules that put tokens on requests; `None` is the default one.
    pub fn identities(&self) -> impl Iterator<Item = Option<&str>> {
        let rules = self.0.rules.iter().filter(|rule| !rule.disabled);
        rules.map(|rule| rule.request.identity.as_deref())
    }

    /// The provider whose tokens they are.
    pub fn provider(&self) -> &Provider {
        &self.0.provider
    }

    /// Whether a rule is for the host and port of that address, whatever it says of them.
    #[cfg(feature = "tower")]
    fn names(&self, uri: &http::Uri) -> bool {
        target::of(uri).is_ok_and(|target| self.0.rules.iter().any(|rule| rule.is_at(&target)))
    }

    /// The rule that a request is for, whether or not it gets a token by it.
    #[cfg(feature = "tower")]
    fn fitting<B>(&self, request: &Request<B>) -> Option<(usize, &Rule)> {
        let target = target::of(request.uri()).ok()?;
        let mut rules = self.0.rules.iter().enumerate();
        let (method, uri) = (request.method(), request.uri());
        rules.find(|(_, rule)| rule.fits(&target, method, uri).is_ok_and(|fits| fits))
    }

    /// Whether the host of a rule is that address itself.
    #[cfg(feature = "tower")]
    fn names_address(&self, address: std::net::IpAddr) -> bool {
        let host = target::of_address(address);
        self.0.rules.iter().any(|rule| rule.is_host(&host))
    }

    /// What has to be asked for that request. The request gets rid of what is not for the service.
    fn question<B>(&self, request: &mut Request<B>) -> Result<Option<Question>, Error> {
        let Some((place, rule)) = rule_of(&self.0.rules, request)? else {
            return Ok(None);
        };
        let user = request.extensions_mut().remove::<OnBehalfOf>();
        let header = &rule.header;
        // what the application put there is not sent, whatever becomes of the rest
        request.headers_mut().remove(header);
        let mut token = rule.request.clone();
        if rule.on_behalf_of {
            let OnBehalfOf(assertion) = user.ok_or_else(no_user)?;
            token.grant = Grant::OnBehalfOf {
                assertion: Some(assertion),
                session_key: None,
            };
        }
        Ok(Some(Question {
            provider: self.0.provider.clone(),
            rule: place,
            request: token,
            header: header.clone(),
        }))
    }

    /// A layer for clients that does it, and answers refusals.
    #[cfg(feature = "tower")]
    #[must_use]
    pub fn layer(&self) -> AuthorizeLayer {
        AuthorizeLayer::new(self.clone())
    }
}

impl fmt::Debug for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downstream")
            .field("rules", &self.0.rules)
            .finish_non_exhaustive()
    }
}

/// A token that a request is about to get.
struct Question {
    provider: Provider,
    /// The rule's place.
    rule: usize,
    request: TokenRequest,
    header: HeaderName,
}

impl Question {
    async fn ask(self) -> Result<Authorized, Error> {
        let token = self.provider.get_token(&self.request).await?;
        Ok(Authorized {
            provider: self.provider,
            rule: self.rule,
            request: self.request,
            header: self.header,
            token,
        })
    }
}

/// What was put on a request, and what to do when it is refused.
#[derive(Clone)]
pub struct Authorized {
    provider: Provider,
    rule: usize,
    request: TokenRequest,
    header: HeaderName,
    token: Token,
}

impl Authorized {
    /// The place of its rule in the list, from 0.
    pub fn rule(&self) -> usize {
        self.rule
    }

    /// What the provider was asked.
    pub fn request(&self) -> &TokenRequest {
        &self.request
    }

    /// What it answered.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Puts the token on a request that is for the same place: the one that was authorized, once more.
    ///
    /// # Errors
    ///
    /// When it is no access token, or has characters that no header may have.
    pub fn put_on<B>(&self, request: &mut Request<B>) -> Result<(), Error> {
        let authorization = self.token.authorization()?;
        let value = HeaderValue::from_str(authorization.expose());
        let mut value = value.map_err(|_| {
            let message = "the token has characters that no header may have";
            Error::new(ErrorClass::InvalidResponse, message)
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(&self.header, value);
        #[cfg(feature = "tower")]
        match &self.token.certificate_thumbprint {
            Some(thumbprint) => {
                let bound_to = BoundTo(thumbprint.clone());
                request.extensions_mut().insert(bound_to);
            }
            None => drop(request.extensions_mut().remove::<BoundTo>()),
        }
        Ok(())
    }

    /// Takes in the service's answer. Where it refuses the token, the refusal is reported, and `true` says that there is
    /// another token now: [`Self::put_on`] the request and send it once more. `false`: it is the answer, or there is no other
    /// token to be had.
    ///
    /// A token is refused by a 401, and by a 403 whose challenge says `insufficient_claims`; the claims of a challenge go
    /// into the next exchange. However many requests are refused with one token, they cause one.
    ///
    /// # Errors
    ///
    /// As [`Provider::get_token`], where the next token is not to be had. Of the class
    /// [`InteractionRequired`](ErrorClass::InteractionRequired) the detail has the claims that the user must satisfy.
    pub async fn refused(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<bool, Error> {
        if !self.report(status, headers).await? {
            return Ok(false);
        }
        // not the one that was refused, so that it is said if there is no other; and with the claims as this request's own,
        // so that it is said if the server does not grant them
        let refused = self.token.token.sha256_hex();
        let mut request = self
            .request
            .clone()
            .with_refresh(Refresh::IfTokenIs(refused));
        let challenge = refusal_of(status, headers).flatten();
        request.claims = challenge
            .and_then(|challenge| challenge::from_www_authenticate(&challenge))
            .and_then(|challenge| challenge.claims);
        let mut next = self.provider.get_token(&request).await;
        if let Err(error) = &next
            && error.class() == ErrorClass::Unsupported
            && request.claims.take().is_some()
        {
            // a platform that takes no claims may have another token all the same
            next = self.provider.get_token(&request).await;
        }
        let next = next?;
        let is_another = next.token != self.token.token;
        self.token = next;
        Ok(is_another)
    }

    /// The same without a look for another token: for a request that cannot be sent again. `true` says that the next
    /// request may get one.
    ///
    /// # Errors
    ///
    /// As [`Provider::report_rejection`].
    pub async fn report(&self, status: StatusCode, headers: &HeaderMap) -> Result<bool, Error> {
        let Some(challenge) = refusal_of(status, headers) else {
            return Ok(false);
        };
        // others may have been refused with the same token, and have another already
        let known = self.provider.cached_token(&self.request);
        if known.is_some_and(|known| known.token != self.token.token) {
            return Ok(true);
        }
        let (request, token) = (&self.request, &self.token.token);
        let reported = self
            .provider
            .report_rejection(request, token, challenge.as_deref());
        Ok(reported.await? != RejectionOutcome::Kept)
    }
}

impl fmt::Debug for Authorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorized")
            .field("request", &self.request)
            .field("header", &self.header)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The rule by which a request gets a token.
fn rule_of<'r, B>(
    rules: &'r [Rule],
    request: &Request<B>,
) -> Result<Option<(usize, &'r Rule)>, Error> {
    // a server that does TRACE answers with what it was sent (RFC 9110 section 9.3.8)
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Ok(None);
    }
    let target = target::of(request.uri())?;
    for (place, rule) in rules.iter().enumerate() {
        if !rule.fits(&target, request.method(), request.uri())? {
            continue;
        }
        let headers = request.headers();
        if rule.disabled || (rule.keep_existing && headers.contains_key(&rule.header)) {
            return Ok(None);
        }
        target::check(&target, headers, rule.http_on_loopback)?;
        return Ok(Some((place, rule)));
    }
    Ok(None)
}

/// The challenge of an answer that refuses the token of its request, if it has one.
fn refusal_of(status: StatusCode, headers: &HeaderMap) -> Option<Option<String>> {
    challenge::refused(status.as_u16(), || {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        values.map(|value| value.as_bytes().to_vec()).collect()
    })
}

fn no_user() -> Error {
    invalid(
        "a rule gives this request a token on behalf of a user, and it does not say of whom",
        "put OnBehalfOf with the caller's access token into the extensions of the request",
    )
}

/// A request that gets no token, and what to do about it.
fn invalid(message: impl Into<String>, hint: &str) -> Error {
    let detail = ErrorDetail {
        message: message.into(),
        hint: Some(hint.to_owned()),
        ..ErrorDetail::default()
    };
    Error::with_detail(ErrorClass::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(rule: Rule) -> Result<Rule, ConfigError> {
        rule.checked("rules[0]", "rules[0]", &|identity| identity == "app")
    }

    fn rules(rules: impl IntoIterator<Item = Rule>) -> Vec<Rule> {
        rules
            .into_iter()
            .map(|rule| checked(rule).unwrap())
            .collect()
    }

    fn request(uri: &str) -> Request<()> {
        Request::get(uri).body(()).unwrap()
    }

    /// What becomes of requests by one set of rules: the identity of their token, nothing, or a word of why they are refused.
    #[test]
    fn which_request_gets_a_token() {
        let rules = rules([
            Rule::host("API.example.")
                .path_prefix("/open")
                .without_token(),
            Rule::host("api.example").path_prefix("/v1").scopes(["v1"]),
            Rule::host("api.example").port(8443).scopes(["8443"]),
            Rule::host("api.example")
                .methods([Method::POST])
                .scopes(["post"]),
            Rule::host("*.vault.example").scopes(["vault"]),
            Rule::host("localhost")
                .port(8080)
                .http_on_loopback()
                .scopes(["here"]),
            Rule::host("127.0.0.1").http_on_loopback().scopes(["four"]),
            Rule::host("[::1]").http_on_loopback().scopes(["six"]),
            Rule::host("plain.example")
                .http_on_loopback()
                .scopes(["plain"]),
            Rule::host("kept.example").keep_existing().scopes(["kept"]),
        ]);
        type Verdict = Result<Option<&'static str>, &'static str>;
        let table: &[(&str, Verdict)] = &[
            ("https://api.example/v1/x", Ok(Some("v1"))),
            ("HTTPS://API.EXAMPLE/v1", Ok(Some("v1"))),
            ("https://api.example./v1", Ok(Some("v1"))),
            ("https://api.example:443/v1?q=/../x", Ok(Some("v1"))),
            ("wss://api.example/v1", Ok(Some("v1"))),
            ("https://api.example/v10", Ok(None)),
            ("https://api.example/open/x", Ok(None)),
            ("https://api.example/openx", Ok(None)),
            ("https://api.example/", Ok(None)),
            ("https://api.example:8443/", Ok(Some("8443"))),
            ("https://api.example:8444/v1", Ok(None)),
            ("https://api.example:80/v1", Ok(None)),
            // hosts that look like one
            ("https://evil-api.example/v1", Ok(None)),
            ("https://api.example.evil/v1", Ok(None)),
            ("https://api.example../v1", Err("reads alike")),
            ("https://evil.test/api.example/v1", Ok(None)),
            ("https://evil.test/?https://api.example/v1", Ok(None)),
            ("https://api.example@evil.test/v1", Err("reads alike")),
            ("https://api.example:443@evil.test/v1", Err("reads alike")),
            ("https://a.vault.example/x", Ok(Some("vault"))),
            ("https://a.b.vault.example/x", Ok(Some("vault"))),
            ("https://vault.example/x", Ok(None)),
            ("https://evilvault.example/x", Ok(None)),
            // names in an address
            ("https://user@api.example/v1", Err("reads alike")),
            ("https://user:word@api.example/v1", Err("reads alike")),
            ("https://@api.example/v1", Err("reads alike")),
            ("https://evil.test@api.example/v1", Err("reads alike")),
            // without TLS
            ("http://api.example/v1", Err("without TLS")),
            ("ws://api.example/v1", Err("without TLS")),
            ("http://api.example:443/v1", Ok(None)),
            ("http://plain.example/", Err("without TLS")),
            ("http://localhost:8080/", Ok(Some("here"))),
            ("http://LocalHost.:8080/", Ok(Some("here"))),
            ("http://localhost/", Ok(None)),
            ("http://localhost.example:8080/", Ok(None)),
            ("http://127.0.0.1/", Ok(Some("four"))),
            ("http://127.0.0.2/", Ok(None)),
            ("http://127.1/", Err("reads alike")),
            ("http://[::1]/", Ok(Some("six"))),
            ("https://[0:0:0:0:0:0:0:1]/", Ok(Some("six"))),
            ("https://[::1]:443/", Ok(Some("six"))),
            ("https://[::2]/", Ok(None)),
            ("https://[::ffff:127.0.0.1]/", Ok(Some("four"))),
            // paths that servers read in several ways
            ("https://api.example/v1/../open", Err("several ways")),
            ("https://api.example/v1/%2e%2e/open", Err("several ways")),
            ("https://api.example/open/../v1", Err("several ways")),
            ("https://api.example/%76%31/x", Err("several ways")),
            ("https://api.example/V1/x", Err("several ways")),
            ("https://api.example//v1/x", Err("several ways")),
            ("https://api.example/v1%2fx", Err("several ways")),
            ("https://api.example/v1;a=b", Err("several ways")),
            // where no rule looks at the path it is nobody's business
            ("https://a.vault.example/../%2e", Ok(Some("vault"))),
            // no whole address
            ("/v1", Err("no scheme or no host")),
            ("api.example:443", Err("no scheme or no host")),
            ("*", Err("no scheme or no host")),
        ];
        for (uri, expected) in table {
            let verdict = rule_of(&rules, &request(uri));
            match (verdict, expected) {
                (Ok(rule), Ok(scope)) => {
                    let found = rule.map(|(_, rule)| rule.request.scopes.concat());
                    assert_eq!(found.as_deref(), *scope, "{uri}");
                }
                (Err(error), Err(word)) => {
                    assert_eq!(error.class(), ErrorClass::InvalidRequest);
                    assert!(error.to_string().contains(word), "{uri}: {error}");
                    assert!(error.detail().hint.is_some(), "{uri}: {error}");
                    let shown = format!("{error:#} {error:?}");
                    assert!(!shown.contains("word@"), "{uri}: {error:#}");
                }
                (verdict, _) => panic!("{uri}: {verdict:?}"),
            }
        }
        let post = Request::post("https://api.example/v2").body(()).unwrap();
        let (_, rule) = rule_of(&rules, &post).unwrap().unwrap();
        assert_eq!(rule.request.scopes, ["post"]);
        let trace = Request::trace("https://api.example/v1").body(()).unwrap();
        assert_eq!(rule_of(&rules, &trace).unwrap(), None);
        let connect = Request::connect("api.example:443").body(()).unwrap();
        assert_eq!(rule_of(&rules, &connect).unwrap(), None);
        let mut own = request("https://kept.example/");
        assert!(rule_of(&rules, &own).unwrap().is_some());
        let value = HeaderValue::from_static("Basic eDp5");
        own.headers_mut().insert("authorization", value);
        assert_eq!(rule_of(&rules, &own).unwrap(), None);
    }

    #[test]
    fn the_host_header_is_of_the_address() {
        let rules = rules([Rule::host("api.example"), Rule::host("[::1]").port(8443)]);
        for (uri, host, fits) in [
            ("https://api.example/", "api.example", true),
            ("https://api.example/", "API.example.", true),
            ("https://api.example/", "api.example:443", true),
            ("https://api.example/", "api.example:80", false),
            ("https://api.example/", "evil.test", false),
            ("https://api.example/", "x@api.example", false),
            ("https://api.example/", "", false),
            ("https://api.example/", "api.example, evil.test", false),
            ("https://[::1]:8443/", "[0::1]:8443", true),
            ("https://[::1]:8443/", "[::1]", false),
        ] {
            let mut request = request(uri);
            let value = HeaderValue::from_str(host).unwrap();
            request.headers_mut().insert("host", value);
            let verdict = rule_of(&rules, &request);
            assert_eq!(verdict.is_ok(), fits, "{uri} with {host}: {verdict:?}");
            request
                .headers_mut()
                .append("host", HeaderValue::from_static("evil.test"));
            assert!(rule_of(&rules, &request).is_err(), "{uri} with two");
        }
    }

    #[test]
    fn rules_that_cannot_be_are_refused_by_name() {
        let host = Rule::host("a.example");
        for (rule, setting) in [
            (Rule::host(""), "host"),
            (Rule::host("*"), "host"),
            (Rule::host("*."), "host"),
            (Rule::host("a.*"), "host"),
            (Rule::host("*a.example"), "host"),
            (Rule::host("https://a.example"), "host"),
            (Rule::host("a.example:443"), "host"),
            (Rule::host("a.example/x"), "host"),
            (Rule::host("x@a.example"), "host"),
            (Rule::host("a..example"), "host"),
            (Rule::host("münchen.example"), "host"),
            (Rule::host("::1"), "host"),
            (Rule::host("*.[::1]"), "host"),
            (Rule::host("[::1"), "host"),
            (Rule::host("[fe80::1%eth0]"), "host"),
            (host.clone().path_prefix(""), "path_prefix"),
            (host.clone().path_prefix("v1"), "path_prefix"),
            (host.clone().path_prefix("/v1/*"), "path_prefix"),
            (host.clone().path_prefix("/v1/{id}"), "path_prefix"),
            (host.clone().path_prefix("/v1?x=y"), "path_prefix"),
            (host.clone().path_prefix("/v1#x"), "path_prefix"),
            (host.clone().path_prefix("/a/../b"), "path_prefix"),
            (host.clone().path_prefix("/%61"), "path_prefix"),
            (host.clone().header(""), "header"),
            (host.clone().header("a b"), "header"),
            (host.clone().header("Host"), "header"),
            (host.clone().header("content-length"), "header"),
            (host.clone().identity("other"), "identity"),
        ] {
            let error = checked(rule.clone()).unwrap_err();
            assert_eq!(error.setting, format!("rules[0].{setting}"), "{rule:?}");
            assert!(error.hint.is_some(), "{error}");
        }
        for rule in [
            Rule::host("localhost"),
            Rule::host("*.internal"),
            Rule::host("my_host.example"),
            Rule::host("10.0.0.1"),
            Rule::host("[2001:DB8::1]"),
            host.path_prefix("/").header("X-Token").identity("app"),
        ] {
            assert!(checked(rule.clone()).is_ok(), "{rule:?}");
        }
    }
}
