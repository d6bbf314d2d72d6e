//! What has come of the requests of a connection. One that is kept for the next request may have been closed by the server in
//! the meantime, which is noticed with that request at the earliest: then none of its answer comes, and nothing else says
//! that the server has not taken it (RFC 9112 section 9.3.1).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

#[cfg(feature = "tower")]
use hyper_util::client::legacy::connect::CaptureConnection;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;

/// All of what was to be written has been.
const WRITTEN: u8 = 1;
/// Something has come since the request that was begun last.
const ANSWERED: u8 = 2;
/// Something has come before it.
const KEPT: u8 = 4;

/// What has come of the requests of a connection. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<AtomicU8>);

impl Answers {
    /// Those of the connection that a request went by.
    #[cfg(feature = "tower")]
    pub(crate) fn of(connection: &CaptureConnection) -> Option<Self> {
        let mut extras = http::Extensions::new();
        let connected = connection.connection_metadata();
        connected.as_ref()?.get_extras(&mut extras);
        extras.remove()
    }

    /// Whether nothing has come since its last request, and something did before that.
    #[cfg(any(test, feature = "tower"))]
    pub(crate) fn are_over(&self) -> bool {
        self.state() & (KEPT | ANSWERED) == KEPT
    }

    fn state(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    /// What is written behind all that was to be written, and behind an answer, begins the next request.
    fn writing(&self) {
        let state = match self.state() {
            state if state & (WRITTEN | ANSWERED) == WRITTEN | ANSWERED => KEPT,
            state => state & !WRITTEN,
        };
        self.0.store(state, Ordering::Release);
    }

    fn written(&self) {
        self.0.fetch_or(WRITTEN, Ordering::AcqRel);
    }

    fn read(&self) {
        self.0.fetch_or(ANSWERED, Ordering::AcqRel);
    }
}

/// A connection that knows of its answers.
pub(crate) struct Followed {
    stream: Stream,
    answers: Answers,
}

impl Followed {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            answers: Answers::default(),
        }
    }

    /// Without that.
    #[cfg(feature = "token-store")]
    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }
}

impl Connection for Followed {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.answers.clone())
    }
}

impl AsyncRead for Followed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.answers.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Followed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answers.writing();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.answers.writing();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.answers.written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens on a connection, in order, and whether its last request may be one that nobody took.
    #[test]
    fn a_request_is_one_that_nobody_took_only_behind_an_answer() {
        for (happens, expected) in [
            ("", false),
            // on a new connection
            ("w f", false),
            ("w f r", false),
            // behind an answer, and before anything of the next
            ("w f r w", true),
            ("w f r w f", true),
            ("w f r r f w w f", true),
            ("w f r w f r", false),
            ("w f r w f r w f", true),
            // a head in several parts, and an answer in the middle of it
            ("w f r w w f", true),
            ("w f r w r", false),
            ("w f r w r w f", false),
            ("w r w f", false),
        ] {
            let answers = Answers::default();
            for step in happens.split_whitespace() {
                match step {
                    "w" => answers.writing(),
                    "f" => answers.written(),
                    _ => answers.read(),
                }
            }
            assert_eq!(answers.are_over(), expected, "{happens}");
        }
    }
}
