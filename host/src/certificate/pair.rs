//! A certificate chain and its private key: read from PEM, checked against each other, used to sign.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use edgepass_core::Algorithm;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use crate::files::FileError;

/// A certificate chain and the key of its first certificate.
pub(super) struct Pair {
    /// Leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// For connections.
    pub(super) certified: Arc<CertifiedKey>,
    /// For assertions; other kinds of keys authenticate connections only.
    pub(super) signing: Option<SigningKey>,
}

impl Pair {
    /// Reads both from PEM. The places are what errors call them.
    ///
    /// The peer judges the certificate, whatever its version, extensions and dates: here it only has to have the
    /// key's public half.
    pub(super) fn parse(
        chain: &[u8],
        key: &[u8],
        chain_place: &str,
        key_place: &str,
    ) -> Result<Self, LoadError> {
        let malformed = |place: &str, reason: String| LoadError::Malformed {
            place: place.to_owned(),
            reason,
        };
        let chain = CertificateDer::pem_slice_iter(without_byte_order_mark(chain))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| malformed(chain_place, pem_reason(&e)))?;
        if chain.is_empty() {
            return Err(LoadError::NoCertificate {
                place: chain_place.to_owned(),
            });
        }
        let key = match PrivateKeyDer::from_pem_slice(without_byte_order_mark(key)) {
            Ok(key) => Zeroizing::new(key),
            // PKCS#8 has a label of its own for it, the older forms a header that is not base64
            Err(_) if is_encrypted(key) => {
                return Err(LoadError::Encrypted {
                    place: key_place.to_owned(),
                });
            }
            Err(pem::Error::NoItemsFound) => {
                return Err(LoadError::NoKey {
                    place: key_place.to_owned(),
                });
            }
            Err(e) => return Err(malformed(key_place, pem_reason(&e))),
        };
        let signing = SigningKey::from_der(&key);
        let key = any_supported_type(&key).map_err(|e| malformed(key_place, e.to_string()))?;
        let public_key = key
            .public_key()
            .and_then(|info| public_key(&info))
            .ok_or_else(|| malformed(key_place, "its public key is unknown".to_owned()))?;
        let chain = leaf_first(chain, &public_key).map_err(|not_found| match not_found {
            NotFound::Unreadable(reason) => malformed(chain_place, reason),
            NotFound::OtherKeys => LoadError::Mismatch {
                certificate: chain_place.to_owned(),
                key: key_place.to_owned(),
            },
        })?;
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain.clone(), key)),
            chain,
            signing,
        })
    }
}

/// A key that signs assertions.
pub(super) enum SigningKey {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    fn from_der(der: &PrivateKeyDer<'_>) -> Option<Self> {
        const P256: &aws_lc_rs::signature::EcdsaSigningAlgorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;

        let rsa = |key| Self::Rsa(Box::new(key));
        let p256 = |key| Self::P256(Box::new(key));
        match der {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok().map(rsa),
            PrivateKeyDer::Sec1(key) => {
                EcdsaKeyPair::from_private_key_der(P256, key.secret_sec1_der())
                    .ok()
                    .map(p256)
            }
            PrivateKeyDer::Pkcs8(key) => {
                let der = key.secret_pkcs8_der();
                let rsa = RsaKeyPair::from_pkcs8(der).ok().map(rsa);
                rsa.or_else(|| EcdsaKeyPair::from_pkcs8(P256, der).ok().map(p256))
            }
            _ => None,
        }
    }

    /// A JWS signature (RFC 7518 section 3). Takes a third of a millisecond with RSA: call it where blocking is
    /// allowed.
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
            (Self::P256(key), Algorithm::Es256) => key
                .sign(&random, input)
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
    #[error("there is no PEM certificate in {place}")]
    NoCertificate { place: String },
    /// There is no key.
    #[error("there is no PEM private key in {place}")]
    NoKey { place: String },
    /// The key needs a password.
    #[error(
        "the private key in {place} is encrypted, which is not supported: write it without a password, and protect the \
         file by its permissions"
    )]
    Encrypted { place: String },
    /// PEM or DER that does not parse, or an unknown kind of key.
    #[error("the content of {place} cannot be used: {reason}")]
    Malformed { place: String, reason: String },
    /// They are of different pairs.
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    Mismatch { certificate: String, key: String },
}

/// Why there is no signature.
#[derive(Debug)]
pub(crate) enum SignError {
    /// The key cannot do that algorithm.
    Unsupported,
    /// The cryptographic library refused.
    Failed(String),
}

/// Why no certificate of a chain was found to be the key's.
enum NotFound {
    /// None could be read, for this reason.
    Unreadable(String),
    /// They have other public keys.
    OtherKeys,
}

/// What a chain is sorted by.
struct Entry {
    der: CertificateDer<'static>,
    /// DER of the names; nothing if the certificate could not be read.
    subject: Vec<u8>,
    issuer: Vec<u8>,
    public_key: Vec<u8>,
}

/// The chain with the key's certificate first. If it is already there, the order is kept as written; otherwise the
/// chain (root first, or mixed up) is built anew, each certificate followed by its issuer's.
fn leaf_first(
    chain: Vec<CertificateDer<'static>>,
    public_key: &[u8],
) -> Result<Vec<CertificateDer<'static>>, NotFound> {
    let mut unreadable = None;
    let mut entries: Vec<Entry> = Vec::with_capacity(chain.len());
    for der in chain {
        let (subject, issuer, public_key) = match names_and_key(&der) {
            Ok(found) => found,
            Err(e) => {
                unreadable.get_or_insert_with(|| e.to_string());
                Default::default()
            }
        };
        entries.push(Entry {
            der,
            subject,
            issuer,
            public_key,
        });
    }
    let Some(leaf) = entries.iter().position(|e| e.public_key == public_key) else {
        return Err(unreadable.map_or(NotFound::OtherKeys, NotFound::Unreadable));
    };
    if leaf == 0 {
        return Ok(entries.into_iter().map(|entry| entry.der).collect());
    }
    let mut sorted = Vec::with_capacity(entries.len());
    let mut next = Some(leaf);
    while let Some(index) = next {
        let entry = entries.swap_remove(index);
        next = entries
            .iter()
            .position(|candidate| candidate.subject == entry.issuer);
        sorted.push(entry.der);
    }
    Ok(sorted)
}

/// Subject, issuer and public key of a certificate of any version.
fn names_and_key(der: &[u8]) -> x509_cert::der::Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    // the profile that demands nothing of serial numbers and dates
    let certificate = CertificateInner::<Raw>::from_der(der)?;
    let certificate = certificate.tbs_certificate();
    let public_key = &certificate.subject_public_key_info().subject_public_key;
    Ok((
        certificate.subject().to_der()?,
        certificate.issuer().to_der()?,
        public_key.raw_bytes().to_vec(),
    ))
}

/// The key inside a `SubjectPublicKeyInfo`. The algorithm beside it does not count: RSA has more than one name there.
fn public_key(info: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef::from_der(info).ok()?;
    Some(info.subject_public_key.raw_bytes().to_vec())
}

fn is_encrypted(pem: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED";
    pem.windows(MARK.len()).any(|window| window == MARK)
}

/// Editors on Windows begin a UTF-8 file with it; PEM does not know it.
fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Without the content, which may be a key's.
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a PEM section begins in a wrong way".to_owned(),
        pem::Error::Base64Decode(_) => "the base64 of a PEM section is wrong".to_owned(),
        _ => "it is not PEM".to_owned(),
    }
}
