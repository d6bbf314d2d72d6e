//! The service that is asked: a thread of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub(crate) struct Service {
    pub(crate) port: u16,
    with_token: Arc<AtomicUsize>,
}

impl Service {
    pub(crate) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let with_token = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&with_token);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::spawn(move || runtime.block_on(serve(listener, counted)));
        Ok(Self { port, with_token })
    }

    pub(crate) fn with_token(&self) -> usize {
        self.with_token.load(Ordering::Relaxed)
    }
}

async fn serve(listener: std::net::TcpListener, counted: Arc<AtomicUsize>) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let counted = Arc::clone(&counted);
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                if request.headers().contains_key(AUTHORIZATION) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok")))) }
            });
            // the client has gone
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}
