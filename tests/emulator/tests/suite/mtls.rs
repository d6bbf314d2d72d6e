use edgepass_emulator::{App, Certificate, CertificateOptions, Emulator, Mint};
use serde_json::{Value, json};

use crate::support::*;

fn registered(certificate_index: usize) -> String {
    register(shared(), |app| with(app, certificate_index))
}

fn with(app: App, certificate_index: usize) -> App {
    app.certificate(Certificate::from_pem(&certificate(certificate_index).certificate_pem).unwrap())
}

/// A client of the mTLS host with a certificate.
fn bound(certificate_index: usize) -> Client {
    Client::new(shared())
        .at(&shared().mtls_authority())
        .identity(certificate(certificate_index))
}

fn fields<'a>(client_id: &'a str, extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("client_id", client_id),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ];
    fields.extend(extra);
    fields
}

fn path() -> String {
    token_path(shared().tenant())
}

fn assertion(certificate_index: usize, client_id: &str) -> Assertion {
    let audience = format!("{}{}", shared().mtls_authority(), path());
    Assertion::new(certificate(certificate_index), client_id, &audience)
}

async fn present(client: &Client, client_id: &str, assertion: &str) -> Answer {
    post_assertion_to(client, shared(), client_id, assertion, JWT_BEARER).await
}

#[tokio::test]
async fn the_certificate_alone_is_a_proof() {
    let id = registered(0);
    for client in [bound(0), bound(0).http2()] {
        let answer = client.post(&path(), &fields(&id, &[])).await;
        assert_eq!(answer.json()["token_type"], "Bearer");
        assert!(answer.token_claims().get("cnf").is_none());
    }
    let requests = shared().token_requests();
    let mine =
        |entry: &&edgepass_emulator::JournalEntry| entry.field("client_id").as_ref() == Some(&id);
    let entry = requests.iter().find(mine).unwrap();
    assert_eq!(
        entry.client_certificate.as_deref(),
        Some(certificate(0).thumbprint.as_str())
    );
    assert_eq!(entry.method_of_proof.as_deref(), Some("tls-certificate"));
    assert!(
        entry.host.starts_with("mtlsauth.localhost:"),
        "{}",
        entry.host
    );
}

#[tokio::test]
async fn the_assertion_must_be_about_the_same_certificate() {
    let id = register(shared(), |app| with(with(app, 0), 1));
    present(&bound(0), &id, &assertion(0, &id).sign())
        .await
        .token_claims();
    present(&bound(1), &id, &assertion(0, &id).sign())
        .await
        .refused(500_181);
    // By the other thumbprint as well.
    let by_sha1 = assertion(0, &id)
        .without_header("x5t#S256")
        .header("x5t", json!(x5t(certificate(0))));
    present(&bound(0), &id, &by_sha1.sign())
        .await
        .token_claims();
    // The audience is the mTLS host.
    let elsewhere = Assertion::new(
        certificate(0),
        &id,
        &shared().token_endpoint(shared().tenant()),
    );
    present(&bound(0), &id, &elsewhere.sign())
        .await
        .refused(700_023);
    // An outside token about no certificate.
    let federated = shared().issuer().token().unwrap();
    let app = shared().app(shared().client_id()).unwrap();
    let issuer = app.federated_credentials[0].clone();
    let id = register(shared(), |app| {
        with(app, 0).federated(&issuer.issuer, &issuer.subject, &issuer.audience)
    });
    present(&bound(0), &id, &federated).await.refused(500_181);
}

#[tokio::test]
async fn an_outside_token_may_be_bound_to_the_certificate() {
    // `jwt-pop`: the certificate is the token's business, not the app's.
    let thumbprint = certificate(0).thumbprint.as_str();
    let bound_to = |thumbprint: &str| {
        let mint = Mint::new().claim("cnf", json!({ "x5t#S256": thumbprint }));
        shared().issuer().mint(&mint).unwrap()
    };
    let id = shared().client_id();
    let post = async |token: &str| post_assertion_to(&bound(0), shared(), id, token, JWT_POP).await;
    post(&bound_to(thumbprint)).await.token_claims();
    post(&bound_to(&certificate(1).thumbprint))
        .await
        .refused(500_181);
    post(&shared().issuer().token().unwrap())
        .await
        .refused(500_181);

    // It is what its type says, and counts nowhere else.
    let issuer = shared().app(id).unwrap().federated_credentials[0].clone();
    let other = register(shared(), |app| {
        with(app, 0).federated(&issuer.issuer, &issuer.subject, &issuer.audience)
    });
    let token = bound_to(thumbprint);
    present(&bound(0), &other, &token).await.refused(9_002_313);
    present(&Client::new(shared()), &other, &token)
        .await
        .refused(392_200);
    let own = assertion(0, &other).sign();
    post_assertion_to(&bound(0), shared(), &other, &own, JWT_POP)
        .await
        .refused(9_002_313);
}

#[tokio::test]
async fn without_a_certificate_the_mtls_host_refuses() {
    let id = registered(0);
    let bare = Client::new(shared()).at(&shared().mtls_authority());
    bare.post(&path(), &fields(&id, &[])).await.refused(392_200);
    present(&bare, &id, &assertion(0, &id).sign())
        .await
        .refused(392_200);
}

#[tokio::test]
async fn the_certificate_must_be_the_apps_and_current() {
    let id = registered(0);
    bound(1)
        .post(&path(), &fields(&id, &[]))
        .await
        .refused(700_027)
        .saying("not registered");
    let disabled = register(shared(), |mut app| {
        app.mtls_enabled = false;
        with(app, 0)
    });
    bound(0)
        .post(&path(), &fields(&disabled, &[]))
        .await
        .refused(51_000);

    let options = CertificateOptions {
        not_before_in: -7_200,
        not_after_in: -3_600,
        ..CertificateOptions::default()
    };
    let expired = shared()
        .create_client_certificate("expired", &options)
        .unwrap();
    let id = register(shared(), |app| {
        app.certificate(Certificate::from_pem(&expired.certificate_pem).unwrap())
    });
    let client = Client::new(shared())
        .at(&shared().mtls_authority())
        .identity(&expired);
    client
        .post(&path(), &fields(&id, &[]))
        .await
        .refused(392_204);
}

#[tokio::test]
async fn a_secret_is_not_taken_over_mtls() {
    let id = register(shared(), |app| with(app, 0).secret("s"));
    bound(0)
        .post(&path(), &fields(&id, &[("client_secret", "s")]))
        .await
        .refused(9_002_313);
}

#[tokio::test]
async fn elsewhere_a_certificate_proves_nothing() {
    let id = registered(0);
    let client = Client::new(shared()).identity(certificate(0));
    client
        .post(&path(), &fields(&id, &[]))
        .await
        .refused(7_000_218);
}

#[tokio::test]
async fn a_token_can_be_bound_to_the_certificate() {
    let id = registered(0);
    let answer = bound(0)
        .post(&path(), &fields(&id, &[("token_type", "mtls_pop")]))
        .await;
    assert_eq!(answer.json()["token_type"], "mtls_pop");
    let cnf: &Value = &answer.token_claims()["cnf"];
    assert_eq!(*cnf, json!({ "x5t#S256": certificate(0).thumbprint }));
}

#[tokio::test]
async fn the_strict_port_refuses_the_handshake() {
    let id = registered(0);
    let strict = Client::new(shared()).at(&shared().strict_mtls_authority());
    let fields = fields(&id, &[]);
    let error = strict.try_post(&path(), &fields).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("CertificateRequired"), "{text}");
    strict
        .clone()
        .identity(certificate(0))
        .post(&path(), &fields)
        .await
        .token_claims();
    strict
        .identity(certificate(1))
        .post(&path(), &fields)
        .await
        .refused(700_027);
}

#[tokio::test]
async fn a_certificate_issued_by_any_ca_connects() {
    let emulator = Emulator::builder().start().await.unwrap();
    let options = CertificateOptions {
        issued_by_ca: true,
        ..CertificateOptions::default()
    };
    // By the CA of another emulator.
    let issued = shared()
        .create_client_certificate("foreign", &options)
        .unwrap();
    emulator
        .set_certificate(emulator.client_id(), &issued)
        .unwrap();
    let client = Client::new(&emulator)
        .at(&emulator.mtls_authority())
        .identity(&issued);
    let path = token_path(emulator.tenant());
    client
        .post(&path, &fields(emulator.client_id(), &[]))
        .await
        .token_claims();
    // set_certificate replaced the one from the start.
    let replaced = Client::new(&emulator)
        .at(&emulator.mtls_authority())
        .identity(emulator.client_certificate());
    replaced
        .post(&path, &fields(emulator.client_id(), &[]))
        .await
        .refused(700_027);
    emulator
        .add_certificate(emulator.client_id(), emulator.client_certificate())
        .unwrap();
    replaced
        .post(&path, &fields(emulator.client_id(), &[]))
        .await
        .token_claims();
}
