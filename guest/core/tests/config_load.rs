//! The configuration as users meet it: what is taken, and one clear message for each thing that is not.

#![expect(
    clippy::panic,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

use std::collections::BTreeSet;

use edgepass_core::authority::{Authority, EndpointVersion, TenantPath};
use edgepass_core::needs::Purpose;
use edgepass_core::{Algorithm, Config, ConfigError, Environment, Error, ErrorClass};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// What the workload identity webhook sets.
const WEBHOOK: &[(&str, &str)] = &[
    ("AZURE_TENANT_ID", TENANT),
    ("AZURE_CLIENT_ID", CLIENT),
    ("AZURE_FEDERATED_TOKEN_FILE", TOKEN_FILE),
    ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
];

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs(pairs.iter().copied())
}

fn load(json: &str) -> Result<Config, ConfigError> {
    Config::load(Some(json), &environment(&[]))
}

fn load_environment(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = WEBHOOK.iter().chain(changes).copied();
    Config::load(None, &Environment::from_pairs(pairs))
}

/// An Entra identity `app` with this credential and these further fields.
fn entra(credential: &str, fields: &str) -> String {
    format!(
        r#"{{"identities": {{"app": {{"tenant_id": "{TENANT}", "client_id": "{CLIENT}"{fields}, "credential": {credential}}}}}}}"#
    )
}

/// A generic identity `app` on a trusted host with this credential and these further fields.
fn generic(credential: &str, fields: &str) -> String {
    format!(
        r#"{{"authority_hosts": ["idp.example", "mtls.idp.example:8443"], "identities": {{"app": {{"client_id": "c",
            "token_endpoint": "https://idp.example/token"{fields}, "credential": {credential}}}}}}}"#
    )
}

const SECRET: &str = r#"{"client_secret": {"value": "hunter2"}}"#;
const BOUND: &str = r#"{"bound_certificate": {"name": "cert"}}"#;
const SOURCE: &str = r#"{"assertion_source": {}}"#;

fn hosts(config: &Config) -> BTreeSet<String> {
    let connections = config.needs().connections.into_iter();
    let permissions = connections.map(|connection| connection.permission);
    let posts = permissions.filter(|permission| permission.purpose == Purpose::TokenEndpoint);
    posts.map(|permission| permission.authority).collect()
}

fn files(config: &Config) -> BTreeSet<String> {
    let files = config.needs().files;
    let paths = files.iter().filter_map(|file| file.path.exact());
    paths.map(str::to_owned).collect()
}

fn tenant<'a>(config: &'a Config, identity: &str) -> Option<&'a str> {
    config.identities.get(identity)?.client()?.tenant.as_deref()
}

/// The line about an identity's credential, for people.
fn credential(config: &Config, identity: &str) -> String {
    let identity = config.identities.get(identity);
    let lines = identity.map(|identity| identity.describe());
    let line = lines
        .into_iter()
        .flatten()
        .find(|(what, _)| *what == "credential");
    line.map(|(_, text)| text).unwrap_or_default()
}

#[track_caller]
fn refused(result: Result<Config, ConfigError>, setting: &str, words: &[&str]) {
    let Err(error) = result else {
        panic!("it must be refused: {setting} {words:?}")
    };
    let text = error.to_string();
    assert_eq!(error.setting, setting, "{text}");
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert!(
        error.hint.is_some(),
        "says what is wrong but not what to do: {text}"
    );
}

#[test]
fn the_webhook_environment_is_a_configuration() {
    let config = load_environment(&[]).unwrap();
    assert_eq!(config.default_identity.as_deref(), Some("default"));
    let identity = &config.identities.get("default").unwrap();
    let client = identity.client().unwrap();
    assert_eq!(client.tenant.as_deref(), Some(TENANT));
    assert_eq!(client.client_id, CLIENT);
    let host = "login.microsoftonline.com".to_owned();
    assert_eq!(
        client.authority,
        Authority::Entra {
            host,
            version: EndpointVersion::V2,
            region: None,
            path: TenantPath::Plain,
        }
    );
    assert_eq!(
        credential(&config, "default"),
        format!("federated token file {TOKEN_FILE}")
    );
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    assert!(identity.distinction().expose().contains(jwt));
    assert_eq!(files(&config), BTreeSet::from([TOKEN_FILE.to_owned()]));
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["login.microsoftonline.com".to_owned()])
    );
}

#[test]
fn a_document_without_identities_leaves_them_to_the_environment() {
    let json = r#"{"host": {"ca_file": "/etc/ca.pem"}, "authority_hosts": ["login.contoso.example:8443"]}"#;
    let pairs = [
        WEBHOOK,
        &[("AZURE_AUTHORITY_HOST", "https://login.contoso.example:8443")],
    ]
    .concat();
    let config = Config::load(Some(json), &environment(&pairs)).unwrap();
    assert_eq!(config.host.ca_file.as_deref(), Some("/etc/ca.pem"));
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["login.contoso.example:8443".to_owned()])
    );
}

/// How the identity that the environment describes gets its tokens, in words.
fn of_the_environment(pairs: &[(&str, &str)]) -> Result<String, ConfigError> {
    let config = Config::load(None, &environment(pairs))?;
    let Some(identity) = config.identities.get("default") else {
        panic!("the environment describes one");
    };
    let client = identity.client().map(|client| client.client_id.clone());
    let words = identity.describe().into_iter();
    let said = words.filter(|(what, _)| ["credential", "asks"].contains(what));
    let said: Vec<String> = client
        .into_iter()
        .chain(said.map(|(_, text)| text))
        .collect();
    Ok(said.join(", "))
}

const SECRET_OF_IT: (&str, &str) = ("AZURE_CLIENT_SECRET", "hunter2");
const CERTIFICATE_OF_IT: (&str, &str) = ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem");
const TOKEN_FILE_OF_IT: (&str, &str) = ("AZURE_FEDERATED_TOKEN_FILE", TOKEN_FILE);
const TENANT_OF_IT: (&str, &str) = ("AZURE_TENANT_ID", TENANT);
const CLIENT_OF_IT: (&str, &str) = ("AZURE_CLIENT_ID", CLIENT);
const GITHUB_URL: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/t?v=2");
const GITHUB_TOKEN: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2");
const PIPELINES_URL: (&str, &str) = ("SYSTEM_OIDCREQUESTURI", "https://ado.example/t");
const PIPELINES_TOKEN: (&str, &str) = ("SYSTEM_ACCESSTOKEN", "hunter2");
const CONNECTION: (&str, &str) = (
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    "99999999-aaaa-bbbb-cccc-dddddddddddd",
);
const OTHER: &str = "77777777-7777-8888-9999-000000000000";
const CONNECTION_CLIENT: (&str, &str) = ("AZURESUBSCRIPTION_CLIENT_ID", OTHER);
const CONNECTION_TENANT: (&str, &str) = ("AZURESUBSCRIPTION_TENANT_ID", TENANT);
const ENDPOINT: (&str, &str) = ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token");
const HEADER: (&str, &str) = ("IDENTITY_HEADER", "hunter2");
const PROXY: (&str, &str) = ("AZURE_KUBERNETES_TOKEN_PROXY", "https://proxy.example");

fn only(name: &'static str) -> (&'static str, &'static str) {
    ("AZURE_TOKEN_CREDENTIALS", name)
}

/// The first set of variables in the order of the SDKs' chain is it, whatever comes after.
#[test]
fn the_environment_is_the_first_of_the_sdks_chain() {
    let file = format!("{CLIENT}, federated token file {TOKEN_FILE}");
    let secret = format!("{CLIENT}, client secret, in the configuration or environment");
    let certificate = format!("{CLIENT}, certificate default, PS256");
    let github = format!("{CLIENT}, GitHub Actions identity token for api://AzureADTokenExchange");
    let pipelines = format!(
        "{CLIENT}, Azure Pipelines identity token of the service connection {}",
        CONNECTION.1
    );
    let system = "169.254.169.254, system-assigned managed identity";
    let user = format!("169.254.169.254, managed identity with client_id {CLIENT}");
    let client = [TENANT_OF_IT, CLIENT_OF_IT];
    for (pairs, expected) in [
        (vec![], system),
        (
            vec![SECRET_OF_IT, CERTIFICATE_OF_IT, TOKEN_FILE_OF_IT],
            &secret,
        ),
        (
            vec![CERTIFICATE_OF_IT, TOKEN_FILE_OF_IT, GITHUB_URL],
            &certificate,
        ),
        (vec![TOKEN_FILE_OF_IT, GITHUB_URL, GITHUB_TOKEN], &file),
        (vec![TOKEN_FILE_OF_IT, ENDPOINT, HEADER], &file),
        (vec![GITHUB_URL, GITHUB_TOKEN, PIPELINES_URL], &github),
        (vec![GITHUB_URL, GITHUB_TOKEN, ENDPOINT, HEADER], &github),
        (vec![PIPELINES_URL, PIPELINES_TOKEN, CONNECTION], &pipelines),
        (
            vec![
                PIPELINES_URL,
                PIPELINES_TOKEN,
                CONNECTION,
                CONNECTION_CLIENT,
            ],
            &pipelines,
        ),
        (vec![only("prod"), TOKEN_FILE_OF_IT, SECRET_OF_IT], &secret),
        (
            vec![
                only(" workloadIdentityCredential "),
                TOKEN_FILE_OF_IT,
                SECRET_OF_IT,
            ],
            &file,
        ),
        (
            vec![
                only("EnvironmentCredential"),
                CERTIFICATE_OF_IT,
                TOKEN_FILE_OF_IT,
            ],
            &certificate,
        ),
        (
            vec![only("managedidentitycredential"), SECRET_OF_IT, GITHUB_URL],
            &user,
        ),
    ] {
        let pairs = match pairs.as_slice() {
            [] => Vec::new(),
            pairs => [&client[..], pairs].concat(),
        };
        assert_eq!(of_the_environment(&pairs).unwrap(), expected, "{pairs:?}");
    }
    // the service connection's own client, and managed identities with and without one
    for (pairs, expected) in [
        (
            vec![
                PIPELINES_URL,
                PIPELINES_TOKEN,
                CONNECTION,
                CONNECTION_CLIENT,
                CONNECTION_TENANT,
            ],
            pipelines.replace(CLIENT, OTHER),
        ),
        (client.to_vec(), user.clone()),
        (vec![CLIENT_OF_IT], user),
        (
            vec![ENDPOINT, HEADER],
            "127.0.0.1:41741, system-assigned managed identity of App Service".to_owned(),
        ),
        (
            vec![ENDPOINT, HEADER, CLIENT_OF_IT],
            format!("127.0.0.1:41741, managed identity with client_id {CLIENT} of App Service"),
        ),
        // App Service says by itself that it is one
        (
            vec![ENDPOINT, HEADER, TENANT_OF_IT],
            "127.0.0.1:41741, system-assigned managed identity of App Service".to_owned(),
        ),
    ] {
        assert_eq!(of_the_environment(&pairs).unwrap(), expected, "{pairs:?}");
    }
}

/// What is told to a component is what the host has found: the same variables, and no others.
#[test]
fn a_component_finds_what_its_host_has_found() {
    let all = [
        TENANT_OF_IT,
        CLIENT_OF_IT,
        SECRET_OF_IT,
        CERTIFICATE_OF_IT,
        TOKEN_FILE_OF_IT,
        GITHUB_URL,
        GITHUB_TOKEN,
        PIPELINES_URL,
        PIPELINES_TOKEN,
        CONNECTION,
        CONNECTION_CLIENT,
        CONNECTION_TENANT,
        ENDPOINT,
        HEADER,
        PROXY,
        only("managedidentitycredential"),
    ];
    let mut found = BTreeSet::new();
    for set in 0_u32..1 << all.len() {
        let pairs = all.iter().enumerate();
        let pairs: Vec<_> = pairs
            .filter(|(bit, _)| set & (1 << bit) != 0)
            .map(|(_, pair)| *pair)
            .collect();
        let Ok(config) = Config::load(None, &environment(&pairs)) else {
            continue;
        };
        let told = config.needs().variables;
        let told: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|(name, _)| told.iter().any(|variable| variable.name == *name))
            .collect();
        let again = Config::load(None, &environment(&told)).unwrap();
        let of = |config: &Config| {
            let identity = config.identities.get("default").unwrap().clone();
            (
                identity.distinction().expose().to_owned(),
                identity.passed().to_vec(),
            )
        };
        assert_eq!(of(&again), of(&config), "{pairs:?} {told:?}");
        found.insert(of(&config).0);
    }
    assert!(found.len() >= 10, "{found:#?}");
}

#[test]
fn nothing_but_a_tenant() {
    refused(
        Config::load(None, &environment(&[TENANT_OF_IT])),
        "AZURE_CLIENT_ID",
        &["is not set, and AZURE_TENANT_ID is", "managed identity"],
    );
    let blank = environment(&[("AZURE_TENANT_ID", " ")]);
    assert!(Config::load(Some("{}"), &blank).is_ok());
}

/// What is set names what is missing, and no other credential takes its place.
#[test]
fn half_an_environment_names_the_missing_variable() {
    let client = [TENANT_OF_IT, CLIENT_OF_IT];
    for (pairs, missing, because) in [
        (vec![SECRET_OF_IT, CLIENT_OF_IT], "AZURE_TENANT_ID", ""),
        (
            vec![SECRET_OF_IT, TENANT_OF_IT],
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
        ),
        (
            vec![SECRET_OF_IT, ENDPOINT, HEADER],
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
        ),
        (vec![CERTIFICATE_OF_IT, CLIENT_OF_IT], "AZURE_TENANT_ID", ""),
        (
            vec![CERTIFICATE_OF_IT, TENANT_OF_IT],
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_CERTIFICATE_PATH",
        ),
        (
            [
                &client[..],
                &[("AZURE_CLIENT_CERTIFICATE_PASSWORD", "hunter2")],
            ]
            .concat(),
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        ),
        (vec![TOKEN_FILE_OF_IT, CLIENT_OF_IT], "AZURE_TENANT_ID", ""),
        (
            vec![TOKEN_FILE_OF_IT, TENANT_OF_IT],
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
        ),
        (
            [&client[..], &[PROXY]].concat(),
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_KUBERNETES_TOKEN_PROXY",
        ),
        (
            [
                &client[..],
                &[TOKEN_FILE_OF_IT, ("AZURE_KUBERNETES_SNI_NAME", "n.example")],
            ]
            .concat(),
            "AZURE_KUBERNETES_SNI_NAME",
            "AZURE_KUBERNETES_TOKEN_PROXY",
        ),
        (
            [&client[..], &[GITHUB_URL]].concat(),
            GITHUB_TOKEN.0,
            GITHUB_URL.0,
        ),
        (
            [&client[..], &[GITHUB_TOKEN, ENDPOINT, HEADER]].concat(),
            GITHUB_URL.0,
            GITHUB_TOKEN.0,
        ),
        (
            vec![GITHUB_URL, GITHUB_TOKEN],
            "AZURE_CLIENT_ID",
            GITHUB_URL.0,
        ),
        (
            vec![GITHUB_URL, GITHUB_TOKEN, CLIENT_OF_IT],
            "AZURE_TENANT_ID",
            "",
        ),
        (
            [&client[..], &[PIPELINES_URL, CONNECTION]].concat(),
            PIPELINES_TOKEN.0,
            PIPELINES_URL.0,
        ),
        (
            [&client[..], &[PIPELINES_URL, PIPELINES_TOKEN]].concat(),
            CONNECTION.0,
            PIPELINES_URL.0,
        ),
        (vec![PIPELINES_TOKEN], PIPELINES_URL.0, PIPELINES_TOKEN.0),
        (
            vec![PIPELINES_URL, PIPELINES_TOKEN, CONNECTION],
            "AZURE_CLIENT_ID",
            PIPELINES_URL.0,
        ),
        (
            vec![
                PIPELINES_URL,
                PIPELINES_TOKEN,
                CONNECTION,
                CONNECTION_TENANT,
            ],
            CONNECTION_CLIENT.0,
            PIPELINES_URL.0,
        ),
        (
            vec![
                PIPELINES_URL,
                PIPELINES_TOKEN,
                CONNECTION,
                CONNECTION_CLIENT,
            ],
            CONNECTION_TENANT.0,
            "",
        ),
        (vec![ENDPOINT], "IDENTITY_HEADER", "IDENTITY_ENDPOINT"),
        (
            vec![HEADER, CLIENT_OF_IT],
            "IDENTITY_ENDPOINT",
            "IDENTITY_HEADER",
        ),
        (
            vec![("IMDS_ENDPOINT", "http://127.0.0.1:40342")],
            "IDENTITY_ENDPOINT",
            "IMDS_ENDPOINT",
        ),
        (
            vec![("MSI_SECRET", "hunter2")],
            "MSI_ENDPOINT",
            "MSI_SECRET",
        ),
        (
            [
                &client[..],
                &[only("EnvironmentCredential"), TOKEN_FILE_OF_IT],
            ]
            .concat(),
            "AZURE_CLIENT_SECRET",
            "AZURE_TOKEN_CREDENTIALS",
        ),
        (
            [
                &client[..],
                &[only("WorkloadIdentityCredential"), SECRET_OF_IT],
            ]
            .concat(),
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_TOKEN_CREDENTIALS",
        ),
    ] {
        let result = Config::load(None, &environment(&pairs));
        refused(result, missing, &["is not", because]);
    }
}

#[test]
fn credentials_that_are_no_workload_s() {
    let developers = "the credentials of developers";
    for (name, says) in [
        ("dev", developers),
        ("DEV", developers),
        (
            "AzureCliCredential",
            "is AzureCliCredential: the credentials",
        ),
        ("visualstudiocodecredential", developers),
        ("ClientSecretCredential", "names no credential"),
        ("hunter2", "names no credential"),
    ] {
        refused(
            load_environment(&[only(name)]),
            "AZURE_TOKEN_CREDENTIALS",
            &[says, "prod", "ManagedIdentityCredential"],
        );
    }
    // a document has said which credential it is
    let pairs = [WEBHOOK, &[only("dev")]].concat();
    assert!(Config::load(Some(r#"{"identities": {"a": {}}}"#), &environment(&pairs)).is_ok());
}

/// An identity that is written down and names no credential: which is meant has to be written.
#[test]
fn two_credentials_for_an_identity_that_is_written_down() {
    let pairs = [WEBHOOK, &[SECRET_OF_IT]].concat();
    refused(
        Config::load(Some(r#"{"identities": {"a": {}}}"#), &environment(&pairs)),
        "AZURE_CLIENT_SECRET",
        &["so is AZURE_FEDERATED_TOKEN_FILE", "unset one"],
    );
}

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
fn entra_settings_beside_a_token_endpoint() {
    for (field, value) in [
        ("tenant_id", r#""t""#),
        ("authority_host", r#""https://login.microsoftonline.com""#),
        ("endpoint_version", r#""v1.0""#),
        ("additionally_allowed_tenants", r#"["*"]"#),
    ] {
        let json = generic(SECRET, &format!(r#", "{field}": {value}"#));
        refused(
            load(&json),
            &format!("identities.app.{field}"),
            &["is for Entra ID", "token_endpoint"],
        );
    }
}

#[test]
fn one_credential_kind_exactly() {
    let credential = "identities.app.credential";
    let two = r#"{"client_secret": {"value": "hunter2"}, "federated_token_file": {"path": "/t"}}"#;
    refused(
        load(&entra(two, "")),
        credential,
        &[
            "has 2 kinds: federated_token_file, client_secret",
            "keep one",
        ],
    );
    refused(
        load(&entra("{}", "")),
        credential,
        &["names no kind", "federated_token_file", "bound_certificate"],
    );
}

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
fn the_cache_of_users_has_a_size_that_a_component_can_have() {
    for wrong in ["0", "1025", "18446744073709551615"] {
        refused(
            load(&format!(
                r#"{{"host": {{"user_token_cache_mib": {wrong}}}}}"#
            )),
            "host.user_token_cache_mib",
            &["is not between 1 and 1024", "write MiB, 64 for example"],
        );
    }
    for (json, mib) in [
        ("{}", 64),
        (r#"{"host": {"user_token_cache_mib": 1}}"#, 1),
        (r#"{"host": {"user_token_cache_mib": 1024}}"#, 1024),
    ] {
        let variables = environment(WEBHOOK);
        let config = Config::load(Some(json), &variables).unwrap();
        assert_eq!(config.user_token_bytes(), mib << 20, "{json}");
    }
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
fn tenants() {
    for (tenant, word) in [
        ("contoso/../x", "letters, digits"),
        ("..", "not a domain name"),
        ("a..b", "not a domain name"),
        ("common", "AADSTS9001023"),
        ("organizations", "AADSTS9001023"),
        ("consumers", "AADSTS9001023"),
        ("ténant", "letters, digits"),
        (" x", "letters, digits"),
    ] {
        refused(
            load_environment(&[("AZURE_TENANT_ID", tenant)]),
            "AZURE_TENANT_ID",
            &[word, "GUID or one of its domains"],
        );
        let json = format!(
            r#"{{"identities": {{"app": {{"tenant_id": "{tenant}", "client_id": "c", "credential": {SECRET}}}}}}}"#
        );
        refused(load(&json), "identities.app.tenant_id", &[word]);
        let json = entra(
            SECRET,
            &format!(r#", "additionally_allowed_tenants": ["*", "{tenant}"]"#),
        );
        refused(
            load(&json),
            "identities.app.additionally_allowed_tenants[1]",
            &[word],
        );
    }
    let json = format!(
        r#"{{"identities": {{"app": {{"tenant_id": "", "client_id": "c", "credential": {SECRET}}}}}}}"#
    );
    refused(load(&json), "identities.app.tenant_id", &["is empty"]);
}

#[test]
fn client_ids() {
    refused(
        load_environment(&[("AZURE_CLIENT_ID", "a b")]),
        "AZURE_CLIENT_ID",
        &["space"],
    );
    refused(
        load_environment(&[("AZURE_CLIENT_ID", "id\n")]),
        "AZURE_CLIENT_ID",
        &["control", "line breaks"],
    );
}

#[test]
fn authority_hosts() {
    let host = |host: &str| load_environment(&[("AZURE_AUTHORITY_HOST", host)]);
    refused(
        host("http://login.microsoftonline.com/"),
        "AZURE_AUTHORITY_HOST",
        &["scheme `http`", "https"],
    );
    // a document says it whole; the SDKs take the variable without the scheme
    refused(
        load(&entra(
            SECRET,
            r#", "authority_host": "login.microsoftonline.com""#,
        )),
        "identities.app.authority_host",
        &["write https://login.microsoftonline.com"],
    );
    assert_eq!(
        hosts(&host("login.microsoftonline.us").unwrap()),
        BTreeSet::from(["login.microsoftonline.us".to_owned()])
    );
    let tenant = format!("https://login.microsoftonline.com/{TENANT}");
    refused(
        host(&tenant),
        "AZURE_AUTHORITY_HOST",
        &["has the path", "AZURE_TENANT_ID"],
    );
    refused(
        host("https://a@login.microsoftonline.com"),
        "AZURE_AUTHORITY_HOST",
        &["user name"],
    );
    refused(
        host("https://login.microsoftonline.com?x=y"),
        "AZURE_AUTHORITY_HOST",
        &["query"],
    );
    refused(
        host("https://login.microsoftonline.com.evil.example"),
        "AZURE_AUTHORITY_HOST",
        &[
            "neither a built-in Microsoft cloud",
            "if it is meant, add \"login.microsoftonline.com.evil.example\" to EDGEPASS_AUTHORITY_HOSTS",
        ],
    );
    let json = entra(
        SECRET,
        r#", "authority_host": "https://sts.contoso.example:8443""#,
    );
    refused(
        load(&json),
        "identities.app.authority_host",
        &["\"sts.contoso.example:8443\" to authority_hosts or EDGEPASS_AUTHORITY_HOSTS"],
    );
    let config = host("https://LOGIN.windows.net/").unwrap();
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["login.microsoftonline.com".to_owned()])
    );
}

#[test]
fn hosts_are_trusted_by_name_and_port() {
    let with = |list: &str, host: &str| {
        load_environment(&[
            ("EDGEPASS_AUTHORITY_HOSTS", list),
            ("AZURE_AUTHORITY_HOST", host),
        ])
    };
    for (list, host) in [
        ("login.contoso.example", "https://login.contoso.example"),
        (
            "a.example, Login.Contoso.Example:8443,",
            "https://login.contoso.example:8443/",
        ),
        ("127.0.0.1:9443", "https://127.0.0.1:9443"),
        ("[::1]:9443", "https://[::1]:9443"),
    ] {
        with(list, host).unwrap_or_else(|error| panic!("{list} {host}: {error}"));
    }
    refused(
        with(
            "login.contoso.example",
            "https://login.contoso.example:8443",
        ),
        "AZURE_AUTHORITY_HOST",
        &["443 alone", "\"login.contoso.example:8443\""],
    );
    refused(
        with("https://a.example", "https://a.example"),
        "EDGEPASS_AUTHORITY_HOSTS",
        &["is a URL"],
    );
    refused(
        with("a_b", "https://a.example"),
        "EDGEPASS_AUTHORITY_HOSTS",
        &["not a host name"],
    );
    refused(
        load(r#"{"authority_hosts": ["a.example", "b:0"]}"#),
        "authority_hosts[1]",
        &["not a port"],
    );
}

#[test]
fn token_endpoints_need_trust_and_https_too() {
    let at = |url: &str| load(&generic(SECRET, "").replace("https://idp.example/token", url));
    refused(
        at("http://idp.example/token"),
        "identities.app.token_endpoint",
        &["https only"],
    );
    refused(
        at("https://other.example/token"),
        "identities.app.token_endpoint",
        &["\"other.example\" to authority_hosts"],
    );
    refused(
        at("https://idp.example/token#x"),
        "identities.app.token_endpoint",
        &["fragment"],
    );
    let mtls = |url: &str| {
        load(&generic(
            BOUND,
            &format!(r#", "mtls_token_endpoint": "{url}""#),
        ))
    };
    refused(
        mtls("https://evil.example/t"),
        "identities.app.mtls_token_endpoint",
        &["\"evil.example\" to authority_hosts"],
    );
    let config = mtls("https://mtls.idp.example:8443/token").unwrap();
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["mtls.idp.example:8443".to_owned()])
    );
}

#[test]
fn mtls_endpoints_are_for_certificates() {
    let setting = "identities.app.mtls_token_endpoint";
    let mtls = r#", "mtls_token_endpoint": "https://mtls.idp.example:8443/token""#;
    for credential in [SECRET, SOURCE] {
        refused(
            load(&generic(credential, mtls)),
            setting,
            &["never used", "bound_certificate"],
        );
    }
    refused(
        load(&entra(BOUND, mtls)),
        setting,
        &["needs token_endpoint"],
    );
    refused(
        load(&generic(SOURCE, mtls)),
        setting,
        &["never used", "bound_certificate"],
    );
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

#[test]
fn a_host_that_a_rule_has_made_is_named_too() {
    let bound = |hosts: &str, host: &str| {
        let json = entra(BOUND, &format!(r#", "authority_host": "https://{host}""#));
        load(&json.replacen('{', &format!(r#"{{"authority_hosts": [{hosts}], "#), 1))
    };
    for (hosts, host) in [
        (r#""login.contoso.example""#, "login.contoso.example"),
        (
            r#""login.contoso.example:8443", "mtlsauth.contoso.example""#,
            "login.contoso.example:8443",
        ),
    ] {
        refused(
            bound(hosts, host),
            "identities.app.credential",
            &["`mtlsauth.contoso.example", "neither", "to authority_hosts"],
        );
    }
    let config = bound(
        r#""login.contoso.example", "mtlsauth.contoso.example""#,
        "login.contoso.example",
    )
    .unwrap();
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["mtlsauth.contoso.example".to_owned()])
    );
    // Microsoft's own, and a server whose mTLS endpoint is written down, need no more
    for cloud in ["login.microsoftonline.us", "login.sovcloud-identity.fr"] {
        bound("", cloud).unwrap();
    }
    load(&generic(BOUND, "")).unwrap();
}

#[test]
fn bound_certificates_need_a_login_host() {
    let config = load(&entra(BOUND, "")).unwrap();
    assert_eq!(
        credential(&config, "app"),
        "certificate cert on the connection (mTLS)"
    );
    let distinction = config.identities.get("app").unwrap().distinction();
    assert!(
        distinction
            .expose()
            .contains("with-assertion4:cert5:PS2563:x5c")
    );
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["mtlsauth.microsoft.com".to_owned()])
    );
    assert_eq!(
        config.unresolved_certificates(),
        BTreeSet::from(["cert".to_owned()])
    );

    let json = entra(
        BOUND,
        r#", "authority_host": "https://login-us.microsoftonline.com""#,
    );
    refused(
        load(&json),
        "identities.app.credential.bound_certificate",
        &["begin with `login.`"],
    );
}

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

#[test]
fn scopes() {
    let with = |scopes: &str| entra(SECRET, &format!(r#", "scopes": {scopes}"#));
    let vault = "https://vault.azure.net//.default";
    let config = load(&with(&format!(r#"["{vault}", "{vault}"]"#))).unwrap();
    assert_eq!(config.identities.get("app").unwrap().scopes, [vault]);
    for (scopes, word) in [
        (
            r#"["https://a.example/.default", "https://b.example/.default"]"#,
            "one resource at a time",
        ),
        (
            r#"["https://a.example"]"#,
            "write `https://a.example/.default`",
        ),
        (r#"["https://a.example/{x}/.default"]"#, "never filled in"),
        (r#"["https://a.example/é/.default"]"#, "RFC 6749"),
    ] {
        refused(load(&with(scopes)), "identities.app.scopes", &[word]);
    }
    let config = load(&generic(SECRET, r#", "scopes": ["read", "write"]"#)).unwrap();
    assert_eq!(
        config.identities.get("app").unwrap().scopes,
        ["read", "write"]
    );
    refused(
        load(&generic(SECRET, r#", "scopes": ["read write"]"#)),
        "identities.app.scopes",
        &["each scope by itself"],
    );
}

#[test]
fn names_and_the_default_identity() {
    let two = |default: &str| {
        format!(
            r#"{{{default}"identities": {{"a": {{"tenant_id": "t", "client_id": "c", "credential": {SECRET}}},
                "b": {{"tenant_id": "t", "client_id": "d", "credential": {SECRET}}}}}}}"#
        )
    };
    assert_eq!(load(&two("")).unwrap().default_identity, None);
    assert_eq!(
        load(&two(r#""default_identity": "b", "#))
            .unwrap()
            .default_identity
            .as_deref(),
        Some("b")
    );
    refused(
        load(&two(r#""default_identity": "c", "#)),
        "default_identity",
        &["is `c`", "name one of: a, b"],
    );
    assert_eq!(
        load(&entra(SECRET, ""))
            .unwrap()
            .default_identity
            .as_deref(),
        Some("app")
    );
    let slash = entra(SECRET, "").replace("\"app\"", "\"a/b\"");
    refused(
        load(&slash),
        "identities.a/b",
        &["a name that is not usable", "use letters, digits"],
    );
}

/// The name of an entry of `certificates`, in whose place people write the path of the file.
#[test]
fn the_path_of_a_certificate_is_no_name_of_one() {
    for kind in ["certificate", "bound_certificate"] {
        for (name, words) in [
            (
                "/etc/edgepass/client.pem",
                &["is a path", "certificate_file", "that name here"][..],
            ),
            ("./client.pem", &["is a path"]),
            (r"C:\\certs\\client.pfx", &["is a path"]),
            ("a b", &["not usable"]),
            ("", &["empty"]),
        ] {
            let json = entra(&format!(r#"{{"{kind}": {{"name": "{name}"}}}}"#), "");
            let setting = format!("identities.app.credential.{kind}.name");
            refused(load(&json), &setting, words);
        }
    }
}

#[test]
fn assertion_types() {
    let setting = "identities.app.credential.federated_token_file.assertion_type";
    let json = entra(
        r#"{"federated_token_file": {"path": "/t", "assertion_type": "jwt-bearer"}}"#,
        "",
    );
    refused(
        load(&json),
        setting,
        &["not an absolute URI", "leave it out"],
    );
    let json = entra(r#"{"assertion_source": {"assertion_type": "urn:a b"}}"#, "");
    refused(
        load(&json),
        "identities.app.credential.assertion_source.assertion_type",
        &["not an absolute URI"],
    );
}

#[test]
fn unknown_fields_list_the_known_ones() {
    let error = load(r#"{"identity": {}}"#).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown field `identity`, expected one of"),
        "{error}"
    );
    assert!(error.to_string().contains("`identities`"), "{error}");
    let error = load(&entra(r#"{"client_secret": {"secret": "hunter2"}}"#, "")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown field `secret`, expected one of `value`, `env`, `file`, `method`"),
        "{error}"
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = load(&entra(SECRET, r#", "endpoint_version": "v3""#)).unwrap_err();
    assert!(
        error.to_string().contains("expected `v1.0` or `v2.0`"),
        "{error}"
    );
}

#[test]
fn a_config_error_is_an_error_of_its_class() {
    let error = Error::from(Config::load(None, &environment(&[TENANT_OF_IT])).unwrap_err());
    assert_eq!(error.class(), ErrorClass::Configuration);
    assert!(
        error.to_string().starts_with("AZURE_CLIENT_ID: is not set"),
        "{error}"
    );
    let hint = error.detail().hint.as_ref().unwrap();
    assert!(hint.contains("AZURE_CLIENT_SECRET"), "{hint}");
}

#[test]
fn the_envoy_section_is_read_and_not_judged() {
    let json = r#"{"identities": {"app": {"tenant_id": "t", "client_id": "c",
            "credential": {"client_secret": {"value": "hunter2"}}}},
        "envoy": {"token_clusters": {"login.example": "entra"}, "files": {"cluster": "files"},
            "sharing": "per-vm", "rules": [{"match": {"path_prefix": "/api"}, "header": "x-token"}]}}"#;
    let config = load(json).unwrap();
    let envoy = config.envoy.as_ref().unwrap();
    assert_eq!(envoy.token_clusters.get("login.example").unwrap(), "entra");
    assert_eq!(envoy.rules[0].matching.path_prefix.as_deref(), Some("/api"));
    assert!(envoy.refresh_on_401 && !envoy.fail_open);
    assert_eq!(
        config.needs().inline_secrets,
        ["identities.app.credential.client_secret.value"]
    );
    assert!(load(&entra(SECRET, "")).unwrap().envoy.is_none());

    let wrong = load(r#"{"identities": {}, "envoy": {"rules": [{"match": {"method": "GET"}}]}}"#);
    refused(
        wrong,
        "envoy.rules[0].match.method",
        &["unknown field `method`", "`path_prefix`"],
    );
    let twice = load(r#"{"envoy": {"token_clusters": {"a": "b", "a": "c"}}}"#).unwrap_err();
    assert!(twice.to_string().contains("duplicate name `a`"), "{twice}");
}
