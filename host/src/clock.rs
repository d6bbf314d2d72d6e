//! The time, as this process sees it.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgepass_core::Now;

/// From when the monotonic clock counts.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Both clocks.
pub(crate) fn now() -> Now {
    let start = *START;
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        unix_ms: millis(unix),
        mono_ms: millis(start.elapsed()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
