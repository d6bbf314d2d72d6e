//! JSON text to the objects of a document, with errors that say where and never repeat a value.
//!
//! The readers are written out rather than derived: a derived one is compiled anew for every type, and Envoy compiles
//! the module at its start.

mod fields;
mod hints;
mod shapes;

use super::error::ConfigError;
use crate::json::Json;
use crate::limits::MAX_CONFIG_BYTES;
use crate::text::printable;

pub(crate) use fields::Fields;
use fields::read_object;
#[cfg(feature = "key-vault")]
pub(crate) use shapes::ForKeyVaults;
#[cfg(not(feature = "key-vault"))]
pub(crate) use shapes::ForKeyVaults;
#[cfg(feature = "schema")]
pub use shapes::ForTheCommand;
#[cfg(not(feature = "schema"))]
pub use shapes::ForTheCommand;
pub(crate) use shapes::OneOrMore;
#[cfg(feature = "every-credential")]
pub(crate) use shapes::{ForEveryBuild, Parameters, TextForEveryBuild, TextsForEveryBuild};
#[cfg(not(feature = "every-credential"))]
pub(crate) use shapes::{ForEveryBuild, Parameters, TextForEveryBuild, TextsForEveryBuild};

/// What an error about the document as a whole is called.
const DOCUMENT: &str = "configuration";

/// Characters of a parser message. They say what is wrong there and quote nothing of the text.
const MAX_MESSAGE_CHARS: usize = 200;

/// Whether a comment stands where the parser says that the text is wrong.
fn is_comment(json: &str, message: &str) -> bool {
    let number = |text: &str| text.parse::<usize>().ok()?.checked_sub(1);
    let place = message.rsplit_once(" at line ").map(|(_, place)| place);
    let place = place.and_then(|place| place.split_once(" column "));
    place.is_some_and(|(line, column)| {
        let line = number(line).and_then(|line| json.lines().nth(line));
        let rest = line.and_then(|line| line.get(number(column)?..));
        rest.is_some_and(|rest| {
            ["//", "/*", "#"]
                .iter()
                .any(|begin| rest.starts_with(begin))
        })
    })
}

/// Reads a document as it stands; whether it makes sense is for others to say.
pub(super) fn document<T: Object>(json: &str) -> Result<T, ConfigError> {
    if json.len() > MAX_CONFIG_BYTES {
        return Err(
            ConfigError::new(DOCUMENT, format!("longer than {MAX_CONFIG_BYTES} bytes"))
                .hint("keep secrets and certificates in files and name those"),
        );
    }
    if json.trim().is_empty() {
        return Err(ConfigError::new(DOCUMENT, "empty").hint("write a JSON object, at least {}"));
    }
    let document = Json::parse(json.as_bytes()).map_err(|error| {
        let message = printable(&error.to_string(), MAX_MESSAGE_CHARS);
        // a filter does without: the command has read its configuration before
        let is_escape = cfg!(not(target_family = "wasm")) && message.starts_with("invalid escape");
        let hint = if is_escape {
            "write a backslash twice (\"C:\\\\tokens\\\\token\"), or use slashes in a path (\"C:/tokens/token\")"
        } else if cfg!(not(target_family = "wasm")) && is_comment(json, &message) {
            "JSON has no comments: leave it out, or write the configuration as YAML or TOML, which have them"
        } else {
            "mind commas, quotes and brackets at that place"
        };
        ConfigError::new(DOCUMENT, format!("not JSON: {message}")).hint(hint)
    })?;
    let mut error = None;
    let object = read_object(&mut error, String::new(), document);
    object.ok_or_else(|| error.unwrap_or_else(|| ConfigError::new(DOCUMENT, "cannot be read")))
}

/// Says the fields of an object once: its struct, their names, and how each is read. `as` gives a field another name
/// than that of the struct's.
macro_rules! object {
    (
        $(#[$meta:meta])*
        $vis:vis struct $object:ident {
            $(
                $(#[$field_meta:meta])*
                $field_vis:vis $field:ident: $type:ty = $read:ident $(($argument:expr))? $(as $name:literal)?,
            )*
        }
    ) => {
        #[cfg_attr(
            feature = "schema",
            derive(schemars::JsonSchema),
            schemars(deny_unknown_fields)
        )]
        $(#[$meta])*
        $vis struct $object {
            $(
                $(#[$field_meta])*
                $(#[cfg_attr(feature = "schema", schemars(rename = $name))])?
                $field_vis $field: $type,
            )*
        }

        impl $crate::config::parse::Object for $object {
            const FIELDS: &[&str] =
                &[$($crate::config::parse::field_name!($field $($name)?)),*];

            fn read(fields: &mut $crate::config::parse::Fields) -> Self {
                Self {
                    $($field: fields.$read(
                        $crate::config::parse::field_name!($field $($name)?)
                        $(, $argument)?
                    ),)*
                }
            }
        }
    };
}

macro_rules! field_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

pub(crate) use {field_name, object};

/// An object of the configuration.
pub(crate) trait Object: Sized {
    /// The names of all its fields.
    const FIELDS: &[&str];

    /// Takes the fields, each once. What is wrong with one stays with `fields`.
    fn read(fields: &mut Fields) -> Self;
}

/// A word out of a few.
pub(crate) trait Choice: Copy + Default + 'static {
    /// The words and what they mean.
    const CHOICES: &[(&str, Self)];
}

#[cfg(test)]
mod tests;
