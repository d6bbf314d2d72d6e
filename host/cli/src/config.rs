//! Where the configuration comes from, and `edgepass config`.

use std::io::Read;
use std::path::{Path, PathBuf};

use edgepass::config::{Credential, IdentityConfig, SecretValue};
use edgepass::{Config, Environment, Provider, process_environment};

use super::arguments::ConfigArguments;
use super::failure::Failure;
use super::output;

/// The configuration, bytes: a little over what the engine accepts, so that it is the engine that refuses and explains.
const CONFIG_BYTES: u64 = 1024 * 1024;

/// Checks the configuration whole, and says what it means. Files that only a running pod has are worth a warning and
/// not a failure: the check also runs where the configuration is written.
pub(crate) fn check(arguments: &ConfigArguments) -> Result<(), Failure> {
    let json = read(arguments)?;
    let environment = process_environment();
    let config = Config::load(json.as_deref(), &environment).map_err(edgepass::BuildError::from)?;
    let mut builder = Provider::builder().environment(environment);
    if let Some(json) = json {
        builder = builder.config_json(json);
    }
    let host = builder.build_host()?;

    let mut out = match &config.default_identity {
        Some(name) => {
            format!("the configuration is good; requests that name no identity use {name}\n")
        }
        None => "the configuration is good; requests must name one of its identities\n".to_owned(),
    };
    for identity in config.identities.values() {
        out.push_str(&format!("identity {}\n", identity.name));
        for (what, value) in describe(identity) {
            out.push_str(&format!("  {what}: {value}\n"));
        }
    }
    out.push_str(&format!(
        "token requests go to {}\n",
        Vec::from_iter(config.token_hosts()).join(", ")
    ));
    for problem in host.problems() {
        out.push_str(&format!("warning: {problem}\n"));
    }
    output::write(out.as_bytes())
}

/// Prints the JSON Schema of the configuration.
pub(crate) fn schema() -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(&Config::schema())
        .map_err(|e| Failure::setup(format!("the schema cannot be written: {e}")))?;
    text.push('\n');
    output::write(text.as_bytes())
}

/// The JSON text of `--config`, or of the file that `EDGEPASS_CONFIG` names.
pub(crate) fn read(arguments: &ConfigArguments) -> Result<Option<String>, Failure> {
    let environment = std::env::var_os(Environment::EDGEPASS_CONFIG)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let Some(path) = arguments.config.clone().or(environment) else {
        return Ok(None);
    };
    read_text(&path).map(Some)
}

/// The JSON text of that file.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read_file(path, "configuration", CONFIG_BYTES)?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::setup(format!(
            "the configuration {} is not UTF-8 text",
            path.display()
        ))
    })
}

/// A whole file of that kind.
pub(crate) fn read_file(path: &Path, kind: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let cannot = |reason: &dyn std::fmt::Display| {
        Failure::setup(format!(
            "the {kind} {} cannot be read: {reason}",
            path.display()
        ))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| cannot(&e))?;
    if bytes.len() as u64 > limit {
        return Err(cannot(&format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn describe(identity: &IdentityConfig) -> Vec<(&'static str, String)> {
    let tenant = identity.tenant.as_deref();
    let bound = matches!(identity.credential, Credential::BoundCertificate { .. });
    let endpoint = identity.authority.token_endpoint(tenant, bound);
    let mut out = vec![
        ("client", identity.client_id.clone()),
        (
            "token endpoint",
            endpoint.map_or_else(|e| e.to_string(), |endpoint| endpoint.url()),
        ),
        ("credential", credential(&identity.credential)),
    ];
    if !identity.scopes.is_empty() {
        out.push(("scopes", identity.scopes.join(" ")));
    }
    if !identity.additionally_allowed_tenants.is_empty() {
        out.push((
            "further tenants",
            identity.additionally_allowed_tenants.join(" "),
        ));
    }
    out
}

fn credential(credential: &Credential) -> String {
    let place = |value: &SecretValue| match value {
        SecretValue::File(path) => path.clone(),
        _ => "in the configuration or environment".to_owned(),
    };
    match credential {
        Credential::FederatedTokenFile { path, .. } => format!("federated token file {path}"),
        Credential::ClientAssertion { value, .. } => format!("client assertion, {}", place(value)),
        Credential::AssertionSource { .. } => {
            "client assertion from the embedding program".to_owned()
        }
        Credential::ClientSecret { value, .. } => format!("client secret, {}", place(value)),
        Credential::Certificate(certificate) => {
            format!(
                "certificate {}, {}",
                certificate.name,
                certificate.algorithm.name()
            )
        }
        Credential::BoundCertificate { certificate, .. } => {
            format!("certificate {} on the connection (mTLS)", certificate.name)
        }
        _ => "of a kind that this command does not know".to_owned(),
    }
}
