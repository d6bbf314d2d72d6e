//! Services that give back what they were sent, over plain http on this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::Sender;

/// Requests for it are not answered.
const GIVEN_UP: &str = "/v1/never/given-up";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request as a service got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Seen {
    /// What a header of that name has after its first word.
    pub(crate) fn token(&self, header: &str) -> Option<&str> {
        let value = self.headers.get(header)?.to_str().ok()?;
        value.strip_prefix("Bearer ")
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        format!("{} {:?} {:?}", self.line, self.headers, self.trailers)
    }
}

/// A service. What it does is said by the path below `/v1`.
pub(crate) struct Service {
    pub(crate) port: u16,
    seen: Arc<Sender<Vec<Seen>>>,
}

impl Service {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Sender::new(Vec::new()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&shared);
                tokio::spawn(async move {
                    let answer = service_fn(move |request| {
                        let seen = Arc::clone(&seen);
                        async move { Ok::<_, Infallible>(answer(request, &seen).await) }
                    });
                    // a client that goes away is no failure of the service
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self { port, seen })
    }

    /// One that writes what it got behind the body, where HTTP has trailers.
    pub(crate) async fn with_trailers() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Sender::new(Vec::new()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&shared);
                tokio::spawn(async move {
                    // as above
                    let _ = trail(stream, &seen).await;
                });
            }
        });
        Ok(Self { port, seen })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }
}

fn remember(all: &Sender<Vec<Seen>>, seen: Seen) {
    all.send_modify(|all| all.push(seen));
}

async fn answer(request: Request<Incoming>, all: &Sender<Vec<Seen>>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await;
    let trailers = body.as_ref().ok().and_then(|body| body.trailers().cloned());
    let seen = Seen {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        trailers,
    };
    remember(all, seen.clone());
    let sent = seen.headers.get(AUTHORIZATION).cloned();
    let sent = sent.unwrap_or(HeaderValue::from_static("none"));
    let token = sent.to_str().unwrap_or_default();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).to_owned();
    let value = |text: String| HeaderValue::from_str(&text).unwrap_or(sent.clone());
    let mut response = text("welcome");
    let query = head.uri.query().unwrap_or_default().to_owned();
    match head.uri.path() {
        GIVEN_UP => std::future::pending().await,
        // answered when all those are there that will be given up
        "/arrived" => {
            let are_there = |all: &Vec<Seen>| {
                let given_up = all.iter().filter(|seen| seen.line.ends_with(GIVEN_UP));
                given_up.count() >= 5
            };
            // the sender is there as long as the service
            let _ = all.subscribe().wait_for(are_there).await;
        }
        "/v1/echo-body" => return text(&seen.text()),
        "/v1/echo-headers" => {
            let headers = response.headers_mut();
            headers.insert("x-echo", sent.clone());
            headers.insert("x-echo-base64", value(STANDARD.encode(&token)));
            let hex: String = token.bytes().map(|byte| format!("{byte:02X}")).collect();
            headers.insert("x-echo-hex", value(hex));
            headers.insert(SET_COOKIE, value(format!("session={token}; Path=/")));
        }
        "/v1/redirect" => {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(LOCATION, value(query));
        }
        "/v1/redirect-echo" => {
            *response.status_mut() = StatusCode::FOUND;
            let location = value(format!("{query}?access_token={token}"));
            response.headers_mut().insert(LOCATION, location);
        }
        "/v1/refused" => {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let challenge =
                format!("Bearer error=\"invalid_token\", error_description=\"{token}\"");
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, value(challenge));
        }
        // a body that does not end before its reader does
        "/v1/endless" => {
            let pieces = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(b"x"))));
            let pieces = futures::StreamExt::take(pieces, 64);
            let end = futures::stream::pending();
            let pieces = futures::StreamExt::chain(pieces, end);
            return Response::new(StreamBody::new(pieces).boxed_unsync());
        }
        _ => {}
    }
    response
}

fn text(text: &str) -> Response<Body> {
    Response::new(Full::from(text.to_owned()).boxed_unsync())
}

async fn trail(mut stream: TcpStream, all: &Sender<Vec<Seen>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let sent = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let sent = sent.unwrap_or("none").to_owned();
    remember(
        all,
        Seen {
            line,
            headers,
            trailers: None,
        },
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-echo\r\nconnection: close\r\n\r\n7\r\nwelcome\r\n0\r\nx-echo: {sent}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
