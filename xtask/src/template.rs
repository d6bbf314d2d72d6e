//! `examples/component`, built as whoever starts from it builds it: a copy outside of this workspace, with cargo alone.

use crate::sh::{Cmd, step};
use crate::wasm_targets::COMPONENT;
use crate::{build, componentize, setup, workspace};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::{env, fs, process};

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
            // where cargo finds neither this workspace nor its settings
            let folder = env::temp_dir().join(format!("edgepass-template-{}", process::id()));
            copy(&source, &folder)?;
            let target = workspace::target().join("template");
            let cmd = Cmd::cargo()
                .args(["build", "--release", "--locked", "--target", COMPONENT])
                .env("CARGO_TARGET_DIR", &target)
                .dir(&folder);
            let built = setup::std_for(COMPONENT)?.apply(cmd, COMPONENT).run();
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
            built?;
            let module = target.join(COMPONENT).join("release").join(MODULE);
            let bytes = fs::read(&module)
                .with_context(|| format!("cargo did not write {}", workspace::shown(&module)))?;
            workspace::write_if_changed(&workspace::components().join(MODULE), &bytes)?;
            componentize::componentize(&module, &workspace::components().join(ALONE))
        },
    )
}

/// The files of a folder, without what a build in it has left.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries =
        fs::read_dir(from).with_context(|| format!("cannot list {}", workspace::shown(from)))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|name| *name != "target") else {
            continue;
        };
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))
                .with_context(|| format!("cannot copy {}", workspace::shown(&path)))?;
        }
    }
    Ok(())
}
