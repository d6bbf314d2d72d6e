//! Tokens from the metadata service: over http, to that address alone.

use edgepass::{Environment, ErrorClass, Provider, TokenRequest};
use edgepass_emulator::{App, Fault};
use serde_json::{Value, json};

use crate::providers::graph;
use crate::support::Lab;

const VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

async fn provider(lab: &Lab, config: &Value) -> Provider {
    let metadata = lab.emulator.metadata_authority().unwrap();
    Provider::builder()
        .config_json(config.to_string())
        .ca_file(lab.files.ca_file())
        .environment(Environment::from_pairs([(VARIABLE, metadata)]))
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_machine_gets_tokens_of_its_own() {
    let lab = Lab::new();
    let config =
        json!({ "identities": { "machine": { "credential": { "managed_identity": {} } } } });
    let provider = provider(&lab, &config).await;
    let token = provider.get_token(&graph()).await.unwrap();
    assert_eq!(token.token_type, "Bearer");
    let [request] = lab.emulator.metadata_requests().try_into().unwrap();
    assert_eq!(request.method, "GET");
    assert!(lab.emulator.token_requests().is_empty());
    // for another resource another token, and the first one from the cache
    let vault = TokenRequest::for_scopes(["https://vault.azure.net"]);
    let other = provider.get_token(&vault).await.unwrap();
    assert_ne!(other.token, token.token);
    provider.get_token(&graph()).await.unwrap();
    assert_eq!(lab.emulator.metadata_requests().len(), 2);
}

#[tokio::test]
async fn an_identity_that_is_not_assigned_is_named() {
    let lab = Lab::new();
    let config = json!({ "identities": { "machine": { "credential": {
        "managed_identity": { "client_id": "00000000-0000-0000-0000-000000000009" } } } } });
    let error = provider(&lab, &config)
        .await
        .get_token(&graph())
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
    let hint = error.detail().hint.clone().unwrap_or_default();
    assert!(
        hint.contains("00000000-0000-0000-0000-000000000009"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_service_that_is_updating_is_waited_for() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::status(410).body("").on("/metadata/").times(1));
    let config =
        json!({ "identities": { "machine": { "credential": { "managed_identity": {} } } } });
    provider(&lab, &config)
        .await
        .get_token(&graph())
        .await
        .unwrap();
    assert_eq!(lab.emulator.metadata_requests().len(), 2);
}

#[tokio::test]
async fn its_token_is_the_assertion_of_an_application_that_trusts_it() {
    let lab = Lab::new();
    let mut identities = lab.emulator.managed_identities();
    identities.retain(|identity| identity.resource_id.is_some());
    let user = identities.remove(0);
    let mut config =
        lab.config(&json!({ "managed_identity_assertion": { "client_id": user.client_id } }));
    let error = provider(&lab, &config)
        .await
        .get_token(&graph())
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::FederationMismatch, "{error}");

    let issuer = lab.emulator.tenant_issuer();
    let client_id = "00000000-1111-2222-3333-444444444444";
    let app = App::new(client_id);
    lab.emulator.register_app(app.federated(
        &issuer,
        &user.object_id,
        "api://AzureADTokenExchange",
    ));
    config["identities"]["app"]["client_id"] = json!(client_id);
    provider(&lab, &config)
        .await
        .get_token(&graph())
        .await
        .unwrap();
    let last = lab.emulator.token_requests().pop().unwrap();
    assert_eq!(last.method_of_proof.as_deref(), Some("federated"));
}

#[tokio::test]
async fn a_machine_without_the_service_says_so() {
    // a port where nobody listens, and nobody else can while this connection has it
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let config =
        json!({ "identities": { "machine": { "credential": { "managed_identity": {} } } } });
    let provider = Provider::builder()
        .config_json(config.to_string())
        .environment(Environment::from_pairs([(
            VARIABLE,
            format!("http://127.0.0.1:{port}"),
        )]))
        .build()
        .await
        .unwrap();
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
    assert!(
        error.to_string().contains("no metadata service answers"),
        "{error}"
    );
}
