//! Finds the component that `cargo xtask build` has compiled for this machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Names another file to embed.
const VARIABLE: &str = "EDGEPASS_CWASM";

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let cwasm = env::var_os(VARIABLE).map_or_else(default, PathBuf::from);
    println!("cargo::rerun-if-changed={}", cwasm.display());
    if !cwasm.is_file() {
        println!(
            "cargo::error=the component that edgepass embeds is not built ({} is missing): run `cargo xtask build` first, or name the file in {VARIABLE}",
            cwasm.display()
        );
        return ExitCode::FAILURE;
    }
    println!("cargo::rustc-env={VARIABLE}={}", cwasm.display());
    ExitCode::SUCCESS
}

/// Where `cargo xtask build` writes it, whatever the target directory of this
/// build is.
fn default() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    Path::new(&here)
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new(""))
        .join("target/edgepass/credential-provider.cwasm")
}
