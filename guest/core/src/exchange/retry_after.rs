//! How long a server asks to be left alone. Whether that is heeded is said elsewhere.

use crate::effect::HttpResponse;
use crate::http_date;
use crate::limits::MAX_RETRY_AFTER_MS;

/// `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110 section 10.2.3), the date read on the server's own
/// clock.
pub(crate) fn retry_after_ms(response: &HttpResponse, server_unix_s: u64) -> Option<u64> {
    let value = response.header("retry-after")?.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let at = http_date::unix_seconds(value)?;
            let from = response
                .header("date")
                .and_then(http_date::unix_seconds)
                .unwrap_or(server_unix_s);
            at.saturating_sub(from)
        }
    };
    Some(seconds.saturating_mul(1000).min(MAX_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::response;

    #[test]
    fn retry_after_is_seconds_or_a_date_on_the_servers_clock() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (headers, expected) in [
            (vec![("retry-after", "7")], Some(7_000)),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), date],
                Some(30_000),
            ),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date],
                Some(0),
            ),
            (vec![("retry-after", "999999")], Some(MAX_RETRY_AFTER_MS)),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            assert_eq!(
                retry_after_ms(&response(429, &headers, ""), 0),
                expected,
                "{headers:?}"
            );
        }
    }
}
