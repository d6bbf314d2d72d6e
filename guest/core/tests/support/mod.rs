//! A world for the engine: two clocks, a token server, a token file, callers. Everything that happens comes of one
//! seed, so a failure is replayed by its seed alone.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_core::{
    AccessToken, CertificateHandle, Completed, Config, CredentialTrial, Effect, EffectId, Engine,
    Environment, Error, HttpError, HttpErrorKind, HttpRequest, HttpResponse, Now,
    OpenedCertificate, Outcome, ReadError, Reply, SecretBytes, StoreAnswer, StoreError,
    StoreRequest, Ticket, TokenRequest, inspect_jwt,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
pub(crate) const FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
/// 2026-11-01, a Sunday.
pub(crate) const START_UNIX_MS: u64 = 1_793_491_200_000;

/// Numbers from one seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

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
        as_date: bool,
    },
    /// 700213 although everything is right.
    Propagating,
    /// Never answers.
    Silent,
    /// 200 with half a body.
    Garbled,
    /// 200 with somebody's page.
    Page,
    /// Somewhere else.
    Redirecting,
    /// A refusal that time does not cure.
    Refusing,
}

/// What the server says besides, true or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statements {
    /// In place of the lifetime.
    pub(crate) expires_in: Option<String>,
    /// What `Date` is off by.
    pub(crate) date_off_ms: i64,
    /// On the next answer, whatever it is.
    pub(crate) retry_after_s: Option<u64>,
    /// Requests with claims are refused.
    pub(crate) refuses_claims: bool,
    /// The token that a scope has got last comes again as long as it lives.
    pub(crate) same_token: bool,
    /// In place of `Bearer`.
    pub(crate) token_type: Option<&'static str>,
    /// Where it begins to number its tokens, so that those of two servers are different.
    pub(crate) first: usize,
    /// Its errors have no codes of Entra's.
    pub(crate) no_codes: bool,
    /// What it refuses, and with which code: `secret`, `certificate` (an assertion that was built) or `token` (one that
    /// came from elsewhere).
    pub(crate) refused: BTreeMap<&'static str, u32>,
}

/// What the server saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at_ms: u64,
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) raw: String,
    pub(crate) retry_after_ms: Option<u64>,
}

/// A token server with a true clock of its own.
pub(crate) struct Server {
    pub(crate) mood: Mood,
    pub(crate) lifetime_s: u64,
    pub(crate) refresh_in_s: Option<u64>,
    /// True time plus this is what its `Date` says and what it checks assertions against.
    pub(crate) clock_offset_ms: i64,
    pub(crate) statements: Statements,
    last: BTreeMap<String, String>,
    pub(crate) seen: Vec<Seen>,
    /// Token text to (scope, true expiry).
    pub(crate) issued: BTreeMap<String, (String, u64)>,
    in_flight: BTreeSet<(String, String)>,
}

impl Server {
    fn unix_ms(&self, true_ms: u64) -> u64 {
        (START_UNIX_MS + true_ms).saturating_add_signed(self.clock_offset_ms)
    }

    fn respond(&mut self, true_ms: u64, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let raw = question(request);
        let mut form: BTreeMap<String, String> = form_urlencoded::parse(raw.as_bytes())
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        if request.method == "GET" {
            // a metadata service: it knows who asks
            let resource = form.remove("resource").expect("a resource");
            form.insert("scope".to_owned(), resource);
        }
        let date_ms = self
            .unix_ms(true_ms)
            .saturating_add_signed(self.statements.date_off_ms);
        let date = http_date(date_ms / 1000);
        let mut headers = vec![
            ("date".to_owned(), date),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        let mut retry_after_ms = None;
        let (status, body) = match self.mood.clone() {
            Mood::Down => {
                return Err(HttpError {
                    kind: HttpErrorKind::Connect,
                    detail: "connection refused".into(),
                });
            }
            Mood::Sick => (503, "<html>Service Unavailable</html>".to_owned()),
            Mood::Throttling { until_ms, as_date } => {
                let wait_s = until_ms.saturating_sub(true_ms).div_ceil(1000);
                retry_after_ms = Some(wait_s * 1000);
                let value = if as_date {
                    let until_s = self.unix_ms(true_ms) / 1000 + wait_s;
                    // it is read on the clock that the same answer shows
                    let read_ms = until_s.saturating_sub(date_ms / 1000) * 1000;
                    retry_after_ms = Some(read_ms.min(3_600_000));
                    http_date(until_s)
                } else {
                    wait_s.to_string()
                };
                headers.push(("retry-after".to_owned(), value));
                (429, r#"{"error":"temporarily_unavailable"}"#.to_owned())
            }
            Mood::Propagating => (401, error_body("invalid_client", 700_213)),
            Mood::Garbled => (200, r#"{"access_token":"half"#.to_owned()),
            Mood::Page => {
                headers[1].1 = "text/html".to_owned();
                (200, "<html>Sign in to the network</html>".to_owned())
            }
            Mood::Redirecting => {
                headers.push(("location".to_owned(), "https://portal.test/".to_owned()));
                (302, String::new())
            }
            Mood::Refusing => (401, error_body("invalid_client", 7_000_215)),
            Mood::Silent | Mood::Well => match self.check(true_ms, &form) {
                Err(_) if self.statements.no_codes => {
                    (401, r#"{"error":"invalid_client"}"#.to_owned())
                }
                Err(code) => (401, error_body("invalid_client", code)),
                Ok(_) if self.statements.refuses_claims && form.contains_key("claims") => {
                    (400, r#"{"error":"invalid_request"}"#.to_owned())
                }
                Ok(scope) => (200, self.grant(true_ms, scope)),
            },
        };
        if let Some(wait_s) = self.statements.retry_after_s.take() {
            headers.retain(|(name, _)| name != "retry-after");
            headers.push(("retry-after".to_owned(), wait_s.to_string()));
            retry_after_ms = (status >= 400).then(|| (wait_s * 1000).min(3_600_000));
        }
        self.seen.push(Seen {
            at_ms: true_ms,
            form,
            raw,
            retry_after_ms,
        });
        Ok(HttpResponse {
            status,
            headers,
            body: SecretBytes::new(body),
        })
    }

    fn grant(&mut self, true_ms: u64, scope: String) -> String {
        let again = self
            .last
            .get(&scope)
            .filter(|last| self.statements.same_token && self.issued[*last].1 > true_ms + 1000);
        let token = match again {
            Some(again) => again.clone(),
            None => {
                let token = format!(
                    "token-{}-{scope}",
                    self.statements.first + self.issued.len()
                );
                // what a server says of a token's life is not always true; it counts until it is used up
                let end = true_ms + self.lifetime_s * 1000;
                self.issued.insert(token.clone(), (scope.clone(), end));
                self.last.insert(scope, token.clone());
                token
            }
        };
        let left_s = (self.issued[&token].1 - true_ms) / 1000;
        let expires_in = self.statements.expires_in.clone();
        let expires_in = expires_in.unwrap_or_else(|| left_s.to_string());
        let token_type = self.statements.token_type.unwrap_or("Bearer");
        let refresh = self
            .refresh_in_s
            .map(|s| format!(r#","refresh_in":"{s}""#))
            .unwrap_or_default();
        format!(
            r#"{{"access_token":"{token}","token_type":"{token_type}","expires_in":{expires_in}{refresh}}}"#
        )
    }

    /// As strict as Entra about the assertion's times.
    fn check(&self, true_ms: u64, form: &BTreeMap<String, String>) -> Result<String, u32> {
        if let Some(code) = self.statements.refused.get(proof(form)) {
            return Err(*code);
        }
        let Some(assertion) = form.get("client_assertion") else {
            return Ok(form["scope"].clone());
        };
        let summary = inspect_jwt(assertion).ok_or(50_027_u32)?;
        let now_s = self.unix_ms(true_ms) / 1000;
        let fits = summary.exp.is_some_and(|exp| exp + 300 > now_s)
            && summary.nbf.is_none_or(|nbf| nbf < now_s + 300);
        if fits {
            Ok(form["scope"].clone())
        } else {
            Err(700_024)
        }
    }
}

/// By what the client of that form proves itself.
pub(crate) fn proof(form: &BTreeMap<String, String>) -> &'static str {
    let assertion = form
        .get("client_assertion")
        .and_then(|jwt| inspect_jwt(jwt));
    match assertion.and_then(|jwt| jwt.iss) {
        None => "secret",
        Some(issuer) if issuer == CLIENT => "certificate",
        Some(_) => "token",
    }
}

/// The form, or what stands in its place in a GET.
fn question(request: &HttpRequest) -> String {
    let path = request.path.split_once('?').map(|(_, query)| query);
    match (request.method, path) {
        ("GET", Some(query)) => query.to_owned(),
        _ => String::from_utf8(request.body.expose().to_vec()).expect("a form is text"),
    }
}

fn error_body(error: &str, code: u32) -> String {
    format!(
        r#"{{"error":"{error}","error_description":"AADSTS{code}: simulated. Trace ID: t Correlation ID: c","error_codes":[{code}],"correlation_id":"c","trace_id":"t"}}"#
    )
}

fn http_date(unix_s: u64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_s))
}

/// An unsigned thing in the shape of a projected token.
pub(crate) fn projected_token(issued_s: u64, life_s: u64) -> String {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256","kid":"k"}"#.into()),
        part(format!(
            r#"{{"iss":"https://issuer.test","sub":"system:serviceaccount:a:b","aud":["api://AzureADTokenExchange"],"iat":{issued_s},"nbf":{issued_s},"exp":{}}}"#,
            issued_s + life_s
        )),
        part("signature".into())
    )
}

/// A store that several worlds share.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// What is kept, and until when, true time.
    pub(crate) entries: BTreeMap<String, (Vec<u8>, u64)>,
    pub(crate) mood: StoreMood,
    /// What it was asked, in order.
    pub(crate) asked: Vec<StoreRequest>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum StoreMood {
    #[default]
    Well,
    Down,
    /// Never answers.
    Silent,
    /// Takes nothing.
    Full,
}

impl Store {
    fn answer(
        &mut self,
        true_ms: u64,
        request: StoreRequest,
    ) -> Option<Result<StoreAnswer, StoreError>> {
        self.asked.push(request.clone());
        self.entries.retain(|_, (_, until_ms)| *until_ms > true_ms);
        let down = |why: &str| Some(Err(StoreError::Unavailable(why.to_owned())));
        match (self.mood, request) {
            (StoreMood::Down, _) => down("connection refused"),
            (StoreMood::Silent, _) => None,
            (StoreMood::Full, StoreRequest::Put { .. }) => down("out of memory"),
            (_, StoreRequest::Get { key }) => {
                let value = self.entries.get(&key);
                let value = value.map(|(value, _)| SecretBytes::new(value.clone()));
                Some(Ok(StoreAnswer::Value(value)))
            }
            (
                _,
                StoreRequest::Put {
                    key,
                    value,
                    ttl_s,
                    only_if_absent,
                },
            ) => {
                let is_kept = !only_if_absent || !self.entries.contains_key(&key);
                if is_kept {
                    let value = value.expose().to_vec();
                    self.entries.insert(key, (value, true_ms + ttl_s * 1000));
                }
                Some(Ok(StoreAnswer::Kept(is_kept)))
            }
            (_, StoreRequest::Delete { key }) => {
                self.entries.remove(&key);
                Some(Ok(StoreAnswer::Deleted))
            }
        }
    }
}

/// What stands in the token file.
pub(crate) enum File {
    Missing,
    /// Reading it never ends.
    Hanging,
    Text(String),
}

/// An event to come.
enum Event {
    Outcome(EffectId, Outcome),
}

/// The world.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) server: Server,
    pub(crate) file: File,
    pub(crate) dice: Dice,
    /// Milliseconds since the start, the truth.
    pub(crate) true_ms: u64,
    /// What the monotonic clock has missed of it, because the machine slept.
    pub(crate) slept_ms: u64,
    /// Local wall clock minus truth.
    pub(crate) wall_offset_ms: i64,
    pub(crate) latency_ms: std::ops::Range<u64>,
    pub(crate) file_reads: usize,
    /// The certificate of every identity, DER as far as anybody here can tell.
    pub(crate) certificate: Vec<u8>,
    pub(crate) open_identities: usize,
    pub(crate) posts_by_url: BTreeMap<String, usize>,
    pub(crate) waiting: BTreeSet<Ticket>,
    pub(crate) answers: BTreeMap<Ticket, Result<AccessToken, Error>>,
    trials: BTreeMap<Ticket, Vec<CredentialTrial>>,
    events: BTreeMap<(u64, u64), Event>,
    flying: BTreeMap<EffectId, (String, String)>,
    count: u64,
    /// The most exchanges of one key that were under way at once.
    pub(crate) most_per_key: usize,
    /// Questions whether a metadata service is there.
    pub(crate) probes: usize,
    pub(crate) store: Rc<RefCell<Store>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let environment = Environment::from_pairs([
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_FEDERATED_TOKEN_FILE", FILE),
        ]);
        Self::with_config(
            seed,
            Config::load(None, &environment).expect("a valid environment"),
        )
    }

    pub(crate) fn with_config(seed: u64, config: Config) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            engine: Engine::new(config, dice.bytes()),
            server: Server {
                mood: Mood::Well,
                lifetime_s: 3600,
                refresh_in_s: None,
                clock_offset_ms: 0,
                statements: Statements::default(),
                last: BTreeMap::new(),
                seen: Vec::new(),
                issued: BTreeMap::new(),
                in_flight: BTreeSet::new(),
            },
            file: File::Text(projected_token(START_UNIX_MS / 1000, 30 * 24 * 3600)),
            dice,
            true_ms: 0,
            slept_ms: 0,
            wall_offset_ms: 0,
            latency_ms: 1..80,
            file_reads: 0,
            certificate: b"certificate one".to_vec(),
            open_identities: 0,
            posts_by_url: BTreeMap::new(),
            waiting: BTreeSet::new(),
            answers: BTreeMap::new(),
            trials: BTreeMap::new(),
            events: BTreeMap::new(),
            flying: BTreeMap::new(),
            count: 0,
            most_per_key: 0,
            probes: 0,
            store: Rc::default(),
        }
    }

    /// When something happens next, true time.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let deadline = self.engine.next_deadline().map(|at| at + self.slept_ms);
        event.into_iter().chain(deadline).min()
    }

    /// The answer to that ticket, if it has come.
    pub(crate) fn answer(&mut self, ticket: Ticket) -> Option<Result<AccessToken, Error>> {
        self.answers.remove(&ticket)
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            unix_ms: (START_UNIX_MS + self.true_ms).saturating_add_signed(self.wall_offset_ms),
            mono_ms: self.true_ms - self.slept_ms,
        }
    }

    /// Asks; an immediate answer comes back, otherwise the ticket is kept.
    pub(crate) fn ask(
        &mut self,
        request: &TokenRequest,
    ) -> Result<Result<AccessToken, Error>, Ticket> {
        let reply = self.engine.request(self.now(), request);
        self.pump();
        match reply {
            Reply::Ready(answer) => Ok(answer),
            Reply::Pending(ticket) => {
                self.waiting.insert(ticket);
                self.pump();
                Err(ticket)
            }
        }
    }

    /// Asks and lets time pass until the answer is there.
    pub(crate) fn get(&mut self, request: &TokenRequest) -> Result<AccessToken, Error> {
        match self.ask(request) {
            Ok(answer) => answer,
            Err(ticket) => {
                while !self.answers.contains_key(&ticket) {
                    assert!(
                        self.step(u64::MAX),
                        "an unanswered caller and nothing to come"
                    );
                }
                self.answers.remove(&ticket).expect("just seen")
            }
        }
    }

    /// Lets time pass until every credential was tried.
    pub(crate) fn trials(&mut self, ticket: Ticket) -> Vec<CredentialTrial> {
        self.pump();
        loop {
            if let Some(trials) = self.trials.remove(&ticket) {
                return trials;
            }
            assert!(self.step(u64::MAX), "nothing happens any more");
        }
    }

    /// Lets everything happen that happens until then.
    pub(crate) fn run_until(&mut self, true_ms: u64) {
        while self.step(true_ms) {}
        self.true_ms = self.true_ms.max(true_ms);
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.run_until(self.true_ms + ms);
    }

    /// Time passes without the machine. What was to come meanwhile comes when it wakes.
    pub(crate) fn sleep(&mut self, ms: u64) {
        self.true_ms += ms;
        self.slept_ms += ms;
    }

    /// Lets everything come to its end.
    pub(crate) fn settle(&mut self) {
        while self.step(u64::MAX) {}
    }

    /// Lets everything come that is under way, but no time pass that somebody only waits for.
    pub(crate) fn settle_effects(&mut self) {
        while let Some((at, _)) = self.events.keys().next().copied() {
            self.run_until(at);
        }
    }

    /// The next thing that happens, if it happens by then.
    fn step(&mut self, by_ms: u64) -> bool {
        let event = self.events.keys().next().copied();
        let deadline = self.engine.next_deadline().map(|at| at + self.slept_ms);
        let (at, is_event) = match (event, deadline) {
            (Some((at, _)), Some(deadline)) if at <= deadline => (at, true),
            (_, Some(deadline)) => (deadline, false),
            (Some((at, _)), None) => (at, true),
            (None, None) => return false,
        };
        if at > by_ms {
            return false;
        }
        self.true_ms = self.true_ms.max(at);
        if is_event {
            let Some(Event::Outcome(id, outcome)) = event.and_then(|key| self.events.remove(&key))
            else {
                return false;
            };
            if let Some(key) = self.flying.remove(&id) {
                self.server.in_flight.remove(&key);
            }
            let now = self.now();
            self.engine.complete(id, outcome, now);
        } else {
            let now = self.now();
            self.engine.wake(now);
        }
        self.pump();
        true
    }

    fn pump(&mut self) {
        while let Some((id, effect)) = self.engine.next_effect() {
            self.perform(id, effect);
        }
        while let Some((ticket, completed)) = self.engine.next_completed() {
            match completed {
                Completed::Token(answer) => {
                    if self.waiting.remove(&ticket) {
                        self.answers.insert(ticket, answer);
                    }
                }
                Completed::Trials(trials) => {
                    self.trials.insert(ticket, trials);
                }
                _ => panic!("only tokens and trials are asked for"),
            }
        }
    }

    fn perform(&mut self, id: EffectId, effect: Effect) {
        match effect {
            Effect::ReadFile { path } => {
                assert_eq!(path, FILE);
                self.file_reads += 1;
                let outcome = match &self.file {
                    File::Missing => Err(ReadError::NotFound),
                    File::Hanging => return,
                    File::Text(text) => Ok(SecretBytes::new(text.clone())),
                };
                let at = self.true_ms + self.dice.below(3);
                self.schedule(at, id, Outcome::File(outcome));
            }
            Effect::Http { request, .. } if is_probe(&request) => {
                self.probes += 1;
                let (at, kind) = match self.server.mood {
                    Mood::Silent => (self.true_ms + request.timeout_ms, HttpErrorKind::Timeout),
                    Mood::Down => (self.true_ms, HttpErrorKind::Connect),
                    _ => {
                        let response = HttpResponse {
                            status: 400,
                            headers: Vec::new(),
                            body: SecretBytes::new(r#"{"error":"bad_request_102"}"#),
                        };
                        self.schedule(self.true_ms + 1, id, Outcome::Http(Ok(response)));
                        return;
                    }
                };
                let error = HttpError {
                    kind,
                    detail: String::new(),
                };
                self.schedule(at, id, Outcome::Http(Err(error)));
            }
            Effect::Http { request, .. } => {
                *self.posts_by_url.entry(request.url()).or_default() += 1;
                let scope = form_urlencoded::parse(question(&request).as_bytes())
                    .find(|(name, _)| name == "scope" || name == "resource")
                    .map(|(_, value)| value.into_owned())
                    .unwrap_or_default();
                let key = (request.url(), scope);
                let alone = self.server.in_flight.insert(key.clone());
                self.most_per_key = self.most_per_key.max(if alone { 1 } else { 2 });
                self.flying.insert(id, key);
                let (low, high) = (self.latency_ms.start, self.latency_ms.end);
                let at = self.true_ms + self.dice.between(low, high);
                if self.server.mood == Mood::Silent {
                    let gone = self.true_ms + request.timeout_ms;
                    let error = HttpError {
                        kind: HttpErrorKind::Timeout,
                        detail: "no answer".into(),
                    };
                    self.schedule(gone, id, Outcome::Http(Err(error)));
                    return;
                }
                // answered by the server as it is when the answer leaves it
                let response = self.server.respond(self.true_ms, &request);
                self.schedule(at, id, Outcome::Http(response));
            }
            Effect::Cancel { effect } => {
                if let Some(key) = self.flying.remove(&effect) {
                    self.server.in_flight.remove(&key);
                }
            }
            Effect::OpenCertificate { .. } => {
                let opened = OpenedCertificate {
                    handle: CertificateHandle(self.count),
                    certificate_chain: vec![self.certificate.clone()],
                    issuance: None,
                };
                self.open_identities += 1;
                self.schedule(self.true_ms, id, Outcome::Certificate(Ok(opened)));
            }
            Effect::Sign { .. } => {
                self.schedule(self.true_ms + 1, id, Outcome::Signature(Ok(vec![7; 64])));
            }
            Effect::CloseCertificate { .. } => self.open_identities -= 1,
            Effect::Store { request } => {
                let answer = self.store.borrow_mut().answer(self.true_ms, request);
                if let Some(answer) = answer {
                    let at = self.true_ms + self.dice.between(1, 4);
                    self.schedule(at, id, Outcome::Store(answer));
                }
            }
            other => panic!("no such effect in this world: {other:?}"),
        }
    }

    fn schedule(&mut self, at: u64, id: EffectId, outcome: Outcome) {
        self.count += 1;
        self.events
            .insert((at, self.count), Event::Outcome(id, outcome));
    }
}

/// Whether it asks a metadata service whether it is there, and not for a token.
fn is_probe(request: &HttpRequest) -> bool {
    request.method == "GET" && !request.headers.iter().any(|(name, _)| *name == "metadata")
}

/// The secret text of a token, and the words of an error.
pub(crate) fn text(token: &AccessToken) -> &str {
    token.token.expose()
}

pub(crate) fn scope(name: &str) -> TokenRequest {
    TokenRequest::for_scopes([format!("https://{name}.test/.default")])
}
