//! Providers as credentials of the Azure SDK for Rust.

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;
use edgepass_core::TokenRequest;

use crate::provider::Provider;

/// A token of the default identity, as every client of the Azure SDK for Rust asks for it: `Arc::new(provider)` is what
/// they take.
///
/// The trait has a place for scopes and for nothing else. Another identity or tenant is another provider, or a wrapper
/// that calls [`Provider::get_token`]. A refused token and the claims of a challenge do not reach the provider, so where
/// a resource challenges, its client's `OnChallenge` should call [`Provider::report_rejection`] before it asks again;
/// without it the client gets the cached token once more until that is renewed.
///
/// The SDK keeps the token by itself, and asks again in its last five minutes.
#[async_trait::async_trait]
impl TokenCredential for Provider {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let request = TokenRequest::for_scopes(scopes.iter().copied());
        let token = Self::get_token(self, &request).await.map_err(|error| {
            // people see this one line, and nobody asks it for a hint
            let message = format!("{error:#}");
            azure_core::Error::with_error(ErrorKind::Credential, error, message)
        })?;
        Ok(AccessToken::new(
            token.token.expose().to_owned(),
            OffsetDateTime::from(token.expires_at()),
        ))
    }
}
