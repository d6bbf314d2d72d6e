//! How the tokens of one plugin in one VM live: asked for when due, shared, replaced when refused, dropped when expired.
//!
//! A VM asks only while it has the lease of a token ([`crate::share`]). One that takes over begins with an empty
//! engine and the token that was published, which it serves and renews when that is due.

use edgepass_core::config::envoy::EnvoySharing;
use edgepass_core::{
    AccessToken, Completed, Config, EffectId, Engine, Error, Now, Outcome, Refresh,
    RejectionOutcome, Reply, TokenRequest, challenge, limits,
};

use crate::host::{Driver, Host, Level};
use crate::requests::Requests;
use crate::settings::Settings;
use crate::share::{self, Rejection, Shared};
use crate::token::{Flight, TokenState};

/// First wait after an acquisition that failed while there is no token at all, milliseconds; it doubles up to
/// [`MAX_RETRY_MS`], each drawn from 50 to 150 %. The engine has made its own attempts before that.
const RETRY_MS: u64 = 500;

/// The longest such wait, milliseconds: how late at most an outage's end is seen.
const MAX_RETRY_MS: u64 = 8_000;

/// How long after the start the ticks come fast whether or not a request waits, milliseconds.
const START_MS: u64 = 2_000;

/// The tokens of one plugin in one VM, and the engine that gets them.
pub struct Lifecycle {
    engine: Engine,
    tokens: Vec<TokenState>,
    sharing: EnvoySharing,
    /// This VM's name in leases.
    owner: u64,
}

impl Lifecycle {
    /// Of that configuration, of which `settings` is the section. `seed` must be unpredictable, and another one in
    /// each VM.
    pub fn new(config: Config, settings: &Settings, seed: [u8; 32], host: &impl Host) -> Self {
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
            sharing: settings.sharing,
            owner,
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
        turn.pump();
        for (index, token) in self.tokens.iter_mut().enumerate() {
            if token.expire(now) {
                requests.withdraw(index);
            }
        }
        let (tokens, sharing) = (&self.tokens, self.sharing);
        requests.answer_overdue(now.mono_ms, |index| {
            let token = tokens.get(index)?;
            match (token.error, sharing) {
                (Some(class), _) => Some(class.to_owned()),
                (None, EnvoySharing::PerProcess) => share::error(requests.host(), &token.keys),
                (None, EnvoySharing::PerVm) => None,
            }
        });
        let starting =
            now.mono_ms < START_MS && self.tokens.iter().any(|token| token.current.is_none());
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
            let request = token.renewal();
            self.ask(index, &request);
        }
    }

    /// Finds another token in place of one that was refused.
    fn replace(&mut self, index: usize, rejection: &Rejection) {
        let Some(token) = self.lifecycle.tokens.get_mut(index) else {
            return;
        };
        let request = token.request.clone();
        let header = rejection.www_authenticate.as_deref();
        let outcome =
            self.lifecycle
                .engine
                .report_rejection(self.now, &request, &rejection.sha256, header);
        match outcome {
            Ok(RejectionOutcome::Kept) => {
                self.publish_kept(index);
                return;
            }
            Ok(RejectionOutcome::Invalidated) => {
                self.ask(index, &request);
                return;
            }
            // another VM got it, so this engine does not know it
            Ok(RejectionOutcome::AlreadyReplaced) | Err(_) => {}
        }
        let claims = header
            .and_then(challenge::from_www_authenticate)
            .and_then(|challenge| challenge.claims);
        let request = TokenRequest {
            refresh: Refresh::IfTokenIs(rejection.sha256.clone()),
            claims,
            ..request
        };
        self.ask(index, &request);
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
            Ok(granted) => {
                token.failures = 0;
                token.error = None;
                let sha256 = granted.token.sha256_hex();
                if let Some(current) = token.current.as_mut().filter(|old| old.sha256 == sha256) {
                    // the one that is served already, for want of a newer one
                    current.shared.refresh_on = granted.refresh_on;
                    token.retry_at_mono_ms = now.mono_ms.saturating_add(RETRY_MS);
                    return;
                }
                let took_ms = now.mono_ms.saturating_sub(since_mono_ms);
                self.driver
                    .refreshed(&token.identity, granted.expires_on, took_ms);
                let lasts_s = granted.expires_on.saturating_sub(now.unix_s());
                host.log(
                    Level::Info,
                    &format!(
                        "edgepass: identity {}: a new access token, good for {lasts_s} s",
                        token.identity
                    ),
                );
                let shared = Shared {
                    version: token.next_version(host, sharing),
                    expires_on: granted.expires_on,
                    refresh_on: granted.refresh_on,
                    kept_until_ms: 0,
                    token: granted.token,
                };
                self.publish(index, shared);
            }
            Err(error) => {
                let engine = &mut self.lifecycle.engine;
                let cached = engine.cached(now, &token.request);
                let nth = token.failures.saturating_add(1);
                let wait_ms = engine.backoff_ms(RETRY_MS, MAX_RETRY_MS, nth);
                token.failed(&error, cached.as_ref(), now, wait_ms);
                if sharing == EnvoySharing::PerProcess {
                    share::publish_error(host, &token.keys, error.class().name());
                }
                self.driver.failed(&error);
                let hint = error.detail().hint.as_deref().unwrap_or_default();
                let separator = if hint.is_empty() { "" } else { "; " };
                host.log(
                    Level::Warn,
                    &format!(
                        "edgepass: identity {}: no new access token ({}): {error}{separator}{hint}",
                        token.identity,
                        error.class().name()
                    ),
                );
            }
        }
    }

    fn publish_kept(&mut self, index: usize) {
        let host = self.requests.host();
        let Some(token) = self.lifecycle.tokens.get(index) else {
            return;
        };
        let Some(current) = &token.current else {
            return;
        };
        let shared = Shared {
            version: token.next_version(host, self.lifecycle.sharing),
            kept_until_ms: self
                .now
                .unix_ms
                .saturating_add(limits::REJECTION_COOLDOWN_MS),
            ..current.shared.clone()
        };
        host.log(
            Level::Warn,
            &format!(
                "edgepass: identity {}: the upstream refuses fresh access tokens too; their age is not the cause, so this one is kept",
                token.identity
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
                if let (Some((index, since)), Completed::Token(result)) = (found, completed) {
                    self.answered(index, result, since);
                }
            } else if let Some((id, effect)) = engine.next_effect() {
                if let Some(outcome) = self.driver.begin(id, effect) {
                    self.lifecycle.engine.complete(id, outcome, self.now);
                }
            } else {
                return;
            }
        }
    }
}
