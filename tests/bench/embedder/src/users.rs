//! What is asked about users' tokens.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use edgepass::{Grant, TokenRequest, TokenSource};
use edgepass_bench::USERS_SCOPE;

use crate::Edgepass;

/// Characters of an assertion that is made up, about what Entra ID's have.
const ASSERTION: usize = 1_500;

pub(crate) async fn answer(client: &Edgepass, words: &[&str]) -> Result<Option<Vec<u128>>> {
    Ok(Some(match *words {
        ["fill", count] => fill(client, count.parse()?).await?,
        ["hits", batches, calls] => hits(client, batches.parse()?, calls.parse()?).await?,
        ["each", from, count, source] => {
            let source = match source {
                "exchange" => TokenSource::Exchange,
                "cache" => TokenSource::Cache,
                _ => return Ok(None),
            };
            let users = client.users.iter().skip(from.parse()?);
            let users: Vec<&String> = users.take(count.parse()?).collect();
            let mut times = Vec::with_capacity(users.len());
            for user in users {
                times.push(timed(client, &of(user), source).await?);
            }
            times
        }
        _ => return Ok(None),
    }))
}

async fn fill(client: &Edgepass, count: u64) -> Result<Vec<u128>> {
    let from = client.filled.get();
    let mut times = Vec::new();
    for n in from..from + count {
        times.push(timed(client, &made_up(n), TokenSource::Exchange).await?);
    }
    client.filled.set(from + count);
    Ok(times)
}

async fn hits(client: &Edgepass, batches: usize, calls: u64) -> Result<Vec<u128>> {
    let users = client.filled.get();
    let mut times = Vec::with_capacity(batches);
    let mut n: u64 = 0;
    for _ in 0..batches {
        let mut requests = Vec::new();
        for _ in 0..calls {
            // the golden ratio (Knuth, volume 3, section 6.4): neighbours come far from each other
            let user = n.wrapping_mul(2_654_435_761).checked_rem(users);
            requests.push(made_up(user.context("nobody has a token yet")?));
            n += 1;
        }
        let start = Instant::now();
        for request in &requests {
            let token = client.provider.get_token(request).await?;
            if black_box(token).source != TokenSource::Cache {
                bail!("a user's token was not cached any more");
            }
        }
        times.push(start.elapsed().as_nanos());
    }
    Ok(times)
}

async fn timed(client: &Edgepass, request: &TokenRequest, from: TokenSource) -> Result<u128> {
    let start = Instant::now();
    let token = client.provider.get_token(request).await?;
    let time = start.elapsed().as_nanos();
    if token.source != from {
        bail!("a token came from {:?} instead of {from:?}", token.source);
    }
    Ok(time)
}

fn made_up(n: u64) -> TokenRequest {
    of(&format!("{n:0>ASSERTION$}"))
}

fn of(user: &str) -> TokenRequest {
    TokenRequest::for_scopes([USERS_SCOPE]).with_grant(Grant::on_behalf_of(user))
}
