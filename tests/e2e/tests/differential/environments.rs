//! Acceptance: an environment, and no configuration. The credentials of azure-identity (Python) and edgepass send the same
//! requests in it, or the table says what is different and why.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass::{BuildError, Environment, Provider, TokenRequest};
use edgepass_e2e::{GRAPH, Lab, peers_python, peers_script};
use edgepass_emulator::{Emulator, JournalEntry, Platform};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::{Material, PASSWORD, differences, taken_apart};

/// A row: what azure-identity calls the credential, what is set, and what is different.
struct Row(&'static str, &'static [Set], Known);

/// What is set.
#[derive(Clone, Copy)]
enum Set {
    /// `AZURE_TENANT_ID`, and `AZURE_CLIENT_ID` of an application.
    Application,
    Tenant,
    /// The tenant by its domain.
    Domain,
    /// `AZURE_CLIENT_ID` of the user-assigned managed identity.
    Assigned,
    Secret,
    Certificate,
    /// PKCS#12, with its password.
    Store,
    TokenFile,
    /// What the webhook of AKS sets for an identity binding.
    Proxy,
    /// The metadata service.
    Machine,
    On(Platform),
    Also(&'static str, &'static str),
}

/// What is known to be different.
enum Known {
    /// Nothing.
    Same,
    /// These, each as [`differences`] says it.
    Differs(&'static [&'static str]),
    /// Neither sends anything; it is this variable that edgepass names.
    Neither(&'static str),
    /// edgepass names a variable that is missing, where the SDK goes on to the next credential.
    Half(&'static str),
    /// edgepass refuses this variable, and the SDK finds out by asking.
    Asks(&'static str),
    /// The SDK sends nothing: its own fault.
    SdkFails,
}

use Known::{Asks, Differs, Half, Neither, Same, SdkFails};
use Platform::{AppService, AzureArc, AzureMl, CloudShell, ServiceFabric};
use Set::{
    Also, Application, Assigned, Certificate, Domain, Machine, On, Proxy, Secret, Store, Tenant,
    TokenFile,
};

const ONLY: &str = "AZURE_TOKEN_CREDENTIALS";
const CHAIN: Set = Also("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true");

/// Of what the SDK signs: each is explained in the table of SDKs.
const SIGNED: Known = Differs(&[
    super::FRACTIONS,
    super::NO_BEGINNING,
    super::RS256,
    super::NO_SHA256,
    super::PADDED_SHA1,
]);

const ROWS: &[Row] = &[
    Row("environment", &[Application, Secret], Same),
    // MSAL asks what the authority calls the tenant
    Row(
        "environment",
        &[Domain, Application, Secret],
        Differs(&[
            "path: /TENANT/oauth2/v2.0/token in the place of /edgepass-demo.example/oauth2/v2.0/token",
        ]),
    ),
    Row("environment", &[Application, Certificate], SIGNED),
    Row("environment", &[Application, Certificate, CHAIN], SIGNED),
    Row("environment", &[Application, Store], SIGNED),
    Row("environment", &[Application, Store, CHAIN], SIGNED),
    // secret before certificate, and both before a person's password
    Row("environment", &[Application, Secret, Certificate], Same),
    Row("environment", &[Application, Secret, Store], Same),
    Row(
        "environment",
        &[
            Application,
            Secret,
            Also("AZURE_USERNAME", "u"),
            Also("AZURE_PASSWORD", "p"),
        ],
        Same,
    ),
    Row(
        "environment",
        &[
            Application,
            Secret,
            Also("AZURE_AUTHORITY_HOST", "with a slash"),
        ],
        Same,
    ),
    Row("environment", &[Tenant, Secret], Neither("AZURE_CLIENT_ID")),
    Row(
        "environment",
        &[Application, Also("AZURE_CLIENT_CERTIFICATE_PASSWORD", "p")],
        Neither("AZURE_CLIENT_CERTIFICATE_PATH"),
    ),
    Row("workload", &[Application, TokenFile], Same),
    Row("workload", &[Domain, Application, TokenFile], Same),
    Row(
        "workload",
        &[
            Application,
            TokenFile,
            Secret,
            Also(ONLY, "WorkloadIdentityCredential"),
        ],
        Same,
    ),
    Row("workload", &[Application, TokenFile, On(AppService)], Same),
    Row("workload", &[Tenant, TokenFile], Neither("AZURE_CLIENT_ID")),
    Row("proxied", &[Application, TokenFile, Proxy], Same),
    Row(
        "proxied",
        &[
            Application,
            TokenFile,
            Also("AZURE_KUBERNETES_SNI_NAME", "n.example"),
        ],
        Neither("AZURE_KUBERNETES_SNI_NAME"),
    ),
    Row("managed", &[Machine], Same),
    Row("managed", &[Machine, Assigned], Same),
    Row("managed", &[On(AppService)], Same),
    Row("managed", &[On(AppService), Assigned], Same),
    Row("managed", &[On(AzureMl)], Same),
    Row("managed", &[On(AzureMl), Assigned], Same),
    Row("managed", &[On(CloudShell)], Same),
    Row("managed", &[On(AzureArc)], Same),
    // an agent that does not know the parameter would answer for another identity
    Row(
        "managed",
        &[On(AzureArc), Assigned],
        Asks("AZURE_CLIENT_ID"),
    ),
    Row("managed", &[On(ServiceFabric)], Same),
    // where no platform says more it becomes workload identity
    Row("managed", &[Machine, Application, TokenFile], Same),
    Row(
        "managed",
        &[
            On(AppService),
            Tenant,
            Assigned,
            TokenFile,
            Also(ONLY, "ManagedIdentityCredential"),
        ],
        Same,
    ),
    Row(
        "managed",
        &[Machine, Also("IDENTITY_ENDPOINT", "http://127.0.0.1:9")],
        Neither("IDENTITY_HEADER"),
    ),
    Row("default", &[Application, Secret], Same),
    Row("default", &[Application, Certificate], SIGNED),
    Row("default", &[Application, TokenFile], Same),
    Row("default", &[Application, Secret, TokenFile], Same),
    Row("default", &[Application, Certificate, TokenFile], SIGNED),
    Row("default", &[Application, Secret, TokenFile, Machine], Same),
    Row("default", &[Application, Secret, On(AppService)], Same),
    Row("default", &[Application, TokenFile, On(AppService)], Same),
    Row("default", &[On(AppService)], Same),
    Row("default", &[On(AppService), Assigned], Same),
    Row("default", &[On(AppService), Assigned, Tenant], Same),
    Row("default", &[On(AppService), Tenant], Same),
    Row("default", &[On(AzureMl), Assigned], Same),
    Row("default", &[On(CloudShell)], Same),
    Row("default", &[On(AzureArc)], Same),
    Row("default", &[On(ServiceFabric)], Same),
    Row("default", &[Machine], Same),
    Row("default", &[Machine, Assigned], Same),
    Row("default", &[Machine, Assigned, Tenant], Same),
    Row(
        "default",
        &[Application, Secret, TokenFile, Also(ONLY, "prod")],
        Same,
    ),
    Row(
        "default",
        &[
            Application,
            Secret,
            TokenFile,
            Also(ONLY, "workloadidentitycredential"),
        ],
        Same,
    ),
    Row(
        "default",
        &[
            Application,
            Certificate,
            TokenFile,
            Also(ONLY, "EnvironmentCredential"),
        ],
        SIGNED,
    ),
    Row(
        "default",
        &[
            Tenant,
            Assigned,
            Secret,
            TokenFile,
            On(AppService),
            Also(ONLY, "ManagedIdentityCredential"),
        ],
        Same,
    ),
    Row(
        "default",
        &[
            Tenant,
            Assigned,
            TokenFile,
            Machine,
            Also(ONLY, "managedidentitycredential"),
        ],
        Same,
    ),
    Row(
        "default",
        &[Application, Secret, Also(ONLY, "dev")],
        Neither(ONLY),
    ),
    Row(
        "default",
        &[Application, Secret, Also(ONLY, "hunter2")],
        Neither(ONLY),
    ),
    // half a set of variables
    Row(
        "default",
        &[Secret, On(AppService)],
        Half("AZURE_CLIENT_ID"),
    ),
    Row(
        "default",
        &[Tenant, Secret, On(AppService)],
        Half("AZURE_CLIENT_ID"),
    ),
    Row(
        "default",
        &[Tenant, Certificate, Machine],
        Half("AZURE_CLIENT_ID"),
    ),
    Row(
        "default",
        &[Tenant, TokenFile, Machine],
        Neither("AZURE_CLIENT_ID"),
    ),
    Row(
        "default",
        &[
            Application,
            TokenFile,
            Also("AZURE_KUBERNETES_SNI_NAME", "n.example"),
        ],
        Half("AZURE_KUBERNETES_SNI_NAME"),
    ),
    Row(
        "default",
        &[Machine, Also("MSI_SECRET", "hunter2")],
        Half("MSI_ENDPOINT"),
    ),
    // blank counts as set there
    Row(
        "default",
        &[Application, TokenFile, Also("AZURE_CLIENT_SECRET", "")],
        SdkFails,
    ),
    // the proxy is for whoever asks for it there
    Row(
        "default",
        &[Application, TokenFile, Proxy],
        Differs(&[
            "host: the authority in the place of the proxy",
            "path: /TENANT/oauth2/v2.0/token in the place of /bindings/TENANT/oauth2/v2.0/token",
        ]),
    ),
];

#[tokio::test]
async fn azure_identity_sends_the_same_in_the_same_environment() -> Result<()> {
    let lab = Lab::of(
        "differential_environments",
        Emulator::builder().metadata_port(0).token_proxy(),
    )?;
    let material = Material::new(&lab)?;
    let mut peer = Peer::start()?;
    let mut wrong = Vec::new();
    for Row(credential, sets, known) in ROWS {
        let env = variables(&lab, sets, &material)?;
        let what = format!("{credential} {:?}", env.keys().collect::<Vec<_>>());
        lab.emulator.clear_journal();
        let ours = ours(&lab, &env).await;
        let sent = lab.emulator.journal();
        lab.emulator.clear_journal();
        let theirs = peer.ask(&lab, credential, &env)?;
        let mut asked = lab.emulator.journal();
        // MSAL looks at the authority's metadata before
        asked.retain(|entry| !entry.path.contains("openid-configuration"));
        if let Err(error) = compared(&lab, known, (ours, sent), (theirs, asked)) {
            wrong.push(format!("{what}: {error:#}"));
        }
    }
    assert!(ROWS.len() >= 30);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What came of it, or the setting that is wrong and why.
type Ours = Result<(), (String, String)>;

/// Compares what each sent, and what came of it.
fn compared(
    lab: &Lab,
    known: &Known,
    (ours, sent): (Ours, Vec<JournalEntry>),
    (theirs, asked): (Result<String, String>, Vec<JournalEntry>),
) -> Result<()> {
    let refused = |setting: &str| -> Result<()> {
        let (named, message) = ours.clone().err().context("a token")?;
        ensure!(named == setting, "{named} {message}");
        ensure!(sent.is_empty(), "{sent:?}");
        Ok(())
    };
    match known {
        Same | Differs(_) => {
            ours.map_err(|(setting, message)| anyhow::anyhow!("ours: {setting} {message}"))?;
            theirs.map_err(|error| anyhow::anyhow!("theirs: {error}"))?;
            ensure!(sent.len() == asked.len(), "{sent:?} {asked:?}");
            let mut found = BTreeSet::new();
            for (ours, theirs) in sent.iter().zip(&asked) {
                ensure!(ours.nonconforming.is_empty(), "{:?}", ours.nonconforming);
                found.extend(differences(&parts(lab, ours)?, &parts(lab, theirs)?));
            }
            let known: BTreeSet<String> = match known {
                Differs(known) => known.iter().map(ToString::to_string).collect(),
                _ => BTreeSet::new(),
            };
            ensure!(found == known, "found {found:?}, known {known:?}");
        }
        Neither(setting) => {
            refused(setting)?;
            ensure!(theirs.is_err() && asked.is_empty(), "theirs: {asked:?}");
        }
        Half(setting) => {
            refused(setting)?;
            ensure!(theirs.is_ok() && !asked.is_empty(), "theirs: {theirs:?}");
        }
        Asks(setting) => {
            refused(setting)?;
            ensure!(theirs.is_err() && !asked.is_empty(), "theirs: {theirs:?}");
        }
        SdkFails => {
            ours.map_err(|(setting, message)| anyhow::anyhow!("ours: {setting} {message}"))?;
            ensure!(theirs.is_err() && asked.is_empty(), "theirs: {asked:?}");
        }
    }
    Ok(())
}

/// What of a request is the credential's: of those of the token endpoint as elsewhere here, of those of platforms the
/// method, the query and the headers by which the source knows whoever asks.
fn parts(lab: &Lab, entry: &JournalEntry) -> Result<BTreeMap<String, String>> {
    const OF_THE_SOURCE: &[&str] = &["metadata", "secret", "x-identity-header"];

    let mut parts = BTreeMap::new();
    if entry.is_token_request() {
        parts = taken_apart(entry)?;
        // the same file: the assertion itself is compared where nobody signs
        if entry.method_of_proof.as_deref() == Some("federated") {
            let assertion = entry.field("client_assertion").unwrap_or_default();
            let digest = sha2::Sha256::digest(assertion.as_bytes());
            parts.insert("assertion".to_owned(), URL_SAFE_NO_PAD.encode(digest));
        }
    } else {
        parts.insert("path".to_owned(), entry.path.clone());
        for (name, value) in entry.form() {
            parts.insert(format!("form {name}"), value);
        }
        for (name, value) in &entry.headers {
            if OF_THE_SOURCE.contains(&name.as_str()) {
                parts.insert(format!("header {name}"), value.to_lowercase());
            }
        }
    }
    let proxy = lab.emulator.token_proxy_variables();
    let is_proxy = proxy.iter().any(|(_, value)| value.contains(&entry.host));
    let host = if is_proxy {
        "the proxy"
    } else {
        "the authority"
    };
    parts.insert("host".to_owned(), host.to_owned());
    parts.insert("method".to_owned(), entry.method.clone());
    for (name, value) in form_urlencoded::parse(entry.query.as_bytes()) {
        parts.insert(format!("parameter {name}"), value.into_owned());
    }
    if let Some(path) = parts.get_mut("path") {
        *path = path.replace(lab.emulator.tenant(), "TENANT");
    }
    Ok(parts)
}

fn variables(lab: &Lab, sets: &[Set], material: &Material) -> Result<BTreeMap<String, String>> {
    let emulator = &lab.emulator;
    let usual = lab.env();
    // the authority and who vouches for it, as a machine has them
    let mut env: BTreeMap<String, String> = usual
        .iter()
        .filter(|(name, _)| {
            [
                "AZURE_AUTHORITY_HOST",
                "EDGEPASS_AUTHORITY_HOSTS",
                "REQUESTS_CA_BUNDLE",
            ]
            .contains(&name.as_str())
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    let tenant = ("AZURE_TENANT_ID", emulator.tenant().to_owned());
    for one in sets {
        match one {
            Application => {
                set("AZURE_CLIENT_ID", emulator.client_id().to_owned());
                if !sets.iter().any(|set| matches!(set, Domain)) {
                    set(tenant.0, tenant.1.clone());
                }
            }
            Tenant => set(tenant.0, tenant.1.clone()),
            Domain => set("AZURE_TENANT_ID", emulator.tenant_domain().to_owned()),
            Assigned => {
                let identities = emulator.managed_identities().into_iter();
                let mut assigned = identities.filter(|identity| identity.resource_id.is_some());
                let assigned = assigned.next().context("no identity is assigned")?;
                set("AZURE_CLIENT_ID", assigned.client_id);
            }
            Secret => set("AZURE_CLIENT_SECRET", emulator.client_secret().to_owned()),
            Certificate => set("AZURE_CLIENT_CERTIFICATE_PATH", super::shown(&material.pem)),
            Store => {
                set(
                    "AZURE_CLIENT_CERTIFICATE_PATH",
                    super::shown(&material.store),
                );
                set("AZURE_CLIENT_CERTIFICATE_PASSWORD", PASSWORD.to_owned());
            }
            TokenFile => set(
                "AZURE_FEDERATED_TOKEN_FILE",
                super::shown(&lab.files.token_file()),
            ),
            Proxy => {
                let pem = emulator.token_proxy_ca_pem().context("no proxy")?;
                let file = lab.write("proxy.crt", pem)?;
                set("AZURE_KUBERNETES_CA_FILE", super::shown(&file));
                for (name, value) in emulator.token_proxy_variables() {
                    set(name, value);
                }
            }
            Machine => set(
                "AZURE_POD_IDENTITY_AUTHORITY_HOST",
                lab.metadata_authority()?,
            ),
            On(platform) => {
                for (name, value) in emulator.platform_env(*platform) {
                    if matches!(name, "IDENTITY_HEADER" | "MSI_SECRET") {
                        lab.evidence.secret(name, &value);
                    }
                    set(name, value);
                }
            }
            Also("AZURE_AUTHORITY_HOST", _) => {
                set("AZURE_AUTHORITY_HOST", format!("{}/", emulator.authority()));
            }
            Also(name, value) => set(name, (*value).to_owned()),
        }
    }
    Ok(env)
}

/// A token with nothing but that environment.
async fn ours(lab: &Lab, env: &BTreeMap<String, String>) -> Ours {
    let pairs = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let built = Provider::builder()
        .environment(Environment::from_pairs(pairs))
        .ca_file(lab.files.ca_file())
        .build()
        .await;
    let provider = built.map_err(|error| match error {
        BuildError::Config(error) => (error.setting.clone(), error.to_string()),
        other => (String::new(), other.to_string()),
    })?;
    let token = provider.get_token(&TokenRequest::for_scopes([GRAPH])).await;
    match token {
        Ok(token) => {
            lab.issued(&token);
            Ok(())
        }
        Err(error) => Err((String::new(), format!("{error:#}"))),
    }
}

/// The SDK, which takes one environment after the other.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start() -> Result<Self> {
        let mut child = std::process::Command::new(peers_python()?)
            .arg(peers_script("azure_identity_environments.py")?)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().context("no input")?,
            output: BufReader::new(child.stdout.take().context("no output")?),
            child,
        })
    }

    /// The digest of its token, or what it says.
    fn ask(
        &mut self,
        lab: &Lab,
        credential: &str,
        env: &BTreeMap<String, String>,
    ) -> Result<Result<String, String>> {
        let keys = env.get("ProgramData");
        let keys = keys.map(|folder| format!(r"{folder}\AzureConnectedMachineAgent\Tokens"));
        let asked = json!({ "credential": credential, "scope": GRAPH, "env": env, "keys": keys });
        writeln!(self.input, "{asked}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        lab.evidence.saw("azure-identity", &line);
        let answer: Value = serde_json::from_str(&line).context("the peer has ended")?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(match (text("token"), text("error")) {
            (Some(token), _) => Ok(token),
            (None, error) => Err(error.unwrap_or_default()),
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // it ends with its input, unless it hangs
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
