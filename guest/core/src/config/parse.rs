//! JSON text to [`ConfigFile`], with errors that say where and never repeat a value.

use serde_json::error::Category;

use super::ConfigError;
use super::file::ConfigFile;
use crate::inspect::printable;
use crate::limits::MAX_CONFIG_BYTES;

/// What an error about the document as a whole is called.
const DOCUMENT: &str = "configuration";

/// Characters of a parser message. Its longest, an unknown field with the known ones, stays below.
const MAX_MESSAGE_CHARS: usize = 600;

pub(super) fn parse(json: &str) -> Result<ConfigFile, ConfigError> {
    if json.len() > MAX_CONFIG_BYTES {
        return Err(
            ConfigError::new(DOCUMENT, format!("longer than {MAX_CONFIG_BYTES} bytes"))
                .hint("keep secrets and certificates in files and name those"),
        );
    }
    if json.trim().is_empty() {
        return Err(ConfigError::new(DOCUMENT, "empty").hint("write a JSON object, at least {}"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let file = document(&mut deserializer)?;
    deserializer.end().map_err(|error| explain(".", &error))?;
    Ok(file)
}

type Deserializer<'a> = serde_json::Deserializer<serde_json::de::StrRead<'a>>;

#[cfg(feature = "paths")]
fn document(deserializer: &mut Deserializer<'_>) -> Result<ConfigFile, ConfigError> {
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| explain(&error.path().to_string(), error.inner()))
}

#[cfg(not(feature = "paths"))]
fn document(deserializer: &mut Deserializer<'_>) -> Result<ConfigFile, ConfigError> {
    serde::Deserialize::deserialize(deserializer).map_err(|error| explain(".", &error))
}

fn explain(path: &str, error: &serde_json::Error) -> ConfigError {
    // a syntax error has no field to it: the path is only how far the parser had come
    let setting = if path == "." || error.classify() != Category::Data {
        DOCUMENT
    } else {
        path
    };
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let text = match error.classify() {
        Category::Data => without_value(text),
        Category::Syntax | Category::Eof | Category::Io => format!("not JSON: {text}"),
    };
    let error = ConfigError::new(
        setting,
        format!("{}{place}", printable(&text, MAX_MESSAGE_CHARS)),
    );
    if text.starts_with("unknown field") {
        error.hint("mind the spelling and the level")
    } else {
        error
    }
}

/// Serde quotes what it found instead of what it wanted (`invalid type: string "hunter2", expected an object`), and
/// what it found may be a secret in the wrong place. Only the kind stays.
fn without_value(text: &str) -> String {
    const KINDS: [(&str, &str); 8] = [
        ("type: string", "a string"),
        ("type: integer", "a number"),
        ("type: floating point", "a number"),
        ("type: boolean", "a boolean"),
        ("type: null", "null"),
        ("type: map", "an object"),
        ("type: sequence", "a list"),
        // derived code takes a list for an object until it is too short
        ("length", "a list"),
    ];
    let Some(found) = ["type: ", "value: ", "length "].iter().find_map(|what| {
        text.strip_prefix("invalid ")
            .filter(|found| found.starts_with(what))
    }) else {
        return text.to_owned();
    };
    let kind = KINDS
        .iter()
        .find(|(prefix, _)| found.starts_with(prefix))
        .map_or("something else", |(_, kind)| kind);
    // the value may hold these words too, what is expected never does
    match found.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}, not {kind}"),
        None => format!("{kind} is not expected here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        parse(json).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_where() {
        let text = error("{\n  \"identities\": {\"app\": {\"tenant\": \"t\"}}\n}");
        assert!(text.starts_with("identities.app.tenant: unknown field `tenant`, expected one of `tenant_id`, `client_id`"), "{text}");
        assert!(text.contains("at line 2 column"), "{text}");
        assert!(
            error(r#"{"identities": {"app": {"credential": {"certificate": {}}}}}"#)
                .starts_with("identities.app.credential.certificate: missing field `name`")
        );
        assert!(
            error("{\"identities\": {},}")
                .starts_with("configuration: not JSON: trailing comma at line 1")
        );
        assert!(error("{").starts_with("configuration: not JSON: EOF"));
        assert!(
            error("{} {}")
                .starts_with("configuration: not JSON: trailing characters at line 1 column 4")
        );
        assert!(error(" \n").starts_with("configuration: empty"));
        assert!(
            error("[]").starts_with("configuration: expected an object, not a list"),
            "{}",
            error("[]")
        );
        assert!(
            error(&" ".repeat(MAX_CONFIG_BYTES + 1))
                .starts_with("configuration: longer than 262144 bytes")
        );
    }

    #[test]
    fn errors_never_repeat_a_value() {
        for json in [
            r#"{"identities":{"app":{"credential":{"client_secret":"hunter2"}}}}"#,
            r#"{"identities":{"app":{"credential":{"client_secret":"hunter2, expected hunter2"}}}}"#,
            r#"{"identities":{"app":{"credential":"hunter2"}}}"#,
            r#"{"identities":{"app":{"credential":{"client_secret":{"value":["hunter2"]}}}}}"#,
            r#"{"identities":{"app":{"credential":{"client_assertion":"hunter2\", expected \"x"}}}}"#,
            r#"{"identities":"hunter2"}"#,
            r#"{"identities":{"app":{"credential":{"client_secret":["hunter2"]}}}}"#,
        ] {
            let text = error(json);
            assert!(
                !text.contains("hunter2") && text.starts_with("identities"),
                "{text}"
            );
        }
        let number =
            error(r#"{"identities":{"app":{"credential":{"client_secret":{"value":24680}}}}}"#);
        assert!(!number.contains("24680"), "{number}");
        assert!(
            number.starts_with(
                "identities.app.credential.client_secret.value: expected a string, not a number"
            ),
            "{number}"
        );
    }

    #[test]
    fn repeated_names_are_errors() {
        assert!(error(r#"{"identities":{"a":{},"a":{}}}"#).contains("duplicate name `a`"));
        assert!(
            error(
                r#"{"certificates":{"c":{"certificate_file":"/c"},"c":{"certificate_file":"/d"}}}"#
            )
            .contains("duplicate name `c`")
        );
        assert!(
            error(r#"{"identities":{"a":{"client_id":"x","client_id":"y"}}}"#)
                .contains("duplicate field `client_id`")
        );
    }
}
