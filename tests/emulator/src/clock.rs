//! The emulator's idea of now, which a test may put forward or back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Wall clock plus an adjustable offset.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    skew: AtomicI64,
}

impl Clock {
    /// Seconds since 1970 as this server believes.
    pub(crate) fn now(&self) -> i64 {
        real_now().saturating_add(self.skew())
    }

    /// How many seconds this server is ahead of the machine.
    pub(crate) fn skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }

    /// Puts the server ahead of the machine (or behind it, when negative).
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
    }
}

/// Seconds since 1970 as the machine believes.
pub(crate) fn real_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// `2026-11-23 01:02:03Z`, the form of Entra's error bodies.
pub(crate) fn stamp(unix: i64) -> String {
    let t = date_time(unix);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// `2026-11-23T01:02:03.0000000Z`, the form inside Entra's validity messages.
pub(crate) fn precise_stamp(unix: i64) -> String {
    stamp(unix)
        .replacen(' ', "T", 1)
        .replacen('Z', ".0000000Z", 1)
}

/// The `Date` header's form.
pub(crate) fn http_date(unix: i64) -> String {
    let seconds = u64::try_from(unix).unwrap_or_default();
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// A calendar date, clamped to 1970 for values that have none.
pub(crate) fn date_time(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_entras_forms() {
        assert_eq!(stamp(1_795_395_723), "2026-11-23 01:02:03Z");
        assert_eq!(precise_stamp(1_795_395_723), "2026-11-23T01:02:03.0000000Z");
        assert_eq!(http_date(1_795_395_723), "Mon, 23 Nov 2026 01:02:03 GMT");
    }

    #[test]
    fn skew_moves_now() {
        let clock = Clock::default();
        clock.set_skew(-3_600);
        let behind = real_now() - clock.now();
        assert!((3_599..=3_601).contains(&behind), "{behind}");
    }
}
