//! What callers ask for.

use edgepass_core::{self as core, ErrorClass, Secret};

use super::{bare, wit};

impl From<wit::TokenRequest> for core::TokenRequest {
    fn from(request: wit::TokenRequest) -> Self {
        let wit::TokenRequest {
            identity,
            scopes,
            tenant,
            grant,
            claims,
            token_type,
            refresh,
        } = request;
        Self {
            identity,
            scopes,
            tenant,
            grant: grant.into(),
            claims,
            token_type: token_type.into(),
            refresh: match refresh {
                wit::Refresh::IfNeeded => core::Refresh::IfNeeded,
                wit::Refresh::Force => core::Refresh::Force,
                wit::Refresh::IfTokenIs(sha256) => core::Refresh::IfTokenIs(sha256),
            },
        }
    }
}

/// The secrets of a grant leave their wiping wrappers here.
impl TryFrom<core::TokenRequest> for wit::TokenRequest {
    type Error = core::Error;

    fn try_from(request: core::TokenRequest) -> Result<Self, core::Error> {
        let core::TokenRequest {
            identity,
            scopes,
            tenant,
            grant,
            claims,
            token_type,
            refresh,
        } = request;
        Ok(Self {
            identity,
            scopes,
            tenant,
            grant: grant.try_into()?,
            claims,
            token_type: token_type.into(),
            refresh: match refresh {
                core::Refresh::IfNeeded => wit::Refresh::IfNeeded,
                core::Refresh::Force => wit::Refresh::Force,
                core::Refresh::IfTokenIs(sha256) => wit::Refresh::IfTokenIs(sha256),
            },
        })
    }
}

impl From<wit::Grant> for core::Grant {
    fn from(grant: wit::Grant) -> Self {
        match grant {
            wit::Grant::ClientCredentials => Self::ClientCredentials,
            wit::Grant::OnBehalfOf(grant) => Self::OnBehalfOf {
                assertion: grant.assertion.map(Secret::new),
                session_key: grant.session_key.map(Secret::new),
            },
            wit::Grant::AuthorizationCode(grant) => Self::AuthorizationCode {
                code: Secret::new(grant.code),
                redirect_uri: grant.redirect_uri,
                code_verifier: grant.code_verifier.map(Secret::new),
                nonce: grant.nonce.map(Secret::new),
            },
            wit::Grant::RefreshToken(token) => Self::RefreshToken(Secret::new(token)),
            wit::Grant::JwtBearer(assertion) => Self::JwtBearer(Secret::new(assertion)),
            wit::Grant::TokenExchange(grant) => Self::TokenExchange {
                subject_token: Secret::new(grant.subject_token),
                subject_token_type: grant.subject_token_type,
                actor: grant
                    .actor
                    .map(|(token, token_type)| (Secret::new(token), token_type)),
                audience: grant.audience,
                resource: grant.resource,
                requested_token_type: grant.requested_token_type,
            },
            wit::Grant::Agent(agent) => Self::Agent(agent),
            wit::Grant::AgentUser(grant) => Self::AgentUser {
                agent: grant.agent,
                user: match grant.user {
                    wit::UserReference::Username(name) => core::UserReference::Username(name),
                    wit::UserReference::ObjectId(id) => core::UserReference::ObjectId(id),
                },
            },
        }
    }
}

impl TryFrom<core::Grant> for wit::Grant {
    type Error = core::Error;

    fn try_from(grant: core::Grant) -> Result<Self, core::Error> {
        Ok(match grant {
            core::Grant::ClientCredentials => Self::ClientCredentials,
            core::Grant::OnBehalfOf {
                assertion,
                session_key,
            } => Self::OnBehalfOf(wit::OnBehalfOf {
                assertion: assertion.as_ref().map(bare),
                session_key: session_key.as_ref().map(bare),
            }),
            core::Grant::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                nonce,
            } => Self::AuthorizationCode(wit::AuthorizationCode {
                code: bare(&code),
                redirect_uri,
                code_verifier: code_verifier.as_ref().map(bare),
                nonce: nonce.as_ref().map(bare),
            }),
            core::Grant::RefreshToken(token) => Self::RefreshToken(bare(&token)),
            core::Grant::JwtBearer(assertion) => Self::JwtBearer(bare(&assertion)),
            core::Grant::TokenExchange {
                subject_token,
                subject_token_type,
                actor,
                audience,
                resource,
                requested_token_type,
            } => Self::TokenExchange(wit::TokenExchange {
                subject_token: bare(&subject_token),
                subject_token_type,
                actor: actor.map(|(token, token_type)| (bare(&token), token_type)),
                audience,
                resource,
                requested_token_type,
            }),
            core::Grant::Agent(agent) => Self::Agent(agent),
            core::Grant::AgentUser { agent, user } => Self::AgentUser(wit::AgentUser {
                agent,
                user: match user {
                    core::UserReference::Username(name) => wit::UserReference::Username(name),
                    core::UserReference::ObjectId(id) => wit::UserReference::ObjectId(id),
                },
            }),
            // the engine may know a grant before the interface does
            _ => {
                return Err(core::Error::new(
                    ErrorClass::Unsupported,
                    "this grant cannot be passed to another component",
                ));
            }
        })
    }
}

/// What the session has to remember leaves its wiping wrapper here.
impl From<core::AuthorizationRequest> for wit::AuthorizationRequest {
    fn from(request: core::AuthorizationRequest) -> Self {
        let core::AuthorizationRequest {
            url,
            state,
            nonce,
            code_verifier,
            issuer,
            names_issuer,
        } = request;
        Self {
            url,
            state: bare(&state),
            nonce: nonce.as_ref().map(bare),
            code_verifier: bare(&code_verifier),
            issuer,
            names_issuer,
        }
    }
}

impl From<wit::AuthorizationRequest> for core::AuthorizationRequest {
    fn from(request: wit::AuthorizationRequest) -> Self {
        let wit::AuthorizationRequest {
            url,
            state,
            nonce,
            code_verifier,
            issuer,
            names_issuer,
        } = request;
        Self {
            url,
            state: Secret::new(state),
            nonce: nonce.map(Secret::new),
            code_verifier: Secret::new(code_verifier),
            issuer,
            names_issuer,
        }
    }
}
