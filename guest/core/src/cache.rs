//! Tokens that were got, and when they are served, renewed and forgotten.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::ops::Deref;
use std::rc::Rc;

use crate::exchange::Granted;
use crate::flow::Io;
use crate::grant::GrantKey;
use crate::limits::{
    EXPIRY_MARGIN_MS, MAX_CACHED_TOKENS, MAX_REFRESH_BACKOFF_MS, MAX_REFUSED_CLAIMS,
    REFRESH_BACKOFF_MS, REFRESH_JITTER_PERCENT, REJECTION_BURST, REJECTION_COOLDOWN_MS,
};
use crate::pace::Pace;
use crate::retry;
use crate::time::Moment;
use crate::{
    AccessToken, Now, RejectionOutcome, Secret, Table, TokenSource, TokenState, TokenStatus,
    TokenType, sha256_hex,
};

/// What makes two requests the same. Never the client's assertion itself, and never a challenge's claims: those replace
/// the cached token. Client and token endpoint follow from the identity and the tenant.
///
/// A clone is the same key without a look at it: the tables whose keys come from one resolved request compare addresses.
#[derive(Clone, Debug)]
pub(crate) struct CacheKey(Rc<KeyParts>);

/// What a [`CacheKey`] is made of.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct KeyParts {
    pub(crate) identity: String,
    pub(crate) tenant: Option<String>,
    /// Whose token it is: the application's own, or that of the subject whom the grant names.
    pub(crate) grant: GrantKey,
    /// Sorted; in lower case where the authority does not tell letters apart.
    pub(crate) scopes: Vec<String>,
    pub(crate) token_type: TokenType,
}

impl CacheKey {
    pub(crate) fn new(parts: KeyParts) -> Self {
        Self(Rc::new(parts))
    }
}

impl Deref for CacheKey {
    type Target = KeyParts;

    fn deref(&self) -> &KeyParts {
        &self.0
    }
}

impl Ord for CacheKey {
    fn cmp(&self, other: &Self) -> Ordering {
        if Rc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for CacheKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for CacheKey {}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

/// The result of an acquisition.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) granted: Granted,
    pub(crate) asked_at: Now,
    /// Orders the attempts of an engine by when they began ([`Io::number`]).
    pub(crate) begun: u64,
    pub(crate) scope: String,
    pub(crate) generation: Option<Generation>,
}

/// A state of a credential that can rotate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Generation {
    /// The credential's place in its identity's list.
    pub(crate) credential: usize,
    /// The certificate's thumbprint, the secret's digest.
    pub(crate) state: String,
}

/// One token.
#[derive(Debug)]
pub(crate) struct Entry {
    token: AccessToken,
    /// Of the token, once somebody has asked for it: most are never refused.
    sha256: OnceCell<String>,
    obtained: Moment,
    margin: Moment,
    expires: Moment,
    refresh: Moment,
    /// When the attempt began that brought it.
    begun: u64,
    /// What it was got with, if that can rotate.
    generation: Option<Generation>,
    /// Somebody refused it: it is served until its successor is there, or its end.
    suspicion: Option<Suspicion>,
    /// It came in place of one that was refused, be it the same one again.
    replacement: bool,
    /// The exchanges that refusals have caused.
    rejections: Pace,
    /// The claims it was got with.
    claims: Option<String>,
    failures: u32,
    last_used: u64,
    /// The one before, where that is to live longer: a server that says of a token that it ends in a moment, by mistake
    /// or not, must not leave those without one who had a good one.
    outliving: Option<Box<Entry>>,
}

/// What a refusal has left behind.
#[derive(Debug)]
struct Suspicion {
    /// The claims to get the next token with.
    claims: Option<String>,
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
        let own = self.sha256.get_or_init(|| self.token.token.sha256_hex());
        own.eq_ignore_ascii_case(sha256)
    }

    /// The claims of the challenge that came with a refusal.
    pub(crate) fn next_claims(&self) -> Option<&str> {
        self.suspicion.as_ref()?.claims.as_deref()
    }

    fn is_searched(&self) -> bool {
        let suspicion = self.suspicion.as_ref();
        suspicion.is_some_and(|suspicion| suspicion.search == Search::Due)
    }

    fn freshness(&self, now: Now) -> Freshness {
        if !self.refresh.reached(now) {
            // also in the margin: a refresh has just failed, and asking again at once would not help
            Freshness::Fresh
        } else if self.is_searched() {
            Freshness::Suspect
        } else if self.margin.reached(now) {
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
        AccessToken {
            source: TokenSource::Cache,
            expires_on: self.expires.unix_s_seen(now),
            refresh_on: self.refresh.unix_s_seen(now),
            ..self.token.clone()
        }
    }

    /// No successor came: when to try again.
    pub(crate) fn refresh_failed(&mut self, io: &Io, retry_after_ms: Option<u64>) {
        self.failures = self.failures.saturating_add(1);
        let wait =
            retry::backoff(REFRESH_BACKOFF_MS, self.failures, io).min(MAX_REFRESH_BACKOFF_MS);
        self.refresh_after(io.now(), wait.max(retry_after_ms.unwrap_or(0)));
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.search = Search::Failed;
        }
    }

    fn refresh_after(&mut self, now: Now, ms: u64) {
        self.refresh = Moment::after(now, ms);
        self.token.refresh_on = self.refresh.unix_s();
    }

    /// Whether there is something to serve, which may be the token before.
    fn lives(&mut self, now: Now) -> bool {
        if !self.expires.reached(now) {
            return true;
        }
        let Some(before) = self.outliving.take().filter(|e| !e.expires.reached(now)) else {
            return false;
        };
        *self = *before;
        // a newer one was there, so this one is to be replaced before it is served
        let search = Search::Due;
        let claims = None;
        self.suspicion = Some(Suspicion { claims, search });
        self.refresh_after(now, 0);
        true
    }

    /// Of this one and the one before, the one that is good and lives longer than the next one. One is not good for which
    /// a challenge was satisfied: the identity provider itself has revoked it.
    fn into_outliving(mut self, next: (&Secret, Moment), now: Now) -> Option<Box<Self>> {
        let (token, expires) = next;
        let before = self.outliving.take();
        let good = |entry: &Self| {
            (entry.next_claims().is_none() || entry.token.token == *token)
                && entry.expires.remaining_ms(now) > expires.remaining_ms(now)
        };
        before
            .filter(|before| good(before))
            .or_else(|| good(&self).then(|| Box::new(self)))
    }

    /// Takes a refusal in. `claims` is what its challenge asks for.
    fn refused(&mut self, claims: Option<String>, now: Now) -> RejectionOutcome {
        // those that it was got with ask for nothing that it has not
        let claims = claims.filter(|claims| self.claims.as_ref() != Some(claims));
        let young = !self.obtained.plus_ms(REJECTION_COOLDOWN_MS).reached(now);
        if let Some(suspicion) = &mut self.suspicion {
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
        } else if self.replacement && young && claims.is_none() {
            return RejectionOutcome::Kept;
        } else {
            let search = Search::Due;
            self.suspicion = Some(Suspicion { claims, search });
        }
        let ahead_ms = (REJECTION_BURST - 1) * REJECTION_COOLDOWN_MS;
        let wait_ms = self.rejections.wait_ms(now.mono_ms, ahead_ms);
        self.rejections.take(now.mono_ms, REJECTION_COOLDOWN_MS);
        if wait_ms == 0 || wait_ms < self.refresh.remaining_ms(now) {
            self.refresh_after(now, wait_ms);
        }
        let (search, outcome) = match wait_ms {
            0 => (Search::Due, RejectionOutcome::Invalidated),
            _ => (Search::Planned, RejectionOutcome::Kept),
        };
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.search = search;
        }
        outcome
    }

    /// Whether another one is better to keep than this: one whose attempt began later, unless this one satisfies a
    /// challenge that the other does not.
    fn yields_to(&self, begun: u64, claims: Option<&str>) -> bool {
        begun > self.begun || (claims.is_some() && self.claims.is_none())
    }
}

/// The tokens by key.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: Table<CacheKey, Entry>,
    /// Digests of the claims that a server has refused lately, and until when on the monotonic clock that counts.
    refused_claims: Vec<(CacheKey, String, u64)>,
    uses: u64,
}

impl Cache {
    /// The entry that may be served now, and how.
    pub(crate) fn usable(&mut self, key: &CacheKey, now: Now) -> Option<(&mut Entry, Freshness)> {
        self.uses += 1;
        let uses = self.uses;
        // dropping one that has ended wipes the secret
        let entry = self.entries.get_kept(key, |entry| entry.lives(now))?;
        entry.last_used = uses;
        let freshness = entry.freshness(now);
        Some((entry, freshness))
    }

    /// Makes of what was granted the token to hand out, and keeps it in place of what was there unless that is better.
    /// Whether it is alive comes with it: one that is not replaces nothing.
    pub(crate) fn insert(
        &mut self,
        io: &Io,
        key: &CacheKey,
        mut acquired: Acquired,
        claims: Option<String>,
    ) -> (AccessToken, bool) {
        let begun = acquired.begun;
        let generation = acquired.generation.take();
        let schedule = Schedule::of(&acquired, io);
        let token = hand_out(acquired, &schedule, &key.identity);
        let now = io.now();
        self.entries.retain(|_, entry| entry.lives(now));
        if schedule.expires.reached(now) {
            return (token, false);
        }
        let is_there = |kept: &&Entry| !kept.yields_to(begun, claims.as_deref());
        if self.entries.get(key).filter(is_there).is_some() {
            return (token, true);
        }
        let old = self.entries.remove(key);
        self.make_room();
        self.uses += 1;
        let next = (&token.token, schedule.expires);
        let entry = Entry {
            token: token.clone(),
            sha256: OnceCell::new(),
            obtained: Moment::after(now, 0),
            margin: schedule.margin,
            expires: schedule.expires,
            refresh: schedule.refresh,
            begun,
            generation,
            suspicion: None,
            replacement: old.as_ref().is_some_and(|old| old.suspicion.is_some()),
            rejections: old.as_ref().map(|old| old.rejections).unwrap_or_default(),
            outliving: old.and_then(|old| old.into_outliving(next, now)),
            claims,
            failures: 0,
            last_used: self.uses,
        };
        self.entries.insert(key.clone(), entry);
        (token, true)
    }

    /// Forgets the tokens that were got with an earlier state of that credential, but for that of `key`, which is about to
    /// be replaced. Tokens of the identity's other credentials stay.
    pub(crate) fn drop_earlier(&mut self, key: &CacheKey, newest: &Generation) {
        self.entries.retain(|of, entry| {
            of.identity != key.identity
                || of == key
                || entry.generation.as_ref().is_none_or(|generation| {
                    generation.credential != newest.credential || generation == newest
                })
        });
    }

    /// The token to hand out of what is not to be kept.
    pub(crate) fn hand_out(&self, io: &Io, key: &CacheKey, acquired: Acquired) -> AccessToken {
        let schedule = Schedule::of(&acquired, io);
        hand_out(acquired, &schedule, &key.identity)
    }

    fn make_room(&mut self) {
        while self.entries.len() >= MAX_CACHED_TOKENS {
            let idle = self.entries.iter().min_by_key(|(_, e)| e.last_used);
            let Some(idle) = idle.map(|(key, _)| key.clone()) else {
                return;
            };
            self.entries.remove(&idle);
        }
    }

    /// The tokens of one identity, without the tokens.
    pub(crate) fn status(&self, identity: &str, now: Now) -> Vec<TokenStatus> {
        let entries = self.entries.iter();
        entries
            .filter(|(key, entry)| key.identity == identity && !entry.expires.reached(now))
            .map(|(key, entry)| TokenStatus {
                scopes: key.scopes.clone(),
                tenant: key.tenant.clone(),
                grant: key.grant.kind,
                token_type: key.token_type,
                state: if entry.suspicion.is_some() {
                    TokenState::Rejected
                } else {
                    match entry.freshness(now) {
                        Freshness::Fresh => TokenState::Fresh,
                        Freshness::RefreshDue => TokenState::RefreshDue,
                        Freshness::Expiring | Freshness::Suspect => TokenState::Expiring,
                    }
                },
                expires_on: entry.token.expires_on,
                refresh_on: entry.token.refresh_on,
            })
            .collect()
    }

    /// Somebody refused the token of that digest.
    pub(crate) fn reject(
        &mut self,
        key: &CacheKey,
        sha256: &str,
        claims: Option<String>,
        now: Now,
    ) -> RejectionOutcome {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.is(sha256)) else {
            return RejectionOutcome::AlreadyReplaced;
        };
        let claims = claims.filter(|claims| {
            let digest = sha256_hex(claims.as_bytes());
            let mut refused = self.refused_claims.iter();
            !refused.any(|(of, known, until_mono_ms)| {
                of == key && *known == digest && now.mono_ms < *until_mono_ms
            })
        });
        entry.refused(claims, now)
    }

    /// The server has refused to grant with these claims: others are asked for without them, and a challenge that asks
    /// for them again is taken for a plain refusal for a while.
    pub(crate) fn claims_refused(&mut self, key: &CacheKey, claims: &str, now: Now) {
        if let Some(entry) = self.entries.get_mut(key)
            && let Some(suspicion) = &mut entry.suspicion
            && suspicion.claims.as_deref() == Some(claims)
        {
            suspicion.claims = None;
        }
        self.refused_claims
            .retain(|(.., until_mono_ms)| now.mono_ms < *until_mono_ms);
        if self.refused_claims.len() >= MAX_REFUSED_CLAIMS {
            self.refused_claims.remove(0);
        }
        let until_mono_ms = now.mono_ms.saturating_add(REJECTION_COOLDOWN_MS);
        let digest = sha256_hex(claims.as_bytes());
        self.refused_claims
            .push((key.clone(), digest, until_mono_ms));
    }

    /// Forgets the tokens of one identity, or all.
    pub(crate) fn drop_identity(&mut self, identity: Option<&str>) -> usize {
        let before = self.entries.len();
        self.entries
            .retain(|key, _| identity.is_some_and(|identity| identity != key.identity));
        before - self.entries.len()
    }
}

/// When a token is renewed and forgotten.
struct Schedule {
    refresh: Moment,
    margin: Moment,
    expires: Moment,
}

impl Schedule {
    /// Counted from when it was asked for: the server's count began after that.
    fn of(acquired: &Acquired, io: &Io) -> Self {
        let Acquired {
            granted, asked_at, ..
        } = acquired;
        let life = granted.lifetime_ms;
        let early = granted
            .refresh_in_ms
            .filter(|ms| *ms < life)
            .unwrap_or(life / 2);
        let early = early - io.random_below(early * REFRESH_JITTER_PERCENT / 100 + 1);
        let margin = life.saturating_sub(EXPIRY_MARGIN_MS.min(life / 20));
        Self {
            refresh: Moment::after(*asked_at, early),
            margin: Moment::after(*asked_at, margin),
            expires: Moment::after(*asked_at, life),
        }
    }
}

fn hand_out(acquired: Acquired, schedule: &Schedule, identity: &str) -> AccessToken {
    let Acquired { granted, scope, .. } = acquired;
    AccessToken {
        token: granted.token,
        token_type: granted.token_type,
        expires_on: schedule.expires.unix_s(),
        refresh_on: schedule.refresh.unix_s(),
        scope: granted.scope.unwrap_or(scope),
        identity: identity.to_owned(),
        source: TokenSource::Exchange,
        refresh_token: granted.refresh_token,
        id_token: granted.id_token,
        issued_token_type: granted.issued_token_type,
        certificate_thumbprint: granted.certificate_thumbprint,
    }
}
