//! The command line: its help, and what people type by habit or in a wrong place.

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use super::at_a_terminal;
use super::{command, edgepass, text};
use crate::support::{GRAPH, Lab};

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
            "configuration . cannot be read: it is a folder",
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
