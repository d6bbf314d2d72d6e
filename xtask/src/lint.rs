//! `cargo xtask lint`: formatting, lints and documentation, as CI wants them.

use crate::sh::{Cmd, step};
use crate::{build, dependencies, workspace};
use anyhow::{Context as _, Result};
use clap::Args;

/// Packages that only the benchmark builds, each in a selection of its own.
const BENCH_CLIENTS: &[&str] = &["edgepass-bench-azure", "edgepass-bench-embedder"];

/// Clippy's configuration for what runs in the sandbox.
const GUEST_RULES: &str = ".ci/guests";

#[derive(Args)]
pub(crate) struct Options {
    /// Only formatting: takes a second and needs no build
    #[arg(long)]
    fmt: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    step("cargo fmt --check", || {
        Cmd::cargo()
            .args(["fmt", "--all", "--check"])
            .run()
            .context("run `cargo fmt --all`")
    })?;
    if options.fmt {
        return Ok(());
    }
    let _lock = workspace::lock()?;
    dependencies::check()?;
    // the host crate does not compile without the component that it embeds
    build::component()?;
    step("clippy: native packages", || {
        build::native("clippy")
            .args(BENCH_CLIENTS.iter().flat_map(|package| ["-p", package]))
            .args(["-p", "edgepass-envoy-tests"])
            .args(["--all-targets", "--", "-D", "warnings"])
            .run()
    })?;
    step("clippy: build tasks and manifests", || {
        Cmd::cargo()
            .args([
                "clippy",
                "--locked",
                "-p",
                "xtask",
                "-p",
                "edgepass-compose",
                "-p",
                "edgepass-manifests",
            ])
            .args(["--all-targets"])
            .args(["--", "-D", "warnings"])
            .run()
    })?;
    for batch in build::Batch::ALL {
        step(&format!("clippy: {}", batch.name()), || {
            build::wasm("clippy", batch)?
                .env("CLIPPY_CONF_DIR", workspace::root().join(GUEST_RULES))
                .args(["--", "-D", "warnings"])
                .run()
        })?;
    }
    step("documentation", || {
        build::native("doc")
            .args(["--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()
    })
}
