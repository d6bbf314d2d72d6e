//! How long an application waits for an answer, and what is done meanwhile to get it one.

use std::error::Error as StdError;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

use super::outgoing::sends_none;
use super::{BoundTo, Client};
use crate::connect::answers::Answers;
use crate::egress::transport_error;
use crate::limits;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The timeouts of `wasi:http`. An application may only be less patient than the host.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For a connection; the host has times of its own for its parts.
    connect: Duration,
    /// For the head of the answer, from when there is a connection.
    first: Duration,
    /// For each next part of its body.
    pub(super) between: Duration,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// It has not come in time.
    Late(WasiError),
    Failed(BoxError),
}

impl Patience {
    pub(super) fn of(options: Option<&RequestOptions>) -> Self {
        let asked = |of: fn(&RequestOptions) -> Option<Duration>| {
            let asked = options.and_then(of).unwrap_or(limits::APPLICATION_PATIENCE);
            asked.min(limits::APPLICATION_PATIENCE)
        };
        Self {
            connect: asked(|options| options.connect_timeout),
            first: asked(|options| options.first_byte_timeout),
            between: asked(|options| options.between_bytes_timeout),
        }
    }

    /// Sends it, by a new connection or one that is kept. If that has ended meanwhile, what may be sent again is, once, by a
    /// new one.
    pub(super) async fn send(
        self,
        client: &Client<WasiBody>,
        mut request: Request<WasiBody>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let again = once_more(&request);
        let connection = capture_connection(&mut request);
        let sent = self.answer(client.send(request), connection.clone()).await;
        match (sent, again) {
            (Err(NoAnswer::Failed(error)), Some(mut again)) if is_untaken(&error, &connection) => {
                let connection = capture_connection(&mut again);
                self.answer(client.send_anew(again), connection).await
            }
            (sent, _) => sent,
        }
    }

    async fn answer(
        self,
        sending: impl Future<Output = Result<Response<Incoming>, BoxError>>,
        mut connection: CaptureConnection,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let mut sending = pin!(sending);
        let connected = async {
            let connection = connection.wait_for_connection_metadata();
            timeout(self.connect, connection).await.is_ok()
        };
        let is_connected = tokio::select! {
            // also when there is no connection to wait for any more
            biased;
            sent = &mut sending => return sent.map_err(NoAnswer::Failed),
            connected = connected => connected,
        };
        if !is_connected {
            return Err(NoAnswer::Late(WasiError::ConnectionTimeout));
        }
        match timeout(self.first, sending).await {
            Ok(sent) => sent.map_err(NoAnswer::Failed),
            Err(_) => Err(NoAnswer::Late(WasiError::ConnectionReadTimeout)),
        }
    }
}

/// The head of a request once more.
pub(super) fn head_of<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    request.method().clone_into(head.method_mut());
    request.uri().clone_into(head.uri_mut());
    *head.version_mut() = request.version();
    request.headers().clone_into(head.headers_mut());
    head
}

/// The request once more, if it may be sent again although the server may have done what it says: its method is idempotent
/// (RFC 9110 section 9.2.2), and it has no body.
fn once_more(request: &Request<WasiBody>) -> Option<Request<WasiBody>> {
    let has_body = !request.body().is_end_stream() && !sends_none(request);
    if has_body || !request.method().is_idempotent() {
        return None;
    }
    let mut again = head_of(request);
    if let Some(bound) = request.extensions().get::<BoundTo>() {
        again.extensions_mut().insert(bound.clone());
    }
    Some(again.map(|()| Empty::new().map_err(WasiError::from).boxed_unsync()))
}

/// Whether the connection has ended, which had been kept, and nothing of an answer has come.
fn is_untaken(error: &BoxError, connection: &CaptureConnection) -> bool {
    let has_ended = matches!(
        transport_error(error.as_ref()),
        WasiError::ConnectionTerminated
    );
    has_ended && Answers::of(connection).is_some_and(|answers| answers.are_over())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    /// With the same head, the certificate of its token included, or not at all.
    #[test]
    fn what_may_be_sent_again_is_idempotent_and_has_no_body() {
        let none = || Empty::new().map_err(WasiError::from).boxed_unsync();
        let some = || Full::from("some").map_err(WasiError::from).boxed_unsync();
        // as an application has it that may write yet
        let open = || {
            let never = futures::stream::pending::<Result<Frame<Bytes>, WasiError>>();
            StreamBody::new(never).boxed_unsync()
        };
        let bodies: [fn() -> WasiBody; 3] = [none, some, open];
        for (method, expected) in [
            // a body of these is not sent unless its length is said
            ("GET", [true, true, true]),
            ("HEAD", [true, true, true]),
            ("OPTIONS", [true, false, false]),
            ("TRACE", [true, false, false]),
            ("PUT", [true, false, false]),
            ("DELETE", [true, false, false]),
            ("POST", [false, false, false]),
            ("PATCH", [false, false, false]),
            ("CONNECT", [false, false, false]),
            ("PROPFIND", [false, false, false]),
        ] {
            let found = bodies.map(|body| {
                let bound = BoundTo("thumbprint".to_owned());
                let request = Request::builder()
                    .method(method)
                    .uri("https://api.example/x?y")
                    .header("authorization", "Bearer t")
                    .extension(bound.clone())
                    .body(body())
                    .unwrap();
                once_more(&request).is_some_and(|again| {
                    assert_eq!(again.method(), request.method());
                    assert_eq!(again.uri(), request.uri());
                    assert_eq!(again.headers(), request.headers());
                    assert_eq!(again.extensions().get(), Some(&bound));
                    again.body().is_end_stream()
                })
            });
            assert_eq!(found, expected, "{method}");
        }
        let mut said = Request::new(some());
        let length = http::HeaderValue::from_static("4");
        said.headers_mut().insert("content-length", length);
        assert!(once_more(&said).is_none());
    }
}
