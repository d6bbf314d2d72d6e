//! What a component's imports lead to: the state of one store, and the host's implementation of the interfaces of ours
//! that a provider imports.

mod imports;
#[cfg(feature = "p2")]
mod p2;
mod p3;

use std::sync::Arc;

use edgepass_core::config::http::HttpFile;
use edgepass_core::config::{ConsumersFile, IdentityConfig};
use edgepass_core::needs::SignatureNeed;
use edgepass_core::{Algorithm, ConfigError, Environment, Secret, Table};
use edgepass_settings::place::innermost;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::assertion::AssertionSource;
use crate::bounds::Bounds;
use crate::certificate::Certificates;
use crate::egress::{Egress, Hooks};
use crate::files::TokenFiles;
use crate::instance::{Answer, OwnCalls};
use crate::named_files::NamedFile;
use crate::sources::Sources;
#[cfg(feature = "token-store")]
use crate::token_store::TokenStore;
use crate::words::{self, Words};

#[cfg(feature = "p2")]
pub(crate) use p2::add_to_linker as add_p2_to_linker;
pub(crate) use p3::{add_standard_error_to_linker, add_to_linker};

/// What components may reach through this host: token endpoints, token files, certificates, the assertion source.
///
/// A cheap handle; clones reach the same.
#[derive(Clone)]
pub struct Host(Arc<HostParts>);

pub(crate) struct HostParts {
    pub(crate) egress: Arc<Egress>,
    pub(crate) certificates: Certificates,
    /// What their keys may sign.
    pub(crate) signatures: Vec<SignatureNeed>,
    /// The configured identities by name.
    pub(crate) identities: Table<String, Arc<IdentityConfig>>,
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

impl HostParts {
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

    pub(crate) fn new(inner: HostParts) -> Self {
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
        let needs = self.0.identities.get(identity)?.needs();
        let mut used = needs
            .certificates
            .iter()
            .filter(|need| is_of(&need.setting, identity, credential));
        used.find_map(|need| self.0.certificates.over(&need.name))
    }

    /// What people should be told of how this was built, a line each: variables of the Azure SDKs that are set and have
    /// no effect, certification authorities that cannot be used.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// The files that the configuration names, or the environment in its place, with their settings: secrets, token files,
    /// certificates, keys, certification authorities; and the folder in which a platform keeps keys that its answers name. Whoever
    /// writes files by a name that others give does not write to these, nor into that.
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
        let identities = self.0.identities.values();
        for need in identities.flat_map(|identity| &identity.needs().certificates) {
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
        self.0.identities.get(name).map(AsRef::as_ref)
    }

    /// Whether an identity of that name is configured.
    pub(crate) fn has_identity(&self, name: &str) -> bool {
        self.identity(name).is_some()
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
