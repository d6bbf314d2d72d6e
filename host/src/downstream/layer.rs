//! The layer for clients: a token on each request that a rule names, and another where a service refuses it.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::Downstream;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Wraps a client in [`Authorize`].
#[derive(Clone, Debug)]
pub struct AuthorizeLayer<C = EmptyBody> {
    downstream: Downstream,
    clone_body: C,
}

impl AuthorizeLayer {
    pub(super) fn new(downstream: Downstream) -> Self {
        Self {
            downstream,
            clone_body: EmptyBody,
        }
    }
}

impl<C> AuthorizeLayer<C> {
    /// How the body of a request is had a second time, so that the request can be sent once more: a closure from `&B` to
    /// `Option<B>`, which is asked before each request is sent. Without it only requests whose body is empty are. For
    /// bodies that are whole in memory it is `|body: &Full<Bytes>| Some(body.clone())`; a body that is read from somewhere
    /// as it is sent has no second time (`None`), and its response is handed on as it is.
    #[must_use]
    pub fn clone_body<N>(self, clone_body: N) -> AuthorizeLayer<N> {
        AuthorizeLayer {
            downstream: self.downstream,
            clone_body,
        }
    }
}

impl<S, C: Clone> Layer<S> for AuthorizeLayer<C> {
    type Service = Authorize<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorize {
            inner,
            downstream: self.downstream.clone(),
            clone_body: self.clone_body.clone(),
        }
    }
}

/// How the body of a request is had a second time.
pub trait CloneBody<B> {
    /// The same body, if there is a way.
    fn clone_body(&self, body: &B) -> Option<B>;
}

impl<B, F: Fn(&B) -> Option<B>> CloneBody<B> for F {
    fn clone_body(&self, body: &B) -> Option<B> {
        self(body)
    }
}

/// Bodies that are empty, of whatever type.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBody;

impl<B: Body + Default> CloneBody<B> for EmptyBody {
    fn clone_body(&self, body: &B) -> Option<B> {
        body.is_end_stream().then(B::default)
    }
}

/// A client whose requests get tokens by rules.
///
/// Where a service refuses a token ([`Authorized::refused`](super::Authorized::refused)) that is reported, and the
/// request sent once more with the next one, if its body can be had a second time ([`AuthorizeLayer::clone_body`]). Never a
/// third time: what then comes is the answer. The first response is dropped for the second, or else handed on: with the
/// error in its extensions ([`edgepass::Error`](crate::Error)), if there is no other token to be had. A request whose body
/// has no second time is answered by its first response, and the refusal is reported behind it.
///
/// Dropping the future of a call ends the request, and no exchange of tokens that others may wait for.
///
/// # Errors
///
/// Those of the client, boxed as they are; and [`edgepass::Error`](crate::Error) where a request gets no token although a rule
/// is for it: nothing has been sent then. `error.downcast_ref::<edgepass::Error>()` tells them apart.
#[derive(Clone, Debug)]
pub struct Authorize<S, C = EmptyBody> {
    inner: S,
    downstream: Downstream,
    clone_body: C,
}

impl<S, C> Authorize<S, C> {
    /// The client within.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The client within.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// A call of [`Authorize`].
pub type AuthorizeFuture<D> =
    Pin<Box<dyn Future<Output = Result<Response<D>, BoxError>> + Send + 'static>>;

impl<S, C, B, D> Service<Request<B>> for Authorize<S, C>
where
    S: Service<Request<B>, Response = Response<D>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    C: CloneBody<B>,
    B: Send + 'static,
    D: Send + 'static,
{
    type Response = Response<D>;
    type Error = BoxError;
    type Future = AuthorizeFuture<D>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // the one that is ready makes the call, and leaves one behind that has yet to become so
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let question = match self.downstream.question(&mut request) {
            Ok(Some(question)) => question,
            Ok(None) => {
                let response = inner.call(request);
                return Box::pin(async { response.await.map_err(Into::into) });
            }
            Err(error) => return Box::pin(async { Err(error.into()) }),
        };
        let again = self.clone_body.clone_body(request.body());
        Box::pin(async move {
            let mut authorized = question.ask().await?;
            authorized.put_on(&mut request)?;
            let again = again.map(|body| with_body(&request, body));
            let mut response = inner.call(request).await.map_err(Into::into)?;
            let Some(mut again) = again else {
                // it is the answer; who asks next gets another token
                let reported = authorized.report(response.status(), response.headers());
                if let Err(error) = reported.await {
                    log::warn!("the refusal of a token by a service is not noted: {error}");
                }
                return Ok(response);
            };
            let renewed = authorized.refused(response.status(), response.headers());
            match renewed.await {
                Ok(true) => {}
                Ok(false) => return Ok(response),
                Err(error) => {
                    log::warn!("a service has refused a token, and there is no other: {error}");
                    response.extensions_mut().insert(error);
                    return Ok(response);
                }
            }
            authorized.put_on(&mut again)?;
            // a connection whose response nobody reads on is not used again; where it came whole, its client has seen to it
            drop(response);
            poll_fn(|cx| inner.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            inner.call(again).await.map_err(Into::into)
        })
    }
}

/// The same request with another body.
fn with_body<B>(request: &Request<B>, body: B) -> Request<B> {
    let mut again = Request::new(body);
    request.method().clone_into(again.method_mut());
    request.uri().clone_into(again.uri_mut());
    *again.version_mut() = request.version();
    request.headers().clone_into(again.headers_mut());
    request.extensions().clone_into(again.extensions_mut());
    again
}
