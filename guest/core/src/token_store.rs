//! Tokens that several instances share by a store, and which of them asks for one that is not there.
//!
//! A flight looks into the store before it asks the token server. Where no token is there, one instance gets a lease, asks,
//! and puts the token there for all others, who look for it meanwhile. The store is never needed: whatever it does not do
//! costs an exchange, and nobody a token.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::acquire::{Plan, acquire_within};
use crate::cache::{Acquired, CacheKey, Generation};
use crate::config::Source;
use crate::credential::Purpose;
use crate::distinction::Distinction;
use crate::effect::{StoreAnswer, StoreError, StoreRequest};
use crate::exchange::{Granted, refresh_after_ms};
use crate::flow::Io;
use crate::json::Json;
use crate::limits::{
    EXPIRY_MARGIN_MS, MAX_EXPIRES_IN_S, MAX_STORE_ENTRY_BYTES, MAX_TOKEN_STORE_POLL_MS,
    TOKEN_LEASE_S, TOKEN_LEASE_WAIT_MS, TOKEN_STORE_POLL_MS, TOKEN_STORE_SKEW_MS,
};
use crate::secret::Zeroizing;
use crate::{
    Counters, Error, IdentityStatus, Refresh, Secret, SecretBytes, Table, TokenType, sha256_hex,
};

/// The form of entries and keys. Another one is another key, so instances of two versions share nothing.
const VERSION: u64 = 1;

/// A token that is cached, and since when on the wall clock.
pub(crate) type Known = (Secret, u64);

/// What a flight knows when it begins.
pub(crate) struct Flown {
    pub(crate) key: CacheKey,
    /// The cached token, and since when on the wall clock it is here: one of the store has to be newer.
    pub(crate) known: Option<Known>,
    pub(crate) demands: Demands,
}

/// What those who wait for a flight want of its token. More of them may come while it is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demands(Rc<RefCell<Wanted>>);

#[derive(Debug, Default)]
struct Wanted {
    /// Somebody wants one that is asked for now.
    new: bool,
    /// Digests of tokens that resources have refused.
    refused: Vec<String>,
}

impl Demands {
    pub(crate) fn of<'a>(waiters: impl Iterator<Item = &'a Refresh>) -> Self {
        let demands = Self::default();
        waiters.for_each(|refresh| demands.add(refresh));
        demands
    }

    pub(crate) fn add(&self, refresh: &Refresh) {
        let mut wanted = self.0.borrow_mut();
        match refresh {
            Refresh::IfNeeded => {}
            Refresh::Force => wanted.new = true,
            Refresh::IfTokenIs(sha256) => {
                if !wanted.refused.contains(sha256) {
                    wanted.refused.push(sha256.clone());
                }
            }
        }
    }

    fn is_for_a_new_one(&self) -> bool {
        self.0.borrow().new
    }

    fn accept(&self, token: &Secret) -> bool {
        let wanted = self.0.borrow();
        if wanted.new || wanted.refused.is_empty() {
            return !wanted.new;
        }
        let sha256 = token.sha256_hex();
        let mut refused = wanted.refused.iter();
        !refused.any(|refused| refused.eq_ignore_ascii_case(&sha256))
    }
}

/// How it stands with the store, for all flights.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// There is one, and the driver answers for it.
    is_on: bool,
    /// Tokens of users go there too.
    users: bool,
    counts: Table<String, Counters>,
    /// What was put there before this moment of the wall clock is not taken, by identity.
    forgotten: Table<String, u64>,
    /// What was said. Each is said once: it is of the store and not of a token.
    said: Vec<&'static str>,
    notices: VecDeque<String>,
}

impl Standing {
    pub(crate) fn turn_on(&mut self, users: bool) {
        self.is_on = true;
        self.users = users;
    }

    pub(crate) fn forget_before(&mut self, identity: &str, unix_ms: u64) {
        if self.is_on {
            self.forgotten.insert(identity.to_owned(), unix_ms);
        }
    }

    pub(crate) fn next_notice(&mut self) -> Option<String> {
        self.notices.pop_front()
    }

    /// That status with what was counted here.
    pub(crate) fn counted(&self, mut status: Vec<IdentityStatus>) -> Vec<IdentityStatus> {
        for of in &mut status {
            if let Some(counts) = self.counts.get(&of.identity) {
                of.counters.store_hits = counts.store_hits;
                of.counters.store_misses = counts.store_misses;
                of.counters.store_failures = counts.store_failures;
                of.counters.store_ignored = counts.store_ignored;
            }
        }
        status
    }

    fn count(&mut self, identity: &str, count: impl FnOnce(&mut Counters)) {
        if let Some(counts) = self.counts.get_mut(identity) {
            return count(counts);
        }
        let mut counts = Counters::default();
        count(&mut counts);
        self.counts.insert(identity.to_owned(), counts);
    }

    fn say(&mut self, what: &'static str, notice: impl FnOnce() -> String) {
        if !self.said.contains(&what) {
            self.said.push(what);
            self.notices.push_back(notice());
        }
    }
}

/// Gets a token: of the store, or of the token server, from where it goes into the store.
pub(crate) async fn acquire(
    io: &Io,
    plan: &Plan,
    claims: Option<&str>,
    flown: Flown,
) -> Result<Acquired, Error> {
    let timeout_ms = io.flight_timeout_ms();
    let Some(shared) = Shared::of(io, plan, flown) else {
        return acquire_within(io, plan, claims, timeout_ms).await;
    };
    let begun_ms = io.now().mono_ms;
    // claims are satisfied by the server alone, and what they bring replaces what is there
    let lease = match claims {
        Some(_) => None,
        None => match shared.find(timeout_ms / 3).await {
            Found::Token(acquired) => return Ok(*acquired),
            Found::Lease(lease) => Some(lease),
            Found::Nothing => None,
        },
    };
    let passed_ms = io.now().mono_ms.saturating_sub(begun_ms);
    let left_ms = timeout_ms.saturating_sub(passed_ms);
    let result = acquire_within(io, plan, claims, left_ms).await;
    if let Ok(acquired) = &result {
        shared.keep(acquired).await;
    }
    if let Some(lease) = lease {
        shared.release(&lease);
    }
    result
}

/// One token that is shared.
struct Shared<'a> {
    io: &'a Io,
    plan: &'a Plan,
    flown: Flown,
    /// Under which it is in the store.
    key: String,
}

/// What came of looking for it.
enum Found {
    Token(Box<Acquired>),
    /// It is for this instance to ask.
    Lease(Lease),
    /// It has to ask all the same: the store does not answer, or who has the lease takes too long.
    Nothing,
}

/// The right to ask in the place of all.
struct Lease {
    key: String,
    until_mono_ms: u64,
}

/// Why what is in the store is not taken.
enum Unfit {
    /// It is good for others, or was good.
    NotForThis,
    /// Nobody should have put it there.
    Wrong(&'static str),
}

impl<'a> Shared<'a> {
    /// `None` of a token that is not shared: there is no store, it is spent by being sent, or it is of a user and only the
    /// application's own are shared. What a platform gives says who this machine is, and another one is somebody else.
    fn of(io: &'a Io, plan: &'a Plan, flown: Flown) -> Option<Self> {
        let (is_on, users) = io.token_store(|standing| (standing.is_on, standing.users));
        let is_of_a_user = flown.key.grant.kind.is_of_a_user();
        let Source::Exchange(exchange) = &plan.identity.source else {
            return None;
        };
        // nor what is in a session: its refresh token is in this instance alone
        if !is_on || !plan.is_repeatable() || (is_of_a_user && !users) || plan.is_in_session() {
            return None;
        }
        let mut all = Distinction::default();
        all.add(&VERSION.to_string());
        // authority, client and what goes with each of its requests
        exchange.client.distinguish(&mut all);
        let parts = &flown.key;
        all.add_optional(parts.tenant.as_deref());
        all.add_all(&parts.scopes);
        all.add(match parts.token_type {
            TokenType::Bearer => "bearer",
            TokenType::MtlsPop => "mtls_pop",
        });
        parts.grant.distinguish(&mut all);
        Some(Self {
            io,
            plan,
            key: all.sha256_hex(),
            flown,
        })
    }

    /// Looks for the token, and for the right to ask for it, for as long as another instance may be asking.
    async fn find(&self, most_ms: u64) -> Found {
        let begun_ms = self.io.now().mono_ms;
        let until_ms = begun_ms.saturating_add(most_ms.min(TOKEN_LEASE_WAIT_MS));
        let lease_key = sha256_hex(format!("lease of {}", self.key).as_bytes());
        let mut wait_ms = TOKEN_STORE_POLL_MS;
        let mut missed = false;
        loop {
            if self.flown.demands.is_for_a_new_one() {
                return Found::Nothing;
            }
            match self.look().await {
                Ok(Some(acquired)) => return self.hit(acquired),
                Ok(None) => {}
                Err(_) => return Found::Nothing,
            }
            if !std::mem::replace(&mut missed, true) {
                self.count(|counts| counts.store_misses += 1);
            }
            let asked_ms = self.io.now().mono_ms;
            let put = StoreRequest::Put {
                key: lease_key.clone(),
                value: SecretBytes::default(),
                ttl_s: TOKEN_LEASE_S,
                only_if_absent: true,
            };
            match self.ask(put).await {
                Ok(StoreAnswer::Kept(true)) => {
                    let lease = Lease {
                        key: lease_key,
                        until_mono_ms: asked_ms.saturating_add(TOKEN_LEASE_S * 1_000),
                    };
                    // who had it before may have put the token there since the last look
                    if let Ok(Some(acquired)) = self.look().await {
                        self.release(&lease);
                        return self.hit(acquired);
                    }
                    return Found::Lease(lease);
                }
                Ok(StoreAnswer::Kept(false)) => {}
                _ => return Found::Nothing,
            }
            let now_ms = self.io.now().mono_ms;
            if now_ms >= until_ms {
                return Found::Nothing;
            }
            let drawn_ms = wait_ms / 2 + self.io.random_below(wait_ms + 1);
            self.io.sleep_ms(drawn_ms.min(until_ms - now_ms)).await;
            wait_ms = MAX_TOKEN_STORE_POLL_MS.min(wait_ms + wait_ms / 2);
        }
    }

    fn hit(&self, acquired: Acquired) -> Found {
        self.count(|counts| counts.store_hits += 1);
        Found::Token(Box::new(acquired))
    }

    /// The token that is there now, if it may be served here.
    async fn look(&self) -> Result<Option<Acquired>, StoreError> {
        let key = self.key.clone();
        let value = match self.ask(StoreRequest::Get { key }).await? {
            StoreAnswer::Value(Some(value)) => value,
            _ => return Ok(None),
        };
        match self.take(&value).await {
            Ok(acquired) => Ok(Some(acquired)),
            Err(Unfit::NotForThis) => Ok(None),
            Err(Unfit::Wrong(what)) => {
                self.count(|counts| counts.store_ignored += 1);
                self.io.token_store(|standing| {
                    standing.say(what, || {
                        format!("what the token store has for a token is ignored: it {what}")
                    });
                });
                Ok(None)
            }
        }
    }

    async fn take(&self, value: &SecretBytes) -> Result<Acquired, Unfit> {
        let begun = self.io.number();
        let entry = Entry::read(value, &self.key)?;
        let now = self.io.now();
        if entry.obtained_ms > now.unix_ms.saturating_add(TOKEN_STORE_SKEW_MS) {
            return Err(Unfit::Wrong(
                "is of the future: a clock is wrong, here or where it was got",
            ));
        }
        let left_ms = entry.expires_ms.saturating_sub(now.unix_ms);
        if left_ms == 0 {
            return Err(Unfit::Wrong(
                "has expired: the store keeps it too long, or a clock is wrong",
            ));
        }
        if left_ms > MAX_EXPIRES_IN_S * 1_000 {
            return Err(Unfit::Wrong("lives longer than any token"));
        }
        let refresh_in_ms = entry.refresh_ms.saturating_sub(now.unix_ms);
        let forgotten = self.io.token_store(|standing| {
            let forgotten = standing.forgotten.get(&self.flown.key.identity);
            forgotten.is_some_and(|unix_ms| entry.obtained_ms < *unix_ms)
        });
        let is_better = match &self.flown.known {
            // near its end it is for whoever has it; the next one is needed anyway
            None => left_ms > EXPIRY_MARGIN_MS,
            Some((known, since_ms)) => {
                refresh_in_ms > 0 && entry.obtained_ms > *since_ms && entry.token != *known
            }
        };
        if forgotten || !is_better || !self.flown.demands.accept(&entry.token) {
            return Err(Unfit::NotForThis);
        }
        if !self.is_current(&entry).await {
            return Err(Unfit::Wrong(
                "was got with another certificate or secret than the present one of this instance",
            ));
        }
        Ok(Acquired {
            granted: Granted {
                token: entry.token,
                token_type: entry.token_type,
                lifetime_ms: left_ms,
                refresh_in_ms: Some(refresh_in_ms),
                scope: entry.scope.clone(),
                refresh_token: None,
                id_token: None,
                issued_token_type: entry.issued_token_type,
                certificate_thumbprint: entry.thumbprint,
            },
            asked_at: now,
            begun,
            scope: entry.scope.unwrap_or_default(),
            generation: entry.generation,
            from_store: true,
        })
    }

    /// Whether this instance would get it with the same certificate or secret. What is bound to another certificate it
    /// cannot use, and what was got with one that has been replaced is not served on.
    async fn is_current(&self, entry: &Entry) -> bool {
        let Some(generation) = &entry.generation else {
            return entry.thumbprint.is_none();
        };
        let Source::Exchange(exchange) = &self.plan.identity.source else {
            return false;
        };
        if generation.credential >= exchange.credentials.len() {
            return false;
        }
        let correlation_id = self.io.uuid();
        let credential = exchange.credentials.get(generation.credential);
        let tenant = self.flown.key.tenant.as_deref();
        let endpoint = credential
            .find_token_endpoint(self.io, &exchange.client, tenant, &correlation_id, &[])
            .await;
        let Ok(endpoint) = endpoint else {
            return false;
        };
        let purpose = Purpose {
            identity: &self.plan.identity.name,
            client_id: &exchange.client.client_id,
            tenant,
            endpoint: &endpoint,
            audience: None,
            claims: None,
            correlation_id: &correlation_id,
        };
        let Ok(auth) = credential.authenticate(self.io, &purpose).await else {
            return false;
        };
        let is_bound = || auth.connection.is_some() && entry.thumbprint == auth.generation;
        auth.generation.as_ref() == Some(&generation.state)
            && (entry.thumbprint.is_none() || is_bound())
    }

    /// Puts a token there that was asked for.
    async fn keep(&self, acquired: &Acquired) {
        let now_ms = self.io.now().unix_ms;
        let Some((value, expires_ms)) = Entry::written(&self.key, acquired) else {
            return;
        };
        let ttl_s = expires_ms.saturating_sub(now_ms) / 1_000;
        if ttl_s == 0 {
            return;
        }
        // what the store does not take is asked for again by others
        let _ = self
            .ask(StoreRequest::Put {
                key: self.key.clone(),
                value,
                ttl_s,
                only_if_absent: false,
            })
            .await;
    }

    /// Gives the right to ask back. One that has run out may be another's by now.
    fn release(&self, lease: &Lease) {
        if self.io.now().mono_ms < lease.until_mono_ms {
            let key = lease.key.clone();
            self.io.tell_store(StoreRequest::Delete { key });
        }
    }

    async fn ask(&self, request: StoreRequest) -> Result<StoreAnswer, StoreError> {
        let answer = self.io.ask_store(request).await;
        // whoever has the store knows more of it, and says so
        if answer.is_err() {
            self.count(|counts| counts.store_failures += 1);
        }
        answer
    }

    fn count(&self, count: impl FnOnce(&mut Counters)) {
        let identity = &self.flown.key.identity;
        self.io
            .token_store(|standing| standing.count(identity, count));
    }
}

/// A token as it is in the store, with its times on the wall clock, which is the only one that instances share.
struct Entry {
    token: Secret,
    token_type: String,
    obtained_ms: u64,
    refresh_ms: u64,
    expires_ms: u64,
    scope: Option<String>,
    issued_token_type: Option<String>,
    /// The certificate that it is bound to.
    thumbprint: Option<String>,
    generation: Option<Generation>,
}

impl Entry {
    fn read(value: &SecretBytes, key: &str) -> Result<Self, Unfit> {
        const UNREADABLE: Unfit = Unfit::Wrong("cannot be read");

        if value.len() > MAX_STORE_ENTRY_BYTES {
            return Err(UNREADABLE);
        }
        let json = Json::parse(value.expose()).map_err(|_| UNREADABLE)?;
        let text = |name: &str| {
            let text = json.get(name).and_then(Json::text);
            text.map(|text| text.expose().to_owned())
        };
        let number = |name: &str| match json.get(name) {
            Some(Json::Whole(number)) => Ok(*number),
            _ => Err(UNREADABLE),
        };
        if number("v")? != VERSION {
            return Err(UNREADABLE);
        }
        if text("key").as_deref() != Some(key) {
            return Err(Unfit::Wrong("is another token's"));
        }
        let token = json.get("token").and_then(Json::text).cloned();
        let token = token.filter(|token| is_token(token.expose()));
        let generation = match text("state") {
            Some(state) => Some(Generation {
                credential: usize::try_from(number("credential")?).map_err(|_| UNREADABLE)?,
                state,
            }),
            None => None,
        };
        let token_type = text("type").filter(|name| is_token(name));
        Ok(Self {
            token: token.ok_or(UNREADABLE)?,
            token_type: token_type.ok_or(UNREADABLE)?,
            obtained_ms: number("obtained")?,
            refresh_ms: number("refresh")?,
            expires_ms: number("expires")?,
            scope: text("scope"),
            issued_token_type: text("issued"),
            thumbprint: text("thumbprint"),
            generation,
        })
    }

    /// What is written of it, and when it expires on the wall clock. `None` of an answer that has more in it than a token:
    /// who takes it from the store would get less than whoever asked.
    fn written(key: &str, acquired: &Acquired) -> Option<(SecretBytes, u64)> {
        // all by name, so that what is new is not forgotten here
        let Acquired {
            granted,
            asked_at,
            begun: _,
            scope,
            generation,
            from_store: _,
        } = acquired;
        let Granted {
            token,
            token_type,
            lifetime_ms,
            refresh_in_ms,
            scope: granted_scope,
            refresh_token,
            id_token,
            issued_token_type,
            certificate_thumbprint,
        } = granted;
        if refresh_token.is_some() || id_token.is_some() {
            return None;
        }
        let early_ms = refresh_after_ms(*lifetime_ms, *refresh_in_ms);
        let expires_ms = asked_at.unix_ms.saturating_add(*lifetime_ms);
        let scope = granted_scope.as_deref().unwrap_or(scope);
        let texts = [
            ("token", Some(token.expose())),
            ("type", Some(token_type.as_str())),
            ("scope", Some(scope)),
            ("issued", issued_token_type.as_deref()),
            ("thumbprint", certificate_thumbprint.as_deref()),
            ("state", generation.as_ref().map(|of| of.state.as_str())),
        ];
        let numbers = [
            ("obtained", asked_at.unix_ms),
            ("refresh", asked_at.unix_ms.saturating_add(early_ms)),
            ("expires", expires_ms),
            (
                "credential",
                generation.as_ref().map_or(0, |of| of.credential as u64),
            ),
        ];
        // at once: growing would leave copies of the token behind
        let length: usize = texts.iter().map(|(_, text)| text.map_or(0, str::len)).sum();
        let mut out = Vec::with_capacity(2 * length + 512);
        out.extend_from_slice(format!(r#"{{"v":{VERSION},"key":"{key}""#).as_bytes());
        for (name, number) in numbers {
            out.extend_from_slice(format!(r#","{name}":{number}"#).as_bytes());
        }
        for (name, text) in texts {
            if let Some(text) = text {
                let text = Zeroizing::new(serde_json::to_string(text).unwrap_or_default());
                out.extend_from_slice(format!(r#","{name}":"#).as_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.push(b'}');
        Some((SecretBytes::new(out), expires_ms))
    }
}

/// Whether it can stand in a header: an entry that somebody else has written must not add one.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::tests::allow_every_grant;
    use crate::{Config, Effect, Engine, Environment, Grant, Now, Reply, TokenRequest};

    /// What is done first for that grant.
    fn first_effect(users: bool, grant: Grant) -> Effect {
        let json = format!(
            r#"{{"identities": {{"app": {{
                "token_endpoint": "https://idp.example/token", "client_id": "c",
                "credential": {{"client_secret": {{"value": "hunter2"}}}}}}}},
                "authority_hosts": ["idp.example"],
                "host": {{"token_store": {{"url": "redis://s", "encryption_keys_file": "/k", "users": {users}}}}}}}"#
        );
        let config = Config::load(Some(&json), &Environment::default()).unwrap();
        let mut engine = Engine::new(config, [7; 32]);
        engine.use_token_store();
        let request = TokenRequest {
            grant,
            ..TokenRequest::for_scopes(["read"])
        };
        let reply = engine.request(Now::default(), &request);
        assert!(matches!(reply, Reply::Pending(_)), "{reply:?}");
        engine.next_effect().unwrap().1
    }

    #[test]
    fn tokens_of_users_are_shared_where_that_is_wanted_and_what_is_spent_never() {
        allow_every_grant();
        let key = |effect: Effect| match effect {
            Effect::Store {
                request: StoreRequest::Get { key },
            } => Some(key),
            Effect::Http { .. } => None,
            other => panic!("{other:?}"),
        };
        let obo = |user: &str| Grant::OnBehalfOf {
            assertion: Some(user.into()),
            session_key: None,
        };
        assert_eq!(key(first_effect(false, obo("alice"))), None);
        let own = key(first_effect(false, Grant::ClientCredentials)).unwrap();
        let alice = key(first_effect(true, obo("alice"))).unwrap();
        let bob = key(first_effect(true, obo("bob"))).unwrap();
        let other = key(first_effect(true, Grant::JwtBearer("alice".into()))).unwrap();
        let mut keys = vec![own, alice, bob, other];
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4);
        let refresh = Grant::RefreshToken("alice".into());
        assert_eq!(key(first_effect(true, refresh)), None);
    }

    fn acquired() -> Acquired {
        Acquired {
            granted: Granted {
                token: "a\"b\\c.d".into(),
                token_type: "Bearer".into(),
                lifetime_ms: 3_600_000,
                refresh_in_ms: None,
                scope: Some("read \"all\"".into()),
                refresh_token: None,
                id_token: None,
                issued_token_type: Some("urn:x".into()),
                certificate_thumbprint: Some("thumb".into()),
            },
            asked_at: Now {
                unix_ms: 1_000_000,
                mono_ms: 7,
            },
            begun: 1,
            scope: "asked".into(),
            generation: Some(Generation {
                credential: 2,
                state: "state".into(),
            }),
            from_store: false,
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let (value, expires_ms) = Entry::written("k", &acquired()).unwrap();
        let Ok(entry) = Entry::read(&value, "k") else {
            panic!("{}", String::from_utf8_lossy(value.expose()))
        };
        assert_eq!(expires_ms, 4_600_000);
        assert_eq!(
            (entry.obtained_ms, entry.refresh_ms, entry.expires_ms),
            (1_000_000, 2_800_000, 4_600_000)
        );
        assert_eq!(entry.token.expose(), "a\"b\\c.d");
        assert_eq!(entry.token_type, "Bearer");
        assert_eq!(entry.scope.as_deref(), Some("read \"all\""));
        assert_eq!(entry.issued_token_type.as_deref(), Some("urn:x"));
        assert_eq!(entry.thumbprint.as_deref(), Some("thumb"));
        assert_eq!(entry.generation, acquired().generation);
        assert!(matches!(
            Entry::read(&value, "another"),
            Err(Unfit::Wrong("is another token's"))
        ));
        for cut in 0..value.len() {
            let half = SecretBytes::new(value.expose().get(..cut).unwrap());
            assert!(Entry::read(&half, "k").is_err(), "{cut}");
        }
    }

    /// Who takes it from the store would get less than whoever asked.
    #[test]
    fn an_answer_with_more_than_a_token_is_not_kept() {
        for (refresh, id) in [(true, false), (false, true)] {
            let mut more = acquired();
            more.granted.refresh_token = refresh.then(|| "r".into());
            more.granted.id_token = id.then(|| "i".into());
            assert!(Entry::written("k", &more).is_none());
        }
    }
}
