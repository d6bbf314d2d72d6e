//! The table.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::measure::{CALLS, Effort, Figure, Results};
use crate::peers::{Once, Programs, Who};
use crate::stats::Samples;

/// The version that `tests/bench/azure` is locked to.
const AZURE_RUST: &str = "1.0.0";

pub(crate) fn table(results: &Results, programs: &Programs, effort: Effort) -> Result<String> {
    let mut out = String::new();
    let times = |figure, who| results.times.get(&(figure, who));
    let timed = |figure, about: &str, aim: &str| Row {
        about: about.to_owned(),
        cells: Who::ALL.map(|who| {
            times(figure, who)
                .map(|samples| measured(samples, time))
                .unwrap_or_default()
        }),
        ratio: ratio(times(figure, Who::Edgepass), times(figure, Who::Azure)),
        aim: aim.to_owned(),
    };
    let against = |edgepass: Once,
                   about: &str,
                   aim: &str,
                   of: &dyn Fn(Once) -> (Option<Samples>, Show)| Row {
        about: about.to_owned(),
        cells: [
            edgepass,
            Once::Client(Who::Azure),
            Once::Client(Who::Python),
        ]
        .map(|what| {
            let (samples, show) = of(what);
            samples
                .map(|samples| measured(&samples, show))
                .unwrap_or_default()
        }),
        ratio: ratio(
            of(edgepass).0.as_ref(),
            of(Once::Client(Who::Azure)).0.as_ref(),
        ),
        aim: aim.to_owned(),
    };
    let wall = |what| (results.wall.get(&what).cloned(), time as Show);
    let cpu = |what| (results.cpu.get(&what).cloned(), time as Show);
    let peak = |what| (results.peak.get(&what).cloned(), kib as Show);
    let (command, library) = (Once::Command, Once::Client(Who::Edgepass));
    let sizes = Row {
        about: "size of the program: `edgepass`".to_owned(),
        cells: [
            size(&programs.edgepass)?,
            size(&programs.azure)?,
            String::new(),
        ],
        ratio: String::new(),
        aim: String::new(),
    };
    let alone = |about: &str, file: &Path| -> Result<Row> {
        Ok(Row {
            about: about.to_owned(),
            cells: [size(file)?, String::new(), String::new()],
            ratio: String::new(),
            aim: String::new(),
        })
    };
    let rows = [
        timed(Figure::Cached, "cached `get_token`", "< 0.2 µs"),
        timed(
            Figure::Inner,
            "the same, every call into the component",
            "< 5 µs",
        ),
        timed(
            Figure::Exchange,
            "exchange, connection open",
            "≤ 1.5 × Rust",
        ),
        against(
            command,
            "new process to its end with one token: `edgepass token`",
            "< 25 ms",
            &wall,
        ),
        against(library, "the same: a program with the library", "", &wall),
        against(
            command,
            "processor time of that: `edgepass token`",
            "",
            &cpu,
        ),
        against(library, "processor time of that: library", "", &cpu),
        against(
            command,
            "peak resident memory of that: `edgepass token`",
            "< 15 MB",
            &peak,
        ),
        against(
            library,
            "peak resident memory of that: library",
            "< 10 MB",
            &peak,
        ),
        sizes,
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
        "| Median / 99th percentile | edgepass {} | azure_identity {AZURE_RUST} (Rust) | azure-identity {python} | edgepass to Rust | aim |",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|")?;
    for row in rows {
        let [edgepass, rust, python] = row.cells.map(|cell| {
            if cell.is_empty() {
                "–".to_owned()
            } else {
                cell
            }
        });
        writeln!(
            out,
            "| {} | {edgepass} | {rust} | {python} | {} | {} |",
            row.about, row.ratio, row.aim
        )?;
    }
    let count = |samples: Option<&Samples>| samples.map_or(0, Samples::len);
    writeln!(
        out,
        "\n{} rounds, the order reversed every other round. For each client: {} batches of {CALLS} cached calls (the \
         99th percentile is of batches), {} exchanges, {} new processes. {}.",
        effort.rounds,
        count(times(Figure::Cached, Who::Edgepass)),
        count(times(Figure::Exchange, Who::Edgepass)),
        count(results.wall.get(&command)),
        machine()
    )?;
    Ok(out)
}

struct Row {
    about: String,
    cells: [String; 3],
    ratio: String,
    aim: String,
}

/// How a value is written.
type Show = fn(f64) -> String;

fn measured(samples: &Samples, show: Show) -> String {
    match (samples.median(), samples.p99()) {
        (Some(median), Some(p99)) => format!("{} / {}", show(median), show(p99)),
        _ => String::new(),
    }
}

fn ratio(edgepass: Option<&Samples>, azure: Option<&Samples>) -> String {
    match (
        edgepass.and_then(Samples::median),
        azure.and_then(Samples::median),
    ) {
        (Some(edgepass), Some(azure)) => format!("{:.2}", edgepass / azure),
        _ => String::new(),
    }
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
    use super::{kib, time};

    #[test]
    fn values_have_the_unit_that_reads_best() {
        assert_eq!(time(90.4), "0.090 µs");
        assert_eq!(time(4_321.0), "4.3 µs");
        assert_eq!(time(543_210.0), "543 µs");
        assert_eq!(time(12_345_678.0), "12.3 ms");
        assert_eq!(kib(9765.625), "10.0 MB");
    }
}
