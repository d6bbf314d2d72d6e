//! A cached token and its life: when it is served, when it is refreshed, and what becomes of it when a resource has refused
//! it. Other tokens are not looked at here.

use std::cell::OnceCell;
use std::rc::Rc;

use super::store::ENTRY_BYTES;
use crate::exchange::Granted;
use crate::flow::Io;
use crate::keyed::Ends;
use crate::limits::{
    EXPIRY_MARGIN_MS, MAX_REFRESH_BACKOFF_MS, REFRESH_BACKOFF_MS, REFRESH_JITTER_PERCENT,
    REJECTION_BURST, REJECTION_COOLDOWN_MS,
};
use crate::pace::Pace;
use crate::time::Moment;
use crate::{AccessToken, Moments, Now, RejectionOutcome, Secret, TokenSource, retry};

/// The result of an acquisition.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) granted: Granted,
    pub(crate) asked_at: Now,
    /// Orders the attempts of an engine by when they began ([`Io::number`]).
    pub(crate) begun: u64,
    pub(crate) scope: String,
    pub(crate) generation: Option<Generation>,
    /// It was not asked for: another instance had put it into the token store.
    #[cfg(feature = "every-credential")]
    pub(crate) from_store: bool,
}

/// A state of a credential that can rotate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Generation {
    /// The credential's place in its identity's list.
    pub(crate) credential: usize,
    /// The certificate's thumbprint, the secret's digest.
    pub(crate) state: String,
}

/// What is said of a token, mostly the same of those of all users: it is there once, which takes less memory, and is in the
/// processor's cache when the entry is not.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Wording {
    pub(super) token_type: String,
    pub(super) scope: String,
    pub(super) identity: String,
    pub(super) issued_token_type: Option<String>,
    pub(super) certificate_thumbprint: Option<String>,
}

/// One token: what is looked at whenever it is served. It stands in the cache itself, beside its key, because of a hundred
/// thousand entries hardly one is in a processor's cache, and each place that is looked at is waited for.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) token: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(super) id_token: Option<Secret>,
    pub(super) wording: Rc<Wording>,
    pub(super) expires: Moment,
    pub(super) refresh: Moment,
    pub(super) rest: Box<Rest>,
}

/// What is looked at when a token is renewed, refused or forgotten.
#[derive(Debug)]
pub(super) struct Rest {
    /// Of the token, once somebody has asked for it: most are never refused.
    pub(super) sha256: OnceCell<String>,
    pub(super) obtained: Moment,
    pub(super) margin: Moment,
    /// When the attempt began that brought it.
    pub(super) begun: u64,
    /// What it was got with, if that can rotate.
    pub(super) generation: Option<Generation>,
    /// Somebody refused it: it is served until its successor is there, or its end.
    pub(super) suspicion: Option<Suspicion>,
    /// It came in place of one that was refused, be it the same one again.
    pub(super) replacement: bool,
    /// The exchanges that refusals have caused.
    pub(super) rejections: Pace,
    /// The claims it was got with.
    pub(super) claims: Option<String>,
    pub(super) failures: u32,
    /// What it was counted with.
    pub(super) bytes: usize,
    /// The one before, where that is to live longer: a server that says of a token that it ends in a moment, by mistake
    /// or not, must not leave those without one who had a good one.
    pub(super) outliving: Option<Box<Entry>>,
}

/// What a refusal has left behind.
#[derive(Debug)]
pub(super) struct Suspicion {
    /// The claims to get the next token with.
    pub(super) claims: Option<String>,
    search: Search,
}

/// How far the search for the successor of a refused token is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Search {
    /// It is due, and callers wait a little for it.
    Due,
    /// It has to wait until the budget allows it.
    Planned,
    /// It brought nothing, and goes on behind the callers.
    Failed,
}

/// How a cached token may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it, and look for a newer one behind the caller's back.
    RefreshDue,
    /// Look for a newer one; serve it only if that fails.
    Expiring,
    /// The same, because somebody refused it.
    Suspect,
}

impl Entry {
    pub(crate) fn is(&self, sha256: &str) -> bool {
        let own = self.rest.sha256.get_or_init(|| self.token.sha256_hex());
        own.eq_ignore_ascii_case(sha256)
    }

    /// The claims of the challenge that came with a refusal.
    pub(crate) fn next_claims(&self) -> Option<&str> {
        self.rest.suspicion.as_ref()?.claims.as_deref()
    }

    /// The token, and since when on the wall clock it is here.
    #[cfg(feature = "every-credential")]
    pub(crate) fn known(&self) -> (Secret, u64) {
        (self.token.clone(), self.rest.obtained.clocks().unix_ms)
    }

    fn is_searched(&self) -> bool {
        let suspicion = self.rest.suspicion.as_ref();
        suspicion.is_some_and(|suspicion| suspicion.search == Search::Due)
    }

    /// What it takes of the memory, with its place in the cache.
    pub(super) fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let secret = |secret: &Option<Secret>| secret.as_ref().map_or(0, |s| s.expose().len());
        let wording = &self.wording;
        let claims = self.rest.suspicion.as_ref().and_then(|s| s.claims.as_ref());
        ENTRY_BYTES
            + self.token.expose().len()
            + wording.token_type.len()
            + wording.scope.len()
            + wording.identity.len()
            + secret(&self.refresh_token)
            + secret(&self.id_token)
            + text(&wording.issued_token_type)
            + text(&wording.certificate_thumbprint)
            + text(&self.rest.claims)
            + claims.map_or(0, String::len)
            + self
                .rest
                .outliving
                .as_ref()
                .map_or(0, |before| before.size())
    }

    pub(super) fn freshness(&self, now: Now) -> Freshness {
        if !self.refresh.reached(now) {
            // also in the margin: a refresh has just failed, and asking again at once would not help
            Freshness::Fresh
        } else if self.is_searched() {
            Freshness::Suspect
        } else if self.rest.margin.reached(now) {
            Freshness::Expiring
        } else {
            Freshness::RefreshDue
        }
    }

    /// What is left of its life.
    pub(crate) fn remaining_ms(&self, now: Now) -> u64 {
        self.expires.remaining_ms(now)
    }

    /// A copy to hand out. Its times are on the wall clock as that is now: who gets it knows no other, and it may have been
    /// set since.
    pub(crate) fn serve(&self, now: Now) -> AccessToken {
        let wording = &self.wording;
        AccessToken {
            token: self.token.clone(),
            token_type: wording.token_type.clone(),
            expires_on: self.expires.unix_s_seen(now),
            refresh_on: self.refresh.unix_s_seen(now),
            moments: Some(Moments {
                expires: self.expires,
                refresh: self.refresh,
            }),
            scope: wording.scope.clone(),
            identity: wording.identity.clone(),
            source: TokenSource::Cache,
            refresh_token: self.refresh_token.clone(),
            id_token: self.id_token.clone(),
            issued_token_type: wording.issued_token_type.clone(),
            certificate_thumbprint: wording.certificate_thumbprint.clone(),
        }
    }

    /// No successor came: when to try again.
    pub(crate) fn refresh_failed(&mut self, io: &Io, retry_after_ms: Option<u64>) {
        self.rest.failures = self.rest.failures.saturating_add(1);
        let wait =
            retry::backoff(REFRESH_BACKOFF_MS, self.rest.failures, io).min(MAX_REFRESH_BACKOFF_MS);
        self.refresh_after(io.now(), wait.max(retry_after_ms.unwrap_or(0)));
        if let Some(suspicion) = &mut self.rest.suspicion {
            suspicion.search = Search::Failed;
        }
    }

    fn refresh_after(&mut self, now: Now, ms: u64) {
        self.refresh = Moment::after(now, ms);
    }

    /// Whether there is something to serve, which may be the token before.
    pub(super) fn lives(&mut self, now: Now) -> bool {
        if !self.expires.reached(now) {
            return true;
        }
        let Some(before) = self
            .rest
            .outliving
            .take()
            .filter(|e| !e.expires.reached(now))
        else {
            return false;
        };
        *self = *before;
        // a newer one was there, so this one is to be replaced before it is served
        let search = Search::Due;
        let claims = None;
        self.rest.suspicion = Some(Suspicion { claims, search });
        self.refresh_after(now, 0);
        true
    }

    /// Of this one and the one before, the one that is good and lives longer than the next one. One is not good for which
    /// a challenge was satisfied: the identity provider itself has revoked it.
    pub(super) fn into_outliving(mut self, next: (&Secret, Moment), now: Now) -> Option<Box<Self>> {
        let (token, expires) = next;
        let before = self.rest.outliving.take();
        let good = |entry: &Self| {
            (entry.next_claims().is_none() || entry.token == *token)
                && entry.expires.remaining_ms(now) > expires.remaining_ms(now)
        };
        before
            .filter(|before| good(before))
            .or_else(|| good(&self).then(|| Box::new(self)))
    }

    /// Takes a refusal in. `claims` is what its challenge asks for.
    pub(super) fn refused(&mut self, claims: Option<String>, now: Now) -> RejectionOutcome {
        // those that it was got with ask for nothing that it has not
        let claims = claims.filter(|claims| self.rest.claims.as_ref() != Some(claims));
        let young = !self
            .rest
            .obtained
            .plus_ms(REJECTION_COOLDOWN_MS)
            .reached(now);
        if let Some(suspicion) = &mut self.rest.suspicion {
            let asks_for_more = claims.is_some() && claims != suspicion.claims;
            if asks_for_more {
                suspicion.claims = claims;
            }
            match suspicion.search {
                Search::Due => return RejectionOutcome::Invalidated,
                Search::Planned => return RejectionOutcome::Kept,
                Search::Failed if !asks_for_more => return RejectionOutcome::Kept,
                Search::Failed => {}
            }
        } else if self.rest.replacement && young && claims.is_none() {
            return RejectionOutcome::Kept;
        } else {
            let search = Search::Due;
            self.rest.suspicion = Some(Suspicion { claims, search });
        }
        let ahead_ms = (REJECTION_BURST - 1) * REJECTION_COOLDOWN_MS;
        let wait_ms = self.rest.rejections.wait_ms(now.mono_ms, ahead_ms);
        self.rest
            .rejections
            .take(now.mono_ms, REJECTION_COOLDOWN_MS);
        if wait_ms == 0 || wait_ms < self.refresh.remaining_ms(now) {
            self.refresh_after(now, wait_ms);
        }
        let (search, outcome) = match wait_ms {
            0 => (Search::Due, RejectionOutcome::Invalidated),
            _ => (Search::Planned, RejectionOutcome::Kept),
        };
        if let Some(suspicion) = &mut self.rest.suspicion {
            suspicion.search = search;
        }
        outcome
    }

    /// Whether another one is better to keep than this: one whose attempt began later, unless this one satisfies a
    /// challenge that the other does not.
    pub(super) fn yields_to(&self, begun: u64, claims: Option<&str>) -> bool {
        begun > self.rest.begun || (claims.is_some() && self.rest.claims.is_none())
    }
}

impl Ends for Entry {
    fn end_mono_ms(&self) -> u64 {
        let own = self.expires.clocks().mono_ms;
        let before = self.rest.outliving.as_ref().map(|e| e.end_mono_ms());
        before.map_or(own, |before| before.max(own))
    }
}

/// When a token is renewed and forgotten.
pub(super) struct Schedule {
    pub(super) refresh: Moment,
    pub(super) margin: Moment,
    pub(super) expires: Moment,
}

impl Schedule {
    /// Counted from when it was asked for: the server's count began after that.
    pub(super) fn of(acquired: &Acquired, io: &Io) -> Self {
        let Acquired {
            granted, asked_at, ..
        } = acquired;
        let life = granted.lifetime_ms;
        let early = granted.refresh_after_ms();
        let early = early - io.random_below(early * REFRESH_JITTER_PERCENT / 100 + 1);
        let margin = life.saturating_sub(EXPIRY_MARGIN_MS.min(life / 20));
        Self {
            refresh: Moment::after(*asked_at, early),
            margin: Moment::after(*asked_at, margin),
            expires: Moment::after(*asked_at, life),
        }
    }
}

pub(super) fn hand_out(acquired: Acquired, schedule: &Schedule, identity: &str) -> AccessToken {
    let Acquired { granted, scope, .. } = acquired;
    AccessToken {
        token: granted.token,
        token_type: granted.token_type,
        expires_on: schedule.expires.unix_s(),
        refresh_on: schedule.refresh.unix_s(),
        moments: Some(Moments {
            expires: schedule.expires,
            refresh: schedule.refresh,
        }),
        scope: granted.scope.unwrap_or(scope),
        identity: identity.to_owned(),
        source: TokenSource::Exchange,
        refresh_token: granted.refresh_token,
        id_token: granted.id_token,
        issued_token_type: granted.issued_token_type,
        certificate_thumbprint: granted.certificate_thumbprint,
    }
}
