//! Counts in an answer, however a server writes them. What they count is said elsewhere.

use crate::json::Json;

/// A count of seconds (or a code) as a number, or as a numeric string as Entra's v1 endpoint writes it. Fractions are
/// cut off; what is negative is 0, and what is too large is the largest, however it is written.
pub(super) fn whole_number(value: &Json) -> Option<u64> {
    match value {
        Json::Whole(number) => Some(*number),
        // `as` saturates, and NaN becomes 0
        Json::Number(number) => Some(*number as u64),
        Json::Text(text) => {
            let text = text.expose().trim();
            let digits = text.strip_prefix('-').unwrap_or(text);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
                return None;
            }
            Some(match digits.len() == text.len() {
                true => whole.parse().unwrap_or(u64::MAX),
                false => 0,
            })
        }
        _ => None,
    }
}
