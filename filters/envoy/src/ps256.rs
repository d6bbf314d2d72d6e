//! PS256 (RFC 7518 section 3.5: RSASSA-PSS with SHA-256, and a salt as long as the digest), which Envoy's `sign` has not.
//!
//! It is made in the module, in constant time and blinded: each signature raises the digest times a random number, and its
//! exponents are random multiples too, so what somebody could measure of one says nothing of the next. Lints keep the
//! calls without random numbers out (`clippy.toml`). The result is checked with the public key before anybody sees it, by
//! which a fault of the processor does not give the key away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass_core::{CertificateError, Zeroizing};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, ObjectIdentifier, PrivateKeyInfoRef};
use rsa::rand_core::TryCryptoRng;
use rsa::sha2::Sha256;
use rsa::{Error, PrivateKey};

/// A signature of the smallest key that servers take, 2048 bits (RFC 7518 section 3.5).
const MIN_BYTES: usize = 256;

/// `id-RSASSA-PSS` (RFC 4055 section 1.2): of an RSA key that is for this alone.
const FOR_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Signs with a private key in PEM.
pub(crate) fn sign(
    pem: &[u8],
    input: &[u8],
    random: &mut impl TryCryptoRng,
) -> Result<Vec<u8>, CertificateError> {
    let key = private_key(pem)?;
    let signed = key.pss_sign_with_rng::<Sha256, _>(random, input);
    let signature = signed.map_err(|error| match error {
        Error::Rng => CertificateError::Other(
            "there are no random numbers; is random_get among the plugin's capabilities?"
                .to_owned(),
        ),
        _ => CertificateError::Unavailable("its private key is damaged".to_owned()),
    })?;
    match signature.len() {
        ..MIN_BYTES => Err(CertificateError::Unavailable(
            "its RSA key has less than 2048 bits".to_owned(),
        )),
        _ => Ok(signature),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKey, CertificateError> {
    let bad = || {
        CertificateError::Unavailable(
            "its private key cannot be read; give it as PKCS#8 or PKCS#1 in PEM, without a passphrase"
                .to_owned(),
        )
    };
    let (frame, der) = decode(pem).ok_or_else(bad)?;
    match frame {
        "RSA PRIVATE KEY" => PrivateKey::from_pkcs1_der(&der).map_err(|_| bad()),
        "EC PRIVATE KEY" => Err(CertificateError::UnsupportedAlgorithm),
        "PRIVATE KEY" => {
            let info = PrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| bad())?;
            if ![rsa::pkcs1::ALGORITHM_OID, FOR_PSS].contains(&info.algorithm.oid) {
                return Err(CertificateError::UnsupportedAlgorithm);
            }
            PrivateKey::from_pkcs8_der(&der).map_err(|_| bad())
        }
        _ => Err(bad()),
    }
}

/// What the frame says, and what is in it.
fn decode(pem: &[u8]) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let text = std::str::from_utf8(pem).ok()?;
    let (frame, rest) = text.strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    // room for all of it at once: growing would leave copies of the key behind
    let mut plain = Zeroizing::new(Vec::with_capacity(body.len()));
    plain.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; plain.len()]);
    let length = STANDARD.decode_slice(&*plain, &mut der).ok()?;
    der.truncate(length);
    Some((frame, der))
}
