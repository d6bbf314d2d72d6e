//! Components that trap, run away, or want too much: each costs its own instance and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edgepass::{
    BuildError, ErrorClass, Grant, Limits, Provider, Refresh, TokenRequest, TokenSource,
};
use edgepass_emulator::Fault;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use crate::providers::graph;
use crate::support::Lab;
use crate::until;

/// A component of the world `provider` whose every function does only this.
fn component(body: &str) -> Vec<u8> {
    component_with(body, "")
}

/// The same with these further fields of its module.
fn component_with(body: &str, fields: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
        .unwrap();
    let world = resolve.select_world(&[package], Some("provider")).unwrap();
    let idle = dummy_module(
        &resolve,
        world,
        ManglingAndAbi::Legacy(LiftLowerAbi::AsyncCallback),
    );
    let text = wasmprinter::print_bytes(idle).unwrap();
    let text = text.replace("unreachable", body);
    let (inside, _) = text.rsplit_once(')').unwrap();
    let mut module = wat::parse_str(format!("{inside}{fields})")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

async fn run(lab: &Lab, body: &str) -> Provider {
    start(lab, component(body)).await
}

async fn start(lab: &Lab, component: Vec<u8>) -> Provider {
    lab.federated().component(component).build().await.unwrap()
}

#[tokio::test]
async fn a_runaway_is_stopped_while_it_starts() {
    let lab = Lab::new();
    let start_function = "(func $forever loop br 0 end) (start $forever)";
    let provider = start(&lab, component_with("unreachable", start_function)).await;
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert!(
        error.to_string().contains("does not start")
            && error.to_string().contains("ran without yielding"),
        "{error}"
    );
    assert!(provider.stats().restarts > 0);
}

#[tokio::test]
async fn what_a_component_takes_is_bounded_however_it_is_divided() {
    let lab = Lab::new();
    let page = 64 << 10;
    for (fields, says) in [
        // each of them fits
        (
            format!(
                "(memory {pages}) (memory {pages})",
                pages = (120 << 20) / page
            ),
            "memory",
        ),
        ("(memory 1)".repeat(64), "memory count too high"),
        ("(table 1 funcref)".repeat(100), "table count too high"),
        (
            "(table 60000 funcref) (table 60000 funcref)".to_owned(),
            "table",
        ),
    ] {
        let provider = start(&lab, component_with("unreachable", &fields)).await;
        let error = provider.get_token(&graph()).await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("does not start") && error.contains(says),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_trap_is_an_error_and_a_fresh_instance() {
    let lab = Lab::new();
    let provider = run(&lab, "unreachable").await;
    for round in 1..=2 {
        let error = provider.get_token(&graph()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Other);
        assert!(error.detail().retryable);
        assert!(error.to_string().contains("ended twice"), "{error}");
        assert_eq!(
            provider.stats().restarts,
            2 * round,
            "the call is tried in a second instance, and not in a third"
        );
    }
}

#[tokio::test]
async fn a_runaway_is_stopped() {
    let lab = Lab::new();
    let provider = run(&lab, "loop br 0 end unreachable").await;
    // the deadline of the call itself would say something else
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert!(
        error.to_string().contains("ran without yielding"),
        "{error}"
    );
    assert_eq!(provider.stats().restarts, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_survive_the_instance_that_another_one_ended() {
    let lab = Lab::new();
    // just enough to start: many flights at once do not fit
    let mut limits = Limits::default();
    limits.memory_bytes = 2 << 20;
    lab.emulator.faults().push(
        Fault::delay(Duration::from_millis(300))
            .on("/token")
            .times(200),
    );
    let provider = lab.federated().limits(limits).build().await.unwrap();
    let requests: Vec<_> = (0..2000)
        .map(|n| TokenRequest::for_scopes([format!("api://app-{n}/.default")]))
        .collect();
    let results =
        futures::future::join_all(requests.iter().map(|request| provider.get_token(request))).await;
    // what became of each is the emulator's and the engine's business; that each was told is ours
    assert_eq!(results.len(), requests.len());
    lab.emulator.faults().clear();
    let token = provider.get_token(&graph()).await;
    assert!(
        token.is_ok(),
        "{token:?} after {} restarts",
        provider.stats().restarts
    );
}

/// Users whose token server does not answer fill their share of the component and of its queue, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn users_keep_no_application_from_the_component() {
    const USERS: usize = 5000;
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    lab.emulator
        .faults()
        .push(Fault::hold().on("/token").forever());
    let refused = Arc::new(AtomicUsize::new(0));
    let users: Vec<_> = (0..USERS)
        .map(|n| {
            let (provider, refused) = (provider.clone(), Arc::clone(&refused));
            let request = graph().with_grant(Grant::on_behalf_of(format!("user-{n}")));
            tokio::spawn(async move {
                let error = provider.get_token(&request).await.unwrap_err();
                if error.class() == ErrorClass::Busy {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until(|| refused.load(Ordering::Relaxed) >= USERS / 2).await;
    // one that the handle does not answer by itself
    let request = graph().with_refresh(Refresh::IfTokenIs("0".repeat(64)));
    let token = provider.get_token(&request).await;
    assert_eq!(token.unwrap().source, TokenSource::Cache);
    users.iter().for_each(tokio::task::JoinHandle::abort);
    lab.emulator.faults().release();
}

/// The handle goes on with the token that it has while the component cannot say whether there is a newer one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_lives_outlives_the_instance() {
    let lab = Lab::new();
    lab.emulator.set_token_lifetime(3600, Some(1));
    let mut limits = Limits::default();
    limits.memory_bytes = 16 << 20;
    let provider = lab.federated().limits(limits).build().await.unwrap();
    let token = provider.get_token(&graph()).await.unwrap();
    // what does not fit ends the instance, and the one that it is tried in again
    let oversized = graph().with_claims("x".repeat(64 << 20));
    let lost = provider.get_token(&oversized).await.unwrap_err();
    assert!(lost.to_string().contains("ended twice"), "{lost}");
    lab.emulator
        .faults()
        .push(Fault::hold().on("/token").forever());
    let begun = lab.emulator.token_requests_begun();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let asked = async {
        until(|| lab.emulator.token_requests_begun() > begun).await;
        provider.get_token(&oversized).await.unwrap_err()
    };
    let request = graph();
    let (served, _) = futures::future::join(provider.get_token(&request), asked).await;
    let served = served.unwrap();
    assert_eq!(
        (served.source, &served.token),
        (TokenSource::Cache, &token.token)
    );
    lab.emulator.faults().release();
}

#[tokio::test]
async fn a_component_that_does_not_start_says_so() {
    let lab = Lab::new();
    let mut limits = Limits::default();
    limits.memory_bytes = 64 << 10;
    let provider = lab.federated().limits(limits).build().await.unwrap();
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert!(error.to_string().contains("does not start"), "{error}");
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let lab = Lab::new();
    let error = lab
        .federated()
        .component(b"not wasm".as_slice())
        .build()
        .await
        .unwrap_err();
    assert!(matches!(error, BuildError::Component { .. }), "{error}");
    let other =
        "(component (import \"wasi:sockets/types@0.3.0\" (instance (export \"x\" (func)))))";
    let error = lab
        .federated()
        .component(wat::parse_str(other).unwrap())
        .build()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("wasi:sockets/types"), "{error}");
}

#[test]
fn a_provider_ends_with_its_runtime() {
    let lab = Lab::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let provider = first.block_on(lab.federated().build()).unwrap();
    drop(first);
    let error = runtime()
        .block_on(provider.get_token(&graph()))
        .unwrap_err();
    assert!(
        error.to_string().contains("the provider has stopped"),
        "{error}"
    );
}
