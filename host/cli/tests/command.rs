//! The command, as a user runs it.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up may stop it; the lints spare only the test functions themselves"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, Output, Stdio};

use edgepass_emulator::Fault;
use serde_json::{Value, json};

use crate::support::{GRAPH, Lab};

/// Runs `edgepass` in the emulator's environment and no other.
fn edgepass(lab: &Lab, arguments: &[&str]) -> Output {
    command(lab, arguments).output().unwrap()
}

fn command(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgepass"));
    let environment: BTreeMap<_, OsString> = lab
        .emulator
        .env()
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn json_has_the_documented_fields() {
    let lab = Lab::new();
    let output = edgepass(&lab, &["token", "--scope", GRAPH]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fields: Vec<_> = printed
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "access_token",
            "expires_on",
            "identity",
            "refresh_on",
            "scope",
            "token_type"
        ]
    );
    assert_eq!(
        (&printed["scope"], &printed["token_type"]),
        (&json!(GRAPH), &json!("Bearer"))
    );
    assert!(printed["refresh_on"].as_u64().unwrap() < printed["expires_on"].as_u64().unwrap());
}

#[test]
fn header_and_token_are_ready_for_use() {
    let lab = Lab::new();
    let header = edgepass(&lab, &["token", "--scope", GRAPH, "--format", "header"]);
    let token = edgepass(&lab, &["token", "--scope", GRAPH, "--format", "token"]);
    let (header, token) = (text(&header.stdout), text(&token.stdout));
    assert!(header.starts_with("Authorization: Bearer ey") && header.ends_with('\n'));
    assert!(token.starts_with("ey") && token.trim().split('.').count() == 3);
}

#[test]
fn a_refusal_is_explained_and_ends_with_1() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::aadsts(700_016).on("/token").forever());
    let output = edgepass(&lab, &["token", "--scope", GRAPH, "--format", "token"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(said.starts_with("edgepass: error: "), "{said}");
    for part in [
        "\n  class: ",
        "\n  oauth error: ",
        "\n  codes: AADSTS700016",
        "\n  correlation id: ",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn with_json_the_error_is_json_too() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::aadsts(7_000_215).on("/token").forever());
    let output = edgepass(&lab, &["token", "--scope", GRAPH]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(said["error"]["aadsts"], json!([7_000_215]));
    assert_eq!(said["error"]["class"], "credential-rejected");
    assert!(said["error"]["correlation_id"].is_string());
}

#[test]
fn usage_and_configuration_end_with_2() {
    let lab = Lab::new();
    let broken = lab.write("broken.json", "{ \"identitys\": {} }");
    let broken = broken.to_str().unwrap();
    for (arguments, says) in [
        (vec!["token", "--scoop", GRAPH], "--scoop"),
        (vec!["token", "--scope", GRAPH, "--format", "xml"], "xml"),
        (
            vec!["token", "--scope", GRAPH, "--config", "/nowhere.json"],
            "/nowhere.json",
        ),
        (
            vec!["token", "--scope", GRAPH, "--config", broken],
            "identitys",
        ),
        (
            vec!["token", "--scope", GRAPH, "--ca-file", "/nowhere.pem"],
            "/nowhere.pem",
        ),
        (
            vec!["token", "--scope", GRAPH, "--identity", "nobody"],
            "nobody",
        ),
        (
            vec![
                "token",
                "--scope",
                "https://a/.default",
                "https://b/.default",
            ],
            "one resource",
        ),
        (
            vec!["token", "--scope", GRAPH, "--tenant", "../x"],
            "tenant",
        ),
        (vec!["config", "check", "--config", broken], "identitys"),
        (vec!["completions", "tcsh"], "tcsh"),
        (vec![], "Usage"),
    ] {
        let output = edgepass(&lab, &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{says:?} for {arguments:?} in {said}");
        assert!(output.stdout.is_empty());
    }
    assert!(lab.emulator.token_requests().is_empty());
}

#[test]
fn without_any_configuration_it_says_what_is_missing() {
    let lab = Lab::new();
    let output = command(&lab, &["token", "--scope", GRAPH, "--format", "token"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("AZURE_CLIENT_ID") && said.contains("--config"),
        "{said}"
    );
}

#[test]
fn the_configuration_is_checked_and_described() {
    let lab = Lab::new();
    let config =
        lab.config(&json!({ "federated_token_file": { "path": lab.root().join("later") } }));
    let path = lab.write("config.json", config.to_string());
    let output = edgepass(
        &lab,
        &["config", "check", "--config", path.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for part in [
        "use app",
        lab.emulator.client_id(),
        "federated token file",
        "warning: ",
        "/later",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let by_variable = command(&lab, &["config", "check"])
        .env("EDGEPASS_CONFIG", &path)
        .output()
        .unwrap();
    assert_eq!(text(&by_variable.stdout), said);
}

#[test]
fn schema_version_and_completions_are_printed() {
    let lab = Lab::new();
    let schema: Value =
        serde_json::from_slice(&edgepass(&lab, &["config", "schema"]).stdout).unwrap();
    assert!(schema["properties"]["identities"].is_object());
    let version = edgepass(&lab, &["--version"]);
    assert_eq!(
        text(&version.stdout).trim(),
        concat!("edgepass ", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = edgepass(&lab, &["completions", shell]);
        assert!(text(&script.stdout).contains("force-refresh"), "{shell}");
    }
}

#[test]
fn logs_tell_the_requests_and_no_secret() {
    let lab = Lab::new();
    let output = edgepass(
        &lab,
        &["-vv", "token", "--scope", GRAPH, "--format", "token"],
    );
    let (said, token) = (text(&output.stderr), text(&output.stdout).trim());
    assert!(
        said.contains("POST https://") && said.contains("200"),
        "{said}"
    );
    let assertion = std::fs::read_to_string(lab.files.token_file()).unwrap();
    assert!(!said.contains(token) && !said.contains(assertion.trim()));
}

#[test]
fn what_is_no_component_is_refused() {
    let lab = Lab::new();
    let text_file = lab.write("text.wasm", "not wasm");
    let cases = if cfg!(feature = "compiler") {
        [
            ("/nowhere.wasm", "/nowhere.wasm"),
            (text_file.to_str().unwrap(), "component"),
        ]
    } else {
        [
            ("/nowhere.wasm", "no compiler"),
            (text_file.to_str().unwrap(), "no compiler"),
        ]
    };
    for (component, says) in cases {
        let output = edgepass(&lab, &["token", "--scope", GRAPH, "--component", component]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(says), "{says:?} in {said}");
        assert!(output.stdout.is_empty());
    }
    assert!(lab.emulator.token_requests().is_empty());
}

/// Run as `cargo xtask test` runs it, the command has the compiler; the one that users get has not.
#[cfg(feature = "compiler")]
#[test]
fn another_component_is_compiled_and_run() {
    let lab = Lab::new();
    let component = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../dist/credential-provider.wasm"
    );
    let output = edgepass(&lab, &["token", "--scope", GRAPH, "--component", component]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let lab = Lab::new();
    let mut child = command(&lab, &["token", "--scope", GRAPH])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(1));
}

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

    let long = format!("/{}", "a".repeat(100));
    let cases: [(&[&str], &str); 6] = [
        (
            &["--from", "/nonexistent"],
            "the configuration /nonexistent cannot be read",
        ),
        (&[], "--from"),
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
    ];
    for (arguments, expected) in cases {
        let output = edgepass(&lab, &[&["envoy-config"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn of_an_option_that_is_given_twice_the_last_one_counts() {
    let lab = Lab::new();
    let run = |arguments: &[&str]| {
        let output = edgepass(&lab, arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let twice = [
        "token", "--scope", GRAPH, "--format", "json", "--format", "header",
    ];
    assert!(run(&twice).starts_with("Authorization: Bearer "));
    let config = lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    let path = lab.write("config.json", config.to_string());
    let path = path.to_str().unwrap();
    let ca = lab.files.ca_file();
    let ca = ca.to_str().unwrap();
    run(&[
        "token",
        "--scope",
        GRAPH,
        "--config",
        "/nowhere",
        "--config",
        path,
        "--identity",
        "nobody",
        "--identity",
        "app",
        "--tenant",
        "../x",
        "--tenant",
        lab.emulator.tenant(),
        "--ca-file",
        "/nowhere",
        "--ca-file",
        ca,
        "--force-refresh",
        "--force-refresh",
    ]);
    run(&["config", "check", "--config", "/nowhere", "--config", path]);
    // scopes are added up, and the verbosity counts
    let two = edgepass(
        &lab,
        &[
            "token",
            "--scope",
            GRAPH,
            "--scope",
            "https://b.example/.default",
        ],
    );
    assert!(
        text(&two.stderr).contains("one resource"),
        "{}",
        text(&two.stderr)
    );
    let loud = edgepass(&lab, &["-v", "-v", "token", "--scope", GRAPH]);
    assert!(
        text(&loud.stderr).contains("POST https://"),
        "{}",
        text(&loud.stderr)
    );
}

/// A pipe in the file system.
#[cfg(unix)]
fn pipe(lab: &Lab, name: &str) -> std::path::PathBuf {
    let path = lab.root().join(name);
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    path
}

#[cfg(unix)]
#[test]
fn a_configuration_may_come_through_a_pipe_and_ends_in_any_case() {
    let lab = Lab::new();
    let config = lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    let fifo = pipe(&lab, "written");
    let arguments = ["config", "check", "--config", fifo.to_str().unwrap()];
    let child = command(&lab, &arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // whenever it comes: opening the pipe waits for the reader
    std::fs::write(&fifo, config.to_string()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("identity app"));

    let substituted = lab.write("config.json", config.to_string());
    let script = format!(
        "{} config check --config <(cat {})",
        env!("CARGO_BIN_EXE_edgepass"),
        substituted.display()
    );
    let bash = Command::new("bash").args(["-c", &script]).output();
    let output = bash.expect("bash runs: process substitution is its own");
    assert!(text(&output.stdout).contains("identity app"), "{output:?}");

    let nobody = pipe(&lab, "nobody");
    let arguments = [
        "token",
        "--scope",
        GRAPH,
        "--config",
        nobody.to_str().unwrap(),
    ];
    let output = edgepass(&lab, &arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("/nobody cannot be read: it is a pipe"),
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn certification_authorities_that_cannot_be_read_are_named_by_their_variable() {
    let lab = Lab::new();
    let fifo = pipe(&lab, "ca.fifo");
    let folder = lab.root().to_path_buf();
    for (variable, value, says) in [
        ("SSL_CERT_FILE", fifo.as_os_str(), "not a regular file"),
        ("SSL_CERT_FILE", folder.as_os_str(), "not a regular file"),
        ("SSL_CERT_FILE", "/dev/zero".as_ref(), "not a regular file"),
        ("SSL_CERT_FILE", "/nowhere".as_ref(), "no such file"),
        ("SSL_CERT_DIR", "/nowhere".as_ref(), "no such file"),
    ] {
        let output = command(&lab, &["token", "--scope", GRAPH])
            .env_remove("SSL_CERT_FILE")
            .env(variable, value)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(variable) && said.contains(says), "{said}");
    }
    assert!(lab.emulator.token_requests().is_empty());
}

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
            .env("AZURE_REGIONAL_AUTHORITY_NAME", "westeurope")
            .env("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true")
            .output()
            .unwrap()
    };
    let names = [
        "AZURE_REGIONAL_AUTHORITY_NAME",
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
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        said["error"]["setting"], "AZURE_FEDERATED_TOKEN_FILE",
        "{said}"
    );
    assert!(
        said["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("AZURE_USERNAME, AZURE_PASSWORD are not used"),
        "{said}"
    );
    assert!(!text(&output.stderr).contains("hunter2"));
}

#[test]
fn files_are_taken_as_people_make_them() {
    let lab = Lab::new();
    let marked = |name: &str, content: &str| {
        lab.write(name, format!("\u{feff}{}", content.replace('\n', "\r\n")))
    };
    let token = std::fs::read_to_string(lab.files.token_file()).unwrap();
    let token = marked("token", &format!("{token}\n"));
    let secret = marked("secret", &format!("{}\n", lab.emulator.client_secret()));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let ca = marked("ca.pem", &format!("{broken}{}", lab.emulator.ca_pem()));
    for credential in [
        json!({ "federated_token_file": { "path": token } }),
        json!({ "client_assertion": { "file": token } }),
        json!({ "client_secret": { "file": secret } }),
    ] {
        let config = serde_json::to_string_pretty(&lab.config(&credential)).unwrap();
        let config = marked("config.json", &config);
        let output = edgepass(
            &lab,
            &[
                "token",
                "--scope",
                GRAPH,
                "--format",
                "token",
                "--config",
                config.to_str().unwrap(),
                "--ca-file",
                ca.to_str().unwrap(),
            ],
        );
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{credential}: {said}");
        assert!(
            said.contains("warning: the CA file") && said.contains("1 certificate in it"),
            "{said}"
        );
    }
    let config = lab
        .config(&json!({ "client_secret": { "value": "hunter2" } }))
        .to_string();
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(config.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let utf16 = lab.write("utf16.json", utf16);
    let output = edgepass(
        &lab,
        &["config", "check", "--config", utf16.to_str().unwrap()],
    );
    assert!(
        text(&output.stderr).contains("is UTF-16"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn what_is_no_path_is_not_repeated() {
    let lab = Lab::new();
    let document = lab.config(&json!({ "client_secret": { "value": "hunter2" } }));
    for value in [
        document.to_string(),
        serde_json::to_string_pretty(&document).unwrap(),
        format!("\u{feff}{document}"),
        format!("'{document}'"),
        "eyJhbGciOiJub25lIn0.hunter2".to_owned(),
        "hunter2".repeat(1000),
        "\"/etc/edgepass/hunter2.json\"".to_owned(),
    ] {
        let by_variable = command(&lab, &["config", "check"])
            .env("EDGEPASS_CONFIG", &value)
            .output()
            .unwrap();
        let by_option = edgepass(&lab, &["config", "check", "--config", &value]);
        for (output, setting) in [(by_variable, "EDGEPASS_CONFIG"), (by_option, "--config")] {
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(&format!("error: {setting}: ")), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn what_may_be_a_secret_in_the_place_of_a_path_is_not_repeated() {
    let lab = Lab::new();
    let document =
        json!({"identities": {"app": {"credential": {"client_secret": {"value": "hunter2"}}}}});
    for given in [
        document.to_string(),
        format!("\n{document}"),
        "Sup3r+hunter2/Value==".to_owned(),
        "eyJhbGciOiJSUzI1NiJ9.hunter2.c2ln".to_owned(),
        "/eyJhbGciOiJSUzI1NiJ9.hunter2.c2ln".to_owned(),
    ] {
        let mut by_variable = command(&lab, &["token", "--scope", GRAPH]);
        by_variable.env("EDGEPASS_CONFIG", &given);
        for (output, setting) in [
            (by_variable.output().unwrap(), "EDGEPASS_CONFIG"),
            (
                edgepass(&lab, &["config", "check", "--config", &given]),
                "--config",
            ),
            (
                edgepass(&lab, &["envoy-config", "--from", &given]),
                "--from",
            ),
        ] {
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
            assert!(
                said.contains(setting) && !said.contains("hunter2"),
                "{said}"
            );
        }
    }
    let missing = edgepass(
        &lab,
        &["config", "check", "--config", "/nowhere/config.json"],
    );
    assert!(text(&missing.stderr).contains("/nowhere/config.json"));
    let stray = edgepass(&lab, &["token", "Sup3r+hunter2/Value=="]);
    assert!(
        !text(&stray.stderr).contains("hunter2"),
        "{}",
        text(&stray.stderr)
    );
}

#[test]
fn a_server_that_gives_everything_back_shows_nothing() {
    const SECRET: &str = "Sup3r+Secret/\"V\u{e9}\"<&>=";
    let lab = Lab::new();
    let form = "Sup3r%2BSecret%2F%22V%C3%A9%22%3C%26%3E%3D";
    let html = "Sup3r+Secret/&quot;V&eacute;&quot;&lt;&amp;&gt;=";
    let base64 = "U3VwM3IrU2VjcmV0LyJWw6kiPCY+PQ";
    let echo = format!("'{SECRET}' {form} {html} {base64}== \u{202e}\u{9b}2J\r\nedgepass: note");
    let claims = json!({ echo.as_str(): [echo] }).to_string();
    let body = json!({
        "error": echo, "error_description": echo, "correlation_id": echo, "trace_id": echo,
        "claims": claims.replace('{', "{\r\n"),
    });
    lab.emulator.faults().push(
        Fault::status(400)
            .body(&body.to_string())
            .content_type("application/json")
            .on("/token")
            .forever(),
    );
    for method in ["client_secret_post", "client_secret_basic"] {
        let config = lab.config(&json!({"client_secret": {"value": SECRET, "method": method}}));
        let path = lab.write("config.json", config.to_string());
        for format in ["json", "token"] {
            let output = edgepass(
                &lab,
                &[
                    "token",
                    "--scope",
                    GRAPH,
                    "--format",
                    format,
                    "--config",
                    path.to_str().unwrap(),
                    "--ca-file",
                    lab.files.ca_file().to_str().unwrap(),
                    "-vv",
                ],
            );
            assert_eq!(output.status.code(), Some(1));
            let said = text(&output.stderr);
            assert!(said.contains("[redacted]"), "{said}");
            for spelling in [
                SECRET,
                form,
                html,
                base64,
                "Sup3r",
                "\u{202e}",
                "\u{9b}",
                "\r",
                "\nedgepass: note",
            ] {
                assert!(
                    !said.contains(spelling),
                    "{method} {format}: {spelling:?} in {said}"
                );
            }
        }
    }
}
