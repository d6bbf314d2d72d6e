//! How a provider is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[cfg(not(feature = "token-store"))]
use edgepass_core::ConfigError;
#[cfg(feature = "token-store")]
use edgepass_core::config::TokenStoreFile;
use edgepass_core::config::{HostFile, KeyVaultFile};
use edgepass_core::needs::{FilePattern, Needs};
use edgepass_core::{Config, Environment, Secret};
use edgepass_settings::formats::Format;
use edgepass_settings::unread as variables;
use wasmtime::component::{Component, Linker};
use zeroize::Zeroizing;

use super::environment::{process_environment, unread, unread_instead};
use super::error::BuildError;
#[cfg(feature = "token-store")]
use super::told::with_token_store;
use super::told::{guest_environment, without_keys};
use super::{Provider, Shared};
use crate::address_space;
use crate::assertion::AssertionSource;
use crate::bindings::ProviderPre;
use crate::certificate::{CertificateSource, Certificates, inline};
use crate::context::{self, Host, HostParts};
use crate::document::Document;
use crate::egress::Egress;
use crate::files::TokenFiles;
use crate::instance::Instance;
use crate::limits;
use crate::named_files::{self, NamedFile};
use crate::proxy::Proxies;
use crate::roots::{self, Roots, RootsError};
use crate::runtime;
use crate::settings::{AppSettings, Given, Loaded};
use crate::sources::Sources;
#[cfg(feature = "token-store")]
use crate::token_store::TokenStore;
use crate::words::Words;

/// How a [`Provider`] is made.
#[derive(Default)]
pub struct Builder {
    config: Option<Given>,
    environment: Environment,
    roots: Option<RootsSource>,
    /// The program's option for a file of authorities, if it has one.
    ca_option: Option<&'static str>,
    certificates: BTreeMap<String, CertificateSource>,
    assertions: Option<Box<dyn AssertionSource>>,
    #[cfg(feature = "compiler")]
    component: Option<Vec<u8>>,
    #[cfg(feature = "token-store")]
    token_store: Option<TokenStoreFile>,
    limits: Option<Limits>,
    token_timeout: Option<Duration>,
    bypass: bool,
}

enum RootsSource {
    File(PathBuf),
    Pem(Vec<u8>),
}

impl Builder {
    /// What this process was started with, as the command takes it: the environment ([`process_environment`]), and the
    /// configuration file that `EDGEPASS_CONFIG` names or the JSON in `EDGEPASS_CONFIG_JSON`, if one of them is set.
    /// Otherwise variables describe the identity: those of the Azure SDKs, or of python-social-auth.
    pub fn from_process() -> Self {
        Self {
            config: Document::of_variables(
                std::env::var_os(Environment::EDGEPASS_CONFIG),
                std::env::var_os(Environment::EDGEPASS_CONFIG_JSON),
            )
            .map(Given::Document),
            environment: process_environment(),
            ..Self::default()
        }
    }

    /// The configuration, JSON. Without one the environment says everything, in the order of the Azure SDKs'
    /// `DefaultAzureCredential`: a client secret or a certificate, workload identity, a job of GitHub Actions or Azure
    /// Pipelines, and where nothing is set the managed identity of the machine.
    #[must_use]
    pub fn config_json(mut self, json: impl Into<String>) -> Self {
        let json = Zeroizing::new(json.into());
        self.config = Some(Given::Document(Document::Given(json, Format::Json)));
        self
    }

    /// The configuration, YAML (1.2). It says what the JSON document says.
    #[must_use]
    pub fn config_yaml(mut self, yaml: impl Into<String>) -> Self {
        let yaml = Zeroizing::new(yaml.into());
        self.config = Some(Given::Document(Document::Given(yaml, Format::Yaml)));
        self
    }

    /// The configuration, TOML. It says what the JSON document says.
    #[must_use]
    pub fn config_toml(mut self, toml: impl Into<String>) -> Self {
        let toml = Zeroizing::new(toml.into());
        self.config = Some(Given::Document(Document::Given(toml, Format::Toml)));
        self
    }

    /// The configuration, a file: YAML where its name ends in `.yaml` or `.yml`, TOML where it ends in `.toml`, and JSON
    /// otherwise. It is read when this is built, and not again.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = Some(Given::Document(Document::File(path.into())));
        self
    }

    /// In the place of a configuration, the settings of a .NET program with Microsoft.Identity.Web: a path, or
    /// [`AppSettings`] where the section is not `AzureAd` or an API is meant. Variables of the environment go before the file
    /// as .NET has it (`AzureAd__ClientId`). It is read when this is built, and not again.
    #[must_use]
    pub fn appsettings(mut self, settings: impl Into<AppSettings>) -> Self {
        self.config = Some(Given::AppSettings(settings.into()));
        self
    }

    /// In the place of a configuration, the settings of a program with python-social-auth: JSON, YAML, or a module in Python of
    /// plain assignments, which is read and never run. Each backend is an identity of the backend's name
    /// (`azuread-tenant-oauth2`). It is read when this is built, and not again. As variables of the environment alone the
    /// settings need no call.
    #[must_use]
    pub fn social_auth(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = Some(Given::SocialAuth(path.into()));
        self
    }

    /// In the place of a configuration, one that was made of other settings already, by whoever says its notes himself.
    #[doc(hidden)]
    #[must_use]
    pub fn imported(mut self, mut imported: edgepass_settings::Imported) -> Self {
        imported.notes.clear();
        self.config = Some(Given::Imported(imported));
        self
    }

    /// The environment that the configuration may refer to, and that names a proxy (`HTTPS_PROXY`). Empty unless given: a
    /// library does not look into its process's environment by itself. [`process_environment`] is that of this process.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Checks token endpoints with the certification authorities of this PEM file, and those of `host.extra_ca_file` of the
    /// configuration. Otherwise those of its `host.ca_file` take their place, or else the system's, which `SSL_CERT_FILE`
    /// and `SSL_CERT_DIR` replace. Certificates in it that cannot be used are left out, with a warning
    /// ([`Provider::warnings`]). It is read again when it changes.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots = Some(RootsSource::File(path.into()));
        self
    }

    /// What [`ca_file`](Self::ca_file) is for whoever runs the program: errors and hints name it so.
    #[doc(hidden)]
    #[must_use]
    pub fn ca_option(mut self, name: &'static str) -> Self {
        self.ca_option = Some(name);
        self
    }

    /// Checks token endpoints with these PEM certificates, and those of `host.extra_ca_file` of the configuration.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(RootsSource::Pem(pem.into()));
        self
    }

    /// A certificate with its key, under the name that credentials use. It goes before one of the same name in the
    /// configuration. One whose name no credential uses is not opened for anybody.
    #[must_use]
    pub fn certificate(mut self, name: impl Into<String>, source: CertificateSource) -> Self {
        self.certificates.insert(name.into(), source);
        self
    }

    /// Supplies the assertions of credentials of the kind `assertion_source`.
    #[must_use]
    pub fn assertion_source(mut self, source: impl AssertionSource) -> Self {
        self.assertions = Some(Box::new(source));
        self
    }

    /// Runs this component instead of the embedded one. It is compiled now, which takes about a second.
    #[cfg(feature = "compiler")]
    #[must_use]
    pub fn component(mut self, wasm: impl Into<Vec<u8>>) -> Self {
        self.component = Some(wasm.into());
        self
    }

    /// Shares tokens with other instances by this store: Redis or Valkey. It goes before `host.token_store` of the
    /// configuration, and has the same settings.
    #[cfg(feature = "token-store")]
    #[must_use]
    pub fn token_store(mut self, store: TokenStoreFile) -> Self {
        self.token_store = Some(store);
        self
    }

    /// Other limits than the usual ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// How long an acquisition may take, for a program that waits no longer for a token: the credentials of a list share
    /// that time, so that one that gives nothing leaves some to the next. It is half a minute at most, and so it is unless
    /// this is called. What a call waits for is its caller's to bound.
    #[must_use]
    pub fn token_timeout(mut self, timeout: Duration) -> Self {
        self.token_timeout = Some(timeout);
        self
    }

    /// Whether [`Provider::get_token`] may answer from the cache of the handle; it may unless told otherwise. Without it
    /// every call enters the component, which has a cache of its own: for measuring and testing that one.
    #[must_use]
    pub fn read_through(mut self, on: bool) -> Self {
        self.bypass = !on;
        self
    }

    /// What components may reach with this configuration, without a component: for an embedder who runs one in a store
    /// of his own ([`crate::link`]).
    ///
    /// # Errors
    ///
    /// When the configuration, a file that it names, or the environment is wrong.
    pub fn build_host(self) -> Result<Host, BuildError> {
        let loaded = Loaded::of(self.config, &self.environment)?;
        let environment = loaded.environment(self.environment);
        let document = loaded.text();
        #[cfg(feature = "token-store")]
        let with_store = self
            .token_store
            .as_ref()
            .and_then(|store| with_token_store(document, store));
        #[cfg(feature = "token-store")]
        let whole = with_store.as_ref().map(Secret::expose).or(document);
        #[cfg(not(feature = "token-store"))]
        let whole = document;
        let config = Config::load(whole, &environment).map_err(|error| {
            loaded.explain(error, |error| unread(error, document, &environment))
        })?;
        if let Some(error) = unread_instead(&config, document, &environment) {
            return Err(error.into());
        }
        let document = whole;
        let mut warnings = loaded.notes();
        warnings.extend(config.warnings(&environment));
        if document.is_none() {
            warnings.extend(variables::warnings(&config, &environment));
        }
        let roots = roots_of(
            self.roots.as_ref(),
            self.ca_option,
            &config.host,
            &mut warnings,
        )?;
        // the store is that of a component, if there is one
        let elsewhere = config.host.token_store.as_ref();
        let elsewhere = elsewhere.filter(|store| store.url.is_none());
        let no_store = elsewhere.and_then(|store| store.server().err());
        #[cfg(feature = "token-store")]
        let token_store = match &config.host.token_store {
            Some(_) if no_store.is_some() => None,
            Some(store) => {
                let roots = match &store.ca_file {
                    Some(path) => Roots::file(
                        path.as_ref(),
                        "host.token_store.ca_file",
                        None,
                        &mut warnings,
                    )?,
                    // what is to be said of these was said above
                    None => roots_of(
                        self.roots.as_ref(),
                        self.ca_option,
                        &config.host,
                        &mut Vec::new(),
                    )?,
                };
                Some(TokenStore::new(store, &environment, roots)?)
            }
            None => None,
        };
        #[cfg(not(feature = "token-store"))]
        if config.host.token_store.is_some() && no_store.is_none() {
            return Err(ConfigError::new(
                "host.token_store",
                "is set, and this program was built without a token store",
            )
            .hint("build it with the feature `token-store` of edgepass, or leave the section away")
            .into());
        }
        let proxies = Proxies::new(config.host.proxy.as_deref(), &environment)?;
        for warning in &warnings {
            log::warn!("{warning}");
        }
        let mut certificates = self.certificates;
        let mut vaults: BTreeMap<String, KeyVaultFile> = BTreeMap::new();
        for (name, files) in &config.certificates {
            if let Some(vault) = &files.key_vault {
                if !certificates.contains_key(name) {
                    vaults.insert(name.clone(), vault.clone());
                }
                continue;
            }
            if let Some(text) = &files.certificate_base64
                && !certificates.contains_key(name)
            {
                let setting = format!("certificates.{name}.certificate_base64");
                let checked = inline::check(&setting, text.expose());
                checked.map_err(|error| loaded.explain(error, |error| error))?;
            }
            certificates
                .entry(name.clone())
                .or_insert_with(|| CertificateSource::configured(files, &environment));
        }
        if let Some(name) = config
            .unresolved_certificates()
            .into_iter()
            .find(|name| !certificates.contains_key(name) && !vaults.contains_key(name))
        {
            return Err(BuildError::Certificate { name });
        }
        let words = match (loaded.names(), config.is_of_the_environment()) {
            (Some(names), _) => Words::Imported(names.clone()),
            (None, true) => Words::Variables(Box::new(config.clone())),
            (None, false) => Words::Document,
        };
        let memory_bytes = self.limits.map_or_else(
            || limits::guest_memory_bytes(config.user_token_bytes()),
            |limits| limits.memory_bytes,
        );
        let needs = config.needs();
        let named_files = files_of(document, &config, &needs, &words);
        let connections = [needs.connections.as_slice(), &needs.id_tokens].concat();
        let way = proxies.describe(&connections)?;
        if let Some(way) = &way {
            log::info!("https goes {way}");
        }
        let has_keys = config
            .certificates
            .values()
            .any(|files| files.certificate_base64.is_some());
        let shown = match document {
            Some(document) if has_keys => Some(without_keys(document)?),
            document => document.map(Secret::new),
        };
        let mut told = guest_environment(shown, &environment, &needs);
        told.extend(self.token_timeout.map(|timeout| {
            (
                Environment::EDGEPASS_TOKEN_TIMEOUT_MS.to_owned(),
                Secret::new(timeout.as_millis().to_string()),
            )
        }));
        let is_used = |name: &String| needs.certificates.iter().any(|need| need.name == *name);
        let names = certificates.keys().chain(vaults.keys());
        let unused_certificates = names.filter(|name| !is_used(name)).cloned().collect();
        certificates.retain(|name, _| is_used(name));
        vaults.retain(|name, _| is_used(name));
        let to_vaults = vaults.values().flat_map(KeyVaultFile::connections);
        let to_vaults = match vaults.is_empty() {
            true => Egress::new(Vec::new(), Roots::none()),
            false => {
                // what is to be said of these was said above
                let roots = roots_of(
                    self.roots.as_ref(),
                    self.ca_option,
                    &config.host,
                    &mut Vec::new(),
                )?;
                let proxies = Proxies::new(config.host.proxy.as_deref(), &environment)?;
                Egress::new(to_vaults.collect(), roots).through(proxies)
            }
        };
        Ok(Host::new(HostParts {
            egress: Arc::new(
                Egress::new(connections, roots)
                    .with_servers(needs.servers)
                    .through(proxies),
            ),
            way,
            sources: Sources::new(needs.host_sources, &environment),
            certificates: Certificates::new(
                certificates,
                needs.issued_certificates,
                vaults,
                to_vaults,
            ),
            signatures: needs.signatures,
            identities: config.identities.clone(),
            default_identity: config.default_identity.clone(),
            unused_certificates,
            words,
            rule_places: loaded
                .rule_places(config.http.as_ref().map_or(0, |http| http.rules.len())),
            has_notices: has_notices(&config),
            consumers: config.consumers,
            http: config.http,
            #[cfg(feature = "token-store")]
            token_store,
            no_store,
            files: TokenFiles::new((needs.files.into_iter()).map(|file| (file.path, file.setting))),
            assertions: self.assertions,
            environment: told,
            memory_bytes,
            warnings,
            named_files,
        }))
    }

    /// Starts the component. Call it inside the tokio runtime that the provider is to run on; it needs that runtime's
    /// I/O and timers. [`Self::build_blocking`] is for programs without one.
    ///
    /// # Errors
    ///
    /// When the configuration or a file that it names is wrong, the component cannot run on this host, or there is no
    /// such runtime. Where one was built without timers or I/O tokio panics, which is caught here: the panic hook prints
    /// a line, and a program that aborts on panics ends.
    #[cfg_attr(
        not(feature = "compiler"),
        expect(unused_mut, reason = "only a component to compile is taken out")
    )]
    pub async fn build(mut self) -> Result<Provider, BuildError> {
        runtime::check()?;
        let engine = edgepass_aot::engine().map_err(BuildError::component)?;
        #[cfg(feature = "compiler")]
        let wasm = self.component.take();
        let read_through = !self.bypass;
        let host = self.build_host()?;
        if let Some(error) = host.no_store() {
            return Err(error.clone().into());
        }
        if let Some(reason) = address_space::too_small() {
            return Err(BuildError::Component { reason });
        }
        #[cfg(feature = "compiler")]
        let component = match wasm {
            Some(wasm) => {
                let engine = engine.clone();
                tokio::task::spawn_blocking(move || edgepass_aot::from_wasm(&engine, &wasm))
                    .await
                    .map_err(|e| BuildError::Component {
                        reason: e.to_string(),
                    })?
            }
            None => edgepass_aot::embedded(&engine),
        };
        #[cfg(not(feature = "compiler"))]
        let component = edgepass_aot::embedded(&engine);
        let component = component.map_err(BuildError::component)?;
        let mut linker = Linker::new(&engine);
        context::add_to_linker(&mut linker).map_err(BuildError::component)?;
        let component = prepare(&linker, &component).map_err(BuildError::component)?;
        let consumers = host.consumers().clone();
        Ok(Provider(Arc::new(Shared {
            instance: Instance::start(engine, component, host.clone()),
            host,
            cache: Arc::default(),
            flights: Arc::default(),
            hits: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            read_through,
            consumers,
        })))
    }
}

/// The files that a configuration names, and those of the environment where that takes its place.
fn files_of(
    document: Option<&str>,
    config: &Config,
    needs: &Needs,
    words: &Words,
) -> Vec<NamedFile> {
    let mut found = document.map(named_files::named_files).unwrap_or_default();
    for file in &mut found {
        file.setting = words.say(&file.setting);
    }
    let mut add = |setting: &str, path: &str| {
        let file = named_files::named(&words.say(setting), path);
        found.extend(file.filter(|file| !found.iter().any(|known| known.path == file.path)));
    };
    for need in &needs.files {
        if let FilePattern::Exact(path)
        | FilePattern::Directory {
            directory: path, ..
        } = &need.path
        {
            add(&need.setting, path);
        }
    }
    for (name, files) in &config.certificates {
        let further = [
            ("private_key_file", &files.private_key_file),
            ("password_file", &files.password_file),
        ];
        let further = further.map(|(field, path)| (field, path.as_deref().unwrap_or_default()));
        for (field, path) in [("certificate_file", files.certificate_file.as_str())]
            .into_iter()
            .chain(further)
        {
            add(&format!("certificates.{name}.{field}"), path);
        }
    }
    found
}

/// The certification authorities that servers are checked with.
fn roots_of(
    given: Option<&RootsSource>,
    option: Option<&'static str>,
    host: &HostFile,
    warnings: &mut Vec<String>,
) -> Result<Roots, RootsError> {
    let extra = host.extra_ca_file.as_ref().map(Path::new);
    let roots = match given {
        Some(RootsSource::File(path)) => {
            Roots::file(path, option.unwrap_or("ca_file"), extra, warnings)
        }
        Some(RootsSource::Pem(pem)) => Roots::pem(pem, extra, warnings),
        None => match &host.ca_file {
            Some(path) => Roots::file(path.as_ref(), roots::CA_FILE, extra, warnings),
            None => Roots::system(extra, warnings),
        },
    };
    Ok(roots?.offering(option))
}

fn prepare(
    linker: &Linker<context::Context>,
    component: &Component,
) -> wasmtime::Result<ProviderPre<context::Context>> {
    ProviderPre::new(linker.instantiate_pre(component)?)
}

/// Bounds that an embedder may want otherwise.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Linear memory of one component instance, bytes. Unless it is set it follows `host.user_token_cache_mib`.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: limits::guest_memory_bytes(edgepass_core::limits::USER_TOKENS_MIB << 20),
        }
    }
}

/// Not where every identity has one credential, whose failures are told to callers, and no store is shared.
fn has_notices(config: &Config) -> bool {
    let mut identities = config.identities.values();
    config.host.token_store.is_some() || identities.any(|identity| identity.credential_count() > 1)
}
