//! What a configuration needs of Envoy: which token endpoints, which files, which certificates. The filter's own checks
//! are made here, on what it will be given, so that nothing is printed that it would refuse at its start.

use std::collections::{BTreeMap, BTreeSet};

use edgepass::config::envoy::EnvoyFile;
use edgepass::{Config, ConfigError, Environment};
use edgepass_core::Algorithm;
use edgepass_core::needs::Scheme;
use edgepass_rules::{
    Module, Required, Requirements, Settings, certificate_files, check_served, of_certificate,
    request_path,
};

use super::FILES_CLUSTER;
use super::document::Node;
use super::upstream::{self, Target, Upstream, unused_name};
use crate::failure::Failure;

/// The ports of hosts that name none.
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// What has to be in Envoy's configuration.
pub(super) struct Plan {
    /// The plugin's configuration, JSON in ASCII.
    pub(super) plugin: String,
    /// What people should be told of the environment that it leaves things to.
    pub(super) warnings: Vec<String>,
    /// Environment variables that it leaves things to, in the order of their names.
    pub(super) variables: Vec<String>,
    /// The files that the filter reads, if it reads any.
    pub(super) files: Option<Files>,
    /// A cluster for each host of a token endpoint and each certificate that connections there have, or have not.
    pub(super) token_clusters: Vec<TokenCluster>,
    /// Whether the filter has to sign assertions.
    pub(super) signs: bool,
    /// Where requests go; never nowhere.
    pub(super) upstreams: Vec<Target>,
    /// The files that the filter reads, each with the setting that names it.
    pub(super) files_read: Vec<(String, String)>,
    /// Identities with several credentials, each with the files of those: any of them may be missing.
    pub(super) files_of_lists: Vec<(String, Vec<(String, String)>)>,
    /// The plugin's configuration without the rules that upstreams bring.
    without_upstreams: String,
}

/// What the command line adds to a configuration.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    pub(super) upstreams: &'a [Upstream],
    pub(super) naming: Naming,
    pub(super) module: Module,
    /// Whether the filter stands in the upstreams' clusters, behind the routes.
    pub(super) as_upstream_filter: bool,
}

/// Who gives the upstreams' clusters their names, and the virtual machine its own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Naming {
    /// The command.
    #[default]
    Own,
    /// Istio.
    Istio,
    /// Envoy Gateway.
    Gateway,
}

/// The listener that serves files to the filter.
pub(super) struct Files {
    /// Its cluster.
    pub(super) cluster: String,
    pub(super) served: Vec<ServedFile>,
}

/// One file of it.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ServedFile {
    /// What the filter asks for.
    pub(super) request_path: String,
    /// What it gets.
    pub(super) path: String,
}

/// The cluster of a token endpoint.
pub(super) struct TokenCluster {
    pub(super) name: String,
    /// What it is called under `envoy.token_clusters`.
    key: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Without it only an address of this machine or its link is reached.
    pub(super) tls: bool,
    /// What it authenticates itself with.
    pub(super) certificate: Option<Certificate>,
}

/// A client certificate.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Certificate {
    /// Its name in the configuration.
    pub(super) name: String,
    pub(super) chain: String,
    pub(super) key: String,
}

impl Plan {
    /// The plan of a configuration. What it leaves out comes from the environment only if it must.
    pub(super) fn of(
        json: &str,
        environment: &Environment,
        given: Given<'_>,
    ) -> Result<Self, Failure> {
        let nothing = Environment::default();
        let (config, environment) = match Config::load(Some(json), &nothing) {
            // where a platform answers is in its own variables
            Ok(config) if !asks_platforms(&config, given.module) => (config, &nothing),
            Ok(_) | Err(_) => {
                let config = Config::load(Some(json), environment);
                (config.map_err(not_set)?, environment)
            }
        };
        let variables = variables(&config)?;
        let mut warnings = config.warnings(environment);
        // what the engine has read is JSON
        let mut document: Node =
            serde_json::from_str(json).map_err(|error| Failure::setup(error.to_string()))?;
        let upstreams = upstream::targets(&config, given.upstreams, given.naming)?;
        let is_of_applications = config
            .http
            .as_ref()
            .is_some_and(|http| !http.rules.is_empty());
        let own = config.envoy.unwrap_or_default().rules;
        if is_of_applications && own.is_empty() {
            warnings.push(ONLY_OF_APPLICATIONS.to_owned());
        }
        upstream::check(&own, &upstreams, given.as_upstream_filter)?;
        if given.naming != Naming::Own
            && let Some(section) = document.field("envoy", Node::object())
        {
            // nobody says what the virtual machine is called there, so nothing is shared through it
            section.field("sharing", Node::text("per-vm"));
        }
        upstream::complete(&mut document, &[]);
        let mut without_upstreams = document.copy();
        upstream::complete(&mut document, &upstreams);
        let config = Config::load(Some(&document.pretty()), environment)?;
        let requirements = Requirements::of(&config, given.module).map_err(|error| {
            let detail = error.into_detail();
            let setting = upstream::setting_of(&detail.setting, own.len(), &upstreams);
            Failure::Setup {
                setting: Some(setting.unwrap_or(detail.setting)),
                message: detail.message,
                hint: detail.hint,
            }
        })?;
        warnings.extend(requirements.identities.iter().filter_map(outside_of_job));
        let file = config.envoy.clone().unwrap_or_default();
        let reserved: Vec<&str> = upstreams.iter().map(|u| u.cluster.as_str()).collect();
        let token_clusters = token_clusters(&config, &file, &requirements.identities, &reserved)?;
        let files = files(&file, &requirements.identities, &reserved)?;
        complete(&mut document, &token_clusters, files.as_ref());
        complete(&mut without_upstreams, &token_clusters, files.as_ref());
        let mut files_read = BTreeSet::new();
        let mut files_of_lists = Vec::new();
        for required in &requirements.identities {
            let read = files_of(required)?.into_iter();
            let read: Vec<_> = read
                .map(|(setting, path)| (setting, path.to_owned()))
                .collect();
            if required.identity.credential_count() > 1 && !read.is_empty() {
                files_of_lists.push((required.identity.name.clone(), read.clone()));
            }
            files_read.extend(read);
        }
        let plugin = document.pretty();
        Settings::check(&Config::load(Some(&plugin), environment)?, given.module)?;
        Ok(Self {
            signs: requirements.identities.iter().any(signs),
            plugin,
            warnings,
            variables,
            files,
            token_clusters,
            upstreams,
            files_read: files_read.into_iter().collect(),
            files_of_lists,
            without_upstreams: without_upstreams.pretty(),
        })
    }

    /// The plugin's configuration where it sees the requests of that upstream alone; `None` if those are left as they are.
    pub(super) fn plugin_for(&self, upstream: &Target) -> Result<Option<String>, Failure> {
        let mut document: Node = serde_json::from_str(&self.without_upstreams)
            .map_err(|error| Failure::setup(error.to_string()))?;
        Ok(upstream
            .complete_alone(&mut document)
            .then(|| document.pretty()))
    }

    /// The client certificates, each once.
    pub(super) fn certificates(&self) -> Vec<&Certificate> {
        let mut found: Vec<&Certificate> = Vec::new();
        for certificate in self
            .token_clusters
            .iter()
            .filter_map(|c| c.certificate.as_ref())
        {
            if !found.contains(&certificate) {
                found.push(certificate);
            }
        }
        found
    }
}

/// The rules of a configuration for the filter.
pub(super) fn rules(plugin: &str) -> Vec<serde_json::Value> {
    let mut plugin: serde_json::Value = serde_json::from_str(plugin).unwrap_or_default();
    match plugin
        .pointer_mut("/envoy/rules")
        .map(serde_json::Value::take)
    {
        Some(serde_json::Value::Array(rules)) => rules,
        _ => Vec::new(),
    }
}

/// Fills the section `envoy`: what is there stays.
fn complete(document: &mut Node, token_clusters: &[TokenCluster], files: Option<&Files>) {
    let Some(section) = document.field("envoy", Node::object()) else {
        return;
    };
    if let Some(clusters) = section.field("token_clusters", Node::object()) {
        for cluster in token_clusters {
            clusters.field(&cluster.key, Node::text(&cluster.name));
        }
    }
    if let Some(files) = files
        && let Some(section) = section.field("files", Node::object())
    {
        section.field("cluster", Node::text(&files.cluster));
    }
}

/// A warning about rules that somebody has taken for those of Envoy.
const ONLY_OF_APPLICATIONS: &str = "http.rules are read by `edgepass run` and the HTTP filter for components, and not by Envoy: \
                                    write envoy.rules, or give each host by --upstream";

/// Whether the module asks platforms for it.
fn asks_platforms(config: &Config, module: Module) -> bool {
    module == Module::Full && !config.needs().every_credential.is_empty()
}

/// What a job shows where it asks for its identity token. It is in the environment of every step, and ends with the job.
const OF_JOBS: [&str; 2] = ["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SYSTEM_ACCESSTOKEN"];

/// The variables that Envoy passes on to the filter. Not those that hold secrets, whosever they are: Envoy could pass them
/// on, but then they would be in every virtual machine; and without them the filter refuses the configuration. What a job
/// has in its environment is nowhere else.
fn variables(config: &Config) -> Result<Vec<String>, Failure> {
    let all = config.needs().variables;
    let mut secrets = all.iter().filter(|variable| variable.is_secret);
    if let Some(secret) = secrets.find(|variable| !OF_JOBS.contains(&variable.name.as_str())) {
        return Err(from_the_environment(secret.setting.clone()));
    }
    let names: BTreeSet<String> = all.into_iter().map(|variable| variable.name).collect();
    Ok(names.into_iter().collect())
}

/// A warning about an identity of a job whose variables are not here.
fn outside_of_job(required: &Required<'_>) -> Option<String> {
    let needs = required.identity.needs();
    let of = |kind: &str| {
        let mut all = needs.every_credential.iter();
        all.find(|setting| setting.ends_with(kind))
    };
    let has = |name: &str| needs.variables.iter().any(|variable| variable.name == name);
    let jobs = [".github_actions", ".azure_pipelines"]
        .into_iter()
        .zip(OF_JOBS);
    jobs.filter(|(_, token)| !has(token)).find_map(|(kind, token)| {
        let setting = of(kind)?;
        Some(format!(
            "{setting}: {token} is not set here, and where the job asks for its tokens is in its own variables: run this in the job, or Envoy has no cluster for it"
        ))
    })
}

/// Whether Envoy signs for it. PS256 the filter signs by itself.
fn signs(required: &Required<'_>) -> bool {
    let mut signatures = required.identity.needs().signatures.iter();
    signatures.any(|signature| signature.algorithm != Algorithm::Ps256)
}

/// Whether a secret's variable is set here makes no difference.
fn not_set(error: ConfigError) -> Failure {
    match error.setting.strip_suffix(".env") {
        Some(_) => from_the_environment(error.setting.clone()),
        None => error.into(),
    }
}

fn from_the_environment(setting: String) -> Failure {
    Failure::setting(
        setting,
        "comes from an environment variable, which the Envoy filter does not read secrets from",
        "put the secret into a file and name that with `file`",
    )
}

/// What connections of one kind to one host need of their cluster.
struct Endpoint<'c> {
    tls: bool,
    certificate: Option<Certificate>,
    /// The identity that was the first to need it.
    identity: &'c str,
}

fn token_clusters(
    config: &Config,
    file: &EnvoyFile,
    identities: &[Required<'_>],
    reserved: &[&str],
) -> Result<Vec<TokenCluster>, Failure> {
    // by host and certificate, so that their order is that of the names and not that of the identities
    let mut endpoints: BTreeMap<(&str, Option<&str>), Endpoint<'_>> = BTreeMap::new();
    for required in identities {
        let identity = required.identity;
        for connection in &identity.needs().connections {
            let authority = connection.permission.authority.as_str();
            let tls = connection.permission.scheme == Scheme::Https;
            let name = connection.certificate.as_deref();
            let certificate = match name {
                Some(name) => Some(certificate(config, required, name)?),
                None => None,
            };
            let known = endpoints.entry((authority, name)).or_insert(Endpoint {
                tls,
                certificate,
                identity: &identity.name,
            });
            if known.tls != tls {
                return Err(one_cluster(&identity.name, authority, known.identity));
            }
        }
    }
    let files = file.files.as_ref().map(|files| files.cluster.as_str());
    let mut taken = BTreeSet::from([files.unwrap_or(FILES_CLUSTER)]);
    taken.extend(reserved);
    taken.extend(file.token_clusters.values().map(String::as_str));
    let mut taken: BTreeSet<String> = taken.into_iter().map(str::to_owned).collect();
    let mut clusters: Vec<TokenCluster> = Vec::new();
    let authorities: Vec<&str> = endpoints.keys().map(|(authority, _)| *authority).collect();
    for ((authority, certificate), endpoint) in endpoints {
        let own = certificate.map(|name| of_certificate(name, authority));
        let is_alone = authorities
            .iter()
            .filter(|known| **known == authority)
            .count()
            == 1;
        let key = own
            .filter(|own| !is_alone || file.token_clusters.contains_key(own))
            .unwrap_or_else(|| authority.to_owned());
        let name = match file.token_clusters.get(&key) {
            Some(name) => name.clone(),
            None => {
                let certificate = certificate.filter(|_| !is_alone);
                let own = certificate.map(|name| format!("{authority}_{name}"));
                unused_name("idp", own.as_deref().unwrap_or(authority), &mut taken)
            }
        };
        if reserved.contains(&name.as_str())
            || Some(name.as_str()) == files
            || clusters.iter().any(|cluster| cluster.name == name)
        {
            return Err(Failure::setting(
                format!("envoy.token_clusters.{key}"),
                format!("`{name}` is the cluster of something else as well"),
                "give each token endpoint, and each certificate that authenticates connections there, a cluster of its own",
            ));
        }
        let (host, port) = host_and_port(authority, endpoint.tls);
        clusters.push(TokenCluster {
            name,
            key,
            host: host.to_owned(),
            port,
            tls: endpoint.tls,
            certificate: endpoint.certificate,
        });
    }
    Ok(clusters)
}

/// Two identities want different things of one host, and a cluster of Envoy is one thing.
fn one_cluster(identity: &str, host: &str, first: &str) -> Failure {
    Failure::setting(
        format!("identities.{identity}"),
        format!(
            "only one of it and identity `{first}` reaches {host} with TLS, and a cluster of Envoy has one of the two"
        ),
        "give each of them a configuration and a filter of its own",
    )
}

/// The certificate of an identity's connections.
fn certificate(
    config: &Config,
    required: &Required<'_>,
    name: &str,
) -> Result<Certificate, ConfigError> {
    let files = certificate_files(config, required.identity, name)?;
    let chain = files.certificate_file.clone();
    Ok(Certificate {
        name: name.to_owned(),
        key: files
            .private_key_file
            .clone()
            .unwrap_or_else(|| chain.clone()),
        chain,
    })
}

fn files(
    file: &EnvoyFile,
    identities: &[Required<'_>],
    reserved: &[&str],
) -> Result<Option<Files>, Failure> {
    let mut settings = file.files.clone().unwrap_or_default();
    if file.files.is_none() {
        FILES_CLUSTER.clone_into(&mut settings.cluster);
    }
    if reserved.contains(&settings.cluster.as_str()) {
        return Err(Failure::setting(
            "envoy.files.cluster",
            format!("`{}` is the cluster of an upstream", settings.cluster),
            "choose another name",
        ));
    }
    let mut served = BTreeSet::new();
    for required in identities {
        for (setting, path) in files_of(required)? {
            check_served(Some(&settings), &required.identity.name, path)?;
            let request_path = request_path(&settings, path).unwrap_or_default();
            check_request_path(&setting, &request_path)?;
            served.insert(ServedFile {
                request_path,
                path: path.to_owned(),
            });
        }
    }
    let ambiguous =
        |(one, other): (&ServedFile, &ServedFile)| one.request_path == other.request_path;
    if served.iter().zip(served.iter().skip(1)).any(ambiguous) {
        return Err(Failure::setting(
            "envoy.files",
            "two files have the same path in the filter's requests",
            "leave strip_prefix and add_prefix out",
        ));
    }
    Ok((!served.is_empty()).then(|| Files {
        cluster: settings.cluster,
        served: served.into_iter().collect(),
    }))
}

/// The files that the filter reads for an identity, each with the setting that names it.
fn files_of<'a>(required: &'a Required<'_>) -> Result<Vec<(String, &'a str)>, Failure> {
    let mut found = Vec::new();
    for file in &required.identity.needs().files {
        let path = file.path.exact();
        let path = path.ok_or_else(|| unknown_beforehand(&file.setting))?;
        found.push((file.setting.clone(), path));
    }
    for (name, signer) in &required.signers {
        let setting = |field: &str| format!("certificates.{name}.{field}");
        found.push((setting("certificate_file"), &signer.certificate_file));
        if let Some(key) = &signer.private_key_file {
            found.push((setting("private_key_file"), key));
        }
    }
    Ok(found)
}

/// Envoy's routes name each file that is served.
fn unknown_beforehand(setting: &str) -> Failure {
    Failure::setting(
        setting,
        "reads a file of which only the folder is known before a server names it",
        "take another credential for Envoy, or serve the folder with a configuration of your own",
    )
}

/// The filter asks for a file by its path, as it is.
fn check_request_path(setting: &str, path: &str) -> Result<(), Failure> {
    let plain = |b: u8| b.is_ascii_graphic() && !b"?#%\\".contains(&b);
    if path.starts_with('/') && !path.ends_with('/') && path.bytes().all(plain) {
        return Ok(());
    }
    Err(Failure::setting(
        setting,
        "is a path that the filter cannot ask Envoy for",
        "use a path that begins with /, has no spaces and none of ? # % \\, and ends in the file's name",
    ))
}

fn host_and_port(authority: &str, tls: bool) -> (&str, u16) {
    // the engine has checked it: what stands after the last colon outside brackets is a port
    let with_port = authority
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)));
    with_port.unwrap_or((authority, default_port(tls)))
}

fn default_port(tls: bool) -> u16 {
    if tls { HTTPS_PORT } else { HTTP_PORT }
}

#[cfg(test)]
mod tests;
