//! Moves data between callers, the engine and the tasks that perform its effects.
//!
//! There is one engine in the instance, and its state is borrowed only between two awaits. A task that performs an
//! effect belongs to the call that happened to start it, and goes on when that call has returned or was cancelled: so
//! an exchange that several callers share survives any of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;

use edgepass_core::recognise::explain_component;
use edgepass_core::{
    AccessToken, AuthorizationOptions, AuthorizationRequest, ClientAssertion, Completed, Config,
    ConfigError, CredentialTrial, Effect, EffectId, Engine, Environment, Error, ErrorClass,
    IdentityStatus, Now, RejectionOutcome, Reply, Secret, Ticket, TokenRequest,
};
use futures::channel::oneshot;
use futures::future::select;

use crate::effects::{self, Certificates, Limit};
use crate::imports::{self, now};
use crate::start;
use crate::tasks::{Task, pause, spawn};

/// A token, from the cache or from an exchange.
pub(crate) async fn token(request: TokenRequest) -> Result<AccessToken, Error> {
    let now = now();
    let reply = with(|driver| driver.engine.request(now, &request));
    match reply {
        Ok(Reply::Pending(ticket)) => match Call::start(ticket, now)?.outcome().await? {
            Completed::Token(result) => result,
            _ => Err(internal(MISMATCH)),
        },
        Ok(Reply::Ready(result)) => {
            pump(now);
            pause().await;
            result
        }
        Err(error) => {
            pause().await;
            Err(error)
        }
    }
}

/// A client assertion by itself.
pub(crate) async fn assertion(
    identity: Option<&str>,
    audience: Option<&str>,
) -> Result<ClientAssertion, Error> {
    let now = now();
    let ticket = with(|driver| {
        driver.may_have_assertions.clone()?;
        driver.engine.request_assertion(now, identity, audience)
    });
    match ticket.flatten() {
        Ok(ticket) => match Call::start(ticket, now)?.outcome().await? {
            Completed::Assertion(result) => result,
            _ => Err(internal(MISMATCH)),
        },
        Err(error) => {
            pause().await;
            Err(error)
        }
    }
}

/// Where a user signs in.
pub(crate) async fn authorization_request(
    identity: Option<&str>,
    options: AuthorizationOptions,
) -> Result<AuthorizationRequest, Error> {
    let now = now();
    let ticket = with(|driver| driver.engine.request_authorization(now, identity, options));
    match ticket.flatten() {
        Ok(ticket) => match Call::start(ticket, now)?.outcome().await? {
            Completed::Authorization(result) => result,
            _ => Err(internal(MISMATCH)),
        },
        Err(error) => {
            pause().await;
            Err(error)
        }
    }
}

/// Loads each credential of an identity, without an exchange.
pub(crate) async fn try_credentials(identity: Option<&str>) -> Result<Vec<CredentialTrial>, Error> {
    let now = now();
    let ticket = with(|driver| driver.engine.try_credentials(now, identity));
    match ticket.flatten() {
        Ok(ticket) => match Call::start(ticket, now)?.outcome().await? {
            Completed::Trials(trials) => Ok(trials),
            _ => Err(internal(MISMATCH)),
        },
        Err(error) => {
            pause().await;
            Err(error)
        }
    }
}

/// The cached token, if it may be served. A host that calls alone asks before it asks for a token, and is to do that
/// where there is more to be done than to serve what is cached.
pub(crate) fn cached(request: &TokenRequest) -> Option<AccessToken> {
    let alone = with(|driver| driver.host_alone);
    if alone.unwrap_or(false) {
        return fresh(now(), request);
    }
    let token = with(|driver| driver.engine.cached(now(), request));
    settle();
    token.ok().flatten()
}

/// The cached token, where [`token`] would answer with it and begin nothing.
pub(crate) fn fresh(now: Now, request: &TokenRequest) -> Option<AccessToken> {
    let token = with(|driver| driver.engine.fresh(now, request));
    settle();
    token.ok().flatten()
}

/// A resource refused a token.
pub(crate) fn report_rejection(
    request: &TokenRequest,
    token_sha256: &str,
    www_authenticate: Option<&str>,
) -> Result<RejectionOutcome, Error> {
    let outcome = with(|driver| {
        driver
            .engine
            .report_rejection(now(), request, token_sha256, www_authenticate)
    })?;
    settle();
    outcome
}

/// Forgets cached tokens.
pub(crate) fn drop_cached(identity: Option<&str>) -> usize {
    let dropped = with(|driver| driver.engine.drop_cached(now(), identity)).unwrap_or(0);
    settle();
    dropped
}

/// Ends a session.
pub(crate) fn end_session(identity: Option<&str>, session_key: &Secret) -> bool {
    with(|driver| driver.engine.end_session(identity, session_key)).unwrap_or(false)
}

/// What was done, and which tokens are cached.
pub(crate) fn status() -> Vec<IdentityStatus> {
    // a configuration error answers every other call, and has no identities
    with(|driver| driver.engine.status(now())).unwrap_or_default()
}

/// Something that people should know, each once.
pub(crate) fn next_notice() -> Option<String> {
    with(|driver| driver.engine.next_notice()).ok().flatten()
}

/// A caller that waits. Dropping it, as a cancelled call does, tells the engine.
struct Call {
    ticket: Ticket,
    answer: Option<oneshot::Receiver<Completed>>,
}

impl Call {
    fn start(ticket: Ticket, now: Now) -> Result<Self, Error> {
        let (sender, answer) = oneshot::channel();
        with(|driver| driver.waiting.insert(ticket, sender))?;
        let call = Self {
            ticket,
            answer: Some(answer),
        };
        pump(now);
        Ok(call)
    }

    async fn outcome(mut self) -> Result<Completed, Error> {
        let Some(answer) = self.answer.as_mut() else {
            return Err(internal("a call was waited for twice"));
        };
        let outcome = answer.await;
        // taken only now: until there is an answer, dropping `self` must cancel
        self.answer = None;
        outcome.map_err(|_| internal("the engine dropped a call without an answer"))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.answer.is_some() {
            let ticket = self.ticket;
            _ = with(|driver| {
                driver.waiting.remove(&ticket);
                driver.engine.cancel(ticket);
            });
            settle();
        }
    }
}

/// The engine, and who waits for what.
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    /// No component calls, only the host.
    host_alone: bool,
    /// Whether callers get client assertions, or why not.
    may_have_assertions: Result<(), Error>,
    /// Callers, by the ticket of their question.
    waiting: BTreeMap<Ticket, oneshot::Sender<Completed>>,
    /// Effects that nobody performs yet: they came up where no task can be started.
    backlog: VecDeque<(EffectId, Effect)>,
    /// Effects that a task performs.
    pub(crate) running: BTreeMap<EffectId, Running>,
    certificates: Certificates,
    timer: Timer,
}

/// An effect under way.
pub(crate) struct Running {
    task: Task,
    pub(crate) until_mono_ms: u64,
    pub(crate) limit: Limit,
}

/// The one task that waits for the next deadline, of the engine or of an effect.
enum Timer {
    /// There is none.
    Off,
    /// It is about to look at the deadline.
    Awake,
    /// It sleeps until then, or until it is poked.
    Asleep {
        mono_ms: u64,
        poke: oneshot::Sender<()>,
    },
}

thread_local! {
    /// Made at the first call. A configuration error is kept and answers every call.
    static DRIVER: RefCell<Result<Driver, Error>> = RefCell::new(Driver::new());
}

/// Lends the driver out, between two awaits.
pub(crate) fn with<R>(work: impl FnOnce(&mut Driver) -> R) -> Result<R, Error> {
    DRIVER.with_borrow_mut(|driver| match driver {
        Ok(driver) => Ok(work(driver)),
        Err(error) => Err(error.clone()),
    })
}

/// The configuration that the host has given.
fn configuration(environment: &Environment) -> Result<Config, ConfigError> {
    let json = environment.get(Environment::EDGEPASS_CONFIG_JSON);
    if json.is_none() && environment.get(Environment::EDGEPASS_CONFIG).is_some() {
        return Err(ConfigError::new(
            Environment::EDGEPASS_CONFIG,
            "is the path of a configuration, and a component has no files",
        )
        .hint("give the component the configuration itself, JSON, in EDGEPASS_CONFIG_JSON"));
    }
    Config::load(json, environment).map_err(|error| explain_component(error, json))
}

impl Driver {
    fn new() -> Result<Self, Error> {
        let environment = start::environment();
        let config = configuration(&environment)?;
        // a component that is composed with this one calls the same function as the host, and nothing tells who calls
        let host_alone = environment.get(Environment::EDGEPASS_CALLER) == Some("host");
        let may_have_assertions = if host_alone {
            Ok(())
        } else {
            config.consumers.check_client_assertion()
        };
        let mut engine = Engine::new(config, start::seed());
        let timeout_ms = environment.get(Environment::EDGEPASS_TOKEN_TIMEOUT_MS);
        if let Some(timeout_ms) = timeout_ms.and_then(|ms| ms.parse().ok()) {
            engine.limit_acquisitions(timeout_ms);
        }
        engine.use_token_store();
        Ok(Self {
            engine,
            host_alone,
            may_have_assertions,
            waiting: BTreeMap::new(),
            backlog: VecDeque::new(),
            running: BTreeMap::new(),
            certificates: Certificates::default(),
            timer: Timer::Off,
        })
    }

    /// Hands out what the engine has finished and takes what it wants done.
    fn turn(&mut self) {
        while let Some((ticket, completed)) = self.engine.next_completed() {
            if let Some(caller) = self.waiting.remove(&ticket) {
                // a caller that is gone needs no answer
                _ = caller.send(completed);
            }
        }
        while let Some((id, effect)) = self.engine.next_effect() {
            match effect {
                Effect::Cancel { effect } => self.stop(effect),
                Effect::CloseCertificate { certificate } => self.certificates.close(certificate),
                effect => self.backlog.push_back((id, effect)),
            }
        }
    }

    fn stop(&mut self, id: EffectId) {
        self.backlog.retain(|(waiting, _)| *waiting != id);
        if let Some(mut running) = self.running.remove(&id) {
            running.task.cancel();
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let effects = self.running.values().map(|running| running.until_mono_ms);
        effects.chain(self.engine.next_deadline()).min()
    }

    /// Ends the effects that take too long.
    pub(crate) fn end_late(&mut self, now: Now) {
        let late = |running: &Running| running.until_mono_ms <= now.mono_ms;
        while let Some(id) =
            (self.running.iter()).find_map(|(id, running)| late(running).then_some(*id))
            && let Some(mut running) = self.running.remove(&id)
        {
            running.task.cancel();
            self.engine.complete(id, running.limit.outcome(), now);
        }
    }

    /// Whether the sleeping timer would come too late, or for nothing. The latter costs less than to stop it, but a
    /// component that calls would have a call for as long that has not quite ended.
    fn timer_is_wrong(&self) -> bool {
        match (&self.timer, self.next_deadline()) {
            (Timer::Asleep { mono_ms, .. }, Some(deadline)) => deadline < *mono_ms,
            (Timer::Asleep { .. }, None) => !self.host_alone,
            (Timer::Off | Timer::Awake, _) => false,
        }
    }

    fn poke_timer(&mut self) {
        match std::mem::replace(&mut self.timer, Timer::Awake) {
            Timer::Asleep { poke, .. } => {
                // the receiver is gone only if the deadline has come at this moment
                _ = poke.send(());
            }
            other => self.timer = other,
        }
    }
}

/// Does all that can be done now. Only where tasks can be started: in an asynchronous call or in a task.
pub(crate) fn pump(now: Now) {
    let start_timer = with(|driver| {
        driver.turn();
        while let Some((id, effect)) = driver.backlog.pop_front() {
            let Some(limit) = Limit::of(&effect) else {
                continue;
            };
            let certificates = driver.certificates.clone();
            let running = Running {
                task: spawn(run(id, effect, certificates)),
                until_mono_ms: now.mono_ms.saturating_add(limit.ms()),
                limit,
            };
            driver.running.insert(id, running);
        }
        if driver.timer_is_wrong() {
            driver.poke_timer();
        }
        let start = matches!(driver.timer, Timer::Off) && driver.next_deadline().is_some();
        if start {
            driver.timer = Timer::Awake;
        }
        start
    });
    if start_timer.unwrap_or(false) {
        spawn(keep_time());
    }
}

/// Does what can be done without starting a task, and leaves the rest to the next task that runs. A plain `func` must
/// not start one, since it has no task of its own that could hold it.
fn settle() {
    _ = with(|driver| {
        driver.turn();
        if !driver.backlog.is_empty() || driver.timer_is_wrong() {
            driver.poke_timer();
        }
    });
}

async fn run(id: EffectId, effect: Effect, certificates: Certificates) {
    let outcome = effects::perform(effect, &certificates).await;
    let now = now();
    _ = with(|driver| {
        driver.running.remove(&id);
        if let Some(outcome) = outcome {
            driver.engine.complete(id, outcome, now);
        }
    });
    pump(now);
}

async fn keep_time() {
    loop {
        let armed = with(|driver| {
            let Some(mono_ms) = driver.next_deadline() else {
                driver.timer = Timer::Off;
                return None;
            };
            let (poke, poked) = oneshot::channel();
            driver.timer = Timer::Asleep { mono_ms, poke };
            Some((mono_ms, poked))
        });
        let Ok(Some((mono_ms, poked))) = armed else {
            return;
        };
        select(pin!(imports::sleep_until(mono_ms)), poked).await;
        let now = now();
        _ = with(|driver| {
            driver.timer = Timer::Awake;
            driver.end_late(now);
            driver.engine.wake(now);
        });
        pump(now);
    }
}

/// What the two questions have in common if an answer does not fit.
const MISMATCH: &str = "the engine answered another question than the one it was asked";

pub(crate) fn internal(what: &str) -> Error {
    Error::new(
        ErrorClass::Other,
        format!("internal error: {what}; please report it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_configuration_is_refused_and_a_document_is_read() {
        const GOOD: &str = r#"{"identities": {"vm": {"credential": {"managed_identity": {}}}}}"#;
        let load =
            |pairs: &[(&str, &str)]| configuration(&Environment::from_pairs(pairs.iter().copied()));
        for pairs in [
            &[("EDGEPASS_CONFIG_JSON", GOOD)][..],
            &[
                ("EDGEPASS_CONFIG_JSON", GOOD),
                ("EDGEPASS_CONFIG", "/etc/edgepass.json"),
            ],
            &[("EDGEPASS_CONFIG_JSON", GOOD), ("EDGEPASS_CONFIG", " ")],
        ] {
            assert_eq!(load(pairs).unwrap().default_identity.as_deref(), Some("vm"));
        }
        for path in ["/etc/edgepass.json", GOOD] {
            let error = load(&[("EDGEPASS_CONFIG", path)]).unwrap_err();
            assert_eq!(error.setting, "EDGEPASS_CONFIG");
            assert!(
                error.to_string().contains("EDGEPASS_CONFIG_JSON"),
                "{error}"
            );
        }
        // what is no document is told from one
        let error = load(&[("EDGEPASS_CONFIG_JSON", "/etc/edgepass.json")]).unwrap_err();
        assert_eq!(error.setting, "EDGEPASS_CONFIG_JSON");
        assert!(error.to_string().contains("is a path"), "{error}");
        // without anything it is the machine's managed identity
        load(&[]).unwrap();
        let error = load(&[("AZURE_TENANT_ID", "contoso.example")]).unwrap_err();
        assert_eq!(error.setting, "AZURE_CLIENT_ID");
    }
}
