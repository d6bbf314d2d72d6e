//! Fields that exclude or need each other, in every combination, and what things may be called.

use serde_json::{Map, Value, json};

use crate::{agree, credential, identity, validator};

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
