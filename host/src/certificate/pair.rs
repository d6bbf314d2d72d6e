//! A certificate chain and its private key: read from PEM or PKCS#12, checked against each other, used to sign.

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
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use crate::certificate::pkcs12::{self, Closed};
use crate::files::FileError;
use crate::pem::{self, Found};

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
        if certificates.is_empty() {
            return Err(LoadError::NoCertificate {
                place: chain.place.to_owned(),
                found: Lacks(pem::found(chain.content)),
            });
        }
        Self::first(&keys, key_place, |key| {
            Self::of(&certificates, key, chain.place, key_place)
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

    fn of(
        chain: &[CertificateDer<'static>],
        der: &PrivateKeyDer<'static>,
        chain_place: &str,
        key_place: &str,
    ) -> Result<Self, LoadError> {
        let unusable = || LoadError::unusable(der, key_place);
        let key = any_supported_type(der).map_err(|_| unusable())?;
        let public_key = key.public_key().and_then(|info| public_key(&info));
        let public_key = public_key.ok_or_else(unusable)?;
        let chain = leaf_first(chain, &public_key).map_err(|not_found| match not_found {
            NotFound::Unreadable(reason) => LoadError::Malformed {
                place: chain_place.to_owned(),
                reason,
            },
            NotFound::OtherKeys => LoadError::Mismatch {
                certificate: chain_place.to_owned(),
                key: key_place.to_owned(),
            },
        })?;
        Ok(Self {
            certified: Some(Arc::new(CertifiedKey::new(chain.clone(), key))),
            chain,
            public_key,
            signing: SigningKey::from_der(der),
        })
    }
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
    let Given { place, content } = given;
    if pem::is_pkcs12(content) {
        return Ok(store(given, password)?.keys);
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
    pkcs12::open(given.content, password.unwrap_or_default())
        .map_err(|e| closed(e, given.place, password.is_some()))
}

fn closed(closed: Closed, place: &str, has_password: bool) -> LoadError {
    let place = place.to_owned();
    match closed {
        Closed::Password if has_password => LoadError::Password { place },
        Closed::Password => LoadError::Locked { place },
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
    /// The password itself cannot be had.
    #[error("there is no password for it: {reason}")]
    NoPassword { reason: String },
    /// It should be base64.
    #[error(
        "certificate_base64 is not base64 of a PEM or PKCS#12 file; write it with base64 -w0 FILE"
    )]
    NotBase64,
    /// They are of different pairs.
    #[error("the private key in {key} does not belong to a certificate in {certificate}")]
    Mismatch { certificate: String, key: String },
}

impl LoadError {
    /// Whether it takes the derivation of a key to find, seconds where somebody wants it so: it is not found again at
    /// once.
    pub(super) fn is_dear(&self) -> bool {
        matches!(self, Self::Password { .. })
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

/// The chain with the key's certificate first, each certificate followed by its issuer's. What leads nowhere is left
/// out; if nothing leads anywhere (names of issuers may be written in more than one way), the rest stays as written.
fn leaf_first(
    chain: &[CertificateDer<'static>],
    public_key: &[u8],
) -> Result<Vec<CertificateDer<'static>>, NotFound> {
    let mut unreadable = None;
    let mut entries: Vec<Entry> = Vec::with_capacity(chain.len());
    for der in chain {
        let (subject, issuer, public_key) = match names_and_key(der) {
            Ok(found) => found,
            Err(e) => {
                unreadable.get_or_insert_with(|| e.to_string());
                Default::default()
            }
        };
        entries.push(Entry {
            der: der.clone(),
            subject,
            issuer,
            public_key,
        });
    }
    let Some(leaf) = entries.iter().position(|e| e.public_key == public_key) else {
        return Err(unreadable.map_or(NotFound::OtherKeys, NotFound::Unreadable));
    };
    let mut last = entries.remove(leaf);
    let mut sorted = vec![last.der.clone()];
    while last.subject != last.issuer
        && let Some(at) = entries.iter().position(|e| e.subject == last.issuer)
    {
        last = entries.remove(at);
        sorted.push(last.der.clone());
    }
    if sorted.len() == 1 && last.subject != last.issuer {
        sorted.extend(entries.into_iter().map(|entry| entry.der));
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
mod tests {
    use super::*;

    /// One field of DER.
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let header = if length < 0x80 {
            vec![tag, length]
        } else {
            vec![tag, 0x81, length]
        };
        [&header[..], content].concat()
    }

    fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
        field(0x30, &fields.concat())
    }

    /// A certificate of version 1 with these names; its key and signature are any bytes.
    fn certificate(subject: &str, issuer: &str, key: &[u8]) -> CertificateDer<'static> {
        let name = |name: &str| {
            let common_name = field(0x06, &[0x55, 0x04, 0x03]);
            let text = field(0x0c, name.as_bytes());
            sequence(&[field(0x31, &sequence(&[common_name, text]))])
        };
        let algorithm = || {
            sequence(&[
                field(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"),
                field(0x05, b""),
            ])
        };
        let bits = |content: &[u8]| field(0x03, &[&[0], content].concat());
        let time = || field(0x17, b"260101000000Z");
        let fields = sequence(&[
            field(0x02, &[1]),
            algorithm(),
            name(issuer),
            sequence(&[time(), time()]),
            name(subject),
            sequence(&[algorithm(), bits(key)]),
        ]);
        CertificateDer::from(sequence(&[fields, algorithm(), bits(b"signature")]))
    }

    #[test]
    fn every_order_becomes_the_one_from_the_leaf_to_the_root() {
        let leaf = certificate("leaf", "middle", b"the key");
        let middle = certificate("middle", "root", b"m");
        let root = certificate("root", "root", b"r");
        let other = certificate("other", "nobody", b"o");
        let all = [&leaf, &middle, &root, &other];
        let mut orders = 0;
        for a in 0..4 {
            for b in 0..4 {
                for c in 0..4 {
                    let d = 6_usize.wrapping_sub(a + b + c);
                    let mut order = vec![a, b, c, d];
                    order.sort_unstable();
                    order.dedup();
                    if order != [0, 1, 2, 3] {
                        continue;
                    }
                    orders += 1;
                    let chain: Vec<_> = [a, b, c, d].map(|at| all[at].clone()).into();
                    let sorted = leaf_first(&chain, b"the key").ok().unwrap();
                    assert!(
                        sorted == [leaf.clone(), middle.clone(), root.clone()],
                        "{a}{b}{c}{d}"
                    );
                }
            }
        }
        assert_eq!(orders, 24);
    }

    #[test]
    fn what_does_not_lead_to_an_issuer_stays_as_written() {
        let leaf = certificate("leaf", "Middle", b"the key");
        let middle = certificate("middle", "root", b"m");
        let chain = [leaf.clone(), middle.clone()];
        // the two names may be the same to whoever verifies it
        assert!(leaf_first(&chain, b"the key").ok().unwrap() == chain);
        let turned = [middle, leaf.clone()];
        assert!(leaf_first(&turned, b"the key").ok().unwrap() == chain);
        let own = certificate("own", "own", b"own key");
        assert!(leaf_first(&[leaf, own.clone()], b"own key").ok().unwrap() == [own]);
    }

    #[test]
    fn issuers_that_sign_each_other_are_no_circle() {
        let [a, b] = [certificate("a", "b", b"a"), certificate("b", "a", b"b")];
        let chain = [b.clone(), a.clone()];
        assert!(leaf_first(&chain, b"a").ok().unwrap() == [a, b]);
    }
}
