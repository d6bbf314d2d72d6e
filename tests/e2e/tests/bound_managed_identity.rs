//! Acceptance: a managed identity with a certificate that its machine is issued, as proof of an application on connections
//! with that certificate, through the real component.

use anyhow::{Context as _, Result};
use edgepass::{Error, ErrorClass, Provider, TokenRequest, TokenType};
use edgepass_e2e::jwt::claims;
use edgepass_e2e::{GRAPH, Lab, forced};
use edgepass_emulator::{App, Fault, MachineKeys};
use serde_json::{Value, json};

/// The resource whose tokens are assertions.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// An application that trusts the user-assigned identity.
const TRUSTING: &str = "7c1d2e3f-0000-4000-8000-000000000002";

const JWT_POP: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-pop";

/// The credential, bound or not.
fn credential(lab: &Lab, bound: bool) -> Result<Value> {
    let client_id = lab.user_assigned()?.client_id;
    Ok(json!({ "managed_identity_assertion": {
        "client_id": client_id, "use_bound_credential": bound,
    } }))
}

/// A provider of the trusting application, on the machine of the metadata service.
async fn provider(lab: &Lab, credential: &Value) -> Result<Provider> {
    let user = lab.user_assigned()?;
    let issuer = lab.emulator.tenant_issuer();
    let app = App::new(TRUSTING).federated(&issuer, &user.object_id, EXCHANGE);
    lab.emulator.register_app(app);
    let config = lab.config_of(TRUSTING, credential, json!({}));
    Ok(lab.on_the_machine(&config)?.build().await?)
}

async fn refused(lab: &Lab, provider: &Provider) -> Result<Error> {
    let error = provider.get_token(&forced()).await.err();
    let error = error.context("a token in place of an error")?;
    lab.evidence.saw_error("refused", &error);
    Ok(error)
}

#[tokio::test]
async fn an_application_is_proved_by_the_certificate_that_its_machine_is_issued() -> Result<()> {
    let lab = Lab::with_metadata("bound_managed_identity")?;
    let provider = provider(&lab, &credential(&lab, true)?).await?;
    let user = lab.user_assigned()?;
    let text = lab.issued(&provider.get_token(&forced()).await?);
    assert_eq!(claims(&text)?["appid"], json!(TRUSTING));

    let [thumbprint] = <[_; 1]>::try_from(lab.emulator.issued_certificates())
        .map_err(|issued| anyhow::anyhow!("{issued:?}"))?;
    let [metadata, issued, bound, exchanged] = <[_; 4]>::try_from(lab.emulator.journal())
        .map_err(|journal| anyhow::anyhow!("{journal:?}"))?;
    let query = format!("cred-api-version=2.0&client_id={}", user.client_id);
    for (request, method, path) in [
        (&metadata, "GET", "/metadata/identity/getplatformmetadata"),
        (&issued, "POST", "/metadata/identity/issuecredential"),
    ] {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            (method, path)
        );
        assert_eq!(request.query, query);
    }
    // the identity's token is for connections with the certificate alone, and so is what is made of it
    assert_eq!(
        bound.field("client_id").as_deref(),
        Some(user.client_id.as_str())
    );
    assert_eq!(bound.field("token_type").as_deref(), Some("mtls_pop"));
    assert_eq!(
        exchanged.method_of_proof.as_deref(),
        Some("bound-assertion")
    );
    assert_eq!(
        exchanged.field("client_assertion_type").as_deref(),
        Some(JWT_POP)
    );
    for request in [&bound, &exchanged] {
        assert_eq!(request.client_certificate.as_ref(), Some(&thumbprint));
    }
    let assertion = exchanged.field("client_assertion").context("none")?;
    let said = claims(&assertion)?;
    assert_eq!(said["cnf"]["x5t#S256"], json!(thumbprint));
    assert_eq!(said["sub"], json!(user.object_id));

    // certificate and assertion live for days: the next exchange is one request
    lab.emulator.clear_journal();
    lab.issued(&provider.get_token(&forced()).await?);
    assert_eq!(lab.emulator.journal().len(), 1);

    // a token that counts on such connections alone says on which
    let token = provider
        .get_token(&TokenRequest {
            token_type: TokenType::MtlsPop,
            ..TokenRequest::for_scopes([GRAPH])
        })
        .await?;
    let text = lab.issued(&token);
    assert_eq!(token.certificate_thumbprint.as_ref(), Some(&thumbprint));
    assert_eq!(claims(&text)?["cnf"]["x5t#S256"], json!(thumbprint));
    Ok(())
}

/// What goes over the link is of no use to whoever has seen it.
#[tokio::test]
async fn the_assertion_counts_on_no_other_connection() -> Result<()> {
    let lab = Lab::with_metadata("bound_managed_identity_stolen")?;
    let bound = provider(&lab, &credential(&lab, true)?).await?;
    lab.issued(&bound.get_token(&forced()).await?);
    let journal = lab.emulator.token_requests();
    let stolen = journal
        .last()
        .and_then(|request| request.field("client_assertion"));
    let stolen = stolen.context("nothing was exchanged")?;
    lab.evidence.secret("assertion", &stolen);
    let demo = json!({ "demo": {
        "certificate_file": lab.files.certificate_file(),
        "private_key_file": lab.files.private_key_file(),
    } });
    for (credential, certificates) in [
        (
            json!({ "client_assertion": { "value": stolen } }),
            json!({}),
        ),
        (json!({ "bound_certificate": { "name": "demo" } }), demo),
    ] {
        let config = lab.config_of(TRUSTING, &credential, certificates);
        let other = lab.configured(&config).build().await?;
        let error = refused(&lab, &other).await?;
        assert!(!error.detail().aadsts.is_empty(), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_replaced_at_half_of_its_life_and_no_call_fails() -> Result<()> {
    let lab = Lab::with_metadata("bound_managed_identity_rotation")?;
    lab.emulator.set_issued_certificate_lifetime(20);
    let provider = provider(&lab, &credential(&lab, true)?).await?;
    lab.issued(&provider.get_token(&forced()).await?);
    let started = std::time::Instant::now();
    while lab.emulator.issued_certificates().len() < 2 {
        lab.issued(&provider.get_token(&forced()).await?);
        assert!(
            started.elapsed() < edgepass_e2e::PATIENCE,
            "none was issued"
        );
    }
    lab.issued(&provider.get_token(&forced()).await?);
    let issued = lab.emulator.issued_certificates();
    for request in lab.emulator.token_requests() {
        assert_eq!(request.status, Some(200));
        let shown = request.client_certificate.as_ref().context("none")?;
        assert!(issued.contains(shown));
        let assertion = request.field("client_assertion");
        if let Some(assertion) = assertion {
            assert_eq!(claims(&assertion)?["cnf"]["x5t#S256"], json!(shown));
        }
    }
    let last = lab.emulator.token_requests().pop().context("none")?;
    assert_eq!(last.client_certificate.as_ref(), issued.last());
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_refused_in_the_handshake_is_replaced_once() -> Result<()> {
    let lab = Lab::with_metadata("bound_managed_identity_refused")?;
    lab.emulator.refuse_issued_certificates(1);
    let one = provider(&lab, &credential(&lab, true)?).await?;
    lab.issued(&one.get_token(&forced()).await?);
    assert_eq!(lab.emulator.issued_certificates().len(), 2);

    // if that is refused as well it is not the certificate, however often it is asked
    let lab = Lab::with_metadata("bound_managed_identity_refused_twice")?;
    lab.emulator.refuse_issued_certificates(usize::MAX);
    let other = provider(&lab, &credential(&lab, true)?).await?;
    for _ in 0..3 {
        let error = refused(&lab, &other).await?;
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        assert_eq!(lab.emulator.issued_certificates().len(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_machine_that_issues_none_is_told_by_its_reason_and_the_next_entry_serves() -> Result<()>
{
    let lab = Lab::with_metadata("bound_managed_identity_none")?;
    for (keys, says) in [
        (MachineKeys::Attested, "KeyGuard"),
        (MachineKeys::None, "knows version 1 alone"),
    ] {
        lab.emulator.set_machine_keys(keys);
        let alone = provider(&lab, &credential(&lab, true)?).await?;
        let error = refused(&lab, &alone).await?;
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        let hint = error.detail().hint.clone().unwrap_or_default();
        assert!(hint.contains("use_bound_credential"), "{hint}");

        let list = json!([credential(&lab, true)?, credential(&lab, false)?]);
        let list = provider(&lab, &list).await?;
        lab.issued(&list.get_token(&forced()).await?);
        let last = lab.emulator.token_requests().pop().context("none")?;
        assert_eq!(last.method_of_proof.as_deref(), Some("federated"));
    }
    assert!(lab.emulator.issued_certificates().is_empty());

    // it is told of the certificate at any time afterwards
    lab.emulator.set_machine_keys(MachineKeys::Any);
    let healed = provider(&lab, &credential(&lab, true)?).await?;
    lab.issued(&healed.get_token(&forced()).await?);
    Ok(())
}

#[tokio::test]
async fn what_passes_at_the_metadata_service_is_waited_for() -> Result<()> {
    let lab = Lab::with_metadata("bound_managed_identity_passing")?;
    for fault in [
        Fault::status(410).body(""),
        Fault::status(429),
        Fault::status(503).times(2),
        Fault::reset(),
    ] {
        let provider = provider(&lab, &credential(&lab, true)?).await?;
        lab.emulator.faults().push(fault.on("/metadata/"));
        lab.issued(&provider.get_token(&forced()).await?);
    }
    // a page of somebody else is no machine of Azure
    let provider = provider(&lab, &credential(&lab, true)?).await?;
    lab.emulator
        .faults()
        .push(Fault::html(502).times(9).on("/metadata/"));
    let error = refused(&lab, &provider).await?;
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
    Ok(())
}
