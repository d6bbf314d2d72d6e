//! What becomes of a request.

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
    let mut world = World::new(9, 1);
    world.pass(500);
    world.request(1);
    let calls = |world: &World| world.vms[&1].requests.host().calls.get();
    let before = calls(&world);
    let (id, _) = world.request(1);
    assert_eq!(calls(&world) - before, 1);
    let wanted = (0..100).filter(|_| world.vms[&1].requests.should_inspect_status());
    assert_eq!(wanted.count(), 8, "between two ticks");
    world.pass(200);
    let before = calls(&world);
    world.refuse(1, id, None);
    assert_eq!(calls(&world) - before, 2, "the header and the tick");
}

#[test]
fn an_upstream_filter_inspects_every_response() {
    let mut world = World::new(10, 1);
    world.vms[&1].requests.host().upstream_filter.set(true);
    world.pass(500);
    world.request(1);
    assert!((0..100).all(|_| world.vms[&1].requests.should_inspect_status()));
}
