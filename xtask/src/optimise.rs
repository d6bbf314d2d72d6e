//! Binaryen's optimiser, over what the compiler has linked. It finds what LLVM leaves: a tenth of the component, which is
//! loaded at every start, and a twentieth of the filter, which Envoy compiles for every thread.

use crate::sh::Cmd;
use crate::{peers, workspace};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// What rustc's targets have as well. Nothing else may appear in a module that runtimes of today load.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Has constants that are added to addresses go into the loads. That differs where a sum wraps around into the first
/// kilobyte, which is the end of the stack: what wraps has overflown it, and traps now.
const NEAR_ADDRESSES: &str = "--low-memory-unused";

/// What pays at once where code is start-up time.
pub(crate) const QUICKLY: &[&str] = &[NEAR_ADDRESSES];

/// What takes longer, for one per cent more: functions that are alike become one, and the flow of each is made anew from its
/// parts.
pub(crate) const THOROUGHLY: &[&str] = &[
    NEAR_ADDRESSES,
    "--merge-similar-functions",
    "--flatten",
    "--rereloop",
];

/// Writes a core module anew, smaller. Its custom sections stay.
pub(crate) fn optimise(from: &Path, to: &Path, more: &[&str]) -> Result<()> {
    let home = workspace::target().join("binaryen");
    let missing =
        "Binaryen, which makes the WebAssembly small, comes by npm: install Node.js with npm";
    peers::node_packages("xtask/binaryen", "binaryen", &home, "Binaryen", missing)?
        .context("xtask/binaryen pins no Binaryen")?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", workspace::shown(folder)))?;
    }
    Cmd::new("node")
        .arg(home.join("node_modules/binaryen/bin/wasm-opt"))
        .args(FEATURES)
        .args(more)
        .arg("-Oz")
        .arg(from)
        .arg("-o")
        .arg(to)
        .missing(missing)
        .quiet("binaryen")
        .with_context(|| format!("Binaryen does not take {}", workspace::shown(from)))
}
