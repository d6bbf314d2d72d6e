//! A configuration to begin with: commented, and made of what the environment shows. What is no secret is written as it is;
//! a secret is named by its variable or file, and never written.
//!
//! Which credential the environment means is not decided here: it is the one that the engine takes without a configuration.
//! What the engine looks for at no time without one (SPIFFE, AWS) comes before the managed identity that it takes where it
//! finds nothing.

use edgepass_core::{Config, ConfigError, Environment};

use crate::formats::{Format, quoted};

/// The kind that has no client.
const MANAGED_IDENTITY: &str = "managed_identity";

/// Of these one says that there is a platform of managed identities.
const PLATFORMS: [&str; 4] = [
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "IMDS_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
];

/// Where everything is explained.
const REFERENCE: &str = "https://github.com/edgepass/edgepass/blob/main/docs/configuration.md";

/// Stands for a tenant and for a client that nothing names.
const TENANT: &str = "contoso.onmicrosoft.com";
const CLIENT: &str = "00000000-0000-0000-0000-000000000000";

/// A configuration to begin with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Beginning {
    /// The text of the file. No secret is in it.
    pub text: String,
    /// The variables that it was made of; none where it is the template.
    pub variables: Vec<&'static str>,
}

/// The text for that environment.
///
/// # Errors
///
/// When the environment describes an identity in part, as without a configuration, or a variable has a value that no
/// configuration can have, with its name.
pub fn beginning(environment: &Environment, format: Format) -> Result<Beginning, ConfigError> {
    let meant = Meant::of(environment)?;
    let mut seen = Seen {
        environment,
        variables: Vec::new(),
        settings: Vec::new(),
    };
    let document = document(&mut seen, &meant);
    let json = rendered(&document, Format::Json);
    if let Err(error) = Config::load(Some(&json), environment) {
        let mut settings = seen.settings.iter();
        let known = settings.find(|(setting, _)| *setting == error.setting);
        return Err(match (known, &error.hint) {
            (Some((_, variable)), Some(hint)) => {
                ConfigError::new(*variable, error.message.clone()).hint(hint)
            }
            (Some((_, variable)), None) => ConfigError::new(*variable, error.message.clone()),
            (None, _) => error,
        });
    }
    let text = match format {
        // it has no comments
        Format::Json => json,
        format => format!(
            "{}\n{}",
            head(&seen.variables, format),
            rendered(&document, format)
        ),
    };
    Ok(Beginning {
        text,
        variables: seen.variables,
    })
}

fn head(variables: &[&str], format: Format) -> String {
    let of = match variables {
        [] => "No variable shows who this is: write your own tenant, client and credential."
            .to_owned(),
        variables => format!("From the environment: {}.", variables.join(", ")),
    };
    let editor = match format {
        Format::Toml => "#:schema ./edgepass.schema.json",
        _ => "# yaml-language-server: $schema=./edgepass.schema.json",
    };
    format!(
        "# Configuration of edgepass. {of}\n\
         # `edgepass config check FILE` says what is wrong with it, with --try whether the credential is ready.\n\
         # All settings: {REFERENCE}\n\
         # For an editor: `edgepass config schema > edgepass.schema.json`, and a line with\n\
         {}\n",
        editor.replacen('#', "#   #", 1)
    )
}

/// What the engine takes the environment for.
struct Meant {
    /// The kind of credential.
    kind: String,
    /// The variables that name the client, and the tenant.
    client: (&'static str, &'static str),
    /// Nothing was found: it is the managed identity of whatever machine this is.
    is_default: bool,
}

impl Meant {
    fn of(environment: &Environment) -> Result<Self, ConfigError> {
        let config = Config::load(None, environment)?;
        let identity = config.identities.values().next();
        let kind = identity.and_then(|identity| identity.kinds().into_iter().next());
        let kind = kind.unwrap_or_default();
        let names_it = PLATFORMS.iter().chain(&["AZURE_TOKEN_CREDENTIALS"]);
        let is_named = names_it
            .into_iter()
            .any(|name| environment.get(name).is_some());
        Ok(Self {
            is_default: kind == MANAGED_IDENTITY && !is_named,
            kind,
            client: identity
                .and_then(|identity| identity.client_variables())
                .unwrap_or(("AZURE_CLIENT_ID", "AZURE_TENANT_ID")),
        })
    }
}

/// The environment, and what was taken of it.
struct Seen<'e> {
    environment: &'e Environment,
    variables: Vec<&'static str>,
    /// Which variable's value stands in which setting.
    settings: Vec<(String, &'static str)>,
}

impl<'e> Seen<'e> {
    /// The value of a variable that is no secret, for that setting.
    fn value(&mut self, variable: &'static str, setting: &str) -> Option<&'e str> {
        let value = self.environment.get(variable)?;
        self.note(variable);
        self.settings.push((setting.to_owned(), variable));
        Some(value)
    }

    /// Whether there is that variable, which may hold a secret.
    fn has(&mut self, variable: &'static str) -> bool {
        let is_set = self.environment.get(variable).is_some();
        if is_set {
            self.note(variable);
        }
        is_set
    }

    fn note(&mut self, variable: &'static str) {
        if !self.variables.contains(&variable) {
            self.variables.push(variable);
        }
    }
}

/// A field and what is said of it.
struct Entry {
    comment: String,
    name: &'static str,
    value: Value,
    /// One that is not is a comment itself, to be taken up by hand.
    is_active: bool,
}

enum Value {
    Text(String),
    Flag(bool),
    Texts(Vec<String>),
    Object(Vec<Entry>),
}

fn entry(comment: &str, name: &'static str, value: Value) -> Entry {
    Entry {
        comment: comment.to_owned(),
        name,
        value,
        is_active: true,
    }
}

fn text(comment: &str, name: &'static str, value: &str) -> Entry {
    entry(comment, name, Value::Text(value.to_owned()))
}

fn object(comment: &str, name: &'static str, fields: Vec<Entry>) -> Entry {
    entry(comment, name, Value::Object(fields))
}

/// Not in effect.
fn aside(entry: Entry) -> Entry {
    Entry {
        is_active: false,
        ..entry
    }
}

/// A way to prove who this is, as the environment shows it.
struct Shown {
    kind: Entry,
    /// What it needs besides.
    certificates: Option<Entry>,
    /// It is the platform that knows who asks: there is no client.
    is_direct: bool,
}

fn document(seen: &mut Seen<'_>, meant: &Meant) -> Vec<Entry> {
    let mut shown = shown(seen, meant);
    // the others stay in their order
    shown.sort_by_key(|shown| shown.kind.name != meant.kind || meant.is_default);
    let mut shown = shown.into_iter();
    let first = shown.next();
    let is_direct = first.as_ref().is_some_and(|first| first.is_direct);
    let mut identity = Vec::new();
    if !is_direct {
        identity.extend(client(seen, meant));
    }
    identity.push(aside(entry(
        "What is asked for where a request names no scope.",
        "scopes",
        Value::Texts(vec!["https://graph.microsoft.com/.default".to_owned()]),
    )));
    let (credential, certificates) = match first {
        Some(first) => (first.kind, first.certificates),
        None => (template_credential(), None),
    };
    identity.push(object(
        "How it proves who it is: one kind. A list of them is tried in its order.",
        "credential",
        vec![credential],
    ));
    // other ways are there as well; two objects of one name are none, so they are told and not written
    let others: Vec<&str> = shown
        .filter(|other| !other.is_direct || is_direct)
        .map(|other| other.kind.name)
        .collect();
    if let (Some(credential), [_, ..]) = (identity.last_mut(), others.as_slice()) {
        credential.comment.push_str(&format!(
            " The environment shows other kinds as well: {}.",
            others.join(", ")
        ));
    }
    let app = object("An identity, by a name of yours.", "app", identity);
    let mut out = vec![object("Who asks for tokens.", "identities", vec![app])];
    out.extend(certificates);
    out.push(aside(object(
        "",
        "host",
        vec![text(
            "Certification authorities of the token endpoints, instead of the system's.",
            "ca_file",
            "/etc/ssl/certs/ca.pem",
        )],
    )));
    out
}

/// What names the client at Entra ID.
fn client(seen: &mut Seen<'_>, meant: &Meant) -> Vec<Entry> {
    let setting = |field: &str| format!("identities.app.{field}");
    let (of_client, of_tenant) = meant.client;
    let tenant = seen.value(of_tenant, &setting("tenant_id"));
    let client = seen.value(of_client, &setting("client_id"));
    let mut out = vec![
        text(
            match tenant {
                Some(_) => "Entra tenant: a GUID or a verified domain.",
                None => "Entra tenant: a GUID or a verified domain. This one is an example.",
            },
            "tenant_id",
            tenant.unwrap_or(TENANT),
        ),
        text(
            match client {
                Some(_) => "Application (client) ID.",
                None => "Application (client) ID. This one is an example.",
            },
            "client_id",
            client.unwrap_or(CLIENT),
        ),
    ];
    let host = seen.value("AZURE_AUTHORITY_HOST", &setting("authority_host"));
    let line = text(
        "The cloud; the public one if left out.",
        "authority_host",
        host.unwrap_or("https://login.microsoftonline.us"),
    );
    out.push(match host {
        Some(_) => line,
        None => aside(line),
    });
    if let Some(region) = seen.value("AZURE_REGIONAL_AUTHORITY_NAME", &setting("region")) {
        out.push(text(
            "The region whose endpoint is asked.",
            "region",
            region,
        ));
    }
    let tenants = seen.value(
        "AZURE_ADDITIONALLY_ALLOWED_TENANTS",
        &setting("additionally_allowed_tenants[0]"),
    );
    if let Some(tenants) = tenants {
        let tenants = tenants.split(';').map(str::trim).filter(|t| !t.is_empty());
        out.push(entry(
            "Tenants besides its own that a request may name.",
            "additionally_allowed_tenants",
            Value::Texts(tenants.map(str::to_owned).collect()),
        ));
    }
    out
}

/// Where nothing is shown.
fn template_credential() -> Entry {
    object(
        "The token that Kubernetes projects into a pod with workload identity. Others: certificate, client_secret,\n\
         managed_identity, github_actions, azure_pipelines, aws_web_identity, google_metadata, spiffe.",
        "federated_token_file",
        vec![text(
            "",
            "path",
            "/var/run/secrets/azure/tokens/azure-identity-token",
        )],
    )
}

/// The ways that the environment shows.
fn shown(seen: &mut Seen<'_>, meant: &Meant) -> Vec<Shown> {
    let mut out = Vec::new();
    let mut of_client = |kind: Entry| {
        out.push(Shown {
            kind,
            certificates: None,
            is_direct: false,
        });
    };
    let credential = |field: &str| format!("identities.app.credential.{field}");

    let setting = credential("federated_token_file.path");
    if let Some(path) = seen.value("AZURE_FEDERATED_TOKEN_FILE", &setting) {
        of_client(object(
            "The token that the platform rotates in a file.",
            "federated_token_file",
            vec![text("", "path", path)],
        ));
    }
    if seen.has("ACTIONS_ID_TOKEN_REQUEST_URL")
        || seen.environment.get("GITHUB_ACTIONS") == Some("true")
    {
        seen.has("GITHUB_ACTIONS");
        of_client(object(
            "The identity token of the job, which needs `permissions: id-token: write`.",
            "github_actions",
            Vec::new(),
        ));
    }
    if seen.has("SYSTEM_OIDCREQUESTURI") {
        let setting = credential("azure_pipelines.service_connection_id");
        let connection = seen.value("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", &setting);
        let fields = connection.map(|id| {
            text(
                "The service connection, by its GUID.",
                "service_connection_id",
                id,
            )
        });
        of_client(object(
            "The identity token of the job, whose task maps SYSTEM_ACCESSTOKEN.",
            "azure_pipelines",
            fields.into_iter().collect(),
        ));
    }
    if seen.has("AZURE_CLIENT_SECRET") {
        of_client(object(
            "The secret stays where it is: in a variable, or by `file` in a file.",
            "client_secret",
            vec![text("", "env", "AZURE_CLIENT_SECRET")],
        ));
    }
    out.extend(certificate(seen));
    if seen.has("SPIFFE_ENDPOINT_SOCKET") {
        out.push(Shown {
            kind: object(
                "A JWT-SVID from the SPIFFE Workload API.",
                "spiffe",
                Vec::new(),
            ),
            certificates: None,
            is_direct: false,
        });
    }
    let is_aws = seen
        .environment
        .get("AWS_WEB_IDENTITY_TOKEN_FILE")
        .is_some()
        || seen
            .environment
            .get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
            .is_some();
    if is_aws && (seen.has("AWS_REGION") || seen.has("AWS_DEFAULT_REGION")) {
        seen.has("AWS_WEB_IDENTITY_TOKEN_FILE");
        seen.has("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        out.push(Shown {
            kind: object(
                "A token that AWS gives the role of this pod or container.",
                "aws_web_identity",
                Vec::new(),
            ),
            certificates: None,
            is_direct: false,
        });
    }
    let is_there = PLATFORMS.into_iter().filter(|name| seen.has(name)).count() > 0;
    let is_meant = meant.kind == MANAGED_IDENTITY
        && (!meant.is_default
            || out.is_empty() && seen.environment.get("AZURE_CLIENT_ID").is_some());
    if is_there || is_meant {
        let setting = credential("managed_identity.client_id");
        // beside another way the client's ID is that of the client
        let of_user = match is_meant {
            true => seen.value("AZURE_CLIENT_ID", &setting),
            false => None,
        };
        let fields = of_user.map(|id| {
            text(
                "The user-assigned identity; the system's if left out.",
                "client_id",
                id,
            )
        });
        out.push(Shown {
            kind: object(
                "The managed identity of this machine: the platform knows who asks.",
                "managed_identity",
                fields.into_iter().collect(),
            ),
            certificates: None,
            is_direct: true,
        });
    }
    out
}

/// The certificate of the Azure SDKs' variables.
fn certificate(seen: &mut Seen<'_>) -> Option<Shown> {
    let file = seen.value(
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "certificates.app.certificate_file",
    )?;
    let mut files = vec![text(
        "PEM with certificate and key, or PKCS#12 (PFX). It is read again when it changes.",
        "certificate_file",
        file,
    )];
    if seen.has("AZURE_CLIENT_CERTIFICATE_PASSWORD") {
        files.push(text(
            "The variable with its password; `password_file` names a file instead.",
            "password_env",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        ));
    }
    let mut fields = vec![text("The name under `certificates`.", "name", "app")];
    let chain = seen.environment.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
    if chain.is_some_and(|chain| {
        ["true", "1"]
            .iter()
            .any(|yes| yes.eq_ignore_ascii_case(chain.trim()))
    }) {
        seen.has("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
        fields.push(entry(
            "Show the chain, for apps that know it by subject name and issuer.",
            "send_x5c",
            Value::Flag(true),
        ));
    }
    let files = object("", "app", files);
    Some(Shown {
        kind: object(
            "An assertion that the certificate's key signs.",
            "certificate",
            fields,
        ),
        certificates: Some(object(
            "Certificates and their keys, by the name that credentials use.",
            "certificates",
            vec![files],
        )),
        is_direct: false,
    })
}

fn rendered(document: &[Entry], format: Format) -> String {
    let mut out = String::new();
    match format {
        Format::Yaml => yaml(document, 0, &mut out),
        Format::Toml => toml(document, "", true, &mut out),
        Format::Json => {
            json(document, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn json(entries: &[Entry], depth: usize, out: &mut String) {
    let active: Vec<&Entry> = entries.iter().filter(|entry| entry.is_active).collect();
    if active.is_empty() {
        out.push_str("{}");
        return;
    }
    out.push_str("{\n");
    for (at, entry) in active.iter().enumerate() {
        out.push_str(&format!(
            "{}{}: ",
            "  ".repeat(depth + 1),
            quoted(entry.name)
        ));
        match &entry.value {
            Value::Object(fields) => json(fields, depth + 1, out),
            other => out.push_str(&inline(other)),
        }
        out.push_str(if at + 1 < active.len() { ",\n" } else { "\n" });
    }
    out.push_str(&format!("{}}}", "  ".repeat(depth)));
}

/// A value on a line of its own, as JSON, YAML and TOML write it.
fn inline(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Flag(flag) => flag.to_string(),
        Value::Texts(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", texts.join(", "))
        }
        Value::Object(_) => "{}".to_owned(),
    }
}

fn yaml(entries: &[Entry], depth: usize, out: &mut String) {
    for entry in entries {
        let indent = "  ".repeat(depth);
        for line in entry.comment.lines() {
            out.push_str(&format!("{indent}# {line}\n"));
        }
        let mut text = String::new();
        match &entry.value {
            Value::Object(fields) if fields.is_empty() => {
                text.push_str(&format!("{indent}{}: {{}}\n", entry.name));
            }
            Value::Object(fields) => {
                text.push_str(&format!("{indent}{}:\n", entry.name));
                yaml(fields, depth + 1, &mut text);
            }
            Value::Texts(_) => text.push_str(&format!(
                "{indent}{}: {}\n",
                entry.name,
                inline(&entry.value)
            )),
            Value::Text(one) => text.push_str(&format!("{indent}{}: {}\n", entry.name, plain(one))),
            Value::Flag(flag) => text.push_str(&format!("{indent}{}: {flag}\n", entry.name)),
        }
        push(entry.is_active, &text, out);
    }
}

/// A text of YAML: without quotes where no reader can take it for something else.
fn plain(text: &str) -> String {
    const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_plain {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn toml(entries: &[Entry], path: &str, is_active: bool, out: &mut String) {
    let is_table = |entry: &&Entry| matches!(entry.value, Value::Object(_));
    // what stands behind the head of a table belongs to that
    for entry in entries.iter().filter(|entry| !is_table(entry)) {
        for line in entry.comment.lines() {
            out.push_str(&format!("# {line}\n"));
        }
        let line = format!("{} = {}\n", entry.name, inline(&entry.value));
        push(is_active && entry.is_active, &line, out);
    }
    let tables = entries.iter().filter(is_table).enumerate();
    for (at, entry) in tables {
        let Value::Object(fields) = &entry.value else {
            continue;
        };
        let is_first = at == 0 && entries.iter().all(|entry| is_table(&entry));
        if !is_first && !out.ends_with("\n\n") {
            out.push('\n');
        }
        let path = match path {
            "" => entry.name.to_owned(),
            path => format!("{path}.{}", entry.name),
        };
        let is_active = is_active && entry.is_active;
        for line in entry.comment.lines() {
            out.push_str(&format!("# {line}\n"));
        }
        // a table of nothing but tables needs no head of its own
        if fields.is_empty() || fields.iter().any(|field| !is_table(&field)) {
            push(is_active, &format!("[{path}]\n"), out);
        }
        toml(fields, &path, is_active, out);
    }
}

/// Adds lines, as comments where they are not in effect.
fn push(is_active: bool, lines: &str, out: &mut String) {
    for line in lines.lines() {
        let indent = line.len() - line.trim_start().len();
        let (indent, rest) = line.split_at_checked(indent).unwrap_or(("", line));
        match is_active || rest.starts_with('#') {
            true => out.push_str(&format!("{line}\n")),
            false => out.push_str(&format!("{indent}#{rest}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
