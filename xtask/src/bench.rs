//! `cargo xtask bench`: the benchmark table.

use crate::sh::{Cmd, step};
use crate::{build, peers, workspace};
use anyhow::Result;
use clap::Args;

/// The program that measures and prints.
const BENCH: &str = "edgepass-bench";

/// The client with the Azure SDK for Rust. Built in a selection of its own: in
/// the others its HTTP client would get features that its users do not have.
const AZURE: &str = "edgepass-bench-azure";

/// The client that embeds edgepass without the compiler.
const EMBEDDER: &str = "edgepass-bench-embedder";

/// Where the embedder is built: wasmtime without its compiler is another
/// wasmtime, which must not take the place of the one in `target/release`.
const RUNTIME_ONLY: &str = "runtime-only";

#[derive(Args)]
pub(crate) struct Options {
    /// Arguments for the benchmark program, `--quick` for instance
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lock = workspace::lock()?;
    build::all()?;
    let peers = peers::ensure()?;
    step("building the benchmark", || build::binaries(&[BENCH]).run())?;
    step("building the client with the Azure SDK for Rust", || {
        release(AZURE).run()
    })?;
    step("building the embedder without the compiler", || {
        release(EMBEDDER)
            .env("CARGO_TARGET_DIR", workspace::target().join(RUNTIME_ONLY))
            .run()
    })?;
    drop(lock);
    let program = workspace::target().join("release").join(BENCH);
    peers.apply(Cmd::new(&program)).args(&options.rest).run()
}

fn release(package: &str) -> Cmd {
    Cmd::cargo().args(["build", "--release", "--locked", "-p", package])
}
