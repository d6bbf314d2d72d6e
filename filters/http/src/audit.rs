//! Records of what got tokens: lines of JSON on standard error, where the configuration has `http.audit_as`. The application
//! may end the whole composition at any moment, so a request is on record before it leaves, and once more when it is known
//! what became of it.

use std::cell::Cell;
use std::rc::Rc;

use edgepass_core::{ErrorClass, audit};
use edgepass_rules::http::{HttpRequest as _, HttpRule, HttpSettings};
use futures::channel::oneshot;

use crate::bindings::wasi::cli::stderr;
use crate::bindings::wasi::clocks::system_clock;
use crate::bindings::wasi::http::types::{ErrorCode, Response};
use crate::bindings::wasi::random::random;
use crate::bindings::wit_stream;
use crate::head::Seen;
use crate::token::Token;

thread_local! {
    /// Of this instance: a random number, and how many requests it has had.
    static REQUESTS: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// What is written of a request, if anybody wants to know. One that has left with a token has its end written also where the
/// application gives it up.
pub(crate) struct Recording(Option<Box<Audited>>);

struct Audited {
    settings: Rc<HttpSettings>,
    time_unix_ms: u64,
    correlation_id: String,
    traceparent: Option<String>,
    rule: Option<usize>,
    identity: String,
    scopes: Vec<String>,
    method: String,
    destination: String,
    is_pending: bool,
}

impl Recording {
    pub(crate) fn of(settings: &Rc<HttpSettings>, seen: &Seen<'_>) -> Self {
        if settings.audit_as.is_none() {
            return Self(None);
        }
        let traceparent = seen.header("traceparent").into_iter().next();
        let now = system_clock::now();
        let ms = now.seconds.saturating_mul(1_000) + i64::from(now.nanoseconds / 1_000_000);
        Self(Some(Box::new(Audited {
            settings: Rc::clone(settings),
            time_unix_ms: u64::try_from(ms).unwrap_or_default(),
            correlation_id: correlation_id(),
            traceparent: traceparent.and_then(|value| String::from_utf8(value).ok()),
            rule: None,
            identity: String::new(),
            scopes: Vec::new(),
            method: audit::method_of(seen.method()).to_owned(),
            destination: audit::destination(
                seen.scheme().unwrap_or("https"),
                seen.authority().unwrap_or_default(),
            ),
            is_pending: false,
        })))
    }

    /// It is about to leave with that token.
    pub(crate) async fn with(&mut self, rule: &HttpRule, token: &Token) {
        let Some(request) = &mut self.0 else { return };
        let info = token.info();
        request.of_rule(rule);
        request.identity = info.identity;
        if request.scopes.is_empty() {
            request.scopes = info.scope.split(' ').map(str::to_owned).collect();
        }
        request.is_pending = true;
        written(request.line(audit::PENDING, None)).await;
    }

    /// What became of it.
    pub(crate) async fn answered(&mut self, response: &Result<Response, ErrorCode>) {
        let Some(request) = &mut self.0 else { return };
        request.is_pending = false;
        let status = response.as_ref().ok().map(Response::get_status_code);
        let outcome = match status {
            Some(_) => audit::SENT,
            None => audit::FAILED,
        };
        written(request.line(outcome, status)).await;
    }

    /// It gets no token, and does not leave.
    pub(crate) async fn refused(mut self, rule: Option<&HttpRule>, class: ErrorClass) {
        let Some(request) = &mut self.0 else { return };
        if let Some(rule) = rule {
            request.of_rule(rule);
        }
        written(request.line(class.name(), None)).await;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(request) = self.0.as_ref().filter(|request| request.is_pending) {
            wit_bindgen::spawn_local(write(request.line(audit::ABANDONED, None)));
        }
    }
}

impl Audited {
    fn of_rule(&mut self, rule: &HttpRule) {
        self.rule = Some(rule.place);
        self.identity = rule.token.identity.clone().unwrap_or_default();
        self.scopes.clone_from(&rule.token.scopes);
    }

    fn line(&self, outcome: &str, status: Option<u16>) -> String {
        let record = audit::Record {
            time_unix_ms: self.time_unix_ms,
            correlation_id: &self.correlation_id,
            trace: self.traceparent.as_deref().and_then(audit::trace_of),
            component: self.settings.audit_as.as_deref().unwrap_or_default(),
            rule: self.rule,
            identity: &self.identity,
            scopes: &self.scopes,
            method: &self.method,
            destination: &self.destination,
            outcome,
            status,
            // it is behind a handle
            token_sha256_prefix: None,
        };
        // what the application has written there may have no end
        format!("\n{}\n", record.to_json())
    }
}

fn correlation_id() -> String {
    let (instance, count) = REQUESTS
        .get()
        .unwrap_or_else(|| (random::get_random_u64(), 0));
    REQUESTS.set(Some((instance, count.wrapping_add(1))));
    audit::correlation_id(instance, count)
}

/// Writes a line, in a task that goes on where the application gives its request up meanwhile.
async fn written(line: String) {
    let (done, is_done) = oneshot::channel::<()>();
    wit_bindgen::spawn_local(async move {
        write(line).await;
        drop(done);
    });
    _ = is_done.await;
}

/// One that cannot be written fails no request, and there is nowhere to say it.
async fn write(line: String) {
    let (mut writer, reader) = wit_stream::new();
    let result = stderr::write_via_stream(reader);
    _ = writer.write_all(line.into_bytes()).await;
    drop(writer);
    _ = result.await;
}
