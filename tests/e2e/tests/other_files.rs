//! Acceptance: what is given to the programs that run and compose applications in the place of something else is called what it
//! is, with what to do.

#![cfg(test)]

use anyhow::{Result, ensure};
use edgepass_e2e::{Command, Lab, edgepass_run_bin};

/// A component that imports and exports nothing.
fn component(lab: &Lab, text: &str) -> Result<String> {
    let path = lab.write("app.wasm", wat::parse_str(text)?)?;
    Ok(path.display().to_string())
}

/// Each kind of file as the configuration, for each command that takes one.
#[test]
fn a_file_that_is_no_configuration_is_called_what_it_is() -> Result<()> {
    let lab = Lab::new("other-files")?;
    let application = component(&lab, "(component)")?;
    let output = lab.scratch().join("composed.wasm").display().to_string();
    for (name, content, looks, fix) in [
        (
            "appsettings.json",
            r#"{"AzureAd": {"TenantId": "t", "ClientSecret": "of-the-test-alone"}}"#,
            ".NET",
            "config convert --appsettings",
        ),
        (
            "settings.py",
            "import os\nSOCIAL_AUTH_AZUREAD_OAUTH2_SECRET = 'of-the-test-alone'\n",
            "python-social-auth",
            "config convert --social-auth",
        ),
        (
            "envoy.yaml",
            "static_resources:\n  listeners: []\n",
            "of Envoy",
            "envoy-config",
        ),
        (
            "client.pem",
            "-----BEGIN PRIVATE KEY-----\nMIIof-the-test-alone\n",
            "a PEM file",
            "certificate_file",
        ),
        (
            "token",
            "eyJhbGciOiJSUzI1NiJ9.e30.of-the-test-alone\n",
            "like a token",
            "federated_token_file",
        ),
        (
            "configmap.yaml",
            "apiVersion: v1\nkind: ConfigMap\n",
            "of Kubernetes",
            "`data`",
        ),
        (
            "principal.json",
            r#"{"appId": "a", "password": "of-the-test-alone", "tenant": "t"}"#,
            "Azure CLI",
            "config init",
        ),
        (
            ".env",
            "AZURE_CLIENT_SECRET=of-the-test-alone\n",
            "of an environment",
            "set them",
        ),
        (
            "encoded.json",
            "eyJpZGVudGl0aWVzIjp7fX0=\n",
            "base64",
            "base64 -d",
        ),
        (
            "yaml.json",
            "identities:\n  app:\n    credential: {managed_identity: {}}\n",
            "is YAML by its look",
            ".yaml",
        ),
    ] {
        let config = lab.write(name, content)?.display().to_string();
        for arguments in [
            &["run", "--config", &config, &application][..],
            &["serve-http", "--config", &config, &application],
            &["compose", "--config", &config, &application, "-o", &output],
        ] {
            let command = Command::other(&lab, &edgepass_run_bin()?).bare();
            let ran = arguments.iter().fold(command, |c, a| c.arg(*a)).run()?;
            ensure!(ran.code == Some(2), "{arguments:?}: {}", ran.stderr);
            for part in [looks, fix] {
                ensure!(
                    ran.stderr.contains(part),
                    "{arguments:?}: {part}: {}",
                    ran.stderr
                );
            }
            ensure!(!ran.stderr.contains("of-the-test-alone"), "{}", ran.stderr);
        }
    }
    Ok(())
}

/// What exports no command is told from one, with who runs it.
#[test]
fn a_component_that_is_no_command_is_called_what_it_is() -> Result<()> {
    let lab = Lab::new("no-command")?;
    let config = r#"{"identities": {"app": {"credential": {"managed_identity": {}}}}}"#;
    let config = lab.write("edgepass.json", config)?.display().to_string();
    let exporting =
        |name: &str| format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#);
    for (text, words) in [
        (
            "(component)".to_owned(),
            &["no wasi:cli/run", "wasm32-wasip2"][..],
        ),
        (
            exporting("example:greeter/greet@1.0.0"),
            &["example:greeter/greet@1.0.0", "wac plug"],
        ),
        (exporting("wasi:http/handler@0.3.0"), &["serve-http"]),
    ] {
        let application = component(&lab, &text)?;
        let command = Command::other(&lab, &edgepass_run_bin()?).bare();
        let ran = command
            .arg("run")
            .arg("--config")
            .arg(&config)
            .arg(&application)
            .run()?;
        ensure!(ran.code == Some(2), "{text}: {}", ran.stderr);
        for word in words {
            ensure!(ran.stderr.contains(word), "{text}: {word}: {}", ran.stderr);
        }
    }
    // one that has a provider inside has its own configuration
    let inside = exporting("edgepass:credentials/credential-provider@0.2.0");
    let application = component(&lab, &format!("(component {inside})"))?;
    let command = Command::other(&lab, &edgepass_run_bin()?).bare();
    let run = command.arg("run").arg("--config").arg(&config);
    let ran = run.arg(&application).run()?;
    for word in ["has a provider inside", "wasmtime run"] {
        ensure!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    Ok(())
}

/// What may be a secret is repeated by no option.
#[test]
fn no_option_repeats_a_secret_in_the_place_of_its_value() -> Result<()> {
    let lab = Lab::new("repeated-options")?;
    let application = component(&lab, "(component)")?;
    for secret in [
        "abc8Q~0123456789abcdefghijklmnopqrstuvwx",
        "eyJvd24iOiJvZi10aGlzLXRlc3QifQ.eyJhIjoxfQ.c2lnbmF0dXJl",
        "Sup3r+Secret/Value==",
    ] {
        for (command, options) in [
            (
                "run",
                &[
                    "--config",
                    "--ca-file",
                    "--allow-host",
                    "--dir",
                    "--max-memory",
                    "--provide",
                    "--timeout",
                    "--secret",
                ][..],
            ),
            (
                "serve-http",
                &["--listen", "--request-timeout", "--max-requests"],
            ),
            (
                "compose",
                &[
                    "--config",
                    "--allow",
                    "--token-store",
                    "--provider",
                    "--secret",
                ],
            ),
        ] {
            for option in options {
                let run = Command::other(&lab, &edgepass_run_bin()?).bare();
                let run = run.arg(command).arg(*option).arg(secret);
                let run = match command {
                    "compose" => run.arg("-o").arg("/nowhere/composed.wasm"),
                    _ => run,
                };
                let ran = run.arg(&application).run()?;
                ensure!(ran.code == Some(2), "{command} {option}: {}", ran.stderr);
                ensure!(
                    !ran.stderr.contains(secret),
                    "{command} {option}: {}",
                    ran.stderr
                );
            }
        }
        // in the place of the application, of a command, and of nothing
        for arguments in [
            &["run", secret][..],
            &["serve-http", secret],
            &["compose", secret, "-o", "/nowhere/composed.wasm"],
            &[secret],
        ] {
            let run = Command::other(&lab, &edgepass_run_bin()?).bare();
            let ran = arguments.iter().fold(run, |c, a| c.arg(*a)).run()?;
            ensure!(ran.code == Some(2), "{arguments:?}: {}", ran.stderr);
            ensure!(
                !ran.stderr.contains(secret),
                "{arguments:?}: {}",
                ran.stderr
            );
        }
    }
    Ok(())
}
