//! `cargo xtask lint`: formatting, lints and documentation, as CI wants them.

use crate::sh::{Cmd, step};
use crate::{build, workspace};
use anyhow::{Context as _, Result};
use clap::Args;

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
    // the host crate does not compile without the component that it embeds
    build::component()?;
    step("clippy: native packages", || {
        build::native("clippy")
            .args(["--all-targets", "--", "-D", "warnings"])
            .run()
    })?;
    step("clippy: build tasks", || {
        Cmd::cargo()
            .args(["clippy", "--locked", "-p", "xtask", "--all-targets"])
            .args(["--", "-D", "warnings"])
            .run()
    })?;
    for target in build::wasm_targets() {
        step(&format!("clippy: guests for {target}"), || {
            build::wasm("clippy", target)?
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
