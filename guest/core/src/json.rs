//! JSON as a tree, for everything that the engine reads: its configuration, token responses, claims. One reader for all
//! of them keeps the modules small, because a derived one is compiled anew for every type. Texts may be secrets and are
//! kept as such.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use crate::Secret;
use crate::limits::MAX_JSON_VALUES;
use crate::secret::same;
use crate::text::bytes_without_byte_order_mark;

/// Numbers that are too large, in one answer.
const MAX_HUGE_NUMBERS: usize = 8;

/// A JSON value.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// A number that is whole and not negative.
    Whole(u64),
    /// Any other number.
    Number(f64),
    Text(Secret),
    List(Vec<Json>),
    /// In the document's order; a repeated name is there twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one document. A byte order mark before it is no part of it (RFC 8259 section 8.1).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut left = MAX_JSON_VALUES;
        let text = bytes_without_byte_order_mark(text);
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = Reader { left: &mut left }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// Reads what a server has written. A number that is larger than any field's is no reason to refuse the rest: it is
    /// null.
    pub(crate) fn parse_answer(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut result = Self::parse(text);
        let mut repaired = Zeroizing::new(Vec::new());
        for _ in 0..MAX_HUGE_NUMBERS {
            let Err(error) = &result else {
                break;
            };
            if repaired.is_empty() {
                repaired.extend_from_slice(bytes_without_byte_order_mark(text));
            }
            if !error.to_string().starts_with("number out of range")
                || !remove_number(&mut repaired, error.line(), error.column())
            {
                break;
            }
            result = Self::parse(&repaired);
        }
        result
    }

    /// The value of a name; the last one if it is repeated, as most readers do it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else {
            return None;
        };
        let mut found = fields.iter().rev().filter(|(known, _)| same(known, name));
        found.next().map(|(_, value)| value)
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&Secret> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Whole(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Puts null in place of the number that ends or goes on after that column of that line. Whether there is one.
fn remove_number(text: &mut [u8], line: usize, column: usize) -> bool {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let at = before.saturating_add(column);
    let (begin, rest) = text.split_at_checked(at).unwrap_or_default();
    let is_part = |byte: &&u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let start = at.saturating_sub(begin.iter().rev().take_while(is_part).count());
    let end = at.saturating_add(rest.iter().take_while(is_part).count());
    let number = text.get_mut(start..end);
    // one that is out of range is longer
    let Some((null, rest)) = number.and_then(<[u8]>::split_first_chunk_mut) else {
        return false;
    };
    *null = *b"null";
    rest.fill(b' ');
    true
}

/// Reads values while there are some left.
struct Reader<'a> {
    left: &'a mut usize,
}

impl Reader<'_> {
    fn again(&mut self) -> Reader<'_> {
        Reader { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        *self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a negative number is used for nothing, and its sign stays"
        )]
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(Secret::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(self.again())? {
            out.push(item);
        }
        Ok(Json::List(out))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(name) = fields.next_key()? {
            out.push((name, fields.next_value_seed(self.again())?));
        }
        Ok(Json::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#"{"n":null,"b":true,"w":18446744073709551615,"m":-1,"f":1.5,"t":"a\nb","l":[{}],"t":"c"}"#;
        let json = Json::parse(text.as_bytes()).unwrap();
        let kind = |name| json.get(name).unwrap().kind();
        assert_eq!(
            ["n", "b", "w", "m", "f", "t", "l"].map(kind),
            [
                "null",
                "a boolean",
                "a number",
                "a number",
                "a number",
                "a string",
                "a list"
            ]
        );
        assert!(matches!(json.get("w"), Some(Json::Whole(u64::MAX))));
        assert!(matches!(json.get("m"), Some(Json::Number(n)) if *n == -1.0));
        assert_eq!(json.get("t").unwrap().text().unwrap().expose(), "c");
        assert!(json.get("x").is_none());
        assert!(matches!(json.get("l"), Some(Json::List(l)) if l[0].kind() == "an object"));
    }

    #[test]
    fn one_byte_order_mark_is_no_part_of_the_document() {
        assert_eq!(
            Json::parse("\u{feff}{}".as_bytes()).unwrap().kind(),
            "an object"
        );
        assert!(Json::parse("\u{feff}\u{feff}{}".as_bytes()).is_err());
        assert!(Json::parse("\u{feff}".as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_single_document_is_an_error() {
        for text in ["", "{", "{} {}", "[1,]", "\"a", "nul", "1e999"] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn a_number_that_nothing_holds_vetoes_no_answer() {
        let long = "9".repeat(400);
        for number in ["1e999", "-1E+999", "1.5e400", "123456789e301", &long] {
            for text in [
                format!("{{\"a\":{number},\"t\":\"1e999\"}}"),
                format!("{{\"l\":\n[1,\n{number} ,{{\"b\":{number}\n}}],\r\n\"t\":\"1e999\"}}"),
                format!("\u{feff}{{\n\"t\":\"1e999\",\"a\":{number}}}"),
            ] {
                assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
                let json = Json::parse_answer(text.as_bytes()).unwrap();
                assert_eq!(json.get("t").unwrap().text().unwrap().expose(), "1e999");
                assert!(json.get("a").is_none_or(|a| a.kind() == "null"), "{text}");
            }
        }
        assert_eq!(Json::parse_answer(b"1e999").unwrap().kind(), "null");
        let many = format!("[{}1]", "1e999,".repeat(MAX_HUGE_NUMBERS));
        assert!(Json::parse_answer(many.as_bytes()).is_ok());
        let too_many = format!("[{}1]", "1e999,".repeat(MAX_HUGE_NUMBERS + 1));
        assert!(Json::parse_answer(too_many.as_bytes()).is_err());
        for text in ["", "{1e999", "[1e999,]"] {
            assert!(Json::parse_answer(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn neither_depth_nor_number_is_without_bound() {
        assert!(Json::parse("[".repeat(1000).as_bytes()).is_err());
        let many = format!("[{}0]", "0,".repeat(MAX_JSON_VALUES));
        let error = Json::parse(many.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("too many values"), "{error}");
    }

    #[test]
    fn texts_are_not_printed() {
        let json = Json::parse(br#"{"a":["hunter2"]}"#).unwrap();
        assert!(!format!("{json:?}").contains("hunter2"));
    }
}
