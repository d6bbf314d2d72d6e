//! What `edgepass token` prints, and what it says while it works.

use std::process::Stdio;

use edgepass_emulator::Fault;
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use super::at_a_terminal;
use super::{command, edgepass, text};
use crate::support::{GRAPH, Lab};

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

/// What the log says to be taken from variables is, whatever the settings are written in: each secret in the settings' own file,
/// and in a variable.
#[test]
fn the_log_names_variables_that_are_set_and_no_others() {
    const SAYS: &str = "variables that the configuration takes something from: ";
    const SECRET: &str = "SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_SECRET";
    const OF_DOTNET: &str = "AzureAd__ClientSecret";

    let lab = Lab::new();
    let module = |secret: &str| {
        format!(
            "import os\nSOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_KEY = 'k'\nSOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_TENANT_ID = 't.example'\n\
             {SECRET} = {secret}\n"
        )
    };
    let dotnet = |more: Value| {
        let mut client = json!({ "TenantId": "t.example", "ClientId": "c" });
        client
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap());
        json!({ "AzureAd": client }).to_string()
    };
    for (option, text, variable, expected) in [
        ("--social-auth", module("'hunter2'"), None, None),
        ("--social-auth", module("os.environ['HIDDEN']"), Some("HIDDEN"), Some("HIDDEN")),
        ("--appsettings", dotnet(json!({ "ClientSecret": "hunter2" })), None, None),
        ("--appsettings", dotnet(json!({})), Some(OF_DOTNET), Some(OF_DOTNET)),
        (
            "--config",
            json!({ "identities": { "app": {
                "tenant_id": "t.example", "client_id": "c", "credential": { "client_secret": { "env": "HIDDEN" } },
            } } })
            .to_string(),
            Some("HIDDEN"),
            Some("HIDDEN"),
        ),
    ] {
        let file = lab.write("settings", &text);
        let mut command = command(&lab, &["config", "check", "-v", option]);
        command.arg(&file).env_remove("EDGEPASS_AUTHORITY_HOSTS");
        for name in ["TENANT_ID", "CLIENT_ID", "AUTHORITY_HOST", "FEDERATED_TOKEN_FILE"] {
            command.env_remove(format!("AZURE_{name}"));
        }
        if let Some(name) = variable {
            command.env(name, "hunter2");
        }
        let output = command.output().unwrap();
        let said = super::text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{text}: {said}");
        assert!(said.contains("info: configuration: "), "{said}");
        let named = said.lines().find_map(|line| Some(line.split_once(SAYS)?.1));
        assert_eq!(named, expected, "{text}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
