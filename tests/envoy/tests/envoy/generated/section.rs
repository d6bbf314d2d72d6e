//! What the section `envoy` and the environment say, what is refused, and what the filter may call.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use edgepass_envoy_tests::{Lab, Upstream, filter_path, get_with};
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};

use super::{envoy_config, generated, plain, root, signing, start, text};

/// What the SDK that the filter is built with imports beside, and the filter does not call: Envoy refuses it.
const NOT_CALLED: [&str; 17] = [
    "proxy_add_header_map_value",
    "proxy_close_stream",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_register_shared_queue",
    "proxy_remove_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_set_buffer_bytes",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
];

#[test]
fn what_the_section_says_is_kept() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    config["envoy"] = json!({
        "token_clusters": {lab.host(): "my_entra"},
        "files": {"cluster": "my_files", "strip_prefix": lab.dir(), "add_prefix": "/mine"},
        "inbound_authorization": "keep-as:x-caller",
    });
    for more in [&[][..], &["--file-server"]] {
        let envoy = start(&lab, &upstream, &config, more);
        let headers = [("authorization", "Basic eDp5")];
        let answer = get_with(envoy.port(), "/", &headers).unwrap();
        assert_eq!(answer.status, 200, "{more:?}");
        let seen = upstream.seen();
        let last = &seen[seen.len() - 1];
        assert_eq!(last.header("x-caller"), Some("Basic eDp5"));
        assert!(last.bearer().is_some());
        assert!(envoy.dir().join("my_files.sock").exists());
        let clusters = envoy.admin("/clusters").unwrap();
        assert!(clusters.contains("my_entra::") && clusters.contains("my_files::"));
    }
}

#[test]
fn what_the_environment_has_is_left_to_it() {
    let lab = Lab::start().unwrap();
    let config = json!({
        "authority_hosts": [lab.host()],
        "identities": {"app": {"scopes": ["api://edgepass-demo/.default"]}},
    });
    let authority = lab.emulator.authority();
    let token_file = lab.dir().join("token/azure-identity-token");
    let variables = [
        ("AZURE_TENANT_ID", lab.emulator.tenant()),
        ("AZURE_CLIENT_ID", lab.emulator.client_id()),
        ("AZURE_AUTHORITY_HOST", &authority),
        ("AZURE_FEDERATED_TOKEN_FILE", token_file.to_str().unwrap()),
    ];
    let wasm = fs::canonicalize(filter_path().unwrap()).unwrap();
    let arguments = ["--wasm", wasm.to_str().unwrap()];
    let dir = lab.dir();
    let ca_file = dir.join("ca.pem");
    let arguments = [&arguments[..], &["--ca-file", ca_file.to_str().unwrap()]].concat();
    let printed = text(&envoy_config(dir, &config, &arguments, &variables));
    assert!(printed.contains(
        "host_env_keys: [AZURE_AUTHORITY_HOST, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID]"
    ));
    assert!(!printed.contains(lab.emulator.client_id()));
    let path = dir.join("generated.yaml");
    fs::write(&path, printed).unwrap();
    let validated = |variables: &[(&str, &str)]| {
        let output = Command::new(envoy_program())
            .args(["--mode", "validate", "-c"])
            .arg(&path)
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (good, said) = validated(&variables);
    assert!(good, "{said}");
    let (good, said) = validated(&[]);
    assert!(!good && said.contains("AZURE_TENANT_ID"), "{said}");

    let refused = envoy_config(dir, &config, &arguments, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("AZURE_"));
}

fn envoy_program() -> PathBuf {
    std::env::var_os("EDGEPASS_ENVOY").map_or_else(
        || root().join("target/peers/envoy/envoy/_bin/envoy"),
        PathBuf::from,
    )
}

// The checks are the filter's own (`edgepass-rules`), so that the words are the same is nothing to be tested.
#[test]
fn it_refuses_what_the_filter_refuses() {
    let lab = Lab::start().unwrap();
    let with = |pointer: &str, value: Value| {
        let mut config = plain(&lab);
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[field] = value;
        config
    };
    let credential = |value: Value| with("/identities/app/credential", value);
    let cases = [
        credential(json!({"assertion_source": {}})),
        credential(json!({"bound_certificate": {"name": "c", "mode": "with-assertion"}})),
        credential(json!({"certificate": {"name": "c", "algorithm": "RS256"}})),
        credential(json!({"client_secret": {"value": "hunter2hunter2"}})),
        credential(json!({"client_assertion": {"value": "hunter2.hunter2.hunter2"}})),
        with("/identities/app/scopes", json!([])),
        with("/envoy", json!({"rules": [{"identity": "nobody"}]})),
        with("/envoy", json!({"rules": [{"scopes": ["a", "b"]}]})),
        with(
            "/envoy",
            json!({"files": {"cluster": "f", "strip_prefix": "/elsewhere"}}),
        ),
        with("/envoy", json!({"unknown": 1})),
        with("/identities/app/tenant_id", json!("common")),
    ];
    for config in cases {
        let output = envoy_config(lab.dir(), &config, &[], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{config}\n{said}");
        assert!(output.stdout.is_empty());
        assert!(!said.contains("hunter2"), "{said}");
        assert!(said.starts_with("edgepass: error: "), "{said}");
        assert!(said.contains("\n  hint: "), "{said}");
    }
}

#[test]
fn a_secret_from_a_variable_is_refused() {
    let lab = Lab::start().unwrap();
    let mut config = plain(&lab);
    let variables = [
        ("SECRET", "hunter2hunter2"),
        ("AZURE_CLIENT_SECRET", "hunter2hunter2"),
    ];
    // whether or not it is set where the command runs, and a rule uses the identity
    config["default_identity"] = json!("app");
    config["identities"]["other"] = config["identities"]["app"].clone();
    for (name, credential, variables) in [
        (
            "app",
            json!({"client_secret": {"env": "SECRET"}}),
            &variables[..],
        ),
        (
            "app",
            json!({"client_assertion": {"env": "SECRET"}}),
            &variables,
        ),
        ("app", json!({"client_secret": {"env": "SECRET"}}), &[]),
        ("app", json!({"client_assertion": {"env": "SECRET"}}), &[]),
        (
            "other",
            json!({"client_secret": {"env": "SECRET"}}),
            &variables,
        ),
        ("other", json!({"client_secret": {"env": "SECRET"}}), &[]),
        ("app", Value::Null, &variables),
        ("other", Value::Null, &variables),
    ] {
        let mut config = config.clone();
        config["identities"][name]["credential"] = credential;
        let output = envoy_config(lab.dir(), &config, &[], variables);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty());
        assert!(
            said.contains(&format!("identities.{name}.credential.client_"))
                && said.contains("put the secret into a file")
                && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn the_filter_may_call_what_it_calls_and_no_more() {
    let lab = Lab::start().unwrap();
    let allowed = |config: &Value| -> BTreeSet<String> {
        let printed = generated(&lab, 1, lab.dir(), config, &[]);
        let (_, rest) = printed.split_once("allowed_capabilities:\n").unwrap();
        let (list, _) = rest.split_once("configuration:").unwrap();
        list.lines()
            .filter_map(|line| line.trim().strip_suffix(": {}"))
            .map(str::to_owned)
            .collect()
    };
    // one that signs needs the most
    let unsigned = allowed(&plain(&lab));
    let allowed = allowed(&signing(&lab));
    assert_eq!(
        allowed.difference(&unsigned).collect::<Vec<_>>(),
        ["proxy_call_foreign_function"]
    );

    let module = fs::read(filter_path().unwrap()).unwrap();
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(&module) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.insert(import.unwrap().name.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.insert(export.unwrap().name.to_owned());
                }
            }
            _ => {}
        }
    }
    let called: BTreeSet<String> = imports
        .iter()
        .filter(|name| !NOT_CALLED.contains(&name.as_str()))
        .cloned()
        .collect();
    assert_eq!(
        called.difference(&allowed).collect::<Vec<_>>(),
        [""; 0],
        "imported and not allowed"
    );
    let callbacks: BTreeSet<String> = allowed.difference(&called).cloned().collect();
    let exported: BTreeSet<String> = exports
        .into_iter()
        // Envoy's own way in, which no restriction is about
        .filter(|name| name.starts_with("proxy_on_") && name != "proxy_on_memory_allocate")
        .collect();
    assert_eq!(callbacks, exported, "what is not imported is exported");
}
