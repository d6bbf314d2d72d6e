//! How an answer's bytes reach the client: at once, in pieces, or not all.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// Between the last bytes of a truncated answer and the end of its
/// connection: long enough for the bytes to leave this machine.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// A body that knows when to send what.
pub(crate) struct Delivery {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    resting: Option<Pin<Box<Sleep>>>,
    breaks_off: bool,
}

impl Delivery {
    /// Everything at once.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let pieces = if bytes.is_empty() {
            VecDeque::new()
        } else {
            VecDeque::from([bytes])
        };
        Self {
            pieces,
            pause: Duration::ZERO,
            resting: None,
            breaks_off: false,
        }
    }

    /// In pieces of `size` bytes, `pause` apart.
    pub(crate) fn trickle(bytes: &Bytes, size: usize, pause: Duration) -> Self {
        let pieces = bytes
            .chunks(size.max(1))
            .map(Bytes::copy_from_slice)
            .collect();
        Self {
            pieces,
            pause,
            resting: None,
            breaks_off: false,
        }
    }

    /// The first half, then the connection ends.
    pub(crate) fn truncated(bytes: &Bytes) -> Self {
        let half = bytes.len() / 2;
        Self {
            pieces: VecDeque::from([bytes.slice(..half)]),
            pause: BEFORE_BREAK,
            resting: None,
            breaks_off: true,
        }
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(rest) = &mut self.resting {
            if rest.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.resting = None;
        }
        match self.pieces.pop_front() {
            Some(piece) => {
                if !self.pause.is_zero() {
                    self.resting = Some(Box::pin(tokio::time::sleep(self.pause)));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if self.breaks_off => {
                Poll::Ready(Some(Err(io::Error::other("broken off as a fault demands"))))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !self.breaks_off
    }

    fn size_hint(&self) -> SizeHint {
        if self.breaks_off {
            return SizeHint::default();
        }
        let left: usize = self.pieces.iter().map(Bytes::len).sum();
        SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
    }
}
