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
        let own = config.envoy.unwrap_or_default().rules;
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn identity(credential: &Value) -> Value {
        json!({
            "tenant_id": "contoso.example",
            "client_id": "c",
            "scopes": ["https://graph.microsoft.com/.default"],
            "credential": credential,
        })
    }

    fn federated(path: &str) -> Value {
        identity(&json!({"federated_token_file": {"path": path}}))
    }

    fn bound(name: &str) -> Value {
        identity(&json!({"bound_certificate": {"name": name, "mode": "certificate-only"}}))
    }

    fn plan(config: &Value) -> Result<Plan, Failure> {
        Plan::of(
            &config.to_string(),
            &Environment::default(),
            Given::default(),
        )
    }

    /// Setting and message.
    fn refused(config: &Value) -> (String, String) {
        match plan(config) {
            Err(Failure::Setup {
                setting,
                message,
                hint: Some(_),
            }) => (setting.unwrap_or_default(), message),
            Err(_) => panic!("refused without a hint"),
            Ok(_) => panic!("not refused: {config}"),
        }
    }

    /// For the full module, in an environment.
    fn full(config: &Value, variables: &[(&str, &str)]) -> Result<Plan, Failure> {
        let given = Given {
            module: Module::Full,
            ..Given::default()
        };
        let environment = Environment::from_pairs(variables.iter().copied());
        Plan::of(&config.to_string(), &environment, given)
    }

    #[test]
    fn the_full_module_signs_ps256_by_itself() {
        let mut config = json!({
            "identities": {"app": identity(&json!({"certificate": {"name": "k"}}))},
            "certificates": {"k": {"certificate_file": "/v/k.pem"}},
        });
        let (setting, message) = refused(&config);
        assert_eq!(setting, "identities.app.credential.certificate.algorithm");
        assert!(message.contains("PS256"), "{message}");
        let plan = full(&config, &[]).ok().unwrap();
        assert!(!plan.signs && plan.files.is_some());
        config["identities"]["app"]["credential"]["certificate"]["algorithm"] = json!("RS256");
        assert!(full(&config, &[]).ok().unwrap().signs);
    }

    /// What is printed for a platform is for where it is printed: whom to ask, and what is passed on to be shown there.
    #[test]
    fn a_job_s_variables_are_passed_on_and_no_other_secret_is() {
        const URL: &str = "https://run-actions.example/42//idtoken/7?api-version=2.0";
        let job = [
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2.of.job"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", URL),
        ];
        let github = json!({"github_actions": {}});
        let config = json!({"identities": {"app": identity(&github)}});
        let plan = full(&config, &job).ok().unwrap();
        let hosts: Vec<&str> = plan
            .token_clusters
            .iter()
            .map(|c| c.host.as_str())
            .collect();
        assert_eq!(hosts, ["login.microsoftonline.com", "run-actions.example"]);
        assert_eq!(plan.variables, job.map(|(name, _)| name));
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        assert!(!plan.plugin.contains("hunter2") && !plan.plugin.contains("run-actions.example/"));

        // outside of the job, and where half of it is missing
        for variables in [&[][..], &job[1..]] {
            let plan = full(&config, variables).ok().unwrap();
            assert_eq!(plan.token_clusters.len(), 1);
            assert!(
                plan.warnings[0].starts_with("identities.app.credential.github_actions: "),
                "{:?}",
                plan.warnings
            );
        }

        let secret = json!([{"client_secret": {"env": "SECRET"}}, github]);
        let config = json!({"identities": {"app": identity(&secret)}});
        match full(&config, &[job[0], job[1], ("SECRET", "hunter2")]) {
            Err(Failure::Setup { setting, .. }) => assert_eq!(
                setting.as_deref(),
                Some("identities.app.credential[0].client_secret.env")
            ),
            _ => panic!("a secret of the environment is passed on"),
        }
        // the other module is given nothing of it, because it asks nobody
        let config = json!({
            "default_identity": "used",
            "identities": {"used": federated("/a"), "app": identity(&github)},
        });
        let given = Given::default();
        let environment = Environment::from_pairs(job);
        let plan = Plan::of(&config.to_string(), &environment, given)
            .ok()
            .unwrap();
        assert!(plan.variables.is_empty());
    }

    #[test]
    fn clusters_are_named_after_their_hosts() {
        let mut config = json!({
            "authority_hosts": ["idp.example:8443", "idp-example", "[::1]:9443"],
            "identities": {"a": federated("/a"), "b": federated("/b"), "c": federated("/c"), "d": federated("/d")},
            "envoy": {"rules": [{"identity": "a"}, {"identity": "b"}, {"identity": "c"}, {"identity": "d"}]},
        });
        for (name, host) in [
            ("b", "idp.example:8443"),
            ("c", "idp-example"),
            ("d", "[::1]:9443"),
        ] {
            config["identities"][name]["authority_host"] = json!(format!("https://{host}"));
        }
        config["envoy"]["token_clusters"] = json!({"idp-example": "idp_idp_example_8443"});
        let plan = plan(&config).ok().unwrap();
        let clusters: Vec<_> = plan
            .token_clusters
            .iter()
            .map(|cluster| (cluster.name.as_str(), cluster.host.as_str(), cluster.port))
            .collect();
        assert_eq!(
            clusters,
            [
                ("idp____1__9443", "[::1]", 9443),
                ("idp_idp_example_8443", "idp-example", 443),
                ("idp_idp_example_8443_2", "idp.example", 8443),
                (
                    "idp_login_microsoftonline_com",
                    "login.microsoftonline.com",
                    443
                ),
            ]
        );
        let plugin: Value = serde_json::from_str(&plan.plugin).unwrap();
        assert_eq!(
            plugin["envoy"]["token_clusters"]["[::1]:9443"],
            "idp____1__9443"
        );
        assert!(plan.variables.is_empty() && !plan.signs);
    }

    #[test]
    fn a_cluster_is_for_one_thing() {
        let of = |envoy: Value| {
            refused(&json!({"identities": {"app": federated("/t")}, "envoy": envoy}))
        };
        let host = "login.microsoftonline.com";
        for envoy in [
            json!({"token_clusters": {host: "upstream"}}),
            json!({"token_clusters": {host: "f"}, "files": {"cluster": "f"}}),
            json!({"token_clusters": {host: ""}}),
        ] {
            let (setting, _) = of(envoy);
            assert_eq!(setting, "envoy.token_clusters.login.microsoftonline.com");
        }
        let (setting, _) = of(json!({"files": {"cluster": "upstream"}}));
        assert_eq!(setting, "envoy.files.cluster");
    }

    #[test]
    fn a_host_gets_one_certificate() {
        let files = |name: &str| json!({"certificate_file": format!("/{name}.crt"), "private_key_file": "/k"});
        let mut config = json!({
            "identities": {"a": bound("one"), "b": bound("one")},
            "certificates": {"one": files("one"), "two": files("two")},
            "envoy": {"rules": [{"identity": "a"}, {"identity": "b"}]},
        });
        let good = plan(&config).ok().unwrap();
        assert_eq!(good.certificates().len(), 1);
        assert!(good.files.is_none(), "Envoy reads them, not the filter");
        config["identities"]["b"] = bound("three");
        assert_eq!(refused(&config).0, "certificates.three");
    }

    /// Which connections have a certificate, and which, is the cluster's: each kind has its own.
    #[test]
    fn a_cluster_has_one_certificate_or_none() {
        let files = |name: &str| json!({"certificate_file": format!("/{name}.crt"), "private_key_file": "/k"});
        let generic = |credential: Value| {
            json!({
                "token_endpoint": "https://idp.example/token",
                "client_id": "c",
                "scopes": ["s"],
                "credential": credential,
            })
        };
        let bound = |name: &str| {
            generic(json!({"bound_certificate": {"name": name, "mode": "certificate-only"}}))
        };
        let plain = generic(json!({"client_secret": {"file": "/secret"}}));
        let of = |identities: Value, token_clusters: Value| {
            let rules: Vec<Value> = identities
                .as_object()
                .unwrap()
                .keys()
                .map(|name| json!({"identity": name}))
                .collect();
            plan(&json!({
                "authority_hosts": ["idp.example"],
                "identities": identities,
                "certificates": {"one": files("one"), "two": files("two")},
                "envoy": {"rules": rules, "token_clusters": token_clusters},
            }))
        };
        type Expected = &'static [(&'static str, &'static str, Option<&'static str>)];
        let own: Expected = &[("idp.example", "idp_idp_example", Some("one"))];
        let mixed: Expected = &[
            ("idp.example", "idp_idp_example", None),
            ("one@idp.example", "idp_idp_example_one", Some("one")),
        ];
        let two: Expected = &[
            ("one@idp.example", "idp_idp_example_one", Some("one")),
            ("two@idp.example", "idp_idp_example_two", Some("two")),
        ];
        let three: Expected = &[
            ("idp.example", "idp_idp_example", None),
            ("one@idp.example", "idp_idp_example_one", Some("one")),
            ("two@idp.example", "idp_idp_example_two", Some("two")),
        ];
        let named: Expected = &[
            ("idp.example", "mine", None),
            ("one@idp.example", "his", Some("one")),
        ];
        let nothing = json!({});
        for (identities, token_clusters, expected) in [
            (json!({"a": bound("one"), "b": bound("one")}), &nothing, own),
            (json!({"a": bound("one"), "b": plain}), &nothing, mixed),
            (json!({"a": plain, "b": bound("one")}), &nothing, mixed),
            (json!({"a": bound("two"), "b": bound("one")}), &nothing, two),
            (
                json!({"a": bound("two"), "b": bound("one"), "c": plain}),
                &nothing,
                three,
            ),
            (
                json!({"a": bound("one"), "b": plain}),
                &json!({"idp.example": "mine", "one@idp.example": "his"}),
                named,
            ),
        ] {
            let plan = of(identities.clone(), token_clusters.clone()).ok().unwrap();
            let plugin: Value = serde_json::from_str(&plan.plugin).unwrap();
            let clusters: Vec<_> = plan
                .token_clusters
                .iter()
                .map(|cluster| {
                    assert_eq!((cluster.host.as_str(), cluster.port), ("idp.example", 443));
                    let named = &plugin["envoy"]["token_clusters"][&cluster.key];
                    assert_eq!(*named, json!(cluster.name));
                    let certificate = cluster.certificate.as_ref();
                    let certificate = certificate.map(|certificate| certificate.name.as_str());
                    (cluster.key.as_str(), cluster.name.as_str(), certificate)
                })
                .collect();
            assert_eq!(clusters, expected, "{identities}");
        }
        let shared = json!({"idp.example": "mine", "one@idp.example": "mine"});
        let refused = of(json!({"a": bound("one"), "b": plain}), shared);
        assert!(refused.is_err());
    }

    #[test]
    fn what_signs_reads_its_key() {
        let signing = |kind: &str, mode: Value| {
            let mut credential = json!({kind: {"name": "c", "algorithm": "RS256"}});
            if !mode.is_null() {
                credential[kind]["mode"] = mode;
            }
            json!({
                "identities": {"app": identity(&credential)},
                "certificates": {"c": {"certificate_file": "/v/tls.crt", "private_key_file": "/v/tls.key"}},
            })
        };
        for config in [
            signing("certificate", Value::Null),
            signing("bound_certificate", json!("with-assertion")),
        ] {
            let plan = plan(&config).ok().unwrap();
            assert!(plan.signs);
            let paths: Vec<_> = plan
                .files
                .iter()
                .flat_map(|files| &files.served)
                .map(|file| file.path.as_str())
                .collect();
            assert_eq!(paths, ["/v/tls.crt", "/v/tls.key"]);
        }
        let mut config = signing("certificate", Value::Null);
        config["identities"]["app"]["credential"]["certificate"]["algorithm"] = json!("PS256");
        assert_eq!(
            refused(&config).0,
            "identities.app.credential.certificate.algorithm"
        );
    }

    #[test]
    fn paths_are_what_the_filter_can_ask_for() {
        for path in ["/a b", "/a?b", "/a#b", "/a%20b", "/é", "/a/", "C:\\t"] {
            let config = json!({"identities": {"app": federated(path)}});
            assert_eq!(
                refused(&config).0,
                "identities.app.credential.federated_token_file.path",
                "{path}"
            );
        }
        let config = json!({
            "identities": {"a": federated("/x/t"), "b": federated("/y/t")},
            "envoy": {"rules": [{"identity": "a"}, {"identity": "b"}]},
        });
        let files = plan(&config).ok().unwrap().files.unwrap();
        assert_eq!(files.served.len(), 2);
    }

    #[test]
    fn nobody_is_guessed() {
        let config = json!({"identities": {"a": federated("/a"), "b": federated("/b")}});
        assert_eq!(refused(&config).0, "envoy.rules[0].identity");
        let mut config = json!({"identities": {"a": federated("/a")}});
        config["identities"]["a"]["scopes"] = json!([]);
        assert_eq!(refused(&config).0, "envoy.rules[0].scopes");
    }

    #[test]
    fn each_upstream_has_one_place_and_one_rule() {
        let with = |section: Value| {
            json!({"identities": {"app": federated("/a"), "b": federated("/b")},
                "default_identity": "app", "envoy": section})
        };
        let graph = json!({"path_prefix": "/g/", "url": "https://g.example/", "identity": "b"});
        let open = json!({"host": "o.example", "url": "o:80", "disabled": true});
        let bare = json!({"path_prefix": "/x/", "url": "x:80"});
        let changed = |upstream: &Value, field: &str, value: Value| {
            let mut upstream = upstream.clone();
            upstream[field] = value;
            upstream
        };
        for (upstreams, rules, given, setting, words) in [
            (
                json!([changed(&graph, "url", json!("g"))]),
                json!([]),
                &[][..],
                "envoy.upstreams[0].url",
                "has no port",
            ),
            (
                json!([changed(&graph, "url", json!("https://g/v1"))]),
                json!([]),
                &[],
                "envoy.upstreams[0].url",
                "ends with /",
            ),
            (
                json!([changed(&graph, "path_prefix", json!("g"))]),
                json!([]),
                &[],
                "envoy.upstreams[0].path_prefix",
                "begin with /",
            ),
            (
                json!([changed(&graph, "path_prefix", json!("/%67/"))]),
                json!([]),
                &[],
                "envoy.upstreams[0].path_prefix",
                "different ways",
            ),
            (
                json!([graph, changed(&open, "host", json!("a/b"))]),
                json!([]),
                &[],
                "envoy.upstreams[1].host",
                "neither a host",
            ),
            (
                json!([graph, changed(&open, "scopes", json!(["s"]))]),
                json!([]),
                &[],
                "envoy.upstreams[1].disabled",
                "is set",
            ),
            (
                json!([graph, graph]),
                json!([]),
                &[],
                "envoy.upstreams[1]",
                "same host and path",
            ),
            (
                json!([graph]),
                json!([]),
                &["/y/=y:1", "/y/=y:2"],
                "--upstream",
                "same host and path",
            ),
            (
                json!([graph, changed(&open, "identity", json!("nobody"))]),
                json!([]),
                &[],
                "envoy.upstreams[1].disabled",
                "is set",
            ),
            (
                json!([open, changed(&graph, "identity", json!("nobody"))]),
                json!([]),
                &[],
                "envoy.upstreams[1].identity",
                "names no identity",
            ),
            (
                json!([open, changed(&graph, "scopes", json!(["a", "b"]))]),
                json!([{"match": {"path_prefix": "/y"}}]),
                &[],
                "envoy.upstreams[1].scopes",
                "",
            ),
            (
                json!([
                    changed(&graph, "cluster", json!("token_files")),
                    changed(&open, "cluster", json!("token_files"))
                ]),
                json!([]),
                &[],
                "envoy.upstreams[1].cluster",
                "something else",
            ),
            (
                json!([changed(&graph, "cluster", json!("token_files"))]),
                json!([]),
                &[],
                "envoy.files.cluster",
                "of an upstream",
            ),
            (
                json!([bare, open]),
                json!([]),
                &[],
                "envoy.upstreams[0]",
                "no rule is for",
            ),
            (
                json!([]),
                json!([]),
                &["/y/=y:1", "/z/=z:2"],
                "envoy.rules",
                "which token",
            ),
            (
                json!([bare, changed(&bare, "path_prefix", json!("/y"))]),
                json!([]),
                &[],
                "envoy.upstreams[0]",
                "which token",
            ),
            (
                json!([graph]),
                json!([]),
                &["/y/=y:1"],
                "--upstream",
                "no rule is for",
            ),
            (
                json!([graph, bare]),
                json!([{"match": {"path_prefix": "/xy"}}]),
                &[],
                "envoy.upstreams[1]",
                "no rule is for",
            ),
            (
                json!([graph, bare]),
                json!([{"match": {"host": "*.z", "cluster": "y"}}]),
                &[],
                "envoy.upstreams[1]",
                "no rule is for",
            ),
            (
                json!([graph, bare]),
                json!([{"match": {"path_prefix": "/x/"}}, {}]),
                &[],
                "envoy.rules[1]",
                "would never count",
            ),
            (
                json!([graph]),
                json!([{"match": {"path_prefix": "/g"}}]),
                &[],
                "envoy.rules[0]",
                "would never count",
            ),
        ] {
            let config = with(json!({"upstreams": upstreams, "rules": rules}));
            let given: Vec<Upstream> = given.iter().map(|text| text.parse().unwrap()).collect();
            let given = Given {
                upstreams: &given,
                ..Given::default()
            };
            match Plan::of(&config.to_string(), &Environment::default(), given) {
                Err(Failure::Setup {
                    setting: Some(at),
                    message,
                    hint: Some(_),
                }) => {
                    assert_eq!(at, setting, "{config}\n{message}");
                    assert!(message.contains(words), "{config}\n{message}");
                }
                Err(_) => panic!("refused without a setting or hint: {config}"),
                Ok(_) => panic!("not refused: {config}"),
            }
        }
    }

    /// As an upstream filter it sees what the route has made of the request.
    #[test]
    fn rules_are_held_against_what_the_filter_sees() {
        let config = json!({"identities": {"app": federated("/a")}, "envoy": {
            "upstreams": [
                {"path_prefix": "/g/", "url": "https://g.example/v1/"},
                {"path_prefix": "/x/", "url": "x:80", "disabled": true},
            ],
            "rules": [{"match": {"path_prefix": "/g/"}}],
        }});
        let mut changed = config.clone();
        changed["envoy"]["rules"][0]["match"] = json!({"path_prefix": "/v1/", "host": "g.example"});
        for (config, before, behind) in [(&config, true, false), (&changed, false, true)] {
            for (as_upstream_filter, good) in [(false, before), (true, behind)] {
                let given = Given {
                    as_upstream_filter,
                    ..Given::default()
                };
                let plan = Plan::of(&config.to_string(), &Environment::default(), given);
                assert_eq!(plan.is_ok(), good, "{config} {as_upstream_filter}");
            }
        }
    }
}
