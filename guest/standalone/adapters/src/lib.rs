//! What a provider imports of its host, over WASI alone: `token_file` reads below the preopened folders, and everything that
//! needs more than WASI has is answered with the interface's own error.

mod bindings;
mod token_file;

use bindings::edgepass::credentials::types::{
    Algorithm, Assertion, AssertionError, AssertionOptions, CertificateError, Issuance, PublicKey,
    ReadError, StoreError,
};
use bindings::exports::edgepass::credentials::host_certificates::{
    Certificate, ErrorCode, Request, Response,
};
use bindings::exports::edgepass::credentials::{
    assertion_source, host_certificates, signatures, token_file as files, token_store,
};

/// What has no place in a sandbox that has WASI alone, and where it has one.
const NOT_HERE: &str = "not available in the standalone component, which has WASI alone";

struct Adapters;

impl files::Guest for Adapters {
    async fn read(path: String) -> Result<Vec<u8>, ReadError> {
        let content = turn(token_file::read(&path)).await?;
        // it leaves this memory by the copy that the call makes
        Ok(content.to_vec())
    }
}

impl host_certificates::Guest for Adapters {
    type Certificate = NoCertificate;

    async fn open(_name: String) -> Result<Certificate, CertificateError> {
        turn(async { Err(CertificateError::Unavailable(NOT_HERE.to_owned())) }).await
    }
}

/// A certificate that nobody can open.
enum NoCertificate {}

impl host_certificates::GuestCertificate for NoCertificate {
    fn chain(&self) -> Vec<Vec<u8>> {
        match *self {}
    }

    fn issuance(&self) -> Option<Issuance> {
        match *self {}
    }

    async fn sign(
        &self,
        _algorithm: Algorithm,
        _input: Vec<u8>,
    ) -> Result<Vec<u8>, CertificateError> {
        match *self {}
    }

    async fn send(&self, _request: Request) -> Result<Response, ErrorCode> {
        match *self {}
    }
}

impl assertion_source::Guest for Adapters {
    async fn get_assertion(_options: AssertionOptions) -> Result<Assertion, AssertionError> {
        turn(async { Err(AssertionError::NotConfigured) }).await
    }
}

impl signatures::Guest for Adapters {
    fn verify(
        _algorithm: Algorithm,
        _key: PublicKey,
        _input: Vec<u8>,
        _signature: Vec<u8>,
    ) -> Result<bool, String> {
        Err(format!("verifying signatures is {NOT_HERE}"))
    }
}

impl token_store::Guest for Adapters {
    async fn get(_key: String) -> Result<Option<Vec<u8>>, StoreError> {
        turn(async { Err(no_store()) }).await
    }

    async fn put(
        _key: String,
        _value: Vec<u8>,
        _ttl_seconds: u32,
        _only_if_absent: bool,
    ) -> Result<bool, StoreError> {
        turn(async { Err(no_store()) }).await
    }

    async fn delete(_key: String) -> Result<(), StoreError> {
        turn(async { Err(no_store()) }).await
    }
}

fn no_store() -> StoreError {
    StoreError::Unavailable(format!("a token store is {NOT_HERE}"))
}

/// After one turn of the event loop: wasmtime 48 forgets to delete its record of a call between two components that returns
/// at once.
async fn turn<T>(work: impl Future<Output = T>) -> T {
    wit_bindgen::yield_async().await;
    work.await
}

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{Adapters, bindings};

    bindings::export!(Adapters with_types_in bindings);
}
