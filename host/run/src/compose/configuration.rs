//! The configuration that becomes part of a composition.

use std::collections::BTreeSet;
use std::path::Path;

use edgepass::SecretJson;
use edgepass_core::{Config, ConfigError, Environment};
use edgepass_rules::http::HttpSettings;
use edgepass_settings::formats::{Document, Format};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::read;

/// Where a configuration belongs that is not part of the whole.
const LATER: &str = "or leave --config out and set EDGEPASS_CONFIG_JSON where it runs";

/// The document, as the parts will read it: with an empty environment.
pub(super) fn configuration(
    path: &Path,
    has_filter: bool,
    is_standalone: bool,
) -> Result<Zeroizing<String>, Failure> {
    let shown = path.display().to_string();
    let bytes = Zeroizing::new(read::whole(path)?);
    let text = edgepass::document_text(&bytes)
        .map_err(|reason| Failure::setup(format!("{shown} {reason}")).hint("write it as UTF-8"))?;
    let document = Document::read(text, Format::of_path(path), Some(&shown));
    let document = document.map_err(|error| wrong(&error))?;
    // nothing of one that cannot be read, about which there is more to say
    let value = SecretJson(serde_json::from_str(document.json()).unwrap_or_default());
    let config = load(document.json(), []).map_err(|error| {
        let trusted = std::env::var(Environment::EDGEPASS_AUTHORITY_HOSTS).ok();
        let is_of_variables = is_of_variables(&error, document.json(), &value.0, trusted);
        let failure = wrong(&document.explain(error));
        match is_of_variables {
            // what is said of a variable would mislead
            true => failure.hint(format!(
                "what is part of a component reads no variables: write down what the configuration leaves to them, {LATER}"
            )),
            false => failure,
        }
    })?;
    if has_filter {
        HttpSettings::check(&config).map_err(|error| wrong(&document.explain(error)))?;
    }
    if let Some(setting) = secret(&value.0, &names_of_secrets()) {
        return Err(Failure::setup(format!(
            "{shown}: {setting} is a secret, and a component is copied around as any file is"
        ))
        .hint(format!("give it by a file (`file`), {LATER}")));
    }
    if is_standalone && let Some((setting, reason)) = beyond_standalone(&config) {
        let place = document.place(&setting).unwrap_or(shown);
        return Err(Failure::setup(format!(
            "{place}: {setting}: {reason}, and the standalone provider has WASI alone"
        ))
        .hint(
            "leave --standalone out, for a host that has it; or take a credential of another kind",
        ));
    }
    Ok(Zeroizing::new(document.json().to_owned()))
}

fn load(
    json: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    Config::load(Some(json), &Environment::from_pairs(variables))
}

/// Whether a mistake is that nothing is read from variables: with a value for each that may be meant it is another one,
/// or none. `trusted` is what the variable of authority hosts has here.
fn is_of_variables(
    error: &ConfigError,
    json: &str,
    document: &Value,
    trusted: Option<String>,
) -> bool {
    const TRUSTED: &str = Environment::EDGEPASS_AUTHORITY_HOSTS;
    const OF_WORKLOADS: [(&str, &str); 4] = [
        ("EDGEPASS_ALLOW_EXECUTABLES", "1"),
        (
            Environment::AZURE_TENANT_ID,
            "11111111-2222-3333-4444-555555555555",
        ),
        (
            Environment::AZURE_CLIENT_ID,
            "11111111-2222-3333-4444-555555555555",
        ),
        (
            Environment::AZURE_FEDERATED_TOKEN_FILE,
            "/edgepass-stand-in",
        ),
    ];

    let mut named = Vec::new();
    variables(document, &mut named);
    let named = named.into_iter().map(|name| (name, "stand-in".to_owned()));
    let known = OF_WORKLOADS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let pairs: Vec<(String, String)> = named.chain(known).collect();
    let trusted = trusted.map(|hosts| (TRUSTED.to_owned(), hosts));
    let with_hosts = trusted.map(|trusted| [pairs.as_slice(), &[trusted]].concat());
    [Some(pairs), with_hosts]
        .into_iter()
        .flatten()
        .any(|pairs| {
            match load(json, pairs) {
                Ok(_) => true,
                // what is wrong with that variable itself is nothing of the document's
                Err(other) => other != *error && other.setting != TRUSTED,
            }
        })
}

/// The variables that a document takes something from.
fn variables(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(variable) if name == "env" || name.ends_with("_env") => {
                        found.push(variable.clone());
                    }
                    value => variables(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| variables(item, found)),
        _ => {}
    }
}

/// What of a configuration the standalone provider cannot have: the setting, and what that needs. A credential in a list gives
/// way to the others, so it may stand there.
fn beyond_standalone(config: &Config) -> Option<(String, &'static str)> {
    let needs = config
        .identities
        .values()
        .filter(|identity| identity.credential_count() < 2);
    let of_credentials = needs.filter_map(|identity| {
        let needs = identity.needs();
        let certificate = needs.certificates.first();
        let certificate = certificate.map(|need| {
            (
                need.setting.clone(),
                "the key of a certificate stays with the host",
            )
        });
        let issued = needs.issued_certificates.first();
        let issued = issued.map(|need| (need.setting.clone(), "the host gets that certificate"));
        let source = needs.assertion_source.clone();
        let source = source.map(|setting| (setting, "the host brings the assertion"));
        let of_host = needs.host_sources.first();
        let of_host = of_host.map(|need| (need.setting.clone(), "the host gets the assertion"));
        certificate.or(issued).or(source).or(of_host)
    });
    let store = config.host.token_store.as_ref();
    let store = store.map(|_| {
        (
            "host.token_store".to_owned(),
            "instances share tokens by the host",
        )
    });
    of_credentials.into_iter().next().or(store)
}

fn wrong(error: &ConfigError) -> Failure {
    let place = error.place.as_ref();
    let place = place.map_or_else(String::new, |place| format!(" ({place})"));
    let failure = Failure::setup(format!("{}: {}{place}", error.setting, error.message));
    match &error.hint {
        // the variable would count where the document is made, and not where the whole runs
        Some(hint) => failure.hint(hint.replace(" or EDGEPASS_AUTHORITY_HOSTS", "")),
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
    use edgepass::SecretJson;

    use super::{beyond_standalone, is_of_variables, load, names_of_secrets, secret, wrong};

    /// A document with one identity that has these fields besides.
    fn document(fields: &str) -> String {
        format!(r#"{{"identities": {{"app": {{{fields}}}}}}}"#)
    }

    #[test]
    fn mistakes_are_told_from_variables_that_nobody_reads() {
        const CLIENT: &str = r#""tenant_id": "t.example", "client_id": "c""#;
        const FILE: &str = r#""credential": {"federated_token_file": {"path": "/t"}}"#;
        for (json, expected) in [
            // left to variables
            (document(r#""client_id": "c""#), true),
            (document(r#""tenant_id": "t.example""#), true),
            (document(CLIENT), true),
            (
                document(&format!(
                    r#"{CLIENT}, "credential": {{"client_secret": {{"env": "SECRET"}}}}"#
                )),
                true,
            ),
            // wrong by themselves
            ("{".to_owned(), false),
            ("[]".to_owned(), false),
            (r#"{"identites": {}}"#.to_owned(), false),
            (
                document(&format!(r#"{CLIENT}, {FILE}, "scope": []"#)),
                false,
            ),
            (
                document(&format!(r#"{CLIENT}, {FILE}, "scopes": ["User.Read"]"#)),
                false,
            ),
            (
                document(&format!(
                    r#""tenant_id": "common", "client_id": "c", {FILE}"#
                )),
                false,
            ),
            (
                document(&format!(
                    r#"{CLIENT}, "credential": {{"federated_token_file": {{"path": "t"}}}}"#
                )),
                false,
            ),
        ] {
            let error = load(&json, []).unwrap_err();
            let value = SecretJson(serde_json::from_str(&json).unwrap_or_default());
            // which it is not about
            for trusted in [None, Some("idp.example"), Some("https://idp.example")] {
                let trusted = trusted.map(str::to_owned);
                assert_eq!(
                    is_of_variables(&error, &json, &value.0, trusted),
                    expected,
                    "{json}: {error}"
                );
            }
        }
    }

    #[test]
    fn hosts_that_a_variable_trusts_are_to_be_written_down() {
        for (fields, trusted, expected) in [
            (
                r#""tenant_id": "t.example", "authority_host": "https://idp.example""#,
                Some("idp.example"),
                true,
            ),
            (
                r#""token_endpoint": "https://idp.example/token""#,
                Some("other.example, idp.example"),
                true,
            ),
            (
                r#""token_endpoint": "https://idp.example/token""#,
                Some("other.example"),
                false,
            ),
            // wrong itself, and it is not read where the whole runs
            (
                r#""token_endpoint": "https://idp.example/token""#,
                Some("https://idp.example"),
                false,
            ),
            (
                r#""token_endpoint": "https://idp.example/token""#,
                None,
                false,
            ),
        ] {
            let json = document(&format!(
                r#"{fields}, "client_id": "c", "credential": {{"federated_token_file": {{"path": "/t"}}}}"#
            ));
            let error = load(&json, []).unwrap_err();
            let value = SecretJson(serde_json::from_str(&json).unwrap_or_default());
            let found = is_of_variables(&error, &json, &value.0, trusted.map(str::to_owned));
            assert_eq!(found, expected, "{fields}, {trusted:?}: {error}");
            // nor is the variable recommended
            let said = format!("{:?}", wrong(&error));
            assert!(said.contains("to authority_hosts"), "{said}");
            assert!(!said.contains("EDGEPASS_AUTHORITY_HOSTS"), "{said}");
        }
    }

    #[test]
    fn what_the_standalone_provider_cannot_have_is_found() {
        const CLIENT: &str = r#""tenant_id": "t.example", "client_id": "c""#;
        const CERTIFICATE: &str = r#"{"certificate": {"name": "c"}}"#;
        const FILE: &str = r#"{"federated_token_file": {"path": "/t"}}"#;
        for (credential, expected) in [
            (FILE, None),
            (r#"{"managed_identity_assertion": {}}"#, None),
            (r#"{"client_secret": {"file": "/s"}}"#, None),
            (CERTIFICATE, Some("identities.app.credential.certificate")),
            (
                r#"{"bound_certificate": {"name": "c"}}"#,
                Some("identities.app.credential.bound_certificate"),
            ),
            (
                r#"{"spiffe": {"socket": "unix:///run/spire/agent.sock"}}"#,
                Some("identities.app.credential.spiffe"),
            ),
            (
                r#"{"assertion_source": {}}"#,
                Some("identities.app.credential.assertion_source"),
            ),
            // the other one is there
            (&format!("[{CERTIFICATE}, {FILE}]"), None),
        ] {
            let json = document(&format!(r#"{CLIENT}, "credential": {credential}"#));
            let config = load(&json, []).unwrap();
            let found = beyond_standalone(&config).map(|(setting, _)| setting);
            let begins = match (&found, expected) {
                (Some(found), Some(expected)) => found.starts_with(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(begins, "{credential}: {found:?}");
        }
    }

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
