//! Files that are named to the program.

use std::mem;
use std::path::Path;

use edgepass::files::{self, FileError};
use edgepass::repeat::named;

use crate::failure::Failure;

/// A component, or a configuration, bytes: larger ones are a mistake.
const BYTES: u64 = 512 * 1024 * 1024;

/// How a message names a path: what is not there may be a secret in the wrong place.
pub(crate) fn shown(path: &Path) -> String {
    match path.exists() {
        true => path.display().to_string(),
        false => named(path),
    }
}

/// What a name in the place of a file is that stands for a standard stream elsewhere, if it is one.
pub(crate) fn stream(begin: &str, path: &Path) -> Option<Failure> {
    (path.as_os_str() == "-").then(|| {
        Failure::setup(format!(
            "{begin}: `-` is no file, and no standard stream is taken here"
        ))
        .hint("name a file; one that is called so is ./-")
    })
}

/// All of it.
pub(crate) fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    if let Some(failure) = stream("cannot read it", path) {
        return Err(failure);
    }
    let read = files::read_bounded(path, BYTES);
    let mut bytes = read.map_err(|error| cannot("", path, &error))?;
    // of a component nothing has to be wiped, and whoever reads a configuration wipes it
    Ok(mem::take(&mut *bytes))
}

/// That an option names what can be read, before others open it.
pub(crate) fn check(option: &str, path: &Path) -> Result<(), Failure> {
    files::check(path).map_err(|error| cannot(&format!("{option}: "), path, &error))
}

fn cannot(named_by: &str, path: &Path, error: &FileError) -> Failure {
    let shown = shown(path);
    Failure::setup(format!("{named_by}{shown} cannot be read: {error}")).hint(error.fix())
}
