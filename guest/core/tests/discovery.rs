//! Endpoints that are found in a server's metadata: how long these count, who waits for them, and that nothing leads to
//! hosts that nobody has named.

// tells the lints that helpers are test code too
#![cfg(test)]

use edgepass_core::needs::{PathPattern, Purpose, Scheme};
use edgepass_core::{
    AccessToken, Completed, Config, Effect, Engine, Environment, Error, ErrorClass, HttpRequest,
    HttpResponse, Now, Outcome, Reply, SecretBytes, Ticket, TokenRequest,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.example/a";
const RFC_8414: &str = "https://idp.example/.well-known/oauth-authorization-server/a";
const OPENID: &str = "https://idp.example/a/.well-known/openid-configuration";

/// 2026-11-01 00:00:00 UTC.
const START_UNIX_MS: u64 = 1_793_491_200_000;
const HOUR_MS: u64 = 3_600_000;

/// A server and the engine that asks it.
struct World {
    engine: Engine,
    mono_ms: u64,
    /// What the first document says; without it there are no documents.
    metadata: Option<Value>,
    /// What the token endpoint answers in place of a token.
    refusal: Option<u16>,
    /// Method and URL of what was asked.
    asked: Vec<String>,
}

impl World {
    fn new(more: Value) -> Self {
        let mut app = json!({
            "issuer": ISSUER, "client_id": "app-1",
            "credential": { "client_secret": { "value": "hunter2" } },
        });
        if let (Some(app), Value::Object(more)) = (app.as_object_mut(), more) {
            app.extend(more);
        }
        let json = json!({
            "authority_hosts": ["idp.example", "tokens.example"], "identities": { "app": app },
        });
        let config = Config::load(Some(&json.to_string()), &Environment::default());
        Self {
            engine: Engine::new(config.expect("a good configuration"), [5; 32]),
            mono_ms: 0,
            metadata: Some(metadata("https://idp.example/token")),
            refusal: None,
            asked: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: START_UNIX_MS + self.mono_ms,
            mono_ms: self.mono_ms,
        }
    }

    fn pass(&mut self, ms: u64) {
        self.mono_ms += ms;
        let now = self.now();
        self.engine.wake(now);
    }

    fn begin(&mut self, scope: &str) -> Ticket {
        let request = TokenRequest::for_scopes([scope]);
        let now = self.now();
        match self.engine.request(now, &request) {
            Reply::Pending(ticket) => ticket,
            Reply::Ready(answer) => panic!("{answer:?}"),
        }
    }

    fn end(&mut self, ticket: Ticket) -> Result<AccessToken, Error> {
        loop {
            while let Some((id, effect)) = self.engine.next_effect() {
                let Effect::Http { request, .. } = effect else {
                    continue;
                };
                let response = self.answer(&request);
                let now = self.now();
                self.engine.complete(id, Outcome::Http(Ok(response)), now);
            }
            if let Some(Completed::Token(answer)) = self.engine.take(ticket) {
                return answer;
            }
            self.mono_ms = self.engine.next_deadline().expect("something to come");
            let now = self.now();
            self.engine.wake(now);
        }
    }

    /// A token of a scope that was not asked for before, and what was asked for it.
    fn get(&mut self, scope: &str) -> (Result<AccessToken, Error>, Vec<String>) {
        self.asked.clear();
        let ticket = self.begin(scope);
        let answer = self.end(ticket);
        (answer, std::mem::take(&mut self.asked))
    }

    fn answer(&mut self, request: &HttpRequest) -> HttpResponse {
        self.asked
            .push(format!("{} {}", request.method, request.url()));
        let (status, body) = match (request.method, self.refusal) {
            ("GET", _) => match &self.metadata {
                Some(metadata) if request.url() == RFC_8414 => (200, metadata.to_string()),
                _ => (404, String::new()),
            },
            (_, Some(status)) => (status, "<html>nothing here</html>".to_owned()),
            _ => (
                200,
                json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 3600 })
                    .to_string(),
            ),
        };
        HttpResponse {
            status,
            headers: Vec::new(),
            body: SecretBytes::new(body),
        }
    }
}

fn metadata(token_endpoint: &str) -> Value {
    json!({ "issuer": ISSUER, "token_endpoint": token_endpoint })
}

const TOKEN: &str = "POST https://idp.example/token";

fn first() -> String {
    format!("GET {RFC_8414}")
}

#[test]
fn metadata_are_asked_for_once_an_hour_and_by_one() {
    let mut world = World::new(json!({}));
    let tickets: Vec<Ticket> = ["a", "b", "c"].map(|scope| world.begin(scope)).into();
    for ticket in tickets {
        world.end(ticket).expect("a token");
    }
    let mut asked = std::mem::take(&mut world.asked);
    asked.sort();
    assert_eq!(asked, [first().as_str(), TOKEN, TOKEN, TOKEN]);
    world.pass(HOUR_MS - 60_000);
    assert_eq!(world.get("d").1, [TOKEN]);
    world.pass(60_000);
    world.metadata = Some(metadata("https://tokens.example/new"));
    let (_, asked) = world.get("e");
    assert_eq!(asked, [first().as_str(), "POST https://tokens.example/new"]);
}

#[test]
fn what_was_said_counts_for_a_day_while_nothing_else_is_said() {
    let mut world = World::new(json!({}));
    world.get("a").0.expect("a token");
    for hour in 1..23 {
        world.metadata = None;
        world.pass(HOUR_MS);
        let (token, asked) = world.get(&format!("at-{hour}"));
        token.expect("a token");
        let second = format!("GET {OPENID}");
        assert_eq!(asked, [first().as_str(), second.as_str(), TOKEN]);
        // and not with each exchange
        assert_eq!(world.get(&format!("again-{hour}")).1, [TOKEN]);
    }
    world.pass(2 * HOUR_MS);
    let error = world.get("late").0.expect_err("nobody says where");
    assert_eq!(error.class(), ErrorClass::InvalidResponse, "{error}");
    assert!(error.to_string().contains(ISSUER), "{error}");
}

#[test]
fn an_endpoint_that_is_none_any_more_is_looked_for_again() {
    let mut world = World::new(json!({}));
    world.get("a").0.expect("a token");
    world.refusal = Some(404);
    world.get("b").0.expect_err("no endpoint");
    world.refusal = None;
    world.metadata = Some(metadata("https://idp.example/moved"));
    let (token, asked) = world.get("c");
    token.expect("a token");
    assert_eq!(asked, [first().as_str(), "POST https://idp.example/moved"]);
}

#[test]
fn an_endpoint_at_a_stranger_s_host_gets_nothing_and_is_looked_for_again() {
    let mut world = World::new(json!({}));
    world.metadata = Some(metadata("https://evil.example/token"));
    let (answer, asked) = world.get("a");
    let error = answer.expect_err("a stranger");
    assert_eq!(error.class(), ErrorClass::Configuration, "{error}");
    assert_eq!(asked, [first()]);
    world.metadata = Some(metadata("https://idp.example/token"));
    let (token, asked) = world.get("b");
    token.expect("a token");
    assert_eq!(asked, [first().as_str(), TOKEN]);
}

#[test]
fn a_fresh_start_asks_anew() {
    let mut world = World::new(json!({}));
    world.get("a").0.expect("a token");
    let now = world.now();
    // what a server says of itself is of no identity
    world.engine.drop_cached(now, Some("app"));
    assert_eq!(world.get("a").1, [TOKEN]);
    world.engine.drop_cached(now, None);
    assert_eq!(world.get("a").1, [first().as_str(), TOKEN]);
}

#[test]
fn what_may_be_asked_is_named_beforehand() {
    let world = World::new(json!({}));
    let needs = world.engine.config().needs();
    let of = |purpose: Purpose| {
        let connections = needs.connections.iter().map(|c| &c.permission);
        let mut found: Vec<_> = connections
            .filter(|permission| permission.purpose == purpose)
            .map(|permission| {
                assert_eq!(permission.scheme, Scheme::Https);
                (permission.authority.as_str(), permission.path.clone())
            })
            .collect();
        found.sort();
        found
    };
    let any = || PathPattern::Prefix("/".to_owned());
    assert_eq!(
        of(Purpose::TokenEndpoint),
        [("idp.example", any()), ("tokens.example", any())]
    );
    let exact = |url: &str| {
        let path = url.trim_start_matches("https://idp.example");
        ("idp.example", PathPattern::Exact(path.to_owned()))
    };
    assert_eq!(of(Purpose::Metadata), [exact(RFC_8414), exact(OPENID)]);
    assert_eq!(needs.connections.len(), 4);
    assert_eq!(needs.every_credential, ["identities.app.issuer"]);
}

#[test]
fn parameters_tell_identities_apart() {
    let distinctions: Vec<_> = [
        json!({}),
        json!({ "additional_parameters": { "audience": "a" } }),
        json!({ "additional_parameters": { "audience": "b" } }),
        json!({ "additional_parameters": { "audience": ["a", "b"] } }),
        json!({ "additional_parameters": { "audience": ["b", "a"] } }),
        json!({ "additional_parameters": { "a": "udience" } }),
        json!({ "resources": ["urn:a"] }),
        json!({ "resources": ["urn:a", "urn:b"] }),
        json!({ "issuer": "https://idp.example/b" }),
        json!({ "issuer": "https://idp.example/a", "token_endpoint": "https://idp.example/token" }),
    ]
    .into_iter()
    .map(|more| {
        let world = World::new(more);
        let app = world.engine.config().identities.get("app");
        app.expect("it").distinction().expose().to_owned()
    })
    .collect();
    for (index, one) in distinctions.iter().enumerate() {
        assert!(!distinctions[..index].contains(one), "{index}");
    }
}
