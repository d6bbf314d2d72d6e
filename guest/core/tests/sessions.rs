//! Long-running on-behalf-of: a session is one user's, its refresh token goes to the token endpoint alone, and nobody gets
//! another user's token by a key, whatever happens to sessions meanwhile.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing stops"
)]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_core::limits::MAX_SESSIONS;
use edgepass_core::{
    AccessToken, Completed, Config, Effect, EffectId, Engine, Environment, Error, ErrorClass,
    Grant, HttpResponse, Now, Outcome, Refresh, Reply, Secret, SecretBytes, Ticket, TokenRequest,
    TokenSource,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

const CONFIG: &str = r#"{ "identities": { "app": {
    "tenant_id": "11111111-2222-3333-4444-555555555555",
    "additionally_allowed_tenants": ["22222222-2222-3333-4444-555555555555"],
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "client_secret": { "value": "the-client-secret" } } } } }"#;

const READ: &str = "https://graph.microsoft.com/User.Read";
const MAIL: &str = "https://graph.microsoft.com/Mail.Read";

/// Entra ID, as far as sessions see it: a refresh token is good until its user is revoked.
struct World {
    engine: Engine,
    now_ms: u64,
    /// Users by their refresh tokens.
    refresh_tokens: BTreeMap<String, String>,
    /// Refresh tokens in the order in which they were sent.
    sent: Vec<String>,
    exchanges: usize,
    /// What the next refresh is answered with in place of a token.
    refusal: Option<&'static str>,
    gives_refresh_tokens: bool,
}

impl World {
    fn new() -> Self {
        let config = Config::load(Some(CONFIG), &Environment::default()).unwrap();
        Self {
            engine: Engine::new(config, [5; 32]),
            now_ms: 1_000,
            refresh_tokens: BTreeMap::new(),
            sent: Vec::new(),
            exchanges: 0,
            refusal: None,
            gives_refresh_tokens: true,
        }
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: 1_793_491_200_000 + self.now_ms,
            mono_ms: self.now_ms,
        }
    }

    fn get(&mut self, request: &TokenRequest) -> Result<AccessToken, Error> {
        match self.engine.request(self.now(), request) {
            Reply::Ready(answer) => answer,
            Reply::Pending(ticket) => {
                while let Some((id, form)) = self.next_request() {
                    self.answer(id, &form);
                }
                self.taken(ticket)
            }
        }
    }

    /// Asks, and leaves the request to the server unanswered.
    fn begin(&mut self, request: &TokenRequest) -> (Ticket, EffectId, BTreeMap<String, String>) {
        let Reply::Pending(ticket) = self.engine.request(self.now(), request) else {
            panic!("it is cached, or refused");
        };
        let (id, form) = self.next_request().expect("a request");
        (ticket, id, form)
    }

    fn taken(&mut self, ticket: Ticket) -> Result<AccessToken, Error> {
        match self.engine.take(ticket) {
            Some(Completed::Token(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn next_request(&mut self) -> Option<(EffectId, BTreeMap<String, String>)> {
        while let Some((id, effect)) = self.engine.next_effect() {
            if let Effect::Http { request, .. } = effect {
                let form = form_urlencoded::parse(request.body.expose()).into_owned();
                return Some((id, form.collect()));
            }
        }
        None
    }

    fn answer(&mut self, id: EffectId, form: &BTreeMap<String, String>) {
        let response = self.response(form);
        let now = self.now();
        self.engine.complete(id, Outcome::Http(Ok(response)), now);
    }

    fn response(&mut self, form: &BTreeMap<String, String>) -> HttpResponse {
        self.exchanges += 1;
        let user = match form.get("assertion") {
            Some(assertion) => {
                assert_eq!(form["requested_token_use"], "on_behalf_of");
                Some(subject(assertion))
            }
            None => {
                assert_eq!(form["grant_type"], "refresh_token");
                let token = form["refresh_token"].clone();
                let user = self.refresh_tokens.get(&token).cloned();
                self.sent.push(token);
                user
            }
        };
        assert!(form["scope"].ends_with(" offline_access"), "{form:?}");
        let refusal = self.refusal.take();
        let (Some(user), None) = (user, refusal) else {
            let body = refusal.unwrap_or(r#"{"error":"invalid_grant"}"#);
            // a server that says again what it was sent
            let echoed = form.get("refresh_token").cloned().unwrap_or_default();
            return response(400, &body.replace("ECHO", &echoed));
        };
        let n = self.exchanges;
        let refresh_token = format!("refresh-{user}-{n}-of-many-letters");
        self.refresh_tokens
            .insert(refresh_token.clone(), user.clone());
        let refresh_token = match self.gives_refresh_tokens {
            true => format!(r#","refresh_token":"{refresh_token}""#),
            false => String::new(),
        };
        let token = jwt(&user, n);
        response(
            200,
            &format!(
                r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600{refresh_token}}}"#
            ),
        )
    }

    fn end(&mut self, key: &str) -> bool {
        self.engine.end_session(None, &Secret::new(key))
    }
}

fn response(status: u16, body: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: Vec::new(),
        body: SecretBytes::new(body),
    }
}

/// A token of that user, the `n`-th.
fn jwt(user: &str, n: usize) -> String {
    let claims = format!(r#"{{"iss":"https://issuer.example","sub":"{user}","n":{n}}}"#);
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn subject(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims.get("sub").unwrap().as_str().unwrap().to_owned()
}

fn key(n: u64) -> String {
    format!("a-session-key-of-random-{n:08}")
}

fn with(user: &str, n: usize, session_key: u64) -> TokenRequest {
    let grant = Grant::on_behalf_of_in_session(jwt(user, n), key(session_key));
    TokenRequest::for_scopes([READ]).with_grant(grant)
}

fn alone(session_key: u64, scope: &str) -> TokenRequest {
    TokenRequest::for_scopes([scope]).with_grant(Grant::session(key(session_key)))
}

fn of(answer: Result<AccessToken, Error>) -> String {
    subject(answer.unwrap().token.expose())
}

#[test]
fn a_session_outlives_the_users_token() {
    let mut world = World::new();
    let first = world.get(&with("alice", 1, 1)).unwrap();
    assert_eq!(first.refresh_token, None, "it is kept, and not handed out");
    // the same again is cached; the key alone uses what was kept, and each answer's is the next
    let again = world.get(&with("alice", 1, 1)).unwrap();
    assert_eq!(again.source, TokenSource::Cache);
    for scope in [READ, MAIL] {
        let token = world.get(&alone(1, scope)).unwrap();
        assert_eq!(
            (token.refresh_token, token.source),
            (None, TokenSource::Exchange)
        );
        let again = world.get(&alone(1, scope)).unwrap();
        assert_eq!(
            (again.token, again.source),
            (token.token, TokenSource::Cache)
        );
    }
    assert_eq!(world.exchanges, 3);
    let sent = [
        "refresh-alice-1-of-many-letters",
        "refresh-alice-2-of-many-letters",
    ];
    assert_eq!(world.sent, sent);
    // long after the user's own token has ended
    world.now_ms += 7 * 24 * 3_600_000;
    let now = world.now();
    world.engine.wake(now);
    assert_eq!(of(world.get(&alone(1, READ))), "alice");
    assert_eq!(
        world.sent.last().unwrap(),
        "refresh-alice-3-of-many-letters"
    );
    // an answer without one leaves the one before
    world.gives_refresh_tokens = false;
    let forced = alone(1, READ).with_refresh(Refresh::Force);
    world.get(&forced).unwrap();
    world.get(&forced).unwrap();
    assert_eq!(
        world.sent[world.sent.len() - 2..],
        ["refresh-alice-4-of-many-letters"; 2]
    );
    // tokens are forgotten, sessions go on
    let now = world.now();
    world.engine.drop_cached(now, None);
    assert_eq!(of(world.get(&alone(1, READ))), "alice");
    assert!(!format!("{:?}", world.engine).contains("refresh-"));
}

#[test]
fn a_session_is_one_users() {
    let mut world = World::new();
    world.get(&with("alice", 1, 1)).unwrap();
    // another token of the same user renews it
    world.get(&with("alice", 2, 1)).unwrap();
    world.get(&alone(1, READ)).unwrap();
    assert_eq!(world.sent, ["refresh-alice-2-of-many-letters"]);

    let exchanges = world.exchanges;
    let unreadable = Grant::on_behalf_of_in_session("opaque", key(1));
    let elsewhere = with("alice", 1, 1).with_tenant("22222222-2222-3333-4444-555555555555");
    for other in [
        with("bob", 1, 1),
        TokenRequest::for_scopes([READ]).with_grant(unreadable),
        elsewhere,
    ] {
        let error = world.get(&other).unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidRequest, "{error}");
        assert!(error.to_string().contains("another user's"), "{error}");
    }
    let elsewhere = alone(1, READ).with_tenant("22222222-2222-3333-4444-555555555555");
    assert_eq!(
        world.get(&elsewhere).unwrap_err().class(),
        ErrorClass::InteractionRequired
    );
    assert_eq!(world.exchanges, exchanges, "nothing was sent");
    assert_eq!(of(world.get(&alone(1, READ))), "alice");

    // after its end the key is free, and nothing of hers is left
    assert!(world.end(&key(1)));
    assert!(!world.end(&key(1)));
    let error = world.get(&alone(1, READ)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::InteractionRequired, "{error}");
    assert_eq!(of(world.get(&with("bob", 1, 1))), "bob");
    assert_eq!(of(world.get(&alone(1, READ))), "bob");
    // her token is no key to his
    assert!(world.get(&with("alice", 1, 1)).is_err());
}

#[test]
fn a_session_that_was_ended_begins_with_an_exchange() {
    let mut world = World::new();
    world.get(&with("alice", 1, 1)).unwrap();
    world.get(&with("alice", 1, 1)).unwrap();
    assert_eq!(world.exchanges, 1);
    world.end(&key(1));
    // the cached token would be there, and no session
    world.get(&with("alice", 1, 1)).unwrap();
    assert_eq!(world.exchanges, 2);
    assert_eq!(of(world.get(&alone(1, READ))), "alice");
}

#[test]
fn what_is_under_way_when_a_session_ends_is_not_the_next_ones() {
    let mut world = World::new();
    world.get(&with("alice", 1, 1)).unwrap();
    let (ticket, id, form) = world.begin(&alone(1, READ));
    world.end(&key(1));
    world.get(&with("bob", 1, 1)).unwrap();
    world.answer(id, &form);
    // she had asked while it was hers
    assert_eq!(of(world.taken(ticket)), "alice");
    assert_eq!(of(world.get(&alone(1, READ))), "bob");
    assert_eq!(world.sent.last().unwrap(), "refresh-bob-2-of-many-letters");

    // two users begin with one key at once: the first answer decides, and the other is told
    let (hers, id, form) = world.begin(&with("alice", 1, 2));
    let (his, other_id, other_form) = world.begin(&with("bob", 1, 2));
    world.answer(other_id, &other_form);
    world.answer(id, &form);
    assert_eq!(of(world.taken(his)), "bob");
    assert!(
        world
            .taken(hers)
            .unwrap_err()
            .to_string()
            .contains("another user's")
    );
    assert_eq!(of(world.get(&alone(2, READ))), "bob");

    // a refusal that comes late ends nothing of what has begun since
    let (ticket, id, _) = world.begin(&alone(2, MAIL));
    world.end(&key(2));
    world.get(&with("carol", 1, 2)).unwrap();
    let now = world.now();
    let refusal = response(400, r#"{"error":"invalid_grant"}"#);
    world.engine.complete(id, Outcome::Http(Ok(refusal)), now);
    assert!(world.taken(ticket).is_err());
    assert_eq!(of(world.get(&alone(2, READ))), "carol");
}

#[test]
fn the_server_ends_a_session_where_its_refresh_token_is_good_no_more() {
    let refused = |code: u32| {
        let body = format!(
            r#"{{"error":"invalid_grant","error_codes":[{code}],"error_description":"AADSTS{code}: no ECHO"}}"#
        );
        &*body.leak()
    };
    for (refusal, ends) in [
        (
            r#"{"error":"invalid_grant","error_description":"no ECHO"}"#,
            true,
        ),
        (refused(700_082), true),
        (refused(50_173), true),
        (refused(50_057), true),
        (refused(99_999), true),
        // it is of what was asked for
        (refused(65_001), false),
        (refused(50_076), false),
        (
            r#"{"error":"invalid_grant","error_codes":[50173],"claims":"{\"access_token\":{}}"}"#,
            false,
        ),
        (r#"{"error":"invalid_scope"}"#, false),
        (r#"{"error":"invalid_client"}"#, false),
    ] {
        let mut world = World::new();
        world.get(&with("alice", 1, 1)).unwrap();
        world.refusal = Some(refusal);
        let error = world.get(&alone(1, READ)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("refresh-alice"), "{text}");
        assert_eq!(text.contains("the session has ended"), ends, "{text}");
        if ends {
            assert_eq!(error.class(), ErrorClass::InteractionRequired, "{refusal}");
        }
        let after = world.get(&alone(1, MAIL));
        assert_eq!(after.is_err(), ends, "{refusal}: {after:?}");
    }
}

#[test]
fn sessions_are_bounded_and_the_least_used_gives_way() {
    let mut world = World::new();
    let count = u64::try_from(MAX_SESSIONS).unwrap();
    for n in 0..count {
        world.get(&with(&format!("user {n}"), 1, n)).unwrap();
    }
    assert_eq!(of(world.get(&alone(0, READ))), "user 0");
    world.get(&with("one more", 1, count)).unwrap();
    assert_eq!(of(world.get(&alone(0, READ))), "user 0");
    assert!(world.get(&alone(1, READ)).is_err());
    assert_eq!(of(world.get(&alone(2, READ))), "user 2");
}

#[test]
fn whatever_happens_a_key_brings_its_own_users_tokens() {
    for seed in 0..30 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new();
        // as a user of sessions would write them down
        let mut owners: BTreeMap<u64, String> = BTreeMap::new();
        let mut answered = 0;
        for _ in 0..400 {
            let mut below = |bound: u64| random.next_u64() % bound;
            let (user, session_key) = (format!("user {}", below(3)), below(3));
            let scope = [READ, MAIL][usize::from(below(2) == 0)];
            world.now_ms += below(900_000);
            let now = world.now();
            world.engine.wake(now);
            match below(8) {
                0 => {
                    let had = owners.remove(&session_key).is_some();
                    assert_eq!(world.end(&key(session_key)), had, "seed {seed}");
                }
                1..=3 => {
                    let n = usize::try_from(below(2)).unwrap();
                    let answer = world.get(&with(&user, n, session_key));
                    let owner = owners.entry(session_key).or_insert_with(|| user.clone());
                    assert_eq!(answer.is_ok(), *owner == user, "seed {seed}: {answer:?}");
                    if let Ok(token) = answer {
                        assert_eq!(subject(token.token.expose()), user, "seed {seed}");
                    }
                }
                _ => {
                    let revoked = below(6) == 0;
                    let refusal = r#"{"error":"invalid_grant"}"#;
                    world.refusal = Some(refusal).filter(|_| revoked);
                    let answer = world.get(&alone(session_key, scope));
                    let was_asked = revoked && world.refusal.take().is_none();
                    match owners.get(&session_key) {
                        Some(owner) if !was_asked => {
                            assert_eq!(of(answer), *owner, "seed {seed}");
                            answered += 1;
                        }
                        // it may have been behind one who was served
                        Some(owner) => {
                            if let Ok(token) = answer {
                                assert_eq!(subject(token.token.expose()), *owner, "seed {seed}");
                            }
                            owners.remove(&session_key);
                        }
                        None => assert!(answer.is_err(), "seed {seed}: {answer:?}"),
                    }
                }
            }
        }
        assert!(answered > 50, "{answered} answers with seed {seed}");
    }
}
