//! What the host says of itself, on standard error: warnings and errors always, as a program that runs for long is watched
//! by its log.

use ::log::LevelFilter;
use edgepass::standard_error;

/// Writes the library's records from that verbosity on: warnings, then what happens, then each request.
pub(crate) fn install(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    standard_error::install("edgepass-run", level);
}
