//! The exported interfaces.

use edgepass_bindings::types::{
    AccessToken, AuthorizationOptions, AuthorizationRequest, AuthorizeError, ClientAssertion,
    CredentialError, CredentialProblem, CredentialTrial, Header, IdentityStatus, Rejection,
    RejectionOutcome, TokenInfo, TokenRequest,
};
use edgepass_core as core;

use crate::bindings::exports::edgepass::credentials::{credential_provider, opaque_tokens, status};
use crate::bindings::wasi::http::types::Fields;
use crate::{driver, effects};

/// What the entry points call.
pub(crate) struct Component;

impl credential_provider::Guest for Component {
    async fn get_token(request: TokenRequest) -> Result<AccessToken, CredentialError> {
        Ok(driver::token(request.into()).await?.into())
    }

    fn cached_token(request: TokenRequest) -> Option<AccessToken> {
        driver::cached(&request.into()).map(Into::into)
    }

    async fn get_header(request: TokenRequest) -> Result<Header, CredentialError> {
        Ok((&driver::token(request.into()).await?).try_into()?)
    }

    async fn get_client_assertion(
        identity: Option<String>,
        audience: Option<String>,
    ) -> Result<ClientAssertion, CredentialError> {
        let assertion = driver::assertion(identity.as_deref(), audience.as_deref()).await;
        Ok(assertion?.into())
    }

    async fn try_credentials(
        identity: Option<String>,
    ) -> Result<Vec<CredentialTrial>, CredentialProblem> {
        let trials = driver::try_credentials(identity.as_deref()).await?;
        Ok(trials.into_iter().map(Into::into).collect())
    }

    async fn authorization_url(
        identity: Option<String>,
        options: AuthorizationOptions,
    ) -> Result<AuthorizationRequest, CredentialError> {
        let request = driver::authorization_request(identity.as_deref(), options.into()).await;
        Ok(request?.into())
    }

    fn report_rejection(
        request: TokenRequest,
        rejection: Rejection,
    ) -> Result<RejectionOutcome, CredentialError> {
        let Rejection {
            token_sha256,
            www_authenticate,
        } = rejection;
        let outcome =
            driver::report_rejection(&request.into(), &token_sha256, www_authenticate.as_deref());
        Ok(outcome?.into())
    }

    fn drop_cached(identity: Option<String>) -> u32 {
        u32::try_from(driver::drop_cached(identity.as_deref())).unwrap_or(u32::MAX)
    }

    fn end_session(identity: Option<String>, session_key: String) -> bool {
        driver::end_session(identity.as_deref(), &core::Secret::new(session_key))
    }
}

impl opaque_tokens::Guest for Component {
    type Token = OpaqueToken;

    async fn get(request: TokenRequest) -> Result<opaque_tokens::Token, CredentialError> {
        let request = request.into();
        let token = driver::token(core::TokenRequest::clone(&request)).await?;
        let expires = token.moments(effects::now()).expires;
        Ok(opaque_tokens::Token::new(OpaqueToken {
            request,
            token,
            expires,
        }))
    }
}

/// A token behind a handle, and the request that it was got with.
pub(crate) struct OpaqueToken {
    request: core::TokenRequest,
    token: core::AccessToken,
    /// Either clock may say so: a wall clock that is set back makes it live no longer.
    expires: core::Moment,
}

impl opaque_tokens::GuestToken for OpaqueToken {
    fn info(&self) -> TokenInfo {
        (&self.token).into()
    }

    fn authorize(&self, headers: &Fields) -> Result<(), AuthorizeError> {
        if self.expires.reached(effects::now()) {
            return Err(AuthorizeError::Expired);
        }
        let value = self.token.authorization();
        let value = value.map_err(|_| AuthorizeError::NotAnAccessToken)?;
        effects::set_header(headers, "authorization", &value).map_err(AuthorizeError::Fields)
    }

    fn report_rejection(
        &self,
        www_authenticate: Option<String>,
    ) -> Result<RejectionOutcome, CredentialError> {
        let outcome = driver::report_rejection(
            &self.request,
            &self.token.token.sha256_hex(),
            www_authenticate.as_deref(),
        );
        Ok(outcome?.into())
    }
}

impl status::Guest for Component {
    fn identities() -> Vec<IdentityStatus> {
        driver::status().into_iter().map(Into::into).collect()
    }

    fn next_notice() -> Option<String> {
        driver::next_notice()
    }
}
