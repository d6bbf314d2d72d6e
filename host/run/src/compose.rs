//! `edgepass-run compose`: an application and a provider as one component.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use edgepass_compose::{Part, Parts};
use edgepass_core::{Config, ConfigError, Environment};
use edgepass_rules::http::HttpSettings;
use edgepass_settings::formats::{Document, Format};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::arguments::{ComposeArguments, KEYVALUE};
use crate::failure::Failure;
use crate::read;

const PROVIDER: &str = "credential-provider.wasm";

const STANDALONE: &str = "edgepass-standalone.wasm";

const FILTER: &str = "edgepass-http.wasm";

pub(crate) fn compose(arguments: &ComposeArguments) -> Result<ExitCode, Failure> {
    let application = part(&arguments.application)?;
    let config = match &arguments.config {
        Some(path) => Some(configuration(path, arguments.http)?),
        None => None,
    };
    let provider = match &arguments.provider {
        Some(path) => part(path)?,
        None if arguments.standalone => released(STANDALONE, "--provider")?,
        None => released(PROVIDER, "--provider")?,
    };
    let filter = match &arguments.filter {
        _ if !arguments.http => None,
        Some(path) => Some(part(path)?),
        None => Some(released(FILTER, "--filter")?),
    };
    let token_store = match &arguments.token_store {
        None => None,
        Some(path) if path.as_os_str() == KEYVALUE => {
            Some(released(KEYVALUE, "--token-store=COMPONENT")?)
        }
        Some(path) => Some(part(path)?),
    };
    let composed = edgepass_compose::compose(Parts {
        application,
        provider,
        token_store,
        filter,
        allowed: arguments.allow.clone(),
        config: config.map(|config| config.to_string()),
    });
    let composed = composed.map_err(|error| Failure::setup(error.to_string()))?;
    let shown = read::shown(&arguments.output);
    fs::write(&arguments.output, &composed.bytes)
        .map_err(|error| Failure::setup(format!("cannot write {shown}: {error}")))?;
    let mut text = String::new();
    for name in composed.emptied {
        text += &format!("{name} of the application is empty: the variables are the provider's\n");
    }
    if !composed.further.is_empty() {
        text += &format!(
            "the application imports {}, which whoever runs it has to give it\n",
            composed.further.join(", ")
        );
    }
    text += &format!("wrote {}\n", arguments.output.display());
    let said = io::stdout().lock().write_all(text.as_bytes());
    said.map_err(|error| Failure::setup(format!("standard output: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

fn part(path: &Path) -> Result<Part, Failure> {
    Ok(Part {
        name: path.display().to_string(),
        bytes: read::whole(path)?,
    })
}

/// A component of the release that this program belongs to: beside it, as `cargo xtask build` leaves them, or in `wasm/`
/// beside its folder, as the archive has them.
fn released(name: &str, option: &str) -> Result<Part, Failure> {
    let places = places(name);
    match places.iter().find(|path| path.exists()) {
        Some(path) => part(path),
        None => {
            let looked: Vec<_> = places
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let looked = looked.join(" and ");
            Err(Failure::setup(format!("{name} is not there: looked at {looked}")).hint(format!(
                "it is in `wasm/` of the release archive, beside `bin/`, and `cargo xtask build` makes it in dist/; or name it by {option}"
            )))
        }
    }
}

fn places(name: &str) -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(fs::canonicalize);
    let program = program.unwrap_or_default();
    let Some(folder) = program.parent() else {
        return Vec::new();
    };
    let above = folder.parent().map(|above| above.join("wasm").join(name));
    [folder.join(name)].into_iter().chain(above).collect()
}

/// The document, as the parts will read it: with an empty environment.
fn configuration(path: &Path, has_filter: bool) -> Result<Zeroizing<String>, Failure> {
    let shown = path.display().to_string();
    let bytes = Zeroizing::new(read::whole(path)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::setup(format!("{shown} is not UTF-8 text")))?;
    let document = Document::read(text, Format::of_path(path), Some(&shown));
    let document = document.map_err(|error| wrong(&error))?;
    let config = Config::load(
        Some(document.json()),
        &Environment::from_pairs::<String, String>([]),
    );
    // what a component has inside reads no variables, so a hint at one would mislead
    let config = config.map_err(|error| wrong(&document.explain(error)).hint(
        "what is part of a component reads no variables: write down what the configuration leaves to them, or leave --config out and set EDGEPASS_CONFIG_JSON where it runs",
    ))?;
    if has_filter {
        HttpSettings::check(&config).map_err(|error| wrong(&document.explain(error)))?;
    }
    let value: Value = serde_json::from_str(document.json())
        .map_err(|error| Failure::setup(format!("{shown}: {error}")))?;
    if let Some(setting) = secret(&value, &names_of_secrets()) {
        return Err(Failure::setup(format!(
            "{shown}: {setting} is a secret, and a component is copied around as any file is"
        ))
        .hint("give it by a file (`file`), or leave --config out and set EDGEPASS_CONFIG_JSON where it runs"));
    }
    Ok(Zeroizing::new(document.json().to_owned()))
}

fn wrong(error: &ConfigError) -> Failure {
    let failure = Failure::setup(error.to_string());
    match &error.hint {
        Some(hint) => failure.hint(hint.as_str()),
        None => failure,
    }
}

/// Settings whose values are secrets: those that the schema says are written and not read.
fn names_of_secrets() -> BTreeSet<String> {
    fn collect(schema: &Value, names: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    if inner.get("writeOnly") == Some(&Value::Bool(true)) {
                        names.insert(name.clone());
                    }
                    collect(inner, names);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    collect(&Config::schema(), &mut names);
    names
}

/// Whether a text is a URL with a user name, which is or has a secret: that of a proxy for example.
fn has_user(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@'))
}

/// The place of the first secret in a document.
fn secret(document: &Value, names: &BTreeSet<String>) -> Option<String> {
    match document {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let has_user = value.as_str().is_some_and(has_user);
            if (names.contains(name) && value.is_string()) || has_user {
                return Some(name.clone());
            }
            Some(format!("{name}.{}", secret(value, names)?))
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, value)| Some(format!("{index}.{}", secret(value, names)?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{names_of_secrets, secret};

    #[test]
    fn secrets_are_found_by_the_schema() {
        let names = names_of_secrets();
        for (credential, found) in [
            (
                r#"{"client_secret": {"value": "hunter2"}}"#,
                Some("client_secret.value"),
            ),
            (r#"{"client_secret": {"file": "/run/secret"}}"#, None),
            (
                r#"[{"client_assertion": {"value": "a.b.c"}}]"#,
                Some("0.client_assertion.value"),
            ),
        ] {
            let text = format!(r#"{{"identities": {{"app": {{"credential": {credential}}}}}}}"#);
            let document = serde_json::from_str(&text).unwrap();
            let place = found.map(|place| format!("identities.app.credential.{place}"));
            assert_eq!(secret(&document, &names), place, "{names:?}");
        }
        for (proxy, found) in [
            ("http://u:hunter2@proxy.example:3128", Some("host.proxy")),
            ("http://u@proxy.example:3128/", Some("host.proxy")),
            ("http://proxy.example:3128/a@b", None),
        ] {
            let document = serde_json::json!({ "host": { "proxy": proxy } });
            assert_eq!(secret(&document, &names).as_deref(), found, "{proxy}");
        }
    }
}
