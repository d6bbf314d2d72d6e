//! No secret is anywhere but where it belongs.

use std::time::Duration;

use edgepass_emulator::Fault;
use edgepass_envoy_tests::{Lab, Upstream, get, until};
use serde_json::json;

#[test]
fn dumps_stats_logs_and_answers_hold_no_secret() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(3, None);
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    get(envoy.port(), "/").unwrap();
    lab.emulator
        .faults()
        .push(Fault::aadsts(700_024).on("/token").forever());
    let mut answer = get(envoy.port(), "/").unwrap();
    until(
        "a refresh fails and the token ends",
        Duration::from_secs(15),
        || {
            answer = get(envoy.port(), "/").unwrap();
            answer.status == 503 && envoy.log().contains("no new access token")
        },
    )
    .unwrap();
    assert_eq!(envoy.stat("edgepass_aadsts.700024").unwrap().min(1), 1);

    let mut secrets: Vec<String> = upstream
        .seen()
        .iter()
        .filter_map(|request| request.bearer().map(str::to_owned))
        .collect();
    assert!(!secrets.is_empty());
    for request in lab.emulator.token_requests() {
        secrets.extend(request.field("client_assertion"));
    }
    // the signature alone makes a token usable
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|token| token.rsplit('.').next().map(str::to_owned))
        .collect();
    secrets.extend(signatures);
    for (what, text) in [
        ("log", envoy.log()),
        ("stats", envoy.admin("/stats").unwrap()),
        (
            "stats/prometheus",
            envoy.admin("/stats/prometheus").unwrap(),
        ),
        ("answer", format!("{answer:?}")),
    ] {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{what} holds a secret");
        }
    }
    // the workload token's listener is made of the file, and Envoy must not show what it read
    let dump = envoy.admin("/config_dump?include_eds").unwrap();
    assert!(dump.contains("token_files"));
    for secret in &secrets {
        assert!(
            !dump.contains(secret.as_str()),
            "config_dump holds a secret"
        );
    }
}
