//! Tables of good and bad values for each field.

use serde_json::{Value, json};

use crate::{agree, credential, identity, load, other, validator};

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
