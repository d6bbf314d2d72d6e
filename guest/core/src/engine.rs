//! The engine: requests in, effects out, outcomes in, answers out.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::acquire::{Plan, acquire, assertion_alone};
use crate::cache::{Acquired, Cache, CacheKey, Freshness};
use crate::effect::{Effect, EffectId, Outcome};
use crate::flow::{Io, TaskId};
use crate::grant::GrantKey;
use crate::limits::{MAX_FLIGHTS, MAX_RESOLVED, MAX_WAITING, NEGATIVE_CACHE_MS};
use crate::retry::{self, RetryClass, retry_class};
use crate::status::Activity;
use crate::{
    AccessToken, ClientAssertion, Config, Error, ErrorClass, Grant, IdentityStatus, Now, Refresh,
    RejectionOutcome, Table, TokenRequest, TokenSource, TokenType, challenge, config,
};

/// Names one caller's wait.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(u64);

/// The immediate answer to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The answer itself.
    Ready(Result<AccessToken, Error>),
    /// It will come as a [`Completed`] of this ticket.
    Pending(Ticket),
}

/// The answer to a ticket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Completed {
    /// Of [`Engine::request`].
    Token(Result<AccessToken, Error>),
    /// Of [`Engine::request_assertion`].
    Assertion(Result<ClientAssertion, Error>),
}

/// The engine. See the crate's documentation for the way it is driven.
///
/// After every call that takes a [`Now`], the driver fetches effects until there are none, and completed tickets
/// likewise; it calls [`Engine::wake`] when [`Engine::next_deadline`] has come.
pub struct Engine {
    config: Config,
    io: Io,
    cache: Cache,
    /// Which state of its rotating credential an identity was last seen with.
    generations: Table<String, String>,
    /// Requests that were resolved before: a proxy asks the same few questions all day.
    resolved: Vec<Rc<Resolved>>,
    /// Keys that are not to be asked about again for a while.
    negative_cache: Table<CacheKey, Hold>,
    activity: Activity,
    flights: Table<FlightKey, Flight>,
    tasks: Table<TaskId, Task>,
    completed: VecDeque<(Ticket, Completed)>,
    waiting: usize,
    last_id: u64,
}

/// Requests with the same challenge share a flight; those with another have their own.
type FlightKey = (CacheKey, Option<String>);

/// A request and what it comes to under the configuration.
#[derive(Debug)]
struct Resolved {
    identity: Option<String>,
    scopes: Vec<String>,
    tenant: Option<String>,
    token_type: TokenType,
    grant: GrantKey,
    plan: Plan,
    key: CacheKey,
}

/// One exchange under way, and who waits for it.
#[derive(Debug, Default)]
struct Flight {
    waiters: Vec<Waiter>,
    /// While the cached token lives on, its callers wait only half of what is left of it.
    patience: Patience,
}

/// How long callers that could have the cached token still wait for a newer one.
#[derive(Debug, Default)]
enum Patience {
    /// There is no such caller.
    #[default]
    Unasked,
    /// Until this task ends.
    Until(TaskId),
    /// It has ended; they get the cached token at once.
    Over,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    /// A failure may be answered with the cached token, which is about to expire but has not yet.
    fallback: bool,
}

/// Why a key is not asked about.
#[derive(Debug)]
struct Hold {
    /// On the monotonic clock: a wall clock that is set forward must not cut a wait short that the server asked for.
    until_mono_ms: u64,
    error: Error,
    /// The server asked for it; otherwise a forced request may try all the same.
    by_server: bool,
}

struct Task {
    future: Pin<Box<dyn Future<Output = Ended>>>,
    purpose: Purpose,
}

#[derive(Clone)]
enum Purpose {
    Flight(FlightKey),
    Assertion(Ticket),
    Patience(FlightKey),
}

enum Ended {
    Token(Result<Acquired, Error>),
    Assertion(Result<ClientAssertion, Error>),
    Patience,
}

impl Engine {
    /// An engine for that configuration. `seed` must be unpredictable; it feeds `jti` and jitter.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            activity: Activity::of(config.identities.keys()),
            config,
            io: Io::new(seed),
            cache: Cache::default(),
            generations: Table::default(),
            resolved: Vec::new(),
            negative_cache: Table::default(),
            flights: Table::default(),
            tasks: Table::default(),
            completed: VecDeque::new(),
            waiting: 0,
            last_id: 0,
        }
    }

    /// Asks for a token.
    pub fn request(&mut self, now: Now, request: &TokenRequest) -> Reply {
        self.io.set_now(now);
        match self.try_request(now, request) {
            Ok(reply) => reply,
            Err(error) => Reply::Ready(Err(self.name_identity(error, request.identity.as_deref()))),
        }
    }

    /// Asks for the client assertion alone; `audience` replaces `aud` where the assertion is built here. A ticket for
    /// it never shares another's assertion: assertions are for one use.
    pub fn request_assertion(
        &mut self,
        now: Now,
        identity: Option<&str>,
        audience: Option<&str>,
    ) -> Result<Ticket, Error> {
        self.io.set_now(now);
        let identity = self.identity(identity)?;
        self.check_room()?;
        let plan = Plan::for_assertion(identity)?;
        let ticket = self.new_ticket();
        let io = self.io.clone();
        let audience = audience.map(str::to_owned);
        let future = Box::pin(async move {
            Ended::Assertion(assertion_alone(&io, &plan, audience.as_deref()).await)
        });
        self.start(Purpose::Assertion(ticket), future);
        Ok(ticket)
    }

    /// The cached token, if there is one that may be served now. Starts nothing.
    pub fn cached(&mut self, now: Now, request: &TokenRequest) -> Option<AccessToken> {
        if request.claims.is_some() || request.refresh == Refresh::Force {
            return None;
        }
        let resolved = self.resolve(request).ok()?;
        let (entry, _) = self.cache.usable(&resolved.key, now)?;
        let token = match &request.refresh {
            Refresh::IfTokenIs(sha256) if entry.is(sha256) => return None,
            _ => entry.serve(),
        };
        self.hit(&resolved.key);
        Some(token)
    }

    /// Takes a report that a resource refused a token. `www_authenticate` is the header that came with the refusal.
    pub fn report_rejection(
        &mut self,
        now: Now,
        request: &TokenRequest,
        token_sha256: &str,
        www_authenticate: Option<&str>,
    ) -> Result<RejectionOutcome, Error> {
        let resolved = self.resolve(request)?;
        let claims = www_authenticate
            .and_then(challenge::from_www_authenticate)
            .and_then(|challenge| challenge.claims)
            .map(|claims| challenge::parse_claims(&claims))
            .transpose()?;
        let outcome = self.cache.reject(&resolved.key, token_sha256, claims, now);
        if outcome != RejectionOutcome::AlreadyReplaced {
            let identity = &resolved.key.identity;
            self.activity
                .count(identity, |counters| counters.rejections += 1);
        }
        Ok(outcome)
    }

    /// Forgets the cached tokens of one identity, or all, and says how many there were.
    pub fn drop_cached(&mut self, identity: Option<&str>) -> usize {
        self.negative_cache
            .retain(|key, _| identity.is_some_and(|identity| identity != key.identity));
        self.cache.drop_identity(identity)
    }

    /// What was done for each configured identity, and which tokens are cached. Starts nothing.
    pub fn status(&self, now: Now) -> Vec<IdentityStatus> {
        self.activity
            .status(|identity| self.cache.status(identity, now))
    }

    /// The caller behind that ticket is gone. What it waited for goes on, for others and for the cache.
    pub fn cancel(&mut self, ticket: Ticket) {
        for flight in self.flights.values_mut() {
            let before = flight.waiters.len();
            flight.waiters.retain(|waiter| waiter.ticket != ticket);
            self.waiting -= before - flight.waiters.len();
        }
        let alone = self
            .tasks
            .iter()
            .find(|(_, task)| matches!(task.purpose, Purpose::Assertion(t) if t == ticket));
        if let Some(id) = alone.map(|(id, _)| *id) {
            self.tasks.remove(&id);
            self.waiting = self.waiting.saturating_sub(1);
        }
        self.completed.retain(|(completed, _)| *completed != ticket);
    }

    /// Takes in what became of an effect.
    pub fn complete(&mut self, id: EffectId, outcome: Outcome, now: Now) {
        self.io.set_now(now);
        if let Some(task) = self.io.deliver(id, outcome) {
            self.poll(task);
        }
    }

    /// Lets time pass.
    pub fn wake(&mut self, now: Now) {
        self.io.set_now(now);
        for task in self.io.due() {
            self.poll(task);
        }
        self.negative_cache
            .retain(|_, hold| hold.until_mono_ms > now.mono_ms);
    }

    /// The next thing for the driver to do.
    pub fn next_effect(&mut self) -> Option<(EffectId, Effect)> {
        self.io.next_effect()
    }

    /// The next ticket that has its answer.
    pub fn next_completed(&mut self) -> Option<(Ticket, Completed)> {
        self.completed.pop_front()
    }

    /// The answer to one ticket, if it has come.
    pub fn take(&mut self, ticket: Ticket) -> Option<Completed> {
        let place = self
            .completed
            .iter()
            .position(|(completed, _)| *completed == ticket)?;
        self.completed.remove(place).map(|(_, completed)| completed)
    }

    /// When to call [`Engine::wake`], on [`Now::mono_ms`]. `None` while nothing waits for time.
    pub fn next_deadline(&self) -> Option<u64> {
        self.io.next_deadline()
    }

    /// How long a driver that asks again by itself waits after so many failures, milliseconds: doubled from `first_ms` up
    /// to `max_ms`, and drawn from 50 to 150 % of that.
    pub fn backoff_ms(&self, first_ms: u64, max_ms: u64, failures: u32) -> u64 {
        retry::backoff_up_to(max_ms, first_ms, failures, &self.io)
    }

    /// Whether any flow is under way.
    pub fn has_work(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The configuration it runs on.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Engine {
    fn try_request(&mut self, now: Now, request: &TokenRequest) -> Result<Reply, Error> {
        let resolved = self.resolve(request)?;
        let (plan, key) = (&resolved.plan, &resolved.key);
        let claims = request
            .claims
            .as_deref()
            .map(challenge::parse_claims)
            .transpose()?;
        let mut fallback = None;
        if let Some((entry, freshness)) = self.cache.usable(key, now) {
            let wanted = match &request.refresh {
                Refresh::IfNeeded => claims.is_none(),
                Refresh::Force => false,
                Refresh::IfTokenIs(sha256) => !entry.is(sha256),
            };
            let token = entry.serve();
            if wanted {
                match freshness {
                    Freshness::Fresh => {
                        self.hit(key);
                        return Ok(Reply::Ready(Ok(token)));
                    }
                    Freshness::RefreshDue => {
                        self.hit(key);
                        self.refresh_behind(plan, key);
                        return Ok(Reply::Ready(Ok(token)));
                    }
                    Freshness::Expiring => {
                        fallback = Some(entry.remaining_ms(now) / 2);
                        if self.held(key, now, false).is_some() || self.is_impatient(key) {
                            self.hit(key);
                            return Ok(Reply::Ready(Ok(token)));
                        }
                    }
                }
            }
        }
        // a refused token's challenge goes with the next request for its key, whoever makes it
        let claims = claims.or_else(|| {
            let entry = self.cache.get_mut(key)?;
            entry.next_claims().map(str::to_owned)
        });
        let forced = request.refresh != Refresh::IfNeeded || claims.is_some();
        if let Some(error) = self.held(key, now, forced) {
            return Ok(Reply::Ready(Err(error)));
        }
        self.check_room()?;
        Ok(Reply::Pending(self.join(
            plan.clone(),
            &(key.clone(), claims),
            fallback,
        )))
    }

    fn hit(&mut self, key: &CacheKey) {
        self.activity
            .count(&key.identity, |counters| counters.cache_hits += 1);
    }

    fn identity(&self, name: Option<&str>) -> Result<Arc<config::IdentityConfig>, Error> {
        let known = || {
            self.config
                .identities
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let Some(name) = name.or(self.config.default_identity.as_deref()) else {
            return Err(Error::new(
                ErrorClass::InvalidRequest,
                format!("the request names no identity and the configuration marks none as default; there are: {}", known()),
            )
            .hint("name one in the request, or set default_identity"));
        };
        self.config.identities.get(name).cloned().ok_or_else(|| {
            let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
            Error::new(
                ErrorClass::InvalidRequest,
                format!("there is no identity `{name}`; there are: {}", known()),
            )
            .hint("name one of these, or add it to identities in the configuration")
        })
    }

    fn resolve(&mut self, request: &TokenRequest) -> Result<Rc<Resolved>, Error> {
        let grant = GrantKey::of(&request.grant);
        let known = self.resolved.iter().find(|known| {
            known.scopes == request.scopes
                && known.identity == request.identity
                && known.tenant == request.tenant
                && known.token_type == request.token_type
                && known.grant == grant
        });
        if let Some(known) = known {
            return Ok(Rc::clone(known));
        }
        let identity = self.identity(request.identity.as_deref())?;
        let plan = Plan::for_token(identity, request)?;
        let key = plan.key(self.generations.get(&plan.identity.name).cloned());
        let resolved = Rc::new(Resolved {
            identity: request.identity.clone(),
            scopes: request.scopes.clone(),
            tenant: request.tenant.clone(),
            token_type: request.token_type,
            grant,
            plan,
            key,
        });
        if request.grant != Grant::ClientCredentials {
            // it holds a subject's token, which is not kept any longer than its exchange
            return Ok(resolved);
        }
        if self.resolved.len() >= MAX_RESOLVED {
            self.resolved.clear();
        }
        self.resolved.push(Rc::clone(&resolved));
        Ok(resolved)
    }

    /// The error to answer at once with, while the key is held.
    fn held(&self, key: &CacheKey, now: Now, forced: bool) -> Option<Error> {
        let hold = self
            .negative_cache
            .get(key)
            .filter(|hold| hold.until_mono_ms > now.mono_ms && (hold.by_server || !forced))?;
        let wait_ms = hold.until_mono_ms.saturating_sub(now.mono_ms);
        Some(hold.error.clone().edit(|detail| {
            detail.message = if hold.by_server {
                format!(
                    "not sent: the server asked to wait {} s more; it had said: {}",
                    wait_ms.div_ceil(1000),
                    detail.message
                )
            } else {
                format!("not sent again so soon: {}", detail.message)
            };
            detail.retry_after_ms = Some(wait_ms);
        }))
    }

    fn check_room(&self) -> Result<(), Error> {
        if self.waiting < MAX_WAITING && self.flights.len() < MAX_FLIGHTS {
            return Ok(());
        }
        let (what, bound) = if self.waiting < MAX_WAITING {
            ("exchanges", MAX_FLIGHTS)
        } else {
            ("callers", MAX_WAITING)
        };
        Err(Error::new(
            ErrorClass::Busy,
            format!("{bound} {what} are in flight in this instance, its limit"),
        )
        .retryable()
        .hint("ask again when some of them are done, or spread them over several instances"))
    }

    fn new_ticket(&mut self) -> Ticket {
        self.last_id += 1;
        self.waiting += 1;
        Ticket(self.last_id)
    }

    /// Joins the flight for that key, or starts it.
    fn join(&mut self, plan: Plan, key: &FlightKey, fallback: Option<u64>) -> Ticket {
        let ticket = self.new_ticket();
        let waiter = Waiter {
            ticket,
            fallback: fallback.is_some(),
        };
        if let Some(flight) = self.flights.get_mut(key) {
            flight.waiters.push(waiter);
        } else {
            self.launch(plan, key.clone(), vec![waiter]);
        }
        if let Some(patience_ms) = fallback
            && let Some(Flight {
                patience: Patience::Unasked,
                ..
            }) = self.flights.get(key)
        {
            let io = self.io.clone();
            let future = Box::pin(async move {
                io.sleep_ms(patience_ms).await;
                Ended::Patience
            });
            let task = self.start(Purpose::Patience(key.clone()), future);
            if let Some(flight) = self.flights.get_mut(key) {
                flight.patience = Patience::Until(task);
            }
        }
        ticket
    }

    /// Whether the callers of an expiring token have waited long enough for the flight that is under way.
    fn is_impatient(&self, key: &CacheKey) -> bool {
        let flight = self.flights.get(&(key.clone(), None));
        flight.is_some_and(|flight| matches!(flight.patience, Patience::Over))
    }

    /// Starts a refresh for which nobody waits, unless one is under way or there is no room.
    fn refresh_behind(&mut self, plan: &Plan, key: &CacheKey) {
        if self.held(key, self.io.now(), true).is_some() {
            return;
        }
        let key = (key.clone(), None);
        if !self.flights.contains_key(&key) && self.flights.len() < MAX_FLIGHTS {
            self.launch(plan.clone(), key, Vec::new());
        }
    }

    fn launch(&mut self, plan: Plan, key: FlightKey, waiters: Vec<Waiter>) {
        self.flights.insert(
            key.clone(),
            Flight {
                waiters,
                ..Flight::default()
            },
        );
        let io = self.io.clone();
        let claims = key.1.clone();
        let plan = Rc::new(plan);
        let future =
            Box::pin(async move { Ended::Token(acquire(&io, &plan, claims.as_deref()).await) });
        self.start(Purpose::Flight(key), future);
    }

    fn start(&mut self, purpose: Purpose, future: Pin<Box<dyn Future<Output = Ended>>>) -> TaskId {
        self.last_id += 1;
        let id = self.last_id;
        self.tasks.insert(id, Task { future, purpose });
        self.poll(id);
        id
    }

    fn poll(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        self.io.set_current(id);
        let Poll::Ready(ended) = task
            .future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        else {
            return;
        };
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        match (task.purpose, ended) {
            (Purpose::Flight(key), Ended::Token(result)) => self.land(&key, result),
            (Purpose::Assertion(ticket), Ended::Assertion(result)) => {
                self.answer(ticket, Completed::Assertion(result));
            }
            (Purpose::Patience(key), _) => self.patience_over(&key),
            // each purpose is started with a future of its own kind
            (Purpose::Flight(_) | Purpose::Assertion(_), _) => {}
        }
    }

    /// Answers those who can have the cached token with it, before it expires under their hands.
    fn patience_over(&mut self, key: &FlightKey) {
        let now = self.io.now();
        let old = self
            .cache
            .usable(&key.0, now)
            .map(|(entry, _)| entry.serve());
        let (Some(flight), Some(old)) = (self.flights.get_mut(key), old) else {
            return;
        };
        flight.patience = Patience::Over;
        let (served, waiters) = std::mem::take(&mut flight.waiters)
            .into_iter()
            .partition(|waiter| waiter.fallback);
        flight.waiters = waiters;
        let served: Vec<Waiter> = served;
        for waiter in served {
            self.answer(waiter.ticket, Completed::Token(Ok(old.clone())));
        }
    }

    fn answer(&mut self, ticket: Ticket, completed: Completed) {
        self.waiting = self.waiting.saturating_sub(1);
        self.completed.push_back((ticket, completed));
    }

    fn land(&mut self, flown: &FlightKey, result: Result<Acquired, Error>) {
        let flight = self.flights.remove(flown).unwrap_or_default();
        if let Patience::Until(task) = flight.patience {
            self.tasks.remove(&task);
        }
        let waiters = flight.waiters;
        let (key, claims) = flown;
        match result {
            Ok(acquired) => {
                self.negative_cache.remove(key);
                self.activity
                    .count(&key.identity, |counters| counters.exchanges += 1);
                if let Some(generation) = &acquired.generation {
                    let known = self
                        .generations
                        .insert(key.identity.clone(), generation.clone());
                    if known.as_ref() != Some(generation) {
                        // keys that were made with the older generation
                        self.resolved.clear();
                    }
                }
                let token = self.cache.insert(&self.io, key, acquired, claims.clone());
                for (n, waiter) in waiters.into_iter().enumerate() {
                    let source = if n == 0 {
                        TokenSource::Exchange
                    } else {
                        TokenSource::SharedExchange
                    };
                    self.answer(
                        waiter.ticket,
                        Completed::Token(Ok(AccessToken {
                            source,
                            ..token.clone()
                        })),
                    );
                }
            }
            Err(error) => {
                let error = self.name_identity(error, Some(&key.identity));
                self.hold(key, &error);
                self.activity.failed(&key.identity, &error, self.io.now());
                let io = self.io.clone();
                let old = match self.cache.usable(key, io.now()) {
                    Some((entry, _)) => {
                        entry.refresh_failed(&io, error.detail().retry_after_ms);
                        Some(entry.serve())
                    }
                    None => None,
                };
                for waiter in waiters {
                    let answer = old
                        .clone()
                        .filter(|_| waiter.fallback)
                        .ok_or_else(|| error.clone());
                    self.answer(waiter.ticket, Completed::Token(answer));
                }
            }
        }
    }

    /// Remembers not to ask about that key for a while, where that is right.
    fn hold(&mut self, key: &CacheKey, error: &Error) {
        let now = self.io.now();
        let (ms, by_server) = match (error.detail().retry_after_ms, retry_class(error)) {
            (Some(ms), _) if ms > 0 => (ms, true),
            // a refusal that time alone does not cure; never the class that propagation cures
            (_, RetryClass::None | RetryClass::Reload) if error.detail().http_status.is_some() => {
                (NEGATIVE_CACHE_MS, false)
            }
            _ => return,
        };
        self.negative_cache
            .retain(|_, hold| hold.until_mono_ms > now.mono_ms);
        if self.negative_cache.len() < crate::limits::MAX_CACHED_TOKENS {
            let hold = Hold {
                until_mono_ms: now.mono_ms.saturating_add(ms),
                error: error.clone(),
                by_server,
            };
            self.negative_cache.insert(key.clone(), hold);
        }
    }

    fn name_identity(&self, error: Error, identity: Option<&str>) -> Error {
        let identity = identity.or(self.config.default_identity.as_deref());
        let known = identity
            .filter(|name| self.config.identities.contains_key(*name))
            .map(str::to_owned);
        error.edit(|detail| detail.identity = detail.identity.take().or(known))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("flights", &self.flights.len())
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::grant::tests::{allow_every_grant, any_grant};
    use crate::{Environment, HttpResponse, SecretBytes};

    /// Whose answer something is: everything of a request that decides about it.
    type Asker = (Grant, Vec<String>);

    fn engine() -> Engine {
        let json = r#"{"identities": {"app": {
            "token_endpoint": "https://idp.example/token", "client_id": "c",
            "credential": {"client_secret": {"value": "hunter2"}}}},
            "authority_hosts": ["idp.example"]}"#;
        let config = Config::load(Some(json), &Environment::default()).unwrap();
        Engine::new(config, [7; 32])
    }

    fn response(status: u16, body: String) -> Outcome {
        Outcome::Http(Ok(HttpResponse {
            status,
            headers: Vec::new(),
            body: SecretBytes::new(body),
        }))
    }

    fn asker(request: &TokenRequest) -> Asker {
        (request.grant.clone(), request.scopes.clone())
    }

    /// What an answer can be told by: the token, or the server's words. A timeout has no words.
    fn mark(answer: &Result<AccessToken, Error>) -> Option<String> {
        let text = match answer {
            Ok(token) => token.token.expose().to_owned(),
            Err(error) => error.to_string(),
        };
        let place = text.find("token-").or_else(|| text.find("refusal-"))?;
        text.get(place..)?.split(' ').next().map(str::to_owned)
    }

    #[test]
    fn two_subjects_never_share_an_answer() {
        allow_every_grant();
        for seed in 0..40 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut engine = engine();
            let mut now = Now::default();
            let mut open: Vec<EffectId> = Vec::new();
            let mut asked: Vec<(Ticket, Asker)> = Vec::new();
            let mut owners: BTreeMap<String, Asker> = BTreeMap::new();
            let mut answered = 0;
            let mut check = |answer: &Result<AccessToken, Error>, asker: Asker| {
                let Some(mark) = mark(answer) else { return };
                let owner = owners.entry(mark).or_insert_with(|| asker.clone());
                assert_eq!(*owner, asker, "seed {seed}");
                answered += 1;
            };
            for step in 0..600 {
                now.mono_ms += random.next_u64() % 20_000;
                now.unix_ms = now.mono_ms;
                let scope = ["read", "write"][usize::from(random.next_u64() % 4 == 0)];
                let request = TokenRequest {
                    grant: any_grant(&mut random),
                    refresh: if random.next_u64() % 8 == 0 {
                        Refresh::Force
                    } else {
                        Refresh::IfNeeded
                    },
                    ..TokenRequest::for_scopes([scope])
                };
                if let Some(token) = engine.cached(now, &request) {
                    check(&Ok(token), asker(&request));
                }
                match engine.request(now, &request) {
                    Reply::Ready(answer) => check(&answer, asker(&request)),
                    Reply::Pending(ticket) => asked.push((ticket, asker(&request))),
                }
                engine.wake(now);
                while let Some((id, effect)) = engine.next_effect() {
                    if matches!(effect, Effect::Http { .. }) {
                        open.push(id);
                    }
                }
                while open.len() > 4 {
                    let id =
                        open.swap_remove(usize::try_from(random.next_u64()).unwrap() % open.len());
                    let outcome = if random.next_u64() % 5 == 0 {
                        let text = format!("refusal-{seed}-{step}-{} for that subject", open.len());
                        response(
                            400,
                            format!(r#"{{"error":"invalid_grant","error_description":"{text}"}}"#),
                        )
                    } else {
                        let token = format!("token-{seed}-{step}-{}", open.len());
                        response(
                            200,
                            format!(
                                r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":600}}"#
                            ),
                        )
                    };
                    engine.complete(id, outcome, now);
                }
                while let Some((ticket, Completed::Token(answer))) = engine.next_completed() {
                    let at = asked
                        .iter()
                        .position(|(known, _)| *known == ticket)
                        .unwrap();
                    check(&answer, asked.swap_remove(at).1);
                }
            }
            assert!(answered > 400, "{answered} answers with seed {seed}");
        }
    }

    #[test]
    fn a_subjects_token_does_not_come_back_in_a_message() {
        allow_every_grant();
        let mut engine = engine();
        let request = TokenRequest {
            grant: Grant::OnBehalfOf("alice's-token".into()),
            ..TokenRequest::for_scopes(["read"])
        };
        let Reply::Pending(ticket) = engine.request(Now::default(), &request) else {
            panic!("nothing is cached")
        };
        let (id, _) = engine.next_effect().unwrap();
        let body = r#"{"error":"invalid_grant","error_description":"cannot use alice's-token or hunter2"}"#;
        engine.complete(id, response(400, body.into()), Now::default());
        let Some(Completed::Token(Err(error))) = engine.take(ticket) else {
            panic!("a refusal")
        };
        let text = format!("{error} {error:?} {engine:?}");
        assert!(
            text.contains("cannot use [redacted] or [redacted]"),
            "{text}"
        );
        assert!(
            !text.contains("alice") && !text.contains("hunter2"),
            "{text}"
        );
        assert!(!format!("{:?}", engine.negative_cache).contains("alice"));
    }
}
