//! The command, as a user runs it.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up may stop it; the lints spare only the test functions themselves"
)]

#[path = "command/other_files.rs"]
mod other_files;
#[path = "command/repeated.rs"]
mod repeated;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use edgepass_emulator::{ConnectProxy, Fault};
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use crate::support::silent::Silent;
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
        // nobody is there, as on a machine that is none of Azure's
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    for expected in [
        "no metadata service answers",
        "AZURE_CLIENT_SECRET is not set",
        "AZURE_CLIENT_ID",
        "--config",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
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

/// Every place that names a file, where whoever serves the file does not answer.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_never_comes_is_named_and_bounded() {
    let lab = Lab::new();
    let folder = lab.root().join("silent");
    let config = |name: &str, path: &std::path::Path| {
        let config = lab.config(&json!({ "federated_token_file": { "path": path } }));
        let path = lab.write(name, config.to_string());
        path.to_str().unwrap().to_owned()
    };
    let good = config("good.json", &lab.files.token_file());
    let stuck_token = config("stuck.json", &folder.join("token"));
    let mut with_ca =
        lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    with_ca["host"] = json!({ "ca_file": folder.join("ca.pem") });
    let stuck_ca = lab.write("ca.json", with_ca.to_string());
    let stuck_ca = stuck_ca.to_str().unwrap();
    let fifo = pipe(&lab, "fifo");
    let fifo = fifo.to_str().unwrap();
    let silent = match Silent::mount(&folder) {
        Ok(silent) => silent,
        Err(why) => {
            eprintln!("not tested: this machine does not let its users mount a file system: {why}");
            return;
        }
    };
    let file = folder.join("file");
    let file = file.to_str().unwrap();
    let token = &["token", "-s", GRAPH, "--timeout", "0.3"][..];
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        command(&lab, arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    };
    for (more, variables, waited_for) in [
        (&["-c", file][..], &[][..], "silent/file (--config)"),
        (&["-c", fifo], &[], "/fifo (--config)"),
        (
            &[],
            &[("EDGEPASS_CONFIG", file)],
            "silent/file (--config or EDGEPASS_CONFIG)",
        ),
        (&["--ca-file", file], &[], "silent/file (--ca-file)"),
        (
            &["-c", &good, "--ca-file", file],
            &[],
            "silent/file (--ca-file)",
        ),
        (
            &["-c", stuck_ca],
            &[],
            "silent/ca.pem (--ca-file, host.ca_file)",
        ),
        (
            &[],
            &[("SSL_CERT_FILE", file)],
            "silent/file (SSL_CERT_FILE)",
        ),
        (&[], &[("SSL_CERT_DIR", file)], "silent/file (SSL_CERT_DIR)"),
        (
            &["-v", "-c", &stuck_token],
            &[],
            "silent/token (identities.app.",
        ),
        (
            &["-v"],
            &[("AZURE_FEDERATED_TOKEN_FILE", file)],
            "silent/file (AZURE_FEDERATED_TOKEN_FILE)",
        ),
        // these are read beside the rest, which sees the deadline
        (&["-c", &stuck_token], &[], ""),
        (&[], &[("AZURE_FEDERATED_TOKEN_FILE", file)], ""),
        #[cfg(feature = "compiler")]
        (&["--component", file], &[], "silent/file (--component)"),
    ] {
        let output = run(&[token, more].concat(), variables);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{more:?}: {said}");
        let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(said["error"]["class"], "timeout", "{more:?}: {said}");
        assert_eq!(
            said["error"]["message"],
            "no token in 0.3 s, which is what --timeout gives it"
        );
        let hint = said["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(waited_for), "{more:?}: {said}");
    }
    // and where nobody gives a time; all at once, as each takes its whole bound
    let spawned = [
        (
            &["config", "check", file][..],
            &[][..],
            "silent/file (--config)",
        ),
        (
            &["config", "check", stuck_ca],
            &[],
            "silent/ca.pem (host.ca_file)",
        ),
        (
            &["config", "check", &stuck_token],
            &[],
            "silent/token (identities.app.",
        ),
        (&["envoy-config", "-c", file], &[], "silent/file (--config)"),
        (
            &["envoy-config", "-c", &good, "--check", file],
            &[],
            "silent/file (--check)",
        ),
        (
            &["token", "-s", GRAPH, "-c", file],
            &[],
            "silent/file (--config)",
        ),
        (
            &["token", "-s", GRAPH],
            &[("SSL_CERT_FILE", file)],
            "(SSL_CERT_FILE)",
        ),
    ]
    .map(|(arguments, variables, waited_for)| {
        let child = command(&lab, arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        (child, format!("{arguments:?}"), waited_for)
    });
    for (child, arguments, waited_for) in spawned {
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(
            said.contains(waited_for) && said.contains("does not answer"),
            "{arguments}: {said}"
        );
    }
    drop(silent);
}

#[test]
fn who_is_waited_for_is_told_so() {
    let lab = Lab::new();
    let config = lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    let waiting = "edgepass: waiting for the configuration, JSON, on standard input";
    let spawned = |arguments: &[&str]| {
        command(&lab, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for arguments in [
        &["config", "check", "-"][..],
        &["config", "check", "--config", "-"],
        &["token", "-s", GRAPH, "-c", "-", "-o", "token"],
        &["envoy-config", "--config", "-"],
    ] {
        let mut child = spawned(arguments);
        let mut input = child.stdin.take().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        // nothing is sent before it has asked
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), waiting, "{arguments:?}");
        input.write_all(config.to_string().as_bytes()).unwrap();
        drop(input);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        let output = child.wait_with_output().unwrap();
        // its host is none that Envoy is told of
        let expected = if arguments[0] == "envoy-config" { 2 } else { 0 };
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{arguments:?}: {rest}"
        );
    }
    // a program that reads errors as JSON gets nothing else, and has its deadline
    let mut child = spawned(&[
        "token",
        "-c",
        "-",
        "--timeout",
        "3",
        "--error-format",
        "json",
    ]);
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    let hint = said["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("on standard input"), "{said}");

    for (arguments, variables, says) in [
        (
            &["config", "check", "-"][..],
            &[][..],
            "standard input is empty",
        ),
        (&["token", "-c", "-"], &[], "standard input is empty"),
        (
            &["config", "check"],
            &[("EDGEPASS_CONFIG", "-")],
            "--config alone",
        ),
        (&["token"], &[("EDGEPASS_CONFIG", "-")], "--config alone"),
    ] {
        let mut command = command(&lab, arguments);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    #[cfg(target_os = "linux")]
    {
        let (code, shown) = at_a_terminal(&lab, "$EDGEPASS config check -");
        assert_eq!(code, Some(2), "{shown}");
        assert!(
            shown.contains(&format!("{waiting}; Ctrl-D ends it")),
            "{shown}"
        );
    }
}

/// A value where a path belongs, and a path where a value belongs.
#[test]
fn what_stands_in_the_place_of_something_else_is_named_and_never_shown() {
    let lab = Lab::new();
    let jwt = "eyJhbGciOiJub25lIn0.hunter2.";
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    let json = r#"{"hunter2": 1}"#;
    let secret = "hunter2~0123456789";
    let holds = "is what a file holds, and not its path";
    for (name, says) in [
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            [holds, holds, holds, "or none at all"],
        ),
        (
            "AZURE_CLIENT_CERTIFICATE_PATH",
            [holds, holds, holds, "or none at all"],
        ),
        (
            "EDGEPASS_CONFIG",
            [
                "is not a path but a token",
                "is not a path but what a PEM file holds",
                "is not a path but a JSON document",
                "what it names cannot be read",
            ],
        ),
        (
            "SSL_CERT_FILE",
            [
                "no such file",
                "no such file",
                "no such file",
                "no such file",
            ],
        ),
        (
            "SSL_CERT_DIR",
            [
                "no such file",
                "no such file",
                "no such file",
                "no such file",
            ],
        ),
    ] {
        for (value, says) in [jwt, pem, json, secret].into_iter().zip(says) {
            let mut command = command(&lab, &["config", "check"]);
            if name == "AZURE_CLIENT_CERTIFICATE_PATH" {
                command.env_remove("AZURE_FEDERATED_TOKEN_FILE");
            }
            if name == "SSL_CERT_DIR" {
                command.env_remove("SSL_CERT_FILE");
            }
            let output = command.env(name, value).output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
            assert!(
                said.contains(name) && said.contains(says),
                "{name}, {says}: {said}"
            );
            assert!(!said.contains("hunter2"), "{name}: {said}");
        }
    }
    for (credential, certificates) in [
        (
            json!({ "federated_token_file": { "path": jwt } }),
            json!({}),
        ),
        (json!({ "client_assertion": { "file": jwt } }), json!({})),
        (json!({ "client_secret": { "file": json } }), json!({})),
        (
            json!({ "certificate": { "certificate": "c" } }),
            json!({ "c": { "certificate_file": pem } }),
        ),
        (
            json!({ "certificate": { "certificate": "c" } }),
            json!({ "c": { "certificate_file": "/c.pem", "private_key_file": pem } }),
        ),
    ] {
        let mut config = lab.config(&credential);
        config["certificates"] = certificates;
        let file = lab.write("misplaced.json", config.to_string());
        let output = edgepass(&lab, &["config", "check", file.to_str().unwrap()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{credential}: {said}");
        assert!(said.contains(holds) && !said.contains("hunter2"), "{said}");
    }
    for (option, says) in [
        ("--ca-file", "the CA file (a name that is not repeated)"),
        #[cfg(feature = "compiler")]
        ("--component", "does not look like one and is not repeated"),
        ("--config", "--config"),
    ] {
        for value in [jwt, pem, json] {
            let output = edgepass(
                &lab,
                &[
                    "token",
                    "-s",
                    GRAPH,
                    "-o",
                    "token",
                    &format!("{option}={value}"),
                ],
            );
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{option}: {said}");
            assert!(
                said.contains(says) && !said.contains("hunter2"),
                "{option}: {said}"
            );
        }
    }

    // a path in the place of what is in the file
    let config = lab.config(&json!({ "client_secret": { "file": "/etc/x" } }));
    let path = lab.write("path.json", config.to_string());
    let secret = lab.write("secret", "hunter2");
    let output = command(&lab, &["config", "check"])
        .env("EDGEPASS_CONFIG_JSON", &path)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(
        said.contains("EDGEPASS_CONFIG_JSON: is a path")
            && said.contains("EDGEPASS_CONFIG to the path"),
        "{said}"
    );
    for kind in ["client_secret", "client_assertion"] {
        let config = lab.config(&json!({ kind: { "value": secret } }));
        let path = lab.write("value.json", config.to_string());
        let output = edgepass(&lab, &["config", "check", path.to_str().unwrap()]);
        let said = text(&output.stdout);
        let place =
            format!("warning: identities.app.credential.{kind}.value is the path of a file");
        assert!(said.contains(&place), "{said}{}", text(&output.stderr));
    }
    let output = command(&lab, &["config", "check", "--strict"])
        .env_remove("AZURE_FEDERATED_TOKEN_FILE")
        .env("AZURE_CLIENT_SECRET", &secret)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(
        said.contains("AZURE_CLIENT_SECRET is the path of a file"),
        "{said}"
    );

    for (seconds, good) in [
        ("0", false),
        ("0.0", false),
        ("5h", false),
        ("86401", false),
        ("9", true),
    ] {
        let output = edgepass(&lab, &["token", "-s", GRAPH, "--timeout", seconds]);
        let said = text(&output.stderr);
        assert_eq!(output.status.success(), good, "{said}");
        let rule = "give seconds, more than 0 and at most 86400: 10, or 0.5 for half a second";
        assert_eq!(said.contains(rule), !good, "{said}");
    }
    for (name, bytes, says) in [
        ("nul.json", &b"{\"a\": \"\0\"}"[..], "has a NUL character"),
        (
            "elf",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0",
            "has a NUL character",
        ),
        ("latin.json", b"{\"caf\xe9\": 1}", "is not UTF-8 text"),
    ] {
        let path = lab.write(name, bytes);
        let output = edgepass(&lab, &["config", "check", path.to_str().unwrap()]);
        let said = text(&output.stderr);
        assert!(
            said.contains(says) && !said.contains("UTF-16"),
            "{name}: {said}"
        );
    }
}

#[test]
fn what_people_type_by_habit_is_taken_or_answered() {
    let lab = Lab::new();
    let config = json!({"identities": {"app": {
        "tenant_id": lab.emulator.tenant(), "client_id": lab.emulator.client_id(), "scopes": [GRAPH],
        "credential": { "federated_token_file": { "path": lab.files.token_file() } },
    }}});
    let config = lab.write("envoy.json", config.to_string());
    let config = config.to_str().unwrap();
    // with the public cloud, which the filter is told of by the configuration alone
    let run = |arguments: &[&str]| {
        let mut command = command(&lab, arguments);
        for name in ["AZURE_AUTHORITY_HOST", "EDGEPASS_AUTHORITY_HOSTS"] {
            command.env_remove(name);
        }
        command.output().unwrap()
    };
    let version = run(&["--version"]);
    assert_eq!(run(&["version"]).stdout, version.stdout);
    assert!(text(&version.stdout).starts_with("edgepass "));
    let expected = run(&["envoy-config", "--config", config]);
    assert_eq!(
        expected.status.code(),
        Some(0),
        "{}",
        text(&expected.stderr)
    );
    assert_eq!(run(&["envoy-config", config]).stdout, expected.stdout);

    for (arguments, says) in [
        (
            &["config", "check", "."][..],
            "configuration . cannot be read: Is a directory",
        ),
        (
            &["config", "check", "~/edgepass.json"],
            "only a shell knows `~`",
        ),
        (
            &["envoy-config", "-", "--check", "-"],
            "--check: is standard input, and so is the configuration",
        ),
        (
            &["envoy-config", config, "--config", config],
            "cannot be used with",
        ),
        (
            &["envoy-config", config, "--upstream", "api.example"],
            "'api.example' for '--upstream",
        ),
        (
            &["envoy-config", config, "--listen", ":8080"],
            "':8080' for '--listen",
        ),
        (
            &["envoy-config", config, "--listen", "8080"],
            "127.0.0.1:8080 for this machine",
        ),
        (
            &["envoy-config", config, "--admin", "localhost"],
            "127.0.0.1:8080 for this machine",
        ),
    ] {
        let output = run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
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
            "d",
            "identities:\n  app: {}\n",
            "d: is YAML by its look, and was read as JSON",
        ),
        (
            "e.json",
            "[identities.app]\n",
            "e.json: is TOML by its look, and was read as JSON",
        ),
        ("f.yaml", "a: b\na: c\n", "f.yaml:2:1"),
        (
            "g.yaml",
            "[identities.app]\ntenant_id = \"t\"\n",
            "--config-format toml",
        ),
        ("h.toml", "identities:\n  app: {}\n", "--config-format yaml"),
        ("i.toml", "a = 2026-11-26\n", "i.toml:1:5"),
        ("j.yaml", "# nothing\n", "configuration: empty"),
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
fn a_configuration_may_be_yaml_or_toml() {
    let lab = Lab::new();
    let yaml = format!("# ours\nidentities:\n  app:\n    scopes:\n      - {GRAPH}\n");
    let toml = format!("# ours\n[identities.app]\nscopes = [\"{GRAPH}\"]\n");
    let json = format!("{{\"identities\": {{\"app\": {{\"scopes\": [\"{GRAPH}\"]}}}}}}");
    let file = |name: &str, text: &str| lab.write(name, text).to_str().unwrap().to_owned();
    let (as_yaml, as_yml) = (file("a.yaml", &yaml), file("b.YML", &yaml));
    let (as_toml, as_json) = (file("c.toml", &toml), file("d.json", &json));
    let (plain_yaml, plain_toml) = (file("e", &yaml), file("f.json", &toml));
    let token = ["token", "-o", "token"];
    let check = ["config", "check"];
    for command_of in [&token[..], &check] {
        for (arguments, variable, stdin) in [
            (vec!["--config", &as_yaml], None, ""),
            (vec!["--config", &as_yml], None, ""),
            (vec!["--config", &as_toml], None, ""),
            (vec!["--config", &as_json], None, ""),
            (
                vec!["--config", &plain_yaml, "--config-format", "yaml"],
                None,
                "",
            ),
            (
                vec!["--config", &plain_toml, "--config-format=toml"],
                None,
                "",
            ),
            (
                vec!["--config", "-", "--config-format", "yaml"],
                None,
                yaml.as_str(),
            ),
            (
                vec!["--config", "-", "--config-format", "toml"],
                None,
                toml.as_str(),
            ),
            (vec!["--config", "-"], None, json.as_str()),
            (vec![], Some(&as_yaml), ""),
            (vec![], Some(&as_toml), ""),
            (vec!["--config-format", "yaml"], Some(&plain_yaml), ""),
        ] {
            let all = [command_of, &arguments].concat();
            let mut command = command(&lab, &all);
            command.envs(variable.map(|path| ("EDGEPASS_CONFIG", path)));
            let output = with_input(command, stdin);
            let (said, printed) = (text(&output.stderr), text(&output.stdout));
            assert_eq!(
                output.status.code(),
                Some(0),
                "{all:?} {variable:?}: {said}"
            );
            match command_of.first() {
                Some(&"token") => assert!(printed.starts_with("ey"), "{all:?}: {printed}"),
                _ => assert!(printed.contains("identity app\n"), "{all:?}: {printed}"),
            }
        }
    }
    // what another program gets is the same document, whatever it was written in
    let envoy = |path: &str| {
        let output = edgepass(&lab, &["envoy-config", path]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let of_json = envoy(&as_json);
    for path in [&as_yaml, &as_toml, &as_json] {
        let output = edgepass(&lab, &["config", "convert", path]);
        let converted: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(converted, serde_json::from_str::<Value>(&json).unwrap());
        let output = edgepass(&lab, &["config", "convert", "-o", "yaml", path]);
        let yaml = lab.write("converted.yaml", &output.stdout);
        let output = edgepass(&lab, &["config", "convert", yaml.to_str().unwrap()]);
        let again: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(again, converted);
    }
    assert_eq!(
        (envoy(&as_yaml), envoy(&as_toml)),
        (of_json.clone(), of_json)
    );
}

#[test]
fn what_is_made_of_other_settings_says_what_it_does_not_hold() {
    let lab = Lab::new();
    let path = lab.root().join("appsettings.json");
    let settings = |credential: Value| {
        json!({ "AzureAd": {
            "Instance": "https://login.microsoftonline.com/", "TenantId": "contoso.example",
            "ClientId": "11111111-2222-3333-4444-555555555555", "ClientCredentials": [credential],
        } })
    };
    let path = path.to_str().unwrap();
    for (credential, says) in [
        (
            json!({ "SourceType": "ClientSecret", "ClientSecret": "hunter2" }),
            &["the variable AzureAd__ClientCredentials__0__ClientSecret, which is not set"][..],
        ),
        (
            json!({ "SourceType": "Base64Encoded", "Base64EncodedValue": "aHVudGVyMg==" }),
            &["a private key (certificate_base64)"],
        ),
        (json!({ "SourceType": "SignedAssertionFilePath" }), &[]),
    ] {
        std::fs::write(path, settings(credential).to_string()).unwrap();
        let output = edgepass(&lab, &["config", "convert", "--appsettings", path]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(
            !said.contains("hunter2") && !said.contains("aHVudGVyMg"),
            "{said}"
        );
        assert!(says.iter().all(|part| said.contains(part)), "{said}");
        assert_eq!(said.is_empty(), says.is_empty(), "{said}");
        let yaml = edgepass(
            &lab,
            &["config", "convert", "-o", "yaml", "--appsettings", path],
        );
        let written = lab.write("converted.yaml", &yaml.stdout);
        let again = edgepass(&lab, &["config", "convert", written.to_str().unwrap()]);
        let of = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
        assert_eq!(of(&again), of(&output));
    }
    // what YAML would read as something else stays what it is
    let strange = [
        "no",
        "1e3",
        "0x1F",
        "~",
        "null",
        "012",
        "1_000",
        "2026-01-01",
        "a: b",
        "#x",
        "- a",
        "é",
        "a\tb",
        "<<",
        "=",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
    ];
    let document =
        json!({ "identities": { "app": { "additional_parameters": { "x": strange } } } });
    let given = lab.write("strange.json", document.to_string());
    let yaml = edgepass(
        &lab,
        &["config", "convert", "-o", "yaml", given.to_str().unwrap()],
    );
    let written = lab.write("strange.yaml", &yaml.stdout);
    let again = edgepass(&lab, &["config", "convert", written.to_str().unwrap()]);
    assert_eq!(
        serde_json::from_slice::<Value>(&again.stdout).unwrap(),
        document,
        "{}",
        text(&yaml.stderr)
    );
    // where no scope is given it is said how one is, by the names of options
    let output = edgepass(&lab, &["token", "--appsettings", path]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("--scope") && said.contains("--api"), "{said}");
}

/// The output of a command that gets this by standard input.
fn with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn mistakes_have_their_place_in_each_format() {
    let lab = Lab::new();
    let json = r#"{
  "identities": {
    "app": {"tenant_id": "t", "clientId": "c"},
    "b": {"tenant_id": 5}
  },
  "certificates": {"k": {"certificate_file": "k.pem"}}
}"#;
    let yaml = "identities:\n  app:\n    tenant_id: t\n    clientId: c\n  b:\n    tenant_id: 5\n\
                certificates:\n  k: {certificate_file: k.pem}\n";
    let toml = "[identities.app]\ntenant_id = 't'\nclientId = 'c'\n[identities.b]\ntenant_id = 5\n\
                [certificates.k]\ncertificate_file = 'k.pem'\n";
    for (name, content, places) in [
        ("a.json", json, ["3:31", "4:11", "6:26"]),
        ("a.yaml", yaml, ["4:5", "6:5", "8:7"]),
        ("a.toml", toml, ["3:1", "5:1", "7:1"]),
    ] {
        let path = lab.write(name, content);
        let path = path.to_str().unwrap();
        let output = edgepass(&lab, &["config", "check", path]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for (setting, place) in [
            "identities.app.clientId: unknown field",
            "identities.b.tenant_id: expected a string, not a number",
            "certificates.k.certificate_file: is a relative path",
        ]
        .iter()
        .zip(places)
        {
            let mut paragraphs = said.split("edgepass: error: ");
            let paragraph = paragraphs.find(|paragraph| paragraph.starts_with(setting));
            let paragraph = paragraph.unwrap_or_else(|| panic!("{setting}: {said}"));
            assert!(
                paragraph.contains(&format!("\n  at: {path}:{place}\n  hint: ")),
                "{place}: {paragraph}"
            );
        }
        // one mistake, of each command, for a program
        for arguments in [
            vec!["token", "--config", path, "-o", "json"],
            vec!["envoy-config", path, "--error-format", "json"],
        ] {
            let output = edgepass(&lab, &arguments);
            let said: Value = serde_json::from_slice(&output.stderr).unwrap();
            let place = said["error"]["place"].as_str().unwrap_or_default();
            assert!(place.starts_with(&format!("{path}:")), "{said}");
            assert!(said["error"]["hint"].is_string(), "{said}");
        }
    }
}

#[test]
fn a_configuration_to_begin_with_is_written_and_is_good() {
    let lab = Lab::new();
    let folder = lab.write("x", "").parent().unwrap().to_owned();
    for (arguments, name, comments) in [
        (vec![], "a.yaml", true),
        (vec![], "a.toml", true),
        (vec![], "a.json", false),
        (vec![], "a", true),
        (vec!["--format", "toml"], "b.conf", true),
        (vec!["--format", "json"], "c.yaml", false),
    ] {
        let path = folder.join(name);
        let path = path.to_str().unwrap();
        let all = [&["config", "init", "-o", path][..], &arguments].concat();
        let output = edgepass(&lab, &all);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            written.starts_with("# Configuration"),
            comments,
            "{written}"
        );
        assert!(
            written.contains("azure-identity-token") || written.contains("federated_token_file")
        );
        let format = match (arguments.last(), name) {
            (Some(format), _) => format,
            (None, "a") => "yaml",
            (None, name) => name.rsplit('.').next().unwrap(),
        };
        // what it was made of gives a token with it, and nothing else
        for command_of in [
            &["config", "check", "--strict"][..],
            &["token", "-s", GRAPH, "-o", "token"],
        ] {
            let config = ["--config", path, "--config-format", format];
            let output = edgepass(&lab, &[command_of, &config].concat());
            assert_eq!(
                output.status.code(),
                Some(0),
                "{written}: {}",
                text(&output.stderr)
            );
        }
        // and nobody's file is written over
        let again = edgepass(&lab, &all);
        let said = text(&again.stderr);
        assert_eq!(again.status.code(), Some(2), "{said}");
        assert!(
            said.contains("is there already") && said.contains("--force"),
            "{said}"
        );
        let forced = edgepass(&lab, &[&all[..], &["--force"]].concat());
        assert_eq!(forced.status.code(), Some(0), "{}", text(&forced.stderr));
        assert_eq!(std::fs::read_to_string(path).unwrap(), written);
    }
    let printed = edgepass(&lab, &["config", "init"]);
    assert_eq!(
        printed.stdout,
        std::fs::read(folder.join("a.yaml")).unwrap()
    );
    let missing = edgepass(&lab, &["config", "init", "-o", "/nowhere/at/all.yaml"]);
    let said = text(&missing.stderr);
    assert_eq!(missing.status.code(), Some(2), "{said}");
    assert!(
        said.contains("/nowhere/at/all.yaml cannot be written"),
        "{said}"
    );
    // a secret is named, and stays where it is
    let mut command = command(&lab, &["config", "init"]);
    command
        .env_remove("AZURE_FEDERATED_TOKEN_FILE")
        .env("AZURE_CLIENT_SECRET", "hunter2");
    let output = command.output().unwrap();
    let written = text(&output.stdout);
    assert!(
        written.contains("env: AZURE_CLIENT_SECRET") && !written.contains("hunter2"),
        "{written}"
    );
}

#[test]
fn an_assertion_that_has_ended_is_not_ready() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let lab = Lab::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    for (from, to, says) in [
        (now - 600, now + 600, None),
        // an exchange would still be tried with it
        (now - 600, now - 60, Some("the assertion expired")),
        (now - 90_000, now - 86_400, Some("expired 24 h ago")),
        (
            now + 7_300,
            now + 9_000,
            Some("the assertion becomes valid in 2 h"),
        ),
    ] {
        let claims = json!({ "iss": "https://i.example", "sub": "s", "nbf": from, "exp": to });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let token = format!(
            "{}.{}.c2ln",
            part(&json!({ "alg": "RS256" })),
            part(&claims)
        );
        let file = lab.write("token", &token);
        for credential in [
            json!({ "federated_token_file": { "path": file } }),
            json!({ "client_assertion": { "file": file } }),
            json!({ "client_assertion": { "value": token } }),
        ] {
            let config = lab.write("config.json", lab.config(&credential).to_string());
            let output = edgepass(
                &lab,
                &["config", "check", "--try", config.to_str().unwrap()],
            );
            let (said, printed) = (text(&output.stderr), text(&output.stdout));
            match says {
                None => assert!(printed.contains("is ready"), "{credential}: {said}"),
                Some(says) => {
                    assert_eq!(output.status.code(), Some(2), "{credential}: {printed}");
                    assert!(
                        said.contains("is not ready") && said.contains(says),
                        "{said}"
                    );
                }
            }
        }
    }
    assert!(lab.emulator.token_requests().is_empty());
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
        .env("HTTP_PROXY", "http://proxy.example:3128")
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
            .starts_with("HTTP_PROXY is for plain http and not used"),
        "{said}"
    );
}

#[test]
fn the_proxy_of_plain_http_is_named_where_nothing_gets_through() {
    let lab = Lab::new();
    // an authority that has not signed the emulator's certificate
    let other = lab.files.certificate_file();
    let run = |proxies: &[(&str, &str)], arguments: &[&str]| {
        let output = command(&lab, &[&["token", "-o", "token"], arguments].concat())
            .envs(proxies.iter().copied())
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0));
        text(&output.stderr).to_owned()
    };
    let untrusted = ["-s", GRAPH, "--ca-file", other.to_str().unwrap()];
    for name in ["HTTP_PROXY", "http_proxy"] {
        let said = run(
            &[(name, "http://user:hunter2@proxy.example:3128")],
            &untrusted,
        );
        assert!(said.contains("class: network"), "{said}");
        assert!(
            said.contains(&format!("hint: {name} is for plain http and not used")),
            "{said}"
        );
        assert!(
            said.contains("; give the authority that signed it"),
            "the other hint stays: {said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    for proxies in [
        &[][..],
        &[("HTTP_PROXY", " ")],
        &[("HTTP_PROXY", "http://x:1"), ("https_proxy", "http://x:1")],
    ] {
        let said = run(proxies, &untrusted);
        assert!(!said.contains("PROXY"), "{said}");
        assert!(
            said.contains("by --ca-file, host.ca_file, host.extra_ca_file or SSL_CERT_FILE"),
            "{said}"
        );
    }
    let said = run(&[("HTTP_PROXY", "http://x")], &["-s", "a b"]);
    assert!(
        !said.contains("PROXY"),
        "no way to any server has to do with it: {said}"
    );
}

/// A pod of an emulator whose name only a proxy knows.
fn behind_a_proxy() -> (Lab, ConnectProxy, String) {
    let lab = Lab::new();
    let proxy = ConnectProxy::start().unwrap();
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], lab.emulator.port()));
    proxy.route("login.example:443", to);
    let config = lab.write(
        "behind.json",
        json!({
            "authority_hosts": ["login.example"],
            "identities": { "app": {
                "tenant_id": lab.emulator.tenant(),
                "client_id": lab.emulator.client_id(),
                "authority_host": "https://login.example",
                "credential": { "client_secret": { "env": "APP_SECRET" } },
            } },
            "host": { "extra_ca_file": lab.files.ca_file() },
        })
        .to_string(),
    );
    let config = config.to_str().unwrap().to_owned();
    (lab, proxy, config)
}

#[test]
fn a_token_comes_through_a_proxy_that_is_named_and_its_password_is_not() {
    let (lab, proxy, config) = behind_a_proxy();
    proxy.require(Some("user:hunter2"));
    let secret = lab.emulator.client_secret().to_owned();
    let named = format!("http://user:hunter2@{}", proxy.place());
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_edgepass"))
            .args(arguments)
            .env_clear()
            .env("APP_SECRET", &secret)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!all.contains("hunter2"), "{all}");
        (output.status.code(), all)
    };
    let place = proxy.place();
    let token = ["token", "--config", &config, "-s", GRAPH, "-v"];
    let (code, said) = run(&token, &[("HTTPS_PROXY", &named)]);
    assert_eq!(code, Some(0), "{said}");
    let through = format!("info: https goes through the proxy {place} (HTTPS_PROXY)");
    assert!(said.contains(&through), "{said}");
    assert_eq!(proxy.requests().len(), 1);

    let check = ["config", "check", &config];
    let (code, said) = run(&check, &[("https_proxy", &named)]);
    assert_eq!(code, Some(0), "{said}");
    let through = format!("https goes through the proxy {place} (https_proxy)\n");
    assert!(said.contains(&through), "{said}");
    let past = [("https_proxy", named.as_str()), ("NO_PROXY", ".example")];
    let (_, said) = run(&check, &past);
    let directly = format!("https goes directly, and not through the proxy {place}");
    assert!(said.contains(&directly), "{said}");
    let (_, said) = run(&check, &[]);
    assert!(!said.contains("https goes"), "{said}");

    // without its credentials, and with others
    let plain = proxy.url();
    let (code, said) = run(&token, &[("ALL_PROXY", &plain)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!(
            "the proxy {place} (ALL_PROXY) asks for credentials (407)"
        )) && said.contains("write them into ALL_PROXY: http://USER:PASSWORD@"),
        "{said}"
    );
    let wrong = format!("http://user:hunter2x@{place}");
    let (_, said) = run(&token, &[("ALL_PROXY", &wrong)]);
    assert!(
        said.contains("does not take its credentials (407)"),
        "{said}"
    );
    assert_eq!(proxy.requests().len(), 3, "none of it is tried again");

    for (url, says) in [
        ("socks5://user:hunter2@p:1080", "is a SOCKS proxy"),
        ("http://user:hunter2@p:x", "is not the URL of an HTTP proxy"),
        ("http://user:hun/hunter2@p:1", "percent-encode"),
    ] {
        for arguments in [&token[..], &check[..]] {
            let (code, said) = run(arguments, &[("all_proxy", url)]);
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("all_proxy") && said.contains(says), "{said}");
        }
        // where nothing needs it, it is nobody's mistake
        let past = [("all_proxy", url), ("no_proxy", "*")];
        let (code, said) = run(&check, &past);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(lab.emulator.token_requests().len(), 1);
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

#[cfg(target_os = "linux")]
#[test]
fn help_has_colours_at_a_terminal_alone() {
    let lab = Lab::new();
    let escape = '\u{1b}';
    for arguments in [
        "--help",
        "help token",
        "token --help",
        "config check -h",
        "token --scoop",
    ] {
        let line = format!("$EDGEPASS {arguments}");
        let (_, shown) = at_a_terminal(&lab, &format!("TERM=xterm {line}"));
        assert!(shown.contains(escape), "{arguments}: {shown:?}");
        for plain in ["NO_COLOR=1 TERM=xterm", "TERM=dumb"] {
            let (_, shown) = at_a_terminal(&lab, &format!("{plain} {line}"));
            assert!(!shown.contains(escape), "{plain} {arguments}: {shown:?}");
        }
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = edgepass(&lab, &arguments);
        for stream in [&output.stdout, &output.stderr] {
            assert!(
                !text(stream).contains(escape),
                "{arguments:?}: {}",
                text(stream)
            );
        }
    }
    let (_, shown) = at_a_terminal(&lab, "TERM=xterm $EDGEPASS token --help");
    assert!(shown.contains("\u{1b}[1;4mExamples:"), "{shown:?}");
    for page in ["man", "completions bash"] {
        let (_, shown) = at_a_terminal(&lab, &format!("TERM=xterm $EDGEPASS {page}"));
        assert!(!shown.contains(escape), "{page}: {shown:?}");
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

/// As root of a user namespace of its own, which has its own processes and mounts. Where the machine has no such namespaces
/// for its users the test fails, or is left out (`None`) if `EDGEPASS_TEST_WITHOUT_NAMESPACES` says that this is known.
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
    assert!(
        std::env::var_os("EDGEPASS_TEST_WITHOUT_NAMESPACES").is_some(),
        "this machine does not let its users have namespaces: {why}; where it cannot, set EDGEPASS_TEST_WITHOUT_NAMESPACES=1 to leave the test out"
    );
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
