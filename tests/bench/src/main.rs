//! `cargo xtask bench`: one table, measured in one run, of edgepass beside the Azure SDKs for Rust and Python.
//!
//! Every client and the token endpoint is a process of its own. The clients take turns, in reverse order every other
//! round, so that whatever else the machine does meets all of them. Nothing is asserted about time.

mod emulator;
mod measure;
mod peers;
mod stats;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::emulator::Emulator;
use crate::measure::Effort;
use crate::peers::Programs;

const USAGE: &str = "usage: edgepass-bench [--quick] [--rounds N]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let effort = effort(std::env::args().skip(1))?;
    let programs = Programs::find()?;
    let emulator = Emulator::start(&programs.emulator)?;
    let results = measure::all(&programs, &emulator, effort)?;
    std::io::stdout()
        .write_all(table::table(&results, &programs, effort)?.as_bytes())
        .context("cannot print the table")
}

fn effort(mut arguments: impl Iterator<Item = String>) -> Result<Effort> {
    let mut effort = Effort::FULL;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--rounds" => {
                let rounds = arguments
                    .next()
                    .and_then(|n| n.parse().ok())
                    .filter(|&n| n > 0);
                effort.rounds = rounds.context(USAGE)?;
            }
            _ => bail!("{USAGE}"),
        }
    }
    Ok(effort)
}
