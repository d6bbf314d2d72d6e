//! The outgoing HTTP of a component that knows nothing of tokens.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use edgepass_core::{Error, ErrorClass};
use futures::{StreamExt as _, stream};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, BodyStream, Empty, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

use super::audit::{Audit, Open, Outcome, Recording};
use super::echo::Echo;
use super::patience::{NoAnswer, Patience, head_of};
use super::reach::{Giver, Reach, gives_credentials};
use super::{Authorized, Client, Downstream, target};
use crate::connect;
use crate::egress::{self, Sent, sent};
use crate::limits;

/// What an application's requests go out by: the hooks of `wasi:http`, over WASI 0.2 and 0.3 alike
/// ([`WasiHttpHooks`]).
///
/// A request that a rule names gets its token here, in the host: the application, which made the request, has no copy of
/// it and no way to one but the service's answer. A request goes to a host that a rule names, or that
/// [`Outgoing::reaching`] says; all others are refused, and the metadata services of clouds with them, which would give the
/// application the tokens that it is not meant to hold.
///
/// Where a service refuses a token, that is reported, and the request sent once more with the next one if its body was
/// small, and whole when it was refused. Headers and trailers of the answer that repeat the token come without it; what
/// its body has in it is the service's word. Bodies are streamed both ways. Redirects are the application's: what it then asks
/// for is judged as any other request.
///
/// A cheap handle: clones share all.
#[derive(Clone)]
pub struct Outgoing(Arc<OutgoingParts>);

#[derive(Clone)]
struct OutgoingParts {
    downstream: Downstream,
    client: Client<WasiBody>,
    reach: Reach,
    component: String,
    audit: Option<Arc<dyn Audit>>,
    open: Open,
}

impl Outgoing {
    /// By the rules, to the hosts that they name.
    pub fn new(downstream: &Downstream) -> Self {
        Self(Arc::new(OutgoingParts {
            client: client(downstream, &Reach::default()),
            downstream: downstream.clone(),
            reach: Reach::default(),
            component: String::new(),
            audit: None,
            open: Open::none(),
        }))
    }

    /// To these hosts as well, without a token where no rule names them.
    #[must_use]
    pub fn reaching(self, reach: Reach) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.client = client(&inner.downstream, &reach);
        inner.reach = reach;
        Self(Arc::new(inner))
    }

    /// With a record of every request that gets a token, or is refused one. `component` is the application's name in them.
    #[must_use]
    pub fn audited(self, component: impl Into<String>, audit: Arc<dyn Audit>) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.component = component.into();
        inner.audit = Some(audit);
        Self(Arc::new(inner))
    }

    /// Waits until each request that has gone out so far is on record. For the end of a program: when its stores have gone,
    /// the requests that they have left behind are given up, and written down as such.
    pub async fn recorded(&self) {
        self.0.open.over().await;
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("downstream", &self.0.downstream)
            .field("reach", &self.0.reach)
            .finish_non_exhaustive()
    }
}

/// A client that connects to no address at which a platform gives credentials, unless that address is written down.
fn client(downstream: &Downstream, reach: &Reach) -> Client<WasiBody> {
    let (rules, hosts) = (downstream.clone(), reach.clone());
    let host = downstream.provider().host();
    // where the provider itself is given credentials, which may be any address and port of this machine
    let mut own: Vec<_> = host.egress().in_clear().filter_map(Giver::of).collect();
    own.retain(|giver| {
        let mut spellings = giver.spellings();
        !spellings.any(|uri| rules.names(&uri) || hosts.lists(&uri))
    });
    let shuns = move |address: SocketAddr| {
        let ip = address.ip();
        (gives_credentials(ip) && !(rules.names_address(ip) || hosts.names(ip)))
            || own.iter().any(|giver| giver.is_at(address))
    };
    Client::shunning(host, Arc::new(shuns))
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Box<dyn Future<Output = Result<(), WasiError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let inner = Arc::clone(&self.0);
        Box::new(async move {
            let patience = Patience::of(options.as_ref());
            let request = request.map(Given::new);
            let mut echo = Echo::default();
            let mut response = inner.send(request, patience, &mut echo).await?;
            echo.clean(response.headers_mut());
            with_one_length(response.headers_mut());
            // the client drives its connections itself
            sent(response.map(|body| Paced::new(body, patience.between, echo).boxed_unsync()))
        })
    }

    /// The client writes `host` itself.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn is_supported_scheme(&mut self, scheme: &Scheme) -> bool {
        *scheme == Scheme::HTTPS || *scheme == Scheme::HTTP
    }
}

impl OutgoingParts {
    async fn send(
        &self,
        mut request: Request<Given>,
        patience: Patience,
        echo: &mut Echo,
    ) -> Result<Response<Incoming>, WasiError> {
        if let Err(error) = target::of(request.uri()) {
            let place = place_of(&request);
            log::warn!("a request to {place} is refused: {error:#}");
            return Err(WasiError::HttpRequestDenied);
        }
        if !self.downstream.names(request.uri()) && !self.reach.permits(request.uri()) {
            let place = place_of(&request);
            log::warn!(
                "a request to {place} is refused: no rule names that host and port, and the application may not ask it otherwise: have a rule for it (`host` and `port` in its `match`), or permit it without a token (`--allow-host HOST:PORT` of `edgepass run` and `serve-http`, `Outgoing::reaching` of the library)"
            );
            return Err(WasiError::HttpRequestDenied);
        }
        let mut recording =
            Recording::of(self.audit.as_ref(), &self.open, &self.component, &request);
        let authorized = self.downstream.authorize(&mut request).await;
        let mut authorized = match authorized {
            Ok(Some(authorized)) => authorized,
            Ok(None) => return self.exchange(request.map(boxed), patience).await,
            Err(error) => {
                let rule = self.downstream.fitting(&request);
                let rule = rule.map(|(place, rule)| (place, &rule.request));
                recording.ready().await;
                recording.without(rule, error.class());
                let place = place_of(&request);
                log::warn!("a request to {place} gets no token: {error:#}");
                return Err(refusal(&error));
            }
        };
        recording.with(&authorized);
        recording.ready().await;
        echo.add(authorized.token());
        let (again, body) = Given::remember(&mut request);
        let again = again.map(|request| (request, body));
        let response = match self.exchange(request.map(boxed), patience).await {
            Ok(response) => response,
            Err(error) => {
                recording.ended(Outcome::Failed);
                return Err(error);
            }
        };
        recording.ended(Outcome::Status(response.status()));
        let Some(mut request) = self
            .refused(
                &mut authorized,
                response.status(),
                response.headers(),
                again,
            )
            .await
        else {
            return Ok(response);
        };
        if let Err(error) = authorized.put_on(&mut request) {
            log::warn!("{error:#}");
            return Ok(response);
        }
        drop(response);
        recording.with(&authorized);
        recording.ready().await;
        echo.add(authorized.token());
        let replayed = self.exchange(request, patience).await;
        recording.ended(match &replayed {
            Ok(response) => Outcome::Status(response.status()),
            Err(_) => Outcome::Failed,
        });
        replayed
    }

    /// The request to send once more, if its token was refused, there is another, and its body can be had again.
    async fn refused(
        &self,
        authorized: &mut Authorized,
        status: StatusCode,
        headers: &HeaderMap,
        again: Option<(Request<()>, Arc<Mutex<Memory>>)>,
    ) -> Option<Request<WasiBody>> {
        let again = again.and_then(|(request, memory)| {
            let body = memory
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .body()?;
            Some(request.map(|()| Full::new(body).map_err(WasiError::from).boxed_unsync()))
        });
        let Some(again) = again else {
            // who asks next gets another token
            if let Err(error) = authorized.report(status, headers).await {
                log::warn!("the refusal of a token by a service is not noted: {error}");
            }
            return None;
        };
        match authorized.refused(status, headers).await {
            Ok(true) => Some(again),
            Ok(false) => None,
            Err(error) => {
                log::warn!("a service has refused a token, and there is no other: {error}");
                None
            }
        }
    }

    async fn exchange(
        &self,
        request: Request<WasiBody>,
        patience: Patience,
    ) -> Result<Response<Incoming>, WasiError> {
        let place = place_of(&request).to_owned();
        let request = with_length(request).await;
        let error = match patience.send(&self.client, request).await {
            Ok(response) => return Ok(response),
            Err(NoAnswer::Late(error)) => return Err(error),
            Err(NoAnswer::Failed(error)) => error,
        };
        if let Some(error) = error.downcast_ref::<Error>() {
            return Err(refusal(error));
        }
        if let Some((reason, error)) = unreadable(error.as_ref()) {
            log::warn!("a request to {place} has failed: {reason}");
            return Err(error);
        }
        let error = egress::transport_error(error.as_ref());
        if matches!(error, WasiError::DestinationIpProhibited) {
            log::warn!(
                "a request to {place} is refused: a platform gives credentials to this machine at its address, which only a rule reaches, or `--allow-host`, that names the address itself (`Outgoing::reaching` of the library)"
            );
        } else if is_of_the_host(&error) {
            let remedy = self.client.egress().remedy(&error);
            let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
            let said = egress::Said(&error);
            log::warn!("a request to {place} has failed: {said}{remedy}");
        }
        Err(error)
    }
}

/// Has a request without content go out as one, and say so where its method expects some (RFC 9110 section 8.6): services
/// answer 411 otherwise, or wait for the pieces of a body. Applications say that there is none by the body's end alone, so that
/// is waited for, for a moment.
async fn with_length(request: Request<WasiBody>) -> Request<WasiBody> {
    let headers = request.headers();
    let is_said = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    if is_said || sends_none(&request) {
        return request;
    }
    let (mut parts, mut body) = request.into_parts();
    let is_empty = body.is_end_stream() || {
        match timeout(FIRST_PART, first_part(&mut body)).await {
            Ok(None) => true,
            Ok(first) => {
                let first = stream::iter(first);
                body = StreamBody::new(first.chain(BodyStream::new(body))).boxed_unsync();
                false
            }
            // what comes later goes out as it comes
            Err(_) => false,
        }
    };
    if is_empty {
        body = Empty::new().map_err(WasiError::from).boxed_unsync();
        if [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
            let none = HeaderValue::from_static("0");
            parts.headers.insert(CONTENT_LENGTH, none);
        }
    }
    Request::from_parts(parts, body)
}

/// The first part of a body that has something in it.
async fn first_part(body: &mut WasiBody) -> Option<Result<Frame<Bytes>, WasiError>> {
    loop {
        let part = body.frame().await?;
        match &part {
            Ok(frame) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
            _ => return Some(part),
        }
    }
}

/// How long the head of a request waits for the first part of its body, or for its end. The application goes on meanwhile, and
/// on a busy machine not at once; only who writes nothing before the answer has begun waits in vain.
const FIRST_PART: Duration = Duration::from_millis(100);

/// Puts one length in the place of several that are the same (RFC 9110 section 8.6): who hands the answer on takes one alone.
fn with_one_length(headers: &mut HeaderMap) {
    let mut all = headers.get_all(CONTENT_LENGTH).iter().flat_map(|value| {
        let elements = value.as_bytes().split(|byte| *byte == b',');
        elements.map(<[u8]>::trim_ascii)
    });
    let (Some(first), Some(second)) = (all.next(), all.next()) else {
        return;
    };
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if first != second || all.any(|other| other != first) || !is_number {
        return;
    }
    if let Ok(length) = HeaderValue::from_bytes(first) {
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// Why the head of an answer cannot be read, and what the application is told of it, which has no reason in it.
fn unreadable(error: &(dyn StdError + 'static)) -> Option<(String, WasiError)> {
    let error = connect::find::<hyper::Error>(error).filter(|error| error.is_parse())?;
    Some(if error.is_parse_too_large() {
        let reason = format!(
            "the head of its answer is larger than is taken: {ANSWER_HEADERS} headers, or some hundred KB"
        );
        (reason, WasiError::HttpResponseHeaderSectionSize(None))
    } else {
        // of an answer it has no words in it
        let reason = format!("its answer is not HTTP/1.1 as it has to be: {error}");
        (reason, WasiError::HttpProtocolError)
    })
}

/// What hyper takes of the headers of an answer.
const ANSWER_HEADERS: usize = 100;

/// Without a user name, which is a secret at times, and no longer than any name of a host.
fn place_of<B>(request: &Request<B>) -> &str {
    let place = request.uri().authority().map_or("", |place| place.as_str());
    let place = place.rsplit('@').next().unwrap_or_default();
    place
        .get(..place.floor_char_boundary(PLACE_BYTES))
        .unwrap_or(place)
}

/// What is shown of a host and port, bytes.
const PLACE_BYTES: usize = 300;

/// Whether whoever runs the application can cure it, and not the application: TLS, a proxy, the host's own reasons. An
/// application is told less of these than there is to say.
fn is_of_the_host(error: &WasiError) -> bool {
    matches!(
        error,
        WasiError::InternalError(_)
            | WasiError::TlsAlertReceived { .. }
            | WasiError::TlsCertificateError
            | WasiError::TlsProtocolError
    )
}

/// What an application is told of a request that got no token. What the token server said is for the host's log.
fn refusal(error: &Error) -> WasiError {
    match error.class() {
        ErrorClass::InvalidRequest => WasiError::HttpRequestDenied,
        class => {
            WasiError::InternalError(Some(format!("no token for this request: {}", class.name())))
        }
    }
}

/// The body that an application gives. It is read to its end, whether or not it is sent: an application that is still writing
/// when its request is refused, or is sent without a body, would take the closed stream for a broken connection.
struct Given {
    /// Nothing behind its end.
    body: Option<WasiBody>,
    /// What is to be known of it when it was sent.
    memory: Option<Arc<Mutex<Memory>>>,
}

fn boxed(body: Given) -> WasiBody {
    body.boxed_unsync()
}

impl Given {
    fn new(body: WasiBody) -> Self {
        Self {
            body: Some(body),
            memory: None,
        }
    }

    /// Has a request's body remembered while it is sent. The request once more, and what will be known of its body.
    fn remember(request: &mut Request<Self>) -> (Option<Request<()>>, Arc<Mutex<Memory>>) {
        let mut memory = Memory::default();
        let body = request.body();
        let has_none = body.is_end_stream() || sends_none(request);
        if has_none {
            memory.state = State::Whole;
        }
        memory.expected = body.size_hint().exact();
        let too_long = memory
            .expected
            .is_some_and(|bytes| bytes > limits::REPLAYED_BODY_BYTES as u64);
        let memory = Arc::new(Mutex::new(memory));
        if too_long {
            return (None, memory);
        }
        let again = head_of(request);
        if !has_none {
            request.body_mut().memory = Some(Arc::clone(&memory));
        }
        (Some(again), memory)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        // without a runtime nobody writes any more
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(limits::APPLICATION_PATIENCE, async move {
                while let Some(Ok(_)) = body.frame().await {}
            }));
        }
    }
}

impl Body for Given {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        let frame = match &mut self.body {
            None => None,
            Some(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return Poll::Pending,
            },
        };
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        if let Some(memory) = &self.memory {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.take_in(frame.as_ref());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// What was sent of a body.
#[derive(Default)]
struct Memory {
    parts: Vec<Bytes>,
    bytes: usize,
    /// How many there are to be, if that is known.
    expected: Option<u64>,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Open,
    Whole,
    /// It is too long, has trailers, or has failed.
    Lost,
}

impl Memory {
    /// What comes next of it; nothing at its end.
    fn take_in(&mut self, frame: Option<&Result<Frame<Bytes>, WasiError>>) {
        match frame {
            None if self.state == State::Open => self.state = State::Whole,
            None => {}
            Some(Ok(frame)) if self.state == State::Open => match frame.data_ref() {
                Some(data) if self.bytes + data.len() <= limits::REPLAYED_BODY_BYTES => {
                    self.bytes += data.len();
                    self.parts.push(data.clone());
                }
                _ => self.lose(),
            },
            Some(Ok(_)) => {}
            Some(Err(_)) => self.lose(),
        }
    }

    fn lose(&mut self) {
        self.parts = Vec::new();
        self.state = State::Lost;
    }

    /// The whole body, if all of it was sent and kept.
    fn body(&mut self) -> Option<Bytes> {
        let is_whole = match self.state {
            State::Whole => true,
            State::Open => self.expected == Some(self.bytes as u64),
            State::Lost => false,
        };
        is_whole.then(|| std::mem::take(&mut self.parts).concat().into())
    }
}

/// Whether the request is sent without a body, whatever there is: one of a method that has none by itself, and that does not
/// say how long it is (RFC 9112 section 6.3).
pub(super) fn sends_none<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

/// The body of a response, whose parts come in time.
struct Paced {
    body: Incoming,
    between: Duration,
    sleep: Pin<Box<Sleep>>,
    is_waiting: bool,
    echo: Echo,
}

impl Paced {
    fn new(body: Incoming, between: Duration, echo: Echo) -> Self {
        Self {
            body,
            between,
            sleep: Box::pin(sleep(between)),
            is_waiting: false,
            echo,
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.is_waiting = false;
            let mut frame = frame.map(|frame| frame.map_err(|error| response_error(&error)));
            if let Some(Ok(frame)) = &mut frame
                && let Some(trailers) = frame.trailers_mut()
            {
                this.echo.clean(trailers);
            }
            return Poll::Ready(frame);
        }
        // the time that counts is the server's: none passes while nobody reads
        if !std::mem::replace(&mut this.is_waiting, true) {
            let end = tokio::time::Instant::now() + this.between;
            this.sleep.as_mut().reset(end);
        }
        match this.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(WasiError::ConnectionReadTimeout))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn response_error(error: &(dyn StdError + 'static)) -> WasiError {
    match egress::transport_error(error) {
        WasiError::ConnectionTerminated | WasiError::HttpProtocolError => {
            WasiError::HttpResponseIncomplete
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request without a body says of its length: services answer 411 where a method expects content.
    #[tokio::test]
    async fn a_request_without_a_body_says_so_where_its_method_expects_one() {
        for (method, given, bytes, expected) in [
            ("POST", None, "", Some("0")),
            ("PUT", None, "", Some("0")),
            ("PATCH", None, "", Some("0")),
            ("POST", Some("0"), "", Some("0")),
            ("POST", None, "content", None),
            ("GET", None, "", None),
            ("HEAD", None, "", None),
            ("DELETE", None, "", None),
            ("OPTIONS", None, "", None),
        ] {
            let body = match bytes {
                "" => Empty::new().map_err(WasiError::from).boxed_unsync(),
                bytes => Full::from(bytes).map_err(WasiError::from).boxed_unsync(),
            };
            let mut request = Request::new(body);
            *request.method_mut() = method.parse().unwrap();
            if let Some(given) = given {
                request
                    .headers_mut()
                    .insert(CONTENT_LENGTH, HeaderValue::from_static(given));
            }
            let request = with_length(request).await;
            let length = request.headers().get(CONTENT_LENGTH);
            let length = length.map(|value| value.to_str().unwrap());
            assert_eq!(length, expected, "{method} {bytes}");
        }
    }

    #[test]
    fn a_length_that_is_said_twice_is_one() {
        for (given, expected) in [
            (&[][..], &[][..]),
            (&["5"], &["5"]),
            (&["5", "5"], &["5"]),
            (&["5, 5"], &["5"]),
            (&["5,5 ", "5"], &["5"]),
            // of an answer without a body, where nothing counts on it
            (&["5", "6"], &["5", "6"]),
            (&["5, 6"], &["5, 6"]),
            (&["5", "5", "6"], &["5", "5", "6"]),
            (&["x", "x"], &["x", "x"]),
            (&["", ""], &["", ""]),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            with_one_length(&mut headers);
            let found: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(found, expected, "{given:?}");
        }
    }

    /// Bodies of applications do not know their end before it is there.
    #[tokio::test]
    async fn a_body_that_has_ended_is_none_and_what_has_begun_is_whole() {
        for (method, parts, is_late, length) in [
            ("POST", &[][..], false, Some("0")),
            // as an application writes nothing
            ("POST", &["", ""], false, Some("0")),
            ("POST", &["", "one"], false, None),
            ("DELETE", &[], false, None),
            ("OPTIONS", &[], false, None),
            ("POST", &["one", "two"], false, None),
            ("PUT", &["one"], false, None),
            ("DELETE", &["one"], false, None),
            // an application that writes when it has seen the answer, say
            ("POST", &["one", "two"], true, None),
            ("POST", &[], true, None),
        ] {
            let expected = parts.iter().filter(|part| !part.is_empty()).count();
            let parts = parts.iter().map(|part| Bytes::from_static(part.as_bytes()));
            let frames: Vec<_> = parts.map(|part| Ok(Frame::data(part))).collect();
            let (written, begun) = tokio::sync::oneshot::channel();
            let begun = is_late.then_some(begun);
            let body = stream::unfold((begun, frames.into_iter()), |(begun, mut frames)| async {
                if let Some(begun) = begun {
                    _ = begun.await;
                }
                frames.next().map(|frame| (frame, (None, frames)))
            });
            let mut request = Request::new(StreamBody::new(body).boxed_unsync());
            *request.method_mut() = method.parse().unwrap();
            let request = with_length(request).await;
            _ = written.send(());
            let found = request.headers().get(CONTENT_LENGTH);
            let found = found.map(|value| value.to_str().unwrap());
            let what = format!("{method} {expected} {is_late}");
            assert_eq!(found, length, "{what}");
            let is_known_empty = request.body().is_end_stream();
            assert_eq!(is_known_empty, expected == 0 && !is_late, "{what}");
            let mut body = request.into_body();
            let mut seen = 0;
            while let Some(frame) = body.frame().await {
                assert!(frame.is_ok_and(|frame| frame.is_data()), "{what}");
                seen += 1;
            }
            assert_eq!(seen, expected, "{what}");
        }
    }
}
