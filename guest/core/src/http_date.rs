//! Dates as HTTP writes them (RFC 9110 section 5.6.7).
//!
//! By hand, because the crate of the field checks a date by writing it again: with all that it can then print that is
//! nearly 7 kB of the Envoy filter.

const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

const DAYS_IN_MONTH: [u64; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Unix seconds of a date in the usual form or one of the two obsolete ones, which recipients must take as well:
///
/// ```text
/// Sun, 06 Nov 1994 08:49:37 GMT      IMF-fixdate
/// Sunday, 06-Nov-94 08:49:37 GMT     RFC 850
/// Sun Nov  6 08:49:37 1994           asctime
/// ```
pub(crate) fn unix_seconds(date: &str) -> Option<u64> {
    // bytes, not characters: with each exchange there is a date to read
    let parts: Vec<&[u8]> = date
        .as_bytes()
        .split(|byte| matches!(byte, b' ' | b',' | b'-' | b':'))
        .filter(|part| !part.is_empty())
        .collect();
    let (day, month, year, hour, minute, second) = match parts.as_slice() {
        [_, day, month, year, hour, minute, second, b"GMT"] => {
            (day, month, year, hour, minute, second)
        }
        [_, month, day, hour, minute, second, year] => (day, month, year, hour, minute, second),
        _ => return None,
    };
    let month = MONTHS.chunks_exact(3).position(|name| name == *month)?;
    let year = match (number(year)?, year.len()) {
        (year, 4) => year,
        (year @ 0..70, 2) => 2000 + year,
        (year, 2) => 1900 + year,
        _ => return None,
    };
    unix_seconds_of(
        (year, month as u64, number(day)?),
        (number(hour)?, number(minute)?, number(second)?),
    )
}

/// Unix seconds of a time of UTC: year, month from 0, day from 1; hour, minute, second.
pub(crate) fn unix_seconds_of(
    (year, month, day): (u64, u64, u64),
    (hour, minute, second): (u64, u64, u64),
) -> Option<u64> {
    let days_in_month = *DAYS_IN_MONTH.get(usize::try_from(month).ok()?)?;
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let is_valid = (1..=days_in_month).contains(&day)
        && (is_leap_year || month != 1 || day < 29)
        // 60 is a leap second
        && (hour < 24 && minute < 60 && second <= 60);
    if !is_valid {
        return None;
    }
    // years that begin in March have their leap day last
    let (year, month) = match month {
        month @ 0..2 => (year.checked_sub(1)?, month + 10),
        month => (year, month - 2),
    };
    let days_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + days_of_year;
    // from the first of March of the year 0 to 1970
    let unix_days = days.checked_sub(719_468)?;
    Some(((unix_days * 24 + hour) * 60 + minute) * 60 + second)
}

/// At most four digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => Some(10 * number + u64::from(digit - b'0')),
        _ => None,
    };
    let is_number = matches!(digits.len(), 1..=4);
    digits.iter().try_fold(0, add).filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn the_three_forms_are_one_date() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(unix_seconds(date), Some(784_111_777), "{date}");
        }
        assert_eq!(unix_seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(
            unix_seconds("Tuesday, 19-Jan-38 03:14:08 GMT"),
            Some(1 << 31)
        );
    }

    #[test]
    fn it_agrees_with_the_crate_of_the_field() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        // to the end of the year 9999
        for _ in 0..20_000 {
            let seconds = random.next_u64() % 253_402_300_800;
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(unix_seconds(&date), Some(seconds), "{date}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for date in [
            "",
            "soon",
            "120",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Mon, 29 Feb 2100 08:49:37 GMT",
            "Sun, 06 anF 1994 08:49:37 GMT",
            "Sun, 06 no 1994 08:49:37 GMT",
            "Sun, 06 Nov 19945 08:49:37 GMT",
            "Sun, 06 Nov 199 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sat, 01 Jan 0000 00:00:00 GMT",
        ] {
            assert_eq!(unix_seconds(date), None, "{date}");
        }
        assert!(unix_seconds("Tue, 29 Feb 2028 08:49:37 GMT").is_some());
    }
}
