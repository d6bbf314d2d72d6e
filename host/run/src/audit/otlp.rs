//! Records as logs of OpenTelemetry, over HTTP with JSON ([OTLP](https://opentelemetry.io/docs/specs/otlp/)): every collector
//! with an HTTP receiver takes them. They are sent in batches, by a task of their own; what finds the queue full, or is not taken
//! after some attempts, is lost and counted.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgepass::Provider;
use edgepass::downstream::{Client, Outcome, Record};
use edgepass_core::needs::is_loopback;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::{FULL, LAST, LATE, Lost};
use crate::failure::Failure;
use crate::lines::Room;

/// Records of one request.
const BATCH: usize = 512;

/// How long the first of a batch waits for others.
const GATHERING: Duration = Duration::from_millis(500);

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a batch is sent, and how long the first pause is. Each next one is twice as long.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that a receiver may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What is read of an answer, bytes.
const ANSWER: usize = 64 * 1024;

/// Variables of OpenTelemetry. The first is for logs alone, and takes the place of the other
/// ([Protocol Exporter](https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options)); an empty one is
/// none ([Environment Variables](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#parsing-empty-value)).
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// A receiver of logs.
pub(super) struct Otlp {
    target: Arc<Target>,
    /// Gone when the program ends: the task then sends what there is, and ends too.
    sender: Mutex<Option<UnboundedSender<Value>>>,
    receiver: Mutex<Option<UnboundedReceiver<Value>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Target {
    uri: Uri,
    headers: HeaderMap,
    resource: Value,
    lost: Lost,
    /// For those of which nothing is known yet.
    room: Room,
}

impl Otlp {
    pub(super) fn to(url: &str) -> Result<Self, Failure> {
        let given = HEADERS.into_iter().find_map(|variable| {
            let text = Zeroizing::new(std::env::var(variable).ok()?);
            (!text.trim().is_empty()).then_some((variable, text))
        });
        Self::with_headers(
            url,
            given.as_ref().map(|(name, text)| (*name, text.as_str())),
        )
    }

    /// With the headers of that variable, if there is one.
    fn with_headers(url: &str, given: Option<(&str, &str)>) -> Result<Self, Failure> {
        let uri = receiver(url)?;
        let mut headers = HeaderMap::new();
        if let Some((variable, text)) = given {
            let left_out = add_headers(&mut headers, text).ok_or_else(|| {
                Failure::setup(format!("{variable} is no list of headers"))
                    .hint("write name=value, with commas between them and values percent-encoded")
            })?;
            if !left_out.is_empty() {
                ::log::warn!(
                    "{variable} has headers that are not sent, because a request has its own: {}",
                    left_out.join(", ")
                );
            }
            let host = uri.host().unwrap_or_default();
            if uri.scheme() == Some(&Scheme::HTTP) && !is_loopback(host) {
                return Err(Failure::setup(format!(
                    "--audit: {variable} may have keys, which would go to {host} by http, for everybody on the way to read"
                ))
                .hint("write https://, or send to a collector on this machine, or unset the variable"));
            }
        }
        let name = std::env::var(SERVICE_NAME).ok();
        let name = name.filter(|name| !name.is_empty());
        // what is in it has a place in the room
        let (sender, receiver) = mpsc::unbounded_channel();
        Ok(Self {
            target: Arc::new(Target {
                lost: Lost::to(shown(&uri)),
                uri,
                headers,
                resource: json!({ "attributes": [
                    text("service.name", name.as_deref().unwrap_or("edgepass-run")),
                    text("service.version", env!("CARGO_PKG_VERSION")),
                ] }),
                room: Room::default(),
            }),
            sender: Mutex::new(Some(sender)),
            receiver: Mutex::new(Some(receiver)),
            task: Mutex::default(),
        })
    }

    pub(super) fn room(&self) -> &Room {
        &self.target.room
    }

    pub(super) fn start(&self, provider: &Provider) {
        let Some(receiver) = of(&self.receiver).take() else {
            return;
        };
        let (target, client) = (Arc::clone(&self.target), provider.client());
        *of(&self.task) = Some(tokio::spawn(async move {
            target.work(receiver, client).await;
        }));
    }

    pub(super) fn take(&self, record: &Record) {
        let Some(sender) = &*of(&self.sender) else {
            return;
        };
        if !(self.target.room.take() && sender.send(log_record(record)).is_ok()) {
            self.target.lost.add(1, &FULL);
        }
    }

    /// Sends what there is. What was lost.
    pub(super) async fn finish(&self) -> &Lost {
        drop(of(&self.sender).take());
        let task = of(&self.task).take();
        if let Some(mut task) = task
            && timeout(LAST, &mut task).await.is_err()
        {
            task.abort();
            self.target.lost.add(self.target.room.taken(), &LATE);
        }
        &self.target.lost
    }
}

fn of<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without the query, which may have a key.
fn shown(uri: &Uri) -> String {
    let text = uri.to_string();
    text.split('?').next().unwrap_or_default().to_owned()
}

impl Target {
    async fn work(&self, mut records: UnboundedReceiver<Value>, client: Client<Full<Bytes>>) {
        let mut batch = Vec::new();
        while records.recv_many(&mut batch, BATCH).await > 0 {
            let gathered = async {
                while batch.len() < BATCH {
                    let room = BATCH - batch.len();
                    if records.recv_many(&mut batch, room).await == 0 {
                        break;
                    }
                }
            };
            // what has come is enough
            let _ = timeout(GATHERING, gathered).await;
            let count = batch.len();
            let all = count as u64;
            match self.send(&client, std::mem::take(&mut batch)).await {
                Ok(Refused::Records(refused)) => {
                    let why = "the receiver refuses records, and takes others";
                    self.lost.add(refused.min(all), &why);
                }
                Ok(Refused::Unreadable) => {
                    let why = "the receiver does not say in a way that can be read how many of these records it refuses";
                    self.lost.add(all, &why);
                }
                Err(why) => self.lost.add(all, &why),
            }
            self.room.give_back(count);
        }
    }

    /// How many the receiver does not take of a batch that it takes.
    async fn send(
        &self,
        client: &Client<Full<Bytes>>,
        batch: Vec<Value>,
    ) -> Result<Refused, String> {
        let body = json!({ "resourceLogs": [{
            "resource": self.resource,
            "scopeLogs": [{
                "scope": { "name": "edgepass.audit", "version": env!("CARGO_PKG_VERSION") },
                "logRecords": batch,
            }],
        }] });
        let body = Bytes::from(body.to_string());
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let failed = match timeout(PATIENCE, self.post(client, body.clone())).await {
                Ok(Ok(refused)) => return Ok(refused),
                Ok(Err(failed)) => failed,
                Err(_) => Failed::again("no answer in time".to_owned()),
            };
            if !failed.again || attempt == ATTEMPTS {
                return Err(failed.why);
            }
            sleep(failed.after.unwrap_or(pause).min(MAX_PAUSE)).await;
            pause *= 2;
        }
        Err("it is not sent".to_owned())
    }

    async fn post(&self, client: &Client<Full<Bytes>>, body: Bytes) -> Result<Refused, Failed> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let response = client.send(request).await;
        let response = response.map_err(|error| Failed::again(in_words(&*error)))?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        let answer = Limited::new(response.into_body(), ANSWER).collect().await;
        if status.is_success() {
            let answer = answer.map(|body| body.to_bytes());
            return Ok(answer.map_or(Refused::Unreadable, |answer| Refused::of(&kind, &answer)));
        }
        Err(Failed {
            why: format!("it answers {status}"),
            // those of the specification: nothing else becomes better
            again: matches!(status.as_u16(), 429 | 502 | 503 | 504),
            after: after.map(Duration::from_secs),
        })
    }
}

/// What a receiver that answers well does not take all the same.
#[derive(Debug, PartialEq)]
enum Refused {
    Records(u64),
    /// Some, or all.
    Unreadable,
}

impl Refused {
    /// By the answer and its content type. One without a word of it takes all, and so does one in another form than JSON, as
    /// receivers have it that say `OK` or answer in protobuf; but for a page, which is of somebody before the receiver.
    fn of(kind: &str, answer: &[u8]) -> Self {
        let answer = answer.trim_ascii();
        if answer.is_empty() || answer == b"null" {
            return Self::Records(0);
        }
        let Ok(answer @ Value::Object(_)) = serde_json::from_slice::<Value>(answer) else {
            let is_meant = ["json", "html", "xml"]
                .iter()
                .any(|form| kind.contains(form));
            return if is_meant || answer.starts_with(b"<") {
                Self::Unreadable
            } else {
                Self::Records(0)
            };
        };
        let refused = match answer.pointer("/partialSuccess/rejectedLogRecords") {
            None | Some(Value::Null) => return Self::Records(0),
            // a number of 64 bits is a text in the JSON of protobuf
            Some(Value::String(text)) => text.parse().ok(),
            Some(refused) => refused.as_u64(),
        };
        refused.map_or(Self::Unreadable, Self::Records)
    }
}

/// An error and its causes: that there is no connection says less than why.
fn in_words(error: &dyn Error) -> String {
    let mut words = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    words.join(": ")
}

struct Failed {
    why: String,
    again: bool,
    after: Option<Duration>,
}

impl Failed {
    fn again(why: String) -> Self {
        Self {
            why,
            again: true,
            after: None,
        }
    }
}

/// Headers that belong to the request as it is sent, to its connection (RFC 9110 section 7.6.1), or to a proxy on its way
/// (section 11.7.2), which has its own: with another value of one of them it would not arrive, or not as it is.
const OWN: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `name=value,name=value`, values percent-encoded. Which of them are left out.
fn add_headers(headers: &mut HeaderMap, text: &str) -> Option<Vec<&'static str>> {
    let mut left_out = Vec::new();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = percent_encoding::percent_decode_str(value.trim());
        let value = Zeroizing::new(value.collect::<Vec<_>>());
        let mut value = HeaderValue::from_bytes(&value).ok()?;
        value.set_sensitive(true);
        match OWN.into_iter().find(|own| *own == name.as_str()) {
            Some(own) => left_out.push(own),
            None => drop(headers.insert(name, value)),
        }
    }
    Some(left_out)
}

/// Where that receiver takes logs.
fn receiver(url: &str) -> Result<Uri, Failure> {
    let is_receiver = |uri: &Uri| {
        let place = uri.authority().map_or("", |place| place.as_str());
        uri.host().is_some_and(|host| !host.is_empty()) && !place.contains('@')
    };
    let uri = url.parse::<Uri>().ok().filter(is_receiver);
    let uri = uri.ok_or_else(|| {
        Failure::setup("--audit: this is not the URL of a receiver of OTLP over HTTP").hint(
            "write http://127.0.0.1:4318/v1/logs; credentials go into OTEL_EXPORTER_OTLP_HEADERS",
        )
    })?;
    if !matches!(uri.path(), "" | "/") {
        return Ok(uri);
    }
    let path = match uri.query() {
        Some(query) => format!("/v1/logs?{query}"),
        None => "/v1/logs".to_owned(),
    };
    let wrong = |why: String| Failure::setup(format!("--audit: {why}"));
    let mut parts = uri.into_parts();
    let path = path.parse::<PathAndQuery>();
    parts.path_and_query = Some(path.map_err(|e| wrong(e.to_string()))?);
    Uri::from_parts(parts).map_err(|e| wrong(e.to_string()))
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A number of 64 bits is a text in the JSON of protobuf.
fn number(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "intValue": value } })
}

fn log_record(record: &Record) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let outcome = record.outcome.name();
    let (severity, severity_text) = match record.outcome {
        Outcome::Status(_) => (9, "INFO"),
        _ => (13, "WARN"),
    };
    let scopes = record.scopes.iter();
    let scopes: Vec<_> = scopes
        .map(|scope| json!({ "stringValue": scope }))
        .collect();
    let mut attributes = vec![
        text("edgepass.correlation_id", &record.correlation_id),
        text("edgepass.component", &record.component),
        text("edgepass.identity", &record.identity),
        json!({ "key": "edgepass.scopes", "value": { "arrayValue": { "values": scopes } } }),
        text("edgepass.destination", &record.destination),
        text("edgepass.outcome", outcome),
        text("http.request.method", &record.method),
    ];
    attributes.extend(
        record
            .rule
            .map(|rule| number("edgepass.rule", &rule.to_string())),
    );
    let status = record.outcome.status();
    attributes
        .extend(status.map(|status| number("http.response.status_code", &status.to_string())));
    if let Outcome::NoToken(class) = record.outcome {
        attributes.push(text("error.type", class.name()));
    }
    let token = record.token.as_deref();
    attributes.extend(token.map(|token| text("edgepass.token_sha256_prefix", token)));
    let mut log = json!({
        "timeUnixNano": (u128::from(record.unix_ms) * 1_000_000).to_string(),
        "observedTimeUnixNano": now.map_or(0, |now| now.as_nanos()).to_string(),
        "severityNumber": severity,
        "severityText": severity_text,
        "eventName": "edgepass.injection",
        "body": { "stringValue": format!("{} {}: {outcome}", record.method, record.destination) },
        "attributes": attributes,
    });
    if let (Some(trace), Value::Object(log)) = (&record.trace, &mut log) {
        log.insert("traceId".to_owned(), json!(trace.trace_id));
        log.insert("spanId".to_owned(), json!(trace.span_id));
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_variable() {
        for (list, expected) in [
            ("", Some(vec![])),
            ("api-key=abc", Some(vec![("api-key", "abc")])),
            (
                "Authorization=Basic%20YWJj, x-a = 1,",
                Some(vec![("authorization", "Basic YWJj"), ("x-a", "1")]),
            ),
            (
                "Host=evil.example,content-length=1,x=1,Transfer-Encoding=chunked,content-type=text/plain",
                Some(vec![("x", "1")]),
            ),
            // of the connection, or for whoever is between (RFC 9110 sections 7.6.1 and 11.7.2)
            (
                "Connection=x,Keep-Alive=1,Proxy-Connection=close,TE=trailers,x=1,Trailer=y,Upgrade=h2c",
                Some(vec![("x", "1")]),
            ),
            (
                "proxy-authorization=Basic%20YWJj,Expect=100-continue,content-encoding=br",
                Some(vec![]),
            ),
            ("api-key", None),
            ("a b=c", None),
            ("a=%0d%0ab", None),
        ] {
            let mut headers = HeaderMap::new();
            let added = add_headers(&mut headers, list).map(drop);
            let expected = expected.map(|pairs| {
                let pairs = pairs.into_iter();
                pairs.collect::<std::collections::BTreeMap<_, _>>()
            });
            let got = added.map(|()| {
                let pairs = headers.iter();
                pairs
                    .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                    .collect()
            });
            assert_eq!(got, expected, "{list}");
        }
    }

    #[test]
    fn what_a_receiver_refuses_is_what_it_says() {
        let said = |refused: &str| {
            Refused::of(
                "application/json",
                format!(r#"{{"partialSuccess":{{"rejectedLogRecords":{refused}}}}}"#).as_bytes(),
            )
        };
        for (refused, expected) in [
            ("0", Refused::Records(0)),
            ("20", Refused::Records(20)),
            (r#""20""#, Refused::Records(20)),
            ("null", Refused::Records(0)),
            ("18446744073709551615", Refused::Records(u64::MAX)),
            (r#""18446744073709551615""#, Refused::Records(u64::MAX)),
            (r#""18446744073709551616""#, Refused::Unreadable),
            ("-1", Refused::Unreadable),
            (r#""-1""#, Refused::Unreadable),
            ("1.5", Refused::Unreadable),
            ("1e3", Refused::Unreadable),
            ("[]", Refused::Unreadable),
            (r#""some""#, Refused::Unreadable),
        ] {
            assert_eq!(said(refused), expected, "{refused}");
        }
        for answer in [
            "",
            "{}",
            r#"{"partialSuccess":{}}"#,
            r#"{"partialSuccess":7}"#,
        ] {
            assert_eq!(
                Refused::of("application/json", answer.as_bytes()),
                Refused::Records(0),
                "{answer}"
            );
        }
        for answer in [
            "ok",
            "[1]",
            "<html>sign in</html>",
            r#"{"partialSuccess":{"rejectedLogRecords":"3","errorM"#,
        ] {
            let refused = Refused::of("application/json; charset=utf-8", answer.as_bytes());
            assert_eq!(refused, Refused::Unreadable, "{answer}");
        }
        for (kind, answer, expected) in [
            ("text/plain", "OK", Refused::Records(0)),
            ("", "ok", Refused::Records(0)),
            (
                "application/x-protobuf",
                "\u{a}\u{2}\u{8}\u{0}",
                Refused::Records(0),
            ),
            ("application/json", "null", Refused::Records(0)),
            ("application/json", " \n", Refused::Records(0)),
            ("text/html", "sign in", Refused::Unreadable),
            ("text/plain", "<html>sign in</html>", Refused::Unreadable),
            (
                "text/plain",
                r#"{"partialSuccess":{"rejectedLogRecords":3}}"#,
                Refused::Records(3),
            ),
        ] {
            let refused = Refused::of(kind, answer.as_bytes());
            assert_eq!(refused, expected, "{kind} {answer}");
        }
    }

    #[test]
    fn a_receiver_is_a_url() {
        for (url, expected) in [
            (
                "http://127.0.0.1:4318",
                Some("http://127.0.0.1:4318/v1/logs"),
            ),
            ("https://c.example/", Some("https://c.example/v1/logs")),
            ("HTTPS://C.example", Some("https://C.example/v1/logs")),
            (
                "https://c.example?key=1",
                Some("https://c.example/v1/logs?key=1"),
            ),
            (
                "https://c.example/?key=1/",
                Some("https://c.example/v1/logs?key=1/"),
            ),
            (
                "https://c.example/in?key=1",
                Some("https://c.example/in?key=1"),
            ),
            ("http://", None),
            ("https://user:secret@c.example/v1/logs", None),
            ("http://a b/", None),
        ] {
            let made = receiver(url).ok().map(|uri| uri.to_string());
            assert_eq!(made.as_deref(), expected, "{url}");
            let shown = Otlp::with_headers(url, None);
            let shown = shown.ok().map(|otlp| otlp.target.lost.place.clone());
            let expected = expected.and_then(|url| url.split('?').next());
            assert_eq!(shown.as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn headers_go_by_https_or_stay_on_this_machine() {
        for (url, is_fine) in [
            ("https://c.example", true),
            ("http://127.0.0.1:4318", true),
            ("http://[::1]:4318", true),
            ("http://localhost:4318/v1/logs", true),
            ("http://c.example:4318", false),
            ("http://10.0.0.1/v1/logs", false),
        ] {
            let given = Some(("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a-long-key"));
            let made = Otlp::with_headers(url, given);
            assert_eq!(made.is_ok(), is_fine, "{url}");
            if let Err(failure) = made {
                let said = format!("{failure:?}");
                assert!(said.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{said}");
                assert!(!said.contains("a-long-key"), "{said}");
            }
            // what has no headers may go by http
            assert!(Otlp::with_headers(url, None).is_ok(), "{url}");
        }
    }
}
