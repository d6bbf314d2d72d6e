//! The body of an answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::connection::{Answering, UnderWay};
use super::instance::Counted;

/// One whose next part has to come in time.
pub(super) struct Paced {
    body: WasiBody,
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    is_waiting: bool,
    kept: Kept,
}

/// What is kept until an answer is over.
pub(super) struct Kept {
    /// Its place among those that are worked on.
    pub(super) _place: OwnedSemaphorePermit,
    pub(super) answering: Answering,
    pub(super) _under_way: UnderWay,
    /// That its instance is waited for.
    pub(super) awaited: Option<Counted>,
}

impl Paced {
    pub(super) fn new(body: WasiBody, patience: Duration, kept: Kept) -> Self {
        Self {
            body,
            patience,
            sleep: Box::pin(sleep(patience)),
            is_waiting: false,
            kept,
        }
    }

    /// Whether it may have ended because its instance has: over WASI 0.2 that looks like an end of its own.
    fn is_broken(&self) -> bool {
        let awaited = self.kept.awaited.as_ref();
        awaited.is_some_and(Counted::is_broken)
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.is_waiting = false;
            let frame = match frame {
                None if this.is_broken() => Some(Err(Error::HttpResponseIncomplete)),
                frame => frame,
            };
            if let Some(Err(_)) = frame {
                this.kept.answering.broken();
            }
            return Poll::Ready(frame);
        }
        // the time that counts is the application's: none passes while the client takes nothing
        if !std::mem::replace(&mut this.is_waiting, true) {
            this.sleep.as_mut().reset(Instant::now() + this.patience);
        }
        match this.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                ::log::error!(
                    "an answer is not sent whole: the application has not written its next part in time (--request-timeout)"
                );
                this.kept.answering.broken();
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::{BodyExt as _, Full};
    use tokio::sync::Semaphore;

    use super::super::connection::Work;
    use super::super::instance::Count;
    use super::*;

    /// Over WASI 0.2 a body whose instance traps ends as one that is whole.
    #[tokio::test]
    async fn a_body_that_ends_with_its_instance_is_not_whole() {
        const PATIENCE: Duration = Duration::from_secs(3600);

        for is_broken in [false, true] {
            let awaited = Count::default();
            let under_way = UnderWay::on(&Arc::<Work>::default());
            let kept = Kept {
                _place: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
                answering: under_way.answering(),
                _under_way: under_way,
                awaited: Some(awaited.one_more()),
            };
            let body = Full::from("part").map_err(Error::from).boxed_unsync();
            let mut body = Paced::new(body, PATIENCE, kept);
            let part = body.frame().await.unwrap().unwrap();
            assert_eq!(part.into_data().unwrap(), "part");
            if is_broken {
                awaited.broken();
            }
            assert_eq!(
                body.frame().await.is_some_and(|end| end.is_err()),
                is_broken
            );
        }
    }
}
