//! The rounds.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::load;
use crate::options::{MANY, Options};
use crate::proxy::Proxy;
use crate::upstream::{WITH, WITHOUT};
use crate::variant::Variant;
use crate::world::World;

/// Values of a variant, one a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) per_second: Vec<f64>,
    /// Microseconds of processor time of a request.
    pub(crate) cpu_us: Vec<f64>,
    pub(crate) p50_ms: Vec<f64>,
    pub(crate) p99_ms: Vec<f64>,
}

/// Everything measured.
#[derive(Default)]
pub(crate) struct Results {
    /// With [`MANY`] connections.
    pub(crate) many: BTreeMap<Variant, Rounds>,
    /// With one.
    pub(crate) single: BTreeMap<Variant, Rounds>,
    /// Milliseconds.
    pub(crate) starts: BTreeMap<Variant, Vec<f64>>,
    pub(crate) resident_kib: BTreeMap<Variant, u64>,
}

pub(crate) fn all(world: &World, options: Options) -> Result<Results> {
    let mut results = Results::default();
    for round in 0..options.starts {
        eprintln!("start {} of {}", round + 1, options.starts);
        for variant in turns(round) {
            let proxy = world.proxy(variant)?;
            let ms = proxy.started_in().as_secs_f64() * 1e3;
            results.starts.entry(variant).or_default().push(ms);
        }
    }
    let mut proxies = BTreeMap::new();
    for variant in Variant::ALL {
        let proxy = world.proxy(variant)?;
        world.check(variant, &proxy)?;
        // V8 compiles what is used often a second time, and better
        loaded(variant, &proxy, MANY, options)?;
        proxies.insert(variant, proxy);
    }
    for (connections, rounds) in [(MANY, options.rounds), (1, options.single_rounds)] {
        let into = if connections == MANY {
            &mut results.many
        } else {
            &mut results.single
        };
        for round in 0..rounds {
            eprintln!(
                "round {} of {rounds}, connections: {connections}",
                round + 1
            );
            for variant in turns(round) {
                let proxy = proxies.get(&variant).context("a variant is not running")?;
                loaded(variant, proxy, connections, options)?
                    .add_to(into.entry(variant).or_default());
            }
        }
    }
    for (variant, proxy) in &proxies {
        world.check(*variant, proxy)?;
        results.resident_kib.insert(*variant, proxy.resident_kib()?);
    }
    Ok(results)
}

/// Whoever went first goes last in the next round.
fn turns(round: usize) -> impl Iterator<Item = Variant> {
    let mut all = Variant::ALL;
    if round % 2 == 1 {
        all.reverse();
    }
    all.into_iter()
}

struct Sample {
    load: load::Load,
    cpu_us: f64,
}

impl Sample {
    fn add_to(&self, rounds: &mut Rounds) {
        rounds.per_second.push(self.load.per_second);
        rounds.cpu_us.push(self.cpu_us);
        rounds.p50_ms.push(self.load.p50_ms);
        rounds.p99_ms.push(self.load.p99_ms);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds and requests of some seconds are exact"
)]
fn loaded(variant: Variant, proxy: &Proxy, connections: usize, options: Options) -> Result<Sample> {
    let path = if variant.injects() { WITH } else { WITHOUT };
    let before = proxy.cpu_ns()?;
    let load = load::run(proxy.port(), path, connections, options.seconds)
        .with_context(|| format!("{}: {}", variant.name(), proxy.log()))?;
    let used = proxy.cpu_ns()?.saturating_sub(before);
    Ok(Sample {
        load,
        cpu_us: used as f64 / 1e3 / load.requests.max(1) as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::turns;
    use crate::variant::Variant;

    #[test]
    fn every_other_round_is_reversed() {
        let (first, second): (Vec<_>, Vec<_>) = (turns(0).collect(), turns(1).collect());
        assert_eq!(first, Variant::ALL);
        assert_eq!(second.into_iter().rev().collect::<Vec<_>>(), first);
    }
}
