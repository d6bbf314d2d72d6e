//! Acceptance: every source of a managed identity, asked by edgepass and by the real SDKs, on one emulator. What they send
//! is the same: method, path, query, headers and body, but for telemetry and for what the table names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use edgepass::{Environment, ErrorClass, Provider, TokenRequest};
use edgepass_e2e::{Command, GRAPH, Lab, graph, jwt, peers_node, peers_python, peers_script};
use edgepass_emulator::{App, Fault, JournalEntry, ManagedIdentity, Platform};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The resource of [`GRAPH`].
const RESOURCE: &str = "https://graph.microsoft.com";

/// The resource whose tokens are assertions.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// An application that trusts managed identities.
const TRUSTING: &str = "7c1d2e3f-0000-4000-8000-000000000002";

/// Headers that say who asks and how he reads, and not what for.
const TELEMETRY: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "client-request-id",
    "connection",
    "content-length",
    "host",
    "return-client-request-id",
    "sec-fetch-mode",
    "traceparent",
    "user-agent",
    "x-client-current-telemetry",
    "x-client-last-telemetry",
    "x-client-os",
    "x-client-sku",
    "x-client-ver",
    "x-ms-client-request-id",
    "x-ms-lib-capability",
    "x-ms-return-client-request-id",
];

/// Fields by which MSAL for JavaScript says the same in a form.
const TELEMETRY_FIELDS: &[&str] = &[
    "client-request-id",
    "client_info",
    "x-client-current-telemetry",
    "x-client-last-telemetry",
    "x-client-OS",
    "x-client-SKU",
    "x-client-CPU",
    "x-client-VER",
    "x-client-os",
    "x-client-sku",
    "x-client-ver",
    "x-ms-lib-capability",
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sdk {
    /// azure-identity for Python.
    AzurePython,
    /// MSAL for Python.
    MsalPython,
    /// @azure/identity for Node.
    AzureNode,
    /// azure_identity for Rust.
    AzureRust,
}

use Sdk::{AzureNode, AzurePython, AzureRust, MsalPython};

/// A source and who can be pointed at it.
struct Row {
    /// None is the metadata service.
    platform: Option<Platform>,
    source: &'static str,
    /// Variables besides the platform's own.
    also: &'static [(&'static str, &'static str)],
    /// Settings that choose a user-assigned identity; the system-assigned one is asked for as well.
    ids: &'static [&'static str],
    sdks: &'static [Sdk],
    /// Where an SDK sends something else, and why: each is checked to be so.
    differences: &'static [Difference],
}

/// `header NAME` or `parameter NAME` that an SDK sends and edgepass does not, or the other way round, or with another value.
struct Difference(Sdk, &'static str);

const ROWS: &[Row] = &[
    Row {
        platform: None,
        source: "imds",
        also: &[],
        ids: &["client_id", "object_id", "resource_id"],
        sdks: &[AzurePython, MsalPython, AzureNode, AzureRust],
        // a later version of the same interface
        differences: &[Difference(AzureRust, "parameter api-version")],
    },
    Row {
        platform: Some(Platform::AppService),
        source: "app_service",
        also: &[],
        ids: &["client_id", "object_id", "resource_id"],
        sdks: &[AzurePython, MsalPython, AzureNode],
        // Automation, which sets the same variables, demands it
        differences: &[Difference(AzureNode, "header metadata")],
    },
    Row {
        platform: Some(Platform::AppService),
        source: "app_service",
        also: &[],
        // it refuses resource IDs there, for which it has the wrong parameter
        ids: &["client_id", "object_id"],
        sdks: &[AzureRust],
        differences: &[],
    },
    Row {
        platform: Some(Platform::AzureMl),
        source: "azure_ml",
        also: &[],
        ids: &["client_id"],
        sdks: &[AzurePython, MsalPython],
        differences: &[],
    },
    Row {
        platform: Some(Platform::AzureMl),
        source: "azure_ml",
        // the system-assigned identity there has a client ID, which MSAL for JavaScript and .NET send
        also: &[("DEFAULT_IDENTITY_CLIENT_ID", MACHINE)],
        ids: &["client_id"],
        sdks: &[AzureNode],
        // the service does without
        differences: &[Difference(AzureNode, "header metadata")],
    },
    Row {
        platform: Some(Platform::CloudShell),
        source: "cloud_shell",
        also: &[],
        ids: &[],
        // MSAL for Python has the address of Cloud Shell written down
        sdks: &[AzurePython, AzureNode],
        differences: &[],
    },
    Row {
        platform: Some(Platform::AzureArc),
        source: "azure_arc",
        also: &[],
        ids: &[],
        sdks: &[AzurePython, MsalPython, AzureNode],
        differences: &[],
    },
    Row {
        platform: Some(Platform::ServiceFabric),
        source: "service_fabric",
        also: &[],
        ids: &[],
        sdks: &[AzurePython, MsalPython, AzureNode],
        differences: &[],
    },
];

/// In a table of constants; [`machine`] puts the client ID of the machine's own identity there.
const MACHINE: &str = "the machine's own";

impl Row {
    fn env(&self, lab: &Lab) -> Result<Vec<(&'static str, String)>> {
        let mut env = match self.platform {
            Some(platform) => lab.emulator.platform_env(platform),
            None => vec![(
                "AZURE_POD_IDENTITY_AUTHORITY_HOST",
                lab.metadata_authority()?,
            )],
        };
        ensure!(!env.is_empty(), "{} leads nowhere", self.source);
        for (name, value) in &env {
            if matches!(*name, "IDENTITY_HEADER" | "MSI_SECRET") {
                lab.evidence.secret(name, value);
            }
        }
        let machine = machine(lab)?.client_id;
        let also = self.also.iter().map(|(name, value)| {
            let value = if *value == MACHINE {
                machine.as_str()
            } else {
                value
            };
            (*name, value.to_owned())
        });
        env.extend(also);
        Ok(env)
    }

    /// The system-assigned identity and the user-assigned one by each of its names.
    fn selectors(&self, lab: &Lab) -> Result<Vec<Value>> {
        let user = lab.user_assigned()?;
        let mut selectors = vec![json!({})];
        for id in self.ids {
            selectors.push(json!({ *id: match *id {
                "client_id" => Some(&user.client_id),
                "object_id" => Some(&user.object_id),
                _ => user.resource_id.as_ref(),
            } }));
        }
        Ok(selectors)
    }
}

fn machine(lab: &Lab) -> Result<ManagedIdentity> {
    let mut identities = lab.emulator.managed_identities().into_iter();
    let own = identities.find(|identity| identity.resource_id.is_none());
    own.context("the machine has no identity of its own")
}

#[tokio::test(flavor = "multi_thread")]
async fn edgepass_and_the_sdks_ask_every_source_alike() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_sdks")?;
    let mut compared = 0;
    for row in ROWS {
        for selector in row.selectors(&lab)? {
            lab.emulator.clear_journal();
            let (oid, ours) = ours(&lab, row, &selector).await?;
            for sdk in row.sdks {
                lab.emulator.clear_journal();
                let what = format!("{} {selector} by {sdk:?}", row.source);
                let told = tokio::task::block_in_place(|| theirs(&lab, row, *sdk, &selector, None))
                    .with_context(|| what.clone())?;
                assert_eq!(told["oid"], oid, "{what}: another identity");
                let theirs = lab.emulator.journal();
                compare(&what, row, *sdk, &ours, &theirs)?;
                compared += 1;
            }
        }
    }
    // every row with every identity and every SDK of it
    let expected: usize = ROWS
        .iter()
        .map(|row| (row.ids.len() + 1) * row.sdks.len())
        .sum();
    assert_eq!(compared, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_to_an_application_is_the_same_too() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_sdks_exchange")?;
    for identity in lab.emulator.managed_identities() {
        lab.emulator.register_app(App::new(TRUSTING).federated(
            &lab.emulator.tenant_issuer(),
            &identity.object_id,
            EXCHANGE,
        ));
        for row in ROWS {
            let selector = match (&identity.resource_id, row.ids.first()) {
                (None, _) => json!({}),
                (Some(_), Some(id)) => json!({ *id: identity.client_id }),
                (Some(_), None) => continue,
            };
            let identity = json!({
                "tenant_id": lab.emulator.tenant(),
                "client_id": TRUSTING,
                "authority_host": lab.emulator.authority(),
                "credential": { "managed_identity_assertion": selector },
            });
            lab.emulator.clear_journal();
            provider(&lab, row, &identity)
                .await?
                .get_token(&graph())
                .await?;
            let ours = lab.emulator.journal();
            for sdk in row.sdks.iter().filter(|sdk| **sdk != AzureRust) {
                lab.emulator.clear_journal();
                let what = format!("{} {selector} by {sdk:?}", row.source);
                let exchange = json!({
                    "authority": lab.emulator.authority(),
                    "tenant": lab.emulator.tenant(),
                    "client_id": TRUSTING,
                    "ca": lab.files.ca_file(),
                    "scope": GRAPH,
                });
                tokio::task::block_in_place(|| theirs(&lab, row, *sdk, &selector, Some(&exchange)))
                    .with_context(|| what.clone())?;
                let mut theirs = lab.emulator.journal();
                // MSAL looks at the authority's metadata before
                theirs.retain(|entry| !entry.path.contains("openid-configuration"));
                compare(&what, row, *sdk, &ours, &theirs)?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_source_that_is_named_goes_before_what_the_variables_say() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_sources")?;
    // all of them at once, as no machine has them
    let mut env = BTreeMap::new();
    for row in ROWS.iter().filter(|row| row.also.is_empty()) {
        env.extend(row.env(&lab)?);
    }
    for (name, variable, path) in [
        ("imds", "", "/metadata/identity/oauth2/token"),
        ("azure_ml", "", "/platform/azure-ml/MSI/auth"),
        (
            "cloud_shell",
            "MSI_SECRET",
            "/platform/cloud-shell/oauth2/token",
        ),
    ] {
        lab.emulator.clear_journal();
        let mut env = env.clone();
        if let Some(platform) = match name {
            "azure_ml" => Some(Platform::AzureMl),
            "cloud_shell" => Some(Platform::CloudShell),
            _ => None,
        } {
            env.extend(lab.emulator.platform_env(platform));
        }
        env.remove(variable);
        let config = json!({ "identities": { "app": {
            "credential": { "managed_identity": { "source": name } } } } });
        let provider = lab
            .configured(&config)
            .environment(Environment::from_pairs(env))
            .build()
            .await?;
        provider.get_token(&graph()).await?;
        let asked = lab.emulator.metadata_requests();
        assert_eq!(asked.len(), 1, "{name}");
        assert_eq!(asked[0].path, path, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_platform_refuses_is_named() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_refused")?;
    for row in ROWS.iter().filter(|row| row.platform.is_some()) {
        let identity = json!({ "credential": { "managed_identity": {} } });
        // a secret that the platform has replaced since
        let mut env = row.env(&lab)?;
        let secret = env
            .iter_mut()
            .find(|(name, _)| matches!(*name, "IDENTITY_HEADER" | "MSI_SECRET"));
        if let Some((name, value)) = secret {
            let name = *name;
            *value = "old-secret".to_owned();
            let error = with(&lab, &identity, env).await?.get_token(&graph()).await;
            let error = error.err().context("the secret is wrong")?;
            lab.evidence.saw_error(row.source, &error);
            assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
            let hint = error.detail().hint.clone().unwrap_or_default();
            assert!(hint.contains(name), "{}: {hint}", row.source);
        }
        // faults that pass, and one that does not
        let provider = provider(&lab, row, &identity).await?;
        lab.emulator
            .faults()
            .push(Fault::status(503).on("/platform/").times(2));
        lab.issued(&provider.get_token(&graph()).await?);
        let vault = TokenRequest::for_scopes(["https://vault.azure.net"]);
        lab.emulator
            .faults()
            .push(Fault::html(200).on("/platform/").forever());
        let error = provider.get_token(&vault).await.err();
        let error = error.context("a page is no token")?;
        lab.evidence.saw_error(row.source, &error);
        assert_eq!(error.class(), ErrorClass::InvalidResponse, "{error}");
        lab.emulator.faults().clear();
    }
    Ok(())
}

#[tokio::test]
async fn service_fabric_s_server_is_the_one_of_the_thumbprint() -> Result<()> {
    let lab = Lab::with_metadata("managed_identity_pinned")?;
    let row = ROWS.last().context("there are rows")?;
    let identity = json!({ "credential": { "managed_identity": {} } });
    let mut env = row.env(&lab)?;
    for (name, value) in &mut env {
        if *name == "IDENTITY_SERVER_THUMBPRINT" {
            *value = "00".repeat(20);
        }
    }
    let error = with(&lab, &identity, env).await?.get_token(&graph()).await;
    let error = error.err().context("it is another certificate")?;
    lab.evidence.saw_error("another certificate", &error);
    assert_eq!(error.class(), ErrorClass::Network, "{error}");
    let hint = error.detail().hint.clone().unwrap_or_default();
    assert!(hint.contains("IDENTITY_SERVER_THUMBPRINT"), "{hint}");
    assert!(
        lab.emulator.metadata_requests().is_empty(),
        "nothing was sent"
    );
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_anybody_could_have_written_is_not_read() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let lab = Lab::with_metadata("managed_identity_keys")?;
    let arc = ROWS.iter().find(|row| row.source == "azure_arc");
    let arc = arc.context("there is a row")?;
    let identity = json!({ "credential": { "managed_identity": {} } });
    let provider = provider(&lab, arc, &identity).await?;
    lab.issued(&provider.get_token(&graph()).await?);
    let folder = keys(&arc.env(&lab)?).context("it has keys")?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777))?;
    let vault = TokenRequest::for_scopes(["https://vault.azure.net"]);
    let error = provider.get_token(&vault).await.err();
    let error = error.context("anybody may write there")?;
    lab.evidence.saw_error("anybody's folder", &error);
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
    assert!(
        error
            .to_string()
            .contains("anybody may write to its folder"),
        "{error}"
    );
    Ok(())
}

async fn provider(lab: &Lab, row: &Row, identity: &Value) -> Result<Provider> {
    with(lab, identity, row.env(lab)?).await
}

async fn with(lab: &Lab, identity: &Value, env: Vec<(&str, String)>) -> Result<Provider> {
    let config = json!({
        "authority_hosts": [format!("localhost:{}", lab.emulator.port())],
        "identities": { "app": identity },
    });
    let builder = lab.configured(&config);
    Ok(builder
        .environment(Environment::from_pairs(env))
        .build()
        .await?)
}

/// Whose token edgepass gets, and what it sends for it: found by the variables, and by the name of the source.
async fn ours(lab: &Lab, row: &Row, selector: &Value) -> Result<(String, Vec<JournalEntry>)> {
    let mut named = selector.clone();
    let fields = named.as_object_mut().context("an object")?;
    fields.insert("source".to_owned(), json!(row.source));
    let mut found = Vec::new();
    for which in [selector, &named] {
        lab.emulator.clear_journal();
        let identity = json!({ "credential": { "managed_identity": which } });
        let token = provider(lab, row, &identity)
            .await?
            .get_token(&graph())
            .await?;
        let oid = claim(&lab.issued(&token), "oid")?;
        found.push((oid, lab.emulator.journal()));
    }
    let last = found.pop().context("two")?;
    let first = found.pop().context("two")?;
    let sent = |(_, journal): &(String, Vec<JournalEntry>)| -> Vec<Sent> {
        journal.iter().map(|entry| Sent::of(entry, &[])).collect()
    };
    assert_eq!(sent(&first), sent(&last), "{}: found and named", row.source);
    Ok(last)
}

/// What an SDK says of its token.
fn theirs(
    lab: &Lab,
    row: &Row,
    sdk: Sdk,
    selector: &Value,
    exchange: Option<&Value>,
) -> Result<Value> {
    let env = row.env(lab)?;
    let chosen = selector
        .as_object()
        .is_some_and(|chosen| !chosen.is_empty());
    let argument = json!({
        "sdk": if sdk == MsalPython { "msal" } else { "azure-identity" },
        "resource": if exchange.is_some() { EXCHANGE } else { RESOURCE },
        "selector": chosen.then_some(selector),
        "keys": keys(&env),
        "exchange": exchange,
    });
    let shown = |path: std::path::PathBuf| path.display().to_string();
    let mut command = match sdk {
        AzurePython | MsalPython => Command::other(lab, &peers_python()?)
            .bare()
            .arg(shown(peers_script("managed_identity_sdks.py")?)),
        AzureNode => Command::other(lab, Path::new("node"))
            .bare()
            .arg(shown(peers_script("managed_identity_sdks.mjs")?))
            .arg(shown(peers_node()?))
            .env("NODE_EXTRA_CA_CERTS", shown(lab.files.ca_file())),
        AzureRust => Command::other(lab, Path::new(env!("CARGO_BIN_EXE_managed-identity-peer")))
            .bare()
            .env("EDGEPASS_PEER_PROXY", lab.metadata_authority()?),
    };
    if sdk == AzureNode && row.platform == Some(Platform::ServiceFabric) {
        // it compares no thumbprint, and no authority vouches for the certificate
        command = command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    }
    if sdk == AzureRust && row.platform.is_some() {
        command = command.without("EDGEPASS_PEER_PROXY");
    }
    for (name, value) in env {
        command = command.env(name, value);
    }
    let ran = command.arg(argument.to_string()).run()?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).with_context(|| ran.stdout.clone())
}

/// The folder of Azure Arc's keys.
fn keys(env: &[(&str, String)]) -> Option<String> {
    let (_, folder) = env.iter().find(|(name, _)| *name == "ProgramData")?;
    Some(format!(r"{folder}\AzureConnectedMachineAgent\Tokens"))
}

/// A request without what is different each time.
#[derive(Debug, PartialEq)]
struct Sent {
    method: String,
    path: String,
    query: BTreeSet<(String, String)>,
    headers: BTreeMap<String, String>,
    form: BTreeSet<(String, String)>,
}

impl Sent {
    fn of(entry: &JournalEntry, without: &[&str]) -> Self {
        let is_left =
            |kind: &str, name: &str| !without.contains(&format!("{kind} {name}").as_str());
        let pairs = |text: &[u8]| {
            form_urlencoded::parse(text)
                .into_owned()
                .collect::<Vec<_>>()
        };
        let parameters = pairs(entry.query.as_bytes()).into_iter();
        let headers = entry.headers.iter().map(|(name, value)| {
            let value = match (name.as_str(), value.split_once(' ')) {
                // another key each time
                ("authorization", Some((scheme, _))) => format!("{scheme} *"),
                // what MSAL for JavaScript says of the characters is what forms have without
                ("content-type", _) => value.to_ascii_lowercase().replace(";charset=utf-8", ""),
                _ => value.clone(),
            };
            (name.to_ascii_lowercase(), value)
        });
        let fields = pairs(&entry.body).into_iter();
        let is_get = entry.method == "GET";
        Self {
            method: entry.method.clone(),
            path: entry.path.trim_end_matches('/').to_owned(),
            query: parameters
                .filter(|(name, _)| is_left("parameter", name) && name != "client-request-id")
                .collect(),
            headers: headers
                .filter(|(name, _)| {
                    !TELEMETRY.contains(&name.as_str())
                        && is_left("header", name)
                        // of what a GET does not have
                        && !(is_get && name == "content-type")
                })
                .collect(),
            form: fields
                .filter(|(name, _)| !TELEMETRY_FIELDS.contains(&name.as_str()))
                .map(|(name, value)| match name.as_str() {
                    // compared, and not shown
                    "client_assertion" => {
                        let digest = Sha256::digest(value.as_bytes());
                        (
                            name,
                            digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                        )
                    }
                    _ => (name, value),
                })
                .collect(),
        }
    }
}

fn compare(
    what: &str,
    row: &Row,
    sdk: Sdk,
    ours: &[JournalEntry],
    theirs: &[JournalEntry],
) -> Result<()> {
    for entry in ours.iter().chain(theirs) {
        let is_challenge = row.platform == Some(Platform::AzureArc) && entry.status == Some(401);
        ensure!(
            entry.status == Some(200) || is_challenge,
            "{what}: {entry:?}"
        );
    }
    let differences = row.differences.iter().filter(|known| known.0 == sdk);
    let without: Vec<&str> = differences.map(|known| known.1).collect();
    let sent = |journal: &[JournalEntry], without: &[&str]| -> Vec<Sent> {
        journal
            .iter()
            .map(|entry| Sent::of(entry, without))
            .collect()
    };
    assert_eq!(sent(theirs, &without), sent(ours, &without), "{what}");
    for known in &without {
        let rest: Vec<&str> = without
            .iter()
            .copied()
            .filter(|other| other != known)
            .collect();
        assert_ne!(
            sent(theirs, &rest),
            sent(ours, &rest),
            "{what}: {known} makes no difference any more"
        );
    }
    Ok(())
}

/// A claim of a token.
fn claim(token: &str, name: &str) -> Result<String> {
    let claims = jwt::claims(token)?;
    let claim = claims.get(name).and_then(Value::as_str);
    Ok(claim.context("no such claim")?.to_owned())
}
