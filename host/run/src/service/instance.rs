//! How instances of a service come about and go.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::application::{Application, State};
use crate::instances::{Instances, Late, Place};

/// How long an instance is kept that nobody asks.
const IDLE: Duration = Duration::from_secs(30);

/// How much longer than a request one may have that has not ended by itself, as only one does that holds its thread.
const GRACE: Duration = Duration::from_secs(1);

/// How instances come about and go.
pub(super) struct Service {
    pub(super) application: Application,
    pub(super) pre: ProxyPre<State>,
    pub(super) request_timeout: Duration,
    pub(super) at_once: usize,
    pub(super) in_all: usize,
    pub(super) instances: Instances,
    /// Whether all answers have gone that the program waits for at its end.
    pub(super) over: Receiver<bool>,
    pub(super) alive: Count,
}

/// Those that there are: each holds a [`Counted`]. What they are of may break under them.
#[derive(Clone, Default)]
pub(super) struct Count {
    /// Whether it has.
    broken: Sender<bool>,
    /// Whether one of them has got what it waits for.
    answered: Arc<AtomicBool>,
    /// Whether nobody wants what they are of.
    unwanted: Arc<AtomicBool>,
}

/// One of them. It counts until it is dropped.
pub(super) struct Counted {
    broken: Receiver<bool>,
    answered: Arc<AtomicBool>,
}

impl Counted {
    /// Whether what it is of has ended in the middle.
    pub(super) fn is_broken(&self) -> bool {
        *self.broken.borrow()
    }

    /// It gets what it waits for.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

impl Count {
    pub(super) fn one_more(&self) -> Counted {
        Counted {
            broken: self.broken.subscribe(),
            answered: Arc::clone(&self.answered),
        }
    }

    /// What they are of has ended in the middle.
    pub(super) fn broken(&self) {
        self.broken.send_replace(true);
    }

    fn is_none(&self) -> bool {
        self.broken.receiver_count() == 0
    }

    /// Waits until there is none.
    pub(super) async fn none(&self) {
        self.broken.closed().await;
    }
}

impl HandlerState for Service {
    type StoreData = State;
    type WorkerExpiration = Life;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Life, Worker>> {
        let place = Arc::new(self.instances.place()?);
        let _starting = self.instances.starting();
        let starting = async {
            // a thread that a server of directories does not answer keeps the place: there are no more of them than instances
            let store = self.application.store(Arc::clone(&place), |wasi| {
                // what it prints is its log
                wasi.inherit_stdout().inherit_stderr();
            });
            let mut store = store.await?;
            let proxy = self.pre.instantiate_async(&mut store).await?;
            Ok((store, proxy))
        };
        let started = timeout(self.request_timeout, starting).await;
        let (store, proxy) = started.unwrap_or_else(|_| Err(wasmtime::Error::new(Late::Start)))?;
        let awaited = Count::default();
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Life::new(self, awaited.clone()),
            state: Worker {
                at_once: self.at_once,
                in_all: self.in_all,
                request_timeout: self.request_timeout,
                over: self.over.clone(),
                awaited,
                _alive: self.alive.one_more(),
                _place: place,
            },
        })
    }
}

/// When an instance is over: nobody waits for an answer of it any more and it holds its thread, or nobody asks it, or the
/// program ends. One that is late with a request gets no other one, and those that it has go on. One that takes no other in any
/// case is over with its request, if that is given up before the answer has begun: who had come after it would wait for nobody.
pub(super) struct Life {
    request_timeout: Duration,
    sleep: Pin<Box<Sleep>>,
    over: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    instances: Instances,
    /// Whether it takes another request after the first.
    takes_more: bool,
    /// Its requests that somebody waits for, each until its answer is whole.
    awaited: Count,
    none_awaited: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    /// When the last of them was over.
    given_up: Instant,
}

impl Life {
    fn new(service: &Service, awaited: Count) -> Self {
        let mut over = service.over.clone();
        Self {
            request_timeout: service.request_timeout,
            sleep: Box::pin(sleep(service.request_timeout)),
            over: Box::pin(async move {
                // who says so is there as long as the program
                let _ = over.wait_for(|over| *over).await;
            }),
            instances: service.instances.clone(),
            takes_more: service.in_all > 1,
            awaited,
            none_awaited: None,
            given_up: Instant::now(),
        }
    }

    /// Whether somebody waits for an answer, or for the rest of one. Each has a bound of its own.
    fn is_awaited(&mut self, cx: &mut Context<'_>) -> bool {
        if self.none_awaited.is_none() && self.awaited.is_none() {
            return false;
        }
        let awaited = self.awaited.clone();
        let none = self
            .none_awaited
            .get_or_insert_with(|| Box::pin(async move { awaited.none().await }));
        if none.as_mut().poll(cx).is_pending() {
            return true;
        }
        self.none_awaited = None;
        self.given_up = Instant::now();
        false
    }
}

impl WorkerExpiration for Life {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        // it waits for something, and so may take another request
        if self.takes_more {
            self.instances.may_be_free();
        }
        // what is under way has been waited for; who has heard of the end is not asked again
        if status != WorkerStatus::Requests && self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.is_awaited(cx) {
            return Poll::Pending;
        }
        let is_given_up = status == WorkerStatus::Requests
            && !self.takes_more
            && !self.awaited.answered.load(Ordering::Relaxed);
        if is_given_up {
            self.awaited.unwanted.store(true, Ordering::Relaxed);
            return Poll::Ready(());
        }
        let end = match status {
            WorkerStatus::Idle => start.max(self.given_up) + IDLE,
            // the bound of the request itself comes first, if the instance lets it
            WorkerStatus::Requests => (start + self.request_timeout).max(self.given_up) + GRACE,
            WorkerStatus::PostReturn => start.max(self.given_up) + self.request_timeout,
        };
        let end = tokio::time::Instant::from_std(end);
        if self.sleep.deadline() != end {
            self.sleep.as_mut().reset(end);
        }
        self.sleep.as_mut().poll(cx)
    }
}

pub(super) struct Worker {
    at_once: usize,
    in_all: usize,
    request_timeout: Duration,
    over: Receiver<bool>,
    awaited: Count,
    _alive: Counted,
    _place: Arc<Place>,
}

impl WorkerState for Worker {
    type StoreData = State;
    /// Told that the request has come to an instance.
    type RequestData = oneshot::Sender<Counted>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.in_all {
            ShouldAccept::Never
        } else if concurrent < self.at_once {
            ShouldAccept::Yes
        } else {
            ShouldAccept::No
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        taken: oneshot::Sender<Counted>,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        // who has asked may have gone
        let _ = taken.send(self.awaited.one_more());
        // whoever is late with one gets no other: what it is at may never end
        Box::pin(sleep(self.request_timeout))
    }

    fn drop(&self, store: Store<State>, result: Result<(), wasmtime::Error>) {
        // at the end of the program those are dropped that were asked for nothing any more
        if let Err(error) = result {
            if self.awaited.unwanted.load(Ordering::Relaxed) {
                // clients may go as they like, and should not be able to fill the log; of one that was late it has a word
                ::log::debug!("an instance of the application was ended: nobody waits for it");
            } else if !*self.over.borrow() {
                ::log::error!("an instance of the application was ended: {error:#}");
            }
            // before its answers end with it
            self.awaited.broken();
        }
        drop(store);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use super::*;

    /// What has become of the one request of an instance, and whether that ends it.
    #[tokio::test]
    async fn an_instance_whose_only_request_is_given_up_is_over() {
        const FAR: Duration = Duration::from_secs(3600);

        #[derive(Clone, Copy, Debug, PartialEq)]
        enum Request {
            Waits,
            GivenUp,
            /// Whose answer has begun, and is waited for, or not any more.
            Answered,
            Over,
        }
        use Request::{Answered, GivenUp, Over, Waits};
        for (takes_more, status, request, is_over) in [
            (false, WorkerStatus::Requests, Waits, false),
            (false, WorkerStatus::Requests, GivenUp, true),
            // it may write down what it has answered, for example
            (false, WorkerStatus::Requests, Answered, false),
            (false, WorkerStatus::Requests, Over, false),
            (false, WorkerStatus::PostReturn, Over, false),
            // it may take another one, and says so when it does not compute
            (true, WorkerStatus::Requests, Waits, false),
            (true, WorkerStatus::Requests, GivenUp, false),
            (true, WorkerStatus::Requests, Over, false),
            (true, WorkerStatus::Idle, Over, false),
        ] {
            let awaited = Count::default();
            let counted = awaited.one_more();
            if [Answered, Over].contains(&request) {
                counted.answered();
            }
            let _counted = [Waits, Answered].contains(&request).then_some(counted);
            let mut life = Life {
                request_timeout: FAR,
                sleep: Box::pin(sleep(FAR)),
                over: Box::pin(pending()),
                instances: Instances::at_most(1),
                takes_more,
                awaited,
                none_awaited: None,
                given_up: Instant::now(),
            };
            let now = Instant::now();
            let ended = poll_fn(|cx| Poll::Ready(Pin::new(&mut life).poll(cx, status, now)));
            assert_eq!(
                ended.await.is_ready(),
                is_over,
                "{takes_more} {status:?} {request:?}"
            );
        }
    }
}
