//! The SPIFFE Workload API on a Unix socket, as far as it hands out JWT-SVIDs. It knows gRPC as well as one call needs.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

use super::TokenService;
use crate::issuer::Mint;
use crate::world::World;
use frames::Frames;

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

async fn answer(world: &World, request: Request<Incoming>) -> Response<Frames> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let result = if head.uri.path() != "/SpiffeWorkloadAPI/FetchJWTSVID"
        || header("content-type") != Some("application/grpc")
        || header("te") != Some("trailers")
    {
        Err((12, "not that method of gRPC"))
    } else if header("workload.spiffe.io") != Some("true") {
        Err((3, "security header missing from request"))
    } else {
        match body.collect().await {
            Ok(body) => svid(world, &body.to_bytes()),
            Err(_) => Err((13, "the request broke off")),
        }
    };
    let mut trailers = HeaderMap::new();
    let (code, said) = result.as_ref().err().copied().unwrap_or((0, ""));
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", HeaderValue::from_static(said));
    let mut frames: Vec<Frame<Bytes>> = result.into_iter().map(Frame::data).collect();
    frames.push(Frame::trailers(trailers));
    let mut response = Response::new(Frames::new(frames));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}

/// The framed answer to a framed question.
fn svid(world: &World, framed: &[u8]) -> Result<Bytes, (u16, &'static str)> {
    let invalid = |what| (3, what);
    let (prefix, message) = framed
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
    let length = u32::try_from(message.len()).map_err(|_| (13, "too long"))?;
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    Ok(framed.into())
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

/// A body of frames that are there.
mod frames {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::Frame;

    pub(super) struct Frames(std::vec::IntoIter<Frame<Bytes>>);

    impl Frames {
        pub(super) fn new(frames: Vec<Frame<Bytes>>) -> Self {
            Self(frames.into_iter())
        }
    }

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.next().map(Ok))
        }
    }
}
