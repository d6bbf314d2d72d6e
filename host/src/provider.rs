//! The handle that programs hold, and how it is built.

mod builder;
mod calls;
mod environment;
mod error;
mod told;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edgepass_core::config::ConsumersFile;
use edgepass_core::{
    AuthorizationOptions, AuthorizationRequest, ClientAssertion, ConfigError, CredentialTrial,
    Error, ErrorClass, ErrorDetail, IdentityStatus, RejectionOutcome, Secret, TokenRequest,
};

use crate::cache::{Cache, Token};
use crate::context::Host;
use crate::instance::{Answer, Call, Instance};
use crate::named_files::NamedFile;
use crate::settings::AppSettings;

pub use builder::{Builder, Limits};
use calls::{Flights, unexpected_answer};
pub use environment::process_environment;
pub use error::BuildError;

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

    /// Waits until leases that are being given back to the token store are, for half a second at the most. No request waits for
    /// that: it is for a program that ends after its answer, and looks at [`Self::token_store_faults`] before.
    pub async fn token_store_settled(&self) {
        self.0.host.token_store_has_forgotten().await;
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

    /// The files that the configuration names, or the environment in its place, with their settings: secrets, token files,
    /// certificates, keys, certification authorities; and the folder in which a platform keeps keys that its answers name. Whoever
    /// writes files by a name that others give does not write to these, nor into that.
    pub fn named_files(&self) -> &[NamedFile] {
        self.host().named_files()
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

#[cfg(test)]
mod tests;
