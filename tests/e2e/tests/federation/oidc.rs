//! An assertion from another issuer, in two exchanges.

use anyhow::{Context as _, Result};
use edgepass::{Environment, ErrorClass, TokenRequest};
use edgepass_e2e::Lab;
use edgepass_emulator::App;
use serde_json::{Value, json};

use crate::{EXCHANGE, TRUSTING, claim, document, document_of, forced, graph, provider};

/// The client inside.
const INNER: &str = "7c1d2e3f-0000-4000-8000-00000000000b";

const SECRET: &str = "Xq7-inner+&=Zk2vW9pLmB4tR8sN";

fn inner(lab: &Lab, credential: &Value) -> Value {
    json!({
        "tenant_id": lab.emulator.tenant(),
        "authority_host": lab.emulator.authority(),
        "client_id": INNER,
        "credential": credential,
    })
}

/// The outer application trusts the inner client, by what that one's token says of itself.
async fn trusting(lab: &Lab) -> Result<()> {
    lab.evidence.secret("inner secret", SECRET);
    lab.emulator.register_app(App::new(INNER).secret(SECRET));
    let secret = json!({ "client_secret": { "value": SECRET } });
    let config = document_of(lab, INNER, &secret);
    let provider = lab.configured(&config).build().await?;
    let scope = format!("{EXCHANGE}/.default");
    let token = provider
        .get_token(&TokenRequest::for_scopes([scope.as_str()]))
        .await?;
    let token = lab.issued(&token);
    let text = |name: &str| -> Result<String> {
        let value = claim(&token, name)?;
        Ok(value.as_str().context("not a text")?.to_owned())
    };
    let outer = App::new(TRUSTING).federated(&text("iss")?, &text("sub")?, &text("aud")?);
    lab.emulator.register_app(outer);
    lab.emulator.clear_journal();
    Ok(())
}

#[tokio::test]
async fn a_client_elsewhere_stands_in_for_the_application() -> Result<()> {
    let lab = Lab::new("federation_oidc")?;
    trusting(&lab).await?;
    let secret = json!({ "client_secret": { "value": SECRET } });
    let credential = json!({ "oidc_federation": inner(&lab, &secret) });
    let provider = provider(&lab, &credential, &[]).await?;
    let token = lab.issued(&provider.get_token(&graph()).await?);
    assert_eq!(claim(&token, "appid")?, json!(TRUSTING));
    let requests = lab.emulator.token_requests();
    let proofs: Vec<_> = requests.iter().map(|r| r.method_of_proof.clone()).collect();
    assert_eq!(
        proofs,
        [Some("secret".to_owned()), Some("federated".to_owned())]
    );
    assert_eq!(requests[0].field("client_id").as_deref(), Some(INNER));
    assert_eq!(requests[1].field("client_id").as_deref(), Some(TRUSTING));
    Ok(())
}

/// The first token is kept; once the server refuses it, another is got.
#[tokio::test]
async fn the_first_token_serves_many_exchanges_until_it_is_refused() -> Result<()> {
    let lab = Lab::new("federation_oidc_kept")?;
    trusting(&lab).await?;
    lab.emulator.refuse_replay(false);
    let secret = json!({ "client_secret": { "value": SECRET } });
    let credential = json!({ "oidc_federation": inner(&lab, &secret) });
    let provider = provider(&lab, &credential, &[]).await?;
    for _ in 0..3 {
        lab.issued(&provider.get_token(&forced()).await?);
    }
    let inner_requests = || {
        let requests = lab.emulator.token_requests();
        let ids = requests.iter().map(|r| r.field("client_id"));
        ids.filter(|id| id.as_deref() == Some(INNER)).count()
    };
    assert_eq!(inner_requests(), 1);
    assert_eq!(lab.emulator.token_requests().len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_refusal_says_which_of_the_two_clients_it_is_about() -> Result<()> {
    let lab = Lab::new("federation_oidc_refused")?;
    trusting(&lab).await?;
    let wrong = json!({ "client_secret": { "value": "hunter2 hunter2" } });
    let credential = json!({ "oidc_federation": inner(&lab, &wrong) });
    let provider = provider(&lab, &credential, &[]).await?;
    let error = provider
        .get_token(&graph())
        .await
        .err()
        .context("a token")?;
    assert_eq!(error.class(), ErrorClass::CredentialRejected, "{error}");
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains(&format!("the assertion of client {INNER}: ")),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    Ok(())
}

/// With a certificate inside, whose key the host keeps.
#[tokio::test]
async fn the_client_inside_may_have_a_certificate() -> Result<()> {
    let lab = Lab::new("federation_oidc_certificate")?;
    trusting(&lab).await?;
    lab.emulator
        .set_certificate(INNER, lab.emulator.client_certificate())?;
    let certificate = json!({ "certificate": { "name": "demo" } });
    let mut config = document(
        &lab,
        &json!({ "oidc_federation": inner(&lab, &certificate) }),
    );
    config["certificates"] = json!({ "demo": {
        "certificate_file": lab.files.certificate_file(),
        "private_key_file": lab.files.private_key_file(),
    } });
    let builder = lab.configured(&config).environment(Environment::default());
    let provider = builder.build().await?;
    lab.issued(&provider.get_token(&graph()).await?);
    let requests = lab.emulator.token_requests();
    assert_eq!(requests[0].method_of_proof.as_deref(), Some("certificate"));
    assert_eq!(requests[1].method_of_proof.as_deref(), Some("federated"));
    Ok(())
}
