//! The examples of `docs/examples/envoy` against the schemas of their kinds, and against what `edgepass envoy-config`
//! prints; and that YAML read back by a parser of its own.
//!
//! The command is the one that `EDGEPASS_BIN` names, otherwise `dist/edgepass`.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn example(name: &str) -> String {
    let path = root().join("docs/examples/envoy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML text.
fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

fn of_kind(name: &str, kind: &str) -> Value {
    let found: Vec<Value> = documents(&example(name))
        .into_iter()
        .filter(|document| document["kind"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "{name}: {kind}");
    found[0].clone()
}

fn edgepass(arguments: &[&str]) -> String {
    let program = std::env::var_os("EDGEPASS_BIN")
        .map_or_else(|| root().join("dist/edgepass"), PathBuf::from);
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root().join("docs/examples/envoy"))
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the command for a configuration.
fn generated(config: &Value, more: &[&str]) -> Value {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("edgepass-manifests-{}-{number}.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, config.to_string()).unwrap();
    let arguments = [&["envoy-config", "--from", path.to_str().unwrap()], more].concat();
    let text = edgepass(&arguments);
    fs::remove_file(path).unwrap();
    let documents = documents(&text);
    assert_eq!(documents.len(), 1);
    documents[0].clone()
}

/// The listener or cluster of that name.
fn named<'a>(bootstrap: &'a Value, kind: &str, name: &str) -> &'a Value {
    bootstrap["static_resources"][kind]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["name"] == name)
        .unwrap_or_else(|| panic!("{kind}: {name}"))
}

/// The filter's own configuration, out of a whole one.
fn plugin(bootstrap: &Value) -> Value {
    let filters = "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
    let config = named(bootstrap, "listeners", "main")
        .pointer(filters)
        .unwrap();
    let text = config["configuration"]["value"].as_str().unwrap();
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_document_fits_the_schema_of_its_kind() {
    let mut kinds = Vec::new();
    for name in ["kubernetes.yaml", "istio.yaml", "envoy-gateway.yaml"] {
        for document in documents(&example(name)) {
            let kind = document["kind"].as_str().unwrap().to_owned();
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("schemas")
                .join(format!("{kind}.json"));
            let schema: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(errors, [""; 0], "{name}: {kind}");
            let mut wrong = document.clone();
            wrong["spek"] = json!({});
            assert!(!validator.is_valid(&wrong), "{kind} takes anything");
            kinds.push(kind);
        }
    }
    assert_eq!(kinds.len(), 11, "{kinds:?}");
}

#[test]
fn kubernetes_has_what_the_command_prints() {
    let config = of_kind("kubernetes.yaml", "ConfigMap");
    let printed = edgepass(&[
        "envoy-config",
        "--from",
        "webhook.json",
        "--upstream",
        "https://graph.microsoft.com",
        "--upstream-filter",
        "--wasm",
        "/opt/edgepass/edgepass-envoy.wasm",
        "--admin",
        "127.0.0.1:9901",
    ]);
    assert_eq!(
        config["data"]["envoy.yaml"].as_str(),
        Some(printed.as_str())
    );
}

#[test]
fn istio_has_what_the_command_prints() {
    let printed = documents(&edgepass(&[
        "envoy-config",
        "--from",
        "edgepass.json",
        "--socket-dir",
        "/etc/istio/proxy",
        "--no-watch-modify",
    ]));
    let filter = of_kind("istio.yaml", "EnvoyFilter");
    let patches = filter["spec"]["configPatches"].as_array().unwrap();
    assert_eq!(patches.len(), 3);
    for patch in patches {
        let kind = match patch["applyTo"].as_str().unwrap() {
            "LISTENER" => "listeners",
            "CLUSTER" => "clusters",
            other => panic!("{other}"),
        };
        let value = &patch["patch"]["value"];
        let name = value["name"].as_str().unwrap();
        assert_eq!(value, named(&printed[0], kind, name));
    }
    let given = of_kind("istio.yaml", "WasmPlugin")["spec"]["pluginConfig"].clone();
    assert_eq!(
        plugin(&generated(&given, &[])),
        given,
        "nothing had to be filled in"
    );
    let deployment = of_kind("istio.yaml", "Deployment");
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    for name in ["userVolume", "userVolumeMount"] {
        let text = annotations[format!("sidecar.istio.io/{name}")]
            .as_str()
            .unwrap();
        let list: Value = serde_json::from_str(text).unwrap();
        assert_eq!(list[0]["name"], "azure-identity-token");
    }
}

#[test]
fn envoy_gateway_has_what_the_command_prints() {
    let printed = documents(&edgepass(&[
        "envoy-config",
        "--from",
        "edgepass.json",
        "--socket-dir",
        "/var/run/edgepass",
        "--no-watch-modify",
    ]));
    let policy = of_kind("envoy-gateway.yaml", "EnvoyPatchPolicy");
    let patches = policy["spec"]["jsonPatches"].as_array().unwrap();
    assert_eq!(patches.len(), 3);
    for patch in patches {
        let kind = if patch["type"].as_str().unwrap().ends_with("Listener") {
            "listeners"
        } else {
            "clusters"
        };
        let value = &patch["operation"]["value"];
        assert_eq!(value["name"], patch["name"]);
        assert_eq!(
            value,
            named(&printed[0], kind, value["name"].as_str().unwrap())
        );
    }
    let policy = of_kind("envoy-gateway.yaml", "EnvoyExtensionPolicy");
    let given = policy["spec"]["wasm"][0]["config"].clone();
    assert_eq!(
        plugin(&generated(&given, &[])),
        given,
        "nothing had to be filled in"
    );
}

#[test]
fn whatever_the_texts_are_they_stay_texts() {
    let hostile = [
        "plain",
        "no",
        "~",
        "1e3",
        "a: b",
        "- a",
        "# a",
        "\"quoted\" and 'quoted'",
        "back\\slash \\n \\u0041",
        "{{ .Values }} ${HOME} %REQ(x)%",
        "&a *a !a |- >- @`",
        "emoji 😀 \u{2028}\u{2029}\u{85}\u{a0}\u{feff}",
        "\u{7f}ü",
    ];
    for text in hostile {
        let config = json!({
            "identities": {"app": {
                "tenant_id": "11111111-2222-3333-4444-555555555555",
                "client_id": "c",
                "scopes": ["https://graph.microsoft.com/.default"],
                "credential": {"federated_token_file": {"path": "/token"}},
            }},
            "envoy": {
                "token_clusters": {"login.microsoftonline.com": if text.contains('\u{7f}') || text.contains('\u{85}') { "c" } else { text }},
                "files": {"cluster": "files"},
                "rules": [{"match": {"route_metadata": {"filter": text, "key": text, "value": text}}}],
            },
        });
        let options = [
            format!("--wasm={text}"),
            format!("--ca-file={text}"),
            format!("--vm-id={text}"),
            format!("--socket-dir=/{text}"),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        for mode in [&[][..], &["--file-server"]] {
            let printed = generated(&config, &[&options, mode].concat());
            assert_eq!(plugin(&printed), config, "{text:?}");
            let cluster = config["envoy"]["token_clusters"]["login.microsoftonline.com"].clone();
            let cluster = named(&printed, "clusters", cluster.as_str().unwrap());
            let trusted = "/transport_socket/typed_config/common_tls_context/validation_context";
            assert_eq!(
                cluster.pointer(trusted).unwrap()["trusted_ca"]["filename"],
                text
            );
            let files = named(&printed, "listeners", "files");
            assert_eq!(
                files["address"]["pipe"]["path"],
                format!("/{text}/files.sock")
            );
        }
    }
}
