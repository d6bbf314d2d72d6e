//! What a record of a request with a token looks like. The host's outgoing HTTP and the HTTP filter for components both write
//! such records, so that one reader reads both. There is never a token in one.

/// The service answered.
pub const SENT: &str = "sent";

/// No answer came.
pub const FAILED: &str = "failed";

/// Whoever made the request gave it up before an answer came.
pub const ABANDONED: &str = "abandoned";

/// It is about to leave.
pub const PENDING: &str = "pending";

/// The longest method that is written as it is, bytes: longer than any that is registered.
const LONGEST_METHOD: usize = 32;

/// The longest destination that is written whole, bytes: longer than any name of a host.
const LONGEST_DESTINATION: usize = 300;

/// A record, as it is written down.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the request came, milliseconds of Unix time.
    pub time_unix_ms: u64,
    /// 32 hexadecimal digits: of all records of one request.
    pub correlation_id: &'a str,
    /// Trace and span that the request says it is part of.
    pub trace: Option<(&'a str, &'a str)>,
    /// The application.
    pub component: &'a str,
    /// The rule's place in the list, from 0.
    pub rule: Option<usize>,
    /// Whose token.
    pub identity: &'a str,
    /// What the token is for.
    pub scopes: &'a [String],
    /// The request's method, of [`method_of`].
    pub method: &'a str,
    /// Scheme, host and port, of [`destination`].
    pub destination: &'a str,
    /// What became of it, in one word.
    pub outcome: &'a str,
    /// What the service answered.
    pub status: Option<u16>,
    /// The first 16 hexadecimal digits of the token's digest, where whoever writes the record has the token.
    pub token_sha256_prefix: Option<&'a str>,
}

impl Record<'_> {
    /// The record as one line of JSON, without its end.
    pub fn to_json(&self) -> String {
        let (trace_id, span_id) = self.trace.unzip();
        let scopes: Vec<_> = self.scopes.iter().map(|scope| text(scope)).collect();
        let number = |number: Option<u64>| number.map_or_else(null, |number| number.to_string());
        let maybe = |value: Option<&str>| value.map_or_else(null, text);
        let fields = [
            ("time_unix_ms", self.time_unix_ms.to_string()),
            ("correlation_id", text(self.correlation_id)),
            ("trace_id", maybe(trace_id)),
            ("span_id", maybe(span_id)),
            ("component", text(self.component)),
            ("rule", number(self.rule.map(|place| place as u64))),
            ("identity", text(self.identity)),
            ("scopes", format!("[{}]", scopes.join(","))),
            ("method", text(self.method)),
            ("destination", text(self.destination)),
            ("outcome", text(self.outcome)),
            ("status", number(self.status.map(u64::from))),
            ("token_sha256_prefix", maybe(self.token_sha256_prefix)),
        ];
        let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", fields.join(","))
    }
}

/// The identifier of a request: of the process or instance, and counted in it.
pub fn correlation_id(of: u64, count: u64) -> String {
    format!("{of:016x}{count:016x}")
}

/// A method, of which an application could make as long a text as it likes: what is longer than any that is registered is
/// named as OpenTelemetry names what it does not know.
pub fn method_of(method: &str) -> &str {
    if method.len() > LONGEST_METHOD {
        "_OTHER"
    } else {
        method
    }
}

/// Where a request goes: scheme, host and port. A user name is no part of it, and neither are path and query, which may have
/// secrets of the application's. What an application makes longer than any name of a host has no end.
pub fn destination(scheme: &str, authority: &str) -> String {
    let place = authority.rsplit('@').next().unwrap_or_default();
    let mut text = format!("{scheme}://{place}");
    if text.len() > LONGEST_DESTINATION {
        text.truncate(text.floor_char_boundary(LONGEST_DESTINATION));
        text.push('…');
    }
    text
}

/// Trace and span of a header `traceparent` ([W3C Trace Context](https://www.w3.org/TR/trace-context/)):
/// `00-TRACE-SPAN-FLAGS`, in lower case, and neither identifier zero.
pub fn trace_of(traceparent: &str) -> Option<(&str, &str)> {
    let mut parts = traceparent.split('-');
    let mut next = |length: usize| {
        let part = parts.next()?;
        let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (part.len() == length && part.bytes().all(is_hex)).then_some(part)
    };
    let (version, trace, span) = (next(2)?, next(32)?, next(16)?);
    next(2)?;
    let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
    (version != "ff" && !is_zero(trace) && !is_zero(span)).then_some((trace, span))
}

fn null() -> String {
    "null".to_owned()
}

fn text(value: &str) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_record_is_one_line_of_json_whatever_is_in_it() {
        let odd = "a\"b\\c\nd\u{1}\u{2028}é";
        let scopes = [odd.to_owned(), "s".to_owned()];
        let whole = Record {
            time_unix_ms: u64::MAX,
            correlation_id: odd,
            trace: Some((odd, "span")),
            component: odd,
            rule: Some(2),
            identity: odd,
            scopes: &scopes,
            method: odd,
            destination: odd,
            outcome: SENT,
            status: Some(204),
            token_sha256_prefix: Some(odd),
        };
        let expected = json!({
            "time_unix_ms": u64::MAX, "correlation_id": odd, "trace_id": odd, "span_id": "span", "component": odd,
            "rule": 2, "identity": odd, "scopes": scopes, "method": odd, "destination": odd, "outcome": "sent",
            "status": 204, "token_sha256_prefix": odd,
        });
        let empty = Record {
            trace: None,
            rule: None,
            scopes: &[],
            status: None,
            token_sha256_prefix: None,
            ..whole.clone()
        };
        let mut without = expected.clone();
        for (name, value) in [
            ("trace_id", Value::Null),
            ("span_id", Value::Null),
            ("rule", Value::Null),
            ("scopes", json!([])),
            ("status", Value::Null),
            ("token_sha256_prefix", Value::Null),
        ] {
            without[name] = value;
        }
        for (record, expected) in [(whole, expected), (empty, without)] {
            let line = record.to_json();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        }
    }

    #[test]
    fn a_trace_is_what_its_specification_says() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let zeros = "0".repeat(32);
        for (text, is_one) in [
            (format!("00-{trace}-{span}-01"), true),
            // a later version may have more
            (format!("01-{trace}-{span}-01-more"), true),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{zeros}-{span}-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{span}"), false),
            (format!("00-{trace}{span}-01"), false),
            (format!("00-{trace}x-{span}-01"), false),
            (String::new(), false),
        ] {
            assert_eq!(trace_of(&text), is_one.then_some((trace, span)), "{text}");
        }
    }

    #[test]
    fn a_record_repeats_neither_long_methods_nor_user_names() {
        let (longest, longer) = ("M".repeat(32), "M".repeat(33));
        for (method, expected) in [
            ("GET", "GET"),
            ("BASELINE-CONTROL", "BASELINE-CONTROL"),
            (&longest, &longest),
            (&longer, "_OTHER"),
        ] {
            assert_eq!(method_of(method), expected);
        }
        for (authority, expected) in [
            ("api.example", "https://api.example"),
            ("api.example:8443", "https://api.example:8443"),
            ("u:secret@api.example", "https://api.example"),
            ("u@b@[::1]:80", "https://[::1]:80"),
            ("", "https://"),
        ] {
            assert_eq!(destination("https", authority), expected);
        }
        assert_eq!(correlation_id(1, 0xab), "000000000000000100000000000000ab");
    }
}
