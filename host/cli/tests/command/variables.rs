//! Variables that are empty, no text, or not used.

use serde_json::{Value, json};

use super::{command, text};
use crate::support::{GRAPH, Lab};

#[test]
fn empty_variables_are_unset() {
    let lab = Lab::new();
    let folder = lab.root().join("authorities");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(lab.files.ca_file(), folder.join("ca.pem")).unwrap();
    for empty in ["", " "] {
        let output = command(&lab, &["token", "--scope", GRAPH])
            .env("SSL_CERT_FILE", empty)
            .env("SSL_CERT_DIR", &folder)
            .env("EDGEPASS_CONFIG", empty)
            .env("AZURE_CLIENT_SECRET", empty)
            .env("AZURE_CLIENT_CERTIFICATE_PATH", empty)
            .env("AZURE_USERNAME", empty)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let lab = Lab::new();
    for variable in ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"] {
        let output = command(&lab, &["token", "--scope", GRAPH])
            .env(variable, std::ffi::OsStr::from_bytes(b"a\xff"))
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(variable) && !said.contains("is not set"),
            "{said}"
        );
    }
}

#[test]
fn variables_that_are_not_used_are_named_and_the_token_comes() {
    let lab = Lab::new();
    let run = |arguments: &[&str]| {
        command(&lab, arguments)
            .env("AZURE_IDENTITY_DISABLE_CP1", "true")
            .env("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true")
            .output()
            .unwrap()
    };
    let names = [
        "AZURE_IDENTITY_DISABLE_CP1",
        "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
    ];
    let output = run(&["token", "--scope", GRAPH]);
    assert_eq!(output.status.code(), Some(0));
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    let lines = said["warnings"].as_array().unwrap();
    assert_eq!(lines.len(), names.len(), "{said}");
    for (line, name) in lines.iter().zip(names) {
        assert!(
            line.as_str()
                .unwrap()
                .starts_with(&format!("{name} is not used: ")),
            "{line}"
        );
    }
    let output = run(&["token", "--scope", GRAPH, "--format", "token"]);
    assert!(text(&output.stdout).starts_with("ey"));
    for name in names {
        let line = format!("edgepass: warning: {name} is not used: ");
        assert!(
            text(&output.stderr).contains(&line),
            "{}",
            text(&output.stderr)
        );
    }
    // once, whether in the log or not
    let output = run(&["-v", "token", "--scope", GRAPH, "--format", "token"]);
    assert_eq!(
        text(&output.stderr).matches(names[0]).count(),
        1,
        "{}",
        text(&output.stderr)
    );
    let output = run(&["config", "check"]);
    assert!(text(&output.stdout).contains(&format!("warning: {} is not used", names[0])));

    // a document that takes nothing from them is not concerned
    let config = lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    let path = lab.write("config.json", config.to_string());
    let output = run(&[
        "token",
        "--scope",
        GRAPH,
        "--config",
        path.to_str().unwrap(),
    ]);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn who_has_no_credential_is_told_of_the_variables_that_are_none() {
    let lab = Lab::new();
    let output = command(&lab, &["token", "--scope", GRAPH])
        .env_remove("AZURE_FEDERATED_TOKEN_FILE")
        .env("AZURE_USERNAME", "user")
        .env("AZURE_PASSWORD", "hunter2")
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    let hint = said["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("AZURE_FEDERATED_TOKEN_FILE"), "{said}");
    let warnings = said["warnings"].as_array().unwrap().iter();
    let warnings: Vec<_> = warnings.map(|line| line.as_str().unwrap()).collect();
    for expected in [
        "AZURE_USERNAME, AZURE_PASSWORD are not used: people's",
        "AZURE_TENANT_ID is not used: a managed identity has no use for it",
    ] {
        let is_there = warnings.iter().any(|line| line.starts_with(expected));
        assert!(is_there, "{expected}: {said}");
    }
    assert!(!text(&output.stderr).contains("hunter2"));
}
