//! The service that it asks, and its answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use edgepass_e2e::{GRAPH, Lab, jwt};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::application::Message;

/// A request as the service got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Of the body.
    pub(crate) length: u64,
}

impl Seen {
    pub(crate) fn token(&self) -> Option<&str> {
        self.token_of("authorization")
    }

    pub(crate) fn token_of(&self, header: &str) -> Option<&str> {
        let value = self.headers.get(header)?.to_str().ok()?;
        value.split_once(' ').map(|(_, token)| token)
    }
}

pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// How a service answers a request with a token.
pub(crate) type Judge = dyn Fn(&Seen) -> Response<Body> + Send + Sync;

/// A service that takes tokens of the emulator for Microsoft Graph, and then asks its judge.
pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) backend: Arc<Backend>,
}

pub(crate) struct Backend {
    pub(crate) issuer: String,
    pub(crate) judge: Box<Judge>,
    pub(crate) seen: Mutex<Vec<Seen>>,
}

impl Service {
    pub(crate) async fn start(
        lab: &Lab,
        judge: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let backend = Arc::new(Backend {
            issuer: format!("{}/{}/", lab.emulator.authority(), lab.emulator.tenant()),
            judge: Box::new(judge),
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&backend);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let backend = Arc::clone(&shared);
                tokio::spawn(async move {
                    let answer = service_fn(move |request| {
                        let backend = Arc::clone(&backend);
                        async move { backend.answer(request).await }
                    });
                    // a client that goes away is no failure of the service
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self { port, backend })
    }

    /// A configuration by which requests to it below `/v1` get tokens.
    pub(crate) fn config(&self, more: Value) -> Value {
        let mut section = json!({ "rules": [{
            "match": { "host": "localhost", "port": self.port, "path_prefix": "/v1" },
            "http_on_loopback": true,
            "scopes": [GRAPH],
        }] });
        if let (Some(section), Value::Object(more)) = (section.as_object_mut(), more) {
            section.extend(more);
        }
        json!({ "http": section })
    }

    pub(crate) fn get(&self, path: &str) -> Message {
        Message {
            method: "GET".to_owned(),
            scheme: Some("http".to_owned()),
            authority: Some(format!("localhost:{}", self.port)),
            path: Some(path.to_owned()),
            headers: Vec::new(),
            content: None,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = self.backend.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn last(&self) -> Result<Seen> {
        self.seen().pop().context("nothing has come")
    }

    pub(crate) fn takes(&self, token: &str) -> bool {
        self.backend.takes(token)
    }

    /// The tokens that have come, which no output may have.
    pub(crate) fn tokens(&self, lab: &Lab) -> Vec<String> {
        let mut tokens = Vec::new();
        for seen in self.seen() {
            for header in ["authorization", "x-token"] {
                let token = seen.token_of(header).filter(|token| self.takes(token));
                tokens.extend(token.map(str::to_owned));
            }
        }
        for token in &tokens {
            lab.evidence.secret("access token", token);
        }
        tokens
    }
}

impl Backend {
    pub(crate) fn takes(&self, token: &str) -> bool {
        jwt::is_for_graph(token, &self.issuer)
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, hyper::Error> {
        let (parts, mut body) = request.into_parts();
        if parts.uri.path() == "/v1/early" {
            return Ok(counted(body));
        }
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        let seen = Seen {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            length,
        };
        let all = self.seen.lock();
        all.unwrap_or_else(PoisonError::into_inner)
            .push(seen.clone());
        if seen.uri.path() == "/v1/bytes" {
            return Ok(bytes(seen.uri.query().unwrap_or_default()));
        }
        let has_token = ["authorization", "x-token"].iter().any(|header| {
            let token = seen.token_of(header);
            token.is_some_and(|token| self.takes(token))
        });
        match has_token {
            true => Ok((self.judge)(&seen)),
            false => Ok(refusal(StatusCode::UNAUTHORIZED, "Bearer")),
        }
    }
}

/// As many bytes, piece by piece.
pub(crate) fn bytes(count: &str) -> Response<Body> {
    const PIECE: usize = 64 * 1024;
    let left: usize = count.parse().unwrap_or_default();
    let pieces = futures::stream::unfold(left, |left| async move {
        let now = left.min(PIECE);
        let frame = Frame::data(Bytes::from(vec![b'y'; now]));
        (left > 0).then_some((Ok(frame), left - now))
    });
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

/// An answer that begins at once, and ends with how much the request had in it.
pub(crate) fn counted(body: Incoming) -> Response<Body> {
    let content = futures::stream::once(async move {
        let body = body.collect().await.map(|body| body.to_bytes().len());
        let said = body.map_or_else(|error| error.to_string(), |length| length.to_string());
        Ok(Frame::data(Bytes::from(said)))
    });
    Response::new(StreamBody::new(content).boxed_unsync())
}

pub(crate) fn good() -> Response<Body> {
    Response::new(Full::<Bytes>::from("good").boxed_unsync())
}

pub(crate) fn refusal(status: StatusCode, challenge: &str) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header("www-authenticate", "Basic realm=\"no end")
        .header("www-authenticate", challenge);
    let body = Full::<Bytes>::from("refused").boxed_unsync();
    response.body(body).expect("a response")
}

/// Refuses the token that comes first, so and whenever it comes.
pub(crate) fn refuses_the_first(
    status: StatusCode,
    challenge: &str,
) -> impl Fn(&Seen) -> Response<Body> + use<> {
    let challenge = challenge.to_owned();
    let first = Mutex::new(None);
    move |seen| {
        let token = seen.token().map(str::to_owned);
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.get_or_insert_with(|| token.clone()) == &token {
            return refusal(status, &challenge);
        }
        good()
    }
}
