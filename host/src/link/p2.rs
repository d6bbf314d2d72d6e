//! The interfaces that components call, over WASI 0.2.

use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi_http::{FieldMap, WasiHttpView};

use super::{Forwarded, OpaqueData, OpaqueToken, ProviderView};
use crate::bindings::consumer_p2::edgepass::credentials_p2::{credential_provider, opaque_tokens};
use crate::bindings::types;
use crate::clock;

pub(super) fn add_provider_to_linker<T: ProviderView + 'static>(
    linker: &mut Linker<T>,
) -> Result<()> {
    credential_provider::add_to_linker::<_, Forward>(linker, |data| Forwarded::of(data))
}

pub(super) fn add_opaque_tokens_to_linker<T>(linker: &mut Linker<T>) -> Result<()>
where
    T: ProviderView + WasiHttpView + 'static,
{
    opaque_tokens::add_to_linker::<_, ForwardOpaque>(linker, |data| OpaqueData {
        forwarded: Forwarded::of(data),
        http: data.http(),
    })
}

struct Forward;

impl HasData for Forward {
    type Data<'a> = Forwarded;
}

impl credential_provider::Host for Forwarded {
    async fn get_token(
        &mut self,
        request: types::TokenRequest,
    ) -> Result<types::AccessToken, types::CredentialError> {
        Self::get_token(self, request).await
    }

    fn cached_token(&mut self, request: types::TokenRequest) -> Option<types::AccessToken> {
        Self::cached_token(self, request)
    }

    async fn get_header(
        &mut self,
        request: types::TokenRequest,
    ) -> Result<types::Header, types::CredentialError> {
        Self::get_header(self, request).await
    }

    async fn get_client_assertion(
        &mut self,
        identity: Option<String>,
        audience: Option<String>,
    ) -> Result<types::ClientAssertion, types::CredentialError> {
        Self::get_client_assertion(self, identity, audience).await
    }

    async fn try_credentials(
        &mut self,
        identity: Option<String>,
    ) -> Result<Vec<types::CredentialTrial>, types::CredentialProblem> {
        Self::try_credentials(self, identity).await
    }

    async fn authorization_url(
        &mut self,
        identity: Option<String>,
        options: types::AuthorizationOptions,
    ) -> Result<types::AuthorizationRequest, types::CredentialError> {
        Self::authorization_url(self, identity, options).await
    }

    async fn report_rejection(
        &mut self,
        request: types::TokenRequest,
        rejection: types::Rejection,
    ) -> Result<types::RejectionOutcome, types::CredentialError> {
        Self::report_rejection(self, request, rejection).await
    }

    async fn drop_cached(&mut self, identity: Option<String>) -> u32 {
        Self::drop_cached(self, identity).await
    }

    async fn end_session(&mut self, identity: Option<String>, session_key: String) -> bool {
        Self::end_session(self, identity, session_key).await
    }
}

struct ForwardOpaque;

impl HasData for ForwardOpaque {
    type Data<'a> = OpaqueData<'a>;
}

impl opaque_tokens::Host for OpaqueData<'_> {
    async fn get(
        &mut self,
        request: types::TokenRequest,
    ) -> Result<Result<Resource<OpaqueToken>, types::CredentialError>> {
        let request = request.into();
        Ok(match self.forwarded.token(&request).await {
            Ok(token) => {
                let token = OpaqueToken::new(request, token, clock::now());
                Ok(self.http.table.push(token)?)
            }
            Err(error) => Err(error),
        })
    }

    fn fresh(&mut self, request: types::TokenRequest) -> Result<Option<Resource<OpaqueToken>>> {
        OpaqueData::fresh(self, request)
    }
}

impl opaque_tokens::HostToken for OpaqueData<'_> {
    fn info(&mut self, token: Resource<OpaqueToken>) -> Result<types::TokenInfo> {
        Ok((&*self.http.table.get(&token)?.token).into())
    }

    fn authorize(
        &mut self,
        token: Resource<OpaqueToken>,
        headers: Resource<FieldMap>,
    ) -> Result<Result<(), types::AuthorizeError>> {
        OpaqueData::authorize(self, &token, &headers)
    }

    async fn report_rejection(
        &mut self,
        token: Resource<OpaqueToken>,
        www_authenticate: Option<String>,
    ) -> Result<Result<types::RejectionOutcome, types::CredentialError>> {
        OpaqueData::report_rejection(self, &token, www_authenticate).await
    }

    fn drop(&mut self, token: Resource<OpaqueToken>) -> Result<()> {
        self.http.table.delete(token)?;
        Ok(())
    }
}
