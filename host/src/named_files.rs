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

/// Those of a configuration document, JSON: absolute paths in the settings that are of files. Other texts may be secrets, of
/// which some begin as paths do, and are not looked at.
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
                match value {
                    Value::String(text) if is_of_a_file(name) => {
                        found.extend(named(&at(name), text));
                    }
                    Value::String(_) => {}
                    value => collect(value, &at(name), found),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{setting}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Whether a field of the configuration takes the path of a file, by how all of them are named.
fn is_of_a_file(name: &str) -> bool {
    ["command", "file", "path"].contains(&name) || name.ends_with("_file")
}

/// The file of a setting that is of a file.
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
    use super::{is_of_a_file, named_files};
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[cfg(unix)]
    #[test]
    fn a_file_is_known_wherever_it_is_named() {
        let found = named_files(
            r#"{
                "identities": { "app": { "client_id": "c", "credential": [
                    { "client_secret": { "file": "/run/secret" } },
                    { "client_secret": { "value": "/SomeSecretsBeginSo" } },
                    { "executable": { "command": "/bin/mint", "arguments": ["/not/read"] } },
                    { "federated_token_file": { "path": "/run/token" } }
                ] } },
                "certificates": { "c": { "certificate_file": "/run/c.pem", "certificate_base64": "/9j/\nAAA" } },
                "host": { "ca_file": "/run/ca.pem", "token_store": { "encryption_keys_file": "/run/keys", "url": "rediss://x" } },
                "http": { "rules": [{ "match": { "host": "a.example", "path_prefix": "/v1" }, "disabled": true }] }
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
                "identities.app.credential[0].client_secret.file /run/secret",
                "identities.app.credential[2].executable.command /bin/mint",
                "identities.app.credential[3].federated_token_file.path /run/token",
            ]
        );
        assert!(named_files("{").is_empty());
    }

    /// A field of the schema that says it is of a file, and is not named as one, would be missed; and the other way round.
    #[test]
    fn fields_of_files_are_named_as_such() {
        let schema: Value = edgepass_core::config::Config::schema();
        let mut named = BTreeSet::new();
        let mut described = BTreeSet::new();
        let mut rest = vec![&schema];
        while let Some(value) = rest.pop() {
            match value {
                Value::Object(fields) => rest.extend(fields.values()),
                Value::Array(items) => rest.extend(items),
                _ => {}
            }
            let properties = value.get("properties").and_then(Value::as_object);
            for (name, field) in properties.into_iter().flatten() {
                if field.get("type") != Some(&Value::from("string")) {
                    continue;
                }
                let description = field.get("description").and_then(Value::as_str);
                let description = description.unwrap_or_default().to_lowercase();
                if is_of_a_file(name) {
                    named.insert(name.as_str());
                }
                let begins = ["pem file", "file ", "the absolute path", "absolute path"];
                if begins.iter().any(|begin| description.starts_with(begin)) {
                    described.insert(name.as_str());
                }
            }
        }
        assert!(described.is_subset(&named), "{described:?} {named:?}");
        assert_eq!(
            Vec::from_iter(named),
            [
                "ca_file",
                "certificate_file",
                "command",
                "encryption_keys_file",
                "extra_ca_file",
                "file",
                "password_file",
                "path",
                "private_key_file",
            ]
        );
    }
}
