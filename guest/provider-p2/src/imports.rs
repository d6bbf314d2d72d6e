//! What the component imports over WASI 0.2, but for requests. Nothing of it waits without the whole component; it is
//! `async` because it is over WASI 0.3.

use edgepass_bindings::types::{
    Algorithm, Assertion, AssertionError, AssertionOptions, CertificateError, ReadError, StoreError,
};
use edgepass_core::{Now, wipe};

use crate::bindings::edgepass::credentials_p2::{
    assertion_source, host_certificates, token_file, token_store,
};
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::http::types::HeaderError;
use crate::tasks::ready;

pub(crate) use crate::bindings::edgepass::credentials_p2::host_certificates::Certificate;
pub(crate) use crate::bindings::edgepass::credentials_p2::signatures::verify;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Both clocks.
pub(crate) fn now() -> Now {
    let wall = wall_clock::now();
    Now {
        unix_ms: (wall.seconds)
            .saturating_mul(1000)
            .saturating_add(u64::from(wall.nanoseconds) / NANOS_PER_MILLI),
        mono_ms: monotonic_clock::now() / NANOS_PER_MILLI,
    }
}

/// Waits until the monotonic clock of [`now`] shows that many milliseconds.
pub(crate) async fn sleep_until(mono_ms: u64) {
    let when = mono_ms.saturating_mul(NANOS_PER_MILLI);
    ready(monotonic_clock::subscribe_instant(when)).await;
}

/// Why the fields of a request do not accept a header, in words.
pub(crate) fn header_refusal(error: &HeaderError, name: &str) -> String {
    match error {
        HeaderError::Immutable => {
            "they belong to a request already: authorize before it is made".to_owned()
        }
        HeaderError::Forbidden => format!("the host does not allow the header {name}"),
        HeaderError::InvalidSyntax => format!("the host does not accept the value of {name}"),
    }
}

/// The token file.
pub(crate) async fn read_file(path: String) -> Result<Vec<u8>, ReadError> {
    token_file::read(&path)
}

/// A certificate as it is now.
pub(crate) async fn open_certificate(name: String) -> Result<Certificate, CertificateError> {
    host_certificates::open(&name)
}

/// A signature with the key of a certificate.
pub(crate) async fn sign(
    certificate: &Certificate,
    algorithm: Algorithm,
    input: Vec<u8>,
) -> Result<Vec<u8>, CertificateError> {
    certificate.sign(algorithm, &input)
}

/// An assertion of somebody else's.
pub(crate) async fn get_assertion(options: AssertionOptions) -> Result<Assertion, AssertionError> {
    assertion_source::get_assertion(&options)
}

/// What the token store keeps under a key.
pub(crate) async fn get_stored(key: String) -> Result<Option<Vec<u8>>, StoreError> {
    token_store::get(&key)
}

/// Keeps something in the token store; whether it is kept.
pub(crate) async fn put_stored(
    key: String,
    mut value: Vec<u8>,
    ttl_s: u32,
    only_if_absent: bool,
) -> Result<bool, StoreError> {
    let kept = token_store::put(&key, &value, ttl_s, only_if_absent);
    wipe(&mut value);
    kept
}

/// Makes the token store forget something.
pub(crate) async fn delete_stored(key: String) -> Result<(), StoreError> {
    token_store::delete(&key)
}
