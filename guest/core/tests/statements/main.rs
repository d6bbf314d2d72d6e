//! Nobody's word breaks it for long. Statements from outside (headers, refusals, challenges, odd answers, clocks) may be
//! wrong, one at a time or many: while they are, nobody is refused who has a token that lives, and when they have
//! stopped, everybody has one within a bound. `EDGEPASS_SIM_SEED=n` replays a world that failed, and `EDGEPASS_SIM_RUNS=n`
//! makes more of them.

// tells the lints that helpers are test code too
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;
mod troubled;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass_core::{
    AccessToken, Config, Environment, Error, ErrorClass, Refresh, RejectionOutcome, Secret, Ticket,
    TokenRequest, limits,
};
use support::{CLIENT, File, Mood, START_UNIX_MS, TENANT, World, projected_token, scope, text};
use troubled::Troubled;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How long after the last wrong statement, and after what the server has asked to wait, a token is there for everybody
/// who asks: the longest pause between exchanges and one exchange.
const RECOVERY_MS: u64 = limits::MAX_EXCHANGE_INTERVAL_MS + limits::FLIGHT_TIMEOUT_MS;

fn claims(n: u64) -> String {
    format!(r#"{{"access_token":{{"nbf":{{"essential":true,"value":"{n}"}}}}}}"#)
}

fn challenge(claims: &str) -> String {
    let claims = STANDARD.encode(claims);
    format!(r#"Bearer error="insufficient_claims", claims="{claims}""#)
}

/// An identity whose assertions are built here, by a clock.
fn certificate() -> Config {
    let json = format!(
        r#"{{"identities":{{"app":{{"tenant_id":"{TENANT}","client_id":"{CLIENT}","credential":{{"certificate":{{"name":"c"}}}}}}}}}}"#
    );
    Config::load(Some(&json), &Environment::default()).expect("valid")
}

fn refuse(
    world: &mut World,
    request: &TokenRequest,
    token: &AccessToken,
    header: Option<&str>,
) -> RejectionOutcome {
    let digest = Secret::new(text(token)).sha256_hex();
    let now = world.now();
    let outcome = world.engine.report_rejection(now, request, &digest, header);
    outcome.expect("a known request")
}

/// Asks once a minute, and says how many were answered with an error.
fn errors_in(world: &mut World, minutes: u64, request: &TokenRequest) -> u64 {
    let mut errors = 0;
    for _ in 0..minutes {
        world.pass(MINUTE);
        errors += u64::from(world.get(request).is_err());
    }
    errors
}

/// Rotates the token file once an hour, by the true clock.
fn rotate(world: &mut World) {
    let issued = (START_UNIX_MS + world.true_ms) / SECOND;
    world.file = File::Text(projected_token(issued, 3600));
}

#[test]
fn one_wrong_date_changes_nothing() {
    for mood in [Mood::Well, Mood::Sick, Mood::Refusing, Mood::Propagating] {
        for off_hours in [-24, -1, 1, 24] {
            let mut world = World::new(1);
            rotate(&mut world);
            world.server.statements.date_off_ms = off_hours * 3_600_000;
            world.server.mood = mood.clone();
            let _ = world.get(&scope("graph"));
            world.server.statements.date_off_ms = 0;
            world.server.mood = Mood::Well;
            world.pass(RECOVERY_MS);
            for hour in 0..48 {
                rotate(&mut world);
                let answer = world.get(&scope("graph"));
                assert!(answer.is_ok(), "{mood:?} {off_hours} {hour}: {answer:?}");
                world.pass(HOUR);
            }
        }
    }
}

#[test]
fn a_server_that_is_always_wrong_about_the_time_locks_nobody_out() {
    for config in [None, Some(certificate())] {
        for off_hours in [-24, 24] {
            let mut world = match config.clone() {
                Some(config) => World::with_config(2, config),
                None => World::new(2),
            };
            world.server.statements.date_off_ms = off_hours * 3_600_000;
            for _ in 0..48 {
                rotate(&mut world);
                world.get(&scope("graph")).expect("a token");
                world.pass(HOUR);
            }
            let posts = world.server.seen.len();
            assert!(posts <= 2 * 48, "{posts} requests");
        }
    }
}

#[test]
fn a_wrong_local_clock_costs_one_request_an_hour() {
    for no_codes in [false, true] {
        for off_hours in [-3, -1, 1, 3] {
            let mut world = World::with_config(3, certificate());
            world.server.statements.no_codes = no_codes;
            world.wall_offset_ms = off_hours * 3_600_000;
            for n in 0..10 {
                world.get(&scope(&format!("r{n}"))).expect("a token");
                world.pass(MINUTE);
            }
            assert_eq!(world.server.seen.len(), 11, "the first was refused");
        }
    }
}

#[test]
fn sleep_does_not_make_assertions_old() {
    for no_codes in [false, true] {
        for slept in [20 * MINUTE, HOUR, 10 * HOUR] {
            let mut world = World::with_config(4, certificate());
            world.server.statements.no_codes = no_codes;
            world.get(&scope("graph")).expect("a token");
            world.get(&scope("vault")).expect("a token");
            world.sleep(slept);
            world.get(&scope("other")).expect("a token");
            assert_eq!(world.server.seen.len(), 3, "each was good at once");
        }
    }
}

#[test]
fn claims_that_the_server_refuses_end_with_the_one_who_brought_them() {
    let mut world = World::new(5);
    world.server.lifetime_s = 24 * 3600;
    world.server.statements.refuses_claims = true;
    let first = world.get(&scope("graph")).expect("a token");
    let outcome = refuse(
        &mut world,
        &scope("graph"),
        &first,
        Some(&challenge(&claims(1))),
    );
    assert_eq!(outcome, RejectionOutcome::Invalidated);
    assert_eq!(errors_in(&mut world, 24 * 60 - 1, &scope("graph")), 0);
    let with_claims = world
        .server
        .seen
        .iter()
        .filter(|seen| seen.form.contains_key("claims"));
    assert_eq!(with_claims.count(), 1, "they go into one exchange");
    // who brings claims of his own is told, and nobody else
    let own = TokenRequest {
        claims: Some(claims(2)),
        ..scope("graph")
    };
    let error = world.get(&own).expect_err("they are refused");
    assert_eq!(error.class(), ErrorClass::Refused);
    world.get(&scope("graph")).expect("what there is");
}

#[test]
fn who_waits_with_claims_of_others_gets_a_token_without() {
    let mut world = World::new(6);
    world.server.lifetime_s = 3;
    let first = world.get(&scope("graph")).expect("a token");
    world.server.statements.refuses_claims = true;
    world.latency_ms = 4_000..4_001;
    refuse(
        &mut world,
        &scope("graph"),
        &first,
        Some(&challenge(&claims(1))),
    );
    let forced = TokenRequest {
        refresh: Refresh::IfTokenIs(Secret::new(text(&first)).sha256_hex()),
        ..scope("graph")
    };
    let token = world.get(&forced).expect("one without the claims");
    assert_ne!(text(&token), text(&first));
}

#[test]
fn a_hold_is_for_those_who_asked_the_same() {
    let with_claims = TokenRequest {
        claims: Some(claims(1)),
        ..scope("graph")
    };
    for retry_after_s in [None, Some(999_999)] {
        let mut world = World::new(7);
        world.server.statements.refuses_claims = true;
        world.server.statements.retry_after_s = retry_after_s;
        world.get(&with_claims).expect_err("they are refused");
        world
            .get(&scope("graph"))
            .expect("a token for who brings none");
    }
    // only a server that is busy is busy for all
    let mut world = World::new(7);
    let until_ms = 60 * SECOND;
    world.server.mood = Mood::Throttling {
        until_ms,
        as_date: false,
    };
    world.get(&with_claims).expect_err("it is busy");
    let error = world.get(&scope("graph")).expect_err("it is busy");
    assert!(error.to_string().contains("not sent"), "{error}");
    assert_eq!(world.server.seen.len(), 1);
}

#[test]
fn a_refused_token_serves_on_until_another_is_there() {
    for header in [None, Some(challenge(&claims(1)))] {
        for mood in [
            Mood::Down,
            Mood::Sick,
            Mood::Garbled,
            Mood::Silent,
            Mood::Refusing,
            Mood::Page,
        ] {
            let mut world = World::new(8);
            let first = world.get(&scope("graph")).expect("a token");
            world.server.mood = mood.clone();
            refuse(&mut world, &scope("graph"), &first, header.as_deref());
            let before = world.true_ms;
            let served = world.get(&scope("graph")).expect("the one that there is");
            assert_eq!(text(&served), text(&first), "{mood:?}");
            let waited = world.true_ms - before;
            assert!(
                waited <= limits::REJECTION_PATIENCE_MS,
                "{mood:?}: {waited} ms"
            );
            assert_eq!(errors_in(&mut world, 58, &scope("graph")), 0, "{mood:?}");
            let posts = world.server.seen.len();
            assert!(posts < 58 * 4, "{mood:?}: {posts} requests");
            // with the outage's end a successor comes
            world.server.mood = Mood::Well;
            world.run_until(HOUR - 30 * SECOND);
            world.get(&scope("graph")).expect("a token");
            world.settle();
            let next = world.get(&scope("graph")).expect("a token");
            assert_ne!(text(&next), text(&first), "{mood:?}");
        }
    }
}

#[test]
fn the_same_token_again_is_an_answer() {
    let mut world = World::new(9);
    world.server.statements.same_token = true;
    world.get(&scope("graph")).expect("a token");
    for _ in 0..100 {
        let token = world.get(&scope("graph")).expect("a token");
        refuse(&mut world, &scope("graph"), &token, None);
        world.pass(40);
    }
    assert_eq!(world.server.seen.len(), 2);
    assert_eq!(errors_in(&mut world, 50, &scope("graph")), 0);
}

#[test]
fn refusals_have_a_budget_whatever_they_ask_for() {
    for changing in [false, true] {
        for same_token in [false, true] {
            let mut world = World::new(10);
            world.server.statements.same_token = same_token;
            world.get(&scope("graph")).expect("a token");
            let minutes = 5;
            for n in 0..minutes * 60 {
                let token = world.get(&scope("graph")).expect("a token");
                let header = challenge(&claims(if changing { n } else { 0 }));
                refuse(&mut world, &scope("graph"), &token, Some(&header));
                world.pass(SECOND);
            }
            let caused = world.server.seen.len() as u64 - 1;
            let budget = limits::REJECTION_BURST + world.true_ms / limits::REJECTION_COOLDOWN_MS;
            assert!(caused <= budget, "{caused} of {budget}");
            if changing {
                assert!(
                    caused >= budget / 2,
                    "{caused}: the newest claims go when the budget allows"
                );
            }
        }
    }
}

#[test]
fn a_token_that_was_revoked_is_not_served_beside_its_successor() {
    let mut world = World::new(11);
    let first = world.get(&scope("graph")).expect("a token");
    // an older exchange is under way while the challenge is satisfied
    world.latency_ms = 900..901;
    world.run_until(31 * MINUTE);
    assert_eq!(
        text(
            &world
                .ask(&scope("graph"))
                .expect("at once")
                .expect("a token")
        ),
        text(&first)
    );
    world.latency_ms = 5..6;
    refuse(
        &mut world,
        &scope("graph"),
        &first,
        Some(&challenge(&claims(1))),
    );
    let satisfied = world.get(&scope("graph")).expect("a token");
    assert_ne!(text(&satisfied), text(&first));
    world.settle();
    assert_eq!(world.server.seen.len(), 3, "the older one has landed");
    let served = world.get(&scope("graph")).expect("a token");
    assert_eq!(text(&served), text(&satisfied));
}

#[test]
fn an_older_certificate_does_not_come_back() {
    let json = format!(
        r#"{{"identities":{{"app":{{"tenant_id":"{TENANT}","client_id":"{CLIENT}","credential":{{"bound_certificate":{{"name":"c"}}}}}}}}}}"#
    );
    let config = Config::load(Some(&json), &Environment::default()).expect("valid");
    let mut world = World::with_config(12, config);
    let old = world.get(&scope("one")).expect("a token");
    world.latency_ms = 900..901;
    let slow = world.ask(&scope("two")).expect_err("pending");
    world.pass(10);
    world.certificate = b"certificate two".to_vec();
    world.latency_ms = 5..6;
    world.get(&scope("three")).expect("a token");
    world.latency_ms = 1..2;
    let new = world.get(&scope("one")).expect("a token");
    assert_ne!(text(&new), text(&old));
    world.settle();
    assert!(world.answers[&slow].is_ok());
    let served = world.get(&scope("one")).expect("a token");
    assert_eq!(
        text(&served),
        text(&new),
        "the slow exchange had the older certificate"
    );
}

#[test]
fn what_was_dropped_does_not_come_back() {
    let mut world = World::new(13);
    let ticket = world.ask(&scope("graph")).expect_err("pending");
    world.pass(1);
    let now = world.now();
    world.engine.drop_cached(now, None);
    world.settle();
    let dropped = world.answers[&ticket].clone().expect("its caller gets it");
    let next = world.get(&scope("graph")).expect("a token");
    assert_ne!(text(&next), text(&dropped));
}

#[test]
fn tokens_that_do_not_last_are_asked_for_at_a_pace() {
    for expires_in in ["0", "-1", "-3600", "0.5", "\"0\""] {
        let mut world = World::new(14);
        world.server.statements.expires_in = Some(expires_in.to_owned());
        for _ in 0..10 * 60 * 10 {
            let _ = world.get(&scope("graph"));
            world.pass(100);
        }
        let posts = world.server.seen.len() as u64;
        // the first ones come before the pause has grown to its full length
        let budget = limits::EXCHANGE_BURST + 3 + world.true_ms / limits::MAX_EXCHANGE_INTERVAL_MS;
        assert!(posts <= budget, "{expires_in}: {posts} of {budget}");
        world.server.statements.expires_in = None;
        world.pass(limits::MAX_EXCHANGE_INTERVAL_MS);
        world.get(&scope("graph")).expect("a token");
    }
    // and one that lives on is not replaced by one that does not
    let mut world = World::new(14);
    let first = world.get(&scope("graph")).expect("a token");
    world.server.statements.expires_in = Some("0".to_owned());
    world.run_until(31 * MINUTE);
    for _ in 0..25 {
        world.pass(MINUTE);
        assert_eq!(
            text(&world.get(&scope("graph")).expect("a token")),
            text(&first)
        );
    }
}

#[test]
fn tokens_of_a_second_are_served_without_an_error() {
    let mut world = World::new(15);
    world.server.lifetime_s = 2;
    for _ in 0..300 {
        world.get(&scope("graph")).expect("a token");
        world.pass(100);
    }
    let posts = world.server.seen.len();
    assert!(posts <= 5 + 36, "{posts}");
}

#[test]
fn assertions_do_not_shut_out_tokens() {
    let mut world = World::new(16);
    let now = world.now();
    let mut tickets = Vec::new();
    let error = loop {
        match world.engine.request_assertion(now, None, None) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
    };
    assert_eq!(error.class(), ErrorClass::Busy);
    assert_eq!(tickets.len(), limits::MAX_ASSERTIONS);
    let ticket = world
        .ask(&scope("graph"))
        .expect_err("there is room for it");
    for ticket in tickets {
        world.engine.cancel(ticket);
    }
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    world
        .engine
        .request_assertion(now, None, None)
        .expect("room again");
}

#[test]
fn wrong_statements_do_no_lasting_harm() {
    let seeds: Vec<u64> = match std::env::var("EDGEPASS_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("EDGEPASS_SIM_SEED is a number")],
        Err(_) => {
            let runs = std::env::var("EDGEPASS_SIM_RUNS")
                .ok()
                .and_then(|n| n.parse().ok())
                .unwrap_or(1000);
            (1..=runs).collect()
        }
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(|| Troubled::new(seed).run());
        if let Err(panic) = result {
            eprintln!("the world of seed {seed} failed; replay it with EDGEPASS_SIM_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn claims_of_a_caller_change_nothing_for_others() {
    for every in [1, 3, 10, 1000] {
        for retry_after_s in [None, Some(3600)] {
            let mut world = World::new(17);
            world.server.statements.refuses_claims = true;
            let first = world.get(&scope("graph")).expect("a token");
            for second in 0..3000 {
                if second % every == 0 {
                    world.server.statements.retry_after_s = retry_after_s;
                    let own = TokenRequest {
                        claims: Some(claims(second)),
                        ..scope("graph")
                    };
                    let _ = world.ask(&own);
                }
                world.pass(SECOND);
                world.get(&scope("graph")).expect("a token");
            }
            let plain = world
                .server
                .seen
                .iter()
                .filter(|seen| !seen.form.contains_key("claims"));
            assert_eq!(plain.count(), 2, "{every} {retry_after_s:?}: one renewal");
            let last = world.get(&scope("graph")).expect("a token");
            assert_ne!(text(&last), text(&first));
        }
    }
}

#[test]
fn claims_of_a_caller_do_not_keep_a_refused_token() {
    for at in 0..8 {
        let mut world = World::new(18);
        world.server.statements.refuses_claims = true;
        let first = world.get(&scope("graph")).expect("a token");
        for second in 0..60 {
            let own = TokenRequest {
                claims: Some(claims(second)),
                ..scope("graph")
            };
            let _ = world.ask(&own);
            world.pass(125 * at % SECOND);
            if second == 5 {
                refuse(&mut world, &scope("graph"), &first, None);
            }
            world.pass(SECOND);
            world.get(&scope("graph")).expect("a token");
        }
        let last = world.get(&scope("graph")).expect("a token");
        assert_ne!(text(&last), text(&first));
    }
}

#[test]
fn a_shorter_hold_does_not_end_a_longer_one() {
    let mut world = World::new(19);
    let with_claims = TokenRequest {
        claims: Some(claims(1)),
        ..scope("graph")
    };
    world.latency_ms = 500..501;
    let _ = world.ask(&scope("graph"));
    world.server.mood = Mood::Refusing;
    world.pass(10);
    world.latency_ms = 5..6;
    world.server.mood = Mood::Throttling {
        until_ms: HOUR,
        as_date: false,
    };
    world.get(&with_claims).expect_err("it is busy");
    world.server.mood = Mood::Refusing;
    world.settle();
    let asked = world.server.seen.len();
    world.server.mood = Mood::Well;
    world.pass(10 * SECOND);
    let error = world.get(&TokenRequest {
        refresh: Refresh::Force,
        ..scope("graph")
    });
    error.expect_err("the server has asked to wait");
    assert_eq!(world.server.seen.len(), asked);
}

#[test]
fn a_clock_that_is_set_back_does_not_make_a_token_last() {
    let mut world = World::new(20);
    world.wall_offset_ms = 24 * 3_600_000;
    world.server.statements.no_codes = true;
    world.get(&scope("graph")).expect("a token");
    world.pass(1700 * SECOND);
    world.wall_offset_ms = 0;
    let served = world.engine.cached(world.now(), &scope("graph"));
    let served = served.expect("it lives");
    let left_s = served.expires_on - world.now().unix_s();
    assert!((1890..=1900).contains(&left_s), "{left_s} s are left");
}
