//! Where secrets and files are.

use super::*;

#[test]
fn one_place_for_a_secret_exactly() {
    for kind in ["client_secret", "client_assertion"] {
        let setting = format!("identities.app.credential.{kind}");
        let of = |inner: &str| load(&entra(&format!(r#"{{"{kind}": {inner}}}"#), ""));
        refused(
            of(r#"{"value": "hunter2", "env": "E"}"#),
            &setting,
            &["more than one of value, env and file"],
        );
        refused(
            of(r#"{"value": "hunter2", "file": "/f"}"#),
            &setting,
            &["more than one"],
        );
        refused(
            of(r#"{"env": "E", "file": "/f"}"#),
            &setting,
            &["more than one"],
        );
        refused(of("{}"), &setting, &["exactly one of value, env and file"]);
        refused(
            of(r#"{"value": " "}"#),
            &format!("{setting}.value"),
            &["is empty"],
        );
        refused(
            of(r#"{"value": "hunter2\nhunter2"}"#),
            &format!("{setting}.value"),
            &["line break"],
        );
        let endless = format!(r#"{{"value": "{}"}}"#, "x".repeat(70_000));
        refused(of(&endless), &format!("{setting}.value"), &["longer than"]);
        refused(
            of(r#"{"env": "APP_SECRET"}"#),
            &format!("{setting}.env"),
            &["APP_SECRET, which is not set"],
        );
        refused(
            of(r#"{"env": "hunter2"}"#),
            &format!("{setting}.env"),
            &["the variable's name, not the secret"],
        );
        refused(
            of(r#"{"file": "hunter2"}"#),
            &format!("{setting}.file"),
            &["relative path", "absolute"],
        );
    }
}

#[test]
fn secrets_come_from_variables_and_files() {
    let json = entra(
        r#"{"client_assertion": {"env": "JWT", "assertion_type": "urn:x:y"}}"#,
        "",
    );
    let config = Config::load(Some(&json), &environment(&[("JWT", "a.b.c\r\n")])).unwrap();
    let distinction = config.identities.get("app").unwrap().distinction();
    assert!(distinction.expose().ends_with("5:a.b.c7:urn:x:y"));
    let json = generic(
        r#"{"client_secret": {"file": "/run/secret", "method": "client_secret_basic"}}"#,
        "",
    );
    let config = load(&json).unwrap();
    assert_eq!(credential(&config, "app"), "client secret, /run/secret");
    let distinction = config.identities.get("app").unwrap().distinction();
    assert!(distinction.expose().ends_with("/run/secret5:basic"));
    assert_eq!(files(&config), BTreeSet::from(["/run/secret".to_owned()]));
}

#[test]
fn paths_are_absolute() {
    let relative = |json: &str, setting: &str| {
        refused(
            load(json),
            setting,
            &["is a relative path", "absolute path"],
        );
    };
    relative(
        &entra(r#"{"federated_token_file": {"path": "./token"}}"#, ""),
        "identities.app.credential.federated_token_file.path",
    );
    relative(r#"{"host": {"ca_file": "ca.pem"}}"#, "host.ca_file");
    relative(
        r#"{"certificates": {"c": {"certificate_file": "c.pem"}}}"#,
        "certificates.c.certificate_file",
    );
    relative(
        r#"{"certificates": {"c": {"certificate_file": "/c.pem", "private_key_file": "k.pem"}}}"#,
        "certificates.c.private_key_file",
    );
    for variable in [
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_CLIENT_CERTIFICATE_PATH",
    ] {
        let result = load_environment(&[("AZURE_FEDERATED_TOKEN_FILE", ""), (variable, "token")]);
        refused(result, variable, &["is a relative path"]);
    }
}

#[test]
fn what_was_never_filled_in_is_named_wherever_it_stands() {
    for (field, value, setting) in [
        ("tenant_id", r#""<tenant-id>""#, "tenant_id"),
        ("client_id", r#""${CLIENT_ID}""#, "client_id"),
        ("authority_host", r#""https://$HOST""#, "authority_host"),
        (
            "authority_host",
            r#""'https://login.microsoftonline.com'""#,
            "authority_host",
        ),
        ("scopes", r#"["{{ scope }}"]"#, "scopes"),
        (
            "additionally_allowed_tenants",
            r#"["{tenant}"]"#,
            "additionally_allowed_tenants[0]",
        ),
        (
            "credential",
            r#"{"federated_token_file": {"path": "$TOKEN_FILE"}}"#,
            "credential.federated_token_file.path",
        ),
        (
            "credential",
            r#"{"client_secret": {"file": "\"/run/secret\""}}"#,
            "credential.client_secret.file",
        ),
        (
            "credential",
            r#"{"certificate": {"name": "c", "audience": "<audience>"}}"#,
            "credential.certificate.audience",
        ),
        (
            "credential",
            r#"{"managed_identity_assertion": {"client_id": "'c'"}}"#,
            "credential.managed_identity_assertion.client_id",
        ),
    ] {
        let mut identity = serde_json::json!({"tenant_id": TENANT, "client_id": CLIENT,
            "credential": {"client_secret": {"value": "hunter2"}}});
        identity[field] = serde_json::from_str(value).unwrap();
        let json = serde_json::json!({"identities": {"app": identity}}).to_string();
        let error = load(&json).unwrap_err();
        assert_eq!(
            error.setting,
            format!("identities.app.{setting}"),
            "{error}"
        );
        assert!(
            error.message.contains("never filled in") || error.message.contains("in quotes"),
            "{error}"
        );
    }
    for (variable, value) in [
        ("AZURE_TENANT_ID", "$(TENANT)"),
        ("AZURE_CLIENT_ID", "\"c\""),
        ("AZURE_AUTHORITY_HOST", "https://<host>/"),
        ("AZURE_FEDERATED_TOKEN_FILE", "%TOKEN_FILE%"),
        (
            "AZURE_ADDITIONALLY_ALLOWED_TENANTS",
            "a.example;'b.example'",
        ),
        ("EDGEPASS_AUTHORITY_HOSTS", "a.example,${HOST}"),
    ] {
        let error = load_environment(&[(variable, value)]).unwrap_err();
        assert_eq!(error.setting, variable, "{error}");
        assert!(
            error.message.contains("never filled in") || error.message.contains("in quotes"),
            "{error}"
        );
    }
    for (json, setting) in [
        (r#"{"host": {"ca_file": "${CA}"}}"#, "host.ca_file"),
        (r#"{"authority_hosts": ["<host>"]}"#, "authority_hosts[0]"),
        (
            r#"{"certificates": {"c": {"certificate_file": "\"/c.pem\""}}}"#,
            "certificates.c.certificate_file",
        ),
    ] {
        assert_eq!(load(json).unwrap_err().setting, setting);
    }
}
