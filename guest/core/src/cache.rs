//! Tokens that were got, and when they are served, renewed and forgotten.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::rc::Rc;

use crate::exchange::Granted;
use crate::flow::Io;
use crate::grant::GrantKey;
use crate::keyed::{Ends, Key, Lasting, SWEPT_AT_ONCE, Seed};
use crate::limits::{
    EXPIRY_MARGIN_MS, MAX_CACHED_TOKENS, MAX_LISTED_USER_TOKENS, MAX_REFRESH_BACKOFF_MS,
    MAX_REFUSED_CLAIMS, MAX_TOKEN_BYTES, MAX_USER_TOKENS, REFRESH_BACKOFF_MS,
    REFRESH_JITTER_PERCENT, REJECTION_BURST, REJECTION_COOLDOWN_MS,
};
use crate::pace::Pace;
use crate::retry;
use crate::time::Moment;
use crate::{
    AccessToken, Moments, Now, RejectionOutcome, Secret, TokenSource, TokenState, TokenStatus,
    TokenType, sha256_hex,
};

/// What makes two requests the same. Never the client's assertion itself, nor a user's, and never a challenge's claims:
/// those replace the cached token. Client and token endpoint follow from the identity and the tenant.
///
/// What all users of one question have in common is there once, so that a key is small and a clone of it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct CacheKey {
    digest: u64,
    /// Whose token it is: the application's own, or that of the subject whom the grant names.
    pub(crate) grant: GrantKey,
    parts: Rc<KeyParts>,
}

/// What a [`CacheKey`] is made of, but for the grant.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(crate) struct KeyParts {
    pub(crate) identity: String,
    pub(crate) tenant: Option<String>,
    /// Sorted; in lower case where the authority does not tell letters apart.
    pub(crate) scopes: Vec<String>,
    pub(crate) token_type: TokenType,
}

impl CacheKey {
    pub(crate) fn new(parts: Rc<KeyParts>, grant: GrantKey, seed: &Seed) -> Self {
        let digest = seed.hash_one((&parts, &grant));
        Self {
            digest,
            grant,
            parts,
        }
    }

    /// The same of another grant.
    #[cfg(feature = "every-credential")]
    pub(crate) fn with_grant(&self, grant: GrantKey, seed: &Seed) -> Self {
        Self::new(Rc::clone(&self.parts), grant, seed)
    }

    /// Whether it is the application's own token, and no user's.
    pub(crate) fn is_own(&self) -> bool {
        self.grant.is_own()
    }
}

impl Deref for CacheKey {
    type Target = KeyParts;

    fn deref(&self) -> &KeyParts {
        &self.parts
    }
}

impl Key for CacheKey {
    fn digest(&self) -> u64 {
        self.digest
    }
}

impl Eq for CacheKey {}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.grant == other.grant
            && (Rc::ptr_eq(&self.parts, &other.parts) || self.parts == other.parts)
    }
}

/// What the application has for itself, and what all its users have. Each has its bounds, so that no number of users
/// takes from the application, or keeps it out.
#[derive(Debug, Default)]
pub(crate) struct Shares<T> {
    pub(crate) own: T,
    pub(crate) users: T,
}

impl<T> Shares<T> {
    pub(crate) fn of(&self, key: &CacheKey) -> &T {
        match key.is_own() {
            true => &self.own,
            false => &self.users,
        }
    }

    pub(crate) fn of_mut(&mut self, key: &CacheKey) -> &mut T {
        match key.is_own() {
            true => &mut self.own,
            false => &mut self.users,
        }
    }

    pub(crate) fn both(&self) -> [&T; 2] {
        [&self.own, &self.users]
    }

    pub(crate) fn both_mut(&mut self) -> [&mut T; 2] {
        [&mut self.own, &mut self.users]
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
struct Wording {
    token_type: String,
    scope: String,
    identity: String,
    issued_token_type: Option<String>,
    certificate_thumbprint: Option<String>,
}

/// One token: what is looked at whenever it is served. It stands in the cache itself, beside its key, because of a hundred
/// thousand entries hardly one is in a processor's cache, and each place that is looked at is waited for.
#[derive(Debug)]
pub(crate) struct Entry {
    token: Secret,
    refresh_token: Option<Secret>,
    id_token: Option<Secret>,
    wording: Rc<Wording>,
    expires: Moment,
    refresh: Moment,
    rest: Box<Rest>,
}

/// What is looked at when a token is renewed, refused or forgotten.
#[derive(Debug)]
struct Rest {
    /// Of the token, once somebody has asked for it: most are never refused.
    sha256: OnceCell<String>,
    obtained: Moment,
    margin: Moment,
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
    /// What it was counted with.
    bytes: usize,
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
    fn size(&self) -> usize {
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

    fn freshness(&self, now: Now) -> Freshness {
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
    fn lives(&mut self, now: Now) -> bool {
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
    fn into_outliving(mut self, next: (&Secret, Moment), now: Now) -> Option<Box<Self>> {
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
    fn refused(&mut self, claims: Option<String>, now: Now) -> RejectionOutcome {
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
    fn yields_to(&self, begun: u64, claims: Option<&str>) -> bool {
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

/// What an entry takes besides its texts: itself, its key, its places in the lists, and what an allocator adds to each of
/// some seven allocations.
const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<Rest>() + size_of::<CacheKey>() + 176;

/// How much a store may hold.
#[derive(Clone, Copy, Debug)]
struct Budget {
    tokens: usize,
    bytes: usize,
}

/// Tokens by key, the ones that were used last kept.
struct Store {
    entries: Lasting<CacheKey, Entry>,
    /// What they take.
    bytes: usize,
    budget: Budget,
    /// Digests of the claims that a server has refused lately, and until when on the monotonic clock that counts.
    refused_claims: VecDeque<(CacheKey, String, u64)>,
    /// Those of the tokens that came last.
    wordings: VecDeque<Rc<Wording>>,
}

/// How many wordings are looked at: as many as there are scopes that users ask for.
const WORDINGS: usize = 8;

impl Store {
    fn new(budget: Budget) -> Self {
        Self {
            entries: Lasting::default(),
            bytes: 0,
            budget,
            refused_claims: VecDeque::new(),
            wordings: VecDeque::new(),
        }
    }

    /// Takes what is said of a token off it.
    fn wording(&mut self, token: &mut AccessToken) -> Rc<Wording> {
        let wording = Wording {
            token_type: std::mem::take(&mut token.token_type),
            scope: std::mem::take(&mut token.scope),
            identity: std::mem::take(&mut token.identity),
            issued_token_type: token.issued_token_type.take(),
            certificate_thumbprint: token.certificate_thumbprint.take(),
        };
        if let Some(known) = self.wordings.iter().find(|known| ***known == wording) {
            return Rc::clone(known);
        }
        let wording = Rc::new(wording);
        self.wordings.truncate(WORDINGS - 1);
        self.wordings.push_front(Rc::clone(&wording));
        wording
    }

    fn get_mut(&mut self, key: &CacheKey) -> Option<&mut Entry> {
        self.entries.map_mut().get_mut(key)
    }

    /// The entry that lives, as the one that was used last.
    fn use_living(&mut self, key: &CacheKey, now: Now) -> Option<&mut Entry> {
        let slot = self.entries.map().slot(key)?;
        let entry = self.entries.map_mut().at_mut(slot)?;
        if !entry.lives(now) {
            self.remove_at(slot);
            return None;
        }
        // it is about to be served: its token and its neighbours in the chain are waited for together
        std::hint::black_box(entry.token.expose().len());
        self.entries.map_mut().touch(slot);
        self.entries.map_mut().at_mut(slot)
    }

    /// Drops some of those that have ended: whoever never comes back does not ask for them.
    fn sweep(&mut self, now: Now) {
        let mut looks = SWEPT_AT_ONCE;
        while let Some(slot) = self.entries.ended(now.mono_ms, &mut looks) {
            self.remove_at(slot);
        }
    }

    /// Dropping one wipes its secrets.
    fn remove_at(&mut self, slot: u32) -> Option<(CacheKey, Entry)> {
        let (key, entry) = self.entries.map_mut().remove_at(slot)?;
        self.bytes = self.bytes.saturating_sub(entry.rest.bytes);
        Some((key, entry))
    }

    fn remove(&mut self, key: &CacheKey) -> Option<Entry> {
        let slot = self.entries.map().slot(key)?;
        self.remove_at(slot).map(|(_, entry)| entry)
    }

    /// Puts one in whose key is not there, in place of those that were not used for the longest time.
    fn insert(&mut self, key: CacheKey, mut entry: Entry) {
        let size = entry.size();
        entry.rest.bytes = size;
        let Budget { tokens, bytes } = self.budget;
        while self.entries.map().len() >= tokens || self.bytes.saturating_add(size) > bytes {
            let Some(idle) = self.entries.map().oldest() else {
                break;
            };
            self.remove_at(idle);
        }
        self.bytes = self.bytes.saturating_add(size);
        self.entries.insert(key, entry);
    }

    /// Counts one again that has changed.
    fn count(&mut self, key: &CacheKey) {
        let Some(entry) = self.entries.map_mut().get_mut(key) else {
            return;
        };
        let size = entry.size();
        let before = std::mem::replace(&mut entry.rest.bytes, size);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(size);
    }

    fn retain(&mut self, mut fits: impl FnMut(&CacheKey, &Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.map_mut().retain(|key, entry| {
            let keep = fits(key, entry);
            if !keep {
                *bytes = bytes.saturating_sub(entry.rest.bytes);
            }
            keep
        });
    }
}

/// The tokens by key.
pub(crate) struct Cache(Shares<Store>);

impl Cache {
    /// `user_bytes` is what the tokens of users may take.
    pub(crate) fn new(user_bytes: usize) -> Self {
        let own = Budget {
            tokens: MAX_CACHED_TOKENS,
            bytes: MAX_TOKEN_BYTES,
        };
        let users = Budget {
            tokens: MAX_USER_TOKENS,
            bytes: user_bytes,
        };
        Self(Shares {
            own: Store::new(own),
            users: Store::new(users),
        })
    }

    /// Drops some of what has ended.
    pub(crate) fn sweep(&mut self, now: Now) {
        for store in self.0.both_mut() {
            store.sweep(now);
        }
    }

    /// The entry that may be served now, and how.
    pub(crate) fn usable(&mut self, key: &CacheKey, now: Now) -> Option<(&mut Entry, Freshness)> {
        self.sweep(now);
        let entry = self.0.of_mut(key).use_living(key, now)?;
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
        if schedule.expires.reached(now) {
            return (token, false);
        }
        let store = self.0.of_mut(key);
        store.sweep(now);
        let there = store.use_living(key, now);
        if there.is_some_and(|kept| !kept.yields_to(begun, claims.as_deref())) {
            return (token, true);
        }
        let old = store.remove(key);
        let next = (&token.token, schedule.expires);
        let mut kept = token.clone();
        let known = old.as_ref().map(|old| &old.rest);
        let rest = Rest {
            sha256: OnceCell::new(),
            obtained: Moment::after(now, 0),
            margin: schedule.margin,
            begun,
            generation,
            suspicion: None,
            replacement: known.is_some_and(|known| known.suspicion.is_some()),
            rejections: known.map(|known| known.rejections).unwrap_or_default(),
            outliving: old.and_then(|old| old.into_outliving(next, now)),
            claims,
            failures: 0,
            bytes: 0,
        };
        let entry = Entry {
            wording: store.wording(&mut kept),
            token: kept.token,
            refresh_token: kept.refresh_token,
            id_token: kept.id_token,
            expires: schedule.expires,
            refresh: schedule.refresh,
            rest: Box::new(rest),
        };
        store.insert(key.clone(), entry);
        (token, true)
    }

    /// Forgets the tokens that were got with an earlier state of that credential, but for that of `key`, which is about to
    /// be replaced. Tokens of the identity's other credentials stay.
    pub(crate) fn drop_earlier(&mut self, key: &CacheKey, newest: &Generation) {
        for store in self.0.both_mut() {
            store.retain(|of, entry| {
                of.identity != key.identity
                    || of == key
                    || entry.rest.generation.as_ref().is_none_or(|generation| {
                        generation.credential != newest.credential || generation == newest
                    })
            });
        }
    }

    /// The token to hand out of what is not to be kept.
    pub(crate) fn hand_out(&self, io: &Io, key: &CacheKey, acquired: Acquired) -> AccessToken {
        let schedule = Schedule::of(&acquired, io);
        hand_out(acquired, &schedule, &key.identity)
    }

    /// The tokens of one identity, without the tokens: all of its own, and of its users' those that were used last.
    pub(crate) fn status(&self, identity: &str, now: Now) -> Vec<TokenStatus> {
        let [own, users] = self.0.both().map(|store| store.entries.map().iter());
        let mut tokens: Vec<TokenStatus> = own
            .chain(users.take(MAX_LISTED_USER_TOKENS))
            .filter(|(key, entry)| key.identity == identity && !entry.expires.reached(now))
            .map(|(key, entry)| TokenStatus {
                scopes: key.scopes.clone(),
                tenant: key.tenant.clone(),
                grant: key.grant.kind,
                token_type: key.token_type,
                state: if entry.rest.suspicion.is_some() {
                    TokenState::Rejected
                } else {
                    match entry.freshness(now) {
                        Freshness::Fresh => TokenState::Fresh,
                        Freshness::RefreshDue => TokenState::RefreshDue,
                        Freshness::Expiring | Freshness::Suspect => TokenState::Expiring,
                    }
                },
                expires_on: entry.expires.unix_s(),
                refresh_on: entry.refresh.unix_s(),
            })
            .collect();
        // people read it: the same in the same order
        let place = |token: &TokenStatus| (token.tenant.clone(), token.grant, token.scopes.clone());
        tokens.sort_by_cached_key(place);
        tokens
    }

    /// Somebody refused the token of that digest.
    pub(crate) fn reject(
        &mut self,
        key: &CacheKey,
        sha256: &str,
        claims: Option<String>,
        now: Now,
    ) -> RejectionOutcome {
        let store = self.0.of_mut(key);
        let refused = &store.refused_claims;
        let claims = claims.filter(|claims| {
            let digest = sha256_hex(claims.as_bytes());
            !refused.iter().any(|(of, known, until_mono_ms)| {
                of == key && *known == digest && now.mono_ms < *until_mono_ms
            })
        });
        let Some(entry) = store.get_mut(key).filter(|entry| entry.is(sha256)) else {
            return RejectionOutcome::AlreadyReplaced;
        };
        let outcome = entry.refused(claims, now);
        store.count(key);
        outcome
    }

    /// The server has refused to grant with these claims: others are asked for without them, and a challenge that asks
    /// for them again is taken for a plain refusal for a while.
    pub(crate) fn claims_refused(&mut self, key: &CacheKey, claims: &str, now: Now) {
        let store = self.0.of_mut(key);
        if let Some(entry) = store.get_mut(key)
            && let Some(suspicion) = &mut entry.rest.suspicion
            && suspicion.claims.as_deref() == Some(claims)
        {
            suspicion.claims = None;
        }
        if store.refused_claims.len() >= MAX_REFUSED_CLAIMS {
            store.refused_claims.pop_front();
        }
        let until_mono_ms = now.mono_ms.saturating_add(REJECTION_COOLDOWN_MS);
        let digest = sha256_hex(claims.as_bytes());
        store
            .refused_claims
            .push_back((key.clone(), digest, until_mono_ms));
    }

    /// How many tokens there are of the application or of users, and what they are counted with.
    #[cfg(test)]
    pub(crate) fn held(&self, own: bool) -> (usize, usize) {
        let [of_own, of_users] = self.0.both();
        let store = if own { of_own } else { of_users };
        (store.entries.map().len(), store.bytes)
    }

    /// Forgets the tokens of one identity, or all.
    pub(crate) fn drop_identity(&mut self, identity: Option<&str>) -> usize {
        let count = |cache: &Self| cache.0.both().map(|store| store.entries.map().len());
        let before: usize = count(self).iter().sum();
        for store in self.0.both_mut() {
            store.retain(|key, _| identity.is_some_and(|identity| identity != key.identity));
        }
        before - count(self).iter().sum::<usize>()
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

fn hand_out(acquired: Acquired, schedule: &Schedule, identity: &str) -> AccessToken {
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
