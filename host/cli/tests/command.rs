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
        assert!(text(&script.stdout).contains("identity"), "{shell}");
        let other = edgepass(&lab, &["completion", shell]);
        assert_eq!(other.stdout, script.stdout, "{shell}");
    }
}

#[test]
fn the_reference_of_the_configuration_is_current() {
    let lab = Lab::new();
    let printed = edgepass(&lab, &["config", "reference"]).stdout;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page == text(&printed),
        "write it anew: edgepass config reference > docs/configuration.md"
    );
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
    // whoever closed it has what he wanted: `edgepass token | true` is no failure under `pipefail`
    assert_eq!(output.status.code(), Some(0));
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
                "--config",
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

/// Runs a line of a shell at a terminal of its own, which `script` of util-linux gives it, and tells what is shown there.
#[cfg(target_os = "linux")]
fn at_a_terminal(lab: &Lab, line: &str) -> (Option<i32>, String) {
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .env_clear()
        .envs(lab.emulator.env())
        .env("SHELL", "/bin/sh")
        .env("EDGEPASS", env!("CARGO_BIN_EXE_edgepass"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout).to_owned())
}

#[cfg(target_os = "linux")]
#[test]
fn people_at_a_terminal_get_text_and_programs_what_they_ask_for() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::aadsts(700_016).on("/token").forever());
    let coloured = "edgepass: \u{1b}[1;31merror\u{1b}[0m: ";
    for (options, begin) in [
        ("", coloured),
        ("--format token", coloured),
        ("--format json --error-format text", coloured),
        ("--format json", "{\"error\":"),
        ("-o json", "{\"error\":"),
        ("--error-format json", "{\"error\":"),
        ("-o token --error-format=json", "{\"error\":"),
    ] {
        let line = format!("$EDGEPASS token -s {GRAPH} {options} >/dev/null");
        let (code, shown) = at_a_terminal(&lab, &line);
        assert_eq!(code, Some(1), "{options}: {shown}");
        assert!(shown.starts_with(begin), "{options}: {shown:?}");
    }
    let (_, shown) = at_a_terminal(&lab, &format!("NO_COLOR=1 $EDGEPASS token -s {GRAPH}"));
    assert!(shown.starts_with("edgepass: error: "), "{shown:?}");
    let (code, shown) = at_a_terminal(&lab, "$EDGEPASS tokn");
    assert_eq!(code, Some(2));
    assert!(
        shown.starts_with(&format!("{coloured}unrecognized")),
        "{shown:?}"
    );

    // without a terminal it is the output that decides
    for (options, begin) in [
        (&[][..], "{\"error\":"),
        (&["--error-format", "text"], "edgepass: error: "),
        (&["-o", "header"], "edgepass: error: "),
        (
            &["--output=header", "--error-format", "json"],
            "{\"error\":",
        ),
    ] {
        let output = edgepass(&lab, &[&["token", "--scope", GRAPH], options].concat());
        let said = text(&output.stderr);
        assert!(said.starts_with(begin), "{options:?}: {said}");
    }
}

#[test]
fn every_message_says_what_it_is_about() {
    let lab = Lab::new();
    for arguments in [
        &["token", "-s", GRAPH][..],
        &["config", "check", "--error-format", "json"],
    ] {
        let output = command(&lab, arguments)
            .env_remove("AZURE_TENANT_ID")
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(
            said["error"]["message"], "AZURE_TENANT_ID: is not set",
            "{said}"
        );
        assert_eq!(said["error"]["setting"], "AZURE_TENANT_ID", "{said}");
        assert!(
            said["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("--config or EDGEPASS_CONFIG")
        );
    }
    let usage = edgepass(&lab, &["token", "--scoop", "x", "--error-format", "json"]);
    let said: Value = serde_json::from_slice(&usage.stderr).unwrap();
    assert_eq!(
        (usage.status.code(), &said["error"]["class"]),
        (Some(2), &json!("invalid-request"))
    );
    assert!(
        said["error"]["message"]
            .as_str()
            .unwrap()
            .contains("--scoop"),
        "{said}"
    );
}

#[test]
fn a_configuration_is_taken_from_where_people_have_it() {
    let lab = Lab::new();
    let config = lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    let path = lab.write("config.json", config.to_string());
    let path = path.to_str().unwrap();
    let expected = edgepass(&lab, &["config", "check", "--config", path]);
    assert!(text(&expected.stdout).contains("identity app"));
    let with = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = command(&lab, arguments);
        let file = std::fs::File::open(path).unwrap();
        command
            .envs(variables.iter().copied())
            .stdin(file)
            .output()
            .unwrap()
    };
    for (arguments, variables) in [
        (&["config", "check", path][..], &[][..]),
        (&["config", "check", "-c", path], &[]),
        (&["config", "check", "-"], &[]),
        (&["config", "check", "--config", "-"], &[]),
        (&["config", "check", "--from", path], &[]),
        (&["config", "check"], &[("EDGEPASS_CONFIG", path)]),
        (
            &["config", "check"],
            &[("EDGEPASS_CONFIG_JSON", &config.to_string())],
        ),
        (
            &["config", "check", path],
            &[
                ("EDGEPASS_CONFIG", "/nowhere"),
                ("EDGEPASS_CONFIG_JSON", "{"),
            ],
        ),
    ] {
        let output = with(arguments, variables);
        assert_eq!(text(&output.stderr), "", "{arguments:?} {variables:?}");
        assert_eq!(
            output.stdout, expected.stdout,
            "{arguments:?} {variables:?}"
        );
    }
    for (arguments, variables, says) in [
        (
            &["config", "check"][..],
            &[("EDGEPASS_CONFIG", path), ("EDGEPASS_CONFIG_JSON", "{}")][..],
            "only one of them",
        ),
        (
            &["config", "check"],
            &[("EDGEPASS_CONFIG_JSON", "{")],
            "the document in EDGEPASS_CONFIG_JSON: not JSON",
        ),
        (
            &["config", "check"],
            &[("EDGEPASS_CONFIG", "{}")],
            "EDGEPASS_CONFIG_JSON",
        ),
        (
            &["config", "check", path, "--config", path],
            &[],
            "cannot be used with",
        ),
        (
            &["envoy-config"],
            &[("EDGEPASS_CONFIG", "/nowhere.json")],
            "/nowhere.json",
        ),
    ] {
        let output = with(arguments, variables);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let token = with(&["token", "-s", GRAPH, "-c", "-", "-o", "token"], &[]);
    assert!(
        text(&token.stdout).starts_with("ey"),
        "{}",
        text(&token.stderr)
    );
    let envoy = with(&["envoy-config"], &[("EDGEPASS_CONFIG", path)]);
    assert_eq!(
        envoy.status.code(),
        Some(2),
        "its host is none that Envoy is told of"
    );
}

#[test]
fn a_file_that_is_no_json_is_named() {
    let lab = Lab::new();
    for (name, content, says) in [
        (
            "a.json",
            "{\"identities\": {},}",
            "a.json: not JSON: trailing comma at line 1 column",
        ),
        ("b.json", "", "b.json: empty"),
        ("c.json", "[]", "c.json: expected an object, not a list"),
        (
            "d.yaml",
            "identities:\n  app: {}\n",
            "d.yaml: is YAML, and a configuration is JSON",
        ),
    ] {
        let path = lab.write(name, content);
        let path = path.to_str().unwrap();
        for arguments in [
            &["config", "check", path][..],
            &["token", "--config", path, "-o", "token"],
            &["envoy-config", "--config", path],
        ] {
            let output = edgepass(&lab, arguments);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(says), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let lab = Lab::new();
    let path = lab.write(
        "config.json",
        r#"{"identities": {
            "a": {"tenent_id": "t", "client_id": "a b", "credential": {"client_secret": {"file": "x"}}},
            "b": {"tenant_id": "common", "client_id": "c", "credential": {"client_secret": {"value": "hunter2", "file": "/x"}}}
        }}"#,
    );
    let path = path.to_str().unwrap();
    let output = edgepass(&lab, &["config", "check", path]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    let expected = [
        "identities.a.tenent_id: unknown field",
        "identities.a.client_id: has a space",
        "identities.a.credential.client_secret.file: is a relative path",
        "identities.b.tenant_id: is `common`",
        "identities.b.credential.client_secret: has more than one of value, env and file",
    ];
    for line in expected {
        assert!(
            said.contains(&format!("edgepass: error: {line}")),
            "{line} in {said}"
        );
    }
    assert_eq!(
        said.matches("edgepass: error: ").count(),
        expected.len(),
        "{said}"
    );
    assert!(said.contains("hint: did you mean `tenant_id`?"), "{said}");
    assert!(!said.contains("hunter2"));
    let output = edgepass(&lab, &["config", "check", path, "--error-format", "json"]);
    let json: Value = serde_json::from_slice(&output.stderr).unwrap();
    let mistakes = json["error"]["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), expected.len(), "{json}");
    assert_eq!(json["error"]["message"], mistakes[0]["message"]);
}

#[test]
fn a_certificate_that_nobody_has_is_named_with_its_setting() {
    let lab = Lab::new();
    let mut config = lab.config(&json!({ "certificate": { "name": "prod" } }));
    config["identities"]["other"] = config["identities"]["app"].clone();
    config["identities"]["other"]["credential"] =
        json!({ "bound_certificate": { "name": "wire" } });
    let path = lab.write("config.json", config.to_string());
    let path = path.to_str().unwrap();
    for arguments in [
        &["config", "check", path][..],
        &[
            "token",
            "--config",
            path,
            "-s",
            GRAPH,
            "-o",
            "token",
            "--identity",
            "app",
        ],
    ] {
        let output = edgepass(&lab, arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for line in [
            "identities.app.credential.certificate.name: is `prod`, which is not among the certificates",
            "identities.other.credential.bound_certificate.name: is `wire`, which is not",
            "hint: name one of: demo; or write its files under certificates.prod",
        ] {
            assert!(said.contains(line), "{line} in {said}");
        }
    }
}

#[test]
fn strictly_checked_what_is_not_there_is_a_mistake() {
    let lab = Lab::new();
    let missing = lab.root().join("later");
    let config = lab.config(&json!({ "federated_token_file": { "path": missing } }));
    let path = lab.write("config.json", config.to_string());
    let path = path.to_str().unwrap();
    let lenient = edgepass(&lab, &["config", "check", path]);
    assert_eq!(lenient.status.code(), Some(0));
    let strict = edgepass(&lab, &["config", "check", path, "--strict"]);
    let said = text(&strict.stderr);
    assert_eq!(
        (strict.status.code(), text(&strict.stdout)),
        (Some(2), ""),
        "{said}"
    );
    assert!(said.contains("/later cannot be read now"), "{said}");
    // the certificate of the lab, which no credential uses
    assert!(
        said.contains("certificate demo is used by no credential"),
        "{said}"
    );
    std::fs::write(&missing, "x").unwrap();
    let mut config = config;
    config["certificates"] = json!({});
    std::fs::write(path, config.to_string()).unwrap();
    let good = edgepass(&lab, &["config", "check", path, "--strict"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    let variable = command(&lab, &["config", "check", "--strict"])
        .env("AZURE_USERNAME", "u")
        .output()
        .unwrap();
    assert_eq!(variable.status.code(), Some(2));
    assert!(text(&variable.stderr).contains("AZURE_USERNAME is not used"));
}

#[test]
fn who_wants_silence_gets_it() {
    let lab = Lab::new();
    let run = |arguments: &[&str]| {
        let output = command(&lab, arguments)
            .env("AZURE_USERNAME", "u")
            .output()
            .unwrap();
        (
            output.status.code(),
            text(&output.stdout).len(),
            text(&output.stderr).to_owned(),
        )
    };
    let (code, printed, said) = run(&["token", "-s", GRAPH, "--quiet"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(printed > 100);
    assert_eq!(run(&["-q", "config", "check"]), (Some(0), 0, String::new()));
    let (code, _, said) = run(&["-q", "token", "-s", "a b", "-o", "token"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("edgepass: error: "), "{said}");
}

#[test]
fn verbose_says_who_asks_and_with_what() {
    let lab = Lab::new();
    let config = lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    let path = lab.write("config.json", config.to_string());
    let path = path.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = edgepass(&lab, &[&["token", "-s", GRAPH], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr).to_owned()
    };
    let assertion = std::fs::read_to_string(lab.files.token_file()).unwrap();
    let of_file = run(&["-v", "--config", path]);
    let of_variables = run(&["-v"]);
    for said in [&of_file, &of_variables] {
        for part in [
            "info: identity ",
            lab.emulator.client_id(),
            "federated token file",
            "an assertion of issuer https://",
            "subject system:serviceaccount:",
            "audience api://AzureADTokenExchange, expiry 1",
            ", in 3",
        ] {
            assert!(said.contains(part), "{part:?} in {said}");
        }
        assert!(!said.contains("debug: "), "{said}");
        for part in assertion.trim().split('.') {
            assert!(!said.contains(part), "{said}");
        }
    }
    assert!(
        of_file.contains(&format!("configuration: {path} (--config)")),
        "{of_file}"
    );
    assert!(
        of_variables.contains(
            "configuration: none; AZURE_AUTHORITY_HOST, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE"
        ),
        "{of_variables}"
    );
    let more = run(&["-vv", "--config", path]);
    assert!(
        more.contains("info: identity app") && more.contains("debug: POST https://"),
        "{more}"
    );
}

#[test]
fn a_server_that_hangs_is_given_the_time_that_is_said() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::hang().on("/token").forever());
    let output = command(&lab, &["token", "-s", GRAPH, "--timeout", "0.3"])
        .env("HTTPS_PROXY", "http://proxy.example:3128")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(said["error"]["class"], "timeout", "{said}");
    assert_eq!(
        said["error"]["message"],
        "no token in 0.3 s, which is what --timeout gives it"
    );
    assert!(
        said["error"]["hint"]
            .as_str()
            .unwrap()
            .starts_with("HTTPS_PROXY is set and not used"),
        "{said}"
    );
}

#[test]
fn a_proxy_that_is_not_used_is_named_where_nothing_gets_through() {
    let lab = Lab::new();
    // an authority that has not signed the emulator's certificate
    let other = lab.files.certificate_file();
    let run = |proxy: Option<(&str, &str)>, arguments: &[&str]| {
        let output = command(&lab, &[&["token", "-o", "token"], arguments].concat())
            .envs(proxy)
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0));
        text(&output.stderr).to_owned()
    };
    let untrusted = ["-s", GRAPH, "--ca-file", other.to_str().unwrap()];
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let said = run(
            Some((name, "http://user:hunter2@proxy.example:3128")),
            &untrusted,
        );
        assert!(said.contains("class: network"), "{said}");
        assert!(
            said.contains(&format!("hint: {name} is set and not used")),
            "{said}"
        );
        assert!(
            said.contains("; give the authority that signed it"),
            "the other hint stays: {said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    for proxy in [None, Some(("HTTPS_PROXY", ""))] {
        let said = run(proxy, &untrusted);
        assert!(!said.contains("PROXY"), "{said}");
        assert!(
            said.contains("by --ca-file, host.ca_file or SSL_CERT_FILE"),
            "{said}"
        );
    }
    let said = run(Some(("HTTPS_PROXY", "http://x")), &["-s", "a b"]);
    assert!(
        !said.contains("PROXY"),
        "no way to any server has to do with it: {said}"
    );
}

#[test]
fn help_has_examples_and_says_that_nothing_is_kept() {
    let lab = Lab::new();
    for (arguments, parts) in [
        (
            &["--help"][..],
            &["Examples:", "Nothing is kept between two runs"][..],
        ),
        (
            &["token", "--help"],
            &[
                "Examples:",
                "Nothing is kept between two runs",
                "&& curl -H \"$h\"",
                "--timeout",
            ],
        ),
        (
            &["config", "check", "--help"],
            &["Examples:", "--strict", "[FILE]"],
        ),
        (&["envoy-config", "--help"], &["Examples:", "--config"]),
        (&["completions", "--help"], &["Examples:"]),
    ] {
        let output = edgepass(&lab, arguments);
        let said = text(&output.stdout);
        for part in parts {
            assert!(said.contains(part), "{part:?} in {said}");
        }
        assert!(!said.contains("--force-refresh"), "{said}");
    }
}

/// Every limit from the one at which the loader finds its libraries.
#[cfg(target_os = "linux")]
#[test]
fn too_few_files_to_open_are_an_error_and_no_panic() {
    let lab = Lab::new();
    let mut good = 0;
    for limit in 5..=24 {
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_edgepass")])
            .args(["token", "-s", GRAPH, "-o", "token"])
            .env_clear()
            .envs(lab.emulator.env())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(!said.contains("panicked"), "{limit}: {said}");
        if limit < 12 {
            assert_eq!(output.status.code(), Some(2), "{limit}: {said}");
            let line = "RLIMIT_NOFILE: this process may open too few files: Too many open files";
            assert!(
                said.contains(line) && said.contains("ulimit -n"),
                "{limit}: {said}"
            );
        }
        good += u32::from(output.status.success());
    }
    assert!(good > 0, "24 files are enough");
}

/// As root of a user namespace of its own, which has its own processes and mounts. `None`, with a line that says so, where
/// the machine has no such namespaces for its users.
#[cfg(target_os = "linux")]
fn in_a_container(options: &[&str]) -> Option<Command> {
    let container = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]).args(options);
        command
    };
    let tried = container().arg("true").output().unwrap();
    if tried.status.success() {
        return Some(container());
    }
    let why = text(&tried.stderr);
    eprintln!("not tested: this machine does not let its users have namespaces: {why}");
    None
}

#[cfg(target_os = "linux")]
#[test]
fn a_container_whose_first_process_it_is_can_be_stopped() {
    use std::time::{Duration, Instant};

    for (signal, number) in [("TERM", 15_u32), ("INT", 2), ("HUP", 1)] {
        let Some(mut container) = in_a_container(&["--pid", "--fork", "--kill-child"]) else {
            return;
        };
        let mut child = container
            .arg(env!("CARGO_BIN_EXE_edgepass"))
            .args(["config", "check", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux runs");
        // it waits for its standard input, which stays open; the signal is for when its handler is there
        let began = Instant::now();
        let first = loop {
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let status = children.trim().parse::<u32>().ok().map(|first| {
                (
                    first,
                    std::fs::read_to_string(format!("/proc/{first}/status")).unwrap_or_default(),
                )
            });
            let caught = |status: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
                line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            };
            let is_edgepass = |status: &str| status.starts_with("Name:\tedgepass\n");
            match status {
                Some((first, status))
                    if is_edgepass(&status)
                        && caught(&status).is_some_and(|mask| mask & (1 << (number - 1)) != 0) =>
                {
                    break first;
                }
                _ => {}
            }
            assert!(
                child.try_wait().unwrap().is_none(),
                "user namespaces are needed: {child:?}"
            );
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no handler of {signal}"
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let sent = Command::new("kill")
            .args(["-s", signal, &first.to_string()])
            .status();
        assert!(sent.unwrap().success());
        assert_eq!(
            child.wait().unwrap().code(),
            Some(128 + number as i32),
            "{signal}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_certification_authorities_is_told_so_once() {
    let lab = Lab::new();
    // everywhere where systems have them
    let script = "for folder in /etc/ssl /etc/pki /usr/lib/ssl /usr/share/ssl /usr/local/ssl /etc/openssl /etc/certs; do
        [ ! -d $folder ] || mount -t tmpfs none $folder
    done; exec \"$@\"";
    let Some(mut container) = in_a_container(&["--mount"]) else {
        return;
    };
    let output = container
        .args(["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_edgepass")])
        .args(["-vv", "token", "-s", GRAPH, "-o", "token"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(lab.emulator.env())
        .env_remove("SSL_CERT_FILE")
        .output()
        .expect("unshare of util-linux runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        "class: configuration",
        "no certification authorities",
        "hint: install the system's CA certificates, or name a file with them by --ca-file, host.ca_file or SSL_CERT_FILE",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(
        said.matches("error: certification authorities").count(),
        1,
        "asked once: {said}"
    );
    assert!(lab.emulator.token_requests().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_said() {
    let lab = Lab::new();
    for arguments in ["token -s SCOPE", "config schema", "--version", "--help"] {
        for place in [">/dev/full", "1</dev/null", "1</tmp"] {
            // clap writes help itself, by the standard library
            if arguments.starts_with("--") && place != ">/dev/full" {
                continue;
            }
            let arguments = arguments.replace("SCOPE", GRAPH);
            let line = format!("exec \"$EDGEPASS\" {arguments} {place}");
            let output = Command::new("sh")
                .args(["-c", &line])
                .env_clear()
                .envs(lab.emulator.env())
                .env("EDGEPASS", env!("CARGO_BIN_EXE_edgepass"))
                .output()
                .unwrap();
            assert_eq!(
                output.status.code(),
                Some(1),
                "{line}: {}",
                text(&output.stderr)
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn a_limit_of_address_space_is_named_with_its_fix() {
    let lab = Lab::new();
    let script = format!(
        "ulimit -v 4000000 && exec {} token --scope {GRAPH}",
        env!("CARGO_BIN_EXE_edgepass")
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .envs(lab.emulator.env())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for part in ["3906 MiB", "ulimit -v unlimited", "memory.max"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(lab.emulator.token_requests().is_empty());
}

/// What a process has in memory that it can write to, by mapping.
#[cfg(target_os = "linux")]
fn memory(pid: u32) -> Vec<(String, Vec<u8>)> {
    use std::os::unix::fs::FileExt as _;

    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    maps.lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|p| p.starts_with("rw")))
        .filter_map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            let (from, to) = (address(from), address(to));
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            if let Err(error) = memory.read_exact_at(&mut bytes, from) {
                // the stack of a thread that has just ended
                let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
                let is_there = maps.lines().any(|other| other == line);
                assert!(!is_there, "{line}: {error}");
                return None;
            }
            Some((line.to_owned(), bytes))
        })
        .collect()
}

/// The command is stopped between printing and its end: it has a warning for standard error, which takes nothing.
#[cfg(target_os = "linux")]
#[test]
fn the_token_and_the_component_are_gone_when_it_has_been_printed() {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    let lab = Lab::new();
    let (_reader, mut stderr) = UnixStream::pair().unwrap();
    stderr.set_nonblocking(true).unwrap();
    while stderr.write(&[b'.'; 4096]).is_ok() {}
    while stderr.write(b".").is_ok() {}
    stderr.set_nonblocking(false).unwrap();
    let mut child = command(&lab, &["token", "--scope", GRAPH, "--format", "token"])
        .env("AZURE_USERNAME", "somebody")
        .stdout(Stdio::piped())
        .stderr(OwnedFd::from(stderr))
        .spawn()
        .unwrap();
    let mut printed = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut printed).unwrap();
    let token = printed.trim();
    assert_eq!(token.split('.').count(), 3, "{token}");
    // file descriptor 2 is the first argument of its system call
    let begun = Instant::now();
    let writes_warning = || {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap();
        call.split(' ').nth(1) == Some("0x2")
    };
    while !writes_warning() {
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "it has no warning"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let mappings = memory(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    // what TLS and HTTP had on the heap is theirs to wipe, and they do not: the rest of the process has nothing
    let is_component = |line: &str| line.contains("wasm-memory-image");
    let held = mappings.iter().filter(|(line, _)| is_component(line));
    assert_eq!(held.count(), 0, "the component's memory is there");
    let (_, payload) = token.split_once('.').unwrap();
    assert!(payload.len() > 600);
    for (line, bytes) in &mappings {
        // a word that every token has tells nothing: any 48 characters do
        for part in payload.as_bytes().chunks_exact(48).step_by(4) {
            let is_there = bytes.windows(part.len()).any(|window| window == part);
            assert!(!is_there || line.ends_with("[heap]"), "{line}");
        }
    }
}
