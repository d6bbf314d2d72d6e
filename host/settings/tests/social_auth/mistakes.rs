//! What is wrong with settings, and what is beside them.

use serde_json::json;

use super::{CLIENT, OAUTH2, TENANT, file, key, loaded, variables};

#[test]
fn what_is_wrong_is_named() {
    let own = |name: &str| format!("{OAUTH2}{name}");
    let b2c = |name: &str| format!("SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_{name}");
    let good = [
        ("KEY", CLIENT),
        ("TENANT_ID", TENANT),
        ("FEDERATED_TOKEN_FILE", "/run/token"),
    ];
    for (name, value, parts) in [
        (
            own("KEY"),
            "",
            ["SOCIAL_AUTH_AZUREAD_OAUTH2_KEY: is not set", "client"],
        ),
        (
            own("TENANT_ID"),
            "",
            [
                "SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_ID: is not set",
                "an app gets its tokens from one tenant",
            ],
        ),
        (
            own("TENANT_ID"),
            "Common",
            [
                "SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_ID: is `Common`",
                "one tenant",
            ],
        ),
        (
            own("FEDERATED_TOKEN_FILE"),
            "",
            ["names no credential", "AZURE_FEDERATED_TOKEN_FILE"],
        ),
        (
            own("AUTHORITY_HOST"),
            "https://login.microsoftonline.com",
            [
                "SOCIAL_AUTH_AZUREAD_OAUTH2_AUTHORITY_HOST: is a URL",
                "write login.microsoftonline.com",
            ],
        ),
        (
            own("AUTHORITY_HOST"),
            "https://login.microsoftonline.us/",
            ["AUTHORITY_HOST: is a URL", "write login.microsoftonline.us"],
        ),
        (
            own("AUTHORITY_HOST"),
            "https://login.example",
            ["AUTHORITY_HOST: is a URL", "without https://"],
        ),
        (
            own("AUTHORITY_HOST"),
            "AzureUSGovernment",
            [
                "AUTHORITY_HOST: is the name of a cloud",
                "write login.microsoftonline.us",
            ],
        ),
        (
            own("AUTHORITY_HOST"),
            "https://AzureChinaCloud/",
            [
                "AUTHORITY_HOST: is the name of a cloud",
                "write login.partner.microsoftonline.cn",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "http://login.microsoftonline.us/t",
            [
                "AUTHORITY_URL: is no https:// URL",
                "https://login.microsoftonline.us/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "login.partner.microsoftonline.cn/t",
            [
                "AUTHORITY_URL: is no https:// URL",
                "https://login.partner.microsoftonline.cn/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "https://login.microsoftonline.com/common",
            [
                "SOCIAL_AUTH_AZUREAD_OAUTH2_AUTHORITY_URL: is `common`",
                "one tenant",
            ],
        ),
        // an issuer, and a token endpoint
        (
            own("AUTHORITY_URL"),
            "https://login.microsoftonline.com/contoso.example/v2.0",
            [
                "AUTHORITY_URL: has more in its path than a tenant",
                "write it as https://login.microsoftonline.com/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "https://login.microsoftonline.us/contoso.example/oauth2/v2.0/token",
            [
                "AUTHORITY_URL: has more in its path than a tenant",
                "write it as https://login.microsoftonline.us/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "https://westeurope.login.microsoft.com/contoso.example/v2.0/",
            [
                "AUTHORITY_URL: has more in its path than a tenant",
                "https://westeurope.login.microsoft.com/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "https://contoso.ciamlogin.com/v2.0",
            [
                "AUTHORITY_URL: has more in its path",
                "https://contoso.ciamlogin.com/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/B2C_1_x/v2.0",
            [
                "AUTHORITY_URL: has more in its path",
                "https://fabrikam.b2clogin.com/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "https://fabrikam.b2clogin.comfabrikam.onmicrosoft.com/B2C_1_x",
            [
                "AUTHORITY_URL: has no / behind its host",
                "write it as https://fabrikam.b2clogin.com/TENANT",
            ],
        ),
        (
            own("AUTHORITY_URL"),
            "https://login.microsoftonline.com/",
            ["AUTHORITY_URL: is no https:// URL with a path", "/TENANT"],
        ),
        (
            own("AUTHORITY_URL"),
            "http://login.microsoftonline.com/t",
            ["AUTHORITY_URL: is no https:// URL", "/TENANT"],
        ),
        (
            own("AUTHORITY_URL"),
            "https://u:hunter2@login.example/t",
            ["AUTHORITY_URL: is no https:// URL", "/TENANT"],
        ),
        (
            own("AUTHORITY_URL"),
            "https://login.example/t?x=1",
            ["AUTHORITY_URL: is no https:// URL", "query"],
        ),
        // the variables of the SDKs describe an identity by themselves
        (
            "AZURE_CLIENT_ID".to_owned(),
            "other",
            [
                "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY",
                "another client than AZURE_CLIENT_ID",
            ],
        ),
        (
            "AZURE_TENANT_ID".to_owned(),
            "other",
            [
                "SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_ID",
                "another tenant than AZURE_TENANT_ID",
            ],
        ),
        // social-core's own host where none is set
        (
            "AZURE_AUTHORITY_HOST".to_owned(),
            "https://login.microsoftonline.us",
            [
                "SOCIAL_AUTH_AZUREAD_OAUTH2_AUTHORITY_HOST: ",
                "another authority than AZURE_AUTHORITY_HOST",
            ],
        ),
    ] {
        let mut pairs: Vec<(String, &str)> = good.map(|(name, value)| (own(name), value)).to_vec();
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name.clone(), value));
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        let error = variables(&pairs).unwrap_err();
        assert!(
            parts.iter().all(|part| error.contains(part)),
            "{name}={value}: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    for (missing, parts) in [
        (
            "POLICY",
            ["SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_POLICY: is not set", "b2c_"],
        ),
        (
            "TENANT_NAME",
            [
                "SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_TENANT_NAME: is not set",
                "tenant's name",
            ],
        ),
    ] {
        let all = [
            ("KEY", CLIENT),
            ("SECRET", "hunter2"),
            ("POLICY", "b2c_1_x"),
            ("TENANT_NAME", "fabrikam"),
        ];
        let pairs: Vec<(String, &str)> = all
            .iter()
            .filter(|(name, _)| *name != missing)
            .map(|(name, value)| (b2c(name), *value))
            .collect();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        let error = variables(&pairs).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let policy =
        json!({ b2c("KEY"): CLIENT, b2c("POLICY"): "signin", b2c("TENANT_NAME"): "fabrikam" });
    let error = file(&policy.to_string(), "settings.json", &[]).unwrap_err();
    assert!(error.starts_with("SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_POLICY (settings.json, line 1): does not begin with `b2c_`"), "{error}");
    let domain = json!({
        b2c("KEY"): CLIENT, b2c("POLICY"): "b2c_1_x", b2c("TENANT_NAME"): "fabrikam.onmicrosoft.com",
    });
    let error = file(&domain.to_string(), "settings.json", &[]).unwrap_err();
    assert!(
        error.starts_with(
            "SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_TENANT_NAME (settings.json, line 1): has a dot"
        ),
        "{error}"
    );
    // a URL says both
    let url = "https://login.microsoftonline.us/contoso.example";
    for (name, value, expected) in [
        (
            "AZURE_AUTHORITY_HOST",
            "https://login.microsoftonline.com",
            Some("authority"),
        ),
        (
            "AZURE_AUTHORITY_HOST",
            "https://login.microsoftonline.us/",
            None,
        ),
        ("AZURE_TENANT_ID", TENANT, Some("tenant")),
        ("AZURE_TENANT_ID", "contoso.example", None),
    ] {
        let [key, secret, place] = ["KEY", "SECRET", "AUTHORITY_URL"].map(own);
        let pairs = [
            (key.as_str(), CLIENT),
            (&secret, "hunter2"),
            (&place, url),
            (name, value),
        ];
        let error = variables(&pairs).err();
        let says = expected.map(|what| format!("{place}: names another {what} than {name}"));
        assert_eq!(
            error
                .as_ref()
                .map(|error| says.as_ref().is_some_and(|says| error.starts_with(says))),
            expected.map(|_| true),
            "{error:?}"
        );
    }
    // the same variables say the same
    let same = [
        (own("KEY"), CLIENT),
        (own("TENANT_ID"), TENANT),
        ("AZURE_CLIENT_ID".to_owned(), CLIENT),
        ("AZURE_TENANT_ID".to_owned(), TENANT),
        ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), "/azure"),
        (
            "AZURE_AUTHORITY_HOST".to_owned(),
            "https://login.microsoftonline.com/",
        ),
        (own("AUTHORITY_HOST"), "login.microsoftonline.com"),
    ];
    let pairs: Vec<(&str, &str)> = same
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let imported = variables(&pairs).unwrap().unwrap();
    loaded(&imported, &pairs);
    assert_eq!(imported.notes, Vec::<String>::new());
}

/// What the SDKs would take for an identity is not left out in silence.
#[test]
fn variables_of_the_sdks_without_effect_are_named() {
    const TENANT_BACKEND: &str = "SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_";
    const B2C: &str = "SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_";

    let webhook = [
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/azure"),
    ];
    let proxy = [
        ("AZURE_KUBERNETES_TOKEN_PROXY", "https://proxy.example"),
        ("AZURE_KUBERNETES_CA_FILE", "/ca.pem"),
    ];
    let secret = ("SECRET", "hunter2");
    let of_tenant = [("KEY", CLIENT), ("TENANT_ID", TENANT)];
    let of_b2c = [
        ("KEY", CLIENT),
        ("TENANT_NAME", "fabrikam"),
        ("POLICY", "b2c_1_x"),
    ];
    for (prefix, settings, others, expected) in [
        // a pod's own, which say the same
        (TENANT_BACKEND, of_tenant.to_vec(), webhook.to_vec(), None),
        (
            TENANT_BACKEND,
            of_tenant.to_vec(),
            [&webhook[..], &proxy[..]].concat(),
            None,
        ),
        (
            TENANT_BACKEND,
            [&of_tenant[..], &[secret]].concat(),
            vec![("AZURE_CLIENT_SECRET", "hunter2")],
            None,
        ),
        // a secret of the SDKs beside a file of python-social-auth's
        (
            TENANT_BACKEND,
            of_tenant.to_vec(),
            [&webhook[..], &[("AZURE_CLIENT_SECRET", "hunter2")]].concat(),
            Some("AZURE_CLIENT_SECRET is"),
        ),
        // the proxy is for the token of a file
        (
            TENANT_BACKEND,
            [&of_tenant[..], &[secret]].concat(),
            proxy.to_vec(),
            Some("AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_CA_FILE are"),
        ),
        (
            TENANT_BACKEND,
            [&of_tenant[..], &[secret]].concat(),
            vec![
                ("AZURE_CLIENT_CERTIFICATE_PATH", "/app.pem"),
                ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "hunter2"),
                ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true"),
                ("AZURE_ADDITIONALLY_ALLOWED_TENANTS", "*"),
                ("AZURE_REGIONAL_AUTHORITY_NAME", "westeurope"),
                ("AZURE_TOKEN_CREDENTIALS", "prod"),
                ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1"),
                ("AZURE_USERNAME", "hunter2"),
                ("AZURE_PASSWORD", "hunter2"),
                ("AZURE_IDENTITY_DISABLE_MULTITENANTAUTH", "1"),
                ("AZURE_IDENTITY_DISABLE_CP1", "1"),
                ("AZURE_CLIENT_ID", " "),
            ],
            Some(
                "AZURE_CLIENT_CERTIFICATE_PATH, AZURE_CLIENT_CERTIFICATE_PASSWORD, AZURE_CLIENT_SEND_CERTIFICATE_CHAIN, \
                 AZURE_ADDITIONALLY_ALLOWED_TENANTS, AZURE_REGIONAL_AUTHORITY_NAME, AZURE_TOKEN_CREDENTIALS, \
                 AZURE_POD_IDENTITY_AUTHORITY_HOST, AZURE_USERNAME, AZURE_PASSWORD, \
                 AZURE_IDENTITY_DISABLE_MULTITENANTAUTH, AZURE_IDENTITY_DISABLE_CP1 are",
            ),
        ),
        // of B2C the endpoint is made of other settings
        (
            B2C,
            [&of_b2c[..], &[secret]].concat(),
            webhook[..3].to_vec(),
            Some("AZURE_TENANT_ID, AZURE_AUTHORITY_HOST are"),
        ),
    ] {
        let own: Vec<(String, &str)> = settings
            .iter()
            .map(|(name, value)| (format!("{prefix}{name}"), *value))
            .collect();
        let mut pairs = others.clone();
        pairs.extend(own.iter().map(|(name, value)| (name.as_str(), *value)));
        let imported = variables(&pairs).unwrap().unwrap();
        loaded(&imported, &pairs);
        let notes: Vec<&String> = imported.notes.iter().collect();
        match (notes.as_slice(), expected) {
            ([], None) => {}
            ([note], Some(expected)) => {
                let begins = format!("{expected} not used: the variables SOCIAL_AUTH_… describe");
                assert!(note.starts_with(&begins), "{note}");
                assert!(!note.contains("hunter2"), "{note}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_variable_beside_the_file_must_say_the_same() {
    let name = "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY";
    assert_eq!(key(&format!("{name} = 'a'"), &[(name, "a")]).unwrap(), "a");
    assert_eq!(
        key(&format!("{name} = os.environ['{name}']"), &[(name, "b")]).unwrap(),
        "b"
    );
    let error = key(&format!("{name} = 'a'"), &[(name, "hunter2")]).unwrap_err();
    assert!(
        error.starts_with(&format!(
            "{name} (settings.py, line 1): says something else than the variable {name}"
        )),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn json_is_read_by_its_lines() {
    let own = |name: &str| format!("{OAUTH2}{name}");
    for (value, part) in [
        ("1", "is a number"),
        ("true", "True or False"),
        ("[\"a\"]", "is a list"),
        ("null", "is not set"),
    ] {
        let text = format!("{{\n  \"{}\": {value}\n}}", own("KEY"));
        let text = text.replace(
            "\n}",
            &format!(
                ",\n \"{}\": \"t\", \"{}\": \"s\"\n}}",
                own("TENANT_ID"),
                own("SECRET")
            ),
        );
        let error = file(&text, "settings.json", &[]).unwrap_err();
        assert!(
            error.starts_with(&own("KEY"))
                && error.contains("settings.json")
                && error.contains(part),
            "{error}"
        );
    }
    let twice = format!("{{\"{0}\": \"a\",\n\"{0}\": \"b\"}}", own("KEY"));
    let error = file(&twice, "settings.json", &[]).unwrap_err();
    assert!(
        error.contains("line 2") && error.contains("twice"),
        "{error}"
    );
    assert!(
        file("{}", "settings.json", &[])
            .unwrap_err()
            .contains("has no settings")
    );
    assert!(
        file("", "settings.py", &[])
            .unwrap_err()
            .contains("has no settings")
    );
}

/// Whatever is cut off or missing, there is an answer, and it repeats no value.
#[test]
fn nothing_is_repeated_of_settings_that_are_broken_anywhere() {
    let module = format!(
        "\"\"\"Größe\"\"\"\nimport os\n{OAUTH2}KEY = os.environ.get('X', \"a\") or f'{{x}}'\n\
         {OAUTH2}TENANT_ID: str = ('t' \\\n 'u\\x41\\u0062')\nif [x for x in {{1: (2,)}}]:\n    {OAUTH2}SECRET = r'hunter2'\n\
         {OAUTH2}SECRET = '''hunter2'''; Y = -1.5e3\n"
    );
    let json = format!(
        "// é\n{{ \"{OAUTH2}KEY\": \"a\", /* b */ \"{OAUTH2}SECRET\": \"hunter2\", \"{OAUTH2}TENANT_ID\": \"\\u0041\", }}"
    );
    for (text, name) in [(module, "settings.py"), (json, "settings.json")] {
        file(&text, name, &[]).unwrap();
        for (at, _) in text.char_indices() {
            let (before, rest) = text.split_at(at);
            let mut after = rest.chars();
            after.next();
            for broken in [
                before.to_owned(),
                format!("{before}{}", after.as_str()),
                format!("{before}\\{rest}"),
            ] {
                let said = match file(&broken, name, &[]) {
                    Ok(imported) => format!("{}{:?}", *imported.document, imported.notes),
                    Err(error) => error,
                };
                assert!(!said.contains("hunter2"), "{said}");
            }
        }
    }
}

/// A setting that is there of another backend, or is there and has nothing in it, is told from one that nobody has set.
#[test]
fn what_is_set_beside_the_backend_is_said() {
    const TENANT_BACKEND: &str = "SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_";

    let ours = |name: &str| format!("{TENANT_BACKEND}{name}");
    let other = |name: &str| format!("{OAUTH2}{name}");
    for (settings, setting, says) in [
        (
            vec![
                (other("KEY"), CLIENT),
                (ours("SECRET"), "hunter2"),
                (ours("TENANT_ID"), TENANT),
            ],
            ours("KEY"),
            format!(
                "{} (settings.json, line 1) is that of the backend azuread-oauth2",
                other("KEY")
            ),
        ),
        (
            vec![
                (ours("KEY"), CLIENT),
                (ours("SECRET"), "hunter2"),
                (other("TENANT_ID"), TENANT),
            ],
            other("KEY"),
            format!(
                "{} (settings.json, line 1) is that of the backend azuread-tenant-oauth2",
                ours("KEY")
            ),
        ),
        (
            vec![
                (ours("KEY"), CLIENT),
                (other("SECRET"), "hunter2"),
                (ours("TENANT_ID"), TENANT),
            ],
            ours("…"),
            format!(
                "{} (settings.json, line 1) is that of the backend azuread-oauth2",
                other("SECRET")
            ),
        ),
        (
            vec![
                (ours("KEY"), CLIENT),
                (ours("SECRET"), ""),
                (ours("TENANT_ID"), TENANT),
            ],
            ours("…"),
            format!(
                "names no credential: {} (settings.json, line 1) is empty",
                ours("SECRET")
            ),
        ),
        (
            vec![
                (ours("KEY"), CLIENT),
                (ours("SECRET"), ""),
                (ours("FEDERATED_TOKEN_FILE"), ""),
                (ours("TENANT_ID"), TENANT),
            ],
            ours("…"),
            format!(
                "names no credential: {} (settings.json, line 1), {} (settings.json, line 1) is empty",
                ours("FEDERATED_TOKEN_FILE"),
                ours("SECRET")
            ),
        ),
        (
            vec![(ours("KEY"), CLIENT), (ours("TENANT_ID"), TENANT)],
            ours("…"),
            "names no credential; set ".to_owned(),
        ),
    ] {
        let text = serde_json::Value::from_iter(
            settings.iter().map(|(name, value)| (name.as_str(), *value)),
        );
        // the other backend alone has no identity: it is left out, or is the first to be complained of
        let error = file(&text.to_string(), "settings.json", &[]).unwrap_err();
        assert!(error.contains(&setting), "{error}");
        assert!(error.contains(&says), "{settings:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
