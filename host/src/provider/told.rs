//! What the component is told of configuration and environment.

use std::collections::BTreeSet;

#[cfg(feature = "token-store")]
use edgepass_core::config::TokenStoreFile;
use edgepass_core::{ConfigError, Environment, Needs, Secret, without_byte_order_mark};

use super::error::BuildError;
use crate::secret_json::{SecretJson, wipe};

/// What the component is told: its configuration, and the variables that something was taken from. Not the rest of a
/// process's environment.
pub(super) fn guest_environment(
    config: Option<Secret>,
    environment: &Environment,
    needs: &Needs,
) -> Vec<(String, Secret)> {
    let told = needs.variables.iter().filter(|v| !v.is_of_the_host());
    let names: BTreeSet<&str> = told.map(|v| v.name.as_str()).collect();
    let mut out: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let value = environment.get(name)?;
            Some((name.to_owned(), Secret::new(value)))
        })
        .collect();
    out.extend(config.map(|json| (Environment::EDGEPASS_CONFIG_JSON.to_owned(), json)));
    out
}

/// The configuration with that store. `None` of one that cannot be read, about which there is more to say.
#[cfg(feature = "token-store")]
pub(super) fn with_token_store(document: Option<&str>, store: &TokenStoreFile) -> Option<Secret> {
    // all by name, so that a new setting is not forgotten here
    let TokenStoreFile {
        url,
        encryption_keys_file,
        username,
        password_file,
        password_env,
        ca_file,
        database,
        key_prefix,
        users,
    } = store;
    let section = serde_json::json!({
        "url": url, "encryption_keys_file": encryption_keys_file, "username": username,
        "password_file": password_file, "password_env": password_env, "ca_file": ca_file, "database": database,
        "key_prefix": key_prefix, "users": users,
    });
    let text = without_byte_order_mark(document.unwrap_or("{}"));
    let mut document = SecretJson(serde_json::from_str(text).ok()?);
    let host = document
        .0
        .as_object_mut()?
        .entry("host")
        .or_insert_with(|| serde_json::json!({}));
    host.as_object_mut()?
        .insert("token_store".to_owned(), section);
    Some(Secret::new(document.0.to_string()))
}

/// The configuration without the private keys that it has in it: those stay in the host.
pub(super) fn without_keys(document: &str) -> Result<Secret, BuildError> {
    let unreadable =
        |e: serde_json::Error| ConfigError::new("configuration", format!("not JSON: {e}"));
    let text = without_byte_order_mark(document);
    let mut document = SecretJson(serde_json::from_str(text).map_err(unreadable)?);
    let certificates = document.0.get_mut("certificates");
    let certificates = certificates.and_then(serde_json::Value::as_object_mut);
    for files in certificates.into_iter().flat_map(|map| map.values_mut()) {
        if let Some(base64) = files.get_mut("certificate_base64") {
            wipe(base64);
            *base64 = serde_json::Value::from("kept by the host");
        }
    }
    Ok(Secret::new(document.0.to_string()))
}
