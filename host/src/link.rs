//! For embedders who run components of their own beside the credential component.
//!
//! Two ways. A component that *contains* a provider (composed with it) needs what a provider imports:
//! [`add_to_linker`]. One that only *imports* `edgepass:credentials/credential-provider` can be served by a
//! [`Provider`] handle of this process: [`add_provider_to_linker`]. The second keeps its store free of credentials.

use edgepass_core::Error;
use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime::{Engine, Result};

use crate::bindings::consumer::edgepass::credentials::credential_provider;
use crate::bindings::types;
use crate::conv;
use crate::provider::Provider;

pub use crate::context::{Context, Host, HostContextView, HostView};

/// An engine with the settings that the embedded component was compiled for.
///
/// # Errors
///
/// When wasmtime does not support this machine.
pub fn engine() -> Result<Engine> {
    edgepass_aot::engine()
}

/// Compiles a component for that engine.
///
/// # Errors
///
/// When it is not a component.
#[cfg(feature = "compiler")]
pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<wasmtime::component::Component> {
    edgepass_aot::from_wasm(engine, wasm)
}

/// Adds exactly what a provider component imports: `wasi:http` under this crate's egress policy, clocks, random, the
/// environment, and the interfaces of `edgepass:credentials` that a host implements.
///
/// # Errors
///
/// When the linker has one of them already.
pub fn add_to_linker<T: HostView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    crate::context::add_to_linker(linker)
}

/// Store data that has a provider to forward to.
pub trait ProviderView: Send {
    /// The provider that answers components in this store.
    fn provider(&self) -> &Provider;
}

/// Adds `edgepass:credentials/credential-provider`, answered by the store's [`ProviderView`].
///
/// # Errors
///
/// When the linker has it already.
pub fn add_provider_to_linker<T: ProviderView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    types::add_to_linker::<_, Forward>(linker, |data| Data(data.provider()))?;
    credential_provider::add_to_linker::<_, Forward>(linker, |data| Data(data.provider()))
}

struct Forward;

struct Data<'a>(&'a Provider);

impl HasData for Forward {
    type Data<'a> = Data<'a>;
}

impl types::Host for Data<'_> {}

impl credential_provider::Host for Data<'_> {
    fn cached_token(&mut self, request: types::TokenRequest) -> Option<types::AccessToken> {
        self.0
            .cached_token(&conv::request_from_wit(request))
            .map(|token| conv::token_to_wit(&token))
    }

    async fn report_rejection(
        &mut self,
        request: types::TokenRequest,
        rejection: types::Rejection,
    ) -> Result<types::RejectionOutcome, types::CredentialError> {
        let request = conv::request_from_wit(request);
        let types::Rejection {
            token_sha256,
            www_authenticate,
        } = rejection;
        let outcome = self
            .0
            .report_rejected_digest(&request, token_sha256, www_authenticate.as_deref())
            .await;
        outcome.map(conv::outcome_to_wit).map_err(to_wit)
    }

    async fn drop_cached(&mut self, identity: Option<String>) -> u32 {
        // the interface has no error here: what could not be counted was not dropped
        self.0
            .drop_cached(identity.as_deref())
            .await
            .unwrap_or_default()
    }
}

impl<T: Send> credential_provider::HostWithStore<T> for Forward {
    async fn get_token(
        store: &Accessor<T, Self>,
        request: types::TokenRequest,
    ) -> Result<types::AccessToken, types::CredentialError> {
        let request = conv::request_from_wit(request);
        let token = provider(store).get_token(&request).await.map_err(to_wit)?;
        Ok(conv::token_to_wit(&token))
    }

    async fn get_header(
        store: &Accessor<T, Self>,
        request: types::TokenRequest,
    ) -> Result<types::Header, types::CredentialError> {
        let request = conv::request_from_wit(request);
        let (name, value) = provider(store).get_header(&request).await.map_err(to_wit)?;
        Ok(types::Header {
            name: name.to_owned(),
            value: value.expose().to_owned(),
        })
    }

    async fn get_client_assertion(
        store: &Accessor<T, Self>,
        identity: Option<String>,
        audience: Option<String>,
    ) -> Result<types::ClientAssertion, types::CredentialError> {
        let assertion = provider(store)
            .client_assertion(identity.as_deref(), audience.as_deref())
            .await;
        assertion
            .map(|assertion| conv::assertion_to_wit(&assertion))
            .map_err(to_wit)
    }
}

fn provider<T: Send>(store: &Accessor<T, Forward>) -> Provider {
    store.with(|mut store| store.get().0.clone())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn to_wit(error: Error) -> types::CredentialError {
    conv::error_to_wit(&error)
}
