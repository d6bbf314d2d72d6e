#[cfg(feature = "token-store")]
use edgepass_core::Config;
use edgepass_core::Environment;
#[cfg(feature = "token-store")]
use edgepass_core::config::TokenStoreFile;

use super::Provider;
#[cfg(feature = "token-store")]
use super::told::with_token_store;

#[test]
fn neither_a_key_nor_its_password_goes_to_the_component() {
    let config = r#"{
        "identities": {"app": {"tenant_id": "t", "client_id": "c",
            "credential": {"certificate": {"name": "k"}}}},
        "certificates": {"k": {"certificate_base64": "MIIBaHVudGVyMg==", "password_env": "P"}}
    }"#;
    let named = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pfx"),
        ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "hunter2"),
        ("P", "hunter2"),
    ];
    for config in [Some(config), None] {
        let mut builder = Provider::builder()
            .environment(Environment::from_pairs(named))
            .ca_pem(include_bytes!("../../tests/pkcs12/chain.pem"));
        if let Some(config) = config {
            builder = builder.config_json(config);
        }
        let host = builder.build_host().unwrap();
        let told = host
            .told()
            .iter()
            .map(|(name, value)| (name, value.expose()));
        let text = format!("{:?}", told.collect::<Vec<_>>());
        assert!(
            !text.contains("hunter2") && !text.contains("MIIBaHVudGVyMg"),
            "{text}"
        );
        assert!(text.contains("certificates") == config.is_some(), "{text}");
    }
}

/// Of the keys of Azure Arc the folder is known alone.
#[cfg(unix)]
#[test]
fn a_folder_of_keys_is_among_the_files_that_are_named() {
    let config = r#"{"identities": {"app": {"credential": {"managed_identity": {}}}}}"#;
    let arc = [
        (
            "IDENTITY_ENDPOINT",
            "http://localhost:40342/metadata/identity/oauth2/token",
        ),
        ("IMDS_ENDPOINT", "http://localhost:40342"),
    ];
    for (variables, expected) in [(&arc[..], Some("/var/opt/azcmagent/tokens")), (&[], None)] {
        let builder = Provider::builder()
            .environment(Environment::from_pairs(variables.iter().copied()))
            .config_json(config);
        let host = builder.build_host().unwrap();
        let found = host.named_files().iter();
        let found: Vec<_> = found.filter_map(|file| file.path.to_str()).collect();
        assert_eq!(found, expected.as_slice());
    }
}

#[cfg(feature = "token-store")]
#[test]
fn a_store_of_the_program_goes_before_that_of_the_configuration() {
    let store = TokenStoreFile {
        url: Some("rediss://cache.example".into()),
        encryption_keys_file: Some("/keys".into()),
        username: Some("u".into()),
        password_file: Some("/password".into()),
        password_env: None,
        ca_file: Some("/ca.pem".into()),
        database: Some(2),
        key_prefix: Some("fleet".into()),
        users: true,
    };
    for document in [
        None,
        Some(
            r#"{"host": {"proxy": "none"}, "identities": {"a": {"credential": {"managed_identity": {}}}}}"#,
        ),
        Some(
            r#"{"host": {"token_store": {"url": "redis://other", "encryption_keys_file": "/k"}},
            "identities": {"a": {"credential": {"managed_identity": {}}}}}"#,
        ),
    ] {
        let whole = with_token_store(document, &store).unwrap();
        let config = Config::load(Some(whole.expose()), &Environment::default()).unwrap();
        assert_eq!(config.host.token_store.as_ref(), Some(&store));
        let proxy = config.host.proxy.as_deref();
        assert_eq!(
            proxy,
            document.filter(|d| d.contains("proxy")).map(|_| "none")
        );
    }
    assert!(with_token_store(Some("{"), &store).is_none());
    assert!(with_token_store(Some(r#"{"host": 1}"#), &store).is_none());
}
