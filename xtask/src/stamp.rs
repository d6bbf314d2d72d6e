//! Remembers what a step was made from, so that the second run skips it.

use crate::workspace;
use anyhow::Result;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A file under `target/` that holds the fingerprint of a finished step.
pub(crate) struct Stamp {
    path: PathBuf,
    fingerprint: String,
}

impl Stamp {
    /// `name` is the step, `inputs` whatever its result depends on.
    pub(crate) fn new(name: &str, inputs: &[&str]) -> Self {
        let mut hasher = DefaultHasher::new();
        inputs.hash(&mut hasher);
        Self {
            path: workspace::target().join("stamps").join(name),
            fingerprint: format!("{:016x}", hasher.finish()),
        }
    }

    /// The step was finished with these inputs before.
    pub(crate) fn is_fresh(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|old| old == self.fingerprint)
    }

    /// To be called when the step has succeeded, and not before.
    pub(crate) fn set(&self) -> Result<()> {
        workspace::write_if_changed(&self.path, self.fingerprint.as_bytes())?;
        Ok(())
    }
}

/// Size and time of a file: enough to see that cargo has linked it anew.
pub(crate) fn identity(path: &Path) -> String {
    let Ok(meta) = fs::metadata(path) else {
        return "absent".to_owned();
    };
    let modified = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |age| age.as_nanos());
    format!("{}:{modified}", meta.len())
}
