//! The configuration as a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use edgepass_core::{ConfigError, Environment};

use crate::limits;

/// Where the configuration of a builder comes from.
pub(crate) enum Document {
    Json(String),
    File(PathBuf),
    /// The file that `EDGEPASS_CONFIG` names.
    Variable(PathBuf),
    /// `EDGEPASS_CONFIG` and `EDGEPASS_CONFIG_JSON` are both set.
    Both,
}

impl Document {
    /// What the variables say, that of a path and that of the document itself; `None` if they are unset or blank.
    pub(crate) fn of_variables(path: Option<OsString>, text: Option<OsString>) -> Option<Self> {
        let set = |value: &OsString| value.to_str().is_none_or(|text| !text.trim().is_empty());
        match (path.filter(set), text.filter(set)) {
            (None, None) => None,
            (Some(path), None) => Some(Self::Variable(path.into())),
            // of what is not Unicode the bytes that are none are replaced, and refused where they matter
            (None, Some(text)) => Some(Self::Json(text.to_string_lossy().into_owned())),
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
                    ConfigError::new(
                        Environment::EDGEPASS_CONFIG,
                        format!("{} {reason}", path.display()),
                    )
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

/// The text of a file. The error continues its name.
fn read(path: &Path) -> Result<String, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(limits::CONFIG_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES {
        return Err(format!(
            "has more than {} bytes: is it the right file?",
            limits::CONFIG_BYTES
        ));
    }
    if bytes.contains(&0) {
        return Err("is not text: write it as UTF-8".to_owned());
    }
    let text =
        String::from_utf8(bytes).map_err(|_| "is not UTF-8 text: write it as UTF-8".to_owned())?;
    // who reads it as JSON need not know the byte order mark
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}
