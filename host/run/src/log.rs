//! What the host says of itself, on standard error: warnings and errors always, as a program that runs for long is watched
//! by its log.

use std::io::Write as _;

use ::log::{Level, LevelFilter, Log, Metadata, Record};
use edgepass_core::printable;

/// Writes the library's records from that verbosity on: warnings, then what happens, then each request.
pub(crate) fn install(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    // fails only when there is a logger already, and this is the only place that sets one
    if ::log::set_logger(&StandardError).is_ok() {
        ::log::set_max_level(level);
    }
}

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // other crates may log the headers of requests
        metadata.target().starts_with("edgepass")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug | Level::Trace => "debug",
        };
        let text = printable(&record.args().to_string(), usize::MAX);
        // nothing is left to say it to
        let _ = writeln!(std::io::stderr().lock(), "edgepass-run: {level}: {text}");
    }

    fn flush(&self) {}
}
