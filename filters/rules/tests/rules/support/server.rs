//! The token server and the upstream.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_core::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, SecretBytes};
use serde_json::{Value, json};

use super::{Dice, START_UNIX_MS};

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
    /// What it says of a token's life in place of the truth.
    pub(crate) expires_in: Option<&'static str>,
    /// What its `Date` is off by.
    pub(crate) date_off_ms: i64,
    /// On the next answer, whatever it is.
    pub(crate) retry_after_s: Option<u64>,
    /// Requests with claims are refused.
    pub(crate) refuses_claims: bool,
    /// The upstream refuses every token.
    pub(crate) storm: bool,
    /// When requests came, and until when they asked for quiet.
    pub(crate) seen: Vec<(u64, Option<u64>)>,
    /// Until when it has asked anybody to wait.
    pub(crate) held_until: u64,
    /// Tokens and their true ends.
    pub(crate) issued: BTreeMap<String, u64>,
    /// For whom, where that was somebody.
    pub(crate) subjects: BTreeMap<String, String>,
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
            expires_in: None,
            date_off_ms: 0,
            retry_after_s: None,
            refuses_claims: false,
            storm: false,
            seen: Vec::new(),
            held_until: 0,
            issued: BTreeMap::new(),
            subjects: BTreeMap::new(),
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
        request: &HttpRequest,
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
                return (request.timeout_ms, failed(HttpErrorKind::Timeout));
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
            Mood::Well if self.refuses_claims && has_claims(request) => {
                (400, r#"{"error":"invalid_request"}"#.to_owned())
            }
            Mood::Well => match subject(request) {
                Some(subject) if subject.starts_with("bad") => {
                    (400, r#"{"error":"invalid_grant"}"#.to_owned())
                }
                Some(subject) if subject == "not-applicable" => (
                    200,
                    r#"{"access_token":"a-refresh-token","token_type":"N_A","issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token","expires_in":3600}"#.to_owned(),
                ),
                Some(subject) if subject.starts_with("says-") => {
                    let said = subject.trim_start_matches("says-");
                    let (error, code) = said.split_once('-').unwrap_or((said, ""));
                    (400, format!(r#"{{"error":"{error}","error_codes":[{code}]}}"#))
                }
                Some(subject) if subject.starts_with("mfa") => (
                    400,
                    r#"{"error":"interaction_required","error_codes":[50076],"claims":"{\"access_token\":{\"acrs\":{\"essential\":true}}}"}"#.to_owned(),
                ),
                subject => {
                    let body = self.issue(true_ms);
                    let token = self.last.clone().unwrap_or_default();
                    self.subjects.extend(subject.map(|subject| (token, subject)));
                    (200, body)
                }
            },
            Mood::Same => {
                let again = self.last.clone().and_then(|token| {
                    let left_s = self.issued[&token].saturating_sub(true_ms) / 1000;
                    let said = self
                        .expires_in
                        .map_or_else(|| left_s.to_string(), str::to_owned);
                    (left_s > 0).then(|| body(&token, &said, None))
                });
                (200, again.unwrap_or_else(|| self.issue(true_ms)))
            }
        };
        if let Some(wait_s) = self.retry_after_s.take().filter(|_| status >= 400) {
            headers.retain(|(name, _)| name != "retry-after");
            headers.push(("retry-after".to_owned(), wait_s.to_string()));
            let until = true_ms + (wait_s * 1000).min(3_600_000);
            self.held_until = self.held_until.max(until);
            // of another answer it is for those who ask the same
            quiet_until = matches!(status, 429 | 503).then_some(until);
        }
        let unix_ms = (START_UNIX_MS + true_ms).saturating_add_signed(self.date_off_ms);
        let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(unix_ms);
        headers.push(("date".to_owned(), httpdate::fmt_http_date(date)));
        self.held_until = self.held_until.max(quiet_until.unwrap_or(0));
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
        let life = self.lifetime_s.to_string();
        body(&token, self.expires_in.unwrap_or(&life), self.refresh_in_s)
    }
}

/// The caller whose token is exchanged.
fn subject(request: &HttpRequest) -> Option<String> {
    let mut form = form_urlencoded::parse(request.body.expose());
    let (_, token) = form.find(|(name, _)| matches!(&**name, "assertion" | "subject_token"))?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["sub"].as_str().map(str::to_owned)
}

/// What a caller of that name brings: it has the form of a JWT.
pub(crate) fn token_of(caller: &str) -> String {
    let claims = json!({ "sub": caller }).to_string();
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn has_claims(request: &HttpRequest) -> bool {
    let form = request.body.expose();
    form.windows(8).any(|part| part == b"&claims=")
}

fn body(token: &str, expires_in: &str, refresh_in_s: Option<u64>) -> String {
    let refresh = refresh_in_s
        .map(|s| format!(r#","refresh_in":{s}"#))
        .unwrap_or_default();
    format!(
        r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{expires_in}{refresh}}}"#
    )
}
