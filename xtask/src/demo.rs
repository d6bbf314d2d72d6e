//! `cargo xtask demo`: the main job, shown.

use crate::sh::{Cmd, step};
use crate::{build, workspace};
use anyhow::{Context as _, Result};
use std::fs;

/// The program that shows it.
const DEMO: &str = "edgepass-demo";

pub(crate) fn run() -> Result<()> {
    let lock = workspace::lock()?;
    build::all()?;
    program()?;
    drop(lock);
    show()
}

/// The same where everything is built, for the tests.
pub(crate) fn test() -> Result<()> {
    program()?;
    show()
}

fn program() -> Result<()> {
    step("building the demo", || build::binaries(&[DEMO]).run())
}

fn show() -> Result<()> {
    let work = workspace::target().join("demo");
    if work.exists() {
        fs::remove_dir_all(&work).context("cannot empty target/demo")?;
    }
    Cmd::new(workspace::target().join("release").join(DEMO))
        .arg(workspace::dist())
        .arg(work)
        .arg(build::composed())
        .run()
}
