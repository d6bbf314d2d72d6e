//! Keys and stores under a password.

use edgepass::{CertificateSource, ErrorClass, Provider};
use serde_json::json;

use super::certificate;
use crate::providers::graph;
use crate::support::Lab;

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
