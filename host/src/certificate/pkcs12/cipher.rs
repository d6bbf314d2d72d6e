//! What was encrypted with a password, and how keys are derived from one.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, pbkdf2};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, KeyInit, KeyIvInit as _};
use des::{TdesEde2, TdesEde3};
use rc2::Rc2;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Tag, Tagged as _};
use zeroize::Zeroizing;

use super::*;

/// AES in CBC mode (NIST), by its name and the length of its key.
pub(super) const AES: &[(ObjectIdentifier, &aws_lc_rs::cipher::Algorithm, usize)] = &[
    (oid("2.16.840.1.101.3.4.1.2"), &AES_128, 16),
    (oid("2.16.840.1.101.3.4.1.22"), &AES_192, 24),
    (oid("2.16.840.1.101.3.4.1.42"), &AES_256, 32),
];

pub(super) fn decrypt(
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

pub(super) fn by_hmac(name: ObjectIdentifier) -> Result<Digest, Closed> {
    let known = DIGESTS.iter().find(|(_, hmac, _)| *hmac == name);
    known.map(|(.., digest)| *digest).ok_or(UNKNOWN_DIGEST)
}

/// PBKDF2 with its parameters (RFC 8018 appendix A.2). The length of a key for a cipher follows from that; another one is
/// among the parameters.
pub(super) fn derived_by_pbkdf2(
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
pub(super) enum Use {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// The derivation of PKCS#12 (RFC 7292 appendix B.2).
pub(super) fn derived(
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
