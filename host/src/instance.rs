//! The component's life: one instance in one store, driven by one task for as long as a handle lives. An instance that
//! traps or runs away ends alone, and a fresh one takes its place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use edgepass_core::{
    AccessToken, ClientAssertion, Error, ErrorClass, ErrorDetail, IdentityStatus, RejectionOutcome,
    TokenRequest,
};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::Accessor;
use wasmtime::{Engine, Store};

use crate::bindings::{Provider as Exports, ProviderPre, types};
use crate::context::{Context, Host};
use crate::watchdog::Watchdog;
use crate::{limits, watchdog};

/// One question for the component.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Token(TokenRequest),
    Assertion {
        identity: Option<String>,
        audience: Option<String>,
    },
    Rejection {
        request: TokenRequest,
        token_sha256: String,
        www_authenticate: Option<String>,
    },
    Forget {
        identity: Option<String>,
    },
    Status,
}

/// Its answer.
pub(crate) enum Answer {
    Token(AccessToken),
    Assertion(ClientAssertion),
    Rejection(RejectionOutcome),
    Forgotten(u32),
    Status(Vec<IdentityStatus>),
}

/// A call and where its answer goes.
pub(crate) struct Job {
    call: Arc<Call>,
    /// How many instances have ended under it.
    lost: u8,
    reply: oneshot::Sender<Result<Answer, Error>>,
}

/// The way in: calls go through a bounded channel to the task that owns the store.
#[derive(Clone)]
pub(crate) struct Instance {
    jobs: mpsc::Sender<Job>,
    restarts: Arc<AtomicU64>,
}

impl Instance {
    /// Starts the task. It ends when the last clone of the handle is gone.
    pub(crate) fn start(engine: Engine, component: ProviderPre<Context>, host: Host) -> Self {
        let (jobs, queue) = mpsc::channel(limits::CALLS_QUEUED);
        let restarts = Arc::new(AtomicU64::new(0));
        let supervisor = Supervisor {
            watchdog: Watchdog::new(&engine),
            engine,
            component,
            host,
            queue,
            flying: Flying::default(),
            restarts: Arc::clone(&restarts),
        };
        tokio::spawn(supervisor.run());
        Self { jobs, restarts }
    }

    /// Queues a call. Fails at once when the queue is full.
    pub(crate) fn call(
        &self,
        call: Call,
    ) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        match self.jobs.try_send(Job {
            call: Arc::new(call),
            lost: 0,
            reply,
        }) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(busy()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(stopped()),
        }
    }

    /// How many instances have ended by a trap.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

/// The caller's error when the task is gone: the runtime that it ran on was shut down.
pub(crate) fn stopped() -> Error {
    Error::new(
        ErrorClass::Other,
        "the provider has stopped: the tokio runtime that it was built on is gone",
    )
}

fn busy() -> Error {
    transient(
        ErrorClass::Busy,
        format!(
            "{} calls already wait for the component",
            limits::CALLS_QUEUED
        ),
    )
}

fn transient(class: ErrorClass, message: String) -> Error {
    Error::with_detail(
        class,
        ErrorDetail {
            message,
            retryable: true,
            ..ErrorDetail::default()
        },
    )
}

/// Calls that are inside the component. They survive the instance.
#[derive(Clone, Default)]
struct Flying(Arc<Mutex<BTreeMap<u64, Job>>>);

impl Flying {
    fn board(&self, id: u64, job: Job) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, job);
    }

    fn land(&self, id: u64, result: Result<Answer, Error>) {
        let job = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        if let Some(job) = job {
            // a caller that went away does not want to know
            let _ = job.reply.send(result);
        }
    }

    fn lost(&self) -> Vec<Job> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
            .into_values()
            .collect()
    }
}

struct Supervisor {
    engine: Engine,
    component: ProviderPre<Context>,
    host: Host,
    queue: mpsc::Receiver<Job>,
    flying: Flying,
    watchdog: Watchdog,
    restarts: Arc<AtomicU64>,
}

impl Supervisor {
    async fn run(mut self) {
        let mut again = Vec::new();
        let mut backoff = limits::RESTART_BACKOFF;
        loop {
            let started = Instant::now();
            let trap = match self.live(again).await {
                Ok(()) => return,
                Err(trap) => trap,
            };
            self.restarts.fetch_add(1, Ordering::Relaxed);
            let cause = cause(&trap);
            log::error!("the credential component ended ({cause}); a fresh instance takes over");
            again = self.flying.lost();
            again.retain_mut(|job| {
                job.lost += 1;
                job.lost <= limits::CALL_RETRIES || {
                    let (reply, _) = oneshot::channel();
                    let _ = std::mem::replace(&mut job.reply, reply).send(Err(lost(&cause)));
                    false
                }
            });
            if started.elapsed() >= limits::INSTANCE_SETTLED {
                backoff = limits::RESTART_BACKOFF;
                continue;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(limits::MAX_RESTART_BACKOFF);
        }
    }

    /// One instance, until the handles are gone or it traps.
    async fn live(&mut self, again: Vec<Job>) -> wasmtime::Result<()> {
        // what is left of the calls is in `flying` from here on, whatever happens
        let mut next = 0;
        for job in again {
            self.flying.board(next, job);
            next += 1;
        }
        let mut store = Store::new(&self.engine, self.host.context());
        store.limiter(|context| &mut context.limits);
        watchdog::arm(&mut store);
        let exports = match self.component.instantiate_async(&mut store).await {
            Ok(exports) => exports,
            Err(e) => {
                // nothing will answer these, and waiting for a component that does not start helps nobody
                while let Ok(job) = self.queue.try_recv() {
                    let _ = job
                        .reply
                        .send(Err(transient(ErrorClass::Other, not_started(&e))));
                }
                return Err(e);
            }
        };
        let flying = &self.flying;
        let queue = &mut self.queue;
        let drive =
            store.run_concurrent(async |store| drive(store, &exports, queue, flying, next).await);
        self.watchdog.watch(drive).await?
    }
}

/// Runs the calls of one instance.
async fn drive(
    store: &Accessor<Context>,
    exports: &Exports,
    queue: &mut mpsc::Receiver<Job>,
    flying: &Flying,
    again: u64,
) -> wasmtime::Result<()> {
    let start = |id: u64| async move {
        let call = flying
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .map(|job| Arc::clone(&job.call));
        let Some(call) = call else { return Ok(()) };
        // a trap leaves the call where it is, for the next instance
        flying.land(id, perform(store, exports, &call).await?);
        Ok::<_, wasmtime::Error>(())
    };
    let work = async {
        let mut next = again;
        let mut calls: FuturesUnordered<_> = (0..again).map(start).collect();
        loop {
            tokio::select! {
                biased;
                Some(done) = calls.next(), if !calls.is_empty() => done?,
                job = queue.recv(), if calls.len() < limits::CALLS_IN_COMPONENT => {
                    let Some(job) = job else { return Ok(()) };
                    flying.board(next, job);
                    calls.push(start(next));
                    next += 1;
                }
            }
        }
    };
    let mut work = std::pin::pin!(work);
    // this is not polled while a guest holds the store, so being polled is the proof that it let go
    std::future::poll_fn(|cx| {
        store.with(|mut store| store.data_mut().ticks = 0);
        work.as_mut().poll(cx)
    })
    .await
}

async fn perform(
    store: &Accessor<Context>,
    exports: &Exports,
    call: &Call,
) -> wasmtime::Result<Result<Answer, Error>> {
    let provider = exports.edgepass_credentials_credential_provider();
    Ok(match call {
        Call::Token(request) => match request.clone().try_into() {
            Ok(request) => provider
                .call_get_token(store, request)
                .await?
                .map(|token| Answer::Token(token.into()))
                .map_err(Into::into),
            Err(e) => Err(e),
        },
        Call::Assertion { identity, audience } => provider
            .call_get_client_assertion(store, identity.clone(), audience.clone())
            .await?
            .map(|assertion| Answer::Assertion(assertion.into()))
            .map_err(Into::into),
        Call::Rejection {
            request,
            token_sha256,
            www_authenticate,
        } => match request.clone().try_into() {
            Ok(request) => {
                let rejection = types::Rejection {
                    token_sha256: token_sha256.clone(),
                    www_authenticate: www_authenticate.clone(),
                };
                provider
                    .call_report_rejection(store, request, rejection)
                    .await?
                    .map(|outcome| Answer::Rejection(outcome.into()))
                    .map_err(Into::into)
            }
            Err(e) => Err(e),
        },
        Call::Forget { identity } => Ok(Answer::Forgotten(
            provider.call_drop_cached(store, identity.clone()).await?,
        )),
        Call::Status => {
            let status = exports.edgepass_credentials_status();
            let identities = status.call_identities(store).await?;
            Ok(Answer::Status(
                identities.into_iter().map(Into::into).collect(),
            ))
        }
    })
}

fn lost(cause: &str) -> Error {
    transient(
        ErrorClass::Other,
        format!("the credential component ended twice while it worked on this call ({cause})"),
    )
}

fn not_started(error: &wasmtime::Error) -> String {
    format!("the credential component does not start: {}", cause(error))
}

/// The reason of a trap without the guest's frames.
fn cause(trap: &wasmtime::Error) -> String {
    match trap.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => "it ran without letting go and was stopped".to_owned(),
        Some(trap) => trap.to_string(),
        None => trap.root_cause().to_string(),
    }
}
