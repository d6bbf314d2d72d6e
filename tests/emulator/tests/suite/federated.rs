use edgepass_emulator::Mint;
use serde_json::json;

use crate::support::*;

/// Posts the token that `mint` makes for the first application.
async fn present(mint: Mint) -> Answer {
    let assertion = shared().issuer().mint(&mint).unwrap();
    post_assertion(shared(), shared().client_id(), &assertion).await
}

#[tokio::test]
async fn a_projected_token_is_exchanged() {
    let claims = present(Mint::new()).await.token_claims();
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    assert_eq!(claims["tid"], shared().tenant());
    // The same token may be used again, as every pod does.
    let assertion = shared().issuer().token().unwrap();
    post_assertion(shared(), shared().client_id(), &assertion)
        .await
        .token_claims();
    post_assertion(shared(), shared().client_id(), &assertion)
        .await
        .token_claims();
}

#[tokio::test]
async fn the_issuer_is_compared_byte_for_byte() {
    let url = shared().issuer().url().to_owned();
    present(Mint::new().issuer(&format!("{url}/")))
        .await
        .refused(700_211)
        .saying("/issuer/'");
    present(Mint::new().issuer(&url.to_uppercase()))
        .await
        .refused(700_211);
}

#[tokio::test]
async fn the_subject_is_compared_byte_for_byte() {
    present(Mint::new().subject("system:serviceaccount:default:other"))
        .await
        .refused(700_213)
        .saying("system:serviceaccount:default:other");
    present(Mint::new().subject("system:serviceaccount:default:Edgepass-Demo"))
        .await
        .refused(7_002_138)
        .saying("case-sensitive");
    present(Mint::new().subject(&format!("{SUBJECT} ")))
        .await
        .refused(700_213);
}

#[tokio::test]
async fn the_audience_must_be_among_the_tokens() {
    present(Mint::new().audience(AUDIENCE)).await.token_claims();
    let both = json!(["https://kubernetes.default.svc", AUDIENCE]);
    present(Mint {
        audience: Some(both),
        ..Mint::new()
    })
    .await
    .token_claims();
    present(Mint::new().audience("https://kubernetes.default.svc"))
        .await
        .refused(700_212)
        .saying("https://kubernetes.default.svc");
    present(Mint::new().audience("api://azureadtokenexchange"))
        .await
        .refused(700_212);
    present(Mint::new().without("aud")).await.refused(700_212);
}

#[tokio::test]
async fn one_credential_must_match_in_everything() {
    let issuer = shared().issuer().url();
    let client_id = register(shared(), |app| {
        app.federated(issuer, "subject-a", "audience-a").federated(
            issuer,
            "subject-b",
            "audience-b",
        )
    });
    let post = async |subject: &str, audience: &str| {
        let mint = Mint::new().subject(subject).audience(audience);
        post_assertion(
            shared(),
            &client_id,
            &shared().issuer().mint(&mint).unwrap(),
        )
        .await
    };
    post("subject-a", "audience-a").await.token_claims();
    post("subject-b", "audience-b").await.token_claims();
    post("subject-a", "audience-b").await.refused(700_213);
}

#[tokio::test]
async fn times_have_five_minutes_of_grace() {
    present(Mint::new().expires_in(-240)).await.token_claims();
    present(Mint::new().expires_in(-360))
        .await
        .refused(700_024)
        .saying("expiry time of assertion");
    present(Mint::new().not_before_in(240)).await.token_claims();
    present(Mint::new().not_before_in(360))
        .await
        .refused(700_024);
}

#[tokio::test]
async fn only_the_published_key_signs() {
    present(Mint::new().foreign_key())
        .await
        .refused(700_027)
        .saying("did not match");
    present(Mint::new().kid("nobody"))
        .await
        .refused(700_027)
        .saying("key was not found");
    let mut stripped = shared().issuer().token().unwrap();
    stripped.truncate(stripped.rfind('.').unwrap() + 1);
    post_assertion(shared(), shared().client_id(), &stripped)
        .await
        .refused(700_027);
    present(Mint::new().header("alg", json!("none")))
        .await
        .refused(700_027)
        .saying("'none'");
    present(Mint::new().header("alg", json!("HS256")))
        .await
        .refused(700_027);
}

#[tokio::test]
async fn changed_claims_break_the_signature() {
    let good = shared().issuer().token().unwrap();
    let other = shared()
        .issuer()
        .mint(&Mint::new().expires_in(7_200))
        .unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let payload = other.split('.').nth(1).unwrap();
    let forged = format!("{}.{payload}.{}", parts[0], parts[2]);
    post_assertion(shared(), shared().client_id(), &forged)
        .await
        .refused(700_027);
}

#[tokio::test]
async fn a_rotated_issuer_key_is_found_and_the_old_one_too() {
    let emulator = shared();
    let before = emulator.issuer().token().unwrap();
    emulator.issuer().rotate_key().unwrap();
    let after = emulator.issuer().token().unwrap();
    assert_ne!(header_of(&before)["kid"], header_of(&after)["kid"]);
    post_assertion(emulator, emulator.client_id(), &before)
        .await
        .token_claims();
    post_assertion(emulator, emulator.client_id(), &after)
        .await
        .token_claims();
}

#[tokio::test]
async fn an_outside_issuer_must_be_reachable() {
    let outside = shared()
        .outside_issuer("https://oidc.example/cluster")
        .unwrap();
    let client_id = register(shared(), |app| {
        app.federated(outside.url(), SUBJECT, AUDIENCE)
    });
    let token = outside.token().unwrap();
    post_assertion(shared(), &client_id, &token)
        .await
        .refused(90_061);
    shared().trust_issuer(&outside);
    post_assertion(shared(), &client_id, &token)
        .await
        .token_claims();
    // The first application does not trust it.
    post_assertion(shared(), shared().client_id(), &token)
        .await
        .refused(700_211);
}

#[tokio::test]
async fn an_access_token_serves_as_assertion_where_a_credential_names_its_issuer() {
    let answer = post_secret(shared(), &[("scope", GRAPH)]).await;
    let claims = answer.token_claims();
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let (issuer, subject, audience) = (
        claims["iss"].as_str().unwrap(),
        claims["oid"].as_str().unwrap(),
        claims["aud"].as_str().unwrap(),
    );
    // Version 1 tokens have the version 1 issuer, which no credential may name.
    let client_id = register(shared(), |app| app.federated(issuer, subject, audience));
    post_assertion(shared(), &client_id, &token)
        .await
        .refused(90_061);

    // A token that is made for it is of version 2, whatever the resource is.
    let scope = [("scope", "api://AzureADTokenExchange/.default")];
    let answer = post_secret(shared(), &scope).await;
    let claims = answer.token_claims();
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let (issuer, subject) = (
        claims["iss"].as_str().unwrap(),
        claims["sub"].as_str().unwrap(),
    );
    let client_id = register(shared(), |app| app.federated(issuer, subject, AUDIENCE));
    post_assertion(shared(), &client_id, &token)
        .await
        .token_claims();

    let answer = post_secret(shared(), &[("scope", "api://edgepass-demo-v2/.default")]).await;
    let claims = answer.token_claims();
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let text = |name: &str| claims[name].as_str().unwrap().to_owned();
    let client_id = register(shared(), |app| {
        app.federated(&text("iss"), &text("sub"), &text("aud"))
    });
    post_assertion(shared(), &client_id, &token)
        .await
        .token_claims();
}

#[tokio::test]
async fn what_is_not_a_jwt_is_malformed() {
    for text in [
        "hello",
        "a.b",
        "a.b.c",
        "e30.W10.c2ln",
        "eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
    ] {
        post_assertion(shared(), shared().client_id(), text)
            .await
            .refused(50_027);
    }
    let with_newline = format!("{}\n", shared().issuer().token().unwrap());
    post_assertion(shared(), shared().client_id(), &with_newline)
        .await
        .refused(700_027);
    present(Mint::new().without("sub"))
        .await
        .refused(50_027)
        .saying("'sub'");
    present(Mint::new().without("iss"))
        .await
        .refused(50_027)
        .saying("'iss'");
    present(Mint::new().without("exp"))
        .await
        .refused(50_027)
        .saying("'exp'");
    present(Mint::new().claim("exp", json!(true)))
        .await
        .refused(50_027);
}

#[tokio::test]
async fn the_assertion_type_is_required_and_known() {
    let token = shared().issuer().token().unwrap();
    let client = Client::new(shared());
    let path = token_path(shared().tenant());
    let fields = [
        ("client_assertion", token.as_str()),
        ("client_id", shared().client_id()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ];
    client
        .post(&path, &fields)
        .await
        .refused(900_144)
        .saying("'client_assertion_type'");
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    let id = shared().client_id();
    post_assertion_to(&client, shared(), id, &token, saml)
        .await
        .refused(9_002_313)
        .saying(saml);
    let unbound = post_assertion_to(&client, shared(), id, &token, JWT_POP).await;
    unbound.refused(392_200);

    let both = [
        ("client_assertion", token.as_str()),
        ("client_assertion_type", JWT_BEARER),
        ("client_id", id),
        ("client_secret", shared().client_secret()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ];
    client
        .post(&path, &both)
        .await
        .refused(9_002_313)
        .saying("only one");
}
