//! The examples of `docs/examples/envoy` against the schemas of their kinds, and against what `edgepass envoy-config`
//! prints; and that YAML read back by a parser of its own.
//!
//! The command is the one that `EDGEPASS_BIN` names, otherwise `dist/edgepass`.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    let (good, printed, said) = outcome(arguments);
    assert!(good, "{arguments:?}: {said}");
    printed
}

/// Whether it went well, and what it printed on standard output and standard error.
fn outcome(arguments: &[&str]) -> (bool, String, String) {
    let program = std::env::var_os("EDGEPASS_BIN")
        .map_or_else(|| root().join("dist/edgepass"), PathBuf::from);
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root().join("docs/examples/envoy"))
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Runs the command for a configuration.
fn run(config: &Value, more: &[&str]) -> (bool, String, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("edgepass-manifests-{}-{number}.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, config.to_string()).unwrap();
    let arguments = [&["envoy-config", "--from", path.to_str().unwrap()], more].concat();
    let outcome = outcome(&arguments);
    fs::remove_file(path).unwrap();
    outcome
}

/// What it prints for a configuration.
fn generated(config: &Value, more: &[&str]) -> Value {
    let (good, text, said) = run(config, more);
    assert!(good, "{said}");
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

/// The examples, and what prints them.
const EXAMPLES: [(&str, &[&str]); 3] = [
    (
        "kubernetes.yaml",
        &["--from", "two-apis.json", "--format", "kubernetes"],
    ),
    (
        "istio.yaml",
        &["--from", "two-hosts.json", "--format", "istio"],
    ),
    (
        "envoy-gateway.yaml",
        &["--from", "two-apis.json", "--format", "gateway"],
    ),
];

/// What the schema of its kind has against a document.
fn errors(document: &Value) -> Vec<String> {
    let kind = document["kind"].as_str().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(format!("{kind}.json"));
    let schema = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut wrong = document.clone();
    wrong["spek"] = json!({});
    assert!(!validator.is_valid(&wrong), "{kind} takes anything");
    validator
        .iter_errors(document)
        .map(|error| format!("{kind}: {}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn every_document_fits_the_schema_of_its_kind() {
    let mut kinds = BTreeSet::new();
    for (name, _) in EXAMPLES {
        for document in documents(&example(name)) {
            assert_eq!(errors(&document), [""; 0], "{name}");
            kinds.insert(document["kind"].as_str().unwrap().to_owned());
        }
    }
    let expected = [
        "Backend",
        "BackendTLSPolicy",
        "ConfigMap",
        "Deployment",
        "DestinationRule",
        "EnvoyExtensionPolicy",
        "EnvoyFilter",
        "EnvoyPatchPolicy",
        "EnvoyProxy",
        "Gateway",
        "HTTPRoute",
        "Service",
        "ServiceAccount",
        "ServiceEntry",
        "WasmPlugin",
    ];
    assert_eq!(Vec::from_iter(kinds), expected);
}

#[test]
fn the_examples_are_what_the_command_prints() {
    for (name, arguments) in EXAMPLES {
        let namespace = ["--namespace", "edgepass-example"];
        let printed = edgepass(&[&["envoy-config"], arguments, &namespace].concat());
        assert!(
            printed == example(name),
            "{name} is not what `edgepass envoy-config {}` prints:\n{printed}",
            [arguments, &namespace].concat().join(" ")
        );
    }
}

/// The filter takes what stands in the manifests, and everything that it needs is there.
#[test]
fn plugins_in_manifests_are_complete() {
    let plugins = |name: &str, kind: &str, pointer: &str| -> Vec<Value> {
        let found = documents(&example(name));
        let found = found.iter().filter(|document| document["kind"] == kind);
        found
            .map(|document| document.pointer(pointer).unwrap().clone())
            .collect()
    };
    let istio = plugins("istio.yaml", "WasmPlugin", "/spec/pluginConfig");
    let gateway = plugins(
        "envoy-gateway.yaml",
        "EnvoyExtensionPolicy",
        "/spec/wasm/0/config",
    );
    assert_eq!((istio.len(), gateway.len()), (1, 2));
    for given in istio.iter().chain(&gateway) {
        assert_eq!(
            plugin(&generated(given, &[])),
            *given,
            "nothing had to be filled in"
        );
    }
    let scopes = |plugin: &Value| -> Vec<Value> {
        let rules = plugin["envoy"]["rules"].as_array().unwrap();
        rules.iter().map(|rule| rule["scopes"][0].clone()).collect()
    };
    let both = [
        "https://graph.microsoft.com/.default",
        "https://vault.azure.net/.default",
    ];
    assert_eq!(scopes(&istio[0]), both);
    assert_eq!([scopes(&gateway[0]), scopes(&gateway[1])].concat(), both);
    // in a mesh a rule is for the cluster that Istio makes of the ServiceEntry
    let entries: Vec<String> = documents(&example("istio.yaml"))
        .iter()
        .filter(|document| document["kind"] == "ServiceEntry")
        .map(|entry| {
            let (port, host) = (&entry["spec"]["ports"][0], &entry["spec"]["hosts"][0]);
            format!("outbound|{}||{}", port["number"], host.as_str().unwrap())
        })
        .collect();
    let rules = istio[0]["envoy"]["rules"].as_array().unwrap();
    let clusters: Vec<&Value> = rules.iter().map(|rule| &rule["match"]["cluster"]).collect();
    assert_eq!(clusters, entries.iter().collect::<Vec<_>>());
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

/// Istio merges no two entries for a host, and TLS is for the port that has it.
#[test]
fn a_host_with_two_ports_is_one_entry() {
    let mut config: Value = serde_json::from_str(&example("two-hosts.json")).unwrap();
    config["envoy"]["upstreams"] = json!([
        {"url": "https://api.example", "scopes": ["https://a.example/.default"]},
        {"url": "http://api.example:8080", "host": "api.example", "scopes": ["https://b.example/.default"]},
    ]);
    let (good, text, said) = run(&config, &["--format", "istio"]);
    assert!(good, "{said}");
    let all = documents(&text);
    let of = |kind: &str| -> Vec<&Value> { all.iter().filter(|d| d["kind"] == kind).collect() };
    let (entries, rules) = (of("ServiceEntry"), of("DestinationRule"));
    assert_eq!((entries.len(), rules.len()), (1, 1), "{text}");
    assert_eq!(
        entries[0]["spec"]["ports"],
        json!([
            {"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443},
            {"number": 8080, "name": "http-8080", "protocol": "HTTP"},
        ])
    );
    let policy = &rules[0]["spec"]["trafficPolicy"];
    assert!(policy["tls"].is_null(), "{policy}");
    let settings = policy["portLevelSettings"].as_array().unwrap();
    assert_eq!(settings.len(), 1);
    assert_eq!(settings[0]["port"]["number"], 80);
    assert_eq!(settings[0]["tls"]["sni"], "api.example");
}

/// Each refusal names what it is about, and prints nothing.
#[test]
fn what_manifests_cannot_say_is_refused() {
    let good = |name: &str| -> Value { serde_json::from_str(&example(name)).unwrap() };
    let (paths, hosts) = (good("two-apis.json"), good("two-hosts.json"));
    let with = |config: &Value, pointer: &str, value: Value| {
        let mut config = config.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        config
    };
    let credential = "/identities/app/credential";
    let secret = json!({"client_secret": {"file": "/secret"}});
    let mut bound = with(
        &paths,
        credential,
        json!({"bound_certificate": {"name": "c", "mode": "certificate-only"}}),
    );
    bound["certificates"] =
        json!({"c": {"certificate_file": "/c.pem", "private_key_file": "/k.pem"}});
    let url = "/envoy/upstreams/0/url";
    for (config, arguments, setting) in [
        (
            &paths,
            &["--format", "istio"][..],
            "envoy.upstreams[0]: has a path",
        ),
        (
            &paths,
            &["--format", "kubernetes", "--app", "App"],
            "--app: ",
        ),
        (
            &{
                let mut config = paths.clone();
                config["envoy"]["rules"] = json!([{"match": {"cluster": "mine"}, "scopes": ["https://a.example/.default"]}]);
                config
            },
            &["--format", "gateway"],
            "envoy.rules[0].match.cluster: names a cluster",
        ),
        // what YAML would read as another kind of value
        (
            &paths,
            &["--format", "kubernetes", "--app", "123"],
            "--app: ",
        ),
        (
            &hosts,
            &["--format", "istio", "--namespace", "null"],
            "--namespace: ",
        ),
        (&hosts, &["--format", "istio", "--image", "a:"], "--image: "),
        (
            &paths,
            &["--format", "kubernetes", "--socket-dir", "/run\n- name: x"],
            "--socket-dir: ",
        ),
        (
            &paths,
            &["--format", "gateway", "--namespace", "a b"],
            "--namespace: ",
        ),
        (
            &hosts,
            &["--format", "istio", "--image", "oci://a b"],
            "--image: ",
        ),
        (
            &paths,
            &[
                "--format",
                "kubernetes",
                "--wasm",
                "/etc/envoy/edgepass-envoy.wasm/x",
            ],
            "--wasm: ",
        ),
        (
            &hosts,
            &["--format", "istio", "--upstream-filter"],
            "--upstream-filter: ",
        ),
        (
            &paths,
            &["--format", "gateway", "--only", "filter"],
            "--only",
        ),
        (
            &with(&paths, credential, secret),
            &["--format", "gateway"],
            "identities.app.credential.client_secret",
        ),
        (&bound, &["--format", "kubernetes"], "certificates.c"),
        (
            &with(&paths, url, json!("https://10.0.0.1/")),
            &["--format", "gateway"],
            "10.0.0.1",
        ),
        (
            &with(&hosts, url, json!("https://other.example")),
            &["--format", "istio"],
            "envoy.upstreams[0]: has a path or another host",
        ),
    ] {
        let (good, stdout, said) = run(config, arguments);
        assert!(!good && stdout.is_empty(), "{arguments:?}: {stdout}");
        assert!(said.contains(setting), "{arguments:?}: {said}");
    }
}

/// Helm's own linter and templates, out of the package that `EDGEPASS_HELM` is the folder of.
fn helm(values: &Value) -> Value {
    let packages = std::env::var_os("EDGEPASS_HELM")
        .map_or_else(|| root().join("target/peers/helm"), PathBuf::from);
    assert!(
        packages.exists(),
        "there is no {}: run `cargo xtask test --only envoy`, which installs it",
        packages.display()
    );
    let mut child = Command::new("python3")
        .arg(root().join("tests/manifests/helm.py"))
        .arg(root().join("charts/edgepass-envoy"))
        .env("PYTHONPATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(values.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_chart_is_clean_and_renders_what_kubernetes_takes() {
    let envoy = edgepass(&[
        "envoy-config",
        "--from",
        "two-apis.json",
        "--listen",
        "0.0.0.0:8080",
        "--wasm",
        "/opt/edgepass/edgepass-envoy.wasm",
    ]);
    let values = json!({
        "envoyYaml": envoy,
        "allowFrom": [
            {"podLabels": {"app": "app"}},
            {"namespaceLabels": {"kubernetes.io/metadata.name": "jobs"}, "podLabels": {"app": "report"}},
        ],
        "serviceAccount": {"annotations": {"azure.workload.identity/client-id": "x"}},
    });
    let answer = helm(&values);
    let lint = answer["lint"].as_array().unwrap();
    let serious: Vec<&Value> = lint.iter().filter(|line| line["severity"] != 1).collect();
    assert!(serious.is_empty(), "{serious:?}");
    let rendered = answer["rendered"]["edgepass-envoy/templates/envoy.yaml"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    let documents = documents(rendered);
    let kinds: Vec<&str> = documents
        .iter()
        .map(|document| document["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "ServiceAccount",
            "ConfigMap",
            "Service",
            "NetworkPolicy",
            "Deployment"
        ]
    );
    for document in &documents {
        assert_eq!(errors(document), [""; 0]);
    }
    assert_eq!(documents[1]["data"]["envoy.yaml"], envoy);
    let from = documents[3]["spec"]["ingress"][0]["from"]
        .as_array()
        .unwrap();
    assert_eq!(from.len(), 2);
    assert_eq!(from[0]["podSelector"]["matchLabels"]["app"], "app");

    // without an entry nobody may call it
    let mut closed = values.clone();
    closed["allowFrom"] = json!([]);
    let answer = helm(&closed);
    let rendered = answer["rendered"]["edgepass-envoy/templates/envoy.yaml"].as_str();
    let documents = self::documents(rendered.unwrap());
    assert_eq!(documents[3]["spec"]["ingress"], json!([]));
    assert_eq!(documents[3]["spec"]["policyTypes"], json!(["Ingress"]));

    for (pointer, value, words) in [
        ("envoyYaml", json!(""), "envoyYaml is empty"),
        (
            "envoyYaml",
            json!(envoy.replace("8080", "8081")),
            "--listen 0.0.0.0:8080",
        ),
        (
            "envoyYaml",
            json!(envoy.replace("/opt/edgepass", "/opt")),
            "--wasm /opt/edgepass/edgepass-envoy.wasm",
        ),
        (
            "envoyYaml",
            json!(envoy.replace("0.0.0.0", "127.0.0.1")),
            "--listen 0.0.0.0:8080",
        ),
        (
            "tokenFile",
            json!({"folder": "/var/run/secrets/azure/wi/token"}),
            "another token file than /var/run/secrets/azure/wi/token/azure-identity-token",
        ),
        ("port", json!(80), "/port"),
        ("prot", json!(8080), "prot"),
        (
            "image",
            json!({"envoy": "e", "filter": "oci://f/g"}),
            "/image/filter",
        ),
        ("tokenFile", json!({"folder": "relative"}), "/tokenFile"),
        ("allowFrom", json!([{}]), "/allowFrom/0"),
    ] {
        let mut wrong = values.clone();
        wrong[pointer] = value;
        let answer = helm(&wrong);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{pointer}: {error}");
    }
    let chart = fs::read_to_string(root().join("charts/edgepass-envoy/Chart.yaml")).unwrap();
    for field in ["version", "appVersion"] {
        let line = format!("\n{field}: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(chart.contains(&line), "{line}");
    }
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
