//! Connections: TLS, HTTP, and what is noted about both.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{DATE, HOST};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::clock::{http_date, stamp};
use crate::delivery::Delivery;
use crate::encoding::{guid, is_guid};
use crate::faults::Fault;
use crate::journal::{Findings, JournalEntry};
use crate::registry::Certificate;
use crate::reply::Reply;
use crate::request::Call;
use crate::world::{OpenConnections, World};
use crate::{control, metadata, misbehave, platforms, proxy, routes, services, vault};

/// Longest request body taken. A token request is a few kilobytes; an
/// assertion with a chain of certificates some ten more.
const BODY_LIMIT: usize = 1 << 20;

/// A client that says nothing must not hold a task forever.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// What a port is for.
#[derive(Clone)]
pub(crate) enum Door {
    /// Entra and the control endpoint.
    Entra(TlsAcceptor),
    /// The same, where a client certificate is mandatory.
    StrictEntra(TlsAcceptor),
    /// The token proxy.
    Proxy,
    /// The metadata service and the platforms' other places, by http and with
    /// nothing besides.
    Metadata,
    /// That of Service Fabric, by https.
    Fabric(TlsAcceptor),
}

/// Accepts connections until its task is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    door: Door,
    world: Arc<World>,
    counter: Arc<AtomicU64>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: let some connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
        let (door, world) = (door.clone(), Arc::clone(&world));
        tokio::spawn(async move {
            // A client that refuses our CA or disconnects is not an error here.
            let _ = connection(stream, door, world, number).await;
        });
    }
}

/// What requests share that come on one connection.
struct Connection {
    number: u64,
    alpn: String,
    certificate: Option<Certificate>,
    door: Door,
    breaker: Arc<Breaker>,
}

async fn connection(
    stream: TcpStream,
    door: Door,
    world: Arc<World>,
    number: u64,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let breaker = Arc::new(Breaker::default());
    let socket = Socket {
        stream,
        breaker: Arc::clone(&breaker),
    };
    let mut shared = Connection {
        number,
        alpn: String::new(),
        certificate: None,
        door,
        breaker,
    };
    let acceptor = match (&shared.door, &world.proxy) {
        (Door::Entra(acceptor) | Door::StrictEntra(acceptor) | Door::Fabric(acceptor), _) => {
            acceptor.clone()
        }
        (Door::Proxy, Some(proxy)) => proxy.acceptor(),
        (Door::Proxy | Door::Metadata, _) => return converse(socket, shared, world).await,
    };
    let tls = tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(socket)).await??;
    let (_, session) = tls.get_ref();
    shared.alpn = String::from_utf8_lossy(session.alpn_protocol().unwrap_or_default()).into_owned();
    shared.certificate = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|leaf| Certificate::from_der(leaf).ok());
    let certificate = shared.certificate.as_ref();
    let _open = certificate.map(|certificate| {
        OpenConnections::note(&world, shared.number, certificate.thumbprint().to_owned())
    });
    converse(tls, shared, Arc::clone(&world)).await
}

/// Answers what comes on a connection that is ready for HTTP.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Connection,
    world: Arc<World>,
) -> io::Result<()> {
    let http2 = shared.alpn == "h2";
    let shared = Arc::new(shared);
    let service = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| {
            let (world, shared) = (Arc::clone(&world), Arc::clone(&shared));
            async move { Ok::<_, Infallible>(handle(&world, &shared, request).await) }
        })
    };
    let io = TokioIo::new(stream);
    let served = async {
        if http2 {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.serve_connection(io, service).await
        } else {
            hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await
        }
    };
    tokio::select! {
        result = served => result.map_err(io::Error::other),
        // Dropping the connection closes its socket, which then sends RST.
        () = shared.breaker.broken() => Ok(()),
    }
}

async fn handle(
    world: &World,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Delivery> {
    let (head, body) = request.into_parts();
    let host = head
        .uri
        .authority()
        .map(ToString::to_string)
        .or_else(|| head.headers.get(HOST)?.to_str().ok().map(ToOwned::to_owned))
        .unwrap_or_default();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            let text = "the body is too long or broke off\n";
            let reply = Reply::text(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", text);
            return response(reply, None);
        }
    };
    let correlation_id = ["client-request-id", "x-ms-client-request-id"]
        .iter()
        .find_map(|name| head.headers.get(*name)?.to_str().ok())
        .filter(|id| is_guid(id))
        .map_or_else(guid, ToOwned::to_owned);
    let mut call = Call {
        mtls: matches!(connection.door, Door::StrictEntra(_)) || host.starts_with("mtlsauth."),
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        certificate: connection.certificate.clone(),
        trace_id: guid(),
        now: world.clock.now(),
        correlation_id,
        host,
        body,
    };
    let is_fabric = matches!(connection.door, Door::Fabric(_));
    let is_metadata = is_fabric || matches!(connection.door, Door::Metadata);
    let is_proxy = matches!(connection.door, Door::Proxy);
    if !is_metadata
        && !is_proxy
        && let Some(reply) = control::answer(world, &call)
    {
        return response(reply, None);
    }

    let open = world.journal.open(entry(connection, &call, head.version));
    let mut met = world.faults.take(&call.path);
    if let Some(met) = &mut met {
        met.wait().await;
        if met.fault.hang || met.fault.reset {
            open.settle(None, true, Findings::default());
            if met.fault.reset {
                connection.breaker.break_connection();
            }
            return std::future::pending().await;
        }
    }
    let fault = met.map(|met| met.fault);
    let mut found = Findings::default();
    let replaced = fault
        .as_ref()
        .and_then(|fault| misbehave::instead(fault, world, &call));
    let mut reply = match replaced {
        Some((reply, code)) => {
            found.aadsts = code;
            reply
        }
        None if is_fabric || is_metadata && call.path.starts_with(platforms::PREFIX) => {
            platforms::answer(world, &call, is_fabric)
        }
        None if is_metadata => {
            services::on_machine(world, &call).unwrap_or_else(|| metadata::answer(world, &call))
        }
        None if is_proxy => match call.path.strip_prefix(proxy::PATH) {
            Some(path) if path.ends_with("/oauth2/v2.0/token") => {
                call.path = path.to_owned();
                routes::answer(world, &call, &mut found)
            }
            _ => Reply::text(StatusCode::NOT_FOUND, "text/plain", "not proxied\n"),
        },
        None if vault::is_vault(&call.host) => vault::answer(world, &call),
        None => services::answer(world, &call)
            .unwrap_or_else(|| routes::answer(world, &call, &mut found)),
    };
    let now = world.clock.now();
    reply.set(DATE, &http_date(now));
    reply.set(HeaderName::from_static("x-ms-request-id"), &call.trace_id);
    if !is_metadata {
        reply.set(
            HeaderName::from_static("client-request-id"),
            &call.correlation_id,
        );
        reply.set(
            HeaderName::from_static("x-ms-ests-server"),
            "edgepass-emulator",
        );
    }
    if let Some(fault) = &fault {
        misbehave::alter(fault, world, &mut reply);
    }
    if world.log.load(Ordering::Relaxed) {
        log(&call, &reply, &found, fault.is_some());
    }
    open.settle(Some(reply.status.as_u16()), fault.is_some(), found);
    response(reply, fault.as_ref())
}

fn response(mut reply: Reply, fault: Option<&Fault>) -> Response<Delivery> {
    let body = match fault {
        Some(fault) => misbehave::deliver(fault, &mut reply),
        None => Delivery::whole(std::mem::replace(&mut reply.body, Bytes::new())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

fn entry(connection: &Connection, call: &Call, version: http::Version) -> JournalEntry {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    JournalEntry {
        number: 0,
        time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        connection: connection.number,
        alpn: connection.alpn.clone(),
        http_version: format!("{version:?}"),
        method: call.method.to_string(),
        host: call.host.clone(),
        path: call.path.clone(),
        query: call.query.clone(),
        headers: call
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: call.body.to_vec(),
        client_certificate: call.certificate.as_ref().map(|known| known.sha256.clone()),
        settled: false,
        status: None,
        aadsts: None,
        method_of_proof: None,
        nonconforming: Vec::new(),
        claims: None,
        faulted: false,
    }
}

/// One line on standard error; nothing in it is a secret.
fn log(call: &Call, reply: &Reply, found: &Findings, faulted: bool) {
    let code = found
        .aadsts
        .map(|code| format!(" AADSTS{code}"))
        .unwrap_or_default();
    let proof = found
        .method_of_proof
        .map(|proof| format!(" by {proof}"))
        .unwrap_or_default();
    let fault = if faulted { " (fault)" } else { "" };
    let _ = writeln!(
        io::stderr(),
        "{} {} {} {}{code}{proof}{fault}",
        stamp(call.now),
        call.method,
        call.path,
        reply.status.as_u16()
    );
}

/// Ends a connection from inside one of its requests.
#[derive(Default)]
struct Breaker {
    broken: AtomicBool,
    wake: Notify,
}

impl Breaker {
    fn break_connection(&self) {
        self.broken.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    async fn broken(&self) {
        self.wake.notified().await;
    }
}

/// A TCP stream that, once broken, closes with RST: it forgets what is unsent
/// instead of saying goodbye.
struct Socket {
    stream: TcpStream,
    breaker: Arc<Breaker>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.breaker.broken.load(Ordering::Acquire) {
            // Should it fail, the client sees an early end, an error as well.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
