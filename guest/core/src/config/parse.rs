//! JSON text to the objects of a document, with errors that say where and never repeat a value.
//!
//! The readers are written out rather than derived: a derived one is compiled anew for every type, and Envoy compiles
//! the module at its start.

use super::error::ConfigError;
use crate::json::Json;
use crate::limits::MAX_CONFIG_BYTES;
use crate::text::printable;
use crate::{Secret, Table};

/// What an error about the document as a whole is called.
const DOCUMENT: &str = "configuration";

/// Characters of a parser message. They say what is wrong there and quote nothing of the text.
const MAX_MESSAGE_CHARS: usize = 200;

/// Characters of a name that is not known. Every known one is shorter.
const MAX_NAME_CHARS: usize = 64;

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
        let hint = match is_escape {
            true => {
                "write a backslash twice (\"C:\\\\tokens\\\\token\"), or use slashes in a path (\"C:/tokens/token\")"
            }
            false => "mind commas, quotes and brackets at that place",
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

// An object, or a list of such objects. Who has it as a field describes it.
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(untagged, inline)
)]
pub(crate) enum OneOrMore<T> {
    One(T),
    More(#[cfg_attr(feature = "schema", schemars(length(min = 1, max = 16)))] Vec<T>),
}

impl<T> OneOrMore<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// Objects that the command alone has a use for, which has the schema as well. Elsewhere they are let through unread: the
/// code of each type is something that Envoy compiles.
#[cfg(feature = "schema")]
pub type ForTheCommand<T> = Vec<T>;

/// Whether there are objects that the command alone has a use for; with the feature `schema` it is a list of them.
#[cfg(not(feature = "schema"))]
pub type ForTheCommand<T> = Option<std::marker::PhantomData<T>>;

/// An object that builds with every credential read. The others know that it is there.
#[cfg(feature = "every-credential")]
pub(crate) type ForEveryBuild<T> = Option<T>;

/// An object that builds with every credential read. The others know that it is there.
#[cfg(not(feature = "every-credential"))]
pub(crate) type ForEveryBuild<T> = Option<std::marker::PhantomData<T>>;

/// An object that builds with Key Vault read. The others know that it is there.
#[cfg(feature = "key-vault")]
pub(crate) type ForKeyVaults<T> = Option<T>;

/// An object that builds with Key Vault read. The others know that it is there.
#[cfg(not(feature = "key-vault"))]
pub(crate) type ForKeyVaults<T> = Option<std::marker::PhantomData<T>>;

/// A text that builds with every credential read. The others know that it is there.
#[cfg(feature = "every-credential")]
pub(crate) type TextForEveryBuild = Option<String>;

/// The same, a list of texts.
#[cfg(feature = "every-credential")]
pub(crate) type TextsForEveryBuild = Vec<String>;

/// The same, parameters of a request: names, and a text or a list of texts each.
#[cfg(feature = "every-credential")]
pub(crate) type Parameters = Table<String, OneOrMore<String>>;

#[cfg(not(feature = "every-credential"))]
pub(crate) type TextForEveryBuild = Unread;

#[cfg(not(feature = "every-credential"))]
pub(crate) type TextsForEveryBuild = Unread;

#[cfg(not(feature = "every-credential"))]
pub(crate) type Parameters = Unread;

/// Whether something is there that this build does not read.
#[cfg(not(feature = "every-credential"))]
pub(crate) type Unread = Option<()>;

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

// one function for each kind of object: all of them in one make a machine-code compiler ask for megabytes. What is the
// same for all kinds is in `fields` and `end`, which are compiled once.
#[inline(never)]
fn read_object<T: Object>(
    outside: &mut Option<ConfigError>,
    path: String,
    value: Json,
) -> Option<T> {
    let mut fields = fields(outside, path, value, T::FIELDS)?;
    let object = T::read(&mut fields);
    fields.end(outside).then_some(object)
}

#[inline(never)]
fn fields(
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
        let name = printable(name, MAX_NAME_CHARS);
        let hint = misspelt(&name, known);
        let known = known.join("`, `");
        return Err(ConfigError::new(
            join(&path, &name),
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

/// What to do about a field that is not known. A filter does without the search for what was meant: the command has
/// read its configuration before, and Envoy compiles every function at its start.
#[cfg(target_family = "wasm")]
fn misspelt(_: &str, _: &[&str]) -> &'static str {
    LOOK_CLOSER
}

#[cfg(not(target_family = "wasm"))]
fn misspelt(name: &str, known: &[&str]) -> String {
    if name == "use_bound_credential" {
        return NOTHING_TO_BIND.to_owned();
    }
    if let Some(hint) = super::spelling::foreign(name, known) {
        return hint.to_owned();
    }
    match super::spelling::nearest(name, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => LOOK_CLOSER.to_owned(),
    }
}

/// What to write in place of something that is no object. A word that is the name of a field is repeated, and no other.
#[cfg(not(target_family = "wasm"))]
fn as_object(found: &Json, known: &[&str]) -> String {
    let word = found.text().map(Secret::expose);
    let meant = word.and_then(|word| super::spelling::same(word, known));
    match (meant, known) {
        (Some(meant), _) => format!("write {{\"{meant}\": {{}}}}, with its settings inside"),
        (None, []) => "write {}".to_owned(),
        (None, known) => format!("write {{…}} with one of `{}` in it", known.join("`, `")),
    }
}

/// Microsoft.Identity.Web reads the setting beside every kind, and beside a secret does nothing about it.
#[cfg(not(target_family = "wasm"))]
const NOTHING_TO_BIND: &str = "only a certificate is shown on the connection, so nothing else is bound to it: write the \
                               certificate kind with use_bound_credential, or take the setting out";

const LOOK_CLOSER: &str = "mind the spelling and the level";

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
    use crate::config::document::ConfigFile;

    fn error(json: &str) -> String {
        document::<ConfigFile>(json).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_where() {
        let text = error("{\n  \"identities\": {\"app\": {\"tenant\": \"t\"}}\n}");
        assert!(text.starts_with("identities.app.tenant: unknown field `tenant`, expected one of `tenant_id`, `client_id`"), "{text}");
        assert!(text.ends_with("; did you mean `tenant_id`?"), "{text}");
        let text = error(r#"{"client_id": "c"}"#);
        assert!(text.contains("inside of an identity: "), "{text}");
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

    /// What is written inside of which object, and what the hint says.
    #[test]
    fn hints_say_what_to_write() {
        const TOP: &str = "VALUE";
        const IDENTITY: &str = r#"{"identities": {"app": VALUE}}"#;
        const CREDENTIAL: &str = r#"{"identities": {"app": {"credential": VALUE}}}"#;
        const LISTED: &str = r#"{"identities": {"app": {"credential": [VALUE]}}}"#;
        const CERTIFICATES: &str = r#"{"certificates": {"k": VALUE}}"#;

        for (place, value, says) in [
            // Microsoft.Identity.Web
            (TOP, r#"{"AzureAd": {}}"#, "no configuration of edgepass"),
            (
                IDENTITY,
                r#"{"ClientCredentials": []}"#,
                "are `credential` here",
            ),
            (
                IDENTITY,
                r#"{"clientCredentials": []}"#,
                "are `credential` here",
            ),
            (IDENTITY, r#"{"Instance": "x"}"#, "`authority_host`"),
            (
                IDENTITY,
                r#"{"TenantId": "x"}"#,
                "did you mean `tenant_id`?",
            ),
            (
                IDENTITY,
                r#"{"clientId": "x"}"#,
                "did you mean `client_id`?",
            ),
            (
                IDENTITY,
                r#"{"client-id": "x"}"#,
                "did you mean `client_id`?",
            ),
            (
                IDENTITY,
                r#"{"tokenEndpoint": "x"}"#,
                "did you mean `token_endpoint`?",
            ),
            (
                IDENTITY,
                r#"{"ClientSecret": "x"}"#,
                "{\"client_secret\": {\"env\": NAME}}",
            ),
            (
                IDENTITY,
                r#"{"ClientCertificates": []}"#,
                "certificates.NAME",
            ),
            (
                IDENTITY,
                r#"{"federated_token_file": {}}"#,
                "a token file is a credential",
            ),
            (
                IDENTITY,
                r#"{"managedIdentity": {}}"#,
                "{\"managed_identity\": {}}",
            ),
            (
                CREDENTIAL,
                r#"{"SourceType": "Path"}"#,
                "the name of its object",
            ),
            (
                LISTED,
                r#"{"SourceType": "Path"}"#,
                "the name of its object",
            ),
            (
                CREDENTIAL,
                r#"{"CertificateDiskPath": "x"}"#,
                "certificates.NAME",
            ),
            (
                CREDENTIAL,
                r#"{"certificatePassword": "x"}"#,
                "`password_env`",
            ),
            (
                CERTIFICATES,
                r#"{"certificatePassword": "x"}"#,
                "`password_file`",
            ),
            (
                CERTIFICATES,
                r#"{"CertificatePassword": "x"}"#,
                "`password_file`",
            ),
            (
                CERTIFICATES,
                r#"{"certificateFile": "x"}"#,
                "did you mean `certificate_file`?",
            ),
            // at the wrong level
            (
                CREDENTIAL,
                r#"{"certificate_file": "x"}"#,
                "certificates.NAME.certificate_file",
            ),
            (
                CREDENTIAL,
                r#"{"certificateFile": "x"}"#,
                "certificates.NAME.certificate_file",
            ),
            (
                CREDENTIAL,
                r#"{"certificate": {"certificate_file": "x"}}"#,
                "the `name` of a certificate here",
            ),
            (TOP, r#"{"client_id": "x"}"#, "inside of an identity"),
            (TOP, r#"{"TenantId": "x"}"#, "inside of an identity"),
            // within a kind
            (
                CREDENTIAL,
                r#"{"certificate": {"name": "k", "bound": true}}"#,
                "`use_bound_credential`",
            ),
            (
                CREDENTIAL,
                r#"{"certificate": {"name": "k", "SendX5C": true}}"#,
                "`send_x5c`",
            ),
            (
                CREDENTIAL,
                r#"{"certificate": {"name": "k", "UseBoundCredential": true}}"#,
                "`use_bound_credential`",
            ),
            (
                CREDENTIAL,
                r#"{"federated_token_file": {"tokenFilePath": "x"}}"#,
                "did you mean `path`?",
            ),
            (
                CREDENTIAL,
                r#"{"federated_token_file": {"file": "x"}}"#,
                "did you mean `path`?",
            ),
            (
                CREDENTIAL,
                r#"{"aws_web_identity": {"role_arn": "x"}}"#,
                "AWS_ROLE_ARN",
            ),
            (
                CREDENTIAL,
                r#"{"aws_web_identity": {"roleArn": "x"}}"#,
                "AWS_ROLE_ARN",
            ),
            (
                CREDENTIAL,
                r#"{"managed_identity": {"clientId": "x"}}"#,
                "did you mean `client_id`?",
            ),
            // a word where an object belongs
            (
                CREDENTIAL,
                r#""github_actions""#,
                "write {\"github_actions\": {}}",
            ),
            (
                CREDENTIAL,
                r#""GitHubActions""#,
                "write {\"github_actions\": {}}",
            ),
            (
                CREDENTIAL,
                r#""managed-identity""#,
                "write {\"managed_identity\": {}}",
            ),
            (LISTED, r#""spiffe""#, "write {\"spiffe\": {}}"),
            (
                CREDENTIAL,
                r#""hunter2""#,
                "with one of `federated_token_file`",
            ),
            (
                CREDENTIAL,
                r#"{"client_secret": "hunter2"}"#,
                "with one of `value`, `env`, `file`",
            ),
            (
                CREDENTIAL,
                r#"{"certificate": "hunter2"}"#,
                "with one of `name`",
            ),
            (
                CERTIFICATES,
                r#""hunter2""#,
                "with one of `certificate_file`",
            ),
            // paths of Windows
            (
                CREDENTIAL,
                r#"{"federated_token_file": {"path": "C:\keys\a"}}"#,
                "write a backslash twice",
            ),
            (
                CREDENTIAL,
                r#"{"federated_token_file": {"path": "\users"}}"#,
                "write a backslash twice",
            ),
        ] {
            let json = place.replace("VALUE", value);
            // so that a raw string of this table has one backslash
            let json = json.replace("\\\\", "\\");
            let text = error(&json);
            assert!(text.contains(says), "{json}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
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
