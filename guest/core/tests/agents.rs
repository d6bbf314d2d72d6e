//! Agent identities: what their blueprint vouches for is asked for once for each, and never shared between two.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing stops")]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_core::{
    AccessToken, Completed, Config, Effect, Engine, Environment, Error, Grant, HttpResponse, Now,
    Outcome, Reply, SecretBytes, TokenRequest, UserReference,
};

const CONFIG: &str = r#"{ "identities": { "app": {
    "tenant_id": "11111111-2222-3333-4444-555555555555",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "client_secret": { "value": "the-client-secret" } } } } }"#;

const READ: &str = "https://graph.microsoft.com/User.Read";

/// Entra ID, as far as agents see it.
struct World {
    engine: Engine,
    now_ms: u64,
    /// What was asked for, in order.
    asked: Vec<Asked>,
    /// Refuses this assertion.
    revoked: Option<String>,
    issued: usize,
}

/// One request: of whom, with what, and for what.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Asked {
    /// The blueprint, for that agent.
    First(String),
    /// That agent, with that assertion.
    Second(String, String),
    /// That agent for a user, with these two.
    Third(String, String, String, String),
}

impl World {
    fn new() -> Self {
        let config = Config::load(Some(CONFIG), &Environment::default()).unwrap();
        Self {
            engine: Engine::new(config, [5; 32]),
            now_ms: 1_000,
            asked: Vec::new(),
            revoked: None,
            issued: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: 1_793_491_200_000 + self.now_ms,
            mono_ms: self.now_ms,
        }
    }

    fn get(&mut self, grant: Grant, scope: &str) -> Result<AccessToken, Error> {
        let request = TokenRequest::for_scopes([scope]).with_grant(grant);
        match self.engine.request(self.now(), &request) {
            Reply::Ready(answer) => answer,
            Reply::Pending(ticket) => loop {
                while let Some((id, effect)) = self.engine.next_effect() {
                    let Effect::Http { request, .. } = effect else {
                        continue;
                    };
                    let form = form_urlencoded::parse(request.body.expose()).into_owned();
                    let answer = self.answer(&form.collect());
                    let now = self.now();
                    self.engine.complete(id, Outcome::Http(Ok(answer)), now);
                }
                if let Some(Completed::Token(answer)) = self.engine.take(ticket) {
                    break answer;
                }
                self.now_ms = self.engine.next_deadline().unwrap();
                let now = self.now();
                self.engine.wake(now);
            },
        }
    }

    fn answer(&mut self, form: &BTreeMap<String, String>) -> HttpResponse {
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        let (client, assertion) = (field("client_id"), field("client_assertion"));
        let asked = match (form.get("fmi_path"), field("grant_type").as_str()) {
            (Some(agent), _) => Asked::First(agent.clone()),
            (None, "user_fic") => Asked::Third(
                client.clone(),
                assertion.clone(),
                field("user_federated_identity_credential"),
                field("user_id"),
            ),
            _ => Asked::Second(client.clone(), assertion.clone()),
        };
        self.asked.push(asked);
        self.issued += 1;
        if self.revoked.as_ref() == Some(&assertion) {
            let body = r#"{"error":"invalid_client","error_description":"AADSTS700024: too late","error_codes":[700024]}"#;
            return response(401, body);
        }
        // whose it is, and which
        let claims = format!(
            r#"{{"of":"{client}{}{}","n":{}}}"#,
            field("fmi_path"),
            field("user_id"),
            self.issued
        );
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let body = format!(
            r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600,"scope":"{READ}"}}"#
        );
        response(200, &body)
    }

    fn take_asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.asked)
    }
}

fn response(status: u16, body: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: Vec::new(),
        body: SecretBytes::new(body),
    }
}

fn id(kind: u32, n: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{n:012x}")
}

fn agent(n: usize) -> String {
    id(0xa, n)
}

fn user_of(agent_n: usize, user_n: usize) -> Grant {
    let user = UserReference::ObjectId(id(0xb, user_n));
    Grant::agent_user(agent(agent_n), user)
}

/// What a token says of whom it is for.
fn subject(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims.get("of").unwrap().as_str().unwrap().to_owned()
}

#[test]
fn what_a_blueprint_vouches_for_is_asked_for_once() {
    let mut world = World::new();
    world.get(user_of(1, 1), READ).unwrap();
    let [
        Asked::First(of),
        Asked::Second(second, by),
        Asked::Third(third, with, stands, user),
    ] = &world.take_asked()[..]
    else {
        panic!("three legs");
    };
    assert_eq!((of, second, third), (&agent(1), &agent(1), &agent(1)));
    assert_eq!((by, user), (with, &id(0xb, 1)));
    let (by, stands) = (by.clone(), stands.clone());

    // the same again is cached; another user, another scope and the agent itself take the last leg alone
    world.get(user_of(1, 1), READ).unwrap();
    assert_eq!(world.take_asked(), []);
    world.get(user_of(1, 2), READ).unwrap();
    let third = |user| Asked::Third(agent(1), by.clone(), stands.clone(), user);
    assert_eq!(world.take_asked(), [third(id(0xb, 2))]);
    world
        .get(user_of(1, 1), "https://graph.microsoft.com/Mail.Read")
        .unwrap();
    assert_eq!(world.take_asked(), [third(id(0xb, 1))]);
    world
        .get(
            Grant::agent(agent(1)),
            "https://graph.microsoft.com/.default",
        )
        .unwrap();
    assert_eq!(world.take_asked(), [Asked::Second(agent(1), by.clone())]);

    // letters do not make another agent or user
    let upper = UserReference::ObjectId(id(0xb, 1).to_uppercase());
    world
        .get(Grant::agent_user(agent(1).to_uppercase(), upper), READ)
        .unwrap();
    assert_eq!(world.take_asked(), []);

    // it serves until shortly before its end, and is dropped with the rest
    let now = world.now();
    world.engine.drop_cached(now, None);
    world.get(user_of(1, 1), READ).unwrap();
    assert_eq!(world.take_asked().len(), 3);
}

#[test]
fn two_agents_share_nothing() {
    let mut world = World::new();
    let (mut tokens, mut firsts) = (Vec::new(), Vec::new());
    for round in 0..2 {
        for n in 0..32 {
            let token = world.get(user_of(n, n % 3), READ).unwrap();
            let whose = subject(token.token.expose());
            assert_eq!(whose, format!("{}{}", agent(n), id(0xb, n % 3)));
            match round {
                0 => tokens.push(token.token.clone()),
                _ => assert_eq!(Some(&token.token), tokens.get(n)),
            }
        }
        for asked in world.take_asked() {
            match asked {
                Asked::First(of) => firsts.push(of),
                Asked::Second(of, by) => assert!(subject(&by).ends_with(&of)),
                Asked::Third(of, by, stands, _) => {
                    assert!(subject(&by).ends_with(&of));
                    assert_eq!(subject(&stands), of);
                }
            }
        }
    }
    assert_eq!(firsts, (0..32).map(agent).collect::<Vec<_>>());
}

#[test]
fn an_assertion_that_was_refused_is_asked_for_anew() {
    let mut world = World::new();
    world.get(user_of(1, 1), READ).unwrap();
    let asked = world.take_asked();
    let Some(Asked::Third(_, by, stands, _)) = asked.last() else {
        panic!("{asked:?}");
    };
    world.revoked = Some(by.clone());
    let token = world.get(user_of(1, 2), READ).unwrap();
    assert!(subject(token.token.expose()).ends_with(&id(0xb, 2)));
    let asked = world.take_asked();
    let [
        Asked::Third(..),
        Asked::First(_),
        Asked::Second(..),
        Asked::Third(_, again, other, _),
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert!(again != by && other != stands);
}

#[test]
fn assertions_of_agents_are_bounded() {
    let mut world = World::new();
    for n in 0..600 {
        world.now_ms += 1_000;
        world
            .get(
                Grant::agent(agent(n)),
                "https://graph.microsoft.com/.default",
            )
            .unwrap();
    }
    world.take_asked();
    let mut legs = |n| {
        let vault = "https://vault.azure.net/.default";
        world.get(Grant::agent(agent(n)), vault).unwrap();
        world.take_asked().len()
    };
    assert_eq!(legs(599), 1, "the last one is kept");
    assert_eq!(legs(0), 2, "the first one gave way");
}
