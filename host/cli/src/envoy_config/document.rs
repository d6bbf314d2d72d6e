//! The plugin's configuration as JSON text: the user's document in the user's order, with a section added.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Columns of a line that holds more than one value. What is longer gets a line for each.
const WIDTH: usize = 80;

/// Columns by which what is inside something is indented.
const STEP: usize = 2;

/// JSON's word for nothing.
const NULL: &str = "null";

/// A JSON value whose fields keep their order.
pub(super) enum Node {
    /// The JSON text of a value with nothing inside.
    Scalar(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    pub(super) fn text(text: &str) -> Self {
        Self::Scalar(quoted(text))
    }

    fn null() -> Self {
        Self::Scalar(NULL.to_owned())
    }

    pub(super) fn object() -> Self {
        Self::Object(Vec::new())
    }

    /// The same once more.
    pub(super) fn copy(&self) -> Self {
        match self {
            Self::Scalar(text) => Self::Scalar(text.clone()),
            Self::List(items) => Self::List(items.iter().map(Self::copy).collect()),
            Self::Object(fields) => {
                let fields = fields.iter();
                Self::Object(
                    fields
                        .map(|(name, value)| (name.clone(), value.copy()))
                        .collect(),
                )
            }
        }
    }

    pub(super) fn yes() -> Self {
        Self::Scalar("true".to_owned())
    }

    /// The field of that name, if it is there.
    pub(super) fn existing(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Object(fields) = self else {
            return None;
        };
        let found = fields.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Takes the field of that name off.
    pub(super) fn remove(&mut self, name: &str) {
        if let Self::Object(fields) = self {
            fields.retain(|(known, _)| known != name);
        }
    }

    /// The field of that name. If there is none, or it is null, which counts as none, it becomes `or`.
    pub(super) fn field(&mut self, name: &str, or: Self) -> Option<&mut Self> {
        let Self::Object(fields) = self else {
            return None;
        };
        let known = fields.iter().position(|(known, _)| known == name);
        let index = known.unwrap_or(fields.len());
        if known.is_none() {
            fields.push((name.to_owned(), Self::null()));
        }
        let (_, value) = fields.get_mut(index)?;
        if matches!(value, Self::Scalar(text) if text == NULL) {
            *value = or;
        }
        Some(value)
    }

    /// JSON for a person to read, in ASCII: no parser of YAML around it takes any of it for a line break.
    pub(super) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, indent: usize) {
        let (open, close, items): (_, _, Vec<(String, &Self)>) = match self {
            Self::Scalar(text) => return out.push_str(text),
            Self::List(items) => {
                let items = items.iter().map(|item| (String::new(), item)).collect();
                ('[', ']', items)
            }
            Self::Object(fields) => {
                let named = |(name, value)| (format!("{}: ", quoted(name)), value);
                let items = fields.iter().map(|(name, value)| named((name, value)));
                ('{', '}', items.collect())
            }
        };
        let flat = items.iter().all(|(_, item)| item.is_flat());
        if flat {
            let inside: Vec<String> = items
                .iter()
                .map(|(name, item)| format!("{name}{}", item.pretty()))
                .collect();
            let line = format!("{open}{}{close}", inside.join(", "));
            if items.len() < 2 || indent + line.len() <= WIDTH {
                return out.push_str(&line);
            }
        }
        out.push(open);
        for (index, (name, item)) in items.iter().enumerate() {
            out.push_str(if index == 0 { "\n" } else { ",\n" });
            out.push_str(&" ".repeat(indent + STEP));
            out.push_str(name);
            item.write(out, indent + STEP);
        }
        out.push('\n');
        out.push_str(&" ".repeat(indent));
        out.push(close);
    }

    fn is_flat(&self) -> bool {
        match self {
            Self::Scalar(_) => true,
            Self::List(items) => items.is_empty(),
            Self::Object(fields) => fields.is_empty(),
        }
    }
}

/// A JSON string in ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut units = [0; 2];
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::null())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element()? {
            out.push(item);
        }
        Ok(Node::List(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut out = Vec::new();
        while let Some(field) = fields.next_entry()? {
            out.push(field);
        }
        Ok(Node::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pretty(json: &str) -> String {
        serde_json::from_str::<Node>(json).unwrap().pretty()
    }

    #[test]
    fn order_stays_and_short_things_share_a_line() {
        let text = pretty(r#"{"z":{"b":["1",2],"a":{"x":null}},"empty":{},"y":[[true],[-1.5]]}"#);
        assert_eq!(
            text,
            "{\n  \"z\": {\n    \"b\": [\"1\", 2],\n    \"a\": {\"x\": null}\n  },\n  \"empty\": {},\n  \"y\": [\n    [true],\n    [-1.5]\n  ]\n}"
        );
        let long = format!(r#"["{}","{}"]"#, "a".repeat(40), "b".repeat(40));
        assert_eq!(pretty(&long).lines().count(), 4);
    }

    #[test]
    fn it_says_the_same_in_ascii() {
        let hostile =
            r#"{"a\"b\\":"line\nbreak \u2028\u0085\ufeff\u0000 münchen 😀 # : - {} %s \u007f"}"#;
        let text = pretty(hostile);
        assert!(
            text.bytes()
                .all(|b| b == b'\n' || (b' '..=b'~').contains(&b)),
            "{text}"
        );
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&text), value(hostile));
    }

    #[test]
    fn fields_are_found_and_added() {
        let mut node: Node = serde_json::from_str(r#"{"a":{"b":1},"c":null}"#).unwrap();
        let known = node.field("a", Node::null()).unwrap();
        assert_eq!(known.field("b", Node::null()).unwrap().pretty(), "1");
        let added = node.field("c", Node::object()).unwrap();
        added.field("d", Node::text("e")).unwrap();
        added.field("d", Node::text("not this")).unwrap();
        assert_eq!(
            node.pretty(),
            "{\n  \"a\": {\"b\": 1},\n  \"c\": {\"d\": \"e\"}\n}"
        );
    }
}
