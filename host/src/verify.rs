//! Signatures of others, checked with their public keys, for ID tokens. What comes in is from outside, keys included.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use edgepass_core::{Algorithm, PublicKey};

/// What the library takes, bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How an uncompressed point begins (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// Whether that is the key's signature over `input`; in words why it cannot be told.
pub(crate) fn signature(
    algorithm: Algorithm,
    key: &PublicKey,
    input: &[u8],
    signature: &[u8],
) -> Result<bool, String> {
    let key = match (algorithm, key) {
        (Algorithm::Rs256, PublicKey::Rsa { n, e }) => rsa(&RSA_PKCS1_2048_8192_SHA256, n, e)?,
        (Algorithm::Ps256, PublicKey::Rsa { n, e }) => rsa(&RSA_PSS_2048_8192_SHA256, n, e)?,
        (Algorithm::Es256, PublicKey::Ec { x, y }) => point(&ECDSA_P256_SHA256_FIXED, 32, x, y)?,
        (Algorithm::Es384, PublicKey::Ec { x, y }) => point(&ECDSA_P384_SHA384_FIXED, 48, x, y)?,
        (Algorithm::EdDsa, PublicKey::Ed25519 { x }) => {
            ParsedPublicKey::new(&ED25519, x).map_err(|_| "it is no key of Ed25519".to_owned())?
        }
        _ => {
            return Err(format!(
                "it is of another kind than {} takes",
                algorithm.name()
            ));
        }
    };
    Ok(key.verify_sig(input, signature).is_ok())
}

fn rsa(parameters: &'static RsaParameters, n: &[u8], e: &[u8]) -> Result<ParsedPublicKey, String> {
    // the library looks at the length when it verifies, and then does not say that this was it
    let spare = n.first().map_or(0, |first| first.leading_zeros() as usize);
    let bits = (8 * n.len()).saturating_sub(spare);
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "it is RSA of {bits} bits, where {} to {} are expected",
            RSA_BITS.start(),
            RSA_BITS.end()
        ));
    }
    let key = RsaPublicKeyComponents { n, e };
    key.to_parsed_public_key(parameters)
        .map_err(|_| "its n and e are no RSA key".to_owned())
}

fn point(
    algorithm: &'static dyn VerificationAlgorithm,
    length: usize,
    x: &[u8],
    y: &[u8],
) -> Result<ParsedPublicKey, String> {
    if x.len() != length || y.len() != length {
        return Err(format!(
            "its x and y have {} and {} bytes, where the curve has {length}",
            x.len(),
            y.len()
        ));
    }
    let point = [&[UNCOMPRESSED], x, y].concat();
    ParsedPublicKey::new(algorithm, point)
        .map_err(|_| "its x and y are no point of the curve".to_owned())
}
