//! The credential protocol of the metadata service. What it grants is in the tests of edgepass itself, whose requests are
//! the only good ones here.

use edgepass_emulator::{Emulator, MachineKeys};
use http::StatusCode;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use crate::support::*;

const METADATA: &str = "/metadata/identity/getplatformmetadata";
const ISSUE: &str = "/metadata/identity/issuecredential";
const VERSION: &str = "cred-api-version=2.0";
const HEADERS: [(&str, &str); 2] = [("metadata", "true"), ("content-type", "application/json")];

async fn with_metadata() -> Emulator {
    let builder = Emulator::builder().metadata_port(0);
    builder.start().await.unwrap()
}

#[tokio::test]
async fn the_machine_says_who_it_is() {
    let emulator = with_metadata().await;
    let authority = emulator.metadata_authority().unwrap();
    let own = &emulator.managed_identities()[0];
    let path = format!("{METADATA}?{VERSION}&object_id={}", own.object_id);
    let answer = send_plain(&authority, "GET", &path, &HEADERS[..1])
        .await
        .unwrap();
    let body = answer.json();
    assert_eq!(body["clientId"], json!(own.client_id));
    assert_eq!(body["tenantId"], json!(emulator.tenant()));
    assert!(body["cuId"]["vmId"].is_string() && body["attestationEndpoint"].is_string());
    assert!(answer.header("server").contains("IMDS"));
    for (method, path, headers, status) in [
        ("GET", METADATA.to_owned(), &HEADERS[..1], 400),
        (
            "GET",
            format!("{METADATA}?cred-api-version=1.0"),
            &HEADERS[..1],
            400,
        ),
        (
            "GET",
            format!("{METADATA}?{VERSION}&mi_res_id=x"),
            &HEADERS[..1],
            400,
        ),
        (
            "GET",
            format!("{METADATA}?{VERSION}&object_id=x"),
            &HEADERS[..1],
            400,
        ),
        ("GET", path.clone(), &[][..], 400),
        (
            "GET",
            path.clone(),
            &[HEADERS[0], ("x-forwarded-for", "::1")][..],
            400,
        ),
        ("POST", path.clone(), &HEADERS[..1], 405),
    ] {
        let answer = send_plain(&authority, method, &path, headers)
            .await
            .unwrap();
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
    }
    emulator.set_machine_keys(MachineKeys::None);
    let answer = send_plain(&authority, "GET", &path, &HEADERS[..1])
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_for_a_certificate_is_the_machines_own_or_refused() {
    let emulator = with_metadata().await;
    let authority = emulator.metadata_authority().unwrap();
    let path = format!("{ISSUE}?{VERSION}");
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::default();
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "somebody");
    let pkcs1 = params.serialize_request(&key).unwrap();
    let pkcs1 = pem_body(&pkcs1.pem().unwrap());
    let ask = async |body: &str| {
        let answer = send_plain_with(&authority, "POST", &path, &HEADERS, body).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let body = answer.json();
        format!("{}: {}", body["error"], body["error_description"])
    };
    for (body, says) in [
        (String::new(), "not JSON"),
        (json!({}).to_string(), "'csr' is missing"),
        (
            json!({ "csr": "-----BEGIN" }).to_string(),
            "'csr' is missing",
        ),
        (json!({ "csr": "MAA=" }).to_string(), "not PKCS#10"),
        (
            json!({ "csr": pkcs1 }).to_string(),
            "not signed with RSA-PSS",
        ),
    ] {
        let said = ask(&body).await;
        assert!(said.contains(says), "{said}");
    }
    emulator.set_machine_keys(MachineKeys::Attested);
    let said = ask(&json!({ "csr": pkcs1, "attestation_token": "" }).to_string()).await;
    assert!(said.contains("attestation_required"), "{said}");
    assert!(emulator.issued_certificates().is_empty());
}

/// A managed identity is no application, whatever else is shown for it.
#[tokio::test]
async fn a_managed_identity_is_known_by_its_certificate_alone() {
    let emulator = with_metadata().await;
    let id = emulator.managed_identities()[0].client_id.clone();
    let path = token_path(emulator.tenant());
    let fields = [
        ("client_id", id.as_str()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ];
    let bare = Client::new(&emulator);
    bare.post(&path, &fields).await.refused(392_200);
    let own = bare
        .at(&emulator.mtls_authority())
        .identity(emulator.client_certificate());
    own.post(&path, &fields).await.refused(700_027);
    let mut more = fields.to_vec();
    more.push(("client_secret", emulator.client_secret()));
    own.post(&path, &more).await.refused(9_002_313);
}

fn pem_body(pem: &str) -> String {
    pem.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect()
}
