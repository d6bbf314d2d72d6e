//! The engine: requests in, effects out, outcomes in, answers out.

mod flight;
mod hold;
mod key;
mod landing;
mod request;
mod resolve;
mod room;
mod task;

use std::rc::Rc;

use crate::acquire::{Plan, assertion_alone, try_credentials};
use crate::cache::{Cache, Freshness, Shares};
use crate::effect::{Effect, EffectId, Outcome};
use crate::flow::Io;
#[cfg(feature = "every-credential")]
use crate::flow::race;
use crate::keyed::{ById, Keyed, Lasting, Seed};
use crate::limits::MAX_ASSERTIONS;
use crate::pace::ExchangePace;
use crate::secret::sha256_hex;
use crate::status::Activity;
use crate::{
    AccessToken, ClientAssertion, Config, CredentialTrial, Error, IdentityStatus, Now, Refresh,
    RejectionOutcome, Table, TokenRequest, challenge, retry,
};
#[cfg(feature = "every-credential")]
use crate::{
    AuthorizationOptions, AuthorizationRequest, ErrorClass, Secret, authorization_request,
    token_store,
};
use flight::{Caller, Flight};
use hold::Hold;
use key::{FlightKey, PaceKey};
use resolve::Resolved;
use room::check_bound;
use task::{Ended, Task};

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
    ///
    /// # Errors
    ///
    /// When there is no such identity or it has no tenant, or [`MAX_ASSERTIONS`] are asked for already.
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

    /// Takes a report that a resource refused a token. `token_sha256` is the digest of that one in lower-case hexadecimal digits,
    /// and `www_authenticate` the header that came with the refusal.
    ///
    /// # Errors
    ///
    /// When no token could be asked for by that request, or the claims of the header are no JSON.
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
    fn new_ticket(&mut self) -> Ticket {
        self.last_id += 1;
        Ticket(self.last_id)
    }

    /// Assertions, and what others have put into the token store up to now.
    #[cfg(feature = "every-credential")]
    fn forget_shared(&self, now: Now, identity: Option<&str>) {
        self.io.forget_assertions(identity);
        let names = self.config.identities.keys();
        for name in names.filter(|name| identity.is_none_or(|identity| identity == *name)) {
            self.io
                .token_store(|standing| standing.forget_before(name, now.unix_ms));
        }
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
mod tests;
