//! Acceptance: many callers, one exchange; nobody waits for somebody else's scope; callers may go away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use edgepass::{Provider, Refresh, TokenRequest, TokenSource};
use edgepass_e2e::{Lab, PATIENCE, graph, until};
use edgepass_emulator::Fault;

const VAULT: &str = "https://vault.azure.net/.default";

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
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let request = TokenRequest {
        refresh: Refresh::Force,
        ..graph()
    };
    let calls: Vec<_> = (0..500)
        .map(|_| spawn(&provider, request.clone()))
        .collect();
    // nothing is answered before everybody has asked, and calls come to the component in their order
    until("all are on their way to the component", || {
        (provider.stats().calls == 500).then_some(())
    })
    .await?;
    provider.drop_cached(Some("somebody else")).await?;
    under_way(&lab, 1).await?;
    lab.emulator.faults().release();
    for call in calls {
        lab.issued(&call.await??);
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
    under_way(&lab, 1).await?;
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
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let leader = spawn(&provider, graph());
    under_way(&lab, 1).await?;
    let follower = spawn(&provider, graph());
    until("the follower has joined", || {
        (provider.stats().joined == 1).then_some(())
    })
    .await?;
    leader.abort();
    lab.emulator.faults().release();
    let token = follower.await??;
    lab.issued(&token);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_outlives_all_its_callers() -> Result<()> {
    let lab = Lab::new("concurrency_all_dropped")?;
    let provider = lab.provider().build().await?;
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let caller = spawn(&provider, graph());
    under_way(&lab, 1).await?;
    caller.abort();
    assert!(caller.await.is_err_and(|error| error.is_cancelled()));
    lab.emulator.faults().release();
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
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let served = until_refresh_begins(&lab, &provider).await?;
    assert_eq!(
        served, old,
        "the old token serves on while a newer one is fetched"
    );
    lab.emulator.faults().release();
    newer(&lab, &provider, &old).await?;
    Ok(())
}

/// Asks until a call has started the refresh; what that call was answered.
async fn until_refresh_begins(lab: &Lab, provider: &Provider) -> Result<String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let token = provider.get_token(&graph()).await?;
        if lab.emulator.token_requests_begun() == 2 {
            return Ok(token.token.expose().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("no refresh began")
}

/// Asks until the answer is another token.
async fn newer(lab: &Lab, provider: &Provider, old: &str) -> Result<String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
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

/// Waits until the server is busy with so many token requests.
async fn under_way(lab: &Lab, exchanges: usize) -> Result<()> {
    until("the exchange is under way", || {
        (lab.emulator.token_requests_begun() == exchanges).then_some(())
    })
    .await
}

fn spawn(
    provider: &Provider,
    request: TokenRequest,
) -> tokio::task::JoinHandle<Result<edgepass::Token, edgepass::Error>> {
    let provider = provider.clone();
    tokio::spawn(async move { provider.get_token(&request).await })
}
