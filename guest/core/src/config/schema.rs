//! The JSON Schema of the configuration, made from the types that read it. What the types do not say, which texts are
//! good and what excludes what, is added here, as far as a schema can say it: an editor shows it while one writes.

mod rules;
mod texts;

use serde_json::{Map, Value, json};

use self::rules::rules;
use self::texts::texts;
use super::{Config, document};

/// Names the schema, so that others can refer to it. Nothing is to be found there.
const ID: &str = "urn:edgepass:configuration";

impl Config {
    /// JSON Schema (draft 2020-12) of the configuration document.
    ///
    /// The engine takes everything that it accepts, but for what only the rest of the document, the environment or a file
    /// decides: names that must exist, hosts that must be trusted, places that a template has not filled in (`${NAME}`).
    /// Beyond it the engine takes `null` for a field that is left out.
    pub fn schema() -> Value {
        let mut schema = schemars::schema_for!(document::ConfigFile).to_value();
        without_null(&mut schema);
        for (object, field, more) in texts() {
            if let Some(place) = field_of(&mut schema, object, field) {
                add(place, more);
            }
        }
        for (object, more) in rules() {
            if let Some(place) = definition(&mut schema, object) {
                add(place, more);
            }
        }
        add(&mut schema, json!({ "$id": ID }));
        schema
    }
}

/// A field that may be left out may be `null` for the engine. To whoever writes it a schema says what to write.
fn without_null(schema: &mut Value) {
    let is_null =
        |schema: &Value| schema == "null" || schema.get("type").is_some_and(|t| t == "null");
    match schema {
        Value::Object(keywords) => {
            if let Some(Value::Array(types)) = keywords.get_mut("type") {
                types.retain(|name| !is_null(name));
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    keywords.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(alternatives)) = keywords.get_mut("anyOf") {
                alternatives.retain(|schema| !is_null(schema));
                if let [Value::Object(one)] = alternatives.as_slice() {
                    let one = one.clone();
                    keywords.remove("anyOf");
                    keywords.extend(one);
                }
            }
            keywords.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn definition<'s>(schema: &'s mut Value, object: &str) -> Option<&'s mut Value> {
    if object.is_empty() {
        return Some(schema);
    }
    schema.get_mut("$defs")?.get_mut(object)
}

fn field_of<'s>(schema: &'s mut Value, object: &str, field: &str) -> Option<&'s mut Value> {
    let fields = definition(schema, object)?.get_mut("properties")?;
    match field.strip_suffix("[]") {
        Some(field) => fields.get_mut(field)?.get_mut("items"),
        None => fields.get_mut(field),
    }
}

fn add(place: &mut Value, more: Value) {
    if let (Value::Object(place), Value::Object(more)) = (place, more) {
        place.extend::<Map<String, Value>>(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_added_has_its_place() {
        let mut schema = schemars::schema_for!(document::ConfigFile).to_value();
        for (object, field, _) in texts() {
            assert!(
                field_of(&mut schema, object, field).is_some(),
                "{object} {field}"
            );
        }
        for (object, _) in rules() {
            assert!(definition(&mut schema, object).is_some(), "{object}");
        }
    }

    #[test]
    fn nothing_is_null() {
        let text = Config::schema().to_string();
        assert!(!text.contains("\"null\""), "{text}");
        assert!(text.contains(ID));
    }
}
