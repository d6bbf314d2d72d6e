//! `cargo xtask bench --envoy`: what a request costs with the filter, beside Envoy's own ways to put a credential on it.
//!
//! Every variant is an Envoy of its own with one worker. All of them run at the same time, and each gets its second of
//! load in turn, in reverse order every other round, so that whatever else the machine does meets all of them. What
//! counts is the comparison within a round.

mod load;
mod measure;
mod options;
mod proxy;
mod stats;
mod table;
mod upstream;
mod variant;
mod world;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::options::{Arguments, Options};
use crate::world::World;

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
    let Arguments { options, svg } = Options::parse(std::env::args().skip(1))?;
    load::check()?;
    let world = World::start()?;
    let results = measure::all(&world, options)?;
    if let Some(file) = svg {
        std::fs::write(&file, table::plot(&results)?.svg())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    std::io::stdout()
        .write_all(table::table(&results, &world, options)?.as_bytes())
        .context("cannot print the table")
}
