//! What the engine and the host say of a configuration that was made of other settings, in the names of those: whoever wrote
//! `CertificateDiskPath` has no `certificate_file` to look at.

use edgepass_core::{Error, ErrorClass};

use crate::place::innermost;

/// Whose settings they are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Those of a .NET program.
    #[default]
    AppSettings,
    /// Those of python-social-auth.
    SocialAuth,
}

/// What is said where a document is written, and what is said here; the longer before what it begins with.
type Phrases = &'static [(&'static str, &'static str)];

const OF_APPSETTINGS: Phrases = &[
    (
        "AZURE_FEDERATED_TOKEN_FILE, or federated_token_file.path in the configuration",
        "federated_token_file.path, or AZURE_FEDERATED_TOKEN_FILE in the environment",
    ),
    (
        "name the file with the private key (private_key_file); perhaps two files are the wrong way round",
        "put the private key into the same file",
    ),
    (
        "put its text into certificate_base64",
        "put its text into Base64EncodedValue, with the SourceType Base64Encoded",
    ),
    ("password_file or password_env", "password_env"),
    (
        ", or set the identity's scopes",
        ", or name an API that has Scopes",
    ),
    ("; set `algorithm` accordingly", ""),
    (
        "; or, if tokens for a vault may go to that host, set `audience` beside it to what they are for (https://vault.azure.net)",
        "",
    ),
    ("; what follows is `certificate` and `version`", ""),
    (
        "write a configuration whose certificate has use_bound_credential",
        "set UseBoundCredential on its certificate",
    ),
];

/// What of it names an API, which those that there are stand behind.
const OF_APIS: &str = "name an API that has Scopes";

const OF_SOCIAL_AUTH: Phrases = &[
    (
        "AZURE_FEDERATED_TOKEN_FILE, or federated_token_file.path in the configuration",
        "federated_token_file.path, or AZURE_FEDERATED_TOKEN_FILE in the environment",
    ),
    (", or set the identity's scopes", ", or set RESOURCE"),
];

/// What is said around the name of an identity that may not ask for tokens of another tenant: to add that to its list, which
/// these settings do not have.
const OF_TENANTS: [&str; 2] = [
    "add it to identities.",
    ".additionally_allowed_tenants, or \"*\" for any tenant",
];

const OTHER_TENANTS: &str =
    "write a configuration with additionally_allowed_tenants (edgepass config convert)";

/// The one tenant besides that can be named, of which there is nothing in python-social-auth's settings.
const TENANT_OF_API: &str =
    "name the tenant of an API by DownstreamApis:NAME:AcquireTokenOptions:Tenant, or ";

/// Settings of the document, and those that have their values. None is a word of the language (`region`): who says that of a
/// setting has its whole path.
const WORDS_OF_APPSETTINGS: Phrases = &[
    ("authority_host", "Instance"),
    ("certificate_base64", "Base64EncodedValue"),
    ("certificate_file", "CertificateDiskPath"),
    ("client_id", "ClientId"),
    ("client_secret", "ClientSecret"),
    ("federated_token_file.path", "SignedAssertionFileDiskPath"),
    ("key_vault.certificate", "KeyVaultCertificateName"),
    ("key_vault.url", "KeyVaultUrl"),
    ("password_env", "CertificatePassword"),
    ("send_x5c", "SendX5C"),
    ("tenant_id", "TenantId"),
    ("use_bound_credential", "UseBoundCredential"),
];

const WORDS_OF_SOCIAL_AUTH: Phrases = &[
    ("authority_host", "AUTHORITY_HOST"),
    ("client_id", "KEY"),
    ("client_secret", "SECRET"),
    ("federated_token_file.path", "FEDERATED_TOKEN_FILE"),
    ("tenant_id", "TENANT_ID"),
    ("client_assertion", "CLIENT_ASSERTION"),
];

/// Fields of a certificate, each of which says where it is.
const PLACES_OF_CERTIFICATES: [&str; 3] =
    ["certificate_file", "certificate_base64", "key_vault.url"];

/// What the names of settings are made of.
fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.[]/-".contains(c)
}

/// Where each part of a document comes from.
#[derive(Clone, Debug, Default)]
pub struct Names {
    kind: Kind,
    /// For places in the document, and for variables that it names.
    places: Vec<(String, String)>,
    /// APIs of a .NET program of which one can be named.
    apis: Vec<String>,
}

impl Names {
    pub(crate) fn new(kind: Kind, places: Vec<(String, String)>) -> Self {
        let apis = Vec::new();
        Self { kind, places, apis }
    }

    /// The same with the APIs whose scopes could be asked for.
    #[must_use]
    pub(crate) fn with_apis(self, apis: Vec<String>) -> Self {
        Self { apis, ..self }
    }

    /// Where a place in the document comes from, or the one around it.
    pub(crate) fn place(&self, setting: &str) -> Option<&str> {
        innermost(&self.places, setting)
    }

    /// That text with the names of these settings, of that identity if it is of one.
    #[must_use]
    pub fn say(&self, text: &str, identity: Option<&str>) -> String {
        let phrases = match self.kind {
            Kind::AppSettings => OF_APPSETTINGS,
            Kind::SocialAuth => OF_SOCIAL_AUTH,
        };
        let mut text = text.to_owned();
        for (before, after) in phrases {
            text = text.replace(before, after);
        }
        if let Some((before, rest)) = text.split_once(OF_TENANTS[0])
            && let Some((_, after)) = rest.split_once(OF_TENANTS[1])
        {
            let of_api = match self.kind {
                Kind::AppSettings => TENANT_OF_API,
                Kind::SocialAuth => "",
            };
            text = format!("{before}{of_api}{OTHER_TENANTS}{after}");
        }
        if !self.apis.is_empty() {
            let apis = format!("{OF_APIS}: {}", self.apis.join(" or "));
            text = text.replace(OF_APIS, &apis);
        }
        for name in self.certificates() {
            let Some(place) = self.of_certificate(name) else {
                continue;
            };
            let said = format!("the certificate of {place}");
            text = text.replace(&format!("certificate `{name}`"), &said);
            for after in [' ', ':'] {
                let before = format!("certificate {name}{after}");
                text = text.replace(&before, &format!("{said}{after}"));
            }
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (between, from) = split(rest, is_of_a_name);
            let (name, after) = split(from, |c| !is_of_a_name(c));
            // the end of a sentence is none of the name
            let path = name.trim_end_matches('.');
            let end = name.strip_prefix(path).unwrap_or_default();
            let named = self.named(path, identity);
            out.extend([between, named.as_deref().unwrap_or(path), end]);
            rest = after;
        }
        out
    }

    /// The same of an error: a server's words are left as they are, and an error of a credential names the setting that it
    /// comes from.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        let is_own = error.detail().http_status.is_none();
        let is_of_a_credential = error.class() == ErrorClass::CredentialUnavailable;
        error.edit(|detail| {
            let identity = detail.identity.clone();
            let identity = identity.as_deref();
            let hint = detail.hint.as_deref();
            detail.hint = hint.map(|hint| self.say(hint, identity));
            if is_own {
                detail.message = self.say(&detail.message, identity);
            }
            for attempt in &mut detail.attempts {
                attempt.message = self.say(&attempt.message, identity);
            }
            let credential = detail.credential.as_ref();
            let place = credential.and_then(|credential| match &credential.name {
                Some(name) if credential.kind.ends_with("certificate") => self.of_certificate(name),
                _ => self.of_credential(identity?, &credential.kind),
            });
            if let Some(place) = place
                .filter(|place| is_of_a_credential && is_own && !detail.message.contains(*place))
            {
                detail.message = format!("{place}: {}", detail.message);
            }
        })
    }

    fn certificates(&self) -> impl Iterator<Item = &str> {
        let places = self.places.iter();
        let names = places.filter_map(|(place, _)| place.strip_prefix("certificates."));
        // each has a place of its own beside those of its fields; a name may have dots
        names.filter_map(move |name| {
            let mut fields = PLACES_OF_CERTIFICATES.iter();
            fields.find_map(|field| name.strip_suffix(field)?.strip_suffix('.'))
        })
    }

    /// The setting that says where a certificate is.
    fn of_certificate(&self, name: &str) -> Option<&str> {
        let of_fields = PLACES_OF_CERTIFICATES.map(|field| format!("certificates.{name}.{field}"));
        let mut paths = of_fields
            .into_iter()
            .chain([format!("certificates.{name}")]);
        paths.find_map(|path| {
            let mut places = self.places.iter();
            let found = places.find(|(known, _)| *known == path);
            found.map(|(_, from)| from.as_str())
        })
    }

    /// The setting that a credential of that kind comes from.
    fn of_credential(&self, identity: &str, kind: &str) -> Option<&str> {
        let at = format!("identities.{identity}.credential");
        let inside = format!(".{kind}.");
        let mut of_kind = self.places.iter().filter(|(known, _)| {
            known
                .strip_prefix(&at)
                .is_some_and(|rest| rest.contains(&inside))
        });
        let found = of_kind.next().map(|(_, from)| from.as_str());
        found.or_else(|| self.place(&at))
    }

    /// What a setting of the document is called, if it is one.
    fn named(&self, path: &str, identity: Option<&str>) -> Option<String> {
        if path.starts_with("identities.") || path.starts_with("certificates.") {
            return self.place(path).map(str::to_owned);
        }
        let words = match self.kind {
            Kind::AppSettings => WORDS_OF_APPSETTINGS,
            Kind::SocialAuth => WORDS_OF_SOCIAL_AUTH,
        };
        let (_, word) = words.iter().find(|(word, _)| *word == path)?;
        // where it stands, if it does
        let mut known = self.places.iter().filter(|(place, _)| {
            let before = place.strip_suffix(path);
            let is_of = |identity: &str| {
                let rest = place.strip_prefix("identities.");
                let rest = rest.and_then(|rest| rest.strip_prefix(identity));
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            before.is_some_and(|before| before.ends_with('.'))
                && (place.starts_with("certificates.") || identity.is_some_and(is_of))
        });
        if let (Some((_, from)), None) = (known.next(), known.next()) {
            return Some(from.clone());
        }
        Some(match self.kind {
            Kind::AppSettings => (*word).to_owned(),
            Kind::SocialAuth => {
                let backend = identity.map_or_else(
                    || "…".to_owned(),
                    |backend| backend.to_uppercase().replace('-', "_"),
                );
                format!("SOCIAL_AUTH_{backend}_{word}")
            }
        })
    }

    /// The identity that a setting of the document is of.
    pub(crate) fn identity<'s>(&self, setting: &'s str) -> Option<&'s str> {
        let rest = setting.strip_prefix("identities.")?;
        let places = self.places.iter();
        let names = places.filter_map(|(place, _)| place.strip_prefix("identities."));
        let name = names
            .filter(|name| {
                let after = rest.strip_prefix(name);
                after.is_some_and(|after| after.is_empty() || after.starts_with('.'))
            })
            .min_by_key(|name| name.len())?;
        rest.get(..name.len())
    }
}

/// What comes before the first of these characters, and the rest.
fn split(text: &str, is: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use edgepass_core::{Error, ErrorClass};

    use super::{
        Kind, Names, OF_APPSETTINGS, OF_SOCIAL_AUTH, OF_TENANTS, WORDS_OF_APPSETTINGS,
        WORDS_OF_SOCIAL_AUTH,
    };

    /// Rust sources below a folder of the tree. What a text has on a line of its own is joined.
    fn sources(folder: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(folder);
        let mut folders = vec![root];
        let mut text = String::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    text += &fs::read_to_string(&path).unwrap();
                }
            }
        }
        let lines = text.split("\\\n").enumerate();
        lines
            .map(|(index, line)| if index == 0 { line } else { line.trim_start() })
            .collect()
    }

    /// One that was written anew would be left as it is, and speak of settings that nobody has written.
    #[test]
    fn each_phrase_is_one_that_is_said() {
        let said = ["guest/core/src", "host/src"].map(sources);
        let phrases = OF_APPSETTINGS.iter().chain(OF_SOCIAL_AUTH);
        let phrases = phrases.map(|(phrase, _)| *phrase);
        let tenants = OF_TENANTS.join("{identity}");
        for phrase in phrases.chain([tenants.as_str()]) {
            let written = phrase.replace('"', "\\\"");
            assert!(
                said.iter().any(|said| said.contains(&written)),
                "nobody says {phrase:?}"
            );
        }
    }

    #[test]
    fn no_word_of_the_language_is_taken_for_a_setting() {
        for (word, _) in WORDS_OF_APPSETTINGS.iter().chain(WORDS_OF_SOCIAL_AUTH) {
            assert!(word.contains(['_', '.']), "{word}");
        }
        let at = "identities.AzureAd.region";
        let places = vec![(at.to_owned(), "AzureAd:AzureRegion (f.json)".to_owned())];
        let names = Names::new(Kind::AppSettings, places);
        for (text, expected) in [
            (
                "write the region's name as westus2",
                "write the region's name as westus2",
            ),
            (at, "AzureAd:AzureRegion (f.json)"),
        ] {
            assert_eq!(names.say(text, Some("AzureAd")), expected);
        }
    }

    #[test]
    fn a_list_of_tenants_is_none_of_these_settings() {
        const WRITE: &str =
            "write a configuration with additionally_allowed_tenants (edgepass config convert)";
        let of_api =
            "name the tenant of an API by DownstreamApis:NAME:AcquireTokenOptions:Tenant, or ";
        for (kind, identity, from, expected) in [
            (
                Kind::AppSettings,
                "AzureAd",
                "AzureAd (f.json)",
                format!("{of_api}{WRITE}"),
            ),
            (
                Kind::SocialAuth,
                "azuread-oauth2",
                "SOCIAL_AUTH_AZUREAD_OAUTH2_…",
                WRITE.to_owned(),
            ),
        ] {
            let at = format!("identities.{identity}");
            let places = [at.clone(), format!("{at}.tenant_id")];
            let places = places.map(|place| (place, from.to_owned()));
            let names = Names::new(kind, places.to_vec());
            let hint = OF_TENANTS.join(identity);
            let error = Error::new(ErrorClass::InvalidRequest, "no").hint(hint);
            let explained = names.explain(error);
            assert_eq!(explained.detail().hint, Some(expected), "{identity}");
        }
    }
}
