//! An assertion from the assertion source: the host's code, or another component. Asked for at each attempt.

use crate::credential::{ClientAuth, Purpose};
use crate::effect::{AssertionError, AssertionOptions};
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::limits::MAX_ASSERTION_BYTES;
use crate::{ClientAssertion, Error, ErrorClass};

pub(super) async fn authenticate(
    io: &Io,
    assertion_type: &str,
    audience: Option<&str>,
    purpose: &Purpose<'_>,
) -> Result<ClientAuth, Error> {
    let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
    let options = AssertionOptions {
        identity: purpose.identity.to_owned(),
        client_id: purpose.client_id.to_owned(),
        tenant: purpose.tenant.map(str::to_owned),
        token_endpoint: purpose.endpoint.url(),
        audience: purpose.audience.or(audience).map(str::to_owned),
        claims: purpose.claims.map(str::to_owned),
        correlation_id: purpose.correlation_id.to_owned(),
    };
    let supplied = io.assertion(options).await.map_err(|error| match error {
        AssertionError::NotConfigured => unavailable(format!(
            "identity `{}` wants an assertion source, and the host has none",
            purpose.identity
        ))
        .hint("give the host one, or compose the component with one"),
        AssertionError::Temporary(reason) => {
            unavailable(format!("the assertion source has none now: {reason}")).retryable()
        }
        AssertionError::Other(reason) => {
            unavailable(format!("the assertion source failed: {reason}"))
        }
    })?;
    if let Some(name) = supplied.bound_identity {
        return Err(Error::new(
            ErrorClass::Unsupported,
            format!(
                "an assertion bound to a certificate (`{name}`) is not supported by this version"
            ),
        ));
    }
    let text = supplied.token.expose();
    if text.is_empty()
        || text.len() > MAX_ASSERTION_BYTES
        || text.bytes().any(|byte| byte.is_ascii_whitespace())
    {
        return Err(unavailable(format!(
            "the assertion source gave {} bytes that are not an assertion",
            text.len()
        )));
    }
    let presented = inspect_jwt(text);
    Ok(ClientAuth {
        fingerprint: Some(supplied.token.sha256_hex()),
        assertion: Some(ClientAssertion {
            assertion: supplied.token,
            assertion_type: assertion_type.to_owned(),
            expires_on: presented.as_ref().and_then(|summary| summary.exp),
        }),
        presented,
        ..ClientAuth::default()
    })
}
