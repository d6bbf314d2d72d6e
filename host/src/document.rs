//! The configuration as a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use edgepass_core::{ConfigError, Environment};

use crate::files::{FileError, read_bounded};
use crate::limits;
use crate::repeat::{NOT_REPEATED, is_document, is_plain_path};

/// Where the configuration of a builder comes from.
pub(crate) enum Document {
    Json(String),
    File(PathBuf),
    /// The file that `EDGEPASS_CONFIG` names.
    Variable(PathBuf),
    /// `EDGEPASS_CONFIG` and `EDGEPASS_CONFIG_JSON` are both set.
    Both,
    /// `EDGEPASS_CONFIG_JSON` is not Unicode.
    NotText,
}

impl Document {
    /// What the variables say, that of a path and that of the document itself; `None` if they are unset or blank.
    pub(crate) fn of_variables(path: Option<OsString>, text: Option<OsString>) -> Option<Self> {
        let set = |value: &OsString| value.to_str().is_none_or(|text| !text.trim().is_empty());
        match (path.filter(set), text.filter(set)) {
            (None, None) => None,
            (Some(path), None) => Some(Self::Variable(path.into())),
            (None, Some(text)) => Some(text.into_string().map_or(Self::NotText, Self::Json)),
            (Some(_), Some(_)) => Some(Self::Both),
        }
    }

    /// Its text.
    pub(crate) fn load(self) -> Result<String, ConfigError> {
        match self {
            Self::Json(json) => Ok(json),
            Self::Both => Err(ConfigError::new(
                Environment::EDGEPASS_CONFIG_JSON,
                "is set, and so is EDGEPASS_CONFIG: only one of them can be meant",
            )
            .hint("unset one of the two")),
            Self::NotText => Err(ConfigError::new(
                Environment::EDGEPASS_CONFIG_JSON,
                "is not UTF-8 text",
            )
            .hint("write it as UTF-8")),
            Self::File(path) => read(&path).map_err(|reason| {
                ConfigError::new("configuration", format!("{} {reason}", path.display()))
            }),
            Self::Variable(path) => {
                // what is no path may be a configuration with secrets in it, and is not repeated
                if is_document(&path.to_string_lossy()) {
                    return Err(
                        ConfigError::new(Environment::EDGEPASS_CONFIG, "is not a path").hint(
                            "write the configuration into a file, and set this to the path of it, without quotes; the document itself goes into EDGEPASS_CONFIG_JSON",
                        ),
                    );
                }
                read(&path).map_err(|reason| {
                    let error = |name: &str| {
                        ConfigError::new(Environment::EDGEPASS_CONFIG, format!("{name} {reason}"))
                    };
                    match path.to_str().filter(|text| is_plain_path(text)) {
                        Some(name) => error(name),
                        None => error("what it names").hint(NOT_REPEATED),
                    }
                })
            }
        }
    }
}

/// The text of a file. The error continues its name.
fn read(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, limits::CONFIG_BYTES).map_err(|error| match error {
        FileError::TooLarge { limit } => {
            format!("has more than {limit} bytes: is it the right file?")
        }
        error => format!("cannot be read: {error}"),
    })?;
    if bytes.contains(&0) {
        return Err("is not text: write it as UTF-8".to_owned());
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| "is not UTF-8 text: write it as UTF-8".to_owned())?;
    // who reads it as JSON need not know the byte order mark
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a value of `EDGEPASS_CONFIG` that names no file.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        /// It is not even looked for.
        Refused,
        /// It is looked for, and not named.
        Withheld,
        Named,
    }

    #[test]
    fn only_what_is_plainly_a_path_is_repeated() {
        use Fate::{Named, Refused, Withheld};

        let long_part = format!("/{}", "a".repeat(41));
        let long = "/a".repeat(257);
        let longest = "/a".repeat(2049);
        for (value, fate) in [
            (r#"{"identities": {}}"#, Refused),
            ("\u{feff} {}", Refused),
            ("[]", Refused),
            ("'/none/edgepass.json'", Refused),
            ("\"/none/edgepass.json\"", Refused),
            ("/none/\"quoted\"", Refused),
            ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", Refused),
            (" eyJpZGVudGl0aWVzIjoge319", Refused),
            ("-----BEGIN PRIVATE KEY-----\nMII", Refused),
            ("/none/\u{1b}[2J", Refused),
            (&longest, Refused),
            ("ewogICJpZGVudGl0aWVzIjoge30KfQ==", Withheld),
            ("ewogICJpZGVudGl0aWVzIjoge30KfQ", Withheld),
            ("eyAgImlkZW50aXRpZXMiOiB7fSB9", Withheld),
            ("abc8Q~0123456789abcdefghijklmnopqrstuvwx", Withheld),
            ("hunter2", Withheld),
            ("hunter", Withheld),
            ("none/edgepass.json", Withheld),
            ("/aB3/xYz0123456789ABCdef", Withheld),
            ("/none/eyJhbGciOiJSUzI1NiJ9.e30.c2ln", Withheld),
            ("/none/Sup3r+Secret==", Withheld),
            (&long_part, Withheld),
            (&long, Withheld),
            #[cfg(unix)]
            ("/none/My Files/edgepass.json", Named),
            #[cfg(unix)]
            ("/none/11111111-2222-3333-4444-555555555555/größe", Named),
        ] {
            let error = Document::Variable(value.into()).load().unwrap_err();
            assert_eq!(error.setting, Environment::EDGEPASS_CONFIG);
            let said = format!("{error:#}");
            let found = match () {
                () if said.contains("is not a path") => Refused,
                () if said.contains("what it names") => Withheld,
                () => Named,
            };
            assert_eq!(found, fate, "{value}: {said}");
            assert_eq!(said.contains(value), fate == Named, "{said}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_document_that_is_not_unicode_is_refused() {
        use std::os::unix::ffi::OsStringExt;

        let text = OsString::from_vec(b"{\"identities\": {\"caf\xe9\": {}}}".to_vec());
        let document = Document::of_variables(None, Some(text)).unwrap();
        let error = document.load().unwrap_err();
        assert_eq!(error.setting, Environment::EDGEPASS_CONFIG_JSON);
        let said = format!("{error:#}");
        assert!(
            said.contains("is not UTF-8 text") && said.contains("write it as UTF-8"),
            "{said}"
        );
        assert!(!said.contains("caf"), "{said}");
    }
}
