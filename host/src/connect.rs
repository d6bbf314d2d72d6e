//! How a connection comes about: a name's addresses, TCP, the tunnel of a proxy, TLS; and what it is when one of them
//! fails. Until there is a connection no request has left, so what fails here may be asked of another server.

pub(crate) mod answers;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use edgepass_core::HttpErrorKind;
use edgepass_core::needs::is_localhost;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;
use wasmtime_wasi_http::Error;

use self::answers::Followed;
use crate::limits;
use crate::proxy::{Proxies, Proxy};
use crate::tls_failure;
use crate::tunnel::{self, NoTunnel};

/// Makes the connections of one pool.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Plan>);

/// What there is to know for it.
#[derive(Clone)]
pub(crate) struct Plan {
    /// TLS with servers.
    pub(crate) tls: Arc<ClientConfig>,
    /// The name that is asked for in place of the host's.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// Whether http goes out as well.
    pub(crate) http: bool,
    /// The proxies, where connections may go through any.
    pub(crate) route: Option<Route>,
    /// To which addresses no connection is made, whatever name leads there.
    pub(crate) shuns: Option<Shuns>,
    pub(crate) timeouts: Timeouts,
}

/// Whether an address is one of those to which no connection is made.
pub(crate) type Shuns = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// The way through proxies.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) proxies: Arc<Proxies>,
    /// TLS with a proxy that speaks it itself.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// How long it may take.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    /// TCP.
    pub(crate) tcp: Duration,
    /// All of it.
    pub(crate) all: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp: limits::CONNECT_TIMEOUT,
            all: limits::CONNECTION_TIMEOUT,
        }
    }
}

impl Connector {
    pub(crate) fn new(plan: Plan) -> Self {
        Self(Arc::new(plan))
    }

    /// The same without connections to these addresses.
    #[cfg(feature = "tower")]
    pub(crate) fn shunning(self, shuns: Option<Shuns>) -> Self {
        let plan = Arc::unwrap_or_clone(self.0);
        Self::new(Plan { shuns, ..plan })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Followed>;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let plan = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = plan.connect(uri).await?;
            Ok(TokioIo::new(Followed::new(stream)))
        })
    }
}

impl Plan {
    async fn connect(&self, uri: Uri) -> Result<Stream, NoConnection> {
        let end = Instant::now() + self.timeouts.all;
        let is_http = uri.scheme_str() == Some("http");
        if is_http && !self.http {
            return Err(NoConnection::Name("https alone goes out".to_owned()));
        }
        if let Some(address) = self.shunned(&uri) {
            return Err(NoConnection::Shunned(address));
        }
        let proxy = match &self.route {
            Some(route) => route.proxies.of(&uri),
            None => Ok(None),
        };
        let proxy = proxy.map_err(|e| NoConnection::Tunnel(NoTunnel::unusable(e)))?;
        let stream = match proxy {
            Some(proxy) => timeout_at(end, self.through(proxy, &uri))
                .await
                .unwrap_or_else(|_| Err(NoTunnel::slow(proxy)))
                .map_err(NoConnection::Tunnel)?,
            None => timeout_at(end, self.tcp(uri.clone()))
                .await
                .unwrap_or(Err(NoConnection::Slow))?,
        };
        if is_http {
            return Ok(stream);
        }
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(uri.host().unwrap_or_default())?,
        };
        let through =
            || proxy.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"));
        match timeout_at(end, handshake(&self.tls, name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(cause)) => Err(NoConnection::Tls {
                cause,
                through: through(),
            }),
            Err(_) => Err(NoConnection::SlowTls { through: through() }),
        }
    }

    /// The address that the host of a request is itself, if no connection is made to it.
    fn shunned(&self, uri: &Uri) -> Option<IpAddr> {
        let shuns = self.shuns.as_ref()?;
        let host = bare(uri.host().unwrap_or_default());
        let address = host.parse().ok();
        address.filter(|address| shuns(SocketAddr::new(*address, port_of(uri))))
    }

    async fn tcp(&self, uri: Uri) -> Result<Stream, NoConnection> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver {
            system: GaiResolver::new(),
            shuns: self.shuns.clone(),
            port: port_of(&uri),
        });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.timeouts.tcp));
        match tcp.call(uri).await {
            Ok(stream) => Ok(Stream::Tcp(stream.into_inner())),
            Err(e) => Err(NoConnection::Tcp(e.into())),
        }
    }

    async fn through(&self, proxy: &Proxy, uri: &Uri) -> Result<Stream, NoTunnel> {
        let unreachable = |e: &NoConnection| NoTunnel::unreachable(proxy, &e.of_a_server());
        let tcp = self.tcp(proxy.uri().clone()).await;
        let mut stream = tcp.map_err(|e| unreachable(&e))?;
        let tls = self.route.as_ref().and_then(|route| route.tls.as_ref());
        if let Some(tls) = tls.filter(|_| proxy.is_tls()) {
            let name = server_name(proxy.host()).map_err(|e| unreachable(&e))?;
            stream = handshake(tls, name, stream).await.map_err(|e| {
                let reason = NoConnection::Tls {
                    cause: e,
                    through: String::new(),
                };
                NoTunnel::no_tls(proxy, &reason.of_a_server())
            })?;
        }
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(443);
        tunnel::open(stream, proxy, &format!("{host}:{port}")).await
    }
}

/// The port of a request.
fn port_of(uri: &Uri) -> u16 {
    let is_http = uri.scheme_str() == Some("http");
    uri.port_u16().unwrap_or(if is_http { 80 } else { 443 })
}

async fn handshake(
    tls: &Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: Stream,
) -> io::Result<Stream> {
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await?;
    Ok(Stream::Tls(Box::new(stream)))
}

fn server_name(host: &str) -> Result<ServerName<'static>, NoConnection> {
    ServerName::try_from(bare(host).to_owned())
        .map_err(|_| NoConnection::Name(format!("{host} is no name of a server")))
}

/// A host without the brackets of an IPv6 address.
pub(crate) fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// A connection: bare, or with TLS upon another. Through a proxy that speaks TLS itself there are two layers of it.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<Self>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

/// Why there is no connection, so that nothing was sent.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// Neither a name's addresses nor TCP.
    Tcp(Box<dyn StdError + Send + Sync>),
    /// The same, in time.
    Slow,
    /// The proxy opens no way.
    Tunnel(NoTunnel),
    /// The TLS handshake, and through which proxy it went.
    Tls { cause: io::Error, through: String },
    /// The same, in time: nobody answered it.
    SlowTls { through: String },
    /// It is for no server.
    Name(String),
    /// It is for an address that is not for whoever asks.
    Shunned(IpAddr),
}

impl NoConnection {
    /// What the component is told. That no connection came about is its own kind: where there is a choice of servers, another
    /// is asked then. A firewall may let TCP through and end, or swallow, what follows.
    pub(crate) fn error(&self) -> Error {
        let not_connected = |text: &str| {
            Error::InternalError(Some(format!("{}: {text}", HttpErrorKind::NOT_CONNECTED)))
        };
        match self {
            Self::Shunned(_) => Error::DestinationIpProhibited,
            Self::Tcp(error) if find::<Shunned>(error.as_ref()).is_some() => {
                Error::DestinationIpProhibited
            }
            Self::Tcp(error) => {
                if let Some(unresolvable) = find::<Unresolvable>(error.as_ref()) {
                    return Error::DnsError {
                        rcode: Some(unresolvable.to_string()),
                        info_code: None,
                    };
                }
                let Some(io) = find::<io::Error>(error.as_ref()) else {
                    return not_connected(&error.to_string());
                };
                match io.kind() {
                    io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                    io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                    io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                        Error::DestinationUnavailable
                    }
                    // this machine itself did not let it happen, or something ended it at once
                    _ => not_connected(&io.to_string()),
                }
            }
            Self::Slow => Error::ConnectionTimeout,
            Self::Tunnel(no) => no.error(),
            Self::Tls { cause, through } => match find::<rustls::Error>(cause) {
                Some(tls) => tls_failure::error(tls),
                None => not_connected(&format!("{} the TLS handshake{through}", ended(cause))),
            },
            Self::SlowTls { through } => not_connected(&format!(
                "nothing came of the TLS handshake{through} in {} s",
                limits::CONNECTION_TIMEOUT.as_secs()
            )),
            Self::Name(text) => not_connected(text),
        }
    }

    /// In words that continue the name of the server.
    pub(crate) fn of_a_server(&self) -> String {
        if let Self::Tcp(error) = self
            && let Some(io) = find::<io::Error>(error.as_ref())
            && io.kind() == io::ErrorKind::ConnectionReset
        {
            return "reset the connection".to_owned();
        }
        match self {
            Self::Shunned(address) => {
                return format!("is {address}, where a platform gives credentials to this machine");
            }
            Self::Tls { cause, through } => {
                return match find::<rustls::Error>(cause) {
                    Some(tls) => tls_failure::of_a_server(tls),
                    None => format!("{} the TLS handshake{through}", ended_by_it(cause)),
                };
            }
            Self::SlowTls { through } => {
                return format!(
                    "did not end the TLS handshake{through} in {} s",
                    limits::CONNECTION_TIMEOUT.as_secs()
                );
            }
            Self::Name(text) => return format!("cannot be asked: {text}"),
            Self::Tcp(_) | Self::Slow | Self::Tunnel(_) => {}
        }
        match self.error() {
            Error::DnsError { rcode, .. } => {
                let text = rcode.unwrap_or_default();
                let reason = text
                    .split_once(Unresolvable::BORDER)
                    .map(|(_, reason)| reason);
                format!("has no address: {}", reason.unwrap_or(&text))
            }
            Error::ConnectionTimeout => {
                format!(
                    "took no connection in {} s",
                    limits::CONNECT_TIMEOUT.as_secs()
                )
            }
            Error::ConnectionRefused => "refused the connection".to_owned(),
            Error::DestinationUnavailable => "cannot be reached".to_owned(),
            Error::InternalError(Some(text)) => {
                // without the word for the component
                let text = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, text)| text);
                format!("cannot be asked: {text}")
            }
            other => format!("cannot be asked: {other}"),
        }
    }
}

/// How a connection ended in the middle of something, in words that go before it.
fn ended(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed in".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "the connection was reset in".to_owned(),
        _ => format!("{cause} in"),
    }
}

/// The same in words that continue the name of the server.
fn ended_by_it(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof => "closed the connection in".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "reset the connection in".to_owned(),
        _ => format!("cannot be asked: {cause} in"),
    }
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl StdError for NoConnection {}

/// The first error of that type in the chain. Errors of rustls hide under `io::Error`s, whose `source` skips what they
/// wrap.
pub(crate) fn find<'e, T: StdError + 'static>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            // an io::Error that only wraps another is not the one that knows the kind
            let wrapped = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            return wrapped.and_then(|inner| find::<T>(inner)).or(Some(found));
        }
        if let Some(inner) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The system's resolver, but `localhost` and names below it are this machine (RFC 6761 section 6.3), whatever a
/// search domain or a resolver in between would answer.
#[derive(Clone)]
struct Resolver {
    system: GaiResolver,
    shuns: Option<Shuns>,
    /// What the addresses are asked for.
    port: u16,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NoAddress;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoAddress>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoAddress>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (shuns, port) = (self.shuns.clone(), self.port);
        // one of them is enough: who answers for a name decides which is taken
        let is_shunned = move |addresses: &[SocketAddr]| {
            let mut addresses = addresses
                .iter()
                .map(|address| SocketAddr::new(address.ip(), port));
            shuns.is_some_and(|shuns| addresses.any(|address| shuns(address)))
        };
        if is_localhost(name.as_str()) {
            let loopback = [
                IpAddr::from(Ipv4Addr::LOCALHOST),
                IpAddr::from(Ipv6Addr::LOCALHOST),
            ];
            let addresses: Vec<_> = loopback.map(|address| SocketAddr::new(address, 0)).into();
            return Box::pin(async move {
                match is_shunned(&addresses) {
                    true => Err(Box::new(Shunned) as NoAddress),
                    false => Ok(addresses.into_iter()),
                }
            });
        }
        let host = name.as_str().to_owned();
        let lookup = self.system.call(name);
        Box::pin(async move {
            let addresses: Vec<_> = match lookup.await {
                Ok(addresses) => addresses.collect(),
                Err(e) => {
                    return Err(Box::new(Unresolvable {
                        host,
                        reason: e.to_string(),
                    }) as NoAddress);
                }
            };
            match is_shunned(&addresses) {
                true => Err(Box::new(Shunned) as NoAddress),
                false => Ok(addresses.into_iter()),
            }
        })
    }
}

type NoAddress = Box<dyn StdError + Send + Sync>;

/// A name with an address that is not for whoever asks.
#[derive(Debug)]
struct Shunned;

impl fmt::Display for Shunned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("has an address at which a platform gives credentials to this machine")
    }
}

impl StdError for Shunned {}

/// A name that has no address.
#[derive(Debug)]
struct Unresolvable {
    host: String,
    reason: String,
}

impl Unresolvable {
    const BORDER: &'static str = " has no address: ";
}

impl fmt::Display for Unresolvable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.host, Self::BORDER, self.reason)
    }
}

impl StdError for Unresolvable {}

#[cfg(test)]
mod tests;
