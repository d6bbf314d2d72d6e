//! The JSON Schema says of a document what loading it says: tried on examples with a small checker of the keywords
//! that the schema uses.
#![cfg(feature = "schema")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

use edgepass_core::{Config, Environment};
use serde_json::{Value, json};

/// Examples of each kind, as the documentation shows them.
fn good() -> Vec<Value> {
    vec![
        json!({}),
        json!({"$schema": "./edgepass.schema.json", "identities": {"app": {
            "tenant_id": "contoso.example", "client_id": "c", "endpoint_version": "v1.0",
            "scopes": ["https://graph.microsoft.com/.default"], "additionally_allowed_tenants": ["*"],
            "credential": {"federated_token_file": {"path": "/var/run/token"}}}}}),
        json!({"default_identity": "b", "identities": {
            "a": {"tenant_id": "t", "client_id": "c", "credential": {"client_secret": {"env": "APP_SECRET"}}},
            "b": {"tenant_id": "t", "client_id": "c", "credential": {"certificate": {"name": "k", "algorithm": "RS256"}}},
            "d": {"tenant_id": "t", "client_id": "c",
                  "credential": {"bound_certificate": {"name": "k", "mode": "certificate-only", "send_x5c": false}}}},
            "certificates": {"k": {"certificate_file": "/etc/k.pem", "private_key_file": "/etc/k.key"}},
            "host": {"ca_file": "/etc/ca.pem"}, "consumers": {"client_assertions": true}}),
        json!({"authority_hosts": ["idp.example:8443"], "identities": {"app": {
            "token_endpoint": "https://idp.example:8443/token", "client_id": "c",
            "credential": {"client_assertion": {"value": "a.b.c", "assertion_type": "urn:x:y"}}}}}),
        json!({"identities": {"app": {"tenant_id": "t", "client_id": "c", "credential": {"assertion_source": {}}}}}),
        json!({"identities": {"app": {"credential": {"managed_identity": {"client_id": "99999999-aaaa-bbbb-cccc-dddddddddddd"}}},
            "fed": {"tenant_id": "t", "client_id": "c",
                "credential": {"managed_identity_assertion": {"audience": "api://AzureADTokenExchangeChina"}}}}}),
        json!({"envoy": {"token_clusters": {"login.microsoftonline.com": "entra"}, "request_deadline_ms": 2000,
            "files": {"cluster": "token_files", "strip_prefix": "/var/run", "add_prefix": "/files"},
            "inbound_authorization": "keep-as:x-caller", "sharing": "per-process", "refresh_on_401": false,
            "rules": [{"match": {"route_metadata": {"filter": "edgepass", "key": "rule", "value": "graph"}},
                "scopes": ["https://graph.microsoft.com/.default"], "header": "x-token", "format": "{token}"},
                {"match": {"host": "*.example", "cluster": "api", "path_prefix": "/"}, "disabled": true}]}}),
    ]
}

/// Each has one mistake that a schema can see.
fn bad() -> Vec<Value> {
    let credential = |credential: Value| json!({"identities": {"app": {"tenant_id": "t", "client_id": "c", "credential": credential}}});
    vec![
        json!([]),
        json!({"identity": {}}),
        json!({"identities": {"app": {"tenant": "t"}}}),
        json!({"identities": {"app": {"endpoint_version": "v3.0"}}}),
        json!({"authority_hosts": "idp.example"}),
        json!({"certificates": {"k": {}}}),
        json!({"consumers": {"client_assertions": "yes"}}),
        json!({"envoy": {"sharing": "global"}}),
        json!({"envoy": {"files": {}}}),
        json!({"envoy": {"request_deadline_ms": "2000"}}),
        json!({"envoy": {"request_deadline_ms": -1}}),
        json!({"envoy": {"rules": [{"matches": {}}]}}),
        credential(json!({})),
        credential(json!({"certificate": {}})),
        credential(json!({"certificate": {"name": "k", "algorithm": "HS256"}})),
        credential(json!({"bound_certificate": {"name": "k", "mode": "none"}})),
        credential(json!({"client_secret": {"value": 5}})),
        credential(json!({"managed_identity": {"clientId": "u"}})),
        credential(json!({"client_secret": {"env": "PATH", "method": "post"}})),
        credential(json!({"client_secret": {"env": "PATH"}, "assertion_source": {}})),
    ]
}

#[test]
fn schema_and_loader_agree() {
    let schema = Config::schema();
    let environment = Environment::from_pairs([
        ("APP_SECRET", "x"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
    ]);
    for document in good() {
        check(&schema, &schema, &document, "")
            .unwrap_or_else(|error| panic!("{document}: {error}"));
        Config::load(Some(&document.to_string()), &environment)
            .unwrap_or_else(|error| panic!("{document}: {error}"));
    }
    for document in bad() {
        check(&schema, &schema, &document, "").expect_err(&document.to_string());
        Config::load(Some(&document.to_string()), &environment).expect_err(&document.to_string());
    }
}

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

/// Checks the keywords that schemars writes; an unknown one fails the test rather than passing unseen.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else {
        return Err(format!("{at}: {schema} is not a schema"));
    };
    for (keyword, argument) in keywords {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "writeOnly" | "format" => {}
            "minimum" if value.as_f64() < argument.as_f64() && value.is_number() => {
                return Err(format!("{at}: less than {argument}"));
            }
            "minimum" => {}
            "$ref" => {
                let pointer = argument.as_str().unwrap().trim_start_matches('#');
                check(
                    root,
                    root.pointer(pointer).ok_or("dangling $ref")?,
                    value,
                    at,
                )?;
            }
            "type" => {
                let names = argument
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![argument.clone()]);
                let name = type_of(value);
                let whole = |allowed: &Value| allowed == "integer" && value.is_u64();
                if !names
                    .iter()
                    .any(|allowed| allowed == name || whole(allowed))
                {
                    return Err(format!("{at}: {name} instead of {argument}"));
                }
            }
            "anyOf" | "oneOf" => {
                let fitting = argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|one| check(root, one, value, at).is_ok())
                    .count();
                if fitting == 0 || (keyword == "oneOf" && fitting != 1) {
                    return Err(format!("{at}: fits {fitting} of {keyword}"));
                }
            }
            "const" if value != argument => return Err(format!("{at}: not {argument}")),
            "enum" if !argument.as_array().unwrap().contains(value) => {
                return Err(format!("{at}: not of {argument}"));
            }
            "const" | "enum" => {}
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, argument, item, &format!("{at}[{index}]"))?;
                }
            }
            "required" => {
                let missing = argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|name| value.get(name.as_str().unwrap()).is_none());
                if let (true, Some(missing)) = (value.is_object(), missing) {
                    return Err(format!("{at}: no {missing}"));
                }
            }
            "properties" => {
                for (name, schema) in argument.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |inner| {
                        check(root, schema, inner, &format!("{at}.{name}"))
                    })?;
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| !known.is_some_and(|known| known.contains_key(*name)));
                for (name, inner) in others {
                    if argument == &json!(false) {
                        return Err(format!("{at}: unknown {name}"));
                    }
                    check(root, argument, inner, &format!("{at}.{name}"))?;
                }
            }
            "minProperties" | "maxProperties" => {
                let bound = argument.as_u64().unwrap();
                let count = value
                    .as_object()
                    .map_or(bound, |object| object.len() as u64);
                if if keyword == "minProperties" {
                    count < bound
                } else {
                    count > bound
                } {
                    return Err(format!("{at}: {count} properties"));
                }
            }
            other => panic!("the checker does not know {other}"),
        }
    }
    Ok(())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
