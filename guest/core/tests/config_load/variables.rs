//! What errors say of variables, and what variables add to an identity that is written down.

use super::environment::*;
use super::*;

/// An identity of which nothing is written down has no settings to be told of.
#[test]
fn an_environment_is_told_of_variables() {
    let config = load_environment(&[]).unwrap();
    let identity = config.identities.get("default").unwrap();
    let error = identity.check_tenant(Some("b.example")).unwrap_err();
    let hint = error.detail().hint.as_deref().unwrap();
    assert!(
        hint.starts_with("add it to AZURE_ADDITIONALLY_ALLOWED_TENANTS"),
        "{hint}"
    );
    let error = identity.check_scopes(&[]).unwrap_err();
    let hint = error.detail().hint.as_deref().unwrap();
    assert!(hint.ends_with("/.default"), "{hint}");
    for (pairs, setting) in [
        (vec![("AZURE_CLIENT_ID", "no-guid")], "AZURE_CLIENT_ID"),
        (
            vec![
                ENDPOINT,
                ("IMDS_ENDPOINT", "http://127.0.0.1:40342"),
                CLIENT_OF_IT,
            ],
            "AZURE_CLIENT_ID",
        ),
        (
            vec![
                TENANT_OF_IT,
                CLIENT_OF_IT,
                PIPELINES_URL,
                PIPELINES_TOKEN,
                ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "no-guid"),
            ],
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
        ),
        (
            vec![
                PIPELINES_URL,
                PIPELINES_TOKEN,
                CONNECTION,
                CONNECTION_TENANT,
                ("AZURESUBSCRIPTION_CLIENT_ID", "a b"),
            ],
            "AZURESUBSCRIPTION_CLIENT_ID",
        ),
    ] {
        let error = Config::load(None, &environment(&pairs)).unwrap_err();
        assert_eq!(error.setting, setting, "{error}");
    }
    let needs = identity.needs();
    let settings = needs.files.iter().map(|file| file.setting.as_str());
    assert_eq!(Vec::from_iter(settings), ["AZURE_FEDERATED_TOKEN_FILE"]);
}

/// Whoever has nothing but variables is told of these, once each and on one line, whatever is wrong with any of them.
#[test]
fn what_is_wrong_with_a_variable_is_said_of_variables_on_one_line() {
    const SETTINGS: [&str; 6] = [
        "tenant_id",
        "client_id",
        "authority_host",
        "policy is",
        "identities.",
        "federated_token_file.path",
    ];
    const VARIABLES: [&str; 5] = [
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_AUTHORITY_HOST",
        "AZURE_FEDERATED_TOKEN_FILE",
        "EDGEPASS_AUTHORITY_HOSTS",
    ];
    let mut refused = 0;
    for name in VARIABLES {
        for value in [
            "common\n",
            "common",
            "adfs\n",
            "\r\n",
            "a\u{2028}b",
            "$(TENANT)\n",
            "https://login.microsoftonline.com/contoso.example\n",
            "https://login.microsoftonline.com/\u{1b}[2J",
            "https://evil.example\n",
            "https://evil.example",
            "https://contoso.b2clogin.com",
            "https://contoso.example/adfs",
            "relative/path\n",
            "https://x.example,http://y\n",
        ] {
            let Err(error) = load_environment(&[(name, value)]) else {
                continue;
            };
            refused += 1;
            for said in [error.to_string(), Error::from(error).to_string()] {
                let case = format!("{name}={value:?}: {said:?}");
                assert!(said.chars().all(edgepass_core::is_printable), "{case}");
                for setting in SETTINGS {
                    assert!(!said.contains(setting), "{setting} of {case}");
                }
                for variable in VARIABLES {
                    assert!(
                        !said.contains(&format!("{variable} ({variable})")),
                        "{case}"
                    );
                    assert!(
                        !said.contains(&format!("{variable} or {variable}")),
                        "{case}"
                    );
                }
            }
        }
    }
    assert!(refused > 30, "{refused}");
    let b2c = load_environment(&[("AZURE_AUTHORITY_HOST", "https://contoso.b2clogin.com")]);
    self::refused(
        b2c,
        "AZURE_AUTHORITY_HOST",
        &["user flow", "whose identity has policy", "EDGEPASS_CONFIG"],
    );
    let written = entra(
        SECRET,
        r#", "authority_host": "https://contoso.b2clogin.com""#,
    );
    self::refused(load(&written), "identities.app.policy", &["is not set"]);
}

#[test]
fn a_secret_in_the_environment() {
    let config = load_environment(&[
        ("AZURE_FEDERATED_TOKEN_FILE", ""),
        ("AZURE_CLIENT_SECRET", "hunter2\n"),
    ])
    .unwrap();
    assert_eq!(
        credential(&config, "default"),
        "client secret, in the configuration or environment"
    );
    let distinction = config.identities.get("default").unwrap().distinction();
    assert!(distinction.expose().ends_with("7:hunter24:post"));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_certificate_in_the_environment() {
    let changes = [
        ("AZURE_FEDERATED_TOKEN_FILE", ""),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/etc/app.pem"),
    ];
    let config = load_environment(&changes).unwrap();
    assert_eq!(credential(&config, "default"), "certificate default, PS256");
    assert_eq!(
        config.certificates.get("default").unwrap().certificate_file,
        "/etc/app.pem"
    );
    assert_eq!(config.unresolved_certificates(), BTreeSet::new());

    let pairs = [WEBHOOK, &changes].concat();
    let json = r#"{"certificates": {"default": {"certificate_file": "/other.pem"}}}"#;
    let result = Config::load(Some(json), &environment(&pairs));
    refused(
        result,
        "AZURE_CLIENT_CERTIFICATE_PATH",
        &["certificates.default"],
    );
}

#[test]
fn variables_fill_in_what_an_entra_identity_leaves_out() {
    let json = r#"{"identities": {"a": {}, "b": {"tenant_id": "b.example", "credential": {"federated_token_file": {}}}}}"#;
    let config = Config::load(Some(json), &environment(WEBHOOK)).unwrap();
    assert_eq!(config.default_identity, None, "two, and none is marked");
    assert_eq!(tenant(&config, "a"), Some(TENANT));
    assert_eq!(tenant(&config, "b"), Some("b.example"));
    assert_eq!(files(&config), BTreeSet::from([TOKEN_FILE.to_owned()]));
    let empty = environment(&[("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT)]);
    let words = ["is not set", "AZURE_FEDERATED_TOKEN_FILE"];
    refused(
        Config::load(Some(r#"{"identities": {"a": {}}}"#), &empty),
        "identities.a.credential",
        &words,
    );
    refused(
        load(r#"{"identities": {"a": {}}}"#),
        "identities.a.tenant_id",
        &["AZURE_TENANT_ID"],
    );
}

#[test]
fn variables_do_not_reach_into_a_generic_identity() {
    let load = |identity: &str| {
        let json = format!(
            r#"{{"authority_hosts": ["idp.example"], "identities": {{"app": {identity}}}}}"#
        );
        Config::load(
            Some(&json),
            &environment(&[WEBHOOK, &[("AZURE_CLIENT_SECRET", "hunter2")]].concat()),
        )
    };
    let url = r#""token_endpoint": "https://idp.example/token""#;
    let secret = format!(r#""credential": {SECRET}"#);
    let config = load(&format!(r#"{{{url}, "client_id": "c", {secret}}}"#)).unwrap();
    assert_eq!(
        (
            tenant(&config, "app"),
            config
                .identities
                .get("app")
                .unwrap()
                .client()
                .unwrap()
                .client_id
                .as_str()
        ),
        (None, "c")
    );
    assert_eq!(hosts(&config), BTreeSet::from(["idp.example".to_owned()]));
    refused(
        load(&format!("{{{url}, {secret}}}")),
        "identities.app.client_id",
        &["nothing is taken"],
    );
    refused(
        load(&format!(r#"{{{url}, "client_id": "c"}}"#)),
        "identities.app.credential",
        &["nothing is taken"],
    );
    refused(
        load(&format!(
            r#"{{{url}, "client_id": "c", "credential": {{"federated_token_file": {{}}}}}}"#
        )),
        "identities.app.credential.federated_token_file.path",
        &["nothing is taken"],
    );
}

#[test]
fn the_environment_shows_a_chain_and_allows_tenants() {
    let certificate = [
        ("AZURE_FEDERATED_TOKEN_FILE", ""),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/etc/app.pem"),
    ];
    let chain = |value| {
        let pairs = [
            &certificate[..],
            &[("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", value)],
        ]
        .concat();
        let config = load_environment(&pairs)?;
        let identity = config.identities.get("default").unwrap();
        Ok(identity.distinction().expose().contains("3:x5c"))
    };
    for (value, expected) in [
        ("true", true),
        ("True", true),
        (" 1 ", true),
        ("false", false),
        ("0", false),
        ("", false),
    ] {
        assert_eq!(chain(value), Ok::<_, ConfigError>(expected), "{value:?}");
    }
    let error = chain("yes").unwrap_err();
    assert_eq!(error.setting, "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");

    let allowed = |value| {
        let config = load_environment(&[("AZURE_ADDITIONALLY_ALLOWED_TENANTS", value)])?;
        let identity = config.identities.get("default").unwrap();
        Ok::<_, ConfigError>(
            identity
                .client()
                .unwrap()
                .additionally_allowed_tenants
                .clone(),
        )
    };
    assert_eq!(
        allowed("a.example; b.example;").unwrap(),
        ["a.example", "b.example"]
    );
    assert_eq!(allowed("*").unwrap(), ["*"]);
    assert_eq!(allowed(" ").unwrap(), [""; 0]);
    for wrong in ["common", "a.example,b.example"] {
        assert_eq!(
            allowed(wrong).unwrap_err().setting,
            "AZURE_ADDITIONALLY_ALLOWED_TENANTS"
        );
    }
    // what is written down is not widened from outside
    let pairs = [WEBHOOK, &[("AZURE_ADDITIONALLY_ALLOWED_TENANTS", "*")]].concat();
    let config = Config::load(Some(r#"{"identities": {"a": {}}}"#), &environment(&pairs)).unwrap();
    let client = config.identities.get("a").unwrap().client().unwrap();
    assert_eq!(client.additionally_allowed_tenants, [""; 0]);
}
