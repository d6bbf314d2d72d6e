//! A configuration to begin with: commented, and made of what the environment shows. What is no secret is written as it is;
//! a secret is named by its variable or file, and never written.
//!
//! Which credential the environment means is not decided here: it is the one that the engine takes without a configuration.
//! What the engine looks for at no time without one (SPIFFE, AWS) comes before the managed identity that it takes where it
//! finds nothing.

mod entry;
mod environment;
mod render;
#[cfg(test)]
mod tests;

use edgepass_core::{Config, ConfigError, Environment};

use self::entry::{Entry, Value, aside, entry, object, text};
use self::environment::{Meant, Seen, shown};
use self::render::rendered;
use crate::formats::Format;
use crate::unread;

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
        format => format!("{}\n{}", head(&seen, format), rendered(&document, format)),
    };
    Ok(Beginning {
        text,
        variables: seen.variables,
    })
}

fn head(seen: &Seen<'_>, format: Format) -> String {
    let variables = &seen.variables;
    let mut of = match variables.as_slice() {
        [] => "No variable shows who this is: write your own tenant, client and credential."
            .to_owned(),
        variables => format!("From the environment: {}.", variables.join(", ")),
    };
    for line in unread::of_other_programs(seen.environment) {
        // on one line, as all comments here
        of.push_str(&format!("\n# {line}."));
    }
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
