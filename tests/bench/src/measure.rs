//! The rounds.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use wait4::Wait4 as _;

use crate::emulator::Emulator;
use crate::instructions::{self, Counts};
use crate::peers::{Once, Peer, Programs, Who};
use crate::processors;
use crate::stats::Samples;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Batches of cached calls a round.
    pub(crate) batches: usize,
    /// Exchanges a round.
    pub(crate) exchanges: usize,
    /// New processes a round.
    pub(crate) processes: usize,
    /// How many times more operations are counted in the longer of two counts than in the shorter one.
    pub(crate) counted: u32,
}

impl Effort {
    /// Some minutes.
    pub(crate) const FULL: Self = Self {
        rounds: 30,
        batches: 100,
        exchanges: 50,
        processes: 4,
        counted: 10,
    };
    /// Some seconds, to see that it works.
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        batches: 20,
        exchanges: 20,
        processes: 2,
        counted: 2,
    };
}

impl Effort {
    /// Whether it is to be seen that it works, and no more.
    pub(crate) fn is_quick(self) -> bool {
        self.rounds <= Self::QUICK.rounds
    }
}

/// Cached calls in a batch: long beside what reading the clock costs, short beside the machine's time slices.
pub(crate) const CALLS: usize = 200;

/// What is timed in clients that keep running.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Figure {
    Cached,
    Inner,
    Exchange,
    /// The same with the client on one processor and the endpoint on another.
    Pinned,
}

/// Everything measured.
#[derive(Default)]
pub(crate) struct Results {
    /// Nanoseconds.
    pub(crate) times: BTreeMap<(Figure, Who), Samples>,
    /// Nanoseconds from before a process is made until it has ended.
    pub(crate) wall: BTreeMap<Once, Samples>,
    /// Nanoseconds of processor time, the kernel's included.
    pub(crate) cpu: BTreeMap<Once, Samples>,
    /// The most that such a process had resident, KiB.
    pub(crate) peak: BTreeMap<Once, Samples>,
    /// Instructions, where they could be counted.
    pub(crate) counts: Option<Counts>,
    /// What was not measured, and why.
    pub(crate) missing: Vec<String>,
}

/// One that got a token and ended.
struct Process {
    wall: f64,
    cpu: f64,
    kib: f64,
}

/// `outside` says why there are no system's roots that the clients could use.
pub(crate) fn all(
    programs: &Programs,
    emulator: &Emulator,
    effort: Effort,
    outside: Option<&str>,
) -> Result<Results> {
    let mut results = Results::default();
    let mut peers = BTreeMap::new();
    for who in Who::ALL {
        peers.insert(who, Peer::start(who, programs, emulator)?);
    }
    let processors = processors::all()?;
    if processors.len() < 2 {
        let why = "an exchange of a client that has a processor for itself: there is but one";
        results.missing.push(why.to_owned());
    }
    let starts: Vec<Once> = Once::ALL
        .into_iter()
        .filter(|what| outside.is_none() || !what.trusts_system())
        .collect();
    if let Some(why) = outside {
        let why = format!("a start with the system's certification authorities: {why}");
        results.missing.push(why);
    }
    for round in 0..effort.rounds {
        eprintln!("round {} of {}", round + 1, effort.rounds);
        for figure in [
            Figure::Cached,
            Figure::Inner,
            Figure::Exchange,
            Figure::Pinned,
        ] {
            for who in turns(Who::ALL.to_vec(), round) {
                let Some(peer) = peers.get_mut(&who) else {
                    continue;
                };
                let times = match figure {
                    Figure::Cached => cached(peer, "cached", effort)?,
                    Figure::Inner => cached(peer, "inner", effort)?,
                    Figure::Exchange => peer.times(&format!("exchange {}", effort.exchanges))?,
                    Figure::Pinned => pinned(peer, emulator, &processors, effort)?,
                };
                let samples = results.times.entry((figure, who)).or_default();
                samples.add(round, times);
            }
        }
        for _ in 0..effort.processes {
            for what in turns(starts.clone(), round) {
                let process = once(what, programs, emulator)?;
                let add = |to: &mut BTreeMap<Once, Samples>, value| {
                    to.entry(what).or_default().add(round, [value]);
                };
                add(&mut results.wall, process.wall);
                add(&mut results.cpu, process.cpu);
                add(&mut results.peak, process.kib);
            }
        }
    }
    drop(peers);
    results.counts = instructions::all(programs, emulator, effort, &starts)?;
    if results.counts.is_none() {
        let why = "instructions: valgrind is not installed";
        results.missing.push(why.to_owned());
    }
    Ok(results)
}

/// Exchanges of a client that shares no processor with the endpoint, and has no second one for a second thread.
fn pinned(peer: &mut Peer, emulator: &Emulator, all: &[usize], effort: Effort) -> Result<Vec<f64>> {
    let [first, second, ..] = all else {
        return Ok(Vec::new());
    };
    processors::bind(emulator.pid(), &[*first])?;
    processors::bind(peer.pid(), &[*second])?;
    let times = peer.times(&format!("exchange {}", effort.exchanges));
    processors::bind(peer.pid(), all)?;
    processors::bind(emulator.pid(), all)?;
    times
}

/// Whoever went first goes last in the next round.
pub(crate) fn turns<T>(mut all: Vec<T>, round: usize) -> impl Iterator<Item = T> {
    if round % 2 == 1 {
        all.reverse();
    }
    all.into_iter()
}

#[expect(clippy::cast_precision_loss, reason = "a count of calls is small")]
fn cached(peer: &mut Peer, question: &str, effort: Effort) -> Result<Vec<f64>> {
    let times = peer.times(&format!("{question} {} {CALLS}", effort.batches))?;
    Ok(times
        .into_iter()
        .map(|batch| batch / CALLS as f64)
        .collect())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of seconds and KiB of megabytes are exact"
)]
fn once(what: Once, programs: &Programs, emulator: &Emulator) -> Result<Process> {
    let mut command = programs.once(what, emulator);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {what:?}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = child.wait4().context("cannot wait for a child")?;
    let wall = start.elapsed();
    // a line or two each, which the pipes have held until now
    let out = rest(stdout)?;
    let err = rest(stderr)?;
    if !ended.status.success() || out.is_empty() {
        bail!(
            "{what:?} got no token ({}): {}",
            ended.status,
            err.trim_end()
        );
    }
    let kib = ended.rusage.maxrss / 1024;
    // the kernel counts what a child shares with its parent before it becomes another program
    let own: serde_json::Value = serde_json::from_str(&edgepass_bench::memory()?)?;
    if own
        .get("peak")
        .and_then(serde_json::Value::as_u64)
        .is_none_or(|own| own >= kib)
    {
        bail!("the benchmark itself has more resident than {what:?}: that measures nothing");
    }
    Ok(Process {
        wall: wall.as_nanos() as f64,
        cpu: (ended.rusage.utime + ended.rusage.stime).as_nanos() as f64,
        kib: kib as f64,
    })
}

fn rest(pipe: Option<impl Read>) -> Result<String> {
    let mut text = String::new();
    pipe.context("no pipe from a child")?
        .read_to_string(&mut text)
        .context("cannot read from a child")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::turns;

    #[test]
    fn every_other_round_is_reversed() {
        assert_eq!(turns(vec![1, 2, 3], 0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(turns(vec![1, 2, 3], 1).collect::<Vec<_>>(), [3, 2, 1]);
    }
}
