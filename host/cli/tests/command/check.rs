//! `edgepass config check`: what it describes, and the mistakes that it names.

use serde_json::{Value, json};

use super::{command, edgepass, text};
use crate::support::{GRAPH, Lab};

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
    let setting = "identities.app.credential.federated_token_file.path";
    let says = format!("/later ({setting}) cannot be read now");
    assert!(said.contains(&says), "{said}");
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

/// What an application gets its tokens by is described, in the order in which it counts.
#[test]
fn the_rules_of_an_application_are_described() {
    let lab = Lab::new();
    let mut config = lab.config(&json!({ "client_secret": { "value": "hunter2" } }));
    config["certificates"] = json!({});
    config["http"] = json!({ "rules": [
        { "match": { "host": "API.example", "port": 8443, "path_prefix": "/v1/x", "methods": ["GET", "PUT"] },
          "scopes": ["api://one/.default"], "identity": "app", "header": "X-Token" },
        { "match": { "host": "api.example" }, "disabled": true },
        { "match": { "host": "*.example" }, "scopes": ["api://two/.default"], "keep_existing": true },
    ] });
    let path = lab.write("config.json", config.to_string());
    let output = edgepass(&lab, &["config", "check", path.to_str().unwrap()]);
    let said = text(&output.stdout);
    let lines = "\
        requests of an application get a token by the first rule that fits\n  \
        0: api.example:8443/v1/x (GET, PUT): api://one/.default of identity app, in x-token\n  \
        1: api.example: no token\n  \
        2: *.example: api://two/.default of identity app, in authorization if there is none\n";
    assert!(said.contains(lines), "{said} {}", text(&output.stderr));
    assert!(!said.contains("hunter2"), "{said}");
}
