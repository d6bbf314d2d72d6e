//! Where the configuration comes from, and `edgepass config`.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use edgepass::{Config, Environment, Provider, process_environment};

use super::arguments::ConfigArguments;
use super::failure::Failure;
use super::{output, repeat};

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
        for (what, value) in identity.describe() {
            out.push_str(&format!("  {what}: {value}\n"));
        }
    }
    let connections = config.needs().connections.into_iter();
    let hosts: BTreeSet<String> = connections.map(|c| c.permission.authority).collect();
    out.push_str(&format!(
        "token requests go to {}\n",
        Vec::from_iter(hosts).join(", ")
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
    match (&arguments.config, environment) {
        (Some(path), _) => read_text(path, "--config").map(Some),
        (None, Some(path)) => read_text(&path, Environment::EDGEPASS_CONFIG).map(Some),
        (None, None) => Ok(None),
    }
}

/// The JSON text of the file that this setting names.
pub(crate) fn read_text(path: &Path, setting: &str) -> Result<String, Failure> {
    if path.to_string_lossy().trim_start().starts_with(['{', '[']) {
        return Err(Failure::setting(
            setting,
            "has a document in the place of a path",
            "write the document to a file and name that here; only the component itself reads JSON from EDGEPASS_CONFIG",
        ));
    }
    let bytes = read_file(path, setting, "configuration", CONFIG_BYTES)?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::setup(format!(
            "the configuration {} is not UTF-8 text",
            path.display()
        ))
    })
}

/// The whole file of that kind that this setting names.
pub(crate) fn read_file(
    path: &Path,
    setting: &str,
    kind: &str,
    limit: u64,
) -> Result<Vec<u8>, Failure> {
    let cannot = |reason: &dyn std::fmt::Display| {
        // it may be the secret, or the document, that belongs into the file
        match path.to_str().filter(|text| repeat::is_harmless(text)) {
            Some(path) => Failure::setup(format!("the {kind} {path} cannot be read: {reason}")),
            None => Failure::setting(
                setting,
                format!("what it names cannot be read: {reason}"),
                "give the path of a file; what was given does not look like one and is not repeated",
            ),
        }
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
