//! YAML (1.2, core schema), as a tree with places.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use edgepass_core::limits::MAX_CONFIG_BYTES;
use edgepass_core::printable;
use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    Field, MAX_DEPTH, MAX_SHOWN_CHARS, MAX_VALUES, Node, Value, Wrong, inside, repeated, too_deep,
    too_many,
};

pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader {
        text,
        events: Parser::new_from_str_with_options(text, options),
        anchors: BTreeMap::new(),
        values: 0,
        bytes: 0,
    };
    let (mut document, mut end) = (None, None);
    while let Some((event, at)) = reader.next()? {
        match event {
            Event::DocumentStart(..) => {
                if document.is_some() {
                    return Err(Wrong::new(
                        "",
                        "has more than one document",
                        "keep one: take out what begins with ---",
                    )
                    .at(at));
                }
                let Some((event, at)) = reader.next()? else {
                    break;
                };
                document = Some(reader.node("", event, at, 0)?);
            }
            Event::StreamEnd => end = Some(at),
            _ => {}
        }
    }
    let empty = || Wrong::new("", "empty", "write a mapping, at least {}");
    match document {
        // nothing but comments
        Some(Node {
            value: Value::Null,
            at,
        }) => Err(empty().at(at)),
        Some(document) => Ok(document),
        None => Err(match end {
            Some(at) => empty().at(at),
            None => empty(),
        }),
    }
}

/// What an alias stands for, and how much that is.
struct Anchored {
    node: Node,
    values: usize,
    bytes: usize,
}

struct Reader<'t> {
    text: &'t str,
    events: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Anchored>,
    /// How many values there are so far, and how long their texts are.
    values: usize,
    bytes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, usize)>, Wrong> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, offset(self.text, &span.start)))),
            Some(Err(error)) => Err(not_yaml(self.text, &error)),
        }
    }

    /// The next event inside of something.
    fn within(&mut self, path: &str, outer: usize) -> Result<(Event<'t>, usize), Wrong> {
        let next = self.next()?;
        next.ok_or_else(|| Wrong::new(path, "has no end", "close what is open there").at(outer))
    }

    fn node(
        &mut self,
        path: &str,
        event: Event<'t>,
        at: usize,
        depth: usize,
    ) -> Result<Node, Wrong> {
        if depth > MAX_DEPTH {
            return Err(too_deep(path, at));
        }
        let before = (self.values, self.bytes);
        self.count(1, 0, at)?;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let Some(known) = self.anchors.get(&anchor) else {
                    return Err(Wrong::new(
                        path,
                        "is an alias of something that it stands in itself",
                        "write out what is meant",
                    )
                    .at(at));
                };
                let (values, bytes) = (known.values, known.bytes);
                let value = known.node.value.clone_within(depth, path, at)?;
                self.count(values, bytes, at)?;
                (value, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                untagged(path, tag.is_some(), at)?;
                self.count(0, text.len(), at)?;
                (scalar(path, text, style, at)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                untagged(path, tag.is_some(), at)?;
                let mut items = Vec::new();
                loop {
                    let (event, at) = self.within(path, at)?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    let path = format!("{path}[{}]", items.len());
                    items.push(self.node(&path, event, at, depth + 1)?);
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                untagged(path, tag.is_some(), at)?;
                (Value::Object(self.fields(path, at, depth)?), anchor)
            }
            _ => {
                return Err(Wrong::new(
                    path,
                    "is no value",
                    "mind the indentation and the punctuation at that place",
                )
                .at(at));
            }
        };
        let node = Node { at, value };
        if anchor != 0 {
            let anchored = Anchored {
                node: node.clone(),
                values: self.values - before.0,
                bytes: self.bytes - before.1,
            };
            self.anchors.insert(anchor, anchored);
        }
        Ok(node)
    }

    fn fields(&mut self, path: &str, outer: usize, depth: usize) -> Result<Vec<Field>, Wrong> {
        let mut fields: Vec<Field> = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let (event, at) = self.within(path, outer)?;
            let name = match event {
                Event::MappingEnd => return Ok(fields),
                Event::Scalar(name, style, _, tag) => {
                    untagged(path, tag.is_some(), at)?;
                    if name == "<<" && style == ScalarStyle::Plain {
                        return Err(Wrong::new(
                            path,
                            "has a merge key (<<), which is none of YAML 1.2",
                            "write the fields themselves, or an alias for a whole value",
                        )
                        .at(at));
                    }
                    self.count(0, name.len(), at)?;
                    name.into_owned()
                }
                _ => {
                    return Err(Wrong::new(
                        path,
                        "has a name that is no text",
                        "write names as plain words; brackets and braces in a text need quotes",
                    )
                    .at(at));
                }
            };
            if !names.insert(name.clone()) {
                return Err(repeated(path, &name, at));
            }
            let path = inside(path, &name);
            let (event, value_at) = self.within(&path, at)?;
            fields.push(Field {
                value: self.node(&path, event, value_at, depth + 1)?,
                name,
                at,
            });
        }
    }

    /// Counts, before anything is copied.
    fn count(&mut self, values: usize, bytes: usize, at: usize) -> Result<(), Wrong> {
        self.values = self.values.saturating_add(values);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.values > MAX_VALUES {
            return Err(too_many(at));
        }
        if self.bytes > MAX_CONFIG_BYTES {
            return Err(Wrong::new(
                "",
                format!("longer than {MAX_CONFIG_BYTES} bytes, aliases written out"),
                "keep secrets and certificates in files and name those",
            )
            .at(at));
        }
        Ok(())
    }
}

impl Value {
    /// The same once more, where that is not too deep.
    fn clone_within(&self, depth: usize, path: &str, at: usize) -> Result<Self, Wrong> {
        fn height(value: &Value) -> usize {
            let inside = match value {
                Value::List(items) => items.iter().map(|item| height(&item.value)).max(),
                Value::Object(fields) => {
                    fields.iter().map(|field| height(&field.value.value)).max()
                }
                _ => None,
            };
            inside.map_or(0, |inside| inside + 1)
        }

        if depth + height(self) > MAX_DEPTH {
            return Err(too_deep(path, at));
        }
        Ok(self.clone())
    }
}

/// The byte of a place; the parser counts characters where it does not know it.
fn offset(text: &str, marker: &Marker) -> usize {
    let counted = || text.char_indices().nth(marker.index());
    let known = marker.byte_offset();
    known.unwrap_or_else(|| counted().map_or(text.len(), |(offset, _)| offset))
}

fn not_yaml(text: &str, error: &ScanError) -> Wrong {
    let message = printable(&error.info(), MAX_SHOWN_CHARS);
    let hint = if message.contains("tab") {
        "indent with blanks"
    } else if message.contains("anchor") {
        "a text that begins with * or & needs quotes"
    } else {
        "mind the indentation and quotes at that place; a text with special characters needs quotes"
    };
    Wrong::new("", format!("not YAML: {message}"), hint).at(offset(text, error.marker()))
}

/// Tags make other things of a value, or call for code.
fn untagged(path: &str, has_tag: bool, at: usize) -> Result<(), Wrong> {
    match has_tag {
        false => Ok(()),
        true => Err(Wrong::new(
            path,
            "has a tag, which is not read",
            "take out what begins with `!`; quotes make a text of a value",
        )
        .at(at)),
    }
}

/// What a scalar is by the core schema (YAML 1.2 section 10.3).
fn scalar(
    path: &str,
    mut text: Cow<'_, str>,
    style: ScalarStyle,
    at: usize,
) -> Result<Value, Wrong> {
    let value = if style == ScalarStyle::Plain {
        plain(&text)
    } else {
        Plain::Text
    };
    let value = match value {
        Plain::Text => Value::Text(Zeroizing::new(text.as_ref().to_owned())),
        Plain::Other(value) => value,
        Plain::Ambiguous => {
            return Err(Wrong::new(
                path,
                "is something else in YAML 1.1 than in 1.2 (a word such as no or on, a number such as 0123 or 12:30, a date)",
                "put it into quotes to have the text; write true or false for a truth value, and numbers without zeros before them",
            )
            .at(at));
        }
        Plain::TooLarge => {
            return Err(Wrong::new(
                path,
                "is no number that a setting can be",
                "put it into quotes to have a text",
            )
            .at(at));
        }
    };
    if let Cow::Owned(text) = &mut text {
        text.zeroize();
    }
    Ok(value)
}

enum Plain {
    Text,
    Other(Value),
    Ambiguous,
    TooLarge,
}

fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Other(Value::Null),
        "true" | "True" | "TRUE" => return Plain::Other(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Plain::Other(Value::Bool(false)),
        _ => {}
    }
    if is_ambiguous(text) {
        return Plain::Ambiguous;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Plain::Other(Value::Number(
            text.strip_prefix('+').unwrap_or(text).to_owned(),
        ));
    }
    if !is_float(digits) {
        return Plain::Text;
    }
    let number = text.parse::<f64>().ok();
    match number.and_then(serde_json::Number::from_f64) {
        Some(number) => Plain::Other(Value::Number(number.to_string())),
        None => Plain::TooLarge,
    }
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let exponent = exponent.map(|text| text.strip_prefix(['-', '+']).unwrap_or(text));
    all_digits(whole)
        && all_digits(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

/// Whether YAML 1.1, which many tools still read, takes it for something else than 1.2: truth values, numbers with another
/// base or with `_`, sexagesimal ones, what is no finite number, and dates.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: &[&str] = &["yes", "no", "on", "off", "y", "n"];

    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return true;
    }
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_one = |text: &str, of: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || of.contains(c))
    };
    let has_digit = number.bytes().any(|byte| byte.is_ascii_digit());
    let is_based = ["0x", "0o", "0b"].iter().any(|base| {
        let digits = number.strip_prefix(base);
        digits.is_some_and(|digits| {
            !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit() || c == '_')
        })
    });
    let is_octal = number.len() > 1 && number.starts_with('0') && is_one(number, "");
    let has_underscores = has_digit
        && number.contains('_')
        && number.starts_with(|c: char| c.is_ascii_digit())
        && is_one(number, "_.");
    let mut parts = number.split(':');
    let is_sexagesimal = number.contains(':')
        && parts.all(|part| !part.is_empty() && part.len() <= 4 && is_one(part, "_."));
    let is_special = [".inf", ".nan"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(number));
    let mut parts = text.splitn(3, '-');
    let mut part = |most: usize| {
        parts
            .next()
            .is_some_and(|part| (1..=most).contains(&part.len()) && is_one(part, ""))
    };
    let is_date = part(4) && part(2) && part(2);
    is_based || is_octal || has_underscores || is_sexagesimal || is_special || is_date
}
