//! `cargo xtask bench`: one table, measured in one run, of edgepass beside the Azure SDKs for Rust and Python.
//!
//! Every client and the token endpoint is a process of its own. The clients take turns, in reverse order every other
//! round, so that whatever else the machine does meets all of them. Nothing is asserted about time.

mod emulator;
mod grants;
mod instructions;
mod kinds;
mod measure;
mod peers;
mod processors;
mod stats;
mod system_roots;
mod table;
mod users;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::emulator::Emulator;
use crate::measure::Effort;
use crate::peers::Programs;
use crate::system_roots::Place;

const USAGE: &str =
    "usage: edgepass-bench [--quick] [--rounds N] [--svg FILE] [--kinds | --users | --grants]";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let options = options(std::env::args().skip(1))?;
    let outside = match system_roots::enter()? {
        Place::Done(code) => return Ok(code),
        Place::Inside => None,
        Place::Outside(why) => Some(why),
    };
    let effort = options.effort;
    let programs = Programs::find()?;
    let emulator = Emulator::start(&programs.emulator)?;
    if outside.is_none() {
        let (folder, ca) = emulator.trust()?;
        system_roots::add(ca, folder)?;
    }
    let only = match options.only {
        None => None,
        Some(Only::Kinds) => Some(kinds::table(&programs, &emulator, effort)?),
        Some(Only::Users) => Some(users::table(&programs, &emulator, effort)?),
        Some(Only::Grants) => Some(grants::table(&programs, &emulator, effort)?),
    };
    if let Some(table) = only {
        std::io::stdout()
            .write_all(table.as_bytes())
            .context("cannot print the table")?;
        return Ok(ExitCode::SUCCESS);
    }
    let results = measure::all(&programs, &emulator, effort, outside.as_deref())?;
    if let Some(file) = options.svg {
        std::fs::write(&file, table::plot(&results).svg())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    std::io::stdout()
        .write_all(table::table(&results, &programs, effort)?.as_bytes())
        .context("cannot print the table")?;
    Ok(ExitCode::SUCCESS)
}

struct Options {
    effort: Effort,
    /// Where to write the picture.
    svg: Option<PathBuf>,
    /// One of the smaller tables in its place.
    only: Option<Only>,
}

/// The smaller tables.
#[derive(Clone, Copy)]
enum Only {
    /// What an exchange costs with each kind of credential.
    Kinds,
    /// What users' tokens cost.
    Users,
    /// What an exchange for a user costs, and what another instance has got.
    Grants,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut effort = Effort::FULL;
    let mut svg = None;
    let mut only = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--kinds" => only = Some(Only::Kinds),
            "--users" => only = Some(Only::Users),
            "--grants" => only = Some(Only::Grants),
            "--rounds" => {
                let rounds = arguments
                    .next()
                    .and_then(|n| n.parse().ok())
                    .filter(|&n| n > 0);
                effort.rounds = rounds.context(USAGE)?;
            }
            "--svg" => svg = Some(arguments.next().context(USAGE)?.into()),
            _ => bail!("{USAGE}"),
        }
    }
    Ok(Options { effort, svg, only })
}
