//! A secret that the configuration gives in one of three ways.

use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::{Failure, TextFile};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::text::without_byte_order_mark;
use crate::{Error, ErrorClass, Secret};

/// A secret and where it is.
#[derive(Clone, Debug)]
pub(crate) enum SecretValue {
    /// Here.
    Inline(Secret),
    /// In a file that is read at each exchange.
    File(String),
}

/// The three ways, of which one is to be used.
pub(crate) struct SecretSource<'a> {
    pub(crate) value: Option<&'a Secret>,
    pub(crate) env: Option<&'a str>,
    pub(crate) file: Option<&'a str>,
}

impl SecretSource<'_> {
    pub(crate) fn check(
        &self,
        place: &Place<'_>,
        max_bytes: usize,
    ) -> Result<SecretValue, ConfigError> {
        match (self.value, self.env, self.file) {
            (Some(value), None, None) => {
                let setting = place.at("value");
                let secret = SecretValue::inline(&setting, value.expose(), max_bytes)?;
                place.need(|needs| needs.inline_secrets.push(setting));
                Ok(secret)
            }
            (None, Some(variable), None) => {
                let setting = place.at("env");
                let value = place
                    .variable(variable, "env", true)
                    .ok_or_else(|| unset(&setting, variable))?;
                SecretValue::inline(&setting, value, max_bytes)
            }
            (None, None, Some(path)) => {
                let setting = place.at("file");
                check(&setting, rules::path(path))?;
                place.need(|needs| needs.add_file(setting, path));
                Ok(SecretValue::File(path.to_owned()))
            }
            (None, None, None) => Err(ConfigError::new(place.path(), "needs value, env or file")
                .hint("set exactly one of value, env and file")),
            _ => Err(
                ConfigError::new(place.path(), "has more than one of value, env and file")
                    .hint("keep one of them"),
            ),
        }
    }
}

impl SecretValue {
    /// Line ends at the end and a byte order mark are how files and shells deliver a value, and part of no secret; any
    /// other control character is a sign that this is something else.
    pub(crate) fn inline(setting: &str, text: &str, max_bytes: usize) -> Result<Self, ConfigError> {
        let text = without_byte_order_mark(text).trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(ConfigError::new(setting, "is empty").hint("set it to the secret"));
        }
        if text.len() > max_bytes {
            return Err(
                ConfigError::new(setting, format!("is longer than {max_bytes} bytes"))
                    .hint("check that it is what it should be"),
            );
        }
        if !is_one_line(text) {
            return Err(ConfigError::new(setting, MANY_LINES).hint(ONE_LINE));
        }
        #[cfg(feature = "every-credential")]
        check(setting, rules::no_reference_to_a_vault(text))?;
        Ok(Self::Inline(Secret::new(text)))
    }

    /// The inline text, or the trimmed content of the file, for which the same rules hold.
    pub(crate) async fn text(&self, io: &Io, file: &TextFile) -> Result<Secret, Failure> {
        let path = match self {
            Self::Inline(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let text = file.read(io, path).await?;
        if is_one_line(text.expose()) {
            return Ok(text);
        }
        let message = format!("{} {path} {MANY_LINES}", file.what);
        Err(Error::new(ErrorClass::CredentialUnavailable, message)
            .hint(ONE_LINE)
            .into())
    }

    /// Where it is, in words.
    pub(crate) fn describe(&self) -> &str {
        match self {
            Self::Inline(_) => "in the configuration or environment",
            Self::File(path) => path,
        }
    }

    pub(crate) fn distinguish(&self, out: &mut Distinction) {
        match self {
            Self::Inline(secret) => {
                out.add("inline");
                out.add(secret.expose());
            }
            Self::File(path) => {
                out.add("file");
                out.add(path);
            }
        }
    }
}

const MANY_LINES: &str = "has a line break or another control character inside";

const ONE_LINE: &str = "give the value alone, on one line";

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Somebody may have written the secret where its variable's name belongs, so only what has the usual form of a name
/// is repeated.
fn unset(setting: &str, variable: &str) -> ConfigError {
    let is_usual = variable.starts_with(|c: char| c.is_ascii_uppercase())
        && variable
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let error = if is_usual {
        ConfigError::new(
            setting,
            format!("names the environment variable {variable}, which is not set"),
        )
    } else {
        ConfigError::new(setting, "names an environment variable that is not set")
    };
    error.hint("set the variable; env takes the variable's name, not the secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_no_part_of_a_secret() {
        let secret = SecretValue::inline("s", "\u{feff}hunter2\r\n", 10).unwrap();
        let SecretValue::Inline(secret) = secret else {
            panic!("inline")
        };
        assert_eq!(secret.expose(), "hunter2");
        for (text, expected) in [
            ("\n", "s: is empty"),
            ("hunter2 hunter2", "s: is longer than 10 bytes"),
            ("a\nb", "s: has a line break"),
        ] {
            let error = SecretValue::inline("s", text, 10).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
