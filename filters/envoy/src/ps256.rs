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

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;
    use rsa::pkcs1::EncodeRsaPrivateKey as _;
    use rsa::pkcs8::EncodePrivateKey as _;
    use rsa::rand_core::TryRng;

    use super::*;

    /// A key of 2048 bits as OpenSSL writes it, and one with a passphrase.
    const KEY: &str = include_str!("../../../host/tests/pkcs12/plain.key");
    const ENCRYPTED: &str = include_str!("../../../host/tests/pkcs12/traditional.key");

    fn numbers() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(7)
    }

    fn framed(kind: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----")
    }

    #[test]
    fn both_forms_of_a_key_sign_and_never_the_same_twice() {
        let key = private_key(KEY.as_bytes()).unwrap();
        let public = key.to_public_key();
        let pkcs1 = framed("RSA PRIVATE KEY", key.to_pkcs1_der().unwrap().as_bytes());
        let mut numbers = numbers();
        let mut signatures = Vec::new();
        for key in [KEY, &pkcs1, KEY] {
            let signature = sign(key.as_bytes(), b"input", &mut numbers).unwrap();
            public.pss_verify::<Sha256>(b"input", &signature).unwrap();
            assert!(public.pss_verify::<Sha256>(b"other", &signature).is_err());
            assert!(!signatures.contains(&signature));
            signatures.push(signature);
        }
    }

    #[test]
    fn what_is_no_such_key_is_said() {
        // as RFC 5915 has one, and the beginning of PKCS#8 with id-ecPublicKey
        let curve = STANDARD.decode("MBwCAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEAjAA");
        let curve = framed("PRIVATE KEY", &curve.unwrap());
        let sec1 = framed("EC PRIVATE KEY", b"0");
        for key in [&curve, &sec1] {
            let error = sign(key.as_bytes(), b"", &mut numbers()).unwrap_err();
            assert!(
                matches!(error, CertificateError::UnsupportedAlgorithm),
                "{error:?}"
            );
        }
        let small = PrivateKey::new(&mut numbers(), 1024).unwrap();
        let small = framed("PRIVATE KEY", small.to_pkcs8_der().unwrap().as_bytes());
        let text = KEY.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        for (key, words) in [
            (small.as_str(), "less than 2048 bits"),
            (text.as_str(), "cannot be read"),
            (ENCRYPTED, "without a passphrase"),
            (&KEY[..200], "cannot be read"),
            (&framed("PRIVATE KEY", b"1"), "cannot be read"),
            (&framed("RSA PRIVATE KEY", b"1"), "cannot be read"),
            ("", "cannot be read"),
        ] {
            let error = sign(key.as_bytes(), b"", &mut numbers()).unwrap_err();
            assert!(
                matches!(&error, CertificateError::Unavailable(said) if said.contains(words)),
                "{error:?}"
            );
        }
    }

    /// Without random numbers nothing is signed that is not blinded.
    #[test]
    fn without_random_numbers_there_is_no_signature() {
        struct None;

        impl TryRng for None {
            type Error = std::fmt::Error;

            fn try_next_u32(&mut self) -> Result<u32, std::fmt::Error> {
                Err(std::fmt::Error)
            }

            fn try_next_u64(&mut self) -> Result<u64, std::fmt::Error> {
                Err(std::fmt::Error)
            }

            fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), std::fmt::Error> {
                Err(std::fmt::Error)
            }
        }

        impl TryCryptoRng for None {}

        let error = sign(KEY.as_bytes(), b"", &mut None).unwrap_err();
        assert!(
            matches!(&error, CertificateError::Other(said) if said.contains("random_get")),
            "{error:?}"
        );
    }
}
