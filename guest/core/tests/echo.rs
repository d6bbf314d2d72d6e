//! A server that gives back what it was sent, in every spelling and every field: nothing of it is in what callers,
//! status pages and logs get.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what a test sets up may stop it; the lints spare only the test functions themselves"
)]

use edgepass_core::{
    Completed, Config, Effect, Engine, Environment, Error, HttpError, HttpErrorKind, HttpResponse,
    Now, Outcome, Reply, SecretBytes, TokenRequest, is_printable,
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
    let mut now = START;
    let Reply::Pending(ticket) = engine.request(now, &TokenRequest::for_scopes(["s"])) else {
        panic!("nothing is cached");
    };
    loop {
        while let Some((id, effect)) = engine.next_effect() {
            if let Effect::Http { .. } = effect {
                engine.complete(id, answer.clone(), now);
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
