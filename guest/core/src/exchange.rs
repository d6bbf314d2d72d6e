//! Form out, response in: what a token endpoint is sent, and what its answer means. What is sent when, and whether it is sent
//! again, is decided elsewhere.

mod asked;
mod body;
mod class;
mod clock;
mod form;
mod granted;
mod invalid;
mod number;
mod refusal;
mod retry_after;
#[cfg(test)]
mod tests;
mod transport;
mod wanted;

use crate::Error;
use crate::effect::HttpResponse;

pub(crate) use asked::Asked;
pub(crate) use clock::learn_clock;
pub(crate) use form::{Form, request};
pub(crate) use granted::Granted;
use granted::granted;
#[cfg(feature = "every-credential")]
pub(crate) use granted::refresh_after_ms;
use invalid::redirect;
#[cfg(feature = "every-credential")]
pub(crate) use refusal::is_refusal;
use refusal::refused;
pub(crate) use refusal::refused_callback;
#[cfg(feature = "every-credential")]
pub(crate) use retry_after::retry_after_ms;
pub(crate) use transport::no_response;
#[cfg(feature = "every-credential")]
pub(crate) use wanted::MTLS_POP;
pub(crate) use wanted::Wanted;

/// Reads a response. Some servers say 201 or 203 where RFC 6749 section 5.1 has 200, and some refuse with 200.
pub(crate) fn response(asked: &Asked<'_>, response: &HttpResponse) -> Result<Granted, Error> {
    match response.status {
        200..=299 => granted(asked, response),
        300..=399 => Err(redirect(asked, response)),
        _ => Err(refused(asked, response)),
    }
}
