//! Settings of python-social-auth.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use edgepass::TokenRequest;
use edgepass_core::sha256_hex;
use edgepass_e2e::{Command, GRAPH, Lab, peers_python, peers_script};
use edgepass_emulator::Mint;
use serde_json::{Value, json};

use super::{SPIFFE, Settings, lab};

/// A backend of python-social-auth: its name, what its settings begin with, and the path that it asks at.
const BACKENDS: &[(&str, &str, &str)] = &[
    (
        "azuread-oauth2",
        "SOCIAL_AUTH_AZUREAD_OAUTH2_",
        "/{tenant}/oauth2/token",
    ),
    (
        "azuread-oauth2-v2",
        "SOCIAL_AUTH_AZUREAD_OAUTH2_V2_",
        "/{tenant}/oauth2/v2.0/token",
    ),
    (
        "azuread-tenant-oauth2",
        "SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_",
        "/{tenant}/oauth2/token",
    ),
    (
        "azuread-v2-tenant-oauth2",
        "SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_",
        "/{tenant}/oauth2/v2.0/token",
    ),
    (
        "azuread-b2c-oauth2",
        "SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_",
        "/fabrikam.onmicrosoft.com/oauth2/v2.0/token",
    ),
];

/// The settings of a backend in the emulator's world, without a credential.
pub(super) fn of_backend(lab: &Lab, prefix: &str) -> BTreeMap<String, String> {
    [
        ("KEY", lab.emulator.client_id().to_owned()),
        ("TENANT_ID", lab.emulator.tenant().to_owned()),
        (
            "AUTHORITY_HOST",
            format!("localhost:{}", lab.emulator.port()),
        ),
        ("TENANT_NAME", "fabrikam".to_owned()),
        ("POLICY", "b2c_1_signin".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{prefix}{name}"), value))
    .collect()
}

/// A set-up of python-social-auth's credentials: its name, settings, variables, and how the client is proved.
type SetUp = (
    &'static str,
    Vec<(&'static str, String)>,
    Vec<(&'static str, String)>,
    &'static str,
);

/// As its documentation has them.
fn set_ups(lab: &Lab) -> Result<Vec<SetUp>> {
    let file = lab.files.token_file().display().to_string();
    let volume = lab.scratch().join("var/run/secrets/azure/tokens");
    std::fs::create_dir_all(&volume)?;
    let projected = volume.join("azure-identity-token");
    std::fs::copy(lab.files.token_file(), &projected)?;
    let mint = || -> Result<String> {
        let token = lab.emulator.issuer().mint(&Mint::default())?;
        lab.evidence.secret("prebuilt assertion", &token);
        Ok(token)
    };
    let secret = lab.emulator.client_secret().to_owned();
    let usual = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
    let azure = ("AZURE_FEDERATED_TOKEN_FILE", file.clone());
    Ok(vec![
        (
            "the pod's variable",
            vec![],
            vec![azure.clone()],
            "federated",
        ),
        (
            "a file of its own",
            vec![("FEDERATED_TOKEN_FILE", file.clone())],
            vec![],
            "federated",
        ),
        (
            "a projected volume",
            vec![("FEDERATED_TOKEN_FILE", projected.display().to_string())],
            vec![],
            "federated",
        ),
        (
            "the other variable first",
            vec![("FEDERATED_TOKEN_FILE", "/none".to_owned())],
            vec![
                ("OAUTH2_FEDERATED_TOKEN_FILE", file),
                ("AZURE_FEDERATED_TOKEN_FILE", "/none".to_owned()),
            ],
            "federated",
        ),
        (
            "a prebuilt assertion",
            vec![("CLIENT_ASSERTION", mint()?)],
            vec![],
            "federated",
        ),
        (
            "a prebuilt assertion with its type",
            vec![
                ("CLIENT_ASSERTION", mint()?),
                ("CLIENT_ASSERTION_TYPE", usual),
            ],
            vec![azure.clone()],
            "federated",
        ),
        (
            "a secret, which wins",
            vec![
                ("SECRET", secret),
                ("CLIENT_ASSERTION", mint()?),
                ("FEDERATED_TOKEN_FILE", "/none".to_owned()),
            ],
            vec![azure],
            "secret",
        ),
    ])
}

/// The settings as variables, as a module in Python and as JSON.
fn forms(lab: &Lab, settings: &BTreeMap<String, String>) -> Result<Vec<Settings>> {
    let mut module =
        "\"\"\"Settings of a program.\"\"\"\nimport os\n\nDEBUG = bool(os.environ.get('DEBUG'))\n"
            .to_owned();
    for (name, value) in settings {
        module.push_str(&format!("{name} = {value:?}\n"));
    }
    let module = lab.write("settings.py", module)?;
    let json = lab.write("settings.json", json!(settings).to_string())?;
    let plain = Settings {
        scope: Some(GRAPH),
        ..Settings::default()
    };
    let variables = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    Ok(vec![
        plain.clone().with(variables),
        Settings {
            file: Some(("--social-auth", module)),
            ..plain.clone()
        },
        Settings {
            file: Some(("--social-auth", json)),
            ..plain
        },
    ])
}

#[tokio::test]
async fn settings_of_python_social_auth_give_tokens() -> Result<()> {
    let lab = lab("imports_social_auth")?;
    lab.emulator.refuse_replay(false);
    for (backend, prefix, path) in BACKENDS {
        for (name, credential, variables, proof) in set_ups(&lab)? {
            let mut settings = of_backend(&lab, prefix);
            settings.extend(
                credential
                    .into_iter()
                    .map(|(name, value)| (format!("{prefix}{name}"), value)),
            );
            for form in forms(&lab, &settings)? {
                let what = format!("{backend}, {name}, {:?}", form.file);
                let form = form.with(variables.clone());
                let requests = form.token(&lab).await.context(what.clone())?;
                let [request] = requests.as_slice() else {
                    anyhow::bail!("{what}: {requests:?}");
                };
                assert_eq!(request.status, Some(200), "{what}");
                assert_eq!(request.method_of_proof.as_deref(), Some(proof), "{what}");
                assert_eq!(
                    request.path,
                    path.replace("{tenant}", lab.emulator.tenant()),
                    "{what}"
                );
                let is_b2c = backend.contains("b2c");
                assert_eq!(
                    request.query.contains("p=b2c_1_signin"),
                    is_b2c,
                    "{what}: {}",
                    request.query
                );
            }
        }
    }
    Ok(())
}

/// What real python-social-auth says of the client with the same settings, where it asks included.
#[tokio::test]
async fn python_social_auth_would_say_the_same_of_the_client() -> Result<()> {
    let lab = lab("imports_social_auth_peer")?;
    lab.emulator.refuse_replay(false);
    let mut jobs = Vec::new();
    let mut ours = Vec::new();
    for (backend, prefix, _) in BACKENDS {
        let mut all = set_ups(&lab)?;
        let token = lab.emulator.issuer().mint(&Mint::default())?;
        lab.evidence.secret("prebuilt assertion", &token);
        let other_type = vec![
            ("CLIENT_ASSERTION", token),
            ("CLIENT_ASSERTION_TYPE", SPIFFE.to_owned()),
        ];
        // refused by Entra ID, and sent as it is
        all.push(("another type", other_type, vec![], ""));
        for (name, credential, variables, _) in all {
            let mut settings = of_backend(&lab, prefix);
            let credential = credential.into_iter();
            settings.extend(credential.map(|(name, value)| (format!("{prefix}{name}"), value)));
            // JSON is no form of python-social-auth's own
            for form in forms(&lab, &settings)?.into_iter().take(2) {
                let form = form.with(variables.clone());
                let what = format!("{backend}, {name}, {:?}", form.file);
                let module = match &form.file {
                    Some((_, path)) => {
                        let own = lab.scratch().join(format!("settings-{}.py", jobs.len()));
                        std::fs::copy(path, &own)?;
                        json!(own)
                    }
                    None => Value::Null,
                };
                jobs.push(json!({
                    "backend": backend, "variables": form.environment(&lab), "module": module,
                }));
                ours.push((what, said(&lab, &form).await?));
            }
        }
    }
    assert_eq!(ours.len(), BACKENDS.len() * 8 * 2);
    let jobs = lab.write("jobs.json", json!(jobs).to_string())?;
    let ran = Command::other(&lab, Path::new(&peers_python()?))
        .bare()
        .arg(
            peers_script("social_auth_request.py")?
                .display()
                .to_string(),
        )
        .arg(jobs.display().to_string())
        .run()?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    let theirs: Vec<Value> = serde_json::from_str(&ran.stdout)?;
    assert_eq!(theirs.len(), ours.len());
    for ((what, ours), mut theirs) in ours.into_iter().zip(theirs) {
        // for people of all tenants it asks another place; an app has one tenant
        let path = theirs.get("path").and_then(Value::as_str);
        if let Some(path) = path.and_then(|path| path.strip_prefix("/common/")) {
            let is_common = what.starts_with("azuread-oauth2");
            ensure!(is_common, "{what}: {theirs}");
            theirs["path"] = json!(format!("/{}/{path}", lab.emulator.tenant()));
        }
        assert_eq!(ours, theirs, "{what}");
    }
    Ok(())
}

/// What the request for a token says of the client, and where it goes. Secrets are digests.
async fn said(lab: &Lab, settings: &Settings) -> Result<Value> {
    lab.emulator.clear_journal();
    let provider = settings.builder(lab).build().await?;
    // whether there is one is nothing to this test
    let _ = provider.get_token(&TokenRequest::for_scopes([GRAPH])).await;
    let requests = lab.emulator.token_requests();
    let request = requests.first().context("nothing was sent")?;
    let mut said = serde_json::Map::new();
    said.insert("host".to_owned(), json!(request.host));
    said.insert("path".to_owned(), json!(request.path));
    let query = request.query.trim_start_matches('?');
    said.insert("query".to_owned(), json!(query));
    for (field, value) in request.form() {
        let value = match field.as_str() {
            "client_id" | "client_assertion_type" => value,
            "client_secret" | "client_assertion" => sha256_hex(value.as_bytes()),
            _ => continue,
        };
        said.insert(field, json!(value));
    }
    Ok(Value::Object(said))
}
