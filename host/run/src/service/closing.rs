//! The end of a connection in stages (RFC 9112 section 9.6): a client that still sends when it is answered, as one whose upload
//! the application has not read, would find the connection reset, and lose the answer with it. So it is told that no more comes,
//! and what it sends is read and dropped until it ends its side as well, for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long it may take in all: as long as nginx has it (`lingering_time`).
const IN_ALL: Duration = Duration::from_secs(30);

/// How long a client may send nothing meanwhile. One that has got its answer ends its side or stays as it is.
const SILENCE: Duration = Duration::from_secs(2);

/// How much is read of what nobody wants, bytes.
const MOST: usize = 64 << 20;

/// How much of it at once.
const PART: usize = 16 << 10;

/// What comes on a connection on which nothing is written any more.
pub(super) struct Closing {
    in_all: Pin<Box<Sleep>>,
    silence: Duration,
    silent: Pin<Box<Sleep>>,
    /// How much may come yet.
    bytes: usize,
}

impl Closing {
    pub(super) fn begin() -> Self {
        Self::within(IN_ALL, SILENCE, MOST)
    }

    fn within(in_all: Duration, silence: Duration, bytes: usize) -> Self {
        Self {
            in_all: Box::pin(sleep(in_all)),
            silence,
            silent: Box::pin(sleep(silence)),
            bytes,
        }
    }

    /// Whether that is over: the client has ended its side, or a bound is reached.
    pub(super) fn poll(
        &mut self,
        mut stream: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut part = [0; PART];
        loop {
            let mut part = ReadBuf::new(&mut part);
            match stream.as_mut().poll_read(cx, &mut part) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !part.filled().is_empty() => {
                    match self.bytes.checked_sub(part.filled().len()) {
                        Some(rest) => self.bytes = rest,
                        None => return Poll::Ready(()),
                    }
                    self.silent.as_mut().reset(Instant::now() + self.silence);
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        match (self.in_all.as_mut().poll(cx), self.silent.as_mut().poll(cx)) {
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::io;

    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const FAR: Duration = Duration::from_secs(3600);
    const NEAR: Duration = Duration::from_millis(20);
    const BYTES: usize = 1 << 20;

    async fn sends(peer: &mut DuplexStream, bytes: usize) -> io::Result<()> {
        for _ in 0..bytes / PART {
            peer.write_all(&[0; PART]).await?;
        }
        Ok(())
    }

    /// What a client does that has been answered, within which bounds, and what may come yet when that is over. It is not over
    /// before, and in the end by itself.
    #[tokio::test]
    async fn a_client_is_waited_for_within_bounds() {
        #[derive(Clone, Copy, Debug)]
        enum Client {
            /// When it has sent that much.
            EndsBehind(usize),
            SilentBehind(usize),
            SendsOn,
            /// A byte every now and then.
            Trickles,
        }
        for (client, in_all, silence, rest) in [
            (Client::EndsBehind(0), FAR, FAR, Some(BYTES)),
            (Client::EndsBehind(BYTES / 2), FAR, FAR, Some(BYTES / 2)),
            (Client::EndsBehind(BYTES), FAR, FAR, Some(0)),
            (Client::SilentBehind(0), FAR, NEAR, Some(BYTES)),
            (Client::SilentBehind(0), NEAR, FAR, Some(BYTES)),
            (Client::SilentBehind(BYTES), NEAR, FAR, None),
            (Client::SendsOn, FAR, FAR, Some(0)),
            (Client::Trickles, NEAR, FAR, None),
        ] {
            let (mut server, mut peer) = duplex(PART);
            let sending = tokio::spawn(async move {
                match client {
                    Client::EndsBehind(bytes) => return sends(&mut peer, bytes).await,
                    Client::SilentBehind(bytes) => sends(&mut peer, bytes).await?,
                    Client::SendsOn => loop {
                        sends(&mut peer, PART).await?;
                    },
                    Client::Trickles => loop {
                        peer.write_all(&[0]).await?;
                        sleep(Duration::from_millis(1)).await;
                    },
                }
                pending().await
            });
            let mut closing = Closing::within(in_all, silence, BYTES);
            poll_fn(|cx| closing.poll(Pin::new(&mut server), cx)).await;
            if let Some(rest) = rest {
                assert_eq!(closing.bytes, rest, "{client:?}");
            }
            sending.abort();
        }
    }
}
