//! The `envoy` section, checked against the rest of the configuration. What can be known to be wrong before the first
//! request is refused here, so that `envoy --mode validate` finds it.

use edgepass_core::config::envoy::{EnvoyFilesFile, EnvoyMatchFile, EnvoyRuleFile, EnvoySharing};
use edgepass_core::config::file::{BoundMode, CertificateFiles};
use edgepass_core::config::{ConfigError, Credential, IdentityConfig, check_scopes};
use edgepass_core::{Algorithm, Config, Table, TokenRequest};

use crate::inbound::{AUTHORIZATION, Inbound};

/// How long a request waits for the first token unless the configuration says otherwise, milliseconds: an exchange
/// with one repetition fits in, and callers' own timeouts are rarely shorter.
pub const DEFAULT_DEADLINE_MS: u64 = 5_000;

/// The longest such wait that may be configured, milliseconds. Envoy itself ends a stream that has stood still for
/// five minutes, and every request that waits holds memory.
pub const MAX_DEADLINE_MS: u64 = 60_000;

/// Rules. Each request tries them in order, so a list longer than this is a mistake rather than a policy.
pub const MAX_RULES: usize = 256;

/// A header name or a text around the token, characters.
const MAX_TEXT_CHARS: usize = 256;

/// The place of the token in `format`.
const TOKEN: &str = "{token}";

/// Headers that decide where a request goes or how long it is; a token in one of them would break it.
const RESERVED_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The `envoy` section, checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Cluster by host of the token endpoint.
    pub token_clusters: Table<String, String>,
    /// Where token files are read.
    pub files: Option<EnvoyFilesFile>,
    /// The files of the certificates that sign assertions, by the name that credentials use.
    pub signers: Table<String, CertificateFiles>,
    /// How long a request waits for a token.
    pub deadline_ms: u64,
    /// Whether it then goes on without one.
    pub fail_open: bool,
    /// The caller's own `authorization` header.
    pub inbound: Inbound,
    /// Who gets the tokens.
    pub sharing: EnvoySharing,
    /// Whether a 401 makes the token be replaced.
    pub refresh_on_401: bool,
    /// The rules; never empty.
    pub rules: Vec<RuleSettings>,
    /// The tokens that the rules need, each once.
    pub tokens: Vec<TokenRequest>,
}

/// One rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuleSettings {
    /// The requests it is for.
    pub matching: EnvoyMatchFile,
    /// Index into [`Settings::tokens`]; `None` leaves the requests as they are.
    pub token: Option<usize>,
    /// The header that carries the token, lower case.
    pub header: String,
    /// What stands before the token.
    pub before: String,
    /// What stands after it.
    pub after: String,
}

impl Settings {
    /// Checks the section of a configuration.
    pub fn check(config: &Config) -> Result<Self, ConfigError> {
        let Some(file) = &config.envoy else {
            return Err(refusal(
                "envoy",
                "there is no such section",
                "name at least the clusters of the token endpoints: \"envoy\": {\"token_clusters\": {…}}",
            ));
        };
        if let Some(setting) = config.secrets_in_document.first() {
            return Err(refusal(
                setting,
                "stands in the plugin's configuration, which Envoy shows in /config_dump",
                "put the secret into a file and name that with `file`",
            ));
        }
        let files = file.files.as_ref().map(check_files).transpose()?;
        for (host, cluster) in &file.token_clusters {
            let setting = format!("envoy.token_clusters.{host}");
            check_cluster(&setting, cluster)?;
        }
        let deadline_ms = file.request_deadline_ms.unwrap_or(DEFAULT_DEADLINE_MS);
        if deadline_ms == 0 || deadline_ms > MAX_DEADLINE_MS {
            return Err(refusal(
                "envoy.request_deadline_ms",
                "is not between 1 and 60000",
                "write milliseconds, 5000 for example",
            ));
        }
        let mut settings = Self {
            token_clusters: file.token_clusters.clone(),
            files,
            signers: Table::new(),
            deadline_ms,
            fail_open: file.fail_open,
            inbound: Inbound::check(file.inbound_authorization.as_deref())?,
            sharing: file.sharing,
            refresh_on_401: file.refresh_on_401,
            rules: Vec::new(),
            tokens: Vec::new(),
        };
        settings.add_rules(config, &file.rules)?;
        Ok(settings)
    }

    fn add_rules(&mut self, config: &Config, rules: &[EnvoyRuleFile]) -> Result<(), ConfigError> {
        if rules.len() > MAX_RULES {
            return Err(refusal(
                "envoy.rules",
                format!("has more than {MAX_RULES} rules"),
                "write them into several filters",
            ));
        }
        let everything = [EnvoyRuleFile::default()];
        let rules = if rules.is_empty() { &everything } else { rules };
        for (index, rule) in rules.iter().enumerate() {
            let place = format!("envoy.rules[{index}]");
            check_match(&place, &rule.matching)?;
            let (before, after) = format_of(&place, rule.format.as_deref())?;
            let token = if rule.disabled {
                None
            } else {
                let request = request_of(&place, rule, config)?;
                self.check_identity(&place, &request, config)?;
                let known = self.tokens.iter().position(|known| *known == request);
                Some(known.unwrap_or_else(|| {
                    self.tokens.push(request);
                    self.tokens.len() - 1
                }))
            };
            self.rules.push(RuleSettings {
                matching: rule.matching.clone(),
                token,
                header: check_header(&format!("{place}.header"), rule.header.as_deref())?,
                before,
                after,
            });
        }
        Ok(())
    }

    /// Whether this driver can do what the identity needs.
    fn check_identity(
        &mut self,
        place: &str,
        request: &TokenRequest,
        config: &Config,
    ) -> Result<(), ConfigError> {
        let Some(identity) = identity_of(request, config) else {
            return Ok(());
        };
        let at = |field: &str| format!("identities.{}.{field}", identity.name);
        let signing = match &identity.credential {
            Credential::Certificate(certificate) => Some((certificate, "certificate")),
            Credential::BoundCertificate {
                mode: BoundMode::WithAssertion,
                certificate,
            } => Some((certificate, "bound_certificate")),
            Credential::AssertionSource { .. } => {
                return Err(refusal(
                    at("credential.assertion_source"),
                    "there is no assertion source in Envoy",
                    "use federated_token_file",
                ));
            }
            _ => None,
        };
        if let Some((certificate, kind)) = signing {
            if certificate.algorithm == Algorithm::Ps256 {
                return Err(refusal(
                    at(&format!("credential.{kind}.algorithm")),
                    "is PS256, which Envoy has no function for",
                    "set it to RS256, which Entra ID takes as well",
                ));
            }
            let Some(files) = config.certificates.get(&certificate.name) else {
                return Err(refusal(
                    format!("certificates.{}", certificate.name),
                    format!("is missing, but identity `{}` signs with it", identity.name),
                    "name its files: {\"certificate_file\": …, \"private_key_file\": …}",
                ));
            };
            self.check_served(&files.certificate_file, identity)?;
            if let Some(key) = &files.private_key_file {
                self.check_served(key, identity)?;
            }
            self.signers.insert(certificate.name.clone(), files.clone());
        }
        if let Some(path) = identity.credential.file_path() {
            self.check_served(path, identity)?;
        }
        let mtls = matches!(identity.credential, Credential::BoundCertificate { .. });
        let endpoint = identity
            .authority
            .token_endpoint(identity.tenant.as_deref(), mtls)
            .map_err(|error| refusal(place, error.to_string(), "see the identity's settings"))?;
        if self.token_clusters.contains_key(&endpoint.authority) {
            return Ok(());
        }
        Err(refusal(
            "envoy.token_clusters",
            format!(
                "names no cluster for {}, where identity `{}` gets its tokens",
                endpoint.authority, identity.name
            ),
            format!(
                "add \"{}\": and the name of Envoy's cluster",
                endpoint.authority
            ),
        ))
    }

    /// Whether there is a way to that file.
    fn check_served(&self, path: &str, identity: &IdentityConfig) -> Result<(), ConfigError> {
        match &self.files {
            None => Err(refusal(
                "envoy.files",
                format!("is missing, but identity `{}` reads a file", identity.name),
                "name the cluster of the listener that serves it: \"files\": {\"cluster\": \"token_files\"}",
            )),
            Some(files) if !path.starts_with(&files.strip_prefix) => Err(refusal(
                "envoy.files.strip_prefix",
                format!(
                    "is not the beginning of the path that identity `{}` reads",
                    identity.name
                ),
                "write the folder that all its files are in, or leave it out",
            )),
            Some(_) => Ok(()),
        }
    }
}

/// The identity that a request is for.
pub(crate) fn identity_of<'a>(
    request: &TokenRequest,
    config: &'a Config,
) -> Option<&'a IdentityConfig> {
    let name = request.identity.as_ref()?;
    config.identities.get(name).map(AsRef::as_ref)
}

fn request_of(
    place: &str,
    rule: &EnvoyRuleFile,
    config: &Config,
) -> Result<TokenRequest, ConfigError> {
    let name = rule.identity.as_ref().or(config.default_identity.as_ref());
    let Some(name) = name else {
        return Err(refusal(
            format!("{place}.identity"),
            "is missing, and there are several identities with none marked as default",
            "name one, or set default_identity",
        ));
    };
    let Some(identity) = config.identities.get(name) else {
        let known: Vec<&str> = config.identities.keys().map(String::as_str).collect();
        return Err(refusal(
            format!("{place}.identity"),
            "names no identity of this configuration",
            format!("there are: {}", known.join(", ")),
        ));
    };
    let scopes = if rule.scopes.is_empty() {
        &identity.scopes
    } else {
        &rule.scopes
    };
    if scopes.is_empty() {
        return Err(refusal(
            format!("{place}.scopes"),
            format!("there are none, neither here nor in identities.{name}.scopes"),
            "name the scopes of the resource, https://graph.microsoft.com/.default for example",
        ));
    }
    let scopes = check_scopes(&identity.authority, scopes).map_err(|error| ConfigError {
        setting: format!("{place}.scopes"),
        message: error.to_string(),
        hint: error.detail().hint.clone(),
    })?;
    Ok(TokenRequest {
        identity: Some(name.clone()),
        scopes,
        ..TokenRequest::default()
    })
}

pub(crate) fn check_header(setting: &str, name: Option<&str>) -> Result<String, ConfigError> {
    let name = name.unwrap_or(AUTHORIZATION).to_ascii_lowercase();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > MAX_TEXT_CHARS || !name.bytes().all(is_token) {
        return Err(refusal(
            setting,
            "is not the name of a header",
            "use letters, digits and `-`",
        ));
    }
    if RESERVED_HEADERS.contains(&name.as_str()) || name.starts_with("x-envoy-") {
        return Err(refusal(
            setting,
            format!("{name} has a meaning of its own in HTTP or to Envoy"),
            "choose another header",
        ));
    }
    Ok(name)
}

fn format_of(place: &str, format: Option<&str>) -> Result<(String, String), ConfigError> {
    let format = format.unwrap_or("Bearer {token}");
    let parts: Vec<&str> = format.split(TOKEN).collect();
    let plain =
        format.len() <= MAX_TEXT_CHARS && format.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    match parts.as_slice() {
        [before, after] if plain => Ok(((*before).to_owned(), (*after).to_owned())),
        _ => Err(refusal(
            format!("{place}.format"),
            "is not a printable text with {token} in it once",
            "write for example \"Bearer {token}\"",
        )),
    }
}

fn check_match(place: &str, matching: &EnvoyMatchFile) -> Result<(), ConfigError> {
    let path = matching.path_prefix.as_deref();
    if path.is_some_and(|path| !path.starts_with('/')) {
        return Err(refusal(
            format!("{place}.match.path_prefix"),
            "does not begin with /",
            "write what the path begins with, /api/ for example",
        ));
    }
    let Some(host) = matching.host.as_deref() else {
        return Ok(());
    };
    let rest = host.strip_prefix("*.").unwrap_or(host);
    if rest.is_empty() || rest.contains(['*', '/']) || rest.contains(char::is_whitespace) {
        return Err(refusal(
            format!("{place}.match.host"),
            "is neither a host nor `*.` and a domain",
            "write api.example or *.example, without scheme and port",
        ));
    }
    Ok(())
}

fn check_files(files: &EnvoyFilesFile) -> Result<EnvoyFilesFile, ConfigError> {
    check_cluster("envoy.files.cluster", &files.cluster)?;
    for (field, prefix) in [
        ("strip_prefix", &files.strip_prefix),
        ("add_prefix", &files.add_prefix),
    ] {
        if !prefix.is_empty()
            && (!prefix.starts_with('/') || !prefix.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(refusal(
                format!("envoy.files.{field}"),
                "does not begin with /, or has a space or control character",
                "write the beginning of a path",
            ));
        }
    }
    Ok(files.clone())
}

fn check_cluster(setting: &str, cluster: &str) -> Result<(), ConfigError> {
    if cluster.is_empty() || cluster.len() > MAX_TEXT_CHARS || cluster.contains(char::is_control) {
        return Err(refusal(
            setting,
            "is not the name of a cluster",
            "write the `name` of one of Envoy's clusters",
        ));
    }
    Ok(())
}

pub(crate) fn refusal(
    setting: impl Into<String>,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> ConfigError {
    ConfigError {
        setting: setting.into(),
        message: message.into(),
        hint: Some(hint.into()),
    }
}
