//! What users cost an engine: the time of a hit and of an exchange without the network at ten, a thousand and a hundred
//! thousand cached tokens, or at those numbers that it is given, and the memory of each.
//! `cargo run --release -p edgepass-core --example users`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use edgepass_core::{
    Config, Effect, Engine, Environment, Grant, HttpResponse, Now, Outcome, Reply, Secret,
    SecretBytes, TokenRequest, TokenType,
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

/// Of each size, in so many turns: whatever else the machine does meets all sizes, and few of their turns. Medians are told.
const HITS: u64 = 40_000;
const TURNS: usize = 200;

/// An engine with the tokens of so many users, and what was measured.
struct Filled {
    engine: Engine,
    users: u64,
    requests: Vec<TokenRequest>,
    exchange_ns: u64,
    /// Of it what it takes to keep the token.
    insertion_ns: u64,
    bytes: u64,
    /// Of each turn.
    hit_ns: Vec<u64>,
    miss_ns: Vec<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut sizes: Vec<u64> = std::env::args()
        .skip(1)
        .map(|size| size.parse())
        .collect::<Result<_, _>>()?;
    if sizes.is_empty() {
        sizes = vec![10, 1_000, 100_000];
    }
    // the largest first: later ones find memory that it has left
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let now = Now {
        unix_ms: 1_793_491_200_000,
        mono_ms: 0,
    };
    let mut all = Vec::new();
    for users in sizes {
        all.push(filled(users, now)?);
    }
    for turn in 0..TURNS {
        for filled in &mut all {
            take_turn(filled, turn, now)?;
        }
        all.reverse();
    }
    all.sort_unstable_by_key(|filled| filled.users);
    println!("tokens  hit, ns  miss, ns  exchange, ns  insertion, ns  bytes each");
    for filled in &mut all {
        let (hit_ns, miss_ns) = (median(&mut filled.hit_ns), median(&mut filled.miss_ns));
        let Filled {
            users,
            exchange_ns,
            insertion_ns,
            bytes,
            ..
        } = filled;
        println!(
            "{users:>6}  {hit_ns:>7}  {miss_ns:>7}  {exchange_ns:>12}  {insertion_ns:>13}  {bytes:>10}"
        );
    }
    Ok(())
}

fn filled(users: u64, now: Now) -> Result<Filled, Box<dyn Error>> {
    let mut engine = Engine::new(
        Config::load(Some(CONFIG), &Environment::default())?,
        [7; 32],
    );
    let before = resident()?;
    let (mut kept, mut spent) = (Vec::new(), Vec::new());
    for n in 0..users {
        kept.push(timed(&mut engine, now, &of_user(n))?);
    }
    let bytes = resident()?.saturating_sub(before) / users;
    // beside exchanges whose tokens are not kept, because what they present is spent; those of a large number find the others
    // there
    let measured = users.min(1_000);
    let mut kept = kept.split_off(usize::try_from(users - measured)?);
    for n in 0..measured {
        let grant = Grant::RefreshToken(Secret::new(format!("{n:0>TEXT$}")));
        spent.push(timed(&mut engine, now, &of_user(n).with_grant(grant))?);
    }
    let exchange_ns = median(&mut kept);
    let insertion_ns = exchange_ns.saturating_sub(median(&mut spent));
    // in an order that no cache of a processor foresees
    let requests = (0..HITS).map(|k| of_user(k.wrapping_mul(2_654_435_761) % users));
    Ok(Filled {
        engine,
        users,
        requests: requests.collect(),
        exchange_ns,
        insertion_ns,
        bytes,
        hit_ns: Vec::new(),
        miss_ns: Vec::new(),
    })
}

/// The next of the hits, and as many questions for what nobody has.
fn take_turn(filled: &mut Filled, turn: usize, now: Now) -> Result<(), Box<dyn Error>> {
    let Filled {
        engine, requests, ..
    } = filled;
    let each = requests.len() / TURNS;
    let requests = requests.iter().skip(turn * each).take(each);
    let started = Instant::now();
    for request in requests.clone() {
        engine.fresh(now, request).ok_or("it is cached")?;
    }
    let hit = started.elapsed().as_nanos() / each as u128;
    let others: Vec<TokenRequest> = requests
        .map(|request| request.clone().with_token_type(TokenType::MtlsPop))
        .collect();
    let started = Instant::now();
    for other in &others {
        if engine.fresh(now, other).is_some() {
            return Err("nobody has that".into());
        }
    }
    let miss = started.elapsed().as_nanos() / each as u128;
    filled.hit_ns.push(u64::try_from(hit)?);
    filled.miss_ns.push(u64::try_from(miss)?);
    Ok(())
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn of_user(n: u64) -> TokenRequest {
    let assertion = format!("{n:0>TEXT$}");
    TokenRequest::for_scopes(["https://api.example/read"])
        .with_grant(Grant::JwtBearer(Secret::new(assertion)))
}

/// Nanoseconds of an exchange.
fn timed(engine: &mut Engine, now: Now, request: &TokenRequest) -> Result<u64, Box<dyn Error>> {
    let started = Instant::now();
    exchange(engine, now, request)?;
    Ok(u64::try_from(started.elapsed().as_nanos())?)
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

/// Resident memory of this process, bytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split(' ').nth(1).ok_or("no number")?;
    Ok(resident.parse::<u64>()? * 4096)
}
