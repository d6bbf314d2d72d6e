//! JSON text to [`ConfigFile`], with errors that say where and never repeat a value.

use super::ConfigError;
use super::file::ConfigFile;
use crate::inspect::printable;
use crate::json::Json;
use crate::limits::MAX_CONFIG_BYTES;
use crate::{Secret, Table};

/// What an error about the document as a whole is called.
const DOCUMENT: &str = "configuration";

/// Characters of a parser message. They say what is wrong there and quote nothing of the text.
const MAX_MESSAGE_CHARS: usize = 200;

/// Characters of a name that is not known. Every known one is shorter.
const MAX_NAME_CHARS: usize = 64;

impl ConfigFile {
    /// Reads a document as it stands; whether it makes sense is for [`Config::load`](super::Config::load) to say.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        if json.len() > MAX_CONFIG_BYTES {
            return Err(ConfigError::new(
                DOCUMENT,
                format!("longer than {MAX_CONFIG_BYTES} bytes"),
            )
            .hint("keep secrets and certificates in files and name those"));
        }
        if json.trim().is_empty() {
            return Err(
                ConfigError::new(DOCUMENT, "empty").hint("write a JSON object, at least {}")
            );
        }
        let document = Json::parse(json.as_bytes()).map_err(|error| {
            let message = printable(&error.to_string(), MAX_MESSAGE_CHARS);
            ConfigError::new(DOCUMENT, format!("not JSON: {message}"))
                .hint("mind commas, quotes and brackets at that place")
        })?;
        object(String::new(), document)
    }
}

/// An object of the configuration.
pub(super) trait Object: Sized {
    /// The names of all its fields.
    const FIELDS: &[&str];

    /// Takes the fields, each once.
    fn read(fields: &mut Fields) -> Result<Self, ConfigError>;
}

/// A word out of a few.
pub(super) trait Choice: Copy + Default + 'static {
    /// The words and what they mean.
    const CHOICES: &[(&str, Self)];
}

/// The fields of an object that have not been taken yet.
pub(super) struct Fields {
    path: String,
    fields: Vec<(String, Json)>,
}

impl Fields {
    /// A field that must be there.
    pub(super) fn text(&mut self, name: &str) -> Result<String, ConfigError> {
        self.optional_text(name)?.ok_or_else(|| {
            ConfigError::new(whole(&self.path), format!("missing field `{name}`"))
                .hint(format!("set {name}"))
        })
    }

    pub(super) fn text_or_empty(&mut self, name: &str) -> Result<String, ConfigError> {
        Ok(self.optional_text(name)?.unwrap_or_default())
    }

    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, ConfigError> {
        let text = self.optional_secret(name)?;
        Ok(text.map(|text| text.expose().to_owned()))
    }

    pub(super) fn optional_secret(&mut self, name: &str) -> Result<Option<Secret>, ConfigError> {
        self.take(name)
            .map(|value| secret(&self.at(name), value))
            .transpose()
    }

    pub(super) fn optional_number(&mut self, name: &str) -> Result<Option<u64>, ConfigError> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Whole(number)) => Ok(Some(number)),
            Some(Json::Number(_)) => Err(ConfigError::new(
                self.at(name),
                "expected a whole number that is not negative",
            )),
            Some(other) => Err(expected("a number", &self.at(name), &other)),
        }
    }

    pub(super) fn flag(&mut self, name: &str, usual: bool) -> Result<bool, ConfigError> {
        match self.take(name) {
            None => Ok(usual),
            Some(Json::Bool(flag)) => Ok(flag),
            Some(other) => Err(expected("true or false", &self.at(name), &other)),
        }
    }

    pub(super) fn choice<T: Choice>(&mut self, name: &str) -> Result<T, ConfigError> {
        let Some(word) = self.optional_secret(name)? else {
            return Ok(T::default());
        };
        let mut choices = T::CHOICES.iter();
        match choices.find(|(known, _)| *known == word.expose()) {
            Some((_, choice)) => Ok(*choice),
            None => {
                let words: Vec<&str> = T::CHOICES.iter().map(|(word, _)| *word).collect();
                Err(
                    ConfigError::new(self.at(name), "is not one of the words that it may be")
                        .hint(format!("expected `{}`", words.join("` or `"))),
                )
            }
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, ConfigError> {
        self.list(name)?
            .map(|(path, item)| Ok(secret(&path, item)?.expose().to_owned()))
            .collect()
    }

    pub(super) fn objects<T: Object>(&mut self, name: &str) -> Result<Vec<T>, ConfigError> {
        self.list(name)?
            .map(|(path, item)| object(path, item))
            .collect()
    }

    pub(super) fn optional_object<T: Object>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ConfigError> {
        self.take(name)
            .map(|value| object(self.at(name), value))
            .transpose()
    }

    pub(super) fn object_or_default<T: Object + Default>(
        &mut self,
        name: &str,
    ) -> Result<T, ConfigError> {
        Ok(self.optional_object(name)?.unwrap_or_default())
    }

    pub(super) fn named_texts(&mut self, name: &str) -> Result<Table<String, String>, ConfigError> {
        let mut out = Table::default();
        for (path, name, value) in self.names(name)? {
            out.insert(name, secret(&path, value)?.expose().to_owned());
        }
        Ok(out)
    }

    pub(super) fn named_objects<T: Object>(
        &mut self,
        name: &str,
    ) -> Result<Table<String, T>, ConfigError> {
        let mut out = Table::default();
        for (path, name, value) in self.names(name)? {
            out.insert(name, object(path, value)?);
        }
        Ok(out)
    }

    fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// The value of a field. `null` is as good as nothing.
    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.swap_remove(at);
        (!matches!(value, Json::Null)).then_some(value)
    }

    /// The items of a list, each with its path.
    fn list(
        &mut self,
        name: &str,
    ) -> Result<impl Iterator<Item = (String, Json)> + use<>, ConfigError> {
        let path = self.at(name);
        let items = match self.take(name) {
            None => Vec::new(),
            Some(Json::List(items)) => items,
            Some(other) => return Err(expected("a list", &path, &other)),
        };
        let items = items.into_iter().enumerate();
        Ok(items.map(move |(index, item)| (format!("{path}[{index}]"), item)))
    }

    /// The members of an object whose names the user chooses, each with its path. Of two of one name the first would
    /// vanish unseen, so that is an error.
    fn names(&mut self, name: &str) -> Result<Vec<(String, String, Json)>, ConfigError> {
        let path = self.at(name);
        let fields = match self.take(name) {
            None => Vec::new(),
            Some(Json::Object(fields)) => fields,
            Some(other) => return Err(expected("an object of names", &path, &other)),
        };
        repeated(&fields).map_or(Ok(()), |name| {
            Err(ConfigError::new(&path, format!("duplicate name `{name}`"))
                .hint("rename one of the two, or remove it"))
        })?;
        let members = fields.into_iter();
        Ok(members
            .map(|(name, value)| (join(&path, &name), name, value))
            .collect())
    }
}

// one function for each kind of object: all of them in one make a machine-code compiler ask for megabytes
#[inline(never)]
fn object<T: Object>(path: String, value: Json) -> Result<T, ConfigError> {
    T::read(&mut fields(path, value, T::FIELDS)?)
}

fn fields(path: String, value: Json, known: &[&str]) -> Result<Fields, ConfigError> {
    let fields = match value {
        Json::Object(fields) => fields,
        other => return Err(expected("an object", whole(&path), &other)),
    };
    let unknown = fields
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        let name = printable(name, MAX_NAME_CHARS);
        let known = known.join("`, `");
        return Err(ConfigError::new(
            join(&path, &name),
            format!("unknown field `{name}`, expected one of `{known}`"),
        )
        .hint("mind the spelling and the level"));
    }
    match repeated(&fields) {
        Some(name) => Err(
            ConfigError::new(whole(&path), format!("duplicate field `{name}`"))
                .hint("keep one of the two"),
        ),
        None => Ok(Fields { path, fields }),
    }
}

/// A name that is there twice, fit to be printed.
fn repeated(fields: &[(String, Json)]) -> Option<String> {
    let mut known = Table::new();
    let mut names = fields.iter().map(|(name, _)| name.as_str());
    let twice = names.find(|name| known.insert(*name, ()).is_some())?;
    Some(printable(twice, MAX_NAME_CHARS))
}

fn secret(path: &str, value: Json) -> Result<Secret, ConfigError> {
    match value {
        Json::Text(text) => Ok(text),
        other => Err(expected("a string", path, &other)),
    }
}

fn expected(what: &str, path: &str, found: &Json) -> ConfigError {
    ConfigError::new(path, format!("expected {what}, not {}", found.kind()))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return printable(name, MAX_NAME_CHARS);
    }
    format!("{path}.{}", printable(name, MAX_NAME_CHARS))
}

/// The path of an object, for an error about all of it.
fn whole(path: &str) -> &str {
    if path.is_empty() { DOCUMENT } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        ConfigFile::parse(json).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_where() {
        let text = error("{\n  \"identities\": {\"app\": {\"tenant\": \"t\"}}\n}");
        assert!(text.starts_with("identities.app.tenant: unknown field `tenant`, expected one of `tenant_id`, `client_id`"), "{text}");
        assert!(
            error(r#"{"identities": {"app": {"credential": {"certificate": {}}}}}"#)
                .starts_with("identities.app.credential.certificate: missing field `name`")
        );
        assert!(
            error("{\n\"identities\": {},}")
                .starts_with("configuration: not JSON: trailing comma at line 2 column")
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
