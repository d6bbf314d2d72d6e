//! What becomes of a request.

use edgepass_rules::Outage;
use serde_json::json;

use super::support::{Fate, Mood, Request, World};

fn sent(token: &str) -> Fate {
    Fate::Sent(Some(format!("Bearer {token}")))
}

#[test]
fn requests_wait_for_the_first_token() {
    let mut world = World::new(1, 1);
    let (early, fate) = world.request(1);
    assert_eq!(fate, Fate::Waiting);
    world.pass(500);
    assert_eq!(world.fate(1, early), sent("token-0"));
    assert_eq!(world.request(1).1, sent("token-0"));
}

#[test]
fn a_request_that_is_gone_is_not_let_go_on() {
    let mut world = World::new(2, 1);
    let (id, _) = world.request(1);
    let vm = &world.vms[&1];
    vm.requests.host().gone(id);
    vm.requests.forget(id);
    world.pass(500);
    assert!(world.token(1).is_some());
}

#[test]
fn who_waits_too_long_is_answered() {
    let mut world = World::with(3, 1, &json!({"request_deadline_ms": 700}));
    world.server.borrow_mut().mood = Mood::Silent;
    let (id, _) = world.request(1);
    world.pass(690);
    assert_eq!(world.fate(1, id), Fate::Waiting);
    world.pass(30);
    assert_eq!(world.fate(1, id), Fate::Refused("no-token-yet".to_owned()));
}

#[test]
fn fail_open_sends_it_without_a_token_and_without_the_callers() {
    let mut world = World::with(
        4,
        1,
        &json!({"request_deadline_ms": 700, "fail_open": true, "inbound_authorization": "keep-as:x-caller"}),
    );
    world.server.borrow_mut().mood = Mood::Silent;
    let (id, _) = world.request_with(1, Request::header("authorization", "Basic abc"));
    world.pass(720);
    assert_eq!(world.fate(1, id), Fate::Sent(None));
    let headers = world.vms[&1].requests.host().headers(id);
    assert_eq!(headers["x-caller"], "Basic abc");
}

/// What becomes of the caller's `authorization` does not depend on whether there is a token.
#[test]
fn the_callers_own_header_fares_the_same_without_a_token() {
    for (inbound, header, expected) in [
        ("strip", "authorization", None),
        ("strip", "x-token", None),
        ("keep-as:x-caller", "authorization", None),
        ("keep-as:x-caller", "x-token", None),
        ("keep-as:authorization", "authorization", None),
        ("keep-as:authorization", "x-token", Some("Basic abc")),
    ] {
        let envoy = json!({
            "request_deadline_ms": 700,
            "fail_open": true,
            "inbound_authorization": inbound,
            "rules": [{"header": header}],
        });
        let mut world = World::with(4, 1, &envoy);
        world.server.borrow_mut().mood = Mood::Silent;
        let mut request = Request::header("authorization", "Basic abc");
        request.headers.insert("x-token".into(), "forged".into());
        let (id, fate) = world.request_with(1, request.clone());
        assert_eq!(fate, Fate::Waiting);
        world.pass(720);
        let headers = world.vms[&1].requests.host().headers(id);
        let own = headers.get("authorization").map(String::as_str);
        assert_eq!(own, expected, "{inbound} {header}");
        if header == "x-token" {
            assert_eq!(headers.get("x-token"), None);
        }

        world.server.borrow_mut().mood = Mood::Well;
        world.pass(60_000);
        let (id, _) = world.request_with(1, request);
        let headers = world.vms[&1].requests.host().headers(id);
        assert!(headers[header].starts_with("Bearer token-"), "{headers:?}");
        let own = headers.get("authorization").filter(|_| header == "x-token");
        assert_eq!(own.map(String::as_str), expected, "{inbound} {header}");
    }
}

#[test]
fn no_more_wait_than_there_is_memory_for() {
    let mut world = World::new(4, 1);
    world.server.borrow_mut().mood = Mood::Silent;
    for _ in 0..1024 {
        assert_eq!(world.request(1).1, Fate::Waiting);
    }
    assert_eq!(world.request(1).1, Fate::Refused("busy".to_owned()));
}

#[test]
fn who_would_wait_in_vain_is_answered_at_once() {
    for fail_open in [false, true] {
        let envoy = json!({"request_deadline_ms": 5_000, "fail_open": fail_open});
        let mut world = World::with(4, 1, &envoy);
        world.server.borrow_mut().mood = Mood::Silent;
        let ended = match fail_open {
            false => Fate::Refused("network".to_owned()),
            true => Fate::Sent(None),
        };
        let known = |world: &World, next_attempt_mono_ms: u64| {
            let outage = Outage {
                class: "network".to_owned(),
                next_attempt_mono_ms,
            };
            world.vms[&1].requests.outage(0, Some(outage));
        };
        let now = |world: &World| world.process.borrow().now().mono_ms;
        let caller = || Request::header("authorization", "Basic abc");
        let (early, fate) = world.request_with(1, caller());
        assert_eq!(fate, Fate::Waiting);
        // the attempt comes in time for those who begin to wait now, and for those who wait already
        known(&world, now(&world) + 5_000);
        assert_eq!(world.fate(1, early), Fate::Waiting);
        assert_eq!(world.request_with(1, caller()).1, Fate::Waiting);
        known(&world, now(&world) + 5_001);
        assert_eq!(world.fate(1, early), ended);
        assert_eq!(world.request_with(1, caller()).1, ended);
        // another attempt is under way
        world.vms[&1].requests.outage(0, None);
        assert_eq!(world.request_with(1, caller()).1, Fate::Waiting);
        // and what is known of another token is nothing to this one
        let outage = Outage {
            class: "network".to_owned(),
            next_attempt_mono_ms: u64::MAX,
        };
        world.vms[&1].requests.outage(1, Some(outage));
        assert_eq!(world.request_with(1, caller()).1, Fate::Waiting);
    }
}

#[test]
fn a_plugin_that_is_replaced_answers_who_waits() {
    let mut world = World::new(5, 1);
    world.server.borrow_mut().mood = Mood::Silent;
    let (id, _) = world.request(1);
    world.vms[&1].requests.close();
    assert_eq!(world.fate(1, id), Fate::Refused("no-token-yet".to_owned()));
    assert_eq!(world.request(1).1, Fate::Refused("busy".to_owned()));
}

#[test]
fn the_first_rule_that_fits_counts() {
    let mut world = World::with(
        6,
        1,
        &json!({"rules": [
            {"match": {"path_prefix": "/open"}, "disabled": true},
            {"match": {"path_prefix": "/key"}, "header": "x-key", "format": "key={token};"},
            {"match": {"host": "*.example"}, "scopes": ["api://two/.default"]},
        ]}),
    );
    world.pass(500);
    let mut ask = |path: &str, host: &str| {
        let mut request = Request::header(":path", path);
        request.headers.insert(":authority".into(), host.into());
        request
            .headers
            .insert("authorization".into(), "mine".into());
        let (id, _) = world.request_with(1, request);
        let headers = world.vms[&1].requests.host().headers(id);
        let get = |name: &str| headers.get(name).cloned().unwrap_or_default();
        (get("authorization"), get("x-key"))
    };
    assert_eq!(ask("/open/x", "a.example"), ("mine".into(), String::new()));
    let (authorization, key) = ask("/key", "a.example");
    assert!(authorization.is_empty() && key.starts_with("key=token-") && key.ends_with(';'));
    let (authorization, _) = ask("/", "a.example:80");
    assert!(authorization.starts_with("Bearer token-"));
    assert!(!key.contains(authorization.trim_start_matches("Bearer ")));
    assert_eq!(ask("/", "a.test"), ("mine".into(), String::new()));
}

/// No rule is chosen by a path that means another one to some server: neither a more powerful identity's token nor the
/// caller's own credential goes on with it.
#[test]
fn a_path_that_can_be_read_in_two_ways_goes_nowhere() {
    for fail_open in [false, true] {
        let mut world = World::with(
            6,
            1,
            &json!({"fail_open": fail_open, "rules": [
                {"match": {"cluster": "another"}},
                {"match": {"path_prefix": "/admin/"}, "scopes": ["api://admin/.default"]},
                {"match": {"path_prefix": "/open/"}, "disabled": true},
                {},
            ]}),
        );
        world.pass(500);
        let mut ask = |path: &str| {
            let mut request = Request::header(":path", path);
            request
                .headers
                .insert("authorization".into(), "mine".into());
            world.request_with(1, request).1
        };
        let refused = Fate::Refused("ambiguous-path".to_owned());
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
            "/open/..;/x",
            "/x/../open",
            "/open;x/y",
        ] {
            assert_eq!(ask(path), refused, "{path}");
        }
        let admin = ask("/admin/x?next=/../%2e");
        let app = ask("/my%20files//x");
        assert!(
            matches!((&admin, &app), (Fate::Sent(Some(a)), Fate::Sent(Some(b)))
            if a.starts_with("Bearer ") && b.starts_with("Bearer ") && a != b)
        );
        assert_eq!(ask("/open/x"), Fate::Sent(Some("mine".to_owned())));
    }
    // where no rule looks at the path, it is the upstream's business
    let mut world = World::new(6, 1);
    world.pass(500);
    let (_, fate) = world.request_with(1, Request::header(":path", "/a/../b"));
    assert_eq!(fate, sent("token-0"));
}

#[test]
fn a_preflight_gets_no_token_where_that_is_asked_for() {
    let preflight = || {
        let mut request = Request::header(":method", "OPTIONS");
        for (name, value) in [
            ("origin", "https://page.example"),
            ("access-control-request-method", "PUT"),
            ("authorization", "Basic abc"),
        ] {
            request.headers.insert(name.into(), value.into());
        }
        request
    };
    let without = |name: &str| {
        let mut request = preflight();
        request.headers.remove(name);
        request
    };
    let mut get = preflight();
    get.headers.insert(":method".into(), "GET".into());
    let mut world = World::with(8, 1, &json!({"skip_preflight": true}));
    // nor does it wait for one
    assert_eq!(world.request_with(1, preflight()).1, Fate::Sent(None));
    world.pass(500);
    assert_eq!(world.request_with(1, preflight()).1, Fate::Sent(None));
    for request in [
        get,
        without("origin"),
        without("access-control-request-method"),
    ] {
        assert_eq!(world.request_with(1, request).1, sent("token-0"));
    }
    assert_eq!(world.vms[&1].requests.counts().passed_without.get(), 2);

    let mut world = World::new(8, 1);
    world.pass(500);
    assert_eq!(world.request_with(1, preflight()).1, sent("token-0"));
}

#[test]
fn the_callers_own_is_kept_where_it_is_asked_for_and_ours_never() {
    let mut world = World::with(7, 1, &json!({"inbound_authorization": "keep-as:x-caller"}));
    world.vms[&1].requests.host().upstream_filter.set(true);
    world.pass(500);
    let mut ask = |inbound: Option<&str>| {
        let mut request = Request::header("x-caller", "forged");
        if let Some(inbound) = inbound {
            request
                .headers
                .insert("authorization".into(), inbound.into());
        }
        let (id, _) = world.request_with(1, request);
        let headers = world.vms[&1].requests.host().headers(id);
        headers.get("x-caller").cloned()
    };
    assert_eq!(ask(Some("Basic abc")), Some("Basic abc".to_owned()));
    assert_eq!(ask(None), None, "nobody else names it");
    // the attempt before had our token in it: the caller's own is where that attempt has put it
    assert_eq!(ask(Some("Bearer token-0")), Some("forged".to_owned()));

    let mut world = World::with(
        8,
        1,
        &json!({"inbound_authorization": "keep-as:authorization", "rules": [{"header": "x-token"}]}),
    );
    world.pass(500);
    let (id, fate) = world.request_with(1, Request::header("authorization", "Basic abc"));
    assert_eq!(fate, Fate::Sent(Some("Basic abc".to_owned())));
    let headers = world.vms[&1].requests.host().headers(id);
    assert_eq!(headers["x-token"], "Bearer token-0");
}

/// Calls into the proxy are the price of a filter.
#[test]
fn a_request_costs_one_call_and_a_response_none() {
    let calls = |world: &World| world.vms[&1].requests.host().calls.get();
    let costs = |world: &mut World, request: Request| {
        let before = calls(world);
        let (id, fate) = world.request_with(1, request);
        assert!(matches!(fate, Fate::Sent(_)), "{fate:?}");
        (calls(world) - before, id)
    };
    let mut world = World::new(9, 1);
    world.pass(500);
    world.request(1);
    let (cost, id) = costs(&mut world, Request::default());
    assert_eq!(cost, 1);
    let wanted = (0..100).filter(|_| world.vms[&1].requests.should_inspect_status());
    assert_eq!(wanted.count(), 8, "between two ticks");
    world.pass(200);
    let before = calls(&world);
    world.refuse(1, id, None);
    assert_eq!(
        calls(&world) - before,
        4,
        "who made it, the time, the header and the tick"
    );

    // the path is read once, however many rules look at it, and only if one does before another fits
    let paths = json!([
        {"match": {"path_prefix": "/a/"}},
        {"match": {"path_prefix": "/b/"}},
        {"match": {"path_prefix": "/c/"}},
    ]);
    let mut world = World::with(9, 1, &json!({"rules": paths}));
    world.pass(500);
    world.request_with(1, Request::header(":path", "/a/"));
    for path in ["/a/", "/c/"] {
        assert_eq!(costs(&mut world, Request::header(":path", path)).0, 2);
    }
    let mut rules = paths;
    rules[0] = json!({"match": {"cluster": "upstream"}});
    let mut world = World::with(9, 1, &json!({"rules": rules}));
    world.pass(500);
    world.request(1);
    assert_eq!(costs(&mut world, Request::default()).0, 2, "the cluster");

    // that a preflight gets no token costs every request one call
    let mut world = World::with(9, 1, &json!({"skip_preflight": true}));
    world.pass(500);
    world.request(1);
    assert_eq!(costs(&mut world, Request::default()).0, 2);
}

/// Only the upstream can say that a token is no good.
#[test]
fn a_401_that_the_proxy_made_itself_says_nothing_of_the_token() {
    let mut world = World::new(11, 1);
    world.pass(500);
    let (id, fate) = world.request(1);
    assert_eq!(fate, sent("token-0"));
    world.vms[&1].requests.host().made_here.set(true);
    world.refuse(1, id, Some("Bearer claims=\"e30=\""));
    world.pass(1_000);
    assert_eq!(world.request(1).1, sent("token-0"));
    assert_eq!(world.vms[&1].requests.counts().rejected.get(), 0);
    world.vms[&1].requests.host().made_here.set(false);
    world.refuse(1, id, None);
    assert_eq!(world.vms[&1].requests.counts().rejected.get(), 1);
}

#[test]
fn an_upstream_filter_inspects_every_response() {
    let mut world = World::new(10, 1);
    world.vms[&1].requests.host().upstream_filter.set(true);
    world.pass(500);
    world.request(1);
    assert!((0..100).all(|_| world.vms[&1].requests.should_inspect_status()));
}
