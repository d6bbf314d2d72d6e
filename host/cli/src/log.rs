//! Log lines on standard error. The library never logs a secret, so nothing is redacted here.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Writes the library's records from that verbosity on: none, then what happens, then each request.
pub(crate) fn install(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    // fails only when there is a logger already, and this is the only place that sets one
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(level);
    }
}

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // other crates may log request headers at their lowest levels
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
        // nothing is left to say it to
        let _ = writeln!(
            std::io::stderr().lock(),
            "edgepass: {level}: {}",
            edgepass_core::printable(&record.args().to_string(), usize::MAX)
        );
    }

    fn flush(&self) {}
}
