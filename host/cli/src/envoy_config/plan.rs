//! What a configuration needs of Envoy: which token endpoints, which files, which certificates. What the filter would
//! refuse at its start is refused here, in the same words.

use std::collections::{BTreeMap, BTreeSet};

use edgepass::config::envoy::{EnvoyFile, EnvoyRuleFile};
use edgepass::config::file::{BoundMode, CertificateFiles};
use edgepass::config::{
    CertificateCredential, Credential, IdentityConfig, SecretValue, check_scopes,
};
use edgepass::{BuildError, Config, Environment};
use edgepass_core::Algorithm;

use super::document::Node;
use super::{FILES_CLUSTER, UPSTREAM_CLUSTER};
use crate::failure::Failure;

/// The port of a token endpoint that names none.
const HTTPS_PORT: u16 = 443;

/// Variables that a virtual machine of Envoy may be given by name. Not those that hold secrets: Envoy does not show
/// them, but the filter's memory keeps them.
const VARIABLES: [&str; 5] = [
    Environment::AZURE_TENANT_ID,
    Environment::AZURE_CLIENT_ID,
    Environment::AZURE_FEDERATED_TOKEN_FILE,
    Environment::AZURE_AUTHORITY_HOST,
    Environment::EDGEPASS_AUTHORITY_HOSTS,
];

/// What has to be in Envoy's configuration.
pub(super) struct Plan {
    /// The plugin's configuration, JSON in ASCII.
    pub(super) plugin: String,
    /// Environment variables that it leaves things to.
    pub(super) variables: Vec<&'static str>,
    /// The files that the filter reads, if it reads any.
    pub(super) files: Option<Files>,
    /// A cluster for each host of a token endpoint.
    pub(super) token_clusters: Vec<TokenCluster>,
    /// Whether the filter has to sign assertions.
    pub(super) signs: bool,
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
    pub(super) host: String,
    pub(super) port: u16,
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

impl ServedFile {
    /// The folder, in which a rotation is seen.
    pub(super) fn folder(&self) -> &str {
        folder(&self.path)
    }
}

impl Certificate {
    /// The folder, in which a rotation is seen.
    pub(super) fn folder(&self) -> &str {
        folder(&self.chain)
    }
}

impl Plan {
    /// The plan of a configuration. What it leaves out comes from the environment only if it must.
    pub(super) fn of(json: &str, environment: &Environment) -> Result<Self, Failure> {
        let document = serde_json::from_str::<Node>(json);
        if let Ok(document) = &document {
            refuse_variables(document)?;
        }
        let (config, variables) = match Config::load(Some(json), &Environment::default()) {
            Ok(config) => (config, Vec::new()),
            Err(_) => {
                let config = Config::load(Some(json), environment).map_err(BuildError::from)?;
                let set = |name: &&str| environment.get(name).is_some();
                (config, VARIABLES.into_iter().filter(set).collect())
            }
        };
        if let Some(setting) = config.secrets_in_document.first() {
            return Err(in_the_open(setting));
        }
        // what the engine has read is JSON
        let mut document = document.map_err(|error| Failure::setup(error.to_string()))?;
        let file = config.envoy.clone().unwrap_or_default();
        let identities = used_identities(&config, &file)?;
        let mut signs = false;
        for identity in &identities {
            refuse_what_needs_a_host(identity)?;
            signs |= signature(identity).is_some();
        }
        let token_clusters = token_clusters(&config, &file, &identities)?;
        let files = files(&config, &file, &identities)?;
        complete(&mut document, &token_clusters, files.as_ref());
        Ok(Self {
            plugin: document.pretty(),
            variables,
            files,
            token_clusters,
            signs,
        })
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

/// Fills the section `envoy`: what is there stays.
fn complete(document: &mut Node, token_clusters: &[TokenCluster], files: Option<&Files>) {
    let Some(section) = document.field("envoy", Node::object()) else {
        return;
    };
    if let Some(clusters) = section.field("token_clusters", Node::object()) {
        for cluster in token_clusters {
            clusters.field(&cluster.authority(), Node::text(&cluster.name));
        }
    }
    if let Some(files) = files
        && let Some(section) = section.field("files", Node::object())
    {
        section.field("cluster", Node::text(&files.cluster));
    }
}

impl TokenCluster {
    fn authority(&self) -> String {
        match self.port {
            HTTPS_PORT => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }
}

/// The identities that the rules use: the others may be for another driver.
fn used_identities<'a>(
    config: &'a Config,
    file: &EnvoyFile,
) -> Result<Vec<&'a IdentityConfig>, Failure> {
    let everything = [EnvoyRuleFile::default()];
    let rules: &[EnvoyRuleFile] = if file.rules.is_empty() {
        &everything
    } else {
        &file.rules
    };
    let mut used: BTreeMap<&str, &IdentityConfig> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.disabled) {
        let place = format!("envoy.rules[{index}]");
        let Some(name) = rule.identity.as_ref().or(config.default_identity.as_ref()) else {
            return Err(Failure::setting(
                format!("{place}.identity"),
                "is missing, and there are several identities with none marked as default",
                "name one, or set default_identity",
            ));
        };
        let Some(identity) = config.identities.get(name) else {
            let known: Vec<&str> = config.identities.keys().map(String::as_str).collect();
            return Err(Failure::setting(
                format!("{place}.identity"),
                "names no identity of this configuration",
                format!("there are: {}", known.join(", ")),
            ));
        };
        check_rule_scopes(&place, rule, identity)?;
        used.insert(&identity.name, identity);
    }
    Ok(used.into_values().collect())
}

fn check_rule_scopes(
    place: &str,
    rule: &EnvoyRuleFile,
    identity: &IdentityConfig,
) -> Result<(), Failure> {
    let setting = format!("{place}.scopes");
    let scopes = if rule.scopes.is_empty() {
        &identity.scopes
    } else {
        &rule.scopes
    };
    if scopes.is_empty() {
        return Err(Failure::setting(
            setting,
            format!(
                "there are none, neither here nor in identities.{}.scopes",
                identity.name
            ),
            "name the scopes of the resource, https://graph.microsoft.com/.default for example",
        ));
    }
    match check_scopes(&identity.authority, scopes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Setup {
            setting: Some(setting),
            message: error.to_string(),
            hint: error.detail().hint.clone(),
        }),
    }
}

/// A secret that comes from a variable. Envoy could pass it on, but then it would be in every virtual machine.
fn refuse_variables(document: &Node) -> Result<(), Failure> {
    let Some(identities) = document.get(&["identities"]) else {
        return Ok(());
    };
    for name in identities.names() {
        for kind in ["client_secret", "client_assertion"] {
            if identities.get(&[name, "credential", kind, "env"]).is_some() {
                return Err(from_the_environment(format!(
                    "identities.{name}.credential.{kind}.env"
                )));
            }
        }
    }
    Ok(())
}

/// What only a program around the engine can do.
fn refuse_what_needs_a_host(identity: &IdentityConfig) -> Result<(), Failure> {
    let at = |field: &str| format!("identities.{}.{field}", identity.name);
    if let Some((kind, certificate)) = signature(identity)
        && certificate.algorithm == Algorithm::Ps256
    {
        return Err(Failure::setting(
            at(&format!("credential.{kind}.algorithm")),
            "is PS256, which Envoy has no function for",
            "set it to RS256, which Entra ID takes as well",
        ));
    }
    match &identity.credential {
        Credential::AssertionSource { .. } => Err(Failure::setting(
            at("credential.assertion_source"),
            "there is no assertion source in Envoy",
            "use federated_token_file",
        )),
        Credential::ClientSecret {
            value: SecretValue::Inline(_),
            ..
        } => Err(from_the_environment(at("credential.client_secret"))),
        Credential::ClientAssertion {
            value: SecretValue::Inline(_),
            ..
        } => Err(from_the_environment(at("credential.client_assertion"))),
        _ => Ok(()),
    }
}

/// The kind of credential and the certificate with whose key the filter signs an identity's assertions.
fn signature(identity: &IdentityConfig) -> Option<(&'static str, &CertificateCredential)> {
    match &identity.credential {
        Credential::Certificate(certificate) => Some(("certificate", certificate)),
        Credential::BoundCertificate {
            certificate,
            mode: BoundMode::WithAssertion,
        } => Some(("bound_certificate", certificate)),
        _ => None,
    }
}

fn in_the_open(setting: &str) -> Failure {
    Failure::setting(
        setting,
        "stands in the plugin's configuration, which Envoy shows in /config_dump",
        "put the secret into a file and name that with `file`",
    )
}

fn from_the_environment(setting: String) -> Failure {
    Failure::setting(
        setting,
        "comes from an environment variable, which the Envoy filter does not read secrets from",
        "put the secret into a file and name that with `file`",
    )
}

fn token_clusters(
    config: &Config,
    file: &EnvoyFile,
    identities: &[&IdentityConfig],
) -> Result<Vec<TokenCluster>, Failure> {
    // by host, so that their order is that of the names and not that of the identities
    let mut hosts: BTreeMap<String, (Option<Certificate>, &str)> = BTreeMap::new();
    for identity in identities {
        let certificate = certificate(config, identity)?;
        let endpoint = identity
            .authority
            .token_endpoint(identity.tenant.as_deref(), certificate.is_some())?;
        let (known, first) = hosts
            .entry(endpoint.authority.clone())
            .or_insert((None, &identity.name));
        if let (Some(known), Some(certificate)) = (&known, &certificate)
            && known != certificate
        {
            return Err(Failure::setting(
                format!(
                    "identities.{}.credential.bound_certificate.name",
                    identity.name
                ),
                format!(
                    "identity `{first}` authenticates itself at {} with another certificate, and a cluster of Envoy has one",
                    endpoint.authority
                ),
                "give each of them a configuration and a filter of its own",
            ));
        }
        if certificate.is_some() {
            (*known, *first) = (certificate, &identity.name);
        }
    }
    let files = file.files.as_ref().map(|files| files.cluster.as_str());
    let mut taken = BTreeSet::from([UPSTREAM_CLUSTER, files.unwrap_or(FILES_CLUSTER)]);
    taken.extend(file.token_clusters.values().map(String::as_str));
    let mut taken: BTreeSet<String> = taken.into_iter().map(str::to_owned).collect();
    let mut clusters: Vec<TokenCluster> = Vec::new();
    for (authority, (certificate, _)) in hosts {
        let name = match file.token_clusters.get(&authority) {
            Some(name) => {
                let setting = format!("envoy.token_clusters.{authority}");
                check_cluster(&setting, name)?;
                name.clone()
            }
            None => unused_name(&authority, &mut taken),
        };
        if name == UPSTREAM_CLUSTER
            || Some(name.as_str()) == files
            || clusters.iter().any(|cluster| cluster.name == name)
        {
            return Err(Failure::setting(
                format!("envoy.token_clusters.{authority}"),
                format!("`{name}` is the cluster of something else as well"),
                "give each token endpoint a cluster of its own, which checks the server's name",
            ));
        }
        let (host, port) = host_and_port(&authority);
        clusters.push(TokenCluster {
            name,
            host: host.to_owned(),
            port,
            certificate,
        });
    }
    Ok(clusters)
}

/// The certificate of an identity's connections.
fn certificate(config: &Config, identity: &IdentityConfig) -> Result<Option<Certificate>, Failure> {
    let Credential::BoundCertificate { certificate, .. } = &identity.credential else {
        return Ok(None);
    };
    let files = certificate_files(config, identity, certificate)?;
    let chain = files.certificate_file.clone();
    Ok(Some(Certificate {
        name: certificate.name.clone(),
        key: files
            .private_key_file
            .clone()
            .unwrap_or_else(|| chain.clone()),
        chain,
    }))
}

fn certificate_files<'a>(
    config: &'a Config,
    identity: &IdentityConfig,
    certificate: &CertificateCredential,
) -> Result<&'a CertificateFiles, Failure> {
    let name = &certificate.name;
    config.certificates.get(name).ok_or_else(|| {
        let use_of_it = if signature(identity).is_some() {
            "signs with"
        } else {
            "uses"
        };
        Failure::setting(
            format!("certificates.{name}"),
            format!(
                "is missing, but identity `{}` {use_of_it} it",
                identity.name
            ),
            "name its files: {\"certificate_file\": …, \"private_key_file\": …}",
        )
    })
}

/// The files that the filter reads for an identity, each with the setting that names it.
fn files_of<'a>(
    config: &'a Config,
    identity: &'a IdentityConfig,
) -> Result<Vec<(String, &'a str)>, Failure> {
    let mut found = Vec::new();
    if let Some(path) = identity.credential.file_path() {
        let kind = match &identity.credential {
            Credential::ClientSecret { .. } => "client_secret.file",
            Credential::ClientAssertion { .. } => "client_assertion.file",
            _ => "federated_token_file.path",
        };
        found.push((
            format!("identities.{}.credential.{kind}", identity.name),
            path,
        ));
    }
    if let Some((_, certificate)) = signature(identity) {
        let files = certificate_files(config, identity, certificate)?;
        let place = format!("certificates.{}", certificate.name);
        found.push((
            format!("{place}.certificate_file"),
            files.certificate_file.as_str(),
        ));
        if let Some(key) = &files.private_key_file {
            found.push((format!("{place}.private_key_file"), key));
        }
    }
    Ok(found)
}

fn files(
    config: &Config,
    file: &EnvoyFile,
    identities: &[&IdentityConfig],
) -> Result<Option<Files>, Failure> {
    let settings = file.files.clone().unwrap_or_default();
    let cluster = match &file.files {
        Some(files) => files.cluster.clone(),
        None => FILES_CLUSTER.to_owned(),
    };
    check_cluster("envoy.files.cluster", &cluster)?;
    if cluster == UPSTREAM_CLUSTER {
        return Err(Failure::setting(
            "envoy.files.cluster",
            format!("`{cluster}` is the cluster of the upstream"),
            "choose another name",
        ));
    }
    let mut served = BTreeSet::new();
    for identity in identities {
        for (setting, path) in files_of(config, identity)? {
            let Some(rest) = path.strip_prefix(&settings.strip_prefix) else {
                return Err(Failure::setting(
                    "envoy.files.strip_prefix",
                    format!(
                        "is not the beginning of the path that identity `{}` reads",
                        identity.name
                    ),
                    "write the folder that all its files are in, or leave it out",
                ));
            };
            let request_path = format!("{}{rest}", settings.add_prefix);
            check_request_path(setting, &request_path)?;
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
        cluster,
        served: served.into_iter().collect(),
    }))
}

/// The filter asks for a file by its path, as it is.
fn check_request_path(setting: String, path: &str) -> Result<(), Failure> {
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

fn check_cluster(setting: &str, name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.contains(char::is_control) {
        return Err(Failure::setting(
            setting,
            "is not the name of a cluster",
            "write the `name` of one of Envoy's clusters",
        ));
    }
    Ok(())
}

/// A cluster's name for a host, without the dots that would take Envoy's statistics apart.
fn unused_name(authority: &str, taken: &mut BTreeSet<String>) -> String {
    let plain: String = authority
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let first = format!("idp_{plain}");
    let mut name = first.clone();
    let mut number = 1_u32;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{first}_{number}");
    }
    name
}

fn host_and_port(authority: &str) -> (&str, u16) {
    // the engine has checked it: what stands after the last colon outside brackets is a port
    let with_port = authority
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)));
    with_port.unwrap_or((authority, HTTPS_PORT))
}

fn folder(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    }
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
        Plan::of(&config.to_string(), &Environment::default())
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
        config["identities"]["b"] = bound("two");
        let (setting, message) = refused(&config);
        assert_eq!(setting, "identities.b.credential.bound_certificate.name");
        assert!(message.contains("identity `a`"), "{message}");
        config["identities"]["b"] = bound("three");
        assert_eq!(refused(&config).0, "certificates.three");
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
                .map(|file| (file.path.as_str(), file.folder()))
                .collect();
            assert_eq!(paths, [("/v/tls.crt", "/v"), ("/v/tls.key", "/v")]);
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
        assert_eq!(folder("/t"), "/");
    }

    #[test]
    fn nobody_is_guessed() {
        let config = json!({"identities": {"a": federated("/a"), "b": federated("/b")}});
        assert_eq!(refused(&config).0, "envoy.rules[0].identity");
        let mut config = json!({"identities": {"a": federated("/a")}});
        config["identities"]["a"]["scopes"] = json!([]);
        assert_eq!(refused(&config).0, "envoy.rules[0].scopes");
    }
}
