//! The read-through cache of the handle, and callers that share a call.

use edgepass::{Refresh, RejectionOutcome, TokenRequest, TokenSource};
use edgepass_emulator::Fault;

use crate::providers::graph;
use crate::support::{GRAPH, Lab};
use crate::until;

#[tokio::test]
async fn a_hit_does_not_enter_the_component() {
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    let first = provider.get_token(&graph()).await.unwrap();
    assert_eq!(first.source, TokenSource::Exchange);
    assert_eq!(first.scope, GRAPH);
    let second = provider.get_token(&graph()).await.unwrap();
    assert_eq!(
        (second.source, &second.token),
        (TokenSource::Cache, &first.token)
    );
    let stats = provider.stats();
    assert_eq!((stats.calls, stats.hits, stats.cached), (1, 1, 1));
    assert_eq!(provider.cached_token(&graph()), Some(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_cold_callers_are_one_exchange() {
    const CALLERS: usize = 20_000;
    let lab = Lab::new();
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let provider = lab.federated().build().await.unwrap();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move { provider.get_token(&graph()).await })
        })
        .collect();
    // the answer comes when everybody has asked
    until(|| provider.stats().joined == CALLERS as u64 - 1).await;
    lab.emulator.faults().release();
    let mut exchanges = 0;
    for caller in callers {
        exchanges += usize::from(caller.await.unwrap().unwrap().source == TokenSource::Exchange);
    }
    assert_eq!(lab.emulator.token_requests().len(), 1);
    assert_eq!(exchanges, 1);
    assert_eq!(provider.stats().calls, 1, "one call into the component");
}

#[tokio::test]
async fn many_scopes_at_once_do_not_wait_for_each_other() {
    let lab = Lab::new();
    let scopes = [
        GRAPH,
        "https://vault.azure.net/.default",
        "https://storage.azure.com/.default",
    ];
    lab.emulator
        .faults()
        .push(Fault::hold().on("/token").forever());
    let provider = lab.federated().build().await.unwrap();
    let requests = scopes.map(|scope| TokenRequest::for_scopes([scope]));
    let calls = requests.iter().map(|request| provider.get_token(request));
    // none is answered before all have been sent
    let sent = async {
        until(|| lab.emulator.token_requests_begun() == scopes.len()).await;
        lab.emulator.faults().release();
    };
    let (tokens, ()) = futures::future::join(futures::future::join_all(calls), sent).await;
    for token in tokens {
        assert_eq!(token.unwrap().source, TokenSource::Exchange);
    }
}

#[tokio::test]
async fn a_forced_refresh_replaces_what_the_handle_has() {
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    let old = provider.get_token(&graph()).await.unwrap();
    let forced = TokenRequest {
        refresh: Refresh::Force,
        ..graph()
    };
    let new = provider.get_token(&forced).await.unwrap();
    assert_ne!(old.token, new.token);
    assert_eq!(provider.get_token(&graph()).await.unwrap().token, new.token);
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_not_given_out_again() {
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    let refused = provider.get_token(&graph()).await.unwrap();
    let outcome = provider
        .report_rejection(&graph(), &refused.token, None)
        .await
        .unwrap();
    assert_eq!(outcome, RejectionOutcome::Invalidated);
    let next = provider.get_token(&graph()).await.unwrap();
    assert_ne!(next.token, refused.token);
    let late = provider
        .report_rejection(&graph(), &refused.token, None)
        .await
        .unwrap();
    assert_eq!(late, RejectionOutcome::AlreadyReplaced);
    assert_eq!(
        provider.get_token(&graph()).await.unwrap().token,
        next.token
    );
}

#[tokio::test]
async fn forgotten_tokens_are_fetched_again() {
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    assert_eq!(
        provider.drop_cached(Some("somebody else")).await.unwrap(),
        0
    );
    assert_eq!(provider.drop_cached(None).await.unwrap(), 1);
    assert_eq!(provider.cached_token(&graph()), None);
    assert_eq!(
        provider.get_token(&graph()).await.unwrap().source,
        TokenSource::Exchange
    );
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

#[tokio::test]
async fn the_header_is_finished() {
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    let (name, value) = provider.get_header(&graph()).await.unwrap();
    let token = provider.get_token(&graph()).await.unwrap();
    assert_eq!(name, "authorization");
    assert_eq!(value.expose(), format!("Bearer {}", token.token.expose()));
}
