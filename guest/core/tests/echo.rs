//! A server that gives back what it was sent, in every spelling and every field: nothing of it is in what callers,
//! status pages and logs get.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what a test sets up may stop it; the lints spare only the test functions themselves"
)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_core::{
    Completed, Config, Effect, Engine, Environment, Error, Grant, HttpError, HttpErrorKind,
    HttpResponse, Now, Outcome, Reply, SecretBytes, TokenRequest, is_printable,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};

#[path = "support/spellings.rs"]
mod spellings;
use spellings::{CLIENT, any_secret, spellings_of};

const HOST: &str = "login.test";

const START: Now = Now {
    unix_ms: 1_793_491_200_000,
    mono_ms: 0,
};

fn engine(credential: &Value) -> Engine {
    let config = json!({"authority_hosts": [HOST], "identities": {"app": {
        "token_endpoint": format!("https://{HOST}/token"), "client_id": CLIENT, "credential": credential,
    }}});
    let config = Config::load(Some(&config.to_string()), &Environment::default()).expect("good");
    Engine::new(config, [5; 32])
}

/// Asks once, of a server that answers everything with that.
fn ask(engine: &mut Engine, answer: &Outcome) -> Result<String, Error> {
    ask_for(engine, &TokenRequest::for_scopes(["s"]), &[], answer)
}

/// The same for that request, where others are answered before.
fn ask_for(
    engine: &mut Engine,
    request: &TokenRequest,
    before: &[Outcome],
    answer: &Outcome,
) -> Result<String, Error> {
    let mut now = START;
    let Reply::Pending(ticket) = engine.request(now, request) else {
        panic!("nothing is cached");
    };
    let mut before = before.iter();
    loop {
        while let Some((id, effect)) = engine.next_effect() {
            if let Effect::Http { .. } = effect {
                engine.complete(id, before.next().unwrap_or(answer).clone(), now);
            }
        }
        match engine.take(ticket) {
            Some(Completed::Token(answer)) => return answer.map(|token| token.scope),
            Some(_) => panic!("not a token's answer"),
            None => {
                let then = engine.next_deadline().expect("something is to come");
                now.unix_ms += then.saturating_sub(now.mono_ms);
                now.mono_ms = now.mono_ms.max(then);
                engine.wake(now);
            }
        }
    }
}

fn response(status: u16, headers: Vec<(String, String)>, body: &Value) -> Outcome {
    Outcome::Http(Ok(HttpResponse {
        status,
        headers,
        body: SecretBytes::new(body.to_string()),
    }))
}

#[test]
fn nothing_that_was_sent_comes_back() {
    let mut random = ChaCha8Rng::seed_from_u64(23);
    for round in 0..12 {
        let secret = any_secret(&mut random);
        let credentials = [
            json!({"client_secret": {"value": secret, "method": "client_secret_post"}}),
            json!({"client_secret": {"value": secret, "method": "client_secret_basic"}}),
            json!({"client_assertion": {"value": secret}}),
        ];
        for (kind, credential) in credentials.iter().enumerate() {
            for (name, spelling) in spellings_of(&secret) {
                // of a pair with the client id, an assertion knows nothing when it is short
                if kind == 2 && secret.len() < 8 && name.starts_with("base64") {
                    continue;
                }
                let said = format!("it is '{spelling}', \u{202e}\u{9b}2J no");
                let claims = json!({"a": said, "b\r\n": {"c": [said]}});
                let refusal = json!({
                    "error": said, "error_description": said, "correlation_id": said, "trace_id": said,
                    "claims": claims.to_string().replace('{', "{\r\n"),
                });
                let token = json!({"access_token": "t", "token_type": "Bearer", "scope": said, "issued_token_type": said});
                let answers = [
                    response(400, Vec::new(), &refusal),
                    response(200, Vec::new(), &refusal),
                    response(
                        200,
                        Vec::new(),
                        &json!({"access_token": "t", "token_type": said}),
                    ),
                    response(
                        302,
                        vec![("location".into(), format!("https://{spelling}/x"))],
                        &json!(0),
                    ),
                    Outcome::Http(Err(HttpError {
                        kind: HttpErrorKind::Tls,
                        detail: said.clone(),
                    })),
                    response(200, Vec::new(), &token),
                ];
                for answer in &answers {
                    let mut engine = engine(credential);
                    let shown = match ask(&mut engine, answer) {
                        Ok(scope) => scope,
                        Err(error) => {
                            let detail = error.detail();
                            let fields = [
                                &detail.hint,
                                &detail.oauth_error,
                                &detail.correlation_id,
                                &detail.trace_id,
                                &detail.claims,
                            ];
                            let fields: Vec<&str> =
                                fields.into_iter().flatten().map(String::as_str).collect();
                            format!("{error} {error:?} {}", fields.join(" "))
                        }
                    };
                    let status: Vec<String> = engine
                        .status(START)
                        .iter()
                        .filter_map(|status| {
                            status
                                .last_failure
                                .as_ref()
                                .map(|failure| failure.message.clone())
                        })
                        .collect();
                    let shown = format!("{shown} {}", status.join(" "));
                    assert!(
                        !shown.contains(&spelling),
                        "{round}: {name} of {secret:?}: {shown}"
                    );
                    assert!(shown.chars().all(is_printable), "{shown:?}");
                }
            }
        }
    }
}

/// A grant, the answers before the one that says again what was sent, and what that is.
type Presented = (Grant, Vec<Outcome>, String);

fn token(fields: &Value) -> Outcome {
    let mut answer = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 3600});
    if let (Some(answer), Some(fields)) = (answer.as_object_mut(), fields.as_object()) {
        answer.extend(fields.clone());
    }
    response(200, Vec::new(), &answer)
}

#[test]
fn nothing_that_a_grant_presents_comes_back() {
    const KEY: &str = "a-session-key-made-at-random";
    const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
    const AGENT: &str = "aaaaaaaa-1111-2222-3333-444444444444";

    let secret = || "s3cret-0f_a~grant.that-is-long-enough-for-a-verifier".to_owned();
    let redirect = "https://app.example/callback";
    let elsewhere: Vec<Presented> = vec![
        (Grant::refresh_token(secret()), Vec::new(), secret()),
        (Grant::jwt_bearer(secret()), Vec::new(), secret()),
        (
            Grant::authorization_code(secret(), redirect).into(),
            Vec::new(),
            secret(),
        ),
        (
            Grant::authorization_code("code", redirect)
                .with_code_verifier(secret())
                .into(),
            Vec::new(),
            secret(),
        ),
        (
            Grant::token_exchange(secret(), JWT).into(),
            Vec::new(),
            secret(),
        ),
        (
            Grant::token_exchange("subject", JWT)
                .with_actor(secret(), JWT)
                .into(),
            Vec::new(),
            secret(),
        ),
    ];
    let assertion = |n: u32| {
        let claims = format!(r#"{{"n":"an assertion of an agent {n}"}}"#);
        format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims))
    };
    let legs = |count: u32| -> Vec<Outcome> {
        let legs = (0..count).map(|n| token(&json!({"access_token": assertion(n)})));
        legs.collect()
    };
    let user = || Grant::agent_user(AGENT, "agent@contoso.example");
    let entra: Vec<Presented> = vec![
        (Grant::on_behalf_of(assertion(8)), Vec::new(), assertion(8)),
        (
            Grant::on_behalf_of_in_session(assertion(8), KEY),
            Vec::new(),
            assertion(8),
        ),
        (
            Grant::on_behalf_of_in_session(assertion(9), KEY),
            Vec::new(),
            KEY.to_owned(),
        ),
        (Grant::session(KEY), Vec::new(), secret()),
        (Grant::agent(AGENT), legs(1), assertion(0)),
        (user(), legs(1), assertion(0)),
        (user(), legs(2), assertion(0)),
        (user(), legs(2), assertion(1)),
    ];
    let of_entra = json!({"identities": {"app": {
        "tenant_id": "11111111-2222-3333-4444-555555555555", "client_id": CLIENT,
        "credential": {"client_secret": {"value": "hunter2hunter2"}},
    }}});
    let graph = "https://graph.microsoft.com/.default";
    for (is_entra, (grant, before, sent)) in (elsewhere.iter().map(|presented| (false, presented)))
        .chain(entra.iter().map(|presented| (true, presented)))
    {
        for (name, spelling) in spellings_of(sent) {
            let said = format!("it is '{spelling}', no");
            let refusal = json!({
                "error": "invalid_grant", "error_description": said, "correlation_id": said, "trace_id": said,
                "claims": json!({"a": said}).to_string(),
            });
            let mut engine = match is_entra {
                false => engine(&json!({"client_secret": {"value": "hunter2hunter2"}})),
                true => {
                    let config = Config::load(Some(&of_entra.to_string()), &Environment::default());
                    Engine::new(config.expect("good"), [5; 32])
                }
            };
            let asking = |grant: Grant| TokenRequest::for_scopes([graph]).with_grant(grant);
            if *grant == Grant::session(KEY) {
                let begin = asking(Grant::on_behalf_of_in_session(assertion(9), KEY));
                let begun = token(&json!({"refresh_token": sent}));
                ask_for(&mut engine, &begin, &[], &begun).expect("a session");
            }
            let answer = response(400, Vec::new(), &refusal);
            let error = ask_for(&mut engine, &asking(grant.clone()), before, &answer);
            let error = error.expect_err("a refusal");
            assert_eq!(error.detail().oauth_error.as_deref(), Some("invalid_grant"));
            let status = format!("{:?}", engine.status(START));
            let shown = format!("{error} {error:?} {:?} {status} {engine:?}", error.detail());
            assert!(!shown.contains(&spelling), "{grant:?}, {name}: {shown}");
        }
    }
}

#[test]
fn what_one_credential_sent_does_not_come_back_in_the_answer_to_the_next() {
    let first = "first~secret+of/the=list&1";
    let credentials = json!([
        {"client_secret": {"value": first}},
        {"client_secret": {"value": "the-other-secret-0002"}},
    ]);
    for (name, spelling) in spellings_of(first) {
        let said = format!("before it was '{spelling}'");
        let refusal = json!({"error": "invalid_client", "error_description": said});
        let mut engine = engine(&credentials);
        let error = ask(&mut engine, &response(401, Vec::new(), &refusal)).expect_err("refused");
        assert_eq!(error.detail().attempts.len(), 1, "{error:?}");
        let notices: Vec<String> = std::iter::from_fn(|| engine.next_notice()).collect();
        let shown = format!("{error} {error:?} {}", notices.join(" "));
        assert!(!shown.contains(&spelling), "{name}: {shown}");
    }
}
