use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn a_scope_is_one_resource_with_default() {
    let scope = async |scope: &str| post_secret(shared(), &[("scope", scope)]).await;
    scope("api://edgepass-demo/.default").await.token_claims();
    post_secret(shared(), &[])
        .await
        .refused(900_144)
        .saying("'scope'");
    scope("").await.refused(900_144).saying("'scope'");
    scope("https://graph.microsoft.com")
        .await
        .refused(1_002_012);
    scope("https://graph.microsoft.com/User.Read")
        .await
        .refused(1_002_012);
    scope("/.default").await.refused(1_002_012);
    scope("https://graph.microsoft.com/.default https://vault.azure.net/.default")
        .await
        .refused(70_011);
    scope("https://graph.microsoft.com/.default openid")
        .await
        .refused(70_011);
    scope("https://graph.microsoft.com/.default?x")
        .await
        .refused(28_002);
    scope("https://nowhere.example/.default")
        .await
        .refused(500_011)
        .saying("https://nowhere.example");
    // A resource that ends in a slash keeps it: another name, which Microsoft Graph has and an API need not have.
    let claims = scope("https://graph.microsoft.com//.default")
        .await
        .token_claims();
    assert_eq!(claims["aud"], "https://graph.microsoft.com/");
    scope("api://edgepass-demo//.default")
        .await
        .refused(500_011);
}

#[tokio::test]
async fn resource_belongs_to_version_one() {
    let both = [
        ("scope", GRAPH),
        ("resource", "https://graph.microsoft.com"),
    ];
    post_secret(shared(), &both).await.refused(901_002);

    let client = Client::new(shared());
    let path = format!("/{}/oauth2/token", shared().tenant());
    let mut fields = vec![
        ("client_id", shared().client_id()),
        ("client_secret", shared().client_secret()),
        ("grant_type", "client_credentials"),
    ];
    client
        .post(&path, &fields)
        .await
        .refused(900_144)
        .saying("'resource'");
    // as it was asked for
    fields.push(("resource", "https://graph.microsoft.com/"));
    let answer = client.post(&path, &fields).await;
    assert_eq!(answer.token_claims()["aud"], "https://graph.microsoft.com/");
    fields.pop();
    fields.push(("resource", "https://graph.microsoft.com"));
    let answer = client.post(&path, &fields).await;
    let body = answer.json();
    assert_eq!(answer.token_claims()["aud"], "https://graph.microsoft.com");
    assert_eq!(body["expires_in"], "3599");
    assert_eq!(body["resource"], "https://graph.microsoft.com");
    let expires_on: i64 = body["expires_on"].as_str().unwrap().parse().unwrap();
    assert!(
        (now() + 3_500..=now() + 3_600).contains(&expires_on),
        "{expires_on}"
    );
    assert!(body["not_before"].is_string());
}

#[tokio::test]
async fn the_answer_has_numbers_and_forbids_storing() {
    let answer = post_secret(shared(), &[("scope", GRAPH)]).await;
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3_599);
    assert_eq!(body["ext_expires_in"], 3_599);
    assert!(body.get("refresh_in").is_none());
    assert!(body.get("refresh_token").is_none());
    assert!(answer.header("cache-control").contains("no-store"));
    assert_eq!(
        answer.header("content-type"),
        "application/json; charset=utf-8"
    );
}

#[tokio::test]
async fn access_tokens_verify_with_the_published_keys() {
    let answer = post_secret(shared(), &[("scope", GRAPH)]).await;
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let keys = Client::new(shared())
        .get(&format!("/{}/discovery/v2.0/keys", shared().tenant()))
        .await;
    let keys: JwkSet = serde_json::from_slice(&keys.body).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut rules = Validation::new(header.alg);
    rules.set_audience(&["https://graph.microsoft.com"]);
    rules.set_issuer(&[format!("{}/{}/", shared().authority(), shared().tenant())]);
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &rules)
        .unwrap()
        .claims;
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        3_599
    );
    assert_eq!(claims["nbf"], claims["iat"]);
    assert_eq!(claims["ver"], "1.0");
    assert_eq!(claims["appid"], shared().client_id());
    assert_eq!(claims["roles"], json!(["Demo.Read.All"]));
    assert_eq!(claims["oid"], claims["sub"]);
    assert_eq!(claims["idtyp"], "app");
    assert!(claims.get("cnf").is_none());

    let again = post_secret(shared(), &[("scope", GRAPH)])
        .await
        .token_claims();
    assert_eq!(again["oid"], claims["oid"]);
    assert_ne!(again["uti"], claims["uti"]);
}

#[tokio::test]
async fn the_resource_decides_the_tokens_version() {
    let scope = [("scope", "api://edgepass-demo-v2/.default")];
    let claims = post_secret(shared(), &scope).await.token_claims();
    assert_eq!(claims["ver"], "2.0");
    assert_eq!(claims["azp"], shared().client_id());
    assert_eq!(
        claims["iss"],
        format!("{}/{}/v2.0", shared().authority(), shared().tenant())
    );
    let aud = claims["aud"].as_str().unwrap();
    assert_eq!(aud.len(), 36, "the resource's application ID: {aud}");
}

#[tokio::test]
async fn claims_are_json_and_recorded() {
    let claims = r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#;
    let answer = post_secret(shared(), &[("scope", GRAPH), ("claims", claims)]).await;
    assert_eq!(answer.token_claims()["xms_cc"], json!(["CP1"]));
    let entries = shared().token_requests();
    assert!(entries.iter().any(|entry| {
        entry
            .claims
            .as_ref()
            .is_some_and(|claims| claims["access_token"]["xms_cc"].is_object())
    }));
    for bad in ["{", "[]", "7", "text"] {
        post_secret(shared(), &[("scope", GRAPH), ("claims", bad)])
            .await
            .refused(9_002_313)
            .saying("'claims'");
    }
}

#[tokio::test]
async fn other_token_types_are_refused() {
    let bearer = [("scope", GRAPH), ("token_type", "Bearer")];
    post_secret(shared(), &bearer).await.token_claims();
    post_secret(shared(), &[("scope", GRAPH), ("token_type", "pop")])
        .await
        .refused(9_002_313);
    // Bound to nothing: the connection has no certificate.
    post_secret(shared(), &[("scope", GRAPH), ("token_type", "mtls_pop")])
        .await
        .refused(392_200);
}
