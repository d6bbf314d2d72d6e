//! Values of options that have a form.

use std::net::SocketAddr;
use std::time::Duration;

use edgepass::options::{self, MOST_SECONDS};

/// A parameter of a request. Its value may have any `=` but the first.
pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is not NAME=VALUE, as ui_locales=de is".to_owned()),
    }
}

/// A duration in seconds, which may have decimals, or in another unit that is named.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    options::seconds(text).ok_or_else(|| {
        format!(
            "give seconds, more than 0 and at most {MOST_SECONDS}: 10, or 0.5 for half a second"
        )
    })
}

/// An address of this machine with a port.
pub(super) fn listener(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "give ADDRESS:PORT, 127.0.0.1:8080 for this machine alone, 0.0.0.0:8080 for all who reach it, or [::1]:8080".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_a_name_and_a_value() {
        for (text, name, value) in [("a=b", "a", "b"), ("a=b=c", "a", "b=c"), ("a=", "a", "")] {
            assert_eq!(
                parameter(text).unwrap(),
                (name.to_owned(), value.to_owned())
            );
        }
        for bad in ["", "a", "=b"] {
            assert!(parameter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("1", 1000),
            ("0.5", 500),
            ("2s", 2000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1.5m", 90_000),
            ("86400", 86_400_000),
        ] {
            assert_eq!(seconds(text).unwrap().as_millis(), millis, "{text}");
        }
        for bad in [
            "", "0", "-1", "+1", "1e3", "inf", "NaN", "x", "5h", "86401", ".", "s", "ms", "0ms",
            "-1s", "2000m",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
