//! The table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use edgepass_bench::plot::{Bar, Plot};

use crate::measure::{CALLS, Effort, Figure, Results};
use crate::peers::{Native, Once, Programs, Who};
use crate::stats::Samples;

/// The version that `tests/bench/azure` is locked to.
const AZURE_RUST: &str = "1.0.0";

/// Who has what row.
struct Rows<'r> {
    results: &'r Results,
}

impl Rows<'_> {
    fn times(&self, figure: Figure, who: Who) -> Option<&Samples> {
        self.results.times.get(&(figure, who))
    }

    fn timed(&self, figure: Figure, about: &str, aim: &str) -> Row {
        let counts = self.results.counts.as_ref();
        let count = |who| {
            counts
                .and_then(|counts| counts.operations.get(&(figure, who)))
                .copied()
        };
        let cells = Who::ALL.map(|who| shown(self.times(figure, who), time));
        Row {
            cells,
            ratio: ratio(
                self.times(figure, Who::Edgepass),
                self.times(figure, Who::Azure),
            ),
            instructions: instructions(count(Who::Edgepass), count(Who::Azure)),
            ..Row::of(about, aim)
        }
    }

    /// What the kernel says of new processes.
    fn processes(
        &self,
        all: &BTreeMap<Once, Samples>,
        edgepass: Once,
        about: &str,
        aim: &str,
        show: Show,
    ) -> Row {
        let others = match edgepass {
            Once::SystemRoots(_) => [Some(Once::SystemRoots(Native::Azure)), None],
            _ => [Who::Azure, Who::Python].map(|who| Some(Once::Client(who))),
        };
        let [azure, python] = others.map(|what| what.and_then(|what| all.get(&what)));
        let own = all.get(&edgepass);
        Row {
            cells: [own, azure, python].map(|samples| shown(samples, show)),
            ratio: ratio(own, azure),
            ..Row::of(about, aim)
        }
    }

    /// The same with the instructions of such a process.
    fn counted(&self, edgepass: Once, row: Row) -> Row {
        let counts = self.results.counts.as_ref();
        let count = |what| counts.and_then(|counts| counts.starts.get(&what)).copied();
        let azure = match edgepass {
            Once::SystemRoots(_) => Once::SystemRoots(Native::Azure),
            _ => Once::Client(Who::Azure),
        };
        Row {
            instructions: instructions(count(edgepass), count(azure)),
            ..row
        }
    }

    /// What the system's certification authorities add to a start.
    fn added(&self, edgepass: Native, about: &str, aim: &str) -> Row {
        let added = |what: Native| {
            let cpu = &self.results.cpu;
            let one = cpu.get(&what.once())?;
            let all = cpu.get(&Once::SystemRoots(what))?;
            all.compared(one, |all, one| all - one)
        };
        let show = |added: Option<f64>| {
            added.map_or_else(String::new, |added| format!("{:+.1} ms", added / 1e6))
        };
        Row {
            cells: [
                show(added(edgepass)),
                show(added(Native::Azure)),
                String::new(),
            ],
            ..Row::of(about, aim)
        }
    }
}

pub(crate) fn table(results: &Results, programs: &Programs, effort: Effort) -> Result<String> {
    let mut out = String::new();
    let all = Rows { results };
    let (command, library) = (Once::Command, Once::Client(Who::Edgepass));
    let alone = |about: &str, file: &Path| -> Result<Row> {
        Ok(Row {
            cells: [size(file)?, String::new(), String::new()],
            ..Row::of(about, "")
        })
    };
    let start = |what, about: &str, aim: &str| {
        all.counted(what, all.processes(&results.wall, what, about, aim, time))
    };
    let rows = [
        all.timed(Figure::Cached, "cached `get_token`", "< 0.2 µs"),
        all.timed(
            Figure::Inner,
            "the same, every call into the component",
            "≤ 5 µs, 42 k",
        ),
        all.timed(
            Figure::Exchange,
            "exchange, connection open",
            "≤ 1.3 × Rust, 500 k",
        ),
        all.timed(
            Figure::Pinned,
            "the same, the client on one processor",
            "≤ 1.5 × Rust",
        ),
        start(
            command,
            "new process to its end with one token: `edgepass token`",
            "≤ 1.35 × Rust",
        ),
        start(
            library,
            "the same: a program with the library",
            "≤ 1.35 × Rust",
        ),
        start(
            Once::SystemRoots(Native::Command),
            "with the system's certification authorities: `edgepass token`",
            "",
        ),
        start(
            Once::SystemRoots(Native::Edgepass),
            "the same: a program with the library",
            "",
        ),
        all.processes(
            &results.cpu,
            command,
            "processor time of a new process: `edgepass token`",
            "",
            time,
        ),
        all.processes(
            &results.cpu,
            library,
            "the same: a program with the library",
            "",
            time,
        ),
        all.added(
            Native::Command,
            "what the system's certification authorities add to it: `edgepass token`",
            "≤ 2 ms",
        ),
        all.added(
            Native::Edgepass,
            "the same: a program with the library",
            "≤ 2 ms",
        ),
        all.processes(
            &results.peak,
            command,
            "peak resident memory of a new process: `edgepass token`",
            "< 10 MB",
            kib,
        ),
        all.processes(
            &results.peak,
            library,
            "the same: a program with the library",
            "< 10 MB",
            kib,
        ),
        Row {
            cells: [
                size(&programs.edgepass)?,
                size(&programs.azure)?,
                String::new(),
            ],
            ..Row::of("size of the program: `edgepass`", "")
        },
        alone("size of the program with the library", &programs.embedder)?,
        alone("size of the component", &programs.component)?,
        alone(
            "size of the component as embedded machine code",
            &programs.precompiled,
        )?,
    ];
    let python = programs.python_version()?;
    writeln!(
        out,
        "| Median / 99th percentile | edgepass {} | azure_identity {AZURE_RUST} (Rust) | azure-identity {python} | edgepass to Rust | instructions, edgepass / Rust | aim |",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|")?;
    for row in rows {
        let [edgepass, rust, python] = row.cells.map(|cell| {
            if cell.is_empty() {
                "–".to_owned()
            } else {
                cell
            }
        });
        let ratio = row
            .ratio
            .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        writeln!(
            out,
            "| {} | {edgepass} | {rust} | {python} | {ratio} | {} | {} |",
            row.about, row.instructions, row.aim
        )?;
    }
    let count = |samples: Option<&Samples>| samples.map_or(0, Samples::len);
    writeln!(
        out,
        "\n{} rounds, the order reversed every other round. Ratios and what is added are medians of those within a round. \
         For each client: {} batches of {CALLS} cached calls (the 99th percentile is of batches), {} exchanges, {} new \
         processes. {}.",
        effort.rounds,
        count(all.times(Figure::Cached, Who::Edgepass)),
        count(all.times(Figure::Exchange, Who::Edgepass)),
        count(results.wall.get(&command)),
        machine()
    )?;
    for missing in &results.missing {
        writeln!(out, "\nNot measured: {missing}.")?;
    }
    Ok(out)
}

/// The ratios of the table.
pub(crate) fn plot(results: &Results) -> Plot {
    let all = Rows { results };
    let command = |samples: &BTreeMap<Once, Samples>, what, other| {
        ratio(samples.get(&what), samples.get(&other))
    };
    let (azure, system) = (Once::Client(Who::Azure), Once::SystemRoots(Native::Azure));
    let own_system = Once::SystemRoots(Native::Command);
    let bars = [
        ("cached token", all.timed(Figure::Cached, "", "").ratio),
        ("exchange", all.timed(Figure::Exchange, "", "").ratio),
        (
            "exchange, client on one processor",
            all.timed(Figure::Pinned, "", "").ratio,
        ),
        (
            "new process with one token",
            command(&results.wall, Once::Command, azure),
        ),
        (
            "the same, with the system's authorities",
            command(&results.wall, own_system, system),
        ),
        (
            "processor time of a new process",
            command(&results.cpu, Once::Command, azure),
        ),
        (
            "peak memory of a new process",
            command(&results.peak, Once::Command, azure),
        ),
    ];
    Plot {
        title: "edgepass as a multiple of Microsoft's SDK for Rust".to_owned(),
        caption: "Shorter is better; on the dashed line both need the same.".to_owned(),
        bars: bars
            .into_iter()
            .filter_map(|(label, ratio)| {
                let value = ratio?;
                Some(Bar {
                    label: label.to_owned(),
                    value,
                    text: format!("{value:.2} ×"),
                    ours: true,
                })
            })
            .collect(),
        even: 1.0,
    }
}

/// Thousands or millions.
fn instructions(edgepass: Option<f64>, azure: Option<f64>) -> String {
    let show = |count: Option<f64>| match count {
        Some(count) if count < 9_950.0 => format!("{:.1} k", count / 1e3),
        Some(count) if count < 999_500.0 => format!("{:.0} k", count / 1e3),
        Some(count) => format!("{:.1} M", count / 1e6),
        None => "–".to_owned(),
    };
    if edgepass.is_none() && azure.is_none() {
        return String::new();
    }
    format!("{} / {}", show(edgepass), show(azure))
}

struct Row {
    about: String,
    cells: [String; 3],
    ratio: Option<f64>,
    instructions: String,
    aim: String,
}

impl Row {
    /// An empty one.
    fn of(about: &str, aim: &str) -> Self {
        Self {
            about: about.to_owned(),
            cells: Default::default(),
            ratio: None,
            instructions: String::new(),
            aim: aim.to_owned(),
        }
    }
}

/// How a value is written.
type Show = fn(f64) -> String;

fn shown(samples: Option<&Samples>, show: Show) -> String {
    match samples.and_then(|samples| samples.median().zip(samples.p99())) {
        Some((median, p99)) => format!("{} / {}", show(median), show(p99)),
        None => String::new(),
    }
}

fn ratio(edgepass: Option<&Samples>, azure: Option<&Samples>) -> Option<f64> {
    edgepass?.compared(azure?, |edgepass, azure| edgepass / azure)
}

fn time(nanoseconds: f64) -> String {
    if nanoseconds < 1e3 {
        format!("{:.3} µs", nanoseconds / 1e3)
    } else if nanoseconds < 1e5 {
        format!("{:.1} µs", nanoseconds / 1e3)
    } else if nanoseconds < 1e6 {
        format!("{:.0} µs", nanoseconds / 1e3)
    } else {
        format!("{:.1} ms", nanoseconds / 1e6)
    }
}

fn kib(kib: f64) -> String {
    format!("{:.1} MB", kib * 1024.0 / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "sizes of programs are exact")]
fn size(file: &Path) -> Result<String> {
    let bytes = std::fs::metadata(file)
        .with_context(|| format!("cannot look at {}", file.display()))?
        .len();
    Ok(kib(bytes as f64 / 1024.0))
}

/// The machine in general terms.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    format!(
        "{} {}, {cpus} processors, load average {load} at the end",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

#[cfg(test)]
mod tests {
    use super::{instructions, kib, time};

    #[test]
    fn values_have_the_unit_that_reads_best() {
        assert_eq!(time(90.4), "0.090 µs");
        assert_eq!(time(4_321.0), "4.3 µs");
        assert_eq!(time(543_210.0), "543 µs");
        assert_eq!(time(12_345_678.0), "12.3 ms");
        assert_eq!(kib(9765.625), "10.0 MB");
        assert_eq!(instructions(Some(310.4), None), "0.3 k / –");
        assert_eq!(
            instructions(Some(42_499.0), Some(1_067_000.0)),
            "42 k / 1.1 M"
        );
        assert_eq!(instructions(None, None), "");
    }
}
