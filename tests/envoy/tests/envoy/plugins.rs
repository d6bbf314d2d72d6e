//! Two plugins of one name and one `vm_id` share a virtual machine; their requests and refusals stay apart.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use edgepass_envoy_tests::{Lab, Reply, Upstream, cluster, filter_path, get, http_listener, until};
use serde_json::{Value, json};

/// The filter of a set-up, for another listener.
fn filter(setup: &edgepass_envoy_tests::Setup) -> Value {
    let wasm = fs::canonicalize(filter_path().unwrap()).unwrap();
    let discovered: Value = serde_json::from_str(&setup.discovered(&wasm)).unwrap();
    let resource = &discovered["resources"][0];
    json!({"name": resource["name"], "typed_config": resource["typed_config"]})
}

#[test]
fn each_puts_its_own_token_on() {
    let lab = Lab::start().unwrap();
    // the second one's token is refused once
    let refused = std::sync::Mutex::new(None);
    let upstream = Upstream::answering(move |request| {
        let token = request.header("x-second").map(str::to_owned);
        let mut refused = refused.lock().unwrap();
        let first = refused.get_or_insert_with(|| token.clone());
        Reply::status(if *first == token { 401 } else { 200 })
    })
    .unwrap();
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let second = lab.plugin(json!({
        "inbound_authorization": "keep-as:authorization",
        "rules": [{"header": "x-second", "format": "{token}",
            "scopes": ["https://vault.azure.net/.default"]}]}));
    let mut other = setup.clone();
    other.plugin = second.to_string();
    // the first listener's requests go through the second
    let socket = json!({"pipe": {"path": lab.dir().join("second.sock"), "mode": 0o600}});
    let host = json!({"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]});
    setup.listeners = vec![http_listener(
        "second",
        &socket,
        &host,
        vec![filter(&other)],
    )];
    setup.clusters = vec![cluster("second", &socket)];
    setup.routes = vec![json!({"match": {"prefix": "/"}, "route": {"cluster": "second"}})];
    let envoy = lab.envoy(&setup, 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 401);
    // each worker has the refused one until its next tick, and which of them takes a connection through the pipe is the
    // kernel's choice
    let port = envoy.port();
    until("a hundred at once, and none with the refused one", || {
        let callers: Vec<_> = (0..100)
            .map(|_| thread::spawn(move || get(port, "/").unwrap().status))
            .collect();
        let answers = callers.into_iter().map(|caller| caller.join().unwrap());
        let answers: Vec<_> = answers.collect();
        assert!(answers.iter().all(|status| [200, 401].contains(status)));
        answers.iter().all(|status| *status == 200)
    })
    .unwrap();
    let seen = upstream.seen();
    let firsts: BTreeSet<_> = seen
        .iter()
        .map(|request| request.bearer().unwrap())
        .collect();
    let seconds: BTreeSet<_> = seen
        .iter()
        .map(|request| request.header("x-second").unwrap())
        .collect();
    assert!(firsts.is_disjoint(&seconds));
    // both plugins saw the 401, and each believes that its token was meant
    assert!(firsts.len() <= 2, "{}", firsts.len());
    assert_eq!(seconds.len(), 2, "the refused one, and the one after it");
    let asked: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|request| request.field("scope").unwrap())
        .collect();
    let of = |scope: &str| asked.iter().filter(|asked| asked.contains(scope)).count();
    assert_eq!(of("vault"), 2, "{asked:?}");
    assert!(of("edgepass-demo") <= 2, "{asked:?}");
}
