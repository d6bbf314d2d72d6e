//! Backends as identities: their names, credentials and authorities.

use serde_json::{Value, json};

use super::{CLIENT, OAUTH2, TENANT, file, identities, loaded, variables};

#[test]
fn each_backend_becomes_an_identity() {
    let entra = |version: Option<&str>| {
        let mut identity = json!({
            "authority_host": "https://login.microsoftonline.com", "tenant_id": TENANT, "client_id": CLIENT,
            "credential": { "federated_token_file": { "path": "/run/token" } },
        });
        if let Some(version) = version {
            identity["endpoint_version"] = json!(version);
        }
        identity
    };
    for (backend, prefix, expected) in [
        ("azuread-oauth2", "AZUREAD_OAUTH2", entra(Some("v1.0"))),
        ("azuread-oauth2-v2", "AZUREAD_OAUTH2_V2", entra(None)),
        (
            "azuread-tenant-oauth2",
            "AZUREAD_TENANT_OAUTH2",
            entra(Some("v1.0")),
        ),
        (
            "azuread-v2-tenant-oauth2",
            "AZUREAD_V2_TENANT_OAUTH2",
            entra(None),
        ),
        (
            "azuread-b2c-oauth2",
            "AZUREAD_B2C_OAUTH2",
            json!({
                "token_endpoint": "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/oauth2/v2.0/token?p=B2C_1_signin",
                "client_id": CLIENT,
                "credential": { "federated_token_file": { "path": "/run/token" } },
            }),
        ),
    ] {
        let names = [
            "KEY",
            "TENANT_ID",
            "FEDERATED_TOKEN_FILE",
            "TENANT_NAME",
            "POLICY",
        ]
        .map(|name| format!("SOCIAL_AUTH_{prefix}_{name}"));
        let values = [CLIENT, TENANT, "/run/token", "fabrikam", "B2C_1_signin"];
        let pairs: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values).collect();
        let imported = variables(&pairs).unwrap().unwrap();
        assert_eq!(
            identities(&imported),
            json!({ backend: expected.clone() }),
            "{backend}"
        );
        loaded(&imported, &pairs);
        // the same as a module and as JSON
        let lines: String = pairs
            .iter()
            .map(|(name, value)| format!("{name} = '{value}'\n"))
            .collect();
        let object: serde_json::Map<String, Value> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        for (text, name) in [
            (lines, "settings.py"),
            (Value::Object(object).to_string(), "settings.json"),
        ] {
            let imported = file(&text, name, &[]).unwrap();
            assert_eq!(
                identities(&imported),
                json!({ backend: expected.clone() }),
                "{backend}: {text}"
            );
            loaded(&imported, &[]);
        }
    }
    assert!(
        variables(&[("AZURE_CLIENT_ID", CLIENT), ("SOCIAL_AUTH_GITHUB_KEY", "x")])
            .unwrap()
            .is_none()
    );
}

/// Such a name would be as if nobody had set it, and somebody else would get the token.
#[test]
fn a_name_that_is_no_backends_is_an_error_of_that_name() {
    const SAYS: &str = "belongs to none of python-social-auth's Azure backends";
    let others = [
        (format!("{OAUTH2}KEY"), CLIENT),
        (format!("{OAUTH2}TENANT_ID"), TENANT),
        (format!("{OAUTH2}SECRET"), "hunter2"),
    ];
    for (name, is_of_one) in [
        ("SOCIAL_AUTH_AZUREAD_TENANT_V2_OAUTH2_KEY", false),
        (
            "SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_V2_CLIENT_ASSERTION_TYPE",
            false,
        ),
        ("SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_SECRET", false),
        ("SOCIAL_AUTH_AZUREAD_OAUTH2_V2_TENANT_TENANT_ID", false),
        ("SOCIAL_AUTH_AZUREAD_OAUTH_TENANT_ID", false),
        ("SOCIAL_AUTH_AZUREAD_B2C_POLICY", false),
        ("SOCIAL_AUTH_AZUREAD_KEY", false),
        // nothing that counts for tokens of the program itself
        ("SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_ID_KEY", true),
        ("SOCIAL_AUTH_AZUREAD_OAUTH2_V2_ID_KEY", true),
        ("SOCIAL_AUTH_AZUREAD_OAUTH2_PIPELINE", true),
        ("SOCIAL_AUTH_AZUREAD_OTHER_SCOPE", true),
        ("SOCIAL_AUTH_AZURE_KEY", true),
        ("SOCIAL_AUTH_GITHUB_KEY", true),
    ] {
        for besides in [&[][..], &others] {
            let besides = besides.iter().map(|(name, value)| (name.as_str(), *value));
            let pairs: Vec<(&str, &str)> = [(name, "x")].into_iter().chain(besides).collect();
            let lines: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{name} = '{value}'\n"))
                .collect();
            let object: serde_json::Map<String, Value> = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect();
            let object = Value::Object(object).to_string();
            for (place, error) in [
                (name.to_owned(), variables(&pairs).err()),
                (
                    format!("{name} (settings.py, line 1)"),
                    file(&lines.concat(), "settings.py", &[]).err(),
                ),
                (
                    format!("{name} (settings.json, line 1)"),
                    file(&object, "settings.json", &[]).err(),
                ),
            ] {
                let error = error.unwrap_or_default();
                let says = error.starts_with(&format!("{place}: {SAYS}; "));
                assert_eq!(says, !is_of_one, "{place}: {error}");
                let prefixes = [
                    "OAUTH2_…",
                    "OAUTH2_V2_…",
                    "TENANT_OAUTH2_…",
                    "V2_TENANT_OAUTH2_…",
                    "B2C_OAUTH2_…",
                ];
                let mut prefixes = prefixes
                    .iter()
                    .map(|prefix| format!("SOCIAL_AUTH_AZUREAD_{prefix}"));
                assert!(
                    is_of_one || prefixes.all(|prefix| error.contains(&prefix)),
                    "{error}"
                );
            }
        }
    }
    // as the template of a deployment leaves one out
    let unset = [("SOCIAL_AUTH_AZUREAD_TENANT_V2_OAUTH2_KEY", " ")];
    assert!(variables(&unset).unwrap().is_none());
}

/// What is used of several, by social-core 7.0.0.
#[test]
fn credentials_have_an_order() {
    let own = |name: &str| format!("{OAUTH2}{name}");
    let jws = "aaaa.bbbb.cccc";
    let spiffe = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
    let of_file = |path: &str| json!({ "federated_token_file": { "path": path } });
    for (more, expected, notes) in [
        (
            vec![(own("FEDERATED_TOKEN_FILE"), "/run/token")],
            of_file("/run/token"),
            0,
        ),
        (
            vec![
                ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), "/azure"),
                (own("FEDERATED_TOKEN_FILE"), "/run/token"),
            ],
            of_file("/azure"),
            1,
        ),
        (
            vec![
                ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), "/azure"),
                ("OAUTH2_FEDERATED_TOKEN_FILE".to_owned(), "/oauth2"),
            ],
            of_file("/oauth2"),
            1,
        ),
        (
            vec![(own("CLIENT_ASSERTION"), jws)],
            json!({ "client_assertion": { "env": own("CLIENT_ASSERTION") } }),
            0,
        ),
        (
            vec![
                (own("CLIENT_ASSERTION"), jws),
                (own("CLIENT_ASSERTION_TYPE"), spiffe),
                ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), "/azure"),
            ],
            json!({ "client_assertion": { "env": own("CLIENT_ASSERTION"), "assertion_type": spiffe } }),
            1,
        ),
        (
            vec![
                ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), "/azure"),
                (own("CLIENT_ASSERTION_TYPE"), spiffe),
            ],
            json!({ "federated_token_file": { "path": "/azure", "assertion_type": spiffe } }),
            0,
        ),
        (
            vec![
                (own("SECRET"), "hunter2"),
                (own("CLIENT_ASSERTION"), jws),
                (own("FEDERATED_TOKEN_FILE"), "/run/token"),
            ],
            json!({ "client_secret": { "env": own("SECRET") } }),
            2,
        ),
        // for all backends
        (
            vec![("SOCIAL_AUTH_SECRET".to_owned(), "hunter2")],
            json!({ "client_secret": { "env": "SOCIAL_AUTH_SECRET" } }),
            0,
        ),
        // a template leaves out by a blank
        (
            vec![
                (own("SECRET"), " "),
                (own("FEDERATED_TOKEN_FILE"), "/run/token"),
            ],
            of_file("/run/token"),
            0,
        ),
    ] {
        let (key, tenant) = (own("KEY"), own("TENANT_ID"));
        let mut pairs = vec![(key.as_str(), CLIENT), (tenant.as_str(), TENANT)];
        pairs.extend(more.iter().map(|(name, value)| (name.as_str(), *value)));
        let imported = variables(&pairs).unwrap().unwrap();
        assert_eq!(
            identities(&imported)["azuread-oauth2"]["credential"],
            expected,
            "{more:?}"
        );
        assert_eq!(
            imported.notes.len(),
            notes,
            "{more:?}: {:?}",
            imported.notes
        );
        assert!(!format!("{}{:?}", *imported.document, imported.notes).contains("hunter2"));
        loaded(&imported, &pairs);
    }
}

#[test]
fn authorities_are_as_social_core_has_them() {
    for (prefix, more, expected) in [
        (
            "AZUREAD_V2_TENANT_OAUTH2",
            vec![
                ("TENANT_ID", TENANT),
                ("AUTHORITY_HOST", "login.microsoftonline.us"),
            ],
            json!({ "authority_host": "https://login.microsoftonline.us", "tenant_id": TENANT }),
        ),
        (
            "AZUREAD_V2_TENANT_OAUTH2",
            vec![
                ("TENANT_ID", "ignored"),
                (
                    "AUTHORITY_URL",
                    "https://login.microsoftonline.us/contoso.example/",
                ),
            ],
            json!({ "authority_host": "https://login.microsoftonline.us", "tenant_id": "contoso.example" }),
        ),
        (
            "AZUREAD_TENANT_OAUTH2",
            vec![("AUTHORITY_URL", "https://idp.example:8443/a/b")],
            json!({ "token_endpoint": "https://idp.example:8443/a/b/oauth2/token" }),
        ),
        // AD FS, and whatever else is not Microsoft's
        (
            "AZUREAD_TENANT_OAUTH2",
            vec![("AUTHORITY_URL", "https://idp.example:8443/adfs/v2.0")],
            json!({ "token_endpoint": "https://idp.example:8443/adfs/v2.0/oauth2/token" }),
        ),
        (
            "AZUREAD_V2_TENANT_OAUTH2",
            vec![(
                "AUTHORITY_URL",
                "https://fabrikam.b2clogin.com/tfp/fabrikam.onmicrosoft.com/B2C_1_x",
            )],
            json!({ "token_endpoint": "https://fabrikam.b2clogin.com/tfp/fabrikam.onmicrosoft.com/B2C_1_x/oauth2/v2.0/token" }),
        ),
        (
            "AZUREAD_V2_TENANT_OAUTH2",
            vec![(
                "AUTHORITY_URL",
                "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/b2c_1a_x/",
            )],
            json!({ "token_endpoint": "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/b2c_1a_x/oauth2/v2.0/token" }),
        ),
        (
            "AZUREAD_V2_TENANT_OAUTH2",
            vec![(
                "AUTHORITY_URL",
                "https://login.microsoftonline.com/te/fabrikam.onmicrosoft.com/B2C_1_x",
            )],
            json!({ "token_endpoint": "https://login.microsoftonline.com/te/fabrikam.onmicrosoft.com/B2C_1_x/oauth2/v2.0/token" }),
        ),
        (
            "AZUREAD_B2C_OAUTH2",
            vec![
                ("POLICY", "b2c_1_x"),
                (
                    "AUTHORITY_URL",
                    "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com",
                ),
            ],
            json!({ "token_endpoint": "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/oauth2/v2.0/token?p=b2c_1_x" }),
        ),
        (
            "AZUREAD_B2C_OAUTH2",
            vec![
                ("POLICY", "b2c_1_x"),
                ("TENANT_NAME", "fabrikam"),
                ("AUTHORITY_HOST", "login.fabrikam.example"),
            ],
            json!({ "token_endpoint": "https://login.fabrikam.example/fabrikam.onmicrosoft.com/oauth2/v2.0/token?p=b2c_1_x" }),
        ),
        (
            "AZUREAD_OAUTH2",
            vec![
                ("TENANT_ID", TENANT),
                ("RESOURCE", "https://graph.microsoft.com"),
            ],
            json!({
                "authority_host": "https://login.microsoftonline.com", "tenant_id": TENANT, "endpoint_version": "v1.0",
                "scopes": ["https://graph.microsoft.com/.default"],
            }),
        ),
    ] {
        let mut object =
            json!({ format!("SOCIAL_AUTH_{prefix}_KEY"): CLIENT, "SOCIAL_AUTH_SECRET": "hunter2" });
        for (name, value) in &more {
            object[format!("SOCIAL_AUTH_{prefix}_{name}")] = json!(value);
        }
        let imported = file(&object.to_string(), "settings.json", &[]).unwrap();
        let own = "idp.example:8443,login.fabrikam.example";
        loaded(&imported, &[("EDGEPASS_AUTHORITY_HOSTS", own)]);
        let mut identity = identities(&imported)
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .clone();
        let fields = identity.as_object_mut().unwrap();
        assert_eq!(fields.remove("client_id"), Some(json!(CLIENT)));
        assert_eq!(
            fields.remove("credential"),
            Some(json!({ "client_secret": { "env": "SOCIAL_AUTH_SECRET" } }))
        );
        assert_eq!(identity, expected, "{more:?}");
    }
}

#[test]
fn several_backends_are_several_identities() {
    let text = "
AUTHENTICATION_BACKENDS = (
    'social_core.backends.azuread.AzureADOAuth2',
    'social_core.backends.azuread_tenant.AzureADV2TenantOAuth2',
    'django.contrib.auth.backends.ModelBackend',
)
SOCIAL_AUTH_KEY = 'shared'
SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_TENANT_ID = 'contoso.example'
SECRET = 'hunter2'
SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_KEY = 'not among the backends'
";
    let imported = file(text, "settings.py", &[]).unwrap();
    assert_eq!(
        identities(&imported),
        json!({ "azuread-v2-tenant-oauth2": {
            "authority_host": "https://login.microsoftonline.com", "tenant_id": "contoso.example", "client_id": "shared",
            "credential": { "client_secret": { "env": "SECRET" } },
        } })
    );
    let [note] = imported.notes.as_slice() else {
        panic!("{:?}", imported.notes);
    };
    assert!(
        note.starts_with(
            "azuread-oauth2 is left out: SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_ID (settings.py)"
        ),
        "{note}"
    );
    let text = format!("{text}SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_ID = 'fabrikam.example'\n");
    let imported = file(&text, "settings.py", &[]).unwrap();
    assert_eq!(identities(&imported).as_object().unwrap().len(), 2);
    // what none of them can have is an error
    let text = text
        .replace("TENANT_ID = 'contoso.example'", "TENANT_ID = 'common'")
        .replace("'fabrikam.example'", "''");
    let error = file(&text, "settings.py", &[]).unwrap_err();
    assert!(
        error.starts_with("SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_ID (settings.py, line 11): is empty"),
        "{error}"
    );
}
