//! What an answer tells about its server's clock.

use crate::effect::HttpResponse;
use crate::flow::Io;
use crate::limits::CLOCK_SKEW_MS;
use crate::{Error, ErrorClass, http_date};

/// Takes in what an answer tells about the server's clock, and says whether that makes another attempt worth while.
/// `built_at_ms` is the Unix time by which an assertion was built for it, `refusal` what came instead of a token.
pub(crate) fn learn_clock(
    io: &Io,
    host: &str,
    response: Option<&HttpResponse>,
    built_at_ms: Option<u64>,
    refusal: Option<&Error>,
) -> bool {
    let date_unix_s =
        response.and_then(|response| http_date::unix_seconds(response.header("date")?));
    let now = io.now();
    // a page of a proxy says nothing about the server, whatever its headers are
    let is_its_own = refusal.is_none_or(|error| error.detail().oauth_error.is_some());
    let Some(date_ms) = date_unix_s
        .filter(|_| is_its_own)
        .map(|seconds| seconds.saturating_mul(1000))
    else {
        return false;
    };
    let is_off = |by_ms: u64| by_ms.abs_diff(date_ms) > CLOCK_SKEW_MS;
    let refused_assertion = refusal
        .and(built_at_ms)
        .filter(|_| refusal.is_some_and(|error| error.class() == ErrorClass::CredentialRejected));
    let learnt = built_at_ms.is_some_and(|built| built.abs_diff(now.unix_ms) > CLOCK_SKEW_MS);
    io.edit_server_clock(host, |clock, now| {
        match (refusal, built_at_ms) {
            // the server did not want what was built by its supposed clock, or wants what the local clock builds
            (Some(_), Some(_)) if refused_assertion.is_some() && learnt => clock.distrust(),
            (None, Some(built)) if is_off(built) => clock.distrust(),
            _ => clock.measure(date_ms, now, refused_assertion.is_some_and(is_off)),
        }
    });
    let after = io.server_clock(host).estimate_ms(now);
    refused_assertion.is_some_and(|built| built.abs_diff(after) > CLOCK_SKEW_MS)
}
