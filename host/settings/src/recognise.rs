//! What a file is that was given in the place of another, by its look: for whoever has to say why it makes no sense there.

/// A kind of file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
        }
    }

    /// By its look; `None` if it looks like nothing that is known. Nothing of it need be well-formed.
    pub fn of(text: &str) -> Option<Self> {
        let names = || names(text);
        if text.contains("type.googleapis.com/envoy.") || names().any(|name| ENVOY.contains(&name))
        {
            return Some(Self::Envoy);
        }
        if text.contains("SOCIAL_AUTH_AZUREAD") {
            return Some(Self::SocialAuth);
        }
        if names().any(|name| name == "identities") {
            return Some(Self::Configuration);
        }
        // all of .NET's names are JSON's, in whatever case
        let is = |known: &str| names().any(|name| name.eq_ignore_ascii_case(known));
        if is_object(text) {
            let is_client = is("ClientId") && (is("TenantId") || is("Instance"));
            let is_dotnet = is_client || DOTNET.iter().any(|known| is(known));
            return is_dotnet.then_some(Self::AppSettings);
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

/// Whether it begins as an object of JSON, behind comments.
fn is_object(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n').map(|(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else {
            return rest.starts_with('{');
        };
        match after {
            Some(after) => rest = after.trim_start(),
            None => return false,
        }
    }
}

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
            ("import os\nDEBUG = True\n", Some(Kind::Python)),
            ("from pathlib import Path\n", Some(Kind::Python)),
            ("from: x\n", None),
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
}
