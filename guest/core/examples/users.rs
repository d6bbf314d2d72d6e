//! What users cost an engine: the time of a hit and of an exchange without the network at ten, a thousand and a hundred
//! thousand cached tokens, and the memory of each. `cargo run --release -p edgepass-core --example users`.

use std::collections::BTreeMap;
use std::error::Error;

use edgepass_core::{
    Config, Effect, Engine, Environment, Grant, HttpResponse, Now, Outcome, Reply, Secret,
    SecretBytes, TokenRequest,
};

const CONFIG: &str = r#"{
    "identities": { "app": {
        "token_endpoint": "https://idp.example/token", "client_id": "c",
        "credential": { "client_secret": { "value": "secret" } }
    } },
    "authority_hosts": ["idp.example"],
    "host": { "user_token_cache_mib": 1024 }
}"#;

/// Characters of an assertion and of a token, both about what Entra ID's have.
const TEXT: usize = 1_500;

const HITS: u64 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    println!("tokens  hit, ns  miss, ns  exchange, ns  bytes each");
    // the largest first: later ones find memory that it has left
    for users in [100_000, 1_000, 10] {
        let mut engine = Engine::new(
            Config::load(Some(CONFIG), &Environment::default())?,
            [7; 32],
        );
        let now = Now {
            unix_ms: 1_793_491_200_000,
            mono_ms: 0,
        };
        let before = resident()?;
        // the last hundredth, and a thousand at least of a large number: those that find the others there
        let measured = (users / 100).max(users.min(1_000));
        let mut started = 0;
        for n in 0..users {
            if n == users - measured {
                started = processor_ns()?;
            }
            exchange(&mut engine, now, &of_user(n))?;
        }
        let exchange_ns = (processor_ns()? - started) / measured;
        let bytes = resident()?.saturating_sub(before) / users;
        // in an order that no cache of a processor foresees
        let requests: Vec<TokenRequest> = (0..HITS)
            .map(|k| of_user(k.wrapping_mul(2_654_435_761) % users))
            .collect();
        let started = processor_ns()?;
        for request in &requests {
            engine.fresh(now, request).ok_or("it is cached")?;
        }
        let hit_ns = (processor_ns()? - started) / HITS;
        let started = processor_ns()?;
        for request in &requests {
            let other = TokenRequest {
                scopes: vec!["none".to_owned()],
                ..request.clone()
            };
            if engine.fresh(now, &other).is_some() {
                return Err("nobody has that".into());
            }
        }
        let miss_ns = (processor_ns()? - started) / HITS;
        println!("{users:>6}  {hit_ns:>7}  {miss_ns:>7}  {exchange_ns:>12}  {bytes:>10}");
    }
    Ok(())
}

fn of_user(n: u64) -> TokenRequest {
    let assertion = format!("{n:0>TEXT$}");
    TokenRequest::for_scopes(["https://api.example/read"])
        .with_grant(Grant::JwtBearer(Secret::new(assertion)))
}

/// All that the engine does for a token that is not there: form, answer, cache.
fn exchange(engine: &mut Engine, now: Now, request: &TokenRequest) -> Result<(), Box<dyn Error>> {
    let Reply::Pending(ticket) = engine.request(now, request) else {
        return Err("it was there".into());
    };
    let Some((id, Effect::Http { .. })) = engine.next_effect() else {
        return Err("nothing is asked".into());
    };
    let answer = BTreeMap::from([
        ("access_token", format!("{:0>TEXT$}", 1)),
        ("token_type", "Bearer".to_owned()),
        ("expires_in", "3600".to_owned()),
    ]);
    let body = SecretBytes::new(serde_json::to_vec(&answer)?);
    let response = HttpResponse {
        status: 200,
        headers: Vec::new(),
        body,
    };
    engine.complete(id, Outcome::Http(Ok(response)), now);
    engine.take(ticket).ok_or("no answer")?;
    Ok(())
}

/// What this thread has had of a processor: others who are busy count little.
fn processor_ns() -> Result<u64, Box<dyn Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let on = statistics.split(' ').next().ok_or("no number")?;
    Ok(on.parse()?)
}

/// Resident memory of this process, bytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split(' ').nth(1).ok_or("no number")?;
    Ok(resident.parse::<u64>()? * 4096)
}
