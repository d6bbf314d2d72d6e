//! What the benchmark's clients have in common: each is a process of its own that does what the driver asks of it on
//! its standard input, times it, and answers with one line.
//!
//! | Asked | Answered |
//! |---|---|
//! | `cached BATCHES CALLS` | nanoseconds of each batch of calls that the client's cache answers |
//! | `inner BATCHES CALLS` | the same for calls that pass the outer cache; `null` when there is but one |
//! | `exchange COUNT` | nanoseconds of each exchange, after an untimed one that warms the connection |
//! | `memory` | `VmRSS` and `VmHWM` of the process, KiB |
//!
//! A client of users' tokens answers more:
//!
//! | Asked | Answered |
//! |---|---|
//! | `fill COUNT` | nanoseconds of each exchange for so many more users, whom the client makes up |
//! | `hits BATCHES CALLS` | nanoseconds of each batch of cached calls for these users, in an order that no processor foresees |
//! | `each FROM COUNT SOURCE` | nanoseconds of each call for so many of the users of [`USERS`], from that one on; the token must come from there: `exchange` or `cache` |
//!
//! With the argument `--once` a client gets one token, answers as to `memory`, and ends.

pub mod plot;

use std::fmt::Write as _;
use std::future::Future;
use std::hint::black_box;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// What every client asks for.
pub const SCOPE: &str = "https://graph.microsoft.com/.default";

/// Has a client get one token and end.
pub const ONCE: &str = "--once";

/// Names a file with a user's token in each line. With it a client asks on behalf of the first of them.
pub const USERS: &str = "EDGEPASS_BENCH_USERS";

/// What is asked for on behalf of users.
pub const USERS_SCOPE: &str = "https://graph.microsoft.com/User.Read";

/// A way to get tokens. Lengths are returned so that nothing can be optimised away.
pub trait Client {
    /// What is needed for one exchange.
    type Fresh;

    /// Gets a token, from the cache when it has one.
    fn cached(&self) -> impl Future<Output = Result<usize>>;

    /// The same past the outermost of two caches.
    fn inner(&self) -> Option<impl Future<Output = Result<usize>>>;

    /// Prepares an exchange; not timed.
    ///
    /// # Errors
    ///
    /// When the client cannot be made.
    fn fresh(&self) -> Result<Self::Fresh>;

    /// One exchange with the token endpoint, on a connection that is open already.
    fn exchange(&self, fresh: Self::Fresh) -> impl Future<Output = Result<usize>>;

    /// Nanoseconds of what only this client is asked for. `None` if it has nothing of the kind.
    fn other(&self, words: &[&str]) -> impl Future<Output = Result<Option<Vec<u128>>>> {
        let _ = words;
        async { Ok(None) }
    }
}

/// Serves the driver until it closes the pipe.
///
/// # Errors
///
/// When no token is to be had, or the driver asks for something unknown.
pub async fn serve(client: &impl Client) -> Result<()> {
    black_box(client.cached().await.context("no token")?);
    if std::env::args().nth(1).as_deref() == Some(ONCE) {
        return answer(&memory()?);
    }
    answer("null")?;
    // the pipe blocks the whole process: nobody measures anything meanwhile
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read what the driver wants")?;
        let words: Vec<&str> = line.split(' ').collect();
        let reply = match *words.as_slice() {
            ["cached", batches, calls] => {
                list(&batched(batches.parse()?, calls.parse()?, || client.cached()).await?)
            }
            ["inner", batches, calls] => match client.inner() {
                Some(first) => {
                    black_box(first.await?);
                    let call = || async {
                        match client.inner() {
                            Some(call) => call.await,
                            None => Ok(0),
                        }
                    };
                    list(&batched(batches.parse()?, calls.parse()?, call).await?)
                }
                None => "null".to_owned(),
            },
            ["exchange", count] => list(&exchanges(client, count.parse()?).await?),
            ["memory"] => memory()?,
            _ => match client.other(&words).await? {
                Some(times) => list(&times),
                None => bail!("`{line}` is not something to ask of a client"),
            },
        };
        answer(&reply)?;
    }
    Ok(())
}

async fn batched<F: Future<Output = Result<usize>>>(
    batches: usize,
    calls: usize,
    call: impl Fn() -> F,
) -> Result<Vec<u128>> {
    let mut times = Vec::with_capacity(batches);
    for _ in 0..batches {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(call().await?);
        }
        times.push(start.elapsed().as_nanos());
    }
    Ok(times)
}

async fn exchanges<C: Client>(client: &C, count: usize) -> Result<Vec<u128>> {
    black_box(client.exchange(client.fresh()?).await?);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let fresh = client.fresh()?;
        let start = Instant::now();
        black_box(client.exchange(fresh).await?);
        times.push(start.elapsed().as_nanos());
    }
    Ok(times)
}

fn answer(reply: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{reply}")
        .and_then(|()| out.flush())
        .context("cannot answer the driver")
}

fn list(times: &[u128]) -> String {
    let mut out = String::from("[");
    for (n, time) in times.iter().enumerate() {
        // writing to a string does not fail
        let _ = write!(out, "{}{time}", if n == 0 { "" } else { "," });
    }
    out.push(']');
    out
}

/// `{"rss": …, "peak": …}` of this process, KiB.
///
/// # Errors
///
/// Where there is no `/proc`.
pub fn memory() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("the benchmark needs Linux's /proc")?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .split_whitespace()
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .with_context(|| format!("no {name} in /proc/self/status"))
    };
    Ok(format!(
        "{{\"rss\":{},\"peak\":{}}}",
        field("VmRSS:")?,
        field("VmHWM:")?
    ))
}
