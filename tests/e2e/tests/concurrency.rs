//! Acceptance: many callers, one exchange; nobody waits for somebody else's scope; callers may go away.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass::{Provider, Refresh, TokenRequest, TokenSource};
use edgepass_e2e::{GRAPH, Lab, until};
use edgepass_emulator::Fault;

const VAULT: &str = "https://vault.azure.net/.default";

fn graph() -> TokenRequest {
    TokenRequest::for_scopes([GRAPH])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_cold_callers_cause_one_exchange() -> Result<()> {
    cold_callers("concurrency_1000", 1_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_cold_callers_cause_one_exchange() -> Result<()> {
    cold_callers("concurrency_10000", 10_000).await
}

async fn cold_callers(name: &str, callers: usize) -> Result<()> {
    let lab = Lab::new(name)?;
    let provider = lab.provider().build().await?;
    let calls: Vec<_> = (0..callers)
        .map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move { provider.get_token(&graph()).await })
        })
        .collect();
    let mut exchanges = 0;
    let mut first = None;
    for call in calls {
        let token = call.await??;
        exchanges += usize::from(token.source == TokenSource::Exchange);
        let text = first.get_or_insert_with(|| lab.issued(&token));
        ensure!(text == token.token.expose(), "two tokens are about");
    }
    assert_eq!(lab.emulator.token_requests().len(), 1);
    assert_eq!(
        exchanges, 1,
        "one caller started it, the others shared it or found it in the cache"
    );
    assert_eq!(provider.stats().restarts, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_insist_share_an_exchange_too() -> Result<()> {
    let lab = Lab::new("concurrency_forced")?;
    let provider = lab.provider().build().await?;
    // nothing is answered before everybody has asked
    lab.emulator
        .faults()
        .push(Fault::delay(Duration::from_millis(500)).on("/token"));
    let request = TokenRequest {
        refresh: Refresh::Force,
        ..graph()
    };
    let calls = (0..500).map(|_| provider.get_token(&request));
    for answer in futures::future::join_all(calls).await {
        lab.issued(&answer?);
    }
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_scope_does_not_wait() -> Result<()> {
    let lab = Lab::new("concurrency_scopes")?;
    let provider = lab.provider().build().await?;
    lab.emulator.faults().push(Fault::hang().on("/token"));
    let slow = spawn(&provider, graph());
    until("the first exchange is under way", || {
        (lab.emulator.token_requests().len() == 1).then_some(())
    })
    .await?;
    let token = provider
        .get_token(&TokenRequest::for_scopes([VAULT]))
        .await?;
    lab.issued(&token);
    assert_eq!(token.scope, VAULT);
    assert!(!slow.is_finished(), "its own exchange hangs");
    slow.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_nobody_along() -> Result<()> {
    let lab = Lab::new("concurrency_dropped_leader")?;
    let provider = lab.provider().build().await?;
    lab.emulator
        .faults()
        .push(Fault::delay(Duration::from_millis(300)).on("/token"));
    let leader = spawn(&provider, graph());
    until("the exchange is under way", || {
        (lab.emulator.token_requests().len() == 1).then_some(())
    })
    .await?;
    let follower = spawn(&provider, graph());
    until("the follower has joined", || {
        (provider.stats().joined == 1).then_some(())
    })
    .await?;
    leader.abort();
    let token = follower.await??;
    lab.issued(&token);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_outlives_all_its_callers() -> Result<()> {
    let lab = Lab::new("concurrency_all_dropped")?;
    let provider = lab.provider().build().await?;
    lab.emulator
        .faults()
        .push(Fault::delay(Duration::from_millis(200)).on("/token"));
    let caller = spawn(&provider, graph());
    until("the exchange is under way", || {
        (lab.emulator.token_requests().len() == 1).then_some(())
    })
    .await?;
    caller.abort();
    let token = until("the token is in the cache", || {
        provider.cached_token(&graph())
    })
    .await?;
    lab.issued(&token);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_goes_on_behind_the_call_that_started_it() -> Result<()> {
    let lab = Lab::new("concurrency_background_refresh")?;
    // an hour to live, and a newer one is due after a second
    lab.emulator.set_token_lifetime(3_600, Some(1));
    let provider = lab.provider().build().await?;
    let old = lab.issued(&provider.get_token(&graph()).await?);
    lab.emulator
        .faults()
        .push(Fault::delay(Duration::from_millis(300)).on("/token"));
    let served = until_refresh_begins(&lab, &provider).await?;
    assert_eq!(
        served, old,
        "the old token serves on while a newer one is fetched"
    );
    newer(&lab, &provider, &old).await?;
    Ok(())
}

/// Asks until a call has started the refresh; what that call was answered.
async fn until_refresh_begins(lab: &Lab, provider: &Provider) -> Result<String> {
    for _ in 0..1_000 {
        let token = provider.get_token(&graph()).await?;
        if lab.emulator.token_requests().len() == 2 {
            return Ok(token.token.expose().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("no refresh began")
}

/// Asks until the answer is another token.
async fn newer(lab: &Lab, provider: &Provider, old: &str) -> Result<String> {
    for _ in 0..1_000 {
        let token = provider
            .get_token(&graph())
            .await
            .context("while the refresh is under way")?;
        if token.token.expose() != old {
            return Ok(lab.issued(&token));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the newer token was never served")
}

fn spawn(
    provider: &Provider,
    request: TokenRequest,
) -> tokio::task::JoinHandle<Result<edgepass::Token, edgepass::Error>> {
    let provider = provider.clone();
    tokio::spawn(async move { provider.get_token(&request).await })
}
