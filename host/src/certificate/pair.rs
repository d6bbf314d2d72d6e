//! A certificate chain and its private key: read from PEM or PKCS#12, checked against each other, used to sign.

mod chain;
mod validity;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use edgepass_core::Algorithm;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use crate::certificate::pkcs12::{self, Closed, Password};
use crate::files::FileError;
use crate::pem::{self, Found};

use chain::{NotFound, chain_certificate, leaf_first};
pub(super) use validity::Validity;

/// A certificate chain and the key of its first certificate, or a key alone.
pub(super) struct Pair {
    /// Leaf first; empty if there is a key alone.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The key's public half, by which a key alone is known again.
    pub(super) public_key: Vec<u8>,
    /// For connections; nothing if there is a key alone.
    pub(super) certified: Option<Arc<CertifiedKey>>,
    /// For assertions; other kinds of keys authenticate connections only.
    pub(super) signing: Option<SigningKey>,
    /// What of the files is not used, in words that name the file.
    pub(super) unused: Vec<String>,
}

/// The content of a file, or of what takes its place.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    /// What errors call it.
    pub(super) place: &'a str,
    pub(super) content: &'a [u8],
}

impl Pair {
    /// Reads a chain and its key, each PEM or PKCS#12. Without a key of its own the chain's content holds it as well.
    ///
    /// The peer judges the certificate, whatever its version, extensions and dates: here it only has to have the
    /// key's public half. Of several keys the first that has a certificate counts.
    pub(super) fn parse(
        chain: Given<'_>,
        key: Option<Given<'_>>,
        password: Option<&str>,
    ) -> Result<Self, LoadError> {
        let (certificates, keys, key_place) = match key {
            None if pem::is_pkcs12(chain.content) => {
                let store = store(chain, password)?;
                (store.certificates, store.keys, chain.place)
            }
            None => {
                let certificates = certificates(chain, password)?;
                (certificates, keys(chain, password)?, chain.place)
            }
            Some(key) => {
                let certificates = certificates(chain, password)?;
                (certificates, keys(key, password)?, key.place)
            }
        };
        // beside a key of its own that has to be the right one, or somebody looks in the wrong file
        let others = match key {
            Some(key) if key.content != chain.content => keys_beside(chain, password),
            _ => Vec::new(),
        };
        if certificates.is_empty() {
            return Err(LoadError::NoCertificate {
                place: chain.place.to_owned(),
                found: Lacks(pem::found(chain.content)),
            });
        }
        let mut pair = Self::first(&keys, key_place, |key| {
            Self::of(&certificates, key, chain.place, key_place)
        })
        .map_err(|error| match error {
            LoadError::Mismatch {
                certificate, key, ..
            } => LoadError::Mismatch {
                certificate,
                key,
                has_own: HasOwn(!others.is_empty()),
            },
            error => error,
        })?;
        let is_another = |other: &Zeroizing<PrivateKeyDer<'static>>| {
            let other = any_supported_type(other).ok();
            let other = other.and_then(|key| key.public_key().and_then(|info| public_key(&info)));
            other.as_ref() != Some(&pair.public_key)
        };
        if others.iter().any(is_another) {
            pair.unused.push(format!(
                "{} holds another private key, which is not used: private_key_file names {key_place}",
                chain.place
            ));
        } else if !others.is_empty() && pem::is_pkcs12(chain.content) {
            pair.unused.push(format!(
                "{} holds the private key as well, and it is read from {key_place}: leave private_key_file out, so that both \
                 are always of one file",
                chain.place
            ));
        }
        Ok(pair)
    }

    /// A certificate whose key is elsewhere.
    pub(super) fn certificate_alone(
        der: CertificateDer<'static>,
        place: &str,
    ) -> Result<Self, LoadError> {
        let read = chain_certificate(&der).map_err(|e| LoadError::Malformed {
            place: place.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(Self {
            chain: vec![der],
            public_key: read.public_key,
            certified: None,
            signing: None,
            unused: Vec::new(),
        })
    }

    /// Reads a key alone.
    pub(super) fn key_alone(key: Given<'_>, password: Option<&str>) -> Result<Self, LoadError> {
        let keys = keys(key, password)?;
        Self::first(&keys, key.place, |der| {
            let unusable = || LoadError::unusable(der, key.place);
            let loaded = any_supported_type(der).map_err(|_| unusable())?;
            let public_key = loaded.public_key().and_then(|info| public_key(&info));
            Ok(Self {
                chain: Vec::new(),
                public_key: public_key.ok_or_else(unusable)?,
                certified: None,
                signing: SigningKey::from_der(der),
                unused: Vec::new(),
            })
        })
    }

    /// That of the first key which makes one.
    fn first(
        keys: &[Zeroizing<PrivateKeyDer<'static>>],
        place: &str,
        of: impl Fn(&PrivateKeyDer<'static>) -> Result<Self, LoadError>,
    ) -> Result<Self, LoadError> {
        let mut refused = None;
        for key in keys {
            match of(key) {
                Ok(pair) => return Ok(pair),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        Err(refused.unwrap_or_else(|| LoadError::NoKey {
            place: place.to_owned(),
            found: Lacks(None),
        }))
    }

    /// The pair of a chain and a key that are there.
    pub(super) fn of(
        chain: &[CertificateDer<'static>],
        der: &PrivateKeyDer<'static>,
        chain_place: &str,
        key_place: &str,
    ) -> Result<Self, LoadError> {
        let unusable = || LoadError::unusable(der, key_place);
        let key = any_supported_type(der).map_err(|_| unusable())?;
        let public_key = key.public_key().and_then(|info| public_key(&info));
        let public_key = public_key.ok_or_else(unusable)?;
        let (chain, left_out) =
            leaf_first(chain, &public_key).map_err(|not_found| match not_found {
                NotFound::Unreadable(reason) => LoadError::Malformed {
                    place: chain_place.to_owned(),
                    reason,
                },
                NotFound::OtherKeys => LoadError::Mismatch {
                    certificate: chain_place.to_owned(),
                    key: key_place.to_owned(),
                    has_own: HasOwn(false),
                },
            })?;
        let unused = left_out.into_iter().map(|subject| {
            format!(
                "the certificate `{subject}` in {chain_place} is not of the chain of the key's certificate: it is not sent"
            )
        });
        Ok(Self {
            certified: Some(Arc::new(CertifiedKey::new(chain.clone(), key))),
            chain,
            public_key,
            signing: SigningKey::from_der(der),
            unused: unused.collect(),
        })
    }
}

/// The keys that are in the file of the certificates although there is a file of its own for the key, as far as they can be
/// read: what cannot is nobody's fault there.
fn keys_beside(chain: Given<'_>, password: Option<&str>) -> Vec<Zeroizing<PrivateKeyDer<'static>>> {
    keys(chain, password).unwrap_or_default()
}

/// The certificates of a file, in its order and each once.
fn certificates(
    given: Given<'_>,
    password: Option<&str>,
) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    if pem::is_pkcs12(given.content) {
        return Ok(store(given, password)?.certificates);
    }
    let text = pem::sections(given.content, &["CERTIFICATE"]);
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|e| LoadError::Malformed {
            place: given.place.to_owned(),
            reason: pem_reason(&e),
        })?;
        if !chain.contains(&certificate) {
            chain.push(certificate);
        }
    }
    Ok(chain)
}

/// The private keys of a file, as far as they can be read.
fn keys(
    given: Given<'_>,
    password: Option<&str>,
) -> Result<Vec<Zeroizing<PrivateKeyDer<'static>>>, LoadError> {
    let password = password.map(Password::new);
    keys_of(given, password.as_ref())
}

/// The same with a password that pays for all of them.
pub(super) fn keys_of(
    given: Given<'_>,
    password: Option<&Password>,
) -> Result<Vec<Zeroizing<PrivateKeyDer<'static>>>, LoadError> {
    let Given { place, content } = given;
    if pem::is_pkcs12(content) {
        let opened = pkcs12::open(content, password.unwrap_or(&Password::new("")));
        let opened = opened.map_err(|e| closed(e, place, password.is_some()))?;
        return Ok(opened.keys);
    }
    let text = pem::sections(
        content,
        &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"],
    );
    let mut keys = Vec::new();
    let mut refused = None;
    for key in PrivateKeyDer::pem_slice_iter(&text) {
        match key {
            Ok(key) => keys.push(Zeroizing::new(key)),
            Err(e) => {
                refused.get_or_insert(LoadError::Malformed {
                    place: place.to_owned(),
                    reason: pem_reason(&e),
                });
            }
        }
    }
    for encrypted in pem::encrypted_keys(content) {
        let opened = match password {
            Some(password) => {
                pkcs12::open_key(&encrypted, password).map_err(|e| closed(e, place, true))
            }
            None => Err(LoadError::Locked {
                place: place.to_owned(),
            }),
        };
        match opened {
            Ok(key) => keys.push(key),
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    let place = place.to_owned();
    Err(match (pem::encrypted_the_old_way(content), refused) {
        (Some(found), _) => LoadError::NoKey {
            place,
            found: Lacks(Some(found)),
        },
        (None, Some(error)) => error,
        (None, None) => LoadError::NoKey {
            place,
            found: Lacks(pem::found(content)),
        },
    })
}

/// What a PKCS#12 file holds. Some are under an empty password.
fn store(given: Given<'_>, password: Option<&str>) -> Result<pkcs12::Content, LoadError> {
    pkcs12::open(given.content, &Password::new(password.unwrap_or_default()))
        .map_err(|e| closed(e, given.place, password.is_some()))
}

fn closed(closed: Closed, place: &str, has_password: bool) -> LoadError {
    let place = place.to_owned();
    match closed {
        Closed::Password if has_password => LoadError::Password { place },
        Closed::Password => LoadError::Locked { place },
        Closed::Dear => LoadError::Dear { place },
        Closed::Unsupported(what) => LoadError::Malformed {
            place,
            reason: format!(
                "it is protected by {what}, which is not read; write it anew with AES (openssl pkcs12 -export -keypbe \
                 AES-256-CBC -certpbe AES-256-CBC, or openssl pkcs8 -topk8 -v2 aes-256-cbc)"
            ),
        },
        Closed::Malformed => LoadError::Malformed {
            place,
            reason: "it is damaged, or written in BER with lengths that are not given: write it anew with openssl pkcs12 \
                     -export (or openssl pkcs8 -topk8)"
                .to_owned(),
        },
    }
}

/// A key that signs assertions.
pub(super) enum SigningKey {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    P384(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    fn from_der(der: &PrivateKeyDer<'_>) -> Option<Self> {
        type OfCurve = fn(&'static EcdsaSigningAlgorithm, &[u8]) -> Option<Box<EcdsaKeyPair>>;

        let rsa = |key| Self::Rsa(Box::new(key));
        let on_curves = |of: OfCurve, der: &[u8]| {
            let p256 = of(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Self::P256);
            p256.or_else(|| of(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map(Self::P384))
        };
        match der {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok().map(rsa),
            PrivateKeyDer::Sec1(key) => on_curves(
                |curve, der| {
                    let key = EcdsaKeyPair::from_private_key_der(curve, der).ok()?;
                    Some(Box::new(key))
                },
                key.secret_sec1_der(),
            ),
            PrivateKeyDer::Pkcs8(key) => {
                let der = key.secret_pkcs8_der();
                let rsa = RsaKeyPair::from_pkcs8(der).ok().map(rsa);
                let ecdsa = || {
                    on_curves(
                        |curve, der| {
                            let key = EcdsaKeyPair::from_pkcs8(curve, der).ok()?;
                            Some(Box::new(key))
                        },
                        der,
                    )
                };
                rsa.or_else(ecdsa).or_else(|| {
                    // with its public half or without it
                    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
                    Some(Self::Ed25519(Box::new(key)))
                })
            }
            _ => None,
        }
    }

    /// A JWS signature (RFC 7518 section 3, RFC 8037 section 3.1). Takes a third of a millisecond with RSA: call it where
    /// blocking is allowed.
    pub(super) fn sign(&self, algorithm: Algorithm, input: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        let rsa = |key: &RsaKeyPair, padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(padding, &random, input, &mut signature)
                .map(|()| signature)
        };
        match (self, algorithm) {
            (Self::Rsa(key), Algorithm::Ps256) => rsa(key, &RSA_PSS_SHA256),
            (Self::Rsa(key), Algorithm::Rs256) => rsa(key, &RSA_PKCS1_SHA256),
            (Self::P256(key), Algorithm::Es256) | (Self::P384(key), Algorithm::Es384) => key
                .sign(&random, input)
                .map(|signature| signature.as_ref().to_vec()),
            (Self::Ed25519(key), Algorithm::EdDsa) => key
                .try_sign(input)
                .map(|signature| signature.as_ref().to_vec()),
            _ => return Err(SignError::Unsupported),
        }
        .map_err(|e| SignError::Failed(e.to_string()))
    }
}

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: FileError },
    /// There is no certificate.
    #[error("there is no PEM certificate in {place}{found}")]
    NoCertificate { place: String, found: Lacks },
    /// There is no key, or none without a password.
    #[error("there is no PEM private key in {place}{found}")]
    NoKey { place: String, found: Lacks },
    /// PEM or DER that does not parse, or an unknown kind of key.
    #[error("the content of {place} cannot be used: {reason}")]
    Malformed { place: String, reason: String },
    /// The key or the whole file is under a password, and there is none.
    #[error(
        "{place} is protected by a password, and none is configured; set password_file or password_env beside it"
    )]
    Locked { place: String },
    /// It does not open with the password.
    #[error(
        "the password does not open {place}; check password_file or password_env (upper and lower case, a blank at its end), and that the file is whole"
    )]
    Password { place: String },
    /// To find out whether it does would take minutes.
    #[error(
        "the content of {place} cannot be used: all its key derivations together ask for more than ten million rounds; \
         write it anew with fewer (openssl pkcs12 -export -iter 600000)"
    )]
    Dear { place: String },
    /// The password itself cannot be had.
    #[error("there is no password for it: {reason}")]
    NoPassword { reason: String },
    /// It should be base64.
    #[error(
        "certificate_base64 is not base64 of a PEM or PKCS#12 file; write it with base64 -w0 FILE"
    )]
    NotBase64,
    /// They are of different pairs.
    #[error("the private key in {key} does not belong to a certificate in {certificate}{has_own}")]
    Mismatch {
        certificate: String,
        key: String,
        has_own: HasOwn,
    },
}

impl LoadError {
    /// Whether it takes the derivation of a key to find, seconds where somebody wants it so: it is not found again at
    /// once.
    pub(super) fn is_dear(&self) -> bool {
        matches!(self, Self::Password { .. } | Self::Dear { .. })
    }

    fn unusable(key: &PrivateKeyDer<'_>, place: &str) -> Self {
        Self::Malformed {
            place: place.to_owned(),
            reason: pem::unusable_key(key.secret_der()).to_owned(),
        }
    }
}

/// What is there instead, continuing a sentence.
#[derive(Debug)]
pub(crate) struct Lacks(Option<Found>);

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Found { what, fix }) => write!(f, ": it is {what}; {fix}"),
            None => Ok(()),
        }
    }
}

/// Whether the certificates' file holds a key of its own, continuing a sentence.
#[derive(Debug)]
pub(crate) struct HasOwn(bool);

impl fmt::Display for HasOwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            true => f.write_str(
                "; that file holds a private key itself: leave private_key_file out to use it",
            ),
            false => Ok(()),
        }
    }
}

/// Why there is no signature.
#[derive(Debug)]
pub(crate) enum SignError {
    /// The key cannot do that algorithm.
    Unsupported,
    /// The cryptographic library refused, or a vault did not answer.
    Failed(String),
    /// The vault that has the key refused.
    Refused(String),
}

/// The key inside a `SubjectPublicKeyInfo`. The algorithm beside it does not count: RSA has more than one name there.
fn public_key(info: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef::from_der(info).ok()?;
    Some(info.subject_public_key.raw_bytes().to_vec())
}

/// Without the content, which may be a key's.
fn pem_reason(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "a PEM section has no end".to_owned(),
        PemError::IllegalSectionStart { .. } => "a PEM section begins in a wrong way".to_owned(),
        PemError::Base64Decode(_) => "the base64 of a PEM section is wrong".to_owned(),
        _ => "it is not PEM".to_owned(),
    }
}

#[cfg(test)]
mod tests;
