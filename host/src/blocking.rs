//! The same for programs that have no asynchronous runtime.
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = edgepass::Builder::from_process().build_blocking()?;
//! let token = provider.get_token(&edgepass::TokenRequest::for_scopes(["https://graph.microsoft.com/.default"]))?;
//! # let _ = token;
//! # Ok(())
//! # }
//! ```

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use edgepass_core::{
    AuthorizationOptions, AuthorizationRequest, ClientAssertion, CredentialTrial, Error,
    IdentityStatus, RejectionOutcome, Secret, TokenRequest,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::cache::Token;
use crate::instance;
use crate::provider::{BuildError, Builder, Stats};

/// A [`crate::Provider`] on a thread of its own, whose functions wait for their answers.
///
/// A cheap handle: clones share the thread, and it ends with the last of them. The functions stop the thread that calls
/// them; in an asynchronous program use [`crate::Provider`].
#[derive(Clone, Debug)]
pub struct Provider {
    provider: crate::Provider,
    runtime: Arc<Background>,
}

/// A thread with a runtime on it.
#[derive(Debug)]
struct Background {
    handle: Handle,
    /// Dropped with the last handle, which ends the thread.
    _alive: oneshot::Sender<()>,
}

impl Background {
    fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        thread::Builder::new()
            .name("edgepass".to_owned())
            .spawn(move || runtime.block_on(ended))?;
        Ok(Self {
            handle,
            _alive: alive,
        })
    }

    /// Does it on the thread, and waits. `None` when the thread is gone.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, answer) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            // fails when nobody waits any more
            let _ = done.send(work.await);
        });
        answer.recv().ok()
    }
}

impl Builder {
    /// As [`Self::build`], for a program without an asynchronous runtime: starts a thread that has one.
    ///
    /// # Errors
    ///
    /// As [`Self::build`], and when the thread cannot be started.
    pub fn build_blocking(self) -> Result<Provider, BuildError> {
        let runtime = Background::start().map_err(|e| BuildError::Runtime {
            reason: format!("the thread of the provider cannot be started: {e}"),
        })?;
        let built = runtime.run(self.build());
        let provider = built.unwrap_or_else(|| {
            Err(BuildError::Runtime {
                reason: "the thread of the provider has ended".to_owned(),
            })
        })?;
        Ok(Provider {
            provider,
            runtime: Arc::new(runtime),
        })
    }
}

impl Provider {
    /// The provider itself, which asynchronous code may use at the same time.
    pub fn inner(&self) -> &crate::Provider {
        &self.provider
    }

    /// As [`crate::Provider::get_token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_token(&self, request: &TokenRequest) -> Result<Token, Error> {
        // what is cached needs no other thread
        if let Some(token) = self.provider.fresh_token(request) {
            return Ok(token);
        }
        let request = request.clone();
        self.run(async move |provider| provider.get_token(&request).await)
    }

    /// As [`crate::Provider::cached_token`].
    pub fn cached_token(&self, request: &TokenRequest) -> Option<Token> {
        self.provider.cached_token(request)
    }

    /// As [`crate::Provider::get_header`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_header(&self, request: &TokenRequest) -> Result<(&'static str, Secret), Error> {
        let token = self.get_token(request)?;
        Ok(("authorization", token.authorization()?))
    }

    /// As [`crate::Provider::client_assertion`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn client_assertion(
        &self,
        identity: Option<&str>,
        audience: Option<&str>,
    ) -> Result<ClientAssertion, Error> {
        let (identity, audience) = (identity.map(str::to_owned), audience.map(str::to_owned));
        self.run(async move |provider| {
            provider
                .client_assertion(identity.as_deref(), audience.as_deref())
                .await
        })
    }

    /// As [`crate::Provider::report_rejection`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn report_rejection(
        &self,
        request: &TokenRequest,
        token: &Secret,
        www_authenticate: Option<&str>,
    ) -> Result<RejectionOutcome, Error> {
        let (request, token) = (request.clone(), token.clone());
        let challenge = www_authenticate.map(str::to_owned);
        self.run(async move |provider| {
            provider
                .report_rejection(&request, &token, challenge.as_deref())
                .await
        })
    }

    /// As [`crate::Provider::drop_cached`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn drop_cached(&self, identity: Option<&str>) -> Result<u32, Error> {
        let identity = identity.map(str::to_owned);
        self.run(async move |provider| provider.drop_cached(identity.as_deref()).await)
    }

    /// As [`crate::Provider::end_session`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn end_session(&self, identity: Option<&str>, session_key: &Secret) -> Result<bool, Error> {
        let (identity, key) = (identity.map(str::to_owned), session_key.clone());
        self.run(async move |provider| provider.end_session(identity.as_deref(), &key).await)
    }

    /// As [`crate::Provider::status`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn status(&self) -> Result<Vec<IdentityStatus>, Error> {
        self.run(async |provider| provider.status().await)
    }

    /// As [`crate::Provider::try_credentials`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_credentials(&self, identity: Option<&str>) -> Result<Vec<CredentialTrial>, Error> {
        let identity = identity.map(str::to_owned);
        self.run(async move |provider| provider.try_credentials(identity.as_deref()).await)
    }

    /// As [`crate::Provider::authorization_request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn authorization_request(
        &self,
        identity: Option<&str>,
        options: AuthorizationOptions,
    ) -> Result<AuthorizationRequest, Error> {
        let identity = identity.map(str::to_owned);
        self.run(async move |provider| {
            let identity = identity.as_deref();
            provider.authorization_request(identity, options).await
        })
    }

    /// As [`crate::Provider::warnings`].
    pub fn warnings(&self) -> &[String] {
        self.provider.warnings()
    }

    /// As [`crate::Provider::stats`].
    pub fn stats(&self) -> Stats {
        self.provider.stats()
    }

    fn run<T, F, W>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(crate::Provider) -> W,
        W: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let answer = self.runtime.run(work(self.provider.clone()));
        answer.unwrap_or_else(|| Err(instance::stopped()))
    }
}
