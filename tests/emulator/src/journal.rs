//! What was asked and how it was answered, for tests to look at.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Serialize;

use crate::lock;

/// Entries kept: more than any test looks at, few enough that a benchmark of
/// a million requests does not eat the machine.
const LIMIT: usize = 10_000;

/// One request and its answer.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct JournalEntry {
    /// Counts requests from 1; never reused.
    pub number: u64,
    /// When it arrived, in milliseconds since 1970 by the machine's clock.
    pub time_ms: u64,
    /// The connection it came on, counted from 1.
    pub connection: u64,
    /// The protocol negotiated by ALPN, empty when none was.
    pub alpn: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub http_version: String,
    /// The method.
    pub method: String,
    /// Host and port as the client wrote them.
    pub host: String,
    /// The path.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// Header names in lower case with their values, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body as it came. In JSON it is text, bad UTF-8 replaced.
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
    /// `x5t#S256` of the client certificate presented on the connection.
    pub client_certificate: Option<String>,
    /// The status answered; none while unanswered, or never answered.
    pub status: Option<u16>,
    /// The AADSTS code answered.
    pub aadsts: Option<u32>,
    /// How the client proved itself: `federated`, `certificate`, `secret`,
    /// `basic`, `tls-certificate` or `bound-assertion`.
    pub method_of_proof: Option<String>,
    /// What Entra takes but its specification forbids, as found in a request.
    pub nonconforming: Vec<String>,
    /// The claims parameter, as parsed JSON.
    pub claims: Option<serde_json::Value>,
    /// Whether a fault was injected.
    pub faulted: bool,
}

impl JournalEntry {
    /// A header by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body's form fields in order.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }

    /// A form field of the body.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        self.form()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Whether this is a request for a token.
    #[must_use]
    pub fn is_token_request(&self) -> bool {
        self.path.ends_with("/token")
    }
}

/// What is learnt while answering.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) aadsts: Option<u32>,
    pub(crate) method_of_proof: Option<&'static str>,
    pub(crate) nonconforming: Vec<String>,
    pub(crate) claims: Option<serde_json::Value>,
}

#[derive(Default)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    last: u64,
    kept: VecDeque<JournalEntry>,
}

impl Journal {
    /// Notes a request before anything is done about it.
    pub(crate) fn open(&self, mut entry: JournalEntry) -> u64 {
        let mut entries = lock(&self.entries);
        entries.last += 1;
        entry.number = entries.last;
        if entries.kept.len() >= LIMIT {
            entries.kept.pop_front();
        }
        entries.kept.push_back(entry);
        entries.last
    }

    /// Notes how it was answered.
    pub(crate) fn close(&self, number: u64, status: Option<u16>, faulted: bool, found: Findings) {
        let mut entries = lock(&self.entries);
        // From the back: answers follow their requests closely.
        if let Some(entry) = entries
            .kept
            .iter_mut()
            .rev()
            .find(|entry| entry.number == number)
        {
            entry.status = status;
            entry.faulted = faulted;
            entry.aadsts = found.aadsts;
            entry.method_of_proof = found.method_of_proof.map(ToOwned::to_owned);
            entry.nonconforming = found.nonconforming;
            entry.claims = found.claims;
        }
    }

    /// Everything kept, oldest first.
    pub(crate) fn entries(&self) -> Vec<JournalEntry> {
        lock(&self.entries).kept.iter().cloned().collect()
    }

    /// Forgets everything; numbering goes on.
    pub(crate) fn clear(&self) {
        lock(&self.entries).kept.clear();
    }
}

fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}
