//! Certificates: the right key on the right connection, through rotations, and never inside the sandbox.

#[path = "certificate/chain.rs"]
mod chain;
#[path = "certificate/files.rs"]
mod files;
#[cfg(target_os = "linux")]
#[path = "certificate/memory.rs"]
mod memory;
#[path = "certificate/password.rs"]
mod password;
#[path = "certificate/rotation.rs"]
mod rotation;

use edgepass::{CertificateSource, ErrorClass};
use edgepass_emulator::{CertificateOptions, ClientCertificate};
use serde_json::{Value, json};

use crate::providers::graph;
use crate::support::Lab;

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
