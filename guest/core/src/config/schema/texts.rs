//! What each field's text must look like.

use serde_json::{Value, json};

use crate::config::{TokenStoreFile, parameters};
use crate::limits;

/// What texts must look like and what they are if left out: the object, its field, and what is added to it. `[]` after a
/// field means its items. A comment says for people what a pattern says.
pub(super) fn texts() -> Vec<(&'static str, &'static str, Value)> {
    let path = || {
        json!({
            "pattern": r"^(?:/|\\\\|[A-Za-z]:[/\\])[^\u0000-\u001f\u007f-\u009f]*$",
            "maxLength": 4096,
            "$comment": "absolute path",
        })
    };
    let audience = || {
        json!({
            "pattern": r"^[^\s\u0000-\u001f\u007f-\u009f]+$",
            "maxLength": 2048,
            "$comment": "text without spaces",
        })
    };
    let assertion_type = || {
        json!({
            "pattern": r"^[A-Za-z][A-Za-z0-9+.\-]*:[!#-;=?-\[\]_a-z~]+$",
            "maxLength": 2048,
            "default": crate::credential::JWT_BEARER,
            "$comment": "absolute URI",
        })
    };
    let guid = || {
        json!({
            "pattern": "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
            "$comment": "GUID",
        })
    };
    let resource = || {
        let (before, between) = (
            caseless("/subscriptions/"),
            caseless("/microsoft.managedidentity/userassignedidentities/"),
        );
        json!({
            "pattern": format!(r"^{before}\S*{between}[^/\s]+$"),
            "maxLength": 2048,
            "$comment": "resource ID",
        })
    };
    let label = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?";
    let port =
        "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let host = format!(r"(?:{label}(?:\.{label})*|\[[0-9A-Fa-f:.]+\])(?::{port})?");
    let https = caseless("https://");
    let url = || {
        json!({
            "pattern": format!(r"^{https}{host}(?:[/?][!$-;=?-\[\]_a-z~]*)?$"),
            "maxLength": 2048,
            "$comment": "https URL",
        })
    };
    let vault = || {
        json!({
            "pattern": format!("^{https}{host}/?$"),
            "maxLength": 2048,
            "$comment": "https URL without a path",
        })
    };
    let vault_name = || {
        json!({
            "pattern": r"^[A-Za-z0-9\-]{1,127}$",
            "$comment": "letters, digits and `-`",
        })
    };
    let issuer = || {
        json!({
            "pattern": format!(r"^{https}{host}(?:/[!$-;=@-\[\]_a-z~]*)?$"),
            "maxLength": 2048,
            "not": { "pattern": r"/\.well-known/" },
            "$comment": "https URL without `?` and `#`",
        })
    };
    let parameters = || {
        let value = json!({
            "type": "string",
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
            "minLength": 1,
            "maxLength": 2048,
        });
        let own = parameters::OWN.iter().map(|(name, _)| *name);
        json!({
            "maxProperties": parameters::MAX_PARAMETERS,
            "propertyNames": {
                "pattern": r"^[A-Za-z0-9._\-]+$",
                "maxLength": 128,
                "not": { "enum": own.collect::<Vec<_>>() },
            },
            "additionalProperties": { "anyOf": [
                value,
                { "type": "array", "items": value, "minItems": 1, "maxItems": parameters::MAX_PARAMETERS },
            ] },
            "$comment": "names, and texts or lists of texts",
        })
    };
    let tenant = json!({
        "pattern": r"^[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*$",
        "maxLength": 253,
        "not": { "pattern": format!("^(?:{}|{}|{})$", caseless("common"), caseless("organizations"), caseless("consumers")) },
        "$comment": "GUID or domain",
    });
    let scope = || {
        json!({
            "pattern": r"^[!#-\[\]-~]+$",
            "maxLength": 2048,
            "$comment": "scope, for Entra ID `<resource>/.default`",
        })
    };
    let secret = |characters: u32| json!({ "minLength": 1, "maxLength": characters, "$comment": "text, a secret" });
    let variable = || json!({ "minLength": 1, "$comment": "name of a variable" });
    let names = json!({
        "propertyNames": { "pattern": r"^[A-Za-z0-9._\-]+$", "maxLength": 128 },
    });
    let header = r"^[!#$%&'*+.^_`|~0-9A-Za-z\-]+$";
    vec![
        ("", "identities", names.clone()),
        ("", "certificates", names),
        (
            "",
            "authority_hosts[]",
            json!({ "pattern": format!("^{host}$"), "$comment": "`host` or `host:port`" }),
        ),
        ("HostFile", "ca_file", path()),
        ("HostFile", "extra_ca_file", path()),
        (
            "HostFile",
            "proxy",
            json!({
                "pattern": "^(?:none|(?:[Hh][Tt][Tt][Pp][Ss]?://)?[^@/\\s]+/?)$",
                "$comment": "`http://host:port`, `https://host:port` or `none`",
            }),
        ),
        (
            "TokenStoreFile",
            "url",
            json!({
                "pattern": format!("^rediss?://{host}/?$"),
                "$comment": "`redis://host:port` or `rediss://host:port`",
            }),
        ),
        ("TokenStoreFile", "encryption_keys_file", path()),
        ("TokenStoreFile", "password_file", path()),
        ("TokenStoreFile", "password_env", variable()),
        ("TokenStoreFile", "ca_file", path()),
        ("TokenStoreFile", "database", json!({ "maximum": 65_535 })),
        (
            "TokenStoreFile",
            "key_prefix",
            json!({
                "pattern": r"^[A-Za-z0-9.:_\-]+$",
                "maxLength": 64,
                "default": TokenStoreFile::PREFIX,
                "$comment": "letters, digits, `.`, `:`, `_`, `-`",
            }),
        ),
        (
            "HostFile",
            "user_token_cache_mib",
            json!({
                "minimum": 1,
                "maximum": limits::MAX_USER_TOKENS_MIB,
                "default": limits::USER_TOKENS_MIB,
                "$comment": "MiB, 1 to 1024",
            }),
        ),
        ("CertificateFiles", "certificate_file", path()),
        ("CertificateFiles", "certificate_base64", secret(262_144)),
        ("CertificateFiles", "private_key_file", path()),
        ("CertificateFiles", "password_file", path()),
        ("CertificateFiles", "password_env", variable()),
        ("KeyVaultFile", "url", vault()),
        ("KeyVaultFile", "certificate", vault_name()),
        ("KeyVaultFile", "version", vault_name()),
        ("KeyVaultFile", "audience", audience()),
        ("IdentityFile", "tenant_id", tenant.clone()),
        (
            "IdentityFile",
            "additionally_allowed_tenants[]",
            json!({ "anyOf": [{ "const": "*" }, tenant], "$comment": "GUID, domain or `*`" }),
        ),
        (
            "IdentityFile",
            "client_id",
            json!({ "pattern": "^[!-~]+$", "maxLength": 512, "$comment": "text without spaces" }),
        ),
        (
            "IdentityFile",
            "authority_host",
            json!({
                "pattern": format!(
                    "^{https}{host}(?:/?|/+(?:{}|{})/*)$",
                    caseless("adfs"),
                    caseless("dstsv2")
                ),
                "default": "https://login.microsoftonline.com",
                "$comment": "https URL without a path, or with `/adfs` or `/dstsv2`",
            }),
        ),
        (
            "IdentityFile",
            "region",
            json!({
                "pattern": "^[A-Za-z0-9]+$",
                "maxLength": 63,
                "not": {
                    "pattern": format!(
                        "^(?:{}|{}|{})$",
                        caseless("tryautodetect"),
                        caseless("autodiscoverregion"),
                        caseless("true")
                    )
                },
                "$comment": "letters and digits",
            }),
        ),
        (
            "IdentityFile",
            "policy",
            json!({ "pattern": r"^[A-Za-z0-9_\-]+$", "maxLength": 128, "$comment": "name of a policy" }),
        ),
        (
            "IdentityFile",
            "endpoint_version",
            json!({ "default": "v2.0" }),
        ),
        ("IdentityFile", "token_endpoint", url()),
        ("IdentityFile", "mtls_token_endpoint", url()),
        ("IdentityFile", "issuer", issuer()),
        (
            "IdentityFile",
            "resources",
            json!({ "maxItems": parameters::MAX_PARAMETERS }),
        ),
        (
            "IdentityFile",
            "resources[]",
            json!({
                "pattern": r"^[A-Za-z][A-Za-z0-9+.\-]*:[!$-;=?-\[\]_a-z~]+$",
                "maxLength": 2048,
                "$comment": "absolute URI without `#`",
            }),
        ),
        ("IdentityFile", "additional_parameters", parameters()),
        ("OidcFederationFile", "issuer", issuer()),
        ("OidcFederationFile", "additional_parameters", parameters()),
        ("IdentityFile", "scopes[]", scope()),
        ("FederatedTokenFile", "path", path()),
        ("FederatedTokenFile", "assertion_type", assertion_type()),
        ("ClientAssertionFile", "value", secret(65_536)),
        ("ClientAssertionFile", "env", variable()),
        ("ClientAssertionFile", "file", path()),
        ("ClientAssertionFile", "assertion_type", assertion_type()),
        ("AssertionSourceFile", "audience", audience()),
        ("AssertionSourceFile", "assertion_type", assertion_type()),
        ("ClientSecretFile", "value", secret(4096)),
        ("ClientSecretFile", "env", variable()),
        ("ClientSecretFile", "file", path()),
        (
            "ClientSecretFile",
            "method",
            json!({ "default": "client_secret_post" }),
        ),
        (
            "CertificateFile",
            "algorithm",
            json!({ "default": "PS256" }),
        ),
        ("CertificateFile", "audience", audience()),
        (
            "CertificateFile",
            "mode",
            json!({ "default": "with-assertion" }),
        ),
        (
            "PrivateKeyJwtFile",
            "algorithm",
            json!({ "default": "PS256" }),
        ),
        (
            "PrivateKeyJwtFile",
            "kid",
            json!({ "minLength": 1, "maxLength": 128, "$comment": "text" }),
        ),
        ("PrivateKeyJwtFile", "audience", audience()),
        (
            "BoundCertificateFile",
            "algorithm",
            json!({ "default": "PS256" }),
        ),
        ("BoundCertificateFile", "audience", audience()),
        (
            "BoundCertificateFile",
            "mode",
            json!({ "default": "with-assertion" }),
        ),
        ("ManagedIdentityFile", "client_id", guid()),
        ("ManagedIdentityFile", "object_id", guid()),
        ("ManagedIdentityFile", "resource_id", resource()),
        ("ManagedIdentityAssertionFile", "client_id", guid()),
        ("ManagedIdentityAssertionFile", "object_id", guid()),
        ("ManagedIdentityAssertionFile", "resource_id", resource()),
        ("ManagedIdentityAssertionFile", "audience", audience()),
        (
            "EnvoyFile",
            "request_deadline_ms",
            json!({ "minimum": 1, "maximum": 60_000, "default": 5000, "$comment": "milliseconds, 1 to 60000" }),
        ),
        (
            "EnvoyFile",
            "inbound_authorization",
            json!({
                "pattern": r"^(?:strip|keep-as:[!#$%&'*+.^_`|~0-9A-Za-z\-]+)$",
                "default": "strip",
                "$comment": "`strip`, or `keep-as:HEADER`",
            }),
        ),
        ("EnvoyFile", "sharing", json!({ "default": "per-process" })),
        ("EnvoyRuleFile", "scopes[]", scope()),
        (
            "EnvoyRuleFile",
            "header",
            json!({ "pattern": header, "maxLength": 256, "default": "authorization", "$comment": "name of a header" }),
        ),
        (
            "EnvoyRuleFile",
            "format",
            json!({ "pattern": r"\{token\}", "default": "Bearer {token}", "$comment": "text with `{token}` in it" }),
        ),
        (
            "EnvoyMatchFile",
            "path_prefix",
            json!({ "pattern": "^/", "$comment": "path" }),
        ),
        (
            "HttpFile",
            "rules",
            json!({ "minItems": 1, "maxItems": 256 }),
        ),
        (
            "HttpFile",
            "replay_body_bytes",
            json!({ "maximum": 1_048_576, "default": 65_536, "$comment": "bytes, at most 1048576" }),
        ),
        (
            "HttpFile",
            "audit_as",
            json!({ "minLength": 1, "$comment": "text" }),
        ),
        ("HttpRuleFile", "scopes[]", scope()),
        (
            "HttpRuleFile",
            "header",
            json!({ "pattern": header, "maxLength": 256, "default": "authorization", "$comment": "name of a header" }),
        ),
        (
            "HttpMatchFile",
            "host",
            json!({ "pattern": r"^(?:(?:\*\.)?[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])$", "$comment": "host, or `*.` and a domain" }),
        ),
        (
            "HttpMatchFile",
            "port",
            json!({ "minimum": 1, "maximum": 65_535 }),
        ),
        (
            "HttpMatchFile",
            "path_prefix",
            json!({ "pattern": "^/", "$comment": "path" }),
        ),
        (
            "HttpMatchFile",
            "methods[]",
            json!({ "pattern": r"^[A-Z\-]+$", "$comment": "method" }),
        ),
    ]
}

/// A pattern of that text in whatever case.
fn caseless(text: &str) -> String {
    let one = |c: char| match c {
        c if c.is_ascii_alphabetic() => {
            format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())
        }
        '.' => r"\.".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}
