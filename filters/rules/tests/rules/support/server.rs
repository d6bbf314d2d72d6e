//! The token server and the upstream.

use std::collections::BTreeMap;

use edgepass_core::{HttpError, HttpErrorKind, HttpResponse, SecretBytes};

use super::Dice;

/// How the token server behaves now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mood {
    Well,
    /// No connection.
    Down,
    /// 503 with a page.
    Sick,
    /// 429 with Retry-After until that true time.
    Throttling {
        until_ms: u64,
    },
    /// Never answers.
    Silent,
    /// 200 with half a body.
    Garbled,
    /// The secret is wrong.
    Refusing,
    /// The token that it has issued last, as long as that lives.
    Same,
}

/// The token server, with a true clock of its own.
pub(crate) struct Server {
    pub(crate) mood: Mood,
    pub(crate) lifetime_s: u64,
    pub(crate) refresh_in_s: Option<u64>,
    /// The upstream refuses every token.
    pub(crate) storm: bool,
    /// When requests came, and until when they asked for quiet.
    pub(crate) seen: Vec<(u64, Option<u64>)>,
    /// Tokens and their true ends.
    pub(crate) issued: BTreeMap<String, u64>,
    pub(crate) revoked: Vec<String>,
    last: Option<String>,
    dice: Dice,
    pub(crate) under_way: usize,
    /// The most requests that were under way at once.
    pub(crate) most_under_way: usize,
    /// What the drivers counted.
    pub(crate) taken: usize,
    pub(crate) failures: usize,
}

impl Server {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            mood: Mood::Well,
            lifetime_s: 3600,
            refresh_in_s: None,
            storm: false,
            seen: Vec::new(),
            issued: BTreeMap::new(),
            revoked: Vec::new(),
            last: None,
            dice: Dice::new(seed ^ 1),
            under_way: 0,
            most_under_way: 0,
            taken: 0,
            failures: 0,
        }
    }

    pub(crate) fn begun(&mut self) {
        self.under_way += 1;
        self.most_under_way = self.most_under_way.max(self.under_way);
    }

    /// Whether the upstream takes that token.
    pub(crate) fn takes(&self, token: &str, true_ms: u64) -> bool {
        !self.storm
            && !self.revoked.iter().any(|revoked| revoked == token)
            && self.issued.get(token).is_some_and(|end| true_ms < *end)
    }

    /// After how long it answers, and what.
    pub(crate) fn respond(
        &mut self,
        true_ms: u64,
        timeout_ms: u64,
    ) -> (u64, Result<HttpResponse, HttpError>) {
        let after_ms = self.dice.between(1, 80);
        let failed = |kind| {
            Err(HttpError {
                kind,
                detail: "simulated".to_owned(),
            })
        };
        let mut quiet_until = None;
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let (status, body) = match self.mood.clone() {
            Mood::Down => {
                self.seen.push((true_ms, None));
                return (after_ms, failed(HttpErrorKind::Connect));
            }
            Mood::Silent => {
                self.seen.push((true_ms, None));
                return (timeout_ms, failed(HttpErrorKind::Timeout));
            }
            Mood::Sick => (503, "<html>Service Unavailable</html>".to_owned()),
            Mood::Garbled => (200, r#"{"access_token":"half"#.to_owned()),
            Mood::Refusing => (
                401,
                r#"{"error":"invalid_client","error_codes":[7000215]}"#.to_owned(),
            ),
            Mood::Throttling { until_ms } => {
                let wait_s = until_ms.saturating_sub(true_ms).div_ceil(1000);
                headers.push(("retry-after".to_owned(), wait_s.to_string()));
                quiet_until = Some(true_ms + wait_s * 1000);
                (429, r#"{"error":"temporarily_unavailable"}"#.to_owned())
            }
            Mood::Well => (200, self.issue(true_ms)),
            Mood::Same => {
                let again = self.last.clone().and_then(|token| {
                    let left_s = self.issued[&token].saturating_sub(true_ms) / 1000;
                    (left_s > 0).then(|| body(&token, left_s, None))
                });
                (200, again.unwrap_or_else(|| self.issue(true_ms)))
            }
        };
        self.seen.push((true_ms, quiet_until));
        let response = HttpResponse {
            status,
            headers,
            body: SecretBytes::new(body),
        };
        (after_ms, Ok(response))
    }

    fn issue(&mut self, true_ms: u64) -> String {
        let token = format!("token-{}", self.issued.len());
        self.issued
            .insert(token.clone(), true_ms + self.lifetime_s * 1000);
        self.last = Some(token.clone());
        body(&token, self.lifetime_s, self.refresh_in_s)
    }
}

fn body(token: &str, lifetime_s: u64, refresh_in_s: Option<u64>) -> String {
    let refresh = refresh_in_s
        .map(|s| format!(r#","refresh_in":{s}"#))
        .unwrap_or_default();
    format!(
        r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{lifetime_s}{refresh}}}"#
    )
}
