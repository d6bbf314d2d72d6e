//! The dialects in which platforms answer: errors that are no OAuth errors, and times in many forms.

use super::beside::Platform;
use super::selector::Selector;
use super::wire::{Cause, Refused};
use crate::credential::Failure;
use crate::effect::{HttpErrorKind, HttpResponse};
use crate::exchange::Granted;
use crate::json::Json;
use crate::limits::MAX_EXPIRES_IN_S;
use crate::text::{Needles, clean};
use crate::{Error, ErrorClass, Secret, http_date};

/// What platforms say of an identity that is not assigned, in lower case.
const NOT_ASSIGNED: [&str; 5] = [
    "identity not found",
    "no user assigned",
    "no managed identity",
    "managedidentitynotfound",
    "identity was not found",
];

/// A number of seconds below this is a span, and not a time since 1970 (MSAL.NET's bound too: the year 2001).
const FIRST_TIME_S: u64 = 978_307_200;

/// Why a platform gave no token.
pub(super) fn failure(
    platform: &Platform,
    selector: &Selector,
    is_usual: bool,
    refused: Refused,
    secrets: &[Secret],
) -> Failure {
    let Refused { error, cause } = refused;
    let variable = platform.endpoint;
    let mut is_here = true;
    let mut class = ErrorClass::CredentialUnavailable;
    let mut retryable = false;
    let mut error = error;
    let hint = match (&cause, platform.thumbprint) {
        (Cause::NoAnswer(HttpErrorKind::Connect | HttpErrorKind::Dns), _) => {
            (is_here, retryable) = (!is_usual, true);
            error = error.edit(|detail| {
                let said = std::mem::take(&mut detail.message);
                detail.message = format!("{} has nobody who gives tokens: {said}", platform.title);
            });
            match is_usual {
                true => format!(
                    "{variable} is not set, so this may be another machine: name the source of the platform that this runs on"
                ),
                false => format!(
                    "{variable} says that it listens there: it may be starting, or gone with the process that set it"
                ),
            }
        }
        (
            Cause::NoAnswer(
                HttpErrorKind::ServerCertificate | HttpErrorKind::ServerCertificateUnfit,
            ),
            Some(variable),
        ) => {
            class = error.class();
            format!(
                "it is not the one of {variable}: restart this process with the variables that it has now, or look at who answers there"
            )
        }
        (Cause::NoAnswer(_), _) => return error.into(),
        (Cause::Answer(response), _) => {
            error = in_words(error, response, secrets);
            let said = error.detail().message.to_ascii_lowercase();
            match response.status {
                400 | 404 if NOT_ASSIGNED.iter().any(|words| said.contains(words)) => {
                    is_here = false;
                    format!(
                        "assign the {} to what runs here, or name one that is",
                        selector.describe()
                    )
                }
                401 | 403 => platform.stranger.to_owned(),
                _ => return error.into(),
            }
        }
    };
    let error = error
        .edit(|detail| detail.retryable |= retryable)
        .reclassify(class)
        .hint(hint);
    match is_here {
        true => error.into(),
        false => Failure::not_here(error),
    }
}

/// The words of an error object that is none of OAuth's: `{"error": {"code", "message"}}`, `{"statusCode", "message"}`.
fn in_words(error: Error, response: &HttpResponse, secrets: &[Secret]) -> Error {
    if error.detail().oauth_error.is_some() {
        return error;
    }
    let body = Json::parse_answer(response.body.expose()).unwrap_or(Json::Null);
    let object = body.get("error").unwrap_or(&body);
    let text = |names: [&str; 2]| {
        let mut found = names.iter().filter_map(|name| object.get(name)?.text());
        found.next().map(Secret::expose).unwrap_or_default()
    };
    let (code, message) = (text(["code", "Code"]), text(["message", "Message"]));
    let needles = Needles::of(secrets);
    let said: Vec<String> = [code, message]
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| clean(text, &needles))
        .collect();
    if said.is_empty() {
        return error;
    }
    let class = match error.class() {
        ErrorClass::InvalidResponse => ErrorClass::Refused,
        class => class,
    };
    error
        .edit(|detail| {
            let host = detail.message.split(' ').next().unwrap_or_default();
            detail.message = format!(
                "{host} refused: {} (HTTP {})",
                said.join(": "),
                response.status
            );
        })
        .reclassify(class)
}

/// With the life that the answer gives it where that is no number of seconds that are left: a time in words, or a span
/// in the place of a time.
pub(super) fn with_expiry(
    granted: Granted,
    response: &HttpResponse,
    server_unix_s: u64,
) -> Granted {
    let Ok(body) = Json::parse_answer(response.body.expose()) else {
        return granted;
    };
    let text = |name| body.get(name).and_then(Json::text).map(Secret::expose);
    let is_number = |name| match body.get(name) {
        Some(Json::Whole(_) | Json::Number(_)) => true,
        _ => text(name).is_some_and(|text| text.trim().parse::<u64>().is_ok()),
    };
    if is_number("expires_in") {
        return granted;
    }
    let left_s = match body.get("expires_on") {
        Some(Json::Whole(span)) if *span < FIRST_TIME_S => Some(*span),
        Some(Json::Text(text)) => match text.expose().trim().parse::<u64>() {
            Ok(span) if span < FIRST_TIME_S => Some(span),
            Ok(_) => None,
            Err(_) => unix_seconds(text.expose()).map(|at| at.saturating_sub(server_unix_s)),
        },
        _ => None,
    };
    match left_s {
        Some(left_s) => Granted {
            lifetime_ms: left_s.min(MAX_EXPIRES_IN_S).saturating_mul(1000),
            ..granted
        },
        None => granted,
    }
}

/// A time of UTC in the forms that platforms have: `2026-11-01T13:24:12Z`, `11/01/2026 13:24:12 +00:00`,
/// `11/1/2026 1:24:12 PM +00:00`.
fn unix_seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text
        .strip_suffix('Z')
        .or_else(|| text.strip_suffix("+00:00"))
        .unwrap_or(text)
        .trim_end();
    let (text, noon) = match (text.strip_suffix(" AM"), text.strip_suffix(" PM")) {
        (Some(text), _) => (text, Some(0)),
        (_, Some(text)) => (text, Some(12)),
        _ => (text, None),
    };
    let (date, time) = text.split_once(['T', ' '])?;
    let three = |text: &str, between: char| {
        let mut parts = text.split(between).map(str::parse::<u64>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(a)), Some(Ok(b)), Some(Ok(c)), None) => Some((a, b, c)),
            _ => None,
        }
    };
    let (year, month, day) = match three(date, '-') {
        Some(date) => date,
        None => {
            let (month, day, year) = three(date, '/')?;
            (year, month, day)
        }
    };
    let (hour, minute, second) = three(time.split('.').next()?, ':')?;
    let hour = match noon {
        Some(noon) if (1..=12).contains(&hour) => hour % 12 + noon,
        Some(_) => return None,
        None => hour,
    };
    if !(1970..=9999).contains(&year) {
        return None;
    }
    http_date::unix_seconds_of((year, month.checked_sub(1)?, day), (hour, minute, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_the_forms_of_the_platforms() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-01T13:24:12Z", Some(1_793_539_452)),
            ("2026-11-01T13:24:12.123+00:00", Some(1_793_539_452)),
            ("11/01/2026 13:24:12 +00:00", Some(1_793_539_452)),
            ("11/1/2026 1:24:12 PM +00:00", Some(1_793_539_452)),
            ("11/1/2026 12:00:00 AM +00:00", Some(1_793_491_200)),
            ("2/29/2028 12:00:00 PM +00:00", Some(1_835_438_400)),
            ("11/1/2026 13:24:12 PM +00:00", None),
            ("13/01/2026 13:24:12 +00:00", None),
            ("2026-11-01T25:24:12Z", None),
            ("2026-11-01", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(unix_seconds(text), expected, "{text:?}");
        }
    }
}
