//! A server of which a connection ends at a chosen moment, as a firewall in between would have it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::lock;
use crate::pki::Pki;

/// Up to where a connection gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Nobody listens.
    Refused,
    /// Reset as soon as it is there.
    ResetAtOnce,
    /// Closed as soon as it is there.
    CloseAtOnce,
    /// Reset when the client has said that it wants TLS.
    ResetAfterHello,
    /// Closed then.
    CloseAfterHello,
    /// Nothing comes after that.
    SilenceAfterHello,
    /// A TLS alert, `handshake_failure`, in place of the server's part.
    Alert,
    /// Something that is no TLS.
    NoTls,
    /// Closed in the middle of the server's part.
    CloseInHandshake,
    /// Reset in the middle of the server's part.
    ResetInHandshake,
    /// The handshake is over, and a request has been received: closed.
    CloseAfterRequest,
    /// The same, and reset.
    ResetAfterRequest,
    /// The same, and nothing comes.
    SilenceAfterRequest,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Refused,
        Self::ResetAtOnce,
        Self::CloseAtOnce,
        Self::ResetAfterHello,
        Self::CloseAfterHello,
        Self::SilenceAfterHello,
        Self::Alert,
        Self::NoTls,
        Self::CloseInHandshake,
        Self::ResetInHandshake,
        Self::CloseAfterRequest,
        Self::ResetAfterRequest,
        Self::SilenceAfterRequest,
    ];

    /// Whether a request may have been received.
    #[must_use]
    pub fn has_request(self) -> bool {
        matches!(
            self,
            Self::CloseAfterRequest | Self::ResetAfterRequest | Self::SilenceAfterRequest
        )
    }
}

/// The server, on a thread of its own, on a free port of this machine. It ends when this is dropped.
pub struct BrokenServer {
    address: SocketAddr,
    ca_pem: String,
    counts: Arc<Mutex<Counts>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    requests: usize,
}

impl BrokenServer {
    /// Its certificate is for this machine's address, for names below `localhost` and for this further one.
    pub fn start(stage: Stage, name: &str) -> Result<Self> {
        let pki = Pki::generate()?;
        let names = ["127.0.0.1", "*.localhost", name].map(str::to_owned);
        let config = pki.server_config(&names)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (end, ended) = oneshot::channel();
        let counts = Arc::<Mutex<Counts>>::default();
        let shared = Arc::clone(&counts);
        let thread = if stage == Stage::Refused {
            None
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Some(std::thread::spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(listener, stage, &config, &shared) => {}
                        _ = ended => {}
                    }
                });
            }))
        };
        Ok(Self {
            address,
            ca_pem: pki.ca_pem(),
            counts,
            end: Some(end),
            thread,
        })
    }

    /// Where it listens, or would.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who vouches for it.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// How often somebody has connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.counts).connections
    }

    /// How many requests it has received.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.counts).requests
    }
}

impl Drop for BrokenServer {
    fn drop(&mut self) {
        // both have ended by themselves where the thread has
        let _ = self.end.take().map(|end| end.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

async fn serve(
    listener: TcpListener,
    stage: Stage,
    config: &Arc<ServerConfig>,
    counts: &Arc<Mutex<Counts>>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        lock(counts).connections += 1;
        let (config, counts) = (Arc::clone(config), Arc::clone(counts));
        // who broke off is told nothing
        tokio::spawn(async move {
            let _ = up_to(stage, stream, config, &counts).await;
        });
    }
}

async fn up_to(
    stage: Stage,
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    counts: &Mutex<Counts>,
) -> Result<()> {
    match stage {
        Stage::ResetAtOnce => return Ok(stream.set_zero_linger()?),
        Stage::Refused | Stage::CloseAtOnce => return Ok(()),
        _ if stage.has_request() => {
            let mut tls = TlsAcceptor::from(config).accept(stream).await?;
            let mut read = Vec::new();
            while !read.windows(4).any(|four| four == b"\r\n\r\n") {
                if tls.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
            }
            lock(counts).requests += 1;
            match stage {
                Stage::SilenceAfterRequest => std::future::pending().await,
                Stage::ResetAfterRequest => tls.get_ref().0.set_zero_linger()?,
                _ => tls.shutdown().await?,
            }
            return Ok(());
        }
        _ => {}
    }
    let mut hello = vec![0; 16 * 1024];
    let length = stream.read(&mut hello).await?;
    hello.truncate(length);
    match stage {
        Stage::ResetAfterHello => stream.set_zero_linger()?,
        Stage::SilenceAfterHello => std::future::pending().await,
        // alert (21), TLS 1.2, two bytes: fatal (2), handshake_failure (40)
        Stage::Alert => stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await?,
        Stage::NoTls => {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                .await?;
        }
        Stage::CloseInHandshake | Stage::ResetInHandshake => {
            let mut server = ServerConnection::new(config)?;
            server.read_tls(&mut hello.as_slice())?;
            server.process_new_packets()?;
            let mut part = Vec::new();
            server.write_tls(&mut part)?;
            part.truncate(part.len() / 2);
            stream.write_all(&part).await?;
            if stage == Stage::ResetInHandshake {
                stream.set_zero_linger()?;
            }
        }
        _ => {}
    }
    Ok(())
}
