//! Servers at addresses that any machine may ask and one platform alone answers at. Where it is not this one, what is sent
//! there may be dropped in silence, and nobody should wait for the end of a request that nobody receives: the next
//! credential of a list needs the time, or whoever is told that there is none.
//!
//! Each of these servers refuses a request without its own header at once, however long it takes to get a token. So one
//! that is slow is asked that: whoever does not even refuse is not there.

use std::future::{Future, pending};
use std::pin::Pin;

use crate::SecretBytes;
use crate::effect::{HttpErrorKind, HttpRequest, Via};
use crate::flow::Io;

/// A token takes such a server some milliseconds. After this long it is asked whether it is there at all, milliseconds.
pub(super) const SLOW_MS: u64 = 1_000;

/// How long it may take to say so, milliseconds. It is the Azure SDKs' bound for the same question; 300 ms were too short
/// for machines under load.
pub(super) const PROBE_MS: u64 = 1_000;

/// Ends when it is known that nobody is there to answer that request, and else never. No secret of it goes into the
/// second one.
///
/// Boxed, so that it is there once for all who are asked.
pub(super) fn silence<'a>(
    io: &'a Io,
    request: &HttpRequest,
) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    let headers = request.headers.iter();
    let probe = HttpRequest {
        method: request.method,
        scheme: request.scheme,
        authority: request.authority.clone(),
        path: request.path.clone(),
        headers: headers
            .filter(|(name, _)| *name == "user-agent")
            .cloned()
            .collect(),
        body: SecretBytes::default(),
        timeout_ms: PROBE_MS,
        max_response_bytes: request.max_response_bytes,
    };
    Box::pin(async move {
        io.sleep_ms(SLOW_MS).await;
        let kind = io.http(probe, Via::Public).await.err().map(|e| e.kind);
        if !matches!(kind, Some(HttpErrorKind::Timeout | HttpErrorKind::Connect)) {
            pending::<()>().await;
        }
    })
}
