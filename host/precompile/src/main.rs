//! `edgepass-precompile IN.wasm OUT.cwasm`: compiles the component ahead of time.

use anyhow::{Context as _, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [input, output] = args.as_slice() else {
        bail!("usage: edgepass-precompile IN.wasm OUT.cwasm");
    };
    let wasm = fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
    let code = edgepass_precompile::compile(&wasm)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot compile {}", input.display()))?;
    let folder = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(output, code).with_context(|| format!("cannot write {}", output.display()))
}
