//! The client assertion built here: a JWT (RFC 7523 section 3) that the host signs.
//!
//! Header and claims follow Microsoft's certificate credentials page: PS256 with `x5t#S256`, times as integers, a new
//! `jti` each time. Thumbprints are base64url without padding and `x5c` is an array of base64 DER, leaf first
//! (RFC 7515 sections 4.1.6 to 4.1.8).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::config::CertificateCredential;
use crate::effect::CertificateError;
use crate::flow::{Io, OpenCertificate};
use crate::limits::{ASSERTION_BACKDATE_S, ASSERTION_LIFETIME_S};
use crate::{Algorithm, Secret};

/// RFC 7523 section 2.2.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5t: Option<String>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    x5t_s256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    iat: u64,
    iss: &'a str,
    jti: &'a str,
    nbf: u64,
    sub: &'a str,
}

/// An assertion of `client_id` for `audience`, signed with the opened identity.
pub(crate) async fn build(
    io: &Io,
    credential: &CertificateCredential,
    identity: &OpenCertificate,
    client_id: &str,
    audience: &str,
    server_unix_s: u64,
) -> Result<(Secret, u64), CertificateError> {
    let leaf = identity
        .chain
        .first()
        .ok_or_else(|| CertificateError::Unavailable("its certificate chain is empty".into()))?;
    let sha1_too = credential.algorithm == Algorithm::Rs256;
    let header = Header {
        alg: credential.algorithm.name(),
        typ: "JWT",
        x5t: sha1_too.then(|| URL_SAFE_NO_PAD.encode(Sha1::digest(leaf))),
        x5t_s256: (!sha1_too).then(|| x5t_s256(leaf)),
        x5c: credential.send_x5c.then(|| {
            identity
                .chain
                .iter()
                .map(|der| STANDARD.encode(der))
                .collect()
        }),
    };
    let issued = server_unix_s.saturating_sub(ASSERTION_BACKDATE_S);
    let expires = issued.saturating_add(ASSERTION_LIFETIME_S);
    let jti = io.uuid();
    let claims = Claims {
        aud: audience,
        exp: expires,
        iat: issued,
        iss: client_id,
        jti: &jti,
        nbf: issued,
        sub: client_id,
    };
    let mut jws = String::new();
    for part in [serde_json::to_vec(&header), serde_json::to_vec(&claims)] {
        let json = part.map_err(|error| {
            CertificateError::Other(format!("the assertion cannot be written: {error}"))
        })?;
        if !jws.is_empty() {
            jws.push('.');
        }
        URL_SAFE_NO_PAD.encode_string(json, &mut jws);
    }
    let signature = identity
        .sign(credential.algorithm, jws.clone().into_bytes())
        .await?;
    jws.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
    Ok((Secret::new(jws), expires))
}

/// base64url SHA-256 of the certificate (RFC 7515 section 4.1.8).
pub(crate) fn x5t_s256(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(der))
}
