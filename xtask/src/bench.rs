//! `cargo xtask bench`: the benchmark table.

use crate::sh::step;
use crate::{build, peers, workspace};
use anyhow::Result;
use clap::Args;

/// The program that measures and prints.
const BENCH: &str = "edgepass-bench";

#[derive(Args)]
pub(crate) struct Options {
    /// Arguments for the benchmark program
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let _lock = workspace::lock()?;
    build::all()?;
    let peers = peers::ensure()?;
    step("building the benchmark", || {
        build::native("build").args(["--bin", BENCH]).run()
    })?;
    let program = workspace::target().join("release").join(BENCH);
    peers
        .apply(crate::sh::Cmd::new(&program))
        .args(&options.rest)
        .run()
}
