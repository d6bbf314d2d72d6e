use edgepass_emulator::{Certificate, CertificateOptions, ClientCertificate, Emulator};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::*;

fn with(certificates: &[&ClientCertificate]) -> String {
    register(shared(), |app| {
        certificates.iter().fold(app, |app, made| {
            app.certificate(Certificate::from_pem(&made.certificate_pem).unwrap())
        })
    })
}

/// An assertion for the endpoint that `post_assertion` calls.
fn assertion(certificate: &ClientCertificate, client_id: &str) -> Assertion {
    Assertion::new(
        certificate,
        client_id,
        &shared().token_endpoint(shared().tenant()),
    )
}

async fn present(client_id: &str, assertion: Assertion) -> Answer {
    post_assertion(shared(), client_id, &assertion.sign()).await
}

/// What the journal found odd about the last request of this client.
fn oddities(client_id: &str) -> Vec<String> {
    let requests = shared().token_requests();
    let last = requests
        .iter()
        .rev()
        .find(|entry| entry.field("client_id").as_deref() == Some(client_id));
    last.unwrap().nonconforming.clone()
}

#[tokio::test]
async fn a_conforming_assertion_is_taken_without_remark() {
    let id = with(&[certificate(0)]);
    present(&id, assertion(certificate(0), &id))
        .await
        .token_claims();
    assert_eq!(oddities(&id), Vec::<String>::new());
    let rs256 = assertion(certificate(0), &id)
        .algorithm(Algorithm::RS256)
        .without_header("x5t#S256")
        .header("x5t", json!(x5t(certificate(0))));
    present(&id, rs256).await.token_claims();
    assert_eq!(oddities(&id), Vec::<String>::new());
}

#[tokio::test]
async fn other_thumbprint_encodings_are_taken_and_noted() {
    let id = with(&[certificate(0)]);
    let padded = format!("{}=", certificate(0).thumbprint);
    present(
        &id,
        assertion(certificate(0), &id).header("x5t#S256", json!(padded)),
    )
    .await
    .token_claims();
    assert_eq!(oddities(&id), ["'x5t#S256' is not unpadded base64url"]);
    let standard = base64(&sha256(&certificate(0).chain[0]));
    present(
        &id,
        assertion(certificate(0), &id).header("x5t#S256", json!(standard)),
    )
    .await
    .token_claims();
    assert_eq!(oddities(&id).len(), 1);
}

#[tokio::test]
async fn the_certificate_must_be_registered_and_its_key_sign() {
    let id = with(&[certificate(0)]);
    let stranger = assertion(certificate(1), &id);
    present(&id, stranger)
        .await
        .refused(700_027)
        .saying(&certificate(1).thumbprint);
    let unnamed = assertion(certificate(0), &id).without_header("x5t#S256");
    present(&id, unnamed)
        .await
        .refused(700_027)
        .saying("not registered");
    let forged = assertion(certificate(0), &id).key_of(certificate(1));
    present(&id, forged)
        .await
        .refused(700_027)
        .saying("did not match");
    let sha384 = assertion(certificate(0), &id).algorithm(Algorithm::RS384);
    present(&id, sha384).await.refused(700_027).saying("RS384");
    // A thumbprint of one kind under the name of the other names nothing.
    let swapped = assertion(certificate(0), &id).header("x5t#S256", json!(x5t(certificate(0))));
    present(&id, swapped).await.refused(700_027);
}

#[tokio::test]
async fn the_certificate_of_several_is_found_by_thumbprint() {
    let id = with(&[certificate(0), certificate(1)]);
    present(&id, assertion(certificate(0), &id))
        .await
        .token_claims();
    present(&id, assertion(certificate(1), &id))
        .await
        .token_claims();
}

#[tokio::test]
async fn issuer_subject_and_client_are_the_same() {
    let id = with(&[certificate(0)]);
    let other = with(&[certificate(0)]);
    present(
        &id,
        assertion(certificate(0), &id).claim("sub", json!(other)),
    )
    .await
    .refused(50_048);
    present(
        &id,
        assertion(certificate(0), &id).claim("iss", json!(other)),
    )
    .await
    .refused(50_048);
    present(&id, assertion(certificate(0), &other))
        .await
        .refused(700_021);
}

#[tokio::test]
async fn the_audience_is_the_endpoint_called() {
    let id = with(&[certificate(0)]);
    let aud = async |audience: Value| {
        present(&id, assertion(certificate(0), &id).claim("aud", audience)).await
    };
    let (authority, tenant) = (shared().authority(), shared().tenant());
    aud(json!(format!("{authority}/{tenant}/oauth2/token")))
        .await
        .token_claims();
    aud(json!(format!("{authority}/{tenant}/v2.0")))
        .await
        .token_claims();
    aud(json!(["other", shared().token_endpoint(tenant)]))
        .await
        .token_claims();
    aud(json!(format!("{authority}/common/oauth2/v2.0/token")))
        .await
        .refused(700_023);
    aud(json!(format!(
        "{}/{tenant}/oauth2/v2.0/token",
        shared().mtls_authority()
    )))
    .await
    .refused(700_023);
    aud(json!("https://login.microsoftonline.com"))
        .await
        .refused(700_023);
    aud(json!(7)).await.refused(700_023);
}

#[tokio::test]
async fn a_tenant_domain_serves_in_path_and_audience() {
    let id = with(&[certificate(0)]);
    let domain = shared().tenant_domain();
    for audience in [
        shared().token_endpoint(domain),
        shared().token_endpoint(shared().tenant()),
    ] {
        let signed = Assertion::new(certificate(0), &id, &audience).sign();
        let fields = [
            ("client_assertion", signed.as_str()),
            ("client_assertion_type", JWT_BEARER),
            ("client_id", id.as_str()),
            ("grant_type", "client_credentials"),
            ("scope", GRAPH),
        ];
        Client::new(shared())
            .post(&token_path(domain), &fields)
            .await
            .token_claims();
    }
}

#[tokio::test]
async fn times_and_life_are_checked() {
    let id = with(&[certificate(0)]);
    let times = async |from: i64, until: i64| {
        let changed = assertion(certificate(0), &id)
            .claim("nbf", json!(now() + from))
            .claim("exp", json!(now() + until));
        present(&id, changed).await
    };
    times(-600, -240).await.token_claims();
    times(-900, -360).await.refused(700_024);
    times(240, 600).await.token_claims();
    times(360, 900).await.refused(700_024);
    times(0, 1_800).await.token_claims();
    assert_eq!(
        oddities(&id),
        ["the assertion lives 1800 seconds, more than 600"]
    );
    times(0, 90_000)
        .await
        .refused(700_024)
        .saying("90000 seconds");
    let without = assertion(certificate(0), &id).without("exp");
    present(&id, without).await.refused(50_027);
}

#[tokio::test]
async fn times_as_strings_or_fractions_are_noted() {
    let id = with(&[certificate(0)]);
    let text = assertion(certificate(0), &id).claim("exp", json!((now() + 300).to_string()));
    present(&id, text).await.token_claims();
    assert_eq!(oddities(&id), ["'exp' is a string"]);
    let fraction = assertion(certificate(0), &id)
        .claim("nbf", json!(0.5))
        .without("jti")
        .claim(
            "exp",
            json!(f64::from(i32::try_from(now()).unwrap()) - 240.5),
        );
    // Half a second into 1970: a life of decades, far more than a day.
    present(&id, fraction).await.refused(700_024);
    assert!(oddities(&id).contains(&"'nbf' has a fraction".to_owned()));
}

#[tokio::test]
async fn an_assertion_is_used_once() {
    let id = with(&[certificate(0)]);
    let signed = assertion(certificate(0), &id).sign();
    post_assertion(shared(), &id, &signed).await.token_claims();
    post_assertion(shared(), &id, &signed)
        .await
        .refused(50_012)
        .saying("used before");
    let same_jti = assertion(certificate(0), &id).claim("jti", claims_of(&signed)["jti"].clone());
    present(&id, same_jti).await.refused(50_012);
    // Refused for something else, an assertion is not used.
    let expired = assertion(certificate(0), &id)
        .claim("jti", json!("later"))
        .claim("exp", json!(1));
    present(&id, expired).await.refused(700_024);
    present(
        &id,
        assertion(certificate(0), &id).claim("jti", json!("later")),
    )
    .await
    .token_claims();

    present(&id, assertion(certificate(0), &id).without("jti"))
        .await
        .token_claims();
    assert_eq!(oddities(&id), ["the assertion has no 'jti'"]);
}

#[tokio::test]
async fn replay_is_noted_where_it_is_not_refused() {
    let emulator = Emulator::builder().start().await.unwrap();
    emulator.refuse_replay(false);
    let id = emulator.client_id();
    let audience = emulator.token_endpoint(emulator.tenant());
    let signed = Assertion::new(emulator.client_certificate(), id, &audience).sign();
    post_assertion(&emulator, id, &signed).await.token_claims();
    post_assertion(&emulator, id, &signed).await.token_claims();
    let noted = &emulator.token_requests()[1].nonconforming;
    assert_eq!(*noted, ["the assertion's 'jti' was used before"]);
}

#[tokio::test]
async fn x5c_must_fit_the_thumbprint_and_hold_together() {
    let options = CertificateOptions {
        issued_by_ca: true,
        ..CertificateOptions::default()
    };
    let issued = shared()
        .create_client_certificate("issued", &options)
        .unwrap();
    assert_eq!(issued.chain.len(), 2);
    let id = with(&[&issued]);
    let chain = |ders: &[&[u8]]| -> Value { ders.iter().map(|der| base64(der)).collect() };
    let x5c = async |value: Value| present(&id, assertion(&issued, &id).header("x5c", value)).await;

    x5c(chain(&[&issued.chain[0], &issued.chain[1]]))
        .await
        .token_claims();
    assert_eq!(oddities(&id), Vec::<String>::new());
    x5c(chain(&[&issued.chain[0]])).await.token_claims();
    x5c(json!(base64(&issued.chain[0]))).await.token_claims();
    assert_eq!(oddities(&id), ["'x5c' is a string, not an array"]);
    let mut broken = base64(&issued.chain[0]);
    broken.insert(64, '\n');
    x5c(json!([broken])).await.token_claims();
    assert_eq!(oddities(&id), ["'x5c' has white space inside"]);

    x5c(chain(&[&issued.chain[1], &issued.chain[0]]))
        .await
        .refused(7_000_213);
    x5c(chain(&[&issued.chain[0], &certificate(0).chain[0]]))
        .await
        .refused(7_000_213);
    x5c(json!([])).await.refused(7_000_213);
    x5c(json!(["!"])).await.refused(7_000_213);
    // Base64 of the PEM, as one library sends it.
    x5c(json!([base64(issued.certificate_pem.as_bytes())]))
        .await
        .refused(7_000_213);
}

#[tokio::test]
async fn the_certificate_is_within_its_own_validity() {
    let make = |from, until| {
        let options = CertificateOptions {
            not_before_in: from,
            not_after_in: until,
            ..CertificateOptions::default()
        };
        shared()
            .create_client_certificate("validity", &options)
            .unwrap()
    };
    let (old, young) = (make(-7_200, -3_600), make(3_600, 7_200));
    let id = with(&[&old, &young]);
    present(&id, assertion(&old, &id)).await.refused(1_000_502);
    present(&id, assertion(&young, &id))
        .await
        .refused(1_000_502);
}

#[test]
fn only_rsa_certificates_can_be_registered() {
    let error = Certificate::from_pem(&shared().ca_pem()).unwrap_err();
    assert!(error.to_string().contains("not RSA"), "{error}");
    assert!(Certificate::from_pem("nonsense").is_err());
}
