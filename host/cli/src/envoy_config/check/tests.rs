use clap::Parser;

use super::*;
use crate::arguments::{Arguments, Command};

fn arguments(more: &[&str]) -> EnvoyConfigArguments {
    let all = ["edgepass", "envoy-config", "--from", "x"]
        .iter()
        .chain(more);
    match Arguments::try_parse_from(all).map(|arguments| arguments.command) {
        Ok(Command::EnvoyConfig(arguments)) => *arguments,
        _ => panic!("{more:?}"),
    }
}

fn config() -> Value {
    json!({
        "identities": {"app": {
            "tenant_id": "contoso.example",
            "client_id": "c",
            "credential": {"federated_token_file": {"path": "/var/run/tokens/t"}},
        }},
        "envoy": {
            "upstreams": [
                {"path_prefix": "/g/", "url": "https://g.example/", "scopes": ["https://g.example/.default"]},
                {"path_prefix": "/o/", "url": "o:80"},
            ],
            "rules": [{"match": {"path_prefix": "/o/"}, "disabled": true}],
        },
    })
}

fn printed(config: &Value, arguments: &EnvoyConfigArguments) -> String {
    let nothing = Environment::default();
    let plan = Plan::of(&config.to_string(), &nothing, Given::default())
        .ok()
        .unwrap();
    bootstrap::write(&plan, arguments).ok().unwrap()
}

fn found(config: &Value, arguments: &EnvoyConfigArguments, text: &str) -> Vec<String> {
    let nothing = Environment::default();
    findings(&config.to_string(), &nothing, arguments, text)
        .ok()
        .unwrap()
}

#[test]
fn what_is_printed_fits() {
    for more in [
        &[][..],
        &["--upstream-filter"],
        &["--file-server"],
        &[
            "--no-capability-restriction",
            "--no-watch-modify",
            "--vm-id",
            "v",
        ],
    ] {
        let arguments = arguments(more);
        // an upstream filter sees no such path
        let mut config = config();
        if arguments.upstream_filter {
            config["envoy"]["rules"][0]["match"] = json!({"cluster": "upstream_o"});
        }
        let nothing = Environment::default();
        let given = Given {
            as_upstream_filter: arguments.upstream_filter,
            ..Given::default()
        };
        let plan = Plan::of(&config.to_string(), &nothing, given).ok().unwrap();
        let text = bootstrap::write(&plan, &arguments).ok().unwrap();
        assert_eq!(found(&config, &arguments, &text), [""; 0], "{more:?}");
        let json: Value = read(&text).ok().unwrap();
        assert_eq!(
            found(&config, &arguments, &json.to_string()),
            [""; 0],
            "{more:?}"
        );
    }
}

#[test]
fn names_are_the_file_s_business() {
    let arguments = arguments(&[]);
    let text = printed(&config(), &arguments)
        .replace("idp_login_microsoftonline_com", "entra")
        .replace("token_files", "my_files");
    assert_eq!(found(&config(), &arguments, &text), [""; 0]);
}

#[test]
fn merge_keys_are_what_envoy_takes_them_for() {
    let read = read("tls: &tls {name: x}\ncluster: {<<: *tls, connect_timeout: 5s}\n")
        .ok()
        .unwrap();
    assert_eq!(read.pointer("/cluster/<</name").unwrap(), "x");
    assert!(read.pointer("/cluster/name").is_none());
}

/// Each breakage, and what has to be said of it.
#[test]
fn broken_files() {
    let arguments = arguments(&[]);
    let good = printed(&config(), &arguments);
    for (there, broken, at, words) in [
        (
            "name: idp_login_microsoftonline_com",
            "name: entra",
            "clusters[idp_login_microsoftonline_com]",
            "`entra` is for the same host",
        ),
        (
            "\"idp_login_microsoftonline_com\"}",
            "\"entra\"}",
            "clusters[entra]",
            "`idp_login_microsoftonline_com` is for the same host",
        ),
        (
            "- name: token_files\n    type",
            "- name: tokens\n    type",
            "clusters[token_files]",
            "envoy.files.cluster names it",
        ),
        (
            "path: /run/envoy/token_files.sock\n        mode",
            "path: /run/envoy/x.sock\n        mode",
            "clusters[token_files]",
            "no listener is at its address: /run/envoy/token_files.sock",
        ),
        (
            "mode: 384",
            "mode: 438",
            "listeners[token_files].address.pipe.mode",
            "other users",
        ),
        (
            "max_direct_response_body_size_bytes: 65536",
            "name: x",
            "listeners[token_files].max_direct_response_body_size_bytes",
            "4096",
        ),
        (
            "path: /var/run/tokens/t\n",
            "path: /t\n",
            "listeners[token_files]: /var/run/tokens/t",
            "there is no route",
        ),
        (
            "filename: /var/run/tokens/t\n",
            "filename: /var/run/tokens/u\n",
            "listeners[token_files]: /var/run/tokens/t.filename",
            "it is /var/run/tokens/u",
        ),
        (
            "path: /var/run/tokens #",
            "path: /var/run #",
            "listeners[token_files]: /var/run/tokens/t.watched_directory.path",
            "is not /var/run/tokens: it is /var/run",
        ),
        (
            "watched_directory:",
            "watched:",
            "listeners[token_files]: /var/run/tokens/t.watched_directory",
            "is missing",
        ),
        (
            "address: login.microsoftonline.com",
            "address: login.test",
            "clusters[idp_login_microsoftonline_com].address.socket_address.address",
            "it is login.test, should be login.microsoftonline.com",
        ),
        (
            "sni: login.microsoftonline.com",
            "sni: login.example",
            "clusters[idp_login_microsoftonline_com].transport_socket.typed_config.sni",
            "should be login.microsoftonline.com",
        ),
        (
            "exact: login.microsoftonline.com",
            "exact: login.example",
            "match_typed_subject_alt_names[0].matcher.exact",
            "is not what it should be",
        ),
        (
            "certificates.crt\n            match_typed_subject_alt_names:\n            - san_type: DNS # without this and trusted_ca Envoy sends tokens to whoever answers\n              matcher:\n                exact: login",
            "other.crt\n            match_typed_subject_alt_names:\n            - san_type: DNS\n              matcher:\n                exact: login",
            "trusted_ca.filename",
            "should be /etc/ssl/certs/ca-certificates.crt",
        ),
        (
            "sni: g.example",
            "sni: x.example",
            "clusters[upstream_g_example].transport_socket.typed_config.sni",
            "is not what it should be",
        ),
        (
            "max_requests_per_connection: 1 #",
            "max_requests_per_connection: 9 #",
            "max_requests_per_connection",
            "should be 1",
        ),
        (
            "vm_id: edgepass",
            "vm_id: other",
            ".config.vm_config.vm_id",
            "should be edgepass",
        ),
        (
            "vm_id: edgepass",
            "nobody: edgepass",
            ".config.vm_config.vm_id",
            "is missing",
        ),
        (
            "edgepass-envoy.wasm",
            "other.wasm",
            ".config.vm_config.code.local.filename",
            "it is /etc/envoy/other.wasm",
        ),
        (
            "runtime: envoy.wasm.runtime.v8",
            "runtime: envoy.wasm.runtime.null",
            ".config.vm_config.runtime",
            "should be",
        ),
        (
            "failure_policy: FAIL_RELOAD",
            "failure_policy: FAIL_OPEN",
            ".config.failure_policy",
            "is not what it should be",
        ),
        (
            "proxy_http_call: {}",
            "proxy_x: {}",
            "allowed_capabilities.proxy_http_call",
            "is missing",
        ),
        (
            "capability_restriction_config:",
            "capabilities:",
            ".config.capability_restriction_config",
            "is missing",
        ),
        (
            "protobuf.StringValue",
            "protobuf.Struct",
            ".config.configuration",
            "is not a StringValue",
        ),
        (
            "\"identities\": {",
            "\"identities\" {",
            ".config.configuration.value",
            "is not JSON text",
        ),
        (
            "\"client_id\": \"c\"",
            "\"client_id\": \"d\"",
            "identities.app.client_id",
            "something else",
        ),
        (
            "\"tenant_id\":",
            "\"display\": \"x\", \"tenant_id\":",
            "identities.app.display",
            "nowhere else",
        ),
        (
            "\"scopes\": [\"https://g.example/.default\"]",
            "\"scopes\": []",
            "envoy.rules[1].scopes",
            "something else",
        ),
        (
            "- name: upstream_g_example",
            "- name: g",
            "envoy.rules[1].match.cluster",
            "names no cluster",
        ),
        (
            "normalize_path: true",
            "normalize_path: false",
            "normalize_path",
            "rules with path_prefix",
        ),
        (
            "cluster: upstream_g_example",
            "cluster_header: x-where",
            "route.cluster_header",
            "lets callers choose",
        ),
        (
            "wasm.v3.Wasm",
            "wasm.v3.Other",
            "http_filters",
            "there is no Wasm filter",
        ),
    ] {
        assert!(good.contains(there), "{there}\n{good}");
        let found = found(&config(), &arguments, &good.replacen(there, broken, 1));
        let line = found.iter().find(|line| {
            let (place, _) = line.split_once(": ").unwrap();
            place.ends_with(at) || line.starts_with(at)
        });
        let Some(line) = line else {
            panic!("{broken}: {found:#?}")
        };
        assert!(line.contains(words), "{line}");
        assert!(line.contains("\n  hint: "), "{line}");
        assert!(
            found.len() < 4,
            "{broken}: one fault is one or two findings: {found:#?}"
        );
    }
    let modify = self::arguments(&["--no-watch-modify"]);
    let lines = found(&config(), &modify, &good);
    assert!(
        lines.len() == 1 && lines[0].contains("watch_modify"),
        "{lines:?}"
    );
}

#[test]
fn what_is_no_yaml_is_not_repeated() {
    let nothing = Environment::default();
    for text in ["a: [hunter2", "\"hunter2", "a: hunter2\n b: c: d"] {
        match findings(&config().to_string(), &nothing, &arguments(&[]), text) {
            Err(Failure::Setup { message, .. }) => {
                assert!(
                    !message.contains("hunter2") && message.contains("line"),
                    "{message}"
                );
            }
            _ => panic!("{text}"),
        }
    }
}
