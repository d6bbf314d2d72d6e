//! What was done with tokens, for people who have to know it later.

use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use edgepass_core::{ErrorClass, TokenRequest, audit};
use http::{HeaderMap, Request, StatusCode};
use tokio::sync::watch::{Receiver, Sender};

use super::Authorized;

/// Where records go.
pub trait Audit: Send + Sync {
    /// Takes a record in. It is called in the middle of a request, also where one is given up, so it should not wait.
    fn write(&self, record: &Record);

    /// Waits until a record can be taken in, for a while at the most: a request that has its token waits for it before it is
    /// sent. By itself it does not wait.
    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// One request that was to get a token. There is never a token in it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// When it came, milliseconds of Unix time.
    pub unix_ms: u64,
    /// 32 hexadecimal digits, which no other request has: where one is sent a second time, both records have it.
    pub correlation_id: String,
    /// The trace that the application says the request is part of: its header `traceparent`
    /// ([W3C Trace Context](https://www.w3.org/TR/trace-context/)).
    pub trace: Option<Trace>,
    /// The application's name.
    pub component: String,
    /// The rule's place in the list, from 0; absent where the request was refused before a rule was found.
    pub rule: Option<usize>,
    /// The identity whose token it got; empty where it got none and its rule names no identity.
    pub identity: String,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// The request's method.
    pub method: String,
    /// Scheme, host and port. Neither path nor query: they may have secrets of the application's.
    pub destination: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The digest of the token (SHA-256, the first 16 hexadecimal digits): the same for each request that got the same.
    pub token: Option<String>,
}

/// The identifiers of a `traceparent`, as the application has them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is on its way.
    Pending,
    /// It got its token, and the service answered.
    Status(StatusCode),
    /// It got its token, and no answer.
    Failed,
    /// It got its token, and the application gave it up before an answer came.
    Abandoned,
    /// It got no token and was not sent.
    NoToken(ErrorClass),
}

impl Outcome {
    /// In one word: `sent` where the service answered, the name of the error's class where there was no token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => audit::PENDING,
            Self::Status(_) => audit::SENT,
            Self::Failed => audit::FAILED,
            Self::Abandoned => audit::ABANDONED,
            Self::NoToken(class) => class.name(),
        }
    }

    /// What the service answered.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status.as_u16()),
            _ => None,
        }
    }
}

impl Record {
    pub(super) fn of<B>(component: &str, request: &Request<B>) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let uri = request.uri();
        let place = uri.authority().map_or("", |place| place.as_str());
        Self {
            unix_ms: unix.map_or(0, |unix| {
                u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
            }),
            correlation_id: correlation_id(),
            trace: trace_of(request.headers()),
            component: component.to_owned(),
            rule: None,
            identity: String::new(),
            scopes: Vec::new(),
            method: audit::method_of(request.method().as_str()).to_owned(),
            destination: audit::destination(uri.scheme_str().unwrap_or_default(), place),
            outcome: Outcome::Pending,
            token: None,
        }
    }

    pub(super) fn with(&mut self, authorized: &Authorized) {
        let token = authorized.token();
        self.rule = Some(authorized.rule());
        self.identity.clone_from(&token.identity);
        self.scopes.clone_from(&authorized.request().scopes);
        if self.scopes.is_empty() {
            self.scopes = token.scope.split(' ').map(str::to_owned).collect();
        }
        let digest = token.token.sha256_hex();
        self.token = digest.get(..16).map(str::to_owned);
    }

    /// Of a request that got no token.
    pub(super) fn of_rule(&mut self, place: usize, request: &TokenRequest) {
        self.rule = Some(place);
        self.identity = request.identity.clone().unwrap_or_default();
        self.scopes.clone_from(&request.scopes);
    }

    /// The record as one line of JSON, without its end.
    pub fn to_json(&self) -> String {
        let trace = self.trace.as_ref();
        let record = audit::Record {
            time_unix_ms: self.unix_ms,
            correlation_id: &self.correlation_id,
            trace: trace.map(|trace| (trace.trace_id.as_str(), trace.span_id.as_str())),
            component: &self.component,
            rule: self.rule,
            identity: &self.identity,
            scopes: &self.scopes,
            method: &self.method,
            destination: &self.destination,
            outcome: self.outcome.name(),
            status: self.outcome.status(),
            token_sha256_prefix: self.token.as_deref(),
        };
        record.to_json()
    }
}

/// What will be written of a request, if anybody wants to know. One that has a token is on record in the end, also where
/// its future is dropped: whoever gives up a request cannot keep it out of the records.
pub(super) struct Recording {
    of: Option<(Record, Arc<dyn Audit>)>,
    has_token: bool,
    /// There for as long as it is.
    _open: Option<Receiver<()>>,
}

/// Those that are not on record yet: each holds a receiver.
#[derive(Clone, Debug)]
pub(super) struct Open(Sender<()>);

impl Open {
    pub(super) fn none() -> Self {
        Self(Sender::new(()))
    }

    /// Waits until there are none.
    pub(super) async fn over(&self) {
        self.0.closed().await;
    }
}

impl Recording {
    pub(super) fn of<B>(
        audit: Option<&Arc<dyn Audit>>,
        open: &Open,
        component: &str,
        request: &Request<B>,
    ) -> Self {
        Self {
            of: audit.map(|audit| (Record::of(component, request), Arc::clone(audit))),
            has_token: false,
            _open: audit.map(|_| open.0.subscribe()),
        }
    }

    /// It has that token now.
    pub(super) fn with(&mut self, authorized: &Authorized) {
        if let Some((record, _)) = &mut self.of {
            record.with(authorized);
            self.has_token = true;
        }
    }

    /// Waits until it can be written down, for a while at the most.
    pub(super) async fn ready(&self) {
        if let Some((_, audit)) = &self.of {
            audit.ready().await;
        }
    }

    /// It gets no token.
    pub(super) fn without(mut self, rule: Option<(usize, &TokenRequest)>, class: ErrorClass) {
        if let (Some((record, _)), Some((place, request))) = (&mut self.of, rule) {
            record.of_rule(place, request);
        }
        self.ended(Outcome::NoToken(class));
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.has_token = false;
        if let Some((record, audit)) = &mut self.of {
            record.outcome = outcome;
            audit.write(record);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.has_token {
            self.ended(Outcome::Abandoned);
        }
    }
}

/// Of this process, and counted in it.
fn correlation_id() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // the standard library seeds it with random numbers of the system
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    audit::correlation_id(*process, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn trace_of(headers: &HeaderMap) -> Option<Trace> {
    let (trace_id, span_id) = audit::trace_of(headers.get("traceparent")?.to_str().ok()?)?;
    Some(Trace {
        trace_id: trace_id.to_owned(),
        span_id: span_id.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an application makes long is short in a record, and what is not is there as it is.
    #[test]
    fn methods_and_destinations_are_bounded() {
        let (fits, long) = ("M".repeat(32), "M".repeat(33));
        for (method, recorded) in [
            ("GET", "GET"),
            ("PROPFIND", "PROPFIND"),
            ("x-own", "x-own"),
            (&fits, &fits),
            (&long, "_OTHER"),
        ] {
            let mut request = Request::new(());
            *request.method_mut() = method.parse().unwrap();
            assert_eq!(Record::of("app", &request).method, recorded);
        }
        let host = |length: usize| format!("{}.example:8443", "h".repeat(length));
        for (authority, is_whole) in [
            ("api.example".to_owned(), true),
            (host(240), true),
            (host(300), false),
            (host(60_000), false),
        ] {
            let mut request = Request::new(());
            *request.uri_mut() = format!("https://{authority}/x?y").parse().unwrap();
            let recorded = Record::of("app", &request).destination;
            assert_eq!(
                recorded == format!("https://{authority}"),
                is_whole,
                "{recorded}"
            );
            assert!(recorded.len() < 310, "{recorded}");
        }
    }

    #[test]
    fn no_two_requests_have_one_identifier() {
        let (one, other) = (correlation_id(), correlation_id());
        assert_ne!(one, other);
        for id in [one, other] {
            assert!(
                id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
                "{id}"
            );
        }
    }
}
