//! When a token is asked for, by whom, and how long it is served.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass_core::limits;
use serde_json::json;

use super::support::{Fate, Mood, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

fn exchanges(world: &World) -> usize {
    world.server.borrow().seen.len()
}

fn mood(world: &World, mood: Mood) {
    world.server.borrow_mut().mood = mood;
}

/// Refuses the token of that VM, as an upstream that has revoked it.
fn refuse_current(world: &mut World, vm: usize) -> String {
    let (id, fate) = world.request(vm);
    let Fate::Sent(Some(value)) = fate else {
        panic!("it has a token: {fate:?}");
    };
    let token = value.trim_start_matches("Bearer ").to_owned();
    world.server.borrow_mut().revoked.push(token.clone());
    world.refuse(vm, id, None);
    token
}

#[test]
fn one_asks_for_all() {
    let mut world = World::new(1, 3);
    world.pass(SECOND);
    world.common_token();
    assert_eq!(exchanges(&world), 1);
    assert_eq!(world.server.borrow().taken, 1);
}

#[test]
fn without_sharing_each_asks() {
    let mut world = World::with(2, 3, &json!({"sharing": "per-vm"}));
    world.pass(SECOND);
    let tokens: Vec<_> = [1, 2, 3].map(|vm| world.token(vm).unwrap()).into();
    assert_eq!(exchanges(&world), 3);
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
}

#[test]
fn a_token_is_renewed_long_before_its_end_and_nobody_waits() {
    let mut world = World::new(3, 2);
    world.server.borrow_mut().lifetime_s = 600;
    world.pass(SECOND);
    let first = world.common_token();
    for _ in 0..120 {
        world.pass(10 * SECOND);
        for vm in [1, 2] {
            let token = world.token(vm).expect("nobody waits");
            assert!(world.server.borrow().takes(&token, world.true_ms()));
        }
    }
    // a new one is with the other VM at its next tick
    world.pass(2 * SECOND);
    assert_ne!(first, world.common_token());
    let count = exchanges(&world);
    assert!((4..=6).contains(&count), "half of 600 s each: {count}");
    assert_eq!(world.server.borrow().most_under_way, 1);
}

#[test]
fn the_servers_refresh_in_counts() {
    let mut world = World::new(4, 1);
    world.server.borrow_mut().refresh_in_s = Some(60);
    world.pass(50 * SECOND);
    assert_eq!(exchanges(&world), 1);
    world.pass(12 * SECOND);
    assert_eq!(exchanges(&world), 2);
}

#[test]
fn another_takes_over_when_the_asking_vm_dies() {
    let mut world = World::new(5, 2);
    world.server.borrow_mut().lifetime_s = 120;
    world.pass(SECOND);
    let token = world.common_token();
    // whoever has the lease: the other one goes on
    world.kill(1);
    world.pass(SECOND);
    assert_eq!(world.token(2), Some(token.clone()));
    world.pass(70 * SECOND);
    assert_ne!(world.token(2), Some(token), "renewed");

    let third = world.start();
    world.kill(2);
    world.pass(SECOND);
    assert!(world.token(third).is_some(), "the published one is served");
    let before = exchanges(&world);
    world.pass(70 * SECOND);
    assert!(exchanges(&world) > before, "and renewed");
}

#[test]
fn a_vm_that_dies_while_it_asks_is_replaced() {
    let mut world = World::new(6, 2);
    mood(&world, Mood::Silent);
    world.pass(SECOND);
    assert_eq!(exchanges(&world), 1);
    let asking = if world.vms[&1].is_asking() { 1 } else { 2 };
    world.kill(asking);
    mood(&world, Mood::Well);
    world.pass(4 * SECOND);
    world.common_token();
    assert_eq!(exchanges(&world), 2);
}

#[test]
fn a_refused_token_is_replaced_once_for_all() {
    let mut world = World::new(7, 3);
    world.pass(SECOND);
    let old = world.common_token();
    // all of them are refused before any has another
    for vm in [1, 2, 3] {
        assert_eq!(refuse_current(&mut world, vm), old);
    }
    assert_eq!(world.token(1), None, "it is not served again");
    world.pass(2 * SECOND);
    let new = world.common_token();
    assert_ne!(new, old);
    assert_eq!(exchanges(&world), 2);
}

#[test]
fn a_vm_without_the_lease_reports_its_refusal() {
    for refusing in [1, 2] {
        let mut world = World::new(8, 2);
        world.pass(SECOND);
        let old = world.common_token();
        refuse_current(&mut world, refusing);
        world.pass(SECOND);
        assert_ne!(world.common_token(), old, "refused in {refusing}");
    }
}

#[test]
fn an_upstream_that_refuses_everything_causes_no_storm() {
    let mut world = World::new(9, 2);
    world.pass(SECOND);
    let start = exchanges(&world);
    let mut waited = 0;
    for _ in 0..300 {
        for vm in [1, 2] {
            let (id, fate) = world.request(vm);
            match fate {
                Fate::Sent(_) => world.refuse(vm, id, None),
                _ => waited += 1,
            }
        }
        world.pass(SECOND);
    }
    let asked = exchanges(&world) - start;
    // at most one after each cooldown of 30 s
    assert!((1..=11).contains(&asked), "{asked} exchanges in 5 minutes");
    assert!(waited < 40, "{waited} of 600 requests waited");
}

#[test]
fn a_challenge_with_claims_gets_another_token_even_from_one_that_is_kept() {
    let challenge = r#"Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==""#;
    let mut world = World::new(10, 1);
    world.pass(SECOND);
    for expected in [1, 1] {
        let before = exchanges(&world);
        let (id, _) = world.request(1);
        world.refuse(1, id, None);
        world.pass(SECOND);
        assert!(exchanges(&world) <= before + expected);
    }
    let kept = world.token(1).unwrap();
    let before = exchanges(&world);
    let (id, _) = world.request(1);
    world.refuse(1, id, Some("Bearer"));
    world.pass(SECOND);
    assert_eq!(
        (world.token(1), exchanges(&world)),
        (Some(kept.clone()), before)
    );
    let (id, _) = world.request(1);
    world.refuse(1, id, Some(challenge));
    world.pass(SECOND);
    assert_eq!(exchanges(&world), before + 1);
    assert_ne!(world.token(1), Some(kept));
}

#[test]
fn a_late_refusal_of_an_old_token_changes_nothing() {
    let mut world = World::new(11, 1);
    world.pass(SECOND);
    let (early, _) = world.request(1);
    refuse_current(&mut world, 1);
    world.pass(SECOND);
    let new = world.token(1);
    world.refuse(1, early, None);
    world.pass(SECOND);
    assert_eq!((world.token(1), exchanges(&world)), (new, 2));
}

#[test]
fn without_refresh_on_401_nothing_is_refused() {
    let mut world = World::with(12, 1, &json!({"refresh_on_401": false}));
    world.pass(SECOND);
    let token = world.token(1);
    let (id, _) = world.request(1);
    world.refuse(1, id, None);
    world.pass(SECOND);
    assert_eq!((world.token(1), exchanges(&world)), (token, 1));
}

#[test]
fn a_token_ends_when_either_clock_says_so() {
    // the machine sleeps: the monotonic clock stands still
    let mut world = World::new(13, 2);
    world.pass(SECOND);
    mood(&world, Mood::Down);
    world.sleep(2 * 60 * MINUTE);
    world.pass(SECOND);
    assert_eq!((world.token(1), world.token(2)), (None, None));

    // the wall clock is set back: the monotonic clock goes on
    let mut world = World::with(14, 2, &json!({"sharing": "per-vm"}));
    world.pass(SECOND);
    mood(&world, Mood::Down);
    world.process.borrow_mut().wall_offset_ms = -3 * 3_600_000;
    world.slow_down(10);
    world.pass(59 * MINUTE);
    assert!(world.token(1).is_some() && world.token(2).is_some());
    world.pass(MINUTE);
    assert_eq!((world.token(1), world.token(2)), (None, None));
}

#[test]
fn an_outage_is_waited_for_with_pauses_and_its_end_is_seen_soon() {
    let mut world = World::new(15, 2);
    mood(&world, Mood::Down);
    world.pass(5 * MINUTE);
    let asked = exchanges(&world);
    // each acquisition makes its own three attempts, and 8 s lie between two
    assert!((60..=160).contains(&asked), "{asked} attempts");
    mood(&world, Mood::Well);
    world.pass(15 * SECOND);
    world.common_token();
}

#[test]
fn an_outage_is_not_noticed_while_the_token_lives() {
    let mut world = World::new(16, 2);
    world.slow_down(5);
    world.server.borrow_mut().lifetime_s = 600;
    world.pass(SECOND);
    mood(&world, Mood::Sick);
    for _ in 0..58 {
        world.pass(10 * SECOND);
        world.common_token();
    }
    mood(&world, Mood::Well);
    world.pass(100 * SECOND);
    let token = world.common_token();
    assert!(world.server.borrow().takes(&token, world.true_ms()));
}

#[test]
fn the_server_is_left_alone_for_as_long_as_it_asks() {
    let mut world = World::new(17, 2);
    mood(
        &world,
        Mood::Throttling {
            until_ms: 90 * SECOND,
        },
    );
    world.pass(89 * SECOND);
    assert_eq!(exchanges(&world), 1);
    mood(&world, Mood::Well);
    world.pass(12 * SECOND);
    world.common_token();
}

#[test]
fn a_server_that_gives_the_same_token_again_is_asked_at_a_pace() {
    let mut world = World::new(18, 2);
    world.server.borrow_mut().lifetime_s = 300;
    world.pass(SECOND);
    let token = world.common_token();
    mood(&world, Mood::Same);
    world.pass(290 * SECOND);
    assert_eq!(world.common_token(), token);
    let asked = exchanges(&world);
    assert!(asked < 300, "{asked} times in five minutes");
    world.pass(15 * SECOND);
    assert_ne!(world.common_token(), token);
}

#[test]
fn a_newly_started_vm_serves_what_is_published() {
    let mut world = World::new(19, 1);
    world.pass(SECOND);
    mood(&world, Mood::Down);
    let second = world.start();
    world.pass(200);
    assert!(world.token(second).is_some());
    world.common_token();
    assert_eq!(exchanges(&world), 1);
}

#[test]
fn the_reason_for_having_no_token_is_known_in_every_vm() {
    let mut world = World::with(20, 2, &json!({"request_deadline_ms": 3000}));
    mood(&world, Mood::Refusing);
    world.pass(SECOND);
    let waiting = [1, 2].map(|vm| (vm, world.request(vm).0));
    world.pass(4 * SECOND);
    for (vm, id) in waiting {
        assert_eq!(
            world.fate(vm, id),
            Fate::Refused("credential-rejected".to_owned())
        );
    }
}

/// A challenge that asks for other claims each time.
fn challenge(n: usize) -> String {
    let claims = STANDARD.encode(format!(r#"{{"access_token":{{"nbf":{{"value":"{n}"}}}}}}"#));
    format!(r#"Bearer error="insufficient_claims", claims="{claims}""#)
}

/// Sends a request a second through every VM, and says how many were refused.
fn refused_in(world: &mut World, seconds: u64) -> usize {
    let mut waiting = Vec::new();
    let mut refused = 0;
    for _ in 0..seconds {
        for vm in Vec::from_iter(world.vms.keys().copied()) {
            match world.request(vm) {
                (_, Fate::Sent(_)) => {}
                (id, Fate::Waiting) => waiting.push((vm, id)),
                (_, Fate::Refused(_)) => refused += 1,
            }
        }
        world.pass(SECOND);
    }
    world.pass(10 * SECOND);
    let is_refused = |(vm, id): &(usize, u32)| matches!(world.fate(*vm, *id), Fate::Refused(_));
    refused + waiting.iter().filter(|waiter| is_refused(waiter)).count()
}

#[test]
fn a_401_during_an_outage_costs_no_request() {
    for header in [None, Some(challenge(1))] {
        for outage in [
            Mood::Down,
            Mood::Sick,
            Mood::Silent,
            Mood::Garbled,
            Mood::Refusing,
        ] {
            let mut world = World::new(21, 3);
            world.pass(SECOND);
            let token = world.common_token();
            mood(&world, outage.clone());
            for vm in [1, 2, 3] {
                let (id, _) = world.request(vm);
                world.refuse(vm, id, header.as_deref());
            }
            assert_eq!(refused_in(&mut world, 120), 0, "{outage:?}");
            assert_eq!(world.common_token(), token);
            mood(&world, Mood::Well);
            world.pass(limits::MAX_REFRESH_BACKOFF_MS + 5 * SECOND);
            assert_ne!(
                world.common_token(),
                token,
                "{outage:?}: its successor came"
            );
        }
    }
}

#[test]
fn requests_wait_for_the_successor_of_a_refused_token_for_a_bounded_time() {
    let mut world = World::new(22, 1);
    world.pass(SECOND);
    let token = world.common_token();
    mood(&world, Mood::Silent);
    let (id, _) = world.request(1);
    world.refuse(1, id, None);
    let (waiting, fate) = world.request(1);
    assert_eq!(fate, Fate::Waiting);
    world.pass(limits::REJECTION_PATIENCE_MS + 50);
    assert_eq!(
        world.fate(1, waiting),
        Fate::Sent(Some(format!("Bearer {token}")))
    );
    // further refusals keep nobody waiting
    world.refuse(1, waiting, None);
    assert_eq!(world.token(1), Some(token));
}

#[test]
fn a_challenge_that_the_server_refuses_costs_no_request_of_others() {
    for vms in [1, 3] {
        let mut world = World::new(23, vms);
        world.pass(SECOND);
        world.common_token();
        world.server.borrow_mut().refuses_claims = true;
        let (id, _) = world.request(1);
        world.refuse(1, id, Some(&challenge(1)));
        let before = exchanges(&world);
        assert_eq!(refused_in(&mut world, 90), 0);
        let asked = exchanges(&world) - before;
        assert!(
            asked <= 4,
            "{asked} exchanges: one with the claims, and then without"
        );
    }
}

#[test]
fn the_same_token_again_is_an_answer() {
    let mut world = World::new(24, 2);
    world.pass(SECOND);
    let token = world.common_token();
    mood(&world, Mood::Same);
    let (id, _) = world.request(1);
    world.refuse(1, id, None);
    assert_eq!(refused_in(&mut world, 60), 0);
    assert_eq!(world.common_token(), token);
    assert_eq!(exchanges(&world), 2);
}

#[test]
fn challenges_have_a_budget_whatever_they_ask_for() {
    for same in [false, true] {
        let mut world = World::new(25, 2);
        world.pass(SECOND);
        if same {
            mood(&world, Mood::Same);
        }
        let before = exchanges(&world);
        for n in 0..600 {
            for vm in [1, 2] {
                if let (id, Fate::Sent(_)) = world.request(vm) {
                    world.refuse(vm, id, Some(&challenge(if same { 0 } else { n })));
                }
            }
            world.pass(100);
        }
        let asked = exchanges(&world) - before;
        assert!(asked <= 4, "{asked} exchanges in a minute");
    }
}

#[test]
fn tokens_that_do_not_last_are_asked_for_at_a_pace() {
    for expires_in in ["0", "-1", "-99999999999", "0.5"] {
        let mut world = World::new(26, 2);
        world.server.borrow_mut().expires_in = Some(expires_in);
        world.pass(MINUTE);
        let first = exchanges(&world);
        world.pass(9 * MINUTE);
        let asked = exchanges(&world) - first;
        assert!(first <= 20, "{expires_in}: {first} in the first minute");
        assert!(asked <= 9 * 15, "{expires_in}: {asked} in nine more");
        let (id, _) = world.request(1);
        world.pass(6 * SECOND);
        let invalid = Fate::Refused("invalid-response".to_owned());
        assert_eq!(world.fate(1, id), invalid);
        world.server.borrow_mut().expires_in = None;
        world.pass(15 * SECOND);
        world.common_token();
    }
}

#[test]
fn a_token_that_is_kept_is_not_kept_for_good() {
    let mut world = World::new(27, 1);
    world.pass(SECOND);
    let refuse = |world: &mut World| {
        let (id, _) = world.request(1);
        world.refuse(1, id, None);
        world.pass(2 * SECOND);
        exchanges(world)
    };
    assert_eq!(refuse(&mut world), 2);
    assert_eq!(refuse(&mut world), 2, "the new one is kept");
    world.pass(limits::REJECTION_COOLDOWN_MS + SECOND);
    assert_eq!(refuse(&mut world), 3, "and may be refused later");
    world.pass(limits::REJECTION_COOLDOWN_MS + SECOND);
    assert_eq!(refuse(&mut world), 4);
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_bring_a_dead_token_back() {
    let mut world = World::new(28, 2);
    world.server.borrow_mut().lifetime_s = 120;
    world.pass(SECOND);
    let token = world.common_token();
    mood(&world, Mood::Down);
    world.process.borrow_mut().wall_offset_ms = -3 * 3_600_000;
    world.pass(125 * SECOND);
    for _ in 0..100 {
        for vm in [1, 2] {
            assert_ne!(world.token(vm), Some(token.clone()));
        }
        world.pass(100);
    }
}

#[test]
fn a_known_outage_is_answered_at_once_in_every_vm() {
    let mut world = World::with(29, 3, &json!({"request_deadline_ms": 1000}));
    mood(&world, Mood::Down);
    world.pass(60 * SECOND);
    let mut at_once = 0;
    for _ in 0..200 {
        for vm in [1, 2, 3] {
            let (id, fate) = world.request(vm);
            match fate {
                Fate::Refused(class) => {
                    assert_eq!(class, "network");
                    at_once += 1;
                }
                Fate::Waiting => {
                    let proxy = world.vms[&vm].requests.host();
                    proxy.gone(id);
                    world.vms[&vm].requests.forget(id);
                }
                Fate::Sent(_) => panic!("there is no token"),
            }
        }
        world.pass(SECOND);
    }
    assert!(
        at_once > 300,
        "{at_once} of 600: most of the time the next attempt is too far away"
    );
    mood(&world, Mood::Well);
    world.pass(15 * SECOND);
    world.common_token();
}

#[test]
fn a_vm_that_starts_after_the_clock_was_set_back_takes_no_dead_token() {
    for sleeps in [false, true] {
        let mut world = World::new(30, 2);
        world.server.borrow_mut().lifetime_s = 120;
        world.pass(SECOND);
        let token = world.common_token();
        mood(&world, Mood::Down);
        if sleeps {
            world.sleep(MINUTE);
        }
        let alive = world.start();
        world.pass(SECOND);
        assert_eq!(world.token(alive).as_ref(), Some(&token), "it still lives");
        world.process.borrow_mut().wall_offset_ms = -3 * 3_600_000;
        world.pass(125 * SECOND);
        let late = world.start();
        for _ in 0..100 {
            assert_eq!(world.token(late), None);
            world.pass(100);
        }
        mood(&world, Mood::Well);
        world.pass(15 * SECOND);
        assert_ne!(world.common_token(), token);
    }
}

/// Each VM's engine knows the tokens that it has got itself. One that has lost the lease for a while serves what another
/// one got, and its own is none to go back to, although that may still live.
#[test]
fn a_lease_that_comes_back_to_a_vm_brings_no_older_token_back() {
    for seed in 0..20 {
        let mut world = World::new(40 + seed, 1);
        world.server.borrow_mut().lifetime_s = 1200;
        world.pass(SECOND);
        let first = world.token(1).unwrap();
        // the first one is kept from running; the other one takes the lease, and the token is renewed
        let other = world.start();
        world.vms.get_mut(&1).unwrap().slowness = 600;
        world.pass(11 * MINUTE);
        let second = world.token(other).unwrap();
        assert_ne!(second, first);
        world.vms.get_mut(&1).unwrap().slowness = 1;
        world.pass(MINUTE + SECOND);
        assert_eq!(world.common_token(), second);
        // the first one has the lease again, while its own token still lives
        world.kill(other);
        world.server.borrow_mut().refresh_in_s = Some(60);
        world.pass(15 * MINUTE);
        assert_ne!(world.token(1).unwrap(), second);
        let server = world.server.borrow();
        assert_eq!(
            server.taken,
            server.issued.len(),
            "each token is new but once"
        );
    }
}

/// A server that gives the token again that there is, and says of it that it has ended, has sent no new one that is dead.
#[test]
fn an_old_token_is_not_taken_for_a_new_one_that_has_ended() {
    let mut world = World::new(60, 2);
    world.server.borrow_mut().lifetime_s = 120;
    world.pass(SECOND);
    let token = world.common_token();
    mood(&world, Mood::Same);
    world.server.borrow_mut().expires_in = Some("0");
    let before = exchanges(&world);
    world.pass(115 * SECOND);
    assert_eq!(world.common_token(), token);
    let asked = exchanges(&world) - before;
    assert!((2..=20).contains(&asked), "{asked} in a minute");
    assert_eq!(world.server.borrow().taken, 1);
    let log = world.process.borrow().log.join("\n");
    assert!(!log.contains("ended already"), "{log}");
}
