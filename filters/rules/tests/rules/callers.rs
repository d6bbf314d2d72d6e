//! Rules whose tokens are those of their callers.

use edgepass_core::{Config, Environment};
use edgepass_rules::{MAX_CALLERS, Module, Settings};
use serde_json::{Value, json};

use super::support::{Dice, Fate, Mood, Request, World, document, token_of};

fn on_behalf_of() -> Value {
    json!({"rules": [{"grant": "on-behalf-of", "scopes": ["api://one/read"]}]})
}

fn from(caller: &str) -> Request {
    Request::header("authorization", &format!("Bearer {}", token_of(caller)))
}

/// For whom the token is that a request went on with.
fn went_for(world: &World, vm: usize, id: u32) -> Option<String> {
    let Fate::Sent(value) = world.fate(vm, id) else {
        return None;
    };
    let token = value?.strip_prefix("Bearer ")?.to_owned();
    let server = world.server.borrow();
    let now = world.true_ms();
    assert!(server.issued[&token] > now, "{token} has ended");
    server.subjects.get(&token).cloned()
}

#[test]
fn each_caller_gets_a_token_of_their_own() {
    let mut world = World::with(1, 1, &on_behalf_of());
    let waiting: Vec<_> = ["ada", "bob", "ada", "bob", "ada"]
        .into_iter()
        .map(|caller| (caller, world.request_with(1, from(caller))))
        .collect();
    world.pass(500);
    for (caller, (id, fate)) in waiting {
        assert_eq!(fate, Fate::Waiting);
        assert_eq!(went_for(&world, 1, id).as_deref(), Some(caller));
    }
    for caller in ["ada", "bob"] {
        let (id, _) = world.request_with(1, from(caller));
        assert_eq!(went_for(&world, 1, id).as_deref(), Some(caller));
    }
    assert_eq!(world.server.borrow().issued.len(), 2, "one exchange each");
}

#[test]
fn a_request_without_a_callers_token_is_told_so() {
    let mut world = World::with(1, 1, &on_behalf_of());
    let long = format!("Bearer {}", "x".repeat(70_000));
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "DPoP abc",
        "Bearer a b",
        "Bearer a,b",
        "Bearer \u{fc}",
        long.as_str(),
    ] {
        let (id, fate) = world.request_with(1, Request::header("authorization", header));
        assert_eq!(
            fate,
            Fate::Refused("no-caller-token".to_owned()),
            "{header:.20}"
        );
        let host = world.vms[&1].requests.host();
        assert_eq!(host.challenge(id).as_deref(), Some("Bearer"));
    }
    let (_, fate) = world.request(1);
    assert_eq!(fate, Fate::Refused("no-caller-token".to_owned()));
    world.pass(500);
    assert!(world.server.borrow().seen.is_empty(), "nothing was asked");
    // the scheme is of any case (RFC 9110 section 11.1)
    let request = Request::header("authorization", &format!("bEARER {}", token_of("ada")));
    let (id, _) = world.request_with(1, request);
    world.pass(500);
    assert_eq!(went_for(&world, 1, id).as_deref(), Some("ada"));
}

#[test]
fn who_gets_no_token_is_told_why() {
    for (caller, mood, class, challenge) in [
        (
            "bad",
            Mood::Well,
            "refused",
            Some("Bearer error=\"invalid_token\""),
        ),
        (
            "mfa",
            Mood::Well,
            "interaction-required",
            Some(
                "Bearer error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWV9fX0=\"",
            ),
        ),
        ("ada", Mood::Refusing, "credential-rejected", None),
        (
            "ada",
            Mood::Throttling { until_ms: 60_000 },
            "throttled",
            None,
        ),
    ] {
        let mut world = World::with(1, 1, &on_behalf_of());
        world.server.borrow_mut().mood = mood;
        let (id, _) = world.request_with(1, from(caller));
        world.pass(4_900);
        assert_eq!(world.fate(1, id), Fate::Refused(class.to_owned()));
        let host = world.vms[&1].requests.host();
        assert_eq!(host.challenge(id).as_deref(), challenge, "{class}");
        let log = world.process.borrow().log.join("\n");
        assert!(log.contains("no access token for a caller"), "{log}");
    }
}

/// Each grant has its own word for a caller's token that is not taken; any other is about the application.
#[test]
fn what_is_the_callers_fault_depends_on_the_grant() {
    let exchange = json!({"rules": [
        {"grant": "token-exchange", "identity": "elsewhere", "scopes": ["read"]}]});
    for (error, on_behalf, exchanged) in [
        ("invalid_grant", true, true),
        ("invalid_request", false, true),
        ("invalid_request-50027", true, true),
        ("invalid_token", false, true),
        ("invalid_target", false, false),
        ("invalid_scope", false, false),
        ("invalid_client", false, false),
        ("unauthorized_client", false, false),
        ("unsupported_grant_type", false, false),
    ] {
        for (envoy, is_the_callers) in [(on_behalf_of(), on_behalf), (exchange.clone(), exchanged)]
        {
            let mut world = World::with(1, 1, &envoy);
            let (id, _) = world.request_with(1, from(&format!("says-{error}")));
            world.pass(4_900);
            assert!(matches!(world.fate(1, id), Fate::Refused(_)), "{error}");
            let host = world.vms[&1].requests.host();
            let challenge = host.challenge(id);
            let expected = is_the_callers.then_some("Bearer error=\"invalid_token\"");
            assert_eq!(challenge.as_deref(), expected, "{error} {envoy}");
        }
    }
}

/// RFC 8693 section 2.2.1.
#[test]
fn what_is_no_access_token_is_put_into_no_authorization_header() {
    for header in ["authorization", "x-refresh"] {
        let rule = json!({"grant": "token-exchange", "identity": "elsewhere", "header": header});
        let mut world = World::with(1, 1, &json!({ "rules": [rule] }));
        let (id, _) = world.request_with(1, from("not-applicable"));
        world.pass(4_900);
        let fate = world.fate(1, id);
        if header == "authorization" {
            assert_eq!(fate, Fate::Refused("invalid-response".to_owned()));
        } else {
            assert!(matches!(fate, Fate::Sent(_)), "{fate:?}");
        }
    }
}

/// What would be refused to each caller is refused once, before there are any.
#[test]
fn what_no_caller_would_get_is_refused_with_the_configuration() {
    for (exchange, words) in [
        (
            json!({"subject_token_type": "jwt"}),
            "subject_token_type is no URI",
        ),
        (
            json!({"subject_token_type": "foo bar"}),
            "subject_token_type is no URI",
        ),
        (
            json!({"requested_token_type": "jwt"}),
            "requested_token_type is no URI",
        ),
        (json!({"resource": ["orders"]}), "resource"),
        (json!({"audience": [" "]}), "audience"),
        (json!({"audience": vec!["x"; 100]}), "at most 16"),
    ] {
        let text = document(&json!({"rules": [
            {"grant": "token-exchange", "identity": "elsewhere", "token_exchange": exchange}]}));
        let config = Config::load(Some(&text), &Environment::default()).unwrap();
        let error = Settings::check(&config, Module::Full).unwrap_err();
        assert_eq!(error.setting, "envoy.rules[0].token_exchange");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn one_failure_a_second_is_logged() {
    let mut world = World::with(1, 1, &on_behalf_of());
    for n in 0..200 {
        let _ = world.request_with(1, from(&format!("bad-{n}")));
    }
    world.pass(900);
    let log = world.process.borrow().log.len();
    assert_eq!(log, 1);
}

#[test]
fn an_outage_ends_for_callers_too() {
    let mut world = World::with(1, 1, &on_behalf_of());
    world.server.borrow_mut().mood = Mood::Down;
    let (id, _) = world.request_with(1, from("ada"));
    world.pass(6_000);
    assert!(matches!(world.fate(1, id), Fate::Refused(_)));
    world.server.borrow_mut().mood = Mood::Well;
    world.pass(10_000);
    let (id, _) = world.request_with(1, from("ada"));
    world.pass(3_000);
    assert_eq!(went_for(&world, 1, id).as_deref(), Some("ada"));
}

/// Who has a token keeps it while no other comes.
#[test]
fn a_token_that_is_due_is_served_while_another_is_looked_for() {
    let mut world = World::with(1, 1, &on_behalf_of());
    let (_, _) = world.request_with(1, from("ada"));
    world.pass(500);
    world.server.borrow_mut().mood = Mood::Down;
    world.pass(2_000_000);
    for _ in 0..20 {
        let (id, _) = world.request_with(1, from("ada"));
        assert_eq!(went_for(&world, 1, id).as_deref(), Some("ada"));
        world.pass(30_000);
    }
    let asked = world.server.borrow().seen.len();
    assert!((2..200).contains(&asked), "{asked}");
    world.server.borrow_mut().mood = Mood::Well;
    for _ in 0..4 {
        let _ = world.request_with(1, from("ada"));
        world.pass(30_000);
    }
    assert_eq!(world.server.borrow().issued.len(), 2);
    // nobody asks for those who do not come
    let asked = world.server.borrow().seen.len();
    world.pass(2_000_000);
    assert_eq!(world.server.borrow().seen.len(), asked);
}

#[test]
fn a_refused_token_is_replaced_once_in_a_while() {
    let mut world = World::with(1, 1, &on_behalf_of());
    let (id, _) = world.request_with(1, from("ada"));
    world.pass(500);
    world.refuse(1, id, None);
    let (again, fate) = world.request_with(1, from("ada"));
    assert_eq!(fate, Fate::Waiting);
    world.pass(2_500);
    assert_eq!(went_for(&world, 1, again).as_deref(), Some("ada"));
    assert_eq!(world.server.borrow().issued.len(), 2);
    // the upstream refuses everything: no storm
    for _ in 0..200 {
        let (id, _) = world.request_with(1, from("ada"));
        world.pass(50);
        world.refuse(1, id, Some("Bearer error=\"invalid_token\""));
        world.pass(50);
    }
    let issued = world.server.borrow().issued.len();
    assert!(issued <= 4, "{issued}");
}

/// A retry passes an upstream filter with the headers of the attempt before: its token is ours, and not a caller's.
#[test]
fn another_attempt_keeps_its_token() {
    for header in ["authorization", "x-token"] {
        let mut envoy = on_behalf_of();
        envoy["rules"][0]["header"] = json!(header);
        let mut world = World::with(1, 1, &envoy);
        world.vms[&1].requests.host().upstream_filter.set(true);
        let (id, _) = world.request_with(1, from("ada"));
        world.pass(500);
        let sent = world.vms[&1].requests.host().headers(id);
        let mut again = Request::default();
        again.headers = sent.clone();
        let (id, fate) = world.request_with(1, again);
        assert!(matches!(fate, Fate::Sent(_)), "{header} {fate:?}");
        assert_eq!(world.vms[&1].requests.host().headers(id), sent);
        world.pass(500);
        assert_eq!(world.server.borrow().seen.len(), 1);
    }
}

/// However many come, memory is bounded, and everybody gets their own.
#[test]
fn more_callers_than_there_is_room_for() {
    let mut world = World::with(1, 1, &on_behalf_of());
    let mut dice = Dice::new(5);
    let many = 3 * MAX_CALLERS;
    for n in (0..many)
        .chain((0..200).map(|_| usize::try_from(dice.below(u64::try_from(many).unwrap())).unwrap()))
    {
        let caller = format!("caller-{n}");
        let (id, _) = world.request_with(1, from(&caller));
        world.pass(100);
        assert_eq!(went_for(&world, 1, id), Some(caller));
        let host = world.vms[&1].requests.host();
        host.gone(id);
        world.vms[&1].requests.forget(id);
    }
}

/// Whatever the order in which things happen, nobody ever gets the token of somebody else.
#[test]
fn nobody_gets_the_token_of_somebody_else() {
    for seed in 0..20 {
        let envoy = json!({"rules": [
            {"match": {"path_prefix": "/one"}, "grant": "on-behalf-of", "scopes": ["api://one/read"]},
            {"grant": "token-exchange", "identity": "elsewhere", "token_exchange": {"audience": ["two"]}},
        ]});
        let mut world = World::with(seed, 2, &envoy);
        world.server.borrow_mut().lifetime_s = 120;
        let mut dice = Dice::new(seed);
        let mut open: Vec<(usize, u32, String)> = Vec::new();
        let mut served = 0;
        for _ in 0..1_500 {
            match dice.below(20) {
                0 => world.server.borrow_mut().mood = Mood::Down,
                1..4 => world.server.borrow_mut().mood = Mood::Well,
                4 => world.pass(dice.below(60_000)),
                5 => world.sleep(dice.below(30_000)),
                6 => {
                    let skew = i64::try_from(dice.below(100_000)).unwrap() - 50_000;
                    world.process.borrow_mut().wall_offset_ms = skew;
                }
                _ => {
                    let (vm, caller) = (1 + usize::try_from(dice.below(2)).unwrap(), dice.below(8));
                    let caller = match caller {
                        6 => "bad".to_owned(),
                        7 => "mfa".to_owned(),
                        n => format!("caller-{n}"),
                    };
                    let mut request = from(&caller);
                    let path = ["/one", "/two"][usize::try_from(dice.below(2)).unwrap()];
                    request.headers.insert(":path".to_owned(), path.to_owned());
                    let (id, _) = world.request_with(vm, request);
                    open.push((vm, id, caller));
                }
            }
            world.pass(dice.below(200));
            open.retain(|(vm, id, caller)| match world.fate(*vm, *id) {
                Fate::Waiting => true,
                Fate::Refused(_) => false,
                Fate::Sent(value) => {
                    let value = value.expect("a token");
                    let token = value.strip_prefix("Bearer ").unwrap();
                    assert_eq!(
                        world.server.borrow().subjects.get(token),
                        Some(caller),
                        "{seed}"
                    );
                    served += 1;
                    false
                }
            });
            if let Some((vm, id, _)) = open.first().filter(|_| dice.one_in(10)) {
                // the caller has left
                world.vms[vm].requests.host().gone(*id);
                world.vms[vm].requests.forget(*id);
                open.remove(0);
            }
        }
        assert!(served > 300, "{seed}: {served}");
    }
}

/// Times are in whole seconds: in the last one of a token the engine still serves it, and so does the filter.
#[test]
fn nobody_is_refused_in_the_last_second_of_a_token() {
    for lifetime_s in [2, 3, 5, 8, 60] {
        let mut world = World::with(1, 1, &on_behalf_of());
        world.server.borrow_mut().lifetime_s = lifetime_s;
        let mut dice = Dice::new(lifetime_s);
        for round in 0..300 {
            world.pass(dice.between(1, lifetime_s * 1_000));
            let (id, fate) = world.request_with(1, from("ada"));
            if fate == Fate::Waiting {
                world.pass(1_000);
            }
            let fate = world.fate(1, id);
            assert!(
                matches!(fate, Fate::Sent(_)),
                "{lifetime_s} {round} {fate:?}"
            );
        }
    }
}
