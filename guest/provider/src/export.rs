//! The exported interface `credential-provider`.

use crate::bindings::exports::edgepass::credentials::credential_provider::{
    AccessToken, ClientAssertion, CredentialError, Guest, Header, Rejection, RejectionOutcome,
    TokenRequest,
};
use crate::{conv, driver};

/// What the entry points call.
pub(crate) struct Component;

impl Guest for Component {
    async fn get_token(request: TokenRequest) -> Result<AccessToken, CredentialError> {
        driver::token(conv::request(request))
            .await
            .map(|token| conv::access_token(&token))
            .map_err(conv::error)
    }

    fn cached_token(request: TokenRequest) -> Option<AccessToken> {
        driver::cached(&conv::request(request)).map(|token| conv::access_token(&token))
    }

    async fn get_header(request: TokenRequest) -> Result<Header, CredentialError> {
        driver::token(conv::request(request))
            .await
            .map(|token| conv::header(&token))
            .map_err(conv::error)
    }

    async fn get_client_assertion(
        identity: Option<String>,
        audience: Option<String>,
    ) -> Result<ClientAssertion, CredentialError> {
        let assertion = driver::assertion(identity.as_deref(), audience.as_deref()).await;
        assertion.map(conv::client_assertion).map_err(conv::error)
    }

    fn report_rejection(
        request: TokenRequest,
        rejection: Rejection,
    ) -> Result<RejectionOutcome, CredentialError> {
        let Rejection {
            token_sha256,
            www_authenticate,
        } = rejection;
        driver::report_rejection(
            &conv::request(request),
            &token_sha256,
            www_authenticate.as_deref(),
        )
        .map(conv::rejection_outcome)
        .map_err(conv::error)
    }

    fn drop_cached(identity: Option<String>) -> u32 {
        u32::try_from(driver::drop_cached(identity.as_deref())).unwrap_or(u32::MAX)
    }
}
