//! The JSON Schema describes everything. That it says of a document what loading it says is tried in `tests/manifests`,
//! with a real validator.
#![cfg(feature = "schema")]

use edgepass_core::Config;
use serde_json::{Value, json};

#[test]
fn everything_is_described() {
    let schema = Config::schema();
    assert_eq!(schema["title"], "edgepass configuration");
    let mut objects = vec![("", &schema)];
    objects.extend(
        schema["$defs"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, schema)| (name.as_str(), schema)),
    );
    let mut properties = 0;
    for (name, object) in objects {
        assert!(
            object["description"].is_string(),
            "{name} has no description"
        );
        let Some(fields) = object.get("properties").and_then(Value::as_object) else {
            continue;
        };
        assert_eq!(
            object["additionalProperties"],
            json!(false),
            "{name} takes unknown fields"
        );
        for (field, schema) in fields {
            assert!(
                schema["description"].is_string(),
                "{name}.{field} has no description"
            );
            properties += 1;
        }
    }
    assert!(properties > 30, "only {properties} fields seen");
    for holder in ["ClientSecretFile", "ClientAssertionFile"] {
        assert_eq!(
            schema["$defs"][holder]["properties"]["value"]["writeOnly"],
            json!(true),
            "{holder}"
        );
    }
}
