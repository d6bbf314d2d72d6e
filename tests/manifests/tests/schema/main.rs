//! The JSON Schema of the configuration says of a document what the engine says of it, tried with a validator as editors
//! have one: on examples, on tables of values for each field, and on every combination of fields that exclude each other.

#![cfg(test)]

mod combinations;
mod fields;
mod required;

use edgepass_core::{Config, Environment};
use edgepass_settings::formats::{Document, Format};
use edgepass_settings::init::beginning;
use jsonschema::Validator;
use serde_json::{Value, json};

fn validator() -> Validator {
    let schema = Config::schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// What a document may leave something to.
fn environment() -> Environment {
    Environment::from_pairs([
        ("APP_SECRET", "x"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
    ])
}

fn load(document: &Value) -> Result<(), String> {
    let loaded = Config::load(Some(&document.to_string()), &environment());
    loaded.map(|_| ()).map_err(|error| error.to_string())
}

#[track_caller]
fn agree(validator: &Validator, document: &Value) {
    let loaded = load(document);
    let valid = validator
        .validate(document)
        .map_err(|error| error.to_string());
    assert_eq!(
        valid.is_ok(),
        loaded.is_ok(),
        "{document}\nschema: {valid:?}\nengine: {loaded:?}"
    );
}

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
fn examples_and_mistakes() {
    let validator = validator();
    for document in good() {
        agree(&validator, &document);
        load(&document).unwrap_or_else(|error| panic!("{document}: {error}"));
    }
    for document in bad() {
        agree(&validator, &document);
        load(&document).expect_err(&document.to_string());
    }
}

/// A document with an identity of these fields.
fn identity(fields: &Value) -> Value {
    json!({ "identities": { "app": fields }, "authority_hosts": ["idp.example:8443"] })
}

/// A document with an identity of another server with these fields.
fn other(fields: &Value) -> Value {
    let mut identity = identity(fields);
    let app = &mut identity["identities"]["app"];
    app["client_id"] = json!("c");
    app["credential"] = json!({ "assertion_source": {} });
    identity
}

/// A document with that credential of a client of Entra ID.
fn credential(credential: &Value) -> Value {
    identity(&json!({ "tenant_id": "t", "client_id": "c", "credential": credential }))
}

/// What the command writes to begin with, in each format, is what an editor accepts.
#[test]
fn a_configuration_to_begin_with_is_valid() {
    let validator = validator();
    let client = "11111111-2222-3333-4444-555555555555";
    let entra = [
        ("AZURE_TENANT_ID", "t.example"),
        ("AZURE_CLIENT_ID", client),
    ];
    for more in [
        &[][..],
        &[("AZURE_FEDERATED_TOKEN_FILE", "/t")],
        &[
            ("AZURE_CLIENT_SECRET", "x"),
            ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us"),
        ],
        &[
            ("AZURE_CLIENT_CERTIFICATE_PATH", "C:\\k.pfx"),
            ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "x"),
        ],
        &[
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x.example/"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x"),
        ],
        &[("SPIFFE_ENDPOINT_SOCKET", "unix:///s")],
    ] {
        let environment = Environment::from_pairs(entra.iter().chain(more).copied());
        for format in [Format::Json, Format::Yaml, Format::Toml] {
            let text = beginning(&environment, format).unwrap().text;
            let document = Document::read(&text, format, None).unwrap();
            let document: Value = serde_json::from_str(document.json()).unwrap();
            let valid = validator
                .validate(&document)
                .map_err(|error| error.to_string());
            assert_eq!(valid, Ok(()), "{text}");
        }
    }
}

/// What the schema is laxer in because only the rest of the document, the environment or a template's author knows; and
/// the one thing in which it is stricter.
#[test]
fn what_only_one_of_them_can_know() {
    let validator = validator();
    for document in [
        json!({ "default_identity": "nobody" }),
        identity(&json!({ "authority_host": "https://login.example" })),
        identity(&json!({ "client_id": "${CLIENT_ID}" })),
        identity(&json!({ "scopes": ["https://a/.default", "https://b/.default"] })),
        credential(&json!({ "client_secret": { "env": "NOT_SET" } })),
        // Entra ID does not take it, and other servers do
        credential(&json!({ "certificate": { "name": "k", "algorithm": "ES256" } })),
    ] {
        validator
            .validate(&document)
            .unwrap_or_else(|error| panic!("{document}: {error}"));
        load(&document).expect_err(&document.to_string());
    }
    for document in [
        json!({ "host": null }),
        identity(&json!({ "tenant_id": null })),
        // the filter refuses these when it starts, and `edgepass envoy-config` before
        json!({ "envoy": { "request_deadline_ms": 0 } }),
        json!({ "envoy": { "request_deadline_ms": 60_001 } }),
        json!({ "envoy": { "inbound_authorization": "keep" } }),
        json!({ "envoy": { "rules": [{ "header": "a b" }] } }),
        json!({ "envoy": { "rules": [{ "format": "Bearer" }] } }),
        json!({ "envoy": { "rules": [{ "match": { "path_prefix": "api" } }] } }),
    ] {
        validator
            .validate(&document)
            .expect_err(&document.to_string());
        load(&document).unwrap_or_else(|error| panic!("{document}: {error}"));
    }
}
