//! Log lines on standard error.

use edgepass::standard_error;
use log::LevelFilter;

/// Writes the library's records from that verbosity on: none, then what happens, then each request.
pub(crate) fn install(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    standard_error::install("edgepass", level);
}
