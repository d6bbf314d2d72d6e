//! The engine: requests in, effects out, outcomes in, answers out.

use std::cell::Cell;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

#[cfg(not(feature = "every-credential"))]
use crate::acquire::acquire;
use crate::acquire::{Plan, assertion_alone, try_credentials};
use crate::cache::{Acquired, Cache, CacheKey, Freshness, KeyParts, Shares};
use crate::effect::{Effect, EffectId, Outcome};
#[cfg(feature = "every-credential")]
use crate::flow::race;
use crate::flow::{Io, TaskId};
use crate::grant::GrantKey;
use crate::keyed::{ById, Ends, Key, Keyed, Lasting, Seed};
#[cfg(feature = "every-credential")]
use crate::limits::{FLIGHT_TIMEOUT_MS, MAX_USER_EXCHANGES};
use crate::limits::{
    MAX_ASSERTIONS, MAX_CACHED_TOKENS, MAX_FLIGHTS, MAX_INLINE_RETRY_AFTER_MS, MAX_RESOLVED,
    MAX_USER_FLIGHTS, MAX_USER_PACES, MAX_USER_WAITING, MAX_WAITING, NEGATIVE_CACHE_MS,
    REJECTION_PATIENCE_MS,
};
use crate::pace::ExchangePace;
use crate::retry::{self, RetryClass, retry_class};
use crate::secret::{same, sha256_hex};
#[cfg(feature = "every-credential")]
use crate::session;
use crate::status::Activity;
#[cfg(feature = "every-credential")]
use crate::token_store::{self, Demands, Known};
use crate::{
    AccessToken, ClientAssertion, Config, CredentialTrial, Error, ErrorClass, GrantKind,
    IdentityStatus, Now, Refresh, RejectionOutcome, Table, TokenRequest, TokenSource, TokenType,
    challenge, config,
};
#[cfg(feature = "every-credential")]
use crate::{AuthorizationOptions, AuthorizationRequest, Grant, Secret, authorization_request};

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
    /// Of [`Engine::request_authorization`].
    #[cfg(feature = "every-credential")]
    Authorization(Result<AuthorizationRequest, Error>),
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
    /// Makes digests of keys.
    seed: Seed,
    /// Requests that were resolved before: a proxy asks the same few questions all day.
    resolved: Keyed<u64, Rc<Resolved>>,
    /// Questions that are not to be asked again for a while.
    holds: Shares<Lasting<FlightKey, Hold>>,
    /// How often each token was asked for.
    paces: Shares<Lasting<PaceKey, ExchangePace>>,
    activity: Activity,
    flights: Keyed<FlightKey, Flight>,
    /// How many of these there are.
    under_way: Shares<usize>,
    tasks: ById<Task>,
    completed: ById<Completed>,
    /// Who waits, by ticket.
    callers: ById<Caller>,
    /// How many of them wait for a token.
    waiting: Shares<usize>,
    /// Assertions that are being made.
    assertions: usize,
    last_id: u64,
}

/// How many of the questions that were asked last are looked at before a digest is made.
const FEW_QUESTIONS: usize = 8;

/// Requests with the same challenge share a flight; those with another have their own.
#[derive(Clone, Debug)]
struct FlightKey(Rc<FlightParts>);

#[derive(Debug, Eq, PartialEq)]
struct FlightParts {
    digest: u64,
    token: CacheKey,
    claims: Option<String>,
    /// How often the tokens of the identity were dropped before: what was asked for before that is not joined, and not
    /// kept.
    epoch: u64,
}

impl FlightKey {
    fn new(token: CacheKey, claims: Option<String>, epoch: u64, seed: &Seed) -> Self {
        let digest = match &claims {
            None => token.digest(),
            Some(claims) => seed.hash_one((token.digest(), claims)),
        };
        Self(Rc::new(FlightParts {
            digest,
            token,
            claims,
            epoch,
        }))
    }

    /// The same without claims.
    fn plain(&self, seed: &Seed) -> Self {
        match self.claims {
            None => self.clone(),
            Some(_) => Self::new(self.token.clone(), None, self.epoch, seed),
        }
    }

    fn pace(&self) -> PaceKey {
        PaceKey {
            token: self.token.clone(),
            has_claims: self.claims.is_some(),
        }
    }
}

impl Deref for FlightKey {
    type Target = FlightParts;

    fn deref(&self) -> &FlightParts {
        &self.0
    }
}

impl Eq for FlightKey {}

impl PartialEq for FlightKey {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Key for FlightKey {
    fn digest(&self) -> u64 {
        self.digest
    }
}

/// What has a pace. Exchanges with claims have one of their own, so that whoever brings them does not use up what all others
/// need.
#[derive(Debug, Eq, PartialEq)]
struct PaceKey {
    token: CacheKey,
    has_claims: bool,
}

impl Key for PaceKey {
    fn digest(&self) -> u64 {
        self.token.digest() ^ u64::from(self.has_claims)
    }
}

/// A request but for its subject, and what it comes to under the configuration.
#[derive(Debug)]
struct Resolved {
    identity: Option<String>,
    scopes: Vec<String>,
    tenant: Option<String>,
    token_type: TokenType,
    grant: GrantKind,
    /// Whether its request can carry the claims of a challenge.
    takes_claims: bool,
    parts: Rc<KeyParts>,
    /// Of the application's own token. A user's plan has the user's token in it, which is not kept any longer than its
    /// exchange.
    own: Option<(Rc<Plan>, CacheKey)>,
}

impl Resolved {
    fn answers(&self, request: &TokenRequest) -> bool {
        let mut scopes = self.scopes.iter().zip(&request.scopes);
        self.scopes.len() == request.scopes.len()
            && scopes.all(|(known, scope)| same(known, scope))
            && self.identity == request.identity
            && self.tenant == request.tenant
            && self.token_type == request.token_type
            && self.grant == request.grant.kind()
    }
}

/// One exchange under way, and who waits for it.
#[derive(Debug)]
struct Flight {
    plan: Rc<Plan>,
    /// The tickets of those who wait, and of some who have gone.
    waiters: Vec<u64>,
    /// How many of these have.
    gone: usize,
    task: TaskId,
    /// It has had its turn.
    begun: Rc<Cell<bool>>,
    /// While the cached token lives on, its callers wait for a bounded time only.
    patience: Patience,
    /// What a token of the token store has to be for those who wait.
    #[cfg(feature = "every-credential")]
    demands: Demands,
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

/// Who waits for something.
#[derive(Debug)]
enum Caller {
    /// For a token.
    Token(Waiter),
    /// For what that task makes for him alone.
    Alone(TaskId),
}

#[derive(Debug)]
struct Waiter {
    flight: FlightKey,
    /// A failure may be answered with the cached token, which is about to expire or was refused.
    fallback: bool,
    /// The caller has brought the claims himself, and is told when the server refuses them.
    own_claims: bool,
    #[cfg(feature = "every-credential")]
    refresh: Refresh,
}

impl Ends for Hold {
    fn end_mono_ms(&self) -> u64 {
        self.until_mono_ms
    }
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
    #[cfg(feature = "every-credential")]
    Authorization(Result<AuthorizationRequest, Error>),
    Patience,
}

impl Engine {
    /// An engine for that configuration. `seed` must be unpredictable; it feeds `jti` and jitter.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            activity: Activity::of(config.identities.keys()),
            cache: Cache::new(config.user_token_bytes()),
            config,
            io: Io::new(seed),
            generations: Table::default(),
            epochs: Table::default(),
            // apart from what feeds the rest
            seed: Seed::new(&sha256_hex(&seed)),
            resolved: Keyed::default(),
            holds: Shares::default(),
            paces: Shares::default(),
            flights: Keyed::default(),
            under_way: Shares::default(),
            tasks: ById::default(),
            completed: ById::default(),
            callers: ById::default(),
            waiting: Shares::default(),
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

    /// Says that this driver answers [`Effect::Store`]. Tokens are shared by the token store then, where the configuration
    /// has one (`host.token_store`).
    #[cfg(feature = "every-credential")]
    pub fn use_token_store(&mut self) {
        if let Some(store) = &self.config.host.token_store {
            let users = store.users;
            self.io.token_store(|standing| standing.turn_on(users));
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
        check_bound(self.assertions, MAX_ASSERTIONS, "assertions")?;
        let plan = Plan::for_assertion(identity)?;
        let ticket = self.new_ticket();
        self.assertions += 1;
        let io = self.io.clone();
        let audience = audience.map(str::to_owned);
        let future = Box::pin(async move {
            Ended::Assertion(assertion_alone(&io, &plan, audience.as_deref()).await)
        });
        self.start_alone(ticket, future);
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
        self.start_alone(ticket, future);
        Ok(ticket)
    }

    /// Asks for an authorization request: where a user signs in, and what to remember meanwhile. The metadata of the server are
    /// asked for it where they say where that is.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](ErrorClass::InvalidRequest) for an identity that is not there, and
    /// [`Busy`](ErrorClass::Busy) where too much is under way.
    #[cfg(feature = "every-credential")]
    pub fn request_authorization(
        &mut self,
        now: Now,
        identity: Option<&str>,
        options: AuthorizationOptions,
    ) -> Result<Ticket, Error> {
        self.io.set_now(now);
        let identity = self.identity(identity)?;
        check_bound(self.assertions, MAX_ASSERTIONS, "assertions")?;
        let ticket = self.new_ticket();
        self.assertions += 1;
        let io = self.io.clone();
        let future = Box::pin(async move {
            let name = identity.name.clone();
            let built = authorization_request::build(&io, identity, &options);
            let built = race(built, io.sleep_ms(io.flight_timeout_ms())).await;
            let built = built.unwrap_or_else(|()| {
                let message = "the server's metadata did not come in time";
                Err(Error::new(ErrorClass::Timeout, message).retryable())
            });
            Ended::Authorization(
                built.map_err(|error| error.edit(|detail| detail.identity = Some(name))),
            )
        });
        self.start_alone(ticket, future);
        Ok(ticket)
    }

    /// The cached token, if there is one that may be served now. Starts nothing.
    pub fn cached(&mut self, now: Now, request: &TokenRequest) -> Option<AccessToken> {
        self.io.set_now(now);
        if request.claims.is_some() || request.refresh == Refresh::Force {
            return None;
        }
        // while it is suspect, it is looked for a successor first
        self.serve(now, request, |freshness| freshness != Freshness::Suspect)
    }

    /// The cached token, where [`Self::request`] would answer with it and start nothing. `None` says to ask that, which
    /// counts the request and begins a refresh that is due.
    pub fn fresh(&mut self, now: Now, request: &TokenRequest) -> Option<AccessToken> {
        self.io.set_now(now);
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
        self.io.set_now(now);
        let (resolved, key) = self.resolve(request)?;
        let claims = www_authenticate
            .and_then(challenge::from_www_authenticate)
            .and_then(|challenge| challenge.claims)
            .map(|claims| challenge::parse_claims(&claims))
            .transpose()?
            .filter(|_| resolved.takes_claims);
        let outcome = self.cache.reject(&key, token_sha256, claims, now);
        if outcome != RejectionOutcome::AlreadyReplaced {
            self.activity
                .count(&key.identity, |counters| counters.rejections += 1);
        }
        Ok(outcome)
    }

    /// Forgets the cached tokens of one identity, or all, and says how many there were. Sessions go on: see
    /// `end_session`.
    pub fn drop_cached(&mut self, now: Now, identity: Option<&str>) -> usize {
        self.io.set_now(now);
        let is_meant = |name: &String| identity.is_none_or(|identity| identity == name);
        for holds in self.holds.both_mut() {
            holds
                .map_mut()
                .retain(|flight, _| !is_meant(&flight.token.identity));
        }
        for name in self.config.identities.keys().filter(|name| is_meant(name)) {
            let epoch = self.epochs.get(name).map_or(1, |epoch| epoch + 1);
            self.epochs.insert(name.clone(), epoch);
        }
        #[cfg(feature = "every-credential")]
        self.forget_shared(now, identity);
        self.cache.drop_identity(identity)
    }

    /// Ends a session of on-behalf-of: its refresh token is forgotten, and no token that was got in it is served again. Says
    /// whether there was one, which there never is of an identity that is not configured. No identity means the default one.
    #[cfg(feature = "every-credential")]
    pub fn end_session(&mut self, identity: Option<&str>, session_key: &Secret) -> bool {
        match self.identity(identity) {
            Ok(identity) => self
                .io
                .sessions(|sessions| sessions.end(&identity.name, session_key)),
            Err(_) => false,
        }
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
        let status = self
            .activity
            .status(credentials, |identity| self.cache.status(identity, now));
        #[cfg(feature = "every-credential")]
        let status = self.io.token_store(|standing| standing.counted(status));
        status
    }

    /// Something about a credential of several that people should know: it was left aside, or works again. Each once.
    /// Never a secret.
    pub fn next_notice(&mut self) -> Option<String> {
        let notice = self.io.standings(|standings| standings.next_notice());
        #[cfg(feature = "every-credential")]
        let notice = notice.or_else(|| self.io.token_store(token_store::Standing::next_notice));
        notice
    }

    /// The caller behind that ticket is gone. What it waited for goes on, for others and for the cache.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.completed.remove(&ticket.0);
        match self.callers.remove(&ticket.0) {
            None => {}
            Some(Caller::Alone(task)) => {
                self.tasks.remove(&task);
                self.assertions = self.assertions.saturating_sub(1);
            }
            Some(Caller::Token(waiter)) => {
                let waiting = self.waiting.of_mut(&waiter.flight.token);
                *waiting = waiting.saturating_sub(1);
                self.leave(&waiter.flight);
            }
        }
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
        self.cache.sweep(now);
        for holds in self.holds.both_mut() {
            holds.sweep(now.mono_ms);
        }
        for paces in self.paces.both_mut() {
            paces.sweep(now.mono_ms);
        }
    }

    /// The next thing for the driver to do.
    pub fn next_effect(&mut self) -> Option<(EffectId, Effect)> {
        self.io.next_effect()
    }

    /// The next ticket that has its answer.
    pub fn next_completed(&mut self) -> Option<(Ticket, Completed)> {
        let (ticket, completed) = self.completed.pop_oldest()?;
        Some((Ticket(ticket), completed))
    }

    /// The answer to one ticket, if it has come.
    pub fn take(&mut self, ticket: Ticket) -> Option<Completed> {
        self.completed.remove(&ticket.0)
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
        if request.grant.kind().is_single_use() {
            return None;
        }
        let (_, key) = self.resolve(request).ok()?;
        let (entry, freshness) = self.cache.usable(&key, now)?;
        let is_refused = matches!(&request.refresh, Refresh::IfTokenIs(sha256) if entry.is(sha256));
        if is_refused || !may_be(freshness) {
            return None;
        }
        let token = entry.serve(now);
        self.hit(&key);
        Some(token)
    }

    fn try_request(&mut self, now: Now, request: &TokenRequest) -> Result<Reply, Error> {
        let (resolved, key) = self.resolve(request)?;
        let claims = request
            .claims
            .as_deref()
            .map(challenge::parse_claims)
            .transpose()?;
        if claims.is_some() && !resolved.takes_claims {
            return Err(Error::new(
                ErrorClass::Unsupported,
                format!(
                    "identity `{}` gets its tokens from the platform, which takes no claims",
                    key.identity
                ),
            )
            .hint("ask without claims, or name an identity with a client of its own"));
        }
        let own_claims = claims.is_some();
        let mut fallback = None;
        let mut next_claims = None;
        let mut refresh_is_due = false;
        if let Some((entry, freshness)) = self.cache.usable(&key, now) {
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
                        self.hit(&key);
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
        let plan = self.plan(&resolved, request)?;
        let epoch = self.epochs.get(&key.identity).copied().unwrap_or(0);
        let flight = FlightKey::new(key, claims.or(next_claims), epoch, &self.seed);
        if let Some((_, token)) = &fallback
            && (refresh_is_due
                || self.held(&flight, now, false).is_some()
                || self.is_impatient(&flight))
        {
            self.hit(&flight.token);
            if refresh_is_due {
                self.refresh_behind(&plan, &flight);
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
            flight,
            fallback: fallback.is_some(),
            own_claims,
            #[cfg(feature = "every-credential")]
            refresh: request.refresh.clone(),
        };
        let patience_ms = fallback.map(|(ms, _)| ms);
        let ticket = self.join(plan, waiter, wait_ms, patience_ms);
        Ok(Reply::Pending(ticket))
    }

    /// Whether there is room for one more who waits for that, and how long the exchange has to wait if it is to begin.
    fn admit(&mut self, flight: &FlightKey, forced: bool, now: Now) -> Result<u64, Error> {
        let waiting = *self.waiting.of(&flight.token);
        match flight.token.is_own() {
            true => check_bound(waiting, MAX_WAITING, "callers")?,
            false => check_bound(waiting, MAX_USER_WAITING, "callers for users")?,
        }
        if self.flights.contains_key(flight) {
            // whoever presents a code a second time is a case for the server, and this is not sent twice at once
            return match flight.token.grant.kind {
                GrantKind::AuthorizationCode => Err(under_redemption()),
                _ => Ok(0),
            };
        }
        self.check_room(flight)?;
        match forced {
            true => Ok(0),
            false => self.begin_exchange(flight, now),
        }
    }

    /// Counts an exchange that is about to begin, and says how long it has to wait before it does.
    fn begin_exchange(&mut self, flight: &FlightKey, now: Now) -> Result<u64, Error> {
        let of = flight.pace();
        let bound = match flight.token.is_own() {
            true => 2 * MAX_CACHED_TOKENS,
            false => MAX_USER_PACES,
        };
        let paces = self.paces.of_mut(&flight.token);
        paces.sweep(now.mono_ms);
        if !paces.map().contains_key(&of) {
            if paces.map().len() >= bound {
                // who asks for so many tokens is not to shut out who asks for one more
                return Ok(0);
            }
            paces.insert(flight.pace(), ExchangePace::default());
        }
        let Some(pace) = paces.map_mut().get_mut(&of) else {
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
        let found = self.config.identities.get(name);
        #[cfg(feature = "key-vault")]
        let found = found.or_else(|| self.config.vaults.get(name));
        found.cloned().ok_or_else(|| {
            let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
            Error::new(
                ErrorClass::InvalidRequest,
                format!("there is no identity `{name}`; there are: {}", known()),
            )
            .hint("name one of these, or add it to identities in the configuration")
        })
    }

    /// What a request comes to, and whose token it is about.
    fn resolve(&mut self, request: &TokenRequest) -> Result<(Rc<Resolved>, CacheKey), Error> {
        let resolved = match self.known(request) {
            Some(known) => known,
            None => self.resolve_anew(request)?,
        };
        let key = match &resolved.own {
            Some((_, key)) => key.clone(),
            None => {
                #[cfg(feature = "every-credential")]
                let grant = self.grant_key(&request.grant, &resolved.parts)?;
                #[cfg(not(feature = "every-credential"))]
                let grant = GrantKey::of(&request.grant);
                CacheKey::new(Rc::clone(&resolved.parts), grant, &self.seed)
            }
        };
        Ok((resolved, key))
    }

    /// What tells the tokens of a grant apart, in the session that it is in.
    #[cfg(feature = "every-credential")]
    fn grant_key(&self, grant: &Grant, parts: &KeyParts) -> Result<GrantKey, Error> {
        let key = GrantKey::of(grant);
        let session = self.session(grant, &parts.identity, parts.tenant.as_deref())?;
        Ok(match session {
            Some(name) => key.in_session(&name),
            None => key,
        })
    }

    /// The session that a grant is in, if it has begun.
    #[cfg(feature = "every-credential")]
    fn session(
        &self,
        grant: &Grant,
        identity: &str,
        tenant: Option<&str>,
    ) -> Result<Option<session::Name>, Error> {
        let Some((assertion, session_key)) = session::asked_in(grant) else {
            return Ok(None);
        };
        self.io
            .sessions(|sessions| sessions.name(identity, tenant, session_key, assertion))
    }

    /// Under which key a token is cached that was got for this one: the session that a user's token has begun is part of it.
    /// `None` if that is not there any more. What a refresh token of a session has brought stays that session's.
    #[cfg(feature = "every-credential")]
    fn kept_as(&self, plan: &Plan, key: &CacheKey) -> Option<CacheKey> {
        if !plan.begins_session() {
            return Some(key.clone());
        }
        let name = self.session(plan.grant(), &key.identity, key.tenant.as_deref());
        let grant = GrantKey::of(plan.grant()).in_session(&name.ok()??);
        Some(key.with_grant(grant, &self.seed))
    }

    fn known(&mut self, request: &TokenRequest) -> Option<Rc<Resolved>> {
        let answers = |slot: &u32| {
            let known = self.resolved.at(*slot);
            known.is_some_and(|(_, known)| known.answers(request))
        };
        // most ask one of a few questions, and to compare them is less than to make a digest
        let near = self.resolved.slots().take(FEW_QUESTIONS).find(answers);
        let slot = near.or_else(|| {
            let slot = self.resolved.slot(&self.digest(request));
            slot.filter(answers)
        })?;
        self.resolved.touch(slot);
        self.resolved.at(slot).map(|(_, known)| Rc::clone(known))
    }

    fn digest(&self, request: &TokenRequest) -> u64 {
        let TokenRequest {
            identity,
            scopes,
            tenant,
            grant,
            token_type,
            ..
        } = request;
        self.seed
            .hash_one((identity, scopes, tenant, grant.kind(), token_type))
    }

    fn resolve_anew(&mut self, request: &TokenRequest) -> Result<Rc<Resolved>, Error> {
        let identity = self.identity(request.identity.as_deref())?;
        let plan = Plan::for_token(identity, request)?;
        let parts = Rc::new(plan.key_parts());
        let grant = GrantKey::of(&request.grant);
        let resolved = Rc::new(Resolved {
            identity: request.identity.clone(),
            scopes: request.scopes.clone(),
            tenant: request.tenant.clone(),
            token_type: request.token_type,
            grant: grant.kind,
            takes_claims: plan.takes_claims(),
            parts: Rc::clone(&parts),
            own: grant
                .is_own()
                .then(|| (Rc::new(plan), CacheKey::new(parts, grant, &self.seed))),
        });
        if self.resolved.len() >= MAX_RESOLVED {
            self.resolved.pop_oldest();
        }
        let digest = self.digest(request);
        self.resolved.insert(digest, Rc::clone(&resolved));
        Ok(resolved)
    }

    /// How its token is got.
    fn plan(&self, resolved: &Resolved, request: &TokenRequest) -> Result<Rc<Plan>, Error> {
        if let Some((plan, _)) = &resolved.own {
            return Ok(Rc::clone(plan));
        }
        let identity = self.identity(request.identity.as_deref())?;
        Plan::for_token(identity, request).map(Rc::new)
    }

    /// The error to answer at once with, while that is not to be asked.
    fn held(&self, flight: &FlightKey, now: Now, forced: bool) -> Option<Error> {
        let holds = |hold: &&Hold| hold.until_mono_ms > now.mono_ms && (hold.by_server || !forced);
        let known = self.holds.of(&flight.token).map();
        let of_its_own = known.get(flight).filter(holds);
        let for_all = || {
            let hold = known.get(&flight.plain(&self.seed));
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
        plan: Rc<Plan>,
        waiter: Waiter,
        wait_ms: u64,
        patience_ms: Option<u64>,
    ) -> Ticket {
        let ticket = self.new_ticket();
        let key = waiter.flight.clone();
        *self.waiting.of_mut(&key.token) += 1;
        self.board(plan, ticket.0, waiter, wait_ms);
        if let Some(patience_ms) = patience_ms
            && let Some(Flight {
                patience: Patience::Unasked,
                ..
            }) = self.flights.get(&key)
        {
            let io = self.io.clone();
            let future = Box::pin(async move {
                io.sleep_ms(patience_ms).await;
                Ended::Patience
            });
            let task = self.start(Purpose::Patience(key.clone()), future);
            if let Some(flight) = self.flights.get_mut(&key) {
                flight.patience = Patience::Until(task);
            }
        }
        ticket
    }

    /// Puts somebody on that flight, which is started if it is not under way.
    fn board(&mut self, plan: Rc<Plan>, ticket: u64, waiter: Waiter, wait_ms: u64) {
        let key = waiter.flight.clone();
        self.callers.insert(ticket, Caller::Token(waiter));
        if let Some(flight) = self.flights.get_mut(&key) {
            #[cfg(feature = "every-credential")]
            if let Some(Caller::Token(waiter)) = self.callers.get(&ticket) {
                flight.demands.add(&waiter.refresh);
            }
            flight.waiters.push(ticket);
        } else {
            self.launch(plan, &key, vec![ticket], wait_ms);
        }
    }

    /// One of those who wait for it has gone.
    fn leave(&mut self, key: &FlightKey) {
        let Some(flight) = self.flights.get_mut(key) else {
            return;
        };
        flight.gone += 1;
        if flight.gone == flight.waiters.len() && !flight.begun.get() {
            // nothing was sent, and nobody wants it any more
            if let Some(flight) = self.remove_flight(key) {
                self.tasks.remove(&flight.task);
            }
        } else if 2 * flight.gone > flight.waiters.len() {
            // so that those who come and go do not add up: a look at each that was there pays for as many that left
            flight.gone = 0;
            let callers = &self.callers;
            flight.waiters.retain(|ticket| callers.contains_key(ticket));
        }
    }

    /// Whether the callers who have a token to fall back on have waited long enough for the flight that is under way.
    fn is_impatient(&self, key: &FlightKey) -> bool {
        let flight = self.flights.get(key);
        flight.is_some_and(|flight| matches!(flight.patience, Patience::Over))
    }

    /// Starts a refresh for which nobody waits, unless one is under way, it is too early, or there is no room. For a user's
    /// token the assertion is that of the caller who is served meanwhile: nothing of it is kept for a refresh by itself.
    fn refresh_behind(&mut self, plan: &Rc<Plan>, key: &FlightKey) {
        let now = self.io.now();
        if !plan.is_repeatable()
            || self.flights.contains_key(key)
            || self.check_room(key).is_err()
            || self.held(key, now, true).is_some()
        {
            return;
        }
        if let Ok(wait_ms) = self.begin_exchange(key, now) {
            self.launch(Rc::clone(plan), key, Vec::new(), wait_ms);
        }
    }

    /// Whether another exchange may begin.
    fn check_room(&self, key: &FlightKey) -> Result<(), Error> {
        let under_way = *self.under_way.of(&key.token);
        match key.token.is_own() {
            true => check_bound(under_way, MAX_FLIGHTS, "exchanges"),
            false => check_bound(under_way, MAX_USER_FLIGHTS, "exchanges for users"),
        }
    }

    fn launch(&mut self, plan: Rc<Plan>, key: &FlightKey, waiters: Vec<u64>, wait_ms: u64) {
        let begun = Rc::new(Cell::new(false));
        #[cfg(feature = "every-credential")]
        let shared = token_store::Flown {
            key: key.token.clone(),
            known: self.cached_as(&key.token),
            demands: Demands::of(waiters.iter().filter_map(|ticket| {
                match self.callers.get(ticket)? {
                    Caller::Token(waiter) => Some(&waiter.refresh),
                    Caller::Alone(_) => None,
                }
            })),
        };
        let flight = Flight {
            plan: Rc::clone(&plan),
            waiters,
            gone: 0,
            task: 0,
            begun: Rc::clone(&begun),
            patience: Patience::default(),
            #[cfg(feature = "every-credential")]
            demands: shared.demands.clone(),
        };
        self.flights.insert(key.clone(), flight);
        *self.under_way.of_mut(&key.token) += 1;
        let io = self.io.clone();
        let flown = key.clone();
        let future = Box::pin(async move {
            if wait_ms > 0 {
                io.sleep_ms(wait_ms).await;
            }
            #[cfg(feature = "every-credential")]
            let _turn = match flown.token.is_own() {
                true => None,
                false => match race(io.users_turn(), io.sleep_ms(FLIGHT_TIMEOUT_MS)).await {
                    Ok(turn) => Some(turn),
                    Err(()) => return Ended::Token(Err(no_turn())),
                },
            };
            begun.set(true);
            let claims = flown.claims.as_deref();
            #[cfg(feature = "every-credential")]
            let acquired = token_store::acquire(&io, &plan, claims, shared).await;
            #[cfg(not(feature = "every-credential"))]
            let acquired = acquire(&io, &plan, claims).await;
            Ended::Token(acquired)
        });
        let task = self.start(Purpose::Flight(key.clone()), future);
        if let Some(flight) = self.flights.get_mut(key) {
            flight.task = task;
        }
    }

    fn remove_flight(&mut self, key: &FlightKey) -> Option<Flight> {
        let flight = self.flights.remove(key)?;
        *self.under_way.of_mut(&key.token) -= 1;
        if let Patience::Until(task) = flight.patience {
            self.tasks.remove(&task);
        }
        Some(flight)
    }

    fn start_alone(&mut self, ticket: Ticket, future: Pin<Box<dyn Future<Output = Ended>>>) {
        let task = self.start(Purpose::Alone(ticket), future);
        if self.tasks.contains_key(&task) {
            self.callers.insert(ticket.0, Caller::Alone(task));
        }
    }

    /// The cached token, which one of the token store has to be better than.
    #[cfg(feature = "every-credential")]
    fn cached_as(&mut self, key: &CacheKey) -> Option<Known> {
        let (entry, _) = self.cache.usable(key, self.io.now())?;
        Some(entry.known())
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
                self.answer_alone(ticket, Completed::Assertion(result));
            }
            (Purpose::Alone(ticket), Ended::Trials(trials)) => {
                self.answer_alone(ticket, Completed::Trials(trials));
            }
            #[cfg(feature = "every-credential")]
            (Purpose::Alone(ticket), Ended::Authorization(result)) => {
                self.answer_alone(ticket, Completed::Authorization(result));
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
            .filter_map(|ticket| match self.callers.get(&ticket)? {
                Caller::Token(waiter) => Some((ticket, waiter.fallback)),
                Caller::Alone(_) => None,
            })
            .partition::<Vec<_>, _>(|(_, fallback)| *fallback);
        flight.gone = 0;
        flight.waiters = waiters.into_iter().map(|(ticket, _)| ticket).collect();
        for (ticket, _) in served {
            if let Some(waiter) = self.waiter(ticket) {
                self.answer(ticket, &waiter, Ok(old.clone()));
            }
        }
    }

    /// Who waits with that ticket, if he still does.
    fn waiter(&mut self, ticket: u64) -> Option<Waiter> {
        match self.callers.remove(&ticket)? {
            Caller::Token(waiter) => Some(waiter),
            Caller::Alone(_) => None,
        }
    }

    fn answer(&mut self, ticket: u64, waiter: &Waiter, answer: Result<AccessToken, Error>) {
        let waiting = self.waiting.of_mut(&waiter.flight.token);
        *waiting = waiting.saturating_sub(1);
        self.completed.insert(ticket, Completed::Token(answer));
    }

    fn answer_alone(&mut self, ticket: Ticket, completed: Completed) {
        self.callers.remove(&ticket.0);
        self.assertions = self.assertions.saturating_sub(1);
        self.completed.insert(ticket.0, completed);
    }

    fn land(&mut self, flown: &FlightKey, result: Result<Acquired, Error>) {
        let Some(flight) = self.remove_flight(flown) else {
            return;
        };
        match result {
            Ok(acquired) => self.landed_with(flown, flight, acquired),
            Err(error) => {
                let error = self.name_identity(error, Some(&flown.token.identity));
                self.landed_without(flown, flight, &error);
            }
        }
    }

    fn landed_with(&mut self, flown: &FlightKey, flight: Flight, acquired: Acquired) {
        let key = &flown.token;
        #[cfg(feature = "every-credential")]
        let kept_as = self.kept_as(&flight.plan, key);
        let waiters = flight.waiters;
        let holds = self.holds.of_mut(key).map_mut();
        holds.remove(flown);
        holds.remove(&flown.plain(&self.seed));
        #[cfg(feature = "every-credential")]
        let from_store = acquired.from_store;
        #[cfg(not(feature = "every-credential"))]
        let from_store = false;
        if !from_store {
            self.activity
                .count(&key.identity, |counters| counters.exchanges += 1);
        }
        let epoch = self.epochs.get(&key.identity).copied().unwrap_or(0);
        let is_wanted = self.note_generation(key, &acquired)
            && flown.epoch == epoch
            && !key.grant.kind.is_single_use();
        #[cfg(feature = "every-credential")]
        let is_wanted = is_wanted && kept_as.is_some();
        #[cfg(feature = "every-credential")]
        let kept_as = kept_as.as_ref().unwrap_or(key);
        #[cfg(not(feature = "every-credential"))]
        let kept_as = key;
        let (token, lives) = if is_wanted {
            let claims = flown.claims.clone();
            self.cache.insert(&self.io, kept_as, acquired, claims)
        } else {
            (self.cache.hand_out(&self.io, key, acquired), true)
        };
        if let Some(pace) = self.paces.of_mut(key).map_mut().get_mut(&flown.pace()) {
            match lives {
                true => pace.succeeded(self.io.now().mono_ms),
                false => pace.failed(None),
            }
        }
        let old = (!lives).then(|| self.keep_old(flown, None)).flatten();
        let mut source = match from_store {
            true => TokenSource::Cache,
            false => TokenSource::Exchange,
        };
        for ticket in waiters {
            let Some(waiter) = self.waiter(ticket) else {
                continue;
            };
            let old = old.clone().filter(|_| waiter.fallback);
            let token = old.unwrap_or_else(|| AccessToken {
                source,
                ..token.clone()
            });
            if !from_store {
                source = TokenSource::SharedExchange;
            }
            self.answer(ticket, &waiter, Ok(token));
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
        if let Some(pace) = self.paces.of_mut(key).map_mut().get_mut(&flown.pace()) {
            pace.failed(Some(error));
        }
        let old = self.keep_old(flown, error.detail().retry_after_ms);
        let claims_refused = flown.claims.as_ref().filter(|_| is_final(error));
        if let Some(claims) = claims_refused {
            self.cache.claims_refused(key, claims, now);
        }
        for ticket in flight.waiters {
            let Some(waiter) = self.waiter(ticket) else {
                continue;
            };
            let fallback = old.clone().filter(|_| waiter.fallback);
            match fallback {
                Some(old) => self.answer(ticket, &waiter, Ok(old)),
                // whose claims they were is told; who has none of his own gets what there is without
                None if claims_refused.is_some() && !waiter.own_claims => {
                    self.ask_without_claims(&flight.plan, ticket, waiter);
                }
                None => self.answer(ticket, &waiter, Err(error.clone())),
            }
        }
    }

    fn ask_without_claims(&mut self, plan: &Rc<Plan>, ticket: u64, mut waiter: Waiter) {
        waiter.flight = waiter.flight.plain(&self.seed);
        let wait_ms = match self.flights.contains_key(&waiter.flight) {
            true => Ok(0),
            false => self.begin_exchange(&waiter.flight, self.io.now()),
        };
        match wait_ms {
            Ok(wait_ms) => self.board(Rc::clone(plan), ticket, waiter, wait_ms),
            Err(error) => self.answer(ticket, &waiter, Err(error)),
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
        let bound = match flown.token.is_own() {
            true => MAX_CACHED_TOKENS,
            false => MAX_USER_PACES,
        };
        let holds = self.holds.of_mut(&flown.token);
        holds.sweep(now.mono_ms);
        let hold = Hold {
            until_mono_ms: now.mono_ms.saturating_add(ms),
            error: error.clone(),
            by_server,
            for_all,
        };
        let of = if for_all {
            flown.plain(&self.seed)
        } else {
            flown.clone()
        };
        let known = holds.map().get(&of);
        let has_room = known.is_some() || holds.map().len() < bound;
        if has_room && known.is_none_or(|known| known.until_mono_ms <= hold.until_mono_ms) {
            holds.insert(of, hold);
        }
    }

    /// Assertions, and what others have put into the token store up to now.
    #[cfg(feature = "every-credential")]
    fn forget_shared(&self, now: Now, identity: Option<&str>) {
        self.io.forget_assertions();
        let names = self.config.identities.keys();
        for name in names.filter(|name| identity.is_none_or(|identity| identity == *name)) {
            self.io
                .token_store(|standing| standing.forget_before(name, now.unix_ms));
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

/// Of a code that is presented while it is being redeemed.
fn under_redemption() -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        "this authorization code is being redeemed by another call, and a code is good for one",
    )
    .hint("redeem each code once: the call that came first gets the tokens")
}

/// Of an exchange for a user whose turn did not come.
#[cfg(feature = "every-credential")]
fn no_turn() -> Error {
    let message = format!(
        "no turn in time: {MAX_USER_EXCHANGES} exchanges for users are under way at once, and others came before"
    );
    Error::new(ErrorClass::Busy, message)
        .retryable()
        .hint("ask again later, or spread the users over several instances")
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
            .field("callers", &self.callers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod users;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::grant::tests::{allow_every_grant, any_grant};
    use crate::{Environment, Grant, HttpRequest, HttpResponse, SecretBytes};

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

    /// Whether the token that is asked for is an agent's assertion.
    fn is_for_an_assertion(request: &HttpRequest) -> bool {
        let form = String::from_utf8_lossy(request.body.expose());
        form.contains("scope=api%3A%2F%2FAzureADTokenExchange%2F.default")
    }

    fn assertion() -> String {
        r#"{"access_token":"e30.e30.c2ln","token_type":"Bearer","expires_in":600}"#.to_owned()
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
                    match effect {
                        // what an agent is vouched for with is the same for all of its users
                        Effect::Http { request, .. } if is_for_an_assertion(&request) => {
                            engine.complete(id, response(200, assertion()), now);
                        }
                        Effect::Http { .. } => open.push(id),
                        _ => {}
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
        assert!(!format!("{:?}", engine.holds).contains("alice"));
    }
}
