//! The examples for Spin and wasmCloud: what they let an application reach is what its configuration says, no more and no less.
//! There is no schema of their manifests to be had as a package; wasmCloud itself reads `.wash/config.yaml` in an end-to-end test.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A manifest, however it is written.
fn manifest(name: &str) -> Value {
    let text = example(name);
    match name.rsplit_once('.') {
        Some((_, "toml")) => toml::from_str(&text).unwrap(),
        Some((_, "yaml")) => serde_saphyr::from_str(&text).unwrap(),
        _ => serde_json::from_str(&text).unwrap(),
    }
}

/// A text of each entry of a list.
fn texts(list: &Value, pointer: &str) -> BTreeSet<String> {
    let list = list.as_array().expect("a list");
    let found = list.iter().map(|entry| {
        let text = entry.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("{entry} has no {pointer}"))
    });
    found.map(str::to_owned).collect()
}

/// What the configuration of both says: the hosts that are asked, and the folder of the token file.
fn configured() -> (BTreeSet<String>, String) {
    let document = manifest("spin/edgepass.json");
    let mut hosts = texts(&document["http"]["rules"], "/match/host");
    // the token endpoint of an identity of the public cloud, which names no other
    assert_eq!(document.pointer("/identities/app/authority_host"), None);
    hosts.insert("login.microsoftonline.com".to_owned());
    let file = document.pointer("/identities/app/credential/federated_token_file/path");
    let folder = Path::new(file.and_then(Value::as_str).unwrap()).parent();
    (hosts, folder.unwrap().display().to_string())
}

#[test]
fn spin_is_given_what_the_configuration_names() {
    let (hosts, folder) = configured();
    let spin = manifest("spin/spin.toml");
    let component = &spin["component"]["app"];
    let allowed = component["allowed_outbound_hosts"].as_array().unwrap();
    let allowed: BTreeSet<_> = allowed.iter().filter_map(Value::as_str).collect();
    let wanted: BTreeSet<_> = hosts.iter().map(|host| format!("https://{host}")).collect();
    assert_eq!(allowed, wanted.iter().map(String::as_str).collect());
    for side in ["/source", "/destination"] {
        let files = texts(&component["files"], side);
        assert_eq!(files, BTreeSet::from([folder.clone()]));
    }
    assert_eq!(spin["trigger"]["http"][0]["component"], "app");
}

#[test]
fn wasmcloud_is_given_what_the_configuration_names_wherever_it_runs() {
    let (hosts, folder) = configured();
    let on_kubernetes = manifest("wasmcloud/workload.yaml");
    let template = &on_kubernetes["spec"]["template"]["spec"];
    let resources = &template["components"][0]["localResources"];
    let here = manifest("wasmcloud/.wash/config.yaml");
    for allowed in [
        &resources["allowedHosts"],
        &here["workload"]["allowedHosts"],
    ] {
        assert_eq!(texts(allowed, ""), hosts);
    }
    let one = BTreeSet::from([folder]);
    for (volumes, pointer) in [
        (&resources["volumeMounts"], "/mountPath"),
        (&template["volumes"], "/hostPath/path"),
        (&here["dev"]["volumes"], "/host_path"),
        (&here["dev"]["volumes"], "/guest_path"),
    ] {
        assert_eq!(texts(volumes, pointer), one, "{pointer}");
    }
    // the same interface of the same package, and of Kubernetes a host name beside it
    for name in ["namespace", "package", "interfaces"] {
        assert_eq!(
            template["hostInterfaces"][0][name],
            here["dev"]["host_interfaces"][0][name]
        );
    }
}
