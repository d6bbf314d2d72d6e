//! Acceptance: the same token file, the same emulator, three clients. The SDKs for Python and Rust are real, and the
//! form that edgepass posts is theirs, byte for byte.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential as _;
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use edgepass_e2e::{Command, GRAPH, Lab, peers_python, peers_script};
use serde_json::Value;

/// What `grant_type=client_credentials` with a federated token file looks like, in this order.
const FIELDS: [&str; 5] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "grant_type",
    "scope",
];

#[test]
fn edgepass_and_both_azure_sdks_post_the_same_bytes() -> Result<()> {
    let lab = Lab::new("peers_same_bytes")?;
    let ours = lab.edgepass(&["token", "--scope", GRAPH])?.run()?.token()?;
    python(&lab)?;
    rust(&lab)?;

    let requests = lab.emulator.token_requests();
    assert_eq!(requests.len(), 3, "{requests:#?}");
    for request in &requests {
        assert_eq!(request.status, Some(200));
        assert_eq!(request.method_of_proof.as_deref(), Some("federated"));
        let names: Vec<String> = request.form().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, FIELDS);
        assert_eq!(request.path, requests[0].path);
        assert_eq!(
            request.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
    }
    let bodies = lab.bodies();
    assert_eq!(
        without_assertion(&bodies[0]),
        without_assertion(&bodies[1]),
        "Python's SDK posts other bytes"
    );
    assert_eq!(
        without_assertion(&bodies[0]),
        without_assertion(&bodies[2]),
        "Rust's SDK posts other bytes"
    );
    assert_eq!(ours["token_type"], "Bearer");
    assert_eq!(ours["scope"], GRAPH);
    assert!(ours["expires_on"].as_u64() > ours["refresh_on"].as_u64());
    Ok(())
}

#[test]
fn a_line_break_at_the_end_of_the_token_file_changes_nothing() -> Result<()> {
    let lab = Lab::new("peers_newline")?;
    let token = lab.emulator.issuer().token()?;
    for content in [token.clone(), format!("{token}\n"), format!("{token}\r\n")] {
        lab.write_token_file(&content)?;
        lab.edgepass(&["token", "--scope", GRAPH])?.run()?.token()?;
    }
    let bodies = lab.bodies();
    assert_eq!(bodies.len(), 3);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[0], bodies[2]);
    Ok(())
}

#[test]
fn the_env_file_is_all_that_a_program_needs() -> Result<()> {
    let lab = Lab::new("peers_env_file")?;
    let edgepass = edgepass_e2e::edgepass_bin()?;
    let (python, script) = (peers_python()?, peers_script("azure_identity_token.py")?);
    let in_shell = |script: String| {
        let line = format!(". '{}' && exec {script}", lab.files.env_file().display());
        Command::other(&lab, "/bin/sh".as_ref())
            .bare()
            .arg("-c")
            .arg(line)
            .run()
    };
    let ours = in_shell(format!("'{}' token --scope {GRAPH}", edgepass.display()))?.token()?;
    assert_eq!(ours["identity"], "default");
    let theirs = in_shell(format!(
        "'{}' '{}' {GRAPH}",
        python.display(),
        script.display()
    ))?;
    assert_eq!(theirs.code, Some(0), "{}", theirs.stderr);
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

#[test]
fn every_output_format_is_of_the_same_token() -> Result<()> {
    let lab = Lab::new("peers_formats")?;
    let token = lab
        .edgepass(&["token", "--scope", GRAPH, "--format", "token"])?
        .run()?;
    let header = lab
        .edgepass(&["token", "--scope", GRAPH, "--format", "header", "-vv"])?
        .run()?;
    assert_eq!((token.code, header.code), (Some(0), Some(0)));
    assert_eq!(token.stdout.trim().split('.').count(), 3, "a JWT");
    let value = header
        .stdout
        .trim()
        .strip_prefix("Authorization: Bearer ")
        .context("a header")?;
    assert_eq!(value.split('.').count(), 3, "a JWT");
    assert!(
        header.stderr.contains("edgepass: "),
        "-vv says what happens: {}",
        header.stderr
    );
    Ok(())
}

/// The token of Python's `WorkloadIdentityCredential`, from the environment alone.
fn python(lab: &Lab) -> Result<()> {
    let script = peers_script("azure_identity_token.py")?;
    let ran = Command::other(lab, &peers_python()?)
        .arg(script.display().to_string())
        .arg(GRAPH)
        .run()?;
    ensure!(
        ran.code == Some(0),
        "azure-identity for Python: {}",
        ran.stderr
    );
    let told: Value = serde_json::from_str(&ran.stdout)?;
    ensure!(
        told.get("expires_on").is_some_and(Value::is_u64),
        "no expiry: {told}"
    );
    Ok(())
}

/// The token of Rust's `WorkloadIdentityCredential`.
fn rust(lab: &Lab) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ca = reqwest::Certificate::from_pem(lab.emulator.ca_pem().as_bytes())?;
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .build()?;
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = lab.emulator.authority();
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(client))),
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        ..ClientOptions::default()
    };
    let credential = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options },
        client_id: Some(lab.emulator.client_id().to_owned()),
        tenant_id: Some(lab.emulator.tenant().to_owned()),
        token_file_path: Some(lab.files.token_file()),
    }))?;
    let token = runtime.block_on(credential.get_token(&[GRAPH], None))?;
    lab.evidence.secret("access token", token.token.secret());
    Ok(())
}

/// The raw form with a star in place of the assertion's value.
fn without_assertion(body: &str) -> String {
    let fields = body.split('&').map(|field| match field.split_once('=') {
        Some((name @ "client_assertion", _)) => format!("{name}=*"),
        _ => field.to_owned(),
    });
    fields.collect::<Vec<_>>().join("&")
}
