//! The configuration as a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use edgepass_core::{ConfigError, Environment};

use crate::files::{FileError, read_bounded};
use crate::limits;

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
                if is_document(&path) {
                    return Err(
                        ConfigError::new(Environment::EDGEPASS_CONFIG, "is not a path").hint(
                            "write the configuration into a file, and set this to the path of it; the document itself goes into EDGEPASS_CONFIG_JSON",
                        ),
                    );
                }
                read(&path).map_err(|reason| {
                    let name = path.to_str().filter(|text| is_plain_path(text));
                    let name = name.unwrap_or("what it names");
                    ConfigError::new(Environment::EDGEPASS_CONFIG, format!("{name} {reason}"))
                })
            }
        }
    }
}

fn is_document(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    start.starts_with(['{', '[', '"', '\''])
        || text.starts_with("eyJ")
        || text.contains(char::is_control)
}

/// Whether it is a path and cannot be anything else. What is not may be a secret, and is not repeated.
fn is_plain_path(text: &str) -> bool {
    /// `PATH_MAX` of Linux.
    const MOST: usize = 4096;

    let is_plain = |c: char| c.is_alphanumeric() || "/.-_ ".contains(c);
    text.starts_with('/') && text.len() <= MOST && text.chars().all(is_plain)
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
