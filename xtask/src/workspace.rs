//! Where things are.

use anyhow::{Context as _, Result};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The root of the workspace.
///
/// Taken from where this crate was compiled: tasks work from any directory.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// What the tasks build lands here, wherever the caller's own target directory
/// is: build scripts and tests find the component at one place.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// What users get.
pub(crate) fn dist() -> PathBuf {
    root().join("dist")
}

/// The test components.
pub(crate) fn components() -> PathBuf {
    target().join("components")
}

/// The component compiled for this machine, which the host embeds.
pub(crate) fn cwasm() -> PathBuf {
    target().join("edgepass").join("credential-provider.cwasm")
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Path relative to the root, for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Tells a task that one above it holds the lock: a test that runs the commands
/// of a document would wait for itself otherwise.
pub(crate) const WITHIN: &str = "EDGEPASS_XTASK_WITHIN";

/// Holds back a second task in the same tree until this one is through:
/// both would write the same files.
pub(crate) fn lock() -> Result<Option<File>> {
    if env::var_os(WITHIN).is_some() {
        return Ok(None);
    }
    let path = target().join(".xtask-lock");
    fs::create_dir_all(target()).with_context(|| format!("cannot create {}", shown(&target())))?;
    let file = File::create(&path).with_context(|| format!("cannot create {}", shown(&path)))?;
    if file.try_lock().is_err() {
        eprintln!("another cargo xtask is running in this tree: waiting for it");
        file.lock()
            .with_context(|| format!("cannot lock {}", shown(&path)))?;
    }
    Ok(Some(file))
}

/// A folder where cargo finds neither this workspace nor its settings. It goes with the value.
pub(crate) struct Outside(pub(crate) PathBuf);

impl Outside {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = env::temp_dir().join(format!("edgepass-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes `bytes` when the file does not hold them already, so that nothing
/// downstream is rebuilt for nothing. Says whether it wrote.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", shown(folder)))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", shown(path)))?;
    Ok(true)
}
