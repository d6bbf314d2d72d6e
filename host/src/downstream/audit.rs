//! What was done with tokens, for people who have to know it later.

use std::time::{SystemTime, UNIX_EPOCH};

use edgepass_core::{ErrorClass, TokenRequest};
use http::{Request, StatusCode};

use super::Authorized;

/// Where records go. It is called in the middle of a request, so it should not wait.
pub trait Audit: Send + Sync {
    /// Takes a record in.
    fn write(&self, record: &Record);
}

/// One request that was to get a token. There is never a token in it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// When it came, milliseconds of Unix time.
    pub unix_ms: u64,
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
    /// It got no token and was not sent.
    NoToken(ErrorClass),
}

impl Record {
    pub(super) fn of<B>(component: &str, request: &Request<B>) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let uri = request.uri();
        // a user name is no part of it
        let place = uri.authority().map_or("", |place| place.as_str());
        let place = place.rsplit('@').next().unwrap_or_default();
        Self {
            unix_ms: unix.map_or(0, |unix| {
                u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
            }),
            component: component.to_owned(),
            rule: None,
            identity: String::new(),
            scopes: Vec::new(),
            method: request.method().to_string(),
            destination: format!("{}://{place}", uri.scheme_str().unwrap_or_default()),
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

    pub(super) fn ended(&mut self, outcome: Outcome) -> &Self {
        self.outcome = outcome;
        self
    }

    /// The record as one line of JSON, without its end.
    pub fn to_json(&self) -> String {
        let (outcome, status) = match self.outcome {
            Outcome::Pending => ("pending", None),
            Outcome::Status(status) => ("sent", Some(status.as_u16())),
            Outcome::Failed => ("failed", None),
            Outcome::NoToken(class) => (class.name(), None),
        };
        serde_json::json!({
            "time_unix_ms": self.unix_ms,
            "component": self.component,
            "rule": self.rule,
            "identity": self.identity,
            "scopes": self.scopes,
            "method": self.method,
            "destination": self.destination,
            "outcome": outcome,
            "status": status,
            "token_sha256_prefix": self.token,
        })
        .to_string()
    }
}
