//! The steps of a program that lives on: cache, many callers, rotation.

use crate::command::last_request;
use crate::{SCOPE, Stage, show};
use anyhow::{Context as _, Result};
use edgepass::{Environment, Provider, Refresh, TokenRequest};
use futures::future::try_join_all;
use std::time::Instant;

/// Cached calls that the time of one is taken from.
const CACHED_CALLS: u32 = 100_000;

/// Callers at once.
const CALLERS: usize = 1_000;

pub(crate) async fn cache_and_rotation(stage: &Stage) -> Result<()> {
    show::title("3. A program that lives on: the cache");
    let provider = provider(stage).await?;
    let request = TokenRequest::for_scopes([SCOPE]);
    stage.emulator.clear_journal();

    let calls = (0..CALLERS).map(|_| {
        let (provider, request) = (provider.clone(), request.clone());
        async move { provider.get_token(&request).await }
    });
    let started = Instant::now();
    let tokens = try_join_all(calls).await?;
    show::fact(
        "callers at once",
        &format!(
            "{}, answered in {}",
            tokens.len(),
            show::time(started.elapsed())
        ),
    );
    show::fact(
        "exchanges made",
        &stage.emulator.token_requests().len().to_string(),
    );

    let started = Instant::now();
    for _ in 0..CACHED_CALLS {
        provider.get_token(&request).await?;
    }
    show::fact(
        "a cached call",
        &format!(
            "{} (mean of {CACHED_CALLS})",
            show::time(started.elapsed() / CACHED_CALLS)
        ),
    );

    show::title("4. The platform rotates the token file");
    let before = assertion_times(stage)?;
    stage.emulator.rotate_token()?;
    show::text(
        "The cached token is still served. When a resource refuses it, the next call exchanges",
    );
    show::text("the file's new content:");
    stage.emulator.clear_journal();
    let old = provider.get_token(&request).await?;
    let renewed = TokenRequest {
        refresh: Refresh::IfTokenIs(old.token.sha256_hex()),
        ..request
    };
    let new = provider.get_token(&renewed).await?;
    show::fact("assertion before", &before);
    show::fact("assertion now", &assertion_times(stage)?);
    show::fact(
        "another access token",
        if old.token.sha256_hex() == new.token.sha256_hex() {
            "no"
        } else {
            "yes"
        },
    );
    Ok(())
}

async fn provider(stage: &Stage) -> Result<Provider> {
    let environment = Environment::from_pairs(stage.emulator.env());
    Provider::builder()
        .environment(environment)
        .ca_pem(stage.emulator.ca_pem())
        .build()
        .await
        .context("the provider cannot be built")
}

/// What tells one assertion from another: its number and when it was issued.
fn assertion_times(stage: &Stage) -> Result<String> {
    let assertion = last_request(stage)?
        .field("client_assertion")
        .context("the request had no assertion")?;
    let (_, claims) = show::decode(&assertion)?;
    Ok(format!(
        "jti {}, issued {}",
        show::plain(claims.get("jti")),
        show::plain(claims.get("iat"))
    ))
}
