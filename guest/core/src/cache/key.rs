//! By what a token is found, and whose share of a bound it counts to. What is kept under a key is in `entry`.

use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::rc::Rc;

use crate::TokenType;
use crate::grant::GrantKey;
use crate::keyed::{Key, Seed};

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
