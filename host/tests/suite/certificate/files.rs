//! What stands in files besides certificates and keys, and what cannot be used.

use std::path::Path;

use edgepass::{CertificateSource, ErrorClass};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::{certificate, stranger};
use crate::providers::graph;
use crate::support::Lab;

#[tokio::test]
async fn what_surrounds_the_lines_of_pem_is_no_part_of_it() {
    let lab = Lab::new();
    let pair = lab.emulator.client_certificate().clone();
    let forms: [fn(&str) -> String; 6] = [
        |pem| format!("\u{feff}{pem}"),
        |pem| pem.replace('\n', "\r\n"),
        |pem| pem.replace('\n', "\r"),
        |pem| pem.replace('\n', "\\n"),
        |pem| pem.replace('\n', "\n    "),
        |pem| {
            format!("Bag Attributes\n    friendlyName: app\nsubject=CN = app\n{pem}\nand so on\n")
        },
    ];
    for form in forms {
        let source =
            CertificateSource::pem_pair(form(&pair.certificate_pem), form(&pair.private_key_pem));
        let provider = lab
            .configured(&certificate())
            .certificate("demo", source)
            .build()
            .await
            .unwrap();
        let shown = form("-----BEGIN X-----\nA\n");
        let token = provider.get_token(&graph()).await;
        assert!(token.is_ok(), "{shown:?}: {token:?}");
    }
}

#[tokio::test]
async fn of_several_keys_the_one_with_a_certificate_counts() {
    let lab = Lab::new();
    let (pair, stranger) = (lab.emulator.client_certificate().clone(), stranger(&lab));
    let [key, certificate_pem] = [&pair.private_key_pem, &pair.certificate_pem];
    let other = &stranger.private_key_pem;
    for text in [
        format!("{other}{key}{certificate_pem}"),
        format!("{certificate_pem}{key}{other}"),
        format!("{SECP256K1}{key}{certificate_pem}"),
        format!("{LOCKED_PKCS1}{key}{certificate_pem}"),
        // renewed: the old pair is still in the file
        format!("{other}{}{key}{certificate_pem}", "\n"),
    ] {
        let provider = lab
            .configured(&certificate())
            .certificate("demo", CertificateSource::pem(text.as_str()))
            .build()
            .await
            .unwrap();
        let token = provider.get_token(&graph()).await;
        assert!(token.is_ok(), "{token:?}");
    }
    let none = CertificateSource::pem(format!("{other}{SECP256K1}{certificate_pem}"));
    let provider = lab
        .configured(&certificate())
        .certificate("demo", none)
        .build()
        .await
        .unwrap();
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert!(error.to_string().contains("does not belong"), "{error}");
}

const LOCKED_PKCS1: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
    DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";

/// `openssl ecparam -name secp256k1 -genkey -noout`
const SECP256K1: &str = "-----BEGIN EC PRIVATE KEY-----\n\
    MHQCAQEEIMdomxWRrdrs9yig0w9d4UMjunk99JlkV4vk15iWymrloAcGBSuBBAAK\n\
    oUQDQgAEMwLLFEA9vYKXVcDublI9V1AIN3cN/1laiQQMYUH0zc/NIQ1fqPaMJCcX\n\
    qG7+P2gLbU4gXU/wUmJ/c59YTY5uIA==\n-----END EC PRIVATE KEY-----\n";

/// `openssl genpkey -algorithm ed448`
const ED448: &str = "-----BEGIN PRIVATE KEY-----\n\
    MEcCAQAwBQYDK2VxBDsEOZe3z2ZBqgbJAQKSsRzKF6gHevnZtcD3PRxiT+GNIiDX\n\
    p3t+CLC2GRphQlh/NHip+PznROahA2cnGw==\n-----END PRIVATE KEY-----\n";

#[tokio::test]
async fn what_cannot_be_loaded_is_named() {
    let lab = Lab::new();
    let pair = lab.emulator.client_certificate().clone();
    let chain = lab.write("chain.pem", &pair.certificate_pem);
    let locked = pair
        .private_key_pem
        .replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let key_der = PrivatePkcs8KeyDer::from_pem_slice(pair.private_key_pem.as_bytes()).unwrap();
    let utf16 = pair
        .private_key_pem
        .encode_utf16()
        .flat_map(u16::to_le_bytes);
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf16).collect();
    let labelled = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for (key, says) in [
        (lab.root().join("missing.pem"), "there is no such file"),
        (lab.write("empty.pem", ""), "it is empty"),
        (
            lab.write("locked.pem", locked),
            "set password_file or password_env beside it",
        ),
        (
            lab.write("locked-pkcs1.pem", LOCKED_PKCS1),
            "encrypted the old way, with a digest of MD5; write it anew with the same password: openssl pkcs8 -topk8",
        ),
        (
            lab.write("cut.pem", labelled("PRIVATE KEY")),
            "cannot be used: it is damaged",
        ),
        (
            lab.write("curve.pem", SECP256K1),
            "its curve is secp256k1; use P-256",
        ),
        (lab.write("ed448.pem", ED448), "it is an Ed448 key"),
        (
            lab.write("dsa.pem", labelled("DSA PRIVATE KEY")),
            "it is a DSA key",
        ),
        (
            lab.write("key.der", key_der.secret_pkcs8_der()),
            "openssl pkey -inform der",
        ),
        (lab.write("utf16.pem", utf16), "it is text in UTF-16"),
        (
            lab.write("certificate.pem", &pair.certificate_pem),
            "it is a certificate; name the file with the private key",
        ),
        (
            lab.write("public.pem", labelled("PUBLIC KEY")),
            "it is a public key",
        ),
        (
            lab.write("request.pem", labelled("CERTIFICATE REQUEST")),
            "signing request",
        ),
        (
            lab.write("ssh.pem", labelled("OPENSSH PRIVATE KEY")),
            "ssh-keygen -p -m PKCS8",
        ),
        (
            lab.write("id.pub", "ssh-ed25519 AAAAC3Nz me@host"),
            "it is an SSH public key",
        ),
        (lab.write("key.jwk", "{\"kty\":\"RSA\"}"), "JSON Web Key"),
    ] {
        is_unavailable(&lab, &chain, &key, &[says, &*key.to_string_lossy()]).await;
    }
    assert!(lab.emulator.token_requests().is_empty());
}

/// No token is had with these files, and that is said of them.
async fn is_unavailable(lab: &Lab, chain: &Path, key: &Path, says: &[&str]) {
    let source = CertificateSource::files(chain, Some(key.to_owned()));
    let provider = lab
        .configured(&certificate())
        .certificate("demo", source)
        .build()
        .await
        .unwrap();
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
    let text = error.to_string();
    assert!(says.iter().all(|word| text.contains(word)), "{text}");
}

#[tokio::test]
async fn what_is_no_certificate_is_named() {
    let lab = Lab::new();
    let pair = lab.emulator.client_certificate().clone();
    let key = lab.write("key.pem", &pair.private_key_pem);
    let labelled = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for (chain, says) in [
        (
            lab.write("chain.pem", &pair.private_key_pem),
            "it is a private key; name the file with the certificate",
        ),
        (
            lab.write("chain.der", &pair.chain[0]),
            "openssl x509 -inform der",
        ),
        (
            lab.write("chain.p7b", labelled("PKCS7")),
            "openssl pkcs7 -in OLD -print_certs",
        ),
        (
            lab.write("chain.pfx", b"\x30\x82\x09\x31\x02\x01\x03\x30\x82"),
            "openssl pkcs12 -export",
        ),
        (
            lab.write("chain.csr", labelled("CERTIFICATE REQUEST")),
            "the authority made of it",
        ),
        (
            lab.write("chain.trusted", labelled("TRUSTED CERTIFICATE")),
            "trust settings",
        ),
        (
            lab.write("chain.txt", "MIIDazCCAlOgAwIBAgIU"),
            "base64 without the lines around it",
        ),
        (lab.write("chain.html", "<!DOCTYPE html>"), "it is HTML"),
        (
            lab.write("chain.cut", labelled("CERTIFICATE")),
            "cannot be used",
        ),
    ] {
        is_unavailable(&lab, &chain, &key, &[says, &*chain.to_string_lossy()]).await;
    }
    assert!(lab.emulator.token_requests().is_empty());
}
