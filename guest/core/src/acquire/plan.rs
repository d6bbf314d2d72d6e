//! What is to be got, and for whom: a request that was checked against the configuration. Nothing is asked here.

use std::sync::Arc;

#[cfg(feature = "every-credential")]
use crate::ErrorClass;
use crate::cache::KeyParts;
use crate::config::{Exchange, IdentityConfig, Source};
use crate::grant;
#[cfg(feature = "every-credential")]
use crate::session;
use crate::{Error, Grant, Table, TokenRequest, TokenType};

/// A request, resolved against the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) identity: Arc<IdentityConfig>,
    pub(super) tenant: Option<String>,
    pub(super) grant: Grant,
    pub(super) scopes: Vec<String>,
    pub(super) token_type: TokenType,
}

impl Plan {
    pub(crate) fn for_token(
        identity: Arc<IdentityConfig>,
        request: &TokenRequest,
    ) -> Result<Self, Error> {
        #[cfg(not(feature = "every-credential"))]
        grant::check_supported(&request.grant, request.token_type)?;
        #[cfg(feature = "every-credential")]
        grant::check(request, &identity)?;
        #[cfg(feature = "every-credential")]
        if identity.client().is_none() && request.token_type == TokenType::MtlsPop {
            return Err(unbound(&identity.name));
        }
        if identity.client().is_none() && request.grant != Grant::ClientCredentials {
            return Err(grant::not_of_a_platform(&identity.name));
        }
        let asked = if request.scopes.is_empty() {
            &identity.scopes
        } else {
            &request.scopes
        };
        Ok(Self {
            scopes: identity.check_scopes_of(request.grant.kind(), asked)?,
            tenant: match &request.grant {
                #[cfg(feature = "every-credential")]
                Grant::AuthorizationCode { .. } | Grant::RefreshToken(_) => {
                    identity.check_tenant_of_sign_in(request.tenant.as_deref())?
                }
                _ => identity.check_tenant(request.tenant.as_deref())?,
            },
            identity,
            grant: request.grant.clone(),
            token_type: request.token_type,
        })
    }

    pub(crate) fn for_assertion(identity: Arc<IdentityConfig>) -> Result<Self, Error> {
        Ok(Self {
            tenant: identity.check_tenant(None)?,
            identity,
            grant: Grant::ClientCredentials,
            scopes: Vec::new(),
            token_type: TokenType::Bearer,
        })
    }

    /// What it has in common with others of its kind, whoever they are for.
    pub(crate) fn key_parts(&self) -> KeyParts {
        let mut scopes = self.scopes.clone();
        let client = self.identity.client();
        if client.is_none_or(|client| client.authority.is_entra()) {
            // Entra compares scopes without regard to case; RFC 6749 section 3.3 does not
            scopes
                .iter_mut()
                .for_each(|scope| scope.make_ascii_lowercase());
        }
        KeyParts {
            identity: self.identity.name.clone(),
            tenant: self.tenant.clone(),
            // in order and each once
            scopes: Table::from_iter(scopes.into_iter().map(|scope| (scope, ())))
                .into_iter()
                .map(|(scope, ())| scope)
                .collect(),
            token_type: self.token_type,
        }
    }

    /// Whether the same exchange may be made again: see [`GrantKind::is_single_use`](crate::GrantKind::is_single_use).
    pub(crate) fn is_repeatable(&self) -> bool {
        !self.grant.kind().is_single_use()
    }

    /// Its grant.
    #[cfg(feature = "every-credential")]
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether a session begins with it, or is renewed.
    #[cfg(feature = "every-credential")]
    pub(crate) fn begins_session(&self) -> bool {
        matches!(session::asked_in(&self.grant), Some((Some(_), _)))
    }

    /// Whether it begins a session, or is in one.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_in_session(&self) -> bool {
        session::asked_in(&self.grant).is_some()
    }

    /// Whether its request can carry the claims of a challenge.
    pub(crate) fn takes_claims(&self) -> bool {
        matches!(self.identity.source, Source::Exchange(_))
    }

    /// That error, as one of that credential.
    pub(super) fn of_credential(&self, error: Error, at: usize) -> Error {
        self.identity.in_variables(error).edit(|detail| {
            detail.credential = Some(match &self.identity.source {
                Source::Direct(direct) => direct.reference(),
                Source::Exchange(exchange) => exchange.credentials.reference(at),
            });
        })
    }

    /// Who is asked, for messages.
    pub(super) fn server(&self) -> String {
        match &self.identity.source {
            Source::Direct(direct) => direct.server().to_owned(),
            Source::Exchange(exchange) => {
                let Exchange {
                    client,
                    credentials,
                } = exchange.as_ref();
                let endpoint = credentials
                    .first()
                    .token_endpoint(client, self.tenant.as_deref());
                endpoint.map_or_else(|_| client.authority.network_host(), |url| url.authority)
            }
        }
    }
}

/// Of an identity that is asked for a token which is bound to a certificate, and has none on the connection.
#[cfg(feature = "every-credential")]
pub(super) fn unbound(identity: &str) -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        format!("identity `{identity}` shows no certificate on the connection, so no token is bound to one"),
    )
    .hint("ask for a bearer token, or set use_bound_credential on its certificate")
}
