//! `cargo xtask demo`: the main job, shown.

use crate::sh::{Cmd, step};
use crate::{build, peers, workspace};
use anyhow::{Context as _, Result};
use clap::Args;
use std::fs;
use std::path::PathBuf;

/// The program that shows it.
const DEMO: &str = "edgepass-demo";

#[derive(Args)]
pub(crate) struct Options {
    /// Show the filter in the real Envoy instead
    #[arg(long)]
    envoy: bool,
    /// Leave that one running until Enter, to play with
    #[arg(long, requires = "envoy")]
    keep: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lock = workspace::lock()?;
    build::all()?;
    program()?;
    let envoy = options.envoy.then(peers::envoy).transpose()?;
    drop(lock);
    match envoy {
        None => show(),
        Some(envoy) => show_envoy(envoy, options.keep),
    }
}

/// Both where everything is built, for the tests.
pub(crate) fn test() -> Result<()> {
    program()?;
    show()?;
    show_envoy(peers::envoy()?, false)
}

fn program() -> Result<()> {
    step("building the demo", || build::binaries(&[DEMO]).run())
}

fn show() -> Result<()> {
    let work = empty("demo")?;
    Cmd::new(build::built().join(DEMO))
        .arg(workspace::dist())
        .arg(work)
        .arg(build::composed())
        .run()
}

fn show_envoy(envoy: PathBuf, keep: bool) -> Result<()> {
    let work = empty("demo-envoy")?;
    Cmd::new(build::built().join(DEMO))
        .arg(if keep { "--envoy-keep" } else { "--envoy" })
        .arg(workspace::dist())
        .arg(work)
        .env("EDGEPASS_ENVOY", envoy)
        .run()
}

/// A folder of that name under `target` with nothing in it.
fn empty(name: &str) -> Result<PathBuf> {
    let work = workspace::target().join(name);
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot empty target/{name}"))?;
    }
    Ok(work)
}
