//! The configuration as users meet it: what is taken, and one clear message for each thing that is not.

#![expect(
    clippy::panic,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

mod certificates;
mod environment;
mod secrets;
mod servers;
mod variables;

use std::collections::BTreeSet;

use edgepass_core::authority::{Authority, EndpointVersion, TenantPath};
use edgepass_core::needs::Purpose;
use edgepass_core::{Algorithm, Config, ConfigError, Environment, Error, ErrorClass};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// What the workload identity webhook sets.
const WEBHOOK: &[(&str, &str)] = &[
    ("AZURE_TENANT_ID", TENANT),
    ("AZURE_CLIENT_ID", CLIENT),
    ("AZURE_FEDERATED_TOKEN_FILE", TOKEN_FILE),
    ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
];

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs(pairs.iter().copied())
}

fn load(json: &str) -> Result<Config, ConfigError> {
    Config::load(Some(json), &environment(&[]))
}

fn load_environment(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = WEBHOOK.iter().chain(changes).copied();
    Config::load(None, &Environment::from_pairs(pairs))
}

/// An Entra identity `app` with this credential and these further fields.
fn entra(credential: &str, fields: &str) -> String {
    format!(
        r#"{{"identities": {{"app": {{"tenant_id": "{TENANT}", "client_id": "{CLIENT}"{fields}, "credential": {credential}}}}}}}"#
    )
}

/// A generic identity `app` on a trusted host with this credential and these further fields.
fn generic(credential: &str, fields: &str) -> String {
    format!(
        r#"{{"authority_hosts": ["idp.example", "mtls.idp.example:8443"], "identities": {{"app": {{"client_id": "c",
            "token_endpoint": "https://idp.example/token"{fields}, "credential": {credential}}}}}}}"#
    )
}

const SECRET: &str = r#"{"client_secret": {"value": "hunter2"}}"#;
const BOUND: &str = r#"{"bound_certificate": {"name": "cert"}}"#;
const SOURCE: &str = r#"{"assertion_source": {}}"#;

fn hosts(config: &Config) -> BTreeSet<String> {
    let connections = config.needs().connections.into_iter();
    let permissions = connections.map(|connection| connection.permission);
    let posts = permissions.filter(|permission| permission.purpose == Purpose::TokenEndpoint);
    posts.map(|permission| permission.authority).collect()
}

fn files(config: &Config) -> BTreeSet<String> {
    let files = config.needs().files;
    let paths = files.iter().filter_map(|file| file.path.exact());
    paths.map(str::to_owned).collect()
}

fn tenant<'a>(config: &'a Config, identity: &str) -> Option<&'a str> {
    config.identities.get(identity)?.client()?.tenant.as_deref()
}

/// The line about an identity's credential, for people.
fn credential(config: &Config, identity: &str) -> String {
    let identity = config.identities.get(identity);
    let lines = identity.map(|identity| identity.describe());
    let line = lines
        .into_iter()
        .flatten()
        .find(|(what, _)| *what == "credential");
    line.map(|(_, text)| text).unwrap_or_default()
}

#[track_caller]
fn refused(result: Result<Config, ConfigError>, setting: &str, words: &[&str]) {
    let Err(error) = result else {
        panic!("it must be refused: {setting} {words:?}")
    };
    let text = error.to_string();
    assert_eq!(error.setting, setting, "{text}");
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert!(
        error.hint.is_some(),
        "says what is wrong but not what to do: {text}"
    );
}

#[test]
fn one_credential_kind_exactly() {
    let credential = "identities.app.credential";
    let two = r#"{"client_secret": {"value": "hunter2"}, "federated_token_file": {"path": "/t"}}"#;
    refused(
        load(&entra(two, "")),
        credential,
        &[
            "has 2 kinds: federated_token_file, client_secret",
            "keep one",
        ],
    );
    refused(
        load(&entra("{}", "")),
        credential,
        &["names no kind", "federated_token_file", "bound_certificate"],
    );
}

#[test]
fn the_cache_of_users_has_a_size_that_a_component_can_have() {
    for wrong in ["0", "1025", "18446744073709551615"] {
        refused(
            load(&format!(
                r#"{{"host": {{"user_token_cache_mib": {wrong}}}}}"#
            )),
            "host.user_token_cache_mib",
            &["is not between 1 and 1024", "write MiB, 64 for example"],
        );
    }
    for (json, mib) in [
        ("{}", 64),
        (r#"{"host": {"user_token_cache_mib": 1}}"#, 1),
        (r#"{"host": {"user_token_cache_mib": 1024}}"#, 1024),
    ] {
        let variables = environment(WEBHOOK);
        let config = Config::load(Some(json), &variables).unwrap();
        assert_eq!(config.user_token_bytes(), mib << 20, "{json}");
    }
}

#[test]
fn scopes() {
    let with = |scopes: &str| entra(SECRET, &format!(r#", "scopes": {scopes}"#));
    let vault = "https://vault.azure.net//.default";
    let config = load(&with(&format!(r#"["{vault}", "{vault}"]"#))).unwrap();
    assert_eq!(config.identities.get("app").unwrap().scopes, [vault]);
    for (scopes, word) in [
        (
            r#"["https://a.example/.default", "https://b.example/.default"]"#,
            "one resource at a time",
        ),
        (
            r#"["https://a.example"]"#,
            "write `https://a.example/.default`",
        ),
        (r#"["https://a.example/{x}/.default"]"#, "never filled in"),
        (r#"["https://a.example/é/.default"]"#, "RFC 6749"),
    ] {
        refused(load(&with(scopes)), "identities.app.scopes", &[word]);
    }
    let config = load(&generic(SECRET, r#", "scopes": ["read", "write"]"#)).unwrap();
    assert_eq!(
        config.identities.get("app").unwrap().scopes,
        ["read", "write"]
    );
    refused(
        load(&generic(SECRET, r#", "scopes": ["read write"]"#)),
        "identities.app.scopes",
        &["each scope by itself"],
    );
}

#[test]
fn names_and_the_default_identity() {
    let two = |default: &str| {
        format!(
            r#"{{{default}"identities": {{"a": {{"tenant_id": "t", "client_id": "c", "credential": {SECRET}}},
                "b": {{"tenant_id": "t", "client_id": "d", "credential": {SECRET}}}}}}}"#
        )
    };
    assert_eq!(load(&two("")).unwrap().default_identity, None);
    assert_eq!(
        load(&two(r#""default_identity": "b", "#))
            .unwrap()
            .default_identity
            .as_deref(),
        Some("b")
    );
    refused(
        load(&two(r#""default_identity": "c", "#)),
        "default_identity",
        &["is `c`", "name one of: a, b"],
    );
    assert_eq!(
        load(&entra(SECRET, ""))
            .unwrap()
            .default_identity
            .as_deref(),
        Some("app")
    );
    let slash = entra(SECRET, "").replace("\"app\"", "\"a/b\"");
    refused(
        load(&slash),
        "identities.a/b",
        &["a name that is not usable", "use letters, digits"],
    );
}

/// The name of an entry of `certificates`, in whose place people write the path of the file.
#[test]
fn the_path_of_a_certificate_is_no_name_of_one() {
    for kind in ["certificate", "bound_certificate"] {
        for (name, words) in [
            (
                "/etc/edgepass/client.pem",
                &["is a path", "certificate_file", "that name here"][..],
            ),
            ("./client.pem", &["is a path"]),
            (r"C:\\certs\\client.pfx", &["is a path"]),
            ("a b", &["not usable"]),
            ("", &["empty"]),
        ] {
            let json = entra(&format!(r#"{{"{kind}": {{"name": "{name}"}}}}"#), "");
            let setting = format!("identities.app.credential.{kind}.name");
            refused(load(&json), &setting, words);
        }
    }
}

#[test]
fn assertion_types() {
    let setting = "identities.app.credential.federated_token_file.assertion_type";
    let json = entra(
        r#"{"federated_token_file": {"path": "/t", "assertion_type": "jwt-bearer"}}"#,
        "",
    );
    refused(
        load(&json),
        setting,
        &["not an absolute URI", "leave it out"],
    );
    let json = entra(r#"{"assertion_source": {"assertion_type": "urn:a b"}}"#, "");
    refused(
        load(&json),
        "identities.app.credential.assertion_source.assertion_type",
        &["not an absolute URI"],
    );
}

#[test]
fn unknown_fields_list_the_known_ones() {
    let error = load(r#"{"identity": {}}"#).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown field `identity`, expected one of"),
        "{error}"
    );
    assert!(error.to_string().contains("`identities`"), "{error}");
    let error = load(&entra(r#"{"client_secret": {"secret": "hunter2"}}"#, "")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown field `secret`, expected one of `value`, `env`, `file`, `method`"),
        "{error}"
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = load(&entra(SECRET, r#", "endpoint_version": "v3""#)).unwrap_err();
    assert!(
        error.to_string().contains("expected `v1.0` or `v2.0`"),
        "{error}"
    );
}

#[test]
fn a_config_error_is_an_error_of_its_class() {
    let error =
        Error::from(Config::load(None, &environment(&[("AZURE_TENANT_ID", TENANT)])).unwrap_err());
    assert_eq!(error.class(), ErrorClass::Configuration);
    assert!(
        error.to_string().starts_with("AZURE_CLIENT_ID: is not set"),
        "{error}"
    );
    let hint = error.detail().hint.as_ref().unwrap();
    assert!(hint.contains("AZURE_CLIENT_SECRET"), "{hint}");
}

#[test]
fn the_envoy_section_is_read_and_not_judged() {
    let json = r#"{"identities": {"app": {"tenant_id": "t", "client_id": "c",
            "credential": {"client_secret": {"value": "hunter2"}}}},
        "envoy": {"token_clusters": {"login.example": "entra"}, "files": {"cluster": "files"},
            "sharing": "per-vm", "rules": [{"match": {"path_prefix": "/api"}, "header": "x-token"}]}}"#;
    let config = load(json).unwrap();
    let envoy = config.envoy.as_ref().unwrap();
    assert_eq!(envoy.token_clusters.get("login.example").unwrap(), "entra");
    assert_eq!(envoy.rules[0].matching.path_prefix.as_deref(), Some("/api"));
    assert!(envoy.refresh_on_401 && !envoy.fail_open);
    assert_eq!(
        config.needs().inline_secrets,
        ["identities.app.credential.client_secret.value"]
    );
    assert!(load(&entra(SECRET, "")).unwrap().envoy.is_none());

    let wrong = load(r#"{"identities": {}, "envoy": {"rules": [{"match": {"method": "GET"}}]}}"#);
    refused(
        wrong,
        "envoy.rules[0].match.method",
        &["unknown field `method`", "`path_prefix`"],
    );
    let twice = load(r#"{"envoy": {"token_clusters": {"a": "b", "a": "c"}}}"#).unwrap_err();
    assert!(twice.to_string().contains("duplicate name `a`"), "{twice}");
}
