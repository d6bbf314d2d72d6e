//! What counts once, a code or a refresh token: whether the server may have taken it, and what is said then. Whether it is sent
//! at all is decided elsewhere.

use crate::effect::{HttpError, HttpErrorKind, HttpResponse};
use crate::{Error, ErrorClass};

/// A failure after which the server may have taken the code or the refresh token: to present that again is a replay, for
/// which a server may end the whole session (RFC 6749 section 4.1.2, RFC 9700 section 4.14.2).
pub(super) fn of_what_is_spent(error: Error) -> Error {
    const AGAIN: &str =
        "the server may have taken the code or refresh token already: start the sign-in again";
    // what is said of a server that fails is about the same request once more
    let is_of_the_answer = error.class() == ErrorClass::InvalidResponse;
    error.edit(|detail| {
        detail.retryable = false;
        let hint = detail.hint.take().filter(|_| is_of_the_answer);
        detail.hint =
            Some(hint.map_or_else(|| AGAIN.to_owned(), |hint| format!("{hint}; {AGAIN}")));
    })
}

/// Whether the server may have taken what counts once: it has said so, or nobody knows what became of the request. Who
/// answers with an error of his own has not; a gateway does not know.
pub(super) fn may_be_spent(result: &Result<HttpResponse, HttpError>) -> bool {
    match result {
        Ok(response) => !matches!(response.status, 400..=501 | 503 | 505..=599),
        Err(error) => matches!(
            error.kind,
            HttpErrorKind::Reset
                | HttpErrorKind::Timeout
                | HttpErrorKind::BodyTooLarge
                | HttpErrorKind::Protocol
                | HttpErrorKind::Other
        ),
    }
}
