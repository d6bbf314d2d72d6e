//! Address space: what components reserve of it, and what is said where it is limited. The limit is of a whole process,
//! so each case runs in one of its own: this program once more.

use std::process::Command;

use edgepass::Provider;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::providers::graph;
use crate::support::Lab;
use crate::until;

/// Tells the other process what to do: `PROVIDERS LIMIT`, MiB, with a `+` beyond what it has.
const CASE: &str = "EDGEPASS_TEST_ADDRESS_SPACE";

/// In the other process: that many providers, all of which are kept, and what becomes of a token from each.
#[tokio::test]
async fn child() {
    let Some(case) = std::env::var_os(CASE) else {
        return;
    };
    let case = case.into_string().unwrap();
    let (count, limit) = case.split_once(' ').unwrap();
    let lab = Lab::new();
    // what the first connection and the threads need is there
    let warm = lab.federated().build().await.unwrap();
    warm.get_token(&graph()).await.unwrap();
    drop(warm);
    // its task unmaps the memory when it is next run
    until(|| size_kib() < 4 << 20).await;
    if let Ok(mib) = limit.trim_start_matches('+').parse::<u64>() {
        let base = if limit.starts_with('+') {
            size_kib() << 10
        } else {
            0
        };
        let limit = Rlimit {
            current: Some(base + (mib << 20)),
            maximum: getrlimit(Resource::As).maximum,
        };
        setrlimit(Resource::As, limit).unwrap();
    }
    let mut kept: Vec<Provider> = Vec::new();
    for number in 1..=count.parse().unwrap() {
        match lab.federated().build().await {
            Ok(provider) => {
                match provider.get_token(&graph()).await {
                    Ok(token) => println!("case {number} token of {}", token.scope),
                    Err(error) => println!("case {number} call: {error}"),
                }
                kept.push(provider);
            }
            Err(error) => println!("case {number} build: {error}"),
        }
    }
}

/// The address space that this process has in use.
fn size_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let size = size.unwrap().trim().strip_suffix(" kB").unwrap();
    size.parse().unwrap()
}

/// What the other process says, a line for each provider.
fn case(providers: usize, limit: &str) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "address_space::child", "--nocapture"])
        .env(CASE, format!("{providers} {limit}"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // the first stands behind the name of the test
    said.lines()
        .filter_map(|line| Some(line.split_once("case ")?.1.to_owned()))
        .collect()
}

#[test]
fn a_limit_of_address_space_is_named_with_its_fix() {
    for (providers, limit, expected) in [
        (3, "none", &["token", "token", "token"][..]),
        (2, "+16384", &["token", "token"]),
        // room for one, with what the program itself takes meanwhile
        (2, "+6144", &["token", "call"]),
        (1, "4000", &["build"]),
    ] {
        let said = case(providers, limit);
        assert_eq!(said.len(), expected.len(), "{limit}: {said:?}");
        for (said, what) in said.iter().zip(expected) {
            let (_, said) = said.split_once(' ').unwrap();
            assert!(said.starts_with(what), "{limit}: {said}");
            for part in ["ulimit -v", "RLIMIT_AS", "MiB", "memory.max"] {
                assert_eq!(said.contains(part), *what != "token", "{part}: {said}");
            }
        }
    }
}
