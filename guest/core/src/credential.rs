//! How an identity proves who it is, one module a kind. Each gathers what one attempt needs; none of it is kept.

mod assertion_source;
mod certificate;
mod client_assertion;
mod client_secret;
mod federated_token_file;

use crate::authority::Endpoint;
use crate::config::{Credential, SecretValue};
use crate::effect::{CertificateError, ReadError, Via};
use crate::exchange::Form;
use crate::flow::{Io, OpenCertificate};
use crate::inspect::JwtSummary;
use crate::limits::MAX_ASSERTION_BYTES;
use crate::{ClientAssertion, Error, ErrorClass, Secret};

/// What credentials may know of the exchange they are for.
pub(crate) struct Purpose<'a> {
    pub(crate) identity: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) endpoint: &'a Endpoint,
    /// Replaces the configured `aud` of an assertion built here.
    pub(crate) audience: Option<&'a str>,
    pub(crate) claims: Option<&'a str>,
    pub(crate) correlation_id: &'a str,
}

/// One attempt's client authentication.
#[derive(Debug, Default)]
pub(crate) struct ClientAuth {
    /// The assertion, if there is one.
    pub(crate) assertion: Option<ClientAssertion>,
    /// `client_secret` of the form.
    pub(crate) secret: Option<Secret>,
    /// The `Authorization` header.
    pub(crate) authorization: Option<Secret>,
    /// The identity that authenticates the connection.
    pub(crate) connection: Option<OpenCertificate>,
    /// What a federated assertion says of itself, for hints.
    pub(crate) presented: Option<JwtSummary>,
    /// Names this state of a credential that can rotate: tokens got with another are not served.
    pub(crate) generation: Option<String>,
    /// Digest of material that was only read: presenting the same again would be refused again.
    pub(crate) fingerprint: Option<String>,
}

impl ClientAuth {
    pub(crate) fn via(&self) -> Via {
        self.connection
            .as_ref()
            .map_or(Via::Public, |lease| Via::Certificate(lease.handle))
    }

    /// One method a request (RFC 6749 section 2.3).
    pub(crate) fn add_to(&self, form: &mut Form) {
        if let Some(assertion) = &self.assertion {
            form.add("client_assertion", assertion.assertion.clone());
            form.add("client_assertion_type", assertion.assertion_type.as_str());
        }
        if let Some(secret) = &self.secret {
            form.add("client_secret", secret.clone());
        }
    }

    /// Everything in it that must not come back in a message.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        self.assertion
            .iter()
            .map(|a| a.assertion.clone())
            .chain(self.secret.clone())
            .chain(self.authorization.clone())
            .collect()
    }
}

/// Gathers one attempt's client authentication.
pub(crate) async fn authenticate(
    io: &Io,
    credential: &Credential,
    purpose: &Purpose<'_>,
) -> Result<ClientAuth, Error> {
    match credential {
        Credential::FederatedTokenFile {
            path,
            assertion_type,
        } => federated_token_file::authenticate(io, path, assertion_type, purpose).await,
        Credential::ClientAssertion {
            value,
            assertion_type,
        } => client_assertion::authenticate(io, value, assertion_type, purpose).await,
        Credential::AssertionSource {
            assertion_type,
            audience,
        } => assertion_source::authenticate(io, assertion_type, audience.as_deref(), purpose).await,
        Credential::ClientSecret { value, method } => {
            client_secret::authenticate(io, value, *method, purpose).await
        }
        Credential::Certificate(certificate) => {
            certificate::authenticate(io, certificate, purpose).await
        }
        Credential::BoundCertificate { certificate, mode } => {
            certificate::authenticate_bound(io, certificate, *mode, purpose).await
        }
    }
}

/// Whether requests with this credential go out on a connection with a client certificate.
pub(crate) fn is_bound(credential: &Credential) -> bool {
    matches!(credential, Credential::BoundCertificate { .. })
}

/// The text of a configured secret: the inline one, or the trimmed content of its file.
async fn secret_text(io: &Io, value: &SecretValue, what: &str) -> Result<Secret, Error> {
    match value {
        SecretValue::Inline(secret) => Ok(secret.clone()),
        SecretValue::File(path) => read_text(io, path, what).await,
    }
}

/// A small text file, trimmed. `what` names it in errors.
async fn read_text(io: &Io, path: &str, what: &str) -> Result<Secret, Error> {
    let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
    let bytes = io.read_file(path).await.map_err(|error| match error {
        ReadError::NotFound => unavailable(format!("{what} {path} does not exist"))
            .hint("check the path (AZURE_FEDERATED_TOKEN_FILE or the configuration) and that the volume is mounted"),
        ReadError::Denied(reason) => unavailable(format!("{what} {path} may not be read: {reason}"))
            .hint("check the file's owner and mode, and that the configuration names this path"),
        ReadError::TooLarge(limit) => {
            unavailable(format!("{what} {path} is larger than {limit} bytes")).hint("this is not such a file")
        }
        ReadError::Other(reason) => unavailable(format!("{what} {path} cannot be read: {reason}")).retryable(),
    })?;
    if bytes.len() > MAX_ASSERTION_BYTES {
        return Err(unavailable(format!(
            "{what} {path} is larger than {MAX_ASSERTION_BYTES} bytes"
        ))
        .hint("this is not such a file"));
    }
    let text = std::str::from_utf8(bytes.expose())
        .map_err(|_| unavailable(format!("{what} {path} is not text (UTF-8)")))?
        .trim();
    if text.is_empty() {
        return Err(unavailable(format!("{what} {path} is empty")).hint(
            "whoever writes it has not done so yet, or writes it in place instead of swapping it",
        ));
    }
    Ok(Secret::new(text))
}

/// Speaks of a host identity that could not be used.
fn certificate_unavailable(name: &str, error: &CertificateError, algorithm: Option<&str>) -> Error {
    let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
    match error {
        CertificateError::NotFound => {
            unavailable(format!("the host has no certificate named `{name}`"))
                .hint(format!("name its files in certificates.{name}"))
        }
        CertificateError::Unavailable(reason) => {
            unavailable(format!("certificate `{name}` cannot be used: {reason}"))
        }
        CertificateError::UnsupportedAlgorithm => unavailable(format!(
            "the key of certificate `{name}` cannot sign with {}",
            algorithm.unwrap_or("that algorithm")
        ))
        .hint("RSA keys sign PS256 and RS256, P-256 keys ES256; set `algorithm` accordingly"),
        CertificateError::Other(reason) => {
            unavailable(format!("certificate `{name}` failed: {reason}")).retryable()
        }
    }
}
