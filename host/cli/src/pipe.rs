//! Reading a file that may be a pipe: `--config <(…)` of a shell is one, and one that nobody writes to must not keep the
//! command for ever.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::watch;

/// How long a pipe may give nothing. A shell starts what it substitutes beside the command, within milliseconds; this
/// leaves time for a program that fetches something first.
#[cfg(unix)]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// How often a pipe without content is looked at. One that closes its end cannot be waited for in a portable way.
#[cfg(unix)]
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(10);

/// At most that many bytes of it. `what` it is, for people.
pub(crate) fn read(path: &Path, limit: u64, what: &str) -> io::Result<Vec<u8>> {
    let waiting = watch::file(what);
    let kind = std::fs::metadata(path)?.file_type();
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&kind) {
        drop(waiting);
        let _waiting = watch::unbounded(what);
        return read_pipe(&open(path)?, limit);
    }
    // a device, a terminal for one, may rightly take long
    let _waiting = if kind.is_file() {
        waiting
    } else {
        drop(waiting);
        watch::unbounded(what)
    };
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opening a pipe would wait for a writer; this does not.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
}

/// Until its writer closes it. One without a writer is at its end at once, as is one whose writer has not come yet: only
/// one that has given something and ends is complete.
#[cfg(unix)]
fn read_pipe(pipe: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut last = std::time::Instant::now();
    let mut pipe = pipe.take(limit);
    loop {
        let before = bytes.len();
        match pipe.read_to_end(&mut bytes) {
            Ok(_) if !bytes.is_empty() => return Ok(bytes),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if bytes.len() > before {
            last = std::time::Instant::now();
        } else if last.elapsed() > PATIENCE {
            let reason = format!(
                "it is a pipe that has given nothing for {} s; whatever writes it must begin within that time, and close it \
                 at the end",
                PATIENCE.as_secs()
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
        std::thread::sleep(INTERVAL);
    }
}
