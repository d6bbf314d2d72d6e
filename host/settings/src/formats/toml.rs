//! TOML (1.1), as a tree with places.

use edgepass_core::printable;
use toml::de::{DeTable, DeValue};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Field, MAX_DEPTH, MAX_SHOWN_CHARS, Node, Value, Wrong, inside, too_deep};

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
            Some(span) => wrong.at(span.start),
            None => wrong,
        }
    })?;
    read_table("", table.into_inner(), 0, 0)
}

fn read_table(path: &str, table: DeTable<'_>, at: usize, depth: usize) -> Result<Node, Wrong> {
    let mut fields = Vec::with_capacity(table.len());
    for (name, value) in table {
        let (at, value_at) = (name.span().start, value.span().start);
        let name = name.into_inner().into_owned();
        let path = inside(path, &name);
        fields.push(Field {
            value: read_value(&path, value.into_inner(), value_at, depth + 1)?,
            name,
            at,
        });
    }
    // in the order of the text, which is how people know their document
    fields.sort_by_key(|field| field.at);
    Ok(Node {
        at,
        value: Value::Object(fields),
    })
}

fn read_value(path: &str, value: DeValue<'_>, at: usize, depth: usize) -> Result<Node, Wrong> {
    if depth > MAX_DEPTH {
        return Err(too_deep(path, at));
    }
    let wrong = |message: &str, hint: &str| Err(Wrong::new(path, message.to_owned(), hint).at(at));
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
                let at = item.span().start;
                let path = format!("{path}[{index}]");
                list.push(read_value(&path, item.into_inner(), at, depth + 1)?);
            }
            Value::List(list)
        }
        DeValue::Table(table) => return read_table(path, table, at, depth),
    };
    Ok(Node { at, value })
}
