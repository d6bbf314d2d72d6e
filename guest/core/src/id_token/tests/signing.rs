//! Signatures, as servers make them and hosts check them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::*;

/// A private key, and its public half as a server publishes it.
pub(super) enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    pub(super) fn rsa(size: KeySize) -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(size).unwrap()))
    }

    pub(super) fn ec(algorithm: &'static EcdsaSigningAlgorithm, crv: &'static str) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap(), crv)
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                // PKCS#1 of 2048 bits: a sequence of the modulus, with a zero before it, and 65537
                let (n, e) = (&key.public_key().as_ref()[9..265], [1, 0, 1]);
                json!({ "kty": "RSA", "use": "sig", "kid": kid, "n": b64(n), "e": b64(e) })
            }
            Self::Ec(key, crv) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": crv, "kid": kid, "x": b64(x), "y": b64(y) })
            }
            Self::Ed25519(key) => {
                let x = b64(key.public_key());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
            }
        }
    }

    pub(super) fn sign(&self, alg: &str, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let encoding: &'static dyn RsaEncoding = match alg {
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, input, &mut signature).unwrap();
                signature
            }
            Self::Ec(key, _) => key.sign(&random, input).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(input).as_ref().to_vec(),
        }
    }

    pub(super) fn jws(&self, header: &Value, claims: &Value) -> String {
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let alg = header["alg"].as_str().unwrap_or_default();
        format!("{input}.{}", b64(self.sign(alg, input.as_bytes())))
    }
}

/// What a host does.
pub(super) fn verify(
    algorithm: Algorithm,
    key: &PublicKey,
    input: &[u8],
    signature: &[u8],
) -> bool {
    let point = |x: &[u8], y: &[u8]| [&[4], x, y].concat();
    match (algorithm, key) {
        (Algorithm::Rs256, PublicKey::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, input, signature)
            .is_ok(),
        (Algorithm::Ps256, PublicKey::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
            .verify(&RSA_PSS_2048_8192_SHA256, input, signature)
            .is_ok(),
        (Algorithm::Es256, PublicKey::Ec { x, y }) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(x, y))
                .verify(input, signature)
                .is_ok()
        }
        (Algorithm::Es384, PublicKey::Ec { x, y }) => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point(x, y))
                .verify(input, signature)
                .is_ok()
        }
        (Algorithm::EdDsa, PublicKey::Ed25519 { x }) => UnparsedPublicKey::new(&ED25519, x)
            .verify(input, signature)
            .is_ok(),
        other => panic!("a key of another kind: {other:?}"),
    }
}
