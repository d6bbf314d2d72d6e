//! Token files that rotate, servers that fail for a while, clocks that disagree: the library recovers by itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use edgepass::{ErrorClass, TokenRequest};
use edgepass_e2e::{GRAPH, Lab, PATIENCE, artifact, forced, memory};
use edgepass_emulator::{Fault, Mint};
use serde_json::json;

#[tokio::test]
async fn the_next_exchange_uses_the_rotated_token() -> Result<()> {
    let lab = Lab::new("rotation_token_file")?;
    let provider = lab.provider().build().await?;
    let mut presented = vec![std::fs::read_to_string(lab.files.token_file())?];
    lab.issued(&provider.get_token(&forced()).await?);
    for life in [1_800, 7_200] {
        presented.push(lab.rotate_token(&Mint::new().expires_in(life))?);
        lab.issued(&provider.get_token(&forced()).await?);
    }
    let requests = lab.emulator.token_requests();
    let sent: Vec<String> = requests
        .iter()
        .filter_map(|entry| entry.field("client_assertion"))
        .collect();
    assert!(
        sent == presented,
        "other assertions went out than stood in the file"
    );
    Ok(())
}

/// The sandbox's memory is searched while its instance lives. Of what is gone nothing may be left, whatever has become of
/// the memory since; of what is in use something must be there, or the search is blind.
#[tokio::test]
async fn nothing_of_a_rotated_token_is_left_in_the_sandbox() -> Result<()> {
    let lab = Lab::new("rotation_wiped")?;
    // the file, not the embedded copy: its constants tell where the memory is
    let component = artifact("dist/credential-provider.wasm")?;
    let provider = lab
        .provider()
        .component(std::fs::read(&component)?)
        .build()
        .await?;
    let mut rotated = Vec::new();
    // each is shorter than the one before: what takes its place in memory does not overwrite its end
    for claims in [6_000, 3_000, 1_500, 0] {
        let mint = Mint::new().claim("groups", json!("g".repeat(claims)));
        rotated.push(lab.rotate_token(&mint)?);
        for _ in 0..3 {
            lab.issued(&provider.get_token(&forced()).await?);
        }
    }
    let current = rotated.pop().context("a token")?;
    let signature = |token: &str| -> Result<Vec<u8>> {
        let (_, signature) = token.trim().rsplit_once('.').context("a JWT")?;
        Ok(signature.get(..32).context("a signature")?.into())
    };
    let memories = memory::of_component(&component)?;
    let holds = |part: &[u8]| {
        memories
            .iter()
            .any(|memory| memory.windows(part.len()).any(|window| window == part))
    };
    assert!(
        holds(&signature(&current)?),
        "{} linear memories were found, and none has the token in use: the search is blind",
        memories.len()
    );
    for (n, token) in rotated.iter().enumerate() {
        assert!(!holds(&signature(token)?), "token {n} was left behind");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_file_may_come_late() -> Result<()> {
    let lab = Lab::new("rotation_late_file")?;
    let late = lab.scratch().join("late").join("azure-identity-token");
    let mut env = lab.env();
    env.insert(
        "AZURE_FEDERATED_TOKEN_FILE".into(),
        late.display().to_string(),
    );
    let provider = lab
        .provider()
        .environment(edgepass::Environment::from_pairs(env))
        .build()
        .await?;
    let error = provider
        .get_token(&forced())
        .await
        .expect_err("there is no file yet");
    lab.evidence.saw_error("no file yet", &error);
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable);
    assert_eq!(lab.emulator.token_requests().len(), 0);
    lab.emulator.issuer().write_token_file(&late)?;
    lab.issued(&provider.get_token(&forced()).await?);
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_read_again_once_the_server_says_so() -> Result<()> {
    let lab = Lab::new("rotation_expired_at_server")?;
    let provider = lab.provider().build().await?;
    // by the server's clock the token in the file is long past, and the file is not rotated
    lab.emulator.set_clock_skew(2 * 3_600);
    let error = provider
        .get_token(&forced())
        .await
        .expect_err("the assertion is too old for the server");
    lab.evidence.saw_error("expired at the server", &error);
    assert_eq!(error.class(), ErrorClass::CredentialRejected);
    assert_eq!(error.detail().aadsts, [700_024]);
    lab.rotate_token(&Mint::new())?;
    lab.issued(&provider.get_token(&forced()).await?);
    Ok(())
}

#[tokio::test]
async fn passing_faults_cost_a_retry_and_no_error() -> Result<()> {
    let lab = Lab::new("rotation_fault_matrix")?;
    let provider = lab.provider().build().await?;
    for (name, fault, requests) in [
        ("503", Fault::status(503), 2),
        ("503 with a page", Fault::html(503), 2),
        (
            "429 with Retry-After",
            Fault::status(429).retry_after("1"),
            2,
        ),
        (
            "429 with a date",
            Fault::status(429).retry_after_date_in(1),
            2,
        ),
        ("reset", Fault::reset(), 2),
        ("cut short", Fault::truncate(), 2),
        ("a page of a proxy", Fault::html(200), 2),
        ("no access_token", Fault::omit("access_token"), 2),
        ("propagation", Fault::aadsts(700_213), 2),
        ("transient", Fault::aadsts(90_033), 2),
        ("two failures", Fault::status(500).times(2), 3),
        ("numbers as texts", Fault::string_numbers(), 1),
        ("no expires_in", Fault::omit("expires_in"), 1),
        ("a large answer", Fault::oversize(200_000), 1),
        (
            "a slow answer",
            Fault::trickle(400, Duration::from_millis(20)),
            1,
        ),
        (
            "another content type",
            Fault::default().content_type("text/plain"),
            1,
        ),
    ] {
        lab.emulator.clear_journal();
        lab.emulator.faults().push(fault.on("/token"));
        match provider.get_token(&forced()).await {
            Ok(token) => lab.issued(&token),
            Err(error) => anyhow::bail!("{name}: {error}"),
        };
        let answers: Vec<_> = lab
            .emulator
            .token_requests()
            .iter()
            .map(|entry| entry.status)
            .collect();
        assert_eq!(answers.len(), requests, "{name}: {answers:?}");
        assert!(lab.emulator.faults().waiting().is_empty(), "{name}");
    }
    assert_eq!(provider.stats().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn the_servers_clock_is_learnt_and_remembered() -> Result<()> {
    let lab = Lab::new("rotation_skewed_clock")?;
    let provider = lab
        .configured(&lab.config(&json!({ "certificate": { "name": "demo" } })))
        .build()
        .await?;
    // an assertion of ten minutes by this machine's clock has long expired there
    lab.emulator.set_clock_skew(3 * 3_600);
    lab.issued(&provider.get_token(&forced()).await?);
    let first: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|entry| entry.aadsts)
        .collect();
    assert_eq!(
        first,
        [Some(700_024), None],
        "refused once, and its Date was believed"
    );
    lab.emulator.clear_journal();
    lab.issued(&provider.get_token(&forced()).await?);
    let second: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|entry| entry.aadsts)
        .collect();
    assert_eq!(second, [None]);
    Ok(())
}

#[tokio::test]
async fn an_outage_during_the_refresh_goes_unnoticed() -> Result<()> {
    let lab = Lab::new("rotation_outage")?;
    lab.emulator.set_token_lifetime(3_600, Some(1));
    let provider = lab.provider().build().await?;
    let request = TokenRequest::for_scopes([GRAPH]);
    let old = lab.issued(&provider.get_token(&request).await?);
    lab.emulator
        .faults()
        .push(Fault::status(503).on("/token").forever());
    let failed = || {
        lab.emulator
            .token_requests()
            .iter()
            .any(|entry| entry.status == Some(503))
    };
    // every call is answered with the old token; the first after a second starts the refresh
    let begun = Instant::now();
    while !failed() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "no refresh began");
        let served = provider.get_token(&request).await?;
        assert!(served.token.expose() == old, "the old token serves on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let served = provider.get_token(&request).await?;
    assert!(served.token.expose() == old, "the old token serves on");
    Ok(())
}
