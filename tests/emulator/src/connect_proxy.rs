//! An HTTP proxy that opens tunnels (CONNECT), and can misbehave. Names are its own to resolve, so a test gives it the
//! addresses behind them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::lock;
use crate::pki::Pki;

/// The longest head of a request that it reads.
const HEAD_LIMIT: usize = 64 * 1024;

/// A proxy on a thread of its own, on a free port of this machine. It ends when this is dropped.
pub struct ConnectProxy {
    address: SocketAddr,
    ca_pem: Option<String>,
    state: Arc<State>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What it does with a request for a tunnel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Opens it.
    Tunnel,
    /// Answers with this in its place, as it is written.
    Answer(String),
    /// Closes the connection.
    Close,
    /// Resets it.
    Reset,
    /// Says nothing.
    Silence,
}

/// A request that it got.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TunnelRequest {
    /// Host and port.
    pub target: String,
    /// User and password, decoded.
    pub credentials: Option<Vec<u8>>,
}

struct State {
    acceptor: Option<TlsAcceptor>,
    manner: Mutex<Manner>,
    credentials: Mutex<Option<Vec<u8>>>,
    routes: Mutex<BTreeMap<String, SocketAddr>>,
    requests: Mutex<Vec<TunnelRequest>>,
    connections: Mutex<usize>,
}

impl ConnectProxy {
    /// One that is spoken to in clear.
    pub fn start() -> Result<Self> {
        Self::new(None, None)
    }

    /// One that is spoken to by TLS, with a certificate for `localhost` and this machine's address.
    pub fn start_with_tls() -> Result<Self> {
        let pki = Pki::generate()?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let config = pki.server_config(&names)?;
        Self::new(
            Some(TlsAcceptor::from(Arc::new(config))),
            Some(pki.ca_pem()),
        )
    }

    fn new(acceptor: Option<TlsAcceptor>, ca_pem: Option<String>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            acceptor,
            manner: Mutex::new(Manner::Tunnel),
            credentials: Mutex::default(),
            routes: Mutex::default(),
            requests: Mutex::default(),
            connections: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, &shared) => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Self {
            address,
            ca_pem,
            state,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Host and port.
    #[must_use]
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    /// As `HTTPS_PROXY` has it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.state.acceptor.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// Who vouches for it, if it speaks TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// What is behind `host:port`. Everything else is not found (502).
    pub fn route(&self, target: &str, to: SocketAddr) {
        lock(&self.state.routes).insert(target.to_owned(), to);
    }

    /// Wants these from now on, or none.
    pub fn require(&self, credentials: Option<&str>) {
        *lock(&self.state.credentials) = credentials.map(|text| text.as_bytes().to_vec());
    }

    /// Does this from now on.
    pub fn behave(&self, manner: Manner) {
        *lock(&self.state.manner) = manner;
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<TunnelRequest> {
        lock(&self.state.requests).clone()
    }

    /// How often somebody has connected, whatever came of it.
    #[must_use]
    pub fn connections(&self) -> usize {
        *lock(&self.state.connections)
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        // both have ended by themselves where the thread has
        let _ = self.end.take().map(|end| end.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

async fn serve(listener: TcpListener, state: &Arc<State>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        *lock(&state.connections) += 1;
        let state = Arc::clone(state);
        // who broke off is told nothing
        tokio::spawn(async move {
            let _ = connected(stream, &state).await;
        });
    }
}

async fn connected(stream: TcpStream, state: &State) -> Result<()> {
    if lock(&state.manner).clone() == Manner::Reset {
        stream.set_zero_linger()?;
        return Ok(());
    }
    match &state.acceptor {
        Some(acceptor) => answer(acceptor.accept(stream).await?, state).await,
        None => answer(stream, state).await,
    }
}

async fn answer(mut client: impl AsyncRead + AsyncWrite + Unpin, state: &State) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_LIMIT || client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        // as of those who take this for a proxy that speaks TLS itself
        if !head.starts_with(b"C") {
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            return Ok(client.write_all(answer).await?);
        }
    }
    let head = String::from_utf8(head)?;
    let request = request(&head).context("it is no request for a tunnel")?;
    lock(&state.requests).push(request.clone());
    let manner = lock(&state.manner).clone();
    let wanted = lock(&state.credentials).clone();
    let to = lock(&state.routes).get(&request.target).copied();
    let to = match to {
        Some(to) if manner == Manner::Tunnel => TcpStream::connect(to).await.ok(),
        _ => None,
    };
    let reply = match (manner, to) {
        (Manner::Close | Manner::Reset, _) => return Ok(()),
        (Manner::Silence, _) => return std::future::pending().await,
        (Manner::Answer(text), _) => text,
        (Manner::Tunnel, _) if wanted.is_some() && wanted != request.credentials => {
            "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        (Manner::Tunnel, None) => {
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        (Manner::Tunnel, Some(mut server)) => {
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
    };
    client.write_all(reply.as_bytes()).await?;
    client.shutdown().await?;
    Ok(())
}

fn request(head: &str) -> Option<TunnelRequest> {
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    if words.next() != Some("CONNECT") {
        return None;
    }
    let target = words.next()?.to_owned();
    let mut credentials = None;
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("proxy-authorization")
        {
            let encoded = value.trim().strip_prefix("Basic ")?;
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
            credentials = Some(decoded.ok()?);
        }
    }
    Some(TunnelRequest {
        target,
        credentials,
    })
}
