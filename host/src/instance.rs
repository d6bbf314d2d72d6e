//! The component's life: one instance in one store, driven by one task for as long as a handle lives. An instance that
//! traps or does not yield ends alone, and a fresh one takes its place.

mod perform;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edgepass_core::config::KeyVaultFile;
use edgepass_core::{
    AccessToken, AuthorizationOptions, AuthorizationRequest, ClientAssertion, CredentialTrial,
    Error, ErrorClass, GrantKind, IdentityStatus, RejectionOutcome, Secret, TokenRequest,
};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wasmtime::component::Accessor;
use wasmtime::{Engine, Store};

use self::perform::perform;
use self::waiting::{InFlight, Queue, Queues};
use crate::address_space;
use crate::bindings::{Provider as Exports, ProviderPre};
use crate::context::{Context, Host};
use crate::watchdog::Watchdog;
use crate::{limits, watchdog};

/// One call of the component's exports.
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
    Trials {
        identity: Option<String>,
    },
    Authorization {
        identity: Option<String>,
        options: AuthorizationOptions,
    },
    Forget {
        identity: Option<String>,
    },
    EndSession {
        identity: Option<String>,
        session_key: Secret,
    },
    Status,
}

impl Call {
    /// Whether it is made for a user. Those have a share of what is bounded, so that they keep no call of the application's
    /// own from the component.
    fn is_of_a_user(&self) -> bool {
        match self {
            Self::Token(request) | Self::Rejection { request, .. } => {
                request.grant.kind() != GrantKind::ClientCredentials
            }
            Self::Authorization { .. } | Self::EndSession { .. } => true,
            Self::Assertion { .. } | Self::Trials { .. } | Self::Forget { .. } | Self::Status => {
                false
            }
        }
    }

    /// The identity that it names.
    fn identity(&self) -> Option<&str> {
        match self {
            Self::Token(request) | Self::Rejection { request, .. } => request.identity.as_deref(),
            Self::Assertion { identity, .. }
            | Self::Trials { identity }
            | Self::Authorization { identity, .. }
            | Self::Forget { identity }
            | Self::EndSession { identity, .. } => identity.as_deref(),
            Self::Status => None,
        }
    }

    /// Whether it may be made once more where nobody knows how far it came: not what presents a code or a refresh token,
    /// which may have been sent, and is spent by that.
    fn is_repeatable(&self) -> bool {
        match self {
            Self::Token(request) => !request.grant.kind().is_single_use(),
            _ => true,
        }
    }
}

/// Its answer.
pub(crate) enum Answer {
    Token(AccessToken),
    Assertion(ClientAssertion),
    Trials(Vec<CredentialTrial>),
    Authorization(AuthorizationRequest),
    Rejection(RejectionOutcome),
    Forgotten(u32),
    /// Whether there was one.
    Ended(bool),
    Status(Vec<IdentityStatus>),
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failed {
    /// The component has said so.
    Component(Error),
    /// It was not asked, or has not answered.
    Host(Error),
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Component(error) | Failed::Host(error) => error,
        }
    }
}

/// A call, and the channel for its answer.
pub(crate) struct Job {
    call: Arc<Call>,
    /// Until when its caller waits.
    deadline: Instant,
    /// How many instances have ended while it was in flight.
    lost: u8,
    /// Nobody waits any more when it is gone.
    reply: Option<oneshot::Sender<Result<Answer, Failed>>>,
}

impl Job {
    fn fail(&mut self, error: Error) {
        self.answer(Err(Failed::Host(error)));
    }

    fn answer(&mut self, result: Result<Answer, Failed>) {
        if let Some(reply) = self.reply.take() {
            // fails when the caller was cancelled
            let _ = reply.send(result);
        }
    }
}

/// A handle: calls go through bounded channels to the task that owns the store.
#[derive(Clone)]
pub(crate) struct Instance {
    own: mpsc::Sender<Job>,
    users: mpsc::Sender<Job>,
    /// Those of the host itself, for which calls in the component may wait: they wait for no place in it.
    _host: mpsc::Sender<Job>,
    restarts: Arc<AtomicU64>,
}

/// The host's own calls. It is what the component's imports hold, so it does not keep the component alive.
pub(crate) struct OwnCalls(mpsc::WeakSender<Job>);

impl OwnCalls {
    /// A token of one of the host's own identities.
    pub(crate) async fn token(&self, request: TokenRequest) -> Result<Secret, Error> {
        let jobs = self.0.upgrade().ok_or_else(stopped)?;
        match answer(send(&jobs, Call::Token(request))?).await? {
            Answer::Token(token) => Ok(token.token),
            _ => Err(stopped()),
        }
    }
}

impl Instance {
    /// Starts the task. It ends when the last clone of the handle is gone.
    pub(crate) fn start(engine: Engine, component: ProviderPre<Context>, host: Host) -> Self {
        let (own, queue) = mpsc::channel(limits::CALLS_QUEUED);
        let (users, queue_of_users) = mpsc::channel(limits::USERS_CALLS_QUEUED);
        let (of_host, queue_of_host) = mpsc::channel(limits::OWN_CALLS_QUEUED);
        host.serve(OwnCalls(of_host.downgrade()));
        let restarts = Arc::new(AtomicU64::new(0));
        let supervisor = Supervisor {
            watchdog: Watchdog::new(&engine),
            engine,
            component,
            host,
            queues: Queues {
                host: queue_of_host,
                own: Queue::new(queue),
                users: Queue::new(queue_of_users),
            },
            in_flight: InFlight::default(),
            restarts: Arc::clone(&restarts),
        };
        tokio::spawn(supervisor.run());
        Self {
            own,
            users,
            _host: of_host,
            restarts,
        }
    }

    /// Queues a call. Fails at once when the queue is full, and for the identities that the host alone uses.
    pub(crate) fn call(
        &self,
        call: Call,
    ) -> Result<oneshot::Receiver<Result<Answer, Failed>>, Error> {
        if let Some(name) = call.identity().filter(|name| is_of_the_host(name)) {
            let message = format!("there is no identity `{name}`");
            return Err(Error::new(ErrorClass::InvalidRequest, message)
                .hint("name one of those in the configuration"));
        }
        let jobs = match call.is_of_a_user() {
            true => &self.users,
            false => &self.own,
        };
        send(jobs, call)
    }

    /// How many instances have ended by a trap.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

fn is_of_the_host(identity: &str) -> bool {
    identity.starts_with(KeyVaultFile::IDENTITY)
}

fn send(
    jobs: &mpsc::Sender<Job>,
    call: Call,
) -> Result<oneshot::Receiver<Result<Answer, Failed>>, Error> {
    let (reply, answer) = oneshot::channel();
    match jobs.try_send(Job {
        call: Arc::new(call),
        deadline: Instant::now() + limits::CALL_DEADLINE,
        lost: 0,
        reply: Some(reply),
    }) {
        Ok(()) => Ok(answer),
        Err(mpsc::error::TrySendError::Full(_)) => Err(busy(jobs.max_capacity())),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(stopped()),
    }
}

/// Waits for the answer of a call. The task that owns the instance gives one by the deadline of a call, whatever the
/// component does, or as soon after it as an instance that follows has started or failed to.
pub(crate) async fn answer(
    answer: oneshot::Receiver<Result<Answer, Failed>>,
) -> Result<Answer, Failed> {
    let answer = answer.await;
    answer.unwrap_or_else(|_| Err(Failed::Host(stopped())))
}

/// The caller's error when the task is gone: the runtime that it ran on was shut down.
pub(crate) fn stopped() -> Error {
    Error::new(
        ErrorClass::Other,
        "the provider has stopped: the tokio runtime that it was built on is gone",
    )
}

fn busy(bound: usize) -> Error {
    transient(
        ErrorClass::Busy,
        format!("{bound} calls already wait for the component"),
    )
}

fn no_answer() -> Error {
    transient(
        ErrorClass::Timeout,
        format!(
            "the credential component gave no answer in {} s",
            limits::CALL_DEADLINE.as_secs()
        ),
    )
}

fn transient(class: ErrorClass, message: String) -> Error {
    Error::new(class, message).retryable()
}

struct Supervisor {
    engine: Engine,
    component: ProviderPre<Context>,
    host: Host,
    queues: Queues,
    in_flight: InFlight,
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
            again = self.in_flight.take();
            again.retain_mut(|job| {
                job.lost += 1;
                // one that nobody waits for is not made again
                let is_repeatable = job.call.is_repeatable();
                let again =
                    is_repeatable && job.lost <= limits::CALL_RETRIES && job.reply.is_some();
                if !again {
                    job.fail(match is_repeatable {
                        true => lost(&cause),
                        false => spent(ErrorClass::Other, format!(
                            "the credential component ended while it presented a code or a refresh token, which may be spent ({cause})"
                        )),
                    });
                }
                again
            });
            let now = Instant::now();
            for job in again.iter_mut().filter(|job| job.deadline <= now) {
                job.fail(no_answer());
            }
            self.queues.expire(now);
            if started.elapsed() >= limits::INSTANCE_STABLE {
                backoff = limits::RESTART_BACKOFF;
                continue;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(limits::MAX_RESTART_BACKOFF);
        }
    }

    /// One instance, until the handles are gone or it traps.
    async fn live(&mut self, again: Vec<Job>) -> wasmtime::Result<()> {
        // before anything can fail: calls in `in_flight` are made again by the next instance
        let mut next_id = 0;
        for job in again {
            self.in_flight.insert(next_id, job);
            next_id += 1;
        }
        let mut store = Store::new(&self.engine, self.host.own_context());
        store.limiter(Context::limiter);
        watchdog::arm(&mut store);
        // watched like a call: what is instantiated runs code, too
        let start = self
            .watchdog
            .watch(self.component.instantiate_async(&mut store));
        let started = match tokio::time::timeout(limits::INSTANTIATION_DEADLINE, start).await {
            Ok(started) => started,
            Err(_) => Err(wasmtime::format_err!(
                "it was not there after {} s",
                limits::INSTANTIATION_DEADLINE.as_secs()
            )),
        };
        let exports = match started {
            Ok(exports) => exports,
            Err(e) => {
                // fail these at once: a component that does not start answers nothing
                while let Ok(mut job) = self.queues.host.try_recv() {
                    job.fail(transient(ErrorClass::Other, not_started(&e)));
                }
                for queue in self.queues.both() {
                    while let Some(mut job) = queue.next() {
                        job.fail(transient(ErrorClass::Other, not_started(&e)));
                    }
                }
                return Err(e);
            }
        };
        let in_flight = &self.in_flight;
        let queues = &mut self.queues;
        let drive = store
            .run_concurrent(async |store| drive(store, &exports, queues, in_flight, next_id).await);
        self.watchdog.watch(drive).await?
    }
}

/// Runs the calls of one instance.
async fn drive(
    store: &Accessor<Context>,
    exports: &Exports,
    queues: &mut Queues,
    in_flight: &InFlight,
    again: u64,
) -> wasmtime::Result<()> {
    let start = |id: u64| async move {
        let Some(call) = in_flight.call(id) else {
            return Ok(false);
        };
        // a trap leaves the call where it is, for the next instance
        let result = perform(store, exports, &call).await?;
        let result = store.with(|mut store| store.get().host().in_words(result));
        in_flight.complete(id, result);
        Ok::<_, wasmtime::Error>(call.is_of_a_user())
    };
    let work = async {
        let mut next = again;
        let mut calls: FuturesUnordered<_> = (0..again).map(start).collect();
        let mut of_users = in_flight.of_users();
        // one timer for all calls: one for each would wake the driver of timers at each
        let mut timer = std::pin::pin!(sleep_until(None));
        let mut timer_is_set = false;
        loop {
            if !timer_is_set && !calls.is_empty() {
                let of_queued = queues.next_deadline();
                let next = in_flight
                    .expire(Instant::now())
                    .into_iter()
                    .chain(of_queued);
                timer.set(sleep_until(next.min()));
                timer_is_set = true;
            }
            let has_room = calls.len() < limits::CALLS_IN_COMPONENT;
            let has_room_for_users = has_room && of_users < limits::USERS_CALLS_IN_COMPONENT;
            let Queues { host, own, users } = &mut *queues;
            let job = tokio::select! {
                biased;
                Some(done) = calls.next(), if !calls.is_empty() => {
                    of_users -= usize::from(done?);
                    continue;
                }
                Some(job) = host.recv() => Some(job),
                job = own.recv(), if has_room => job,
                job = users.recv(), if has_room_for_users => job,
                () = timer.as_mut(), if timer_is_set => {
                    timer_is_set = false;
                    queues.expire(Instant::now());
                    continue;
                }
            };
            let Some(job) = job else { return Ok(()) };
            of_users += usize::from(job.call.is_of_a_user());
            in_flight.insert(next, job);
            calls.push(start(next));
            next += 1;
        }
    };
    let mut work = std::pin::pin!(work);
    // not polled while a guest holds the store: being polled proves that the guest has yielded
    std::future::poll_fn(|cx| {
        store.with(|mut store| store.data_mut().ticks = 0);
        work.as_mut().poll(cx)
    })
    .await
}

async fn sleep_until(deadline: Option<Instant>) {
    // all that are there have been told, and a call that comes has a whole deadline before it
    let deadline = deadline.unwrap_or_else(|| Instant::now() + limits::CALL_DEADLINE);
    tokio::time::sleep_until(deadline).await;
}

fn lost(cause: &str) -> Error {
    transient(
        ErrorClass::Other,
        format!("the credential component ended twice while it worked on this call ({cause})"),
    )
}

/// Of a call that is not made once more: a code that was sent twice would be a stolen one to the server.
fn spent(class: ErrorClass, message: String) -> Error {
    Error::new(class, message).hint(
        "the server may have taken the code or refresh token already: start the sign-in again",
    )
}

fn not_started(error: &wasmtime::Error) -> String {
    format!("the credential component does not start: {}", cause(error))
}

/// The reason of a trap without the guest's frames.
fn cause(trap: &wasmtime::Error) -> String {
    match trap.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => "it ran without yielding and was stopped".to_owned(),
        Some(trap) => trap.to_string(),
        None => address_space::explains(trap).unwrap_or_else(|| trap.root_cause().to_string()),
    }
}

#[cfg(test)]
mod tests;
