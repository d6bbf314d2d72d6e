//! The conversions between the types of the interface and those of the engine, both ways.
//!
//! The host compiles these files as well (`host/src/bindings.rs`): its generator gives the types the same names and
//! fields. So they refer to `super::types` alone and have nothing but implementations of `From` and `TryFrom`. What has the
//! same cases or fields on both sides is here, the rest in a module for each subject.

mod error;
mod imports;
mod request;
mod status;
mod token;

use edgepass_core::{self as core, Secret};

use super::types as wit;

/// Both ways between two enums with the same cases.
macro_rules! same_cases {
    ($($name:ident { $($case:ident),* $(,)? })*) => {$(
        impl From<wit::$name> for core::$name {
            fn from(value: wit::$name) -> Self {
                match value {
                    $(wit::$name::$case => Self::$case,)*
                }
            }
        }

        impl From<core::$name> for wit::$name {
            fn from(value: core::$name) -> Self {
                match value {
                    $(core::$name::$case => Self::$case,)*
                }
            }
        }
    )*};
}

same_cases! {
    TokenType { Bearer, MtlsPop }
    GrantKind {
        ClientCredentials, OnBehalfOf, AuthorizationCode, RefreshToken, JwtBearer, TokenExchange, Agent, AgentUser
    }
    TokenSource { Exchange, Cache, SharedExchange }
    TokenState { Fresh, RefreshDue, Expiring, Rejected }
    RejectionOutcome { Invalidated, AlreadyReplaced, Kept }
    Algorithm { EdDsa, Es256, Es384, Ps256, Rs256 }
}

/// Both ways between two records with the same fields. All are named, so that a new one is missed at compile time; `maybe` is
/// an optional one whose content has two types.
macro_rules! same_fields {
    ($($name:ident { $($field:ident $($maybe:ident)?),* $(,)? })*) => {$(
        impl From<core::$name> for wit::$name {
            fn from(value: core::$name) -> Self {
                let core::$name { $($field),* } = value;
                Self { $($field: same_fields!(@ $field $($maybe)?)),* }
            }
        }

        impl From<wit::$name> for core::$name {
            fn from(value: wit::$name) -> Self {
                let wit::$name { $($field),* } = value;
                Self { $($field: same_fields!(@ $field $($maybe)?)),* }
            }
        }
    )*};
    (@ $field:ident) => { $field.into() };
    (@ $field:ident maybe) => { $field.map(Into::into) };
}

same_fields! {
    AssertionOptions {
        identity, client_id, tenant, token_endpoint, audience, claims, correlation_id, client_capabilities, fmi_path,
        source,
    }
    Attempt { credential, class, message }
    AuthorizationOptions {
        redirect_uri, scopes, tenant, response_mode, prompt, login_hint, domain_hint, claims, parameters,
    }
    CredentialRef { kind, name }
    CredentialStatus { credential, state }
    CredentialTrial { credential, description, problem maybe }
    Failure { class, message, at }
    Issuance { client_id, tenant_id, token_service }
    TokenStatus { scopes, tenant, grant, token_type, state, expires_on, refresh_on }
}

fn bare(secret: &Secret) -> String {
    secret.expose().to_owned()
}

#[cfg(test)]
mod tests;
