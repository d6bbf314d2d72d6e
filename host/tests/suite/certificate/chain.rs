//! Which of a file's certificates and keys are used, and for how long.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use edgepass::{CertificateSource, Provider};
use edgepass_emulator::{CertificateOptions, ClientCertificate};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, BitString};
use x509_cert::der::{Decode, Encode, Tag};

use super::{bound, certificate, stranger};
use crate::providers::graph;
use crate::support::Lab;

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
