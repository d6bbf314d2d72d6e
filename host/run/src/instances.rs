//! How many instances of a service there may be. An instance of WASI 0.3 works on many requests at once, but what hands them
//! out starts another whenever none has said that it is free. Each instance of a composed service has a provider of its own,
//! and each of those asks for tokens.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::handler::{
    HandlerState, InstantiationError, ProxyHandler, Request, Response, WorkerState,
};

/// How soon a request that no instance has taken is offered again: nothing says when one is free.
const AGAIN: Duration = Duration::from_millis(1);

/// Those that are there, and the bound.
#[derive(Clone, Debug)]
pub(crate) struct Instances {
    most: usize,
    there: Arc<AtomicUsize>,
}

/// The place of one.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

/// There are as many as there may be. The request waits for one of them.
#[derive(Debug)]
pub(crate) struct Full;

impl Instances {
    /// As many as that.
    pub(crate) fn at_most(most: u32) -> Self {
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            there: Arc::default(),
        }
    }

    /// For one more.
    pub(crate) fn place(&self) -> Result<Place, Full> {
        let one_more = |there: usize| (there < self.most).then_some(there + 1);
        let taken = self
            .there
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken
            .map(|_| Place(Arc::clone(&self.there)))
            .map_err(|_| Full)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no instance of the application has taken the request (--max-instances)")
    }
}

impl StdError for Full {}

/// An answer of an instance, if one takes the request until then.
pub(crate) async fn answer<S>(
    handler: &ProxyHandler<S>,
    end: Instant,
    mut request: Request,
) -> wasmtime::Result<Response>
where
    S: HandlerState<WorkerState: WorkerState<RequestData = ()>>,
{
    loop {
        let error = match handler.handle((), request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let refused = error.downcast::<InstantiationError<()>>()?;
        if refused.error.downcast_ref::<Full>().is_none() {
            return Err(wasmtime::Error::msg(format!("{:#}", refused.error)));
        }
        if Instant::now() >= end {
            return Err(wasmtime::Error::new(Full));
        }
        request = match refused.request.into_inner() {
            Ok(request) => request,
            Err(poisoned) => poisoned.into_inner(),
        };
        sleep(AGAIN).await;
    }
}

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
}
