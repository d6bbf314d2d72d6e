//! Misbehaviour on demand.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::issuer::Mint;
use crate::lock;

/// One misbehaviour and the requests it meets. Effects combine: a fault may
/// delay, then answer 503 with `Retry-After`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Only requests whose path contains this; all when absent.
    pub path: Option<String>,
    /// How many requests it meets; `null` for all until cleared.
    pub times: Option<u32>,
    /// How many matching requests pass unharmed before.
    pub after: u32,

    /// Waits until it is released before anything else: whoever tests what
    /// happens meanwhile has all the time it takes.
    pub hold: bool,
    /// Waits so many milliseconds.
    pub delay_ms: Option<u64>,
    /// Reads the request and never answers.
    pub hang: bool,
    /// Resets the TCP connection (RST) in place of an answer.
    pub reset: bool,

    /// Answers this status without looking at the request.
    pub status: Option<u16>,
    /// The body of that answer.
    pub body: Option<String>,
    /// Answers an HTML page (status 200 unless `status` says otherwise).
    pub html: bool,
    /// Redirects there (302 unless `status` says otherwise).
    pub redirect: Option<String>,
    /// Answers this AADSTS code without looking at the request.
    pub aadsts: Option<u32>,
    /// The suberror that goes with it.
    pub suberror: Option<String>,
    /// The `claims` that go with it: a claims challenge.
    pub claims: Option<String>,

    /// Adds `Retry-After`: seconds or an HTTP date, sent as it is.
    pub retry_after: Option<String>,
    /// Adds `Retry-After` as an HTTP date so many seconds from now.
    pub retry_after_date_in: Option<i64>,
    /// Replaces the content type.
    pub content_type: Option<String>,
    /// Moves the `Date` header by so many seconds.
    pub date_skew: Option<i64>,

    /// Leaves these fields out of the JSON answer.
    pub omit: Vec<String>,
    /// Writes the numbers of the JSON answer as strings.
    pub string_numbers: bool,
    /// Replaces the answer's `token_type`.
    pub token_type: Option<String>,
    /// Issues the answer's `id_token` once more, with these differences.
    pub id_token: Option<Mint>,
    /// Adds these fields to the JSON answer, or replaces them.
    pub fields: Map<String, Value>,

    /// Sends the answer in pieces of so many bytes …
    pub trickle_bytes: Option<usize>,
    /// … with so many milliseconds between them.
    pub trickle_ms: Option<u64>,
    /// Promises the whole answer, sends half, and closes.
    pub truncate: bool,
    /// Pads the answer with white space to so many bytes; JSON stays valid.
    pub oversize: Option<usize>,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            path: None,
            times: Some(1),
            after: 0,
            hold: false,
            delay_ms: None,
            hang: false,
            reset: false,
            status: None,
            body: None,
            html: false,
            redirect: None,
            aadsts: None,
            suberror: None,
            claims: None,
            retry_after: None,
            retry_after_date_in: None,
            content_type: None,
            date_skew: None,
            omit: Vec::new(),
            string_numbers: false,
            token_type: None,
            id_token: None,
            fields: Map::new(),
            trickle_bytes: None,
            trickle_ms: None,
            truncate: false,
            oversize: None,
        }
    }
}

impl Fault {
    /// Answers `status` with a short text, once.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// Answers an AADSTS error, once.
    #[must_use]
    pub fn aadsts(code: u32) -> Self {
        Self {
            aadsts: Some(code),
            ..Self::default()
        }
    }

    /// Keeps the ordinary answer back until it is released, once.
    #[must_use]
    pub fn hold() -> Self {
        Self {
            hold: true,
            ..Self::default()
        }
    }

    /// Waits before the ordinary answer, once.
    #[must_use]
    pub fn delay(duration: Duration) -> Self {
        let delay_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            delay_ms: Some(delay_ms),
            ..Self::default()
        }
    }

    /// Never answers, once.
    #[must_use]
    pub fn hang() -> Self {
        Self {
            hang: true,
            ..Self::default()
        }
    }

    /// Resets the connection, once.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            reset: true,
            ..Self::default()
        }
    }

    /// Answers an HTML page, once.
    #[must_use]
    pub fn html(status: u16) -> Self {
        Self {
            html: true,
            status: Some(status),
            ..Self::default()
        }
    }

    /// Redirects, once.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self {
            redirect: Some(location.to_owned()),
            status: Some(status),
            ..Self::default()
        }
    }

    /// Breaks off in the middle of the ordinary answer, once.
    #[must_use]
    pub fn truncate() -> Self {
        Self {
            truncate: true,
            ..Self::default()
        }
    }

    /// Pads the ordinary answer to so many bytes, once.
    #[must_use]
    pub fn oversize(bytes: usize) -> Self {
        Self {
            oversize: Some(bytes),
            ..Self::default()
        }
    }

    /// Sends the ordinary answer piece by piece, once.
    #[must_use]
    pub fn trickle(bytes: usize, every: Duration) -> Self {
        let trickle_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self {
            trickle_bytes: Some(bytes),
            trickle_ms: Some(trickle_ms),
            ..Self::default()
        }
    }

    /// Moves the `Date` header of the ordinary answer, once.
    #[must_use]
    pub fn date_skew(seconds: i64) -> Self {
        Self {
            date_skew: Some(seconds),
            ..Self::default()
        }
    }

    /// Leaves a field out of the ordinary answer, once.
    #[must_use]
    pub fn omit(field: &str) -> Self {
        Self {
            omit: vec![field.to_owned()],
            ..Self::default()
        }
    }

    /// Writes the ordinary answer's numbers as strings, once.
    #[must_use]
    pub fn string_numbers() -> Self {
        Self {
            string_numbers: true,
            ..Self::default()
        }
    }

    /// Changes the ordinary answer's `token_type`, once.
    #[must_use]
    pub fn token_type(token_type: &str) -> Self {
        Self {
            token_type: Some(token_type.to_owned()),
            ..Self::default()
        }
    }

    /// Issues the `id_token` of the ordinary answer with these differences,
    /// once.
    #[must_use]
    pub fn id_token(mint: Mint) -> Self {
        Self {
            id_token: Some(mint),
            ..Self::default()
        }
    }

    /// With this field in the ordinary answer.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// With `claims` in the error that is answered.
    #[must_use]
    pub fn claims(mut self, claims: &str) -> Self {
        self.claims = Some(claims.to_owned());
        self
    }

    /// With a `suberror` in the error that is answered.
    #[must_use]
    pub fn suberror(mut self, suberror: &str) -> Self {
        self.suberror = Some(suberror.to_owned());
        self
    }

    /// Only for paths that contain `part`.
    #[must_use]
    pub fn on(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// For so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// For every request until cleared.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = None;
        self
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.after = requests;
        self
    }

    /// With a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, value: &str) -> Self {
        self.retry_after = Some(value.to_owned());
        self
    }

    /// With a `Retry-After` header that is a date so many seconds away.
    #[must_use]
    pub fn retry_after_date_in(mut self, seconds: i64) -> Self {
        self.retry_after_date_in = Some(seconds);
        self
    }

    /// With this body (for answers that do not look at the request).
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// With this content type.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.to_owned());
        self
    }
}

/// The faults waiting, in order: the first that matches a request meets it.
#[derive(Default)]
pub(crate) struct FaultQueue {
    waiting: Mutex<VecDeque<Fault>>,
    /// Counts releases. Changed under the lock of `waiting`, so that a
    /// release reaches every request that has met a fault before it.
    released: watch::Sender<u64>,
}

/// A fault that a request has met.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) fault: Fault,
    released: watch::Receiver<u64>,
}

impl FaultQueue {
    pub(crate) fn push(&self, fault: Fault) {
        lock(&self.waiting).push_back(fault);
    }

    pub(crate) fn clear(&self) {
        lock(&self.waiting).clear();
    }

    pub(crate) fn waiting(&self) -> Vec<Fault> {
        lock(&self.waiting).iter().cloned().collect()
    }

    /// Lets the requests that are held go on, and holds no more of them.
    pub(crate) fn release(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|fault| !fault.hold);
        self.released.send_modify(|count| *count += 1);
    }

    /// The fault for a request to `path`, used up by as much.
    pub(crate) fn take(&self, path: &str) -> Option<Met> {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|fault| fault.times != Some(0));
        let fault = waiting
            .iter_mut()
            .find(|fault| fault.path.as_deref().is_none_or(|part| path.contains(part)))?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
        }
        let fault = fault.clone();
        waiting.retain(|fault| fault.times != Some(0));
        let released = self.released.subscribe();
        Some(Met { fault, released })
    }
}

impl Met {
    /// Waits as long as the fault says.
    pub(crate) async fn wait(&mut self) {
        if self.fault.hold {
            // An error means that the emulator ends.
            let _ = self.released.changed().await;
        }
        if let Some(delay) = self.fault.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_met_in_order_and_used_up() {
        let queue = FaultQueue::default();
        queue.push(Fault::status(500).on("/token").times(2));
        queue.push(Fault::status(429));
        let status = |path| queue.take(path).and_then(|met| met.fault.status);
        assert_eq!(status("/keys"), Some(429));
        assert_eq!(status("/t/token"), Some(500));
        assert_eq!(status("/t/token"), Some(500));
        assert!(queue.take("/t/token").is_none());
        assert!(queue.waiting().is_empty());
    }

    #[test]
    fn after_lets_requests_pass_and_forever_stays() {
        let queue = FaultQueue::default();
        queue.push(Fault::reset().after(1).forever());
        assert!(queue.take("/").is_none());
        for _ in 0..5 {
            assert!(queue.take("/").is_some_and(|met| met.fault.reset));
        }
        queue.clear();
        assert!(queue.take("/").is_none());
    }

    #[tokio::test]
    async fn what_was_met_before_a_release_goes_on_with_it() {
        let queue = FaultQueue::default();
        queue.push(Fault::hold().forever());
        queue.push(Fault::status(503));
        let mut met = queue.take("/").unwrap();
        queue.release();
        met.wait().await;
        // And nothing is held any more; other faults are as they were.
        assert_eq!(queue.take("/").unwrap().fault.status, Some(503));
    }

    #[test]
    fn json_without_times_means_once_and_null_means_forever() {
        let once: Fault = serde_json::from_str(r#"{"status": 503}"#).unwrap();
        assert_eq!(once.times, Some(1));
        let forever: Fault = serde_json::from_str(r#"{"status": 503, "times": null}"#).unwrap();
        assert_eq!(forever.times, None);
        let mistyped = serde_json::from_str::<Fault>(r#"{"stauts": 503}"#);
        assert!(mistyped.is_err());
    }
}
