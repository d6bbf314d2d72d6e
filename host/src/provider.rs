//! The handle that programs hold, and how it is built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[cfg(feature = "token-store")]
use edgepass_core::config::TokenStoreFile;
use edgepass_core::config::{ConsumersFile, HostFile, KeyVaultFile};
use edgepass_core::{
    AuthorizationOptions, AuthorizationRequest, ClientAssertion, Config, ConfigError,
    CredentialTrial, Environment, Error, ErrorClass, ErrorDetail, Grant, IdentityStatus, Needs,
    RejectionOutcome, Secret, TokenRequest, TokenSource, without_byte_order_mark,
};
use edgepass_settings::formats::Format;
use hashbrown::HashMap;
use tokio::sync::watch;
use wasmtime::component::{Component, Linker};
use zeroize::{Zeroize as _, Zeroizing};

use crate::address_space;
use crate::assertion::AssertionSource;
use crate::bindings::ProviderPre;
use crate::cache::{Cache, Key, Lookup, Token};
use crate::certificate::{CertificateSource, Certificates};
use crate::context::{self, Host, Reach};
use crate::document::Document;
use crate::egress::Egress;
use crate::files::TokenFiles;
use crate::instance::{self, Answer, Call, Failed, Instance};
use crate::limits;
use crate::proxy::Proxies;
use crate::roots::{Roots, RootsError};
use crate::runtime;
use crate::settings::{AppSettings, Given, Loaded};
use crate::sources::Sources;
#[cfg(feature = "token-store")]
use crate::token_store::TokenStore;
use crate::words::Words;

/// Access tokens from the credential component.
///
/// A cheap handle: clones share one component instance and one cache, and may be used from any task and thread. It
/// works as long as the tokio runtime that it was built on.
#[derive(Clone)]
pub struct Provider(Arc<Shared>);

struct Shared {
    host: Host,
    instance: Instance,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    hits: AtomicU64,
    joined: AtomicU64,
    calls: AtomicU64,
    read_through: bool,
    consumers: ConsumersFile,
}

impl Provider {
    /// Starts from a configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Of what this process was started with, as the command takes it: [`Builder::from_process`], built. Call it inside the
    /// tokio runtime that the provider is to run on.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub async fn from_environment() -> Result<Self, BuildError> {
        Builder::from_process().build().await
    }

    /// Of the settings of a .NET program with Microsoft.Identity.Web: [`Builder::appsettings`] with the environment of
    /// this process, built. Call it inside the tokio runtime that the provider is to run on.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub async fn from_appsettings(settings: impl Into<AppSettings>) -> Result<Self, BuildError> {
        Builder::from_process().appsettings(settings).build().await
    }

    /// Of a settings file of python-social-auth: [`Builder::social_auth`] with the environment of this process, built. Call
    /// it inside the tokio runtime that the provider is to run on.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub async fn from_social_auth(path: impl Into<PathBuf>) -> Result<Self, BuildError> {
        Builder::from_process().social_auth(path).build().await
    }

    /// A token from the cache, or from the token endpoint. Callers that ask for the same at the same time share one
    /// exchange, and a caller that stops waiting does not stop it for the others.
    ///
    /// # Errors
    ///
    /// With a class for programs and one line for people: see [`Error`].
    pub async fn get_token(&self, request: &TokenRequest) -> Result<Token, Error> {
        if let Some(token) = self.fresh_token(request) {
            return Ok(token);
        }
        Box::pin(self.acquire(request)).await
    }

    /// The cached token, if it needs no second look.
    pub(crate) fn fresh_token(&self, request: &TokenRequest) -> Option<Token> {
        let token = self
            .0
            .read_through
            .then(|| self.0.cache.fresh(request))
            .flatten()?;
        self.0.hits.fetch_add(1, Ordering::Relaxed);
        Some(token)
    }

    /// The cached token, if it has not expired. Never waits and never asks the token endpoint.
    pub fn cached_token(&self, request: &TokenRequest) -> Option<Token> {
        self.0.cache.alive(request)
    }

    /// As [`Self::get_token`], with the finished header: its lower-case name and its value.
    ///
    /// # Errors
    ///
    /// As [`Self::get_token`].
    pub async fn get_header(
        &self,
        request: &TokenRequest,
    ) -> Result<(&'static str, Secret), Error> {
        let token = self.get_token(request).await?;
        Ok(("authorization", token.authorization()?))
    }

    /// The client assertion alone, for callers that talk to the token endpoint themselves. `audience` replaces the
    /// assertion's `aud` where the component builds it, and is refused where the assertion comes from elsewhere.
    ///
    /// It is this program's own question, which `consumers.client_assertions` of the configuration does not bound:
    /// that is for components ([`crate::link`]).
    ///
    /// # Errors
    ///
    /// As [`Self::get_token`].
    pub async fn client_assertion(
        &self,
        identity: Option<&str>,
        audience: Option<&str>,
    ) -> Result<ClientAssertion, Error> {
        let call = Call::Assertion {
            identity: identity.map(str::to_owned),
            audience: audience.map(str::to_owned),
        };
        match self.call(call).await? {
            Answer::Assertion(assertion) => Ok(assertion),
            _ => Err(unexpected_answer()),
        }
    }

    /// Reports that a resource refused that token (401, or a claims challenge in `www_authenticate`). The next call
    /// for this request looks for another, and many reports of one token cause one exchange. While none is to be had,
    /// the refused one may still be served until it expires.
    ///
    /// # Errors
    ///
    /// As [`Self::get_token`].
    pub async fn report_rejection(
        &self,
        request: &TokenRequest,
        token: &Secret,
        www_authenticate: Option<&str>,
    ) -> Result<RejectionOutcome, Error> {
        self.report_rejected_digest(request, token.sha256_hex(), www_authenticate)
            .await
    }

    pub(crate) async fn report_rejected_digest(
        &self,
        request: &TokenRequest,
        token_sha256: String,
        www_authenticate: Option<&str>,
    ) -> Result<RejectionOutcome, Error> {
        // whatever the component makes of it, this cache asks it again
        self.0.cache.reject(&token_sha256);
        let call = Call::Rejection {
            request: request.clone(),
            token_sha256,
            www_authenticate: www_authenticate.map(str::to_owned),
        };
        match self.call(call).await? {
            Answer::Rejection(outcome) => Ok(outcome),
            _ => Err(unexpected_answer()),
        }
    }

    /// Forgets the cached tokens of one configured identity, or all, and says how many the component had. Sessions go on:
    /// see [`Self::end_session`].
    ///
    /// # Errors
    ///
    /// As [`Self::get_token`].
    pub async fn drop_cached(&self, identity: Option<&str>) -> Result<u32, Error> {
        self.0.cache.forget(identity);
        match self
            .call(Call::Forget {
                identity: identity.map(str::to_owned),
            })
            .await?
        {
            Answer::Forgotten(count) => Ok(count),
            _ => Err(unexpected_answer()),
        }
    }

    /// Ends a session of on-behalf-of ([`Grant::on_behalf_of_in_session`](crate::Grant::on_behalf_of_in_session)), when its
    /// user signs out or the work is done: its refresh token is forgotten, and its key brings no token any more. Says whether
    /// there was one, which there never is of an identity that is not configured. No identity means the default one.
    ///
    /// # Errors
    ///
    /// As [`Self::get_token`].
    pub async fn end_session(
        &self,
        identity: Option<&str>,
        session_key: &Secret,
    ) -> Result<bool, Error> {
        let call = Call::EndSession {
            identity: identity.map(str::to_owned),
            session_key: session_key.clone(),
        };
        match self.call(call).await? {
            Answer::Ended(ended) => Ok(ended),
            _ => Err(unexpected_answer()),
        }
    }

    /// What the component has done for each configured identity, and which tokens it has cached. What this handle
    /// answered itself is not in it: see [`Self::stats`].
    ///
    /// # Errors
    ///
    /// As [`Self::get_token`].
    pub async fn status(&self) -> Result<Vec<IdentityStatus>, Error> {
        match self.call(Call::Status).await? {
            Answer::Status(identities) => Ok(identities),
            _ => Err(unexpected_answer()),
        }
    }

    /// Loads each credential of an identity (of the default one where none is named) as for an exchange, and makes none but
    /// those that bring an assertion (`oidc_federation`):
    /// token files are read, certificates opened and tried, assertions fetched. In the order in which they are tried; none
    /// where the platform gives the identity's tokens without.
    ///
    /// # Errors
    ///
    /// As [`Self::get_token`]. A credential that is not ready is no error here: its trial says so.
    pub async fn try_credentials(
        &self,
        identity: Option<&str>,
    ) -> Result<Vec<CredentialTrial>, Error> {
        let identity = identity.map(str::to_owned);
        let of = identity.clone();
        match self.call(Call::Trials { identity }).await? {
            Answer::Trials(mut trials) => {
                let host = self.0.host.clone();
                let judged = tokio::task::spawn_blocking(move || {
                    for (at, trial) in trials.iter_mut().enumerate() {
                        if let (None, Some(over)) = (&trial.problem, host.over(of.as_deref(), at)) {
                            trial.problem = Some(certificate_over(host.words().say(&over)));
                        }
                    }
                    trials
                });
                judged
                    .await
                    .map_err(|e| Error::new(ErrorClass::Other, format!("the certificates: {e}")))
            }
            _ => Err(unexpected_answer()),
        }
    }

    /// Tries the token store of the configuration: connects, logs in, and puts, gets and deletes an entry that holds no token.
    /// Gives what does not work, with the setting to look at and what to do; `None` if there is no store.
    ///
    /// Without it a fault of the store is in the log alone: no request fails for one.
    pub async fn try_token_store(&self) -> Option<Vec<ConfigError>> {
        self.0.host.try_token_store().await
    }

    /// What of the token store did not work when it was last asked, a line each: what the log says once.
    pub fn token_store_faults(&self) -> Vec<String> {
        self.0.host.token_store_faults()
    }

    /// Where a user signs in for that identity (the default one where none is named): the first half of an authorization code
    /// flow. What comes back with the user is judged by [`AuthorizationRequest::code`], and redeemed by
    /// [`Self::get_token`] with [`Grant::authorization_code`](crate::Grant::authorization_code).
    ///
    /// ```no_run
    /// # async fn example(provider: edgepass::Provider) -> Result<(), edgepass::Error> {
    /// use edgepass::{AuthorizationOptions, Grant, TokenRequest};
    ///
    /// const REDIRECT_URI: &str = "https://app.example/callback";
    /// const SCOPES: [&str; 2] = ["openid", "offline_access"];
    /// let options = AuthorizationOptions::for_redirect(REDIRECT_URI).with_scopes(SCOPES);
    /// let login = provider.authorization_request(None, options).await?;
    /// // into the user's session, and the user to `login.url`; back comes a request with this query:
    /// # let query = "code=c&state=s";
    /// let code = login.code(query)?;
    /// let mut grant = Grant::authorization_code(code, REDIRECT_URI).with_code_verifier(login.code_verifier);
    /// if let Some(nonce) = login.nonce {
    ///     grant = grant.with_nonce(nonce);
    /// }
    /// let token = provider.get_token(&TokenRequest::for_scopes(SCOPES).with_grant(grant)).await?;
    /// # let _ = token;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`](ErrorClass::InvalidRequest) for options that no server takes, and what keeps the server's metadata
    /// from being had where they say where users sign in.
    pub async fn authorization_request(
        &self,
        identity: Option<&str>,
        options: AuthorizationOptions,
    ) -> Result<AuthorizationRequest, Error> {
        let identity = identity.map(str::to_owned);
        match self.call(Call::Authorization { identity, options }).await? {
            Answer::Authorization(request) => Ok(request),
            _ => Err(unexpected_answer()),
        }
    }

    /// What people should be told of how this was built, a line each: variables of the Azure SDKs that are set and have
    /// no effect, certification authorities that cannot be used. It is logged as well.
    pub fn warnings(&self) -> &[String] {
        self.0.host.warnings()
    }

    pub(crate) fn host(&self) -> &Host {
        &self.0.host
    }

    /// Whether an identity of that name is configured.
    pub fn has_identity(&self, name: &str) -> bool {
        self.0.host.has_identity(name)
    }

    pub(crate) fn default_identity(&self) -> Option<&str> {
        self.0.host.default_identity()
    }

    pub(crate) fn consumers(&self) -> &ConsumersFile {
        &self.0.consumers
    }

    /// What the handle has done so far.
    pub fn stats(&self) -> Stats {
        Stats {
            hits: self.0.hits.load(Ordering::Relaxed),
            joined: self.0.joined.load(Ordering::Relaxed),
            calls: self.0.calls.load(Ordering::Relaxed),
            restarts: self.0.instance.restarts(),
            cached: self.0.cache.len(),
        }
    }

    /// Asks the component. Concurrent callers of one key share the call.
    async fn acquire(&self, request: &TokenRequest) -> Result<Token, Error> {
        if !self.0.read_through {
            return match self.call(Call::Token(request.clone())).await? {
                Answer::Token(token) => Ok(Token::new(token)),
                _ => Err(unexpected_answer()),
            };
        }
        let Some(key) = Key::of(request) else {
            return self.acquire_alone(request).await;
        };
        let (mut flight, leads) = match self.0.flights.join(request) {
            Some(flight) => (flight, false),
            None => match self.start_flight(key, request) {
                Ok(started) => started,
                Err(error) => return self.alive_or(request, error),
            },
        };
        if !leads {
            self.0.joined.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = flight
            .wait_for(Option::is_some)
            .await
            .map_err(|_| instance::stopped())?;
        match outcome.as_ref() {
            Some(Ok(outcome)) => Ok(if leads {
                outcome.first.clone()
            } else {
                outcome.shared.clone()
            }),
            Some(Err(Failed::Host(error))) => self.alive_or(request, error.clone()),
            Some(Err(Failed::Component(error))) => Err(error.clone()),
            None => Err(unexpected_answer()),
        }
    }

    /// Where the component was not asked, or has not answered: the token that this handle has, for as long as it lives.
    fn alive_or(&self, request: &TokenRequest, error: Error) -> Result<Token, Error> {
        self.0.cache.alive(request).ok_or(error)
    }

    /// Starts a flight for that key, or joins one that was started meanwhile.
    fn start_flight(&self, key: Key, request: &TokenRequest) -> Result<(Flight, bool), Error> {
        let mut under_way = self
            .0
            .flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = Lookup::of(request).and_then(|lookup| under_way.get(&lookup).cloned())
        {
            return Ok((flight, false));
        }
        let generation = self.0.cache.generation();
        let answer = self.0.instance.call(Call::Token(request.clone()))?;
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let (finish, flight) = watch::channel(None);
        under_way.insert(key.clone(), flight.clone());
        let landing = Landing {
            flights: Arc::clone(&self.0.flights),
            key: key.clone(),
        };
        let cache = Arc::clone(&self.0.cache);
        // a task of its own: a caller that is cancelled does not stop the flight for the others
        tokio::spawn(async move {
            let result = instance::answer(answer)
                .await
                .and_then(|answer| match answer {
                    Answer::Token(token) => Ok(Token::new(token)),
                    _ => Err(Failed::Component(unexpected_answer())),
                });
            let outcome = result.map(|first| {
                cache.put(key.clone(), &first, generation, false);
                let source = match first.source {
                    TokenSource::Cache => TokenSource::Cache,
                    TokenSource::Exchange | TokenSource::SharedExchange => {
                        TokenSource::SharedExchange
                    }
                };
                FlightOutcome {
                    shared: first.with_source(source),
                    first,
                }
            });
            drop(landing);
            let _ = finish.send(Some(outcome));
        });
        Ok((flight, true))
    }

    /// Requests that the cache must not answer. The component shares their exchanges where it can.
    async fn acquire_alone(&self, request: &TokenRequest) -> Result<Token, Error> {
        let generation = self.0.cache.generation();
        let Answer::Token(token) = self.call(Call::Token(request.clone())).await? else {
            return Err(unexpected_answer());
        };
        let token = Token::new(token);
        if matches!(request.grant, Grant::ClientCredentials) {
            let plain = TokenRequest {
                claims: None,
                refresh: Default::default(),
                ..request.clone()
            };
            if let Some(key) = Key::of(&plain) {
                self.0.cache.put(key, &token, generation, true);
            }
        }
        Ok(token)
    }

    async fn call(&self, call: Call) -> Result<Answer, Error> {
        let answer = self.0.instance.call(call)?;
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        Ok(instance::answer(answer).await?)
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("stats", &self.stats())
            .finish()
    }
}

/// What a [`Provider`] has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Tokens given out without asking the component.
    pub hits: u64,
    /// Callers that joined another caller's call.
    pub joined: u64,
    /// Calls into the component.
    pub calls: u64,
    /// Component instances that trapped or did not yield, and were replaced.
    pub restarts: u64,
    /// Tokens in the cache of this handle.
    pub cached: usize,
}

/// How a [`Provider`] is made.
#[derive(Default)]
pub struct Builder {
    config: Option<Given>,
    environment: Environment,
    roots: Option<RootsSource>,
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

    /// In the place of a configuration, the settings of a program with python-social-auth: JSON, or a module in Python of
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
        let roots = roots_of(self.roots.as_ref(), &config.host, &mut warnings)?;
        // the store is that of a component, if there is one
        let elsewhere = config.host.token_store.as_ref();
        let elsewhere = elsewhere.filter(|store| store.url.is_none());
        let no_store = elsewhere.and_then(|store| store.server().err());
        #[cfg(feature = "token-store")]
        let token_store = match &config.host.token_store {
            Some(_) if no_store.is_some() => None,
            Some(store) => {
                let roots = match &store.ca_file {
                    Some(path) => Roots::file(path.as_ref(), None, &mut warnings)?,
                    // what is to be said of these was said above
                    None => roots_of(self.roots.as_ref(), &config.host, &mut Vec::new())?,
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
                let roots = roots_of(self.roots.as_ref(), &config.host, &mut Vec::new())?;
                let proxies = Proxies::new(config.host.proxy.as_deref(), &environment)?;
                Egress::new(to_vaults.collect(), roots).through(proxies)
            }
        };
        Ok(Host::new(Reach {
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
            identities: (config.identities.iter())
                .map(|(name, identity)| (name.clone(), identity.needs().certificates.clone()))
                .collect(),
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
            files: TokenFiles::new(needs.files.into_iter().map(|file| file.path)),
            assertions: self.assertions,
            environment: told,
            memory_bytes,
            warnings,
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

/// The certification authorities that servers are checked with.
fn roots_of(
    given: Option<&RootsSource>,
    host: &HostFile,
    warnings: &mut Vec<String>,
) -> Result<Roots, RootsError> {
    let extra = host.extra_ca_file.as_ref().map(Path::new);
    match given {
        Some(RootsSource::File(path)) => Roots::file(path, extra, warnings),
        Some(RootsSource::Pem(pem)) => Roots::pem(pem, extra, warnings),
        None => match &host.ca_file {
            Some(path) => Roots::file(path.as_ref(), extra, warnings),
            None => Roots::system(extra, warnings),
        },
    }
}

/// Of a certificate whose dates no server accepts.
fn certificate_over(reason: String) -> Error {
    let hint =
        "renew it and replace its files, which are read again; or this machine's clock is wrong";
    let detail = ErrorDetail {
        message: reason,
        hint: Some(hint.to_owned()),
        ..ErrorDetail::default()
    };
    Error::with_detail(ErrorClass::CredentialUnavailable, detail)
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

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration or the environment is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certification authorities cannot be loaded.
    #[error("{reason}")]
    Roots {
        /// The file, and what is wrong with it.
        reason: String,
    },
    /// A credential names a certificate that is not configured.
    #[error(
        "the certificate {name:?} is used by a credential, but the configuration's `certificates` does not have it"
    )]
    Certificate {
        /// Its name.
        name: String,
    },
    /// There is no tokio runtime that the provider can run on.
    #[error("{reason}")]
    Runtime {
        /// What is missing, and the remedy.
        reason: String,
    },
    /// The component does not run on this host.
    #[error("the component cannot be used: {reason}")]
    Component {
        /// What wasmtime says.
        reason: String,
    },
}

impl BuildError {
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    fn component(error: wasmtime::Error) -> Self {
        Self::Component {
            reason: format!("{error:#}"),
        }
    }
}

impl From<RootsError> for BuildError {
    fn from(error: RootsError) -> Self {
        Self::Roots {
            reason: error.to_string(),
        }
    }
}

/// The environment of this process. Of a value that is not Unicode the bytes that are none are replaced (U+FFFD), so that
/// the variable counts as set and the rules for its value refuse it by name.
pub fn process_environment() -> Environment {
    Environment::from_pairs(std::env::vars_os().filter_map(|(name, value)| {
        let value = value.to_string_lossy().into_owned();
        Some((name.into_string().ok()?, value))
    }))
}

/// The variable that names a configuration which this program does not read.
fn unread_variable(document: Option<&str>, environment: &Environment) -> Option<&'static str> {
    let named = [
        Environment::EDGEPASS_CONFIG,
        Environment::EDGEPASS_CONFIG_JSON,
    ];
    let mut set = named
        .into_iter()
        .filter(|name| environment.get(name).is_some());
    set.next().filter(|_| document.is_none())
}

/// Says so where a variable that would have helped is not read by this program.
fn unread(error: ConfigError, document: Option<&str>, environment: &Environment) -> ConfigError {
    let Some(name) = unread_variable(document, environment) else {
        return error;
    };
    let unread = format!(
        "{name} is set, but this program does not read it: begin with Builder::from_process()"
    );
    let hint = match &error.hint {
        Some(hint) => format!("{hint}; {unread}"),
        None => unread,
    };
    error.hint(hint)
}

/// Where such a variable is set and no client is, it is what was meant, and not the managed identity of the machine.
fn unread_instead(
    config: &Config,
    document: Option<&str>,
    environment: &Environment,
) -> Option<ConfigError> {
    let mut identities = config.identities.values();
    let names_no_client =
        config.is_of_the_environment() && identities.all(|one| one.client().is_none());
    let name = unread_variable(document, environment).filter(|_| names_no_client)?;
    let message = "is set, but this program does not read it, and there is no other configuration";
    Some(
        ConfigError::new(name, message)
            .hint("in the program, begin with Builder::from_process() or call .config_file()"),
    )
}

/// What the component is told: its configuration, and the variables that something was taken from. Not the rest of a
/// process's environment.
fn guest_environment(
    config: Option<Secret>,
    environment: &Environment,
    needs: &Needs,
) -> Vec<(String, Secret)> {
    let told = needs.variables.iter().filter(|v| !v.is_of_the_host());
    let names: BTreeSet<&str> = told.map(|v| v.name.as_str()).collect();
    let mut out: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let value = environment.get(name)?;
            Some((name.to_owned(), Secret::new(value)))
        })
        .collect();
    out.extend(config.map(|json| (Environment::EDGEPASS_CONFIG_JSON.to_owned(), json)));
    out
}

/// Not where every identity has one credential, whose failures are told to callers, and no store is shared.
fn has_notices(config: &Config) -> bool {
    let mut identities = config.identities.values();
    config.host.token_store.is_some() || identities.any(|identity| identity.credential_count() > 1)
}

/// The configuration with that store. `None` of one that cannot be read, about which there is more to say.
#[cfg(feature = "token-store")]
fn with_token_store(document: Option<&str>, store: &TokenStoreFile) -> Option<Secret> {
    // all by name, so that a new setting is not forgotten here
    let TokenStoreFile {
        url,
        encryption_keys_file,
        username,
        password_file,
        password_env,
        ca_file,
        database,
        key_prefix,
        users,
    } = store;
    let section = serde_json::json!({
        "url": url, "encryption_keys_file": encryption_keys_file, "username": username,
        "password_file": password_file, "password_env": password_env, "ca_file": ca_file, "database": database,
        "key_prefix": key_prefix, "users": users,
    });
    let text = without_byte_order_mark(document.unwrap_or("{}"));
    let mut document: serde_json::Value = serde_json::from_str(text).ok()?;
    let host = document
        .as_object_mut()?
        .entry("host")
        .or_insert_with(|| serde_json::json!({}));
    host.as_object_mut()?
        .insert("token_store".to_owned(), section);
    let whole = Secret::new(document.to_string());
    wipe(&mut document);
    Some(whole)
}

pub(crate) fn wipe(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => text.zeroize(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(wipe),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}

/// The configuration without the private keys that it has in it: those stay in the host.
fn without_keys(document: &str) -> Result<Secret, BuildError> {
    let unreadable =
        |e: serde_json::Error| ConfigError::new("configuration", format!("not JSON: {e}"));
    let text = without_byte_order_mark(document);
    let mut document: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
    let certificates = document.get_mut("certificates");
    let certificates = certificates.and_then(serde_json::Value::as_object_mut);
    for files in certificates.into_iter().flat_map(|map| map.values_mut()) {
        if let Some(base64) = files.get_mut("certificate_base64") {
            wipe(base64);
            *base64 = serde_json::Value::from("kept by the host");
        }
    }
    let shown = Secret::new(document.to_string());
    wipe(&mut document);
    Ok(shown)
}

/// Calls in flight, by key (single flight).
#[derive(Default)]
struct Flights(Mutex<HashMap<Key, Flight>>);

/// Where the callers of one flight wait for its outcome.
type Flight = watch::Receiver<Option<Result<FlightOutcome, Failed>>>;

/// The token of a flight.
struct FlightOutcome {
    /// For the caller that started it.
    first: Token,
    /// For those that joined.
    shared: Token,
}

/// Takes a flight off the list when it ends, however it ends: one that a panic ended would be joined for ever.
struct Landing {
    flights: Arc<Flights>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

impl Flights {
    fn join(&self, request: &TokenRequest) -> Option<Flight> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&Lookup::of(request)?)
            .cloned()
    }
}

/// An answer of another kind than the call: a defect here, not the caller's.
fn unexpected_answer() -> Error {
    Error::new(
        ErrorClass::Other,
        "the credential component answered another call",
    )
}

#[cfg(test)]
mod tests;
