//! What flights, paces and holds are found by: a token's cache key, and the claims that it is asked for with. What is in
//! a cache key is said in `cache`; nothing is asked for here.

use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::rc::Rc;

use crate::cache::CacheKey;
use crate::keyed::{Key, Seed};

/// Requests with the same challenge share a flight; those with another have their own.
#[derive(Clone, Debug)]
pub(super) struct FlightKey(Rc<FlightParts>);

#[derive(Debug, Eq, PartialEq)]
pub(super) struct FlightParts {
    digest: u64,
    pub(super) token: CacheKey,
    pub(super) claims: Option<String>,
    /// How often the tokens of the identity were dropped before: what was asked for before that is not joined, and not
    /// kept.
    pub(super) epoch: u64,
}

impl FlightKey {
    pub(super) fn new(token: CacheKey, claims: Option<String>, epoch: u64, seed: &Seed) -> Self {
        let digest = match &claims {
            None => token.digest(),
            Some(claims) => seed.hash_one((token.digest(), claims)),
        };
        Self(Rc::new(FlightParts {
            digest,
            token,
            claims,
            epoch,
        }))
    }

    /// The same without claims.
    pub(super) fn plain(&self, seed: &Seed) -> Self {
        match self.claims {
            None => self.clone(),
            Some(_) => Self::new(self.token.clone(), None, self.epoch, seed),
        }
    }

    pub(super) fn pace(&self) -> PaceKey {
        PaceKey {
            token: self.token.clone(),
            has_claims: self.claims.is_some(),
        }
    }
}

impl Deref for FlightKey {
    type Target = FlightParts;

    fn deref(&self) -> &FlightParts {
        &self.0
    }
}

impl Eq for FlightKey {}

impl PartialEq for FlightKey {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Key for FlightKey {
    fn digest(&self) -> u64 {
        self.digest
    }
}

/// What has a pace. Exchanges with claims have one of their own, so that whoever brings them does not use up what all others
/// need.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct PaceKey {
    token: CacheKey,
    has_claims: bool,
}

impl Key for PaceKey {
    fn digest(&self) -> u64 {
        self.token.digest() ^ u64::from(self.has_claims)
    }
}
