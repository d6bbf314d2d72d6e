//! What the component imports over WASI 0.3, but for requests.

use edgepass_bindings::types::{Algorithm, CertificateError};
use edgepass_core::Now;

use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};
use crate::bindings::wasi::http::types::HeaderError;

pub(crate) use crate::bindings::edgepass::credentials::assertion_source::get_assertion;
pub(crate) use crate::bindings::edgepass::credentials::host_certificates::{
    Certificate, open as open_certificate,
};
pub(crate) use crate::bindings::edgepass::credentials::signatures::verify;
pub(crate) use crate::bindings::edgepass::credentials::token_file::read as read_file;
pub(crate) use crate::bindings::edgepass::credentials::token_store::{
    delete as delete_stored, get as get_stored, put as put_stored,
};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Both clocks.
pub(crate) fn now() -> Now {
    let wall = system_clock::now();
    // before 1970 is a clock that was never set; the engine copes with 0 as with any other wrong time
    let seconds = u64::try_from(wall.seconds).unwrap_or(0);
    Now {
        unix_ms: seconds
            .saturating_mul(1000)
            .saturating_add(u64::from(wall.nanoseconds) / NANOS_PER_MILLI),
        mono_ms: monotonic_clock::now() / NANOS_PER_MILLI,
    }
}

/// Waits until the monotonic clock of [`now`] shows that many milliseconds.
pub(crate) async fn sleep_until(mono_ms: u64) {
    monotonic_clock::wait_until(mono_ms.saturating_mul(NANOS_PER_MILLI)).await;
}

/// Why the fields of a request do not accept a header, in words.
pub(crate) fn header_refusal(error: &HeaderError, name: &str) -> String {
    match error {
        HeaderError::Immutable => {
            "they belong to a request already: authorize before it is made".to_owned()
        }
        HeaderError::Forbidden => format!("the host does not allow the header {name}"),
        HeaderError::InvalidSyntax => format!("the host does not accept the value of {name}"),
        HeaderError::SizeExceeded => "they are too large".to_owned(),
        HeaderError::Other(_) => "the host does not say why".to_owned(),
    }
}

/// A signature with the key of a certificate.
pub(crate) async fn sign(
    certificate: &Certificate,
    algorithm: Algorithm,
    input: Vec<u8>,
) -> Result<Vec<u8>, CertificateError> {
    certificate.sign(algorithm, input).await
}
