//! A certificate chain and its private key: read from PEM or PKCS#12, checked against each other, used to sign.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
use x509_cert::der::{DateTime, Decode};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectKeyIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use crate::certificate::pkcs12::{self, Closed, Password};
use crate::files::FileError;
use crate::limits;
use crate::pem::{self, Found};
use crate::tls_failure::between;

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
        let read = entry(&der).map_err(|e| LoadError::Malformed {
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

/// Why no certificate of a chain was found to be the key's.
enum NotFound {
    /// None could be read, for this reason.
    Unreadable(String),
    /// They have other public keys.
    OtherKeys,
}

/// What a chain is sorted by; nothing of it if the certificate could not be read.
#[derive(Default)]
struct Entry {
    der: Option<CertificateDer<'static>>,
    subject: Name,
    /// As it is written.
    shown: String,
    issuer: Name,
    public_key: Vec<u8>,
    /// Of its key, and of the key that signed it (RFC 5280 sections 4.2.1.1 and 4.2.1.2).
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
}

/// A name in the form in which two of them are compared (RFC 5280 section 7.1): upper and lower case are the same, and so
/// are the types of strings and the number of blanks.
#[derive(Clone, Default, Eq, PartialEq)]
struct Name(String);

impl Name {
    fn of(name: &x509_cert::name::Name) -> Self {
        let text = name.to_string().to_lowercase();
        Self(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl Entry {
    fn is_its_own_issuer(&self) -> bool {
        self.subject == self.issuer
    }

    /// How well another fits as its issuer: by the key's identifier and the name, or by one of the two.
    fn issued_by(&self, other: &Self) -> u8 {
        let by_key = self.issuer_key_id.is_some() && self.issuer_key_id == other.key_id;
        let by_name = self.issuer == other.subject && !other.public_key.is_empty();
        2 * u8::from(by_key) + u8::from(by_name)
    }
}

/// The chain with the key's certificate first, each certificate followed by its issuer's, and the subjects of those that
/// are not of it: what is sent is what the peer needs, and nothing of other certificates that stand in the file.
fn leaf_first(
    chain: &[CertificateDer<'static>],
    public_key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, Vec<String>), NotFound> {
    let mut unreadable = None;
    let mut entries: Vec<Entry> = Vec::with_capacity(chain.len());
    for der in chain {
        let entry = entry(der).unwrap_or_else(|e| {
            unreadable.get_or_insert_with(|| e.to_string());
            Entry::default()
        });
        entries.push(Entry {
            der: Some(der.clone()),
            ..entry
        });
    }
    let Some(leaf) = entries.iter().position(|e| e.public_key == public_key) else {
        return Err(unreadable.map_or(NotFound::OtherKeys, NotFound::Unreadable));
    };
    let mut last = entries.remove(leaf);
    let mut sorted: Vec<_> = last.der.iter().cloned().collect();
    while !last.is_its_own_issuer() {
        // of two that fit alike the first
        let rated = entries.iter().enumerate().rev();
        let rated = rated.map(|(at, entry)| (last.issued_by(entry), at));
        let Some((1.., at)) = rated.max_by_key(|(fit, _)| *fit) else {
            break;
        };
        last = entries.remove(at);
        sorted.extend(last.der.iter().cloned());
    }
    let left_out = entries.into_iter().map(|entry| entry.shown);
    Ok((sorted, left_out.collect()))
}

/// Names and keys of a certificate of any version.
fn entry(der: &[u8]) -> x509_cert::der::Result<Entry> {
    let certificate = read(der)?;
    let certificate = certificate.tbs_certificate();
    let public_key = &certificate.subject_public_key_info().subject_public_key;
    // extensions that cannot be read say nothing
    let key_id = certificate.get_extension::<SubjectKeyIdentifier>();
    let issuer_key_id = certificate.get_extension::<AuthorityKeyIdentifier>();
    Ok(Entry {
        der: None,
        subject: Name::of(certificate.subject()),
        shown: certificate.subject().to_string(),
        issuer: Name::of(certificate.issuer()),
        public_key: public_key.raw_bytes().to_vec(),
        key_id: key_id
            .ok()
            .flatten()
            .map(|(_, id)| id.0.as_bytes().to_vec()),
        issuer_key_id: issuer_key_id
            .ok()
            .flatten()
            .and_then(|(_, id)| Some(id.key_identifier?.as_bytes().to_vec())),
    })
}

/// By the profile that demands nothing of serial numbers and dates.
fn read(der: &[u8]) -> x509_cert::der::Result<CertificateInner<Raw>> {
    CertificateInner::<Raw>::from_der(der)
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    not_before: DateTime,
    not_after: DateTime,
}

impl Life {
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let certificate = read(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        Some(Self {
            not_before: validity.not_before.to_date_time(),
            not_after: validity.not_after.to_date_time(),
        })
    }

    /// Why it is not good at that time, continuing its name.
    pub(super) fn over(&self, now: Duration) -> Option<String> {
        let (from, to) = (
            self.not_before.unix_duration(),
            self.not_after.unix_duration(),
        );
        if now > to {
            return Some(format!(
                "expired {} ago, {}",
                between(to, now),
                self.not_after
            ));
        }
        (now < from).then(|| {
            format!(
                "becomes valid in {}, {}",
                between(now, from),
                self.not_before
            )
        })
    }

    /// That it ends soon, continuing its name.
    pub(super) fn ending(&self, now: Duration) -> Option<String> {
        let (from, to) = (
            self.not_before.unix_duration(),
            self.not_after.unix_duration(),
        );
        let left = to.checked_sub(now)?;
        let soon = limits::CERTIFICATE_ENDS_SOON.min(to.saturating_sub(from) / 10);
        (left < soon).then(|| format!("expires in {}, {}", between(now, to), self.not_after))
    }
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
                    let (sorted, left_out) = leaf_first(&chain, b"the key").ok().unwrap();
                    assert!(
                        sorted == [leaf.clone(), middle.clone(), root.clone()],
                        "{a}{b}{c}{d}"
                    );
                    assert_eq!(left_out, ["CN=other"]);
                }
            }
        }
        assert_eq!(orders, 24);
    }

    fn sorted(
        chain: &[CertificateDer<'static>],
        key: &[u8],
    ) -> (Vec<CertificateDer<'static>>, Vec<String>) {
        leaf_first(chain, key).ok().unwrap()
    }

    #[test]
    fn names_are_the_same_however_they_are_written() {
        let middle = certificate("middle ca", "root", b"m");
        for issuer in ["middle ca", "Middle CA", "MIDDLE  ca"] {
            let leaf = certificate("leaf", issuer, b"the key");
            let expected = (vec![leaf.clone(), middle.clone()], vec![]);
            for chain in [[leaf.clone(), middle.clone()], [middle.clone(), leaf]] {
                assert!(sorted(&chain, b"the key") == expected, "{issuer}");
            }
        }
    }

    #[test]
    fn what_is_of_another_chain_is_left_out_and_named() {
        let leaf = certificate("leaf", "nowhere", b"the key");
        let [other, root] = [
            certificate("Other Leaf", "root", b"o"),
            certificate("root", "root", b"r"),
        ];
        let found = sorted(&[other.clone(), root.clone(), leaf.clone()], b"the key");
        let names = ["CN=Other Leaf".to_owned(), "CN=root".to_owned()];
        assert!(
            found == (vec![leaf.clone()], names.to_vec()),
            "{:?}",
            found.1
        );
        // one that signed itself needs nobody
        let own = certificate("own", "own", b"own key");
        let found = sorted(&[leaf, own.clone(), root], b"own key");
        assert!(found.0 == [own] && found.1.len() == 2);
    }

    /// A certificate with this key, names and identifiers of keys.
    fn entry_of(subject: &str, issuer: &str, ids: [Option<&[u8]>; 2]) -> Entry {
        let [key_id, issuer_key_id] = ids.map(|id| id.map(<[u8]>::to_vec));
        Entry {
            der: None,
            subject: Name(subject.to_owned()),
            shown: subject.to_owned(),
            issuer: Name(issuer.to_owned()),
            public_key: subject.as_bytes().to_vec(),
            key_id,
            issuer_key_id,
        }
    }

    #[test]
    fn of_two_issuers_of_one_name_the_one_with_the_key_that_is_meant_counts() {
        let leaf = entry_of("leaf", "ca", [None, Some(b"new")]);
        let rate = |subject: &str, id: Option<&[u8]>| {
            leaf.issued_by(&entry_of(subject, "root", [id, None]))
        };
        assert_eq!(rate("ca", Some(b"new")), 3);
        assert_eq!(rate("c.a.", Some(b"new")), 2);
        assert_eq!(rate("ca", Some(b"old")), 1);
        assert_eq!(rate("ca", None), 1);
        assert_eq!(rate("another", Some(b"old")), 0);
        let unread = Entry::default();
        assert_eq!(Entry::default().issued_by(&unread), 0);
    }

    #[test]
    fn when_a_certificate_is_good() {
        let date = |day| DateTime::new(2026, 3, day, 0, 0, 0).unwrap();
        let of = |from, to| Life {
            not_before: date(from),
            not_after: date(to),
        };
        let life = of(2, 28);
        let at = |day: u8, second: u64| date(day).unix_duration() + Duration::from_secs(second);
        for (now, over, ending) in [
            (at(1, 0), "becomes valid in 24 h, 2026-03-02T00:00:00Z", ""),
            (
                at(1, 86_399),
                "becomes valid in 1 s, 2026-03-02T00:00:00Z",
                "",
            ),
            (at(2, 0), "", ""),
            (at(25, 0), "", ""),
            // a tenth of its life is left
            (
                at(25, 43_200),
                "",
                "expires in 2 days, 2026-03-28T00:00:00Z",
            ),
            (at(28, 0), "", "expires in 0 s, 2026-03-28T00:00:00Z"),
            (at(28, 300), "expired 5 min ago, 2026-03-28T00:00:00Z", ""),
            (at(31, 0), "expired 3 days ago, 2026-03-28T00:00:00Z", ""),
        ] {
            let said = (life.over(now), life.ending(now));
            let expected = [over, ending].map(|text| (!text.is_empty()).then(|| text.to_owned()));
            assert_eq!([said.0, said.1], expected, "{now:?}");
        }
        let long = Life {
            not_before: DateTime::new(2020, 1, 1, 0, 0, 0).unwrap(),
            not_after: date(28),
        };
        assert_eq!(long.ending(at(13, 0)), None, "two weeks before at the most");
        assert!(long.ending(at(15, 0)).is_some());
    }

    #[test]
    fn issuers_that_sign_each_other_are_no_circle() {
        let [a, b] = [certificate("a", "b", b"a"), certificate("b", "a", b"b")];
        let chain = [b.clone(), a.clone()];
        assert!(sorted(&chain, b"a").0 == [a, b]);
    }
}
