//! What the imports do, whatever the version of WASI.

use std::sync::Arc;

use edgepass_core::{Algorithm, NOT_A_FILE};
use zeroize::Zeroizing;

use super::Host;
use crate::bindings::types::{
    Assertion, AssertionError, AssertionOptions, CertificateError, ReadError, StoreError,
};
use crate::certificate::{OpenError, Opened, SignError};
use crate::files::FileError;

impl Host {
    /// The content of a token file that the configuration names.
    pub(super) async fn read_file(&self, path: String) -> Result<Vec<u8>, ReadError> {
        if !self.0.files.permits(&path) {
            log::warn!("token-file denied: {path:?}");
            return Err(ReadError::Denied(
                "the configuration does not name this file".to_owned(),
            ));
        }
        // whoever reads of it has to know where to put it right, and how
        let told = |error: &FileError| match self.0.files.setting(&path) {
            Some(setting) => {
                let setting = self.0.words.say(setting);
                format!("{error} ({setting}); {}", error.fix())
            }
            None => error.to_string(),
        };
        match self.0.files.fetch(path.clone()).await {
            Ok(mut content) => Ok(std::mem::take(&mut *content)),
            Err(FileError::NotFound | FileError::DeadLink) => Err(ReadError::NotFound),
            Err(e @ FileError::Denied) => Err(ReadError::Denied(told(&e))),
            Err(e @ FileError::Foreign(_)) => {
                log::warn!("token-file denied: {path:?}: {e}");
                Err(ReadError::Denied(e.to_string()))
            }
            Err(FileError::TooLarge { limit }) => Err(ReadError::TooLarge(limit)),
            // by these words the engine knows what time does not mend
            Err(e @ (FileError::Folder | FileError::Pipe)) => {
                Err(ReadError::Other(format!("{NOT_A_FILE}: {}", told(&e))))
            }
            Err(e) => Err(ReadError::Other(told(&e))),
        }
    }

    /// An assertion, from the program or from a source of this machine's own.
    pub(super) async fn get_assertion(
        &self,
        options: AssertionOptions,
    ) -> Result<Assertion, AssertionError> {
        if let Some(setting) = &options.source {
            let supplied = self.0.sources.assertion(setting).await;
            return supplied.map(Into::into).map_err(Into::into);
        }
        let Some(source) = &self.0.assertions else {
            return Err(AssertionError::NotConfigured);
        };
        let supplied = source.assertion(options.into()).await;
        supplied.map(Into::into).map_err(Into::into)
    }

    /// A certificate as it is now.
    pub(super) async fn open_certificate(&self, name: &str) -> Result<Opened, CertificateError> {
        match self.0.certificates.open(name).await {
            None => Err(CertificateError::NotFound),
            Some(Ok(snapshot)) => Ok(Opened(snapshot)),
            Some(Err(OpenError::Unavailable(reason))) => Err(CertificateError::Unavailable(reason)),
            Some(Err(OpenError::Temporary(reason))) => Err(CertificateError::Other(reason)),
        }
    }

    /// A signature that a credential of the configuration needs.
    pub(super) async fn sign(
        &self,
        certificate: &Opened,
        algorithm: Algorithm,
        input: Vec<u8>,
    ) -> Result<Vec<u8>, CertificateError> {
        let snapshot = &certificate.0;
        if !self.0.may_sign(snapshot.name(), algorithm) {
            let (name, algorithm) = (snapshot.name(), algorithm.name());
            log::warn!("signature denied: {algorithm} with certificate {name}");
            return Err(CertificateError::Other(format!(
                "no credential of the configuration signs with {algorithm}"
            )));
        }
        match Arc::clone(snapshot).sign(algorithm, input).await {
            Ok(signature) => Ok(signature),
            Err(SignError::Unsupported) => Err(CertificateError::UnsupportedAlgorithm),
            Err(SignError::Failed(reason)) => Err(CertificateError::Other(reason)),
            Err(SignError::Refused(reason)) => Err(CertificateError::Unavailable(reason)),
        }
    }
}

#[cfg(feature = "token-store")]
impl Host {
    /// What the token store keeps under a key.
    pub(super) async fn get_stored(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.shared()?.get(key).await.map_err(unavailable)?;
        Ok(value.map(|mut value| std::mem::take(&mut *value)))
    }

    /// Keeps something in the token store; whether it is kept.
    pub(super) async fn put_stored(
        &self,
        key: &str,
        value: Vec<u8>,
        ttl_seconds: u32,
        only_if_absent: bool,
    ) -> Result<bool, StoreError> {
        let value = Zeroizing::new(value);
        let put = self.shared()?.put(key, value, ttl_seconds, only_if_absent);
        put.await.map_err(unavailable)
    }

    /// Makes the token store forget something.
    pub(super) async fn delete_stored(&self, key: &str) -> Result<(), StoreError> {
        self.shared()?.delete(key).await.map_err(unavailable)
    }

    fn shared(&self) -> Result<&crate::token_store::TokenStore, StoreError> {
        let store = self.0.token_store.as_ref();
        store.ok_or_else(|| unavailable(NO_STORE))
    }
}

/// A configuration with a store is refused by a host that was built without it.
#[cfg(not(feature = "token-store"))]
impl Host {
    pub(super) async fn get_stored(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Err(unavailable(NO_STORE))
    }

    pub(super) async fn put_stored(
        &self,
        _: &str,
        value: Vec<u8>,
        _: u32,
        _: bool,
    ) -> Result<bool, StoreError> {
        drop(Zeroizing::new(value));
        Err(unavailable(NO_STORE))
    }

    pub(super) async fn delete_stored(&self, _: &str) -> Result<(), StoreError> {
        Err(unavailable(NO_STORE))
    }
}

const NO_STORE: &str = "no token store is configured";

fn unavailable(reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable(reason.into())
}
