//! What a component's imports lead to: the state of one store, and the host's implementation of the interfaces of ours
//! that a provider imports.

mod imports;
#[cfg(feature = "p2")]
mod p2;

use std::collections::BTreeMap;
use std::sync::Arc;

use edgepass_core::config::http::HttpFile;
use edgepass_core::config::{ConsumersFile, IdentityConfig};
use edgepass_core::needs::{CertificateNeed, SignatureNeed};
use edgepass_core::{Algorithm, ConfigError, Environment, Secret, Table};
use edgepass_settings::place::innermost;
use wasmtime::ResourceLimiter;
use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::assertion::AssertionSource;
use crate::bindings::{
    assertion_source, host_certificates, signatures, token_file, token_store, types,
};
use crate::bounds::Bounds;
use crate::certificate::{Certificates, Opened};
use crate::egress::{Egress, Hooks};
use crate::files::TokenFiles;
use crate::instance::{Answer, OwnCalls};
use crate::named_files::NamedFile;
use crate::sources::Sources;
#[cfg(feature = "token-store")]
use crate::token_store::TokenStore;
use crate::verify;
use crate::words::{self, Words};

/// What components may reach through this host: token endpoints, token files, certificates, the assertion source.
///
/// A cheap handle; clones reach the same.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) egress: Arc<Egress>,
    pub(crate) certificates: Certificates,
    /// What their keys may sign.
    pub(crate) signatures: Vec<SignatureNeed>,
    /// The configured identities by name, and which certificates the credentials of each use.
    pub(crate) identities: BTreeMap<String, Vec<CertificateNeed>>,
    /// The same as they are configured.
    pub(crate) configured: Table<String, Arc<IdentityConfig>>,
    /// The identity of requests that name none.
    pub(crate) default_identity: Option<String>,
    /// Names of certificates that no credential uses: nobody reaches them.
    pub(crate) unused_certificates: Vec<String>,
    /// In whose names things are said.
    pub(crate) words: Words,
    pub(crate) files: TokenFiles,
    pub(crate) assertions: Option<Box<dyn AssertionSource>>,
    /// What gives assertions of this machine's own.
    pub(crate) sources: Sources,
    /// By which instances share their tokens, if there is one.
    #[cfg(feature = "token-store")]
    pub(crate) token_store: Option<TokenStore>,
    /// Why there is none, where the configuration leaves it to a component.
    pub(crate) no_store: Option<ConfigError>,
    pub(crate) environment: Vec<(String, Secret)>,
    /// What components may ask that this host's provider serves.
    pub(crate) consumers: ConsumersFile,
    /// Which requests of applications get tokens.
    pub(crate) http: Option<HttpFile>,
    /// Where those stand in the text of the configuration: settings and their places.
    pub(crate) rule_places: Vec<(String, String)>,
    pub(crate) memory_bytes: usize,
    pub(crate) warnings: Vec<String>,
    /// What the configuration and the environment name.
    pub(crate) named_files: Vec<NamedFile>,
    /// By which way https goes out, if there is a proxy.
    pub(crate) way: Option<String>,
    /// There may be something to say that no call is answered with: of several credentials, or of a token store.
    pub(crate) has_notices: bool,
}

impl Inner {
    /// Whether a credential signs so.
    fn may_sign(&self, certificate: &str, algorithm: Algorithm) -> bool {
        self.signatures
            .iter()
            .any(|need| need.certificate == certificate && need.algorithm == algorithm)
    }
}

impl Host {
    /// The environment that a component gets.
    #[cfg(test)]
    pub(crate) fn told(&self) -> &[(String, Secret)] {
        &self.0.environment
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// What the configuration names and cannot be used now (token files and certificates), certificates that have expired
    /// or soon will, what of their files is not used, and certificates that no credential uses, in words. Reads files.
    ///
    /// Not an error by itself: a token file may only come when the platform mounts it.
    pub fn problems(&self) -> Vec<String> {
        let files = self.0.files.named().filter_map(|(path, setting)| {
            TokenFiles::read(path)
                .err()
                .map(|e| format!("{path} ({setting}) cannot be read now: {e}"))
        });
        let certificates = self.0.certificates.problems();
        let unused = self.0.unused_certificates.iter().map(|name| {
            format!(
                "certificate {name} is used by no credential, so nothing is signed or sent with it"
            )
        });
        let servers = self.0.egress.problems();
        let no_store = self.0.no_store.iter().map(ToString::to_string);
        #[cfg(feature = "token-store")]
        let store = (self.0.token_store.iter()).flat_map(TokenStore::problems);
        #[cfg(not(feature = "token-store"))]
        let store = std::iter::empty();
        files
            .chain(certificates)
            .chain(store)
            .chain(no_store)
            .chain(unused)
            .chain(servers)
            .chain(self.0.sources.problems())
            .map(|problem| self.0.words.say(&problem))
            .collect()
    }

    /// What the component says, in the names that the user has for things, and of what has an effect here.
    pub(crate) fn in_words(
        &self,
        result: Result<Answer, edgepass_core::Error>,
    ) -> Result<Answer, edgepass_core::Error> {
        words::with_hints(self.0.words.answer(result), |hint| {
            self.0.egress.explain(hint)
        })
    }

    /// In whose names things are said.
    pub(crate) fn words(&self) -> &Words {
        &self.0.words
    }

    /// What of the token store did not work when it was last asked, or was not taken, a line each. No request fails for it.
    pub(crate) fn token_store_faults(&self) -> Vec<String> {
        #[cfg(feature = "token-store")]
        let faults = self.0.token_store.iter().flat_map(TokenStore::faults);
        #[cfg(not(feature = "token-store"))]
        let faults = std::iter::empty::<ConfigError>();
        faults
            .map(|fault| format!("token store: {fault}"))
            .collect()
    }

    /// Waits, within a bound, for what the token store was told without anybody who waits for its answer.
    pub(crate) async fn token_store_has_forgotten(&self) {
        #[cfg(feature = "token-store")]
        if let Some(store) = &self.0.token_store {
            store.has_forgotten().await;
        }
    }

    /// Tries the token store; `None` if there is none.
    pub(crate) async fn try_token_store(&self) -> Option<Vec<ConfigError>> {
        #[cfg(feature = "token-store")]
        if let Some(store) = &self.0.token_store {
            return Some(store.try_out().await);
        }
        None
    }

    /// Why tokens are not shared, though the configuration says that they are: the store is not this host's.
    pub(crate) fn no_store(&self) -> Option<&ConfigError> {
        self.0.no_store.as_ref()
    }

    /// Why no server will accept one of the certificates of a credential now, if their dates say so. Reads files.
    pub(crate) fn over(&self, identity: Option<&str>, credential: usize) -> Option<String> {
        let identity = identity.or(self.0.default_identity.as_deref())?;
        let needs = self.0.identities.get(identity)?.iter();
        let mut used = needs.filter(|need| is_of(&need.setting, identity, credential));
        used.find_map(|need| self.0.certificates.over(&need.name))
    }

    /// What people should be told of how this was built, a line each: variables of the Azure SDKs that are set and have
    /// no effect, certification authorities that cannot be used.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// The files that the configuration names, or the environment in its place, with their settings: secrets, token files,
    /// certificates, keys, certification authorities. Whoever writes files by a name that others give does not write to these.
    pub fn named_files(&self) -> &[NamedFile] {
        &self.0.named_files
    }

    /// By which way https goes out, in words that continue "https goes"; `None` if no proxy is named. Host and port of a
    /// proxy are in it, and no credentials.
    pub fn proxied(&self) -> Option<&str> {
        self.0.way.as_deref()
    }

    /// The state for a store whose components reach what this host lets them reach: all of them, so none should be in it
    /// but a provider and what was composed with it by somebody who looked at its imports (`cargo xtask compose` does).
    /// The environment of the store has the provider's configuration and the variables that it names. Its standard error is
    /// that of the process.
    pub fn context(&self) -> Context {
        self.with_environment(WasiCtx::builder().inherit_stderr())
    }

    /// The same with another standard error: where the HTTP filter of a composition writes its records (`http.audit_as`).
    pub fn context_with_standard_error(&self, to: impl StdoutStream + 'static) -> Context {
        self.with_environment(WasiCtx::builder().stderr(to))
    }

    /// The same for a component that this host alone calls.
    pub(crate) fn own_context(&self) -> Context {
        let own = (Environment::EDGEPASS_CALLER, "host");
        self.with_environment(WasiCtx::builder().envs(&[own]))
    }

    pub(crate) fn has_notices(&self) -> bool {
        self.0.has_notices
    }

    /// Has the host ask that component itself for tokens that it needs.
    pub(crate) fn serve(&self, calls: OwnCalls) {
        self.0.certificates.serve(calls);
    }

    #[cfg(feature = "tower")]
    pub(crate) fn egress(&self) -> &Egress {
        &self.0.egress
    }

    /// What shows the certificate of that thumbprint (`x5t#S256`), if a credential has it now.
    #[cfg(feature = "tower")]
    pub(crate) async fn certified(
        &self,
        thumbprint: &str,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        for need in self.0.identities.values().flatten() {
            let Some(Ok(snapshot)) = self.0.certificates.open(&need.name).await else {
                continue;
            };
            if snapshot.thumbprint().as_deref() == Some(thumbprint) {
                return snapshot.certified();
            }
        }
        None
    }

    pub(crate) fn default_identity(&self) -> Option<&str> {
        self.0.default_identity.as_deref()
    }

    pub(crate) fn identity(&self, name: &str) -> Option<&IdentityConfig> {
        self.0.configured.get(name).map(AsRef::as_ref)
    }

    /// Whether an identity of that name is configured.
    pub(crate) fn has_identity(&self, name: &str) -> bool {
        self.0.identities.contains_key(name)
    }

    pub(crate) fn consumers(&self) -> &ConsumersFile {
        &self.0.consumers
    }

    /// The rules of the configuration.
    pub(crate) fn http(&self) -> Option<&HttpFile> {
        self.0.http.as_ref()
    }

    /// Where a setting of a rule stands in the text of the configuration, or what is around it.
    pub(crate) fn place_of_rule(&self, setting: &str) -> Option<&str> {
        innermost(&self.0.rule_places, setting)
    }

    fn with_environment(&self, wasi: &mut WasiCtxBuilder) -> Context {
        for (name, value) in &self.0.environment {
            wasi.env(name, value.expose());
        }
        Context {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            hooks: Hooks::new(Arc::clone(&self.0.egress)),
            bounds: Bounds::of_provider(self.0.memory_bytes),
            host: self.clone(),
            ticks: 0,
        }
    }
}

/// The state of one store: give it to `wasmtime::Store::new` (or [`crate::link::store`]) and link with [`crate::link::add_to_linker`].
pub struct Context {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Hooks,
    bounds: Bounds,
    host: Host,
    /// Watchdog ticks since the guest last yielded.
    pub(crate) ticks: u64,
}

impl Context {
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// With a network for what was composed with a provider: requests that the policy of this host does not let out are sent
    /// there, and the policy for them is that network's. Without it they are refused, so an application behind the HTTP
    /// filter reaches nothing.
    ///
    /// Requests come without a `host` header. Let none out to the metadata services of the machine and its neighbours
    /// (169.254.0.0/16, fe80::/10, fd00:ec2::/32, whatever names lead there): those give tokens to whoever asks.
    #[must_use]
    pub fn with_network(mut self, network: impl WasiHttpHooks + 'static) -> Self {
        self.hooks.set_beyond(network);
        self
    }

    /// What the store's components may take of memory and the like, for `wasmtime::Store::limiter`. A store without it
    /// has no bounds.
    pub fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.bounds
    }
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Context {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

/// Store data in which a provider component can run, alone or composed with others.
///
/// [`Context`] is one. An embedder with store data of its own implements it beside [`WasiView`] and [`WasiHttpView`].
pub trait HostView: WasiView + WasiHttpView {
    /// The host, and the table in which handles are kept (the one of [`WasiView`]).
    fn edgepass(&mut self) -> HostContextView<'_>;
}

/// What [`HostView`] borrows.
pub struct HostContextView<'a> {
    /// What components may reach.
    pub host: &'a Host,
    /// Where handles are kept.
    pub table: &'a mut ResourceTable,
}

impl HostView for Context {
    fn edgepass(&mut self) -> HostContextView<'_> {
        HostContextView {
            host: &self.host,
            table: &mut self.table,
        }
    }
}

#[cfg(feature = "p2")]
pub(crate) use p2::add_to_linker as add_p2_to_linker;

/// Adds exactly what a provider component imports.
pub(crate) fn add_to_linker<T: HostView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    // of wasi:cli the environment alone: no arguments, no exit, no standard streams
    wasmtime_wasi::p3::bindings::cli::environment::add_to_linker::<_, WasiCli>(linker, T::cli)?;
    wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
    wasmtime_wasi::p3::random::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    token_file::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    host_certificates::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    assertion_source::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    token_store::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    signatures::add_to_linker::<_, Imports>(linker, T::edgepass)
}

/// Adds standard error, where the HTTP filter writes its records. It is no import of a provider.
pub(crate) fn add_standard_error_to_linker<T: HostView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::bindings::cli::stderr::add_to_linker::<_, WasiCli>(linker, T::cli)
}

/// Names the implementations below for the linker.
struct Imports;

impl HasData for Imports {
    type Data<'a> = HostContextView<'a>;
}

impl token_file::Host for HostContextView<'_> {}
impl token_store::Host for HostContextView<'_> {}
impl assertion_source::Host for HostContextView<'_> {}
impl host_certificates::Host for HostContextView<'_> {}

impl signatures::Host for HostContextView<'_> {
    fn verify(
        &mut self,
        algorithm: types::Algorithm,
        key: types::PublicKey,
        input: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<bool, String> {
        verify::signature(algorithm.into(), &key.into(), &input, &signature)
    }
}

impl<T: HostView> token_file::HostWithStore<T> for Imports {
    async fn read(
        store: &Accessor<T, Self>,
        path: String,
    ) -> Result<Vec<u8>, token_file::ReadError> {
        host(store).read_file(path).await
    }
}

impl<T: HostView> assertion_source::HostWithStore<T> for Imports {
    async fn get_assertion(
        store: &Accessor<T, Self>,
        options: assertion_source::AssertionOptions,
    ) -> Result<assertion_source::Assertion, assertion_source::AssertionError> {
        host(store).get_assertion(options).await
    }
}

impl<T: HostView> token_store::HostWithStore<T> for Imports {
    async fn get(
        store: &Accessor<T, Self>,
        key: String,
    ) -> Result<Option<Vec<u8>>, token_store::StoreError> {
        host(store).get_stored(&key).await
    }

    async fn put(
        store: &Accessor<T, Self>,
        key: String,
        value: Vec<u8>,
        ttl_seconds: u32,
        only_if_absent: bool,
    ) -> Result<bool, token_store::StoreError> {
        host(store)
            .put_stored(&key, value, ttl_seconds, only_if_absent)
            .await
    }

    async fn delete(store: &Accessor<T, Self>, key: String) -> Result<(), token_store::StoreError> {
        host(store).delete_stored(&key).await
    }
}

/// Whether a setting of that identity is one of its credential of that number. What the environment describes is named by
/// variables, and is one credential.
fn is_of(setting: &str, identity: &str, credential: usize) -> bool {
    let inside = setting.strip_prefix("identities.");
    let inside =
        inside.and_then(|inside| inside.strip_prefix(identity)?.strip_prefix(".credential"));
    let index = inside.and_then(|inside| inside.strip_prefix('[')?.split_once(']'));
    match index {
        Some((index, _)) => index.parse() == Ok(credential),
        None => credential == 0,
    }
}

impl<T: HostView> host_certificates::HostWithStore<T> for Imports {
    async fn open(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Opened>, host_certificates::CertificateError>> {
        Ok(match host(store).open_certificate(&name).await {
            Ok(opened) => Ok(store.with(|mut store| store.get().table.push(opened))?),
            Err(error) => Err(error),
        })
    }
}

impl<T: HostView> host_certificates::HostCertificateWithStore<T> for Imports {
    async fn sign(
        store: &Accessor<T, Self>,
        certificate: Resource<Opened>,
        algorithm: host_certificates::Algorithm,
        input: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, host_certificates::CertificateError>> {
        let (opened, host) = store.with(|mut store| {
            let view = store.get();
            let opened = Opened(Arc::clone(&view.table.get(&certificate)?.0));
            Ok::<_, wasmtime::Error>((opened, view.host.clone()))
        })?;
        Ok(host.sign(&opened, algorithm.into(), input).await)
    }

    async fn send(
        store: &Accessor<T, Self>,
        certificate: Resource<Opened>,
        request: Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
        let taken = store.with(|mut store| -> wasmtime::Result<_> {
            let view = store.get();
            let snapshot = Arc::clone(&view.table.get(&certificate)?.0);
            let egress = Arc::clone(&view.host.0.egress);
            let request = view.table.delete(request)?;
            // the request is complete when its response is here, so there is nothing further to report
            Ok((
                snapshot,
                egress,
                request.into_http(&mut store, async { Ok(()) }),
            ))
        })?;
        let (snapshot, egress, converted) = taken;
        let (request, options) = match converted {
            Ok(converted) => converted,
            Err(e) => return Ok(Err(e.downcast()?)),
        };
        let sent = async {
            let pool = snapshot.pool(&egress).await?;
            egress
                .send_on(&pool, snapshot.name(), request, options.as_deref().copied())
                .await
        };
        match sent.await {
            Ok(response) => store.with(|mut store| {
                let view = store.data_mut().http();
                let (response, _processed) = Response::from_http(view.hooks, response);
                Ok(Ok(view.table.push(response)?))
            }),
            Err(e) => {
                snapshot.note(&e);
                Ok(Err(error_code(e)))
            }
        }
    }
}

impl host_certificates::HostCertificate for HostContextView<'_> {
    fn chain(&mut self, certificate: Resource<Opened>) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.table.get(&certificate)?.0.chain())
    }

    fn issuance(
        &mut self,
        certificate: Resource<Opened>,
    ) -> wasmtime::Result<Option<host_certificates::Issuance>> {
        let issuance = self.table.get(&certificate)?.0.issuance().cloned();
        Ok(issuance.map(Into::into))
    }

    fn drop(&mut self, certificate: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(certificate)?;
        Ok(())
    }
}

fn host<T: HostView>(store: &Accessor<T, Imports>) -> Host {
    store.with(|mut store| store.get().host.clone())
}

/// Of the errors that egress gives. (The same mapping inside wasmtime-wasi-http is private.)
fn error_code(error: wasmtime_wasi_http::Error) -> ErrorCode {
    use wasmtime_wasi_http::Error as E;
    use wasmtime_wasi_http::p3::bindings::http::types::{DnsErrorPayload, TlsAlertReceivedPayload};

    match error {
        E::DnsError { rcode, info_code } => {
            ErrorCode::DnsError(DnsErrorPayload { rcode, info_code })
        }
        E::DestinationUnavailable => ErrorCode::DestinationUnavailable,
        E::ConnectionRefused => ErrorCode::ConnectionRefused,
        E::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        E::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        E::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        E::TlsProtocolError => ErrorCode::TlsProtocolError,
        E::TlsCertificateError => ErrorCode::TlsCertificateError,
        E::TlsAlertReceived {
            alert_id,
            alert_message,
        } => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id,
            alert_message,
        }),
        E::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        E::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(size),
        E::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(size),
        E::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        E::HttpProtocolError => ErrorCode::HttpProtocolError,
        E::InternalError(reason) => ErrorCode::InternalError(reason),
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_of_one_credential() {
        for (setting, identity, credential, expected) in [
            ("identities.a.credential.certificate.name", "a", 0, true),
            ("identities.a.credential.certificate.name", "a", 1, false),
            ("identities.a.credential[1].certificate.name", "a", 0, false),
            ("identities.a.credential[1].certificate.name", "a", 1, true),
            (
                "identities.a.credential[12].certificate.name",
                "a",
                1,
                false,
            ),
            (
                "identities.a.credential.oidc_federation.credential.certificate.name",
                "a",
                0,
                true,
            ),
            (
                "identities.a.credential.credential[1].certificate.name",
                "a.credential",
                1,
                true,
            ),
            ("AZURE_CLIENT_CERTIFICATE_PATH", "environment", 0, true),
            ("AZURE_CLIENT_CERTIFICATE_PATH", "environment", 1, false),
        ] {
            assert_eq!(is_of(setting, identity, credential), expected, "{setting}");
        }
    }
}
