//! Signatures as a host checks them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use edgepass_core::{Algorithm, PublicKey};

/// Whether that is the key's signature; the engine gives no key of another kind than the algorithm's.
pub(crate) fn verify(
    algorithm: Algorithm,
    key: &PublicKey,
    input: &[u8],
    signature: &[u8],
) -> Result<bool, String> {
    let parameters = match algorithm {
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    };
    let verified = match (algorithm, key) {
        (Algorithm::Rs256 | Algorithm::Ps256, PublicKey::Rsa { n, e }) => {
            RsaPublicKeyComponents { n, e }.verify(parameters, input, signature)
        }
        (Algorithm::Es256, PublicKey::Ec { x, y }) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], x.as_slice(), y].concat())
                .verify(input, signature)
        }
        (Algorithm::Es384, PublicKey::Ec { x, y }) => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, [&[4], x.as_slice(), y].concat())
                .verify(input, signature)
        }
        (Algorithm::EdDsa, PublicKey::Ed25519 { x }) => {
            UnparsedPublicKey::new(&ED25519, x).verify(input, signature)
        }
        other => return Err(format!("a key of another kind: {other:?}")),
    };
    Ok(verified.is_ok())
}
