//! What a text is that was given in the place of another, by its look: for whoever has to say why it makes no sense there.
//! It is asked once a text has been refused; nothing here refuses one.

mod foreign;

use edgepass_core::recognise::is_object;
use edgepass_core::without_byte_order_mark;

pub use self::foreign::Foreign;

/// A kind of file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// A configuration of edgepass.
    Configuration,
    /// The settings of a .NET program, appsettings.json.
    AppSettings,
    /// Settings of python-social-auth.
    SocialAuth,
    /// A module in Python that has none of these.
    Python,
    /// A configuration of Envoy.
    Envoy,
    /// A manifest of Kubernetes, whatever is in it.
    Kubernetes,
    /// What the Azure CLI prints or keeps: a service principal, an account, a managed identity.
    AzureCli,
    /// Variables of an environment, a line each.
    Variables,
    /// Certificates or keys, PEM.
    Pem,
    /// A token, a JWT.
    Token,
    /// JSON in base64, as a Secret of Kubernetes has it.
    Base64,
    /// A file of another program.
    Foreign(&'static Foreign),
}

/// Who was to read the text: what helps depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    /// The command, which has an option for each kind of settings.
    Command,
    /// Who takes a configuration of edgepass from a file, and nothing else: a program.
    Program,
}

/// What a text is, and not what it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistaken {
    /// What it looks like, for an error that begins with what the text is called.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl Mistaken {
    /// What is to be said of a text that has been refused as `expected`, if it looks like something else.
    pub fn of(text: &str, expected: Kind, reader: Reader) -> Option<Self> {
        let found = Kind::of(text).filter(|found| *found != expected)?;
        // a module may import the settings, or be written in a way that is not read
        if (found, expected) == (Kind::Python, Kind::SocialAuth) {
            return None;
        }
        Some(Self {
            message: format!(
                "looks like {}, and not like {}",
                found.name(),
                expected.name()
            ),
            hint: of_manifest(found, text).unwrap_or_else(|| found.remedy(reader)),
        })
    }
}

/// What to do with a manifest that has no document in it.
fn of_manifest(found: Kind, text: &str) -> Option<&'static str> {
    if found != Kind::Kubernetes {
        None
    } else if text.contains("azure.workload.identity/use") {
        Some(
            "a pod with workload identity needs no configuration: run edgepass in it, and give none",
        )
    } else if text.contains("AzureAd__") {
        Some(
            "what is in it are variables: have the pod take them (envFrom), and give --appsettings a file with `{}`",
        )
    } else {
        None
    }
}

/// Whether each line is that of a file of variables (`NAME=value`), as containers and shells take one. A module in Python may be
/// written so as well.
pub(crate) fn is_of_variables(text: &str) -> bool {
    let lines = without_byte_order_mark(text).lines().map(str::trim);
    let mut lines = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    lines.peek().is_some() && lines.all(|line| variable(line).is_some())
}

/// Name and value of such a line.
fn variable(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = !name.is_empty() && name.chars().all(is_part);
    (is_name && !value.starts_with([' ', '='])).then_some((name, value))
}

/// Whether such a file has settings of python-social-auth, with values that no module has.
fn has_variables_of_social_auth(text: &str) -> bool {
    let is_bare = |line: &str| {
        variable(line.trim()).is_some_and(|(name, value)| {
            name.starts_with("SOCIAL_AUTH_AZUREAD")
                && !value.contains(['"', '\'', '(', '['])
                && !value.is_empty()
        })
    };
    is_of_variables(text) && text.lines().any(is_bare)
}

impl Kind {
    /// What it is called, with its article.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "a configuration of edgepass",
            Self::AppSettings => "the settings of a .NET program (appsettings.json)",
            Self::SocialAuth => "settings of python-social-auth",
            Self::Python => "a module in Python",
            Self::Envoy => "a configuration of Envoy",
            Self::Kubernetes => "a manifest of Kubernetes",
            Self::AzureCli => "what the Azure CLI prints or keeps",
            Self::Variables => "variables of an environment",
            Self::Pem => "a PEM file (certificates, or a key)",
            Self::Token => "a token",
            Self::Base64 => "base64 of a document",
            Self::Foreign(file) => file.name,
        }
    }

    /// What to do with it.
    fn remedy(self, reader: Reader) -> &'static str {
        let has_options = reader == Reader::Command;
        match self {
            Self::Configuration => "give it with --config",
            Self::AppSettings if has_options => "give it with --appsettings",
            Self::AppSettings => {
                "`edgepass config convert --appsettings FILE` makes a configuration of it"
            }
            Self::SocialAuth if has_options => "give it with --social-auth",
            Self::Python if has_options => {
                "give the file that has the settings (SOCIAL_AUTH_AZUREAD_…) with --social-auth"
            }
            Self::SocialAuth | Self::Python => {
                "`edgepass config convert --social-auth FILE` makes a configuration of the file that has the settings (SOCIAL_AUTH_AZUREAD_…)"
            }
            Self::Envoy => {
                "give edgepass a configuration of its own; `edgepass envoy-config` makes of it what Envoy needs"
            }
            Self::Kubernetes => {
                "give the document that stands in it: of a ConfigMap what is under `data`, by itself"
            }
            Self::AzureCli => {
                "write its tenant and client ID into a configuration: `edgepass config init` makes one to begin with"
            }
            Self::Variables => {
                "set them in the environment, and give no configuration: they say by themselves who asks"
            }
            Self::Pem => {
                "name the file in a configuration, by certificate_file of one of its `certificates`"
            }
            Self::Token => {
                "name the file in a configuration, by `path` of the credential federated_token_file"
            }
            Self::Base64 => "decode it first: base64 -d",
            Self::Foreign(file) => file.remedy,
        }
    }

    /// By its look; `None` if it looks like nothing that is known. Nothing of it need be well-formed.
    pub fn of(text: &str) -> Option<Self> {
        let names = || names(text);
        let is_object = is_object(text);
        if !is_object {
            if text.lines().any(|line| line.starts_with("-----BEGIN ")) {
                return Some(Self::Pem);
            }
            if let Some(encoded) = encoded(text) {
                return Some(encoded);
            }
        }
        if text.contains("type.googleapis.com/envoy.") || names().any(|name| ENVOY.contains(&name))
        {
            return Some(Self::Envoy);
        }
        let has = |known: &str| names().any(|name| name == known);
        if has("apiVersion") && has("kind") {
            return Some(Self::Kubernetes);
        }
        // one that was made of the settings of python-social-auth names their variables
        if has("identities") {
            return Some(Self::Configuration);
        }
        if has_variables_of_social_auth(text) {
            return Some(Self::Variables);
        }
        if text.contains("SOCIAL_AUTH_AZUREAD") {
            return Some(Self::SocialAuth);
        }
        if is_object {
            if AZURE_CLI.iter().any(|known| has(known)) {
                return Some(Self::AzureCli);
            }
            // all of .NET's names are JSON's, in whatever case
            let is = |known: &str| names().any(|name| name.eq_ignore_ascii_case(known));
            let is_client = is("ClientId") && (is("TenantId") || is("Instance"));
            let is_dotnet = is_client || DOTNET.iter().any(|known| is(known));
            return match is_dotnet {
                true => Some(Self::AppSettings),
                false => Foreign::of(text, has).map(Self::Foreign),
            };
        }
        if let Some(file) = Foreign::of(text, has) {
            return Some(Self::Foreign(file));
        }
        let is_variable = |line: &str| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line);
            line.starts_with("AZURE_") && line.contains('=')
        };
        if text.lines().any(is_variable) {
            return Some(Self::Variables);
        }
        let mut lines = text.lines();
        let is_python = lines.any(|line| {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("import") => words.next().is_some(),
                Some("from") => words.nth(1) == Some("import"),
                _ => false,
            }
        });
        is_python.then_some(Self::Python)
    }
}

/// A token or base64 of an object, alone in its text.
fn encoded(text: &str) -> Option<Kind> {
    /// `{"`, `{` before a line end or a blank, `{}`.
    const OBJECTS: [&str; 4] = ["eyJ", "ewo", "eyA", "e30"];

    let text = text.trim();
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"+/=-_.\r\n".contains(&b);
    if !OBJECTS.iter().any(|start| text.starts_with(start)) || !text.bytes().all(is_part) {
        return None;
    }
    Some(match text.contains('.') {
        true => Kind::Token,
        false => Kind::Base64,
    })
}

/// Fields of objects that the Azure CLI prints or keeps, and no configuration and no settings have.
const AZURE_CLI: &[&str] = &[
    "appId",
    "subscriptionId",
    "subscriptions",
    "principalId",
    "homeTenantId",
];

/// Fields of Envoy's bootstrap, and of what stands below it.
const ENVOY: &[&str] = &[
    "static_resources",
    "dynamic_resources",
    "filter_chains",
    "typed_config",
    "load_assignment",
];

/// Sections and lists that the settings of .NET programs with Microsoft.Identity.Web have.
const DOTNET: &[&str] = &[
    "AzureAd",
    "AzureAdB2C",
    "ClientCredentials",
    "ClientCertificates",
    "DownstreamApi",
    "DownstreamApis",
];

/// Names of fields: what stands before a colon or an equals sign, in quotes or not, or is the head of a table.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let of_colon = text.match_indices([':', '=']).filter_map(|(at, _)| {
        let before = text.get(..at)?.trim_end();
        let before = before.trim_end_matches(['"', '\'']);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let begin = before
            .rfind(|c| !is_part(c))
            .map_or(0, |at| at.saturating_add(1));
        // the character before may be longer than one byte, and is no name then
        before.get(begin..).filter(|name| !name.is_empty())
    });
    let tables = text.lines().filter_map(|line| {
        let inside = line.trim().strip_prefix('[')?.split(['.', ']']).next()?;
        Some(inside.trim_matches(['[', '"', ' ']))
    });
    of_colon.chain(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_look() {
        for (text, expected) in [
            ("{\"identities\": {\"app\": {}}}", Some(Kind::Configuration)),
            (
                "# mine\nidentities:\n  app:\n    tenant_id: t\n",
                Some(Kind::Configuration),
            ),
            (
                "[identities.app]\ntenant_id = \"t\"\n",
                Some(Kind::Configuration),
            ),
            ("identities.app.tenant_id = \"t\"\n", None),
            (
                "// of the program\n{ \"AzureAd\": { \"TenantId\": \"t\" } }",
                Some(Kind::AppSettings),
            ),
            (
                "\u{feff}/* a\n b */ {\n \"Logging\": {}, \"Entra\": { \"clientId\": \"c\", \"instance\": \"https://x\" } }",
                Some(Kind::AppSettings),
            ),
            ("{ \"Logging\": {} }", None),
            (
                "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY = 'k'\n",
                Some(Kind::SocialAuth),
            ),
            (
                "{\"SOCIAL_AUTH_AZUREAD_OAUTH2_KEY\": \"k\"}",
                Some(Kind::SocialAuth),
            ),
            (
                "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY: k\n",
                Some(Kind::SocialAuth),
            ),
            (
                "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY='k'\n",
                Some(Kind::SocialAuth),
            ),
            (
                "# of the container\nSSO=true\nexport SOCIAL_AUTH_AZUREAD_OAUTH2_KEY=k\n",
                Some(Kind::Variables),
            ),
            (
                "{\"identities\": {\"app\": {\"credential\": {\"client_secret\": {\"env\": \"SOCIAL_AUTH_AZUREAD_OAUTH2_SECRET\"}}}}}",
                Some(Kind::Configuration),
            ),
            ("import os\nDEBUG = True\n", Some(Kind::Python)),
            ("from pathlib import Path\n", Some(Kind::Python)),
            ("from: x\n", None),
            (
                "AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\n",
                Some(Kind::Variables),
            ),
            (
                "# of the job\nexport AZURE_TENANT_ID=t\n",
                Some(Kind::Variables),
            ),
            (
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  edgepass.json: |\n    {\"identities\": {}}\n",
                Some(Kind::Kubernetes),
            ),
            (
                "{\"apiVersion\": \"v1\", \"kind\": \"Secret\"}",
                Some(Kind::Kubernetes),
            ),
            (
                "{\"appId\": \"a\", \"displayName\": \"d\", \"password\": \"p\", \"tenant\": \"t\"}",
                Some(Kind::AzureCli),
            ),
            (
                "{\"clientId\": \"c\", \"clientSecret\": \"s\", \"subscriptionId\": \"s\", \"tenantId\": \"t\"}",
                Some(Kind::AzureCli),
            ),
            (
                "{\"clientId\": \"c\", \"principalId\": \"p\", \"tenantId\": \"t\"}",
                Some(Kind::AzureCli),
            ),
            (
                "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
                Some(Kind::Pem),
            ),
            (
                "Bag Attributes\n    friendlyName: x\n-----BEGIN PRIVATE KEY-----\nMII\n",
                Some(Kind::Pem),
            ),
            (
                "{\"identities\": {}, \"x\": \"-----BEGIN CERTIFICATE-----\"}",
                Some(Kind::Configuration),
            ),
            ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln\n", Some(Kind::Token)),
            ("ewogICJpZGVudGl0aWVzIjoge30KfQ==\n", Some(Kind::Base64)),
            ("eyJpZGVudGl0aWVzIjp7fX0=", Some(Kind::Base64)),
            ("static_resources:\n  listeners: []\n", Some(Kind::Envoy)),
            ("{\"static_resources\": {}}", Some(Kind::Envoy)),
            (
                "name: x\ntyped_config:\n  \"@type\": type.googleapis.com/envoy.extensions.x\n",
                Some(Kind::Envoy),
            ),
            ("", None),
            ("// no end", None),
            ("größe: 1", None),
            ("hello", None),
        ] {
            assert_eq!(Kind::of(text), expected, "{text}");
        }
    }

    /// Each kind, and what each reader is told to do with it.
    #[test]
    fn what_a_text_is_comes_with_what_to_do() {
        let json = "{\"identities\": {\"app\": {}}}";
        for (text, command, program) in [
            (json, None, None),
            ("{}", None, None),
            ("", None, None),
            ("/etc/edgepass.json", None, None),
            (
                "{\"AzureAd\": {}}",
                Some("with --appsettings"),
                Some("config convert --appsettings"),
            ),
            (
                "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY = 'k'",
                Some("with --social-auth"),
                Some("config convert --social-auth"),
            ),
            (
                "import os",
                Some("with --social-auth"),
                Some("config convert --social-auth"),
            ),
            (
                "static_resources: {}",
                Some("envoy-config"),
                Some("envoy-config"),
            ),
            (
                "kind: ConfigMap\napiVersion: v1",
                Some("under `data`"),
                Some("under `data`"),
            ),
            (
                "kind: Pod\napiVersion: v1\nmetadata:\n  labels: { azure.workload.identity/use: \"true\" }",
                Some("needs no configuration"),
                Some("needs no configuration"),
            ),
            (
                "kind: ConfigMap\napiVersion: v1\ndata:\n  AzureAd__ClientId: c",
                Some("envFrom"),
                Some("envFrom"),
            ),
            (
                "{\"appId\": \"a\"}",
                Some("config init"),
                Some("config init"),
            ),
            (
                "AZURE_CLIENT_ID=c",
                Some("environment"),
                Some("environment"),
            ),
            (
                "-----BEGIN PRIVATE KEY-----",
                Some("certificate_file"),
                Some("certificate_file"),
            ),
            (
                "eyJ.e30.c2ln",
                Some("federated_token_file"),
                Some("federated_token_file"),
            ),
            ("ewoKfQ==", Some("base64 -d"), Some("base64 -d")),
        ] {
            for (reader, expected) in [(Reader::Command, command), (Reader::Program, program)] {
                let said = Mistaken::of(text, Kind::Configuration, reader);
                assert_eq!(
                    said.is_some(),
                    expected.is_some(),
                    "{reader:?}: {text}: {said:?}"
                );
                if let (Some(said), Some(expected)) = (said, expected) {
                    assert!(said.hint.contains(expected), "{reader:?}: {text}: {said:?}");
                    // what it holds may be secret
                    assert!(!said.message.contains(text), "{said:?}");
                }
            }
        }
        // what is a configuration, in the place of settings; and a module that imports them
        let said = Mistaken::of(json, Kind::AppSettings, Reader::Command);
        assert!(said.is_some_and(|said| said.hint.contains("--config")));
        let said = Mistaken::of("import os", Kind::SocialAuth, Reader::Command);
        assert_eq!(said, None);
    }
}
