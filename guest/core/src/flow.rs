//! What a flow can await: effects and the passing of time.
//!
//! A flow is an ordinary `async fn` that holds an [`Io`]. Nothing here is an executor: the engine polls a flow when
//! one of its effects is answered or one of its timers has come, and never otherwise.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::credential::Standings;
#[cfg(feature = "every-credential")]
use crate::credential::{Shelf, x5t_s256};
use crate::effect::{
    Algorithm, CertificateError, CertificateHandle, Effect, EffectId, HttpError, HttpErrorKind,
    HttpRequest, HttpResponse, Outcome, ReadError, Via,
};
#[cfg(feature = "every-credential")]
use crate::effect::{
    AssertionError, AssertionOptions, Issuance, PublicKey, StoreAnswer, StoreError, StoreRequest,
    SuppliedAssertion,
};
use crate::inspect::JwtSummary;
#[cfg(feature = "every-credential")]
use crate::keyed::Keyed;
use crate::keyed::{ById, Deadlines};
use crate::limits::HOST_CALL_TIMEOUT_MS;
#[cfg(feature = "every-credential")]
use crate::limits::{MAX_USER_EXCHANGES, TOKEN_STORE_TIMEOUT_MS};
#[cfg(feature = "every-credential")]
use crate::session::Sessions;
use crate::time::ServerClock;
#[cfg(feature = "every-credential")]
use crate::token_store::Standing;
use crate::{Now, Secret, SecretBytes, Table};

/// Names one running flow.
pub(crate) type TaskId = u64;

/// What flows share with the engine.
#[derive(Debug)]
struct Shared {
    now: Now,
    current: TaskId,
    last_id: u64,
    /// Effects that the driver has not fetched yet.
    queue: VecDeque<(EffectId, Effect)>,
    /// Effects that a flow awaits, and their outcomes until it picks them up.
    awaited: ById<Expected>,
    /// Which flow each timer has polled again, and when: on the monotonic clock.
    timers: ById<TaskId>,
    alarms: Deadlines,
    /// Exchanges of users' tokens that have their turn.
    #[cfg(feature = "every-credential")]
    user_exchanges: usize,
    /// Those that wait for it, in their order.
    #[cfg(feature = "every-credential")]
    queue_of_users: Keyed<TaskId, ()>,
    random: ChaCha8Rng,
    /// One server clock a host: two servers need not agree.
    clocks: Table<String, ServerClock>,
    /// The last good content of each token file and what it says, for the moment in which a new one is being written.
    last_good_files: Table<String, GoodFile>,
    standings: Standings,
    /// Assertions that are presented more than once, by what tells their credentials apart.
    #[cfg(feature = "every-credential")]
    shelves: Table<String, Shelf>,
    #[cfg(feature = "every-credential")]
    flight_timeout_ms: u64,
    #[cfg(feature = "every-credential")]
    token_store: Standing,
    #[cfg(feature = "every-credential")]
    sessions: Sessions,
}

/// An effect that a flow awaits.
#[derive(Debug)]
struct Expected {
    by: TaskId,
    outcome: Option<Outcome>,
}

/// A JWT that was read from a file, and what it says of itself.
pub(crate) type GoodFile = (Secret, Rc<JwtSummary>);

/// A flow's handle for effects, time and randomness.
#[derive(Clone, Debug)]
pub(crate) struct Io(Rc<RefCell<Shared>>);

/// The engine's side of it.
impl Io {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(Rc::new(RefCell::new(Shared {
            now: Now::default(),
            current: 0,
            last_id: 0,
            queue: VecDeque::new(),
            awaited: ById::default(),
            timers: ById::default(),
            alarms: Deadlines::default(),
            #[cfg(feature = "every-credential")]
            user_exchanges: 0,
            #[cfg(feature = "every-credential")]
            queue_of_users: Keyed::default(),
            random: ChaCha8Rng::from_seed(seed),
            clocks: Table::default(),
            last_good_files: Table::default(),
            standings: Standings::default(),
            #[cfg(feature = "every-credential")]
            shelves: Table::default(),
            #[cfg(feature = "every-credential")]
            flight_timeout_ms: crate::limits::FLIGHT_TIMEOUT_MS,
            #[cfg(feature = "every-credential")]
            token_store: Standing::default(),
            #[cfg(feature = "every-credential")]
            sessions: Sessions::new(&crate::secret::hex(&seed)),
        })))
    }

    pub(crate) fn set_now(&self, now: Now) {
        self.0.borrow_mut().now = now;
    }

    pub(crate) fn set_current(&self, task: TaskId) {
        self.0.borrow_mut().current = task;
    }

    pub(crate) fn next_effect(&self) -> Option<(EffectId, Effect)> {
        self.0.borrow_mut().queue.pop_front()
    }

    /// Takes an outcome in and says which flow to poll.
    pub(crate) fn deliver(&self, id: EffectId, outcome: Outcome) -> Option<TaskId> {
        let mut shared = self.0.borrow_mut();
        match shared.awaited.get_mut(&id.0) {
            Some(expected) if expected.outcome.is_none() => {
                expected.outcome = Some(outcome);
                Some(expected.by)
            }
            _ => {
                // nobody waits any more, but what was opened must be closed
                if let Outcome::Certificate(Ok(opened)) = outcome {
                    shared.push(Effect::CloseCertificate {
                        certificate: opened.handle,
                    });
                }
                None
            }
        }
    }

    /// The flows whose timers have come.
    pub(crate) fn due(&self) -> Vec<TaskId> {
        let mut shared = self.0.borrow_mut();
        let now = shared.now.mono_ms;
        let mut due = Vec::new();
        while let Some(timer) = shared.alarms.next_due(now) {
            due.extend(shared.timers.remove(&timer));
        }
        shared.silence_alarms();
        due
    }

    pub(crate) fn standings<R>(&self, with: impl FnOnce(&mut Standings) -> R) -> R {
        with(&mut self.0.borrow_mut().standings)
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.0.borrow().alarms.first().map(|(at, _)| at)
    }
}

/// The flow's side.
impl Io {
    pub(crate) fn now(&self) -> Now {
        self.0.borrow().now
    }

    /// A random number below `bound`; zero when `bound` is zero.
    pub(crate) fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.0.borrow_mut().random.next_u64() % bound
        }
    }

    /// A random (version 4) UUID.
    pub(crate) fn uuid(&self) -> String {
        let (high, low) = {
            let mut shared = self.0.borrow_mut();
            (shared.random.next_u64(), shared.random.next_u64())
        };
        let version = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
        let variant = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            version >> 32,
            (version >> 16) & 0xffff,
            version & 0xffff,
            variant >> 48,
            variant & 0xffff_ffff_ffff
        )
    }

    /// A number that is higher than all before: it puts what happens in order where clocks cannot.
    pub(crate) fn number(&self) -> u64 {
        self.0.borrow_mut().next_id()
    }

    pub(crate) fn server_clock(&self, host: &str) -> ServerClock {
        self.0
            .borrow()
            .clocks
            .get(host)
            .copied()
            .unwrap_or_default()
    }

    /// Changes what is known of that server's clock.
    pub(crate) fn edit_server_clock(&self, host: &str, edit: impl FnOnce(&mut ServerClock, Now)) {
        let mut shared = self.0.borrow_mut();
        let now = shared.now;
        let mut clock = shared.clocks.get(host).copied().unwrap_or_default();
        edit(&mut clock, now);
        shared.clocks.insert(host.to_owned(), clock);
    }

    pub(crate) fn last_good_file(&self, path: &str) -> Option<GoodFile> {
        self.0.borrow().last_good_files.get(path).cloned()
    }

    pub(crate) fn keep_good_file(&self, path: &str, content: &GoodFile) {
        self.0
            .borrow_mut()
            .last_good_files
            .insert(path.to_owned(), content.clone());
    }

    pub(crate) async fn sleep_ms(&self, ms: u64) {
        let until = self.now().mono_ms.saturating_add(ms);
        let timer = Timer {
            io: self.clone(),
            until,
            set: Cell::new(None),
        };
        poll_fn(|_| timer.poll()).await;
    }

    pub(crate) async fn http(
        &self,
        request: HttpRequest,
        via: Via,
    ) -> Result<HttpResponse, HttpError> {
        // the driver keeps the time; this second watch is for drivers that cannot
        let guard = request.timeout_ms.saturating_add(1_000);
        match self.within(guard, Effect::Http { request, via }).await {
            Some(Outcome::Http(result)) => result,
            Some(_) => Err(HttpError {
                kind: HttpErrorKind::Other,
                detail: MISMATCH.into(),
            }),
            None => Err(HttpError {
                kind: HttpErrorKind::Timeout,
                detail: "no answer in time".into(),
            }),
        }
    }

    pub(crate) async fn read_file(&self, path: &str) -> Result<SecretBytes, ReadError> {
        match self
            .within(
                HOST_CALL_TIMEOUT_MS,
                Effect::ReadFile {
                    path: path.to_owned(),
                },
            )
            .await
        {
            Some(Outcome::File(result)) => result,
            Some(_) => Err(ReadError::Other(MISMATCH.into())),
            None => Err(ReadError::Other("the host did not read it in time".into())),
        }
    }

    pub(crate) async fn open_certificate(
        &self,
        name: &str,
    ) -> Result<OpenCertificate, CertificateError> {
        match self
            .within(
                HOST_CALL_TIMEOUT_MS,
                Effect::OpenCertificate {
                    name: name.to_owned(),
                },
            )
            .await
        {
            Some(Outcome::Certificate(Ok(opened))) => Ok(OpenCertificate {
                io: self.clone(),
                handle: opened.handle,
                chain: opened.certificate_chain,
                #[cfg(feature = "every-credential")]
                issuance: opened.issuance,
            }),
            Some(Outcome::Certificate(Err(error))) => Err(error),
            Some(_) => Err(CertificateError::Other(MISMATCH.into())),
            None => Err(CertificateError::Other(
                "the host did not open it in time".into(),
            )),
        }
    }

    #[cfg(feature = "every-credential")]
    pub(crate) async fn assertion(
        &self,
        options: AssertionOptions,
    ) -> Result<SuppliedAssertion, AssertionError> {
        match self
            .within(HOST_CALL_TIMEOUT_MS, Effect::Assert { options })
            .await
        {
            Some(Outcome::Assertion(result)) => result,
            Some(_) => Err(AssertionError::Other(MISMATCH.into())),
            None => Err(AssertionError::Temporary("no answer in time".into())),
        }
    }

    /// Whether that is the key's signature; in words why nobody can tell.
    #[cfg(feature = "every-credential")]
    pub(crate) async fn verify(
        &self,
        algorithm: Algorithm,
        key: PublicKey,
        input: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<bool, String> {
        let effect = Effect::Verify {
            algorithm,
            key,
            input,
            signature,
        };
        match self.within(HOST_CALL_TIMEOUT_MS, effect).await {
            Some(Outcome::Verified(result)) => result,
            Some(_) => Err(MISMATCH.into()),
            None => Err("the host did not verify it in time".into()),
        }
    }

    async fn within(&self, ms: u64, effect: Effect) -> Option<Outcome> {
        race(self.effect(effect), self.sleep_ms(ms)).await.ok()
    }

    fn effect(&self, effect: Effect) -> Awaited {
        let mut shared = self.0.borrow_mut();
        let id = shared.push(effect);
        let by = shared.current;
        let outcome = None;
        shared.awaited.insert(id.0, Expected { by, outcome });
        Awaited {
            io: self.clone(),
            id,
        }
    }
}

/// What flows of one credential share.
#[cfg(feature = "every-credential")]
impl Io {
    /// What nobody can guess.
    pub(crate) fn random_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.borrow_mut().random.fill_bytes(&mut bytes);
        bytes
    }

    /// How long an acquisition may take.
    pub(crate) fn flight_timeout_ms(&self) -> u64 {
        self.0.borrow().flight_timeout_ms
    }

    pub(crate) fn set_flight_timeout_ms(&self, ms: u64) {
        self.0.borrow_mut().flight_timeout_ms = ms.min(crate::limits::FLIGHT_TIMEOUT_MS);
    }

    pub(crate) fn token_store<R>(&self, with: impl FnOnce(&mut Standing) -> R) -> R {
        with(&mut self.0.borrow_mut().token_store)
    }

    pub(crate) fn sessions<R>(&self, with: impl FnOnce(&mut Sessions) -> R) -> R {
        with(&mut self.0.borrow_mut().sessions)
    }

    /// Asks the token store.
    pub(crate) async fn ask_store(&self, request: StoreRequest) -> Result<StoreAnswer, StoreError> {
        match self
            .within(TOKEN_STORE_TIMEOUT_MS, Effect::Store { request })
            .await
        {
            Some(Outcome::Store(result)) => result,
            Some(_) => Err(StoreError::Unavailable(MISMATCH.into())),
            None => Err(StoreError::Unavailable("no answer in time".into())),
        }
    }

    /// Tells the token store something without waiting for what comes of it.
    pub(crate) fn tell_store(&self, request: StoreRequest) {
        self.0.borrow_mut().push(Effect::Store { request });
    }

    /// Looks at what is kept under that key, and changes it.
    pub(crate) fn shelf<T>(&self, key: &str, look: impl FnOnce(&mut Shelf) -> T) -> T {
        let mut shared = self.0.borrow_mut();
        if let Some(shelf) = shared.shelves.get_mut(key) {
            return look(shelf);
        }
        let mut shelf = Shelf::default();
        let seen = look(&mut shelf);
        shared.shelves.insert(key.to_owned(), shelf);
        seen
    }

    /// What is kept under that key, if anything is.
    pub(crate) fn kept_text(&self, key: &str) -> Option<Secret> {
        self.0.borrow().shelves.get(key)?.text()
    }

    #[cfg(test)]
    pub(crate) fn has_shelf(&self, key: &str) -> bool {
        self.0.borrow().shelves.contains_key(key)
    }

    /// Makes room for one more under a key that begins so: of `most` the one that is the first to be renewed goes, unless it
    /// is being asked for.
    pub(crate) fn bound_shelves(&self, prefix: &str, key: &str, most: usize) {
        let mut shared = self.0.borrow_mut();
        if shared.shelves.contains_key(key) {
            return;
        }
        let kept = shared.shelves.iter();
        let kept = kept.filter(|(known, _)| known.starts_with(prefix));
        if kept.clone().count() < most {
            return;
        }
        let idle = kept.filter(|(_, shelf)| !shelf.is_being_asked());
        let first = idle.min_by_key(|(_, shelf)| shelf.renewal_mono_ms());
        if let Some(first) = first.map(|(known, _)| known.clone()) {
            shared.shelves.remove(&first);
        }
    }

    /// Forgets an assertion that was refused: the next is asked for anew.
    pub(crate) fn forget_assertion(&self, token: &Secret) {
        let mut shared = self.0.borrow_mut();
        for shelf in shared.shelves.values_mut() {
            shelf.forget(token);
        }
    }

    /// Forgets the assertions of one identity, or all that is kept.
    pub(crate) fn forget_assertions(&self, identity: Option<&str>) {
        let mut shared = self.0.borrow_mut();
        for shelf in shared.shelves.values_mut() {
            shelf.forget_of(identity);
        }
    }
}

/// What flows of one credential and of all users share.
#[cfg(feature = "every-credential")]
impl Io {
    /// The flow that is being polled.
    pub(crate) fn current(&self) -> TaskId {
        self.0.borrow().current
    }

    /// Has these flows polled as soon as the driver looks.
    pub(crate) fn poll_again(&self, tasks: Vec<TaskId>) {
        let mut shared = self.0.borrow_mut();
        let now = shared.now.mono_ms;
        for task in tasks {
            shared.set_timer(now, task);
        }
    }

    /// The turn of a flow that gets a token of a user. It ends when that is dropped.
    pub(crate) async fn users_turn(&self) -> UsersTurn {
        let mut turn = UsersTurn {
            io: self.clone(),
            task: None,
        };
        poll_fn(|_| {
            let mut shared = self.0.borrow_mut();
            let Some(task) = turn.task else {
                let task = shared.current;
                turn.task = Some(task);
                // nobody waits while there is room
                if shared.user_exchanges < MAX_USER_EXCHANGES {
                    shared.user_exchanges += 1;
                    return Poll::Ready(());
                }
                shared.queue_of_users.insert(task, ());
                return Poll::Pending;
            };
            match shared.queue_of_users.contains_key(&task) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
        turn
    }
}

/// One of [`MAX_USER_EXCHANGES`], or a place in the queue for it.
#[cfg(feature = "every-credential")]
#[derive(Debug)]
pub(crate) struct UsersTurn {
    io: Io,
    /// Who has asked for it.
    task: Option<TaskId>,
}

#[cfg(feature = "every-credential")]
impl Drop for UsersTurn {
    fn drop(&mut self) {
        let Some(task) = self.task else {
            return;
        };
        let next = {
            let mut shared = self.io.0.borrow_mut();
            if shared.queue_of_users.remove(&task).is_some() {
                return;
            }
            // it goes to the next one, who need not ask for it again
            let next = shared.queue_of_users.pop_oldest();
            if next.is_none() {
                shared.user_exchanges -= 1;
            }
            next
        };
        self.io
            .poll_again(next.into_iter().map(|(task, ())| task).collect());
    }
}

const MISMATCH: &str = "the driver answered with another kind of outcome";

impl Shared {
    fn push(&mut self, effect: Effect) -> EffectId {
        let id = EffectId(self.next_id());
        self.queue.push_back((id, effect));
        id
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn set_timer(&mut self, mono_ms: u64, task: TaskId) -> u64 {
        let timer = self.next_id();
        self.timers.insert(timer, task);
        self.alarms.add(mono_ms, timer);
        timer
    }

    /// Takes the alarms of timers that are gone off the front, so that the driver is not woken for nothing, and off the
    /// rest when they are the most of it.
    fn silence_alarms(&mut self) {
        let timers = &self.timers;
        if self.alarms.is_stale(timers.len()) {
            self.alarms.retain(|_, timer| timers.contains_key(&timer));
        }
        while let Some((_, timer)) = self.alarms.first()
            && !timers.contains_key(&timer)
        {
            self.alarms.pop();
        }
    }
}

/// A certificate in use by one attempt; closed when dropped.
#[derive(Debug)]
pub(crate) struct OpenCertificate {
    io: Io,
    pub(crate) handle: CertificateHandle,
    pub(crate) chain: Vec<Vec<u8>>,
    #[cfg(feature = "every-credential")]
    pub(crate) issuance: Option<Issuance>,
}

impl OpenCertificate {
    /// base64url SHA-256 of the certificate (RFC 7515 section 4.1.8); that of nothing if there is a key alone.
    #[cfg(feature = "every-credential")]
    pub(crate) fn thumbprint(&self) -> String {
        x5t_s256(self.chain.first().map_or(&[], Vec::as_slice))
    }

    pub(crate) async fn sign(
        &self,
        algorithm: Algorithm,
        input: Vec<u8>,
    ) -> Result<Vec<u8>, CertificateError> {
        let effect = Effect::Sign {
            certificate: self.handle,
            algorithm,
            input,
        };
        match self.io.within(HOST_CALL_TIMEOUT_MS, effect).await {
            Some(Outcome::Signature(result)) => result,
            Some(_) => Err(CertificateError::Other(MISMATCH.into())),
            None => Err(CertificateError::Other(
                "the host did not sign in time".into(),
            )),
        }
    }
}

impl Drop for OpenCertificate {
    fn drop(&mut self) {
        self.io.0.borrow_mut().push(Effect::CloseCertificate {
            certificate: self.handle,
        });
    }
}

/// An effect that has been asked for.
struct Awaited {
    io: Io,
    id: EffectId,
}

impl Future for Awaited {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome> {
        let mut shared = self.io.0.borrow_mut();
        let expected = shared.awaited.get_mut(&self.id.0);
        let Some(outcome) = expected.and_then(|expected| expected.outcome.take()) else {
            return Poll::Pending;
        };
        shared.awaited.remove(&self.id.0);
        Poll::Ready(outcome)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut shared = self.io.0.borrow_mut();
        match shared.awaited.remove(&self.id.0) {
            Some(Expected { outcome: None, .. }) => {}
            Some(Expected {
                outcome: Some(Outcome::Certificate(Ok(opened))),
                ..
            }) => {
                shared.push(Effect::CloseCertificate {
                    certificate: opened.handle,
                });
                return;
            }
            // it has come
            _ => return,
        }
        let queued = shared.queue.len();
        shared.queue.retain(|(id, _)| *id != self.id);
        if shared.queue.len() == queued {
            shared.push(Effect::Cancel { effect: self.id });
        }
    }
}

struct Timer {
    io: Io,
    until: u64,
    set: Cell<Option<u64>>,
}

impl Timer {
    fn poll(&self) -> Poll<()> {
        let mut shared = self.io.0.borrow_mut();
        if shared.now.mono_ms >= self.until {
            return Poll::Ready(());
        }
        // a fired timer of a flow that was polled for another reason is set again
        let is_set = |timer| shared.timers.contains_key(&timer);
        if !self.set.get().is_some_and(is_set) {
            let task = shared.current;
            self.set.set(Some(shared.set_timer(self.until, task)));
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(timer) = self.set.get() {
            let mut shared = self.io.0.borrow_mut();
            shared.timers.remove(&timer);
            shared.silence_alarms();
        }
    }
}

/// The first future's output, or `Err` if the second is ready before it.
pub(crate) async fn race<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = ()>,
) -> Result<T, ()> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => second.as_mut().poll(cx).map(Err),
    })
    .await
}
