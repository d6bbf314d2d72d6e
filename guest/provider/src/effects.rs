//! What the engine wants done, done: how long each effect may take, and which import performs it. What differs between the
//! versions of WASI is in `imports` and `http`, and what a request looks like in both in `message`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use edgepass_bindings::types::{Algorithm, AssertionOptions};
use edgepass_core::{
    AssertionError, CertificateError, CertificateHandle, Effect, HttpError, HttpErrorKind,
    HttpRequest, HttpResponse, OpenedCertificate, Outcome, ReadError, SecretBytes, StoreAnswer,
    StoreError, StoreRequest, SuppliedAssertion, Via, limits,
};

use crate::bindings::wasi::http::types::ErrorCode;
use crate::http::exchange;
use crate::http_error;
use crate::imports::{self, Certificate};

/// The certificates that are open.
#[derive(Clone, Default)]
pub(crate) struct Certificates(Rc<RefCell<Opened>>);

#[derive(Default)]
struct Opened {
    opened: u64,
    open: BTreeMap<u64, Rc<Certificate>>,
}

impl Certificates {
    /// Lets go of one. Calls under way on it end first.
    pub(crate) fn close(&self, handle: CertificateHandle) {
        let closed = self.0.borrow_mut().open.remove(&handle.0);
        drop(closed);
    }

    fn add(&self, certificate: Certificate) -> CertificateHandle {
        let mut certificates = self.0.borrow_mut();
        certificates.opened += 1;
        let handle = certificates.opened;
        certificates.open.insert(handle, Rc::new(certificate));
        CertificateHandle(handle)
    }

    /// The one behind a handle, unless it was closed.
    pub(crate) fn get(&self, handle: CertificateHandle) -> Option<Rc<Certificate>> {
        self.0.borrow().open.get(&handle.0).cloned()
    }
}

/// How long an effect may take, milliseconds, by its kind.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Http(u64),
    ReadFile,
    OpenCertificate,
    Sign,
    Assert,
    Verify,
    Store,
}

impl Limit {
    /// That of an effect that has an outcome. `None` for one that has none or that this driver does not know; the engine
    /// ends a flow that waits too long.
    pub(crate) fn of(effect: &Effect) -> Option<Self> {
        Some(match effect {
            Effect::Http { request, .. } => Self::Http(request.timeout_ms),
            Effect::ReadFile { .. } => Self::ReadFile,
            Effect::OpenCertificate { .. } => Self::OpenCertificate,
            Effect::Sign { .. } => Self::Sign,
            Effect::Assert { .. } => Self::Assert,
            Effect::Verify { .. } => Self::Verify,
            Effect::Store { .. } => Self::Store,
            _ => return None,
        })
    }

    pub(crate) fn ms(self) -> u64 {
        match self {
            Self::Http(ms) => ms,
            Self::Store => limits::TOKEN_STORE_TIMEOUT_MS,
            _ => limits::HOST_CALL_TIMEOUT_MS,
        }
    }

    /// What becomes of an effect that has taken so long.
    pub(crate) fn outcome(self) -> Outcome {
        let late = |what: &str| format!("{what} within {} ms", self.ms());
        match self {
            Self::Http(_) => Outcome::Http(Err(HttpError {
                kind: HttpErrorKind::Timeout,
                detail: late("no whole answer"),
            })),
            Self::ReadFile => {
                Outcome::File(Err(ReadError::Other(late("the host did not read it"))))
            }
            Self::OpenCertificate => Outcome::Certificate(Err(CertificateError::Unavailable(
                late("the host did not open it"),
            ))),
            Self::Sign => Outcome::Signature(Err(CertificateError::Unavailable(late(
                "the host did not sign",
            )))),
            Self::Assert => Outcome::Assertion(Err(AssertionError::Temporary(late(
                "the assertion source did not answer",
            )))),
            Self::Verify => Outcome::Verified(Err(late("the host did not verify it"))),
            Self::Store => Outcome::Store(Err(StoreError::Unavailable(late(
                "the token store did not answer",
            )))),
        }
    }
}

/// Performs an effect that has an outcome.
pub(crate) async fn perform(effect: Effect, certificates: &Certificates) -> Option<Outcome> {
    Some(match effect {
        Effect::Http { request, via } => Outcome::Http(http(request, via, certificates).await),
        Effect::ReadFile { path } => Outcome::File(read_file(path).await),
        Effect::OpenCertificate { name } => {
            Outcome::Certificate(open_certificate(name, certificates).await)
        }
        Effect::Sign {
            certificate,
            algorithm,
            input,
        } => Outcome::Signature(sign(certificates.get(certificate), algorithm.into(), input).await),
        Effect::Assert { options } => Outcome::Assertion(assertion(options.into()).await),
        Effect::Verify {
            algorithm,
            key,
            input,
            signature,
        } => Outcome::Verified(imports::verify(
            algorithm.into(),
            &key.into(),
            &input,
            &signature,
        )),
        Effect::Store { request } => Outcome::Store(store(request).await),
        _ => return None,
    })
}

async fn read_file(path: String) -> Result<SecretBytes, ReadError> {
    let read = imports::read_file(path).await;
    read.map(SecretBytes::new).map_err(Into::into)
}

async fn open_certificate(
    name: String,
    certificates: &Certificates,
) -> Result<OpenedCertificate, CertificateError> {
    let certificate = imports::open_certificate(name).await?;
    let certificate_chain = certificate.chain();
    let issuance = certificate.issuance().map(Into::into);
    Ok(OpenedCertificate {
        handle: certificates.add(certificate),
        certificate_chain,
        issuance,
    })
}

async fn sign(
    certificate: Option<Rc<Certificate>>,
    algorithm: Algorithm,
    input: Vec<u8>,
) -> Result<Vec<u8>, CertificateError> {
    let Some(certificate) = certificate else {
        return Err(CertificateError::Other(
            "it was closed before it was used".to_owned(),
        ));
    };
    let signed = imports::sign(&certificate, algorithm, input).await;
    signed.map_err(Into::into)
}

async fn assertion(options: AssertionOptions) -> Result<SuppliedAssertion, AssertionError> {
    let supplied = imports::get_assertion(options).await;
    supplied.map(Into::into).map_err(Into::into)
}

async fn store(request: StoreRequest) -> Result<StoreAnswer, StoreError> {
    Ok(match request {
        StoreRequest::Get { key } => {
            let value = imports::get_stored(key).await?;
            StoreAnswer::Value(value.map(SecretBytes::new))
        }
        StoreRequest::Put {
            key,
            value,
            ttl_s,
            only_if_absent,
        } => {
            let ttl_s = u32::try_from(ttl_s).unwrap_or(u32::MAX);
            let value = value.expose().to_vec();
            StoreAnswer::Kept(imports::put_stored(key, value, ttl_s, only_if_absent).await?)
        }
        StoreRequest::Delete { key } => {
            imports::delete_stored(key).await?;
            StoreAnswer::Deleted
        }
    })
}

/// Why an exchange of messages failed, before it is put into words.
pub(crate) enum Failure {
    /// The host said so.
    Code(ErrorCode),
    /// The response went on after the limit.
    TooLarge,
    /// The request cannot be made: its part that is at fault.
    Unsendable(&'static str),
    /// The certificate was closed before.
    NoCertificate,
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

async fn http(
    request: HttpRequest,
    via: Via,
    certificates: &Certificates,
) -> Result<HttpResponse, HttpError> {
    let (kind, detail) = match exchange(request, via, certificates).await {
        Ok(response) => return Ok(response),
        Err(Failure::Code(code)) => return Err(http_error::describe(&code, via)),
        Err(Failure::TooLarge) => (HttpErrorKind::BodyTooLarge, String::new()),
        Err(Failure::Unsendable(part)) => (
            HttpErrorKind::Other,
            format!("the host does not accept its {part}"),
        ),
        Err(Failure::NoCertificate) => (
            HttpErrorKind::Other,
            "its certificate was closed before".to_owned(),
        ),
    };
    Err(HttpError { kind, detail })
}
