//! The engine: requests in, effects out, outcomes in, answers out.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::acquire::{Plan, acquire, assertion_alone, try_credentials};
use crate::cache::{Acquired, Cache, CacheKey, Freshness, KeyParts};
use crate::effect::{Effect, EffectId, Outcome};
use crate::flow::{Io, TaskId};
use crate::grant::GrantKey;
use crate::limits::{
    MAX_ASSERTIONS, MAX_CACHED_TOKENS, MAX_FLIGHTS, MAX_INLINE_RETRY_AFTER_MS, MAX_RESOLVED,
    MAX_WAITING, NEGATIVE_CACHE_MS, REJECTION_PATIENCE_MS,
};
use crate::pace::ExchangePace;
use crate::retry::{self, RetryClass, retry_class};
use crate::secret::same;
use crate::status::Activity;
use crate::{
    AccessToken, ClientAssertion, Config, CredentialTrial, Error, ErrorClass, Grant,
    IdentityStatus, Now, Refresh, RejectionOutcome, Table, TokenRequest, TokenSource, TokenType,
    challenge, config,
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
    /// Of [`Engine::try_credentials`].
    Trials(Vec<CredentialTrial>),
}

/// The engine. See the crate's documentation for the way it is driven.
///
/// After every call that takes a [`Now`], the driver fetches effects until there are none, and completed tickets
/// likewise; it calls [`Engine::wake`] when [`Engine::next_deadline`] has come.
pub struct Engine {
    config: Config,
    io: Io,
    cache: Cache,
    /// Which state of each rotating credential of an identity was last seen, and in which attempt.
    generations: Table<(String, usize), (String, u64)>,
    /// How often the tokens of each identity were dropped.
    epochs: Table<String, u64>,
    /// Requests that were resolved before: a proxy asks the same few questions all day.
    resolved: Vec<Rc<Resolved>>,
    /// Questions that are not to be asked again for a while.
    negative_cache: Table<FlightKey, Hold>,
    /// How often each token was asked for. Those with claims have a pace of their own, so that whoever brings them does
    /// not use up what all others need.
    paces: Table<(CacheKey, bool), ExchangePace>,
    activity: Activity,
    flights: Table<FlightKey, Flight>,
    tasks: Table<TaskId, Task>,
    completed: VecDeque<(Ticket, Completed)>,
    /// Callers who wait for a token.
    waiting: usize,
    /// Assertions that are being made.
    assertions: usize,
    last_id: u64,
}

/// Requests with the same challenge share a flight; those with another have their own.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct FlightKey {
    token: CacheKey,
    claims: Option<String>,
    /// How often the tokens of the identity were dropped before: what was asked for before that is not joined, and not
    /// kept.
    epoch: u64,
}

impl FlightKey {
    /// The same without claims.
    fn plain(&self) -> Self {
        Self {
            claims: None,
            ..self.clone()
        }
    }

    /// How often it is asked has a pace of its own.
    fn pace(&self) -> (CacheKey, bool) {
        (self.token.clone(), self.claims.is_some())
    }
}

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
#[derive(Debug)]
struct Flight {
    plan: Rc<Plan>,
    waiters: Vec<Waiter>,
    /// While the cached token lives on, its callers wait for a bounded time only.
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
    /// A failure may be answered with the cached token, which is about to expire or was refused.
    fallback: bool,
    /// The caller has brought the claims himself, and is told when the server refuses them.
    own_claims: bool,
}

/// Why a key is not asked about.
#[derive(Debug)]
struct Hold {
    /// On the monotonic clock: a wall clock that is set forward must not cut a wait short that the server asked for.
    until_mono_ms: u64,
    error: Error,
    /// The server asked for it; otherwise a forced request may try all the same.
    by_server: bool,
    /// It is for every question about that token: the server is busy, whatever the claims are.
    for_all: bool,
}

struct Task {
    future: Pin<Box<dyn Future<Output = Ended>>>,
    purpose: Purpose,
}

#[derive(Clone)]
enum Purpose {
    Flight(FlightKey),
    /// For one caller.
    Alone(Ticket),
    Patience(FlightKey),
}

enum Ended {
    Token(Result<Acquired, Error>),
    Assertion(Result<ClientAssertion, Error>),
    Trials(Vec<CredentialTrial>),
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
            epochs: Table::default(),
            resolved: Vec::new(),
            negative_cache: Table::default(),
            paces: Table::default(),
            flights: Table::default(),
            tasks: Table::default(),
            completed: VecDeque::new(),
            waiting: 0,
            assertions: 0,
            last_id: 0,
        }
    }

    /// How long an acquisition may take, milliseconds, for a driver whose callers wait no longer: the credentials of a list
    /// share it. It is [`FLIGHT_TIMEOUT_MS`](crate::limits::FLIGHT_TIMEOUT_MS) unless it is told, and never more.
    #[cfg(feature = "every-credential")]
    pub fn limit_acquisitions(&mut self, ms: u64) {
        self.io.set_flight_timeout_ms(ms);
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
        check_bound(self.assertions, MAX_ASSERTIONS, "assertions")?;
        let plan = Plan::for_assertion(identity)?;
        let ticket = self.new_ticket();
        self.assertions += 1;
        let io = self.io.clone();
        let audience = audience.map(str::to_owned);
        let future = Box::pin(async move {
            Ended::Assertion(assertion_alone(&io, &plan, audience.as_deref()).await)
        });
        self.start(Purpose::Alone(ticket), future);
        Ok(ticket)
    }

    /// Loads each credential of an identity as for an exchange with its own token endpoint, and makes none there.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](ErrorClass::InvalidRequest) for an identity that is not there, and
    /// [`Busy`](ErrorClass::Busy) where too much is under way.
    pub fn try_credentials(&mut self, now: Now, identity: Option<&str>) -> Result<Ticket, Error> {
        self.io.set_now(now);
        let plan = Plan::for_assertion(self.identity(identity)?)?;
        check_bound(self.assertions, MAX_ASSERTIONS, "assertions")?;
        let ticket = self.new_ticket();
        self.assertions += 1;
        let io = self.io.clone();
        let future = Box::pin(async move { Ended::Trials(try_credentials(&io, &plan).await) });
        self.start(Purpose::Alone(ticket), future);
        Ok(ticket)
    }

    /// The cached token, if there is one that may be served now. Starts nothing.
    pub fn cached(&mut self, now: Now, request: &TokenRequest) -> Option<AccessToken> {
        if request.claims.is_some() || request.refresh == Refresh::Force {
            return None;
        }
        // while it is suspect, it is looked for a successor first
        self.serve(now, request, |freshness| freshness != Freshness::Suspect)
    }

    /// The cached token, where [`Self::request`] would answer with it and start nothing. `None` says to ask that, which
    /// counts the request and begins a refresh that is due.
    pub fn fresh(&mut self, now: Now, request: &TokenRequest) -> Option<AccessToken> {
        if request.claims.is_some() || request.refresh != Refresh::IfNeeded {
            return None;
        }
        self.serve(now, request, |freshness| freshness == Freshness::Fresh)
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
            .transpose()?
            .filter(|_| resolved.plan.takes_claims());
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
        let is_meant = |name: &String| identity.is_none_or(|identity| identity == name);
        self.negative_cache
            .retain(|flight, _| !is_meant(&flight.token.identity));
        for name in self.config.identities.keys().filter(|name| is_meant(name)) {
            let epoch = self.epochs.get(name).map_or(1, |epoch| epoch + 1);
            self.epochs.insert(name.clone(), epoch);
        }
        #[cfg(feature = "every-credential")]
        self.io.forget_assertions();
        self.cache.drop_identity(identity)
    }

    /// What was done for each configured identity, and which tokens are cached. Starts nothing.
    pub fn status(&self, now: Now) -> Vec<IdentityStatus> {
        let credentials = |identity: &str| {
            let identity = self.config.identities.get(identity);
            let credentials = identity.and_then(|identity| identity.credentials());
            credentials.map_or_else(Vec::new, |credentials| {
                let name = identity.map_or("", |identity| &identity.name);
                self.io
                    .standings(|standings| standings.status(name, credentials, now))
            })
        };
        self.activity
            .status(credentials, |identity| self.cache.status(identity, now))
    }

    /// Something about a credential of several that people should know: it was left aside, or works again. Each once.
    /// Never a secret.
    pub fn next_notice(&mut self) -> Option<String> {
        self.io.standings(|standings| standings.next_notice())
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
            .find(|(_, task)| matches!(task.purpose, Purpose::Alone(t) if t == ticket));
        if let Some(id) = alone.map(|(id, _)| *id) {
            self.tasks.remove(&id);
            self.assertions = self.assertions.saturating_sub(1);
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
        self.paces.retain(|_, pace| !pace.is_settled(now.mono_ms));
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
    fn serve(
        &mut self,
        now: Now,
        request: &TokenRequest,
        may_be: fn(Freshness) -> bool,
    ) -> Option<AccessToken> {
        let resolved = self.resolve(request).ok()?;
        let (entry, freshness) = self.cache.usable(&resolved.key, now)?;
        let is_refused = matches!(&request.refresh, Refresh::IfTokenIs(sha256) if entry.is(sha256));
        if is_refused || !may_be(freshness) {
            return None;
        }
        let token = entry.serve(now);
        self.hit(&resolved.key);
        Some(token)
    }

    fn try_request(&mut self, now: Now, request: &TokenRequest) -> Result<Reply, Error> {
        let resolved = self.resolve(request)?;
        let (plan, key) = (&resolved.plan, &resolved.key);
        let claims = request
            .claims
            .as_deref()
            .map(challenge::parse_claims)
            .transpose()?;
        if claims.is_some() && !plan.takes_claims() {
            return Err(Error::new(
                ErrorClass::Unsupported,
                format!(
                    "identity `{}` gets its tokens from the platform, which takes no claims",
                    plan.identity.name
                ),
            )
            .hint("ask without claims, or name an identity with a client of its own"));
        }
        let own_claims = claims.is_some();
        let mut fallback = None;
        let mut next_claims = None;
        let mut refresh_is_due = false;
        if let Some((entry, freshness)) = self.cache.usable(key, now) {
            // a refused token's challenge goes with the next exchange for its key, whoever causes it
            next_claims = entry.next_claims().map(str::to_owned);
            let is_wanted = match &request.refresh {
                Refresh::IfNeeded => !own_claims,
                Refresh::Force => false,
                Refresh::IfTokenIs(sha256) => !entry.is(sha256),
            };
            let half_ms = entry.remaining_ms(now) / 2;
            if is_wanted {
                let token = entry.serve(now);
                match freshness {
                    Freshness::Fresh => {
                        self.hit(key);
                        return Ok(Reply::Ready(Ok(token)));
                    }
                    Freshness::RefreshDue => {
                        refresh_is_due = true;
                        fallback = Some((0, token));
                    }
                    Freshness::Expiring => fallback = Some((half_ms, token)),
                    Freshness::Suspect => {
                        fallback = Some((half_ms.min(REJECTION_PATIENCE_MS), token));
                    }
                }
            }
        }
        let flight = FlightKey {
            token: key.clone(),
            claims: claims.or(next_claims),
            epoch: self.epochs.get(&key.identity).copied().unwrap_or(0),
        };
        if let Some((_, token)) = &fallback
            && (refresh_is_due
                || self.held(&flight, now, false).is_some()
                || self.is_impatient(&flight))
        {
            self.hit(key);
            if refresh_is_due {
                self.refresh_behind(plan, &flight);
            }
            return Ok(Reply::Ready(Ok(token.clone())));
        }
        let forced = request.refresh != Refresh::IfNeeded || flight.claims.is_some();
        if let Some(error) = self.held(&flight, now, forced) {
            return Ok(Reply::Ready(Err(error)));
        }
        let wait_ms = match self.admit(&flight, request.refresh == Refresh::Force, now) {
            Ok(wait_ms) => wait_ms,
            Err(error) => {
                let answer = fallback.map(|(_, token)| token).ok_or(error);
                return Ok(Reply::Ready(answer));
            }
        };
        let waiter = Waiter {
            ticket: self.new_ticket(),
            fallback: fallback.is_some(),
            own_claims,
        };
        let patience_ms = fallback.map(|(ms, _)| ms);
        let ticket = self.join(plan, &flight, waiter, wait_ms, patience_ms);
        Ok(Reply::Pending(ticket))
    }

    /// Whether there is room for one more who waits for that, and how long the exchange has to wait if it is to begin.
    fn admit(&mut self, flight: &FlightKey, forced: bool, now: Now) -> Result<u64, Error> {
        check_bound(self.waiting, MAX_WAITING, "callers")?;
        if self.flights.contains_key(flight) {
            return Ok(0);
        }
        check_bound(self.flights.len(), MAX_FLIGHTS, "exchanges")?;
        match forced {
            true => Ok(0),
            false => self.begin_exchange(flight, now),
        }
    }

    /// Counts an exchange that is about to begin, and says how long it has to wait before it does.
    fn begin_exchange(&mut self, flight: &FlightKey, now: Now) -> Result<u64, Error> {
        let of = flight.pace();
        if !self.paces.contains_key(&of) {
            if self.paces.len() >= MAX_CACHED_TOKENS {
                self.paces.retain(|_, pace| !pace.is_settled(now.mono_ms));
            }
            if self.paces.len() >= 2 * MAX_CACHED_TOKENS {
                // who asks for so many tokens is not to shut out who asks for one more
                return Ok(0);
            }
            self.paces.insert(of.clone(), ExchangePace::default());
        }
        let Some(pace) = self.paces.get_mut(&of) else {
            return Ok(0);
        };
        let wait_ms = pace.wait_ms(now.mono_ms);
        if wait_ms > 0
            && let Some(error) = pace.error(wait_ms)
        {
            return Err(error);
        }
        if wait_ms > MAX_INLINE_RETRY_AFTER_MS {
            let KeyParts {
                identity, scopes, ..
            } = &*flight.token;
            let scopes = scopes.join(" ");
            let message = format!(
                "too many exchanges for `{scopes}` of identity `{identity}` brought tokens that did not last"
            );
            let error = Error::new(ErrorClass::Busy, message).retryable();
            return Err(error.edit(|detail| detail.retry_after_ms = Some(wait_ms)));
        }
        pace.begin(now.mono_ms.saturating_add(wait_ms));
        Ok(wait_ms)
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
            let mut scopes = known.scopes.iter().zip(&request.scopes);
            known.scopes.len() == request.scopes.len()
                && scopes.all(|(known, scope)| same(known, scope))
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
        let key = plan.key();
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

    /// The error to answer at once with, while that is not to be asked.
    fn held(&self, flight: &FlightKey, now: Now, forced: bool) -> Option<Error> {
        let holds = |hold: &&Hold| hold.until_mono_ms > now.mono_ms && (hold.by_server || !forced);
        let of_its_own = self.negative_cache.get(flight).filter(holds);
        let for_all = || {
            let hold = self.negative_cache.get(&flight.plain());
            hold.filter(|hold| hold.for_all).filter(holds)
        };
        let hold = of_its_own.or_else(for_all)?;
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

    fn new_ticket(&mut self) -> Ticket {
        self.last_id += 1;
        Ticket(self.last_id)
    }

    /// Joins that flight, or starts it after `wait_ms`.
    fn join(
        &mut self,
        plan: &Plan,
        key: &FlightKey,
        waiter: Waiter,
        wait_ms: u64,
        patience_ms: Option<u64>,
    ) -> Ticket {
        let ticket = waiter.ticket;
        self.waiting += 1;
        if let Some(flight) = self.flights.get_mut(key) {
            flight.waiters.push(waiter);
        } else {
            self.launch(Rc::new(plan.clone()), key.clone(), vec![waiter], wait_ms);
        }
        if let Some(patience_ms) = patience_ms
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

    /// Whether the callers who have a token to fall back on have waited long enough for the flight that is under way.
    fn is_impatient(&self, key: &FlightKey) -> bool {
        let flight = self.flights.get(key);
        flight.is_some_and(|flight| matches!(flight.patience, Patience::Over))
    }

    /// Starts a refresh for which nobody waits, unless one is under way, it is too early, or there is no room.
    fn refresh_behind(&mut self, plan: &Plan, key: &FlightKey) {
        let now = self.io.now();
        if !plan.is_repeatable()
            || self.flights.contains_key(key)
            || self.flights.len() >= MAX_FLIGHTS
            || self.held(key, now, true).is_some()
        {
            return;
        }
        if let Ok(wait_ms) = self.begin_exchange(key, now) {
            self.launch(Rc::new(plan.clone()), key.clone(), Vec::new(), wait_ms);
        }
    }

    fn launch(&mut self, plan: Rc<Plan>, key: FlightKey, waiters: Vec<Waiter>, wait_ms: u64) {
        let flight = Flight {
            plan: Rc::clone(&plan),
            waiters,
            patience: Patience::default(),
        };
        self.flights.insert(key.clone(), flight);
        let io = self.io.clone();
        let claims = key.claims.clone();
        let future = Box::pin(async move {
            if wait_ms > 0 {
                io.sleep_ms(wait_ms).await;
            }
            Ended::Token(acquire(&io, &plan, claims.as_deref()).await)
        });
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
            (Purpose::Alone(ticket), Ended::Assertion(result)) => {
                self.answer(ticket, Completed::Assertion(result));
            }
            (Purpose::Alone(ticket), Ended::Trials(trials)) => {
                self.answer(ticket, Completed::Trials(trials));
            }
            (Purpose::Patience(key), _) => self.patience_over(&key),
            // each purpose is started with a future of its own kind
            (Purpose::Flight(_) | Purpose::Alone(_), _) => {}
        }
    }

    /// Answers those who can have the cached token with it, before it expires while they wait.
    fn patience_over(&mut self, key: &FlightKey) {
        let now = self.io.now();
        let old = self
            .cache
            .usable(&key.token, now)
            .map(|(entry, _)| entry.serve(now));
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
        let count = match completed {
            Completed::Token(_) => &mut self.waiting,
            Completed::Assertion(_) | Completed::Trials(_) => &mut self.assertions,
        };
        *count = count.saturating_sub(1);
        self.completed.push_back((ticket, completed));
    }

    fn land(&mut self, flown: &FlightKey, result: Result<Acquired, Error>) {
        let Some(flight) = self.flights.remove(flown) else {
            return;
        };
        if let Patience::Until(task) = flight.patience {
            self.tasks.remove(&task);
        }
        match result {
            Ok(acquired) => self.landed_with(flown, flight.waiters, acquired),
            Err(error) => {
                let error = self.name_identity(error, Some(&flown.token.identity));
                self.landed_without(flown, flight, &error);
            }
        }
    }

    fn landed_with(&mut self, flown: &FlightKey, waiters: Vec<Waiter>, acquired: Acquired) {
        let key = &flown.token;
        self.negative_cache.remove(flown);
        self.negative_cache.remove(&flown.plain());
        self.activity
            .count(&key.identity, |counters| counters.exchanges += 1);
        let epoch = self.epochs.get(&key.identity).copied().unwrap_or(0);
        let is_wanted = self.note_generation(key, &acquired) && flown.epoch == epoch;
        let (token, lives) = if is_wanted {
            let claims = flown.claims.clone();
            self.cache.insert(&self.io, key, acquired, claims)
        } else {
            (self.cache.hand_out(&self.io, key, acquired), true)
        };
        if let Some(pace) = self.paces.get_mut(&flown.pace()) {
            match lives {
                true => pace.succeeded(self.io.now().mono_ms),
                false => pace.failed(None),
            }
        }
        let old = (!lives).then(|| self.keep_old(flown, None)).flatten();
        for (n, waiter) in waiters.into_iter().enumerate() {
            let source = match n {
                0 => TokenSource::Exchange,
                _ => TokenSource::SharedExchange,
            };
            let old = old.clone().filter(|_| waiter.fallback);
            let token = old.unwrap_or_else(|| AccessToken {
                source,
                ..token.clone()
            });
            self.answer(waiter.ticket, Completed::Token(Ok(token)));
        }
    }

    /// Whether that is a token of the newest state of its credential that was seen: an attempt that began before that
    /// state was seen, and has taken longer, does not bring the older one back.
    fn note_generation(&mut self, key: &CacheKey, acquired: &Acquired) -> bool {
        let Some(generation) = &acquired.generation else {
            return true;
        };
        let of = (key.identity.clone(), generation.credential);
        let known = self.generations.get(&of);
        let is_known = known.is_some_and(|(known, _)| *known == generation.state);
        if !is_known && known.is_some_and(|(_, begun)| *begun > acquired.begun) {
            return false;
        }
        if !is_known {
            self.cache.drop_earlier(key, generation);
        }
        let seen = (generation.state.clone(), acquired.begun);
        self.generations.insert(of, seen);
        true
    }

    fn landed_without(&mut self, flown: &FlightKey, flight: Flight, error: &Error) {
        let key = &flown.token;
        let now = self.io.now();
        self.hold(flown, error);
        self.activity.failed(&key.identity, error, now);
        if let Some(pace) = self.paces.get_mut(&flown.pace()) {
            pace.failed(Some(error));
        }
        let old = self.keep_old(flown, error.detail().retry_after_ms);
        let claims_refused = flown.claims.as_ref().filter(|_| is_final(error));
        if let Some(claims) = claims_refused {
            self.cache.claims_refused(key, claims, now);
        }
        for waiter in flight.waiters {
            let fallback = old.clone().filter(|_| waiter.fallback);
            match fallback {
                Some(old) => self.answer(waiter.ticket, Completed::Token(Ok(old))),
                // whose claims they were is told; who has none of his own gets what there is without
                None if claims_refused.is_some() && !waiter.own_claims => {
                    self.ask_without_claims(flown, &flight.plan, waiter);
                }
                None => self.answer(waiter.ticket, Completed::Token(Err(error.clone()))),
            }
        }
    }

    fn ask_without_claims(&mut self, flown: &FlightKey, plan: &Rc<Plan>, waiter: Waiter) {
        let plain = flown.plain();
        if let Some(flight) = self.flights.get_mut(&plain) {
            flight.waiters.push(waiter);
            return;
        }
        match self.begin_exchange(&plain, self.io.now()) {
            Ok(wait_ms) => self.launch(Rc::clone(plan), plain, vec![waiter], wait_ms),
            Err(error) => self.answer(waiter.ticket, Completed::Token(Err(error))),
        }
    }

    /// The cached token, which has got no successor, is served on; the next is looked for later. What was asked for with
    /// claims that a caller has brought says nothing about that.
    fn keep_old(&mut self, flown: &FlightKey, retry_after_ms: Option<u64>) -> Option<AccessToken> {
        let io = self.io.clone();
        let (entry, _) = self.cache.usable(&flown.token, io.now())?;
        if flown.claims.as_deref() == entry.next_claims() {
            entry.refresh_failed(&io, retry_after_ms);
        }
        Some(entry.serve(io.now()))
    }

    /// Remembers not to ask that for a while, where that is right.
    fn hold(&mut self, flown: &FlightKey, error: &Error) {
        let now = self.io.now();
        let status = error.detail().http_status;
        let (ms, by_server) = match error.detail().retry_after_ms {
            Some(ms) if ms > 0 => (ms, true),
            _ if is_final(error) => (NEGATIVE_CACHE_MS, false),
            _ => return,
        };
        let for_all = by_server && matches!(status, Some(429 | 503));
        self.negative_cache
            .retain(|_, hold| hold.until_mono_ms > now.mono_ms);
        if self.negative_cache.len() < MAX_CACHED_TOKENS {
            let hold = Hold {
                until_mono_ms: now.mono_ms.saturating_add(ms),
                error: error.clone(),
                by_server,
                for_all,
            };
            let of = if for_all {
                flown.plain()
            } else {
                flown.clone()
            };
            let known = self.negative_cache.get(&of);
            if known.is_none_or(|known| known.until_mono_ms <= hold.until_mono_ms) {
                self.negative_cache.insert(of, hold);
            }
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

/// Whether the server has refused something that time alone does not cure. Never the class that propagation cures.
fn is_final(error: &Error) -> bool {
    error.detail().http_status.is_some()
        && matches!(retry_class(error), RetryClass::None | RetryClass::Reload)
}

fn check_bound(count: usize, bound: usize, what: &str) -> Result<(), Error> {
    match count < bound {
        true => Ok(()),
        false => Err(Error::new(
            ErrorClass::Busy,
            format!("{bound} {what} are in flight in this instance, its limit"),
        )
        .retryable()
        .hint("ask again when some of them are done, or spread them over several instances")),
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
            assert!(answered > 300, "{answered} answers with seed {seed}");
        }
    }

    #[test]
    fn a_subjects_token_does_not_come_back_in_a_message() {
        allow_every_grant();
        let mut engine = engine();
        let request = TokenRequest {
            grant: Grant::OnBehalfOf {
                assertion: Some("alice's-token".into()),
                session_key: None,
            },
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
