//! An identity that the environment describes.

use super::*;

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
pub(super) fn of_the_environment(pairs: &[(&str, &str)]) -> Result<String, ConfigError> {
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

pub(super) const SECRET_OF_IT: (&str, &str) = ("AZURE_CLIENT_SECRET", "hunter2");

pub(super) const CERTIFICATE_OF_IT: (&str, &str) = ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem");

pub(super) const TOKEN_FILE_OF_IT: (&str, &str) = ("AZURE_FEDERATED_TOKEN_FILE", TOKEN_FILE);

pub(super) const TENANT_OF_IT: (&str, &str) = ("AZURE_TENANT_ID", TENANT);

pub(super) const CLIENT_OF_IT: (&str, &str) = ("AZURE_CLIENT_ID", CLIENT);

pub(super) const GITHUB_URL: (&str, &str) =
    ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/t?v=2");

pub(super) const GITHUB_TOKEN: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2");

pub(super) const PIPELINES_URL: (&str, &str) = ("SYSTEM_OIDCREQUESTURI", "https://ado.example/t");

pub(super) const PIPELINES_TOKEN: (&str, &str) = ("SYSTEM_ACCESSTOKEN", "hunter2");

pub(super) const CONNECTION: (&str, &str) = (
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    "99999999-aaaa-bbbb-cccc-dddddddddddd",
);

pub(super) const OTHER: &str = "77777777-7777-8888-9999-000000000000";

pub(super) const CONNECTION_CLIENT: (&str, &str) = ("AZURESUBSCRIPTION_CLIENT_ID", OTHER);

pub(super) const CONNECTION_TENANT: (&str, &str) = ("AZURESUBSCRIPTION_TENANT_ID", TENANT);

pub(super) const ENDPOINT: (&str, &str) = ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token");

pub(super) const HEADER: (&str, &str) = ("IDENTITY_HEADER", "hunter2");

pub(super) const PROXY: (&str, &str) = ("AZURE_KUBERNETES_TOKEN_PROXY", "https://proxy.example");

pub(super) fn only(name: &'static str) -> (&'static str, &'static str) {
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

/// What a job's service is asked is written once, whatever the variable of the platform has in its query already.
#[test]
fn a_job_s_url_does_not_ask_for_anything_itself() {
    let client = [TENANT_OF_IT, CLIENT_OF_IT];
    let github = |query: &str| format!("https://gh.example/t?{query}");
    for (query, named) in [
        ("v=2&audience=api://evil", Some("`audience`")),
        ("Audience=x", Some("`audience`")),
        ("%61udience", Some("`audience`")),
        ("v=2&audiences=1", None),
        ("x=audience", None),
        ("", None),
    ] {
        let url = github(query);
        let pairs = [&client[..], &[(GITHUB_URL.0, url.as_str()), GITHUB_TOKEN]].concat();
        let result = Config::load(None, &environment(&pairs));
        match named {
            Some(named) => refused(result, GITHUB_URL.0, &[named, "as the platform has set it"]),
            None => assert!(result.is_ok(), "{query}: {result:?}"),
        }
    }
    for (query, named) in [
        ("api-version=1", "`api-version`"),
        ("serviceconnectionid=x", "`serviceConnectionId`"),
    ] {
        let url = format!("https://ado.example/t?{query}");
        let pairs = [(PIPELINES_URL.0, url.as_str()), PIPELINES_TOKEN, CONNECTION];
        let pairs = [&client[..], &pairs].concat();
        let result = Config::load(None, &environment(&pairs));
        refused(result, PIPELINES_URL.0, &[named]);
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
