//! What leaves, and what the caller is told when the other side does not answer as it should.

use edgepass::{ErrorClass, Provider};
use edgepass_emulator::Fault;
use serde_json::json;

use crate::providers::graph;
use crate::support::Lab;

async fn failure(provider: &Provider) -> (ErrorClass, String) {
    let error = provider.get_token(&graph()).await.unwrap_err();
    (
        error.class(),
        format!(
            "{error} {}",
            error.detail().hint.clone().unwrap_or_default()
        ),
    )
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let lab = Lab::new();
    let elsewhere = format!("{}/elsewhere", lab.emulator.authority());
    lab.emulator
        .faults()
        .push(Fault::redirect(307, &elsewhere).on("/token").forever());
    let provider = lab.federated().build().await.unwrap();
    let (class, _) = failure(&provider).await;
    assert_eq!(class, ErrorClass::InvalidResponse);
    assert!(
        lab.emulator
            .journal()
            .iter()
            .all(|entry| entry.path != "/elsewhere")
    );
}

#[tokio::test]
async fn a_huge_response_is_not_read() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::oversize(10 << 20).on("/token").forever());
    let provider = lab.federated().build().await.unwrap();
    let (class, text) = failure(&provider).await;
    assert_eq!(class, ErrorClass::InvalidResponse, "{text}");
    assert_eq!(provider.stats().restarts, 0);
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_spoken_to() {
    let lab = Lab::new();
    let other = Lab::new();
    let provider = lab
        .federated()
        .ca_file(other.files.ca_file())
        .build()
        .await
        .unwrap();
    let (class, text) = failure(&provider).await;
    assert_eq!(class, ErrorClass::Network);
    assert!(
        text.contains("is not trusted")
            && text.contains("by ca_file (")
            && text.contains("host.extra_ca_file"),
        "{text}"
    );
    assert!(lab.emulator.token_requests().is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_is_named() {
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    let place = format!("localhost:{}", lab.emulator.port());
    let files = lab.files.token_file();
    let token = std::fs::read(&files).unwrap();
    let Lab { .. } = &lab;
    lab.emulator.faults().clear();
    // a port where nobody listens, and nobody else can while this connection has it
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let config = {
        let mut config =
            lab.config(&json!({ "federated_token_file": { "path": lab.write("token", token) } }));
        let port = nobody.local_addr().unwrap().port();
        config["authority_hosts"] = json!([format!("login.localhost:{port}")]);
        config["identities"]["app"]["authority_host"] =
            json!(format!("https://login.localhost:{port}"));
        (config, port)
    };
    let down = Provider::builder()
        .config_json(config.0.to_string())
        .ca_file(lab.files.ca_file());
    let (class, text) = failure(&down.build().await.unwrap()).await;
    assert_eq!(class, ErrorClass::Network);
    assert!(
        text.contains(&format!("login.localhost:{}", config.1)) && text.contains("refused"),
        "{text}"
    );
    // and the one that is up still answers
    assert!(provider.get_token(&graph()).await.is_ok(), "{place}");
}

#[tokio::test]
async fn a_name_without_address_is_named() {
    let lab = Lab::new();
    let mut config =
        lab.config(&json!({ "federated_token_file": { "path": lab.files.token_file() } }));
    config["authority_hosts"] = json!(["login.edgepass.invalid"]);
    config["identities"]["app"]["authority_host"] = json!("https://login.edgepass.invalid");
    let builder = Provider::builder()
        .config_json(config.to_string())
        .ca_file(lab.files.ca_file());
    let (class, text) = failure(&builder.build().await.unwrap()).await;
    assert_eq!(class, ErrorClass::Network);
    assert!(
        text.contains("login.edgepass.invalid") && text.contains("resolve"),
        "{text}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_tried_again() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::reset().on("/token").times(1));
    let provider = lab.federated().build().await.unwrap();
    assert!(provider.get_token(&graph()).await.is_ok());
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

#[tokio::test]
async fn connections_are_used_again() {
    let lab = Lab::new();
    let provider = lab.federated().build().await.unwrap();
    for _ in 0..3 {
        provider.get_token(&graph()).await.unwrap();
        provider.drop_cached(None).await.unwrap();
    }
    let mut connections: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|entry| entry.connection)
        .collect();
    assert_eq!(connections.len(), 3);
    connections.dedup();
    assert_eq!(connections.len(), 1);
}
