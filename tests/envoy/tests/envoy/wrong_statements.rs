//! What upstreams, callers and token servers say may be wrong: it costs nobody a request who has a token, and is over soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use edgepass_emulator::Fault;
use edgepass_envoy_tests::{Envoy, Lab, Reply, Upstream, get, until};
use serde_json::json;

/// `{"access_token":{"nbf":{"essential":true}}}`
const CHALLENGE: &str = "Bearer error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==\"";

/// An upstream that answers 401 on one path for reasons of its own, whatever the token is, once it is told to.
fn moody(challenge: Option<&'static str>) -> (Upstream, Arc<AtomicBool>) {
    let refuses = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&refuses);
    let upstream = Upstream::answering(move |request| {
        if request.bearer().is_none() {
            return Reply::status(400);
        }
        if request.path == "/session" && told.load(Ordering::SeqCst) {
            return Reply {
                status: 401,
                challenge: challenge.map(str::to_owned),
            };
        }
        Reply::status(200)
    })
    .unwrap();
    (upstream, refuses)
}

/// Gets a 401 that counts: which of the first responses after a tick are looked at is the filter's business.
fn refuse(envoy: &Envoy) {
    until("a refusal is noticed", || {
        assert_eq!(get(envoy.port(), "/session").unwrap().status, 401);
        envoy.stat("edgepass_tokens_rejected_total").unwrap() > 0
    })
    .unwrap();
}

fn all_pass(envoy: &Envoy, requests: usize) {
    for _ in 0..requests {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    }
}

fn last_token(upstream: &Upstream) -> String {
    let seen = upstream.seen();
    let last = seen.last().and_then(|request| request.bearer());
    last.unwrap().to_owned()
}

#[test]
fn a_401_during_an_outage_costs_no_request() {
    for (outage, challenge) in [
        (Fault::reset(), None),
        (Fault::status(503), Some(CHALLENGE)),
        (Fault::aadsts(7_000_215), None),
    ] {
        let lab = Lab::start().unwrap();
        let (upstream, refuses) = moody(challenge);
        let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
        let envoy = lab.envoy(&setup, 2).unwrap();
        all_pass(&envoy, 1);
        let token = last_token(&upstream);
        lab.emulator
            .faults()
            .push(outage.clone().on("/token").forever());
        refuses.store(true, Ordering::SeqCst);
        refuse(&envoy);
        all_pass(&envoy, 20);
        envoy
            .until_stat("edgepass_refreshes_failed_total", |count| count > 0)
            .unwrap();
        all_pass(&envoy, 20);
        assert_eq!(last_token(&upstream), token, "{outage:?}");
        lab.emulator.faults().clear();
        until("its successor is there", || {
            all_pass(&envoy, 1);
            last_token(&upstream) != token
        })
        .unwrap();
    }
}

#[test]
fn a_challenge_that_the_server_refuses_costs_no_request() {
    let lab = Lab::start().unwrap();
    let (upstream, refuses) = moody(Some(CHALLENGE));
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 2).unwrap();
    all_pass(&envoy, 1);
    let token = last_token(&upstream);
    // whoever does not know the parameter refuses the request
    let faults = lab.emulator.faults();
    faults.push(Fault::aadsts(90_014).on("/token"));
    refuses.store(true, Ordering::SeqCst);
    refuse(&envoy);
    refuses.store(false, Ordering::SeqCst);
    all_pass(&envoy, 20);
    until("one is got without the claims", || {
        all_pass(&envoy, 1);
        last_token(&upstream) != token
    })
    .unwrap();
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 3);
    assert!(asked[1].field("claims").is_some());
    assert_eq!(asked[2].field("claims"), None);
}

/// An answer of a server that gives what it has.
fn answer(token: &str, expires_in: i64) -> Fault {
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in});
    Fault::status(200)
        .body(&body.to_string())
        .content_type("application/json")
        .on("/token")
        .forever()
}

#[test]
fn the_same_token_again_is_an_answer() {
    let lab = Lab::start().unwrap();
    let (upstream, refuses) = moody(None);
    lab.emulator.faults().push(answer("the-same-one", 3600));
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 1).unwrap();
    all_pass(&envoy, 1);
    refuses.store(true, Ordering::SeqCst);
    refuse(&envoy);
    envoy
        .until_logged("the upstream refuses what the token server gives")
        .unwrap();
    for _ in 0..40 {
        assert_eq!(get(envoy.port(), "/session").unwrap().status, 401);
        all_pass(&envoy, 1);
    }
    assert_eq!(lab.emulator.token_requests_begun(), 2);
}

#[test]
fn tokens_that_have_ended_are_asked_for_at_a_pace() {
    for expires_in in [0, -3600] {
        let lab = Lab::start().unwrap();
        let (upstream, _) = moody(None);
        lab.emulator.faults().push(answer("ended", expires_in));
        let plugin = lab.plugin(json!({"request_deadline_ms": 500}));
        let setup = lab.setup(&plugin, upstream.port());
        let began = Instant::now();
        let envoy = lab.envoy(&setup, 2).unwrap();
        envoy
            .until_stat("edgepass_refreshes_failed_total", |count| count >= 4)
            .unwrap();
        let asked = lab.emulator.token_requests_begun();
        // each pause is a quarter of a second at least, and they grow
        let most = 2 + began.elapsed().as_millis() / 250;
        assert!(u128::try_from(asked).unwrap() <= most, "{asked} of {most}");
        let refused = get(envoy.port(), "/").unwrap();
        assert_eq!(refused.status, 503);
        lab.emulator.faults().clear();
        until("a token that lasts is there", || {
            get(envoy.port(), "/").unwrap().status == 200
        })
        .unwrap();
    }
}

#[test]
fn a_wrong_date_locks_nobody_out() {
    for skew in [-86_400, 86_400] {
        let lab = Lab::start().unwrap();
        let (upstream, _) = moody(None);
        lab.emulator.set_token_lifetime(4, None);
        lab.emulator
            .faults()
            .push(Fault::date_skew(skew).on("/token").times(2));
        let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
        let envoy = lab.envoy(&setup, 1).unwrap();
        all_pass(&envoy, 1);
        until("the token is renewed again and again", || {
            all_pass(&envoy, 1);
            lab.emulator.token_requests().len() >= 4
        })
        .unwrap();
        let failed = envoy.stat("edgepass_refreshes_failed_total").unwrap();
        assert_eq!(failed, 0);
    }
}
