//! What the host answers, and what it is told for that.

use edgepass_core::{self as core, Secret};

use super::{bare, wit};

impl From<wit::ReadError> for core::ReadError {
    fn from(error: wit::ReadError) -> Self {
        match error {
            wit::ReadError::NotFound => Self::NotFound,
            wit::ReadError::Denied(why) => Self::Denied(why),
            wit::ReadError::TooLarge(limit) => Self::TooLarge(limit),
            wit::ReadError::Other(why) => Self::Other(why),
        }
    }
}

impl From<wit::CertificateError> for core::CertificateError {
    fn from(error: wit::CertificateError) -> Self {
        match error {
            wit::CertificateError::NotFound => Self::NotFound,
            wit::CertificateError::Unavailable(why) => Self::Unavailable(why),
            wit::CertificateError::UnsupportedAlgorithm => Self::UnsupportedAlgorithm,
            wit::CertificateError::Other(why) => Self::Other(why),
        }
    }
}

/// The assertion leaves its wiping wrapper here.
impl From<core::SuppliedAssertion> for wit::Assertion {
    fn from(core::SuppliedAssertion { token }: core::SuppliedAssertion) -> Self {
        Self {
            token: bare(&token),
        }
    }
}

impl From<wit::Assertion> for core::SuppliedAssertion {
    fn from(wit::Assertion { token }: wit::Assertion) -> Self {
        Self {
            token: Secret::new(token),
        }
    }
}

impl From<core::PublicKey> for wit::PublicKey {
    fn from(key: core::PublicKey) -> Self {
        match key {
            core::PublicKey::Rsa { n, e } => Self::Rsa(wit::RsaPublicKey { n, e }),
            core::PublicKey::Ec { x, y } => Self::Ec(wit::EcPublicKey { x, y }),
            core::PublicKey::Ed25519 { x } => Self::Ed25519(x),
        }
    }
}

impl From<wit::PublicKey> for core::PublicKey {
    fn from(key: wit::PublicKey) -> Self {
        match key {
            wit::PublicKey::Rsa(wit::RsaPublicKey { n, e }) => Self::Rsa { n, e },
            wit::PublicKey::Ec(wit::EcPublicKey { x, y }) => Self::Ec { x, y },
            wit::PublicKey::Ed25519(x) => Self::Ed25519 { x },
        }
    }
}

impl From<wit::AssertionError> for core::AssertionError {
    fn from(error: wit::AssertionError) -> Self {
        match error {
            wit::AssertionError::NotConfigured => Self::NotConfigured,
            wit::AssertionError::Temporary(why) => Self::Temporary(why),
            wit::AssertionError::Other(why) => Self::Other(why),
        }
    }
}

impl From<core::AssertionError> for wit::AssertionError {
    fn from(error: core::AssertionError) -> Self {
        match error {
            core::AssertionError::NotConfigured => Self::NotConfigured,
            core::AssertionError::Temporary(why) => Self::Temporary(why),
            core::AssertionError::Other(why) => Self::Other(why),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl From<wit::StoreError> for core::StoreError {
    fn from(error: wit::StoreError) -> Self {
        let wit::StoreError::Unavailable(why) = error;
        Self::Unavailable(why)
    }
}
