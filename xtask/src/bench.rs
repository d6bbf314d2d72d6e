//! `cargo xtask bench`: the benchmark table.

use crate::sh::{Cmd, step};
use crate::{build, peers, workspace};
use anyhow::Result;
use clap::Args;
use std::path::Path;

/// The program that measures and prints.
const BENCH: &str = "edgepass-bench";

/// The client with the Azure SDK for Rust.
const AZURE: &str = "edgepass-bench-azure";

/// The client with edgepass as a library.
const EMBEDDER: &str = "edgepass-bench-embedder";

#[derive(Args)]
pub(crate) struct Options {
    /// A short run, to see that it works
    #[arg(long)]
    quick: bool,
    /// Further arguments for the benchmark program
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let _lock = workspace::lock()?;
    build::all()?;
    let peers = peers::ensure()?;
    let release = workspace::target();
    step("building the benchmark", || {
        build::native("build").args(["--bin", BENCH]).run()
    })?;
    // each client by itself: in one selection of packages the features that one
    // wants would be turned on in the libraries of the others
    step("building the client with the Azure SDK", || {
        alone(AZURE, &release)
    })?;
    step(
        "building the client with edgepass, without a compiler",
        || alone(EMBEDDER, &release.join("runtime-only")),
    )?;
    let mut bench = peers.apply(Cmd::new(release.join("release").join(BENCH)));
    if options.quick {
        bench = bench.arg("--quick");
    }
    bench.args(&options.rest).run()
}

fn alone(package: &str, target: &Path) -> Result<()> {
    Cmd::cargo()
        .env("CARGO_TARGET_DIR", target)
        .args(["build", "--release", "--locked", "-p", package])
        .run()
}
