//! A certificate whose key the host keeps: for an assertion, for the connection, or for both.
//!
//! Signature and connection use one opened identity, so a rotation between the two cannot make an assertion of one key
//! travel on a connection of the other.

use crate::assertion::{self, JWT_BEARER, x5t_s256};
use crate::config::file::BoundMode;
use crate::config::{Audience, CertificateCredential};
use crate::credential::{ClientAuth, Purpose, certificate_unavailable};
use crate::flow::{Io, OpenCertificate};
use crate::{ClientAssertion, Error};

pub(super) async fn authenticate(
    io: &Io,
    certificate: &CertificateCredential,
    purpose: &Purpose<'_>,
) -> Result<ClientAuth, Error> {
    let identity = open(io, certificate).await?;
    let assertion = sign(io, certificate, &identity, purpose).await?;
    Ok(ClientAuth {
        assertion: Some(assertion),
        generation: generation(&identity),
        ..ClientAuth::default()
    })
}

pub(super) async fn authenticate_bound(
    io: &Io,
    certificate: &CertificateCredential,
    mode: BoundMode,
    purpose: &Purpose<'_>,
) -> Result<ClientAuth, Error> {
    let identity = open(io, certificate).await?;
    let assertion = match mode {
        BoundMode::CertificateOnly => None,
        BoundMode::WithAssertion => Some(sign(io, certificate, &identity, purpose).await?),
    };
    Ok(ClientAuth {
        assertion,
        generation: generation(&identity),
        connection: Some(identity),
        ..ClientAuth::default()
    })
}

async fn open(io: &Io, certificate: &CertificateCredential) -> Result<OpenCertificate, Error> {
    let name = &certificate.name;
    io.open_certificate(name)
        .await
        .map_err(|error| certificate_unavailable(name, &error, None))
}

async fn sign(
    io: &Io,
    certificate: &CertificateCredential,
    identity: &OpenCertificate,
    purpose: &Purpose<'_>,
) -> Result<ClientAssertion, Error> {
    let token_endpoint = purpose.endpoint.url();
    let audience = match (purpose.audience, &certificate.audience) {
        (Some(audience), _) => audience,
        (None, Audience::Literal(audience)) => audience,
        (None, Audience::TokenEndpoint) => &token_endpoint,
    };
    let server_unix_s = io
        .server_clock(&purpose.endpoint.authority)
        .estimate_ms(io.now())
        / 1000;
    let (assertion, expires_on) = assertion::build(
        io,
        certificate,
        identity,
        purpose.client_id,
        audience,
        server_unix_s,
    )
    .await
    .map_err(|error| {
        certificate_unavailable(
            &certificate.name,
            &error,
            Some(certificate.algorithm.name()),
        )
    })?;
    Ok(ClientAssertion {
        assertion,
        assertion_type: JWT_BEARER.to_owned(),
        expires_on: Some(expires_on),
    })
}

/// Keyed by the whole certificate, not by its public key: a renewal with the same key is another certificate to the
/// server.
fn generation(identity: &OpenCertificate) -> Option<String> {
    identity.chain.first().map(|leaf| x5t_s256(leaf))
}
