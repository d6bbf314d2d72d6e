//! The read-through cache in front of the component: while a token needs no second look, a caller gets it without
//! crossing the boundary. The component keeps the real cache, and decides until when that is (`refresh_on`).

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use edgepass_core::{
    AccessToken, Grant, Moment, Now, Refresh, TokenRequest, TokenSource, TokenType,
};
use hashbrown::{Equivalent, HashMap};

use crate::{clock, limits};

/// An access token. Clones share one allocation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token(Arc<AccessToken>);

impl Token {
    pub(crate) fn new(token: AccessToken) -> Self {
        Self(Arc::new(token))
    }

    pub(crate) fn with_source(&self, source: TokenSource) -> Self {
        Self::new(AccessToken {
            source,
            ..AccessToken::clone(&self.0)
        })
    }
}

impl Token {
    /// How long it is still good; zero when it has expired.
    pub fn expires_in(&self) -> Duration {
        self.expires_at()
            .duration_since(SystemTime::now())
            .unwrap_or_default()
    }
}

impl Deref for Token {
    type Target = AccessToken;

    fn deref(&self) -> &AccessToken {
        &self.0
    }
}

/// What distinguishes the tokens of requests that the cache may answer: the workload's own (client credentials),
/// without a claims challenge, and not asking for a new one.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Key {
    identity: Option<String>,
    tenant: Option<String>,
    scopes: Vec<String>,
    token_type: TokenType,
}

impl Key {
    /// The key of a request that the cache may answer.
    pub(crate) fn of(request: &TokenRequest) -> Option<Self> {
        Lookup::of(request).map(|_| Self {
            identity: request.identity.clone(),
            tenant: request.tenant.clone(),
            scopes: request.scopes.clone(),
            token_type: request.token_type,
        })
    }

    fn parts(&self) -> (Option<&str>, Option<&str>, &[String], TokenType) {
        (
            self.identity.as_deref(),
            self.tenant.as_deref(),
            &self.scopes,
            self.token_type,
        )
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.parts(), state);
    }
}

/// The same as a borrow of the request, so that a hit allocates nothing.
pub(crate) struct Lookup<'r>(&'r TokenRequest);

impl<'r> Lookup<'r> {
    pub(crate) fn of(request: &'r TokenRequest) -> Option<Self> {
        let own = matches!(request.grant, Grant::ClientCredentials);
        (own && request.claims.is_none() && request.refresh == Refresh::IfNeeded)
            .then_some(Self(request))
    }

    fn parts(&self) -> (Option<&str>, Option<&str>, &[String], TokenType) {
        (
            self.0.identity.as_deref(),
            self.0.tenant.as_deref(),
            &self.0.scopes,
            self.0.token_type,
        )
    }
}

impl Hash for Lookup<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.parts(), state);
    }
}

impl Equivalent<Key> for Lookup<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.parts() == key.parts()
    }
}

/// Scopes in another order are another key: it costs one call into the component, which sorts them, and saves sorting
/// at every hit.
fn hash<H: Hasher>(
    (identity, tenant, scopes, token_type): (Option<&str>, Option<&str>, &[String], TokenType),
    state: &mut H,
) {
    identity.hash(state);
    tenant.hash(state);
    scopes.hash(state);
    (token_type == TokenType::MtlsPop).hash(state);
}

/// Length of a SHA-256 in hexadecimal.
const SHA256_HEX_BYTES: usize = 64;

/// Tokens by key.
#[derive(Default)]
pub(crate) struct Cache {
    entries: RwLock<Entries>,
}

#[derive(Default)]
struct Entries {
    tokens: HashMap<Key, Entry>,
    /// Counts removals: an answer that was asked for before one must not be kept after it.
    generation: u64,
    /// Digests of tokens that were refused and were not here, the newest last: an answer that brings one of them was
    /// asked for before, or is the component's last resort. Bounded, and a report of what nobody has costs nobody else
    /// anything.
    refused: VecDeque<String>,
}

struct Entry {
    token: Token,
    /// Lower-case hex SHA-256 of it, once somebody has asked for it.
    sha256: OnceLock<String>,
    /// From when the component is asked again.
    fresh_until: Moment,
    /// From when it has expired.
    alive_until: Moment,
}

impl Entry {
    fn sha256(&self) -> &String {
        self.sha256.get_or_init(|| self.token.token.sha256_hex())
    }

    /// A copy to hand out. Its times are on the wall clock as that is now: who gets it may know no other, and it may have
    /// been set back since.
    fn serve(&self, now: Now) -> Token {
        let expires_on = self.alive_until.unix_s_seen(now);
        if expires_on == self.token.expires_on {
            return self.token.clone();
        }
        Token::new(AccessToken {
            expires_on,
            refresh_on: self.fresh_until.unix_s_seen(now),
            ..AccessToken::clone(&self.token)
        })
    }
}

impl Cache {
    /// The token, if the component need not be asked.
    pub(crate) fn fresh(&self, request: &TokenRequest) -> Option<Token> {
        self.get(request, |entry, now| !entry.fresh_until.reached(now))
    }

    /// The token, if it has not expired.
    pub(crate) fn alive(&self, request: &TokenRequest) -> Option<Token> {
        self.get(request, |entry, now| !entry.alive_until.reached(now))
    }

    fn get(&self, request: &TokenRequest, good: impl Fn(&Entry, Now) -> bool) -> Option<Token> {
        let lookup = Lookup::of(request)?;
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.tokens.get(&lookup)?;
        let now = clock::now();
        good(entry, now).then(|| entry.serve(now))
    }

    /// Which answers [`Self::put`] may still take.
    pub(crate) fn generation(&self) -> u64 {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .generation
    }

    /// Keeps a token that was asked for in that generation. `replaces` removes the other tokens of its identity:
    /// the caller asked for a new one because they are refused.
    pub(crate) fn put(&self, key: Key, token: &Token, generation: u64, replaces: bool) {
        let now = clock::now();
        let mut entry = Entry {
            token: token.with_source(TokenSource::Cache),
            sha256: OnceLock::new(),
            fresh_until: Moment::at_unix_s(token.refresh_on, now),
            alive_until: Moment::at_unix_s(token.expires_on, now),
        };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.generation != generation {
            return;
        }
        if !entries.refused.is_empty() && entries.refused.contains(entry.sha256()) {
            // whether it may be served is for the component to say, each time
            entry.fresh_until = Moment::at_unix_s(0, now);
        }
        if replaces {
            entries.generation += 1;
            entries
                .tokens
                .retain(|_, entry| entry.token.identity != token.identity);
        }
        if entries.tokens.len() >= limits::CACHED_TOKENS && !entries.tokens.contains_key(&key) {
            entries
                .tokens
                .retain(|_, entry| !entry.alive_until.reached(now));
            if entries.tokens.len() >= limits::CACHED_TOKENS {
                let mut keep = false;
                entries.tokens.retain(|_, _| {
                    keep = !keep;
                    keep
                });
            }
        }
        entries.tokens.insert(key, entry);
    }

    /// Removes the token of that hex SHA-256, under every key. As in the component, the case of its letters does not
    /// matter.
    pub(crate) fn reject(&self, token_sha256: &str) {
        let sha256 = token_sha256.to_ascii_lowercase();
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        // while others may read: the first refusal has a digest to make of each
        entries.tokens.values().for_each(|entry| _ = entry.sha256());
        drop(entries);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let before = entries.tokens.len();
        entries.tokens.retain(|_, entry| *entry.sha256() != sha256);
        if entries.tokens.len() < before {
            entries.generation += 1;
        }
        if sha256.len() == SHA256_HEX_BYTES && !entries.refused.contains(&sha256) {
            if entries.refused.len() >= limits::REFUSED_TOKENS {
                entries.refused.pop_front();
            }
            entries.refused.push_back(sha256);
        }
    }

    /// Removes the tokens of that configured identity, or all.
    pub(crate) fn forget(&self, identity: Option<&str>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.generation += 1;
        entries
            .tokens
            .retain(|_, entry| identity.is_some_and(|identity| entry.token.identity != identity));
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .tokens
            .len()
    }
}

#[cfg(test)]
mod tests {
    use edgepass_core::Secret;

    use super::*;

    fn request(scope: &str) -> TokenRequest {
        TokenRequest::for_scopes([scope])
    }

    fn token(text: &str, identity: &str, fresh_for: u64) -> Token {
        let now = clock::now().unix_s();
        Token::new(AccessToken {
            token: Secret::new(text),
            token_type: "Bearer".into(),
            expires_on: now + 3600,
            refresh_on: now + fresh_for,
            moments: None,
            scope: "s".into(),
            identity: identity.into(),
            source: TokenSource::Exchange,
            refresh_token: None,
            id_token: None,
            issued_token_type: None,
            certificate_thumbprint: None,
        })
    }

    fn put(cache: &Cache, request: &TokenRequest, token: &Token) {
        cache.put(Key::of(request).unwrap(), token, cache.generation(), false);
    }

    #[test]
    fn a_hit_is_of_the_same_request_and_says_cache() {
        let cache = Cache::default();
        put(&cache, &request("a"), &token("t", "default", 60));
        let hit = cache.fresh(&request("a")).unwrap();
        assert_eq!((hit.token.expose(), hit.source), ("t", TokenSource::Cache));
        for other in [
            request("b"),
            TokenRequest {
                identity: Some("x".into()),
                ..request("a")
            },
            TokenRequest {
                tenant: Some("x".into()),
                ..request("a")
            },
            TokenRequest {
                token_type: TokenType::MtlsPop,
                ..request("a")
            },
            TokenRequest {
                refresh: Refresh::Force,
                ..request("a")
            },
            TokenRequest {
                claims: Some("{}".into()),
                ..request("a")
            },
            TokenRequest {
                grant: Grant::OnBehalfOf {
                    assertion: Some(Secret::new("u")),
                    session_key: None,
                },
                ..request("a")
            },
        ] {
            assert_eq!(cache.fresh(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_token_past_its_refresh_time_is_alive_but_not_fresh() {
        let cache = Cache::default();
        put(&cache, &request("a"), &token("t", "default", 0));
        assert_eq!(cache.fresh(&request("a")), None);
        assert!(cache.alive(&request("a")).is_some());
    }

    #[test]
    fn what_is_handed_out_has_the_times_of_the_wall_clock_as_it_is() {
        let token = token("t", "default", 600);
        let then = clock::now();
        let entry = Entry {
            sha256: OnceLock::new(),
            fresh_until: Moment::at_unix_s(token.refresh_on, then),
            alive_until: Moment::at_unix_s(token.expires_on, then),
            token: token.clone(),
        };
        let mut now = then.plus_ms(60_000);
        assert_eq!(entry.serve(now), token);
        now.unix_ms -= 7_200_000;
        let served = entry.serve(now);
        assert!(served.expires_on.abs_diff(token.expires_on - 7_200) <= 1);
        assert!(served.refresh_on.abs_diff(token.refresh_on - 7_200) <= 1);
        assert_eq!(served.token, token.token);
    }

    #[test]
    fn a_refused_token_is_removed_and_its_answer_cannot_come_back() {
        let cache = Cache::default();
        let before = cache.generation();
        let refused = token("t", "default", 60);
        put(&cache, &request("a"), &refused);
        put(&cache, &request("b"), &token("u", "default", 60));
        cache.reject(&refused.token.sha256_hex());
        assert_eq!(cache.fresh(&request("a")), None);
        assert!(cache.fresh(&request("b")).is_some());
        cache.put(Key::of(&request("a")).unwrap(), &refused, before, false);
        assert_eq!(
            cache.fresh(&request("a")),
            None,
            "asked for before the refusal"
        );
    }

    #[test]
    fn a_digest_is_the_same_in_either_case() {
        let cache = Cache::default();
        let refused = token("t", "default", 60);
        put(&cache, &request("a"), &refused);
        cache.reject(&refused.token.sha256_hex().to_ascii_uppercase());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn a_refused_token_that_was_still_under_way_is_not_kept_as_good() {
        let cache = Cache::default();
        let before = cache.generation();
        let (refused, other) = (token("t", "default", 60), token("u", "default", 60));
        cache.reject(&refused.token.sha256_hex());
        cache.put(Key::of(&request("a")).unwrap(), &refused, before, false);
        cache.put(Key::of(&request("b")).unwrap(), &other, before, false);
        assert_eq!(cache.fresh(&request("a")), None);
        assert!(cache.fresh(&request("b")).is_some());
    }

    #[test]
    fn reports_of_what_nobody_has_keep_no_answer_out() {
        let cache = Cache::default();
        let before = cache.generation();
        for n in 0..3 * limits::REFUSED_TOKENS {
            cache.reject(&edgepass_core::sha256_hex(&n.to_be_bytes()));
            cache.reject("no digest");
        }
        assert_eq!(
            cache.entries.read().unwrap().refused.len(),
            limits::REFUSED_TOKENS
        );
        let good = token("t", "default", 60);
        cache.put(Key::of(&request("a")).unwrap(), &good, before, false);
        assert!(cache.fresh(&request("a")).is_some());
    }

    #[test]
    fn a_replacement_removes_the_other_tokens_of_the_identity() {
        let cache = Cache::default();
        put(&cache, &request("a"), &token("old", "app", 60));
        put(
            &cache,
            &TokenRequest {
                identity: Some("app".into()),
                ..request("a")
            },
            &token("old", "app", 60),
        );
        put(&cache, &request("c"), &token("other", "other", 60));
        cache.put(
            Key::of(&request("a")).unwrap(),
            &token("new", "app", 60),
            cache.generation(),
            true,
        );
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.fresh(&request("a")).unwrap().token.expose(), "new");
    }

    #[test]
    fn identities_are_forgotten_by_name() {
        let cache = Cache::default();
        put(&cache, &request("a"), &token("t", "app", 60));
        put(&cache, &request("b"), &token("t", "other", 60));
        cache.forget(Some("app"));
        assert_eq!(cache.len(), 1);
        cache.forget(None);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn the_bound_holds() {
        let cache = Cache::default();
        let any = token("t", "app", 60);
        for n in 0..limits::CACHED_TOKENS + 10 {
            put(&cache, &request(&n.to_string()), &any);
        }
        assert!(cache.len() <= limits::CACHED_TOKENS);
        assert!(
            cache
                .fresh(&request(&(limits::CACHED_TOKENS + 9).to_string()))
                .is_some()
        );
    }
}
