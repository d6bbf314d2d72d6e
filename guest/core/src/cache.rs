//! Tokens that were got, and when they are served, renewed and forgotten.

mod entry;
mod key;
mod store;

use std::cell::OnceCell;

use crate::flow::Io;
use crate::limits::{
    MAX_CACHED_TOKENS, MAX_LISTED_USER_TOKENS, MAX_REFUSED_CLAIMS, MAX_TOKEN_BYTES,
    MAX_USER_TOKENS, REJECTION_COOLDOWN_MS,
};
use crate::time::Moment;
use crate::{AccessToken, Now, RejectionOutcome, TokenState, TokenStatus, sha256_hex};

pub(crate) use entry::{Acquired, Entry, Freshness, Generation};
use entry::{Rest, Schedule, hand_out};
pub(crate) use key::{CacheKey, KeyParts, Shares};
use store::{Budget, Store};

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
