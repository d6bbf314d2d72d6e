//! Older versions of Envoy: what the others prove of the main one, in short.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use edgepass_emulator::Fault;
use edgepass_envoy_tests::{ClientTls, Envoy, Lab, Reply, Upstream, Version, get, until};
use serde_json::json;

#[test]
fn envoy_1_39_waits_injects_and_renews() {
    waits_injects_and_renews(Version::V1_39, "1.39.3");
}

#[test]
fn envoy_1_37_waits_injects_and_renews() {
    waits_injects_and_renews(Version::V1_37, "1.37.0");
}

#[test]
fn envoy_1_39_retries_a_401() {
    retries_a_401(Version::V1_39);
}

#[test]
fn envoy_1_37_retries_a_401() {
    retries_a_401(Version::V1_37);
}

#[test]
fn envoy_1_39_shows_its_certificate() {
    shows_its_certificate(Version::V1_39);
}

#[test]
fn envoy_1_37_shows_its_certificate() {
    shows_its_certificate(Version::V1_37);
}

#[test]
fn envoy_1_39_signs() {
    signs(Version::V1_39);
}

#[test]
fn envoy_1_37_signs() {
    signs(Version::V1_37);
}

fn is_version(envoy: &Envoy, version: &str) {
    let info = envoy.admin("/server_info").unwrap();
    assert!(info.contains(&format!("/{version}/")), "{info}");
}

/// Requests before the first token wait for it; a swapped token file is used for the next refresh; a token server that
/// fails is told of.
fn waits_injects_and_renews(version: Version, name: &str) {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, Some(2));
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 30_000}));
    let setup = lab.setup(&plugin, upstream.port());
    let envoy = lab.envoy_version(version, &setup, 2).unwrap();
    is_version(&envoy, name);
    let port = envoy.port();
    let callers: Vec<_> = (0..20)
        .map(|_| thread::spawn(move || get(port, "/").unwrap().status))
        .collect();
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 20).unwrap();
    until("the token is asked for", || {
        lab.emulator.token_requests_begun() == 1
    })
    .unwrap();
    lab.emulator.faults().release();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), 200, "{}", envoy.log());
    }

    let before = lab.workload_token().unwrap();
    lab.emulator.rotate_token().unwrap();
    let after = lab.workload_token().unwrap();
    until("it is renewed", || {
        assert_eq!(get(port, "/").unwrap().status, 200);
        lab.assertions().last() == Some(&after)
    })
    .unwrap();
    assert_eq!(lab.successive_assertions(), [before, after]);
    assert!(upstream.seen().iter().all(|seen| seen.bearer().is_some()));

    lab.emulator
        .faults()
        .push(Fault::reset().on("/token").forever());
    until("the cause is told", || {
        let answer = get(port, "/").unwrap();
        answer.status == 503 && answer.header("x-edgepass-error") == Some("network")
    })
    .unwrap();
}

fn retries_a_401(version: Version) {
    let lab = Lab::start().unwrap();
    let first = AtomicBool::new(true);
    let upstream = Upstream::answering(move |_| {
        Reply::status(if first.swap(false, Ordering::SeqCst) {
            401
        } else {
            200
        })
    })
    .unwrap();
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    setup.as_upstream_filter = true;
    let envoy = lab.envoy_version(version, &setup, 2).unwrap();
    assert_eq!(
        get(envoy.port(), "/").unwrap().status,
        200,
        "{}",
        envoy.log()
    );
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].bearer().unwrap(), seen[1].bearer().unwrap());
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

fn shows_its_certificate(version: Version) {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(8, Some(2));
    let upstream = Upstream::start().unwrap();
    let sds = lab.dir().join("sds.yaml");
    let secret = crate::bound::sds_secret("client", &lab.dir().join("identity"));
    fs::write(&sds, secret.to_string()).unwrap();
    let setup = crate::bound::bound(&lab, &upstream, ClientTls::Sds("client", sds));
    let envoy = lab.envoy_version(version, &setup, 1).unwrap();
    assert_eq!(
        get(envoy.port(), "/").unwrap().status,
        200,
        "{}",
        envoy.log()
    );
    let before = lab.emulator.client_certificate().thumbprint.clone();
    let after = lab.emulator.rotate_certificate().unwrap();
    until("the new one is shown", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        let asked = lab.emulator.token_requests();
        assert_eq!(asked[0].client_certificate.as_ref(), Some(&before));
        asked[asked.len() - 1].client_certificate.as_ref() == Some(&after)
    })
    .unwrap();
}

fn signs(version: Version) {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let credential =
        json!({"certificate": {"name": "client", "algorithm": "RS256", "send_x5c": true}});
    let setup = crate::signing::signing(&lab, &upstream, &credential, false);
    let envoy = lab.envoy_version(version, &setup, 1).unwrap();
    let answer = get(envoy.port(), "/").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method_of_proof.as_deref(), Some("certificate"));
}
