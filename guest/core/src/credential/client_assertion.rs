//! An assertion that somebody else built (RFC 7521 section 4.2), of whatever type the configuration names.

use crate::config::SecretValue;
use crate::credential::{ClientAuth, Purpose, secret_text};
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::{ClientAssertion, Error, ErrorClass};

pub(super) async fn authenticate(
    io: &Io,
    value: &SecretValue,
    assertion_type: &str,
    purpose: &Purpose<'_>,
) -> Result<ClientAuth, Error> {
    let assertion = secret_text(io, value, "the client assertion file").await?;
    if assertion.expose().trim().is_empty() {
        return Err(Error::new(
            ErrorClass::CredentialUnavailable,
            format!(
                "the client assertion of identity `{}` is empty",
                purpose.identity
            ),
        ));
    }
    // it need not be a JWT: the type may name SAML
    let presented = inspect_jwt(assertion.expose());
    Ok(ClientAuth {
        fingerprint: Some(assertion.sha256_hex()),
        assertion: Some(ClientAssertion {
            assertion,
            assertion_type: assertion_type.to_owned(),
            expires_on: presented.as_ref().and_then(|summary| summary.exp),
        }),
        presented,
        ..ClientAuth::default()
    })
}
