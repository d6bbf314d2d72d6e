//! The numbers that Envoy shows under `/stats`. Names begin with `edgepass_`, because Envoy adds nothing of its own.

use edgepass_core::{Error, Table, TokenRequest};
use edgepass_rules::Counts;
use proxy_wasm::types::MetricType;

use crate::host;

/// Counters by AADSTS code. A server that sends a new number with every answer must not fill Envoy's memory.
const MAX_CODES: usize = 32;

/// The metrics of one plugin in one VM.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: Table<String, u32>,
    codes: usize,
}

impl Metrics {
    /// Passes on what was counted since the last time.
    pub(crate) fn flush(&mut self, requests: &Counts) {
        for (name, cell) in [
            ("edgepass_requests_injected_total", &requests.injected),
            ("edgepass_requests_held_total", &requests.held),
            ("edgepass_requests_failed_total", &requests.failed),
            (
                "edgepass_requests_without_token_total",
                &requests.passed_without,
            ),
            ("edgepass_tokens_rejected_total", &requests.rejected),
        ] {
            let counted = cell.take();
            if counted > 0 {
                self.add(name, counted);
            }
        }
    }

    /// A token came, after so many milliseconds.
    pub(crate) fn refreshed(&mut self, asked: &TokenRequest, expires_on: u64, took_ms: u64) {
        self.add("edgepass_refreshes_succeeded_total", 1);
        if let Some(id) = self.id(MetricType::Histogram, "edgepass_exchange_ms") {
            host::record(id, took_ms);
        }
        let name = format!("edgepass_token_expires_on.{}", labels(asked));
        if let Some(id) = self.id(MetricType::Gauge, &name) {
            host::record(id, expires_on);
        }
    }

    /// No token came.
    pub(crate) fn failed(&mut self, asked: &TokenRequest, error: &Error) {
        self.add("edgepass_refreshes_failed_total", 1);
        let class = error.class().name();
        let name = format!("edgepass_refreshes_failed.{class}.{}", labels(asked));
        self.add(&name, 1);
        for code in &error.detail().aadsts {
            let name = format!("edgepass_aadsts.{code}");
            if !self.ids.contains_key(&name) {
                if self.codes >= MAX_CODES {
                    self.add("edgepass_aadsts.other", 1);
                    continue;
                }
                self.codes += 1;
            }
            self.add(&name, 1);
        }
    }

    fn add(&mut self, name: &str, count: u64) {
        if let Some(id) = self.id(MetricType::Counter, name) {
            host::add(id, count);
        }
    }

    fn id(&mut self, kind: MetricType, name: &str) -> Option<u32> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let id = host::metric(kind, name)?;
        self.ids.insert(name.to_owned(), id);
        Some(id)
    }
}

/// Identity and scope as the end of a name. The first dot is the one between them, so that `stats_tags` find both; colons and
/// the like have a meaning in the protocols of statistics.
fn labels(asked: &TokenRequest) -> String {
    let mut labels = String::new();
    let mut in_scope = false;
    for text in asked.identity.iter().chain(&asked.scopes) {
        if in_scope {
            labels.push('.');
        }
        for b in text.bytes() {
            let kept = b.is_ascii_alphanumeric() || b == b'-' || in_scope && b"./".contains(&b);
            labels.push(if kept { char::from(b) } else { '_' });
        }
        in_scope = true;
    }
    labels
}
