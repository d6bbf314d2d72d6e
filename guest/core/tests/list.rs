//! Several credentials of one identity: who is used, who is left aside, and what that costs.

// tells the lints that helpers are test code too
#![cfg(test)]

mod support;

use edgepass_core::{
    Config, CredentialState, Environment, ErrorClass, Refresh, TokenRequest, TokenSource,
};
use support::{
    CLIENT, Dice, FILE, File, Mood, START_UNIX_MS, TENANT, World, projected_token, proof, scope,
    text,
};

/// Longer than a credential is ever left aside.
const LONG_ENOUGH_MS: u64 = 1_000_000;

const TOKEN_FILE: &str = r#"{"federated_token_file": {"path": "FILE"}}"#;
const CERTIFICATE: &str = r#"{"certificate": {"name": "c"}}"#;
const SECRET: &str = r#"{"client_secret": {"value": "hunter2"}}"#;

fn world(seed: u64, credentials: &[&str]) -> World {
    let list = credentials.join(",").replace("FILE", FILE);
    let json = format!(
        r#"{{"identities": {{"app": {{"tenant_id": "{TENANT}", "client_id": "{CLIENT}", "credential": [{list}]}}}}}}"#
    );
    let config = Config::load(Some(&json), &Environment::default()).expect("a good configuration");
    World::with_config(seed, config)
}

/// What the last exchange proved the client by.
fn last_proof(world: &World) -> &'static str {
    proof(&world.server.seen.last().expect("an exchange").form)
}

fn notices(world: &mut World) -> Vec<String> {
    std::iter::from_fn(|| world.engine.next_notice()).collect()
}

fn token_file() -> File {
    File::Text(projected_token(START_UNIX_MS / 1000, 30 * 24 * 3600))
}

#[test]
fn a_first_one_that_is_not_here_costs_one_notice_and_not_one_a_call() {
    let mut world = world(1, &[TOKEN_FILE, SECRET]);
    world.file = File::Missing;
    for n in 0..20 {
        world.get(&scope(&format!("api{n}"))).expect("a token");
        assert_eq!(last_proof(&world), "secret");
    }
    assert_eq!(world.file_reads, 1, "it is left aside");
    let [notice] = notices(&mut world).try_into().expect("one");
    assert!(
        notice.contains("identity `app`: federated_token_file `credential[0]` is left aside")
            && notice.contains(FILE),
        "{notice}"
    );
    // asked for again now and then, ever more seldom, and not said again
    for n in 0..200 {
        world.pass(10_000);
        world.get(&scope(&format!("later{n}"))).expect("a token");
    }
    assert!((8..=20).contains(&world.file_reads), "{}", world.file_reads);
    assert_eq!(notices(&mut world), [""; 0]);
}

#[test]
fn falling_back_and_coming_back_cost_no_exchange_while_a_good_token_lives() {
    let mut world = world(2, &[CERTIFICATE, SECRET]);
    let first = world.get(&scope("api")).expect("a token");
    assert_eq!(last_proof(&world), "certificate");
    // revoked while it is in use: the same call reads it anew, and gets its token by the next
    world
        .server
        .statements
        .refused
        .insert("certificate", 7_000_214);
    world.get(&scope("other")).expect("a token");
    let proofs: Vec<_> = world
        .server
        .seen
        .iter()
        .map(|seen| proof(&seen.form))
        .collect();
    assert_eq!(
        proofs,
        ["certificate", "certificate", "certificate", "secret"]
    );
    let again = world.get(&scope("api")).expect("a token");
    assert_eq!(
        (text(&again), again.source),
        (text(&first), TokenSource::Cache)
    );
    let before = world.server.seen.len();
    world.get(&scope("third")).expect("a token");
    assert_eq!(
        world.server.seen.len(),
        before + 1,
        "it is not tried with every call"
    );

    world.server.statements.refused.clear();
    world.pass(LONG_ENOUGH_MS);
    for name in ["api", "other", "third"] {
        let token = world.get(&scope(name)).expect("a token");
        assert_eq!(token.source, TokenSource::Cache, "{name}");
    }
    assert_eq!(world.server.seen.len(), before + 1);
    world.get(&scope("fourth")).expect("a token");
    assert_eq!(last_proof(&world), "certificate", "it is used again");
    let said = notices(&mut world);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("certificate `c` is left aside") && said[0].contains("7000214"));
    assert_eq!(said[1], "identity `app`: certificate `c` works again");
}

#[test]
fn two_uses_of_one_certificate_are_told_apart() {
    const CHAIN: &str = r#"{"certificate": {"name": "c", "send_x5c": true}}"#;
    let world = world(7, &[CERTIFICATE, CHAIN, SECRET]);
    let mut status = world.engine.status(world.now());
    let credentials = status.pop().expect("one identity").credentials.into_iter();
    let names: Vec<_> = credentials
        .map(|status| status.credential.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "certificate `c, credential[0]`",
            "certificate `c, credential[1]`",
            "client_secret `credential[2]`"
        ]
    );
}

#[test]
fn one_that_hangs_leaves_time_for_the_next() {
    let mut world = world(3, &[TOKEN_FILE, CERTIFICATE, SECRET]);
    world.file = File::Hanging;
    world
        .server
        .statements
        .refused
        .insert("certificate", 700_027);
    world.get(&scope("api")).expect("a token");
    assert_eq!(last_proof(&world), "secret");
    assert!(world.true_ms <= 11_000, "{} ms", world.true_ms);
}

#[test]
fn what_is_not_the_credential_s_fault_is_not_hidden_behind_the_next() {
    for mood in [
        Mood::Down,
        Mood::Sick,
        Mood::Page,
        Mood::Redirecting,
        Mood::Throttling {
            until_ms: 3_600_000,
            as_date: false,
        },
    ] {
        let mut world = world(4, &[CERTIFICATE, SECRET]);
        world.server.mood = mood.clone();
        let error = world.get(&scope("api")).expect_err("no token");
        assert!(
            !matches!(
                error.class(),
                ErrorClass::CredentialRejected | ErrorClass::CredentialUnavailable
            ),
            "{mood:?}: {error}"
        );
        let proofs = world.server.seen.iter().map(|seen| proof(&seen.form));
        assert!(
            proofs.clone().all(|proof| proof == "certificate"),
            "{mood:?}"
        );
        assert_eq!(notices(&mut world), [""; 0], "{mood:?}");
    }
}

#[test]
fn all_that_were_tried_are_in_the_error_and_tried_again_at_the_next_call() {
    let mut world = world(5, &[TOKEN_FILE, CERTIFICATE, SECRET]);
    world.file = File::Missing;
    let refused = &mut world.server.statements.refused;
    refused.insert("certificate", 700_027);
    refused.insert("secret", 7_000_222);
    let error = world.get(&scope("api")).expect_err("no token");
    let detail = error.detail();
    let name = detail.credential.as_ref().map(ToString::to_string);
    assert_eq!(name.as_deref(), Some("certificate `c`"));
    let others: Vec<_> = detail
        .attempts
        .iter()
        .map(|a| a.credential.to_string())
        .collect();
    assert_eq!(
        others,
        [
            "federated_token_file `credential[0]`",
            "client_secret `credential[2]`"
        ]
    );
    // nobody waits for one that is aside where all are
    world.server.statements.refused.clear();
    let forced = TokenRequest {
        refresh: Refresh::Force,
        ..scope("api")
    };
    world.get(&forced).expect("a token");
    assert_eq!(last_proof(&world), "certificate");
}

#[test]
fn the_status_says_how_each_stands() {
    let mut world = world(6, &[TOKEN_FILE, CERTIFICATE, SECRET]);
    world.file = File::Missing;
    let states = |world: &World| {
        let mut status = world.engine.status(world.now());
        let identity = status.pop().expect("one identity");
        let credentials = identity.credentials.into_iter();
        credentials.map(|c| c.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&world), vec![CredentialState::Untried; 3]);
    world.get(&scope("api")).expect("a token");
    let now_s = world.now().unix_ms / 1000;
    match states(&world).as_slice() {
        [
            CredentialState::Aside { failure, retry_on },
            CredentialState::Good(at),
            CredentialState::Untried,
        ] => {
            assert_eq!(failure.class, ErrorClass::CredentialUnavailable);
            assert!(failure.message.contains(FILE), "{failure:?}");
            assert!((now_s..=now_s + 8).contains(retry_on) && *at <= now_s);
        }
        other => panic!("{other:?}"),
    }
}

/// Whatever comes and goes: as long as one of them is here and accepted, everybody has a token, and never by one that
/// is not.
#[test]
fn one_good_credential_is_enough_in_every_world() {
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let mut order = vec![TOKEN_FILE, CERTIFICATE, SECRET];
        for place in (1..order.len()).rev() {
            order.swap(
                place,
                usize::try_from(dice.below(place as u64 + 1)).unwrap(),
            );
        }
        let mut world = world(seed, &order);
        let (mut changes, mut said) = (0, 0);
        for step in 0..60 {
            if dice.one_in(3) {
                changes += 1;
                world.file = match dice.below(3) {
                    0 => File::Missing,
                    1 => File::Hanging,
                    _ => token_file(),
                };
                for (proof, code) in [
                    ("token", [700_213, 700_024, 700_211]),
                    ("certificate", [700_027, 7_000_214, 1_000_502]),
                    ("secret", [7_000_215, 7_000_222, 7_000_274]),
                ] {
                    let refused = &mut world.server.statements.refused;
                    match dice.one_in(2) {
                        true => {
                            refused.insert(proof, code[usize::try_from(dice.below(3)).unwrap()])
                        }
                        false => refused.remove(proof),
                    };
                }
            }
            let refused = &world.server.statements.refused;
            let file_is_good =
                matches!(world.file, File::Text(_)) && !refused.contains_key("token");
            let any = file_is_good
                || !refused.contains_key("certificate")
                || !refused.contains_key("secret");
            let answer = world.get(&scope(&format!("s{step}")));
            if any {
                let token = answer.unwrap_or_else(|e| panic!("seed {seed} step {step}: {e:?}"));
                assert!(world.server.issued.contains_key(text(&token)));
            }
            said += notices(&mut world).len();
            world.pass(dice.below(20_000));
        }
        // each change may turn each of the three once, and be seen later
        assert!(
            said <= 3 * (changes + 1),
            "seed {seed}: {said} notices, {changes} changes"
        );
        world.settle();
        assert_eq!(
            world.open_identities, 0,
            "seed {seed}: each certificate was closed"
        );
    }
}

#[test]
fn one_that_was_refused_for_good_is_not_sent_again_while_another_is_waited_for() {
    let mut world = world(31, &[TOKEN_FILE, SECRET]);
    world.file = token_file();
    let refused = &mut world.server.statements.refused;
    refused.insert("token", 700_211);
    refused.insert("secret", 7_000_215);
    world.get(&scope("api")).expect_err("both are refused");
    let proofs = world.server.seen.iter().map(|seen| proof(&seen.form));
    let secrets = proofs.filter(|proof| *proof == "secret").count();
    assert_eq!(secrets, 1);
}

/// What `config check --try` asks: how ready each credential is.
fn problems(world: &mut World) -> Vec<String> {
    let ticket = world
        .engine
        .try_credentials(world.now(), None)
        .expect("a ticket");
    let trials = world.trials(ticket);
    let problem = |trial: edgepass_core::CredentialTrial| {
        trial
            .problem
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    trials.into_iter().map(problem).collect()
}

#[test]
fn an_assertion_that_has_ended_or_not_begun_is_not_ready() {
    let now = START_UNIX_MS / 1000;
    for (from, life, says) in [
        (now - 10, 3600, ""),
        (now, 1, ""),
        // clocks differ
        (now + 299, 3600, ""),
        (now + 301, 3600, "becomes valid in 5 min"),
        (now + 86_400, 3600, "becomes valid in 24 h"),
        // an exchange would still be tried with it
        (now - 100, 100, "expired 0 s ago"),
        (now - 130, 100, "expired 30 s ago"),
        (now - 90_000, 3600, "expired 24 h ago"),
    ] {
        let token = projected_token(from, life);
        let prebuilt = format!(r#"{{"client_assertion": {{"value": "{token}"}}}}"#);
        let mut world = world(1, &[TOKEN_FILE, &prebuilt, SECRET]);
        world.file = File::Text(token);
        let [file, prebuilt, secret] = problems(&mut world).try_into().expect("three");
        for problem in [file, prebuilt] {
            assert_eq!(says.is_empty(), problem.is_empty(), "{says}: {problem}");
            assert!(problem.contains(says), "{says}: {problem}");
        }
        assert_eq!(secret, "");
        assert_eq!(world.server.seen.len(), 0, "nothing is asked for");
    }
}
