//! Tokens that were got, and when they are served, renewed and forgotten.

use crate::exchange::Granted;
use crate::flow::Io;
use crate::grant::GrantKey;
use crate::limits::{
    EXPIRY_MARGIN_MS, MAX_CACHED_TOKENS, MAX_REFRESH_BACKOFF_MS, REFRESH_BACKOFF_MS,
    REFRESH_JITTER_PERCENT, REJECTION_COOLDOWN_MS,
};
use crate::retry;
use crate::time::Moment;
use crate::{
    AccessToken, Now, RejectionOutcome, Table, TokenSource, TokenState, TokenStatus, TokenType,
};

/// What makes two requests the same. Never the client's assertion itself, and never a challenge's claims: those replace
/// the cached token. Client and token endpoint follow from the identity and the tenant.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct CacheKey {
    pub(crate) identity: String,
    pub(crate) tenant: Option<String>,
    /// Whose token it is: the application's own, or that of the subject whom the grant names.
    pub(crate) grant: GrantKey,
    /// Sorted; in lower case where the authority does not tell letters apart.
    pub(crate) scopes: Vec<String>,
    pub(crate) token_type: TokenType,
    /// Which state of a rotating credential: the certificate's thumbprint, the secret's digest.
    pub(crate) generation: Option<String>,
}

/// The result of an acquisition.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) granted: Granted,
    pub(crate) asked_at: Now,
    pub(crate) scope: String,
    pub(crate) generation: Option<String>,
}

/// One token.
#[derive(Debug)]
pub(crate) struct Entry {
    token: AccessToken,
    sha256: String,
    obtained: Moment,
    margin: Moment,
    expires: Moment,
    refresh: Moment,
    /// Somebody refused it.
    invalid: bool,
    /// It replaced one that was refused.
    replacement: bool,
    /// The claims it was got with.
    claims: Option<String>,
    /// The claims to get the next one with.
    next_claims: Option<String>,
    failures: u32,
    last_used: u64,
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
}

impl Entry {
    pub(crate) fn is(&self, sha256: &str) -> bool {
        self.sha256.eq_ignore_ascii_case(sha256)
    }

    pub(crate) fn next_claims(&self) -> Option<&str> {
        self.next_claims.as_deref()
    }

    fn freshness(&self, now: Now) -> Freshness {
        if !self.refresh.reached(now) {
            // also in the margin: a refresh has just failed, and asking again at once would not help
            Freshness::Fresh
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

    /// A copy to hand out.
    pub(crate) fn serve(&self) -> AccessToken {
        AccessToken {
            source: TokenSource::Cache,
            ..self.token.clone()
        }
    }

    /// A background refresh failed: when to try again.
    pub(crate) fn refresh_failed(&mut self, io: &Io, retry_after_ms: Option<u64>) {
        self.failures = self.failures.saturating_add(1);
        let wait =
            retry::backoff(REFRESH_BACKOFF_MS, self.failures, io).min(MAX_REFRESH_BACKOFF_MS);
        self.refresh = Moment::after(io.now(), wait.max(retry_after_ms.unwrap_or(0)));
        self.token.refresh_on = self.refresh.unix_s();
    }
}

/// The tokens by key.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: Table<CacheKey, Entry>,
    uses: u64,
}

impl Cache {
    /// The entry that may be served now, and how.
    pub(crate) fn usable(&mut self, key: &CacheKey, now: Now) -> Option<(&mut Entry, Freshness)> {
        self.uses += 1;
        let uses = self.uses;
        if self
            .entries
            .get(key)
            .is_some_and(|entry| entry.expires.reached(now))
        {
            // dropping it wipes the secret
            self.entries.remove(key);
        }
        let entry = self.entries.get_mut(key).filter(|entry| !entry.invalid)?;
        entry.last_used = uses;
        let freshness = entry.freshness(now);
        Some((entry, freshness))
    }

    /// The entry whatever its state.
    pub(crate) fn get_mut(&mut self, key: &CacheKey) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// Keeps what was granted, in place of what was there, and gives a copy to hand out.
    pub(crate) fn insert(
        &mut self,
        io: &Io,
        replaces: &CacheKey,
        acquired: Acquired,
        claims: Option<String>,
    ) -> AccessToken {
        let Acquired {
            granted,
            asked_at,
            scope,
            generation,
        } = acquired;
        let key = CacheKey {
            generation,
            ..replaces.clone()
        };
        let now = io.now();
        let old = self.entries.remove(replaces);
        self.entries.retain(|_, entry| !entry.expires.reached(now));
        while self.entries.len() >= MAX_CACHED_TOKENS {
            let Some(idle) = self
                .entries
                .iter()
                .min_by_key(|(_, e)| e.last_used)
                .map(|(k, _)| k.clone())
            else {
                break;
            };
            self.entries.remove(&idle);
        }
        let life = granted.lifetime_ms;
        let early = granted
            .refresh_in_ms
            .filter(|ms| *ms < life)
            .unwrap_or(life / 2);
        let early = early - io.random_below(early * REFRESH_JITTER_PERCENT / 100 + 1);
        let margin = life.saturating_sub(EXPIRY_MARGIN_MS.min(life / 20));
        // counted from when it was asked for: the server's count began after that
        let expires = Moment::after(asked_at, life);
        let refresh = Moment::after(asked_at, early);
        let sha256 = granted.token.sha256_hex();
        let token = AccessToken {
            token: granted.token,
            token_type: granted.token_type,
            expires_on: expires.unix_s(),
            refresh_on: refresh.unix_s(),
            scope: granted.scope.unwrap_or(scope),
            identity: key.identity.clone(),
            source: TokenSource::Exchange,
            refresh_token: granted.refresh_token,
            id_token: granted.id_token,
            issued_token_type: granted.issued_token_type,
            certificate_thumbprint: granted.certificate_thumbprint,
        };
        self.uses += 1;
        let entry = Entry {
            token: token.clone(),
            replacement: old
                .as_ref()
                .is_some_and(|old| old.invalid && old.sha256 != sha256),
            // the server gave the refused one again: it is still refused, and known to be
            invalid: false,
            sha256,
            obtained: Moment::after(now, 0),
            margin: Moment::after(asked_at, margin),
            expires,
            refresh,
            claims,
            next_claims: None,
            failures: 0,
            last_used: self.uses,
        };
        self.entries.insert(key, entry);
        token
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
                state: if entry.invalid {
                    TokenState::Rejected
                } else {
                    match entry.freshness(now) {
                        Freshness::Fresh => TokenState::Fresh,
                        Freshness::RefreshDue => TokenState::RefreshDue,
                        Freshness::Expiring => TokenState::Expiring,
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
        let asks_for_more = claims.is_some() && claims != entry.claims;
        let young = !entry.obtained.plus_ms(REJECTION_COOLDOWN_MS).reached(now);
        if entry.replacement && young && !asks_for_more && !entry.invalid {
            return RejectionOutcome::Kept;
        }
        entry.invalid = true;
        if claims.is_some() {
            entry.next_claims = claims;
        }
        RejectionOutcome::Invalidated
    }

    /// Forgets the tokens of one identity, or all.
    pub(crate) fn drop_identity(&mut self, identity: Option<&str>) -> usize {
        let before = self.entries.len();
        self.entries
            .retain(|key, _| identity.is_some_and(|identity| identity != key.identity));
        before - self.entries.len()
    }
}
