//! How instances of a service come about and go.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::application::{Application, State};
use crate::instances::{Instances, Place};

/// How long an instance is kept that nobody asks.
const IDLE: Duration = Duration::from_secs(30);

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
    pub(super) alive: Alive,
}

/// Instances that there are: each holds a receiver.
#[derive(Clone, Default)]
pub(super) struct Alive(Sender<()>);

impl Alive {
    /// Waits until there is none.
    pub(super) async fn none(&self) {
        self.0.closed().await;
    }
}

impl HandlerState for Service {
    type StoreData = State;
    type WorkerExpiration = Life;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Life, Worker>> {
        let place = self.instances.place()?;
        let mut store = self.application.store(|wasi| {
            // what it prints is its log
            wasi.inherit_stdout().inherit_stderr();
        })?;
        let started = timeout(self.request_timeout, self.pre.instantiate_async(&mut store)).await;
        let proxy =
            started.unwrap_or_else(|_| Err(wasmtime::Error::msg("it does not start in time")))?;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Life::new(self.request_timeout, self.over.clone()),
            state: Worker {
                at_once: self.at_once,
                in_all: self.in_all,
                request_timeout: self.request_timeout,
                over: self.over.clone(),
                _alive: self.alive.0.subscribe(),
                _place: place,
            },
        })
    }
}

/// When an instance is over: it has not answered in time and holds its thread, or nobody asks it, or the program ends.
pub(super) struct Life {
    request_timeout: Duration,
    sleep: Pin<Box<Sleep>>,
    over: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Life {
    fn new(request_timeout: Duration, mut over: Receiver<bool>) -> Self {
        Self {
            request_timeout,
            sleep: Box::pin(sleep(request_timeout)),
            over: Box::pin(async move {
                // who says so is there as long as the program
                let _ = over.wait_for(|over| *over).await;
            }),
        }
    }
}

impl WorkerExpiration for Life {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        // what is under way has been waited for; who has heard of the end is not asked again
        if status != WorkerStatus::Requests && self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let lasts = match status {
            WorkerStatus::Idle => IDLE,
            // the bound of the request itself comes first, if the instance lets it
            WorkerStatus::Requests => self.request_timeout + Duration::from_secs(1),
            WorkerStatus::PostReturn => self.request_timeout,
        };
        let end = tokio::time::Instant::from_std(start + lasts);
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
    _alive: Receiver<()>,
    _place: Place,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

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
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(sleep(self.request_timeout))
    }

    fn drop(&self, store: Store<State>, result: Result<(), wasmtime::Error>) {
        // at the end of the program those are dropped that were asked for nothing any more
        if let Err(error) = result
            && !*self.over.borrow()
        {
            ::log::error!("an instance of the application was ended: {error:#}");
        }
        drop(store);
    }
}
