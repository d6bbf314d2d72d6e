//! Requests that come before there is a token.

use std::thread;
use std::time::{Duration, Instant};

use edgepass_emulator::Fault;
use edgepass_envoy_tests::{Connection, Lab, Upstream, get, post, until};
use serde_json::json;

use crate::generated;

#[test]
fn five_hundred_requests_wait_for_the_first_token() {
    let lab = Lab::start().unwrap();
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let upstream = Upstream::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 2).unwrap();
    let port = envoy.port();
    let callers: Vec<_> = (0..500)
        .map(|n| thread::spawn(move || get(port, &format!("/{n}")).unwrap().status))
        .collect();
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 500).unwrap();
    lab.emulator.faults().release();
    let answers: Vec<u16> = callers.into_iter().map(|c| c.join().unwrap()).collect();
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 500);
    assert!(seen.iter().all(|request| request.bearer().is_some()));
    assert_eq!(lab.emulator.token_requests().len(), 1);
}

/// A flood of uploads before the first token costs what the page says, and nobody is refused for it.
#[test]
fn a_request_that_waits_holds_little_of_its_body() {
    const CALLERS: u32 = 100;
    const BODY: usize = 2 * 1024 * 1024;
    // the limit of the listener, and what is on its way when that is reached
    const HELD: u64 = 160 * 1024;
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    for more in [&[][..], &["--upstream-filter"]] {
        lab.emulator.faults().push(Fault::hold().on("/token"));
        let envoy = generated::start(&lab, &upstream, &generated::plain(&lab), more);
        let port = envoy.port();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| thread::spawn(move || post(port, "/", &vec![b'x'; BODY]).unwrap().status))
            .collect();
        let stat = "edgepass_requests_held_total";
        envoy
            .until_stat(stat, |count| count == u64::from(CALLERS))
            .unwrap();
        // it reads no more, or all
        let mut before = 0;
        let mut same = 0;
        until("Envoy reads no more", || {
            let now = envoy
                .stat("http.main.downstream_cx_rx_bytes_total")
                .unwrap();
            same = if now == before { same + 1 } else { 0 };
            before = now;
            same == 50
        })
        .unwrap();
        assert!(before < u64::from(CALLERS) * HELD, "{before}, {more:?}");
        lab.emulator.faults().release();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 200, "{more:?}");
        }
    }
    let seen = upstream.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.body.len() == BODY && seen.bearer().is_some())
    );
}

/// When it is known that no attempt is due before the deadline, nobody waits for it: neither who comes now nor who waits
/// already, in no worker.
#[test]
fn in_a_known_outage_nobody_waits() {
    let lab = Lab::start().unwrap();
    lab.emulator
        .faults()
        .push(Fault::status(429).retry_after("600").on("/token").forever());
    let upstream = Upstream::start().unwrap();
    let envoy = lab
        .envoy(&lab.setup(&lab.plugin(json!({})), upstream.port()), 2)
        .unwrap();
    let count = |what: &str| {
        envoy
            .stat(&format!("edgepass_requests_{what}_total"))
            .unwrap()
    };
    let mut answered = 0;
    until("every worker knows", || {
        let held = count("held");
        for _ in 0..20 {
            let answer = get(envoy.port(), "/").unwrap();
            assert_eq!(answer.status, 503);
            assert_eq!(answer.header("x-edgepass-error"), Some("throttled"));
            answered += 1;
        }
        // both are counted with the same tick
        envoy
            .until_stat("edgepass_requests_failed_total", |failed| {
                failed == answered
            })
            .unwrap();
        count("held") == held
    })
    .unwrap();
    assert_eq!(lab.emulator.token_requests_begun(), 1);
    assert!(upstream.seen().is_empty());
}

#[test]
fn without_a_token_server_503_at_the_deadline_and_recovery_by_itself() {
    let lab = Lab::start().unwrap();
    lab.emulator
        .faults()
        .push(Fault::reset().on("/token").forever());
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 700}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    let port = envoy.port();
    let callers: Vec<_> = (0..500)
        .map(|_| {
            thread::spawn(move || {
                let began = Instant::now();
                (get(port, "/").unwrap(), began.elapsed())
            })
        })
        .collect();
    for caller in callers {
        let (answer, took) = caller.join().unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.header("x-edgepass-error").is_some(), "{answer:?}");
        assert!(
            answer.body.starts_with("edgepass: no access token"),
            "{answer:?}"
        );
        // nobody is answered before, unless it is known by then that there will be no token in time
        let class = answer.header("x-edgepass-error");
        assert!(
            took >= Duration::from_millis(700) || class == Some("network"),
            "{took:?} {class:?}"
        );
    }
    until("the cause is known", || {
        get(port, "/").unwrap().header("x-edgepass-error") == Some("network")
    })
    .unwrap();
    assert!(
        upstream.seen().is_empty(),
        "nothing goes on without a token"
    );

    lab.emulator.faults().clear();
    until("requests pass again", || {
        get(port, "/").unwrap().status == 200
    })
    .unwrap();
    let stat = "edgepass_requests_failed_total";
    envoy.until_stat(stat, |count| count >= 500).unwrap();
    let stat = "edgepass_refreshes_failed.network.app.api_//edgepass-demo/.default";
    envoy.until_stat(stat, |count| count > 0).unwrap();
}

#[test]
fn callers_that_go_away_while_they_wait_are_forgotten() {
    let lab = Lab::start().unwrap();
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let upstream = Upstream::start().unwrap();
    let envoy = lab
        .envoy(&lab.setup(&lab.plugin(json!({})), upstream.port()), 1)
        .unwrap();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let mut caller = Connection::open(envoy.port()).unwrap();
            caller.ask("/gone", &[]).unwrap();
            caller
        })
        .collect();
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 50).unwrap();
    drop(callers);
    let stat = "http.main.downstream_cx_destroy_remote_active_rq";
    envoy.until_stat(stat, |count| count == 50).unwrap();
    let port = envoy.port();
    let stayed = thread::spawn(move || get(port, "/stayed").unwrap().status);
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 51).unwrap();
    lab.emulator.faults().release();
    assert_eq!(stayed.join().unwrap(), 200);
    let paths: Vec<String> = upstream.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/stayed"]);
}

#[test]
fn fail_open_lets_requests_pass_without_the_callers_credential() {
    let lab = Lab::start().unwrap();
    lab.emulator
        .faults()
        .push(Fault::hang().on("/token").forever());
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 300, "fail_open": true}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 1).unwrap();
    let headers = [("authorization", "Basic Y2FsbGVy")];
    let answer = edgepass_envoy_tests::get_with(envoy.port(), "/", &headers).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.seen()[0].header("authorization"), None);
}
