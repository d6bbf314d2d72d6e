//! Many users, each of whom gets tokens of his own: nobody is given another's, nobody is kept out by others, and all of it
//! has bounds. `EDGEPASS_SIM_USERS=100000` makes the day as long as a web farm's, `EDGEPASS_SIM_RUNS=n` plays more worlds
//! and `EDGEPASS_SIM_SEED=n` one again.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::grant::tests::{allow_every_grant, any_grant};
use crate::limits::{
    FLIGHT_TIMEOUT_MS, MAX_CACHED_TOKENS, MAX_FLIGHTS, MAX_USER_EXCHANGES, MAX_USER_FLIGHTS,
    MAX_USER_PACES, MAX_USER_TOKENS, MAX_USER_WAITING, MAX_WAITING,
};
use crate::{Environment, Grant, HttpResponse, Secret, SecretBytes, TokenSource};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const MIB: usize = 1024 * 1024;

/// How the token server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    /// It refuses what is garbage, and grants the rest.
    Strict,
    /// It says of everybody that he has to wait that many seconds.
    Throttling(u64),
    /// It has seen the request, and does not answer.
    Silent,
}

/// An engine and a token server whose tokens say for whom they are.
struct World {
    engine: Engine,
    now: Now,
    mood: Mood,
    /// Beside the name of the one it is for: the length of an Entra token.
    padding: String,
    lifetime_s: u64,
    random: ChaCha8Rng,
    /// Requests that were not answered yet: whose and for which scope.
    open: Vec<(EffectId, String, String)>,
    /// How often each has asked.
    sent: BTreeMap<String, usize>,
    most_open: usize,
    answers: BTreeMap<Ticket, Result<AccessToken, Error>>,
}

impl World {
    fn new(seed: u64, user_mib: usize) -> Self {
        allow_every_grant();
        let json = format!(
            r#"{{"identities": {{"app": {{
            "token_endpoint": "https://idp.example/token", "client_id": "c",
            "credential": {{"client_secret": {{"value": "hunter2"}}}}}}}},
            "authority_hosts": ["idp.example"], "host": {{"user_token_cache_mib": {user_mib}}}}}"#
        );
        let config = Config::load(Some(&json), &Environment::default()).unwrap();
        let unix_ms = 1_793_491_200_000;
        Self {
            engine: Engine::new(config, [7; 32]),
            now: Now {
                unix_ms,
                mono_ms: 0,
            },
            mood: Mood::Well,
            padding: "x".repeat(1_500),
            lifetime_s: 3_600,
            random: ChaCha8Rng::seed_from_u64(seed),
            open: Vec::new(),
            sent: BTreeMap::new(),
            most_open: 0,
            answers: BTreeMap::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.engine.wake(self.now);
        self.fetch();
    }

    fn fetch(&mut self) {
        while let Some((id, effect)) = self.engine.next_effect() {
            match effect {
                Effect::Http { request, .. } => {
                    let form: BTreeMap<String, String> =
                        form_urlencoded::parse(request.body.expose())
                            .map(|(name, value)| (name.into_owned(), value.into_owned()))
                            .collect();
                    let subject = ["assertion", "code", "refresh_token", "subject_token"]
                        .iter()
                        .find_map(|name| form.get(*name));
                    let whose = subject.map_or("app", |subject| subject.trim_end_matches('='));
                    let scope = form.get("scope").map_or("", String::as_str);
                    *self.sent.entry(whose.to_owned()).or_default() += 1;
                    self.open.push((id, whose.to_owned(), scope.to_owned()));
                    self.most_open = self.most_open.max(self.open.len());
                }
                Effect::Cancel { effect } => self.open.retain(|(id, ..)| *id != effect),
                _ => {}
            }
        }
        while let Some((ticket, completed)) = self.engine.next_completed() {
            let Completed::Token(answer) = completed else {
                panic!("only tokens were asked for")
            };
            assert!(self.answers.insert(ticket, answer).is_none());
        }
    }

    /// Answers one of the open requests.
    fn answer(&mut self, at: usize) {
        let (id, whose, scope) = self.open.swap_remove(at);
        let (status, headers, body) = match self.mood {
            Mood::Silent => return self.open.push((id, whose, scope)),
            Mood::Throttling(wait_s) => (
                429,
                vec![("retry-after".to_owned(), wait_s.to_string())],
                r#"{"error":"temporarily_unavailable"}"#.to_owned(),
            ),
            Mood::Strict if whose.starts_with("garbage") => (
                400,
                Vec::new(),
                r#"{"error":"invalid_grant","error_description":"not a token"}"#.to_owned(),
            ),
            Mood::Strict | Mood::Well => {
                let nonce = self.random.next_u64();
                let token = format!("{whose}|{scope}|{nonce}|{}", self.padding);
                let lifetime_s = self.lifetime_s;
                let body = format!(
                    r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{lifetime_s}}}"#
                );
                (200, Vec::new(), body)
            }
        };
        let outcome = Outcome::Http(Ok(HttpResponse {
            status,
            headers,
            body: SecretBytes::new(body),
        }));
        self.engine.complete(id, outcome, self.now);
        self.fetch();
    }

    /// Lets the server answer everything.
    fn settle(&mut self) {
        self.pass(0);
        while !self.open.is_empty() && self.mood != Mood::Silent {
            self.answer(0);
            self.pass(0);
        }
    }

    fn ask(&mut self, request: &TokenRequest) -> Reply {
        let reply = self.engine.request(self.now, request);
        self.fetch();
        reply
    }

    /// Asks, and has the server answer if it must.
    fn get(&mut self, request: &TokenRequest) -> Result<AccessToken, Error> {
        match self.ask(request) {
            Reply::Ready(answer) => answer,
            Reply::Pending(ticket) => {
                self.settle();
                self.answers.remove(&ticket).expect("an answer")
            }
        }
    }

    fn store(&self, own: bool) -> (usize, usize) {
        self.engine.cache.held(own)
    }

    /// Whatever happened: all is within its bounds.
    fn check_bounds(&self) {
        let budget = self.engine.config.user_token_bytes();
        let (own, own_bytes) = self.store(true);
        let (users, user_bytes) = self.store(false);
        assert!(own <= MAX_CACHED_TOKENS && own_bytes <= crate::limits::MAX_TOKEN_BYTES);
        assert!(users <= MAX_USER_TOKENS && user_bytes <= budget);
        assert!(self.engine.under_way.own <= MAX_FLIGHTS);
        assert!(self.engine.under_way.users <= MAX_USER_FLIGHTS);
        assert!(self.engine.waiting.own <= MAX_WAITING);
        assert!(self.engine.waiting.users <= MAX_USER_WAITING);
        assert!(self.engine.paces.users.map().len() <= MAX_USER_PACES);
        assert!(self.engine.holds.users.map().len() <= MAX_USER_PACES);
    }

    /// Nothing is left of what is over.
    fn check_idle(&mut self) {
        self.mood = Mood::Well;
        for _ in 0..100 {
            self.pass(30_000);
            self.settle();
        }
        let engine = &self.engine;
        assert_eq!(
            (engine.under_way.own, engine.under_way.users),
            (0, 0),
            "flights"
        );
        assert_eq!((engine.waiting.own, engine.waiting.users), (0, 0));
        assert_eq!(engine.flights.len(), 0);
        assert_eq!(engine.tasks.len(), 0);
        assert_eq!(engine.callers.len(), 0);
        assert_eq!(engine.assertions, 0);
        assert_eq!(engine.next_deadline(), None);
    }
}

fn user(name: &str) -> TokenRequest {
    TokenRequest {
        grant: Grant::OnBehalfOf {
            assertion: Some(Secret::new(name)),
            session_key: None,
        },
        ..TokenRequest::for_scopes(["read"])
    }
}

fn own(scope: &str) -> TokenRequest {
    TokenRequest::for_scopes([scope])
}

/// Whose token it is, and for what.
fn owner(token: &AccessToken) -> (String, String) {
    let mut parts = token.token.expose().split('|').map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

fn of(name: &str) -> (String, String) {
    (name.to_owned(), "read".to_owned())
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn a_thousand_users_at_once_cause_one_exchange_each() {
    let mut world = World::new(1, 64);
    let name = |n| format!("user-{n}");
    let mut asked = Vec::new();
    for round in 0..3 {
        for n in 0..1_000 {
            match world.ask(&user(&name(n))) {
                Reply::Pending(ticket) => asked.push((ticket, name(n))),
                Reply::Ready(answer) => panic!("round {round}: {answer:?}"),
            }
        }
        world.check_bounds();
    }
    assert_eq!(world.open.len(), MAX_USER_EXCHANGES, "the others wait");
    // the application's own does not wait behind them
    assert_eq!(world.engine.request(world.now, &own("read")).pending(), 1);
    world.fetch();
    assert_eq!(world.open.len(), MAX_USER_EXCHANGES + 1);
    world.settle();
    assert_eq!(world.most_open, MAX_USER_EXCHANGES + 1);
    assert_eq!(world.sent.len(), 1_001);
    assert!(world.sent.values().all(|count| *count == 1), "none twice");
    let mut sources = BTreeMap::new();
    for (ticket, name) in asked {
        let token = world.answers.remove(&ticket).unwrap().unwrap();
        assert_eq!(owner(&token), of(&name));
        *sources.entry(format!("{:?}", token.source)).or_insert(0) += 1;
    }
    let expected = [("Exchange", 1_000), ("SharedExchange", 2_000)];
    assert_eq!(
        sources,
        expected.map(|(source, n)| (source.to_owned(), n)).into()
    );
    for n in 0..1_000 {
        let token = world.get(&user(&name(n))).unwrap();
        assert_eq!(
            (owner(&token), token.source),
            (of(&name(n)), TokenSource::Cache)
        );
    }
    assert_eq!(world.store(false).0, 1_000);
    world.check_bounds();
    world.check_idle();
}

/// Users come and go all day, more than there is room for, each with a new assertion every hour. The application has
/// tokens of its own, which no number of users takes away.
#[test]
fn a_day_of_users_under_eviction() {
    let users = number("EDGEPASS_SIM_USERS", 3_000);
    // a third of those who are there within an hour
    let mib = usize::try_from(users / 3_000).unwrap().clamp(1, 64);
    let mut world = World::new(2, mib);
    let calls = 12 * users;
    let step_ms = 24 * HOUR / calls;
    let (mut hits, mut exchanges, mut most) = (0_u64, 0_u64, 0);
    for call in 0..calls {
        world.pass(step_ms);
        world.settle();
        // some come often, most seldom
        let bound = [users, users, users / 20 + 1][usize::try_from(call % 3).unwrap()];
        let n = world.below(bound);
        let name = format!("user-{n}-{}", world.now.mono_ms / HOUR);
        let token = world.get(&user(&name)).unwrap();
        assert_eq!(owner(&token), of(&name));
        match token.source {
            TokenSource::Cache => hits += 1,
            _ => exchanges += 1,
        }
        most = most.max(world.store(false).0);
        if call % 50 == 0 {
            for scope in ["a", "b", "c"] {
                let token = world.get(&own(scope)).unwrap();
                assert_eq!(owner(&token), ("app".to_owned(), scope.to_owned()));
                // refreshes run behind the callers
                let first = call == 0;
                assert_eq!(token.source == TokenSource::Cache, !first, "{scope} {call}");
            }
        }
        world.check_bounds();
    }
    assert!(hits > users && exchanges > users, "{hits} {exchanges}");
    assert_eq!(hits + exchanges, calls);
    // it was full, and not for want of trying
    let (_, bytes) = world.store(false);
    assert!(most > 200 * mib && bytes > mib * MIB / 2, "{most} {bytes}");
    // those who never come back leave nothing, without being asked for; their hours end with calls of others
    world.pass(2 * HOUR);
    for _ in 0..=most {
        world.engine.cached(world.now, &own("none"));
    }
    assert_eq!(world.store(false), (0, 0));
    world.check_idle();
}

#[test]
fn whatever_happens_in_whatever_order_nobody_gets_anothers_token() {
    let seeds = match std::env::var("EDGEPASS_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("EDGEPASS_SIM_SEED is a number")],
        Err(_) => (0..number("EDGEPASS_SIM_RUNS", 16)).collect(),
    };
    for seed in seeds {
        if std::panic::catch_unwind(|| any_order(seed)).is_err() {
            panic!("the world of seed {seed} failed; replay it with EDGEPASS_SIM_SEED={seed}");
        }
    }
}

/// Few users with many grants, asked for, cancelled, refused, forgotten and evicted, while clocks jump.
fn any_order(seed: u64) {
    let mut world = World::new(seed, 1);
    // so that a MiB is full with some thirty
    world.padding = "x".repeat(30_000);
    let mut asked: BTreeMap<Ticket, (String, String)> = BTreeMap::new();
    let mut answered = 0;
    for _ in 0..600 {
        let scope = ["read", "write"][usize::try_from(world.below(2)).unwrap()];
        let grant = match world.below(5) {
            0 => any_grant(&mut world.random),
            _ => {
                let name = format!("user-{}", world.below(30));
                let name = Secret::new(name);
                match world.below(8) {
                    0 => Grant::ClientCredentials,
                    1 => Grant::RefreshToken(name),
                    2 => Grant::JwtBearer(name),
                    _ => Grant::OnBehalfOf {
                        assertion: Some(name),
                        session_key: None,
                    },
                }
            }
        };
        // the stand-ins of the forms do not show what these are about
        let is_told = matches!(
            grant,
            Grant::ClientCredentials
                | Grant::RefreshToken(_)
                | Grant::JwtBearer(_)
                | Grant::OnBehalfOf {
                    session_key: None,
                    ..
                }
        );
        let subject = crate::grant::secrets(&grant).first().cloned();
        let name = subject.map_or("app".to_owned(), |subject| subject.expose().to_owned());
        let request = TokenRequest {
            grant,
            refresh: match world.below(10) {
                0 => Refresh::Force,
                _ => Refresh::IfNeeded,
            },
            ..TokenRequest::for_scopes([scope])
        };
        let mine = (name.clone(), scope.to_owned());
        let mut check = |answer: &Result<AccessToken, Error>, mine: &(String, String)| {
            if let Ok(token) = answer {
                assert_eq!(owner(token), *mine);
                answered += 1;
            }
        };
        match world.below(20) {
            0 => {
                let ms = world.below(2 * HOUR);
                match world.below(3) {
                    0 => world.now.unix_ms = world.now.unix_ms.saturating_add(ms),
                    1 => world.now.unix_ms = world.now.unix_ms.saturating_sub(ms),
                    _ => world.pass(ms),
                }
            }
            1 => {
                let gone: Vec<Ticket> = asked.keys().copied().collect();
                if let Some(ticket) = gone.get(usize::try_from(world.below(20)).unwrap()) {
                    world.engine.cancel(*ticket);
                    asked.remove(ticket);
                }
            }
            2 if world.below(4) == 0 => _ = world.engine.drop_cached(world.now, None),
            3 => {
                if let Some(token) = world.engine.cached(world.now, &request) {
                    let sha256 = token.token.sha256_hex();
                    _ = world
                        .engine
                        .report_rejection(world.now, &request, &sha256, None);
                }
            }
            4 => {
                world.mood = [Mood::Well, Mood::Strict, Mood::Throttling(20), Mood::Silent]
                    [usize::try_from(world.below(4)).unwrap()];
            }
            _ if is_told => {
                if let Some(token) = world.engine.cached(world.now, &request) {
                    check(&Ok(token), &mine);
                }
                match world.ask(&request) {
                    Reply::Ready(answer) => check(&answer, &mine),
                    Reply::Pending(ticket) => _ = asked.insert(ticket, mine),
                }
            }
            _ => _ = world.ask(&request),
        }
        world.pass(if world.open.len() > 6 { 0 } else { 2_000 });
        if !world.open.is_empty() && world.below(2) == 0 {
            let at = world.below(world.open.len() as u64);
            world.answer(usize::try_from(at).unwrap());
        }
        for (ticket, answer) in std::mem::take(&mut world.answers) {
            if let Some(mine) = asked.remove(&ticket) {
                check(&answer, &mine);
            }
        }
        world.check_bounds();
    }
    assert!(answered > 50, "{answered}");
    world.check_idle();
}

/// Somebody sends a new piece of garbage with every call, as fast as he can.
#[test]
fn whoever_makes_users_up_takes_nothing_from_anybody() {
    let mut world = World::new(3, 1);
    world.mood = Mood::Strict;
    let good = |n| format!("user-{n}");
    for n in 0..100 {
        world.get(&user(&good(n))).unwrap();
    }
    // one that has to wait, because the server says so
    world.mood = Mood::Throttling(1_800);
    world.get(&user("patient")).unwrap_err();
    world.mood = Mood::Strict;
    let mut refused = 0;
    for n in 0..3 * MAX_USER_PACES {
        match world.ask(&user(&format!("garbage-{n}"))) {
            Reply::Ready(Err(_)) => refused += 1,
            Reply::Ready(Ok(_)) => panic!("it is garbage"),
            Reply::Pending(_) => {}
        }
        if n % 200 == 0 {
            world.settle();
            world.check_bounds();
        }
    }
    world.settle();
    world.answers.clear();
    assert_eq!(refused, 0, "each was a new one");
    assert_eq!(world.engine.holds.users.map().len(), MAX_USER_PACES, "full");
    for n in 0..100 {
        let token = world.get(&user(&good(n))).unwrap();
        assert_eq!(
            (owner(&token), token.source),
            (of(&good(n)), TokenSource::Cache)
        );
    }
    let sent = world.sent.get("patient").copied();
    let error = world.get(&user("patient")).unwrap_err();
    assert!(error.to_string().contains("asked to wait"), "{error}");
    assert_eq!(world.sent.get("patient").copied(), sent);
    // and a new one comes in, as does the application
    assert!(world.get(&user("late")).is_ok());
    assert!(world.get(&own("read")).is_ok());
    // what is remembered of garbage goes, what the server has asked for stays
    for _ in 0..2 * MAX_USER_PACES {
        world.pass(10);
    }
    assert_eq!(world.engine.holds.users.map().len(), 1);
    assert!(world.engine.paces.users.map().len() <= 1);
    world.check_idle();
}

/// The server has stopped answering, and users do not stop coming.
#[test]
fn a_crowd_that_waits_keeps_the_application_from_nothing() {
    let mut world = World::new(4, 64);
    world.mood = Mood::Silent;
    let mut tickets = Vec::new();
    let mut busy = None;
    for n in 0..MAX_USER_FLIGHTS + 10 {
        if n == MAX_USER_EXCHANGES {
            world.pass(1_000);
        }
        match world.ask(&user(&format!("user-{n}"))) {
            Reply::Pending(ticket) => tickets.push(ticket),
            Reply::Ready(answer) => busy = Some(answer.unwrap_err()),
        }
    }
    assert_eq!(tickets.len(), MAX_USER_FLIGHTS);
    assert_eq!(world.open.len(), MAX_USER_EXCHANGES);
    let busy = busy.unwrap();
    assert_eq!(busy.class(), ErrorClass::Busy);
    assert!(busy.to_string().contains("exchanges for users"), "{busy}");
    // callers of one who is on his way find room until there are too many of them
    let joined = (0..MAX_USER_WAITING)
        .map_while(|_| match world.ask(&user("user-0")) {
            Reply::Pending(ticket) => Some(ticket),
            Reply::Ready(_) => None,
        })
        .count();
    assert_eq!(joined, MAX_USER_WAITING - MAX_USER_FLIGHTS);
    world.check_bounds();
    assert!(matches!(world.ask(&own("read")), Reply::Pending(_)));
    assert_eq!(world.open.len(), MAX_USER_EXCHANGES + 1, "it is sent");
    // those who leave before their turn cost nothing
    let left = 2 * MAX_USER_EXCHANGES + 100;
    for ticket in tickets.drain(left..) {
        world.engine.cancel(ticket);
    }
    assert_eq!(world.engine.under_way.users, left);
    // when the first give up the next have their turn, and who has waited long enough is told
    world.pass(FLIGHT_TIMEOUT_MS - 1_000);
    world.pass(0);
    assert_eq!(world.open.len(), MAX_USER_EXCHANGES);
    world.pass(1_000);
    let late = tickets.last().copied().unwrap();
    let error = world.answers.remove(&late).unwrap().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Busy);
    assert!(error.to_string().contains("no turn in time"), "{error}");
    assert!(!world.sent.contains_key(&format!("user-{}", left - 1)));
    world.check_idle();
    assert!(world.get(&user("user-5000")).is_ok(), "room again");
}

/// Nothing is asked for a user behind his back: nothing of him is kept to ask with.
#[test]
fn a_users_token_is_refreshed_when_it_is_used() {
    let mut world = World::new(5, 1);
    world.get(&user("alice")).unwrap();
    world.get(&own("read")).unwrap();
    world.pass(40 * MINUTE);
    assert_eq!(world.engine.next_deadline(), None);
    world.pass(5 * MINUTE);
    assert!(world.open.is_empty(), "nobody has called");
    // those who call get the cached one at once, and the first has caused one exchange with what he brought
    for _ in 0..20 {
        let Reply::Ready(Ok(token)) = world.ask(&user("alice")) else {
            panic!("it lives")
        };
        assert_eq!(
            (owner(&token), token.source),
            (of("alice"), TokenSource::Cache)
        );
    }
    assert_eq!(world.open.len(), 1);
    world.settle();
    let after = world.get(&user("alice")).unwrap();
    assert_eq!((world.sent["alice"], after.source), (2, TokenSource::Cache));
    assert!(after.expires_on > world.now.unix_s() + 3_500);
    world.check_idle();
}

/// A code and a refresh token are spent by being sent.
#[test]
fn what_is_spent_is_neither_sent_twice_nor_kept() {
    let code = || TokenRequest {
        grant: Grant::AuthorizationCode {
            code: "code".into(),
            redirect_uri: "https://app.example/callback".to_owned(),
            code_verifier: None,
            nonce: None,
        },
        ..TokenRequest::for_scopes(["read"])
    };
    let refresh = || TokenRequest {
        grant: Grant::RefreshToken("refresh".into()),
        ..TokenRequest::for_scopes(["read"])
    };
    let mut world = World::new(6, 1);
    // a code at the same moment: one is sent, and who comes second is told so
    let Reply::Pending(first) = world.ask(&code()) else {
        panic!("nothing is cached")
    };
    let Reply::Ready(Err(second)) = world.ask(&code()) else {
        panic!("it is being redeemed")
    };
    assert_eq!(second.class(), ErrorClass::InvalidRequest);
    assert!(second.to_string().contains("being redeemed"), "{second}");
    world.settle();
    assert!(world.answers.remove(&first).unwrap().is_ok());
    // a refresh token at the same moment: one is sent, and both who have it get what came
    let tickets: Vec<Ticket> = (0..2)
        .map(|_| match world.ask(&refresh()) {
            Reply::Pending(ticket) => ticket,
            Reply::Ready(answer) => panic!("{answer:?}"),
        })
        .collect();
    world.settle();
    let [one, other] = [0, 1].map(|n| world.answers.remove(&tickets[n]).unwrap().unwrap());
    assert_eq!(one.token, other.token);
    assert_eq!(other.source, TokenSource::SharedExchange);
    assert_eq!((world.sent["code"], world.sent["refresh"]), (1, 1));
    // afterwards each is the server's to refuse, and nothing was kept
    assert_eq!(world.store(false), (0, 0));
    for request in [code(), refresh()] {
        assert_eq!(world.engine.cached(world.now, &request), None);
        assert_eq!(world.engine.fresh(world.now, &request), None);
        let token = world.get(&request).unwrap();
        assert_eq!(token.source, TokenSource::Exchange);
        let sha256 = token.token.sha256_hex();
        let outcome = world
            .engine
            .report_rejection(world.now, &request, &sha256, None);
        assert_eq!(outcome.unwrap(), RejectionOutcome::AlreadyReplaced);
    }
    assert_eq!((world.sent["code"], world.sent["refresh"]), (2, 2));
    // and without an answer nothing is sent again by itself
    world.mood = Mood::Silent;
    assert_eq!(world.ask(&code()).pending(), 1);
    world.pass(FLIGHT_TIMEOUT_MS);
    assert_eq!(world.sent["code"], 3);
    world.check_idle();
    assert_eq!(world.sent["code"], 3);
}

/// The size that is counted is no less than what a token takes, and little more.
#[test]
fn a_mib_has_as_many_users_as_is_said() {
    let mut world = World::new(7, 1);
    let names: BTreeSet<String> = (0..2_000).map(|n| format!("user-{n}")).collect();
    for name in &names {
        world.get(&user(name)).unwrap();
    }
    let (tokens, bytes) = world.store(false);
    assert!(bytes <= MIB && bytes > MIB - 4_096);
    assert!((350..550).contains(&tokens), "{tokens}");
    // the newest are there
    let kept = names
        .iter()
        .filter(|name| world.engine.cached(world.now, &user(name)).is_some())
        .count();
    assert_eq!(kept, tokens);
}

impl Reply {
    /// How many answers it leaves to come.
    fn pending(&self) -> usize {
        usize::from(matches!(self, Self::Pending(_)))
    }
}
