//! Certificates: the right key on the right connection, through rotations, and never inside the sandbox.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use edgepass::{CertificateSource, ErrorClass, Provider};
use edgepass_emulator::{CertificateOptions, ClientCertificate};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, BitString};
use x509_cert::der::{Decode, Encode, Tag};

use crate::providers::graph;
use crate::support::Lab;
use crate::until;

fn certificate() -> Value {
    json!({ "certificate": { "name": "demo" } })
}

/// A certificate that the application is not registered with, and its own key.
fn stranger(lab: &Lab) -> ClientCertificate {
    lab.emulator
        .create_client_certificate("stranger", &CertificateOptions::default())
        .unwrap()
}

fn bound() -> Value {
    json!({ "bound_certificate": { "name": "demo" } })
}

#[tokio::test]
async fn an_assertion_is_signed_outside() {
    let lab = Lab::new();
    let provider = lab.configured(&certificate()).build().await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    let [request] = lab.emulator.token_requests().try_into().unwrap();
    assert_eq!(request.method_of_proof.as_deref(), Some("certificate"));
    assert_eq!(
        request.client_certificate, None,
        "the connection is an ordinary one"
    );
}

#[tokio::test]
async fn a_bound_request_is_authenticated_by_the_connection() {
    let lab = Lab::new();
    let provider = lab.configured(&bound()).build().await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    let [request] = lab.emulator.token_requests().try_into().unwrap();
    let thumbprint = &lab.emulator.client_certificate().thumbprint;
    assert_eq!(request.client_certificate.as_ref(), Some(thumbprint));
    assert!(request.host.starts_with("mtlsauth."), "{}", request.host);
}

#[tokio::test]
async fn pem_in_memory_does_as_well_in_every_form() {
    let lab = Lab::new();
    let pair = lab.emulator.client_certificate().clone();
    let both = format!("{}{}", pair.private_key_pem, pair.certificate_pem);
    for source in [
        CertificateSource::pem(both),
        CertificateSource::pem_pair(pair.certificate_pem.clone(), pair.private_key_pem.clone()),
    ] {
        let shown = format!("{source:?}");
        assert!(
            shown.contains("redacted") && !shown.contains("BEGIN"),
            "{shown}"
        );
        let provider = lab
            .configured(&bound())
            .certificate("demo", source)
            .build()
            .await
            .unwrap();
        provider.get_token(&graph()).await.unwrap();
    }
}

/// The same names, dates and key as an X.509 version 1 certificate, which has no extensions: what `openssl x509 -req`
/// makes without `-extfile`.
fn version_1(pair: &ClientCertificate) -> String {
    let sequence = |fields: &[Vec<u8>]| {
        let fields = fields.concat();
        AnyRef::new(Tag::Sequence, &fields)
            .unwrap()
            .to_der()
            .unwrap()
    };
    let certificate = Certificate::from_der(&pair.chain[0]).unwrap();
    let algorithm = certificate.signature_algorithm().to_der().unwrap();
    let fields = certificate.tbs_certificate();
    let signed = sequence(&[
        fields.serial_number().to_der().unwrap(),
        algorithm.clone(),
        fields.issuer().to_der().unwrap(),
        fields.validity().to_der().unwrap(),
        fields.subject().to_der().unwrap(),
        fields.subject_public_key_info().to_der().unwrap(),
    ]);
    let key = PrivatePkcs8KeyDer::from_pem_slice(pair.private_key_pem.as_bytes()).unwrap();
    let key = KeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        &signed,
        &mut signature,
    )
    .unwrap();
    let signature = BitString::from_bytes(&signature).unwrap();
    pem(&sequence(&[signed, algorithm, signature.to_der().unwrap()]))
}

/// A certificate as PEM.
fn pem(der: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// A provider with that certificate, which the application is registered with.
async fn registered(
    lab: &Lab,
    credential: &Value,
    pair: &ClientCertificate,
    chain_pem: &str,
) -> Provider {
    lab.emulator
        .set_certificate(lab.emulator.client_id(), pair)
        .unwrap();
    let source = CertificateSource::pem_pair(chain_pem, pair.private_key_pem.clone());
    lab.configured(credential)
        .certificate("demo", source)
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_version_1_certificate_signs() {
    let lab = Lab::new();
    let mut pair = lab.emulator.client_certificate().clone();
    pair.certificate_pem = version_1(&pair);
    let provider = registered(&lab, &certificate(), &pair, &pair.certificate_pem).await;
    provider.get_token(&graph()).await.unwrap();
    let [request] = lab.emulator.token_requests().try_into().unwrap();
    assert_eq!(request.method_of_proof.as_deref(), Some("certificate"));
}

#[tokio::test]
async fn a_version_1_certificate_authenticates_connections() {
    let lab = Lab::new();
    let mut pair = lab.emulator.client_certificate().clone();
    pair.certificate_pem = version_1(&pair);
    let credential = json!({ "bound_certificate": { "name": "demo" } });
    let provider = registered(&lab, &credential, &pair, &pair.certificate_pem).await;
    provider.get_token(&graph()).await.unwrap();
    let [request] = lab.emulator.token_requests().try_into().unwrap();
    assert!(request.client_certificate.is_some());
    assert!(request.host.starts_with("mtlsauth."), "{}", request.host);
}

/// A certificate of the emulator's authority, and it and the authority's in PEM.
fn issued(lab: &Lab) -> (ClientCertificate, [String; 2]) {
    let options = CertificateOptions {
        issued_by_ca: true,
        ..CertificateOptions::default()
    };
    let pair = lab
        .emulator
        .create_client_certificate("issued", &options)
        .unwrap();
    let texts = [pem(&pair.chain[0]), pem(&pair.chain[1])];
    (pair, texts)
}

#[tokio::test]
async fn the_certificate_of_the_key_comes_first_whatever_the_order_in_the_file() {
    let lab = Lab::new();
    let (pair, [leaf, root]) = issued(&lab);
    let other = stranger(&lab).certificate_pem;
    for text in [
        format!("{leaf}{root}"),
        format!("{root}{leaf}"),
        format!("{root}{other}{leaf}"),
        format!("{leaf}{other}{root}"),
        format!("{leaf}{leaf}{root}{root}"),
        format!("{root}{root}{leaf}{leaf}"),
    ] {
        for kind in ["certificate", "bound_certificate"] {
            let credential = json!({ kind: { "name": "demo", "send_x5c": true } });
            let provider = registered(&lab, &credential, &pair, &text).await;
            // with `x5c` the emulator checks that each certificate is signed by the next
            provider.get_token(&graph()).await.unwrap();
        }
    }
}

/// A host and a provider with that certificate alone, from files.
async fn of_files(lab: &Lab, credential: &Value, text: &str, key: &str) -> (Vec<String>, Provider) {
    let mut config = lab.config(credential);
    config["certificates"]["demo"] = json!({
        "certificate_file": lab.write("c.pem", text),
        "private_key_file": lab.write("k.pem", key),
    });
    let builder = || {
        Provider::builder()
            .config_json(config.to_string())
            .ca_pem(lab.emulator.ca_pem())
    };
    let problems = builder().build_host().unwrap().problems();
    (problems, builder().build().await.unwrap())
}

#[tokio::test]
async fn a_certificate_whose_time_is_over_or_has_not_come_is_not_ready() {
    const DAY: i64 = 86_400;

    let lab = Lab::new();
    for (from, to, says, is_ready) in [
        (
            -10 * DAY,
            -3 * DAY - 3600,
            "certificate demo expired 3 days ago, 20",
            false,
        ),
        (
            2 * DAY + 3600,
            9 * DAY,
            "certificate demo becomes valid in 2 days, 20",
            false,
        ),
        (
            -100 * DAY,
            5 * DAY + 3600,
            "certificate demo expires in 5 days, 20",
            true,
        ),
        (-DAY, 300 * DAY, "", true),
    ] {
        let options = CertificateOptions {
            not_before_in: from,
            not_after_in: to,
            ..CertificateOptions::default()
        };
        let pair = lab.emulator.create_client_certificate("demo", &options);
        let pair = pair.unwrap();
        for credential in [certificate(), bound(), json!([certificate()])] {
            let (problems, provider) = of_files(
                &lab,
                &credential,
                &pair.certificate_pem,
                &pair.private_key_pem,
            )
            .await;
            assert_eq!(problems.is_empty(), says.is_empty(), "{problems:?}");
            assert!(problems.concat().starts_with(says), "{problems:?}");
            for identity in [None, Some("app")] {
                let trials = provider.try_credentials(identity).await.unwrap();
                let [trial] = trials.try_into().unwrap();
                let problem = trial.problem.map(|error| format!("{error:#}"));
                assert_eq!(problem.is_none(), is_ready, "{problem:?}");
                let problem = problem.unwrap_or_default();
                assert!(is_ready || problem.contains(says), "{problem}");
            }
        }
    }
    assert!(lab.emulator.token_requests().is_empty());
}

#[tokio::test]
async fn certificates_of_another_chain_are_not_sent_and_are_named() {
    let lab = Lab::new();
    let (pair, [leaf, root]) = issued(&lab);
    let other = stranger(&lab).certificate_pem;
    let credential = json!({ "certificate": { "name": "demo", "send_x5c": true } });
    for (text, left_out) in [
        (format!("{leaf}{root}"), 0),
        (format!("{leaf}{other}{root}"), 1),
        // its issuer is not there, so nothing leads from it
        (format!("{other}{leaf}"), 1),
    ] {
        lab.emulator
            .set_certificate(lab.emulator.client_id(), &pair)
            .unwrap();
        let (problems, provider) = of_files(&lab, &credential, &text, &pair.private_key_pem).await;
        assert_eq!(problems.len(), left_out, "{problems:?}");
        for problem in problems {
            assert!(
                problem.contains("CN=stranger")
                    && problem.contains("c.pem")
                    && problem.contains("it is not sent"),
                "{problem}"
            );
        }
        // with `x5c` the emulator checks that each certificate is signed by the next
        provider.get_token(&graph()).await.unwrap();
    }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_mixes_nothing_and_fails_nothing() {
    const ROTATIONS: usize = 12;
    let lab = Lab::new();
    let provider = lab.configured(&bound()).build().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..3)
        .map(|_| {
            let (provider, done) = (provider.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    provider.drop_cached(None).await.unwrap();
                    provider.get_token(&graph()).await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut thumbprints = vec![lab.emulator.client_certificate().thumbprint.clone()];
    for _ in 0..ROTATIONS {
        let fresh = tokio::task::block_in_place(|| lab.emulator.rotate_certificate()).unwrap();
        until(|| {
            let requests = lab.emulator.token_requests();
            let used = requests
                .last()
                .and_then(|last| last.client_certificate.as_ref());
            used == Some(&fresh)
        })
        .await;
        thumbprints.push(fresh);
    }
    done.store(true, Ordering::Relaxed);
    let mut tokens = 0;
    for task in load {
        tokens += task.await.unwrap();
    }
    let requests = lab.emulator.token_requests();
    // the emulator refuses an assertion of another key than the connection's
    assert!(
        requests.iter().all(|request| request.status == Some(200)),
        "{tokens} tokens"
    );
    let mut used: Vec<_> = requests
        .iter()
        .filter_map(|request| request.client_certificate.clone())
        .collect();
    assert_eq!(used.len(), requests.len());
    used.dedup();
    assert!(
        used.iter()
            .all(|thumbprint| thumbprints.contains(thumbprint))
    );
}

#[tokio::test]
async fn a_pair_that_does_not_match_is_never_used() {
    let lab = Lab::new();
    let (first, second) = (lab.emulator.client_certificate(), stranger(&lab));
    let chain = lab.write("chain.pem", &first.certificate_pem);
    let key = lab.write("key.pem", &first.private_key_pem);
    let source = CertificateSource::files(&chain, Some(key.clone()));
    let provider = lab
        .configured(&certificate())
        .certificate("demo", source.clone())
        .build()
        .await
        .unwrap();
    provider.get_token(&graph()).await.unwrap();

    // half a rotation: the previous pair stays in use
    lab.write("key.pem", &second.private_key_pem);
    provider.drop_cached(None).await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    assert!(
        lab.emulator
            .token_requests()
            .iter()
            .all(|request| request.status == Some(200))
    );

    // who starts with it has no previous one
    let late = lab
        .configured(&certificate())
        .certificate("demo", source)
        .build()
        .await
        .unwrap();
    let error = late.get_token(&graph()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable);
    let text = error.to_string();
    assert!(
        text.contains(&*key.to_string_lossy()) && text.contains("does not belong"),
        "{text}"
    );
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
        let source = CertificateSource::files(&chain, Some(key.clone()));
        let provider = lab
            .configured(&certificate())
            .certificate("demo", source)
            .build()
            .await
            .unwrap();
        let error = provider.get_token(&graph()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(says) && text.contains(&*key.to_string_lossy()),
            "{text}"
        );
    }
    assert!(lab.emulator.token_requests().is_empty());
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
        let source = CertificateSource::files(&chain, Some(key.clone()));
        let provider = lab
            .configured(&certificate())
            .certificate("demo", source)
            .build()
            .await
            .unwrap();
        let error = provider.get_token(&graph()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(says) && text.contains(&*chain.to_string_lossy()),
            "{text}"
        );
    }
    assert!(lab.emulator.token_requests().is_empty());
}

#[tokio::test]
async fn a_server_that_refuses_the_certificate_is_understood() {
    let lab = Lab::new();
    let stranger = stranger(&lab);
    let source = CertificateSource::pem_pair(stranger.certificate_pem, stranger.private_key_pem);
    let provider = lab
        .configured(&bound())
        .certificate("demo", source)
        .build()
        .await
        .unwrap();
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialRejected, "{error}");
    // retries aside, nothing was sent anywhere else
    assert!(
        lab.emulator
            .journal()
            .iter()
            .all(|entry| entry.host.starts_with("mtlsauth."))
    );
}

#[tokio::test]
async fn an_unknown_certificate_is_a_configuration_error() {
    let lab = Lab::new();
    let error = lab
        .configured(&json!({ "certificate": { "name": "nobody" } }))
        .build()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_key_is_not_in_the_memory_of_the_component() {
    let lab = Lab::new();
    let provider = lab.configured(&bound()).build().await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    provider.drop_cached(None).await.unwrap();
    provider.get_token(&graph()).await.unwrap();

    // where the component sends its requests, and unlike any other test's
    let authority = format!(".localhost:{}", lab.emulator.port());
    let memories = guest_memories(authority.as_bytes());
    assert!(!memories.is_empty(), "the component's memory was not found");
    let pem = &lab.emulator.client_certificate().private_key_pem;
    let base64: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &base64).unwrap();
    // the modulus is public and stands in the certificate: what follows it in PKCS#1 is not
    let secret = &der[der.len() / 3..];
    for memory in &memories {
        for needle in secret
            .windows(24)
            .step_by(24)
            .chain(base64.as_bytes().windows(24).skip(600).step_by(24))
        {
            assert!(!memory.windows(24).any(|window| window == needle));
        }
    }
}

/// The linear memories of the components in this process: wasmtime maps their first pages from an image that has a
/// name, and what they grow by follows it.
#[cfg(target_os = "linux")]
fn guest_memories(mark: &[u8]) -> Vec<Vec<u8>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let regions: Vec<(u64, u64, &str)> = maps
        .lines()
        .map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            (number(from), number(to), line)
        })
        .collect();
    let writable = |line: &str| {
        line.split(' ')
            .nth(1)
            .is_some_and(|protection| protection.starts_with("rw"))
    };
    let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    for (index, &(from, end, line)) in regions.iter().enumerate() {
        if !line.contains("wasm-memory-image") || !writable(line) {
            continue;
        }
        let end = regions[index + 1..]
            .iter()
            .fold(end, |end, &(next, to, line)| {
                if next == end && writable(line) {
                    to
                } else {
                    end
                }
            });
        let mut bytes = vec![0; usize::try_from(end - from).unwrap()];
        memory.seek(SeekFrom::Start(from)).unwrap();
        // another test's component may be gone by now
        if memory.read_exact(&mut bytes).is_ok()
            && bytes.windows(mark.len()).any(|window| window == mark)
        {
            found.push(bytes);
        }
    }
    found
}

/// What `host/tests/pkcs12/make.sh` made, and the application with that certificate.
fn protected(lab: &Lab, name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pkcs12");
    let chain = std::fs::read_to_string(folder.join("chain.pem")).unwrap();
    let mut pair = lab.emulator.client_certificate().clone();
    pair.certificate_pem = chain;
    lab.emulator
        .set_certificate(lab.emulator.client_id(), &pair)
        .unwrap();
    folder.join(name)
}

#[tokio::test]
async fn a_key_under_a_password_signs_and_connects() {
    use base64::Engine as _;

    let lab = Lab::new();
    let store = protected(&lab, "openssl-3.p12");
    let old = protected(&lab, "openssl-1.1.p12");
    let (key, chain) = (
        protected(&lab, "openssl-3.key"),
        protected(&lab, "chain.pem"),
    );
    let password = lab.write("password", "correct horse\r\n");
    let base64 = |path: &std::path::Path| {
        let bytes = std::fs::read(path).unwrap();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let both = [std::fs::read(&chain).unwrap(), std::fs::read(&key).unwrap()].concat();
    let both = lab.write("both.pem", both);
    let plain = [
        std::fs::read(protected(&lab, "plain.key")).unwrap(),
        std::fs::read(&chain).unwrap(),
    ];
    let plain = lab.write("plain.pem", plain.concat());
    for files in [
        json!({ "certificate_file": store, "password_file": password }),
        json!({ "certificate_file": old, "password_env": "STORE_PASSWORD" }),
        json!({ "certificate_file": chain, "private_key_file": key, "password_file": password }),
        json!({ "certificate_file": both, "password_file": password }),
        json!({ "certificate_base64": base64(&store), "password_file": password }),
        json!({ "certificate_base64": base64(&plain) }),
    ] {
        for credential in [
            certificate(),
            json!({ "certificate": { "name": "demo", "use_bound_credential": true } }),
        ] {
            let mut config = lab.config(&credential);
            config["certificates"]["demo"] = files.clone();
            let provider = Provider::builder()
                .config_json(config.to_string())
                .environment(edgepass::Environment::from_pairs([(
                    "STORE_PASSWORD",
                    "correct horse",
                )]))
                .ca_pem(lab.emulator.ca_pem())
                .build()
                .await
                .unwrap();
            let token = provider.get_token(&graph()).await;
            assert!(token.is_ok(), "{files}: {token:?}");
            let request = lab.emulator.token_requests().pop().unwrap();
            let is_bound = credential["certificate"]["use_bound_credential"] == true;
            assert_eq!(request.client_certificate.is_some(), is_bound);
            assert_eq!(request.nonconforming, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_password_that_is_not_there_is_named_and_nothing_is_sent() {
    let lab = Lab::new();
    let store = protected(&lab, "openssl-3.p12");
    let empty = lab.write("empty", "\n");
    let wrong = lab.write("wrong", "Correct Horse");
    let latin = lab.write("latin", b"p\xe4ssword");
    for (files, says) in [
        (
            json!({}),
            "none is configured; set password_file or password_env",
        ),
        (
            json!({ "password_env": "NO_SUCH_VARIABLE" }),
            "password_env names an environment variable that is not set",
        ),
        (
            json!({ "password_file": "/nowhere/at/all" }),
            "/nowhere/at/all (password_file) cannot be read: there is no such file",
        ),
        (json!({ "password_file": latin }), "not text in UTF-8"),
        (
            json!({ "password_file": empty }),
            "the password does not open",
        ),
        (
            json!({ "password_file": wrong }),
            "the password does not open",
        ),
    ] {
        let mut config = lab.config(&certificate());
        let mut files = files;
        files["certificate_file"] = json!(store);
        config["certificates"]["demo"] = files;
        let provider = Provider::builder()
            .config_json(config.to_string())
            .ca_pem(lab.emulator.ca_pem())
            .build()
            .await
            .unwrap();
        let error = provider.get_token(&graph()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        let text = error.to_string();
        assert!(text.contains("`demo`") && text.contains(says), "{text}");
        assert!(!text.to_lowercase().contains("horse"), "{text}");
    }
    assert!(lab.emulator.token_requests().is_empty());
}

#[tokio::test]
async fn a_store_and_its_password_rotate_together() {
    let lab = Lab::new();
    let (first, second) = (
        protected(&lab, "openssl-3.p12"),
        protected(&lab, "beyond-ascii.p12"),
    );
    let store = lab.write("store.p12", std::fs::read(first).unwrap());
    let password = lab.write("password", "correct horse");
    let source =
        CertificateSource::files(&store, None).with_password(edgepass::Password::file(&password));
    let shown = format!("{source:?}");
    assert!(!shown.contains("horse"), "{shown}");
    let provider = lab
        .configured(&certificate())
        .certificate("demo", source)
        .build()
        .await
        .unwrap();
    provider.get_token(&graph()).await.unwrap();
    // the store is there, its password is not yet: the pair before is used on
    std::fs::write(&store, std::fs::read(second).unwrap()).unwrap();
    provider.drop_cached(None).await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    std::fs::write(&password, "p\u{e4}ssw\u{f6}rd \u{1f511}\n").unwrap();
    provider.drop_cached(None).await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    assert_eq!(lab.emulator.token_requests().len(), 3);
}

#[tokio::test]
async fn a_key_alone_authenticates_nobody_by_a_certificate() {
    let lab = Lab::new();
    let pair = lab.emulator.client_certificate().clone();
    for credential in [
        certificate(),
        json!({ "certificate": { "name": "demo", "use_bound_credential": true, "mode": "certificate-only" } }),
    ] {
        let provider = lab
            .configured(&credential)
            .certificate(
                "demo",
                CertificateSource::key_pem(pair.private_key_pem.clone()),
            )
            .build()
            .await
            .unwrap();
        let error = provider.get_token(&graph()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("private key without a certificate"), "{text}");
    }
    assert!(lab.emulator.token_requests().is_empty());
}
