//! Certificates: files, vaults and who uses them.

use super::*;

#[test]
fn certificate_files() {
    let of = |files: &str| {
        format!(
            r#"{{"identities": {{"app": {{"tenant_id": "t", "client_id": "c",
            "credential": {{"certificate": {{"name": "k"}}}}}}}}, "certificates": {{"k": {files}}}}}"#
        )
    };
    for (files, beyond_pem) in [
        (r#"{"certificate_file": "/c"}"#, None),
        (
            r#"{"certificate_file": "/c", "private_key_file": "/k"}"#,
            None,
        ),
        (r#"{"private_key_file": "/k"}"#, Some("private_key_file")),
        (
            r#"{"certificate_file": "/c", "password_file": "/p"}"#,
            Some("password_file"),
        ),
        (
            r#"{"certificate_file": "/c", "private_key_file": "/k", "password_env": "P"}"#,
            Some("password_env"),
        ),
        (
            r#"{"certificate_base64": "aHVudGVyMg=="}"#,
            Some("certificate_base64"),
        ),
        (
            r#"{"spiffe_socket": "unix:///run/agent.sock", "spiffe_id": "spiffe://x/y"}"#,
            Some("spiffe_socket"),
        ),
        (
            r#"{"key_vault": {"url": "https://v.vault.azure.net", "certificate": "app"}}"#,
            Some("key_vault"),
        ),
    ] {
        let config = load(&of(files)).unwrap();
        let found = config.certificates.get("k").unwrap();
        assert_eq!(found.beyond_pem(), beyond_pem, "{files}");
        assert!(!format!("{config:?}").contains("aHVudGVyMg"), "{config:?}");
    }
    for (files, field, says) in [
        ("{}", "", "missing field `certificate_file`"),
        (r#"{"password_file": "/p"}"#, "", "missing field"),
        (
            r#"{"certificate_file": "/c", "certificate_base64": "aHVudGVyMg=="}"#,
            "",
            "certificate_file and certificate_base64",
        ),
        (
            r#"{"certificate_file": "/c", "password_file": "/p", "password_env": "P"}"#,
            "",
            "password_file and password_env",
        ),
        (
            r#"{"certificate_file": "c"}"#,
            ".certificate_file",
            "absolute",
        ),
        (
            r#"{"certificate_file": "/c", "private_key_file": ""}"#,
            ".private_key_file",
            "empty",
        ),
        (
            r#"{"certificate_file": "/c", "password_file": "p"}"#,
            ".password_file",
            "absolute",
        ),
        (
            r#"{"spiffe_socket": "/run/agent.sock"}"#,
            ".spiffe_socket",
            "is not unix:",
        ),
        (
            r#"{"spiffe_socket": "unix:///run/agent.sock", "spiffe_id": "x/y"}"#,
            ".spiffe_id",
            "is not a SPIFFE ID",
        ),
        (
            r#"{"certificate_file": "/c", "spiffe_id": "spiffe://x/y"}"#,
            ".spiffe_id",
            "without spiffe_socket",
        ),
        (
            r#"{"spiffe_socket": "unix:///run/agent.sock", "certificate_file": "/c"}"#,
            "",
            "certificate_file and spiffe_socket",
        ),
        (
            r#"{"spiffe_socket": "unix:///run/agent.sock", "certificate_base64": "aHVudGVyMg=="}"#,
            "",
            "certificate_base64 and spiffe_socket",
        ),
        (
            r#"{"spiffe_socket": "unix:///run/agent.sock", "private_key_file": "/k"}"#,
            "",
            "private_key_file and spiffe_socket",
        ),
        (
            r#"{"spiffe_socket": "unix:///run/agent.sock", "password_env": "P"}"#,
            "",
            "password_env and spiffe_socket",
        ),
    ] {
        refused(load(&of(files)), &format!("certificates.k{field}"), &[says]);
    }
}

/// A vault, with these fields besides or in the place of others.
fn in_a_vault(more: &[(&str, serde_json::Value)]) -> String {
    let mut vault =
        serde_json::json!({ "url": "https://contoso.vault.azure.net", "certificate": "app" });
    if let Some(vault) = vault.as_object_mut() {
        vault.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
    }
    serde_json::json!({
        "identities": { "app": {
            "tenant_id": "t", "client_id": "c", "credential": { "certificate": { "name": "k" } },
        } },
        "certificates": { "k": { "key_vault": vault } },
    })
    .to_string()
}

#[test]
fn a_vault_is_one_of_azures_or_one_that_tokens_may_go_to() {
    let url = |url: &str| vec![("url", url.into())];
    let with = |url: &str, audience: &str| vec![("url", url.into()), ("audience", audience.into())];
    for (more, host, audience) in [
        (vec![], "contoso.vault.azure.net", "https://vault.azure.net"),
        (
            url("https://CONTOSO.vault.azure.net:443/"),
            "contoso.vault.azure.net",
            "https://vault.azure.net",
        ),
        (
            url("https://c.vault.azure.cn"),
            "c.vault.azure.cn",
            "https://vault.azure.cn",
        ),
        (
            url("https://c.vault.usgovcloudapi.net"),
            "c.vault.usgovcloudapi.net",
            "https://vault.usgovcloudapi.net",
        ),
        (
            with("https://c.vault.azure.net", "https://vault.azure.net"),
            "c.vault.azure.net",
            "https://vault.azure.net",
        ),
        (
            with("https://vault.example:8443", "https://vault.azure.net"),
            "vault.example:8443",
            "https://vault.azure.net",
        ),
    ] {
        let config = load(&in_a_vault(&more)).unwrap();
        let vault = config.certificates.get("k").unwrap().key_vault.as_ref();
        let vault = vault.unwrap();
        assert_eq!(vault.server(), (host.to_owned(), audience.to_owned()));
        for connection in vault.connections() {
            assert_eq!(connection.permission.authority, host);
        }
        // the machine is asked for tokens for that and for nothing else
        let needs = config.needs();
        let mut asked = needs
            .connections
            .iter()
            .filter(|one| one.permission.authority == "169.254.169.254");
        let path = asked.next().unwrap().permission.path.clone();
        let encoded = audience.replace(':', "%3A").replace('/', "%2F");
        assert!(
            path.matches(&format!(
                "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={encoded}"
            )),
            "{path:?}"
        );
        assert_eq!(asked.next(), None);
    }
    for (wrong, words) in [
        ("https://vault.azure.net", &[][..]),
        ("https://contoso.vault.azure.net.evil.example", &[]),
        ("https://evil.example/contoso.vault.azure.net", &[]),
        ("https://evilvault.azure.net", &[]),
        ("https://a.b.vault.azure.net", &[]),
        ("https://contoso.vault.azure.net:8443", &[]),
        ("https://contoso.managedhsm.azure.net", &[]),
        (
            "http://contoso.vault.azure.net",
            &["https only", "write https://NAME.vault.azure.net"],
        ),
        (
            "contoso",
            &[
                "is the name of a vault",
                "write https://contoso.vault.azure.net",
            ],
        ),
        (
            "contoso.vault.azure.net",
            &["write https://contoso.vault.azure.net"],
        ),
        (
            "https://contoso.vault.azure.net/certificates/app",
            &["has a path", "write the vault alone"],
        ),
        ("https://contoso.vault.azure.net?x", &[]),
        ("https://$NAME.vault.azure.net", &["never filled in"]),
        ("", &[]),
    ] {
        let loaded = load(&in_a_vault(&url(wrong)));
        refused(loaded, "certificates.k.key_vault.url", words);
    }
}

#[test]
fn what_is_wrong_with_a_vault_is_said() {
    let guid = "77777777-8888-9999-aaaa-bbbbbbbbbbbb";
    for (more, field, says) in [
        (
            ("certificate", "".into()),
            "certificate",
            "name of an object",
        ),
        (
            ("certificate", "app/1".into()),
            "certificate",
            "name of an object",
        ),
        (
            ("certificate", "../secrets".into()),
            "certificate",
            "name of an object",
        ),
        (("version", "a?b".into()), "version", "name of an object"),
        (
            ("audience", "https://graph.microsoft.com".into()),
            "audience",
            "another one than the vault's domain has",
        ),
        (
            ("identity", serde_json::json!({ "client_id": "app" })),
            "identity.client_id",
            "is not a GUID",
        ),
        (
            (
                "identity",
                serde_json::json!({ "client_id": guid, "object_id": guid }),
            ),
            "identity",
            "more than one of",
        ),
    ] {
        let loaded = load(&in_a_vault(&[more]));
        refused(
            loaded,
            &format!("certificates.k.key_vault.{field}"),
            &[says],
        );
    }
    for beside in [
        r#""certificate_file": "/c""#,
        r#""certificate_base64": "aHVudGVyMg==""#,
        r#""private_key_file": "/k""#,
        r#""password_file": "/p""#,
        r#""password_env": "P""#,
        r#""spiffe_socket": "unix:///run/agent.sock""#,
    ] {
        let both = in_a_vault(&[]).replace("\"key_vault\"", &format!("{beside}, \"key_vault\""));
        refused(load(&both), "certificates.k", &["key_vault"]);
    }
}

/// Its tokens read a private key, so nobody has them but the host that asks alone.
#[test]
fn the_identity_of_a_vault_is_the_hosts_alone() {
    use edgepass_core::{Engine, Now, Reply, TokenRequest};

    let now = Now {
        unix_ms: 1_790_000_000_000,
        mono_ms: 0,
    };
    let request = TokenRequest {
        identity: Some("key_vault:k".to_owned()),
        ..TokenRequest::default()
    };
    for (caller, has_it) in [(None, false), (Some("guest"), false), (Some("host"), true)] {
        let variables = caller.map(|caller| ("EDGEPASS_CALLER", caller));
        let environment = Environment::from_pairs(variables);
        let config = Config::load(Some(&in_a_vault(&[])), &environment).unwrap();
        assert_eq!(config.default_identity.as_deref(), Some("app"));
        assert_eq!(config.identities.keys().collect::<Vec<_>>(), ["app"]);
        let mut engine = Engine::new(config, [7; 32]);
        let reply = engine.request(now, &request);
        assert_eq!(matches!(reply, Reply::Pending(_)), has_it, "{caller:?}");
        let status = engine.status(now);
        assert_eq!(status.len(), 1, "{caller:?}");
    }
}

#[test]
fn the_password_of_the_environments_certificate_is_the_hosts_alone() {
    let mut pairs = vec![
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pfx"),
    ];
    for password in [None, Some("hunter2")] {
        pairs.extend(password.map(|password| ("AZURE_CLIENT_CERTIFICATE_PASSWORD", password)));
        let environment = Environment::from_pairs(pairs.iter().copied());
        let config = Config::load(None, &environment).unwrap();
        let files = config.certificates.get("default").unwrap();
        assert_eq!(
            files.password_env.as_deref(),
            password.map(|_| "AZURE_CLIENT_CERTIFICATE_PASSWORD")
        );
        assert_eq!(config.warnings(&environment), [""; 0]);
        let needs = config.needs();
        let of_the_host: Vec<&str> = needs
            .variables
            .iter()
            .filter(|variable| variable.is_of_the_host())
            .map(|variable| variable.name.as_str())
            .collect();
        assert_eq!(
            of_the_host,
            password.map_or(vec![], |_| vec!["AZURE_CLIENT_CERTIFICATE_PASSWORD"])
        );
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[test]
fn certificates() {
    let of = |inner: &str| entra(&format!(r#"{{"certificate": {inner}}}"#), "");
    let config = load(&of(r#"{"name": "c", "algorithm": "RS256", "send_x5c": true, "audience": "https://idp.example"}"#)).unwrap();
    assert_eq!(credential(&config, "app"), "certificate c, RS256");
    assert_eq!(config.needs().signatures[0].algorithm, Algorithm::Rs256);
    let distinction = config.identities.get("app").unwrap().distinction();
    assert!(
        distinction
            .expose()
            .ends_with("3:x5c+19:https://idp.example")
    );

    let setting = "identities.app.credential.certificate";
    let es256 = r#"{"name": "c", "algorithm": "ES256"}"#;
    refused(
        load(&of(es256)),
        &format!("{setting}.algorithm"),
        &["Entra ID does not take", "PS256"],
    );
    load(&generic(&format!(r#"{{"certificate": {es256}}}"#), "")).unwrap();
    refused(
        load(&of(r#"{"name": ""}"#)),
        &format!("{setting}.name"),
        &["is empty"],
    );
    refused(
        load(&of(r#"{"name": "c", "audience": "a b"}"#)),
        &format!("{setting}.audience"),
        &["has a space"],
    );
}
