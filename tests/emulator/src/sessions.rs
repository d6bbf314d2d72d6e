//! What users have granted: codes, refresh tokens, and who is signed in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use crate::encoding::{base64url, random};
use crate::lock;
use crate::registry::Resource;

/// What is kept of each kind: far more than a test has under way, little
/// enough that a benchmark does not eat the machine.
const LIMIT: usize = 100_000;

/// How codes and refresh tokens begin, as Entra's do. What begins otherwise is
/// malformed.
const PREFIX: &str = "1.";

/// What a user has granted to an application.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) client_id: String,
    /// Object ID of the user.
    pub(crate) user: String,
    /// ID of the tenant.
    pub(crate) tenant: String,
    /// What was asked for, resource by resource.
    pub(crate) asked: Vec<Asked>,
    pub(crate) oidc: Oidc,
    pub(crate) nonce: Option<String>,
    /// The user flow of Azure AD B2C.
    pub(crate) policy: Option<String>,
    pub(crate) second_factor: bool,
    /// When the user signed in, Unix seconds.
    pub(crate) at: i64,
}

/// Scopes of one resource.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The resource as it was named.
    pub(crate) name: String,
    pub(crate) resource: Resource,
    /// Without the resource; `.default` as it is.
    pub(crate) scopes: Vec<String>,
}

/// The scopes that OpenID Connect defines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Oidc {
    pub(crate) openid: bool,
    pub(crate) profile: bool,
    pub(crate) email: bool,
    pub(crate) offline_access: bool,
}

impl Oidc {
    /// Both together.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            openid: self.openid || other.openid,
            profile: self.profile || other.profile,
            email: self.email || other.email,
            offline_access: self.offline_access || other.offline_access,
        }
    }

    /// Those that a token names.
    pub(crate) fn names(self) -> Vec<String> {
        let all = [
            ("openid", self.openid),
            ("profile", self.profile),
            ("email", self.email),
        ];
        let there = all.into_iter().filter(|(_, there)| *there);
        there.map(|(name, _)| name.to_owned()).collect()
    }
}

/// An authorization code.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) granted: Granted,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) issued: i64,
    pub(crate) redeemed: bool,
}

/// A challenge of RFC 7636 and how it was made of the verifier.
#[derive(Clone, Debug)]
pub(crate) enum Challenge {
    Plain(String),
    S256(String),
}

/// A refresh token.
#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    pub(crate) granted: Granted,
    /// The code that it goes back to.
    pub(crate) code: Option<String>,
    pub(crate) issued: i64,
    pub(crate) used: i64,
    pub(crate) revoked: bool,
}

#[derive(Default)]
pub(crate) struct Sessions {
    codes: Mutex<Store<Code>>,
    refresh_tokens: Mutex<Store<RefreshToken>>,
    /// Cookies of browsers: object IDs of those who signed in.
    browsers: Mutex<Store<String>>,
}

impl Sessions {
    pub(crate) fn put_code(&self, code: Code) -> String {
        lock(&self.codes).put(code)
    }

    pub(crate) fn code(&self, code: &str) -> Option<Code> {
        lock(&self.codes).get(code).cloned()
    }

    /// Marks it redeemed; false when it was before. The second time, what the
    /// first one brought is revoked (RFC 6749 section 4.1.2).
    pub(crate) fn redeem(&self, code: &str) -> bool {
        let is_first = match lock(&self.codes).get_mut(code) {
            Some(known) => !std::mem::replace(&mut known.redeemed, true),
            None => false,
        };
        if !is_first {
            let mut tokens = lock(&self.refresh_tokens);
            for token in tokens.values_mut() {
                token.revoked |= token.code.as_deref() == Some(code);
            }
        }
        is_first
    }

    pub(crate) fn put_refresh_token(&self, token: RefreshToken) -> String {
        lock(&self.refresh_tokens).put(token)
    }

    pub(crate) fn refresh_token(&self, token: &str) -> Option<RefreshToken> {
        lock(&self.refresh_tokens).get(token).cloned()
    }

    /// Notes that it was used, and revokes it if it is spent by that.
    pub(crate) fn use_refresh_token(&self, token: &str, now: i64, spent: bool) {
        if let Some(known) = lock(&self.refresh_tokens).get_mut(token) {
            known.used = now;
            known.revoked |= spent;
        }
    }

    /// Revokes one; false when there is no such.
    pub(crate) fn revoke(&self, token: &str) -> bool {
        match lock(&self.refresh_tokens).get_mut(token) {
            Some(known) => {
                known.revoked = true;
                true
            }
            None => false,
        }
    }

    pub(crate) fn sign_in(&self, user: &str) -> String {
        lock(&self.browsers).put(user.to_owned())
    }

    /// The object ID of whoever is signed in in the browser with that cookie.
    pub(crate) fn signed_in(&self, cookie: &str) -> Option<String> {
        lock(&self.browsers).get(cookie).cloned()
    }

    /// The tenant that a code or refresh token belongs to.
    pub(crate) fn tenant_of(&self, text: &str) -> Option<String> {
        let of_code = self.code(text).map(|code| code.granted.tenant);
        of_code.or_else(|| Some(self.refresh_token(text)?.granted.tenant))
    }
}

/// Whether a text may be a code or refresh token of this server.
pub(crate) fn is_well_formed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Values by random names; the oldest ones go when there are too many.
struct Store<T> {
    values: BTreeMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Store<T> {
    fn put(&mut self, value: T) -> String {
        if self.order.len() >= LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
        let name = format!("{PREFIX}{}", base64url(&random::<48>()));
        self.order.push_back(name.clone());
        self.values.insert(name.clone(), value);
        name
    }

    fn get(&self, name: &str) -> Option<&T> {
        self.values.get(name)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.values.get_mut(name)
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut store = Store::default();
        let first = store.put(0);
        for n in 1..LIMIT {
            store.put(n);
        }
        assert!(store.get(&first).is_some());
        let last = store.put(LIMIT);
        assert!(store.get(&first).is_none());
        assert_eq!(store.get(&last), Some(&LIMIT));
        assert_eq!(store.values.len(), LIMIT);
    }
}
