//! The tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use edgepass_bench::plot::{Bar, Plot};

use crate::measure::{Results, Rounds};
use crate::options::{MANY, Options};
use crate::proxy;
use crate::stats::{median, paired, percentile};
use crate::variant::Variant;
use crate::world::World;

pub(crate) fn table(results: &Results, world: &World, options: Options) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "{MANY} connections:\n")?;
    writeln!(
        out,
        "| | requests/s | to no filter | to the injector | processor time of a request | over no filter | over the injector | p50 | p99 | resident | ready after |"
    )?;
    writeln!(
        out,
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )?;
    for variant in Variant::ALL {
        let row = Row::new(&results.many, variant)?;
        let cpu = format!(
            "{:.1} µs | {} | {}",
            row.median(|rounds| &rounds.cpu_us)?,
            row.difference(Variant::Plain, false)?,
            row.difference(Variant::Generic, true)?,
        );
        let kib = results
            .resident_kib
            .get(&variant)
            .context("no memory measured")?;
        let start = results
            .starts
            .get(&variant)
            .and_then(|starts| median(starts))
            .context("no start measured")?;
        writeln!(
            out,
            "| {} | {:.0} | {:.3} | {:.3} | {cpu} | {:.2} ms | {:.2} ms | {} | {start:.0} ms |",
            variant.name(),
            row.median(|rounds| &rounds.per_second)?,
            row.ratio(Variant::Plain)?,
            row.ratio(Variant::Generic)?,
            row.median(|rounds| &rounds.p50_ms)?,
            row.median(|rounds| &rounds.p99_ms)?,
            megabytes(kib.saturating_mul(1024)),
        )?;
    }
    writeln!(out, "\nOne connection:\n")?;
    writeln!(
        out,
        "| | requests/s | to no filter | to the injector | p50 | p99 |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|")?;
    for variant in Variant::ALL {
        let row = Row::new(&results.single, variant)?;
        writeln!(
            out,
            "| {} | {:.0} | {:.3} | {:.3} | {:.3} ms | {:.3} ms |",
            variant.name(),
            row.median(|rounds| &rounds.per_second)?,
            row.ratio(Variant::Plain)?,
            row.ratio(Variant::Generic)?,
            row.median(|rounds| &rounds.p50_ms)?,
            row.median(|rounds| &rounds.p99_ms)?,
        )?;
    }
    let module = std::fs::metadata(world.wasm())
        .context("cannot look at the module")?
        .len();
    writeln!(
        out,
        "\nEnvoy {}. Medians of {} rounds with {MANY} connections and {} with one, {} s each, the order reversed every \
         other round; starts: {}. Ratios and differences are medians of those within a round; in parentheses their \
         quartiles. \"The injector\" is `credential_injector` generic. The header is {} bytes long; every request \
         got 200 from an upstream that gives it for a token only. The module has {} bytes. {}.",
        proxy::version()?,
        options.rounds,
        options.single_rounds,
        options.seconds,
        options.starts,
        world.header_length(),
        module,
        machine()
    )?;
    Ok(out)
}

/// Requests beside those without a filter.
pub(crate) fn plot(results: &Results) -> Result<Plot> {
    let mut bars = Vec::new();
    for variant in Variant::ALL {
        if variant == Variant::Plain {
            continue;
        }
        let value = Row::new(&results.many, variant)?.ratio(Variant::Plain)?;
        bars.push(Bar {
            label: variant.name().replace('*', ""),
            value,
            text: format!("{value:.3}"),
            ours: matches!(variant, Variant::Edgepass | Variant::EdgepassUpstream),
        });
    }
    Ok(Plot {
        title: format!(
            "Requests per second, {MANY} connections, as a part of those without a filter"
        ),
        caption: "Longer is better; the dashed line is no filter.".to_owned(),
        bars,
        even: 1.0,
    })
}

/// A variant among the others.
struct Row<'a> {
    all: &'a BTreeMap<Variant, Rounds>,
    own: &'a Rounds,
}

impl<'a> Row<'a> {
    fn new(all: &'a BTreeMap<Variant, Rounds>, variant: Variant) -> Result<Self> {
        let own = all.get(&variant).context("a variant was not measured")?;
        Ok(Self { all, own })
    }

    fn median(&self, of: impl Fn(&Rounds) -> &Vec<f64>) -> Result<f64> {
        median(of(self.own)).context("no round was measured")
    }

    /// Requests per second to another's.
    fn ratio(&self, to: Variant) -> Result<f64> {
        let other = self.all.get(&to).context("a variant was not measured")?;
        let ratios = paired(&self.own.per_second, &other.per_second, |a, b| a / b);
        median(&ratios).context("no round was measured")
    }

    /// Processor time over another's.
    fn difference(&self, to: Variant, quartiles: bool) -> Result<String> {
        let other = self.all.get(&to).context("a variant was not measured")?;
        let differences = paired(&self.own.cpu_us, &other.cpu_us, |a, b| a - b);
        let at = |percent| percentile(&differences, percent).context("no round was measured");
        let mut text = format!("{:+.1} µs", at(50)?);
        if quartiles {
            write!(text, " ({:+.1} to {:+.1})", at(25)?, at(75)?)?;
        }
        Ok(text)
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes are exact")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The machine in general terms.
fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load: Vec<String> = read("/proc/loadavg")
        .split(' ')
        .take(3)
        .map(str::to_owned)
        .collect();
    format!(
        "{model}, {processors} processors, load average {} at the end",
        load.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::Row;
    use crate::measure::Rounds;
    use crate::variant::Variant;
    use std::collections::BTreeMap;

    #[test]
    fn variants_are_compared_within_their_rounds() {
        let rounds = |per_second: [f64; 3], cpu_us: [f64; 3]| Rounds {
            per_second: per_second.to_vec(),
            cpu_us: cpu_us.to_vec(),
            ..Rounds::default()
        };
        let all = BTreeMap::from([
            (
                Variant::Generic,
                rounds([100.0, 50.0, 200.0], [10.0, 20.0, 5.0]),
            ),
            (
                Variant::Edgepass,
                rounds([90.0, 45.0, 190.0], [12.0, 22.5, 6.0]),
            ),
        ]);
        let row = Row::new(&all, Variant::Edgepass).unwrap();
        assert!((row.ratio(Variant::Generic).unwrap() - 0.9).abs() < 1e-9);
        assert_eq!(
            row.difference(Variant::Generic, true).unwrap(),
            "+2.0 µs (+1.0 to +2.5)"
        );
    }
}
