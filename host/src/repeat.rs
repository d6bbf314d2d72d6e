//! What a message may repeat of what should be a path, and may be the secret that belongs into the file. The command keeps
//! to the same rules.

use std::path::Path;

pub use edgepass_core::recognise::is_path;

/// What to do about a value of `EDGEPASS_CONFIG` that is not repeated.
pub const NOT_REPEATED: &str =
    "set it to the absolute path of a file; what may be something else is not repeated";

/// What stands in a message in the place of what may be a secret.
pub const WITHHELD: &str = "(not repeated)";

/// What a value is that should be a path and is none. The value may be a secret, and is not repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoPath {
    /// What it is, for an error that begins with the setting.
    pub message: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

/// What a value is that should be the path of a configuration: a document, a token, the content of a PEM file, in quotes,
/// `-`, or too long for a path. `None` for what may be one.
pub fn no_path(text: &str) -> Option<NoPath> {
    /// `PATH_MAX` of Linux.
    const MOST: usize = 4096;
    const DOCUMENT: &str = "write the configuration into a file, and set this to the path of it; the document itself \
                            goes into EDGEPASS_CONFIG_JSON";
    const PATH: &str = "set this to the path of the configuration, without quotes and line breaks";

    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let (message, hint) = if text == "-" {
        (
            "is not a path: `-` is standard input for --config alone",
            "set this to the path of the configuration, or unset it and give --config -",
        )
    } else if start.starts_with(['{', '[']) {
        ("is not a path but a JSON document", DOCUMENT)
    } else if start.starts_with("eyJ") {
        ("is not a path but a token, or base64 of a document", PATH)
    } else if start.starts_with("-----BEGIN") {
        ("is not a path but what a PEM file holds", PATH)
    } else if start.starts_with(['\'', '"']) && text.contains('{') {
        ("is not a path but a document in quotes", DOCUMENT)
    } else if start.starts_with('\'') || text.contains('"') {
        ("is not a path: it has quotes", PATH)
    } else if text.contains(char::is_control) {
        ("is not a path: it has a control character", PATH)
    } else if text.len() > MOST {
        ("is not a path: it is too long for one", PATH)
    } else {
        return None;
    };
    Some(NoPath { message, hint })
}

/// What is said of `EDGEPASS_CONFIG_JSON` that is a path.
pub const PATH_FOR_DOCUMENT: NoPath = NoPath {
    message: "is a path, and should be the JSON document itself",
    hint: "set EDGEPASS_CONFIG to the path, and unset this",
};

/// Whether a value of `EDGEPASS_CONFIG` is a path and cannot well be anything else. What is not may be a secret, and is
/// not repeated.
pub fn is_plain_path(text: &str) -> bool {
    Path::new(text).is_absolute() && has_no_secret(text)
}

/// Whether a text is made of what paths and URLs are made of, and no part of it looks like a secret.
pub fn has_no_secret(text: &str) -> bool {
    /// Bytes of a whole path or URL.
    const MOST: usize = 512;
    /// Bytes of one of its parts.
    const MOST_OF_PART: usize = 40;
    /// From so many bytes on, a part that mixes digits and letters of both cases looks like a secret.
    const RANDOM: usize = 12;
    /// From so many on, one of digits and letters alone does: a hexadecimal key.
    const KEY: usize = 20;

    text.len() <= MOST
        && !text.contains("eyJ")
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "/\\.:-_ ".contains(c))
        && text.split(['/', '\\', '.', ':', ' ']).all(|part| {
            let has = |test: fn(&u8) -> bool| part.as_bytes().iter().any(test);
            let is_random = part.len() >= RANDOM
                && has(u8::is_ascii_digit)
                && has(u8::is_ascii_lowercase)
                && has(u8::is_ascii_uppercase);
            let is_key = part.len() >= KEY
                && has(u8::is_ascii_digit)
                && has(u8::is_ascii_alphabetic)
                && part.bytes().all(|b| b.is_ascii_alphanumeric());
            part.len() <= MOST_OF_PART && !is_random && !is_key
        })
}

/// A value in quotes, unless it may be a secret: what was given in a wrong place, or a URL with a password.
pub fn quoted(text: &str) -> String {
    match has_no_secret(text.trim_start_matches("*.")) {
        true => format!("{text:?}"),
        false => "what is given (not repeated)".to_owned(),
    }
}

/// Whether a text has the form of an option, a path, a URL, a host or a plain word, and no part that looks like a secret.
pub fn is_harmless(text: &str) -> bool {
    let rest = text.strip_prefix("~/").unwrap_or(text);
    let is_option = text.starts_with('-');
    let is_path = rest.contains(['/', '\\']) || text.starts_with("~/");
    let is_file = rest.rsplit_once('.').is_some_and(|(name, extension)| {
        !name.is_empty()
            && (1..=5).contains(&extension.len())
            && extension.bytes().all(|b| b.is_ascii_lowercase())
    });
    let is_word = rest
        .bytes()
        .all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_'));
    let is_folder = matches!(rest, "." | "..");
    // `api.example:443`, `:8080`
    let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
    let is_host = (host.is_empty() || host.contains('.'))
        && host
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        && port.len() <= 5
        && port.bytes().all(|b| b.is_ascii_digit());
    (is_option || is_path || is_file || is_word || is_folder || is_host) && has_no_secret(rest)
}

/// The same of an argument in the words of clap, which has options with the names of their values, and arguments by such a name.
pub fn is_harmless_argument(text: &str) -> bool {
    let is_argument = text.starts_with('<') && is_value_name(text);
    is_argument || is_harmless(without_value_name(text))
}

/// An option as clap writes a known one, `--listen <ADDRESS:PORT>`, by its name alone.
fn without_value_name(text: &str) -> &str {
    text.split_once(" <")
        .filter(|(name, rest)| name.starts_with("--") && is_value_name(rest))
        .map_or(text, |(name, _)| name)
}

/// The name of a value, as it stands in help: `ADDRESS:PORT>`, `<APP.wasm>`.
fn is_value_name(text: &str) -> bool {
    text.replace(".wasm", "")
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b":_<>[]./= ".contains(&b))
}

/// How a message names a file: by its path, unless that may be something else.
pub fn named(path: &Path) -> String {
    match path.to_str().filter(|text| has_no_secret(text)) {
        Some(path) => path.to_owned(),
        None => "(a name that is not repeated)".to_owned(),
    }
}

/// A message without what of the command line may be a secret, whichever option it was given with. The names of files that
/// are there are none.
pub fn without_arguments(text: &str, arguments: impl IntoIterator<Item = String>) -> String {
    /// Bytes: what is shorter is no secret, and may be anywhere in a message.
    const LEAST: usize = 8;

    let mut text = text.to_owned();
    for argument in arguments {
        let value = argument
            .strip_prefix("--")
            .and_then(|rest| rest.split_once('='));
        for given in [value.map_or("", |(_, value)| value), &argument] {
            let is_secret =
                given.len() >= LEAST && !has_no_secret(given) && !Path::new(given).exists();
            if !is_secret {
                continue;
            }
            text = text.replace(given, WITHHELD);
            // as it stands in JSON
            let escaped = serde_json::Value::from(given).to_string();
            text = text.replace(escaped.trim_matches('"'), WITHHELD);
            // and in parts, as a hint takes it apart
            for part in parts(given) {
                text = text.replace(part, WITHHELD);
            }
        }
    }
    text
}

/// The parts of an argument that may be secrets by themselves: user and password of a URL, and what looks like a secret.
fn parts(given: &str) -> impl Iterator<Item = &str> {
    /// Bytes of the shortest.
    const LEAST: usize = 4;

    let rest = given.split_once("://").map_or(given, |(_, rest)| rest);
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    let of_user = user.split(':').filter(|part| part.len() >= LEAST);
    let of_all = given.split(['/', '?', '&', '=', '@', ',', '#', ' ']);
    of_user.chain(of_all.filter(|part| part.len() >= 2 * LEAST && !has_no_secret(part)))
}

/// The arguments of this process.
pub fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_without_what_may_be_a_secret() {
        const SECRET: &str = "abc8Q~0123456789abcdefghijklmnopqrstuvwx";
        const QUOTED: &str = r#"Sup3r"Secret\Value"#;
        let there = std::env::current_exe().unwrap().display().to_string();
        for (argument, text, expected) in [
            (
                SECRET.to_owned(),
                format!("no `{SECRET}` here"),
                "no `(not repeated)` here",
            ),
            (
                format!("--identity={SECRET}"),
                format!("no {SECRET}"),
                "no (not repeated)",
            ),
            (
                QUOTED.to_owned(),
                format!("no {QUOTED}"),
                "no (not repeated)",
            ),
            (
                QUOTED.to_owned(),
                serde_json::json!({ "message": QUOTED }).to_string(),
                r#"{"message":"(not repeated)"}"#,
            ),
            // names, scopes, paths, and what is too short to be a secret
            (
                "billing-app".to_owned(),
                "no billing-app".to_owned(),
                "no billing-app",
            ),
            (
                "User.Read.All".to_owned(),
                "no User.Read.All".to_owned(),
                "no User.Read.All",
            ),
            (
                "https://graph.microsoft.com/.default".to_owned(),
                "no https://graph.microsoft.com/.default".to_owned(),
                "no https://graph.microsoft.com/.default",
            ),
            ("a+b".to_owned(), "a+b".to_owned(), "a+b"),
            (there.clone(), there.clone(), &there),
        ] {
            let said = without_arguments(&text, [argument]);
            assert_eq!(said, expected);
        }
    }
}
