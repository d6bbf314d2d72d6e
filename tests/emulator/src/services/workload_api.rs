//! The SPIFFE Workload API on a Unix socket, as far as it hands out SVIDs of both kinds. It knows gRPC as well as two calls
//! need.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::TokenService;
use crate::issuer::Mint;
use crate::pki::{ClientCertificate, Pki};
use crate::world::World;

/// The identities of the workload, the default one first.
const IDENTITIES: [&str; 2] = [
    "spiffe://edgepass-demo.example/checkout",
    "spiffe://edgepass-demo.example/reports",
];

/// Serves it until the runtime ends.
pub(crate) fn serve(path: &Path, world: &Arc<World>, runtime: &Runtime) -> Result<()> {
    let _inside = runtime.enter();
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    let world = Arc::clone(world);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let world = Arc::clone(&world);
            let service = service_fn(move |request| {
                let world = Arc::clone(&world);
                async move { Ok::<_, Infallible>(answer(&world, request).await) }
            });
            tokio::spawn(async move {
                // a client that leaves is no error here
                let _ = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(())
}

/// The X.509-SVIDs of the workload, one for each of its identities, as they are now.
pub(crate) struct Certificates(watch::Sender<Vec<Svid>>);

#[derive(Clone)]
struct Svid {
    id: &'static str,
    certificate: ClientCertificate,
}

impl Default for Certificates {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Certificates {
    /// Makes them anew, and sends them to whoever listens; that of the default
    /// identity comes back.
    pub(crate) fn rotate(&self, pki: &Pki) -> Result<ClientCertificate> {
        let svid = |id: &'static str| {
            let certificate = pki.svid(id)?;
            Ok(Svid { id, certificate })
        };
        let svids = IDENTITIES.into_iter().map(svid);
        let svids = svids.collect::<Result<Vec<_>>>()?;
        let first = svids.first().context("no identity")?.certificate.clone();
        self.0.send_replace(svids);
        Ok(first)
    }

    /// Has no more of them, and hangs up.
    pub(crate) fn withdraw(&self) {
        self.0.send_replace(Vec::new());
    }
}

async fn answer(world: &Arc<World>, request: Request<Incoming>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_grpc =
        header("content-type") == Some("application/grpc") && header("te") == Some("trailers");
    let is_meant = header("workload.spiffe.io") == Some("true");
    let body = body.collect().await.map(|body| body.to_bytes());
    let (frames, messages) = mpsc::unbounded_channel();
    let result = match (head.uri.path(), body) {
        (_, Err(_)) => Err((13, "the request broke off")),
        (_, Ok(_)) if is_grpc && !is_meant => Err((3, "security header missing from request")),
        ("/SpiffeWorkloadAPI/FetchJWTSVID", Ok(body)) if is_grpc => {
            svid(world, &body).map(|svid| {
                let _ = frames.send(Frame::data(svid));
            })
        }
        ("/SpiffeWorkloadAPI/FetchX509SVID", Ok(body)) if is_grpc && *body == [0; 5] => {
            tokio::spawn(x509_svids(Arc::clone(world), frames.clone()));
            return grpc(messages);
        }
        _ => Err((12, "not that method of gRPC")),
    };
    let _ = frames.send(trailers(result.err()));
    grpc(messages)
}

fn grpc(messages: UnboundedReceiver<Frame<Bytes>>) -> Response<Answer> {
    let mut response = Response::new(Answer(messages));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}

fn trailers(refusal: Option<(u16, &'static str)>) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    let (code, said) = refusal.unwrap_or((0, ""));
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", HeaderValue::from_static(said));
    Frame::trailers(trailers)
}

/// Sends them, and those that take their place, until nobody listens.
async fn x509_svids(world: Arc<World>, frames: UnboundedSender<Frame<Bytes>>) {
    let svids = &world.services.svids;
    let mut changes = svids.0.subscribe();
    loop {
        let now = changes.borrow_and_update().clone();
        if now.is_empty() {
            let _ = frames.send(trailers(Some((7, "no identity issued"))));
            return;
        }
        let mut message = Vec::new();
        for Svid { id, certificate } in &now {
            let mut svid = Vec::new();
            let Some(leaf) = certificate.chain.first() else {
                return;
            };
            let Ok(key) =
                PrivatePkcs8KeyDer::from_pem_slice(certificate.private_key_pem.as_bytes())
            else {
                return;
            };
            put(&mut svid, 0x0a, id.as_bytes());
            put(&mut svid, 0x12, leaf);
            put(&mut svid, 0x1a, key.secret_pkcs8_der());
            put(&mut svid, 0x22, certificate.chain.last().unwrap_or(leaf));
            put(&mut message, 0x0a, &svid);
        }
        // in two pieces, as a network may bring it
        let framed = framed(&message);
        let (first, second) = framed.split_at(framed.len() / 2);
        for piece in [first, second] {
            if frames
                .send(Frame::data(Bytes::copy_from_slice(piece)))
                .is_err()
            {
                return;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// The framed answer to a framed question.
fn svid(world: &World, asked: &[u8]) -> Result<Bytes, (u16, &'static str)> {
    let invalid = |what| (3, what);
    let (prefix, message) = asked
        .split_first_chunk::<5>()
        .ok_or(invalid("no message"))?;
    let [0, length @ ..] = *prefix else {
        return Err(invalid("it is compressed"));
    };
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err(invalid("its length is another"));
    }
    let (mut audiences, mut id) = (Vec::new(), None);
    let mut rest = message;
    while let Some((tag, after)) = rest.split_first() {
        let (length, after) = short(after).ok_or(invalid("no length"))?;
        let (text, after) = after.split_at_checked(length).ok_or(invalid("cut off"))?;
        let text = std::str::from_utf8(text).map_err(|_| invalid("no UTF-8"))?;
        match tag {
            0x0a => audiences.push(text),
            0x12 => id = Some(text),
            _ => return Err(invalid("a field that is not known")),
        }
        rest = after;
    }
    let [audience] = audiences[..] else {
        return Err(invalid("not one audience"));
    };
    let wanted = match id {
        None => IDENTITIES.to_vec(),
        Some(id) => IDENTITIES
            .iter()
            .copied()
            .filter(|known| *known == id)
            .collect(),
    };
    if wanted.is_empty() {
        return Err((7, "no identity issued"));
    }
    let mut message = Vec::new();
    for id in wanted {
        let mint = Mint::new().subject(id).audience(audience).expires_in(300);
        let token = world
            .services
            .mint(TokenService::Spiffe, &mint)
            .map_err(|_| (13, "no token was signed"))?;
        let mut svid = Vec::new();
        put(&mut svid, 0x0a, id.as_bytes());
        put(&mut svid, 0x12, token.as_bytes());
        put(&mut message, 0x0a, &svid);
    }
    Ok(framed(&message).into())
}

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let mut length = value.len();
    while length >= 0x80 {
        out.push(u8::try_from(length % 0x80).unwrap_or_default() | 0x80);
        length /= 0x80;
    }
    out.push(u8::try_from(length).unwrap_or_default());
    out.extend_from_slice(value);
}

/// A length of at most two bytes.
fn short(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (low, rest) = bytes.split_first()?;
    if low & 0x80 == 0 {
        return Some((usize::from(*low), rest));
    }
    let (high, rest) = rest.split_first()?;
    (high & 0x80 == 0).then(|| (usize::from(*high) << 7 | usize::from(low & 0x7f), rest))
}

/// A body of frames that come.
struct Answer(UnboundedReceiver<Frame<Bytes>>);

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}
