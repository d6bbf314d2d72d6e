//! X.509-SVIDs from the SPIFFE Workload API, on the connection and as what signs.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use edgepass::{ErrorClass, Provider};
use edgepass_e2e::{Lab, PATIENCE};
use edgepass_emulator::{App, Certificate, ClientCertificate};
use serde_json::{Value, json};

use crate::{TRUSTING, forced};

const OTHER: &str = "spiffe://edgepass-demo.example/reports";

fn socket(lab: &Lab) -> Result<PathBuf> {
    let path = lab.scratch().join("agent.sock");
    lab.emulator.serve_workload_api(&path)?;
    Ok(path)
}

/// An application with these certificates.
fn register(lab: &Lab, certificates: &[&ClientCertificate]) -> Result<()> {
    let mut app = App::new(TRUSTING);
    for certificate in certificates {
        app = app.certificate(Certificate::from_pem(&certificate.certificate_pem)?);
        lab.evidence
            .secret("SVID key", &certificate.private_key_pem);
    }
    lab.emulator.register_app(app);
    Ok(())
}

async fn provider(lab: &Lab, credential: &Value, svid: Value) -> Result<Provider> {
    let config = lab.config_of(TRUSTING, credential, json!({ "svid": svid }));
    Ok(lab.configured(&config).build().await?)
}

#[tokio::test]
async fn a_workload_is_known_by_the_certificate_that_its_agent_gives_it() -> Result<()> {
    let lab = Lab::new("federation_x509_svid")?;
    let svid = lab.emulator.rotate_svids()?;
    let path = socket(&lab)?;
    register(&lab, &[&svid])?;
    let source = json!({ "spiffe_socket": format!("unix://{}", path.display()) });
    for (credential, proof, on_connection) in [
        (
            json!({ "certificate": { "name": "svid", "use_bound_credential": true, "mode": "certificate-only" } }),
            "tls-certificate",
            true,
        ),
        (
            json!({ "certificate": { "name": "svid", "use_bound_credential": true } }),
            "bound-assertion",
            true,
        ),
        (
            json!({ "certificate": { "name": "svid" } }),
            "certificate",
            false,
        ),
    ] {
        let provider = provider(&lab, &credential, source.clone()).await?;
        lab.issued(&provider.get_token(&forced()).await?);
        let last = lab.emulator.token_requests().pop().context("none")?;
        assert_eq!(last.method_of_proof.as_deref(), Some(proof));
        let shown = last.client_certificate.as_ref();
        assert_eq!(shown, on_connection.then_some(&svid.thumbprint));
    }
    // the server knows the default identity's alone
    let other = json!({
        "spiffe_socket": format!("unix:{}", path.display()), "spiffe_id": OTHER,
    });
    let credential = json!({ "bound_certificate": { "name": "svid" } });
    let provider = provider(&lab, &credential, other).await?;
    let error = provider
        .get_token(&forced())
        .await
        .err()
        .context("a token")?;
    assert_eq!(error.detail().aadsts, [700_027], "{error}");
    Ok(())
}

#[tokio::test]
async fn the_next_certificate_is_used_when_the_agent_sends_it() -> Result<()> {
    let lab = Lab::new("federation_x509_svid_rotation")?;
    let mut svids = vec![lab.emulator.rotate_svids()?];
    let path = socket(&lab)?;
    let source = json!({ "spiffe_socket": format!("unix://{}", path.display()) });
    let credential = json!({ "certificate": { "name": "svid", "use_bound_credential": true } });
    let provider = provider(&lab, &credential, source).await?;
    for _ in 0..3 {
        register(&lab, &svids.iter().collect::<Vec<_>>())?;
        let newest = svids.last().context("none")?.thumbprint.clone();
        let started = Instant::now();
        loop {
            lab.issued(&provider.get_token(&forced()).await?);
            let last = lab.emulator.token_requests().pop().context("none")?;
            if last.client_certificate.as_ref() == Some(&newest) {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "it is not used");
        }
        svids.push(lab.emulator.rotate_svids()?);
    }
    assert!(
        lab.emulator
            .token_requests()
            .iter()
            .all(|request| request.status == Some(200))
    );
    Ok(())
}

#[tokio::test]
async fn an_agent_that_gives_no_certificate_is_told_by_its_reason() -> Result<()> {
    let lab = Lab::new("federation_x509_svid_fails")?;
    let path = socket(&lab)?;
    let here = format!("unix://{}", path.display());
    let credential = json!({ "bound_certificate": { "name": "svid" } });
    for (source, says) in [
        (
            json!({ "spiffe_socket": "unix:///nowhere/agent.sock" }),
            "the SPIFFE Workload API at /nowhere/agent.sock is not there",
        ),
        (json!({ "spiffe_socket": here }), "no identity issued"),
    ] {
        let provider = provider(&lab, &credential, source).await?;
        let error = provider
            .get_token(&forced())
            .await
            .err()
            .context("a token")?;
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // what was given and is taken back is used no more
    let svid = lab.emulator.rotate_svids()?;
    register(&lab, &[&svid])?;
    let unknown = json!({ "spiffe_socket": here, "spiffe_id": "spiffe://other.example/x" });
    let unknown = provider(&lab, &credential, unknown).await?;
    let error = unknown
        .get_token(&forced())
        .await
        .err()
        .context("a token")?;
    assert!(
        error.to_string().contains("spiffe://other.example/x"),
        "{error}"
    );
    let provider = provider(&lab, &credential, json!({ "spiffe_socket": here })).await?;
    lab.issued(&provider.get_token(&forced()).await?);
    lab.emulator.withdraw_svids();
    let started = Instant::now();
    while let Ok(token) = provider.get_token(&forced()).await {
        lab.issued(&token);
        assert!(started.elapsed() < PATIENCE, "it is used for ever");
    }
    Ok(())
}
