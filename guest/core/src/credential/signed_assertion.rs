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

use crate::config::error::{ConfigError, check};
use crate::config::parse::Choice;
use crate::config::place::Place;
use crate::config::{Client, rules};
use crate::credential::{Failure, JWT_BEARER, Purpose};
use crate::distinction::Distinction;
use crate::effect::CertificateError;
use crate::flow::{Io, OpenCertificate};
use crate::limits::{ASSERTION_BACKDATE_S, ASSERTION_LIFETIME_S};
use crate::needs::{CertificateNeed, SignatureNeed};
use crate::{Algorithm, ClientAssertion, Error, ErrorClass, Secret};

/// Algorithm of an assertion built here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum AssertionAlgorithm {
    /// ECDSA with P-256; not taken by Entra ID.
    #[cfg_attr(feature = "schema", schemars(rename = "ES256"))]
    Es256,
    /// RSASSA-PSS, with `x5t#S256`.
    #[default]
    #[cfg_attr(feature = "schema", schemars(rename = "PS256"))]
    Ps256,
    /// RSASSA-PKCS1-v1_5, with `x5t` (SHA-1 thumbprint).
    #[cfg_attr(feature = "schema", schemars(rename = "RS256"))]
    Rs256,
}

impl Choice for AssertionAlgorithm {
    const CHOICES: &[(&str, Self)] = &[
        ("ES256", Self::Es256),
        ("PS256", Self::Ps256),
        ("RS256", Self::Rs256),
    ];
}

/// What the kinds that sign have in common, as it is written.
pub(crate) struct SignedText<'a> {
    pub(crate) name: &'a str,
    pub(crate) algorithm: AssertionAlgorithm,
    pub(crate) send_x5c: bool,
    pub(crate) audience: Option<&'a str>,
}

/// How an assertion is built with a certificate.
#[derive(Clone, Debug)]
pub(crate) struct SignedAssertion {
    /// The host's name of the certificate.
    pub(crate) certificate: String,
    /// `alg`.
    pub(crate) algorithm: Algorithm,
    /// Whether the chain goes into the header (`x5c`).
    send_x5c: bool,
    /// `aud`, for example the issuer identifier that RFC 7523bis and FAPI 2.0 ask for. Otherwise the URL that it is posted
    /// to (Entra ID; RFC 7523 section 3 allows it).
    audience: Option<String>,
}

impl SignedAssertion {
    /// The usual one.
    pub(crate) fn of(certificate: &str, send_x5c: bool) -> Self {
        Self {
            certificate: certificate.to_owned(),
            algorithm: Algorithm::Ps256,
            send_x5c,
            audience: None,
        }
    }

    pub(crate) fn check(
        text: &SignedText<'_>,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        check(&place.at("name"), rules::name(text.name))?;
        if let Some(audience) = text.audience {
            check(&place.at("audience"), rules::audience(audience))?;
        }
        let algorithm = match text.algorithm {
            AssertionAlgorithm::Ps256 => Algorithm::Ps256,
            AssertionAlgorithm::Rs256 => Algorithm::Rs256,
            AssertionAlgorithm::Es256 if client.authority.is_entra() => {
                return Err(ConfigError::new(
                    place.at("algorithm"),
                    "is ES256, which Entra ID does not take",
                )
                .hint("use an RSA certificate and leave algorithm out (PS256)"));
            }
            AssertionAlgorithm::Es256 => Algorithm::Es256,
        };
        Ok(Self {
            certificate: text.name.to_owned(),
            algorithm,
            send_x5c: text.send_x5c,
            audience: text.audience.map(str::to_owned),
        })
    }

    pub(crate) fn need_certificate(&self, place: &Place<'_>) {
        place.need(|needs| {
            needs.certificates.push(CertificateNeed {
                setting: place.setting("name"),
                name: self.certificate.clone(),
            });
        });
    }

    pub(crate) fn need_signature(&self, place: &Place<'_>) {
        place.need(|needs| {
            needs.signatures.push(SignatureNeed {
                setting: place.setting("algorithm"),
                certificate: self.certificate.clone(),
                algorithm: self.algorithm,
            });
        });
    }

    pub(crate) fn distinguish(&self, out: &mut Distinction) {
        let Self {
            certificate,
            algorithm,
            send_x5c,
            audience,
        } = self;
        out.add(certificate);
        out.add(algorithm.name());
        out.add(if *send_x5c { "x5c" } else { "" });
        out.add_optional(audience.as_deref());
    }

    pub(crate) async fn open(&self, io: &Io) -> Result<OpenCertificate, Failure> {
        let opened = io.open_certificate(&self.certificate).await;
        opened.map_err(|error| self.unavailable(&error))
    }

    pub(crate) async fn sign(
        &self,
        io: &Io,
        opened: &OpenCertificate,
        purpose: &Purpose<'_>,
    ) -> Result<ClientAssertion, Failure> {
        let built = self.build(io, opened, purpose).await;
        let (assertion, expires_on) = built.map_err(|error| self.unavailable(&error))?;
        Ok(ClientAssertion {
            assertion,
            assertion_type: JWT_BEARER.to_owned(),
            expires_on: Some(expires_on),
        })
    }

    /// Keyed by the whole certificate, not by its public key: a renewal with the same key is another certificate to
    /// the server.
    pub(crate) fn generation(opened: &OpenCertificate) -> Option<String> {
        opened.chain.first().map(|leaf| x5t_s256(leaf))
    }

    async fn build(
        &self,
        io: &Io,
        opened: &OpenCertificate,
        purpose: &Purpose<'_>,
    ) -> Result<(Secret, u64), CertificateError> {
        let token_endpoint = purpose.endpoint.url();
        let audience = purpose
            .audience
            .or(self.audience.as_deref())
            .unwrap_or(&token_endpoint);
        let server_unix_s = io
            .server_clock(&purpose.endpoint.authority)
            .estimate_ms(io.now())
            / 1000;
        let client_id = purpose.client_id;
        let leaf = opened.chain.first().ok_or_else(|| {
            CertificateError::Unavailable("its certificate chain is empty".into())
        })?;
        let sha1_too = self.algorithm == Algorithm::Rs256;
        let header = Header {
            alg: self.algorithm.name(),
            typ: "JWT",
            x5t: sha1_too.then(|| URL_SAFE_NO_PAD.encode(Sha1::digest(leaf))),
            x5t_s256: (!sha1_too).then(|| x5t_s256(leaf)),
            x5c: self.send_x5c.then(|| {
                opened
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
        let signature = opened
            .sign(self.algorithm, jws.clone().into_bytes())
            .await?;
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok((Secret::new(jws), expires))
    }

    /// Describes a certificate that could not be used.
    fn unavailable(&self, error: &CertificateError) -> Failure {
        let name = &self.certificate;
        let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
        match error {
            CertificateError::NotFound => Failure::not_here(
                unavailable(format!("the host has no certificate named `{name}`"))
                    .hint(format!("name its files in certificates.{name}")),
            ),
            CertificateError::Unavailable(reason) => {
                unavailable(format!("certificate `{name}` cannot be used: {reason}")).into()
            }
            CertificateError::UnsupportedAlgorithm => unavailable(format!(
                "the key of certificate `{name}` cannot sign with {}",
                self.algorithm.name()
            ))
            .hint("RSA keys sign PS256 and RS256, P-256 keys ES256; set `algorithm` accordingly")
            .into(),
            CertificateError::Other(reason) => {
                unavailable(format!("certificate `{name}` failed: {reason}"))
                    .retryable()
                    .into()
            }
        }
    }
}

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

/// base64url SHA-256 of the certificate (RFC 7515 section 4.1.8).
fn x5t_s256(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(der))
}
