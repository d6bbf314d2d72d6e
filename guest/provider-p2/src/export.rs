//! The exported interfaces.

use edgepass_bindings::types::{
    AccessToken, AuthorizationOptions, AuthorizationRequest, ClientAssertion, CredentialError,
    CredentialProblem, CredentialTrial, Header, IdentityStatus, Rejection, RejectionOutcome,
    TokenRequest,
};
use edgepass_core::Secret;

use crate::bindings::exports::edgepass::credentials::status;
use crate::bindings::exports::edgepass::credentials_p2::{credential_provider, opaque_tokens};
use crate::call::call;
use crate::opaque::OpaqueToken;
use crate::{driver, imports};

/// What the entry points call.
pub(crate) struct Component;

impl credential_provider::Guest for Component {
    fn get_token(request: TokenRequest) -> Result<AccessToken, CredentialError> {
        Ok(call(driver::token(request.into()))?.into())
    }

    fn cached_token(request: TokenRequest) -> Option<AccessToken> {
        driver::cached(&request.into()).map(Into::into)
    }

    fn get_header(request: TokenRequest) -> Result<Header, CredentialError> {
        Ok((&call(driver::token(request.into()))?).try_into()?)
    }

    fn get_client_assertion(
        identity: Option<String>,
        audience: Option<String>,
    ) -> Result<ClientAssertion, CredentialError> {
        let assertion = driver::assertion(identity.as_deref(), audience.as_deref());
        Ok(call(assertion)?.into())
    }

    fn try_credentials(
        identity: Option<String>,
    ) -> Result<Vec<CredentialTrial>, CredentialProblem> {
        let trials = call(driver::try_credentials(identity.as_deref()))?;
        Ok(trials.into_iter().map(Into::into).collect())
    }

    fn authorization_url(
        identity: Option<String>,
        options: AuthorizationOptions,
    ) -> Result<AuthorizationRequest, CredentialError> {
        let request = driver::authorization_request(identity.as_deref(), options.into());
        Ok(call(request)?.into())
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
        driver::end_session(identity.as_deref(), &Secret::new(session_key))
    }
}

impl opaque_tokens::Guest for Component {
    type Token = OpaqueToken;

    fn get(request: TokenRequest) -> Result<opaque_tokens::Token, CredentialError> {
        let request = request.into();
        let token = call(driver::token(edgepass_core::TokenRequest::clone(&request)))?;
        Ok(opaque_tokens::Token::new(OpaqueToken::new(
            request,
            token,
            imports::now(),
        )))
    }

    fn fresh(request: TokenRequest) -> Option<opaque_tokens::Token> {
        let request = request.into();
        let now = imports::now();
        let token = driver::fresh(now, &request)?;
        let token = OpaqueToken::new(request, token, now);
        Some(opaque_tokens::Token::new(token))
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
