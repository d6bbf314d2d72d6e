//! A token is renewed before it ends, with the workload token that is there then.

use std::time::Duration;

use edgepass_emulator::Fault;
use edgepass_envoy_tests::{Lab, Upstream, get, until};
use serde_json::json;

#[test]
fn a_rotated_workload_token_is_used_for_the_next_refresh() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, None);
    let upstream = Upstream::start().unwrap();
    let envoy = lab
        .envoy(&lab.setup(&lab.plugin(json!({})), upstream.port()), 2)
        .unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let before = lab.workload_token().unwrap();
    lab.emulator.rotate_token().unwrap();
    let after = lab.workload_token().unwrap();
    assert_ne!(before, after);
    until("it is renewed", Duration::from_secs(10), || {
        assert_eq!(
            get(envoy.port(), "/").unwrap().status,
            200,
            "no request fails meanwhile"
        );
        lab.emulator.token_requests().len() == 2
    })
    .unwrap();
    let assertions: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|request| request.field("client_assertion").unwrap())
        .collect();
    assert_eq!(assertions, [before, after]);
    until("it is put on requests", Duration::from_secs(2), || {
        get(envoy.port(), "/").unwrap();
        let seen = upstream.seen();
        seen[seen.len() - 1].bearer() != seen[0].bearer()
    })
    .unwrap();
}

#[test]
fn the_old_token_serves_to_its_end_during_an_outage() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, Some(1));
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    lab.emulator
        .faults()
        .push(Fault::reset().on("/token").forever());
    until("a refresh has failed", Duration::from_secs(4), || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        envoy.stat("edgepass_refreshes_failed_total").unwrap() > 0
    })
    .unwrap();
    until("it has ended", Duration::from_secs(8), || {
        get(envoy.port(), "/").unwrap().status == 503
    })
    .unwrap();
    lab.emulator.faults().clear();
    until("it recovers", Duration::from_secs(20), || {
        get(envoy.port(), "/").unwrap().status == 200
    })
    .unwrap();
}
