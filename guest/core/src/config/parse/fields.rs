//! The fields of an object, taken one after the other by the kind of value that each has. Which there are is said by
//! `object!`, and what to do about one that is not known by `hints`.

#[cfg(target_family = "wasm")]
use super::hints::misspelt;
#[cfg(not(target_family = "wasm"))]
use super::hints::{as_object, misspelt};
#[cfg(feature = "key-vault")]
use super::shapes::ForKeyVaults;
#[cfg(not(feature = "key-vault"))]
use super::shapes::ForKeyVaults;
#[cfg(feature = "schema")]
use super::shapes::ForTheCommand;
#[cfg(not(feature = "schema"))]
use super::shapes::ForTheCommand;
use super::shapes::OneOrMore;
#[cfg(feature = "every-credential")]
use super::shapes::{ForEveryBuild, Parameters, TextForEveryBuild, TextsForEveryBuild};
#[cfg(not(feature = "every-credential"))]
use super::shapes::{ForEveryBuild, Unread};
use super::{Choice, DOCUMENT, Object};
use crate::config::error::ConfigError;
use crate::json::Json;
use crate::text::{printable, shown_name};
use crate::{Secret, Table};

/// The fields of an object that have not been taken yet. A field that is wrong is treated as absent, and the first such
/// one is remembered.
pub(crate) struct Fields {
    path: String,
    fields: Vec<(String, Json)>,
    error: Option<ConfigError>,
}

impl Fields {
    /// A field that must be there.
    pub(crate) fn text(&mut self, name: &str) -> String {
        let text = self.optional_text(name);
        if text.is_none() {
            let error = ConfigError::new(whole(&self.path), format!("missing field `{name}`"));
            self.wrong(error.hint(format!("set {name}")));
        }
        text.unwrap_or_default()
    }

    pub(crate) fn text_or_empty(&mut self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    pub(crate) fn optional_text(&mut self, name: &str) -> Option<String> {
        let text = self.optional_secret(name)?;
        Some(text.expose().to_owned())
    }

    pub(crate) fn optional_secret(&mut self, name: &str) -> Option<Secret> {
        let value = self.take(name)?;
        let text = secret(&self.at(name), value);
        self.keep(text)
    }

    pub(crate) fn optional_number(&mut self, name: &str) -> Option<u64> {
        let error = match self.take(name)? {
            Json::Whole(number) => return Some(number),
            Json::Number(_) => ConfigError::new(
                self.at(name),
                "expected a whole number that is not negative",
            ),
            other => expected("a number", &self.at(name), &other),
        };
        self.wrong(error);
        None
    }

    pub(crate) fn flag(&mut self, name: &str, usual: bool) -> bool {
        self.optional_flag(name).unwrap_or(usual)
    }

    pub(crate) fn optional_flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Json::Bool(flag) => Some(flag),
            other => {
                self.wrong(expected("true or false", &self.at(name), &other));
                None
            }
        }
    }

    pub(crate) fn choice<T: Choice>(&mut self, name: &str) -> T {
        let Some(word) = self.optional_secret(name) else {
            return T::default();
        };
        let mut choices = T::CHOICES.iter();
        match choices.find(|(known, _)| *known == word.expose()) {
            Some((_, choice)) => *choice,
            None => {
                let words: Vec<&str> = T::CHOICES.iter().map(|(word, _)| *word).collect();
                let error = ConfigError::new(self.at(name), "is not an allowed value");
                self.wrong(error.hint(format!("expected `{}`", words.join("` or `"))));
                T::default()
            }
        }
    }

    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let mut out = Vec::new();
        for (path, item) in self.list(name) {
            let text = secret(&path, item);
            out.extend(self.keep(text).map(|text| text.expose().to_owned()));
        }
        out
    }

    pub(crate) fn objects<T: Object>(&mut self, name: &str) -> Vec<T> {
        let mut out = Vec::new();
        for (path, item) in self.list(name) {
            out.extend(read_object(&mut self.error, path, item));
        }
        out
    }

    #[cfg(feature = "schema")]
    pub(crate) fn objects_for_the_command<T: Object>(&mut self, name: &str) -> ForTheCommand<T> {
        self.objects(name)
    }

    #[cfg(not(feature = "schema"))]
    pub(crate) fn objects_for_the_command<T>(&mut self, name: &str) -> ForTheCommand<T> {
        self.take(name).map(|_| std::marker::PhantomData)
    }

    pub(crate) fn optional_object<T: Object>(&mut self, name: &str) -> Option<T> {
        let (path, value) = self.take_at(name)?;
        read_object(&mut self.error, path, value)
    }

    pub(crate) fn one_or_more<T: Object>(&mut self, name: &str) -> Option<OneOrMore<T>> {
        let (path, value) = self.take_at(name)?;
        let Json::List(items) = value else {
            return read_object(&mut self.error, path, value).map(OneOrMore::One);
        };
        let items = items.into_iter().enumerate();
        let read = items.filter_map(|(index, item)| {
            read_object(&mut self.error, format!("{path}[{index}]"), item)
        });
        Some(OneOrMore::More(read.collect()))
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn object_for_every_build<T: Object>(&mut self, name: &str) -> ForEveryBuild<T> {
        self.optional_object(name)
    }

    #[cfg(not(feature = "every-credential"))]
    pub(crate) fn object_for_every_build<T>(&mut self, name: &str) -> ForEveryBuild<T> {
        self.text_for_every_build(name)
            .map(|()| std::marker::PhantomData)
    }

    #[cfg(feature = "key-vault")]
    pub(crate) fn object_for_key_vaults<T: Object>(&mut self, name: &str) -> ForKeyVaults<T> {
        self.optional_object(name)
    }

    #[cfg(not(feature = "key-vault"))]
    pub(crate) fn object_for_key_vaults<T>(&mut self, name: &str) -> ForKeyVaults<T> {
        self.take(name).map(|_| std::marker::PhantomData)
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn boxed_object<T: Object>(&mut self, name: &str) -> Option<Box<T>> {
        self.optional_object(name).map(Box::new)
    }

    pub(crate) fn object_or_default<T: Object + Default>(&mut self, name: &str) -> T {
        self.optional_object(name).unwrap_or_default()
    }

    pub(crate) fn named_texts(&mut self, name: &str) -> Table<String, String> {
        let mut out = Table::default();
        for (path, name, value) in self.names(name) {
            let text = secret(&path, value);
            if let Some(text) = self.keep(text) {
                out.insert(name, text.expose().to_owned());
            }
        }
        out
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn text_for_every_build(&mut self, name: &str) -> TextForEveryBuild {
        self.optional_text(name)
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn texts_for_every_build(&mut self, name: &str) -> TextsForEveryBuild {
        self.texts(name)
    }

    // once: Envoy compiles it for each kind of field otherwise
    #[cfg(not(feature = "every-credential"))]
    #[inline(never)]
    pub(crate) fn text_for_every_build(&mut self, name: &str) -> Unread {
        self.take(name).map(drop)
    }

    #[cfg(not(feature = "every-credential"))]
    pub(crate) fn texts_for_every_build(&mut self, name: &str) -> Unread {
        self.text_for_every_build(name)
    }

    #[cfg(not(feature = "every-credential"))]
    pub(crate) fn parameters_for_every_build(&mut self, name: &str) -> Unread {
        self.text_for_every_build(name)
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn parameters_for_every_build(&mut self, name: &str) -> Parameters {
        let mut out = Table::default();
        for (path, name, value) in self.names(name) {
            let values = match value {
                Json::List(items) => {
                    let items = items.into_iter().enumerate();
                    let texts =
                        items.map(|(index, item)| secret(&format!("{path}[{index}]"), item));
                    let texts = texts.map(|text| text.map(|text| text.expose().to_owned()));
                    texts.collect::<Result<_, _>>().map(OneOrMore::More)
                }
                other => secret(&path, other).map(|text| OneOrMore::One(text.expose().to_owned())),
            };
            if let Some(values) = self.keep(values) {
                out.insert(name, values);
            }
        }
        out
    }

    pub(crate) fn named_objects<T: Object>(&mut self, name: &str) -> Table<String, T> {
        let mut out = Table::default();
        for (path, name, value) in self.names(name) {
            if let Some(value) = read_object(&mut self.error, path, value) {
                out.insert(name, value);
            }
        }
        out
    }

    fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    fn wrong(&mut self, error: ConfigError) {
        self.error.get_or_insert(error);
    }

    fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(error);
                None
            }
        }
    }

    /// Hands what is wrong to the object around this one; whether nothing is.
    #[inline(never)]
    fn end(self, outside: &mut Option<ConfigError>) -> bool {
        let Some(error) = self.error else {
            return true;
        };
        outside.get_or_insert(error);
        false
    }

    /// The value of a field, with its path.
    fn take_at(&mut self, name: &str) -> Option<(String, Json)> {
        let value = self.take(name)?;
        Some((self.at(name), value))
    }

    /// The value of a field. `null` is treated as absent.
    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.swap_remove(at);
        (!matches!(value, Json::Null)).then_some(value)
    }

    /// The items of a list, each with its path.
    fn list(&mut self, name: &str) -> Vec<(String, Json)> {
        let path = self.at(name);
        let items = match self.take(name) {
            None => return Vec::new(),
            Some(Json::List(items)) => items,
            Some(other) => {
                self.wrong(expected("a list", &path, &other));
                return Vec::new();
            }
        };
        let items = items.into_iter().enumerate();
        items
            .map(|(index, item)| (format!("{path}[{index}]"), item))
            .collect()
    }

    /// The members of an object whose names the user chooses, each with its path. Of two of one name the first would
    /// vanish unseen, so that is an error.
    fn names(&mut self, name: &str) -> Vec<(String, String, Json)> {
        let path = self.at(name);
        let fields = match self.take(name) {
            None => return Vec::new(),
            Some(Json::Object(fields)) => fields,
            Some(other) => {
                self.wrong(expected("an object of names", &path, &other));
                return Vec::new();
            }
        };
        if let Some(name) = repeated(&fields) {
            let error = ConfigError::new(&path, format!("duplicate name `{name}`"));
            self.wrong(error.hint("rename one of the two, or remove it"));
        }
        let members = fields.into_iter();
        members
            .map(|(name, value)| (join(&path, &name), name, value))
            .collect()
    }
}

#[inline(never)]
pub(super) fn fields(
    outside: &mut Option<ConfigError>,
    path: String,
    value: Json,
    known: &[&str],
) -> Option<Fields> {
    match check_fields(path, value, known) {
        Ok(fields) => Some(fields),
        Err(error) => {
            outside.get_or_insert(error);
            None
        }
    }
}

fn check_fields(path: String, value: Json, known: &[&str]) -> Result<Fields, ConfigError> {
    #[cfg_attr(
        feature = "every-credential",
        expect(unused_mut, reason = "one build renames")
    )]
    let mut fields = match value {
        Json::Object(fields) => fields,
        other => {
            let error = expected("an object", whole(&path), &other);
            #[cfg(not(target_family = "wasm"))]
            let error = error.hint(as_object(&other, known));
            return Err(error);
        }
    };
    #[cfg(not(feature = "every-credential"))]
    crate::credential::set_elsewhere(&mut fields, known);
    let unknown = fields
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        let name = shown_name(name);
        let hint = misspelt(name, known);
        let known = known.join("`, `");
        return Err(ConfigError::new(
            join(&path, name),
            format!("unknown field `{name}`, expected one of `{known}`"),
        )
        .hint(hint));
    }
    match repeated(&fields) {
        Some(name) => Err(
            ConfigError::new(whole(&path), format!("duplicate field `{name}`"))
                .hint("keep one of the two"),
        ),
        None => Ok(Fields {
            path,
            fields,
            error: None,
        }),
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

pub(super) fn expected(what: &str, path: &str, found: &Json) -> ConfigError {
    ConfigError::new(path, format!("expected {what}, not {}", found.kind()))
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return printable(name, MAX_NAME_CHARS);
    }
    format!("{path}.{}", printable(name, MAX_NAME_CHARS))
}

/// The path of an object, for an error about all of it.
fn whole(path: &str) -> &str {
    if path.is_empty() { DOCUMENT } else { path }
}

/// Characters of a name that is not known. Every known one is shorter.
const MAX_NAME_CHARS: usize = 64;

// one function for each kind of object: all of them in one make a machine-code compiler ask for megabytes. What is the
// same for all kinds is in `fields` and `end`, which are compiled once.
#[inline(never)]
pub(super) fn read_object<T: Object>(
    outside: &mut Option<ConfigError>,
    path: String,
    value: Json,
) -> Option<T> {
    let mut fields = fields(outside, path, value, T::FIELDS)?;
    let object = T::read(&mut fields);
    fields.end(outside).then_some(object)
}
