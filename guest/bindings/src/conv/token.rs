//! What callers get.

use edgepass_core::{self as core, Secret};

use super::{bare, wit};

/// The token leaves its wiping wrapper here: the caller gets a text of its own.
impl From<core::AccessToken> for wit::AccessToken {
    fn from(token: core::AccessToken) -> Self {
        let core::AccessToken {
            token,
            token_type,
            expires_on,
            refresh_on,
            moments: _,
            scope,
            identity,
            source,
            refresh_token,
            id_token,
            issued_token_type,
            certificate_thumbprint,
        } = token;
        Self {
            token: bare(&token),
            token_type,
            expires_on,
            refresh_on,
            scope,
            identity,
            source: source.into(),
            refresh_token: refresh_token.as_ref().map(bare),
            id_token: id_token.as_ref().map(bare),
            issued_token_type,
            certificate_thumbprint,
        }
    }
}

impl From<wit::AccessToken> for core::AccessToken {
    fn from(token: wit::AccessToken) -> Self {
        let wit::AccessToken {
            token,
            token_type,
            expires_on,
            refresh_on,
            scope,
            identity,
            source,
            refresh_token,
            id_token,
            issued_token_type,
            certificate_thumbprint,
        } = token;
        Self {
            token: Secret::new(token),
            token_type,
            expires_on,
            refresh_on,
            moments: None,
            scope,
            identity,
            source: source.into(),
            refresh_token: refresh_token.map(Secret::new),
            id_token: id_token.map(Secret::new),
            issued_token_type,
            certificate_thumbprint,
        }
    }
}

/// The finished header, unless it is no access token. The token leaves its wiping wrapper here.
impl TryFrom<&core::AccessToken> for wit::Header {
    type Error = core::Error;

    fn try_from(token: &core::AccessToken) -> Result<Self, core::Error> {
        Ok(Self {
            name: "authorization".to_owned(),
            value: bare(&token.authorization()?),
        })
    }
}

/// Everything but the secrets.
impl From<&core::AccessToken> for wit::TokenInfo {
    fn from(token: &core::AccessToken) -> Self {
        Self {
            token_type: token.token_type.clone(),
            expires_on: token.expires_on,
            refresh_on: token.refresh_on,
            scope: token.scope.clone(),
            identity: token.identity.clone(),
            source: token.source.into(),
            issued_token_type: token.issued_token_type.clone(),
            certificate_thumbprint: token.certificate_thumbprint.clone(),
        }
    }
}

/// The assertion leaves its wiping wrapper here.
impl From<core::ClientAssertion> for wit::ClientAssertion {
    fn from(assertion: core::ClientAssertion) -> Self {
        let core::ClientAssertion {
            assertion,
            assertion_type,
            expires_on,
        } = assertion;
        Self {
            assertion: bare(&assertion),
            assertion_type,
            expires_on,
        }
    }
}

impl From<wit::ClientAssertion> for core::ClientAssertion {
    fn from(assertion: wit::ClientAssertion) -> Self {
        Self {
            assertion: Secret::new(assertion.assertion),
            assertion_type: assertion.assertion_type,
            expires_on: assertion.expires_on,
        }
    }
}
