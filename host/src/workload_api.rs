//! JWT-SVIDs and X.509-SVIDs from the SPIFFE Workload API: calls of gRPC on a Unix socket.
//!
//! It is written out over the HTTP/2 that is here anyway. A gRPC library would bring more than thirty crates for a few
//! messages of a few strings, and be in no command that ships.
//!
//! Sources: SPIFFE Workload API sections 3 to 6 and its `workload.proto`; SPIFFE Workload Endpoint sections 2 to 4; gRPC over
//! HTTP/2.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use edgepass_core::needs::WorkloadApiNeed;
use edgepass_core::{AssertionError, Secret, SuppliedAssertion, inspect_jwt};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::AnyRef;
use zeroize::Zeroizing;

use crate::limits;

/// The call for tokens, and the one for certificates, which goes on for as long as somebody listens.
const FETCH_JWT: &str = "http://localhost/SpiffeWorkloadAPI/FetchJWTSVID";
const FETCH_X509: &str = "http://localhost/SpiffeWorkloadAPI/FetchX509SVID";

/// Shows that nobody made this process send somebody else's request (SPIFFE Workload Endpoint section 6.2).
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// `Status::Unavailable` and others that pass by themselves: deadline exceeded, resource exhausted, aborted.
const PASSING: [&str; 4] = ["4", "8", "10", "14"];

/// One JWT-SVID, made now.
pub(crate) async fn assertion(need: &WorkloadApiNeed) -> Result<SuppliedAssertion, AssertionError> {
    match tokio::time::timeout(limits::WORKLOAD_API_DEADLINE, fetch(need)).await {
        Ok(fetched) => fetched.map(|token| SuppliedAssertion { token }),
        Err(_) => Err(AssertionError::Temporary(late(
            limits::WORKLOAD_API_DEADLINE,
        ))),
    }
}

/// The X.509-SVIDs of a workload, as they come.
pub(crate) struct Svids {
    spiffe_id: Option<String>,
    body: Incoming,
    /// What has come of the next message.
    buffer: Zeroizing<Vec<u8>>,
    _driver: Driver,
}

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Svid {
    /// DER, leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Zeroizing<PrivateKeyDer<'static>>,
}

impl Svids {
    /// Begins to listen.
    pub(crate) async fn open(
        socket: &str,
        spiffe_id: Option<&str>,
    ) -> Result<Self, AssertionError> {
        // `X509SVIDRequest` has no fields
        let (response, driver) = call(socket, FETCH_X509, framed(&[])).await?;
        let (head, body) = response.into_parts();
        status(&head.headers)?;
        Ok(Self {
            spiffe_id: spiffe_id.map(str::to_owned),
            body,
            buffer: Zeroizing::default(),
            _driver: driver,
        })
    }

    /// The next one, which may be days away. An error is the end.
    pub(crate) async fn next(&mut self) -> Result<Svid, AssertionError> {
        loop {
            if let Some((message, length)) = whole(&self.buffer)? {
                let svid = svid(message, self.spiffe_id.as_deref());
                // what is moved up has been somewhere else: the old place is wiped
                self.buffer =
                    Zeroizing::new(self.buffer.get(length..).unwrap_or_default().to_vec());
                return svid;
            }
            let frame = match self.body.frame().await {
                None => return Err(AssertionError::Temporary("it has hung up".to_owned())),
                Some(frame) => frame.map_err(|e| {
                    AssertionError::Temporary(format!("the connection failed: {e}"))
                })?,
            };
            if let Some(trailers) = frame.trailers_ref() {
                status(trailers)?;
            }
            if let Some(data) = frame.data_ref() {
                if self.buffer.len() + data.len() > limits::WORKLOAD_API_BYTES {
                    return Err(too_long());
                }
                let mut longer = Zeroizing::new(Vec::with_capacity(self.buffer.len() + data.len()));
                longer.extend_from_slice(&self.buffer);
                longer.extend_from_slice(data);
                self.buffer = longer;
            }
        }
    }
}

/// The one with that ID in an `X509SVIDResponse`, or the first, which is the default one.
fn svid(message: &[u8], id: Option<&str>) -> Result<Svid, AssertionError> {
    let odd = || AssertionError::Other("its answer is no X.509-SVID".to_owned());
    let svids = fields(message, 1).ok_or_else(odd)?;
    let is_wanted = |svid: &&&[u8]| id.is_none_or(|id| field(svid, 1) == Some(id.as_bytes()));
    let found = svids.iter().find(is_wanted).ok_or_else(|| {
        AssertionError::Other(match id {
            Some(id) => format!("it has no X.509-SVID of {id} for this process"),
            None => "it has no X.509-SVID for this process".to_owned(),
        })
    })?;
    let mut rest = field(found, 2).ok_or_else(odd)?;
    let mut chain = Vec::new();
    while !rest.is_empty() {
        let (_, after) = AnyRef::from_der_partial(rest).map_err(|_| odd())?;
        let (one, _) = rest.split_at(rest.len() - after.len());
        chain.push(CertificateDer::from(one.to_vec()));
        rest = after;
    }
    let key = PrivatePkcs8KeyDer::from(field(found, 3).ok_or_else(odd)?.to_vec());
    Ok(Svid {
        chain,
        key: Zeroizing::new(PrivateKeyDer::from(key)),
    })
}

/// A connection for one call, and the head of the answer.
async fn call(
    socket: &str,
    method: &str,
    message: Vec<u8>,
) -> Result<(Response<Incoming>, Driver), AssertionError> {
    let socket = Path::new(socket);
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => return Err(not_connected(socket, &error).await),
    };
    let broken = |e: hyper::Error| AssertionError::Temporary(format!("the connection failed: {e}"));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = Driver(tokio::spawn(async move {
        // what became of it the request says
        let _ = connection.await;
    }));
    let request = Request::builder()
        .method(Method::POST)
        .uri(method)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header(SECURITY_HEADER, "true")
        .body(Full::new(Bytes::from(message)))
        .map_err(|e| AssertionError::Other(e.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    if response.status() != StatusCode::OK {
        return Err(AssertionError::Other(format!(
            "it answered HTTP {}, so it is no Workload API",
            response.status().as_u16()
        )));
    }
    Ok((response, driver))
}

/// Why nobody can be asked there. Of what is no socket the system says the same as of one on which nobody listens, and time
/// makes none of it.
async fn not_connected(socket: &Path, error: &std::io::Error) -> AssertionError {
    use std::os::unix::fs::FileTypeExt as _;

    let path = socket.to_owned();
    let there = tokio::task::spawn_blocking(move || std::fs::metadata(path)).await;
    let there = there.ok().and_then(Result::ok);
    match (there.map(|there| there.file_type()), error.kind()) {
        (Some(kind), _) if kind.is_dir() => {
            AssertionError::Other("it is no socket but a folder".to_owned())
        }
        (Some(kind), _) if !kind.is_socket() => {
            AssertionError::Other("it is no socket but a file".to_owned())
        }
        (_, std::io::ErrorKind::NotFound) => AssertionError::NotConfigured,
        (_, std::io::ErrorKind::ConnectionRefused) => {
            AssertionError::Temporary("nobody listens on its socket".to_owned())
        }
        _ => AssertionError::Other(format!("its socket cannot be used: {error}")),
    }
}

async fn fetch(need: &WorkloadApiNeed) -> Result<Secret, AssertionError> {
    let (response, _driver) = call(&need.socket, FETCH_JWT, question(need)).await?;
    let (head, body) = response.into_parts();
    // an answer without a message has its status in its headers
    let mut is_said = status(&head.headers)?;
    let body = Limited::new(body, limits::WORKLOAD_API_BYTES)
        .collect()
        .await
        .map_err(|_| AssertionError::Other("its answer is too long, or broke off".to_owned()))?;
    if let Some(trailers) = body.trailers() {
        is_said |= status(trailers)?;
    }
    if !is_said {
        return Err(AssertionError::Temporary(
            "its answer broke off: it has no grpc-status".to_owned(),
        ));
    }
    let message = Zeroizing::new(body.to_bytes().to_vec());
    let token = answer(&message, need.spiffe_id.as_deref())?;
    Ok(Secret::new(token))
}

fn late(limit: Duration) -> String {
    format!("it did not answer within {} ms", limit.as_millis())
}

/// The task that moves the bytes of a connection; it ends with whoever uses it.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether gRPC says here that a call went well.
fn status(headers: &HeaderMap) -> Result<bool, AssertionError> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    match text("grpc-status") {
        None => Ok(false),
        Some("0") => Ok(true),
        Some(code) => {
            let reason = format!("it says (gRPC status {code}): {}", said(headers));
            Err(if PASSING.contains(&code) {
                AssertionError::Temporary(reason)
            } else {
                AssertionError::Other(reason)
            })
        }
    }
}

/// What gRPC says of a failure: percent-encoded UTF-8 ("Percent-Encoded" of gRPC over HTTP/2), without what a terminal would
/// obey.
fn said(headers: &HeaderMap) -> String {
    let encoded = headers.get("grpc-message").map(|value| value.as_bytes());
    let text = percent_encoding::percent_decode(encoded.unwrap_or_default());
    let text = text.decode_utf8_lossy();
    text.chars().filter(|c| !c.is_control()).collect()
}

/// `JWTSVIDRequest`: the audience, and the identity if there are several.
fn question(need: &WorkloadApiNeed) -> Vec<u8> {
    let mut message = Vec::new();
    let mut put = |field: u8, text: &str| {
        message.push(field << 3 | LENGTH_DELIMITED);
        let mut length = text.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push((length & 0x7f) as u8);
        message.extend_from_slice(text.as_bytes());
    };
    put(1, &need.audience);
    if let Some(id) = &need.spiffe_id {
        put(2, id);
    }
    framed(&message)
}

/// A message as gRPC sends it: not compressed, and its length.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// The message if it is there whole, and how long it is with what is before it. An error is one that can never be read.
fn whole(framed: &[u8]) -> Result<Option<(&[u8], usize)>, AssertionError> {
    let Some((compressed, rest)) = framed.split_first() else {
        return Ok(None);
    };
    if *compressed != 0 {
        let why = "its answer is compressed, which nobody asked for";
        return Err(AssertionError::Other(why.to_owned()));
    }
    let Some((length, message)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > limits::WORKLOAD_API_BYTES {
        return Err(too_long());
    }
    let message = message.get(..length);
    Ok(message.map(|message| (message, length.saturating_add(5))))
}

fn too_long() -> AssertionError {
    AssertionError::Other("its answer is too long".to_owned())
}

/// The token of the identity with that ID in a `JWTSVIDResponse`, or of the first, which is the default one. Agents are asked for
/// that ID alone, and are not taken at their word: with another's token the workload would be somebody else.
fn answer<'a>(framed: &'a [u8], id: Option<&str>) -> Result<&'a str, AssertionError> {
    let odd = || {
        AssertionError::Other(format!(
            "its answer of {} bytes has no JWT-SVID",
            framed.len()
        ))
    };
    let (message, _) = whole(framed)?.ok_or_else(odd)?;
    let svids = fields(message, 1).ok_or_else(odd)?;
    if svids.is_empty() {
        return Err(odd());
    }
    let is_wanted = |svid: &&&[u8]| id.is_none_or(|id| field(svid, 1) == Some(id.as_bytes()));
    let found = svids.iter().find(is_wanted).ok_or_else(|| {
        AssertionError::Other(format!(
            "it answered with the JWT-SVID of another identity than {}",
            id.unwrap_or_default()
        ))
    })?;
    let token = field(found, 2).and_then(|token| std::str::from_utf8(token).ok());
    let token = token.filter(|token| inspect_jwt(token).is_some());
    token.ok_or_else(|| AssertionError::Other("what it calls a JWT-SVID is no JWT".to_owned()))
}

/// The wire type of texts and messages.
const LENGTH_DELIMITED: u8 = 2;

/// The first text or message in that field of a message of Protocol Buffers.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let next = next_field(message)?;
        if next.number == wanted && next.value.is_some() {
            return next.value;
        }
        message = next.rest;
    }
    None
}

/// All of them, if the message is whole.
fn fields(mut message: &[u8], wanted: u64) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let next = next_field(message)?;
        found.extend(next.value.filter(|_| next.number == wanted));
        message = next.rest;
    }
    Some(found)
}

/// A field of a message.
struct Field<'a> {
    number: u64,
    /// If it is a text or a message.
    value: Option<&'a [u8]>,
    /// What is after it.
    rest: &'a [u8],
}

/// The first one.
fn next_field(message: &[u8]) -> Option<Field<'_>> {
    let (tag, rest) = number(message)?;
    let (length, rest) = match tag & 7 {
        0 => (0, number(rest)?.1),
        1 => (8, rest),
        2 => {
            let (length, rest) = number(rest)?;
            (usize::try_from(length).ok()?, rest)
        }
        5 => (4, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    let is_text = tag & 7 == u64::from(LENGTH_DELIMITED);
    Some(Field {
        number: tag >> 3,
        value: is_text.then_some(value),
        rest,
    })
}

/// A number of Protocol Buffers: seven bits a byte, the lowest first.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    let mut rest = bytes;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        rest = after;
        if byte & 0x80 == 0 {
            return Some((number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests;
