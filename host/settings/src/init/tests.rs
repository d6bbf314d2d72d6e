//! Configurations to begin with, for environments.

use super::environment::MANAGED_IDENTITY;
use super::*;
use crate::formats::Document;

const GUID: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "66666666-7777-8888-9999-000000000000";

/// The environments of platforms and of the Azure SDKs: what is set, what the description says, and what it names.
fn environments() -> Vec<(Vec<(&'static str, &'static str)>, &'static str)> {
    let entra = vec![("AZURE_TENANT_ID", GUID), ("AZURE_CLIENT_ID", OTHER)];
    let with = |more: &[(&'static str, &'static str)]| [&entra, more].concat();
    vec![
        (
            vec![],
            "federated token file /var/run/secrets/azure/tokens/azure-identity-token",
        ),
        // without a credential they name an identity of the machine, as the SDKs have it
        (entra.clone(), OTHER),
        (vec![("AZURE_CLIENT_ID", OTHER)], OTHER),
        (
            with(&[
                ("AZURE_CLIENT_SECRET", "hunter2"),
                ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"),
            ]),
            OTHER,
        ),
        (
            with(&[
                ("AZURE_CLIENT_SECRET", "hunter2"),
                ("GITHUB_ACTIONS", "true"),
            ]),
            "client secret",
        ),
        (
            with(&[
                ("AZURE_CLIENT_SECRET", "hunter2"),
                ("AZURE_REGIONAL_AUTHORITY_NAME", "westus2"),
            ]),
            "westus2",
        ),
        (
            with(&[
                ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/tokens/t"),
                ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"),
            ]),
            "federated token file /var/run/secrets/tokens/t",
        ),
        (
            with(&[
                ("GITHUB_ACTIONS", "true"),
                (
                    "ACTIONS_ID_TOKEN_REQUEST_URL",
                    "https://x.actions.githubusercontent.com/t?a=b",
                ),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
            ]),
            "GitHub Actions",
        ),
        (vec![("GITHUB_ACTIONS", "true")], "GitHub Actions"),
        (
            vec![
                ("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/x"),
                ("SYSTEM_ACCESSTOKEN", "hunter2"),
                ("AZURESUBSCRIPTION_CLIENT_ID", OTHER),
                ("AZURESUBSCRIPTION_TENANT_ID", GUID),
                ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", GUID),
            ],
            "Azure Pipelines",
        ),
        (
            with(&[("AZURE_CLIENT_SECRET", "hunter2")]),
            "client secret, in the configuration or environment",
        ),
        (
            with(&[
                ("AZURE_CLIENT_CERTIFICATE_PATH", "C:\\keys\\app.pfx"),
                ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "hunter2"),
                ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "True"),
                ("AZURE_ADDITIONALLY_ALLOWED_TENANTS", "a.example; *"),
            ]),
            "certificate app",
        ),
        (
            with(&[("SPIFFE_ENDPOINT_SOCKET", "unix:///run/spire.sock")]),
            "SPIFFE",
        ),
        (
            with(&[
                ("AWS_REGION", "eu-central-1"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
                ("AWS_ROLE_ARN", "arn:x"),
            ]),
            "AWS",
        ),
        (
            vec![
                ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token"),
                ("IDENTITY_HEADER", "hunter2"),
            ],
            "managed identity",
        ),
        (
            vec![
                ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token"),
                ("IDENTITY_HEADER", "hunter2"),
                ("AZURE_CLIENT_ID", OTHER),
            ],
            OTHER,
        ),
        (
            with(&[
                ("AZURE_CLIENT_SECRET", "hunter2"),
                ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
                ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token"),
                ("IDENTITY_HEADER", "hunter2"),
            ]),
            "client secret",
        ),
        (
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")],
            "managed identity",
        ),
    ]
}

#[test]
fn what_the_environment_shows_is_a_good_configuration_in_each_format() {
    for (pairs, says) in environments() {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let mut documents = Vec::new();
        for format in [Format::Yaml, Format::Toml, Format::Json] {
            let begun =
                beginning(&environment, format).unwrap_or_else(|e| panic!("{pairs:?}: {e}"));
            let text = &begun.text;
            assert!(!text.contains("hunter2"), "{text}");
            assert_eq!(text.contains('#'), format != Format::Json, "{text}");
            for name in &begun.variables {
                assert!(pairs.iter().any(|(set, _)| set == name), "{name}");
                assert!(
                    format == Format::Json || text.contains(name),
                    "{name}: {text}"
                );
            }
            assert_eq!(begun.variables.is_empty(), pairs.is_empty(), "{pairs:?}");
            let document =
                Document::read(text, format, None).unwrap_or_else(|e| panic!("{text}: {e}"));
            let config = Config::load(Some(document.json()), &environment)
                .unwrap_or_else(|e| panic!("{text}: {e}"));
            let about: Vec<String> = config
                .identities
                .values()
                .next()
                .unwrap()
                .describe()
                .into_iter()
                .map(|(_, said)| said)
                .collect();
            assert!(about.join("; ").contains(says), "{pairs:?}: {about:?}");
            documents.push(serde_json::from_str::<serde_json::Value>(document.json()).unwrap());
        }
        assert!(
            documents.iter().all(|document| *document == documents[0]),
            "{documents:?}"
        );
    }
}

#[test]
fn what_is_not_in_effect_is_good_too() {
    for format in [Format::Yaml, Format::Toml] {
        let text = beginning(&Environment::default(), format).unwrap().text;
        // lines that are settings with a `#` before them, and no prose
        let taken: String = text
            .lines()
            .map(|line| {
                let indent = " ".repeat(line.len() - line.trim_start().len());
                match line.trim_start().strip_prefix('#') {
                    Some(rest) if !rest.starts_with([' ', ':']) => format!("{indent}{rest}\n"),
                    _ => format!("{line}\n"),
                }
            })
            .collect();
        assert_ne!(taken, text);
        let document =
            Document::read(&taken, format, None).unwrap_or_else(|e| panic!("{taken}: {e}"));
        let config = Config::load(Some(document.json()), &Environment::default());
        let config = config.unwrap_or_else(|e| panic!("{taken}: {e}"));
        assert_eq!(
            config.identities.get("app").unwrap().scopes,
            ["https://graph.microsoft.com/.default"]
        );
        assert!(config.host.ca_file.is_some());
    }
}

#[test]
fn a_variable_that_cannot_be_written_is_named() {
    for (name, value) in [
        ("AZURE_TENANT_ID", "common"),
        ("AZURE_CLIENT_ID", "a b"),
        ("AZURE_FEDERATED_TOKEN_FILE", "token"),
        ("AZURE_AUTHORITY_HOST", "http://login.example"),
        ("AZURE_ADDITIONALLY_ALLOWED_TENANTS", "a/b"),
        ("AZURE_REGIONAL_AUTHORITY_NAME", "a b"),
    ] {
        let good = [
            ("AZURE_TENANT_ID", GUID),
            ("AZURE_CLIENT_ID", OTHER),
            ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
        ];
        let others = good.into_iter().filter(|(other, _)| *other != name);
        let environment = Environment::from_pairs(others.chain([(name, value)]));
        let error = beginning(&environment, Format::Yaml).unwrap_err();
        assert_eq!(error.setting, name, "{error}");
        assert!(error.hint.is_some(), "{error}");
    }
}

/// Of every set of these variables: what is written is what a token is got with where nothing is written, or it is
/// refused in the same words.
#[test]
fn what_is_written_is_who_asks_without_it() {
    const SETS: [&[(&str, &str)]; 14] = [
        &[("AZURE_TENANT_ID", GUID)],
        &[("AZURE_CLIENT_ID", OTHER)],
        &[("AZURE_CLIENT_SECRET", "hunter2")],
        &[("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem")],
        &[("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "yes")],
        &[("AZURE_FEDERATED_TOKEN_FILE", "/t")],
        &[("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us")],
        &[("AZURE_REGIONAL_AUTHORITY_NAME", "westus2")],
        &[("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")],
        &[
            (
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                "https://x.actions.githubusercontent.com/t?a=b",
            ),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
        ],
        &[
            ("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/x"),
            ("SYSTEM_ACCESSTOKEN", "hunter2"),
            ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", GUID),
        ],
        &[
            ("AZURESUBSCRIPTION_CLIENT_ID", OTHER),
            ("AZURESUBSCRIPTION_TENANT_ID", GUID),
        ],
        &[
            ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi"),
            ("IDENTITY_HEADER", "hunter2"),
        ],
        &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")],
    ];
    /// What counts of an identity, without its name.
    fn who(config: &Config) -> (Vec<String>, Option<String>, Option<String>) {
        let identity = config.identities.values().next().unwrap();
        let about = identity.describe().into_iter();
        let endpoint = about
            .clone()
            .find(|(what, _)| ["asks", "token endpoint"].contains(what));
        let client = identity.client();
        (
            identity.kinds(),
            client.map(|client| format!("{} {:?}", client.client_id, client.tenant)),
            endpoint.map(|(_, said)| said),
        )
    }
    let (mut same, mut refused) = (0, 0);
    for set in 0..1_u32 << SETS.len() {
        let chosen = SETS.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
        let pairs: Vec<_> = chosen
            .flat_map(|(_, pairs)| pairs.iter().copied())
            .collect();
        let environment = Environment::from_pairs(pairs.iter().copied());
        let begun = beginning(&environment, Format::Json);
        match (Config::load(None, &environment), begun) {
            (Ok(without), Ok(begun)) => {
                // the template, where nothing says who this is
                if begun.text.contains(CLIENT) || begun.variables.is_empty() {
                    let kinds = who(&without).0;
                    assert_eq!(kinds, [MANAGED_IDENTITY], "{pairs:?}");
                    continue;
                }
                let with = Config::load(Some(&begun.text), &environment);
                let with = with.unwrap_or_else(|e| panic!("{pairs:?}: {e}\n{}", begun.text));
                assert_eq!(who(&with), who(&without), "{pairs:?}\n{}", begun.text);
                same += 1;
            }
            (Err(error), Err(begun)) => {
                assert_eq!(begun.to_string(), error.to_string(), "{pairs:?}");
                refused += 1;
            }
            (without, begun) => panic!("{pairs:?}: {without:?}, {begun:?}"),
        }
    }
    assert!(same > 1_000 && refused > 1_000, "{same}, {refused}");
}

#[test]
fn other_ways_are_told() {
    let environment = Environment::from_pairs([
        ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
        ("AZURE_CLIENT_SECRET", "x"),
        ("AZURE_CLIENT_ID", OTHER),
        ("AZURE_TENANT_ID", GUID),
    ]);
    let text = beginning(&environment, Format::Yaml).unwrap().text;
    assert!(
        text.contains("other kinds as well: federated_token_file."),
        "{text}"
    );
}
