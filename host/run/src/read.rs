//! Files that are named to the program.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

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
    let shown = shown(path);
    let cannot = |error: io::Error| {
        Failure::setup(format!("cannot read {shown}: {error}"))
            .hint("name a file that is there and that this process may read")
    };
    // what is opened is what is looked at, and opening a pipe would wait for who writes to it
    let mut options = fs::File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        let failure = Failure::setup(format!("cannot read {shown}: it is not a regular file"));
        return Err(failure.hint(match metadata.is_dir() {
            true => "it is a folder: name a file that is in it",
            false => "what comes by a pipe has to be written to a file before",
        }));
    }
    // at once: growing would leave copies behind, and a configuration may have secrets
    let length = metadata.len().min(BYTES);
    let mut bytes = Vec::with_capacity(usize::try_from(length + 1).unwrap_or_default());
    file.take(BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > BYTES {
        return Err(Failure::setup(format!(
            "{shown} is larger than {} MiB",
            BYTES / 1024 / 1024
        ))
        .hint("no component and no configuration is: name the right file"));
    }
    Ok(bytes)
}
