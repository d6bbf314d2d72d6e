//! A pair is replaced as a whole, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use edgepass::{CertificateSource, ErrorClass};

use super::{bound, certificate, stranger};
use crate::providers::graph;
use crate::support::Lab;
use crate::until;

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_mixes_nothing_and_fails_nothing() {
    const ROTATIONS: usize = 12;
    let lab = Lab::new();
    let provider = lab.configured(&bound()).build().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..3)
        .map(|_| {
            let (provider, done) = (provider.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    provider.drop_cached(None).await.unwrap();
                    provider.get_token(&graph()).await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut thumbprints = vec![lab.emulator.client_certificate().thumbprint.clone()];
    for _ in 0..ROTATIONS {
        let fresh = tokio::task::block_in_place(|| lab.emulator.rotate_certificate()).unwrap();
        until(|| {
            let requests = lab.emulator.token_requests();
            let used = requests
                .last()
                .and_then(|last| last.client_certificate.as_ref());
            used == Some(&fresh)
        })
        .await;
        thumbprints.push(fresh);
    }
    done.store(true, Ordering::Relaxed);
    let mut tokens = 0;
    for task in load {
        tokens += task.await.unwrap();
    }
    let requests = lab.emulator.token_requests();
    // the emulator refuses an assertion of another key than the connection's
    assert!(
        requests.iter().all(|request| request.status == Some(200)),
        "{tokens} tokens"
    );
    let mut used: Vec<_> = requests
        .iter()
        .filter_map(|request| request.client_certificate.clone())
        .collect();
    assert_eq!(used.len(), requests.len());
    used.dedup();
    assert!(
        used.iter()
            .all(|thumbprint| thumbprints.contains(thumbprint))
    );
}

#[tokio::test]
async fn a_pair_that_does_not_match_is_never_used() {
    let lab = Lab::new();
    let (first, second) = (lab.emulator.client_certificate(), stranger(&lab));
    let chain = lab.write("chain.pem", &first.certificate_pem);
    let key = lab.write("key.pem", &first.private_key_pem);
    let source = CertificateSource::files(&chain, Some(key.clone()));
    let provider = lab
        .configured(&certificate())
        .certificate("demo", source.clone())
        .build()
        .await
        .unwrap();
    provider.get_token(&graph()).await.unwrap();

    // half a rotation: the previous pair stays in use
    lab.write("key.pem", &second.private_key_pem);
    provider.drop_cached(None).await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    assert!(
        lab.emulator
            .token_requests()
            .iter()
            .all(|request| request.status == Some(200))
    );

    // who starts with it has no previous one
    let late = lab
        .configured(&certificate())
        .certificate("demo", source)
        .build()
        .await
        .unwrap();
    let error = late.get_token(&graph()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable);
    let text = error.to_string();
    assert!(
        text.contains(&*key.to_string_lossy()) && text.contains("does not belong"),
        "{text}"
    );
}
