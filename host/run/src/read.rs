//! Files that are named to the program.

use std::fs;
use std::io;
use std::path::Path;

use crate::failure::Failure;

/// A component, or a configuration, bytes: larger ones are a mistake.
const BYTES: u64 = 512 * 1024 * 1024;

/// All of it.
pub(crate) fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let cannot = |error: io::Error| Failure::setup(format!("cannot read {shown}: {error}"));
    let metadata = fs::metadata(path).map_err(cannot)?;
    if metadata.len() > BYTES {
        return Err(Failure::setup(format!(
            "{shown} is larger than {} MiB: is it the right file?",
            BYTES / 1024 / 1024
        )));
    }
    fs::read(path).map_err(cannot)
}
