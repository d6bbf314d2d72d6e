//! A connection of a client: what it does not take in time ends it, and whether anything is under way on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::closing::Closing;

/// How long the rest of a head may take that has begun when the program is asked to end.
const HEAD_REST: Duration = Duration::from_secs(1);

/// What is under way on a connection.
pub(super) struct Work {
    requests: AtomicUsize,
    /// When something was read or written last, or the answer of a request had gone.
    moved: Mutex<Instant>,
    /// Answers that have begun and not ended. One that is broken off never does.
    answers: AtomicUsize,
    is_writing: AtomicBool,
}

/// A request that has come, until its answer has gone.
pub(super) struct UnderWay(Arc<Work>);

impl UnderWay {
    pub(super) fn on(work: &Arc<Work>) -> Self {
        work.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(work))
    }

    /// Its answer begins.
    pub(super) fn answering(&self) -> Answering {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        Answering {
            work: Arc::clone(&self.0),
            is_broken: false,
        }
    }
}

/// An answer that has begun, until all of it has been handed to the connection.
pub(super) struct Answering {
    work: Arc<Work>,
    is_broken: bool,
}

impl Answering {
    /// There is no more of it, and it is not whole.
    pub(super) fn broken(&mut self) {
        self.is_broken = true;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_broken {
            self.work.answers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.moves();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Work {
    fn default() -> Self {
        Self {
            requests: AtomicUsize::default(),
            moved: Mutex::new(Instant::now()),
            answers: AtomicUsize::default(),
            is_writing: AtomicBool::default(),
        }
    }
}

impl Work {
    fn moves(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Comes back when nothing has moved for that long and no request waits for its answer. The server itself bounds the time
    /// for a head alone, and not for a body that an instance has not read when its request is answered or given up.
    pub(super) async fn has_been_idle(&self, patience: Duration) {
        loop {
            let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let is_idle = self.requests.load(Ordering::Relaxed) == 0;
            match moved + patience {
                end if end > now => sleep_until(end).await,
                _ if is_idle => return,
                _ => sleep(patience).await,
            }
        }
    }

    fn is_answering(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

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
///
/// While an answer is on its way the connection can end only by a reset, however it ends, with the program as well: over HTTP/1.0
/// an answer may be as long as its connection, and one that ends in good order would look whole (RFC 9112 section 8).
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    is_waiting: bool,
    is_reset_at_end: bool,
    /// What is left when all has been written.
    closing: Option<Closing>,
    work: Arc<Work>,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, patience: Duration, work: Arc<Work>) -> Self {
        Self {
            inner: TokioIo::new(stream),
            patience,
            sleep: Box::pin(sleep(patience)),
            is_waiting: false,
            is_reset_at_end: false,
            closing: None,
            work,
        }
    }

    /// From before the first of an answer is written until the last of it has been.
    fn reset_at_end(&mut self, is_reset: bool) -> io::Result<()> {
        if is_reset != self.is_reset_at_end {
            let stream = self.inner.inner();
            match is_reset {
                true => stream.set_zero_linger()?,
                #[expect(deprecated, reason = "a time to linger would block, and this is none")]
                false => stream.set_linger(None)?,
            }
            self.is_reset_at_end = is_reset;
        }
        Ok(())
    }

    fn before_write(&mut self) -> io::Result<()> {
        match self.work.is_answering() {
            true => self.reset_at_end(true),
            false => Ok(()),
        }
    }

    fn in_time(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.work.moves();
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
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() {
            self.work.moves();
        }
        read
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.before_write()?;
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.before_write()?;
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        // the server flushes when it has written all that it has
        if flushed.is_ready() && !self.work.is_answering() {
            self.reset_at_end(false)?;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.work.is_answering() {
            self.reset_at_end(true)?;
            // the end in good order is what must not be
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        }
        let closing = this.closing.get_or_insert_with(Closing::begin);
        closing.poll(Pin::new(this.inner.inner_mut()), cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(40);
    const STEP: Duration = Duration::from_millis(10);

    /// However slow the machine is: nothing has moved for that long by then, and no request waits.
    #[tokio::test]
    async fn a_connection_is_idle_when_nothing_moves_and_no_request_waits() {
        #[derive(Clone, Copy, Debug)]
        enum Client {
            Silent,
            /// Something at each step.
            Sends(u32),
            /// A request that is answered after so many steps.
            Asks(u32),
        }
        for client in [
            Client::Silent,
            Client::Sends(1),
            Client::Sends(20),
            Client::Asks(1),
            Client::Asks(20),
        ] {
            let work = Arc::<Work>::default();
            let (moved, waits) = (Cell::new(Instant::now()), Cell::new(false));
            let busy = async {
                match client {
                    Client::Silent => {}
                    Client::Sends(steps) => {
                        for _ in 0..steps {
                            sleep(STEP).await;
                            moved.set(Instant::now());
                            work.moves();
                        }
                    }
                    Client::Asks(steps) => {
                        let under_way = UnderWay::on(&work);
                        waits.set(true);
                        sleep(STEP * steps).await;
                        moved.set(Instant::now());
                        waits.set(false);
                        drop(under_way);
                    }
                }
                // and then nothing
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = busy => {}
                () = work.has_been_idle(PATIENCE) => {}
            }
            assert!(moved.get().elapsed() >= PATIENCE, "{client:?}");
            assert!(!waits.get(), "{client:?}");
        }
    }
}
