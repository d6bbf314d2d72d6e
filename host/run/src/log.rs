//! What the host says of itself, on standard error: warnings and errors always, as a program that runs for long is watched
//! by its log. One whose log nobody reads goes on without it.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::log::LevelFilter;
use edgepass::standard_error;

use crate::lines::Lines;

/// How long the end of the program waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

static LINES: OnceLock<Lines> = OnceLock::new();

/// Lines for which there was no place.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Writes the library's records from that verbosity on: warnings, then what happens, then each request.
pub(crate) fn install(verbose: u8) -> io::Result<()> {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    // nothing is left to say it to
    let lines = Lines::to(stderr()?, |_| ())?;
    LINES.get_or_init(|| lines);
    standard_error::install_with("edgepass-run", level, say);
    Ok(())
}

fn say(line: String) {
    let Some(lines) = LINES.get() else { return };
    let lost = LOST.swap(0, Ordering::Relaxed);
    let line = match lost {
        0 => line,
        lost => format!(
            "edgepass-run: warning: nobody read the log, and lines of it were lost: {lost}\n{line}"
        ),
    };
    if !lines.push(line) {
        LOST.fetch_add(lost + 1, Ordering::Relaxed);
    }
}

/// Waits for the last lines, for a moment.
pub(crate) async fn finish() {
    if let Some(lines) = LINES.get() {
        lines.room().empty(LAST).await;
    }
}

/// Standard error without the lock of the library of Rust, which who waits to write holds.
#[cfg(unix)]
pub(crate) fn stderr() -> io::Result<Box<dyn Write + Send>> {
    use std::os::fd::AsFd as _;

    let copy = io::stderr().as_fd().try_clone_to_owned()?;
    Ok(Box::new(std::fs::File::from(copy)))
}

#[cfg(not(unix))]
pub(crate) fn stderr() -> io::Result<Box<dyn Write + Send>> {
    Ok(Box::new(io::stderr()))
}
