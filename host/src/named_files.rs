//! Files that a configuration names.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::secret_json::SecretJson;

/// A file that a configuration names, whether or not it is there, with the setting that names it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NamedFile {
    /// The setting, `identities.app.credential.client_secret.file` for example, or a variable of the environment.
    pub setting: String,
    /// Which file.
    pub path: PathBuf,
}

/// Those of a configuration document, JSON: each text that is an absolute path, because no setting takes another. Which
/// settings are files is so known by nobody but whoever reads them.
pub fn named_files(json: &str) -> Vec<NamedFile> {
    let document = SecretJson(serde_json::from_str(json).unwrap_or_default());
    let mut found = Vec::new();
    collect(&document.0, "", &mut found);
    found
}

fn collect(value: &Value, setting: &str, found: &mut Vec<NamedFile>) {
    let at = |name: &str| match setting {
        "" => name.to_owned(),
        setting => format!("{setting}.{name}"),
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(value, &at(name), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &at(&index.to_string()), found);
            }
        }
        Value::String(text) => found.extend(named(setting, text)),
        _ => {}
    }
}

/// The file of a setting. A text that is none of a path may be a secret, and is not kept.
pub(crate) fn named(setting: &str, text: &str) -> Option<NamedFile> {
    /// `PATH_MAX` of Linux.
    const MOST: usize = 4096;

    let path = Path::new(text);
    let is_path = path.is_absolute() && text.len() < MOST && !text.contains(char::is_control);
    is_path.then(|| NamedFile {
        setting: setting.to_owned(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::named_files;

    #[cfg(unix)]
    #[test]
    fn a_file_is_known_wherever_it_is_named() {
        let found = named_files(
            r#"{
                "identities": { "app": { "client_id": "c", "credential": [
                    { "client_secret": { "file": "/run/secret" } },
                    { "federated_token_file": { "path": "/run/token" } }
                ] } },
                "certificates": { "c": { "certificate_file": "/run/c.pem", "certificate_base64": "/9j/\nAAA" } },
                "host": { "ca_file": "/run/ca.pem", "token_store": { "encryption_keys_file": "/run/keys", "url": "rediss://x" } },
                "http": { "rules": [{ "match": { "host": "a.example", "port": 1 }, "disabled": true }] }
            }"#,
        );
        let found: Vec<_> = found
            .iter()
            .map(|file| format!("{} {}", file.setting, file.path.display()))
            .collect();
        assert_eq!(
            found,
            [
                "certificates.c.certificate_file /run/c.pem",
                "host.ca_file /run/ca.pem",
                "host.token_store.encryption_keys_file /run/keys",
                "identities.app.credential.0.client_secret.file /run/secret",
                "identities.app.credential.1.federated_token_file.path /run/token",
            ]
        );
        assert!(named_files("{").is_empty());
    }
}
