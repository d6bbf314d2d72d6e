//! A token reaches the upstream.

use std::time::Duration;

use edgepass_envoy_tests::{Connection, Lab, Upstream, get, get_with, until};
use serde_json::json;

#[test]
fn a_token_reaches_the_upstream() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 2).unwrap();

    let answer = get(envoy.port(), "/hello").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let answer = get_with(
        envoy.port(),
        "/again",
        &[("authorization", "Bearer caller")],
    )
    .unwrap();
    assert_eq!(answer.status, 200);

    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        let token = request.bearer().expect("a token");
        assert_eq!(token.split('.').count(), 3, "a JWT");
        assert_eq!(Some(token), seen[0].bearer());
        let values = request
            .headers
            .iter()
            .filter(|(name, _)| name == "authorization");
        assert_eq!(values.count(), 1, "the caller's own is gone");
    }
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method_of_proof.as_deref(), Some("federated"));
    assert_eq!(
        asked[0].field("client_assertion"),
        Some(lab.workload_token().unwrap())
    );
    println!("ready after {:?}", envoy.started_in());
}

#[test]
fn one_exchange_whatever_the_number_of_workers() {
    for concurrency in [1, 4] {
        let lab = Lab::start().unwrap();
        let upstream = Upstream::start().unwrap();
        let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
        let envoy = lab.envoy(&setup, concurrency).unwrap();
        // as many connections, so that every worker gets some
        for _ in 0..40 {
            assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        }
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(
            lab.emulator.token_requests().len(),
            1,
            "{concurrency} workers"
        );
        let seen = upstream.seen();
        assert!(
            seen.iter()
                .all(|request| request.bearer() == seen[0].bearer())
        );
        let stat = "edgepass_refreshes_succeeded_total";
        envoy.until_stat(stat, |count| count == 1).unwrap();
        let stat = "edgepass_requests_injected_total";
        envoy.until_stat(stat, |count| count == 40).unwrap();
    }
}

#[test]
fn each_vm_for_itself_when_nothing_may_be_shared() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut setup = lab.setup(&lab.plugin(json!({"sharing": "per-vm"})), upstream.port());
    setup.vm_id = String::new();
    let envoy = lab.envoy(&setup, 2).unwrap();
    for _ in 0..20 {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    }
    // two workers and the main thread, which runs the filter too
    until("each VM has asked", || {
        lab.emulator.token_requests().len() == 3
    })
    .unwrap();
}

#[test]
fn rules_choose_identity_scopes_header_and_format() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let other = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({
    "inbound_authorization": "keep-as:x-caller",
    "rules": [
        {"match": {"path_prefix": "/open"}, "disabled": true},
        {"match": {"route_metadata": {"filter": "edgepass", "key": "rule", "value": "vault"}},
         "scopes": ["https://vault.azure.net/.default"]},
        {"match": {"cluster": "other"}, "header": "X-Token", "format": "token={token};"},
        {"match": {"host": "*.graph.test"}, "scopes": ["https://graph.microsoft.com/.default"]},
    ]}));
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.upstreams.push(("other", other.port()));
    setup.routes = vec![
        json!({"match": {"prefix": "/vault"}, "route": {"cluster": "upstream"},
               "metadata": {"filter_metadata": {"edgepass": {"rule": "vault"}}}}),
        json!({"match": {"prefix": "/other"}, "route": {"cluster": "other"}}),
        json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}),
    ];
    let envoy = lab.envoy(&setup, 1).unwrap();
    let caller = ("authorization", "Basic Y2FsbGVy");
    for (path, host) in [
        ("/open", "a.test"),
        ("/vault", "a.test"),
        ("/other", "a.test"),
        ("/x", "a.graph.test"),
        ("/none", "a.test"),
    ] {
        let answer = get_with(envoy.port(), path, &[("host", host), caller]).unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let seen = upstream.seen();
    let by_path = |path: &str| seen.iter().find(|request| request.path == path).unwrap();
    for untouched in ["/open", "/none"] {
        assert_eq!(by_path(untouched).header("authorization"), Some(caller.1));
        assert_eq!(by_path(untouched).header("x-caller"), None);
    }
    assert_ne!(by_path("/vault").bearer(), by_path("/x").bearer());
    for path in ["/vault", "/x"] {
        assert_eq!(by_path(path).bearer().unwrap().split('.').count(), 3);
        assert_eq!(by_path(path).header("x-caller"), Some(caller.1));
    }
    let other = &other.seen()[0];
    let token = other.header("x-token").unwrap();
    assert!(
        token.starts_with("token=ey") && token.ends_with(';'),
        "{}",
        token.len()
    );
    assert_eq!(other.header("authorization"), None);
    assert_eq!(other.header("x-caller"), Some(caller.1));
    let mut scopes: Vec<String> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|request| request.field("scope").unwrap())
        .collect();
    scopes.sort();
    assert_eq!(
        scopes,
        [
            "api://edgepass-demo/.default",
            "https://graph.microsoft.com/.default",
            "https://vault.azure.net/.default"
        ]
    );
}

/// Without Envoy's own normalisation it is the filter that lets no path through that servers read in different ways.
#[test]
fn a_path_with_two_readings_is_answered_400_where_a_rule_looks_at_it() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"rules": [
        {"match": {"path_prefix": "/admin/"}, "scopes": ["https://graph.microsoft.com/.default"]},
        {"match": {"path_prefix": "/open/"}, "disabled": true},
        {},
    ]}));
    for as_upstream_filter in [false, true] {
        let mut setup = lab.setup(&plugin, upstream.port());
        setup.as_upstream_filter = as_upstream_filter;
        let envoy = lab.envoy(&setup, 1).unwrap();
        let ask = |path: &str| get_with(envoy.port(), path, &[]).unwrap();
        for path in ["/admin/x", "/open/x", "/x", "/my%20files//x?../"] {
            assert_eq!(ask(path).status, 200, "{path}");
        }
        let before = upstream.seen().len();
        for path in [
            "/admin/../x",
            "/x/../admin/y",
            "//admin/y",
            "/%61dmin/y",
            "/admin%2fy",
            "/ADMIN/y",
            "/open/../x",
            "/open/%2e%2e/x",
            "/open/\\..\\x",
        ] {
            let answer = ask(path);
            assert_eq!(answer.status, 400, "{path}: {answer:?}");
            assert_eq!(answer.header("x-edgepass-error"), Some("ambiguous-path"));
        }
        assert_eq!(upstream.seen().len(), before);
    }
}

#[test]
fn a_preflight_gets_no_token_where_that_is_asked_for() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"skip_preflight": true}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 1).unwrap();
    let mut connection = Connection::open(envoy.port()).unwrap();
    let cors = [
        ("origin", "https://page.test"),
        ("access-control-request-method", "PUT"),
        ("authorization", "Basic Y2FsbGVy"),
    ];
    for (method, headers) in [
        ("OPTIONS", &cors[..]),
        ("OPTIONS", &cors[..1]),
        ("GET", &cors[..]),
    ] {
        connection.send(method, "/", headers).unwrap();
        assert_eq!(connection.answer().unwrap().status, 200);
    }
    let seen = upstream.seen();
    assert_eq!(seen[0].header("authorization"), None);
    assert!(seen[1].bearer().is_some() && seen[2].bearer().is_some());
}
