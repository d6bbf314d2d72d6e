//! The world outside: every import of the component is called here and nowhere else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;

use edgepass_core::{
    AssertionError, CertificateError, CertificateHandle, Effect, Environment, HttpError,
    HttpErrorKind, HttpRequest, HttpResponse, Now, OpenedCertificate, Outcome, ReadError, Secret,
    SecretBytes, StoreAnswer, StoreError, StoreRequest, Via, limits, wipe,
};
use futures::future::{Either, select};
use wit_bindgen::StreamResult;

use crate::bindings::edgepass::credentials::host_certificates::Certificate;
use crate::bindings::edgepass::credentials::{
    assertion_source, host_certificates, signatures, token_file, token_store,
};
use crate::bindings::wasi::cli::environment;
use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};
use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, HeaderError, Method, Request, Response, Scheme,
};
use crate::bindings::wasi::random::random;
use crate::bindings::{wit_future, wit_stream};
use crate::body::{Body, TooLarge};
use crate::http_error;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Response headers that are looked at; no other is copied into the sandbox's memory. Each is a call of the host, which
/// costs as much as reading the body.
fn wanted_headers(status: u16, body: &[u8]) -> impl Iterator<Item = &'static str> {
    // some servers refuse with a success
    let always = ["date", "retry-after"].as_slice();
    // what says what it is need not be told
    let of_body: &[_] = match body.first() {
        Some(b'{') => &[],
        // a token of Google's metadata server is bare text
        _ => &["content-encoding", "content-type", "metadata-flavor"],
    };
    let of_status: &[_] = match status {
        200..=299 => &[],
        401 => &["location", "server", "www-authenticate", "x-vss-e2eid"],
        _ => &["location", "server", "x-vss-e2eid"],
    };
    [always, of_body, of_status].into_iter().flatten().copied()
}

/// The longest header value that is taken, bytes: what common servers accept for a whole line. A longer one is left
/// out, because half a value could mean something else.
const MAX_HEADER_VALUE_BYTES: usize = 8 * 1024;

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

/// The environment variables.
pub(crate) fn environment() -> Environment {
    Environment::from_pairs(environment::get_environment())
}

/// A seed for jitter and unguessable names, from the host's random source.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for (to, from) in seed.iter_mut().zip(random::get_random_bytes(32)) {
        *to = from;
    }
    seed
}

/// Sets one header in place of what is there. The error says why the fields do not accept it, in words.
pub(crate) fn set_header(fields: &Fields, name: &str, value: &Secret) -> Result<(), String> {
    // one copy, which is wiped when it has crossed
    let mut values = [value.expose().as_bytes().to_vec()];
    let set = fields.set(name, &values);
    for value in &mut values {
        wipe(value);
    }
    set.map_err(|error| match error {
        HeaderError::Immutable => {
            "they belong to a request already: authorize before it is made".to_owned()
        }
        HeaderError::Forbidden => format!("the host does not allow the header {name}"),
        HeaderError::InvalidSyntax => format!("the host does not accept the value of {name}"),
        HeaderError::SizeExceeded => "they are too large".to_owned(),
        HeaderError::Other(_) => "the host does not say why".to_owned(),
    })
}

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

    fn get(&self, handle: CertificateHandle) -> Option<Rc<Certificate>> {
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
        } => Outcome::Verified(signatures::verify(
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
    let read = token_file::read(path).await;
    read.map(SecretBytes::new).map_err(Into::into)
}

async fn open_certificate(
    name: String,
    certificates: &Certificates,
) -> Result<OpenedCertificate, CertificateError> {
    let certificate = host_certificates::open(name).await?;
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
    algorithm: host_certificates::Algorithm,
    input: Vec<u8>,
) -> Result<Vec<u8>, CertificateError> {
    let Some(certificate) = certificate else {
        return Err(CertificateError::Other(
            "it was closed before it was used".to_owned(),
        ));
    };
    let signed = certificate.sign(algorithm, input).await;
    signed.map_err(Into::into)
}

async fn assertion(
    options: assertion_source::AssertionOptions,
) -> Result<edgepass_core::SuppliedAssertion, AssertionError> {
    let supplied = assertion_source::get_assertion(options).await;
    supplied.map(Into::into).map_err(Into::into)
}

async fn store(request: StoreRequest) -> Result<StoreAnswer, StoreError> {
    Ok(match request {
        StoreRequest::Get { key } => {
            let value = token_store::get(key).await?;
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
            StoreAnswer::Kept(token_store::put(key, value, ttl_s, only_if_absent).await?)
        }
        StoreRequest::Delete { key } => {
            token_store::delete(key).await?;
            StoreAnswer::Deleted
        }
    })
}

/// Why an exchange of messages failed, before it is put into words.
enum Failure {
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

async fn exchange(
    request: HttpRequest,
    via: Via,
    certificates: &Certificates,
) -> Result<HttpResponse, Failure> {
    let limit = request.max_response_bytes;
    let (message, upload) = build(request)?;
    let answer = async {
        let response = match via {
            Via::Public => client::send(message).await?,
            Via::Certificate(handle) => {
                let certificate = certificates.get(handle).ok_or(Failure::NoCertificate)?;
                certificate.send(message).await?
            }
        };
        read(response, limit).await
    };
    // a server may answer before it has taken the whole body, or without taking it: the answer is what counts
    let upload = async {
        upload.await;
        pending::<()>().await;
    };
    match select(pin!(answer), pin!(upload)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), answer)) => answer.await,
    }
}

/// The message, and the future that feeds its body to the host.
fn build(request: HttpRequest) -> Result<(Request, impl Future<Output = ()>), Failure> {
    let HttpRequest {
        method,
        scheme,
        authority,
        path,
        headers,
        body,
        ..
    } = request;

    let mut fields: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.expose().as_bytes().to_vec()))
        .collect();
    // some servers want a length of what is posted, if it is nothing (RFC 9110 section 8.6)
    if !body.is_empty() || method != "GET" {
        fields.push((
            "content-length".to_owned(),
            body.len().to_string().into_bytes(),
        ));
    }
    let headers = Fields::from_list(&fields);
    for (_, value) in &mut fields {
        wipe(value);
    }
    let headers = headers.map_err(|_| Failure::Unsendable("headers"))?;

    let (trailers, trailers_rx) = wit_future::new(|| Ok(None));
    let (content, content_rx) = if body.is_empty() {
        (None, None)
    } else {
        let (content, content_rx) = wit_stream::new();
        (Some(content), Some(content_rx))
    };
    let (message, sent) = Request::new(headers, content_rx, trailers_rx, None);
    // no timeouts of the host's: dropping the call ends it when its time is over, and setting each is a call by itself
    // what became of the upload is not asked: the response tells, or the error in its place
    drop(sent);

    let method = match method {
        "POST" => Method::Post,
        "GET" => Method::Get,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.to_owned()),
    };
    message
        .set_method(&method)
        .map_err(|()| Failure::Unsendable("method"))?;
    message
        .set_scheme(Some(&scheme))
        .map_err(|()| Failure::Unsendable("scheme"))?;
    message
        .set_authority(Some(&authority))
        .map_err(|()| Failure::Unsendable("host name"))?;
    message
        .set_path_with_query(Some(&path))
        .map_err(|()| Failure::Unsendable("path"))?;

    let upload = async move {
        if let Some(mut content) = content {
            // the one copy that a stream needs comes back when it has been taken, and is wiped here
            let mut copy = content.write_all(body.expose().to_vec()).await;
            wipe(&mut copy);
        }
        _ = trailers.write(Ok(None)).await;
    };
    Ok((message, upload))
}

async fn read(response: Response, limit: usize) -> Result<HttpResponse, Failure> {
    let status = response.get_status_code();
    let fields = response.get_headers();
    let (received, received_rx) = wit_future::new(|| Ok(()));
    let (mut content, trailers) = Response::consume_body(response, received_rx);
    let mut body = Body::new(limit);
    loop {
        let (result, buffer) = content.read(body.lend()).await;
        body.take_back(buffer)
            .map_err(|TooLarge| Failure::TooLarge)?;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    // a stream ends in the same way whether the body was whole or not; only the trailers tell
    trailers.await?;
    drop(received);
    let body = SecretBytes::new(body.finish());
    let headers = wanted_headers(status, body.expose())
        .filter_map(|name| header(&fields, name).map(|value| (name.to_owned(), value)))
        .collect();
    Ok(HttpResponse {
        status,
        headers,
        body,
    })
}

fn header(fields: &Fields, name: &str) -> Option<String> {
    let value = fields.get(name).into_iter().next()?;
    if value.len() > MAX_HEADER_VALUE_BYTES {
        None
    } else {
        String::from_utf8(value).ok()
    }
}
