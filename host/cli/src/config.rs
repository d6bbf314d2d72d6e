//! Where the configuration comes from, and `edgepass config`.

use std::collections::BTreeSet;
use std::path::Path;

use edgepass::{Config, Environment, Provider, process_environment};

use super::arguments::ConfigArguments;
use super::failure::{Failure, Warnings};
use super::{output, pipe, repeat};

/// The configuration, bytes: a little over what the engine accepts, so that it is the engine that refuses and explains.
const CONFIG_BYTES: u64 = 1024 * 1024;

/// What is longer is no path (`PATH_MAX` of Linux), and not repeated in errors.
const PATH_CHARS: usize = 4096;

/// Checks the configuration whole, and says what it means. Files that only a running pod has are worth a warning and
/// not a failure: the check also runs where the configuration is written.
pub(crate) fn check(arguments: &ConfigArguments, warnings: &mut Warnings) -> Result<(), Failure> {
    let json = read(arguments)?;
    let environment = process_environment();
    let config = match Config::load(json.as_deref(), &environment) {
        Ok(config) => config,
        Err(error) => {
            warn_of_unread(json.as_deref(), &environment, warnings);
            return Err(error.into());
        }
    };
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
    for warning in host.warnings().iter().chain(&host.problems()) {
        out.push_str(&format!("warning: {warning}\n"));
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

/// Warnings for who has no working configuration: where nothing is written down, a variable that is not used may be the
/// one that was meant.
pub(crate) fn warn_of_unread(
    json: Option<&str>,
    environment: &Environment,
    warnings: &mut Warnings,
) {
    if json.is_none() {
        warnings.add(&environment.unread());
    }
}

/// The JSON text of `--config`, or of the file that `EDGEPASS_CONFIG` names.
pub(crate) fn read(arguments: &ConfigArguments) -> Result<Option<String>, Failure> {
    if let Some(path) = &arguments.config {
        return read_text(path, "--config").map(Some);
    }
    let variable = std::env::var_os(Environment::EDGEPASS_CONFIG);
    let set = variable.filter(|path| path.to_str().is_none_or(|text| !text.trim().is_empty()));
    set.map(|path| read_text(Path::new(&path), Environment::EDGEPASS_CONFIG))
        .transpose()
}

/// The JSON text of the file that this setting names.
pub(crate) fn read_text(path: &Path, setting: &str) -> Result<String, Failure> {
    let text = path.to_string_lossy();
    // what is no path may be a configuration with secrets in it, and is not repeated
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let is_document = start.starts_with(['{', '[', '\'']);
    let is_quoted = text.contains(|c: char| c.is_control() || c == '"');
    if is_document || is_quoted || text.len() > PATH_CHARS || text.starts_with("eyJ") {
        return Err(Failure::setting(
            setting,
            "is not a path",
            "write the configuration into a file, and set this to the path of it, without quotes",
        ));
    }
    let bytes = read_file(path, setting, "configuration", CONFIG_BYTES)?;
    let utf16 = [&b"\xff\xfe"[..], b"\xfe\xff"];
    let is_utf16 = bytes.contains(&0) || utf16.iter().any(|mark| bytes.starts_with(mark));
    let text = String::from_utf8(bytes).ok().filter(|_| !is_utf16);
    let text = text.ok_or_else(|| {
        let what = if is_utf16 {
            "is UTF-16, and not"
        } else {
            "is not"
        };
        Failure::setup(format!(
            "the configuration {} {what} UTF-8 text: write it as UTF-8",
            path.display()
        ))
    })?;
    // who reads it as JSON need not know the byte order mark
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
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
    let bytes = pipe::read(path, limit + 1).map_err(|e| cannot(&e))?;
    if bytes.len() as u64 > limit {
        return Err(cannot(&format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
