//! The `envoy` section, checked against the rest of the configuration. What can be known to be wrong before the first
//! request is refused here, so that `envoy --mode validate` finds it.

use edgepass_core::config::CertificateFiles;
use edgepass_core::config::ConfigError;
use edgepass_core::config::envoy::{EnvoyFilesFile, EnvoySharing};
use edgepass_core::needs::FilePattern;
use edgepass_core::{Config, Table, TokenRequest};

use crate::inbound::Inbound;
use crate::module::Module;
use crate::requirements::Requirements;
use crate::rule::RuleSettings;

/// How long a request waits for the first token unless the configuration says otherwise, milliseconds: an exchange
/// with one repetition fits in, and callers' own timeouts are rarely shorter.
pub const DEFAULT_DEADLINE_MS: u64 = 5_000;

/// The longest such wait that may be configured, milliseconds. Envoy itself ends a stream that has stood still for
/// five minutes, and every request that waits holds memory.
pub const MAX_DEADLINE_MS: u64 = 60_000;

/// The name of a header or cluster, or a text around the token, characters.
pub(crate) const MAX_TEXT_CHARS: usize = 256;

/// The `envoy` section, checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How effects are performed.
    pub transport: Transport,
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
    /// Whether preflights go on without a token.
    pub skip_preflight: bool,
    /// The rules; never empty.
    pub rules: Vec<RuleSettings>,
    /// The tokens that the rules need, each once.
    pub tokens: Vec<TokenRequest>,
}

/// Where the filter's own calls go.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// Cluster by host of the token endpoint, or by [`of_certificate`].
    pub token_clusters: Table<String, String>,
    /// Where token files are read.
    pub files: Option<EnvoyFilesFile>,
    /// The files of the certificates that sign assertions, by the name that credentials use.
    pub signers: Table<String, CertificateFiles>,
}

impl Transport {
    /// The cluster for requests to a host on connections with that certificate, or with none. TLS is the cluster's, so
    /// who has a certificate and who has not must not meet in one.
    pub fn token_cluster(&self, host: &str, certificate: Option<&str>) -> Option<&String> {
        let own = certificate.and_then(|name| self.token_clusters.get(&of_certificate(name, host)));
        own.or_else(|| self.token_clusters.get(host))
    }
}

/// The name in `token_clusters` of a cluster for connections with one certificate alone.
pub fn of_certificate(certificate: &str, host: &str) -> String {
    format!("{certificate}@{host}")
}

impl Settings {
    /// Checks the section of a configuration for that module.
    ///
    /// # Errors
    ///
    /// With the first setting that is wrong, or that Envoy or the module cannot serve.
    pub fn check(config: &Config, module: Module) -> Result<Self, ConfigError> {
        let Some(file) = &config.envoy else {
            return Err(refusal(
                "envoy",
                "there is no such section",
                "name at least the clusters of the token endpoints: \"envoy\": {\"token_clusters\": {…}}",
            ));
        };
        if file.upstreams.iter().len() > 0 {
            // without the rules that the command makes of it, tokens would go where they are not meant to
            return Err(refusal(
                "envoy.upstreams",
                "is for `edgepass envoy-config`",
                "give the filter what that prints",
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
        let inbound = Inbound::check(file.inbound_authorization.as_deref())?;
        let Requirements {
            rules,
            tokens,
            identities,
        } = Requirements::of(config, module)?;
        let mut transport = Transport {
            token_clusters: file.token_clusters.clone(),
            files,
            signers: Table::new(),
        };
        let files = transport.files.clone();
        let mut signers = Table::new();
        let mut users: Vec<User<'_>> = Vec::new();
        for required in identities {
            let name = &required.identity.name;
            for file in &required.identity.needs().files {
                check_served(files.as_ref(), name, beginning(&file.path))?;
            }
            for connection in &required.identity.needs().connections {
                let host = connection.permission.authority.as_str();
                let certificate = connection.certificate.as_deref();
                let Some(cluster) = transport.token_cluster(host, certificate) else {
                    return Err(refusal(
                        "envoy.token_clusters",
                        &format!(
                            "names no cluster for {host}, where identity `{name}` gets its tokens"
                        ),
                        &format!("add \"{host}\": and the name of Envoy's cluster"),
                    ));
                };
                let user = User {
                    cluster,
                    host,
                    certificate,
                    identity: name,
                };
                users.iter().try_for_each(|other| user.check(other))?;
                users.push(user);
            }
            for (certificate, signer) in required.signers {
                check_served(files.as_ref(), name, &signer.certificate_file)?;
                if let Some(key) = &signer.private_key_file {
                    check_served(files.as_ref(), name, key)?;
                }
                signers.insert(certificate.to_owned(), signer.clone());
            }
        }
        drop(users);
        transport.signers = signers;
        Ok(Self {
            transport,
            deadline_ms,
            fail_open: file.fail_open,
            inbound,
            sharing: file.sharing,
            refresh_on_401: file.refresh_on_401,
            skip_preflight: file.skip_preflight,
            rules,
            tokens,
        })
    }
}

/// Who sends requests to a cluster.
struct User<'a> {
    cluster: &'a str,
    host: &'a str,
    certificate: Option<&'a str>,
    identity: &'a str,
}

impl User<'_> {
    /// A cluster authenticates all its connections with one certificate, or none.
    fn check(&self, other: &User<'_>) -> Result<(), ConfigError> {
        if self.cluster != other.cluster || self.certificate == other.certificate {
            return Ok(());
        }
        let bound = if self.certificate.is_some() {
            self
        } else {
            other
        };
        let key = of_certificate(bound.certificate.unwrap_or_default(), bound.host);
        Err(refusal(
            &format!("envoy.token_clusters.{}", self.host),
            &format!(
                "is one cluster for the identities `{}` and `{}`, which do not authenticate their connections with the same certificate",
                other.identity, self.identity
            ),
            &format!("add \"{key}\": and the name of a cluster with that certificate alone"),
        ))
    }
}

/// The path under which the filter asks Envoy for a file. `None` if it is not below `strip_prefix`.
pub fn request_path(files: &EnvoyFilesFile, path: &str) -> Option<String> {
    let rest = path.strip_prefix(&files.strip_prefix)?;
    Some(format!("{}{rest}", files.add_prefix))
}

/// What is known beforehand of where a file is.
fn beginning(path: &FilePattern) -> &str {
    match path {
        FilePattern::Directory { directory, .. } => directory,
        path => path.exact().unwrap_or_default(),
    }
}

/// Whether there is a way to a file, or folder, that an identity reads.
///
/// # Errors
///
/// When `envoy.files` is missing, or its prefix is not that of the path.
pub fn check_served(
    files: Option<&EnvoyFilesFile>,
    identity: &str,
    path: &str,
) -> Result<(), ConfigError> {
    let Some(files) = files else {
        return Err(refusal(
            "envoy.files",
            &format!("is missing, but identity `{identity}` reads a file"),
            "name the cluster of the listener that serves it: \"files\": {\"cluster\": \"token_files\"}",
        ));
    };
    if path.starts_with(&files.strip_prefix) {
        return Ok(());
    }
    Err(refusal(
        "envoy.files.strip_prefix",
        &format!("is not the beginning of the path that identity `{identity}` reads"),
        "write the folder that all its files are in, or leave it out",
    ))
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
                &format!("envoy.files.{field}"),
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

/// Kept out of line, and with nothing to convert at its many places: Envoy compiles all of it at its start.
#[inline(never)]
pub(crate) fn refusal(setting: &str, message: &str, hint: &str) -> ConfigError {
    ConfigError::new(setting, message).hint(hint)
}
