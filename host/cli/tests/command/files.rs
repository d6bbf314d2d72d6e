//! Files as people make them, pipes, and files that do not come.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use super::at_a_terminal;
use super::{command, edgepass, text};
#[cfg(target_os = "linux")]
use crate::support::silent::Silent;
use crate::support::{GRAPH, Lab};

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
        ("SSL_CERT_FILE", fifo.as_os_str(), "it is a pipe"),
        ("SSL_CERT_FILE", folder.as_os_str(), "it is a folder"),
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

/// Each way to name a file, and each way in which it cannot be read: the error has what names it, the file, and a fix.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_read_is_named_with_what_names_it() {
    let lab = Lab::new();
    let missing = lab.root().join("missing");
    let inside = lab.write("a-file", "").join("inside");
    let folder = lab.root().to_path_buf();
    let link = lab.root().join("a-link");
    std::os::unix::fs::symlink("nothing", &link).unwrap();
    let fifo = pipe(&lab, "nobody-writes");
    for (path, reason, fix) in [
        (&missing, "there is no such file", "check the path"),
        (&inside, "there is no such file", "check the path"),
        (
            &link,
            "it is a link to a file that is not there",
            "where the link leads",
        ),
        (&folder, "it is a folder", "name a file"),
        (&fifo, "it is a pipe", "have something write into the pipe"),
    ] {
        let path = path.to_str().unwrap();
        for (setting, arguments) in [
            ("--config", &["config", "check", "--config", path][..]),
            ("--appsettings", &["config", "check", "--appsettings", path]),
            ("--social-auth", &["config", "check", "--social-auth", path]),
            ("EDGEPASS_CONFIG", &["config", "check"]),
        ] {
            // each waits its time for who writes
            if path == fifo.to_str().unwrap() && setting != "--config" {
                continue;
            }
            let mut command = command(&lab, arguments);
            if setting == "EDGEPASS_CONFIG" {
                command.env(setting, path);
            }
            let output = command.output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{setting} {path}: {said}");
            let begins = format!("edgepass: error: {setting}: ");
            assert!(said.starts_with(&begins), "{path}: {said}");
            for part in [path, reason, "hint: ", fix] {
                assert!(said.contains(part), "{setting}: {part}: {said}");
            }
        }
        // a file that is read at each exchange, and certification authorities
        for (setting, arguments) in [
            (
                "federated_token_file.path",
                &["token", "--scope", GRAPH][..],
            ),
            ("--ca-file", &["token", "--scope", GRAPH, "--ca-file", path]),
            ("host.ca_file", &["token", "--scope", GRAPH]),
            ("host.extra_ca_file", &["token", "--scope", GRAPH]),
            ("SSL_CERT_FILE", &["token", "--scope", GRAPH]),
        ] {
            let mut command = command(&lab, arguments);
            if setting == "federated_token_file.path" {
                let kind = json!({ "federated_token_file": { "path": path } });
                let config = lab.write("config.json", lab.config(&kind).to_string());
                command.env("EDGEPASS_CONFIG", config);
            }
            command.args(["--error-format", "text"]);
            if let Some(field) = setting.strip_prefix("host.") {
                let token = lab.files.token_file();
                let mut config = lab.config(&json!({ "federated_token_file": { "path": token } }));
                config["host"] = json!({ field: path });
                let config = lab.write("authorities.json", config.to_string());
                command.env("EDGEPASS_CONFIG", config);
            }
            if setting == "SSL_CERT_FILE" {
                command.env(setting, path);
            }
            let output = command.output().unwrap();
            let said = text(&output.stderr);
            assert_ne!(output.status.code(), Some(0), "{setting} {path}: {said}");
            if setting != "federated_token_file.path" {
                let begins = format!("edgepass: error: {setting}: ");
                assert!(
                    said.starts_with(&begins) && said.contains("hint: "),
                    "{setting}: {said}"
                );
            }
            assert!(
                said.contains(path) && said.contains(setting),
                "{setting}: {said}"
            );
        }
    }
}
