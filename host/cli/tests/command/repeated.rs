//! What the command line has in a wrong place, and no message repeats.

use super::{edgepass, text};
use crate::support::Lab;

/// A client secret as Entra ID makes them, a token, and what a person may think of.
const SECRETS: &[&str] = &[
    "abc8Q~0123456789abcdefghijklmnopqrstuvwx",
    "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl",
    "Sup3r+Secret/Value==",
    "correct \"horse\" battery\\staple",
];

/// Every option and argument that is not a secret's, with a secret.
#[test]
fn no_option_repeats_a_secret_in_the_place_of_its_value() {
    const TOKEN: &[&str] = &["token", "-s", "https://graph.microsoft.com/.default"];
    const SIGN_IN: &[&str] = &[
        "authorization-url",
        "-s",
        "openid",
        "--redirect-uri",
        "https://app.example/c",
    ];
    const ENVOY: &[&str] = &["envoy-config"];
    let lab = Lab::new();
    let config = lab.write(
        "edgepass.json",
        r#"{"identities": {"app": {"tenant_id": "t.example", "client_id": "c",
            "credential": {"federated_token_file": {"path": "/edgepass-none"}}}}}"#,
    );
    let config = config.to_str().unwrap();
    let settings = lab.write(
        "appsettings.json",
        r#"{"AzureAd": {"TenantId": "t.example", "ClientId": "c"}}"#,
    );
    let settings = settings.to_str().unwrap();
    for (command, options) in [
        (
            TOKEN,
            &[
                "",
                "--scope",
                "--identity",
                "--tenant",
                "--claims",
                "--timeout",
                "--ca-file",
                "--format",
                "--config",
                "--config-format",
                "--appsettings",
                "--social-auth",
                "--grant",
                "--assertion-file",
                "--code-file",
                "--refresh-token-file",
                "--subject-token-file",
                "--subject-token-type",
                "--actor-token-type",
                "--requested-token-type",
                "--audience",
                "--resource",
                "--agent",
                "--user",
                "--nonce",
                "--error-format",
                "--secret",
            ][..],
        ),
        (
            SIGN_IN,
            &[
                "",
                "--redirect-uri",
                "--identity",
                "--tenant",
                "--login-hint",
                "--prompt",
                "--domain-hint",
                "--response-mode",
                "--parameter",
                "--claims",
            ],
        ),
        (
            ENVOY,
            &[
                "",
                "--listen",
                "--upstream",
                "--admin",
                "--module",
                "--check",
                "--certificate",
                "--only",
                "--format",
                "--app",
                "--namespace",
                "--image",
            ],
        ),
        (&["config", "check"], &["", "--config-format"]),
        (&["config", "convert"], &["", "--format"]),
        (&["config", "init"], &["--format"]),
        (&["completions"], &[""]),
        (&["man"], &[""]),
        (&[], &[""]),
    ] {
        for option in options {
            for secret in SECRETS {
                let joined = format!("{option}={secret}");
                let forms: [&[&str]; 2] = match *option {
                    "" => [&[secret], &["--", secret]],
                    _ => [&[option, secret], &[&joined]],
                };
                for form in forms {
                    let takes_config = matches!(command, [first, ..] if *first != "config" && command.len() > 1 || *first == "envoy-config");
                    let names_config =
                        ["--config", "--appsettings", "--social-auth"].contains(option);
                    let mut arguments = command.to_vec();
                    if takes_config && !names_config {
                        arguments.extend(["--config", config]);
                    }
                    arguments.extend(form);
                    let output = edgepass(&lab, &arguments);
                    let said = text(&output.stderr);
                    let escaped = secret.replace('\\', "\\\\").replace('"', "\\\"");
                    for repeated in [*secret, &escaped] {
                        assert!(!said.contains(repeated), "{arguments:?}: {said}");
                    }
                }
            }
        }
    }
    // sections and APIs of another program's settings
    for option in ["--section", "--api"] {
        for secret in SECRETS {
            let arguments = ["token", "--appsettings", settings, option, secret];
            let output = edgepass(&lab, &arguments);
            let said = text(&output.stderr);
            assert_ne!(output.status.code(), Some(0), "{arguments:?}");
            assert!(!said.contains(secret), "{arguments:?}: {said}");
        }
    }
}

/// A name that was misspelt is repeated: people look for it.
#[test]
fn a_name_that_is_not_there_is_repeated() {
    let lab = Lab::new();
    let config = lab.write(
        "edgepass.json",
        r#"{"identities": {"app": {"credential": {"managed_identity": {}}}}}"#,
    );
    let config = config.to_str().unwrap();
    let arguments = [
        "token",
        "--config",
        config,
        "--identity",
        "bililng",
        "-s",
        "https://a.example",
    ];
    let output = edgepass(&lab, &arguments);
    let said = text(&output.stderr);
    assert!(said.contains("`bililng`") && said.contains("app"), "{said}");
}
