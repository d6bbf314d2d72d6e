//! The configuration as JSON, YAML or TOML. There is one document, that of the JSON Schema, and the engine reads it as JSON;
//! what is written in another format becomes JSON here. Where everything stands is kept, so that what the engine finds wrong
//! is found again in the text.
//!
//! Of YAML (1.2, core schema) everything is read that means the same to every reader. What readers of YAML 1.1 and of 1.2
//! take for different things (`no`, `0123`, `12:30`), tags, merge keys and further documents are refused.

mod json;
mod toml;
mod yaml;

use std::fmt;
use std::path::Path;

use edgepass_core::limits::MAX_CONFIG_BYTES;
use edgepass_core::{ConfigError, Environment, printable, without_byte_order_mark};
use zeroize::Zeroizing;

use crate::place::is_within;
use crate::recognise::{Kind, Mistaken, Reader};

/// What errors about the text as a whole are about, as in the engine.
const WHOLE: &str = "configuration";

/// Values within values. The deepest setting is at nine.
const MAX_DEPTH: usize = 32;

/// Values of a document, aliases written out. A configuration with a thousand identities has fewer.
const MAX_VALUES: usize = edgepass_core::limits::MAX_JSON_VALUES;

/// Characters of a name, and of what a parser says, in an error.
const MAX_SHOWN_CHARS: usize = 200;

/// How a configuration is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// JSON (RFC 8259).
    #[default]
    Json,
    /// YAML 1.2.
    Yaml,
    /// TOML 1.1.
    Toml,
}

impl Format {
    /// What the ending of a file's name says, in whatever case; JSON where it says nothing.
    pub fn of_path(path: &Path) -> Self {
        let ending = path.extension().and_then(std::ffi::OsStr::to_str);
        let ending = ending.map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("yaml" | "yml") => Self::Yaml,
            Some("toml") => Self::Toml,
            _ => Self::Json,
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
        }
    }

    /// The format that a text looks like, where it is not JSON: by its first line that says something.
    pub fn guess(text: &str) -> Option<Self> {
        let mut lines = without_byte_order_mark(text).lines();
        let line =
            lines.find(|line| !matches!(line.trim_start().chars().next(), None | Some('#')))?;
        let is_name = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$' | '.');
            !name.is_empty() && name.chars().all(plain)
        };
        let is_yaml = line.starts_with("---")
            || line.starts_with("%YAML")
            || line.split_once(':').is_some_and(|(name, rest)| {
                is_name(name) && (rest.is_empty() || rest.starts_with(' '))
            });
        let line = line.trim();
        let inside = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'));
        let is_table = inside.is_some_and(|name| {
            let name = name.trim_start_matches('[').trim_end_matches(']');
            is_name(&name.replace('"', ""))
        });
        let is_toml = is_table
            || line
                .split_once('=')
                .is_some_and(|(name, _)| is_name(&name.trim().replace('"', "")));
        match (is_yaml, is_toml) {
            (true, _) => Some(Self::Yaml),
            (_, true) => Some(Self::Toml),
            _ => None,
        }
    }
}

/// A configuration that was read: its JSON, and where in its text everything stands.
pub struct Document {
    json: Zeroizing<String>,
    format: Format,
    /// What it is called; nothing where it is no file.
    name: Option<String>,
    places: Places,
}

enum Places {
    /// Found out where they are asked for.
    OfJson,
    /// Of a text.
    Known(Node, Zeroizing<String>),
}

impl Document {
    /// Reads a text. JSON is taken as it is; the engine says what is wrong with it.
    ///
    /// # Errors
    ///
    /// When it is not of that format, or has what a configuration cannot have, with the place.
    pub fn read(text: &str, format: Format, name: Option<&str>) -> Result<Self, ConfigError> {
        Self::parse(text, format, name).map_err(|error| mistaken(text, name).unwrap_or(error))
    }

    /// The same of settings that are no configuration of edgepass.
    pub(crate) fn parse(
        text: &str,
        format: Format,
        name: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let text = without_byte_order_mark(text);
        let name = name.map(str::to_owned);
        if format == Format::Json {
            return Ok(Self {
                json: Zeroizing::new(text.to_owned()),
                format,
                name,
                places: Places::OfJson,
            });
        }
        if text.len() > MAX_CONFIG_BYTES {
            let long = Wrong::new(
                "",
                format!("longer than {MAX_CONFIG_BYTES} bytes"),
                "keep secrets and certificates in files and name those",
            );
            return Err(long.into_error(text, name.as_deref()));
        }
        let root = match format {
            Format::Toml => toml::read(text),
            _ => yaml::read(text),
        };
        let root = root.map_err(|wrong| wrong.into_error(text, name.as_deref()))?;
        let mut json = Zeroizing::new(String::with_capacity(MAX_CONFIG_BYTES));
        root.write(&mut json);
        Ok(Self {
            json,
            format,
            name,
            places: Places::Known(root, Zeroizing::new(text.to_owned())),
        })
    }

    /// The document, JSON. It may hold secrets.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// How it was written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Where a setting stands, as errors name it: `edgepass.yaml:12:7`. Of one that is not there it is the nearest around it.
    /// `None` of what is no setting of the document, such as a variable.
    pub fn place(&self, setting: &str) -> Option<String> {
        let (text, offset) = match &self.places {
            Places::Known(root, text) => (text, root.find(setting)),
            Places::OfJson => (&self.json, json::find(&self.json, setting)),
        };
        offset.map(|offset| Position::of(text, offset).named(self.name.as_deref()))
    }

    /// The same error with its place, and with a hint where it is about what the format makes of a text. Of a text that is no
    /// configuration, or in another format than its name says, it is that.
    #[must_use]
    pub fn explain(&self, error: ConfigError) -> ConfigError {
        if let Some(mistaken) = mistaken(&self.json, self.name.as_deref()) {
            return mistaken;
        }
        if error.setting == WHOLE
            && let Some(format) = self.looks_otherwise()
        {
            return self.of_another_format(format);
        }
        let hint = error.hint.is_none().then(|| self.hint(&error.message));
        let error = match hint.flatten() {
            Some(hint) => error.hint(hint),
            None => error,
        };
        if error.place.is_some() {
            return error;
        }
        let place = match error.setting == WHOLE {
            // a parser says the place in its own words
            true => said(&error.message)
                .map(|place| place.named(self.name.as_deref()))
                .or_else(|| self.name.clone()),
            false => self.place(&error.setting),
        };
        match place {
            Some(place) => error.at(place),
            None => error,
        }
    }

    /// The format that it looks like where it was read as JSON, which it cannot be then.
    pub fn looks_otherwise(&self) -> Option<Format> {
        match self.format {
            Format::Json => Format::guess(&self.json),
            _ => None,
        }
    }

    fn of_another_format(&self, format: Format) -> ConfigError {
        let name = format.name();
        let setting = self.name.as_deref().unwrap_or(WHOLE);
        let error = ConfigError::new(
            setting,
            format!("is {name} by its look, and was read as JSON"),
        );
        error.hint(match setting {
            Environment::EDGEPASS_CONFIG_JSON => {
                "write it as JSON, or into a file that EDGEPASS_CONFIG names".to_owned()
            }
            _ => format!("give the file the ending .{}", name.to_lowercase()),
        })
    }

    /// What to do about an error without a hint, where it is about what the format makes of a text.
    pub fn hint(&self, message: &str) -> Option<&'static str> {
        let one_of_a_list = match self.format {
            Format::Toml => {
                "write the name in two brackets, [[http.rules]] for example: each such table is one of the list"
            }
            Format::Yaml => "write `- ` before each one of the list",
            Format::Json => "put it into brackets, [{ … }]: there may be several",
        };
        [
            (
                "a string, not a number",
                "put it into quotes: a text may look like a number",
            ),
            (
                "a string, not a boolean",
                "put it into quotes: a text may look like a truth value",
            ),
            (
                "true or false, not a string",
                "write true or false, without quotes",
            ),
            ("a number, not a string", "write the number without quotes"),
            ("a list, not an object", one_of_a_list),
            (
                "a list, not a string",
                "put it into brackets, also where it is one alone: [\"…\"]",
            ),
        ]
        .into_iter()
        .find_map(|(end, hint)| message.ends_with(end).then_some(hint))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("format", &self.format)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a text is, if it is no configuration by its look.
fn mistaken(text: &str, name: Option<&str>) -> Option<ConfigError> {
    let Mistaken { message, hint } = Mistaken::of(text, Kind::Configuration, Reader::Program)?;
    Some(ConfigError::new(name.unwrap_or(WHOLE), message).hint(hint))
}

/// A place in a text, both from 1; columns are characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Position {
    line: usize,
    column: usize,
}

impl Position {
    /// Of that byte.
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }

    fn named(self, name: Option<&str>) -> String {
        let Self { line, column } = self;
        match name {
            Some(name) => format!("{}:{line}:{column}", printable(name, usize::MAX)),
            None => format!("line {line}, column {column}"),
        }
    }
}

/// The place at the end of what the parser of JSON says.
fn said(message: &str) -> Option<Position> {
    let (_, place) = message.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    Some(Position {
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    })
}

/// What is wrong with a text.
struct Wrong {
    error: ConfigError,
    /// The byte at which it is wrong.
    at: Option<usize>,
}

impl Wrong {
    fn new(setting: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let setting = if setting.is_empty() { WHOLE } else { setting };
        Self {
            error: ConfigError::new(setting, message).hint(hint),
            at: None,
        }
    }

    fn at(self, offset: usize) -> Self {
        Self {
            at: Some(offset),
            ..self
        }
    }

    fn into_error(self, text: &str, name: Option<&str>) -> ConfigError {
        match (self.at, name) {
            (Some(at), name) => self.error.at(Position::of(text, at).named(name)),
            (None, Some(name)) => self.error.at(printable(name, usize::MAX)),
            (None, None) => self.error,
        }
    }
}

/// A value and the byte at which it stands.
#[derive(Clone)]
struct Node {
    at: usize,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Null,
    Bool(bool),
    /// As JSON writes it.
    Number(String),
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Object(Vec<Field>),
}

#[derive(Clone)]
struct Field {
    name: String,
    /// Where the name stands.
    at: usize,
    value: Node,
}

impl Node {
    /// Where that setting stands, or what is nearest around it; `None` if not even its first name is there.
    fn find(&self, setting: &str) -> Option<usize> {
        if setting == WHOLE {
            return Some(self.at);
        }
        let mut node = self;
        let mut found = None;
        let mut rest = setting;
        while !rest.is_empty() {
            match &node.value {
                Value::Object(fields) => {
                    let path = rest.strip_prefix('.').unwrap_or(rest);
                    // names may have dots in them: the longest that fits
                    let fitting = fields.iter().filter(|field| is_within(path, &field.name));
                    let Some(field) = fitting.max_by_key(|field| field.name.len()) else {
                        break;
                    };
                    found = Some(field.at);
                    rest = path.strip_prefix(field.name.as_str()).unwrap_or_default();
                    node = &field.value;
                }
                Value::List(items) => {
                    let Some((index, after)) = index(rest) else {
                        break;
                    };
                    let Some(item) = items.get(index) else {
                        break;
                    };
                    found = Some(item.at);
                    rest = after;
                    node = item;
                }
                _ => break,
            }
        }
        found
    }

    /// Writes it as JSON.
    fn write(&self, out: &mut Zeroizing<String>) {
        match &self.value {
            Value::Null => push(out, "null"),
            Value::Bool(value) => push(out, if *value { "true" } else { "false" }),
            Value::Number(number) => push(out, number),
            Value::Text(text) => quote(text, out),
            Value::List(items) => {
                push(out, "[");
                for (at, item) in items.iter().enumerate() {
                    push(out, if at == 0 { "" } else { "," });
                    item.write(out);
                }
                push(out, "]");
            }
            Value::Object(fields) => {
                push(out, "{");
                for (at, field) in fields.iter().enumerate() {
                    push(out, if at == 0 { "" } else { "," });
                    quote(&field.name, out);
                    push(out, ":");
                    field.value.write(out);
                }
                push(out, "}");
            }
        }
    }
}

/// Adds a text. What grows is moved, and leaves no copy behind.
fn push(out: &mut Zeroizing<String>, text: &str) {
    let needed = out.len() + text.len();
    if needed > out.capacity() {
        let mut larger = Zeroizing::new(String::with_capacity(2 * needed));
        larger.push_str(out);
        *out = larger;
    }
    out.push_str(text);
}

/// A JSON string (RFC 8259 section 7).
fn quote(text: &str, out: &mut Zeroizing<String>) {
    push(out, "\"");
    for c in text.chars() {
        match c {
            '"' => push(out, "\\\""),
            '\\' => push(out, "\\\\"),
            c if (c as u32) < 0x20 => push(out, &format!("\\u{:04x}", c as u32)),
            c => push(out, c.encode_utf8(&mut [0; 4])),
        }
    }
    push(out, "\"");
}

/// The same of a text that is no secret.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = Zeroizing::new(String::new());
    quote(text, &mut out);
    out.as_str().to_owned()
}

/// The index that a path begins with, and what is behind it.
fn index(path: &str) -> Option<(usize, &str)> {
    let (index, after) = path.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, after))
}

/// The path of a field, as the engine writes it.
fn inside(path: &str, name: &str) -> String {
    let name = printable(name, MAX_SHOWN_CHARS);
    match path {
        "" => name,
        path => format!("{path}.{name}"),
    }
}

/// Of a name that an object has twice.
fn repeated(path: &str, name: &str, at: usize) -> Wrong {
    let name = printable(name, MAX_SHOWN_CHARS);
    Wrong::new(
        path,
        format!("duplicate name `{name}`"),
        "keep one of the two",
    )
    .at(at)
}

fn too_deep(path: &str, at: usize) -> Wrong {
    Wrong::new(
        path,
        format!("is nested deeper than {MAX_DEPTH} values"),
        "no setting is that deep: look at the indentation and at brackets",
    )
    .at(at)
}

fn too_many(at: usize) -> Wrong {
    Wrong::new(
        "",
        format!("has more than {MAX_VALUES} values, aliases written out"),
        "write fewer identities into one document, and no aliases of aliases",
    )
    .at(at)
}

#[cfg(test)]
mod tests;
