//! GitHub Actions, Azure Pipelines, Google Cloud and AWS.

use anyhow::{Context as _, Result, ensure};
use edgepass::{ErrorClass, TokenSource};
use edgepass_e2e::Lab;
use edgepass_emulator::{Fault, TokenService};
use serde_json::{Value, json};

use crate::{EXCHANGE, TRUSTING, claim, forced, graph, provider, trust};

/// A kind, a platform that it works on, and how many questions that takes before the exchange.
fn kinds() -> Vec<(Value, TokenService, usize)> {
    let aws = || json!({ "aws_web_identity": {} });
    vec![
        (json!({ "github_actions": {} }), TokenService::GitHub, 1),
        (json!({ "azure_pipelines": {} }), TokenService::Pipelines, 1),
        (json!({ "google_metadata": {} }), TokenService::Google, 1),
        (
            json!({ "google_metadata": { "service_account": "demo@edgepass.iam.gserviceaccount.com" } }),
            TokenService::Google,
            1,
        ),
        (aws(), TokenService::AwsEnvironment, 1),
        (aws(), TokenService::AwsContainer, 2),
        (aws(), TokenService::AwsMachine, 4),
    ]
}

fn lab(test: &str) -> Result<Lab> {
    let lab = Lab::with_metadata(test)?;
    for secret in lab.emulator.token_service_secrets() {
        lab.evidence.secret("what a platform is shown", &secret);
    }
    Ok(lab)
}

#[tokio::test]
async fn the_token_of_every_platform_is_exchanged() -> Result<()> {
    let lab = lab("federation_platforms")?;
    for (credential, platform, questions) in kinds() {
        trust(&lab, platform.issuer(), platform.subject());
        lab.emulator.clear_journal();
        let variables = lab.emulator.token_service_variables(platform);
        let provider = provider(&lab, &credential, &variables).await?;
        let token = provider
            .get_token(&graph())
            .await
            .with_context(|| format!("{platform:?}"))?;
        assert_eq!(claim(&lab.issued(&token), "appid")?, json!(TRUSTING));
        let journal = lab.emulator.journal();
        assert_eq!(journal.len(), questions + 1, "{platform:?}: {journal:#?}");
        let exchanged = journal.last().context("nothing was asked")?;
        assert_eq!(exchanged.method_of_proof.as_deref(), Some("federated"));
        let assertion = exchanged.field("client_assertion").context("none")?;
        assert_eq!(claim(&assertion, "iss")?, json!(platform.issuer()));
        assert_eq!(claim(&assertion, "aud")?, json!(EXCHANGE));

        // a token of the cache asks nobody, and the next exchange has a token of its own
        let again = provider.get_token(&graph()).await?;
        assert_eq!(again.source, TokenSource::Cache);
        assert_eq!(lab.emulator.journal().len(), questions + 1);
        lab.issued(&provider.get_token(&forced()).await?);
        let journal = lab.emulator.journal();
        assert_eq!(journal.len(), 2 * (questions + 1), "{platform:?}");
        let next = journal
            .last()
            .and_then(|last| last.field("client_assertion"));
        assert_ne!(next, Some(assertion), "{platform:?}");
        let status = format!("{:?} {provider:?}", provider.status().await?);
        lab.evidence.saw("status", &status);
    }
    Ok(())
}

/// Away from its platform each says that it is not here, and asks nobody.
#[tokio::test]
async fn elsewhere_none_of_them_is_there() -> Result<()> {
    let lab = Lab::new("federation_elsewhere")?;
    for (credential, expected) in [
        (json!({ "github_actions": {} }), "no GitHub Actions job"),
        (
            json!({ "azure_pipelines": {} }),
            "no step of Azure Pipelines",
        ),
        (json!({ "aws_web_identity": {} }), "no region of AWS"),
    ] {
        let error = provider(&lab, &credential, &[])
            .await?
            .get_token(&graph())
            .await
            .err()
            .context("a token")?;
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.detail().hint.is_some(), "{error}");
        ensure!(lab.emulator.journal().is_empty(), "{expected}");
    }
    Ok(())
}

/// What is shown to a service is another's, or has been changed.
#[tokio::test]
async fn a_platform_that_refuses_is_told_by_name() -> Result<()> {
    let lab = lab("federation_refused")?;
    for (credential, platform, changed, status, expected) in [
        (
            json!({ "github_actions": {} }),
            TokenService::GitHub,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            401,
            "the token service of GitHub Actions",
        ),
        (
            json!({ "azure_pipelines": {} }),
            TokenService::Pipelines,
            "SYSTEM_ACCESSTOKEN",
            401,
            "TF400813",
        ),
        (
            json!({ "aws_web_identity": {} }),
            TokenService::AwsEnvironment,
            "AWS_SECRET_ACCESS_KEY",
            403,
            "SignatureDoesNotMatch: the request signature we calculated does not match",
        ),
        (
            json!({ "aws_web_identity": {} }),
            TokenService::AwsContainer,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            403,
            "the authorization token is not valid",
        ),
    ] {
        lab.emulator.clear_journal();
        let mut variables = lab.emulator.token_service_variables(platform);
        let variable = variables.iter_mut().find(|(name, _)| *name == changed);
        variable.context("no such variable")?.1 = "hunter2-of-somebody-else".to_owned();
        let provider = provider(&lab, &credential, &variables).await?;
        let error = provider.get_token(&graph()).await.err();
        let error = error.with_context(|| format!("{changed}: a token"))?;
        assert_eq!(error.detail().http_status, Some(status), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        lab.evidence.saw("an error", &shown);
        assert!(lab.emulator.token_requests().is_empty(), "{changed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_fails_for_a_moment_is_asked_again() -> Result<()> {
    let lab = lab("federation_recovers")?;
    trust(
        &lab,
        TokenService::GitHub.issuer(),
        TokenService::GitHub.subject(),
    );
    let variables = lab.emulator.token_service_variables(TokenService::GitHub);
    let provider = provider(&lab, &json!({ "github_actions": {} }), &variables).await?;
    lab.emulator.faults().push(Fault::status(503));
    lab.issued(&provider.get_token(&graph()).await?);
    assert_eq!(lab.emulator.journal().len(), 3);
    Ok(())
}
