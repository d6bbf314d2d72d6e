//! The handles of `opaque-tokens`.

use edgepass_bindings::types::{AuthorizeError, CredentialError, RejectionOutcome, TokenInfo};
use edgepass_core as core;

use crate::bindings::opaque_tokens;
use crate::bindings::wasi::http::types::Fields;
use crate::message::set_header;
use crate::{driver, imports};

/// A token behind a handle, and the request that it was got with.
pub(crate) struct OpaqueToken {
    request: core::TokenRequest,
    token: core::AccessToken,
    /// Either clock may say so: a wall clock that is set back makes it live no longer.
    expires: core::Moment,
}

impl OpaqueToken {
    pub(crate) fn new(
        request: core::TokenRequest,
        token: core::AccessToken,
        now: core::Now,
    ) -> Self {
        let expires = token.moments(now).expires;
        Self {
            request,
            token,
            expires,
        }
    }
}

impl opaque_tokens::GuestToken for OpaqueToken {
    fn info(&self) -> TokenInfo {
        (&self.token).into()
    }

    fn authorize(&self, headers: &Fields) -> Result<(), AuthorizeError> {
        if self.expires.reached(imports::now()) {
            return Err(AuthorizeError::Expired);
        }
        let value = self.token.authorization();
        let value = value.map_err(|_| AuthorizeError::NotAnAccessToken)?;
        set_header(headers, "authorization", &value).map_err(AuthorizeError::Fields)
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
