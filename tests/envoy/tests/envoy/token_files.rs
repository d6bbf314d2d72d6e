//! The file of the workload's token: late, gone, expired, or replaced by something else.

use std::fs;
use std::thread;

use edgepass_emulator::Mint;
use edgepass_envoy_tests::{Envoy, Lab, Upstream, get, until};
use serde_json::json;

use crate::faults::class_is;

/// Swaps the token file's content as the kubelet does.
fn swap(lab: &Lab, content: &str) {
    let issuer = lab.emulator.issuer();
    issuer.write_file(&lab.token_file(), content).unwrap();
}

fn is_served(envoy: &Envoy) {
    until("requests get a token", || {
        get(envoy.port(), "/").unwrap().status == 200
    })
    .unwrap();
}

/// Waits for the exchange with the token that is in the file now. None was made with anything but it and `first`.
fn its_successor_is_used(lab: &Lab, envoy: &Envoy, first: &str, second: &str) {
    until("the new one is used", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        lab.assertions().iter().any(|one| one == second)
    })
    .unwrap();
    let assertions = lab.assertions();
    assert!(assertions.iter().all(|one| one == first || one == second));
}

#[test]
fn with_file_server_the_file_may_be_late() {
    let lab = Lab::start().unwrap();
    let token = lab.workload_token().unwrap();
    fs::remove_dir_all(lab.token_file().parent().unwrap()).unwrap();
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({}));
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.file_server = true;
    let envoy = lab.envoy(&setup, 2).unwrap();
    let port = envoy.port();
    let waiting: Vec<_> = (0..10)
        .map(|_| thread::spawn(move || get(port, "/").unwrap().status))
        .collect();
    let stat = "edgepass_refreshes_failed.credential-unavailable.app.api_//edgepass-demo/.default";
    envoy.until_stat(stat, |count| count > 0).unwrap();
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 10).unwrap();
    assert!(upstream.seen().is_empty());
    swap(&lab, &token);
    for caller in waiting {
        assert_eq!(caller.join().unwrap(), 200, "those who waited go on");
    }
    assert_eq!(lab.assertions(), [token]);
}

#[test]
fn with_file_server_a_file_that_is_gone_for_a_while_costs_no_request() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(60, Some(2));
    let first = lab.workload_token().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    setup.file_server = true;
    let envoy = lab.envoy(&setup, 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);

    fs::remove_dir_all(lab.token_file().parent().unwrap()).unwrap();
    let reads = || envoy.stat("http.token_files.downstream_rq_4xx").unwrap();
    until("the filter has missed it", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        reads() > 0
    })
    .unwrap();
    lab.emulator.rotate_token().unwrap();
    let second = lab.workload_token().unwrap();
    its_successor_is_used(&lab, &envoy, &first, &second);
}

#[test]
fn an_expired_token_is_not_sent_and_its_successor_is() {
    let lab = Lab::start().unwrap();
    let good = lab.workload_token().unwrap();
    let expired = Mint::new().not_before_in(-7_200).expires_in(-3_600);
    swap(&lab, &lab.emulator.issuer().mint(&expired).unwrap());
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    class_is(&envoy, "credential-unavailable");
    assert!(lab.emulator.token_requests().is_empty());
    envoy.until_logged("expired").unwrap();
    swap(&lab, &good);
    is_served(&envoy);
    assert_eq!(lab.assertions(), [good]);
}

#[test]
fn garbage_in_the_file_is_never_sent_and_no_request_fails_meanwhile() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(60, Some(2));
    let first = lab.workload_token().unwrap();
    let upstream = Upstream::start().unwrap();
    let envoy = lab
        .envoy(&lab.setup(&lab.plugin(json!({})), upstream.port()), 2)
        .unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let reads = || {
        envoy
            .stat("http.token_files.downstream_rq_completed")
            .unwrap()
    };
    for garbage in ["", "not a token", "a.b", "ey.ey.ey\u{0}"] {
        swap(&lab, garbage);
        let before = reads();
        until("the file is read again", || {
            assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
            reads() > before
        })
        .unwrap();
    }
    lab.emulator.rotate_token().unwrap();
    let second = lab.workload_token().unwrap();
    its_successor_is_used(&lab, &envoy, &first, &second);
    assert!(!envoy.log().contains("not a token"));
}
