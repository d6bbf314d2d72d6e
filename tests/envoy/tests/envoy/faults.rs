//! A token server that misbehaves: the caller gets a 503 that says why, and the filter recovers.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use edgepass_emulator::{Emulator, Fault};
use edgepass_envoy_tests::{Envoy, Lab, Setup, Upstream, get, until};
use serde_json::json;

fn start(lab: &Lab, change: impl FnOnce(&mut Setup)) -> (Upstream, Envoy) {
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    let mut setup = lab.setup(&plugin, upstream.port());
    change(&mut setup);
    let envoy = lab.envoy(&setup, 1).unwrap();
    (upstream, envoy)
}

/// The class that callers are told.
pub(crate) fn class_is(envoy: &Envoy, class: &str) {
    until(class, || {
        let answer = get(envoy.port(), "/").unwrap();
        assert_eq!(answer.status, 503);
        answer.header("x-edgepass-error") == Some(class)
    })
    .unwrap();
}

#[test]
fn answers_that_are_no_token_are_told_apart() {
    let lab = Lab::start().unwrap();
    let faults = lab.emulator.faults();
    let throttled = Fault {
        retry_after: Some("2".to_owned()),
        ..Fault::status(429)
    };
    for (fault, class) in [
        (Fault::status(500), "server"),
        (Fault::reset(), "network"),
        (Fault::html(200), "invalid-response"),
        (Fault::oversize(600_000), "invalid-response"),
        (Fault::truncate(), "network"),
        (throttled, "throttled"),
        (Fault::aadsts(700_016), "refused"),
    ] {
        faults.clear();
        faults.push(fault.on("/token").forever());
        let (upstream, envoy) = start(&lab, |_| ());
        class_is(&envoy, class);
        faults.clear();
        until("it recovers", || {
            get(envoy.port(), "/").unwrap().status == 200
        })
        .unwrap();
        assert!(upstream.seen().iter().all(|seen| seen.bearer().is_some()));
    }
}

#[test]
fn retry_after_is_kept() {
    let lab = Lab::start().unwrap();
    let throttled = Fault {
        retry_after: Some("600".to_owned()),
        ..Fault::status(429)
    };
    lab.emulator.faults().push(throttled.on("/token").forever());
    let (_upstream, envoy) = start(&lab, |_| ());
    class_is(&envoy, "throttled");
    for _ in 0..10 {
        get(envoy.port(), "/").unwrap();
    }
    assert_eq!(
        lab.emulator.token_requests().len(),
        1,
        "nothing is sent meanwhile"
    );
}

#[test]
fn nothing_is_sent_to_a_server_that_is_not_the_one() {
    let lab = Lab::start().unwrap();
    let (_upstream, envoy) = start(&lab, |setup| setup.token_name = "other.test".to_owned());
    class_is(&envoy, "network");
    assert!(envoy.stat("cluster.entra.ssl.fail_verify_san").unwrap() > 0);
    assert!(lab.emulator.token_requests().is_empty());
    drop(envoy);

    let stranger = Emulator::builder().start_blocking().unwrap();
    let ca_file = stranger.ca_file().unwrap();
    let (_upstream, envoy) = start(&lab, |setup| setup.ca_file = ca_file);
    class_is(&envoy, "network");
    assert!(envoy.stat("cluster.entra.ssl.fail_verify_error").unwrap() > 0);
    assert!(lab.emulator.token_requests().is_empty());
}

#[test]
fn a_token_file_that_holds_something_else_is_not_sent() {
    let lab = Lab::start().unwrap();
    let file = lab.dir().join("token/azure-identity-token");
    let good = lab.workload_token().unwrap();
    std::fs::write(&file, "not a token").unwrap();
    let (_upstream, envoy) = start(&lab, |_| ());
    class_is(&envoy, "credential-unavailable");
    assert!(lab.emulator.token_requests().is_empty());
    assert!(!envoy.log().contains("not a token"));
    drop(envoy);

    std::fs::write(&file, good).unwrap();
    let (_upstream, envoy) = start(&lab, |setup| {
        let other = setup
            .plugin
            .replace("azure-identity-token\"", "another-token\"");
        setup.plugin = other;
    });
    class_is(&envoy, "credential-unavailable");
    assert!(lab.emulator.token_requests().is_empty());
}

/// The first answers: 503 at the deadline and not before, whatever the server is doing. `later` is what callers are told
/// once the filter has given it up, which on a busy machine may be soon.
fn answered_at_the_deadline(envoy: &Envoy, later: Option<&str>) {
    for _ in 0..3 {
        let began = Instant::now();
        let answer = get(envoy.port(), "/").unwrap();
        let took = began.elapsed();
        assert_eq!(answer.status, 503);
        let told = answer.header("x-edgepass-error");
        assert!(told == Some("no-token-yet") || told == later, "{told:?}");
        assert!(took >= Duration::from_millis(200), "{took:?}");
    }
}

fn recovers(envoy: &Envoy, upstream: &Upstream) {
    until("it recovers", || {
        get(envoy.port(), "/").unwrap().status == 200
    })
    .unwrap();
    assert!(upstream.seen().iter().all(|seen| seen.bearer().is_some()));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let lab = Lab::start().unwrap();
    // the first attempt hangs, and what the engine makes of that is to try again
    lab.emulator.faults().push(Fault::hang().on("/token"));
    let (upstream, envoy) = start(&lab, |_| ());
    answered_at_the_deadline(&envoy, None);
    recovers(&envoy, &upstream);
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

#[test]
fn an_answer_that_trickles_is_given_up() {
    let lab = Lab::start().unwrap();
    // whole only after minutes, though something comes all the time
    lab.emulator
        .faults()
        .push(Fault::trickle(1, Duration::from_millis(300)).on("/token"));
    let (upstream, envoy) = start(&lab, |_| ());
    answered_at_the_deadline(&envoy, None);
    recovers(&envoy, &upstream);
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

#[test]
fn a_slow_answer_is_waited_for_by_those_who_have_the_time() {
    let lab = Lab::start().unwrap();
    lab.emulator
        .faults()
        .push(Fault::trickle(100, Duration::from_millis(50)).on("/token"));
    let (_upstream, envoy) = start(&lab, |setup| {
        setup.plugin = setup.plugin.replace(
            "\"request_deadline_ms\":200",
            "\"request_deadline_ms\":20000",
        );
    });
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    assert_eq!(lab.emulator.token_requests().len(), 1);
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_a_timeout() {
    let lab = Lab::start().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    thread::spawn(move || {
        let taken: Vec<_> = silent.incoming().collect();
        drop(taken);
    });
    let (upstream, envoy) = start(&lab, |setup| setup.token_port = port);
    answered_at_the_deadline(&envoy, Some("timeout"));
    until("the cause is known", || {
        get(envoy.port(), "/").unwrap().header("x-edgepass-error") == Some("timeout")
    })
    .unwrap();
    assert!(
        envoy
            .stat("cluster.entra.upstream_cx_connect_timeout")
            .unwrap()
            > 0
    );
    assert!(lab.emulator.token_requests().is_empty());
    assert!(upstream.seen().is_empty());
}
