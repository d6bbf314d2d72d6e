//! What is required is found by leaving out each field of configurations that are valid.

use std::collections::BTreeMap;
use std::path::Path;

use edgepass_core::{Config, Environment};
use serde_json::Value;

use crate::validator;

/// The golden conversations' configurations, with what their environment has besides.
fn golden() -> Vec<(String, Value, Environment)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    let mut out = Vec::new();
    for case in std::fs::read_dir(&cases).unwrap() {
        let folder = case.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("config.json")) else {
            // of the environment alone
            continue;
        };
        let Ok(document) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}'))
        else {
            continue;
        };
        let variables = std::fs::read_to_string(folder.join("env.json")).unwrap_or("{}".to_owned());
        let variables: BTreeMap<String, String> = serde_json::from_str(&variables).unwrap();
        let usual = [
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
        ];
        let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment::from_pairs(usual.into_iter().chain(variables));
        if Config::load(Some(&document.to_string()), &environment).is_ok() {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            out.push((name, document, environment));
        }
    }
    assert!(out.len() > 100, "only {} configurations seen", out.len());
    out
}

/// The document without one of its fields, for each: the field's path, and what is left.
fn without_each(document: &Value) -> Vec<(String, Value)> {
    fn pointers(at: &str, value: &Value, out: &mut Vec<String>) {
        let inside: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (format!("{at}/{name}"), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| (format!("{at}/{index}"), value))
                .collect(),
            _ => Vec::new(),
        };
        for (path, value) in inside {
            out.push(path.clone());
            pointers(&path, value, out);
        }
    }

    let mut all = Vec::new();
    pointers("", document, &mut all);
    let without = |pointer: String| {
        let mut document = document.clone();
        let (outer, last) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(outer).unwrap() {
            Value::Object(fields) => drop(fields.remove(last).unwrap()),
            Value::Array(items) => drop(items.remove(last.parse().unwrap())),
            _ => unreachable!("something was in it"),
        }
        (pointer, document)
    };
    all.into_iter().map(without).collect()
}

/// What is missing because of something elsewhere in the document, or of what a server is: a schema cannot know.
const ONLY_THE_ENGINE_KNOWS: &[&str] = &[
    "is neither a built-in Microsoft cloud nor named as trusted",
    "which is not among the identities",
    "which Entra ID does not take",
    "is not for Entra ID",
    "does not end in /.default",
    "its token would go there",
    "a platform sets all of its variables",
    "is not set, and the authority host is one of Azure AD B2C",
    "is for Azure AD B2C, and the authority host is none of its hosts",
    "Entra ID takes one resource",
    "is `issuer`, and the identity names none",
    "is the same credential as",
];

#[test]
fn what_is_required_is_required_by_both() {
    let validator = validator();
    let (mut tried, mut refused) = (0, 0);
    let mut differ = Vec::new();
    for (case, document, environment) in golden() {
        assert!(validator.is_valid(&document), "{case}: {document}");
        for (field, rest) in without_each(&document) {
            tried += 1;
            let loaded = Config::load(Some(&rest.to_string()), &environment);
            let error = loaded.err().map(|error| error.to_string());
            let is_valid = validator.is_valid(&rest);
            refused += u32::from(!is_valid);
            let is_beyond = error.as_ref().is_some_and(|error| {
                ONLY_THE_ENGINE_KNOWS
                    .iter()
                    .any(|part| error.contains(part))
            });
            if is_valid != error.is_none() && !(is_valid && is_beyond) {
                differ.push(format!(
                    "{case} without {field}: schema {is_valid}, engine {error:?}"
                ));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(
        tried > 500 && refused > 50,
        "{tried} tried, {refused} refused"
    );
}
