//! One token that the rules need: the one that is served, whether it was refused, and when the next is asked for.

use edgepass_core::config::IdentityConfig;
use edgepass_core::config::envoy::EnvoySharing;
use edgepass_core::{
    AccessToken, Config, Error, Now, Refresh, Secret, Ticket, TokenRequest, limits,
};

use crate::host::Host;
use crate::requests::{Outage, Requests};
use crate::rule::identity_of;
use crate::share::{self, Keys, Rejection, Shared};

/// How often a VM reminds the one with the lease of a refused token, milliseconds: that one may have died meanwhile.
const REPORT_AGAIN_MS: u64 = 1_000;

/// A token's state in one VM.
pub(crate) struct TokenState {
    pub(crate) keys: Keys,
    pub(crate) request: TokenRequest,
    /// Whose it is and what for, as messages begin.
    pub(crate) name: String,
    pub(crate) current: Option<Current>,
    /// The publication that was taken over last. One that has ended is not taken over again, whatever a wall clock that
    /// was set back says of its end.
    taken: u64,
    /// The current one was refused.
    pub(crate) rejected: Option<Rejection>,
    /// The engine knows that.
    pub(crate) engine_knows: bool,
    reported_at_mono_ms: Option<u64>,
    pub(crate) flight: Option<Flight>,
    /// The engine is not asked before that.
    pub(crate) retry_at_mono_ms: u64,
    pub(crate) failures: u32,
    /// The class of the last failure, if nothing has come since.
    pub(crate) error: Option<&'static str>,
}

/// The token that is served.
pub(crate) struct Current {
    pub(crate) shared: Shared,
    pub(crate) sha256: String,
}

/// The engine has been asked.
pub(crate) struct Flight {
    pub(crate) ticket: Ticket,
    pub(crate) since_mono_ms: u64,
}

impl TokenState {
    pub(crate) fn new(request: &TokenRequest, config: &Config) -> Self {
        let identity = identity_of(request, config);
        let described = identity.map(IdentityConfig::distinction);
        let described = described.as_ref().map_or("", Secret::expose);
        Self {
            keys: Keys::new(described, &request.scopes),
            request: request.clone(),
            name: format!(
                "identity {}, {}",
                request.identity.as_deref().unwrap_or_default(),
                request.scopes.join(" ")
            ),
            current: None,
            taken: 0,
            rejected: None,
            engine_knows: false,
            reported_at_mono_ms: None,
            flight: None,
            retry_at_mono_ms: 0,
            failures: 0,
            error: None,
        }
    }

    /// Takes a published token unless it has that one, or a later one.
    pub(crate) fn take_over(&mut self, shared: Shared, now: Now) -> bool {
        if self.taken >= shared.version || shared.expires.reached(now) {
            return false;
        }
        self.taken = shared.version;
        self.current = Some(Current {
            sha256: shared.token.sha256_hex(),
            shared,
        });
        self.rejected = None;
        self.engine_knows = false;
        self.reported_at_mono_ms = None;
        self.retry_at_mono_ms = 0;
        self.failures = 0;
        self.error = None;
        true
    }

    /// Puts the current token on the requests of its rules.
    pub(crate) fn serve<H: Host>(&self, index: usize, requests: &Requests<H>, now: Now) {
        if let Some(current) = &self.current {
            let kept_ms = current.shared.kept_until_ms.saturating_sub(now.unix_ms);
            let kept_ms = kept_ms.min(limits::REJECTION_COOLDOWN_MS);
            let kept_until = match kept_ms {
                0 => 0,
                ms => now.mono_ms.saturating_add(ms),
            };
            requests.serve(index, &current.shared.token, kept_until);
        }
    }

    /// Takes in a refusal, if it is of the current token.
    pub(crate) fn refused(&mut self, rejection: Rejection) {
        let is_current = self
            .current
            .as_ref()
            .is_some_and(|current| current.sha256 == rejection.sha256);
        let known = self.rejected.as_ref();
        let asks_for_more = rejection.www_authenticate.is_some()
            && known.is_some_and(|known| known.www_authenticate != rejection.www_authenticate);
        if is_current && (known.is_none() || asks_for_more) {
            self.rejected = Some(rejection);
            self.engine_knows = false;
            self.reported_at_mono_ms = None;
        }
    }

    /// Tells the VM that has the lease about a refused token.
    pub(crate) fn report(&mut self, host: &impl Host, now: Now) {
        let recently = self
            .reported_at_mono_ms
            .is_some_and(|at| now.mono_ms < at.saturating_add(REPORT_AGAIN_MS));
        if let Some(rejection) = self.rejected.as_ref().filter(|_| !recently) {
            share::report(host, &self.keys, rejection);
            self.reported_at_mono_ms = Some(now.mono_ms);
        }
    }

    /// Whether it is the one that is served.
    pub(crate) fn is_current(&self, token: &Secret) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.shared.token == *token)
    }

    /// Whether a newer one is to be looked for.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.current
            .as_ref()
            .is_none_or(|current| current.shared.refresh.reached(now))
    }

    /// What the engine is asked: for another token than the one there is.
    ///
    /// `cached` is what the engine has. One that took over knows an older token at best, which is none to go back to.
    pub(crate) fn renewal(&self, cached: Option<&AccessToken>) -> TokenRequest {
        let refresh = match (&self.current, cached) {
            (Some(_), Some(cached)) if !self.is_current(&cached.token) => Refresh::Force,
            (Some(current), _) => Refresh::IfTokenIs(current.sha256.clone()),
            (None, _) => Refresh::IfNeeded,
        };
        TokenRequest {
            refresh,
            ..self.request.clone()
        }
    }

    pub(crate) fn next_version(&self, host: &impl Host, sharing: EnvoySharing) -> u64 {
        let published = match sharing {
            EnvoySharing::PerProcess => share::token(host, &self.keys).map(|shared| shared.version),
            EnvoySharing::PerVm => None,
        };
        published.unwrap_or(0).max(self.taken).saturating_add(1)
    }

    /// Nothing came. `cached` is what the engine has, `backoff_ms` how long to wait while there is no token.
    pub(crate) fn failed(
        &mut self,
        error: &Error,
        cached: Option<&AccessToken>,
        now: Now,
        backoff_ms: u64,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.error = Some(error.class().name());
        let asked_ms = error.detail().retry_after_ms.unwrap_or(0);
        // the engine has set the pace for renewing the token it knows
        let cached = cached.filter(|cached| self.is_current(&cached.token));
        let paced = cached.zip(self.current.as_mut());
        let wait_ms = match paced {
            Some((cached, current)) if self.rejected.is_none() => {
                current.shared.refresh = cached.moments(now).refresh;
                0
            }
            _ => backoff_ms,
        };
        self.retry_at_mono_ms = now.mono_ms.saturating_add(wait_ms.max(asked_ms));
    }

    /// What is known about a token that is not there.
    pub(crate) fn outage(&self, now: Now) -> Option<Outage> {
        let known = self.current.is_none() && self.flight.is_none();
        let class = self.error.filter(|_| known)?;
        (self.retry_at_mono_ms > now.mono_ms).then(|| Outage {
            class: class.to_owned(),
            next_attempt_mono_ms: self.retry_at_mono_ms,
        })
    }

    /// Drops a token that has expired by either clock.
    pub(crate) fn expire(&mut self, now: Now) -> bool {
        let expired = self
            .current
            .as_ref()
            .is_some_and(|current| current.shared.expires.reached(now));
        if expired {
            self.current = None;
            self.rejected = None;
            self.engine_knows = false;
            // the engine keeps the pace, and may have one that outlives this
            self.retry_at_mono_ms = 0;
        }
        expired
    }
}
