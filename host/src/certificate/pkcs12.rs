//! Keys under a password: PKCS#12 (RFC 7292) and encrypted PKCS#8 (RFC 5958), opened with what OpenSSL, Java, Windows
//! and NSS write into them: PBES2 with AES (RFC 8018), and the older triple DES and RC2.
//!
//! Ciphers, digests and PBKDF2 are those of the library that signs and connects, and RustCrypto's for the two ciphers
//! that it does not have. The one library that reads the whole format keeps keys in memory that it does not wipe, and
//! brings a second reader of X.509 and a second set of ciphers.

mod cipher;

use std::cell::Cell;
use std::rc::Rc;

use aws_lc_rs::{digest, hmac, pbkdf2};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{
    Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
};
use zeroize::Zeroizing;

use cipher::{Use, by_hmac, decrypt, derived, derived_by_pbkdf2};

/// Rounds of all key derivations of one file, each counted for every block of its key. Tools write 2,000 to 600,000 in each
/// of three or four; the file is the user's own, so this is for one that is damaged or was made to stall: it must not hold
/// a thread for minutes, neither by one derivation nor by many.
const MAX_ROUNDS: u64 = 10_000_000;

/// Bags within bags. Nobody writes more than one level.
const MAX_DEPTH: u32 = 4;

/// What a PKCS#12 file holds.
#[derive(Default)]
pub(super) struct Content {
    /// In the order of the file.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// PKCS#8.
    pub(super) keys: Vec<Zeroizing<PrivateKeyDer<'static>>>,
}

/// Why a password opens nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closed {
    /// It is another password, or the file is damaged: the two cannot be told apart where nothing is authenticated.
    Password,
    /// It is protected in a way that is not known here.
    Unsupported(&'static str),
    /// Its key derivations ask for more rounds than a file may.
    Dear,
    /// It does not parse.
    Malformed,
}

impl From<x509_cert::der::Error> for Closed {
    fn from(_: x509_cert::der::Error) -> Self {
        Self::Malformed
    }
}

/// Opens a PKCS#12 file.
pub(super) fn open(pfx: &[u8], password: &Password) -> Result<Content, Closed> {
    let mut fields = Fields::of(AnyRef::from_der(pfx)?)?;
    // version
    fields.any()?;
    let safe = content_info(fields.any()?)?;
    if safe.kind != DATA {
        return Err(Closed::Unsupported(
            "a signature in the place of a password's check",
        ));
    }
    let safe = safe.octets()?;
    let mut content = Content::default();
    let bare = match fields.optional()? {
        Some(mac) => check(mac, safe, password)?,
        None => None,
    };
    let password = bare.as_ref().unwrap_or(password);
    let mut parts = Fields::of(AnyRef::from_der(safe)?)?;
    while let Some(part) = parts.optional()? {
        let part = content_info(part)?;
        match part.kind {
            DATA => bags(part.octets()?, password, &mut content, 0)?,
            ENCRYPTED_DATA => {
                let mut fields = Fields::of(part.value)?;
                // version
                fields.any()?;
                let mut encrypted = Fields::of(fields.any()?)?;
                // the type of the content
                encrypted.any()?;
                let algorithm = encrypted.any()?;
                let Some(bytes) = encrypted.optional()? else {
                    continue;
                };
                let opened = decrypt(algorithm, bytes.value(), password)?;
                bags(&opened, password, &mut content, 0)?;
            }
            _ => {
                return Err(Closed::Unsupported(
                    "a public key in the place of a password",
                ));
            }
        }
    }
    Ok(content)
}

/// Opens an encrypted private key: the content of a PEM section `ENCRYPTED PRIVATE KEY`.
pub(super) fn open_key(
    encrypted: &[u8],
    password: &Password,
) -> Result<Zeroizing<PrivateKeyDer<'static>>, Closed> {
    shrouded(AnyRef::from_der(encrypted)?, password)
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.6");
const KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.3");
const BAGS_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.6");
const X509_CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.9.22.1");
const PBES2: ObjectIdentifier = oid("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");
const SCRYPT: ObjectIdentifier = oid("1.3.6.1.4.1.11591.4.11");
const PBMAC1: ObjectIdentifier = oid("1.2.840.113549.1.5.14");
const SHA1_TRIPLE_DES: ObjectIdentifier = oid("1.2.840.113549.1.12.1.3");
const SHA1_TWO_KEY_DES: ObjectIdentifier = oid("1.2.840.113549.1.12.1.4");
const SHA1_RC2_128: ObjectIdentifier = oid("1.2.840.113549.1.12.1.5");
const SHA1_RC2_40: ObjectIdentifier = oid("1.2.840.113549.1.12.1.6");
const TRIPLE_DES: ObjectIdentifier = oid("1.2.840.113549.3.7");

/// The digests of the two derivations, by their own name and by that of their HMAC.
const DIGESTS: &[(ObjectIdentifier, ObjectIdentifier, Digest)] = &[
    (
        oid("1.3.14.3.2.26"),
        oid("1.2.840.113549.2.7"),
        Digest {
            plain: &digest::SHA1_FOR_LEGACY_USE_ONLY,
            hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            pbkdf2: Some(pbkdf2::PBKDF2_HMAC_SHA1),
        },
    ),
    (
        oid("2.16.840.1.101.3.4.2.4"),
        oid("1.2.840.113549.2.8"),
        Digest {
            plain: &digest::SHA224,
            hmac: hmac::HMAC_SHA224,
            pbkdf2: None,
        },
    ),
    (
        oid("2.16.840.1.101.3.4.2.1"),
        oid("1.2.840.113549.2.9"),
        Digest {
            plain: &digest::SHA256,
            hmac: hmac::HMAC_SHA256,
            pbkdf2: Some(pbkdf2::PBKDF2_HMAC_SHA256),
        },
    ),
    (
        oid("2.16.840.1.101.3.4.2.2"),
        oid("1.2.840.113549.2.10"),
        Digest {
            plain: &digest::SHA384,
            hmac: hmac::HMAC_SHA384,
            pbkdf2: Some(pbkdf2::PBKDF2_HMAC_SHA384),
        },
    ),
    (
        oid("2.16.840.1.101.3.4.2.3"),
        oid("1.2.840.113549.2.11"),
        Digest {
            plain: &digest::SHA512,
            hmac: hmac::HMAC_SHA512,
            pbkdf2: Some(pbkdf2::PBKDF2_HMAC_SHA512),
        },
    ),
];

const UNKNOWN_DIGEST: Closed = Closed::Unsupported("a digest that is not one of SHA-1 and SHA-2");

#[derive(Clone, Copy)]
struct Digest {
    plain: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: Option<pbkdf2::Algorithm>,
}

/// A password in the two forms that derivations want, and what they may still cost: one for each file.
pub(super) struct Password {
    /// UTF-8, for PBES2.
    text: Zeroizing<Vec<u8>>,
    /// UTF-16 with its zero at the end, for PKCS#12.
    wide: Zeroizing<Vec<u8>>,
    /// Rounds that are left.
    rounds: Rc<Cell<u64>>,
}

impl Password {
    pub(super) fn new(text: &str) -> Self {
        // both in one allocation, so that growing leaves no copies behind
        let mut wide = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
        wide.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        wide.extend([0, 0]);
        Self {
            text: Zeroizing::new(text.as_bytes().to_vec()),
            wide,
            rounds: Rc::new(Cell::new(MAX_ROUNDS)),
        }
    }

    /// No password at all, which some tools take for an empty one.
    fn bare(&self) -> Self {
        Self {
            text: Zeroizing::default(),
            wide: Zeroizing::default(),
            rounds: Rc::clone(&self.rounds),
        }
    }

    /// Pays for a derivation before it is made: its rounds for each block of a key of that length.
    fn pay(&self, rounds: u32, length: usize, block: usize) -> Result<(), Closed> {
        let blocks = u64::try_from(length.div_ceil(block.max(1))).unwrap_or(u64::MAX);
        let cost = u64::from(rounds).saturating_mul(blocks);
        let left = self.rounds.get().checked_sub(cost).ok_or(Closed::Dear)?;
        self.rounds.set(left);
        Ok(())
    }
}

/// The fields of a sequence, one after the other.
struct Fields<'a>(SliceReader<'a>);

impl<'a> Fields<'a> {
    fn of(sequence: AnyRef<'a>) -> Result<Self, Closed> {
        sequence.tag().assert_eq(Tag::Sequence)?;
        Ok(Self(SliceReader::new(sequence.value())?))
    }

    fn any(&mut self) -> Result<AnyRef<'a>, Closed> {
        Ok(AnyRef::decode(&mut self.0)?)
    }

    fn optional(&mut self) -> Result<Option<AnyRef<'a>>, Closed> {
        if self.0.is_finished() {
            return Ok(None);
        }
        self.any().map(Some)
    }

    fn oid(&mut self) -> Result<ObjectIdentifier, Closed> {
        Ok(ObjectIdentifier::decode(&mut self.0)?)
    }

    fn octets(&mut self) -> Result<&'a [u8], Closed> {
        octets(self.any()?)
    }

    fn rounds(&mut self) -> Result<u32, Closed> {
        match u32::decode(&mut self.0)? {
            0 => Err(Closed::Unsupported("a derivation without rounds")),
            rounds => Ok(rounds),
        }
    }

    /// What is inside the explicit tag 0.
    fn explicit(&mut self) -> Result<AnyRef<'a>, Closed> {
        let outer = self.any()?;
        let tag = Tag::ContextSpecific {
            constructed: true,
            number: TagNumber(0),
        };
        outer.tag().assert_eq(tag)?;
        Ok(AnyRef::from_der(outer.value())?)
    }
}

fn octets(any: AnyRef<'_>) -> Result<&[u8], Closed> {
    any.tag().assert_eq(Tag::OctetString)?;
    Ok(any.value())
}

/// A `ContentInfo` (RFC 5652 section 3).
struct ContentInfo<'a> {
    kind: ObjectIdentifier,
    value: AnyRef<'a>,
}

impl<'a> ContentInfo<'a> {
    fn octets(&self) -> Result<&'a [u8], Closed> {
        octets(self.value)
    }
}

fn content_info(any: AnyRef<'_>) -> Result<ContentInfo<'_>, Closed> {
    let mut fields = Fields::of(any)?;
    Ok(ContentInfo {
        kind: fields.oid()?,
        value: fields.explicit()?,
    })
}

/// An `AlgorithmIdentifier`, its parameters being a sequence where there are any.
fn algorithm(any: AnyRef<'_>) -> Result<(ObjectIdentifier, Option<AnyRef<'_>>), Closed> {
    let mut fields = Fields::of(any)?;
    Ok((fields.oid()?, fields.optional()?))
}

fn parameters(any: Option<AnyRef<'_>>) -> Result<Fields<'_>, Closed> {
    Fields::of(any.ok_or(Closed::Malformed)?)
}

/// Verifies the check of integrity (RFC 7292 section 4, RFC 9579), and gives the password in another form if that fits.
fn check(mac: AnyRef<'_>, content: &[u8], password: &Password) -> Result<Option<Password>, Closed> {
    let mut fields = Fields::of(mac)?;
    let mut info = Fields::of(fields.any()?)?;
    let (kind, given) = algorithm(info.any()?)?;
    let expected = info.octets()?;
    let salt = fields.octets()?;
    let rounds = match fields.0.is_finished() {
        true => 1,
        false => fields.rounds()?,
    };
    let is_right = |key: &[u8], algorithm| {
        let key = hmac::Key::new(algorithm, key);
        hmac::verify(&key, content, expected).is_ok()
    };
    if kind == PBMAC1 {
        let mut given = parameters(given)?;
        let derivation = given.any()?;
        let (scheme, _) = algorithm(given.any()?)?;
        let digest = by_hmac(scheme)?;
        let key = derived_by_pbkdf2(derivation, None, password)?;
        return match is_right(&key, digest.hmac) {
            true => Ok(None),
            false => Err(Closed::Password),
        };
    }
    let (.., digest) = DIGESTS
        .iter()
        .find(|(plain, ..)| *plain == kind)
        .ok_or(UNKNOWN_DIGEST)?;
    let key = |password: &Password| {
        derived(
            digest.plain,
            Use::Mac,
            password,
            salt,
            rounds,
            digest.plain.output_len(),
        )
    };
    if is_right(&key(password)?, digest.hmac) {
        return Ok(None);
    }
    // nothing and an empty text are different bytes, and tools do not agree which one an empty password is
    if password.text.is_empty() {
        let bare = password.bare();
        if is_right(&key(&bare)?, digest.hmac) {
            return Ok(Some(bare));
        }
    }
    Err(Closed::Password)
}

/// `SafeContents`.
fn bags(der: &[u8], password: &Password, content: &mut Content, depth: u32) -> Result<(), Closed> {
    if depth > MAX_DEPTH {
        return Err(Closed::Malformed);
    }
    // what was opened with a wrong password and happens to end in a padding is no DER
    let mut bags = Fields::of(AnyRef::from_der(der)?)?;
    while let Some(bag) = bags.optional()? {
        let mut fields = Fields::of(bag)?;
        let kind = fields.oid()?;
        let value = fields.explicit()?;
        match kind {
            KEY_BAG => content.keys.push(key(&reencoded(value)?)),
            SHROUDED_KEY_BAG => content.keys.push(shrouded(value, password)?),
            CERTIFICATE_BAG => {
                let mut fields = Fields::of(value)?;
                if fields.oid()? == X509_CERTIFICATE {
                    let der = octets(fields.explicit()?)?.to_vec();
                    let certificate = CertificateDer::from(der);
                    if !content.certificates.contains(&certificate) {
                        content.certificates.push(certificate);
                    }
                }
            }
            BAGS_BAG => {
                let inner = reencoded(value)?;
                self::bags(&inner, password, content, depth + 1)?;
            }
            // revocation lists and secrets of others
            _ => {}
        }
    }
    Ok(())
}

/// A field with its header again.
fn reencoded(any: AnyRef<'_>) -> Result<Zeroizing<Vec<u8>>, Closed> {
    Ok(Zeroizing::new(any.to_der()?))
}

fn key(der: &[u8]) -> Zeroizing<PrivateKeyDer<'static>> {
    Zeroizing::new(PrivatePkcs8KeyDer::from(der.to_vec()).into())
}

/// An `EncryptedPrivateKeyInfo`.
fn shrouded(
    any: AnyRef<'_>,
    password: &Password,
) -> Result<Zeroizing<PrivateKeyDer<'static>>, Closed> {
    let mut fields = Fields::of(any)?;
    let algorithm = fields.any()?;
    let der = decrypt(algorithm, fields.octets()?, password)?;
    // nothing authenticates it: what a wrong password leaves is known by its form
    let mut inside = AnyRef::from_der(&der)
        .map_err(Closed::from)
        .and_then(Fields::of)
        .map_err(|_| Closed::Password)?;
    inside.any().map_err(|_| Closed::Password)?;
    Ok(key(&der))
}

#[cfg(test)]
mod tests;
