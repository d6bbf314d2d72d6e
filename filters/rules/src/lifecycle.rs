//! How the tokens of one plugin in one VM live: asked for when due, shared, replaced when refused, dropped when expired.
//!
//! A VM asks only while it has the lease of a token ([`crate::share`]). One that takes over begins with an empty
//! engine and the token that was published, which it serves and renews when that is due.

use edgepass_core::config::envoy::EnvoySharing;
use edgepass_core::{
    AccessToken, Completed, Config, EffectId, Engine, Error, ErrorClass, Moments, Now, Outcome,
    Refresh, RejectionOutcome, Reply, Table, Ticket, TokenRequest, TokenSource, challenge, limits,
};

use crate::callers::{CallerKey, CallerRequest};
use crate::host::{Driver, Host, Level};
use crate::module::HAS_CALLERS;
use crate::requests::{Outage, Requests, Wanted};
use crate::settings::Settings;
use crate::share::{self, Rejection, Shared};
use crate::token::{Flight, TokenState};

/// First wait after an acquisition that failed while there is no token at all, milliseconds; it doubles up to
/// [`MAX_RETRY_MS`], each drawn from 50 to 150 %. The engine has made its own attempts before that.
const RETRY_MS: u64 = 500;

/// The longest such wait, milliseconds: how late at most an outage's end is seen.
const MAX_RETRY_MS: u64 = 8_000;

/// How long after one caller's failure was logged no other's is, milliseconds.
const QUIET_MS: u64 = 1_000;

/// How long after the start the ticks come fast whether or not a request waits, milliseconds.
const START_MS: u64 = 2_000;

/// The tokens of one plugin in one VM, and the engine that gets them.
pub struct Lifecycle {
    engine: Engine,
    tokens: Vec<TokenState>,
    /// What was asked for callers.
    asking: Table<Ticket, Asking>,
    /// A failure of a caller's is not logged before that, monotonic milliseconds.
    quiet_until_ms: u64,
    sharing: EnvoySharing,
    /// This VM's name in leases.
    owner: u64,
    /// Until then on the monotonic clock the ticks come fast.
    starts_until_ms: u64,
}

impl Lifecycle {
    /// Of that configuration, of which `settings` is the section. `seed` must be unpredictable, and another one in
    /// each VM.
    pub fn new(mut config: Config, settings: &Settings, seed: [u8; 32], host: &impl Host) -> Self {
        if HAS_CALLERS {
            let mib = &mut config.host.user_token_cache_mib;
            *mib = mib.or_else(|| u64::try_from(limits::PROXY_USER_TOKENS_MIB).ok());
        }
        let tokens: Vec<TokenState> = settings
            .tokens
            .iter()
            .map(|request| TokenState::new(request, &config))
            .collect();
        if settings.sharing == EnvoySharing::PerProcess {
            for token in &tokens {
                share::prepare(host, &token.keys);
            }
        }
        let owner = seed
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            engine: Engine::new(config, seed),
            tokens,
            asking: Table::new(),
            quiet_until_ms: 0,
            sharing: settings.sharing,
            owner,
            starts_until_ms: host.now().mono_ms.saturating_add(START_MS),
        }
    }

    /// Lets time pass, and does all that can be done now.
    pub fn advance<H: Host>(&mut self, requests: &Requests<H>, driver: &mut impl Driver) {
        let now = requests.now();
        if self
            .engine
            .next_deadline()
            .is_some_and(|at| at <= now.mono_ms)
        {
            self.engine.wake(now);
        }
        let mut turn = Turn {
            lifecycle: self,
            requests,
            driver,
            now,
        };
        for index in 0..turn.lifecycle.tokens.len() {
            turn.tend(index);
        }
        if HAS_CALLERS {
            let wanted = requests.take_wanted().into_iter();
            wanted.for_each(|wanted| turn.ask_for_caller(wanted));
        }
        turn.pump();
        for (index, token) in self.tokens.iter_mut().enumerate() {
            if token.expire(now) {
                requests.withdraw(index);
            }
            requests.outage(
                index,
                known_outage(token, self.sharing, requests.host(), now),
            );
        }
        let (tokens, sharing) = (&self.tokens, self.sharing);
        requests.answer_overdue(now.mono_ms, |index| {
            let token = tokens.get(index)?;
            let own = token.error.map(str::to_owned);
            own.or_else(|| published_error(token, sharing, requests.host()).map(|error| error.0))
        });
        let starting = now.mono_ms < self.starts_until_ms
            && self.tokens.iter().any(|token| token.current.is_none());
        requests.pace(starting || self.engine.has_work() || requests.has_held());
    }

    /// Takes in what became of an effect, and goes on from there.
    pub fn complete<H: Host>(
        &mut self,
        id: EffectId,
        outcome: Outcome,
        requests: &Requests<H>,
        driver: &mut impl Driver,
    ) {
        self.engine.complete(id, outcome, requests.now());
        self.advance(requests, driver);
    }
}

/// The engine has been asked for the token of a caller.
struct Asking {
    key: CallerKey,
    since_mono_ms: u64,
}

/// One call of [`Lifecycle::advance`], during which time stands still.
struct Turn<'a, H, D> {
    lifecycle: &'a mut Lifecycle,
    requests: &'a Requests<H>,
    driver: &'a mut D,
    now: Now,
}

impl<H: Host, D: Driver> Turn<'_, H, D> {
    /// Takes in what other VMs and the requests say about a token, and asks for another if that is due.
    fn tend(&mut self, index: usize) {
        let (now, requests, host) = (self.now, self.requests, self.requests.host());
        let (owner, sharing) = (self.lifecycle.owner, self.lifecycle.sharing);
        let Some(token) = self.lifecycle.tokens.get_mut(index) else {
            return;
        };
        if let Some(rejection) = requests.take_rejection(index) {
            token.refused(rejection);
        }
        if sharing == EnvoySharing::PerProcess {
            if let Some(shared) = share::token(host, &token.keys)
                && token.take_over(shared, now)
            {
                token.serve(index, requests, now);
            }
            if !share::lead(host, &token.keys, owner, now.unix_ms) {
                token.report(host, now);
                if requests.is_suspended(index) && share::error(host, &token.keys).is_some() {
                    // the one that asks has found no other
                    requests.serve_on(index);
                }
                return;
            }
            if let Some(rejection) = share::take_report(host, &token.keys) {
                token.refused(rejection);
            }
        }
        if token.flight.is_some() || now.mono_ms < token.retry_at_mono_ms {
            return;
        }
        if let Some(rejection) = token.rejected.clone() {
            self.replace(index, &rejection);
        } else if token.is_due(now) {
            let cached = self.lifecycle.engine.cached(now, &token.request);
            let request = token.renewal(cached.as_ref());
            self.ask(index, &request);
        }
    }

    /// Finds another token in place of one that was refused. That one is served until it is there.
    fn replace(&mut self, index: usize, rejection: &Rejection) {
        let Some(token) = self.lifecycle.tokens.get_mut(index) else {
            return;
        };
        let header = rejection.www_authenticate.as_deref();
        let mut request = TokenRequest {
            // a failure is a failure, although there is a token that the engine would serve
            refresh: Refresh::IfTokenIs(rejection.sha256.clone()),
            ..token.request.clone()
        };
        if !token.engine_knows {
            let (engine, now) = (&mut self.lifecycle.engine, self.now);
            match engine.report_rejection(now, &request, &rejection.sha256, header) {
                Ok(RejectionOutcome::Kept) => {
                    self.publish_kept(index);
                    return;
                }
                // the engine has taken its claims in
                Ok(RejectionOutcome::Invalidated) => token.engine_knows = true,
                // another VM got it, so this engine does not know it
                Ok(RejectionOutcome::AlreadyReplaced) | Err(_) => {
                    request.claims = header
                        .and_then(challenge::from_www_authenticate)
                        .and_then(|challenge| challenge.claims);
                }
            }
        }
        self.ask(index, &request);
    }

    /// Asks for the token of a caller.
    fn ask_for_caller(&mut self, wanted: Wanted) {
        let settings = self.requests.settings();
        let rule = settings.rules.get(wanted.key.rule);
        let Some(caller) = rule.and_then(|rule| rule.caller.as_ref()) else {
            return;
        };
        let mut request = caller.of(&wanted.subject);
        if let Some(sha256) = wanted.instead_of {
            request.refresh = Refresh::IfTokenIs(sha256);
        }
        let asking = Asking {
            key: wanted.key,
            since_mono_ms: self.now.mono_ms,
        };
        match self.lifecycle.engine.request(self.now, &request) {
            Reply::Ready(result) => self.answer_caller(&asking, result),
            Reply::Pending(ticket) => {
                self.lifecycle.asking.insert(ticket, asking);
            }
        }
    }

    /// The engine has answered what it was asked for a caller.
    fn answer_caller(&mut self, asking: &Asking, result: Result<AccessToken, Error>) {
        let settings = self.requests.settings();
        let rule = settings.rules.get(asking.key.rule);
        let Some((rule, caller)) = rule.and_then(|rule| rule.caller.as_ref().map(|of| (rule, of)))
        else {
            return;
        };
        let result = CallerRequest::fit(result, &rule.header);
        let asked = &caller.request;
        match &result {
            Ok(granted) if granted.source == TokenSource::Exchange => {
                let took_ms = self.now.mono_ms.saturating_sub(asking.since_mono_ms);
                self.driver.refreshed(asked, granted.expires_on, took_ms);
            }
            Ok(_) => {}
            Err(error) => {
                self.driver.failed(asked, error);
                self.log_caller(asked, error);
            }
        }
        self.requests.answer_caller(&asking.key, &result);
    }

    /// Callers come with what they like, so not each of their failures is a line.
    fn log_caller(&mut self, asked: &TokenRequest, error: &Error) {
        if self.now.mono_ms < self.lifecycle.quiet_until_ms {
            return;
        }
        self.lifecycle.quiet_until_ms = self.now.mono_ms.saturating_add(QUIET_MS);
        let line = format!(
            "identity {}, {}: no access token for a caller ({}): {}",
            asked.identity.as_deref().unwrap_or_default(),
            asked.scopes.join(" "),
            error.class().name(),
            with_hint(error),
        );
        self.requests.host().log(Level::Warn, &line);
    }

    fn ask(&mut self, index: usize, request: &TokenRequest) {
        match self.lifecycle.engine.request(self.now, request) {
            Reply::Ready(result) => self.answered(index, result, self.now.mono_ms),
            Reply::Pending(ticket) => {
                if let Some(token) = self.lifecycle.tokens.get_mut(index) {
                    token.flight = Some(Flight {
                        ticket,
                        since_mono_ms: self.now.mono_ms,
                    });
                }
            }
        }
    }

    /// The engine has answered what it was asked at that time.
    fn answered(&mut self, index: usize, result: Result<AccessToken, Error>, since_mono_ms: u64) {
        let (now, host, sharing) = (self.now, self.requests.host(), self.lifecycle.sharing);
        let Some(token) = self.lifecycle.tokens.get_mut(index) else {
            return;
        };
        token.flight = None;
        match result {
            Ok(granted)
                if granted.moments(now).expires.reached(now)
                    && !token.is_current(&granted.token) =>
            {
                let error = Error::new(
                    ErrorClass::InvalidResponse,
                    "the token server's token has ended already, by its own word (expires_in)",
                );
                self.failed(index, &error);
            }
            Ok(granted) => {
                token.failures = 0;
                token.error = None;
                let sha256 = granted.token.sha256_hex();
                if let Some(current) = token.current.as_mut().filter(|old| old.sha256 == sha256) {
                    // there is no newer one
                    current.shared.refresh = granted.moments(now).refresh;
                    token.retry_at_mono_ms = now.mono_ms.saturating_add(RETRY_MS);
                    if token.rejected.is_some() {
                        self.publish_kept(index);
                    }
                    return;
                }
                let took_ms = now.mono_ms.saturating_sub(since_mono_ms);
                self.driver
                    .refreshed(&token.request, granted.expires_on, took_ms);
                let lasts_s = granted.expires_on.saturating_sub(now.unix_s());
                host.log(
                    Level::Info,
                    &format!("{}: a new access token, good for {lasts_s} s", token.name),
                );
                let Moments { expires, refresh } = granted.moments(now);
                let shared = Shared {
                    version: token.next_version(host, sharing),
                    expires,
                    refresh,
                    kept_until_ms: 0,
                    token: granted.token,
                };
                self.publish(index, shared);
            }
            Err(error) => self.failed(index, &error),
        }
    }

    /// No token came that can be served. The one that there is is served on.
    fn failed(&mut self, index: usize, error: &Error) {
        let (now, host) = (self.now, self.requests.host());
        let Lifecycle {
            engine,
            tokens,
            sharing,
            ..
        } = &mut *self.lifecycle;
        let Some(token) = tokens.get_mut(index) else {
            return;
        };
        let cached = engine.cached(now, &token.request);
        let nth = token.failures.saturating_add(1);
        let wait_ms = engine.backoff_ms(RETRY_MS, MAX_RETRY_MS, nth);
        token.failed(error, cached.as_ref(), now, wait_ms);
        if let Some(rejection) = token
            .rejected
            .as_mut()
            .filter(|_| !error.detail().retryable)
        {
            // what its challenge asks for may be what the server refuses
            rejection.www_authenticate = None;
        }
        if *sharing == EnvoySharing::PerProcess {
            let wait_ms = token.retry_at_mono_ms.saturating_sub(now.mono_ms);
            let next_unix_ms = now.unix_ms.saturating_add(wait_ms);
            share::publish_error(host, &token.keys, error.class().name(), next_unix_ms);
        }
        self.requests.serve_on(index);
        self.driver.failed(&token.request, error);
        host.log(
            Level::Warn,
            &format!(
                "{}: no new access token ({}): {}",
                token.name,
                error.class().name(),
                with_hint(error)
            ),
        );
    }

    fn publish_kept(&mut self, index: usize) {
        let (host, now) = (self.requests.host(), self.now);
        let Some(token) = self.lifecycle.tokens.get_mut(index) else {
            return;
        };
        let Some(current) = &mut token.current else {
            return;
        };
        // the engine may have planned to look for another one sooner
        if let Some(cached) = self.lifecycle.engine.cached(now, &token.request)
            && cached.refresh_on < current.shared.refresh.unix_s()
            && cached.token == current.shared.token
        {
            current.shared.refresh = cached.moments(now).refresh;
        }
        if current.shared.kept_until_ms > now.unix_ms {
            // all know that already
            token.rejected = None;
            token.engine_knows = false;
            token.serve(index, self.requests, now);
            return;
        }
        let current = current.shared.clone();
        let shared = Shared {
            version: token.next_version(host, self.lifecycle.sharing),
            kept_until_ms: now.unix_ms.saturating_add(limits::REJECTION_COOLDOWN_MS),
            ..current
        };
        host.log(
            Level::Warn,
            &format!(
                "{}: the upstream refuses what the token server gives; asking again so soon would not help, so this access token is kept for now",
                token.name
            ),
        );
        self.publish(index, shared);
    }

    fn publish(&mut self, index: usize, shared: Shared) {
        let Some(token) = self.lifecycle.tokens.get_mut(index) else {
            return;
        };
        if self.lifecycle.sharing == EnvoySharing::PerProcess {
            share::publish(self.requests.host(), &token.keys, &shared);
        }
        token.take_over(shared, self.now);
        token.serve(index, self.requests, self.now);
    }

    /// Performs effects and hands out answers until there are none of either.
    fn pump(&mut self) {
        loop {
            let engine = &mut self.lifecycle.engine;
            if let Some((ticket, completed)) = engine.next_completed() {
                let mut tokens = self.lifecycle.tokens.iter().enumerate();
                let found = tokens.find_map(|(index, token)| {
                    let flight = token.flight.as_ref().filter(|f| f.ticket == ticket)?;
                    Some((index, flight.since_mono_ms))
                });
                let Completed::Token(result) = completed else {
                    continue;
                };
                if let Some((index, since)) = found {
                    self.answered(index, result, since);
                } else if HAS_CALLERS && let Some(asking) = self.lifecycle.asking.remove(&ticket) {
                    self.answer_caller(&asking, result);
                }
            } else if let Some((id, effect)) = engine.next_effect() {
                if let Some(outcome) = self.driver.begin(id, effect) {
                    self.lifecycle.engine.complete(id, outcome, self.now);
                }
            } else if let Some(notice) = engine.next_notice() {
                self.requests.host().log(Level::Warn, &notice);
            } else {
                return;
            }
        }
    }
}

/// An error and what to do about it, in one line.
fn with_hint(error: &Error) -> String {
    let hint = error.detail().hint.as_deref().unwrap_or_default();
    let separator = if hint.is_empty() { "" } else { "; " };
    format!("{error}{separator}{hint}")
}

/// Why no token came, as the VM that asks has published it, and when it asks again, Unix milliseconds.
fn published_error(
    token: &TokenState,
    sharing: EnvoySharing,
    host: &impl Host,
) -> Option<(String, u64)> {
    match sharing {
        EnvoySharing::PerProcess => share::error(host, &token.keys),
        EnvoySharing::PerVm => None,
    }
}

/// What this VM knows about a token that is not there, or what the VM knows that asks for it.
fn known_outage(
    token: &TokenState,
    sharing: EnvoySharing,
    host: &impl Host,
    now: Now,
) -> Option<Outage> {
    if token.current.is_some() || token.flight.is_some() {
        return None;
    }
    token.outage(now).or_else(|| {
        let (class, next_unix_ms) = published_error(token, sharing, host)?;
        // a wait that is longer than any was published before the clock was set back
        let wait_ms = next_unix_ms.saturating_sub(now.unix_ms);
        (1..=limits::MAX_RETRY_AFTER_MS)
            .contains(&wait_ms)
            .then(|| Outage {
                class,
                next_attempt_mono_ms: now.mono_ms.saturating_add(wait_ms),
            })
    })
}
