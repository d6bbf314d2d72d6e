//! What a component was given in the place of a document. What else a text may be is for the command to say, which has room
//! for it.

use crate::{ConfigError, Environment};

/// The error of a component's configuration, which is JSON and has no file. What it is in the place of that is for the command
/// to say: here every byte travels with each component.
pub fn explain_component(error: ConfigError, json: Option<&str>) -> ConfigError {
    let text = json.unwrap_or_default();
    let wrong =
        |message, hint| ConfigError::new(Environment::EDGEPASS_CONFIG_JSON, message).hint(hint);
    if is_path(text) {
        return wrong(
            "is a path, and should be the JSON document itself",
            "a component has no files: EDGEPASS_CONFIG_JSON=\"$(edgepass config convert FILE)\"",
        );
    }
    if !text.trim().is_empty() && !is_object(text) {
        return wrong(
            "is no JSON object",
            "`edgepass config convert FILE` makes one of a configuration, and says what another file is",
        );
    }
    if error.message.starts_with("unknown field") && !text.contains("\"identities\"") {
        return error.hint(
            "mind the spelling; `edgepass config check FILE` says what it is if it is no configuration of edgepass",
        );
    }
    error
}

/// Whether what should be a JSON document is the path of a file.
pub fn is_path(text: &str) -> bool {
    let text = text.trim();
    let is_name = |text: &str| {
        text.len() < 256 && !text.contains(|c: char| c.is_whitespace() || "{}[]\"'".contains(c))
    };
    let is_absolute = ["/", "~", "./", "../", "file:"]
        .iter()
        .any(|start| text.starts_with(start));
    let is_file = [".json", ".yaml", ".yml", ".toml"]
        .iter()
        .any(|end| text.len() > end.len() && text.ends_with(end));
    is_name(text) && (is_absolute || is_file)
}

/// Whether a text begins as an object of JSON, behind comments.
pub fn is_object(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n').map(|(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else {
            return rest.starts_with('{');
        };
        match after {
            Some(after) => rest = after.trim_start(),
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_is_given_is_json() {
        let refused = |text: &str| {
            let error = crate::Config::load(Some(text), &Environment::default()).unwrap_err();
            explain_component(error, Some(text))
        };
        for (text, words) in [
            ("/etc/edgepass.json", "is a path"),
            ("edgepass.toml", "is a path"),
            ("file:///etc/edgepass.json", "is a path"),
            ("identities:\n  app: {}\n", "config convert FILE"),
            ("[identities.app]\n", "config convert FILE"),
            (
                "-----BEGIN PRIVATE KEY-----\nMII\n",
                "says what another file is",
            ),
            ("eyJpZGVudGl0aWVzIjp7fX0=", "says what another file is"),
        ] {
            let error = refused(text);
            assert_eq!(error.setting, Environment::EDGEPASS_CONFIG_JSON, "{text}");
            assert!(format!("{error:#}").contains(words), "{error:#}");
            assert!(!format!("{error:#}").contains(text), "{error:#}");
        }
        for (text, setting, words) in [
            ("{\"AzureAd\": {}}", "AzureAd", "config check FILE"),
            ("{\"identites\": {}}", "identites", "mind the spelling"),
            ("{\"identities\": {}, \"htp\": {}}", "htp", "did you mean"),
            ("{", "configuration", "not JSON"),
            (" \n", "configuration", "empty"),
        ] {
            let error = refused(text);
            assert_eq!(error.setting, setting, "{text}: {error:#}");
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
    }
}
