//! Acceptance: the settings of programs that people already have, each with no other configuration, by the command and by
//! the library, against the emulator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass::{AppSettings, Builder, Environment, Provider, TokenRequest};
use edgepass_core::sha256_hex;
use edgepass_e2e::{Command, GRAPH, Lab, peers_python, peers_script};
use edgepass_emulator::{App, JournalEntry, Mint, Tenant};
use serde_json::{Value, json};

/// An application that trusts somebody's tokens.
const TRUSTING: &str = "7c1d2e3f-0000-4000-8000-0000000000a1";

/// The client whose token is another one's assertion.
const INNER: &str = "7c1d2e3f-0000-4000-8000-0000000000a2";

const EXCHANGE: &str = "api://AzureADTokenExchange";

const SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// Settings of some program.
#[derive(Clone, Default)]
struct Settings {
    /// The option of the command, and its file.
    file: Option<(&'static str, PathBuf)>,
    section: Option<&'static str>,
    api: Option<&'static str>,
    variables: BTreeMap<String, String>,
    scope: Option<&'static str>,
    identity: Option<&'static str>,
}

impl Settings {
    fn appsettings(lab: &Lab, text: &str) -> Result<Self> {
        let path = lab.write("appsettings.json", text)?;
        let file = Some(("--appsettings", path));
        Ok(Self {
            file,
            ..Self::default()
        })
    }

    fn with<'v>(mut self, variables: impl IntoIterator<Item = (&'v str, String)>) -> Self {
        let variables = variables.into_iter();
        self.variables
            .extend(variables.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// What a world of the emulator's needs besides, and no configuration has.
    fn environment(&self, lab: &Lab) -> BTreeMap<String, String> {
        let mut all = lab.env();
        all.retain(|name, _| {
            ["EDGEPASS_AUTHORITY_HOSTS", "SSL_CERT_FILE"].contains(&name.as_str())
        });
        all.extend(self.variables.clone());
        all
    }

    fn command<'l>(&self, lab: &'l Lab, arguments: &[&str]) -> Result<Command<'l>> {
        let mut command = lab.edgepass(arguments)?.bare();
        for (name, value) in self.environment(lab) {
            command = command.env(&name, value);
        }
        if let Some((option, path)) = &self.file {
            command = command.arg(*option).arg(path.display().to_string());
        }
        for (option, value) in [("--section", self.section), ("--api", self.api)] {
            if let Some(value) = value {
                command = command.arg(option).arg(value);
            }
        }
        Ok(command)
    }

    fn builder(&self, lab: &Lab) -> Builder {
        let builder = Provider::builder()
            .environment(Environment::from_pairs(self.environment(lab)))
            .ca_file(lab.files.ca_file());
        match &self.file {
            Some(("--appsettings", path)) => {
                let mut settings = AppSettings::file(path);
                if let Some(section) = self.section {
                    settings = settings.section(section);
                }
                if let Some(api) = self.api {
                    settings = settings.api(api);
                }
                builder.appsettings(settings)
            }
            Some((_, path)) => builder.social_auth(path),
            None => builder,
        }
    }

    /// Gets a token by the command and by the library, which send the same; the requests of the last.
    async fn token(&self, lab: &Lab) -> Result<Vec<JournalEntry>> {
        lab.emulator.clear_journal();
        let mut command = self.command(lab, &["token"])?;
        if let Some(scope) = self.scope {
            command = command.arg("--scope").arg(scope);
        }
        if let Some(identity) = self.identity {
            command = command.arg("--identity").arg(identity);
        }
        command.run()?.token()?;
        let by_command = lab.emulator.journal();
        lab.emulator.clear_journal();
        let provider = self.builder(lab).build().await?;
        let request = TokenRequest {
            identity: self.identity.map(str::to_owned),
            ..TokenRequest::for_scopes(self.scope)
        };
        lab.issued(&provider.get_token(&request).await?);
        let by_library = lab.emulator.journal();
        let told = |journal: &[JournalEntry]| -> Vec<_> {
            let entries = journal.iter();
            entries
                .map(|entry| (entry.status, without_assertion(entry)))
                .collect()
        };
        assert_eq!(told(&by_command), told(&by_library));
        Ok(by_library)
    }
}

/// Where a request went and what it said, but for what is new each time.
fn without_assertion(entry: &JournalEntry) -> (String, String, Vec<(String, String)>) {
    let mut form = entry.form();
    form.retain(|(name, _)| name != "client_assertion");
    (entry.path.clone(), entry.query.clone(), form)
}

/// A section of the emulator's own client, with that in it.
fn section(lab: &Lab, more: &Value) -> Value {
    let mut section = json!({
        "Instance": format!("{}/", lab.emulator.login_authority()),
        "TenantId": lab.emulator.tenant(),
        "ClientId": lab.emulator.client_id(),
    });
    if let (Some(section), Some(more)) = (section.as_object_mut(), more.as_object()) {
        section.extend(more.clone());
    }
    section
}

/// A world in which `fabrikam.onmicrosoft.com` is the tenant, too.
fn lab(test: &str) -> Result<Lab> {
    let lab = Lab::with_metadata(test)?;
    lab.emulator.register_tenant(Tenant {
        id: lab.emulator.tenant().to_owned(),
        domains: vec!["fabrikam.onmicrosoft.com".to_owned()],
    });
    Ok(lab)
}

/// As Microsoft.Identity.Web's pages have them, written anew: each in a program with one API.
#[tokio::test]
async fn settings_of_dotnet_programs_give_tokens() -> Result<()> {
    let lab = lab("imports_appsettings")?;
    let certificate = lab.emulator.client_certificate();
    let both = format!(
        "{}{}",
        certificate.private_key_pem, certificate.certificate_pem
    );
    lab.write("both.pem", &both)?;
    lab.evidence
        .secret("certificate, base64", &STANDARD.encode(&both));
    let user = lab.user_assigned()?;
    let trusting =
        App::new(TRUSTING).federated(&lab.emulator.tenant_issuer(), &user.object_id, EXCHANGE);
    lab.emulator.register_app(trusting);
    let secret = lab.emulator.client_secret();
    let file = lab.files.token_file().display().to_string();
    let metadata = (
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        lab.metadata_authority()?,
    );
    let token_file = ("AZURE_FEDERATED_TOKEN_FILE", file.clone());
    let mtls = "mtlsauth.localhost";
    for (name, client, variables, proof, host) in [
        (
            "a secret in the list",
            json!({ "ClientCredentials": [
            { "SourceType": "ClientSecret", "ClientSecret": secret },
        ] }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "a secret, as older programs have it",
            json!({ "ClientSecret": secret }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "a secret by its variable",
            json!({ "ClientCredentials": [{ "SourceType": "ClientSecret" }] }),
            vec![(
                "AzureAd__ClientCredentials__0__ClientSecret",
                secret.to_owned(),
            )],
            Some("secret"),
            "",
        ),
        (
            "a certificate beside the program",
            json!({ "SendX5C": true, "ClientCredentials": [
            { "SourceType": "Path", "CertificateDiskPath": "both.pem" },
        ] }),
            vec![],
            Some("certificate"),
            "",
        ),
        (
            "a certificate in base64",
            json!({ "ClientCredentials": [
            { "SourceType": "Base64Encoded", "Base64EncodedValue": STANDARD.encode(&both) },
        ] }),
            vec![],
            Some("certificate"),
            "",
        ),
        (
            "a bound certificate",
            json!({ "ClientCredentials": [
            { "SourceType": "Path", "CertificateDiskPath": "both.pem", "UseBoundCredential": true },
        ] }),
            vec![],
            Some("bound-assertion"),
            mtls,
        ),
        (
            "a pod, by its variable",
            json!({ "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }] }),
            vec![token_file.clone()],
            Some("federated"),
            "",
        ),
        (
            "a pod, by its path",
            json!({ "ClientCredentials": [
            { "SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath": file },
        ] }),
            vec![],
            Some("federated"),
            "",
        ),
        (
            "a managed identity that is trusted",
            json!({ "ClientId": TRUSTING, "ClientCredentials": [
            { "SourceType": "SignedAssertionFromManagedIdentity", "ManagedIdentityClientId": user.client_id },
        ] }),
            vec![metadata.clone()],
            Some("federated"),
            "",
        ),
        (
            "a list whose first entry is of Windows",
            json!({ "ClientCredentials": [
            { "SourceType": "StoreWithThumbprint", "CertificateStorePath": "CurrentUser/My", "CertificateThumbprint": "AB" },
            { "SourceType": "SignedAssertionFilePath" },
        ] }),
            vec![token_file.clone()],
            Some("federated"),
            "",
        ),
        (
            "a list whose first entry is not there",
            json!({ "ClientCredentials": [
            { "SourceType": "Path", "CertificateDiskPath": "none.pem" },
            { "SourceType": "ClientSecret", "ClientSecret": secret },
        ] }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "everything from variables",
            json!({ "TenantId": "", "ClientId": "" }),
            vec![
                ("AZUREAD__TENANTID", lab.emulator.tenant().to_owned()),
                ("AzureAd__ClientId", lab.emulator.client_id().to_owned()),
                (
                    "AzureAd__ClientCredentials__0__SourceType",
                    "SignedAssertionFilePath".to_owned(),
                ),
                token_file.clone(),
            ],
            Some("federated"),
            "",
        ),
        (
            "an authority",
            json!({
                "Instance": null, "TenantId": null, "ClientSecret": secret,
                "Authority": format!("{}/{}/v2.0", lab.emulator.authority(), lab.emulator.tenant()),
            }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "a user flow of B2C",
            json!({
                "Instance": lab.emulator.authority(), "Domain": "fabrikam.onmicrosoft.com",
                "SignUpSignInPolicyId": "b2c_1_susi", "ClientSecret": secret,
            }),
            vec![],
            Some("secret"),
            "",
        ),
    ] {
        let settings = json!({
            "AzureAd": section(&lab, &client),
            "DownstreamApis": { "MicrosoftGraph": {
                "BaseUrl": "https://graph.microsoft.com/v1.0/", "Scopes": [GRAPH], "RequestAppToken": true,
            } },
            "Logging": { "LogLevel": { "Default": "Information" } },
        });
        // as people write it
        let text = format!("\u{feff}// {name}\n{settings:#}").replace("\n}", ",\n}");
        let settings = Settings::appsettings(&lab, &text)?.with(variables);
        let requests = settings.token(&lab).await.context(name)?;
        let last = requests.last().context("a request")?;
        assert_eq!(last.status, Some(200), "{name}");
        assert_eq!(last.method_of_proof.as_deref(), proof, "{name}");
        assert_eq!(last.nonconforming, Vec::<String>::new(), "{name}");
        assert_eq!(last.field("scope").as_deref(), Some(GRAPH), "{name}");
        assert!(last.host.starts_with(host), "{name}: {}", last.host);
    }
    Ok(())
}

/// A client of another section proves the first one (Microsoft.Identity.Web.OidcFIC), and an API of a managed identity.
#[tokio::test]
async fn settings_with_more_than_one_client_give_tokens() -> Result<()> {
    let lab = lab("imports_appsettings_more")?;
    const SECRET: &str = "Xq7-inner+&=Zk2vW9pLmB4tR8sN";
    lab.evidence.secret("inner secret", SECRET);
    lab.emulator.register_app(App::new(INNER).secret(SECRET));
    let inner = section(
        &lab,
        &json!({
            "Instance": lab.emulator.authority(), "ClientId": INNER,
            "ClientCredentials": [{ "SourceType": "ClientSecret", "ClientSecret": SECRET }],
        }),
    );
    // what its token says of itself is what is trusted
    let alone = json!({ "AzureAd": inner }).to_string();
    let provider = Settings::appsettings(&lab, &alone)?
        .builder(&lab)
        .build()
        .await?;
    let exchange = format!("{EXCHANGE}/.default");
    let token = lab.issued(
        &provider
            .get_token(&TokenRequest::for_scopes([exchange]))
            .await?,
    );
    let claims = edgepass_core::inspect_jwt(&token).context("a JWT")?;
    let (issuer, subject) = (claims.iss.context("iss")?, claims.sub.context("sub")?);
    let audience = claims.aud.first().cloned().context("aud")?;
    lab.emulator
        .register_app(App::new(TRUSTING).federated(&issuer, &subject, &audience));
    let user = lab.user_assigned()?;
    let text = json!({
        "Entra": section(&lab, &json!({
            "Instance": lab.emulator.authority(), "ClientId": TRUSTING, "ClientCredentials": [{
                "SourceType": "CustomSignedAssertion", "CustomSignedAssertionProviderName": "OidcIdpSignedAssertion",
                "CustomSignedAssertionProviderData": { "ConfigurationSection": "Inner" },
            }],
        })),
        "Inner": inner,
        "DownstreamApis": { "vault": {
            "Scopes": [GRAPH], "AcquireTokenOptions": { "ManagedIdentity": { "UserAssignedClientId": user.client_id } },
        } },
    });
    let settings = Settings {
        section: Some("Entra"),
        scope: Some(GRAPH),
        ..Settings::appsettings(&lab, &text.to_string())?
    };
    // the API is a managed identity's, and is not meant here
    let text = text.to_string().replace("DownstreamApis", "Apis");
    let mut apart = settings.clone();
    apart.file = Settings::appsettings(&lab, &text)?.file;
    let requests = apart.token(&lab).await?;
    let clients: Vec<_> = requests
        .iter()
        .filter_map(|request| request.field("client_id"))
        .collect();
    assert_eq!(clients, [INNER, TRUSTING]);

    let text = text.replace("\"Apis\"", "\"DownstreamApis\"");
    let mut managed = Settings::appsettings(&lab, &text)?;
    managed.api = Some("vault");
    let metadata = lab.metadata_authority()?;
    let managed = managed.with([("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata)]);
    let requests = managed.token(&lab).await?;
    assert!(requests.iter().all(JournalEntry::is_metadata_request) && requests.len() == 1);
    let query = &requests[0].query;
    assert!(query.contains(&user.client_id), "{query}");
    Ok(())
}

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
fn of_backend(lab: &Lab, prefix: &str) -> BTreeMap<String, String> {
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

/// Each error names the source, and the line or the variable; nothing is sent.
#[test]
fn what_is_wrong_is_said_of_the_setting() -> Result<()> {
    let lab = lab("imports_wrong")?;
    let good = json!({ "AzureAd": section(&lab, &json!({ "ClientSecret": lab.emulator.client_secret() })) });
    let text = format!("{good:#}");
    let with = |name: &str, value: Value| {
        let mut settings = good.clone();
        settings["AzureAd"][name] = value;
        format!("{settings:#}")
    };
    let entry = |entry: Value| with("ClientCredentials", json!([entry]));
    let none: &[(&str, &str)] = &[];
    for (text, variables, section, api, says) in [
        (
            text.clone(),
            none,
            Some("Entra"),
            None,
            ["appsettings.json", "no section `Entra`", "`AzureAd`"],
        ),
        (
            text.clone(),
            none,
            None,
            Some("graph"),
            ["DownstreamApis", "no API `graph`", "Scopes"],
        ),
        (
            text.replace("\"TenantId\"", "TenantId"),
            none,
            None,
            None,
            ["not JSON", "line ", "mind commas"],
        ),
        (
            text.replace("\"ClientSecret\"", "\"clientid\""),
            none,
            None,
            None,
            ["AzureAd:", "line ", "twice"],
        ),
        (
            with("TenantId", json!("common")),
            none,
            None,
            None,
            ["AzureAd:TenantId (", "line ", "AppHomeTenantId"],
        ),
        (
            with("ClientId", json!("")),
            none,
            None,
            None,
            ["AzureAd:ClientId (", "is not set", "AzureAd__ClientId"],
        ),
        (
            entry(json!({ "SourceType": "KeyVault", "KeyVaultCertificateName": "app" })),
            none,
            None,
            None,
            [
                "AzureAd:ClientCredentials:0:KeyVaultUrl (",
                "appsettings.json): is not set",
                "AzureAd__ClientCredentials__0__KeyVaultUrl",
            ],
        ),
        (
            entry(json!({ "SourceType": "StoreWithThumbprint" })),
            none,
            None,
            None,
            [
                "AzureAd:ClientCredentials:0:SourceType (",
                "certificate store",
                "use Path",
            ],
        ),
        (
            entry(json!({ "SourceType": "Secret" })),
            none,
            None,
            None,
            [
                "AzureAd:ClientCredentials:0:SourceType (",
                "no source type",
                "SignedAssertionFilePath",
            ],
        ),
        (
            with("Instance", json!("https://login.example/")),
            none,
            None,
            None,
            [
                "AzureAd:Instance (",
                "`login.example`",
                "EDGEPASS_AUTHORITY_HOSTS",
            ],
        ),
        (
            text.clone(),
            &[("AzureAd__ClientCredentials__0__SourceType", "Secret")],
            None,
            None,
            [
                "AzureAd__ClientCredentials__0__SourceType: ",
                "no source type",
                "ClientSecret",
            ],
        ),
        (
            text.clone(),
            &[("AzureAd__TenantId", "a..b")],
            None,
            None,
            ["AzureAd__TenantId: ", "two dots", "tenant"],
        ),
        (
            text.clone(),
            &[("AzureAd__ClientId", "a"), ("AZUREAD__CLIENTID", "b")],
            None,
            None,
            ["AzureAd__ClientId", "AZUREAD__CLIENTID", "unset one"],
        ),
    ] {
        let mut settings = Settings::appsettings(&lab, &text)?.with(
            variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        settings.section = section;
        settings.api = api;
        refused(&lab, &settings, &says)?;
    }
    let own = "SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_";
    let key = format!("{own}KEY = 'k'\n");
    for (text, variables, says) in [
        (
            "DEBUG = True\n".to_owned(),
            none,
            ["settings.py", "no settings", "the file that has them"],
        ),
        (
            format!("{own}TENANT_ID = 't'\n{own}KEY = env('x')\n"),
            none,
            ["V2_TENANT_OAUTH2_KEY (", "line 2)", "os.environ"],
        ),
        (
            key.clone(),
            none,
            [
                "V2_TENANT_OAUTH2_TENANT_ID (",
                "an app gets its tokens from one tenant",
                "set SOCIAL_AUTH",
            ],
        ),
        (
            format!("{key}{own}TENANT_ID = 't'\n"),
            none,
            ["names no credential", "FEDERATED_TOKEN_FILE", "settings.py"],
        ),
        (
            format!("{key}{own}TENANT_ID = 't'\n{own}SECRET = 's'\n"),
            &[("SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_KEY", "other")],
            ["V2_TENANT_OAUTH2_KEY (", "line 1)", "than the variable"],
        ),
        (
            "KEY = 'a\n".to_owned(),
            none,
            ["settings.py, line 1", "without an end", "Python"],
        ),
    ] {
        let path = lab.write("settings.py", &text)?;
        let settings = Settings {
            file: Some(("--social-auth", path)),
            ..Settings::default()
        };
        let settings = settings.with(
            variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        refused(&lab, &settings, &says)?;
    }
    for (variables, says) in [
        (
            vec![("KEY", "k"), ("SECRET", "s")],
            ["AZUREAD_OAUTH2_TENANT_ID: ", "common", "one tenant"],
        ),
        (
            vec![("SECRET", "s"), ("TENANT_ID", "t")],
            ["AZUREAD_OAUTH2_KEY: ", "is not set", "client"],
        ),
    ] {
        let variables = variables.into_iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| {
                (
                    format!("SOCIAL_AUTH_AZUREAD_OAUTH2_{name}"),
                    value.to_owned(),
                )
            })
            .collect();
        let settings = Settings::default().with(
            variables
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        refused(&lab, &settings, &says)?;
    }
    // the SDKs' variables mean somebody else
    let mut settings = Settings::default().with([("AZURE_CLIENT_ID", "other".to_owned())]);
    settings.variables.extend(of_backend(&lab, own));
    refused(
        &lab,
        &settings,
        &[
            "V2_TENANT_OAUTH2_KEY: ",
            "AZURE_CLIENT_ID",
            "unset one of the two",
        ],
    )
}

/// Scopes of users are those of the grants of users and of the address where they sign in, and of no app.
#[test]
fn an_api_of_users_is_asked_for_its_users() -> Result<()> {
    const READ: &str = "https://graph.microsoft.com/User.Read";

    let lab = lab("imports_users")?;
    let own = "api://edgepass-demo/user_impersonation".to_owned();
    let settings = |scopes: Value| -> Result<Settings> {
        let secret = json!({ "ClientSecret": lab.emulator.client_secret() });
        let text = json!({
            "AzureAd": section(&lab, &secret),
            "DownstreamApis": { "Profile": { "Scopes": scopes } },
        });
        Ok(Settings {
            api: Some("Profile"),
            ..Settings::appsettings(&lab, &text.to_string())?
        })
    };
    let users_token = lab.emulator.user_token(
        lab.emulator.username(),
        &lab.emulator.own_resource(),
        &Mint::new(),
    )?;
    lab.evidence.secret("user's token", &users_token);
    let file = lab.write("users-token", users_token)?;
    let file = file.display().to_string();
    for (scopes, asked) in [
        (json!(["User.Read"]), "User.Read"),
        (json!("User.Read"), "User.Read"),
        (json!([READ]), READ),
        (json!([own]), own.as_str()),
    ] {
        lab.emulator.clear_journal();
        let settings = settings(scopes)?;
        let on_behalf_of = ["--grant", "on-behalf-of", "--assertion-file", &file];
        let command = settings.command(&lab, &[&["token"][..], &on_behalf_of].concat())?;
        command.run()?.token().context(asked.to_owned())?;
        let requests = lab.emulator.token_requests();
        let sent = requests.first().and_then(|sent| sent.field("scope"));
        assert_eq!(sent.as_deref(), Some(asked));

        let url = [
            "authorization-url",
            "--redirect-uri",
            "https://app.example/",
        ];
        let begun = settings.command(&lab, &url)?.run()?.token()?;
        let url = begun["url"].as_str().context("no URL")?;
        let encoded = asked.replace(':', "%3A").replace('/', "%2F");
        ensure!(url.contains(&format!("&scope={encoded}&")), "{url}");

        // the app itself has none of them, and one that it is told
        let command = settings.command(&lab, &["token", "--error-format", "json"])?;
        let (code, error) = command.run()?.error()?;
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(
            code == 2 && message.contains("DownstreamApis:Profile:Scopes"),
            "{error}"
        );
        settings
            .command(&lab, &["token", "--scope", GRAPH])?
            .run()?
            .token()?;
        let checked = settings.command(&lab, &["config", "check"])?.run()?;
        ensure!(
            checked.stdout.contains(asked),
            "{}{}",
            checked.stdout,
            checked.stderr
        );
    }
    Ok(())
}

/// The command and the library refuse it, and say so in the same words.
fn refused(lab: &Lab, settings: &Settings, says: &[&str]) -> Result<()> {
    lab.emulator.clear_journal();
    let command = settings.command(lab, &["token", "--error-format", "json", "--scope", GRAPH])?;
    let (code, error) = command.run()?.error()?;
    let text = |name: &str| {
        let value = error.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let told = format!("{} {}", text("message"), text("hint"));
    assert_eq!(
        (code, text("class")),
        (2, "configuration".to_owned()),
        "{told}"
    );
    for part in says {
        assert!(told.contains(part), "no {part:?} in {told:?}");
    }
    let Err(error) = settings.builder(lab).build_blocking() else {
        anyhow::bail!("the library takes it: {told}");
    };
    lab.evidence.saw_error("refused", &error);
    assert!(
        error.to_string().starts_with(&text("message")),
        "{error} and {told}"
    );
    assert!(lab.emulator.journal().is_empty());
    // what a check says is the same
    let check = settings.command(lab, &["config", "check", "--error-format", "json"])?;
    let (code, checked) = check.run()?.error()?;
    assert_eq!(code, 2);
    assert_eq!(checked.get("message"), Some(&json!(text("message"))));
    Ok(())
}

#[test]
fn what_was_used_is_said() -> Result<()> {
    let lab = lab("imports_said")?;
    let text = json!({
        "AzureAd": section(&lab, &json!({ "ClientCredentials": [
            { "SourceType": "StoreWithThumbprint" },
            { "SourceType": "ClientSecret", "ClientSecret": lab.emulator.client_secret() },
        ] })),
        "DownstreamApis": { "graph": { "Scopes": [GRAPH] } },
    });
    let settings = Settings::appsettings(&lab, &text.to_string())?;
    let ran = settings.command(&lab, &["-v", "token"])?.run()?;
    ran.token()?;
    assert!(
        ran.stderr
            .contains("appsettings.json, section AzureAd, API graph (--appsettings)"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("AzureAd:ClientCredentials:0:SourceType"),
        "{}",
        ran.stderr
    );
    let ran = settings.command(&lab, &["token"])?.run()?;
    let warnings = edgepass_e2e::warnings(&ran.stderr);
    assert!(
        ran.stderr.contains("is left out"),
        "{warnings:?}: {}",
        ran.stderr
    );
    let ran = settings.command(&lab, &["config", "check"])?.run()?;
    assert!(
        ran.stdout.contains("identity AzureAd") && ran.stdout.contains("is left out"),
        "{}",
        ran.stdout
    );
    let strict = settings
        .command(&lab, &["config", "check", "--strict"])?
        .run()?;
    assert_eq!(strict.code, Some(2));
    let provider = settings.builder(&lab).build_blocking()?;
    assert!(
        provider
            .warnings()
            .iter()
            .any(|warning| warning.contains("is left out"))
    );

    let prefix = "SOCIAL_AUTH_AZUREAD_OAUTH2_";
    let mut settings = Settings {
        variables: of_backend(&lab, prefix),
        ..Settings::default()
    };
    settings.variables.insert(
        format!("{prefix}SECRET"),
        lab.emulator.client_secret().to_owned(),
    );
    let ran = settings
        .command(&lab, &["-v", "token", "--scope", GRAPH])?
        .run()?;
    ran.token()?;
    assert!(
        ran.stderr.contains(
            "configuration: the variables SOCIAL_AUTH_… of python-social-auth (azuread-oauth2)"
        ),
        "{}",
        ran.stderr
    );
    Ok(())
}

/// As a program of .NET has it: by the name of its environment, which is Production if nothing says so.
#[tokio::test]
async fn the_file_of_the_environment_goes_over_the_other() -> Result<()> {
    let lab = lab("imports_environment")?;
    let below = json!({
        "AzureAd": section(&lab, &json!({ "ClientCredentials": [{ "SourceType": "StoreWithThumbprint" }] })),
        "DownstreamApis": { "graph": { "Scopes": [GRAPH] } },
    });
    let below = format!("{below:#}");
    let settings = Settings::appsettings(&lab, &below)?;
    let of_below = [
        "AzureAd:ClientCredentials:0:SourceType (",
        "appsettings.json, line ",
        "is a certificate of a certificate store",
    ];
    refused(&lab, &settings, &of_below)?;
    let over = json!({ "azuread": { "clientCredentials": [
        { "SourceType": "ClientSecret", "ClientSecret": lab.emulator.client_secret() },
    ] } });
    lab.write("appsettings.Production.json", over.to_string())?;
    lab.write("appsettings.Staging.json", over.to_string())?;
    lab.write("appsettings.Broken.json", "{\n\"AzureAd\": hunter2 }")?;
    let dotnet = |name: &str| ("DOTNET_ENVIRONMENT", name.to_owned());
    let aspnet = |name: &str| ("ASPNETCORE_ENVIRONMENT", name.to_owned());
    for (what, variables) in [
        ("nothing says so", vec![]),
        ("it says so", vec![dotnet("Production")]),
        ("of the web alone", vec![aspnet("Staging")]),
        (
            "the one before the other",
            vec![dotnet("Staging"), aspnet("Development")],
        ),
    ] {
        let settings = settings.clone().with(variables);
        let sent = settings.token(&lab).await.context(what)?;
        assert!(!sent.is_empty(), "{what}");
    }
    let ran = settings.command(&lab, &["-v", "token"])?.run()?;
    ran.token()?;
    let both = ran.stderr.contains("appsettings.json and ")
        && ran
            .stderr
            .contains("appsettings.Production.json, section AzureAd");
    assert!(both, "{}", ran.stderr);

    for (variables, says) in [
        // there is none, as in most programs
        (vec![dotnet("Development")], of_below),
        (vec![dotnet("Development"), aspnet("Production")], of_below),
        (
            vec![dotnet("Broken")],
            ["appsettings.Broken.json", "not JSON", "line 2"],
        ),
        (
            vec![dotnet("../Production")],
            [
                "DOTNET_ENVIRONMENT",
                "no name of an environment",
                "such as Production",
            ],
        ),
    ] {
        refused(&lab, &settings.clone().with(variables), &says)?;
    }
    // a file of another name, and standard input, are read alone
    let path = lab.write("settings.json", &below)?;
    let other = Settings {
        file: Some(("--appsettings", path)),
        ..Settings::default()
    };
    refused(
        &lab,
        &other,
        &["settings.json, line ", "certificate store", "Path"],
    )?;
    let piped = lab.edgepass(&["token", "--appsettings", "-"])?.bare();
    let ran = piped.input(&below).run()?;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("standard input, line "),
        "{}",
        ran.stderr
    );
    // one that cannot be read is no missing one
    std::fs::create_dir(
        lab.write("folder", "")?
            .with_file_name("appsettings.Folder.json"),
    )?;
    let folder = settings.with([dotnet("Folder")]);
    let (code, error) = folder
        .command(&lab, &["token", "--error-format", "json"])?
        .run()?
        .error()?;
    assert_eq!(code, 2);
    assert!(
        error.to_string().contains("appsettings.Folder.json"),
        "{error}"
    );
    let Err(error) = folder.builder(&lab).build_blocking() else {
        anyhow::bail!("a folder is taken for a file");
    };
    assert!(
        error.to_string().contains("appsettings.Folder.json"),
        "{error}"
    );
    Ok(())
}

/// In one call, with the environment of the process.
#[tokio::test]
async fn a_file_that_is_not_there_is_named() -> Result<()> {
    for (name, built) in [
        (
            "/none/appsettings.json",
            Provider::from_appsettings("/none/appsettings.json").await,
        ),
        (
            "/none/settings.py",
            Provider::from_social_auth("/none/settings.py").await,
        ),
    ] {
        let error = built.err().context("there is no such file")?;
        assert!(error.to_string().starts_with(name), "{error}");
    }
    Ok(())
}
