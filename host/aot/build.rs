//! Makes or finds the machine code that is embedded. In this order:
//!
//! 1. the file that `EDGEPASS_CWASM_<target>` names (the target with `_` for `-`), or `EDGEPASS_CWASM`;
//! 2. in the tree of edgepass, what `cargo xtask build` has compiled of its sources for this machine;
//! 3. with the feature `bundled`, the component that travels with this crate, compiled now.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Names the file to embed.
const VARIABLE: &str = "EDGEPASS_CWASM";

/// The component that travels with this crate.
#[cfg(feature = "bundled")]
const COMPONENT: &str = "component/credential-provider.wasm";

fn main() -> ExitCode {
    match find() {
        Ok(cwasm) => {
            println!("cargo::rerun-if-changed={}", cwasm.display());
            println!("cargo::rustc-env={VARIABLE}={}", cwasm.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn find() -> Result<PathBuf, Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("TARGET")?;
    for variable in [
        format!("{VARIABLE}_{}", target.replace('-', "_")),
        VARIABLE.to_owned(),
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
        let Some(path) = env::var_os(&variable).filter(|path| !path.is_empty()) else {
            continue;
        };
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            // cargo runs this in a folder that nobody has in mind
            return Err(format!("{variable} is {}: give an absolute path", path.display()).into());
        }
        if !path.is_file() {
            return Err(format!("{variable} names {}, which is no file: give one that edgepass-precompile has written, or unset it", path.display()).into());
        }
        return Ok(path);
    }
    if let Some(built) = of_the_tree().filter(|_| env::var("HOST").is_ok_and(|host| host == target))
    {
        println!("cargo::rerun-if-changed={}", built.display());
        if built.is_file() {
            return Ok(built);
        }
    }
    make(&target)
}

/// Where `cargo xtask build` writes it, whatever the target directory of this build is. `None` outside the tree.
fn of_the_tree() -> Option<PathBuf> {
    let here = env::var_os("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&here).ancestors().nth(2)?;
    root.join("xtask/Cargo.toml")
        .is_file()
        .then(|| root.join("target/edgepass/credential-provider.cwasm"))
}

#[cfg(feature = "bundled")]
fn make(target: &str) -> Result<PathBuf, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={COMPONENT}");
    let wasm = std::fs::read(COMPONENT).map_err(|e| format!("{COMPONENT}: {e}"))?;
    let code = edgepass_precompile::compile_for(target, &wasm).map_err(|e| {
        format!(
            "the component cannot be compiled for {target}: {e:#}. For another processor than this machine's turn the feature `cross` on; where that does not help, name machine code in {VARIABLE}"
        )
    })?;
    let out = Path::new(&env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?)
        .join("credential-provider.cwasm");
    std::fs::write(&out, code).map_err(|e| format!("{}: {e}", out.display()))?;
    Ok(out)
}

#[cfg(not(feature = "bundled"))]
fn make(_: &str) -> Result<PathBuf, Box<dyn Error>> {
    Err(format!(
        "there is no machine code to embed: turn the feature `bundled` on (it is a default), name a file in {VARIABLE}, or in the tree of edgepass run `cargo xtask build`"
    )
    .into())
}
