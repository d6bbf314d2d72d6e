use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::files::Scratch;
use crate::support::{FORM, JWT_BEARER, form};

async fn start(scratch: &Scratch, extra: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgepass-emulator"))
        .arg("--dir")
        .arg(scratch.path())
        .args(extra)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line}"));
    (child, ready)
}

/// Asks with curl, in the environment of the `env` file.
async fn curl(ready: &Value, arguments: &str) -> String {
    let script = format!(". \"$1\" && curl -sS {arguments}");
    let output = Command::new("sh")
        .args(["-c", &script, "sh", ready["env_file"].as_str().unwrap()])
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    let status = Command::new("kill")
        .args(["-s", name, &pid])
        .status()
        .await
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn the_command_serves_until_it_is_told_to_stop() {
    for name in ["INT", "TERM", "HUP"] {
        let scratch = Scratch::new(&format!("command-{name}"));
        let (mut child, ready) = start(&scratch, &["--access-token-lifetime", "77"]).await;
        assert_eq!(ready["ready"], true);
        let token = std::fs::read_to_string(ready["token_file"].as_str().unwrap()).unwrap();
        let body = form(&[
            ("client_assertion", &token),
            ("client_assertion_type", JWT_BEARER),
            ("client_id", ready["client_id"].as_str().unwrap()),
            ("grant_type", "client_credentials"),
            ("scope", ready["scopes"][0].as_str().unwrap()),
        ]);
        let url = ready["token_endpoint"].as_str().unwrap();
        let answer = curl(
            &ready,
            &format!("-H '{}: {}' -d '{body}' {url}", FORM.0, FORM.1),
        )
        .await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["expires_in"], 77, "{answer}");
        let access_token = answer["access_token"].as_str().unwrap();

        signal(&child, name).await;
        let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await;
        assert!(ended.unwrap().unwrap().success());
        let env = std::path::Path::new(ready["env_file"].as_str().unwrap());
        assert!(
            !env.exists(),
            "whoever waits for the next one gets this one"
        );
        let mut log = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .await
            .unwrap();
        assert!(log.contains("/oauth2/v2.0/token 200 by federated"), "{log}");
        assert!(
            !log.contains(&token) && !log.contains(access_token),
            "{log}"
        );
    }
}

#[tokio::test]
async fn the_command_rotates_by_itself() {
    let scratch = Scratch::new("command-rotates");
    let (mut child, ready) = start(
        &scratch,
        &["--rotate-every", "1", "--token-lifetime", "600", "--quiet"],
    )
    .await;
    let file = ready["token_file"].as_str().unwrap();
    let first = std::fs::read_to_string(file).unwrap();
    let mut rounds = 0;
    while std::fs::read_to_string(file).is_ok_and(|text| text == first) {
        rounds += 1;
        assert!(rounds < 1_200, "not rotated in a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    signal(&child, "TERM").await;
    child.wait().await.unwrap();
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .await
        .unwrap();
    assert_eq!(log, "");
}

#[tokio::test]
async fn the_metadata_service_is_in_the_environment_when_it_is_asked_for() {
    let scratch = Scratch::new("command-metadata");
    let (_child, ready) = start(&scratch, &["--metadata-port", "0", "--quiet"]).await;
    let authority = ready["metadata_authority"].as_str().unwrap();
    assert!(authority.starts_with("http://127.0.0.1:"), "{authority}");
    let url = "\"$AZURE_POD_IDENTITY_AUTHORITY_HOST/metadata/identity/oauth2/token\
        ?api-version=2018-02-01&resource=https://vault.azure.net\"";
    let answer = curl(&ready, &format!("-H 'Metadata: true' {url}")).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["resource"], "https://vault.azure.net", "{answer}");

    let scratch = Scratch::new("command-no-metadata");
    let (_child, ready) = start(&scratch, &["--quiet"]).await;
    let env = std::fs::read_to_string(ready["env_file"].as_str().unwrap()).unwrap();
    assert!(!env.contains("POD_IDENTITY"), "{env}");
}

/// One that does not get to listen, because the port is in use.
async fn refused(scratch: &Scratch, port: &str) -> std::process::Output {
    let output = Command::new(env!("CARGO_BIN_EXE_edgepass-emulator"))
        .arg("--dir")
        .arg(scratch.path())
        .args(["--port", port])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    output
}

#[tokio::test]
async fn a_port_in_use_is_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let scratch = Scratch::new("command-port");
    let output = refused(&scratch, &port).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("in use"),
        "{text}"
    );
}

#[tokio::test]
async fn what_an_emulator_has_left_that_was_killed_goes_first() {
    let scratch = Scratch::new("command-stale");
    let env = scratch.path().join("env");
    std::fs::write(&env, "export AZURE_AUTHORITY_HOST='https://localhost:1/'\n").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&scratch, &port).await;
    assert!(!env.exists());
}

#[tokio::test]
async fn what_another_emulator_has_written_stays() {
    let scratch = Scratch::new("command-two");
    let (mut child, ready) = start(&scratch, &["--quiet"]).await;
    let env = ready["env_file"].as_str().unwrap();
    std::fs::write(env, "export ANOTHER=1\n").unwrap();
    signal(&child, "TERM").await;
    assert!(child.wait().await.unwrap().success());
    assert_eq!(std::fs::read_to_string(env).unwrap(), "export ANOTHER=1\n");
}

#[tokio::test]
async fn other_programs_of_the_shell_trust_whom_they_trusted() {
    let scratch = Scratch::new("command-bundle");
    let (_child, ready) = start(&scratch, &["--quiet"]).await;
    let read = |name: &str| std::fs::read_to_string(ready[name].as_str().unwrap()).unwrap();
    let system = openssl_probe::probe().cert_file;
    let system = system.map(|file| std::fs::read_to_string(file).unwrap());
    let expected = read("ca_file") + &system.unwrap_or_default();
    assert_eq!(read("bundle_file"), expected);
    let env = read("env_file");
    for (name, file) in [
        ("SSL_CERT_FILE", "bundle_file"),
        ("REQUESTS_CA_BUNDLE", "bundle_file"),
        ("CURL_CA_BUNDLE", "bundle_file"),
        ("NODE_EXTRA_CA_CERTS", "ca_file"),
    ] {
        let line = format!("export {name}='{}'\n", ready[file].as_str().unwrap());
        assert!(env.contains(&line), "{line:?} in {env}");
    }
}
