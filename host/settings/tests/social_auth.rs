//! python-social-auth's settings and what is made of them.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

use std::path::Path;

use edgepass_core::{Config, Environment};
use edgepass_settings::{File, Imported, social_auth};
use serde_json::{Value, json};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";

fn file(text: &str, name: &str, variables: &[(&str, &str)]) -> Result<Imported, String> {
    let file = File {
        text,
        name,
        folder: Path::new("/app"),
    };
    let environment = Environment::from_pairs(variables.iter().copied());
    social_auth::import(&file, &environment).map_err(|error| error.to_string())
}

fn variables(variables: &[(&str, &str)]) -> Result<Option<Imported>, String> {
    let environment = Environment::from_pairs(variables.iter().copied());
    social_auth::import_environment(&environment).map_err(|error| error.to_string())
}

fn identities(imported: &Imported) -> Value {
    let document: Value = serde_json::from_str(&imported.document).unwrap();
    document["identities"].clone()
}

/// Loads what was made, which the engine must take.
fn loaded(imported: &Imported, variables: &[(&str, &str)]) {
    let environment = Environment::from_pairs(variables.iter().copied());
    let environment = imported.environment(environment);
    let loaded = Config::load(Some(&imported.document), &environment);
    loaded.unwrap_or_else(|error| panic!("{error}: {}", *imported.document));
}

const OAUTH2: &str = "SOCIAL_AUTH_AZUREAD_OAUTH2_";

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
                "without https://",
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
        error.starts_with("SOCIAL_AUTH_AZUREAD_OAUTH2_TENANT_ID (settings.py)"),
        "{error}"
    );
}

/// The value of a name in a module, as social-core would see it, told by the client that comes of it.
fn key(module: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let rest = format!("\n{OAUTH2}TENANT_ID = 'contoso.example'\n{OAUTH2}SECRET = 'x'\n");
    let imported = file(&format!("{module}{rest}"), "settings.py", variables)?;
    let client = &identities(&imported)["azuread-oauth2"]["client_id"];
    Ok(client.as_str().unwrap().to_owned())
}

#[test]
fn plain_assignments_are_read() {
    let name = "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY";
    let set = [("APP_ID", "from-variable"), ("BLANK", "")];
    for (module, expected) in [
        ("K = 'a'", "a"),
        ("K = \"a\"  # a comment", "a"),
        ("K: str = 'a'", "a"),
        ("OTHER = K = 'a'", "a"),
        ("X = 1; K = 'a'; Y = 2", "a"),
        ("K = 'a' 'b' \"c\"", "abc"),
        ("K = ('a'\n     # between\n     'b')", "ab"),
        ("K = 'a' + \\\n  'b'", "ab"),
        ("K = 'a' + ('b' + 'c')", "abc"),
        ("K = '''a'''", "a"),
        ("K = r'a\\b'", "a\\b"),
        ("K = u'a'", "a"),
        (
            r"K = '\x61\u0062\143\
d'",
            "abcd",
        ),
        (r#"K = 'it\'s"'"#, "it's\""),
        ("K = os.environ['APP_ID']", "from-variable"),
        ("K = os.environ.get('APP_ID')", "from-variable"),
        ("K = os.environ.get(\"NOTHING\", \"a\")", "a"),
        ("K = os.getenv('NOTHING', 'a')", "a"),
        (
            "K = getenv('APP_ID', default) if 0 else 1\nK = environ.get('APP_ID')",
            "from-variable",
        ),
        ("K = os.environ.get('BLANK') or 'a'", "a"),
        ("K = 'a' or f(1, [2])", "a"),
        ("K = ('a' or f(1, [2]) or 3)", "a"),
        ("K = '' or None or 'a'", "a"),
        ("ID = 'a'\nK = ID", "a"),
        ("K = 'first'\nK = 'a'", "a"),
        ("K = unknown()\nK = 'a'", "a"),
        ("if True:\n    K = 'b'\nK = 'a'", "a"),
        (
            "\"\"\"A docstring with K = 'b' in it.\n\nK = 'c'\n\"\"\"\nK = 'a'",
            "a",
        ),
        (
            "K = 'a'\ndef f():\n    K = 'b'\n    if K:\n        K = 'c'\n",
            "a",
        ),
        (
            "K = 'a'\nclass C(Base):\n\n    K = 'b'\n\n    def f(self, K='c'):\n        self.K = K\n",
            "a",
        ),
        ("K = 'a'\nasync def f():\n    K = 'b'\n", "a"),
        ("K = 'a'\nprint(K, sep=K)\nlog.info('%s', K)\n", "a"),
        (
            "K = 'a'\nif K == 'a':\n    OTHER = K\nfor k in [K]:\n    pass\n",
            "a",
        ),
        (
            "K = 'a'\nDATABASES = {'default': {'NAME': BASE / 'x', K: [1, (2,)]}}\nX = [y for y in f(K)]\n",
            "a",
        ),
        (
            "import os\nfrom pathlib import Path\nBASE = Path(__file__).resolve().parent\nK = 'a'",
            "a",
        ),
        ("X = f\"{a['b']}\" % K\nK = 'a'", "a"),
        (
            "X = -1_000.5e3 + 0xff @ y ** 2 if a <= b else lambda z: z != 1\nK = 'a'",
            "a",
        ),
        ("K = (\n'a'\n)\r\n", "a"),
        ("\u{feff}K = 'a'", "a"),
        (
            "try:\n    from .local import *\nexcept ImportError:\n    pass\nK = 'a'",
            "a",
        ),
        ("größe = 'ä'\nK = größe", "ä"),
    ] {
        let module = module.replace('K', name);
        let found = key(&module, &set);
        // the names in texts were replaced as well
        let expected = expected.replace('K', name);
        match found {
            Ok(found) => assert_eq!(found, expected, "{module}"),
            Err(error) => panic!("{error}: {module}"),
        }
    }
}

#[test]
fn what_only_running_would_tell_is_an_error_of_the_name_alone() {
    let name = "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY";
    for (module, line, part) in [
        ("K = env('APP_ID')", 1, "is no plain value"),
        ("\n\nK = f'{x}'", 3, "is no plain value"),
        ("K = b'a'", 1, "is no plain value"),
        ("K = '\\N{DASH}'", 1, "is no plain value"),
        ("K = '\\ud800'", 1, "is no plain value"),
        ("K = '\\u12'", 1, "is no plain value"),
        ("K = 'a'.strip()", 1, "is no plain value"),
        ("K = 'a' if x else 'b'", 1, "is no plain value"),
        ("K = '%s' % x", 1, "is no plain value"),
        ("K = 'a' or 'b' if x else 'c'", 1, "is no plain value"),
        ("K = other", 1, "is no plain value"),
        ("ID = env('x')\nK = ID", 2, "is that of ID (line 1)"),
        (
            "K = os.environ['APP_ID']",
            1,
            "the variable APP_ID, which is not set; set the variable APP_ID, or write the value itself there",
        ),
        ("K = os.environ", 1, "is no plain value"),
        ("K = 1", 1, "is a number"),
        ("K = True", 1, "is True or False"),
        ("K = ['a']", 1, "is a list"),
        ("K = {'a': 1}", 1, "is a dictionary"),
        ("K = ('a', 'b')", 1, "is a list"),
        (
            "if DEBUG:\n    K = 'a'",
            2,
            "under a condition or in a loop",
        ),
        ("if DEBUG: K = 'a'", 1, "under a condition or in a loop"),
        (
            "K = 'a'\ntry:\n    K = x\nexcept E:\n    pass",
            3,
            "under a condition or in a loop",
        ),
        ("for K in 'ab': pass", 1, "under a condition or in a loop"),
        (
            "with f() as K:\n    pass",
            1,
            "under a condition or in a loop",
        ),
        (
            "if x:\n  if y:\n    K += 'a'",
            3,
            "under a condition or in a loop",
        ),
        ("K = 'a'\nK += 'b'", 2, "is changed after it was set"),
        ("K = 'a'\ndel K", 2, "is deleted"),
        ("K, OTHER = 'a', 'b'", 1, "set together with others"),
        ("(K) = 'a'", 1, "set together with others"),
        ("from .local import K", 1, "is imported"),
        ("from .local import (A, B as K,)", 1, "is imported"),
        ("import a.b as K", 1, "is imported"),
        (
            &format!("K = {}'a'{}", "(".repeat(40), ")".repeat(40)),
            1,
            "brackets within brackets",
        ),
        (
            &format!("K = {}'a'{}", "getenv(".repeat(20_000), ")".repeat(20_000)),
            1,
            "brackets within brackets",
        ),
        (
            "K = 'a'\nfrom .local import *",
            1,
            "may be set anew by line 2, which imports all names",
        ),
        (
            "K = 'a'\ntry:\n    from .local import *\nexcept E:\n    pass",
            1,
            "may be set anew by line 3",
        ),
        (
            "K = 'a'\nexec(open('local.py').read())",
            1,
            "may be set anew by line 2",
        ),
        (
            "K = 'a'\nglobals()['x'] = 'b'",
            1,
            "may be set anew by line 2",
        ),
        (
            "K = 'a'\nif x:\n    vars().update(y)",
            1,
            "may be set anew by line 3",
        ),
        (
            "K = 'a'\ndef f():\n    global K\n    K = 'b'",
            3,
            "is set by a function",
        ),
        ("K = 'a'\nx = (K := 'b')", 2, "is set within a value"),
        (
            "K = 'a'\ntry:\n    x = 1\nexcept E: K = 'b'",
            4,
            "under a condition or in a loop",
        ),
        (
            "K = 'a'\nwith x: K = 'b'",
            2,
            "under a condition or in a loop",
        ),
        (
            "K = 'a'\nif x: y = 1; K = 'b'",
            2,
            "under a condition or in a loop",
        ),
        (
            "def getenv(x): return 'b'\nK = getenv('A')",
            2,
            "is taken from getenv, which line 1 makes another",
        ),
        (
            "environ = {'A': 'b'}\nK = environ['A']",
            2,
            "is taken from environ, which line 1 makes another",
        ),
        (
            "load_dotenv()\nK = os.environ.get('A', 'b')",
            2,
            "the variable A, which line 1 may set",
        ),
        (
            "os.environ.setdefault('A', 'a')\nK = os.getenv('A', 'b')",
            2,
            "the variable A, which line 1 may set",
        ),
    ] {
        let error = key(&module.replace('K', name), &[]).unwrap_err();
        let place = format!("{name} (settings.py, line {line})");
        assert!(
            error.starts_with(&place) && error.contains(part),
            "{module}: {error}"
        );
    }
    for (module, line, part) in [
        ("K = 'a", 1, "string without an end"),
        ("\nK = '''a", 2, "string without an end"),
        ("K = 'a\n'", 1, "string without an end"),
        ("K = \\ 'a'", 1, "backslash"),
        ("K = \u{1f600}", 1, "no Python"),
    ] {
        let error = key(&module.replace('K', name), &[]).unwrap_err();
        let place = format!("settings.py, line {line}: ");
        assert!(
            error.starts_with(&place) && error.contains(part),
            "{module}: {error}"
        );
    }
    // what is None for a variable that is not set says so
    for (key, secret, line, variable) in [
        ("os.environ.get('ID')", "'x'", 1, "ID"),
        ("'a'", "os.getenv('S')", 2, "S"),
        ("'a'", "os.environ.get('S', os.environ.get('T'))", 2, "T"),
    ] {
        let module = format!(
            "{OAUTH2}KEY = {key}\n{OAUTH2}SECRET = {secret}\n{OAUTH2}TENANT_ID = 'contoso.example'\n"
        );
        let error = file(&module, "settings.py", &[]).unwrap_err();
        let says = format!(
            "(settings.py, line {line}): takes the variable {variable}, which is not set; set the variable {variable}, or"
        );
        assert!(error.contains(&says), "{error}");
    }
    // a name that is not needed stops nobody
    for other in [
        "env.bool('DEBUG')",
        "'\\N{BULLET} \\ud83d\\ude00'",
        "b'\\u', b'\\N'",
    ] {
        let module = format!("{name} = 'a'\nDEBUG = {other}\n");
        assert_eq!(key(&module, &[]).unwrap(), "a", "{other}");
    }
    let nothing = file("from .base import *\nDEBUG = True\n", "local.py", &[]).unwrap_err();
    assert!(
        nothing.contains("local.py: has no settings")
            && nothing.contains("line 1 imports all names"),
        "{nothing}"
    );
    let long = "x = 1\n".repeat(100_000);
    assert!(
        file(&long, "settings.py", &[])
            .unwrap_err()
            .contains("longer than settings are")
    );
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

/// What is made of what was made before is bounded, whether or not it is used.
#[test]
fn what_a_module_makes_is_bounded() {
    for (first, join) in [("'aaaaaaaa'", "{0} + {0}"), ("['a']", "[{0}, {0}]")] {
        let mut module = format!("A0 = {first}\n");
        for index in 1..60 {
            let before = join.replace("{0}", &format!("A{}", index - 1));
            module.push_str(&format!("A{index} = {before}\n"));
        }
        module.push_str(&format!("{OAUTH2}KEY = A59\n"));
        let error = key(&module, &[]).unwrap_err();
        assert!(error.contains("is that of A59"), "{error}");
    }
    let again = format!(
        "A = '{}'\n{}{OAUTH2}KEY = 'a'\n",
        "a".repeat(10_000),
        "B = A\n".repeat(1_000)
    );
    assert_eq!(key(&again, &[]).unwrap(), "a");
}
