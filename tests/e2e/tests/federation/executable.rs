//! A command that prints the assertion.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use edgepass::{Error, ErrorClass};
use edgepass_e2e::Lab;
use serde_json::{Value, json};

use crate::{EXCHANGE, forced, graph, provider, trust};

const ALLOWED: (&str, &str) = ("EDGEPASS_ALLOW_EXECUTABLES", "1");

/// The subject of the emulator's own issuer.
const SUBJECT: &str = "system:serviceaccount:default:edgepass-demo";

/// A shell script of that text.
fn script(lab: &Lab, name: &str, text: &str) -> Result<String> {
    let path = lab.write(name, format!("#!/bin/sh\n{text}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    Ok(path.display().to_string())
}

fn variables(more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let path = ("PATH", std::env::var("PATH").unwrap_or_default());
    let more = more
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    [(ALLOWED.0, ALLOWED.1.to_owned()), path]
        .into_iter()
        .chain(more)
        .collect()
}

async fn failure(lab: &Lab, executable: &Value) -> Result<Error> {
    let credential = json!({ "executable": executable });
    let provider = provider(lab, &credential, &variables(&[])).await?;
    provider.get_token(&graph()).await.err().context("a token")
}

#[tokio::test]
async fn a_command_prints_the_assertion_by_googles_contract() -> Result<()> {
    let lab = Lab::new("federation_executable")?;
    trust(&lab, lab.emulator.issuer().url(), SUBJECT);
    let told = lab.scratch().join("told");
    // it takes the token of the file, so that each run has the one that is there
    let text = format!(
        r#"env > '{}'
cat >/dev/null
echo "noise with $2" >&2
printf '{{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"%s","expiration_time":4102444800}}' "$(cat "$1")""#,
        told.display()
    );
    let command = script(&lab, "token", &text)?;
    let credential = json!({ "executable": {
        "command": command,
        "arguments": [lab.files.token_file(), "$(hostname) ; `id`"],
        "environment": ["PASSED"],
    } });
    let variables = variables(&[("PASSED", "as it is"), ("KEPT_BACK", "hunter2")]);
    let provider = provider(&lab, &credential, &variables).await?;
    lab.issued(&provider.get_token(&graph()).await?);
    lab.rotate_token(&edgepass_emulator::Mint::new())?;
    lab.issued(&provider.get_token(&forced()).await?);
    let requests = lab.emulator.token_requests();
    assert_eq!(requests.len(), 2);
    assert_ne!(
        requests[0].field("client_assertion"),
        requests[1].field("client_assertion")
    );
    let told = std::fs::read_to_string(&told)?;
    let has = |line: &str| told.lines().any(|known| known == line);
    assert!(has(&format!("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE={EXCHANGE}")));
    assert!(has(
        "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=urn:ietf:params:oauth:token-type:jwt"
    ));
    assert!(has("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0"));
    assert!(has("PASSED=as it is"));
    assert!(
        !told.contains("hunter2") && !told.contains(ALLOWED.0),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn a_command_that_gives_nothing_is_told_by_its_reason() -> Result<()> {
    let lab = Lab::new("federation_executable_fails")?;
    for (name, text, expected, retryable) in [
        (
            "refuses",
            r#"echo '{"version":1,"success":false,"code":"401","message":"not you"}'; echo SHOWN >&2"#,
            "it says 401: not you",
            false,
        ),
        (
            "refuses-and-fails",
            r#"echo '{"version":1,"success":false,"code":"7","message":"not now"}'; exit 3"#,
            "it says 7: not now",
            false,
        ),
        (
            "fails",
            "echo SHOWN >&2; echo SHOWN; exit 3",
            "exit status: 3",
            false,
        ),
        (
            "no-json",
            "echo SHOWN",
            "6 bytes, is not the JSON object",
            false,
        ),
        (
            "too-much",
            "dd if=/dev/zero bs=1024 count=200 2>/dev/null",
            "it printed more than 69632 bytes",
            false,
        ),
        (
            "expired",
            r#"echo '{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"SHOWN","expiration_time":1}'"#,
            "has expired",
            false,
        ),
        // one that it has started holds its output
        (
            "hangs",
            "sleep 600 & sleep 600",
            "did not end within 300 ms",
            true,
        ),
    ] {
        let command = script(&lab, name, text)?;
        let executable =
            json!({ "command": command, "timeout_ms": if retryable { 300 } else { 9_000 } });
        let error = failure(&lab, &executable).await?;
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{name}: {shown}");
        assert!(shown.contains(&command), "{name}: {shown}");
        assert!(!shown.contains("SHOWN"), "{name}: {shown}");
        assert_eq!(error.detail().retryable, retryable, "{name}: {shown}");
    }
    let error = failure(&lab, &json!({ "command": "/nowhere/token" })).await?;
    assert!(error.to_string().contains("is not there"), "{error}");
    let plain = lab.write("plain", "text")?;
    let error = failure(&lab, &json!({ "command": plain })).await?;
    assert!(error.to_string().contains("cannot be started"), "{error}");
    assert!(lab.emulator.journal().is_empty());
    Ok(())
}

/// One that hangs is ended, and all that it has started.
#[tokio::test]
async fn nothing_runs_on_that_nobody_waits_for() -> Result<()> {
    let lab = Lab::new("federation_executable_ended")?;
    let numbers = lab.scratch().join("numbers");
    let text = format!(
        "sleep 600 & echo $! > '{0}'; echo $$ >> '{0}'; wait",
        numbers.display()
    );
    let command = script(&lab, "hangs", &text)?;
    failure(&lab, &json!({ "command": command, "timeout_ms": 1000 })).await?;
    let numbers = std::fs::read_to_string(&numbers)?;
    assert_eq!(numbers.lines().count() % 2, 0, "{numbers}");
    for number in numbers.lines() {
        // one that has ended may wait for its parent to look (Z)
        let stat = Path::new("/proc").join(number).join("stat");
        edgepass_e2e::until("a process that was ended is gone", || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            let state = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.chars().next());
            (stat.is_empty() || state == Some('Z')).then_some(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_permission_nothing_is_run() -> Result<()> {
    let lab = Lab::new("federation_executable_denied")?;
    let credential = json!({ "executable": { "command": "/bin/true" } });
    let error = provider(&lab, &credential, &[]).await.err();
    let error = error.context("a provider")?.to_string();
    assert!(error.contains("EDGEPASS_ALLOW_EXECUTABLES=1"), "{error}");
    Ok(())
}
