//! `examples/component`, built as whoever starts from it builds it: a copy outside of this workspace, with cargo alone.

use crate::sh::{Cmd, step};
use crate::wasm_targets::GUEST;
use crate::workspace::{self, Outside};
use crate::{build, componentize, digest, setup};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::Path;

/// Where it is in the tree.
const SOURCE: &str = "examples/component";

/// The interface, which it carries as a copy.
const INTERFACE: &str = "wit/deps/credentials.wit";

/// What cargo leaves of it, below its target directory and among the test components.
const MODULE: &str = "greeter.wasm";

/// The same as a component without a provider in it.
const ALONE: &str = "greeter-component.wasm";

/// Builds the template from a copy. Its module, as cargo leaves it, is among the test components afterwards.
pub(crate) fn build() -> Result<()> {
    let source = workspace::root().join(SOURCE);
    let copied = source.join(INTERFACE);
    let current = build::interface_file();
    ensure!(
        fs::read(&copied).ok() == fs::read(&current).ok(),
        "{} is not what the build makes of wit/: `cp {} {}`",
        workspace::shown(&copied),
        workspace::shown(&current),
        workspace::shown(&copied)
    );
    step(
        "building the example component outside of the workspace",
        || {
            let folder = Outside::new("template")?;
            copy(&source, &folder.0)?;
            let target = workspace::target().join("template");
            let cmd = Cmd::cargo()
                .args(["build", "--release", "--locked", "--target", GUEST])
                .env("CARGO_TARGET_DIR", &target)
                .dir(&folder.0);
            setup::std_for(GUEST)?.apply(cmd, GUEST).run()?;
            let module = target.join(GUEST).join("release").join(MODULE);
            let bytes = fs::read(&module)
                .with_context(|| format!("cargo did not write {}", workspace::shown(&module)))?;
            workspace::write_if_changed(&workspace::components().join(MODULE), &bytes)?;
            componentize::componentize(&module, &workspace::components().join(ALONE))
        },
    )
}

/// The files of a folder, without what a build in it has left.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for path in digest::files(from)? {
        let inside = path.strip_prefix(from).context("a file is elsewhere")?;
        if inside.starts_with("target") {
            continue;
        }
        workspace::write_if_changed(
            &to.join(inside),
            &fs::read(&path).with_context(|| format!("cannot read {}", workspace::shown(&path)))?,
        )?;
    }
    Ok(())
}
