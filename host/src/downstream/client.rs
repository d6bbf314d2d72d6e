//! A client whose connections show the certificate that a token is bound to (RFC 8705 section 3).

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use edgepass_core::{Error, ErrorClass, ErrorDetail};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use tower_service::Service;

use crate::connect::{Connector, Shuns};
use crate::context::Host;
use crate::egress::Egress;
use crate::limits;
use crate::provider::Provider;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Sets of connections that are kept: one for each certificate that is in use, and for one before each until its tokens have
/// ended.
const POOLS: usize = 8;

/// The thumbprint of the certificate that the request's token is bound to (`x5t#S256`), in the request's extensions, where
/// [`Downstream::authorize`](super::Downstream::authorize) puts it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BoundTo(pub String);

/// A client for HTTP/1.1, for services that take tokens which are bound to a certificate
/// ([`TokenType::MtlsPop`](crate::TokenType::MtlsPop)): a request with such a token goes on a connection that shows that
/// certificate, all others on one that shows none. The keys stay where they are. Put [`Downstream::layer`](super::Downstream::layer)
/// around it.
///
/// The certification authorities and proxies are those of the provider ([network](crate#network)); redirects are not
/// followed.
///
/// # Errors
///
/// Those of hyper's client, and [`edgepass::Error`](crate::Error) of the class
/// [`CredentialUnavailable`](ErrorClass::CredentialUnavailable) where the certificate is not there any more.
pub struct Client<B>(Arc<ClientParts<B>>);

struct ClientParts<B> {
    host: Host,
    /// Addresses that it never connects to.
    shuns: Option<Shuns>,
    /// The latest used last.
    pools: Mutex<Vec<Pool<B>>>,
}

struct Pool<B> {
    thumbprint: Option<String>,
    /// The authorities that its connections were made with.
    roots: Arc<RootCertStore>,
    clients: Clients<B>,
}

/// What sends requests by connections of one kind.
struct Clients<B> {
    /// By one that is kept, if there is any.
    kept: legacy::Client<Connector, B>,
    /// By a new one each.
    anew: legacy::Client<Connector, B>,
}

impl<B> Clone for Clients<B> {
    fn clone(&self) -> Self {
        Self {
            kept: self.kept.clone(),
            anew: self.anew.clone(),
        }
    }
}

impl Provider {
    /// A client whose connections show the certificates that tokens are bound to.
    pub fn client<B>(&self) -> Client<B> {
        Client(Arc::new(ClientParts {
            host: self.host().clone(),
            shuns: None,
            pools: Mutex::default(),
        }))
    }
}

impl<B> Client<B> {
    /// One that connects to none of these addresses.
    pub(super) fn shunning(host: &Host, shuns: Shuns) -> Self {
        Self(Arc::new(ClientParts {
            host: host.clone(),
            shuns: Some(shuns),
            pools: Mutex::default(),
        }))
    }
}

impl<B> Client<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// What its requests go out by.
    pub(super) fn egress(&self) -> &Egress {
        self.0.host.egress()
    }

    /// Sends a request. The same as a service of `tower`.
    ///
    /// # Errors
    ///
    /// As the [type](Self) says.
    pub async fn send(&self, mut request: Request<B>) -> Result<Response<Incoming>, BoxError> {
        let clients = self.clients(&mut request).await?;
        Ok(clients.kept.request(request).await?)
    }

    /// The same by a connection that has had no other request.
    pub(super) async fn send_anew(
        &self,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, BoxError> {
        let clients = self.clients(&mut request).await?;
        Ok(clients.anew.request(request).await?)
    }

    async fn clients(&self, request: &mut Request<B>) -> Result<Clients<B>, Error> {
        let bound = request.extensions_mut().remove::<BoundTo>();
        self.0.clients(bound).await
    }
}

impl<B> ClientParts<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    async fn clients(&self, bound: Option<BoundTo>) -> Result<Clients<B>, Error> {
        let egress = self.host.egress();
        let thumbprint = bound.map(|BoundTo(thumbprint)| thumbprint);
        let roots = egress
            .roots()
            .await
            .map_err(|e| unavailable(e.to_string()))?;
        if let Some(clients) = self.kept(thumbprint.as_ref(), &roots) {
            return Ok(clients);
        }
        let certified = match &thumbprint {
            Some(thumbprint) => Some(self.host.certified(thumbprint).await.ok_or_else(|| {
                unavailable(format!(
                    "the token of a request is bound to the certificate {thumbprint}, and the host has it not or not any more"
                ))
            })?),
            None => None,
        };
        let connector = egress.connector(certified.as_ref(), &roots).await;
        let connector = connector.map_err(|e| unavailable(e.to_string()))?;
        let connector = connector.shunning(self.shuns.clone());
        // HTTP/2 would hide the alert by which a server refuses a certificate
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::POOL_IDLE);
        let clients = Clients {
            kept: builder.build(connector.clone()),
            anew: builder.pool_max_idle_per_host(0).build(connector),
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        // connections of authorities that do not count any more are not used again
        pools.retain(|pool| Arc::ptr_eq(&pool.roots, &roots) && pool.thumbprint != thumbprint);
        if pools.len() >= POOLS {
            pools.remove(0);
        }
        pools.push(Pool {
            thumbprint,
            roots,
            clients: clients.clone(),
        });
        Ok(clients)
    }

    fn kept(&self, thumbprint: Option<&String>, roots: &Arc<RootCertStore>) -> Option<Clients<B>> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pools.iter().position(|pool| {
            pool.thumbprint.as_ref() == thumbprint && Arc::ptr_eq(&pool.roots, roots)
        })?;
        let pool = pools.remove(at);
        let clients = pool.clients.clone();
        pools.push(pool);
        Some(clients)
    }
}

impl<B> Service<Request<B>> for Client<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.send(request).await })
    }
}

impl<B> Clone for Client<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn unavailable(message: String) -> Error {
    let detail = ErrorDetail {
        message,
        hint: Some(
            "make the request once more: a new token is bound to the certificate that there is"
                .to_owned(),
        ),
        retryable: true,
        ..ErrorDetail::default()
    };
    Error::with_detail(ErrorClass::CredentialUnavailable, detail)
}
