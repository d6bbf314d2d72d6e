//! Whose answer is whose, and what a message may hold. The life of a token is tested in `tests/`.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::grant::tests::{allow_every_grant, any_grant};
use crate::{Environment, Grant, HttpRequest, HttpResponse, SecretBytes};

/// Whose answer something is: everything of a request that decides about it.
type Asker = (Grant, Vec<String>);

fn engine() -> Engine {
    let json = r#"{"identities": {"app": {
        "token_endpoint": "https://idp.example/token", "client_id": "c",
        "credential": {"client_secret": {"value": "hunter2"}}}},
        "authority_hosts": ["idp.example"]}"#;
    let config = Config::load(Some(json), &Environment::default()).unwrap();
    Engine::new(config, [7; 32])
}

fn response(status: u16, body: String) -> Outcome {
    Outcome::Http(Ok(HttpResponse {
        status,
        headers: Vec::new(),
        body: SecretBytes::new(body),
    }))
}

fn asker(request: &TokenRequest) -> Asker {
    (request.grant.clone(), request.scopes.clone())
}

/// What an answer can be told by: the token, or the server's words. A timeout has no words.
fn mark(answer: &Result<AccessToken, Error>) -> Option<String> {
    let text = match answer {
        Ok(token) => token.token.expose().to_owned(),
        Err(error) => error.to_string(),
    };
    let place = text.find("token-").or_else(|| text.find("refusal-"))?;
    text.get(place..)?.split(' ').next().map(str::to_owned)
}

/// Whether the token that is asked for is an agent's assertion.
fn is_for_an_assertion(request: &HttpRequest) -> bool {
    let form = String::from_utf8_lossy(request.body.expose());
    form.contains("scope=api%3A%2F%2FAzureADTokenExchange%2F.default")
}

fn assertion() -> String {
    r#"{"access_token":"e30.e30.c2ln","token_type":"Bearer","expires_in":600}"#.to_owned()
}

#[test]
fn two_subjects_never_share_an_answer() {
    allow_every_grant();
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut engine = engine();
        let mut now = Now::default();
        let mut open: Vec<EffectId> = Vec::new();
        let mut asked: Vec<(Ticket, Asker)> = Vec::new();
        let mut owners: BTreeMap<String, Asker> = BTreeMap::new();
        let mut answered = 0;
        let mut check = |answer: &Result<AccessToken, Error>, asker: Asker| {
            let Some(mark) = mark(answer) else { return };
            let owner = owners.entry(mark).or_insert_with(|| asker.clone());
            assert_eq!(*owner, asker, "seed {seed}");
            answered += 1;
        };
        for step in 0..600 {
            now.mono_ms += random.next_u64() % 20_000;
            now.unix_ms = now.mono_ms;
            let scope = ["read", "write"][usize::from(random.next_u64() % 4 == 0)];
            let request = TokenRequest {
                grant: any_grant(&mut random),
                refresh: if random.next_u64() % 8 == 0 {
                    Refresh::Force
                } else {
                    Refresh::IfNeeded
                },
                ..TokenRequest::for_scopes([scope])
            };
            if let Some(token) = engine.cached(now, &request) {
                check(&Ok(token), asker(&request));
            }
            match engine.request(now, &request) {
                Reply::Ready(answer) => check(&answer, asker(&request)),
                Reply::Pending(ticket) => asked.push((ticket, asker(&request))),
            }
            engine.wake(now);
            while let Some((id, effect)) = engine.next_effect() {
                match effect {
                    // what an agent is vouched for with is the same for all of its users
                    Effect::Http { request, .. } if is_for_an_assertion(&request) => {
                        engine.complete(id, response(200, assertion()), now);
                    }
                    Effect::Http { .. } => open.push(id),
                    _ => {}
                }
            }
            while open.len() > 4 {
                let id = open.swap_remove(usize::try_from(random.next_u64()).unwrap() % open.len());
                let outcome = if random.next_u64() % 5 == 0 {
                    let text = format!("refusal-{seed}-{step}-{} for that subject", open.len());
                    response(
                        400,
                        format!(r#"{{"error":"invalid_grant","error_description":"{text}"}}"#),
                    )
                } else {
                    let token = format!("token-{seed}-{step}-{}", open.len());
                    response(
                        200,
                        format!(
                            r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":600}}"#
                        ),
                    )
                };
                engine.complete(id, outcome, now);
            }
            while let Some((ticket, Completed::Token(answer))) = engine.next_completed() {
                let at = asked
                    .iter()
                    .position(|(known, _)| *known == ticket)
                    .unwrap();
                check(&answer, asked.swap_remove(at).1);
            }
        }
        assert!(answered > 300, "{answered} answers with seed {seed}");
    }
}

#[test]
fn a_subjects_token_does_not_come_back_in_a_message() {
    allow_every_grant();
    let mut engine = engine();
    let request = TokenRequest {
        grant: Grant::OnBehalfOf {
            assertion: Some("alice's-token".into()),
            session_key: None,
        },
        ..TokenRequest::for_scopes(["read"])
    };
    let Reply::Pending(ticket) = engine.request(Now::default(), &request) else {
        panic!("nothing is cached")
    };
    let (id, _) = engine.next_effect().unwrap();
    let body =
        r#"{"error":"invalid_grant","error_description":"cannot use alice's-token or hunter2"}"#;
    engine.complete(id, response(400, body.into()), Now::default());
    let Some(Completed::Token(Err(error))) = engine.take(ticket) else {
        panic!("a refusal")
    };
    let text = format!("{error} {error:?} {engine:?}");
    assert!(
        text.contains("cannot use [redacted] or [redacted]"),
        "{text}"
    );
    assert!(
        !text.contains("alice") && !text.contains("hunter2"),
        "{text}"
    );
    assert!(!format!("{:?}", engine.holds).contains("alice"));
}
