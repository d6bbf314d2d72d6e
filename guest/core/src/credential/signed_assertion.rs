//! The client assertion built here: a JWT (RFC 7523 section 3) that the host signs.
//!
//! Header and claims follow Microsoft's certificate credentials page: PS256 with `x5t#S256`, times as integers, a new
//! `jti` each time. Thumbprints are base64url without padding and `x5c` is an array of base64 DER, leaf first
//! (RFC 7515 sections 4.1.6 to 4.1.8).

use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::base64_standard::BASE64;
use crate::config::error::{ConfigError, check};
use crate::config::parse::Choice;
use crate::config::place::Place;
use crate::config::{Client, rules};
use crate::credential::{ClientAuth, Failure, JWT_BEARER, Purpose};
use crate::distinction::Distinction;
use crate::effect::CertificateError;
use crate::flow::{Io, OpenCertificate};
use crate::limits::{ASSERTION_BACKDATE_S, ASSERTION_LIFETIME_S};
use crate::needs::{CertificateNeed, SignatureNeed};
use crate::refusal::Refusal;
use crate::{Algorithm, ClientAssertion, Error, ErrorClass, Secret};

/// Algorithm of an assertion built here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum AssertionAlgorithm {
    /// ECDSA with P-256; not taken by Entra ID.
    #[cfg_attr(feature = "schema", schemars(rename = "ES256"))]
    Es256,
    /// ECDSA with P-384; not taken by Entra ID.
    #[cfg_attr(feature = "schema", schemars(rename = "ES384"))]
    Es384,
    /// EdDSA with Ed25519; not taken by Entra ID.
    #[cfg_attr(feature = "schema", schemars(rename = "EdDSA"))]
    EdDsa,
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
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
        ("PS256", Self::Ps256),
        ("RS256", Self::Rs256),
    ];
}

/// What the kinds that sign have in common, as it is written.
pub(crate) struct SignedText<'a> {
    pub(crate) name: &'a str,
    pub(crate) algorithm: AssertionAlgorithm,
    pub(crate) key: KeyName,
    pub(crate) audience: Option<&'a str>,
}

/// How the header names the key that signed.
#[derive(Clone, Debug)]
pub(crate) enum KeyName {
    /// By the thumbprint of its certificate.
    Thumbprint {
        /// Whether the chain goes into the header (`x5c`).
        send_x5c: bool,
    },
    /// By the name that it has in the client's registered keys (`kid`), or not at all.
    #[cfg(feature = "every-credential")]
    Registered(Option<String>),
}

impl KeyName {
    fn is_by_certificate(&self) -> bool {
        match self {
            Self::Thumbprint { .. } => true,
            #[cfg(feature = "every-credential")]
            Self::Registered(_) => false,
        }
    }

    /// Of one that is registered, where it has a name.
    #[cfg(feature = "every-credential")]
    fn kid(&self) -> Option<&str> {
        match self {
            Self::Thumbprint { .. } => None,
            #[cfg(feature = "every-credential")]
            Self::Registered(kid) => kid.as_deref(),
        }
    }
}

/// How an assertion is built with a certificate.
#[derive(Clone, Debug)]
pub(crate) struct SignedAssertion {
    /// The host's name of the certificate.
    pub(crate) certificate: String,
    /// `alg`.
    pub(crate) algorithm: Algorithm,
    key: KeyName,
    /// That the server takes RSA keys alone.
    #[cfg(feature = "every-credential")]
    rsa_only: bool,
    /// `aud`, for example the issuer identifier that RFC 7523bis and FAPI 2.0 ask for. Otherwise the URL that it is posted
    /// to (Entra ID; RFC 7523 section 3 allows it).
    audience: Option<String>,
}

/// The name of an entry of `certificates`, in whose place the path of its file may stand.
fn name_of_certificate(name: &str) -> Result<(), Refusal> {
    // the command has read the configuration of a filter before
    if cfg!(feature = "every-credential") && name.contains(['/', '\\']) {
        return Err(Refusal::new(
            "is a path, and should be the name of one of `certificates`",
            "write \"certificates\": {\"NAME\": {\"certificate_file\": the path}}, and that name here",
        ));
    }
    rules::name(name)
}

impl SignedAssertion {
    /// The usual one.
    pub(crate) fn of(certificate: &str, send_x5c: bool) -> Self {
        Self {
            certificate: certificate.to_owned(),
            algorithm: Algorithm::Ps256,
            key: KeyName::Thumbprint { send_x5c },
            // variables describe clients of Entra ID
            #[cfg(feature = "every-credential")]
            rsa_only: true,
            audience: None,
        }
    }

    pub(crate) fn check(
        text: SignedText<'_>,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        check(&place.at("name"), name_of_certificate(text.name))?;
        let (algorithm, is_rsa) = match text.algorithm {
            AssertionAlgorithm::Ps256 => (Algorithm::Ps256, true),
            AssertionAlgorithm::Rs256 => (Algorithm::Rs256, true),
            AssertionAlgorithm::Es256 => (Algorithm::Es256, false),
            AssertionAlgorithm::Es384 => (Algorithm::Es384, false),
            AssertionAlgorithm::EdDsa => (Algorithm::EdDsa, false),
        };
        let rsa_only = client.authority.is_entra();
        if rsa_only && !is_rsa {
            let name = algorithm.name();
            return Err(ConfigError::new(
                place.at("algorithm"),
                format!("is {name}, which Entra ID does not take"),
            )
            .hint("use an RSA certificate and leave algorithm out (PS256)"));
        }
        Ok(Self {
            certificate: text.name.to_owned(),
            algorithm,
            key: text.key,
            #[cfg(feature = "every-credential")]
            rsa_only,
            audience: client.audience(place, text.audience)?,
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
                by_certificate: self.key.is_by_certificate(),
            });
        });
    }

    pub(crate) fn distinguish(&self, out: &mut Distinction) {
        let Self {
            certificate,
            algorithm,
            key,
            // follows from the authority
            #[cfg(feature = "every-credential")]
                rsa_only: _,
            audience,
        } = self;
        out.add(certificate);
        out.add(algorithm.name());
        match key {
            KeyName::Thumbprint { send_x5c } => out.add(if *send_x5c { "x5c" } else { "" }),
            #[cfg(feature = "every-credential")]
            KeyName::Registered(kid) => out.add_optional(kid.as_deref()),
        }
        out.add_optional(audience.as_deref());
    }

    /// Opens the certificate, and gathers what it gives: an assertion, an authenticated connection or both. Both use what
    /// was opened, so a rotation between the two cannot make an assertion of one key travel on a connection of the other.
    ///
    /// Boxed, so that there is one such flow for all the kinds: Envoy compiles each.
    pub(crate) fn gather<'a>(
        &'a self,
        io: &'a Io,
        purpose: &'a Purpose<'a>,
        signs: bool,
        connects: bool,
    ) -> Pin<Box<dyn Future<Output = Result<ClientAuth, Failure>> + 'a>> {
        Box::pin(async move {
            let opened = self.open(io).await?;
            let assertion = match signs {
                true => Some(self.sign(io, &opened, purpose).await?),
                false => None,
            };
            Ok(ClientAuth {
                assertion,
                generation: self.generation(&opened),
                connection: connects.then_some(opened),
                ..ClientAuth::default()
            })
        })
    }

    async fn open(&self, io: &Io) -> Result<OpenCertificate, Failure> {
        let opened = io.open_certificate(&self.certificate).await;
        let opened = opened.map_err(|error| self.unavailable(&error))?;
        // a proxy reads certificate and key together, and signs with RSA alone where that is asked for
        #[cfg(feature = "every-credential")]
        if self.key.is_by_certificate() {
            let name = &self.certificate;
            let unfit = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
            let leaf = opened.chain.first().ok_or_else(|| {
                unfit(format!("`{name}` is a private key without a certificate"))
                    .hint("name its certificate_file, or use private_key_jwt for a server that knows the key by itself")
            })?;
            if self.rsa_only && !may_be_rsa(leaf) {
                return Err(unfit(format!(
                    "the key of certificate `{name}` is not RSA, and Entra ID takes no other"
                ))
                .hint("make an RSA key of 2048 bits or more and a certificate for it, and upload that")
                .into());
            }
        }
        Ok(opened)
    }

    async fn sign(
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
    /// Of a key alone the name is all that is known.
    fn generation(&self, opened: &OpenCertificate) -> Option<String> {
        let leaf = opened.chain.first().map(|leaf| x5t_s256(leaf));
        #[cfg(feature = "every-credential")]
        let leaf = leaf.or_else(|| self.key.kid().map(str::to_owned));
        leaf
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
        let mut header = Header {
            alg: self.algorithm.name(),
            kid: None,
            typ: "JWT",
            x5t: None,
            x5t_s256: None,
            x5c: None,
        };
        match &self.key {
            #[cfg(feature = "every-credential")]
            KeyName::Registered(kid) => header.kid = kid.as_deref(),
            KeyName::Thumbprint { send_x5c } => {
                let leaf = opened.chain.first().ok_or_else(|| {
                    CertificateError::Unavailable("its certificate chain is empty".into())
                })?;
                if self.algorithm == Algorithm::Rs256 {
                    header.x5t = Some(URL_SAFE_NO_PAD.encode(Sha1::digest(leaf)));
                } else {
                    header.x5t_s256 = Some(x5t_s256(leaf));
                }
                let chain = opened.chain.iter().map(|der| BASE64.encode(der));
                header.x5c = send_x5c.then(|| chain.collect());
            }
        }
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
            .hint("RSA keys sign PS256 and RS256, P-256 keys ES256, P-384 keys ES384, Ed25519 keys EdDSA; set `algorithm` accordingly")
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
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
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

/// Whether the certificate's key may be RSA: nothing in it says that it is on a curve. A signature on a curve has other
/// identifiers.
#[cfg(feature = "every-credential")]
fn may_be_rsa(der: &[u8]) -> bool {
    // id-ecPublicKey (RFC 5480 section 2.1.1), and a whole Ed25519 key (RFC 8410 section 4)
    const ON_CURVES: [&[u8]; 2] = [
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
        b"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
    ];
    !ON_CURVES
        .iter()
        .any(|key| der.windows(key.len()).any(|window| window == *key))
}

/// base64url SHA-256 of the certificate (RFC 7515 section 4.1.8).
pub(crate) fn x5t_s256(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(der))
}
