//! Values of options that the programs over this library have in common.

use std::time::Duration;

/// A day, seconds: nobody waits longer, and what is more was meant in milliseconds.
pub const MOST_SECONDS: f64 = 86_400.0;

/// A duration in seconds, which may have decimals, or in another unit that is named: `ms`, `s` or `m`. Nothing for what is
/// none, no time at all, or more than a day.
pub fn seconds(text: &str) -> Option<Duration> {
    /// Those that other commands take, "ms" before what ends it.
    const UNITS: [(&str, f64); 3] = [("ms", 0.001), ("s", 1.0), ("m", 60.0)];

    let unit = UNITS
        .into_iter()
        .find_map(|(name, seconds)| Some((text.strip_suffix(name)?, seconds)));
    let (number, unit) = unit.unwrap_or((text, 1.0));
    // neither signs nor exponents
    let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = number.parse::<f64>().ok().filter(|_| is_number)?;
    let time = Duration::try_from_secs_f64(number * unit).ok()?;
    (!time.is_zero() && time.as_secs_f64() <= MOST_SECONDS).then_some(time)
}
