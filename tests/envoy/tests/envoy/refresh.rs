//! A token is renewed before it ends, once for all workers, with the workload token that is there then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use edgepass_emulator::Fault;
use edgepass_envoy_tests::{Lab, Upstream, get, until};
use serde_json::json;

/// Lifetime of the tokens, seconds. They are renewed early, after [`RENEWED_AFTER_S`].
const LIFETIME_S: i64 = 8;

/// What the server says of the renewal, seconds.
const RENEWED_AFTER_S: i64 = 2;

#[test]
fn one_exchange_per_refresh_with_one_worker() {
    one_exchange_per_refresh(1);
}

#[test]
fn one_exchange_per_refresh_with_two_workers() {
    one_exchange_per_refresh(2);
}

#[test]
fn one_exchange_per_refresh_with_four_workers() {
    one_exchange_per_refresh(4);
}

/// Refreshes under load, before and after the token file is swapped as the kubelet does it.
fn one_exchange_per_refresh(concurrency: u32) {
    let lab = Lab::start().unwrap();
    lab.emulator
        .set_token_lifetime(LIFETIME_S, Some(RENEWED_AFTER_S));
    let upstream = Upstream::start().unwrap();
    let envoy = lab
        .envoy(
            &lab.setup(&lab.plugin(json!({})), upstream.port()),
            concurrency,
        )
        .unwrap();
    let folder = lab.token_file().parent().unwrap().join("..data");
    assert!(
        folder.is_symlink(),
        "the files are not as the kubelet lays them"
    );
    let first = lab.workload_token().unwrap();
    let mut second = None;
    let mut asked = Vec::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let renewed = until("two refreshes with each file", || {
            asked = lab.emulator.token_requests();
            if asked.len() >= 3 && second.is_none() {
                lab.emulator.rotate_token().unwrap();
                second = Some(lab.workload_token().unwrap());
            }
            let with_the_second = asked
                .iter()
                .filter(|request| second.is_some() && request.field("client_assertion") == second);
            with_the_second.count() >= 2
        });
        done.store(true, Ordering::Relaxed);
        renewed.unwrap();
    });
    for pair in asked.windows(2) {
        let apart = pair[1].time_ms - pair[0].time_ms;
        // the renewal is drawn up to a tenth earlier, and counts whole seconds
        assert!(
            apart >= 700,
            "two exchanges within {apart} ms for one refresh"
        );
    }
    assert!(asked.iter().all(|request| request.status == Some(200)));
    let second = second.unwrap();
    assert_ne!(first, second);
    assert_eq!(lab.successive_assertions(), [first, second]);

    // each token that the server gave was used, the last one perhaps not yet: no exchange was made for nothing
    let mut tokens: Vec<String> = upstream
        .seen()
        .iter()
        .map(|request| request.bearer().unwrap().to_owned())
        .collect();
    tokens.sort();
    tokens.dedup();
    let given = lab.emulator.token_requests().len();
    assert!(
        (asked.len() - 1..=given).contains(&tokens.len()),
        "{} of {given} tokens were used",
        tokens.len()
    );
    let all = u64::try_from(asked.len()).unwrap();
    envoy
        .until_stat("edgepass_refreshes_succeeded_total", |counted| {
            counted >= all
        })
        .unwrap();
    let counted = envoy.stat("edgepass_refreshes_succeeded_total").unwrap();
    let given = lab.emulator.token_requests().len();
    assert!(counted <= u64::try_from(given).unwrap());
    assert_eq!(envoy.stat("edgepass_refreshes_failed_total").unwrap(), 0);
}

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
    until("it is renewed", || {
        assert_eq!(
            get(envoy.port(), "/").unwrap().status,
            200,
            "no request fails meanwhile"
        );
        lab.assertions().last() == Some(&after)
    })
    .unwrap();
    assert_eq!(lab.successive_assertions(), [before, after]);
    until("it is put on requests", || {
        get(envoy.port(), "/").unwrap();
        let seen = upstream.seen();
        seen[seen.len() - 1].bearer() != seen[0].bearer()
    })
    .unwrap();
}

#[test]
fn the_old_token_serves_on_during_an_outage() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(3_600, Some(1));
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    lab.emulator
        .faults()
        .push(Fault::reset().on("/token").forever());
    let failed = || envoy.stat("edgepass_refreshes_failed_total").unwrap();
    let served = || assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    until("a refresh has failed", || {
        served();
        failed() > 0
    })
    .unwrap();
    (0..20).for_each(|_| served());
}

#[test]
fn an_outage_that_outlasts_the_token_is_recovered_from() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(3, Some(1));
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    let answered = |status| get(envoy.port(), "/").unwrap().status == status;
    until("a token is there", || answered(200)).unwrap();
    lab.emulator
        .faults()
        .push(Fault::reset().on("/token").forever());
    until("it has ended", || answered(503)).unwrap();
    lab.emulator.faults().clear();
    until("it recovers", || answered(200)).unwrap();
}
