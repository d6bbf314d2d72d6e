//! What golden cases cannot say of managed identities: several exchanges that share an assertion, and a metadata service
//! that does not answer.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a driver that is not asked what it expects stops its test"
)]

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_core::{
    Completed, Config, Effect, EffectId, Engine, Environment, ErrorClass, HttpError, HttpErrorKind,
    HttpRequest, HttpResponse, Now, Outcome, Reply, SecretBytes, Ticket, TokenRequest,
};

/// 2026-11-01 00:00:00 UTC.
const START_UNIX_MS: u64 = 1_793_491_200_000;

const DAY_S: u64 = 86_400;

const HOUR_MS: u64 = 3_600_000;

const WITH_ASSERTION: &str = r#"{"tenant_id": "contoso.example", "client_id": "c", "credential": {"managed_identity_assertion": {}}}"#;

/// An engine and the requests that it has made.
struct Play {
    engine: Engine,
    mono_ms: u64,
    requests: VecDeque<(EffectId, HttpRequest)>,
    cancelled: Vec<EffectId>,
    asked: usize,
}

impl Play {
    fn new(identity: &str) -> Self {
        Self::of(identity, &[])
    }

    fn of(identity: &str, variables: &[(&str, &str)]) -> Self {
        Self::of_several(&[("app", identity)], variables)
    }

    fn of_several(identities: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let identities: Vec<String> = identities
            .iter()
            .map(|(name, identity)| format!(r#""{name}": {identity}"#))
            .collect();
        let json = format!(r#"{{"identities": {{{}}}}}"#, identities.join(","));
        let environment = Environment::from_pairs(variables.iter().copied());
        let config = Config::load(Some(&json), &environment).unwrap();
        Self {
            engine: Engine::new(config, [3; 32]),
            mono_ms: 0,
            requests: VecDeque::new(),
            cancelled: Vec::new(),
            asked: 0,
        }
    }

    fn with_assertion() -> Self {
        Self::new(WITH_ASSERTION)
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: START_UNIX_MS + self.mono_ms,
            mono_ms: self.mono_ms,
        }
    }

    fn ask(&mut self, resource: &str) -> Ticket {
        self.ask_as(None, resource)
    }

    fn ask_as(&mut self, identity: Option<&str>, resource: &str) -> Ticket {
        let mut request =
            TokenRequest::for_scopes([format!("https://{resource}.example/.default")]);
        request.identity = identity.map(str::to_owned);
        let now = self.now();
        match self.engine.request(now, &request) {
            Reply::Pending(ticket) => ticket,
            Reply::Ready(answer) => panic!("{answer:?}"),
        }
    }

    /// What the engine wants now, timers that have come included.
    fn pump(&mut self) {
        loop {
            while let Some((id, effect)) = self.engine.next_effect() {
                match effect {
                    Effect::Http { request, .. } => {
                        self.asked += usize::from(request.method == "GET");
                        self.requests.push_back((id, request));
                    }
                    Effect::Cancel { effect } => {
                        self.requests.retain(|(id, _)| *id != effect);
                        self.cancelled.push(effect);
                    }
                    other => panic!("{other:?}"),
                }
            }
            if self
                .engine
                .next_deadline()
                .is_none_or(|at| at > self.mono_ms)
            {
                return;
            }
            let now = self.now();
            self.engine.wake(now);
        }
    }

    fn pass(&mut self, ms: u64) {
        let until = self.mono_ms + ms;
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= until) {
            self.mono_ms = self.mono_ms.max(at);
            self.pump();
        }
        self.mono_ms = until;
        self.pump();
    }

    #[track_caller]
    fn next(&mut self) -> (EffectId, HttpRequest) {
        self.pump();
        self.requests.pop_front().expect("a request")
    }

    fn complete(&mut self, id: EffectId, result: Result<(u16, String), HttpErrorKind>) {
        let result = match result {
            Ok((status, body)) => Ok(HttpResponse {
                status,
                headers: vec![("server".to_owned(), "IMDS/1".to_owned())],
                body: SecretBytes::new(body),
            }),
            Err(kind) => Err(HttpError {
                kind,
                detail: String::new(),
            }),
        };
        let now = self.now();
        self.engine.complete(id, Outcome::Http(result), now);
        self.pump();
    }

    /// Answers the question for an assertion that stands first.
    #[track_caller]
    fn give(&mut self, assertion: &str) {
        let (id, request) = self.next();
        assert_eq!(request.method, "GET");
        self.complete(id, Ok((200, token(assertion, DAY_S))));
    }

    /// Answers the exchange that stands first, and gives the assertion that it has presented.
    #[track_caller]
    fn exchange(&mut self) -> String {
        let (id, request) = self.next();
        self.complete(id, Ok((200, token("access", 600))));
        presented(&request)
    }

    #[track_caller]
    fn answered(&mut self, ticket: Ticket) -> Result<(), edgepass_core::Error> {
        match self.engine.take(ticket).expect("an answer") {
            Completed::Token(answer) => answer.map(|_| ()),
            _ => panic!("another kind of answer"),
        }
    }
}

fn token(text: &str, life_s: u64) -> String {
    format!(r#"{{"access_token": "{text}", "token_type": "Bearer", "expires_in": {life_s}}}"#)
}

fn presented(request: &HttpRequest) -> String {
    assert_eq!(request.method, "POST");
    let mut form = form_urlencoded::parse(request.body.expose());
    let assertion = form.find(|(name, _)| name == "client_assertion");
    assertion.expect("an assertion").1.into_owned()
}

fn jwt(number: u32) -> String {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256"}"#),
        part(&format!(r#"{{"jti":"{number}"}}"#)),
        part("signature")
    )
}

#[test]
fn exchanges_share_an_assertion_and_the_request_for_it() {
    let mut play = Play::with_assertion();
    let tickets: Vec<_> = (0..20).map(|n| play.ask(&format!("r{n}"))).collect();
    play.pump();
    assert_eq!((play.asked, play.requests.len()), (1, 1));
    play.give(&jwt(1));
    for _ in &tickets {
        assert_eq!(play.exchange(), jwt(1));
    }
    for ticket in tickets {
        play.answered(ticket).unwrap();
    }
    // and so do those that come later
    play.pass(11 * HOUR_MS);
    play.ask("later");
    assert_eq!(play.exchange(), jwt(1));
    assert_eq!(play.asked, 1);
}

#[test]
fn those_who_wait_share_a_failure_too() {
    let mut play = Play::with_assertion();
    let tickets: Vec<_> = (0..20).map(|n| play.ask(&format!("r{n}"))).collect();
    let (id, _) = play.next();
    let not_found = r#"{"error": "invalid_request", "error_description": "Identity not found"}"#;
    play.complete(id, Ok((400, not_found.to_owned())));
    assert_eq!((play.asked, play.requests.len()), (1, 0));
    for ticket in tickets {
        let error = play.answered(ticket).unwrap_err();
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable);
    }
}

#[test]
fn a_refused_assertion_is_asked_for_anew() {
    let mut play = Play::with_assertion();
    let ticket = play.ask("r");
    play.give(&jwt(1));
    let (id, _) = play.next();
    let expired = r#"{"error": "invalid_client", "error_description": "AADSTS700024: not within its valid time range", "error_codes": [700024]}"#;
    play.complete(id, Ok((401, expired.to_owned())));
    play.give(&jwt(2));
    assert_eq!(play.exchange(), jwt(2));
    play.answered(ticket).unwrap();
    // the new one is kept
    play.ask("other");
    assert_eq!(play.exchange(), jwt(2));
    assert_eq!(play.asked, 2);
}

#[test]
fn an_assertion_is_renewed_at_half_of_its_life_and_serves_to_its_end() {
    let mut play = Play::with_assertion();
    play.ask("r0");
    play.give(&jwt(1));
    play.exchange();
    play.pass(12 * HOUR_MS);
    play.ask("r1");
    let (id, _) = play.next();
    play.complete(id, Ok((500, "{}".to_owned())));
    assert_eq!(play.exchange(), jwt(1), "the old one serves");
    play.ask("r2");
    assert_eq!(play.exchange(), jwt(1), "not asked again at once");
    play.pass(60_000);
    play.ask("r3");
    play.give(&jwt(2));
    assert_eq!(play.exchange(), jwt(2));
    // five minutes before its end it is presented no more
    play.pass(24 * HOUR_MS - 299_000);
    let ticket = play.ask("r4");
    for _ in 0..3 {
        let (id, request) = play.next();
        assert_eq!(request.method, "GET");
        play.complete(id, Ok((500, "{}".to_owned())));
        // longer than the wait before the next, and not so long that the service is slow
        play.pass(1_300);
    }
    let error = play.answered(ticket).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Server);
}

#[test]
fn whoever_waits_asks_when_the_one_who_asked_gives_up() {
    let app_service = [
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token"),
        ("IDENTITY_HEADER", "secret"),
    ];
    let mut play = Play::of(WITH_ASSERTION, &app_service);
    let first = play.ask("r0");
    // nobody answers: by then its third request is under way
    play.pass(24_000);
    assert_eq!((play.asked, play.requests.len()), (3, 1));
    let second = play.ask("r1");
    play.pass(5_900);
    assert_eq!(play.asked, 3);
    play.pass(200);
    assert!(play.answered(first).is_err());
    play.give(&jwt(1));
    assert_eq!(play.exchange(), jwt(1));
    play.answered(second).unwrap();
}

#[test]
fn a_renewal_that_is_given_up_leaves_the_old_assertion_to_those_who_come_after() {
    let app_service = [
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token"),
        ("IDENTITY_HEADER", "secret"),
    ];
    let identity = r#"{"tenant_id": "contoso.example", "client_id": "c", "credential": [
        {"managed_identity_assertion": {}}, {"client_secret": {"value": "hunter21"}},
        {"client_secret": {"value": "hunter22"}}, {"client_secret": {"value": "hunter23"}}]}"#;
    let mut play = Play::of(identity, &app_service);
    play.ask("r0");
    play.give(&jwt(1));
    assert_eq!(play.exchange(), jwt(1));
    play.pass(12 * HOUR_MS);
    // nobody answers; of four each has a quarter of the time
    play.ask("r1");
    play.pass(7_600);
    let (id, request) = play.next();
    assert_eq!(request.method, "POST");
    play.complete(id, Ok((200, token("by-the-secret", 600))));
    // longer than it is left aside
    play.pass(8_000);
    play.ask("r2");
    assert_eq!(play.exchange(), jwt(1));
    assert_eq!(play.asked, 2);
}

#[test]
fn an_assertion_that_was_refused_while_it_was_renewed_is_not_put_back() {
    let mut play = Play::with_assertion();
    play.ask("r0");
    play.give(&jwt(1));
    play.exchange();
    play.pass(12 * HOUR_MS);
    play.ask("r1");
    let (renewal, _) = play.next();
    play.ask("r2");
    let (id, request) = play.next();
    assert_eq!(presented(&request), jwt(1));
    let expired = r#"{"error": "invalid_client", "error_description": "AADSTS700024: not within its valid time range", "error_codes": [700024]}"#;
    play.complete(id, Ok((401, expired.to_owned())));
    play.complete(renewal, Ok((500, "{}".to_owned())));
    assert_eq!(play.exchange(), jwt(1));
    play.ask("r3");
    play.give(&jwt(2));
    assert_eq!(play.exchange(), jwt(2));
}

#[test]
fn the_cache_drops_assertions_with_its_tokens() {
    let mut play = Play::with_assertion();
    play.ask("r0");
    play.give(&jwt(1));
    play.exchange();
    let now = play.now();
    play.engine.drop_cached(now, None);
    play.ask("r0");
    play.give(&jwt(2));
    assert_eq!(play.exchange(), jwt(2));
}

/// What one identity's credential has brought is not taken from another; those with the same credential share it.
#[test]
fn the_tokens_of_one_identity_take_its_own_assertions_with_them() {
    const NAMES: [&str; 4] = ["one", "twin", "other", "federated"];
    const OTHER: &str = r#"{"tenant_id": "contoso.example", "client_id": "c", "credential": {"managed_identity_assertion": {"client_id": "66666666-7777-8888-9999-000000000000"}}}"#;
    const FEDERATED: &str = r#"{"tenant_id": "fabrikam.example", "client_id": "f", "credential": {"oidc_federation": {"tenant_id": "contoso.example", "client_id": "g", "credential": {"client_secret": {"value": "hunter2"}}}}}"#;
    let asked_anew = |dropped: Option<&str>| {
        let mut play = Play::of_several(
            &[
                (NAMES[0], WITH_ASSERTION),
                (NAMES[1], WITH_ASSERTION),
                (NAMES[2], OTHER),
                (NAMES[3], FEDERATED),
            ],
            &[],
        );
        let mut number = 0;
        // how many assertions were asked for, until that identity has a token
        let mut get = |play: &mut Play, name: &str, resource: &str| {
            let ticket = play.ask_as(Some(name), resource);
            let mut asked = 0;
            loop {
                let (id, request) = play.next();
                let form = String::from_utf8_lossy(request.body.expose());
                if request.method == "GET" || form.contains("hunter2") {
                    asked += 1;
                    number += 1;
                    play.complete(id, Ok((200, token(&jwt(number), DAY_S))));
                    continue;
                }
                play.complete(id, Ok((200, token("access", 600))));
                play.answered(ticket).unwrap();
                return asked;
            }
        };
        let first: Vec<u32> = NAMES.map(|name| get(&mut play, name, "r0")).to_vec();
        assert_eq!(first, [1, 0, 1, 1], "each its own, and the twins one");
        let now = play.now();
        play.engine.drop_cached(now, dropped);
        NAMES.map(|name| get(&mut play, name, "r1"))
    };
    for (dropped, expected) in [
        (Some("one"), [1, 0, 0, 0]),
        (Some("twin"), [1, 0, 0, 0]),
        (Some("other"), [0, 0, 1, 0]),
        (Some("federated"), [0, 0, 0, 1]),
        (Some("nobody"), [0, 0, 0, 0]),
        (None, [1, 0, 1, 1]),
    ] {
        assert_eq!(asked_anew(dropped), expected, "{dropped:?}");
    }
}

#[test]
fn a_silent_address_is_known_after_two_seconds() {
    let mut play = Play::new(r#"{"credential": {"managed_identity": {}}}"#);
    play.ask("r");
    let (_, asked) = play.next();
    play.pass(999);
    assert!(play.requests.is_empty());
    play.pass(1);
    let (probe, request) = play.next();
    assert_eq!((&request.path, request.timeout_ms), (&asked.path, 1_000));
    let has_metadata =
        |request: &HttpRequest| request.headers.iter().any(|(name, _)| *name == "metadata");
    assert!(has_metadata(&asked) && !has_metadata(&request));
    play.pass(1_000);
    play.complete(probe, Err(HttpErrorKind::Timeout));
    // nobody waits for the first answer any more
    assert_eq!(play.cancelled.len(), 1);
}

#[test]
fn a_slow_service_is_waited_for_once_it_is_known_to_be_there() {
    let mut play = Play::new(r#"{"credential": {"managed_identity": {}}}"#);
    let ticket = play.ask("r");
    let (asked, _) = play.next();
    play.pass(1_000);
    let (probe, _) = play.next();
    let refused = r#"{"error": "bad_request_102"}"#;
    play.complete(probe, Ok((400, refused.to_owned())));
    play.pass(6_000);
    assert!(play.cancelled.is_empty());
    play.complete(asked, Ok((200, token("access", DAY_S))));
    play.answered(ticket).unwrap();
}

/// Of every platform whose server has an address that is on each machine.
#[test]
fn a_platform_that_is_silent_leaves_time_to_the_next_credential() {
    for (kind, variables) in [
        (r#"{"managed_identity_assertion": {}}"#, &[][..]),
        (r#"{"google_metadata": {}}"#, &[]),
        (
            r#"{"aws_web_identity": {}}"#,
            &[("AWS_REGION", "eu-west-1")],
        ),
        (
            r#"{"aws_web_identity": {}}"#,
            &[
                ("AWS_REGION", "eu-west-1"),
                ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/keys"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"),
            ],
        ),
    ] {
        let identity = format!(
            r#"{{"tenant_id": "t", "client_id": "c", "credential": [{kind}, {{"client_secret": {{"value": "s"}}}}]}}"#
        );
        let mut play = Play::of(&identity, variables);
        let ticket = play.ask("r");
        let (_, asked) = play.next();
        play.pass(1_000);
        let (probe, request) = play.next();
        assert_eq!(request.path, asked.path, "{kind}");
        let shown = format!("{:?}", request.headers);
        assert_eq!(request.headers.len(), 1, "{kind}: {shown}");
        play.complete(probe, Err(HttpErrorKind::Timeout));
        let (exchange, _) = play.next();
        play.complete(exchange, Ok((200, token("access", DAY_S))));
        play.answered(ticket).unwrap();
    }
}

/// A driver whose callers wait for a second gives each of two credentials its half.
#[test]
fn the_credentials_of_a_list_share_what_time_there_is() {
    let identity = r#"{"tenant_id": "t", "client_id": "c", "credential": [
        {"google_metadata": {}}, {"client_secret": {"value": "s"}}]}"#;
    let mut play = Play::of(identity, &[]);
    play.engine.limit_acquisitions(1_000);
    let ticket = play.ask("r");
    play.next();
    play.pass(500);
    let (exchange, _) = play.next();
    play.complete(exchange, Ok((200, token("access", DAY_S))));
    play.answered(ticket).unwrap();
}
