//! Instances that share their tokens by a store: each is an engine in a world of its own, and all of them have one store.

// tells the lints that helpers are test code too
#![cfg(test)]

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use edgepass_core::{
    AccessToken, Config, Counters, Environment, Error, Refresh, StoreRequest, TokenRequest,
    TokenSource, TokenType, limits,
};
use serde_json::{Value, json};
use support::{START_UNIX_MS, Store, StoreMood, World, scope, text};

/// Some instances and what they share.
struct Fleet {
    worlds: Vec<World>,
    store: Rc<RefCell<Store>>,
}

/// A client that authenticates so.
fn config(credential: &Value, users: bool) -> Value {
    json!({
        "identities": { "app": {
            "token_endpoint": "https://idp.test/token", "client_id": "c", "credential": credential,
        } },
        "certificates": { "k": { "certificate_file": "/k.pem" } },
        "authority_hosts": ["idp.test"],
        "host": { "token_store": {
            "url": "redis://store.test", "encryption_keys_file": "/keys", "users": users,
        } },
    })
}

fn secret() -> Value {
    json!({ "client_secret": { "value": "hunter2" } })
}

fn certificate() -> Value {
    json!({ "certificate": { "name": "k" } })
}

fn engine_of(config: &Value) -> Config {
    let text = config.to_string();
    Config::load(Some(&text), &Environment::default()).expect("a good configuration")
}

impl Fleet {
    fn new(size: u64, config: &Value) -> Self {
        let store: Rc<RefCell<Store>> = Rc::default();
        let worlds = (0..size).map(|seed| {
            let mut world = World::with_config(seed, engine_of(config));
            world.store = Rc::clone(&store);
            world.engine.use_token_store();
            world.server.statements.first = 1_000 * usize::try_from(seed).expect("few");
            world
        });
        Self {
            worlds: worlds.collect(),
            store,
        }
    }

    /// Everybody asks at once; what comes of it, in order.
    fn all_ask(&mut self, request: &TokenRequest) -> Vec<Result<AccessToken, Error>> {
        let mut answers: Vec<_> = self
            .worlds
            .iter_mut()
            .map(|world| world.ask(request))
            .collect();
        loop {
            let open = answers.iter().any(Result::is_err);
            let next = self.next_ms();
            let (true, Some(next)) = (open, next) else {
                break;
            };
            for (world, answer) in self.worlds.iter_mut().zip(&mut answers) {
                world.run_until(next);
                if let Err(ticket) = *answer
                    && let Some(come) = world.answer(ticket)
                {
                    *answer = Ok(come);
                }
            }
        }
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.expect("everybody is answered"))
            .collect()
    }

    /// One asks, and time passes for all.
    fn ask(&mut self, at: usize, request: &TokenRequest) -> Result<AccessToken, Error> {
        let world = &mut self.worlds[at];
        let answer = world.get(request);
        world.settle_effects();
        let now_ms = world.true_ms;
        self.worlds
            .iter_mut()
            .for_each(|world| world.run_until(now_ms));
        answer
    }

    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms() + ms;
        while let Some(next) = self.next_ms().filter(|next| *next <= until_ms) {
            for world in &mut self.worlds {
                world.run_until(next);
            }
        }
        for world in &mut self.worlds {
            world.run_until(until_ms);
        }
    }

    fn now_ms(&self) -> u64 {
        let times = self.worlds.iter().map(|world| world.true_ms);
        times.max().unwrap_or_default()
    }

    fn next_ms(&self) -> Option<u64> {
        self.worlds.iter().filter_map(World::next_ms).min()
    }

    fn exchanges(&self) -> usize {
        self.worlds
            .iter()
            .map(|world| world.server.seen.len())
            .sum()
    }

    fn counters(&self, at: usize) -> Counters {
        let world = &self.worlds[at];
        let status = world.engine.status(world.now());
        status[0].counters
    }

    /// The one entry that is no lease, changed.
    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut store = self.store.borrow_mut();
        let mut entries = store.entries.values_mut();
        let (value, _) = entries
            .find(|(value, _)| !value.is_empty())
            .expect("an entry");
        let mut json = serde_json::from_slice(value).expect("JSON");
        edit(&mut json);
        *value = json.to_string().into_bytes();
    }
}

#[test]
fn a_fleet_that_starts_together_asks_once() {
    for size in [2, 50] {
        let mut fleet = Fleet::new(size, &config(&secret(), false));
        let answers = fleet.all_ask(&scope("graph"));
        assert_eq!(fleet.exchanges(), 1);
        let tokens: Vec<_> = answers
            .into_iter()
            .map(|token| token.expect("a token"))
            .collect();
        assert!(tokens.iter().all(|token| text(token) == text(&tokens[0])));
        let asked = tokens.iter().filter(|t| t.source == TokenSource::Exchange);
        assert_eq!(asked.count(), 1);
        for at in 0..fleet.worlds.len() {
            let Counters {
                exchanges,
                store_hits,
                store_failures,
                ..
            } = fleet.counters(at);
            assert_eq!((exchanges + store_hits, store_failures), (1, 0));
        }
        // the lease is given back, and each has its own from now on
        let entries = fleet.store.borrow().entries.len();
        assert_eq!(entries, 1);
        let asked = fleet.store.borrow().asked.len();
        fleet.all_ask(&scope("graph"));
        assert_eq!(fleet.store.borrow().asked.len(), asked);
    }
}

#[test]
fn one_refreshes_and_the_others_take_it() {
    let mut fleet = Fleet::new(10, &config(&secret(), false));
    fleet.all_ask(&scope("graph"));
    for round in 2..6 {
        // half of its life, with some jitter
        fleet.pass(1_900_000);
        let before = fleet.all_ask(&scope("graph"));
        assert!(
            before
                .iter()
                .all(|token| token.as_ref().is_ok_and(|t| t.source == TokenSource::Cache))
        );
        fleet.pass(20_000);
        let after = fleet.all_ask(&scope("graph"));
        assert_eq!(fleet.exchanges(), round);
        let after: Vec<_> = after
            .iter()
            .map(|t| text(t.as_ref().expect("a token")))
            .collect();
        assert!(after.iter().all(|token| *token == after[0]));
    }
}

/// What a store does not do costs an exchange and nobody a token.
#[test]
fn a_store_that_fails_costs_no_request() {
    for mood in [StoreMood::Down, StoreMood::Silent, StoreMood::Full] {
        let mut fleet = Fleet::new(5, &config(&secret(), false));
        fleet.store.borrow_mut().mood = mood;
        let before_ms = fleet.now_ms();
        for answer in fleet.all_ask(&scope("graph")) {
            assert_eq!(
                answer.expect("a token").source,
                TokenSource::Exchange,
                "{mood:?}"
            );
        }
        // it waits for a store that hangs once before the exchange, and once when it has a token for it
        let most_ms = 2 * limits::TOKEN_STORE_TIMEOUT_MS + 1_000;
        assert!(fleet.now_ms() - before_ms < most_ms, "{mood:?}");
        assert_eq!(fleet.exchanges(), 5);
        assert!(fleet.counters(0).store_failures > 0);
        // whoever has the store knows more of it, and says so
        assert_eq!(fleet.worlds[0].engine.next_notice(), None);
    }
}

/// Whoever has the lease and dies keeps the others waiting for as long as it lasts, and then one of them asks.
#[test]
fn a_holder_that_dies_costs_its_lease() {
    let mut fleet = Fleet::new(10, &config(&secret(), false));
    fleet.worlds[0]
        .ask(&scope("graph"))
        .expect_err("nothing is cached");
    while fleet.exchanges() == 0 {
        let next = fleet.worlds[0].next_ms().expect("it asks");
        fleet.worlds[0].run_until(next);
    }
    fleet.worlds.remove(0);
    let before_ms = fleet.now_ms();
    for answer in fleet.all_ask(&scope("graph")) {
        answer.expect("a token");
    }
    assert_eq!(fleet.exchanges(), 1);
    let took_ms = fleet.now_ms() - before_ms;
    assert!(took_ms < limits::TOKEN_LEASE_S * 1000 + 2_000, "{took_ms}");
}

/// Nobody waits longer for another instance than for the server.
#[test]
fn a_lease_that_never_ends_is_waited_for_within_bounds() {
    let mut fleet = Fleet::new(2, &config(&secret(), false));
    fleet.all_ask(&scope("other"));
    let lease = fleet
        .store
        .borrow()
        .asked
        .iter()
        .find_map(|asked| match asked {
            StoreRequest::Put {
                key,
                only_if_absent: true,
                ..
            } => Some(key.clone()),
            _ => None,
        });
    let token = fleet
        .store
        .borrow()
        .entries
        .keys()
        .next()
        .cloned()
        .expect("an entry");
    let lease = lease.expect("a lease");
    fleet.store.borrow_mut().entries.remove(&token);
    fleet
        .store
        .borrow_mut()
        .entries
        .insert(lease, (Vec::new(), u64::MAX));
    let mut late = Fleet::new(1, &config(&secret(), false));
    late.worlds[0].server.statements.first = 100_000;
    late.worlds[0].store = Rc::clone(&fleet.store);
    late.all_ask(&scope("other"))[0].as_ref().expect("a token");
    let took_ms = late.now_ms();
    let least_ms = limits::TOKEN_LEASE_S * 1000;
    assert!(
        (least_ms..limits::TOKEN_LEASE_WAIT_MS + 2_000).contains(&took_ms),
        "{took_ms}"
    );
}

#[test]
fn a_new_token_is_asked_for_and_replaces_what_is_there() {
    for (claims, refresh) in [
        (None, Refresh::Force),
        (
            Some(r#"{"access_token":{"nbf":{"essential":true}}}"#),
            Refresh::IfNeeded,
        ),
    ] {
        let mut fleet = Fleet::new(3, &config(&secret(), false));
        fleet.all_ask(&scope("graph"));
        let asked = fleet.store.borrow().asked.len();
        let request = TokenRequest {
            claims: claims.map(str::to_owned),
            refresh,
            ..scope("graph")
        };
        fleet.pass(1_000);
        let token = fleet.ask(1, &request).expect("a token");
        assert_eq!(
            (token.source, fleet.exchanges()),
            (TokenSource::Exchange, 2)
        );
        let store = fleet.store.borrow();
        let reads = store.asked[asked..]
            .iter()
            .filter(|asked| !matches!(asked, StoreRequest::Put { .. }));
        assert_eq!(reads.count(), 0, "it is not even looked at");
        drop(store);
        // whoever comes now gets the new one
        let mut late = Fleet::new(1, &config(&secret(), false));
        late.worlds[0].server.statements.first = 100_000;
        late.worlds[0].store = Rc::clone(&fleet.store);
        late.worlds[0].true_ms = fleet.now_ms();
        let other = late.ask(0, &scope("graph")).expect("a token");
        assert_eq!((text(&other), late.exchanges()), (text(&token), 0));
    }
}

/// A token that a resource has refused does not come back from the store, and its successor does.
#[test]
fn a_refused_token_does_not_come_back() {
    let mut fleet = Fleet::new(2, &config(&secret(), false));
    let old = fleet.all_ask(&scope("graph"))[0].clone().expect("a token");
    let digest = old.token.sha256_hex();
    fleet.pass(60_000);
    for at in 0..2 {
        let world = &mut fleet.worlds[at];
        let now = world.now();
        world
            .engine
            .report_rejection(now, &scope("graph"), &digest, None)
            .expect("taken");
        let next = fleet.ask(at, &scope("graph")).expect("a token");
        assert_ne!(next.token, old.token);
        assert_eq!(fleet.exchanges(), 2, "one for both");
    }
    // of one who has none and knows what was refused
    let mut late = Fleet::new(1, &config(&secret(), false));
    late.worlds[0].server.statements.first = 100_000;
    late.worlds[0].store = Rc::clone(&fleet.store);
    late.worlds[0].true_ms = fleet.now_ms();
    let stored = fleet.ask(0, &scope("graph")).expect("cached");
    let request = scope("graph").with_refresh(Refresh::IfTokenIs(stored.token.sha256_hex()));
    late.worlds[0].server.lifetime_s = 1_234;
    let other = late.ask(0, &request).expect("a token");
    assert_eq!((other.source, late.exchanges()), (TokenSource::Exchange, 1));
}

/// Whoever drops gets a token anew, and drops what others have put into the store up to then: of an instance that has had
/// nothing to do for long as well, which no timer has told how late it is.
#[test]
fn what_was_dropped_does_not_come_back() {
    for is_idle in [false, true] {
        let mut fleet = Fleet::new(2, &config(&secret(), false));
        fleet.all_ask(&scope("graph"));
        match is_idle {
            false => fleet.pass(60_000),
            true => {
                // past the moment of a refresh: the other one renews what is in the store
                let later = fleet.now_ms() + 2_000_000;
                fleet.worlds[1].run_until(later);
                _ = fleet.worlds[1].get(&scope("graph"));
                fleet.worlds[1].settle_effects();
                fleet.worlds[0].true_ms = fleet.worlds[1].true_ms + 60_000;
            }
        }
        let before = fleet.exchanges();
        assert_eq!(before, 1 + usize::from(is_idle));
        let now = fleet.worlds[0].now();
        fleet.worlds[0].engine.drop_cached(now, None);
        fleet.ask(0, &scope("graph")).expect("a token");
        assert_eq!(fleet.exchanges(), before + 1, "idle: {is_idle}");
        fleet.pass(60_000);
        let now = fleet.worlds[1].now();
        fleet.worlds[1].engine.drop_cached(now, Some("another"));
        fleet.ask(1, &scope("graph")).expect("a token");
        assert_eq!(fleet.exchanges(), before + 1, "idle: {is_idle}");
    }
}

/// What was got with a certificate that has been replaced is not taken, nor what is bound to another's.
#[test]
fn a_token_of_another_certificate_is_not_taken() {
    let bound = json!({ "bound_certificate": { "name": "k" } });
    for (credential, token_type) in [
        (certificate(), TokenType::Bearer),
        (bound.clone(), TokenType::Bearer),
        (bound, TokenType::MtlsPop),
    ] {
        for same in [true, false] {
            let mut fleet = Fleet::new(2, &config(&credential, false));
            if !same {
                fleet.worlds[1].certificate = b"certificate two".to_vec();
            }
            if token_type == TokenType::MtlsPop {
                for world in &mut fleet.worlds {
                    world.server.statements.token_type = Some("mtls_pop");
                }
            }
            let request = scope("graph").with_token_type(token_type);
            fleet.ask(0, &request).expect("a token");
            fleet.ask(1, &request).expect("a token");
            assert_eq!(fleet.exchanges(), if same { 1 } else { 2 });
            let ignored = fleet.counters(1).store_ignored;
            assert_eq!(ignored > 0, !same);
            let notice = fleet.worlds[1].engine.next_notice();
            assert_eq!(
                notice.is_some_and(|said| said.contains("another certificate")),
                !same
            );
        }
    }
}

/// Whatever is wrong with an entry, it is as if it were not there, and said once.
#[test]
fn an_entry_that_is_not_fit_is_ignored() {
    type Edit = fn(&mut Value);
    let cases: &[(&str, Edit)] = &[
        ("cannot be read", |json| *json = json!("text")),
        ("cannot be read", |json| *json = json!({})),
        ("cannot be read", |json| json["v"] = json!(2)),
        ("cannot be read", |json| json["token"] = json!("a\r\nx: y")),
        ("cannot be read", |json| json["token"] = json!("")),
        ("cannot be read", |json| json["type"] = json!("a b")),
        ("cannot be read", |json| json["expires"] = json!("soon")),
        ("cannot be read", |json| json["obtained"] = Value::Null),
        ("another token's", |json| {
            json["key"] = json!("0".repeat(64));
        }),
        ("of the future", |json| {
            json["obtained"] = json!(START_UNIX_MS + 86_400_000);
        }),
        ("has expired", |json| json["expires"] = json!(START_UNIX_MS)),
        ("longer than any", |json| json["expires"] = json!(u64::MAX)),
        ("another certificate", |json| {
            json["thumbprint"] = json!("of somebody");
        }),
        ("another certificate", |json| {
            json["state"] = json!("of somebody");
            json["credential"] = json!(7);
        }),
    ];
    for (says, edit) in cases {
        let mut fleet = Fleet::new(2, &config(&secret(), false));
        fleet.ask(0, &scope("graph")).expect("a token");
        fleet.edit(edit);
        let token = fleet.ask(1, &scope("graph")).expect("a token");
        assert_eq!(
            (token.source, fleet.exchanges()),
            (TokenSource::Exchange, 2),
            "{says}"
        );
        let world = &mut fleet.worlds[1];
        let notices: Vec<String> = std::iter::from_fn(|| world.engine.next_notice()).collect();
        assert_eq!(notices.len(), 1, "{says}: {notices:?}");
        assert!(
            notices[0].contains(says) && !notices[0].contains("x: y"),
            "{notices:?}"
        );
        assert!(fleet.counters(1).store_ignored > 0);
    }
}

/// Each of what tells tokens apart tells them apart in the store; and nothing of it is to be read there.
#[test]
fn different_tokens_have_different_keys() {
    let base = config(&secret(), false);
    let mut other_client = base.clone();
    other_client["identities"]["app"]["client_id"] = json!("d");
    let mut other_server = base.clone();
    other_server["identities"]["app"]["token_endpoint"] = json!("https://idp.test/other");
    let mut other_resource = base.clone();
    other_resource["identities"]["app"]["resources"] = json!(["https://api.test/"]);
    let renamed = json!({ "b": base["identities"]["app"] });
    let mut same = base.clone();
    same["identities"] = renamed;
    let key = |config: &Value, request: &TokenRequest| {
        let mut fleet = Fleet::new(1, config);
        fleet.ask(0, request).expect("a token");
        let store = fleet.store.borrow();
        assert_eq!(store.entries.len(), 1);
        store.entries.keys().next().cloned().expect("an entry")
    };
    let plain = key(&base, &scope("graph"));
    assert!(plain.len() == 64 && plain.bytes().all(|b| b.is_ascii_hexdigit()));
    // the name that one instance gives to its identity is its own affair
    assert_eq!(key(&same, &scope("graph")), plain);
    let mut keys = vec![
        plain,
        key(&base, &scope("vault")),
        key(&other_client, &scope("graph")),
        key(&other_server, &scope("graph")),
        key(&other_resource, &scope("graph")),
    ];
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5);
}

/// Without the section, or a driver that answers for it, nothing is asked of any store.
#[test]
fn without_a_store_nothing_changes() {
    let mut without = config(&secret(), false);
    without["host"] = json!({});
    let mut fleet = Fleet::new(2, &without);
    fleet.all_ask(&scope("graph"));
    assert_eq!(
        (fleet.exchanges(), fleet.store.borrow().asked.len()),
        (2, 0)
    );
    let mut world = World::with_config(1, engine_of(&config(&secret(), false)));
    world.get(&scope("graph")).expect("a token");
    assert_eq!(world.store.borrow().asked.len(), 0);
}
