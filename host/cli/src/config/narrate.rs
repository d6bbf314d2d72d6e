//! What the log says of the configuration, its identity, its files and its credentials.

use std::collections::BTreeSet;
use std::path::Path;

use edgepass::needs::FilePattern;
use edgepass::{Config, CredentialState, CredentialStatus, Environment, Provider};
use edgepass_core::inspect_jwt;

use super::Document;
use crate::failure::Warnings;
use crate::{pipe, watch};

/// A token file, bytes: what is larger is none.
const TOKEN_FILE_BYTES: u64 = 128 * 1024;

/// Says which credential of several brought the token, and why others did not: in the log where there is one, and otherwise
/// as warnings, because nothing else tells of a credential that has ended.
///
/// `direct` is what brought it where the identity has no credential of a client.
pub(crate) async fn narrate_credentials(
    provider: &Provider,
    identity: &str,
    direct: &str,
    warnings: &mut Warnings,
) {
    let mut status = provider.status().await.unwrap_or_default().into_iter();
    let status = status.find(|status| status.identity == identity);
    if status
        .as_ref()
        .is_some_and(|status| status.counters.store_ignored > 0)
    {
        warnings.add(&[format!(
            "identity {identity}: what the token store has is ignored: it was got with another certificate or secret than the \
             present one, or by a clock that is wrong, or cannot be read"
        )]);
    }
    let is_of_the_store = status
        .as_ref()
        .is_some_and(|status| status.counters.store_hits > 0);
    if is_of_the_store {
        log::info!("token store: it had the token, so no credential was asked for one");
        return;
    }
    let credentials = status.map_or_else(Vec::new, |status| status.credentials);
    let is_list = credentials.len() > 1;
    let is_logged = log::log_enabled!(log::Level::Info);
    // that of a platform is no client's, and has no status
    if credentials.is_empty() {
        log::info!("credential {direct}: brought the token");
    }
    for CredentialStatus { credential, state } in credentials {
        match state {
            CredentialState::Aside { failure, .. } if is_logged => {
                log::info!("credential {credential}: gave none: {}", failure.message);
            }
            CredentialState::Aside { failure, .. } if is_list => {
                warnings.add(&[format!(
                    "identity {identity}: {credential} gave no token, and another credential was used: {}",
                    failure.message
                )]);
            }
            CredentialState::Untried if is_logged => {
                log::info!("credential {credential}: was not needed");
            }
            CredentialState::Good(_) if is_logged => {
                log::info!("credential {credential}: brought the token");
            }
            _ => {}
        }
    }
}

/// What somebody has named as certification authorities, for people; `None` if nobody has. `json` is the configuration.
pub(crate) fn authorities(option: Option<&Path>, json: Option<&str>) -> Option<String> {
    const KIND: &str = "CA file";

    let document = json.and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    let setting = |field: &str| {
        let document = document.as_ref()?;
        let path = document.get("host")?.get(field)?.as_str()?;
        Some(watch::named(
            KIND,
            Path::new(path),
            &format!("host.{field}"),
        ))
    };
    let option = option.map(|path| watch::named(KIND, path, "--ca-file"));
    let mut named: Vec<String> = match option.or_else(|| setting("ca_file")) {
        Some(named) => vec![named],
        None => [(KIND, "SSL_CERT_FILE"), ("CA folder", "SSL_CERT_DIR")]
            .into_iter()
            .filter_map(|(kind, name)| {
                let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
                Some(watch::named(kind, Path::new(&value), name))
            })
            .collect(),
    };
    named.extend(setting("extra_ca_file"));
    Some(named.join(", or ")).filter(|named| !named.is_empty())
}

/// Says in the log which configuration, identity and files a command works with.
///
/// `process` has what is set, and `environment` what other settings give beside it. Gives the identity's credential in words;
/// nothing where nothing is logged.
pub(crate) fn narrate(
    document: Option<&Document>,
    process: &Environment,
    environment: &Environment,
    identity: Option<&str>,
) -> String {
    if !log::log_enabled!(log::Level::Info) {
        return String::new();
    }
    let json = document.map(|document| document.text.as_str());
    let Ok(config) = Config::load(json, environment) else {
        return String::new();
    };
    // what other settings hold is handed on by names of variables, which nobody has set
    let variables: BTreeSet<String> = config
        .needs()
        .variables
        .into_iter()
        .map(|variable| variable.name)
        .filter(|name| process.get(name).is_some())
        .collect();
    let variables = Vec::from_iter(variables).join(", ");
    match document {
        Some(document) if document.name.ends_with(document.setting) => {
            log::info!("configuration: {}", document.name);
        }
        Some(document) => log::info!("configuration: {} ({})", document.name, document.setting),
        None if variables.is_empty() => {
            log::info!("configuration: none, and no variable that says who this is");
        }
        None => log::info!("configuration: none; {variables} say everything"),
    }
    if document.is_some() && !variables.is_empty() {
        log::info!("variables that the configuration takes something from: {variables}");
    }
    let name = identity.or(config.default_identity.as_deref());
    let Some(identity) = name.and_then(|name| config.identities.get(name)) else {
        return String::new();
    };
    let described = identity.describe();
    let about: Vec<String> = described
        .iter()
        .map(|(what, value)| format!("{what} {value}"))
        .collect();
    for passed in identity.passed() {
        log::info!("credential {}: {}", passed.credential, passed.message);
    }
    log::info!("identity {}: {}", identity.name, about.join("; "));
    for file in &identity.needs().files {
        if let FilePattern::Exact(path) = &file.path {
            log::info!(
                "file {path} ({}): {}",
                file.setting,
                about_file(Path::new(path), &file.setting)
            );
        }
    }
    let mut described = described.into_iter();
    let credential = described.find(|(what, _)| *what == "credential");
    credential.map_or_else(String::new, |(_, words)| words)
}

/// What an assertion in a file says of itself, never the assertion. A pipe is left to whoever reads it for good.
fn about_file(path: &Path, setting: &str) -> String {
    let what = watch::named("file", path, setting);
    let waiting = watch::file(what.as_str());
    let metadata = std::fs::metadata(path);
    drop(waiting);
    match metadata {
        Err(error) => return format!("cannot be looked at: {error}"),
        Ok(metadata) if !metadata.is_file() => return "is no regular file".to_owned(),
        Ok(_) => {}
    }
    let bytes = pipe::read(path, TOKEN_FILE_BYTES, &what).unwrap_or_default();
    let Some(token) = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| inspect_jwt(text.trim()))
    else {
        return "holds no assertion to look into".to_owned();
    };
    let said = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let audiences = Some(token.aud.join(" ")).filter(|text| !text.is_empty());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let expiry = token.exp.map(|exp| match exp.checked_sub(now) {
        Some(left) => format!("{exp}, in {left} s"),
        None => format!("{exp}, {} s ago", now.saturating_sub(exp)),
    });
    format!(
        "an assertion of issuer {}, subject {}, audience {}, expiry {}",
        said(token.iss),
        said(token.sub),
        said(audiences),
        said(expiry)
    )
}
