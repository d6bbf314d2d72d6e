//! `cargo xtask setup`: what a machine with only rustup's cargo, Python and Node
//! still needs.

use crate::wasm_targets::{self, Std};
use crate::{peers, workspace};
use anyhow::Result;

pub(crate) fn run() -> Result<()> {
    let _lock = workspace::lock()?;
    let std = wasm_targets::ensure(wasm_targets::GUEST)?;
    eprintln!("{}: {}", wasm_targets::GUEST, std.describe());
    for (name, place) in peers::ensure()?.list() {
        eprintln!("{name}: {}", workspace::shown(place));
    }
    match peers::envoy() {
        Ok(place) => eprintln!("Envoy: {}", workspace::shown(&place)),
        // there is none for every machine, and most of the tree does without
        Err(error) => eprintln!("Envoy: none, {error:#}"),
    }
    Ok(())
}

/// The standard library for one wasm target, set up now if it is not there.
pub(crate) fn std_for(target: &str) -> Result<Std> {
    wasm_targets::ensure(target)
}
