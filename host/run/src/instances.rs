//! How many instances of a service there may be. An instance of WASI 0.3 works on many requests at once, but what hands them
//! out starts another whenever none has said that it is free. Each instance of a composed service has a provider of its own,
//! and each of those asks for tokens.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError, Request, Response};

/// How soon a request that no instance has taken is offered again by itself, after it was told that one may be free: it may be
/// so only a moment later. Each next time it is twice as long.
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
    starting: AtomicUsize,
    /// Held by the one whose turn it is, of those that have found no instance. The others wait for it in the order in which
    /// they came.
    turn: Mutex<()>,
    /// What that one waits for.
    free: Notify,
    /// A place has been taken.
    claimed: Notify,
}

/// The place of one.
#[derive(Debug)]
pub(crate) struct Place(Arc<Shared>);

/// One that is on its way.
#[derive(Debug)]
pub(crate) struct Starting(Arc<Shared>);

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
        taken.map_err(|_| Full)?;
        self.shared.claimed.notify_waiters();
        Ok(Place(Arc::clone(&self.shared)))
    }

    /// One is on its way, as long as that is kept.
    pub(crate) fn starting(&self) -> Starting {
        self.shared.starting.fetch_add(1, Ordering::Relaxed);
        Starting(Arc::clone(&self.shared))
    }

    /// One of those that are there may take a request now. The request whose turn it is tries.
    pub(crate) fn may_be_free(&self) {
        self.shared.free.notify_one();
    }

    /// Waits until one may be free, until then at the most, and says whether it was told so.
    async fn free(&self, until: Instant) -> bool {
        timeout_at(until, self.shared.free.notified()).await.is_ok()
    }

    /// Waits for its turn, behind all that wait for theirs.
    async fn turn(&self, end: Instant) -> Result<MutexGuard<'_, ()>, Full> {
        let turn = timeout_at(end, self.shared.turn.lock()).await;
        turn.map_err(|_| Full)
    }

    /// Whether others wait.
    fn is_awaited(&self) -> bool {
        self.shared.turn.try_lock().is_err()
    }

    /// Comes back when no instance has come in time. One that is on its way has a time of its own.
    async fn in_vain(&self, end: Instant, limit: Duration) {
        sleep_until(end).await;
        if self.shared.starting.load(Ordering::Relaxed) > 0 {
            sleep_until(end + limit).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.there.fetch_sub(1, Ordering::Relaxed);
        self.0.free.notify_one();
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.starting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no instance of the application has taken the request in time (--request-timeout, --max-instances)")
    }
}

impl StdError for Full {}

/// An answer of an instance: of one that takes the request until `end`, and answers it within `limit` then. `handle` gives the
/// request to one, which sends back what it is known by; that is there with the answer.
pub(crate) async fn answer<C, H>(
    instances: &Instances,
    (end, limit): (Instant, Duration),
    mut request: Request,
    handle: impl Fn(oneshot::Sender<C>, Request) -> H,
) -> wasmtime::Result<(Response, Option<C>)>
where
    C: Send + Sync + 'static,
    H: Future<Output = wasmtime::Result<Response>>,
{
    let (mut taken, mut is_taken) = oneshot::channel();
    let mut again = AGAIN;
    // who comes while others wait goes behind them
    let mut turn = match instances.is_awaited() {
        true => Some(instances.turn(end).await?),
        false => None,
    };
    loop {
        let (ended, known) = {
            let claimed = instances.shared.claimed.notified();
            let in_vain = instances.in_vain(end, limit);
            let handling = handle(taken, request);
            tokio::pin!(claimed, in_vain, handling);
            loop {
                tokio::select! {
                    biased;
                    known = &mut is_taken => {
                        drop(turn.take());
                        // here, and not where the instance is: one that computes would keep the answer until it is done
                        let late = |_| Err(wasmtime::Error::new(Late::Answer));
                        break (timeout(limit, &mut handling).await.unwrap_or_else(late), known.ok());
                    }
                    // it may have been taken since
                    ended = &mut handling => break (ended, is_taken.try_recv().ok()),
                    // its instance is on its way, and the next one need not wait for that
                    () = &mut claimed, if turn.is_some() => turn = None,
                    () = &mut in_vain => return Err(wasmtime::Error::new(Full)),
                }
            }
        };
        let error = match ended {
            Ok(response) => return Ok((response, known)),
            // where the instance has noticed first
            Err(error) if error.is::<ExpirationError>() => {
                return Err(wasmtime::Error::new(Late::Answer));
            }
            Err(error) => error,
        };
        let refused = error.downcast::<InstantiationError<oneshot::Sender<C>>>()?;
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
        taken = refused.request_data;
        request = match refused.request.into_inner() {
            Ok(request) => request,
            Err(poisoned) => poisoned.into_inner(),
        };
        if turn.is_none() {
            turn = Some(instances.turn(end).await?);
        } else if instances.free(end.min(now + again)).await {
            again = AGAIN;
        } else {
            again = (again * 2).min(MAX_AGAIN);
        }
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
    use std::convert::Infallible;
    use std::task::Poll;

    use http_body_util::{BodyExt as _, Empty};

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

    fn a_request() -> Request {
        Request::new(Empty::new().map_err(never).boxed_unsync())
    }

    fn never(never: Infallible) -> wasmtime_wasi_http::Error {
        match never {}
    }

    fn a_response() -> Response {
        Response::new(Empty::new().map_err(never).boxed_unsync())
    }

    fn refused<C: Send + Sync + 'static>(
        error: wasmtime::Error,
        request_data: oneshot::Sender<C>,
        request: Request,
    ) -> wasmtime::Result<Response> {
        Err(wasmtime::Error::new(InstantiationError {
            request_data,
            request: std::sync::Mutex::new(request),
            error: Arc::new(error),
        }))
    }

    /// What has no end by itself: long enough for all that are ready to go on as far as they can.
    async fn all_others() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// A request that asks for an instance of its own, and notes that it has one before it is answered. Each takes until it
    /// is told to go on, and its place as long.
    fn asks(
        instances: &Instances,
        name: usize,
        served: &Arc<std::sync::Mutex<Vec<usize>>>,
        go_on: &Arc<tokio::sync::Semaphore>,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (instances, served, go_on) = (instances.clone(), Arc::clone(served), Arc::clone(go_on));
        async move {
            let far = Duration::from_secs(3600);
            let times = (Instant::now() + far, far);
            let handle = |taken: oneshot::Sender<usize>, request| {
                let (instances, served, go_on) =
                    (instances.clone(), Arc::clone(&served), Arc::clone(&go_on));
                async move {
                    let Ok(place) = instances.place() else {
                        return refused(wasmtime::Error::new(Full), taken, request);
                    };
                    served.lock().unwrap().push(name);
                    let starting = instances.starting();
                    // it starts, and others go on meanwhile
                    all_others().await;
                    drop(starting);
                    taken.send(name).unwrap();
                    go_on.acquire().await.unwrap().forget();
                    drop(place);
                    Ok(a_response())
                }
            };
            let (_, known) = answer(&instances, times, a_request(), handle)
                .await
                .unwrap();
            assert_eq!(known, Some(name));
        }
    }

    /// Who waits for an instance gets one in turn: also before those that come when one becomes free, and whether one of them
    /// does at a time or several.
    #[tokio::test]
    async fn who_waits_for_an_instance_is_served_in_turn() {
        for (most, at_a_time) in [(1, 1), (2, 1), (2, 2), (5, 3)] {
            let instances = Instances::at_most(most);
            let served = Arc::default();
            let go_on = Arc::new(tokio::sync::Semaphore::new(0));
            let mut asking = Vec::new();
            for name in 0..20 {
                asking.push(tokio::spawn(asks(&instances, name, &served, &go_on)));
                all_others().await;
            }
            for name in 20..30 {
                go_on.add_permits(at_a_time);
                // it comes as soon as the places are free
                tokio::task::yield_now().await;
                asking.push(tokio::spawn(asks(&instances, name, &served, &go_on)));
                all_others().await;
                // one that looks whether it may be free yet does so in moments
                instances.may_be_free();
                all_others().await;
            }
            go_on.add_permits(30);
            for one in asking {
                one.await.unwrap();
            }
            let in_turn: Vec<_> = (0..30).collect();
            assert_eq!(
                *served.lock().unwrap(),
                in_turn,
                "{most} instances, {at_a_time} at a time"
            );
        }
    }

    /// Also one that comes when a place is free and nobody who waits knows of it yet.
    #[tokio::test]
    async fn who_comes_goes_behind_those_that_wait() {
        let instances = Instances::at_most(1);
        let served = Arc::default();
        let go_on = Arc::new(tokio::sync::Semaphore::new(2));
        let place = instances.place().unwrap();
        let first = tokio::spawn(asks(&instances, 0, &served, &go_on));
        all_others().await;
        drop(place);
        let mut second = Box::pin(asks(&instances, 1, &served, &go_on));
        tokio::select! {
            biased;
            () = &mut second => {}
            () = std::future::ready(()) => {}
        }
        let (first, ()) = tokio::join!(first, second);
        first.unwrap();
        assert_eq!(*served.lock().unwrap(), [0, 1]);
    }

    /// One whose instance takes its time to start holds none of those up that wait behind it.
    #[tokio::test]
    async fn those_that_wait_start_beside_each_other() {
        let instances = Instances::at_most(2);
        let places = [instances.place().unwrap(), instances.place().unwrap()];
        let started = Arc::new(tokio::sync::Barrier::new(2));
        let far = Duration::from_secs(3600);
        let times = (Instant::now() + far, far);
        let asking: Vec<_> = (0..2)
            .map(|_| {
                let (instances, started) = (instances.clone(), Arc::clone(&started));
                tokio::spawn(async move {
                    let handle = |taken: oneshot::Sender<()>, request| {
                        let (instances, started) = (instances.clone(), Arc::clone(&started));
                        async move {
                            let Ok(_place) = instances.place() else {
                                return refused(wasmtime::Error::new(Full), taken, request);
                            };
                            // for ever, if the other one waited for this
                            started.wait().await;
                            taken.send(()).unwrap();
                            Ok(a_response())
                        }
                    };
                    answer(&instances, times, a_request(), handle)
                        .await
                        .unwrap()
                })
            })
            .collect();
        all_others().await;
        drop(places);
        for one in asking {
            one.await.unwrap();
        }
    }

    /// Nothing that may happen to a request is without a bound, and what it is told is what happened.
    #[tokio::test]
    async fn a_request_is_answered_or_told_why_not() {
        #[derive(Clone, Copy, Debug)]
        enum Does {
            Refuses,
            NotStart,
            IsLateToStart,
            Queues,
            Takes,
            TakesAndForgets,
            Answers,
            AnswersAtOnce,
            Fails,
            NoticesItself,
            FailsToStart,
        }
        let limit = Duration::from_millis(20);
        for (does, expected) in [
            (Does::Refuses, "no instance of the application has taken"),
            (Does::NotStart, "no instance of the application has taken"),
            (Does::IsLateToStart, "has not started in time"),
            (Does::Queues, "no instance of the application has taken"),
            (Does::Takes, "has not answered it in time"),
            (Does::TakesAndForgets, "has not answered it in time"),
            (Does::Answers, "answered"),
            (Does::AnswersAtOnce, "answered"),
            (Does::Fails, "a trap"),
            (Does::NoticesItself, "has not answered it in time"),
            (Does::FailsToStart, "no memory"),
        ] {
            let instances = Instances::at_most(1);
            let handle = |taken: oneshot::Sender<&'static str>, request| {
                let instances = instances.clone();
                async move {
                    match does {
                        Does::Refuses => {
                            return refused(wasmtime::Error::new(Full), taken, request);
                        }
                        Does::IsLateToStart => {
                            return refused(wasmtime::Error::new(Late::Start), taken, request);
                        }
                        Does::FailsToStart => {
                            return refused(wasmtime::Error::msg("no memory"), taken, request);
                        }
                        Does::NotStart => {
                            let _place = instances.place();
                            let _starting = instances.starting();
                            return std::future::pending().await;
                        }
                        Does::Queues => {
                            let _queued = (taken, request);
                            return std::future::pending().await;
                        }
                        Does::TakesAndForgets => drop(taken),
                        _ => taken.send("its instance").unwrap(),
                    }
                    match does {
                        Does::Answers => {
                            all_others().await;
                            Ok(a_response())
                        }
                        Does::AnswersAtOnce => Ok(a_response()),
                        Does::Fails => Err(wasmtime::Error::msg("a trap")),
                        Does::NoticesItself => Err(wasmtime::Error::new(ExpirationError)),
                        _ => std::future::pending().await,
                    }
                }
            };
            // those that wait for their turn behind it do so no longer than it does
            let times = (Instant::now() + limit, limit);
            let asked = (0..3).map(|_| answer(&instances, times, a_request(), handle));
            for ended in join_all(asked.collect()).await {
                let said = match ended {
                    Ok((_, known)) => {
                        // also where both were there in the same moment
                        assert_eq!(known, Some("its instance"), "{does:?}");
                        "answered".to_owned()
                    }
                    Err(error) => error.to_string(),
                };
                assert!(said.contains(expected), "{does:?}: {said}");
            }
        }
    }

    /// All of them, on this task.
    async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
        let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
        let mut ended: Vec<_> = futures.iter().map(|_| None).collect();
        std::future::poll_fn(|cx| {
            for (future, ended) in futures.iter_mut().zip(&mut ended) {
                if ended.is_none()
                    && let Poll::Ready(output) = future.as_mut().poll(cx)
                {
                    *ended = Some(output);
                }
            }
            match ended.iter().all(Option::is_some) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        ended.into_iter().flatten().collect()
    }
}
