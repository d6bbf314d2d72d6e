//! What the interfaces that components call do, whatever the version of WASI.

use edgepass_core::{Error, IdentityStatus, Secret, TokenRequest};

use super::{Permitted, ProviderView};
use crate::bindings::types;
use crate::cache::Token;
use crate::provider::Provider;

/// The provider that answers, and what may be asked of it.
#[derive(Clone)]
pub(super) struct Forwarded {
    provider: Provider,
    permitted: Permitted,
}

type Failed = types::CredentialError;

impl Forwarded {
    pub(super) fn of(view: &impl ProviderView) -> Self {
        Self {
            provider: view.provider().clone(),
            permitted: view.permitted(),
        }
    }

    /// The token of a request, if its identity is permitted.
    pub(super) async fn token(&self, request: &TokenRequest) -> Result<Token, Failed> {
        self.check(request.identity.as_deref())?;
        Ok(self.provider.get_token(request).await?)
    }

    /// The token that would be its answer at once.
    pub(super) fn fresh(&self, request: &TokenRequest) -> Option<Token> {
        self.check(request.identity.as_deref()).ok()?;
        self.provider.fresh_token(request)
    }

    pub(super) async fn get_token(
        &self,
        request: types::TokenRequest,
    ) -> Result<types::AccessToken, Failed> {
        Ok(readable(&self.token(&request.into()).await?))
    }

    pub(super) async fn get_header(
        &self,
        request: types::TokenRequest,
    ) -> Result<types::Header, Failed> {
        Ok((&*self.token(&request.into()).await?).try_into()?)
    }

    pub(super) fn cached_token(&self, request: types::TokenRequest) -> Option<types::AccessToken> {
        let request = TokenRequest::from(request);
        self.check(request.identity.as_deref()).ok()?;
        let token = self.provider.cached_token(&request)?;
        Some(readable(&token))
    }

    pub(super) async fn get_client_assertion(
        &self,
        identity: Option<String>,
        audience: Option<String>,
    ) -> Result<types::ClientAssertion, Failed> {
        self.provider.consumers().check_client_assertion()?;
        self.check(identity.as_deref())?;
        let (identity, audience) = (identity.as_deref(), audience.as_deref());
        let assertion = self.provider.client_assertion(identity, audience).await;
        Ok(assertion?.into())
    }

    pub(super) async fn authorization_url(
        &self,
        identity: Option<String>,
        options: types::AuthorizationOptions,
    ) -> Result<types::AuthorizationRequest, Failed> {
        self.check(identity.as_deref())?;
        let asked = self
            .provider
            .authorization_request(identity.as_deref(), options.into());
        Ok(asked.await?.into())
    }

    pub(super) async fn try_credentials(
        &self,
        identity: Option<String>,
    ) -> Result<Vec<types::CredentialTrial>, types::CredentialProblem> {
        self.permitted.check(&self.provider, identity.as_deref())?;
        let trials = self.provider.try_credentials(identity.as_deref()).await?;
        Ok(trials.into_iter().map(Into::into).collect())
    }

    pub(super) async fn report_rejection(
        &self,
        request: types::TokenRequest,
        rejection: types::Rejection,
    ) -> Result<types::RejectionOutcome, Failed> {
        let request = TokenRequest::from(request);
        self.check(request.identity.as_deref())?;
        let types::Rejection {
            token_sha256,
            www_authenticate,
        } = rejection;
        let outcome = self
            .provider
            .report_rejected_digest(&request, token_sha256, www_authenticate.as_deref())
            .await;
        Ok(outcome?.into())
    }

    pub(super) async fn drop_cached(&self, identity: Option<String>) -> u32 {
        // the interface has no error here: what could not be counted, or is not permitted, was not dropped
        let drop = async |identity: Option<&str>| {
            let dropped = self.provider.drop_cached(identity).await;
            dropped.unwrap_or_default()
        };
        match (&identity, self.permitted.names()) {
            (Some(name), _) if !self.permitted.has(name) => 0,
            (None, Some(names)) => {
                let mut all: u32 = 0;
                for name in names {
                    all = all.saturating_add(drop(Some(name)).await);
                }
                all
            }
            _ => drop(identity.as_deref()).await,
        }
    }

    pub(super) async fn end_session(&self, identity: Option<String>, session_key: String) -> bool {
        // as above: what could not be ended was not
        let key = Secret::new(session_key);
        if self.check(identity.as_deref()).is_err() {
            return false;
        }
        let ended = self.provider.end_session(identity.as_deref(), &key).await;
        ended.unwrap_or_default()
    }

    pub(super) async fn identities(&self) -> Vec<types::IdentityStatus> {
        // the interface has no error here: a component that does not answer says nothing of itself
        let identities: Vec<IdentityStatus> = self.provider.status().await.unwrap_or_default();
        let permitted = |status: &IdentityStatus| self.permitted.has(&status.identity);
        let identities = identities.into_iter().filter(permitted);
        identities.map(Into::into).collect()
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.provider
    }

    fn check(&self, identity: Option<&str>) -> Result<(), Error> {
        self.permitted.check(&self.provider, identity)
    }
}

fn readable(token: &Token) -> types::AccessToken {
    edgepass_core::AccessToken::clone(token).into()
}
