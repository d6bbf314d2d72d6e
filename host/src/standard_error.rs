//! Log lines on standard error, for the programs of this library. The library never logs a secret, so nothing is redacted here.

use std::io::Write as _;

use edgepass_core::printable;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Writes the library's records of that level and above, each a line that begins with the program's name.
pub fn install(program: &'static str, level: LevelFilter) {
    install_with(program, level, |line| {
        // nothing is left to say it to
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    });
}

/// The same for a program that has its own way to standard error. `write` has each line, with its end.
pub fn install_with(program: &'static str, level: LevelFilter, write: fn(String)) {
    // fails only when there is a logger already, and a program calls this once
    if log::set_logger(Box::leak(Box::new(StandardError { program, write }))).is_ok() {
        log::set_max_level(level);
    }
}

struct StandardError {
    program: &'static str,
    write: fn(String),
}

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
        let text = printable(&record.args().to_string(), usize::MAX);
        (self.write)(format!("{}: {level}: {text}\n", self.program));
    }

    fn flush(&self) {}
}
