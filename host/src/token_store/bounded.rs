//! The stream of the connection to the store, which ends where the store sends more than it was asked for. The Redis client
//! takes in whatever comes: a string of half a gigabyte, a list of lists, messages without an end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::TOKEN_STORE_ENTRY_BYTES;

/// The longest answer, bytes: an entry, with what frames it.
pub(super) const MAX_ANSWER_BYTES: usize = TOKEN_STORE_ENTRY_BYTES + 1024;

/// What was asked on a connection, and what has come since.
#[derive(Debug, Default)]
pub(super) struct Meter {
    asked: AtomicUsize,
    /// Bytes since the last answer,
    read: AtomicUsize,
    /// and those that came while nobody waited, of all times: of honest stores what somebody does not wait for any more.
    unasked: AtomicUsize,
    is_exceeded: AtomicBool,
}

/// Something that was asked and whose answer may come, for as long as somebody waits for it.
pub(super) struct Asked(Arc<Meter>);

impl Meter {
    /// Makes room for one more answer.
    pub(super) fn ask(self: &Arc<Self>) -> Asked {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Asked(Arc::clone(self))
    }

    /// Whether the store has sent more than there was room for.
    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let asked = self.asked.load(Ordering::Relaxed);
        let counter = if asked == 0 {
            &self.unasked
        } else {
            &self.read
        };
        let read = counter.fetch_add(bytes, Ordering::Relaxed);
        if read.saturating_add(bytes) <= asked.max(1).saturating_mul(MAX_ANSWER_BYTES) {
            return Ok(());
        }
        self.is_exceeded.store(true, Ordering::Relaxed);
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
        self.0.read.store(0, Ordering::Relaxed);
    }
}

/// A stream that is read within those bounds, and not before something was asked: what a store says at once, because it takes
/// nobody, is its answer to whatever it is asked first, and the client throws away what comes before that.
pub(super) struct Bounded<S> {
    stream: S,
    meter: Arc<Meter>,
    has_asked: bool,
    /// Who wants to read until then.
    reader: Option<Waker>,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, meter: &Arc<Meter>) -> Self {
        Self {
            stream,
            meter: Arc::clone(meter),
            has_asked: false,
            reader: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.is_exceeded() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if !self.has_asked {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = result {
            self.meter.take(buffer.filled().len() - before)?;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if result.is_ready() {
            self.has_asked = true;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{
        AsyncReadExt as _, AsyncWriteExt as _, Join, Repeat, Sink, join, repeat, sink,
    };

    use super::*;

    async fn read(stream: &mut Bounded<Join<Repeat, Sink>>, bytes: usize) -> io::Result<()> {
        let mut buffer = vec![0; bytes];
        stream.read_exact(&mut buffer).await.map(drop)
    }

    #[tokio::test]
    async fn nothing_is_read_before_something_was_asked() {
        let meter: Arc<Meter> = Arc::default();
        let stream = Bounded::new(join(repeat(b'x'), sink()), &meter);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut read = Box::pin(reader.read_u8());
        for _ in 0..3 {
            let first = std::future::poll_fn(|context| Poll::Ready(read.as_mut().poll(context)));
            assert!(first.await.is_pending());
        }
        // and who waits for it is woken then
        let (read, written) = tokio::join!(read, writer.write_all(b"PING"));
        written.unwrap();
        assert_eq!(read.unwrap(), b'x');
    }

    #[tokio::test]
    async fn as_much_is_read_as_was_asked_for() {
        let meter: Arc<Meter> = Arc::default();
        let mut stream = Bounded::new(join(repeat(b'x'), sink()), &meter);
        stream.write_all(b"PING").await.unwrap();
        let (one, other) = (meter.ask(), meter.ask());
        read(&mut stream, 2 * MAX_ANSWER_BYTES).await.unwrap();
        // an answer that has come makes room for the next
        drop(one);
        read(&mut stream, MAX_ANSWER_BYTES).await.unwrap();
        drop(other);
        read(&mut stream, MAX_ANSWER_BYTES).await.unwrap();
        assert!(!meter.is_exceeded());
        // nobody asks for more, and it stays so whoever asks then
        read(&mut stream, 1).await.unwrap_err();
        let _more = meter.ask();
        read(&mut stream, 1).await.unwrap_err();
        assert!(meter.is_exceeded());
    }
}
