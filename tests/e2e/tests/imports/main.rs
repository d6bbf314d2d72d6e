//! Acceptance: the settings of programs that people already have, each with no other configuration, by the command and by
//! the library, against the emulator.

mod dotnet;
mod social_auth;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use edgepass::{AppSettings, Builder, Environment, Provider, TokenRequest};
use edgepass_e2e::{Command, GRAPH, Lab};
use edgepass_emulator::{JournalEntry, Tenant};
use serde_json::{Value, json};

use social_auth::of_backend;

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
            ["settings.py, line 1", "does not end", "on the same line"],
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
