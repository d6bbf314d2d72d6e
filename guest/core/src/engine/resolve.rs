//! What a request comes to under the configuration: its identity, its plan and its cache key. Nothing is looked up in the
//! cache here, and nothing begins.

use std::hash::BuildHasher as _;
use std::rc::Rc;
use std::sync::Arc;

use super::Engine;
use crate::acquire::Plan;
use crate::cache::{CacheKey, KeyParts};
use crate::grant::GrantKey;
use crate::limits::MAX_RESOLVED;
use crate::secret::same;
#[cfg(feature = "every-credential")]
use crate::text::shown_name;
use crate::{Error, ErrorClass, GrantKind, TokenRequest, TokenType, config};
#[cfg(feature = "every-credential")]
use crate::{Grant, session};

/// A request but for its subject, and what it comes to under the configuration.
#[derive(Debug)]
pub(super) struct Resolved {
    identity: Option<String>,
    scopes: Vec<String>,
    tenant: Option<String>,
    token_type: TokenType,
    grant: GrantKind,
    /// Whether its request can carry the claims of a challenge.
    pub(super) takes_claims: bool,
    parts: Rc<KeyParts>,
    /// Of the application's own token. A user's plan has the user's token in it, which is not kept any longer than its
    /// exchange.
    own: Option<(Rc<Plan>, CacheKey)>,
}

impl Resolved {
    fn answers(&self, request: &TokenRequest) -> bool {
        let mut scopes = self.scopes.iter().zip(&request.scopes);
        self.scopes.len() == request.scopes.len()
            && scopes.all(|(known, scope)| same(known, scope))
            && self.identity == request.identity
            && self.tenant == request.tenant
            && self.token_type == request.token_type
            && self.grant == request.grant.kind()
    }
}

/// A name that no identity has, for an error. It may be a secret in a wrong place, and is repeated only where it looks like a
/// name of an identity.
#[cfg(feature = "every-credential")]
fn shown(name: &str) -> String {
    match config::rules::name(name).is_ok() && shown_name(name) == name {
        true => format!("`{name}`"),
        false => NOT_SHOWN.to_owned(),
    }
}

/// A filter asks for identities of its rules, which were looked at when it was configured.
#[cfg(not(feature = "every-credential"))]
fn shown(_: &str) -> &'static str {
    NOT_SHOWN
}

const NOT_SHOWN: &str = "of that name";

/// How many of the questions that were asked last are looked at before a digest is made.
const FEW_QUESTIONS: usize = 8;

impl Engine {
    pub(super) fn identity(
        &self,
        name: Option<&str>,
    ) -> Result<Arc<config::IdentityConfig>, Error> {
        let known = || {
            self.config
                .identities
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let Some(name) = name.or(self.config.default_identity.as_deref()) else {
            return Err(Error::new(
                ErrorClass::InvalidRequest,
                format!("the request names no identity and the configuration marks none as default; there are: {}", known()),
            )
            .hint("name one in the request, or set default_identity"));
        };
        let found = self.config.identities.get(name);
        #[cfg(feature = "key-vault")]
        let found = found.or_else(|| self.config.vaults.get(name));
        found.cloned().ok_or_else(|| {
            Error::new(
                ErrorClass::InvalidRequest,
                format!(
                    "there is no identity {}; there are: {}",
                    shown(name),
                    known()
                ),
            )
            .hint("name one of these, or add it to identities in the configuration")
        })
    }

    pub(super) fn name_identity(&self, error: Error, identity: Option<&str>) -> Error {
        let identity = identity.or(self.config.default_identity.as_deref());
        let known = identity
            .filter(|name| self.config.identities.contains_key(*name))
            .map(str::to_owned);
        error.edit(|detail| detail.identity = detail.identity.take().or(known))
    }

    /// What a request comes to, and whose token it is about.
    pub(super) fn resolve(
        &mut self,
        request: &TokenRequest,
    ) -> Result<(Rc<Resolved>, CacheKey), Error> {
        let resolved = match self.known(request) {
            Some(known) => known,
            None => self.resolve_anew(request)?,
        };
        let key = match &resolved.own {
            Some((_, key)) => key.clone(),
            None => {
                #[cfg(feature = "every-credential")]
                let grant = self.grant_key(&request.grant, &resolved.parts)?;
                #[cfg(not(feature = "every-credential"))]
                let grant = GrantKey::of(&request.grant);
                CacheKey::new(Rc::clone(&resolved.parts), grant, &self.seed)
            }
        };
        Ok((resolved, key))
    }

    /// What tells the tokens of a grant apart, in the session that it is in.
    #[cfg(feature = "every-credential")]
    fn grant_key(&self, grant: &Grant, parts: &KeyParts) -> Result<GrantKey, Error> {
        let key = GrantKey::of(grant);
        let session = self.session(grant, &parts.identity, parts.tenant.as_deref())?;
        Ok(match session {
            Some(name) => key.in_session(&name),
            None => key,
        })
    }

    /// The session that a grant is in, if it has begun.
    #[cfg(feature = "every-credential")]
    fn session(
        &self,
        grant: &Grant,
        identity: &str,
        tenant: Option<&str>,
    ) -> Result<Option<session::Name>, Error> {
        let Some((assertion, session_key)) = session::asked_in(grant) else {
            return Ok(None);
        };
        self.io
            .sessions(|sessions| sessions.name(identity, tenant, session_key, assertion))
    }

    /// Under which key a token is cached that was got for this one: the session that a user's token has begun is part of it.
    /// `None` if that is not there any more. What a refresh token of a session has brought stays that session's.
    #[cfg(feature = "every-credential")]
    pub(super) fn kept_as(&self, plan: &Plan, key: &CacheKey) -> Option<CacheKey> {
        if !plan.begins_session() {
            return Some(key.clone());
        }
        let name = self.session(plan.grant(), &key.identity, key.tenant.as_deref());
        let grant = GrantKey::of(plan.grant()).in_session(&name.ok()??);
        Some(key.with_grant(grant, &self.seed))
    }

    pub(super) fn known(&mut self, request: &TokenRequest) -> Option<Rc<Resolved>> {
        let answers = |slot: &u32| {
            let known = self.resolved.at(*slot);
            known.is_some_and(|(_, known)| known.answers(request))
        };
        // most ask one of a few questions, and to compare them is less than to make a digest
        let near = self.resolved.slots().take(FEW_QUESTIONS).find(answers);
        let slot = near.or_else(|| {
            let slot = self.resolved.slot(&self.digest(request));
            slot.filter(answers)
        })?;
        self.resolved.touch(slot);
        self.resolved.at(slot).map(|(_, known)| Rc::clone(known))
    }

    pub(super) fn digest(&self, request: &TokenRequest) -> u64 {
        let TokenRequest {
            identity,
            scopes,
            tenant,
            grant,
            token_type,
            ..
        } = request;
        self.seed
            .hash_one((identity, scopes, tenant, grant.kind(), token_type))
    }

    fn resolve_anew(&mut self, request: &TokenRequest) -> Result<Rc<Resolved>, Error> {
        let identity = self.identity(request.identity.as_deref())?;
        let plan = Plan::for_token(identity, request)?;
        let parts = Rc::new(plan.key_parts());
        let grant = GrantKey::of(&request.grant);
        let resolved = Rc::new(Resolved {
            identity: request.identity.clone(),
            scopes: request.scopes.clone(),
            tenant: request.tenant.clone(),
            token_type: request.token_type,
            grant: grant.kind,
            takes_claims: plan.takes_claims(),
            parts: Rc::clone(&parts),
            own: grant
                .is_own()
                .then(|| (Rc::new(plan), CacheKey::new(parts, grant, &self.seed))),
        });
        if self.resolved.len() >= MAX_RESOLVED {
            self.resolved.pop_oldest();
        }
        let digest = self.digest(request);
        self.resolved.insert(digest, Rc::clone(&resolved));
        Ok(resolved)
    }

    /// How its token is got.
    pub(super) fn plan(
        &self,
        resolved: &Resolved,
        request: &TokenRequest,
    ) -> Result<Rc<Plan>, Error> {
        if let Some((plan, _)) = &resolved.own {
            return Ok(Rc::clone(plan));
        }
        let identity = self.identity(request.identity.as_deref())?;
        Plan::for_token(identity, request).map(Rc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_name_is_repeated_where_it_cannot_well_be_a_secret() {
        for (name, expected) in [
            ("billing", true),
            ("azuread-v2-tenant-oauth2", true),
            ("App.prod_2", true),
            ("11111111-2222-3333-4444-555555555555", true),
            ("", false),
            ("abc8Q~0123456789abcdefghijklmnopqrstuvwx", false),
            ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", false),
            ("Sup3r+Secret", false),
            ("aB3xYz0123456789", false),
            ("a b", false),
            ("a\nb", false),
            ("größe", false),
            (&"a".repeat(41), false),
            ("{\"a\": 1}", false),
        ] {
            let shown = shown(name);
            assert_eq!(shown == format!("`{name}`"), expected, "{shown}");
            assert!(
                expected || name.is_empty() || !shown.contains(name),
                "{shown}"
            );
        }
    }
}
