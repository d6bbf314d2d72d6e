//! `cargo xtask bench`: the benchmark tables.

use crate::sh::{Cmd, step};
use crate::{build, peers, workspace};
use anyhow::Result;
use clap::Args;

/// The program that measures and prints.
const BENCH: &str = "edgepass-bench";

/// The one that does so with the filter in the real Envoy.
const ENVOY: &str = "edgepass-bench-envoy";

/// The one for applications that run here: it has the compiler, as `edgepass-run` has.
const APPLICATIONS: &str = "edgepass-bench-applications";

/// The client with the Azure SDK for Rust. Built in a selection of its own: in
/// the others its HTTP client would get features that its users do not have.
const AZURE: &str = "edgepass-bench-azure";

/// The client that embeds edgepass without the compiler.
const EMBEDDER: &str = "edgepass-bench-embedder";

/// The same with the token store, a program of the same package.
const SHARING: &str = "edgepass-bench-sharing";

#[derive(Args)]
pub(crate) struct Options {
    /// Measure the filter in the real Envoy instead: needs wrk, and minutes without other work on the machine
    #[arg(long)]
    envoy: bool,
    /// Measure what tokens cost the requests of applications instead
    #[arg(long, conflicts_with = "envoy")]
    applications: bool,
    /// Arguments for the benchmark program, `--quick` for instance
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lock = workspace::lock()?;
    if options.envoy {
        build::guests()?;
        let envoy = peers::envoy()?;
        step("building the benchmark", || {
            build::release(&[(ENVOY, ENVOY)]).run()
        })?;
        drop(lock);
        return program(ENVOY)
            .env("EDGEPASS_ENVOY", envoy)
            .args(&options.rest)
            .run();
    }
    if options.applications {
        // the token server among them
        build::all()?;
        step("building the benchmark", || {
            build::release(&[(APPLICATIONS, APPLICATIONS)]).run()
        })?;
        drop(lock);
        return program(APPLICATIONS).args(&options.rest).run();
    }
    build::all()?;
    let peers = peers::ensure()?;
    step("building the benchmark", || {
        build::release(&[(BENCH, BENCH)]).run()
    })?;
    step("building the client with the Azure SDK for Rust", || {
        build::release(&[(AZURE, AZURE)]).run()
    })?;
    step("building the embedder without the compiler", || {
        build::release(&[(EMBEDDER, EMBEDDER)]).run()
    })?;
    // what the smaller tables have besides
    let wants = |table: &str| options.rest.iter().any(|argument| argument == table);
    if wants("--users") {
        step("building the engine's example for many users", || {
            build::example("edgepass-core", "users").run()
        })?;
    }
    if wants("--grants") {
        step("building the embedder with the token store", || {
            build::release(&[(EMBEDDER, SHARING)])
                .args(["--features", "edgepass-bench-embedder/token-store"])
                .run()
        })?;
    }
    drop(lock);
    peers.apply(program(BENCH)).args(&options.rest).run()
}

fn program(name: &str) -> Cmd {
    Cmd::new(build::released().join(name))
}
