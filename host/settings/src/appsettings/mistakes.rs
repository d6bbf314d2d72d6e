//! What to say of settings that are not where they are looked for: those that stand somewhere else.

use edgepass_core::ConfigError;

use super::authority::Client;
use super::{APIS, Reader};
use crate::draft::unset;
use crate::layers::Setting;

/// What tells a client's section from others that have an ID of a client: of another provider of identities, say.
const OF_CLIENT: [&str; 6] = [
    "TenantId",
    "Instance",
    "Authority",
    "ClientSecret",
    "ClientCredentials",
    "ClientCertificates",
];

/// What is said of an authority that Microsoft.Identity.Web passes over, continuing a sentence.
pub(super) fn not_read_beside(authority: &Setting) -> String {
    format!(
        "; {} is not read where Instance or TenantId is set",
        authority.from
    )
}

impl Reader<'_> {
    /// Says which settings of those sections have a blank in front of their names, or behind them: .NET reads none of them
    /// either, and whoever wrote one believes that it counts.
    pub(super) fn note_blanks(&mut self, sections: &[&str]) {
        let is_meant = |path: &str| {
            let plain = path.split(':').map(str::trim).collect::<Vec<_>>().join(":");
            plain != path
                && sections.iter().any(|section| {
                    let start = plain.get(..section.len());
                    start.is_some_and(|start| start.eq_ignore_ascii_case(section))
                })
        };
        let blanks = self.settings.paths().filter(|(path, _)| is_meant(path));
        let notes = blanks.map(|(_, setting)| {
            format!(
                "{} is not used: its name has a blank at its beginning or end",
                setting.from
            )
        });
        self.draft.notes.extend(notes);
    }

    /// There is no such section.
    pub(super) fn no_section(&self, section: &str) -> ConfigError {
        let error = ConfigError::new(
            self.settings.name(),
            format!("has no section `{section}`, and no variable {section}__… is set"),
        );
        let clients = self.clients();
        if !clients.is_empty() {
            let clients: Vec<String> = clients.iter().map(|name| format!("`{name}`")).collect();
            return error.hint(format!("name its section: {}", clients.join(" or ")));
        }
        if let Some((path, setting)) = self.of_variable(section) {
            let name = path
                .rsplit(':')
                .find(|part| part.contains("__") || part.contains("--"));
            return error.hint(match name {
                Some(name) if name.contains("--") => format!(
                    "{} has the name of a secret in a Key Vault: in a file write `:` for `--`, or {{ \"{section}\": {{ … }} }}",
                    setting.from
                ),
                _ => format!(
                    "{} is a variable of the program's environment there, and no setting of this file: set it as one \
                     ({section}__…), or give the program's appsettings.json",
                    setting.from
                ),
            });
        }
        if let Some(id) = self.settings.get("ClientId") {
            return error.hint(format!(
                "{} is in no section: write \"{section}\": {{ … }} around the client's settings",
                id.from
            ));
        }
        if let [api, ..] = self.managed().as_slice() {
            return error.hint(format!(
                "for the token of a managed identity name the API that has it: --api {api}"
            ));
        }
        error.hint(format!(
            "give the file that has ClientId, with --section where its section has another name; what the program takes \
             from user secrets or a vault is set as variables, {section}__ClientId and so on"
        ))
    }

    /// The sections that a client is in, whatever is around them.
    fn clients(&self) -> Vec<String> {
        let of = |key: &str| {
            let suffix = format!(":{}", key.to_lowercase());
            let paths = self.settings.paths();
            let sections = paths.filter_map(|(path, _)| {
                let is = path.to_lowercase().ends_with(&suffix);
                is.then(|| path.get(..path.len() - suffix.len())).flatten()
            });
            sections.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut sections = of("ClientId");
        sections.extend(of("ClientCredentials:0:SourceType"));
        sections.sort();
        sections.dedup();
        // what stands in a list of variables is none of the file's own
        sections.retain(|section| {
            let mut parts = section.split(':');
            parts.all(|part| !is_list_of_variables(part))
        });
        let is_client = |section: &String| {
            let mut keys = OF_CLIENT.iter();
            keys.any(|key| self.settings.has(&format!("{section}:{key}")))
        };
        match sections.iter().any(is_client) {
            true => sections.into_iter().filter(is_client).collect(),
            false => sections,
        }
    }

    /// A setting of that section whose name is that of a variable or of a secret in a vault.
    fn of_variable(&self, section: &str) -> Option<(&str, &Setting)> {
        let section = section.to_lowercase();
        let begins = |part: &str| {
            let rest = part.to_lowercase();
            let rest = rest.strip_prefix(&section).map(str::to_owned);
            rest.is_some_and(|rest| rest.starts_with("__") || rest.starts_with("--"))
        };
        self.settings.paths().find(|(path, _)| {
            let parts: Vec<&str> = path.split(':').collect();
            let is_below = |pair: &[&str]| {
                matches!(pair, [list, own] if is_list_of_variables(list) && own.eq_ignore_ascii_case(&section))
            };
            parts.iter().any(|part| begins(part)) || parts.windows(2).any(is_below)
        })
    }

    /// The APIs that are called as a managed identity, as `--api` takes them.
    fn managed(&self) -> Vec<String> {
        const MANAGED: &str = ":acquiretokenoptions:managedidentity:";

        let paths = self.settings.paths();
        let apis = paths.filter_map(|(path, _)| {
            let at = path.to_lowercase().find(MANAGED)?;
            let api = path.get(..at)?;
            let (section, rest) = api.split_once(':').unwrap_or_default();
            let is_listed = section.eq_ignore_ascii_case(APIS);
            Some(if is_listed { rest } else { api }.to_owned())
        });
        apis.collect()
    }

    /// No tenant: an older name of it, or an authority that is passed over, may say why.
    pub(super) fn no_tenant(&self, section: &str, authority: Option<&Setting>) -> ConfigError {
        let path = format!("{section}:TenantId");
        let place = self.settings.missing(&path);
        let variable = path.replace(':', "__");
        if let Some(authority) = authority {
            let message = format!("is not set{}", not_read_beside(authority));
            return ConfigError::new(place, message).hint(format!(
                "set it, or {variable} in the environment, or unset Instance if Authority is meant"
            ));
        }
        if let Some(old) = self.settings.get(&format!("{section}:Tenant")) {
            return unset(place, format!("name it TenantId: {} is not read", old.from));
        }
        unset(place, format!("set it, or {variable} in the environment"))
    }

    /// Nothing proves who the client is.
    pub(super) fn no_credential(&self, section: &str, client: &Client) -> ConfigError {
        let list = format!("{section}:ClientCredentials");
        let secret = format!("{section}:ClientSecret");
        let variable = secret.replace(':', "__");
        let place = self.settings.missing(&list);
        if let Some(blank) = self.settings.blank(&secret) {
            let hint = format!(
                "set the secret, or {variable} in the environment: what .NET takes from user secrets or a vault comes as \
                 that variable"
            );
            let message = "is empty, and ClientCredentials is not set";
            return ConfigError::new(&blank.from, message).hint(hint);
        }
        let by_variable = format!("a secret of the program's user secrets comes as {variable}");
        unset(
            place,
            match client.is_entra {
                true => format!(
                    "write one: {{ \"SourceType\": \"SignedAssertionFilePath\" }} in a pod with workload identity; {by_variable}"
                ),
                false => format!(
                    "write one, {{ \"SourceType\": \"Path\", \"CertificateDiskPath\": \"app.pfx\" }} for a certificate; {by_variable}"
                ),
            },
        )
    }
}

/// Whether that is what a list of variables is called: of a function's local.settings.json, and of a profile in
/// launchSettings.json.
fn is_list_of_variables(name: &str) -> bool {
    name.eq_ignore_ascii_case("Values") || name.eq_ignore_ascii_case("environmentVariables")
}
