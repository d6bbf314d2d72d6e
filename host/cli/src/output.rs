//! Standard output.

use std::io::Write;

use super::failure::Failure;
use super::watch;

/// Writes everything, or says why not.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    watch::over();
    open()
        .and_then(|mut stdout| {
            stdout.write_all(bytes)?;
            stdout.flush()
        })
        .map_err(Failure::Output)
}

/// The standard library takes what goes to a descriptor that cannot be written for written, so this is a file.
#[cfg(unix)]
fn open() -> std::io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;

    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok(stdout.into())
}

#[cfg(not(unix))]
fn open() -> std::io::Result<std::io::StdoutLock<'static>> {
    Ok(std::io::stdout().lock())
}
