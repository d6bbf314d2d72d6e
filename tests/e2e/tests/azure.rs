//! A provider as the credential of a client of the Azure SDK for Rust: the SDK's own pipeline, against a server that is
//! there.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use azure_core::error::ErrorKind;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, Request, Transport, Url,
};
use edgepass::{ErrorClass, Provider};
use edgepass_e2e::{GRAPH, Lab};

/// The resource of these tests is the emulator, which notes whatever it is asked.
const PATH: &str = "/v1.0/me";

fn client(lab: &Lab, provider: &Provider) -> Result<Pipeline> {
    let ca = reqwest::Certificate::from_pem(lab.emulator.ca_pem().as_bytes())?;
    let transport = reqwest::Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .build()?;
    let options = ClientOptions {
        transport: Some(Transport::new(Arc::new(transport))),
        ..ClientOptions::default()
    };
    let credential = Arc::new(provider.clone());
    let policy = BearerTokenAuthorizationPolicy::new(credential, [GRAPH]);
    Ok(Pipeline::new(
        Some("client"),
        Some("1.0.0"),
        options,
        Vec::new(),
        vec![Arc::new(policy)],
        None,
    ))
}

async fn send(lab: &Lab, client: &Pipeline) -> azure_core::Result<()> {
    let url = format!("https://localhost:{}{PATH}", lab.emulator.port());
    let mut request = Request::new(Url::parse(&url)?, Method::Get);
    // the emulator has no such resource; what it was sent is the question
    let options = PipelineSendOptions {
        skip_checks: true,
        ..PipelineSendOptions::default()
    };
    client
        .send(&Context::new(), &mut request, Some(options))
        .await
        .map(drop)
}

#[tokio::test]
async fn a_client_of_the_azure_sdk_sends_the_providers_token() -> Result<()> {
    let lab = Lab::new("azure_client")?;
    let provider = lab.provider().build().await?;
    let client = client(&lab, &provider)?;
    for _ in 0..2 {
        send(&lab, &client).await?;
    }
    let token = provider
        .cached_token(&edgepass::TokenRequest::for_scopes([GRAPH]))
        .context("the provider has the token that the client asked for")?;
    lab.evidence.secret("access token", token.token.expose());
    let expected = token.authorization()?;
    let journal = lab.emulator.journal();
    let sent: Vec<_> = journal
        .iter()
        .filter(|entry| entry.path == PATH)
        .map(|entry| entry.header("authorization"))
        .collect();
    assert_eq!(sent, [Some(expected.expose()); 2]);
    assert_eq!(lab.emulator.token_requests().len(), 1, "the SDK keeps it");
    Ok(())
}

#[tokio::test]
async fn what_the_provider_says_reaches_who_uses_the_sdk() -> Result<()> {
    let lab = Lab::new("azure_refused")?;
    std::fs::remove_file(lab.files.token_file())?;
    let provider = lab.provider().build().await?;
    let error = send(&lab, &client(&lab, &provider)?)
        .await
        .err()
        .context("there is no token")?;
    assert!(matches!(error.kind(), ErrorKind::Credential), "{error:?}");
    // the SDK puts words of its own before it
    let mut said = String::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let ours = loop {
        let one = cause.with_context(|| format!("the provider's own error in {error:?}"))?;
        said.push_str(&format!("{one}\n"));
        if let Some(ours) = one.downcast_ref::<edgepass::Error>() {
            break ours;
        }
        cause = one.source();
    };
    assert_eq!(ours.class(), ErrorClass::CredentialUnavailable);
    let hint = ours.detail().hint.as_deref().context("a hint")?;
    assert!(
        said.contains(&ours.to_string()) && said.contains(hint),
        "{said}"
    );
    Ok(())
}
