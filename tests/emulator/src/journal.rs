//! What was asked and how it was answered, for tests to look at.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::lock;
use crate::platforms::PREFIX;

/// Entries kept: more than any test looks at, few enough that a benchmark of
/// a million requests does not eat the machine.
const LIMIT: usize = 10_000;

/// How long a reader waits for answers under way: longer than any delay that
/// a test asks for, and than a busy machine takes for a signature.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

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
    /// Whether the rest of this entry is final: the request was answered, or
    /// never will be (a fault, or a client that went away). What the journal
    /// gives to tests always is.
    pub settled: bool,
    /// The status answered; none when it never was.
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

    /// Whether this is a request to the token endpoint.
    #[must_use]
    pub fn is_token_request(&self) -> bool {
        self.path.ends_with("/token")
            && !self.is_metadata_request()
            && !self.path.starts_with("/latest/")
    }

    /// Whether this is a request to the metadata service, or to another place
    /// where a platform hands out tokens of managed identities.
    #[must_use]
    pub fn is_metadata_request(&self) -> bool {
        self.path.starts_with("/metadata/") || self.path.starts_with(PREFIX)
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
    /// Told of every entry that is settled.
    settled: Condvar,
}

#[derive(Default)]
struct Entries {
    last: u64,
    kept: VecDeque<JournalEntry>,
}

impl Journal {
    /// Notes a request before anything is done about it. Dropping what this
    /// returns settles the entry without an answer: its client went away.
    pub(crate) fn open(&self, mut entry: JournalEntry) -> Open<'_> {
        let mut entries = lock(&self.entries);
        entries.last += 1;
        entry.number = entries.last;
        entry.settled = false;
        if entries.kept.len() >= LIMIT {
            entries.kept.pop_front();
        }
        entries.kept.push_back(entry);
        Open {
            journal: self,
            number: entries.last,
            is_open: true,
        }
    }

    fn settle(&self, number: u64, status: Option<u16>, faulted: bool, found: Findings) {
        let mut entries = lock(&self.entries);
        // From the back: answers follow their requests closely.
        if let Some(entry) = entries
            .kept
            .iter_mut()
            .rev()
            .find(|entry| entry.number == number)
        {
            entry.settled = true;
            entry.status = status;
            entry.faulted = faulted;
            entry.aadsts = found.aadsts;
            entry.method_of_proof = found.method_of_proof.map(ToOwned::to_owned);
            entry.nonconforming = found.nonconforming;
            entry.claims = found.claims;
        }
        self.settled.notify_all();
    }

    /// Everything kept, oldest first, once all that has arrived until now is
    /// settled. The error names what is not.
    pub(crate) fn settled_entries(&self) -> Result<Vec<JournalEntry>, String> {
        self.settled_within(SETTLES_WITHIN)
    }

    fn settled_within(&self, patience: Duration) -> Result<Vec<JournalEntry>, String> {
        let deadline = Instant::now() + patience;
        let mut entries = lock(&self.entries);
        // What arrives later is not waited for, or a busy client would hold
        // the reader for ever.
        let last = entries.last;
        loop {
            let asked = || entries.kept.iter().filter(|entry| entry.number <= last);
            let Some(open) = asked().find(|entry| !entry.settled) else {
                return Ok(asked().cloned().collect());
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!(
                    "request {} ({} {}) has no answer after {patience:?}",
                    open.number, open.method, open.path
                ));
            }
            entries = self
                .settled
                .wait_timeout(entries, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Everything kept at this moment, oldest first, settled or not.
    pub(crate) fn entries(&self) -> Vec<JournalEntry> {
        lock(&self.entries).kept.iter().cloned().collect()
    }

    /// Forgets everything; numbering goes on.
    pub(crate) fn clear(&self) {
        lock(&self.entries).kept.clear();
        self.settled.notify_all();
    }
}

/// An entry whose request is not answered yet.
pub(crate) struct Open<'a> {
    journal: &'a Journal,
    number: u64,
    is_open: bool,
}

impl Open<'_> {
    /// Notes how the request was answered, or, without a status, that it
    /// never will be.
    pub(crate) fn settle(mut self, status: Option<u16>, faulted: bool, found: Findings) {
        self.is_open = false;
        self.journal.settle(self.number, status, faulted, found);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.journal
                .settle(self.number, None, false, Findings::default());
        }
    }
}

fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn request(path: &str) -> JournalEntry {
        JournalEntry {
            number: 0,
            time_ms: 0,
            connection: 1,
            alpn: String::new(),
            http_version: String::new(),
            method: "POST".to_owned(),
            host: String::new(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            client_certificate: None,
            settled: false,
            status: None,
            aadsts: None,
            method_of_proof: None,
            nonconforming: Vec::new(),
            claims: None,
            faulted: false,
        }
    }

    #[test]
    fn a_reader_waits_for_the_answer_of_what_was_asked_before() {
        let journal = Journal::default();
        let first = journal.open(request("/first"));
        thread::scope(|scope| {
            let reader = scope.spawn(|| journal.settled_entries().unwrap());
            // Whether the reader waits already or comes later, it sees the answer.
            first.settle(Some(200), false, Findings::default());
            let seen = reader.join().unwrap();
            assert_eq!((seen[0].settled, seen[0].status), (true, Some(200)));
        });
    }

    #[test]
    fn what_has_no_answer_in_time_is_named() {
        let journal = Journal::default();
        let open = journal.open(request("/slow"));
        let error = journal.settled_within(Duration::ZERO).unwrap_err();
        assert!(error.contains("request 1 (POST /slow)"), "{error}");
        assert_eq!(journal.entries().len(), 1);
        drop(open);
        let seen = journal.settled_within(Duration::ZERO).unwrap();
        assert_eq!((seen[0].settled, seen[0].status), (true, None));
    }

    #[test]
    fn what_is_forgotten_is_not_waited_for() {
        let journal = Journal::default();
        let open = journal.open(request("/forgotten"));
        journal.clear();
        assert!(journal.settled_within(Duration::ZERO).unwrap().is_empty());
        open.settle(Some(200), false, Findings::default());
        assert!(journal.entries().is_empty());
    }
}
