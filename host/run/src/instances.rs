//! How many instances of a service there may be. An instance of WASI 0.3 works on many requests at once, but what hands them
//! out starts another whenever none has said that it is free. Each instance of a composed service has a provider of its own,
//! and each of those asks for tokens.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::handler::{
    HandlerState, InstantiationError, ProxyHandler, Request, Response, WorkerState,
};

/// How soon a request that no instance has taken is offered again by itself, at first; each next time it is twice as long. It is
/// told when one may be free, but not whether it is yet.
const AGAIN: Duration = Duration::from_millis(1);

/// The longest of these.
const MAX_AGAIN: Duration = Duration::from_millis(100);

/// Those that are there, and the bound.
#[derive(Clone, Debug)]
pub(crate) struct Instances {
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    there: AtomicUsize,
    free: Notify,
}

/// The place of one.
#[derive(Debug)]
pub(crate) struct Place(Arc<Shared>);

/// There are as many as there may be. The request waits for one of them.
#[derive(Debug)]
pub(crate) struct Full;

impl Instances {
    /// As many as that.
    pub(crate) fn at_most(most: u32) -> Self {
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            shared: Arc::default(),
        }
    }

    /// For one more.
    pub(crate) fn place(&self) -> Result<Place, Full> {
        let one_more = |there: usize| (there < self.most).then_some(there + 1);
        let taken = self
            .shared
            .there
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken
            .map(|_| Place(Arc::clone(&self.shared)))
            .map_err(|_| Full)
    }

    /// One of those that are there may take a request now. The one that has waited longest tries; one that is taken says this
    /// again.
    pub(crate) fn may_be_free(&self) {
        self.shared.free.notify_one();
    }

    /// Waits until one may be free, until then at the most.
    async fn free(&self, end: Instant) {
        // then it is tried all the same
        let _ = timeout_at(end, self.shared.free.notified()).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.there.fetch_sub(1, Ordering::Relaxed);
        self.0.free.notify_one();
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no instance of the application has taken the request in time (--request-timeout, --max-instances)")
    }
}

impl StdError for Full {}

/// An answer of an instance, if one takes the request until then. `data` goes to the instance with it.
pub(crate) async fn answer<S, D>(
    handler: &ProxyHandler<S>,
    instances: &Instances,
    end: Instant,
    mut data: D,
    mut request: Request,
) -> wasmtime::Result<Response>
where
    S: HandlerState<WorkerState: WorkerState<RequestData = D>>,
    D: Send + Sync + 'static,
{
    let mut again = AGAIN;
    loop {
        let error = match handler.handle(data, request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let refused = error.downcast::<InstantiationError<D>>()?;
        if refused.error.downcast_ref::<Full>().is_none() {
            return Err(match refused.error.downcast_ref::<Late>() {
                Some(late) => wasmtime::Error::new(*late),
                None => wasmtime::Error::msg(format!("{:#}", refused.error)),
            });
        }
        let now = Instant::now();
        if now >= end {
            return Err(wasmtime::Error::new(Full));
        }
        data = refused.request_data;
        request = match refused.request.into_inner() {
            Ok(request) => request,
            Err(poisoned) => poisoned.into_inner(),
        };
        instances.free(end.min(now + again)).await;
        again = (again * 2).min(MAX_AGAIN);
    }
}

/// The application has taken longer than it may.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Late {
    /// To start.
    Start,
    /// To answer.
    Answer,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => {
                "an instance of the application has not started in time (--request-timeout)"
            }
            Self::Answer => "the application has not answered it in time (--request-timeout)",
        })
    }
}

impl StdError for Late {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_than_there_may_be() {
        let instances = Instances::at_most(2);
        let (one, two) = (instances.place(), instances.place());
        assert!(one.is_ok() && two.is_ok() && instances.place().is_err());
        drop(one);
        let three = instances.place();
        assert!(three.is_ok() && instances.place().is_err());
    }

    /// Of many that wait one is told for each place that becomes free, and each goes on in its turn.
    #[tokio::test]
    async fn who_waits_is_told_when_one_may_be_free() {
        let instances = Instances::at_most(1);
        let far = Instant::now() + Duration::from_secs(3600);
        let place = instances.place().unwrap();
        let waiting = (0..100).map(|_| {
            let instances = instances.clone();
            tokio::spawn(async move {
                loop {
                    match instances.place() {
                        // it goes at once, and the next one is told
                        Ok(place) => return drop(place),
                        Err(Full) => instances.free(far).await,
                    }
                }
            })
        });
        let waiting: Vec<_> = waiting.collect();
        tokio::task::yield_now().await;
        drop(place);
        for one in waiting {
            one.await.unwrap();
        }
        assert!(instances.place().is_ok());
    }
}
