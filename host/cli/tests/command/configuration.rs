//! Where a configuration comes from, and in which format.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{command, edgepass, text};
use crate::support::{GRAPH, Lab};

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
