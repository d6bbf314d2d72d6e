//! The steps that run the `edgepass` command, as a user would.

use crate::{SCOPE, Stage, show};
use anyhow::{Context as _, Result, bail};
use edgepass_emulator::{JournalEntry, Mint};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The token file, before anything is done with it.
pub(crate) fn identity(stage: &Stage) -> Result<()> {
    show::title("1. The identity: a file that the platform rotates");
    let variables = stage.emulator.env();
    let path = variables
        .iter()
        .find(|(name, _)| *name == "AZURE_FEDERATED_TOKEN_FILE")
        .map(|(_, path)| path.clone())
        .context("the emulator names no token file")?;
    show::text("A pod has no secret. It has a token of its cluster, which says who it is:");
    show::fact("file", &path);
    let token = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    show::claims(&token, &["iss", "sub", "aud", "exp"])
}

/// The exchange.
pub(crate) fn exchange(stage: &Stage) -> Result<()> {
    show::title("2. The exchange: edgepass token");
    show::text(&format!(
        "$ edgepass token --scope {SCOPE}\n\
         The command holds a WebAssembly component. The component, in its sandbox, reads the token\n\
         file through the host and posts it to the token endpoint:"
    ));
    stage.emulator.clear_journal();
    let (answer, took) = token(stage, &["--scope", SCOPE])?;
    show_request(&last_request(stage)?);
    show::text("It got an access token, which only the named resource will take:");
    let access_token = show::plain(answer.get("access_token"));
    show::claims(&access_token, &["aud", "iss", "appid", "tid", "exp"])?;
    for name in ["token_type", "expires_on", "refresh_on", "identity"] {
        show::fact(name, &show::plain(answer.get(name)));
    }
    show::fact("from start to token", &show::time(took));
    Ok(())
}

/// The same with a certificate that authenticates the connection itself.
pub(crate) fn bound_certificate(stage: &Stage) -> Result<()> {
    show::title("5. A certificate instead, bound to the connection (mTLS)");
    show::text(
        "The private key stays with the host: the sandbox asks for a signature and for a connection\n\
         that is authenticated with the same key, and never sees the key.",
    );
    let config = stage.work.join("bound.json");
    let files = stage.emulator.about();
    write_bound_config(
        stage,
        &config,
        &stage.emulator.login_authority(),
        &show::plain(files.get("certificate_file")),
        &show::plain(files.get("private_key_file")),
    )?;
    let path = config.to_string_lossy();
    let args = ["--scope", SCOPE, "--config", &path, "--identity", "bound"];
    show::text(&format!("$ edgepass token {}", args.join(" ")));
    for round in ["first certificate", "after a rotation"] {
        stage.emulator.clear_journal();
        let (answer, _) = token(stage, &args)?;
        let request = last_request(stage)?;
        show::fact("", &format!("-- {round}"));
        show::fact("sent to", &request.host);
        show::fact(
            "connection's key",
            &format!(
                "x5t#S256 {}",
                request.client_certificate.as_deref().unwrap_or("(none)")
            ),
        );
        if let Some(assertion) = request.field("client_assertion") {
            let (header, _) = show::decode(&assertion)?;
            show::fact(
                "assertion's key",
                &format!(
                    "x5t#S256 {} ({})",
                    show::plain(header.get("x5t#S256")),
                    show::plain(header.get("alg"))
                ),
            );
        }
        show::fact(
            "proof, as verified",
            request.method_of_proof.as_deref().unwrap_or("(none)"),
        );
        show::fact("token_type", &show::plain(answer.get("token_type")));
        if round == "first certificate" {
            stage.emulator.rotate_certificate()?;
        }
    }
    Ok(())
}

/// What a refusal looks like.
pub(crate) fn refusal(stage: &Stage) -> Result<()> {
    show::title("7. When it is refused");
    show::text("A token of another service account, which the application does not trust:");
    let path = stage.work.join("other-token");
    let other = stage
        .emulator
        .issuer()
        .mint(&Mint::new().subject("system:serviceaccount:default:somebody-else"))?;
    fs::write(&path, other).with_context(|| format!("cannot write {}", path.display()))?;
    let output = edgepass(
        stage,
        &["--scope", SCOPE, "--format", "token"],
        &[("AZURE_FEDERATED_TOKEN_FILE", &path.to_string_lossy())],
    )?;
    if output.status.success() {
        bail!("the emulator took a token that it must refuse");
    }
    show::text(String::from_utf8_lossy(&output.stderr).trim_end());
    show::fact(
        "exit code",
        &output
            .status
            .code()
            .map_or_else(|| "none".to_owned(), |code| code.to_string()),
    );
    Ok(())
}

/// What the emulator saw of a token request.
pub(crate) fn show_request(request: &JournalEntry) {
    show::fact(
        &request.method,
        &format!("https://{}{}", request.host, request.path),
    );
    for (name, value) in request.form() {
        let shown = if name == "client_assertion" || name == "client_secret" {
            format!("(cut, {} characters)", value.len())
        } else {
            value
        };
        show::fact(&format!("  {name}"), &shown);
    }
    show::fact(
        "verified as",
        &format!(
            "{}, answered {}",
            request.method_of_proof.as_deref().unwrap_or("nothing"),
            request
                .status
                .map_or_else(|| "nothing".to_owned(), |status| status.to_string())
        ),
    );
}

/// The last token request that the emulator got.
pub(crate) fn last_request(stage: &Stage) -> Result<JournalEntry> {
    stage
        .emulator
        .token_requests()
        .pop()
        .context("the emulator got no token request")
}

/// A configuration with one identity, whose certificate authenticates the
/// connection.
pub(crate) fn write_bound_config(
    stage: &Stage,
    path: &Path,
    authority_host: &str,
    certificate_file: &str,
    private_key_file: &str,
) -> Result<()> {
    let config = json!({
        "identities": {
            "bound": {
                "tenant_id": stage.emulator.tenant(),
                "client_id": stage.emulator.client_id(),
                "authority_host": authority_host,
                "credential": { "bound_certificate": { "name": "demo" } }
            }
        },
        "certificates": {
            "demo": {
                "certificate_file": certificate_file,
                "private_key_file": private_key_file
            }
        }
    });
    fs::write(path, format!("{config:#}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Runs `edgepass token`, which must succeed, and says how long it took.
fn token(stage: &Stage, args: &[&str]) -> Result<(Value, Duration)> {
    let started = Instant::now();
    let output = edgepass(stage, args, &[])?;
    let took = started.elapsed();
    if !output.status.success() {
        bail!(
            "edgepass token failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    let answer = serde_json::from_slice(&output.stdout).context("edgepass printed no JSON")?;
    Ok((answer, took))
}

fn edgepass(stage: &Stage, args: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    let program = stage.dist.join("edgepass");
    let mut command = Command::new(&program);
    command.arg("token").args(args);
    // an environment of its own: what this shell says of Azure is another matter
    command.env_clear();
    command.envs(stage.emulator.env());
    command.envs(variables.iter().copied());
    command
        .output()
        .with_context(|| format!("cannot run {}", program.display()))
}
