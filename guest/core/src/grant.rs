//! The grant's part of the form.

use crate::authority::Authority;
use crate::config::file::EndpointVersion;
use crate::exchange::Form;
use crate::{Error, ErrorClass, Grant, TokenType};

/// What this build answers for grants that are designed but not made.
pub(crate) fn check_supported(grant: &Grant, token_type: TokenType) -> Result<(), Error> {
    let name = match grant {
        Grant::ClientCredentials => None,
        Grant::OnBehalfOf(_) => Some("the on-behalf-of grant"),
        Grant::AuthorizationCode { .. } => Some("the authorization-code grant"),
        Grant::RefreshToken(_) => Some("the refresh-token grant"),
        Grant::JwtBearer(_) => Some("the jwt-bearer grant"),
        Grant::TokenExchange { .. } => Some("the token-exchange grant"),
    };
    let name = name.or(match token_type {
        TokenType::Bearer => None,
        TokenType::MtlsPop => Some("the mtls-pop token type"),
    });
    match name {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorClass::Unsupported,
            format!(
                "{name} is not supported by this version; supported is client-credentials with bearer tokens"
            ),
        )),
    }
}

/// RFC 6749 section 4.4.2; `resource` instead of `scope` at Entra's v1 endpoint.
pub(crate) fn client_credentials(form: &mut Form, authority: &Authority, scopes: &[String]) {
    form.add("grant_type", "client_credentials");
    let scope = scopes.join(" ");
    match authority {
        Authority::Entra {
            version: EndpointVersion::V1,
            ..
        } => {
            form.add(
                "resource",
                scope.strip_suffix("/.default").unwrap_or(&scope),
            );
        }
        _ if scope.is_empty() => {}
        _ => form.add("scope", scope),
    }
}
