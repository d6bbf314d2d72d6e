//! TOML (1.1), as a tree with places.

use edgepass_core::printable;
use toml::de::{DeTable, DeValue};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Field, MAX_DEPTH, MAX_SHOWN_CHARS, Node, Place, Value, Wrong, inside, too_deep};

const TEXT: &str = "put it into quotes to have a text";

pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let message = printable(error.message(), MAX_SHOWN_CHARS);
        let wrong = Wrong::new(
            "",
            format!("not TOML: {message}"),
            "mind quotes, brackets and the order of tables at that place",
        );
        match error.span() {
            Some(span) => wrong.at(Place::of(text, span.start)),
            None => wrong,
        }
    })?;
    let reader = Reader { text };
    reader.table("", table.into_inner(), Place { line: 1, column: 1 }, 0)
}

struct Reader<'t> {
    text: &'t str,
}

impl Reader<'_> {
    fn table(
        &self,
        path: &str,
        table: DeTable<'_>,
        place: Place,
        depth: usize,
    ) -> Result<Node, Wrong> {
        let mut fields = Vec::with_capacity(table.len());
        for (name, value) in table {
            let place = Place::of(self.text, name.span().start);
            let name = name.into_inner().into_owned();
            let path = inside(path, &name);
            let at = Place::of(self.text, value.span().start);
            fields.push(Field {
                value: self.value(&path, value.into_inner(), at, depth + 1)?,
                name,
                place,
            });
        }
        // in the order of the text, which is how people know their document
        fields.sort_by_key(|field| (field.place.line, field.place.column));
        Ok(Node {
            place,
            value: Value::Object(fields),
        })
    }

    fn value(
        &self,
        path: &str,
        value: DeValue<'_>,
        place: Place,
        depth: usize,
    ) -> Result<Node, Wrong> {
        if depth > MAX_DEPTH {
            return Err(too_deep(path, place));
        }
        let wrong =
            |message: &str, hint: &str| Err(Wrong::new(path, message.to_owned(), hint).at(place));
        let value = match value {
            DeValue::String(text) => {
                let mut text = text;
                let kept = Zeroizing::new(text.as_ref().to_owned());
                if let std::borrow::Cow::Owned(text) = &mut text {
                    text.zeroize();
                }
                Value::Text(kept)
            }
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Integer(integer) => {
                let (digits, radix) = (integer.as_str(), integer.radix());
                let unsigned = u64::from_str_radix(digits, radix).map(|number| number.to_string());
                let signed = || i64::from_str_radix(digits, radix).map(|number| number.to_string());
                match unsigned.or_else(|_| signed()) {
                    Ok(number) => Value::Number(number),
                    Err(_) => return wrong("is a number that is too large", TEXT),
                }
            }
            DeValue::Float(float) => {
                let number = float.as_str().parse::<f64>().ok();
                match number.and_then(serde_json::Number::from_f64) {
                    Some(number) => Value::Number(number.to_string()),
                    None => return wrong("is no number that a setting can be", TEXT),
                }
            }
            DeValue::Datetime(_) => {
                return wrong("is a date or time, which no setting is", TEXT);
            }
            DeValue::Array(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    let at = Place::of(self.text, item.span().start);
                    let path = format!("{path}[{index}]");
                    list.push(self.value(&path, item.into_inner(), at, depth + 1)?);
                }
                Value::List(list)
            }
            DeValue::Table(table) => return self.table(path, table, place, depth),
        };
        Ok(Node { place, value })
    }
}
