//! Values that nobody has filled in, variables of other programs, and certificates that are none.

use serde_json::json;

use super::{command, text};
use crate::support::Lab;

const SECRET: &str = "identities.app.credential.client_secret.value";

/// A place for a secret may be one: it is a warning, and strictly a mistake.
#[test]
fn a_secret_that_was_never_filled_in_is_doubted() {
    let lab = Lab::new();
    let check = |value: &str, strict: bool| {
        let mut config = lab.config(&json!({ "client_secret": { "value": value } }));
        // one that no credential uses is a warning of its own
        config["certificates"] = json!({});
        let path = lab.write("unfilled.json", config.to_string());
        let mut arguments = vec!["config", "check", path.to_str().unwrap()];
        arguments.extend(strict.then_some("--strict"));
        command(&lab, &arguments).output().unwrap()
    };
    for (value, doubt) in [
        ("<hunter2>", Some("was never filled in")),
        ("${HUNTER2}", Some("was never filled in")),
        ("[Enter the hunter2 here]", Some("was never filled in")),
        ("your-client-secret", Some("was never filled in")),
        ("\"hunter2\"", Some("is in quotes")),
        ("hunter2<a>{b}", None),
    ] {
        let output = check(value, false);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(!said.contains(value), "{said}");
        match doubt {
            Some(doubt) => assert!(
                said.contains(&format!("warning: {SECRET} {doubt}")),
                "{said}"
            ),
            None => assert!(!said.contains("warning"), "{said}"),
        }
        let output = check(value, true);
        let said = text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(if doubt.is_some() { 2 } else { 0 }),
            "{said}"
        );
        assert!(
            !said.contains("unter2") && !said.contains("UNTER2"),
            "{said}"
        );
    }
}

/// By the name and place that the settings have, which the secret came from.
#[test]
fn a_place_in_other_settings_is_named_where_it_stands() {
    let lab = Lab::new();
    let settings = json!({ "AzureAd": {
        "Instance": "https://login.microsoftonline.com/", "TenantId": "contoso.example", "ClientId": "c",
        "ClientCredentials": [
            { "SourceType": "ClientSecret", "ClientSecret": "<client-secret>" },
            { "SourceType": "Path", "CertificateDiskPath": "/c.pfx", "CertificatePassword": "${PASSWORD}" },
        ],
    } });
    let appsettings = lab.write("appsettings.json", settings.to_string());
    let module = "SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_KEY = 'c'\nSOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_TENANT_ID = 't'\n\
                  SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_SECRET = '{SECRET_VALUE}'\n";
    let module = lab.write("settings.py", module);
    for (option, path, places) in [
        (
            "--appsettings",
            &appsettings,
            &[
                "AzureAd:ClientCredentials:0:ClientSecret (",
                "AzureAd:ClientCredentials:1:CertificatePassword (",
            ][..],
        ),
        (
            "--social-auth",
            &module,
            &["SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_SECRET ("],
        ),
    ] {
        let arguments = ["config", "check", option, path.to_str().unwrap()];
        let output = command(&lab, &arguments)
            .env_remove("AZURE_FEDERATED_TOKEN_FILE")
            .output()
            .unwrap();
        let said = text(&output.stdout);
        for place in places {
            let mut lines = said
                .lines()
                .filter(|line| line.contains("was never filled in"));
            assert!(
                lines.any(|line| line.starts_with(&format!("warning: {place}"))),
                "{place}: {said}{}",
                text(&output.stderr)
            );
        }
    }
    // a variable of the SDKs
    let output = command(&lab, &["config", "check"])
        .env_remove("AZURE_FEDERATED_TOKEN_FILE")
        .env("AZURE_CLIENT_SECRET", "${AZURE_CLIENT_SECRET}")
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(
        said.contains("warning: AZURE_CLIENT_SECRET was never filled in"),
        "{said}"
    );
}

#[test]
fn variables_of_another_program_are_not_passed_over_in_silence() {
    let lab = Lab::new();
    let bare = |arguments: &[&str], pairs: &[(&str, &str)]| {
        let mut command = command(&lab, arguments);
        for name in [
            "AZURE_CLIENT_ID",
            "AZURE_TENANT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
        ] {
            command.env_remove(name);
        }
        command.envs(pairs.iter().copied()).output().unwrap()
    };
    for (pairs, part) in [
        (
            &[("AzureAd__ClientId", "hunter2")][..],
            "AzureAd__ClientId is not used",
        ),
        (&[("ARM_CLIENT_ID", "hunter2")], "ARM_CLIENT_ID is not used"),
    ] {
        let output = bare(&["config", "check"], pairs);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(
            said.contains(&format!("warning: {part}")) && !said.contains("hunter2"),
            "{said}"
        );
        let strict = bare(&["config", "check", "--strict"], pairs);
        assert_eq!(strict.status.code(), Some(2));
        let begun = bare(&["config", "init"], pairs);
        let written = text(&begun.stdout);
        assert!(
            written.contains(&format!("\n# {part}")) && !written.contains("hunter2"),
            "{written}"
        );
    }
    // where nothing else would do either
    let output = bare(
        &["config", "check"],
        &[
            ("ARM_CLIENT_ID", "hunter2"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x.example"),
        ],
    );
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("ARM_CLIENT_ID is not used") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_certificate_that_never_can_be_one_is_a_mistake() {
    let lab = Lab::new();
    let mut config = lab.config(&json!({ "certificate": { "name": "c" } }));
    config["certificates"] = json!({ "c": { "certificate_base64": "MIIhunter2..r1n8Ta0=" } });
    let path = lab.write("certificate.json", config.to_string());
    let output = command(&lab, &["config", "check", path.to_str().unwrap()])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("certificates.c.certificate_base64")
            && said.contains("is not base64 of a certificate"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn all_mistakes_of_a_settings_module_are_named_at_once() {
    let lab = Lab::new();
    let names = ["KEY", "TENANT_ID", "SECRET"]
        .map(|name| format!("SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_{name}"));
    let module: String = names
        .iter()
        .map(|name| format!("{name} = env('hunter2')\n"))
        .collect();
    let path = lab.write("settings.py", module);
    let output = command(
        &lab,
        &["config", "check", "--social-auth", path.to_str().unwrap()],
    )
    .output()
    .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for name in names {
        assert!(said.contains(&format!("error: {name} (")), "{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}
