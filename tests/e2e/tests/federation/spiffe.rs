//! JWT-SVIDs from the SPIFFE Workload API.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use edgepass::{Environment, ErrorClass};
use edgepass_e2e::Lab;
use edgepass_emulator::TokenService;
use serde_json::{Value, json};

use crate::{EXCHANGE, claim, document, forced, graph, provider, trust};

const OTHER: &str = "spiffe://edgepass-demo.example/reports";

fn socket(lab: &Lab) -> Result<PathBuf> {
    let path = lab.scratch().join("agent.sock");
    lab.emulator.serve_workload_api(&path)?;
    Ok(path)
}

#[tokio::test]
async fn a_workload_is_who_its_agent_says_it_is() -> Result<()> {
    let lab = Lab::new("federation_spiffe")?;
    let path = socket(&lab)?;
    let uri = format!("unix://{}", path.display());
    let by_variable = [("SPIFFE_ENDPOINT_SOCKET", uri.clone())];
    for (credential, variables, subject) in [
        (
            json!({ "socket": uri }),
            &[][..],
            TokenService::Spiffe.subject(),
        ),
        (
            json!({ "socket": format!("unix:{}", path.display()) }),
            &[],
            TokenService::Spiffe.subject(),
        ),
        (json!({ "spiffe_id": OTHER }), &by_variable, OTHER),
    ] {
        lab.emulator.clear_journal();
        trust(&lab, TokenService::Spiffe.issuer(), subject);
        let credential = json!({ "spiffe": credential });
        let provider = provider(&lab, &credential, variables).await?;
        lab.issued(&provider.get_token(&graph()).await?);
        lab.issued(&provider.get_token(&forced()).await?);
        let requests = lab.emulator.token_requests();
        assert_eq!(requests.len(), 2);
        let assertions: Vec<String> = requests
            .iter()
            .filter_map(|request| request.field("client_assertion"))
            .collect();
        assert_ne!(assertions.first(), assertions.last());
        for assertion in &assertions {
            assert_eq!(claim(assertion, "sub")?, json!(subject));
            assert_eq!(claim(assertion, "aud")?, json!(EXCHANGE));
        }
    }
    Ok(())
}

/// Servers that know SPIFFE have an assertion type for it; Entra ID does not.
#[tokio::test]
async fn the_assertion_type_is_the_configurations() -> Result<()> {
    const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
    let lab = Lab::new("federation_spiffe_type")?;
    let uri = format!("unix://{}", socket(&lab)?.display());
    let credential = json!({ "spiffe": { "socket": uri, "assertion_type": TYPE } });
    let provider = provider(&lab, &credential, &[]).await?;
    provider
        .get_token(&graph())
        .await
        .err()
        .context("a token")?;
    let requests = lab.emulator.token_requests();
    let request = requests.first().context("nothing was sent")?;
    assert_eq!(
        request.field("client_assertion_type").as_deref(),
        Some(TYPE)
    );
    Ok(())
}

#[tokio::test]
async fn an_agent_that_gives_nothing_is_told_by_its_reason() -> Result<()> {
    let lab = Lab::new("federation_spiffe_fails")?;
    let path = socket(&lab)?;
    let uri = |path: &std::path::Path| format!("unix://{}", path.display());
    let plain = lab.write("plain", "text")?;
    // bound, and nobody listens any more
    let silent = lab.scratch().join("silent.sock");
    drop(std::os::unix::net::UnixListener::bind(&silent)?);
    let rows: [(Value, &str, bool); 6] = [
        (json!({}), "SPIFFE_ENDPOINT_SOCKET is not set", false),
        (
            json!({ "socket": "unix:///nowhere/agent.sock" }),
            "the SPIFFE Workload API at /nowhere/agent.sock is not there",
            false,
        ),
        (
            json!({ "socket": uri(&path), "spiffe_id": "spiffe://other.example/x" }),
            "it says (gRPC status 7): no identity issued",
            false,
        ),
        (json!({ "socket": uri(&silent) }), "nobody listens", true),
        (
            json!({ "socket": uri(&plain) }),
            "it is no socket but a file",
            false,
        ),
        (
            json!({ "socket": uri(lab.scratch()) }),
            "it is no socket but a folder",
            false,
        ),
    ];
    for (credential, expected, retryable) in rows {
        let credential = json!({ "spiffe": credential });
        let builder = lab
            .configured(&document(&lab, &credential))
            .environment(Environment::default());
        let error = builder.build().await?.get_token(&graph()).await.err();
        let error = error.with_context(|| format!("a token in place of: {expected}"))?;
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.detail().retryable, retryable, "{error}");
    }
    assert!(lab.emulator.journal().is_empty());
    Ok(())
}
