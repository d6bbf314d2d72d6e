//! What users' tokens cost: a hit at ten, a thousand and a hundred thousand of them, in the engine alone and through the
//! component.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::emulator::Emulator;
use crate::measure::{Effort, turns};
use crate::peers::{Peer, Programs, Who};
use crate::stats::Samples;

/// Characters of a token, about what Entra ID's have.
const TOKEN: usize = 1_500;

/// Cached calls in a batch, and batches in a round.
const CALLS: usize = 100;

/// What was measured with so many users.
#[derive(Default)]
struct Row {
    users: usize,
    /// Nanoseconds of a hit in the engine; of a miss, which is the digest of the assertion and what finds nothing by it; of
    /// an exchange but for the network.
    hit: Samples,
    miss: Samples,
    exchange: Samples,
    /// Of it what it takes to keep the token.
    insertion: Samples,
    /// What each takes of the engine's process.
    bytes: Samples,
    /// Nanoseconds of a hit through the component, and what each takes of the client's process.
    inner: Samples,
    inner_bytes: f64,
}

/// The table.
pub(crate) fn table(programs: &Programs, emulator: &Emulator, effort: Effort) -> Result<String> {
    let sizes: &[usize] = match effort.is_quick() {
        true => &[10, 1_000],
        false => &[10, 1_000, 100_000],
    };
    let mut rows: Vec<Row> = Vec::from_iter(sizes.iter().map(|&users| Row {
        users,
        ..Row::default()
    }));
    for round in 0..effort.rounds.div_ceil(6) {
        eprintln!("the engine, round {}", round + 1);
        engine(programs, round, &mut rows)?;
    }
    component(programs, emulator, effort, &mut rows)?;
    shown(&rows)
}

/// One run of the engine's example, which has all sizes in turns.
fn engine(programs: &Programs, round: usize, rows: &mut [Row]) -> Result<()> {
    let sizes = rows.iter().map(|row| row.users.to_string());
    let output = Command::new(&programs.users)
        .args(sizes)
        .output()
        .context("cannot run the example `users` of edgepass-core")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    for line in String::from_utf8_lossy(&output.stdout).lines().skip(1) {
        let numbers: Vec<f64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("`{line}` is no line of numbers"))?;
        let &[users, hit, miss, exchange, insertion, bytes] = numbers.as_slice() else {
            bail!("`{line}` has not six numbers");
        };
        let of_size = rows
            .iter_mut()
            .find(|row| row.users.to_string() == users.to_string());
        let row = of_size.with_context(|| format!("nobody asked for {users} users"))?;
        row.hit.add(round, [hit]);
        row.miss.add(round, [miss]);
        row.exchange.add(round, [exchange]);
        row.insertion.add(round, [insertion]);
        row.bytes.add(round, [bytes]);
    }
    Ok(())
}

/// A client for each size, all in turns. The endpoint signs nothing for them: it answers all alike.
#[expect(clippy::cast_precision_loss, reason = "counts and KiB are small")]
fn component(
    programs: &Programs,
    emulator: &Emulator,
    effort: Effort,
    rows: &mut [Row],
) -> Result<()> {
    let body = json!({
        "access_token": "t".repeat(TOKEN),
        "token_type": "Bearer",
        "expires_in": 86_399,
    });
    let client = |name: &str| {
        let host = json!({ "user_token_cache_mib": 1024 });
        let command = emulator.with_secret(&programs.embedder, name, &host)?;
        Peer::of(Who::Edgepass, command)
    };
    let mut peers = Vec::new();
    for row in rows.iter() {
        peers.push(client(&format!("users-{}", row.users))?);
    }
    let fault = json!({
        "path": "/oauth2/v2.0/token",
        "times": null,
        "status": 200,
        "content_type": "application/json",
        "body": body.to_string(),
    });
    programs.controls(emulator, "faults", &fault, 1)?;
    for (row, peer) in rows.iter_mut().zip(&mut peers) {
        eprintln!("{} users of the component", row.users);
        let before = peer.resident_kib()?;
        peer.times(&format!("fill {}", row.users))?;
        let taken = peer.resident_kib()? - before;
        row.inner_bytes = taken * 1024.0 / row.users as f64;
    }
    for round in 0..effort.rounds {
        for n in turns((0..rows.len()).collect(), round) {
            let (Some(row), Some(peer)) = (rows.get_mut(n), peers.get_mut(n)) else {
                continue;
            };
            let batches = peer.times(&format!("hits {} {CALLS}", effort.batches.div_ceil(5)))?;
            let calls = batches.into_iter().map(|batch| batch / CALLS as f64);
            row.inner.add(round, calls);
        }
    }
    Ok(())
}

fn shown(rows: &[Row]) -> Result<String> {
    let Some(least) = rows.first() else {
        bail!("nothing was measured");
    };
    let us = |samples: &Samples| match samples.median() {
        Some(ns) => format!("{:.1} µs", ns / 1e3),
        None => "–".to_owned(),
    };
    let ratio = |own: &Samples, least: &Samples| match own.compared(least, |a, b| a / b) {
        Some(ratio) => format!("{ratio:.2}"),
        None => "–".to_owned(),
    };
    let mut out = String::from(
        "| cached tokens | hit, engine | to the fewest | of it the digest | exchange but for the network | of it the insertion | bytes of each | hit, component | to the fewest | bytes of each |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        // of few, what an allocator rounds up is more than what they take
        let is_many = row.users >= 10_000;
        let bytes = |bytes: Option<f64>| match bytes.filter(|_| is_many) {
            Some(bytes) => format!("{bytes:.0}"),
            None => "–".to_owned(),
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.users,
            us(&row.hit),
            ratio(&row.hit, &least.hit),
            us(&row.miss),
            us(&row.exchange),
            us(&row.insertion),
            bytes(row.bytes.median()),
            us(&row.inner),
            ratio(&row.inner, &least.inner),
            bytes(Some(row.inner_bytes)),
        )?;
    }
    Ok(out)
}
