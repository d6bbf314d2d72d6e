//! Secrets in places of other things, in answers, and in memory.

use std::process::Stdio;

use edgepass_emulator::Fault;
use serde_json::json;

use super::{command, edgepass, text};
use crate::support::{GRAPH, Lab};

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
        ("-1", false),
        ("-0.5", false),
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
