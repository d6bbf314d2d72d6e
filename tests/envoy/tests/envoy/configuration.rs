//! A configuration that is wrong is refused before anything runs, in words that name the setting.

use edgepass_envoy_tests::{Lab, Setup, filter_path, validate};
use serde_json::{Value, json};

fn said(setup: &Setup) -> (bool, String) {
    let wasm = filter_path().unwrap();
    validate(|dir| setup.write(dir, &wasm)).unwrap()
}

#[test]
fn each_mistake_is_named() {
    let lab = Lab::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), 1);
    let (good, text) = said(&setup);
    assert!(good, "{text}");

    let edited = |pointer: &str, value: Value| {
        let mut plugin = lab.plugin(json!({}));
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        plugin.pointer_mut(parent).unwrap()[field] = value;
        plugin.to_string()
    };
    let app = "identities.app";
    let cases = [
        (String::new(), "configuration: ".to_owned()),
        ("{".to_owned(), "configuration: not JSON".to_owned()),
        (
            edited("/envoy/token_cluster", json!({})),
            "envoy.token_cluster: unknown field `token_cluster`".to_owned(),
        ),
        (
            edited("/envoy", Value::Null),
            "envoy: there is no such section".to_owned(),
        ),
        (
            edited("/envoy/token_clusters", json!({})),
            format!("envoy.token_clusters: names no cluster for {}", lab.host()),
        ),
        (
            edited("/envoy/files", Value::Null),
            "envoy.files: is missing, but identity `app` reads a file".to_owned(),
        ),
        (
            edited("/envoy/request_deadline_ms", json!(0)),
            "envoy.request_deadline_ms: is not between 1 and 60000".to_owned(),
        ),
        (
            edited("/envoy/inbound_authorization", json!("drop")),
            "envoy.inbound_authorization: is neither".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"identity": "web"}])),
            "envoy.rules[0].identity: names no identity".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"header": "content-length"}])),
            "envoy.rules[0].header: content-length has a meaning".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"format": "Bearer"}])),
            "envoy.rules[0].format: is not".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"match": {"path_prefix": "api"}}])),
            "envoy.rules[0].match.path_prefix: does not begin".to_owned(),
        ),
        (
            edited("/identities/app/scopes", json!([])),
            "envoy.rules[0].scopes: there are none".to_owned(),
        ),
        (
            edited(
                "/identities/app/credential",
                json!({"client_secret": {"value": "hunter2"}}),
            ),
            format!("{app}.credential.client_secret.value: stands in the plugin's configuration"),
        ),
        (
            edited(
                "/identities/app/credential",
                json!({"certificate": {"name": "k"}}),
            ),
            format!("{app}.credential.certificate: needs a signature"),
        ),
    ];
    for (plugin, expected) in cases {
        let (good, text) = said(&Setup {
            plugin: plugin.clone(),
            ..setup.clone()
        });
        assert!(!good, "taken: {plugin}");
        assert!(
            text.contains(&format!("edgepass: {expected}")),
            "{expected}\n{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn sharing_needs_a_vm_of_its_own() {
    let lab = Lab::start().unwrap();
    let mut setup = lab.setup(&lab.plugin(json!({})), 1);
    setup.vm_id = String::new();
    let (good, text) = said(&setup);
    assert!(
        !good && text.contains("edgepass: vm_config.vm_id: is empty"),
        "{text}"
    );
}
