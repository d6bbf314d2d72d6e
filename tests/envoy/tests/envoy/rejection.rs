//! The upstream refuses a token.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use edgepass_envoy_tests::{Lab, Reply, Upstream, get, until};
use serde_json::json;

/// An upstream that takes no token that it was told to refuse.
fn refusing(challenge: Option<&'static str>) -> (Upstream, Arc<Mutex<BTreeSet<String>>>) {
    let refused = Arc::new(Mutex::new(BTreeSet::new()));
    let known = Arc::clone(&refused);
    let upstream = Upstream::answering(move |request| {
        let token = request.bearer().unwrap_or_default();
        if known.lock().unwrap().contains(token) {
            Reply {
                status: 401,
                challenge: challenge.map(str::to_owned),
            }
        } else {
            Reply::status(200)
        }
    })
    .unwrap();
    (upstream, refused)
}

#[test]
fn as_an_upstream_filter_a_401_is_retried_with_a_fresh_token() {
    let lab = Lab::start().unwrap();
    let (upstream, refused) = refusing(None);
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    setup.as_upstream_filter = true;
    let envoy = lab.envoy(&setup, 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let first = upstream.seen()[0].bearer().unwrap().to_owned();
    refused.lock().unwrap().insert(first.clone());

    let port = envoy.port();
    let callers: Vec<_> = (0..200)
        .map(|_| thread::spawn(move || get(port, "/").unwrap().status))
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), 200);
    }
    assert_eq!(
        lab.emulator.token_requests().len(),
        2,
        "one refresh for all"
    );
    let seen = upstream.seen();
    assert!(seen[seen.len() - 1].bearer().unwrap() != first);
    let stat = "edgepass_tokens_rejected_total";
    envoy.until_stat(stat, |count| count > 0).unwrap();
}

#[test]
fn the_claims_of_a_challenge_go_with_the_next_exchange() {
    let lab = Lab::start().unwrap();
    // {"access_token":{"nbf":{"essential":true}}}
    let (upstream, refused) = refusing(Some(
        "Bearer error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==\"",
    ));
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    setup.as_upstream_filter = true;
    let envoy = lab.envoy(&setup, 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let first = upstream.seen()[0].bearer().unwrap().to_owned();
    refused.lock().unwrap().insert(first);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].claims, None);
    assert_eq!(
        asked[1].claims,
        Some(json!({"access_token": {"nbf": {"essential": true}}}))
    );
}

#[test]
fn an_upstream_that_refuses_every_token_causes_no_storm() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::answering(|_| Reply::status(401)).unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 2).unwrap();
    for _ in 0..100 {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 401);
    }
    envoy
        .until_logged("the upstream refuses what the token server gives")
        .unwrap();
    let asked = lab.emulator.token_requests().len();
    assert_eq!(asked, 2, "one refresh, and its token is kept");
}

#[test]
fn behind_a_listener_a_401_reaches_the_caller_and_the_next_request_has_another_token() {
    let lab = Lab::start().unwrap();
    let (upstream, refused) = refusing(None);
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let first = upstream.seen()[0].bearer().unwrap().to_owned();
    refused.lock().unwrap().insert(first.clone());
    assert_eq!(get(envoy.port(), "/").unwrap().status, 401);

    // refused everywhere at once: still one refresh
    let port = envoy.port();
    let callers: Vec<_> = (0..100)
        .map(|_| thread::spawn(move || get(port, "/").unwrap().status))
        .collect();
    for caller in callers {
        let status = caller.join().unwrap();
        assert!([200, 401].contains(&status), "{status}");
    }
    until("every worker has the other one", || {
        (0..20).all(|_| get(port, "/").unwrap().status == 200)
    })
    .unwrap();
    let seen = upstream.seen();
    let last = seen[seen.len() - 1].bearer().unwrap();
    assert_ne!(last, first);
    assert!(
        seen[seen.len() - 20..]
            .iter()
            .all(|request| request.bearer() == Some(last))
    );
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

/// What Envoy and its other filters answer says nothing of the token: no caller can have it replaced that way.
#[test]
fn a_401_of_envoys_own_changes_nothing() {
    let lab = Lab::start().unwrap();
    let (upstream, refused) = refusing(None);
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    setup.routes = vec![
        json!({"match": {"prefix": "/own"}, "direct_response": {"status": 401}}),
        json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}),
    ];
    let envoy = lab.envoy(&setup, 1).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let first = upstream.seen()[0].bearer().unwrap().to_owned();
    for _ in 0..20 {
        assert_eq!(get(envoy.port(), "/own").unwrap().status, 401);
    }
    // the next one counts, so that all before it have been looked at by the time it is counted
    refused.lock().unwrap().insert(first);
    let stat = "edgepass_tokens_rejected_total";
    until("the upstream's 401 is noticed", || {
        get(envoy.port(), "/").unwrap();
        envoy.stat(stat).unwrap() > 0
    })
    .unwrap();
    until("there is another token", || {
        get(envoy.port(), "/").unwrap().status == 200
    })
    .unwrap();
    assert_eq!(envoy.stat(stat).unwrap(), 1);
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

#[test]
fn a_401_changes_nothing_where_that_is_switched_off() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::answering(|_| Reply::status(401)).unwrap();
    let plugin = lab.plugin(json!({"refresh_on_401": false}));
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.as_upstream_filter = true;
    let envoy = lab.envoy(&setup, 2).unwrap();
    for _ in 0..20 {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 401);
    }
    // long enough for a refusal to have gone from worker to worker
    thread::sleep(Duration::from_millis(500));
    assert_eq!(lab.emulator.token_requests().len(), 1);
    assert_eq!(envoy.stat("edgepass_tokens_rejected_total").unwrap(), 0);
}
