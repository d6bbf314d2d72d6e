//! Kinds of requests: bodies, HTTP/2 on both sides, identities by rule, credentials of the caller's own.

use std::collections::BTreeSet;
use std::thread;

use edgepass_emulator::{App, Fault};
use edgepass_envoy_tests::{
    Lab, Reply, Upstream, cluster, get, get_with, http_listener, post, until,
};
use serde_json::json;

/// A million bytes in which a piece that is lost, doubled or out of place is seen.
fn body(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..1_000_000).map(|_| next()).collect()
}

#[test]
fn bodies_arrive_whole_whether_they_waited_or_not() {
    let lab = Lab::start().unwrap();
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let upstream = Upstream::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 2).unwrap();
    let port = envoy.port();
    let send = |name: u32| {
        let path = format!("/{name}");
        thread::spawn(move || post(port, &path, &body(name)).unwrap().status)
    };
    let held: Vec<_> = (0..4).map(send).collect();
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 4).unwrap();
    lab.emulator.faults().release();
    for caller in held {
        assert_eq!(caller.join().unwrap(), 200);
    }
    assert_eq!(send(4).join().unwrap(), 200);
    let seen = upstream.seen();
    assert_eq!(seen.len(), 5);
    for request in seen {
        let name = request.path.trim_start_matches('/').parse().unwrap();
        assert!(request.body == body(name), "request {name}");
        assert!(request.bearer().is_some());
    }
}

/// An upstream that refuses its first request.
fn refusing_once() -> Upstream {
    let first = std::sync::atomic::AtomicBool::new(true);
    Upstream::answering(move |_| {
        let refused = first.swap(false, std::sync::atomic::Ordering::SeqCst);
        Reply::status(if refused { 401 } else { 200 })
    })
    .unwrap()
}

#[test]
fn a_retried_request_keeps_its_body() {
    let lab = Lab::start().unwrap();
    let upstream = refusing_once();
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    setup.as_upstream_filter = true;
    let envoy = lab.envoy(&setup, 1).unwrap();
    let sent = body(7)[..50_000].to_vec();
    assert_eq!(post(envoy.port(), "/", &sent).unwrap().status, 200);
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|request| request.body == sent));
    assert_ne!(seen[0].bearer(), seen[1].bearer());
}

/// HTTP/2 for a cluster.
fn http2() -> serde_json::Value {
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}})
}

#[test]
fn http2_on_both_sides_works_as_http1_does() {
    let lab = Lab::start().unwrap();
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let upstream = Upstream::start().unwrap();
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let dir = lab.dir().clone();
    let wasm = edgepass_envoy_tests::filter_path().unwrap();
    // the test speaks HTTP/1.1 to `main`, which speaks HTTP/2 to `filtered`; the filter is there, and what it lets pass
    // goes on by HTTP/2 to `last`, which speaks HTTP/1.1 to the upstream
    let filtered = json!({"pipe": {"path": dir.join("filtered.sock")}});
    let last = json!({"pipe": {"path": dir.join("last.sock")}});
    let route = |to: &str| {
        json!({"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": to}}]})
    };
    let mut to_filtered = cluster("filtered", &filtered);
    to_filtered["typed_extension_protocol_options"] = http2();
    let mut to_last = cluster("last", &last);
    to_last["typed_extension_protocol_options"] = http2();
    setup.clusters = vec![to_filtered, to_last];
    let envoy = edgepass_envoy_tests::Envoy::start(2, |dir| {
        let mut config: serde_json::Value = serde_json::from_str(&setup.write(dir, &wasm)).unwrap();
        let filters = "/filter_chains/0/filters/0/typed_config/http_filters";
        let listeners = config["static_resources"]["listeners"]
            .as_array_mut()
            .unwrap();
        let chain = listeners[0].pointer_mut(filters).unwrap();
        let filter = chain.as_array_mut().unwrap().remove(0);
        let routes = "/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0";
        *listeners[0].pointer_mut(routes).unwrap() = route("filtered");
        listeners.push(http_listener(
            "filtered",
            &filtered,
            &route("last"),
            vec![filter],
        ));
        listeners.push(http_listener("last", &last, &route("upstream"), Vec::new()));
        config.to_string()
    })
    .unwrap();
    let port = envoy.port();
    let callers: Vec<_> = (0..20u32)
        .map(|name| {
            let path = format!("/{name}");
            thread::spawn(move || {
                let sent = &body(name)[..40_000];
                post(port, &path, sent).unwrap().status
            })
        })
        .collect();
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 20).unwrap();
    lab.emulator.faults().release();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), 200);
    }
    for stat in [
        "http.filtered.downstream_rq_http2_total",
        "http.last.downstream_rq_http2_total",
    ] {
        assert_eq!(envoy.stat(stat).unwrap(), 20, "{stat}");
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 20);
    for request in &seen {
        let name = request.path.trim_start_matches('/').parse().unwrap();
        assert!(request.body == body(name)[..40_000]);
        assert_eq!(request.bearer(), seen[0].bearer());
        assert!(request.bearer().is_some());
    }
}

#[test]
fn identities_by_cluster_host_path_and_metadata() {
    let lab = Lab::start().unwrap();
    let workload = lab.emulator.app(lab.emulator.client_id()).unwrap();
    let trust = &workload.federated_credentials[0];
    let (upstream, other) = (Upstream::start().unwrap(), Upstream::start().unwrap());
    let mut plugin = lab.plugin(json!({"rules": [
        {"match": {"cluster": "other"}, "identity": "by-cluster"},
        {"match": {"host": "api.test"}, "identity": "by-host"},
        {"match": {"path_prefix": "/path/"}, "identity": "by-path"},
        {"match": {"route_metadata": {"filter": "edgepass", "key": "who", "value": "me"}},
         "identity": "by-metadata"},
        {"identity": "app"},
    ]}));
    let names = ["by-cluster", "by-host", "by-path", "by-metadata"];
    let mut clients = vec![lab.emulator.client_id().to_owned()];
    for (n, name) in names.iter().enumerate() {
        let client = format!("0a1b2c3d-0000-4000-8000-00000000000{n}");
        lab.emulator.register_app(App::new(&client).federated(
            &trust.issuer,
            &trust.subject,
            &trust.audience,
        ));
        let mut identity = plugin["identities"]["app"].clone();
        identity["client_id"] = json!(client);
        plugin["identities"][*name] = identity;
        clients.push(client);
    }
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.upstreams.push(("other", other.port()));
    let disabled = json!({"edgepass": {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}});
    setup.routes = vec![
        json!({"match": {"prefix": "/off"}, "route": {"cluster": "upstream"},
               "typed_per_filter_config": disabled}),
        json!({"match": {"prefix": "/other"}, "route": {"cluster": "other"}}),
        json!({"match": {"prefix": "/meta"}, "route": {"cluster": "upstream"},
               "metadata": {"filter_metadata": {"edgepass": {"who": "me"}}}}),
        json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}),
    ];
    let envoy = lab.envoy(&setup, 2).unwrap();
    let requests = [
        ("/other", "a.test"),
        ("/", "api.test"),
        ("/path/x", "a.test"),
        ("/meta", "a.test"),
        ("/else", "a.test"),
        ("/off", "a.test"),
    ];
    let caller = ("authorization", "Basic Y2FsbGVy");
    for (path, host) in requests {
        for _ in 0..3 {
            let answer = get_with(envoy.port(), path, &[("host", host), caller]).unwrap();
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
    }
    let mut tokens = BTreeSet::new();
    let all = [upstream.seen(), other.seen()].concat();
    for (path, _) in &requests[..5] {
        let of_path: Vec<_> = all.iter().filter(|seen| seen.path == *path).collect();
        assert_eq!(of_path.len(), 3, "{path}");
        let token = of_path[0].bearer().unwrap();
        assert!(of_path.iter().all(|seen| seen.bearer() == Some(token)));
        assert!(
            tokens.insert(token.to_owned()),
            "{path} has another's token"
        );
    }
    for untouched in all.iter().filter(|seen| seen.path == "/off") {
        assert_eq!(untouched.header("authorization"), Some(caller.1));
    }
    // who asked for which, and none asked twice
    let mut asked: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|request| request.field("client_id").unwrap())
        .collect();
    asked.sort();
    clients.sort();
    assert_eq!(asked, clients);
}

#[test]
fn what_is_kept_of_the_caller_is_never_a_token_of_ours() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(8, Some(2));
    let upstream = Upstream::answering(|request| {
        // refuses each token at its first use, so that every request is retried with the next one
        Reply::status(if request.path == "/refused" { 401 } else { 200 })
    })
    .unwrap();
    let plugin = lab.plugin(json!({"inbound_authorization": "keep-as:x-caller"}));
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.as_upstream_filter = true;
    let envoy = lab.envoy(&setup, 2).unwrap();
    let caller = ("authorization", "Basic Y2FsbGVy");
    until("tokens have changed", || {
        for path in ["/", "/refused"] {
            get_with(envoy.port(), path, &[caller]).unwrap();
            // of a caller who has none, or who claims that his was kept
            get(envoy.port(), path).unwrap();
            get_with(envoy.port(), path, &[("x-caller", "Basic Zm9yZ2Vk")]).unwrap();
        }
        let seen = upstream.seen();
        let tokens: BTreeSet<_> = seen.iter().filter_map(|seen| seen.bearer()).collect();
        tokens.len() >= 3
    })
    .unwrap();
    let seen = upstream.seen();
    let tokens: BTreeSet<_> = seen.iter().filter_map(|seen| seen.bearer()).collect();
    let mut kept = 0;
    for request in &seen {
        assert!(request.bearer().is_some(), "{}", request.path);
        match request.header("x-caller") {
            Some(value) if value == caller.1 => kept += 1,
            None => {}
            Some(other) => {
                assert!(
                    !tokens.iter().any(|token| other.contains(token)),
                    "a token of ours"
                );
                panic!("a header that the filter did not write: {other}");
            }
        }
    }
    assert!(kept >= 3, "{kept} of {}", seen.len());
}
