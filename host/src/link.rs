//! For embedders who run components of their own beside the credential component.
//!
//! Two ways. A component that *contains* a provider (composed with it) needs what a provider imports:
//! [`add_to_linker`]. These imports are those of the whole, and nothing here can tell which part of it calls: an
//! application that imports `token-file` as well reads the token file. `cargo xtask compose` refuses such an application;
//! what another tool has composed is for its author to look at.
//!
//! A component that only *imports* interfaces of `edgepass:credentials` can be served by a [`Provider`] handle of this
//! process: `credential-provider` with [`add_provider_to_linker`], `opaque-tokens` with [`add_opaque_tokens_to_linker`],
//! `status` with [`add_status_to_linker`]. The store of this second way reaches no file, no key and no variable of the
//! provider's, and holds no credentials but what it is given: tokens, and client assertions if the configuration says
//! so (`consumers.client_assertions`). With `opaque-tokens` alone it holds no token either, until it reads one back from
//! the request that it was set on (`wit/README.md` says what that is good for).
//!
//! The versions of wasmtime that these functions speak of are [`wasmtime`], [`wasmtime_wasi`] and [`wasmtime_wasi_http`]
//! of this module; `bindgen!` wants wasmtime among the dependencies of its own crate, and then it must be the same.
//!
//! ```no_run
//! use edgepass::Provider;
//! use edgepass::link::{self, ProviderView, wasmtime};
//! use wasmtime::component::{Component, Linker};
//!
//! struct Data(Provider);
//!
//! impl ProviderView for Data {
//!     fn provider(&self) -> &Provider {
//!         &self.0
//!     }
//! }
//!
//! # async fn example(provider: Provider, component: Component) -> wasmtime::Result<()> {
//! let engine = link::engine()?;
//! let mut linker = Linker::new(&engine);
//! link::add_provider_to_linker(&mut linker)?;
//! let mut store = link::store(&engine, Data(provider));
//! let instance = linker.instantiate_async(&mut store, &component).await?;
//! # let _ = instance;
//! # Ok(())
//! # }
//! ```
//!
//! `edgepass:credentials/types` has types alone, which a linker need not have: these functions may be called in any
//! order and together, and leave the linker's settings as they are.

mod forward;
#[cfg(feature = "p2")]
mod p2;
mod permitted;

use edgepass_core::{Moment, Now, TokenRequest};
use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView};

use crate::bindings::consumer::edgepass::credentials::{
    credential_provider, opaque_tokens, status,
};
use crate::bindings::types;
use crate::cache::Token;
use crate::clock;
use crate::provider::Provider;

pub use self::permitted::Permitted;
pub use crate::bounds::Bounds;
pub use crate::context::{Context, Host, HostContextView, HostView};

use self::forward::Forwarded;

// what the signatures here speak of
pub use {wasmtime, wasmtime_wasi, wasmtime_wasi_http};

/// An engine with the settings that the embedded component was compiled for.
///
/// # Errors
///
/// When wasmtime does not support this machine.
pub fn engine() -> Result<Engine> {
    edgepass_aot::engine()
}

/// A store for a component, with that data.
///
/// The engine counts in epochs how long a component computes, and a store that was told no bound ends its component at
/// the first look. This one has none: a program that wants to end what does not yield sets one
/// ([`Store::set_epoch_deadline`]) and counts ([`Engine::increment_epoch`]). For bounds of memory see
/// [`Context::limiter`], and [`Bounds`] for an application.
pub fn store<T: 'static>(engine: &Engine, data: T) -> Store<T> {
    let mut store = Store::new(engine, data);
    store.set_epoch_deadline(NEVER);
    store
}

/// An epoch that does not come. The engine adds it to the present one.
const NEVER: u64 = u64::MAX / 2;

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
/// environment, and the interfaces of `edgepass:credentials` that a host implements. And standard error, which the HTTP
/// filter of a composition imports for its records.
///
/// # Errors
///
/// When the linker has one of them already and shadowing is not allowed.
pub fn add_to_linker<T: HostView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    crate::context::add_to_linker(linker)?;
    crate::context::add_standard_error_to_linker(linker)
}

/// The same for a provider component over WASI 0.2 (`dist/credential-provider-p2.wasm`), and for what is composed with it:
/// `wasi:http` 0.2 under this crate's egress policy, and the interfaces of `edgepass:credentials-p2` that a host implements.
/// The rest of WASI is that of [`wasmtime_wasi`]:
///
/// ```
/// use edgepass::link::{self, Context, wasmtime, wasmtime_wasi};
/// use wasmtime::component::Linker;
///
/// fn linker() -> wasmtime::Result<Linker<Context>> {
///     let mut linker = Linker::new(&link::engine()?);
///     wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
///     link::add_p2_to_linker(&mut linker)?;
///     Ok(linker)
/// }
/// # linker().unwrap();
/// ```
///
/// Such a provider blocks its store while it waits: give each of many callers an instance, or use the one over WASI 0.3.
///
/// # Errors
///
/// When the linker has one of them already and shadowing is not allowed.
#[cfg(feature = "p2")]
pub fn add_p2_to_linker<T: HostView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    crate::context::add_p2_to_linker(linker)
}

/// Store data that has a provider to forward to.
pub trait ProviderView: Send {
    /// The provider that answers components in this store.
    fn provider(&self) -> &Provider;

    /// The identities that components in this store may ask for. All that are configured, unless the store says otherwise.
    fn permitted(&self) -> Permitted {
        Permitted::all()
    }
}

/// Adds `edgepass:credentials/credential-provider`, answered by the store's [`ProviderView`]. Of it
/// `get-client-assertion` is refused unless the provider's configuration has `consumers.client_assertions`.
///
/// # Errors
///
/// When the linker has it already and shadowing is not allowed.
pub fn add_provider_to_linker<T: ProviderView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    credential_provider::add_to_linker::<_, Forward>(linker, |data| Forwarded::of(data))
}

/// Adds `edgepass:credentials/opaque-tokens`, answered by the store's [`ProviderView`]. The tokens stay in this process:
/// the component has handles, and the requests that it sets them on are those of `wasi:http` in the same store.
///
/// # Errors
///
/// When the linker has it already and shadowing is not allowed.
pub fn add_opaque_tokens_to_linker<T>(linker: &mut Linker<T>) -> Result<()>
where
    T: ProviderView + WasiHttpView + 'static,
{
    opaque_tokens::add_to_linker::<_, ForwardOpaque>(linker, |data| OpaqueData {
        forwarded: Forwarded::of(data),
        http: data.http(),
    })
}

/// Adds `edgepass:credentials/status`, answered by the store's [`ProviderView`].
///
/// # Errors
///
/// When the linker has it already and shadowing is not allowed.
pub fn add_status_to_linker<T: ProviderView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    status::add_to_linker::<_, Forward>(linker, |data| Forwarded::of(data))
}

/// Adds `edgepass:credentials-p2/credential-provider`: [`add_provider_to_linker`] over WASI 0.2, for components whose own
/// functions cannot wait. A call blocks its store until it is answered.
///
/// # Errors
///
/// When the linker has one of them already and shadowing is not allowed.
#[cfg(feature = "p2")]
pub fn add_provider_p2_to_linker<T>(linker: &mut Linker<T>) -> Result<()>
where
    T: ProviderView + 'static,
{
    p2::add_provider_to_linker(linker)
}

/// Adds `edgepass:credentials-p2/opaque-tokens`: [`add_opaque_tokens_to_linker`] over WASI 0.2.
///
/// # Errors
///
/// When the linker has it already and shadowing is not allowed.
#[cfg(feature = "p2")]
pub fn add_opaque_tokens_p2_to_linker<T>(linker: &mut Linker<T>) -> Result<()>
where
    T: ProviderView + WasiHttpView + 'static,
{
    p2::add_opaque_tokens_to_linker(linker)
}

struct Forward;

impl HasData for Forward {
    type Data<'a> = Forwarded;
}

impl credential_provider::Host for Forwarded {
    fn cached_token(&mut self, request: types::TokenRequest) -> Option<types::AccessToken> {
        Self::cached_token(self, request)
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

impl<T: Send> credential_provider::HostWithStore<T> for Forward {
    async fn get_token(
        store: &Accessor<T, Self>,
        request: types::TokenRequest,
    ) -> Result<types::AccessToken, types::CredentialError> {
        forwarded(store).get_token(request).await
    }

    async fn get_header(
        store: &Accessor<T, Self>,
        request: types::TokenRequest,
    ) -> Result<types::Header, types::CredentialError> {
        forwarded(store).get_header(request).await
    }

    async fn get_client_assertion(
        store: &Accessor<T, Self>,
        identity: Option<String>,
        audience: Option<String>,
    ) -> Result<types::ClientAssertion, types::CredentialError> {
        let forwarded = forwarded(store);
        forwarded.get_client_assertion(identity, audience).await
    }

    async fn authorization_url(
        store: &Accessor<T, Self>,
        identity: Option<String>,
        options: types::AuthorizationOptions,
    ) -> Result<types::AuthorizationRequest, types::CredentialError> {
        forwarded(store).authorization_url(identity, options).await
    }

    async fn try_credentials(
        store: &Accessor<T, Self>,
        identity: Option<String>,
    ) -> Result<Vec<types::CredentialTrial>, types::CredentialProblem> {
        forwarded(store).try_credentials(identity).await
    }
}

impl status::Host for Forwarded {
    async fn identities(&mut self) -> Vec<types::IdentityStatus> {
        Self::identities(self).await
    }

    fn next_notice(&mut self) -> Option<String> {
        // this host has them in its log
        None
    }
}

fn forwarded<T: Send>(store: &Accessor<T, Forward>) -> Forwarded {
    store.with(|mut store| store.get())
}

struct ForwardOpaque;

struct OpaqueData<'a> {
    forwarded: Forwarded,
    http: WasiHttpCtxView<'a>,
}

impl HasData for ForwardOpaque {
    type Data<'a> = OpaqueData<'a>;
}

/// What a component's handle of a token stands for.
#[derive(Clone)]
pub struct OpaqueToken {
    request: TokenRequest,
    token: Token,
    /// Either clock may say so: a wall clock that is set back makes it live no longer.
    expires: Moment,
}

impl OpaqueToken {
    fn new(request: TokenRequest, token: Token, now: Now) -> Self {
        Self {
            request,
            expires: token.moments(now).expires,
            token,
        }
    }

    fn has_expired(&self, now: Now) -> bool {
        self.expires.reached(now)
    }
}

impl opaque_tokens::Host for OpaqueData<'_> {
    fn fresh(&mut self, request: types::TokenRequest) -> Result<Option<Resource<OpaqueToken>>> {
        OpaqueData::fresh(self, request)
    }
}

impl OpaqueData<'_> {
    fn fresh(&mut self, request: types::TokenRequest) -> Result<Option<Resource<OpaqueToken>>> {
        let request = TokenRequest::from(request);
        let Some(token) = self.forwarded.fresh(&request) else {
            return Ok(None);
        };
        let token = OpaqueToken::new(request, token, clock::now());
        Ok(Some(self.http.table.push(token)?))
    }

    fn authorize(
        &mut self,
        token: &Resource<OpaqueToken>,
        headers: &Resource<FieldMap>,
    ) -> Result<Result<(), types::AuthorizeError>> {
        let token = self.http.table.get(token)?;
        if token.has_expired(clock::now()) {
            return Ok(Err(types::AuthorizeError::Expired));
        }
        let Ok(value) = token.token.authorization() else {
            return Ok(Err(types::AuthorizeError::NotAnAccessToken));
        };
        let fields = self.http.table.get_mut(headers)?;
        let set = fields.set(
            self.http.hooks,
            "authorization".to_owned(),
            vec![value.expose().as_bytes().to_vec()],
        );
        Ok(set.map_err(|e| types::AuthorizeError::Fields(e.to_string())))
    }

    async fn report_rejection(
        &mut self,
        token: &Resource<OpaqueToken>,
        www_authenticate: Option<String>,
    ) -> Result<Result<types::RejectionOutcome, types::CredentialError>> {
        let OpaqueToken { request, token, .. } = self.http.table.get(token)?.clone();
        let outcome = self
            .forwarded
            .provider()
            .report_rejection(&request, &token.token, www_authenticate.as_deref())
            .await;
        Ok(outcome.map(Into::into).map_err(Into::into))
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
        Self::authorize(self, &token, &headers)
    }

    async fn report_rejection(
        &mut self,
        token: Resource<OpaqueToken>,
        www_authenticate: Option<String>,
    ) -> Result<Result<types::RejectionOutcome, types::CredentialError>> {
        Self::report_rejection(self, &token, www_authenticate).await
    }

    fn drop(&mut self, token: Resource<OpaqueToken>) -> Result<()> {
        self.http.table.delete(token)?;
        Ok(())
    }
}

impl<T: Send> opaque_tokens::HostWithStore<T> for ForwardOpaque {
    async fn get(
        store: &Accessor<T, Self>,
        request: types::TokenRequest,
    ) -> Result<Result<Resource<OpaqueToken>, types::CredentialError>> {
        let request = TokenRequest::from(request);
        let forwarded = store.with(|mut store| store.get().forwarded);
        let token = match forwarded.token(&request).await {
            Ok(token) => token,
            Err(error) => return Ok(Err(error)),
        };
        store.with(|mut store| {
            let table: &mut ResourceTable = store.get().http.table;
            Ok(Ok(table.push(OpaqueToken::new(
                request,
                token,
                clock::now(),
            ))?))
        })
    }
}

#[cfg(test)]
mod tests {
    use edgepass_core::{AccessToken, Secret, TokenSource};

    use super::*;

    #[test]
    fn a_handle_of_a_token_expires_by_either_clock() {
        let start = Now {
            unix_ms: 1_793_491_200_000,
            mono_ms: 50,
        };
        let token = Token::new(AccessToken {
            token: Secret::new("t"),
            token_type: "Bearer".into(),
            expires_on: start.unix_s() + 60,
            refresh_on: start.unix_s() + 30,
            moments: None,
            scope: "s".into(),
            identity: "default".into(),
            source: TokenSource::Exchange,
            refresh_token: None,
            id_token: None,
            issued_token_type: None,
            certificate_thumbprint: None,
        });
        let token = OpaqueToken::new(TokenRequest::default(), token, start);
        let later = |wall_ms: i64, mono_ms: u64| Now {
            unix_ms: start.unix_ms.saturating_add_signed(wall_ms),
            mono_ms: start.mono_ms + mono_ms,
        };
        for (wall_ms, mono_ms, expired) in [
            (59_000, 59_000, false),
            (60_000, 60_000, true),
            // it slept
            (60_000, 1_000, true),
            // the wall clock was set back
            (-3_600_000, 59_000, false),
            (-3_600_000, 60_000, true),
        ] {
            assert_eq!(
                token.has_expired(later(wall_ms, mono_ms)),
                expired,
                "{wall_ms} {mono_ms}"
            );
        }
    }
}
