//! Which fields exclude or need each other.

use serde_json::{Value, json};

/// Which fields exclude or need each other, by object.
pub(super) fn rules() -> Vec<(&'static str, Value)> {
    let one_of = |fields: &[&str]| {
        let alternatives = fields.iter().map(|field| json!({ "required": [field] }));
        json!({ "oneOf": alternatives.collect::<Vec<_>>() })
    };
    let none = || json!({ "maxItems": 0 });
    let one_id = || {
        json!({ "not": { "anyOf": [
            { "required": ["client_id", "object_id"] },
            { "required": ["client_id", "resource_id"] },
            { "required": ["object_id", "resource_id"] },
        ] } })
    };
    let other_server = || {
        json!({ "properties": {
            "tenant_id": false, "authority_host": false, "endpoint_version": { "const": "v2.0" },
            "region": false, "policy": false, "additionally_allowed_tenants": none(),
            "client_capabilities": none(),
            "credential": {
                "if": { "type": "array" },
                "then": { "items": without_variables() },
                "else": without_variables(),
            },
        } })
    };
    vec![
        ("ClientSecretFile", one_of(&["value", "env", "file"])),
        ("ClientAssertionFile", one_of(&["value", "env", "file"])),
        (
            "CertificateFile",
            json!({
                "if": { "required": ["mode"], "properties": { "mode": { "const": "certificate-only" } } },
                "then": {
                    "required": ["use_bound_credential"],
                    "properties": { "use_bound_credential": { "const": true } },
                },
            }),
        ),
        (
            "TokenStoreFile",
            json!({
                "not": { "required": ["password_file", "password_env"] },
                "anyOf": [
                    { "required": ["url", "encryption_keys_file"] },
                    { "not": { "anyOf": [
                        { "required": ["url"] },
                        { "required": ["encryption_keys_file"] },
                        { "required": ["username"] },
                        { "required": ["password_file"] },
                        { "required": ["password_env"] },
                        { "required": ["ca_file"] },
                        { "required": ["database"] },
                        { "required": ["key_prefix"] },
                    ] } },
                ],
                "if": { "required": ["ca_file"] },
                "then": { "properties": { "url": { "pattern": "^rediss://" } } },
            }),
        ),
        (
            "CertificateFiles",
            json!({
                "anyOf": [
                    { "required": ["certificate_file"] },
                    { "required": ["certificate_base64"] },
                    { "required": ["private_key_file"] },
                    { "required": ["spiffe_socket"] },
                    { "required": ["key_vault"] },
                ],
                "not": { "anyOf": [
                    { "required": ["certificate_file", "certificate_base64"] },
                    { "required": ["password_file", "password_env"] },
                ] },
                "dependentSchemas": { "key_vault": { "maxProperties": 1 } },
            }),
        ),
        ("ExecutableFile", json!({ "required": ["command"] })),
        (
            "OidcFederationFile",
            json!({
                "required": ["client_id", "credential"],
                "anyOf": [
                    { "required": ["tenant_id"] },
                    { "required": ["token_endpoint"] },
                    { "required": ["issuer"] },
                ],
                "dependentSchemas": {
                    "token_endpoint": { "properties": { "credential": without_variables() } },
                    "issuer": { "properties": { "credential": without_variables() } },
                },
            }),
        ),
        ("TokenProxyFile", json!({ "required": ["url"] })),
        ("ManagedIdentityFile", one_id()),
        ("ManagedIdentityAssertionFile", one_id()),
        (
            "IdentityFile",
            json!({
                "dependentRequired": {
                    "mtls_token_endpoint": ["token_endpoint"],
                    "token_endpoint": ["client_id", "credential"],
                    "issuer": ["client_id", "credential"],
                },
                // another server than Entra ID has neither tenants nor clouds
                "dependentSchemas": { "token_endpoint": other_server(), "issuer": other_server() },
                // and the platform has no clients
                "if": {
                    "properties": { "credential": { "type": "object", "required": ["managed_identity"] } },
                    "required": ["credential"],
                },
                "then": { "properties": {
                    "tenant_id": false, "client_id": false, "authority_host": false, "token_endpoint": false,
                    "region": false, "policy": false, "issuer": false,
                    "resources": none(), "additional_parameters": { "maxProperties": 0 },
                    "client_capabilities": none(),
                    "endpoint_version": { "const": "v2.0" }, "mtls_token_endpoint": false,
                    "additionally_allowed_tenants": none(),
                } },
            }),
        ),
    ]
}

/// Beside a token endpoint nothing is taken from the variables of the Azure SDKs, so a credential says all itself.
fn without_variables() -> Value {
    json!({ "properties": { "federated_token_file": { "required": ["path"] } } })
}
