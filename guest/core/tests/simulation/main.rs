//! The engine in a simulated world: two clocks, rotations, outages, throttling, impatient callers. Each run comes of
//! one seed, printed when it fails; `EDGEPASS_SIM_SEED=n cargo test -p edgepass-core --test simulation` replays it, and
//! `EDGEPASS_SIM_RUNS=n` makes more of them.

// tells the lints that helpers are test code too
#![cfg(test)]

mod random;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use edgepass_core::{
    Config, Environment, ErrorClass, IdentityStatus, Refresh, RejectionOutcome, Secret,
    TokenRequest, TokenSource, TokenState,
};
use support::{
    CLIENT, Dice, File, Mood, START_UNIX_MS, TENANT, World, projected_token, scope, text,
};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

#[test]
fn a_thousand_cold_callers_cause_one_exchange() {
    let mut world = World::new(1);
    let tickets: Vec<_> = (0..1000)
        .map(|_| {
            world
                .ask(&scope("graph"))
                .expect_err("nothing is cached yet")
        })
        .collect();
    world.settle();
    let sources: Vec<TokenSource> = tickets
        .iter()
        .map(|ticket| world.answers[ticket].as_ref().expect("a token").source)
        .collect();
    assert_eq!(world.server.seen.len(), 1);
    assert_eq!(
        sources
            .iter()
            .filter(|s| **s == TokenSource::Exchange)
            .count(),
        1
    );
    assert_eq!(
        sources
            .iter()
            .filter(|s| **s == TokenSource::SharedExchange)
            .count(),
        999
    );
    assert_eq!(
        world
            .ask(&scope("graph"))
            .expect("cached")
            .expect("a token")
            .source,
        TokenSource::Cache
    );
}

#[test]
fn scopes_do_not_wait_for_each_other() {
    let mut world = World::new(2);
    world.server.mood = Mood::Silent;
    let slow = world.ask(&scope("slow")).expect_err("pending");
    world.server.mood = Mood::Well;
    let quick = world.get(&scope("quick"));
    assert!(quick.is_ok());
    assert!(
        world.true_ms < 1_000,
        "the quick one took {} ms",
        world.true_ms
    );
    assert!(!world.answers.contains_key(&slow));
}

#[test]
fn scope_order_and_letter_case_share_a_token() {
    let mut world = World::new(3);
    let first = world
        .get(&TokenRequest::for_scopes(["https://Graph.test/.default"]))
        .expect("a token");
    let second = world
        .get(&TokenRequest::for_scopes(["https://graph.test/.default"]))
        .expect("a token");
    assert_eq!(text(&first), text(&second));
    assert_eq!(world.server.seen.len(), 1);
}

#[test]
fn the_old_token_serves_to_its_end_during_an_outage() {
    let mut world = World::new(4);
    let first = world.get(&scope("graph")).expect("a token");
    world.server.mood = Mood::Down;
    while world.true_ms < 59 * MINUTE {
        world.pass(7_000);
        let answer = world
            .ask(&scope("graph"))
            .expect("served at once, refresh or not")
            .expect("still valid");
        assert_eq!(text(&answer), text(&first));
    }
    // in the last seconds a caller waits for the attempt, and still gets the old one
    world.run_until(HOUR - 8_000);
    assert_eq!(
        text(&world.get(&scope("graph")).expect("the old one")),
        text(&first)
    );
    world.run_until(HOUR + 1_000);
    let error = world
        .get(&scope("graph"))
        .expect_err("it has really expired");
    assert_eq!(error.class(), ErrorClass::Network);
    world.server.mood = Mood::Well;
    assert_ne!(
        text(&world.get(&scope("graph")).expect("recovers by itself")),
        text(&first)
    );
}

#[test]
fn refresh_happens_once_and_behind_the_callers() {
    for (refresh_in_s, earliest, latest) in [
        (None, 27 * MINUTE, 30 * MINUTE),
        (Some(600), 9 * MINUTE, 10 * MINUTE),
    ] {
        let mut world = World::new(5);
        world.server.refresh_in_s = refresh_in_s;
        let first = world.get(&scope("graph")).expect("a token");
        let mut refreshed_at = None;
        while refreshed_at.is_none() {
            world.pass(500);
            let answer = world
                .ask(&scope("graph"))
                .expect("never waits")
                .expect("a token");
            if text(&answer) != text(&first) {
                refreshed_at = Some(world.true_ms);
            }
        }
        let at = refreshed_at.expect("just set");
        assert!(
            (earliest..latest + 2_000).contains(&at),
            "{refresh_in_s:?}: refreshed after {at} ms"
        );
        assert_eq!(world.server.seen.len(), 2);
    }
}

#[test]
fn a_failed_refresh_backs_off_and_recovers() {
    let mut world = World::new(6);
    world.get(&scope("graph")).expect("a token");
    world.run_until(31 * MINUTE);
    world.server.mood = Mood::Sick;
    let before = world.server.seen.len();
    for _ in 0..600 {
        world.pass(1_000);
        world
            .ask(&scope("graph"))
            .expect("never waits")
            .expect("the old token");
    }
    let tries = world.server.seen.len() - before;
    // each round of a refresh has three attempts; rounds come 5 to 60 s apart
    assert!(
        (20..=90).contains(&tries),
        "{tries} requests in ten minutes of outage"
    );
    world.server.mood = Mood::Well;
    world.pass(2 * MINUTE);
    world
        .ask(&scope("graph"))
        .expect("never waits")
        .expect("a token");
    world.pass(2 * MINUTE);
    let answer = world
        .ask(&scope("graph"))
        .expect("never waits")
        .expect("a token");
    assert!(text(&answer).starts_with("token-1"), "{}", text(&answer));
}

#[test]
fn the_wall_clock_may_jump_either_way() {
    for jump_ms in [
        -3 * i64::try_from(HOUR).unwrap(),
        -20 * 60_000,
        20 * 60_000,
        3 * i64::try_from(HOUR).unwrap(),
    ] {
        let mut world = World::new(7);
        world.get(&scope("graph")).expect("a token");
        world.pass(5 * MINUTE);
        world.wall_offset_ms = jump_ms;
        for _ in 0..200 {
            world.pass(MINUTE);
            let answer = world
                .get(&scope("graph"))
                .unwrap_or_else(|error| panic!("jump of {jump_ms} ms: {error}"));
            let (_, expires) = world.server.issued[text(&answer)];
            assert!(
                world.true_ms < expires,
                "jump of {jump_ms} ms: a dead token was served"
            );
        }
    }
}

#[test]
fn a_wrong_local_clock_is_learnt_from_the_server() {
    // the machine is two hours ahead: its assertion file looks expired, and to the server it is not
    let mut world = World::new(8);
    world.wall_offset_ms = 4 * 60_000;
    world.file = File::Text(projected_token(START_UNIX_MS / 1000 - 3600, 3600 + 60));
    assert!(
        world.get(&scope("graph")).is_ok(),
        "within the grace the server decides"
    );
    world.wall_offset_ms = 2 * i64::try_from(HOUR).unwrap();
    assert!(
        world.get(&scope("other")).is_ok(),
        "the server's clock is known by now"
    );
}

#[test]
fn retry_after_is_kept_to_the_second() {
    for as_date in [false, true] {
        let mut world = World::new(9);
        let until_ms = 90_000;
        world.server.mood = Mood::Throttling { until_ms, as_date };
        let error = world.get(&scope("graph")).expect_err("throttled");
        assert_eq!(error.class(), ErrorClass::Throttled);
        assert_eq!(
            world.server.seen.len(),
            1,
            "a long wait is not waited for inside the call"
        );
        for _ in 0..80 {
            world.pass(1_000);
            let error = world.get(&scope("graph")).expect_err("not yet");
            assert_eq!(error.class(), ErrorClass::Throttled);
            assert!(error.to_string().contains("not sent"), "{error}");
        }
        assert_eq!(
            world.server.seen.len(),
            1,
            "nothing was sent while the server had asked for quiet"
        );
        world.server.mood = Mood::Well;
        world.run_until(until_ms + 2_000);
        assert!(world.get(&scope("graph")).is_ok());
    }
}

#[test]
fn a_short_retry_after_is_waited_for() {
    let mut world = World::new(10);
    world.server.mood = Mood::Throttling {
        until_ms: 3_000,
        as_date: false,
    };
    let ticket = world.ask(&scope("graph")).expect_err("pending");
    world.run_until(2_900);
    assert_eq!(world.server.seen.len(), 1);
    world.server.mood = Mood::Well;
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    assert!(world.server.seen[1].at_ms >= 3_000);
}

#[test]
fn propagation_is_waited_out_and_never_remembered() {
    let mut world = World::new(11);
    world.server.mood = Mood::Propagating;
    let ticket = world.ask(&scope("graph")).expect_err("pending");
    world.run_until(600);
    world.server.mood = Mood::Well;
    world.settle();
    assert!(
        world.answers[&ticket].is_ok(),
        "{:?}",
        world.answers[&ticket]
    );

    world.server.mood = Mood::Propagating;
    let error = world.get(&scope("other")).expect_err("it lasts");
    assert_eq!(error.class(), ErrorClass::FederationMismatch);
    assert!(error.detail().retryable);
    let hint = error.detail().hint.clone().expect("a hint");
    assert!(
        hint.contains("system:serviceaccount:a:b") && hint.contains("https://issuer.test"),
        "{hint}"
    );
    world.server.mood = Mood::Well;
    assert!(
        world.get(&scope("other")).is_ok(),
        "at once, with no negative cache in the way"
    );
}

#[test]
fn a_definitive_refusal_is_not_repeated_by_a_hot_loop() {
    let mut world = World::new(12);
    world.file = File::Text(projected_token(START_UNIX_MS / 1000 + 9_000, 3600));
    let first = world.get(&scope("graph")).expect_err("not valid yet");
    assert_eq!(first.detail().aadsts, [700_024]);
    let sent = world.server.seen.len();
    for _ in 0..50 {
        world.get(&scope("graph")).expect_err("the same");
        world.pass(10);
    }
    assert!(
        world.server.seen.len() <= sent + 1,
        "{} requests",
        world.server.seen.len()
    );
}

#[test]
fn an_expired_assertion_is_read_anew_once() {
    let stale = projected_token(START_UNIX_MS / 1000 - 4000, 3600);
    let stale_world = || {
        let mut world = World::new(13);
        world.wall_offset_ms = -250_000; // by this clock the token is within the grace
        world.file = File::Text(stale.clone());
        world.latency_ms = 50..51;
        world
    };
    let mut world = stale_world();
    let ticket = world.ask(&scope("graph")).expect_err("pending");
    world.run_until(30);
    world.file = File::Text(projected_token(START_UNIX_MS / 1000 - 60, 3600));
    world.settle();
    assert!(
        world.answers[&ticket].is_ok(),
        "{:?}",
        world.answers[&ticket]
    );
    assert_eq!((world.server.seen.len(), world.file_reads), (2, 2));

    let mut world = stale_world();
    let error = world.get(&scope("graph")).expect_err("nobody rotates it");
    assert_eq!(error.detail().aadsts, [700_024]);
    assert_eq!(
        (world.server.seen.len(), world.file_reads),
        (1, 2),
        "read anew, but not sent again"
    );
}

#[test]
fn a_file_in_the_making_does_not_hurt() {
    for broken in [
        File::Missing,
        File::Text(String::new()),
        File::Text("half a to".into()),
    ] {
        let mut world = World::new(14);
        world.get(&scope("graph")).expect("a token");
        world.file = broken;
        assert!(
            world.get(&scope("other")).is_ok(),
            "the last good assertion serves on"
        );
        let mut cold = World::new(14);
        cold.file = File::Missing;
        let error = cold.get(&scope("graph")).expect_err("there never was one");
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable);
        assert!(error.to_string().contains(support::FILE), "{error}");
    }
}

#[test]
fn callers_may_leave() {
    let mut world = World::new(15);
    let leader = world.ask(&scope("graph")).expect_err("pending");
    let follower = world.ask(&scope("graph")).expect_err("pending");
    world.engine.cancel(leader);
    world.waiting.remove(&leader);
    world.settle();
    assert!(world.answers[&follower].is_ok());
    assert_eq!(world.server.seen.len(), 1);

    let only = world.ask(&scope("other")).expect_err("pending");
    world.engine.cancel(only);
    world.waiting.remove(&only);
    world.settle();
    let kept = world
        .ask(&scope("other"))
        .expect("what nobody waited for is in the cache")
        .expect("a token");
    assert_eq!(kept.source, TokenSource::Cache);
    assert!(!world.engine.has_work());
}

#[test]
fn a_storm_of_refusals_causes_one_exchange() {
    let mut world = World::new(16);
    let bad = world.get(&scope("api")).expect("a token");
    let digest = Secret::new(text(&bad)).sha256_hex();
    let now = world.now();
    for _ in 0..200 {
        let outcome = world
            .engine
            .report_rejection(now, &scope("api"), &digest, None)
            .expect("a known request");
        assert_eq!(outcome, RejectionOutcome::Invalidated);
    }
    for _ in 0..200 {
        let _ = world.ask(&scope("api"));
    }
    world.settle();
    assert_eq!(world.server.seen.len(), 2);
    let now = world.now();
    let late = world
        .engine
        .report_rejection(now, &scope("api"), &digest, None)
        .expect("a known request");
    assert_eq!(late, RejectionOutcome::AlreadyReplaced);

    let fresh = world.get(&scope("api")).expect("a token");
    let digest = Secret::new(text(&fresh)).sha256_hex();
    let again = world
        .engine
        .report_rejection(world.now(), &scope("api"), &digest, None)
        .expect("a known request");
    assert_eq!(
        again,
        RejectionOutcome::Kept,
        "a resource that refuses every token causes no storm of exchanges"
    );
    let challenge = r#"Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==""#;
    let claims = world
        .engine
        .report_rejection(world.now(), &scope("api"), &digest, Some(challenge))
        .expect("known");
    assert_eq!(claims, RejectionOutcome::Invalidated);
    world.get(&scope("api")).expect("a token");
    let form = &world.server.seen.last().expect("a request").form;
    assert_eq!(
        form["claims"],
        r#"{"access_token":{"nbf":{"essential":true}}}"#
    );
    assert_eq!(
        world.get(&scope("api")).expect("a token").source,
        TokenSource::Cache
    );
}

#[test]
fn force_and_hash_decide_about_the_cache() {
    let mut world = World::new(17);
    let first = world.get(&scope("api")).expect("a token");
    let with = |refresh| TokenRequest {
        refresh,
        ..scope("api")
    };
    let forced = world.get(&with(Refresh::Force)).expect("a token");
    assert_ne!(text(&first), text(&forced));
    let stale = Secret::new(text(&first)).sha256_hex();
    let same = world
        .get(&with(Refresh::IfTokenIs(stale)))
        .expect("a token");
    assert_eq!(
        (text(&same), same.source),
        (text(&forced), TokenSource::Cache)
    );
    let current = Secret::new(text(&forced)).sha256_hex();
    let next = world
        .get(&with(Refresh::IfTokenIs(current)))
        .expect("a token");
    assert_ne!(text(&next), text(&forced));
    assert_eq!(world.server.seen.len(), 3);
}

#[test]
fn a_rotated_certificate_makes_new_tokens_and_the_same_one_does_not() {
    let config = format!(
        r#"{{"identities":{{"app":{{"tenant_id":"{}","client_id":"{}","credential":{{"bound_certificate":{{"name":"c"}}}}}}}}}}"#,
        TENANT, CLIENT
    );
    let config = Config::load(Some(&config), &Environment::default()).expect("valid");
    let mut world = World::with_config(20, config);
    let first = world.get(&scope("api")).expect("a token");
    let second = world.get(&scope("api")).expect("a token");
    assert_eq!(
        (text(&second), second.source),
        (text(&first), TokenSource::Cache)
    );
    world.get(&scope("other")).expect("a token");
    assert_eq!(world.server.seen.len(), 2);

    world.certificate = b"certificate two".to_vec();
    let cached = world.get(&scope("api")).expect("a token");
    assert_eq!(cached.source, TokenSource::Cache, "nobody has looked yet");
    world.get(&scope("third")).expect("a token");
    let renewed = world.get(&scope("api")).expect("a token");
    assert_ne!(text(&renewed), text(&first), "got with the old certificate");
    assert_eq!(
        world.get(&scope("api")).expect("a token").source,
        TokenSource::Cache
    );
    assert_eq!(world.server.seen.len(), 4);
    assert_eq!(world.open_identities, 0, "each was closed");
    assert!(
        world
            .posts_by_url
            .keys()
            .all(|url| url.starts_with("https://mtlsauth.microsoft.com/")),
        "{:?}",
        world.posts_by_url
    );
}

#[test]
fn waiting_callers_are_bounded() {
    let mut world = World::new(18);
    world.server.mood = Mood::Silent;
    let limit = edgepass_core::limits::MAX_WAITING;
    for _ in 0..limit {
        world.ask(&scope("graph")).expect_err("pending");
    }
    let error = world
        .ask(&scope("graph"))
        .expect("at once")
        .expect_err("no room");
    assert_eq!(error.class(), ErrorClass::Busy);
    assert!(error.detail().retryable);
    world.settle();
    world.server.mood = Mood::Well;
    assert!(world.get(&scope("graph")).is_ok(), "room again");
}

#[test]
fn the_form_is_that_of_the_azure_sdks() {
    let mut world = World::new(19);
    world.get(&scope("graph")).expect("a token");
    let File::Text(assertion) = &world.file else {
        panic!("a file")
    };
    assert_eq!(
        world.server.seen[0].raw,
        format!(
            "client_assertion={assertion}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_id={}&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.test%2F.default",
            CLIENT
        )
    );
}

#[test]
fn the_status_says_what_was_done_and_no_secret() {
    let mut world = World::new(9);
    let told = |world: &World| {
        let mut status = world.engine.status(world.now());
        let identity = status.pop().expect("one identity");
        assert!(status.is_empty());
        let shown = format!("{identity:?}");
        let issued = world.server.issued.keys();
        assert!(
            issued.into_iter().all(|token| !shown.contains(token)),
            "{shown}"
        );
        identity
    };
    let counts = |identity: &IdentityStatus| {
        let [exchanges, failures, hits, rejections, store @ ..] =
            identity.counters.named().map(|(_, count)| count);
        assert_eq!(store, [0; 4], "there is no token store");
        [exchanges, failures, hits, rejections]
    };
    let at_first = told(&world);
    assert_eq!(counts(&at_first), [0; 4]);
    assert_eq!((at_first.last_failure, at_first.tokens), (None, Vec::new()));

    let token = world.get(&scope("api")).expect("a token");
    world.get(&scope("api")).expect("a token");
    let now = world.now();
    world.engine.cached(now, &scope("api")).expect("cached");
    let identity = told(&world);
    assert_eq!(counts(&identity), [1, 0, 2, 0]);
    let [cached] = identity.tokens.as_slice() else {
        panic!("{identity:?}")
    };
    assert_eq!(cached.state, TokenState::Fresh);
    assert_eq!(cached.scopes, ["https://api.test/.default"]);
    assert_eq!(
        (cached.expires_on, cached.refresh_on),
        (token.expires_on, token.refresh_on)
    );

    let digest = token.token.sha256_hex();
    for _ in 0..2 {
        let now = world.now();
        let outcome = world
            .engine
            .report_rejection(now, &scope("api"), &digest, None);
        outcome.expect("a known request");
    }
    assert_eq!(told(&world).tokens[0].state, TokenState::Rejected);
    world.server.mood = Mood::Propagating;
    let served = world.get(&scope("api")).expect("the one that there is");
    assert_eq!(text(&served), text(&token));
    let error = world.get(&TokenRequest {
        refresh: Refresh::IfTokenIs(digest),
        ..scope("api")
    });
    let error = error.expect_err("another is refused");
    assert_eq!(
        error.detail().credential.as_ref().unwrap().kind,
        "federated_token_file"
    );
    let identity = told(&world);
    assert_eq!(counts(&identity), [1, 1, 2, 2]);
    let failure = identity.last_failure.expect("a failure");
    assert_eq!(failure.class, ErrorClass::FederationMismatch);
    assert_eq!(failure.message, error.to_string());
    assert_eq!(failure.at, world.now().unix_s());

    world.server.mood = Mood::Well;
    world.pass(MINUTE);
    world.get(&scope("api")).expect("the one that there is");
    world.settle();
    let token = world.get(&scope("api")).expect("its successor");
    // a token that came later does not remove the failure
    assert!(told(&world).last_failure.is_some());
    world.server.mood = Mood::Down;
    world.run_until((token.refresh_on * 1000 - START_UNIX_MS) + 1000);
    assert_eq!(told(&world).tokens[0].state, TokenState::RefreshDue);
    world.run_until((token.expires_on * 1000 - START_UNIX_MS) - 1000);
    assert_eq!(told(&world).tokens[0].state, TokenState::Expiring);
    world.run_until(token.expires_on * 1000 - START_UNIX_MS + 1000);
    assert_eq!(told(&world).tokens, []);
}

#[test]
fn a_managed_identity_feeds_an_exchange() {
    let json = format!(
        r#"{{"identities": {{"app": {{"tenant_id": "{TENANT}", "client_id": "{CLIENT}",
            "credential": {{"managed_identity_assertion": {{}}}}}}}}}}"#
    );
    let config = Config::load(Some(&json), &Environment::default()).expect("a configuration");
    let mut world = World::with_config(7, config);
    let error = world.get(&scope("graph")).expect_err("no JWT");
    assert_eq!(error.class(), ErrorClass::CredentialRejected, "{error}");
    assert_eq!(
        world.server.seen[0].form["scope"],
        "api://AzureADTokenExchange"
    );
    assert!(world.server.seen[1].form["client_assertion"].starts_with("token-"));
    assert!(!error.to_string().contains("token-"));
}
