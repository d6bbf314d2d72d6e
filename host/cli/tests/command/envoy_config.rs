//! `edgepass envoy-config`.

use serde_json::json;

use super::{edgepass, text};
use crate::support::{GRAPH, Lab};

#[test]
fn envoy_config_says_what_is_wrong_and_prints_nothing() {
    let lab = Lab::new();
    let dir = std::env::temp_dir().join(format!("edgepass-envoy-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("edgepass.json");
    let from = path.to_str().unwrap();
    let config = json!({"identities": {"app": {
        "tenant_id": lab.emulator.tenant(),
        "client_id": "c",
        "scopes": [GRAPH],
        "credential": {"federated_token_file": {"path": "/token"}},
    }}});
    std::fs::write(&path, config.to_string()).unwrap();
    let good = edgepass(&lab, &["envoy-config", "--from", from]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("idp_login_microsoftonline_com"));

    // what it has printed fits, and what was changed since is named
    let printed = dir.join("envoy.yaml");
    let shown = printed.to_str().unwrap();
    std::fs::write(&printed, &good.stdout).unwrap();
    let fits = edgepass(&lab, &["envoy-config", "--from", from, "--check", shown]);
    assert_eq!(fits.status.code(), Some(0), "{}", text(&fits.stdout));
    assert_eq!(text(&fits.stdout), "it fits the configuration\n");
    let changed = text(&good.stdout).replace("vm_id: edgepass", "vm_id: other");
    std::fs::write(&printed, changed).unwrap();
    let differs = edgepass(&lab, &["envoy-config", "--from", from, "--check", shown]);
    assert_eq!(differs.status.code(), Some(2));
    assert!(text(&differs.stdout).contains("vm_id: is not what it should be: it is other"));
    assert!(text(&differs.stderr).contains("does not fit the configuration in 1 place"));

    let long = format!("/{}", "a".repeat(100));
    let cases: &[(&[&str], &str)] = &[
        (
            &["--from", "/nonexistent"],
            "the configuration /nonexistent cannot be read",
        ),
        (&[], "--config: is not given"),
        (
            &["--from", from, "--config", "/nonexistent"],
            "/nonexistent",
        ),
        (&["--from", from, "--upstream", "nowhere"], "it has no port"),
        (&["--from", from, "--listen", "localhost:80"], "--listen"),
        (
            &["--from", from, "--socket-dir", &long],
            "--socket-dir: makes the name",
        ),
        (
            &["--from", from, "--certificate", "c"],
            "--certificate: no identity",
        ),
        (
            &[
                "--from",
                from,
                "--upstream",
                "/a/=a:80",
                "--upstream",
                "/b/=b:80",
            ],
            "envoy.rules: there are several upstreams",
        ),
        (
            &["--from", from, "--upstream", "/a=http://a/"],
            "ends with /",
        ),
        (&["--from", from, "--check", "/nonexistent"], "/nonexistent"),
        (&["--from", from, "--indent", "4"], "--only"),
    ];
    for (arguments, expected) in cases {
        let output = edgepass(&lab, &[&["envoy-config"], *arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
