//! What is wrong with a certificate or a token file is said in the names of whoever has set it: of the settings of a .NET
//! program or of python-social-auth, or of variables.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass::{Builder, Environment, Provider, TokenRequest};
use edgepass_emulator::CertificateOptions;
use serde_json::{Value, json};

use crate::support::{GRAPH, Lab};

/// What stands in a document alone.
const OF_THE_DOCUMENT: [&str; 12] = [
    "certificate_file",
    "certificate_base64",
    "private_key_file",
    "password_file",
    "password_env",
    "federated_token_file.path",
    "certificates.",
    "identities.",
    "certificate `",
    "certificate AzureAd",
    "certificate default",
    "algorithm`",
];

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";

fn appsettings(lab: &Lab, credential: &Value) -> Builder {
    let settings = json!({ "AzureAd": {
        "Instance": "https://login.microsoftonline.com/", "TenantId": TENANT, "ClientId": CLIENT,
        "ClientCredentials": [credential],
    } });
    let path = lab.write("appsettings.json", format!("{settings:#}"));
    Provider::builder()
        .ca_file(lab.files.ca_file())
        .appsettings(path)
}

fn of_path(lab: &Lab, file: &Path, password: Option<&str>) -> Builder {
    let mut credential = json!({ "SourceType": "Path", "CertificateDiskPath": file });
    if let Some(password) = password {
        credential["CertificatePassword"] = json!(password);
    }
    appsettings(lab, &credential)
}

fn of_base64(lab: &Lab, file: &Path, password: Option<&str>) -> Builder {
    let content = std::fs::read(file).unwrap_or_else(|_| b"?".to_vec());
    let mut credential =
        json!({ "SourceType": "Base64Encoded", "Base64EncodedValue": STANDARD.encode(content) });
    if let Some(password) = password {
        credential["CertificatePassword"] = json!(password);
    }
    appsettings(lab, &credential)
}

fn of_variables(lab: &Lab, file: &Path, password: Option<&str>) -> Builder {
    let file = file.display().to_string();
    let password = password.map(|text| ("AZURE_CLIENT_CERTIFICATE_PASSWORD", text));
    let pairs = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_CERTIFICATE_PATH", &file),
    ];
    let pairs = pairs.into_iter().chain(password);
    Provider::builder()
        .ca_file(lab.files.ca_file())
        .environment(Environment::from_pairs(pairs))
}

/// Everything that is said of a builder's credentials before anything is sent.
async fn said(builder: impl Fn() -> Builder) -> Vec<String> {
    let mut said = builder().build_host().unwrap().problems();
    let provider = builder().build().await.unwrap();
    let trials = provider.try_credentials(None).await.unwrap();
    for trial in &trials {
        let problem = trial.problem.as_ref().unwrap();
        said.push(format!("{problem:#}"));
    }
    said
}

/// A token is not had either; what is said of that.
async fn refused(builder: Builder) -> String {
    let provider = builder.build().await.unwrap();
    let error = provider.get_token(&TokenRequest::for_scopes([GRAPH])).await;
    format!("{:#}", error.unwrap_err())
}

fn check(said: &str, place: &str, context: &str) {
    assert!(said.contains(place), "{context}: {said}");
    for word in OF_THE_DOCUMENT {
        assert!(!said.contains(word), "{context}: {word}: {said}");
    }
}

#[tokio::test]
async fn every_failure_of_a_certificate_names_the_setting_that_its_user_has() {
    let lab = Lab::new();
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pkcs12");
    let fixture = |name: &str| std::fs::read(fixtures.join(name)).unwrap();
    let chain = fixture("chain.pem");
    let with = |key: &[u8]| [&chain[..], key].concat();
    let pair = lab.emulator.client_certificate();
    let files: [(&str, Vec<u8>, Option<&str>, &str); 14] = [
        ("empty.pem", b"".to_vec(), None, "empty"),
        ("no-key.pem", chain.clone(), None, "no PEM private key"),
        ("key.pem", fixture("plain.key"), None, "no PEM certificate"),
        (
            "other.pem",
            with(pair.private_key_pem.as_bytes()),
            None,
            "does not belong",
        ),
        (
            "locked.pem",
            with(&fixture("openssl-3.key")),
            None,
            "protected by a password",
        ),
        (
            "wrong.pem",
            with(&fixture("openssl-3.key")),
            Some("wrong"),
            "does not open",
        ),
        (
            "locked.pfx",
            fixture("openssl-3.p12"),
            None,
            "protected by a password",
        ),
        (
            "wrong.pfx",
            fixture("openssl-3.p12"),
            Some("wrong"),
            "does not open",
        ),
        ("rc4.pfx", fixture("rc4.p12"), Some("correct horse"), "RC4"),
        (
            "old.pem",
            with(&fixture("traditional.key")),
            None,
            "the old way",
        ),
        ("der.cer", pair.chain[0].clone(), None, "in DER"),
        (
            "base64.txt",
            STANDARD.encode(fixture("openssl-3.p12")).into_bytes(),
            None,
            "base64 of a PKCS#12",
        ),
        (
            "token.txt",
            b"eyJhbGciOiJub25lIn0.e30.".to_vec(),
            None,
            "a token",
        ),
        ("nothing", b"hello".to_vec(), None, "no PEM"),
    ];
    for (name, build, place) in [
        (
            "path",
            of_path as fn(&Lab, &Path, Option<&str>) -> Builder,
            "AzureAd:ClientCredentials:0:CertificateDiskPath (",
        ),
        (
            "base64",
            of_base64,
            "AzureAd:ClientCredentials:0:Base64EncodedValue (",
        ),
        ("variables", of_variables, "AZURE_CLIENT_CERTIFICATE_PATH"),
    ] {
        for (file, content, password, says) in &files {
            // what is empty stands for nothing there
            if content.is_empty() && name == "base64" {
                continue;
            }
            let path = lab.write(file, content);
            let context = format!("{name}, {file}");
            // of a text that never can be one there is no host
            if name == "base64" && ["base64.txt", "token.txt", "nothing"].contains(file) {
                let refused = build(&lab, &path, *password).build_host();
                let refused = format!("{:#}", refused.err().expect("it is refused"));
                assert!(
                    refused.contains("neither PEM nor PKCS#12"),
                    "{context}: {refused}"
                );
                check(&refused, place, &context);
                continue;
            }
            let all = said(|| build(&lab, &path, *password)).await;
            let all = [&all[..], &[refused(build(&lab, &path, *password)).await]].concat();
            assert_eq!(all.len(), 3, "{context}: {all:?}");
            for said in &all {
                assert!(said.contains(says), "{context}: {said}");
                check(said, place, &context);
            }
        }
        if name != "base64" {
            let missing = lab.root().join("missing.pem");
            let all = said(|| build(&lab, &missing, None)).await;
            for said in &all {
                check(said, place, &format!("{name}, missing"));
            }
        }
        // one that is over is refused by the server alone
        let over = CertificateOptions {
            not_before_in: -200_000,
            not_after_in: -100_000,
            ..CertificateOptions::default()
        };
        let over = lab
            .emulator
            .create_client_certificate("over", &over)
            .unwrap();
        let both = format!("{}{}", over.private_key_pem, over.certificate_pem);
        let path = lab.write("over.pem", both);
        for said in said(|| build(&lab, &path, None)).await {
            assert!(said.contains("expired"), "{name}: {said}");
            check(&said, place, &format!("{name}, over"));
        }
    }
}

#[tokio::test]
async fn every_failure_of_a_token_file_names_the_setting_that_its_user_has() {
    let lab = Lab::new();
    let own = "SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_";
    for (file, content) in [
        ("missing", None),
        ("empty", Some("")),
        ("words", Some("two words")),
        ("json", Some("{\"a\": 1}")),
    ] {
        let path = lab.root().join(format!("token-{file}"));
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let path = path.display().to_string();
        let credential = json!({
            "SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath": path,
        });
        let said = refused(appsettings(&lab, &credential)).await;
        let place = "AzureAd:ClientCredentials:0:SignedAssertionFileDiskPath (";
        check(&said, place, &format!("appsettings, {file}"));
        let settings = format!(
            "{own}KEY = '{CLIENT}'\n{own}TENANT_ID = '{TENANT}'\n{own}FEDERATED_TOKEN_FILE = '{path}'\n"
        );
        let settings = lab.write("settings.py", settings);
        let said = refused(
            Provider::builder()
                .ca_file(lab.files.ca_file())
                .social_auth(&settings),
        )
        .await;
        let place = format!("{own}FEDERATED_TOKEN_FILE (");
        check(&said, &place, &format!("settings.py, {file}"));
        let variables = [
            ("KEY", CLIENT),
            ("TENANT_ID", TENANT),
            ("FEDERATED_TOKEN_FILE", &path),
        ];
        let variables = variables.map(|(name, value)| (format!("{own}{name}"), value));
        let environment = Environment::from_pairs(variables);
        let said = refused(
            Provider::builder()
                .ca_file(lab.files.ca_file())
                .environment(environment),
        )
        .await;
        let place = format!("{own}FEDERATED_TOKEN_FILE");
        check(&said, &place, &format!("variables, {file}"));
    }
}
