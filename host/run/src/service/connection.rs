//! A connection of a client: what it does not take in time ends it, and whether anything is under way on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Sleep, sleep};

/// How long the rest of a head may take that has begun when the program is asked to end.
const HEAD_REST: Duration = Duration::from_secs(1);

/// What is under way on a connection.
#[derive(Default)]
pub(super) struct Work {
    requests: AtomicUsize,
    is_writing: AtomicBool,
}

/// A request that has come, until its answer has gone.
pub(super) struct UnderWay(Arc<Work>);

impl UnderWay {
    pub(super) fn on(work: &Arc<Work>) -> Self {
        work.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(work))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Work {
    /// Comes back when the program is asked to end and there is no request here to answer, but at the most a part of one.
    pub(super) async fn is_none_at_the_end(&self, mut ending: Receiver<bool>) {
        // who says so is there as long as the program
        let _ = ending.wait_for(|ending| *ending).await;
        sleep(HEAD_REST).await;
        if self.requests.load(Ordering::Relaxed) > 0 || self.is_writing.load(Ordering::Relaxed) {
            // it ends by itself, with the answer
            std::future::pending::<()>().await;
        }
    }
}

/// A stream whose peer has to take what is written: each time something of it, before the patience ends. Otherwise whoever
/// does not read its answer would keep the place of its request.
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    is_waiting: bool,
    work: Arc<Work>,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, patience: Duration, work: Arc<Work>) -> Self {
        Self {
            inner: TokioIo::new(stream),
            patience,
            sleep: Box::pin(sleep(patience)),
            is_waiting: false,
            work,
        }
    }

    fn in_time(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.is_waiting = false;
            self.work.is_writing.store(false, Ordering::Relaxed);
            return written;
        }
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.work.is_writing.store(true, Ordering::Relaxed);
            self.sleep.as_mut().reset(Instant::now() + self.patience);
        }
        self.sleep.as_mut().poll(cx).map(|()| {
            ::log::info!("a client has not taken its answer in time, and its connection is ended");
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
