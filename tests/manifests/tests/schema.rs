//! The JSON Schema of the configuration says of a document what the engine says of it, tried with a validator as editors
//! have one: on examples, on tables of values for each field, and on every combination of fields that exclude each other.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;

use edgepass_core::{Config, Environment};
use edgepass_settings::formats::{Document, Format};
use edgepass_settings::init::beginning;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

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

/// A field that is written in a document: the good values, and the bad ones of which a schema can know.
struct Field {
    document: fn(Value) -> Value,
    good: Vec<Value>,
    bad: Vec<Value>,
}

fn texts(list: &[&str]) -> Vec<Value> {
    list.iter().map(|text| json!(text)).collect()
}

const PATHS: [&[&str]; 2] = [
    &[
        "/",
        "/var/run/token",
        "C:\\token",
        "c:/token",
        "\\\\server\\share",
        "/größe",
        "/a b",
    ],
    &[
        "",
        " ",
        "token",
        "./token",
        "~/token",
        "C:token",
        "/token\n",
        "/a\u{7f}b",
        "file:///x",
    ],
];

const URLS: [&[&str]; 2] = [
    &[
        "https://login.microsoftonline.com/x/oauth2/token",
        "HTTPS://login.microsoftonline.com",
        "https://idp.example:8443/token?p=x",
        "https://idp.example:8443?p=x",
    ],
    &[
        "",
        "token",
        "http://login.microsoftonline.com/token",
        "https://",
        "https://user:pw@login.microsoftonline.com/x",
        "https://login.microsoftonline.com/x#y",
        "https://login.microsoftonline.com/a b",
        "https://-x.example/",
        "https://login.microsoftonline.com:0/x",
        "https://login.microsoftonline.com:65536/x",
        "https://a..b/",
        "https:/x",
    ],
];

const AUDIENCES: [&[&str]; 2] = [
    &["api://AzureADTokenExchange", "x", "https://idp.example/"],
    &["", "a b", "a\nb", "a\u{7f}b"],
];

const ASSERTION_TYPES: [&[&str]; 2] = [
    &[
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "https://x/y",
        "a:b",
    ],
    &[
        "",
        "jwt-bearer",
        "urn:",
        ":x",
        "1a:x",
        "urn:a b",
        "urn:a\"b",
    ],
];

const GUIDS: [&[&str]; 2] = [
    &[
        "66666666-7777-8888-9999-000000000000",
        "ABCDEFab-7777-8888-9999-000000000000",
    ],
    &[
        "",
        "66666666",
        "66666666-7777-8888-9999-00000000000g",
        "66666666-7777-8888-9999-0000000000000",
    ],
];

const SCOPES: [&[&str]; 2] = [
    &[
        "https://graph.microsoft.com/.default",
        "api://a_b-c.d/.default",
    ],
    &[
        "",
        "a b/.default",
        "a\"b/.default",
        "a\\b/.default",
        "é/.default",
    ],
];

fn fields() -> Vec<Field> {
    let field = |document: fn(Value) -> Value, [good, bad]: [&[&str]; 2]| Field {
        document,
        good: texts(good),
        // and what is no text at all
        bad: texts(bad)
            .into_iter()
            .chain([json!(5), json!([]), json!({}), json!(true)])
            .collect(),
    };
    let flag = |document: fn(Value) -> Value| Field {
        document,
        good: vec![json!(true), json!(false)],
        bad: vec![json!("true"), json!(1), json!([])],
    };
    vec![
        field(
            |v| identity(&json!({ "tenant_id": v })),
            [
                &[
                    "11111111-2222-3333-4444-555555555555",
                    "contoso.onmicrosoft.com",
                    "contoso",
                    "commons",
                ],
                &[
                    "",
                    "common",
                    "Organizations",
                    "CONSUMERS",
                    "a/b",
                    "a b",
                    "a..b",
                    "a.",
                    ".a",
                    "münchen.example",
                    "a_b",
                ],
            ],
        ),
        field(
            |v| identity(&json!({ "additionally_allowed_tenants": [v] })),
            [
                &["*", "contoso", "11111111-2222-3333-4444-555555555555"],
                &["", "**", "common", "a/b", "a b"],
            ],
        ),
        field(
            |v| identity(&json!({ "client_id": v })),
            [
                &[
                    "66666666-7777-8888-9999-000000000000",
                    "https://client.example/id",
                    "spiffe://x/y",
                ],
                &["", "a b", "id\n", "idé"],
            ],
        ),
        field(
            |v| identity(&json!({ "authority_host": v })),
            [
                &[
                    "https://login.microsoftonline.com",
                    "https://login.microsoftonline.us/",
                    "HTTPS://idp.example:8443",
                    "https://login.microsoftonline.com:443",
                    "https://contoso.ciamlogin.com",
                    "https://idp.example:8443/dstsv2",
                    "https://idp.example:8443/dstsv2/",
                ],
                &[
                    "",
                    "login.microsoftonline.com",
                    "http://login.microsoftonline.com",
                    "https://login.microsoftonline.com/tenant",
                    "https://a_b.example",
                    "https://login.microsoftonline.com?x",
                ],
            ],
        ),
        field(
            |v| identity(&json!({ "authority_host": v, "tenant_id": "adfs" })),
            [
                &[
                    "https://idp.example:8443/adfs",
                    "https://idp.example:8443/ADFS/",
                    "https://idp.example:8443",
                ],
                &[
                    "https://idp.example:8443/adfs2",
                    "https://idp.example:8443/adfs/ls",
                ],
            ],
        ),
        field(
            |v| identity(&json!({ "region": v })),
            [
                &["westus2", "USGovVirginia"],
                &[
                    "",
                    "west us 2",
                    "west-us",
                    "evil.example",
                    "a/b",
                    "TryAutoDetect",
                ],
            ],
        ),
        field(
            |v| identity(&json!({ "policy": v, "authority_host": "https://contoso.b2clogin.com" })),
            [
                &["B2C_1_signin", "B2C_1A_sign-in"],
                &["", "a/b", "..", "a b", "a?b"],
            ],
        ),
        field(
            |v| other(&json!({ "issuer": v })),
            [
                &[
                    "https://idp.example:8443",
                    "HTTPS://idp.example:8443/",
                    "https://idp.example:8443/realms/a",
                ],
                &[
                    "",
                    "idp.example",
                    "http://idp.example:8443",
                    "https://idp.example:8443/?a=b",
                    "https://idp.example:8443/#a",
                    "https://idp.example:8443/a b",
                    "https://idp.example:8443/.well-known/openid-configuration",
                ],
            ],
        ),
        field(
            |v| other(&json!({ "token_endpoint": "https://idp.example:8443/t", "resources": [v] })),
            [
                &["https://api.example/x?y", "urn:example:a", "a:b"],
                &[
                    "",
                    "api.example",
                    "https://api.example/#x",
                    "urn:a b",
                    "urn:",
                ],
            ],
        ),
        Field {
            document: |v| identity(&json!({ "additional_parameters": v })),
            good: vec![
                json!({}),
                json!({ "audience": "https://api.example" }),
                json!({ "a-b.c_D": ["x", "y z", "ü"] }),
            ],
            bad: vec![
                json!([]),
                json!("audience=x"),
                json!({ "audience": "" }),
                json!({ "audience": [] }),
                json!({ "audience": ["x", ""] }),
                json!({ "audience": "a\nb" }),
                json!({ "audience": 5 }),
                json!({ "audience": { "x": "y" } }),
                json!({ "a b": "x" }),
                json!({ "": "x" }),
                json!({ "scope": "x" }),
                json!({ "client_secret": "x" }),
                json!({ "resource": "urn:a" }),
            ],
        },
        field(
            |v| identity(&json!({ "endpoint_version": v })),
            [&["v1.0", "v2.0"], &["", "v1", "2.0"]],
        ),
        field(|v| identity(&json!({ "scopes": [v] })), SCOPES),
        field(
            |v| {
                identity(
                    &json!({ "token_endpoint": v, "client_id": "c", "credential": { "assertion_source": {} } }),
                )
            },
            URLS,
        ),
        field(
            |v| json!({ "authority_hosts": [v] }),
            [
                &[
                    "idp.example",
                    "idp.example:8443",
                    "IDP.example",
                    "[::1]:8443",
                    "10.0.0.1",
                ],
                &[
                    "",
                    "https://idp.example",
                    "idp.example/x",
                    "a b",
                    "-a",
                    "a_b",
                    "idp.example:0",
                    "idp.example:65536",
                    "idp.example:",
                ],
            ],
        ),
        field(|v| json!({ "host": { "ca_file": v } }), PATHS),
        field(
            |v| json!({ "certificates": { "k": { "certificate_file": v } } }),
            PATHS,
        ),
        field(
            |v| json!({ "certificates": { "k": { "certificate_file": "/k", "private_key_file": v } } }),
            PATHS,
        ),
        field(
            |v| credential(&json!({ "federated_token_file": { "path": v } })),
            PATHS,
        ),
        field(
            |v| credential(&json!({ "federated_token_file": { "assertion_type": v } })),
            ASSERTION_TYPES,
        ),
        field(
            |v| credential(&json!({ "client_assertion": { "file": v } })),
            PATHS,
        ),
        field(
            |v| credential(&json!({ "client_assertion": { "file": "/x", "assertion_type": v } })),
            ASSERTION_TYPES,
        ),
        field(
            |v| credential(&json!({ "assertion_source": { "audience": v } })),
            AUDIENCES,
        ),
        field(
            |v| credential(&json!({ "assertion_source": { "assertion_type": v } })),
            ASSERTION_TYPES,
        ),
        field(
            |v| credential(&json!({ "client_secret": { "file": v } })),
            PATHS,
        ),
        field(
            |v| credential(&json!({ "client_secret": { "value": v } })),
            [&["x", "a b", "é"], &[""]],
        ),
        field(
            |v| credential(&json!({ "client_secret": { "file": "/x", "method": v } })),
            [
                &["client_secret_basic", "client_secret_post"],
                &["", "post", "client_secret_jwt"],
            ],
        ),
        field(
            |v| credential(&json!({ "certificate": { "name": "k", "algorithm": v } })),
            [&["PS256", "RS256"], &["", "HS256", "none"]],
        ),
        field(
            |v| credential(&json!({ "certificate": { "name": "k", "audience": v } })),
            AUDIENCES,
        ),
        flag(|v| credential(&json!({ "certificate": { "name": "k", "send_x5c": v } }))),
        field(
            |v| credential(&json!({ "bound_certificate": { "name": "k", "mode": v } })),
            [&["certificate-only", "with-assertion"], &["", "none"]],
        ),
        field(
            |v| credential(&json!({ "bound_certificate": { "name": "k", "algorithm": v } })),
            [&["PS256", "RS256"], &["HS256"]],
        ),
        field(
            |v| credential(&json!({ "bound_certificate": { "name": "k", "audience": v } })),
            AUDIENCES,
        ),
        flag(|v| credential(&json!({ "bound_certificate": { "name": "k", "send_x5c": v } }))),
        field(
            |v| identity(&json!({ "credential": { "managed_identity": { "client_id": v } } })),
            GUIDS,
        ),
        field(
            |v| identity(&json!({ "credential": { "managed_identity": { "object_id": v } } })),
            GUIDS,
        ),
        field(
            |v| identity(&json!({ "credential": { "managed_identity": { "resource_id": v } } })),
            [
                &[
                    "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/n",
                    "/SUBSCRIPTIONS/s/resourceGroups/größe/providers/microsoft.managedidentity/userassignedidentities/n",
                ],
                &[
                    "",
                    "/subscriptions/s",
                    "n",
                    "/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/",
                    "/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a/b",
                    "/subscriptions/a b/providers/Microsoft.ManagedIdentity/userAssignedIdentities/n",
                ],
            ],
        ),
        field(
            |v| credential(&json!({ "managed_identity_assertion": { "client_id": v } })),
            GUIDS,
        ),
        field(
            |v| credential(&json!({ "managed_identity_assertion": { "object_id": v } })),
            GUIDS,
        ),
        field(
            |v| credential(&json!({ "managed_identity_assertion": { "audience": v } })),
            AUDIENCES,
        ),
        flag(|v| json!({ "consumers": { "client_assertions": v } })),
        flag(|v| json!({ "envoy": { "fail_open": v } })),
        flag(|v| json!({ "envoy": { "refresh_on_401": v } })),
        flag(|v| json!({ "envoy": { "skip_preflight": v } })),
        field(
            |v| json!({ "envoy": { "sharing": v } }),
            [&["per-process", "per-vm"], &["", "global"]],
        ),
        flag(|v| json!({ "envoy": { "rules": [{ "disabled": v }] } })),
    ]
}

#[test]
fn values_of_every_field() {
    let validator = validator();
    for field in fields() {
        for value in field.good {
            let document = (field.document)(value);
            agree(&validator, &document);
            load(&document).unwrap_or_else(|error| panic!("{document}: {error}"));
        }
        for value in field.bad {
            let document = (field.document)(value);
            agree(&validator, &document);
            load(&document).expect_err(&document.to_string());
        }
    }
}

/// Every selection of the fields.
fn selections(fields: &[(&str, Value)]) -> Vec<Value> {
    let count = 1_usize << fields.len();
    let selection = |bits: usize| {
        let chosen = fields
            .iter()
            .enumerate()
            .filter(|(at, _)| bits & (1 << at) != 0);
        chosen
            .map(|(_, (name, value))| ((*name).to_owned(), value.clone()))
            .collect::<Map<_, _>>()
    };
    (0..count)
        .map(|bits| Value::Object(selection(bits)))
        .collect()
}

#[test]
fn fields_that_exclude_or_need_each_other() {
    let validator = validator();
    let guid = "66666666-7777-8888-9999-000000000000";
    let resource = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/n";
    let ways = [
        ("value", json!("x")),
        ("env", json!("APP_SECRET")),
        ("file", json!("/x")),
    ];
    for selection in selections(&ways) {
        agree(
            &validator,
            &credential(&json!({ "client_secret": selection })),
        );
        agree(
            &validator,
            &credential(&json!({ "client_assertion": selection })),
        );
    }
    let ids = [
        ("client_id", json!(guid)),
        ("object_id", json!(guid)),
        ("resource_id", json!(resource)),
    ];
    for selection in selections(&ids) {
        agree(
            &validator,
            &identity(&json!({ "credential": { "managed_identity": selection } })),
        );
        agree(
            &validator,
            &credential(&json!({ "managed_identity_assertion": selection })),
        );
    }
    let kinds = [
        ("federated_token_file", json!({ "path": "/t" })),
        ("client_secret", json!({ "file": "/t" })),
        ("assertion_source", json!({})),
        ("managed_identity", json!({})),
    ];
    for selection in selections(&kinds) {
        agree(&validator, &identity(&json!({ "credential": selection })));
    }
    let fields = [
        ("tenant_id", json!("t")),
        ("client_id", json!("c")),
        ("authority_host", json!("https://login.microsoftonline.us")),
        ("endpoint_version", json!("v1.0")),
        ("token_endpoint", json!("https://idp.example:8443/token")),
        (
            "mtls_token_endpoint",
            json!("https://idp.example:8443/mtls"),
        ),
        ("additionally_allowed_tenants", json!(["*"])),
        ("region", json!("westus2")),
        ("issuer", json!("https://idp.example:8443")),
    ];
    let bound = json!({ "bound_certificate": { "name": "k" } });
    for credential in [
        json!({ "managed_identity": {} }),
        bound,
        json!({ "assertion_source": {} }),
    ] {
        for mut selection in selections(&fields) {
            let has = |name: &str| selection.get(name).is_some();
            // which credential has use for an mTLS endpoint, and whether its host is trusted, is the engine's to say
            let is_bound = credential.get("bound_certificate").is_some();
            if is_bound == (has("token_endpoint") && has("mtls_token_endpoint"))
                || !has("mtls_token_endpoint") && !is_bound
            {
                selection["credential"] = credential.clone();
                agree(&validator, &identity(&selection));
            }
        }
    }
    let mut without = selections(&fields);
    without.retain(|selection| selection.get("mtls_token_endpoint").is_none());
    for selection in without {
        agree(&validator, &identity(&selection));
    }
}

#[test]
fn names_of_identities_and_certificates() {
    let validator = validator();
    for name in [
        "a",
        "app.prod_2-b",
        "",
        " ",
        "a b",
        "a/b",
        "é",
        "a\n",
        &"a".repeat(128),
        &"a".repeat(129),
    ] {
        let certificate = json!({ "certificate_file": "/k" });
        agree(
            &validator,
            &json!({ "certificates": { name: certificate } }),
        );
        let identity = json!({ "credential": { "assertion_source": {} } });
        agree(&validator, &json!({ "identities": { name: identity } }));
    }
}

#[test]
fn where_certificates_and_keys_come_from() {
    let validator = validator();
    for files in [
        json!({}),
        json!({ "certificate_file": "/c" }),
        json!({ "certificate_file": "" }),
        json!({ "private_key_file": "/k" }),
        json!({ "certificate_base64": "aHVudGVyMg==" }),
        json!({ "certificate_base64": "aHVudGVyMg==", "private_key_file": "/k" }),
        json!({ "certificate_file": "/c", "certificate_base64": "aHVudGVyMg==" }),
        json!({ "certificate_file": "/c", "password_file": "/p" }),
        json!({ "certificate_file": "/c", "password_file": "p" }),
        json!({ "certificate_file": "/c", "password_env": "P" }),
        json!({ "certificate_file": "/c", "password_file": "/p", "password_env": "P" }),
        json!({ "password_file": "/p" }),
    ] {
        agree(&validator, &json!({ "certificates": { "k": files } }));
    }
    for certificate in [
        json!({ "name": "k", "use_bound_credential": true }),
        json!({ "name": "k", "use_bound_credential": true, "mode": "certificate-only" }),
        json!({ "name": "k", "use_bound_credential": false, "mode": "certificate-only" }),
        json!({ "name": "k", "mode": "certificate-only" }),
        json!({ "name": "k", "mode": "with-assertion" }),
        json!({ "name": "k", "use_bound_credential": "yes" }),
        json!({ "name": "k", "send_x5c": false, "use_bound_credential": true }),
    ] {
        agree(
            &validator,
            &credential(&json!({ "certificate": certificate })),
        );
    }
    for kid in ["", "k", "a b", &"a".repeat(128), &"a".repeat(129)] {
        let key = json!({ "private_key_jwt": { "name": "k", "kid": kid } });
        let identity = json!({
            "client_id": "c", "token_endpoint": "https://idp.example/token", "credential": key,
        });
        agree(
            &validator,
            &json!({ "authority_hosts": ["idp.example"], "identities": { "app": identity } }),
        );
    }
}

/// The golden conversations' configurations, with what their environment has besides.
fn golden() -> Vec<(String, Value, Environment)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    let mut out = Vec::new();
    for case in std::fs::read_dir(&cases).unwrap() {
        let folder = case.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("config.json")) else {
            // of the environment alone
            continue;
        };
        let Ok(document) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}'))
        else {
            continue;
        };
        let variables = std::fs::read_to_string(folder.join("env.json")).unwrap_or("{}".to_owned());
        let variables: BTreeMap<String, String> = serde_json::from_str(&variables).unwrap();
        let usual = [
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
        ];
        let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment::from_pairs(usual.into_iter().chain(variables));
        if Config::load(Some(&document.to_string()), &environment).is_ok() {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            out.push((name, document, environment));
        }
    }
    assert!(out.len() > 100, "only {} configurations seen", out.len());
    out
}

/// The document without one of its fields, for each: the field's path, and what is left.
fn without_each(document: &Value) -> Vec<(String, Value)> {
    fn pointers(at: &str, value: &Value, out: &mut Vec<String>) {
        let inside: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (format!("{at}/{name}"), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| (format!("{at}/{index}"), value))
                .collect(),
            _ => Vec::new(),
        };
        for (path, value) in inside {
            out.push(path.clone());
            pointers(&path, value, out);
        }
    }

    let mut all = Vec::new();
    pointers("", document, &mut all);
    let without = |pointer: String| {
        let mut document = document.clone();
        let (outer, last) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(outer).unwrap() {
            Value::Object(fields) => drop(fields.remove(last).unwrap()),
            Value::Array(items) => drop(items.remove(last.parse().unwrap())),
            _ => unreachable!("something was in it"),
        }
        (pointer, document)
    };
    all.into_iter().map(without).collect()
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

/// What is missing because of something elsewhere in the document, or of what a server is: a schema cannot know.
const ONLY_THE_ENGINE_KNOWS: &[&str] = &[
    "is neither a built-in Microsoft cloud nor named as trusted",
    "which is not among the identities",
    "which Entra ID does not take",
    "is not for Entra ID",
    "does not end in /.default",
    "its token would go there",
    "a platform sets all of its variables",
    "is not set, and the authority host is one of Azure AD B2C",
    "is for Azure AD B2C, and the authority host is none of its hosts",
    "Entra ID takes one resource",
    "is `issuer`, and the identity names none",
    "is the same credential as",
];

#[test]
fn what_is_required_is_required_by_both() {
    let validator = validator();
    let (mut tried, mut refused) = (0, 0);
    let mut differ = Vec::new();
    for (case, document, environment) in golden() {
        assert!(validator.is_valid(&document), "{case}: {document}");
        for (field, rest) in without_each(&document) {
            tried += 1;
            let loaded = Config::load(Some(&rest.to_string()), &environment);
            let error = loaded.err().map(|error| error.to_string());
            let is_valid = validator.is_valid(&rest);
            refused += u32::from(!is_valid);
            let is_beyond = error.as_ref().is_some_and(|error| {
                ONLY_THE_ENGINE_KNOWS
                    .iter()
                    .any(|part| error.contains(part))
            });
            if is_valid != error.is_none() && !(is_valid && is_beyond) {
                differ.push(format!(
                    "{case} without {field}: schema {is_valid}, engine {error:?}"
                ));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(
        tried > 500 && refused > 50,
        "{tried} tried, {refused} refused"
    );
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
