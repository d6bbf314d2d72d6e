use edgepass_emulator::{Emulator, Fault, JournalEntry, ManagedIdentity};
use http::StatusCode;
use serde_json::{Value, json};

use crate::peers;
use crate::support::*;

const PATH: &str = "/metadata/identity/oauth2/token";
const VAULT: &str = "https://vault.azure.net";

async fn with_metadata() -> Emulator {
    let builder = Emulator::builder().metadata_port(0);
    builder.start().await.unwrap()
}

/// A request with this query after the version, as an SDK makes it.
async fn ask(emulator: &Emulator, query: &str) -> Answer {
    let path = format!("{PATH}?api-version=2018-02-01&{query}");
    plain(emulator, "GET", &path, &[("metadata", "true")]).await
}

async fn plain(emulator: &Emulator, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let authority = emulator.metadata_authority().unwrap();
    send_plain(&authority, method, path, headers).await.unwrap()
}

/// Fails unless this is the refusal, in the service's shape.
fn refused(answer: &Answer, error: &str, part: &str) {
    let body = answer.json();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["error"], error, "{body}");
    let text = body["error_description"].as_str().unwrap();
    assert!(text.contains(part), "{text:?} does not contain {part:?}");
    assert!(body.get("access_token").is_none());
}

fn user_assigned(emulator: &Emulator) -> ManagedIdentity {
    let mut identities = emulator.managed_identities();
    identities.retain(|identity| identity.resource_id.is_some());
    identities.remove(0)
}

#[tokio::test]
async fn the_answer_has_strings_for_numbers_and_a_token_for_the_resource() {
    let emulator = with_metadata().await;
    let begun = now();
    let answer = ask(&emulator, "resource=https%3A%2F%2Fvault.azure.net").await;
    let body = answer.json();
    let names: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "access_token",
            "client_id",
            "expires_in",
            "expires_on",
            "ext_expires_in",
            "not_before",
            "resource",
            "token_type"
        ]
    );
    assert!(body.as_object().unwrap().values().all(Value::is_string));
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["resource"], VAULT);
    assert_eq!(body["expires_in"], "86400");
    let number = |name: &str| body[name].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(number("expires_on") - number("not_before"), 86_400);
    assert!(number("not_before") >= begun);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json")
    );
    assert!(answer.header("server").starts_with("IMDS/"));

    let machine = &emulator.managed_identities()[0];
    let claims = answer.token_claims();
    assert_eq!(body["client_id"], machine.client_id);
    assert_eq!(claims["appid"], machine.client_id);
    assert_eq!(claims["oid"], machine.object_id);
    assert_eq!(claims["sub"], machine.object_id);
    assert_eq!(claims["aud"], VAULT);
    assert_eq!(claims["tid"], emulator.tenant());
    assert_eq!(claims["exp"], number("expires_on"));
    assert!(claims.get("xms_mirid").is_none());
}

#[tokio::test]
async fn requests_that_others_may_have_caused_are_refused() {
    let emulator = with_metadata().await;
    let path = format!("{PATH}?api-version=2018-02-01&resource={VAULT}");
    for headers in [
        &[][..],
        &[("metadata", "True")],
        &[("metadata", "")],
        &[("metadata", "true"), ("metadata", "true")],
    ] {
        let answer = plain(&emulator, "GET", &path, headers).await;
        refused(&answer, "bad_request_102", "metadata header");
    }
    let headers = [("metadata", "true"), ("x-forwarded-for", "10.0.0.1")];
    let answer = plain(&emulator, "GET", &path, &headers).await;
    refused(&answer, "invalid_request", "X-Forwarded-For");
    let answer = plain(&emulator, "POST", &path, &headers[..1]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    // What is wrong with the query is told only to those who may ask.
    let answer = plain(&emulator, "GET", PATH, &[]).await;
    refused(&answer, "bad_request_102", "metadata header");
}

#[tokio::test]
async fn each_parameter_is_there_once_and_known() {
    let emulator = with_metadata().await;
    let metadata = [("metadata", "true")];
    for query in [
        "resource=x",
        "api-version=&resource=x",
        "api-version=2017-09-01&resource=x",
        "api-version=2018-2-1&resource=x",
    ] {
        let path = format!("{PATH}?{query}");
        let answer = plain(&emulator, "GET", &path, &metadata).await;
        refused(&answer, "invalid_request", "api-version");
        assert!(answer.json()["newest-versions"].is_array());
    }
    for (query, part) in [
        ("", "'resource'"),
        ("resource=", "'resource'"),
        (
            "resource=https://vault.azure.net&resource=x",
            "more than once",
        ),
        ("resource=x&api-version=2018-02-01", "more than once"),
        ("resource=x&client_id=a&client_id=a", "more than once"),
        ("resource=x&client_id=a&object_id=b", "both"),
        ("resource=x&object_id=b&msi_res_id=c", "both"),
    ] {
        let answer = ask(&emulator, query).await;
        refused(&answer, "invalid_request", part);
    }
    let answer = ask(&emulator, "resource=https://nobody.example").await;
    refused(&answer, "invalid_resource", "AADSTS500011");
    // Later versions of the interface answer the same, and so does the path with a slash.
    for path in [
        format!("{PATH}?api-version=2021-02-01&resource={VAULT}"),
        format!("{PATH}/?api-version=2018-02-01&resource={VAULT}"),
    ] {
        plain(&emulator, "GET", &path, &metadata)
            .await
            .token_claims();
    }
    let answer = plain(&emulator, "GET", "/metadata/instance", &metadata).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_identity_is_the_one_that_is_named_or_the_only_one_there_is() {
    let emulator = with_metadata().await;
    let user = user_assigned(&emulator);
    let resource_id = user.resource_id.clone().unwrap();
    for selector in [
        format!("client_id={}", user.client_id),
        format!("client_id={}", user.client_id.to_uppercase()),
        format!("object_id={}", user.object_id),
        format!("msi_res_id={resource_id}"),
        format!("msi_res_id={}", resource_id.to_lowercase()),
    ] {
        let answer = ask(&emulator, &format!("resource={VAULT}&{selector}")).await;
        let claims = answer.token_claims();
        assert_eq!(claims["oid"], user.object_id, "{selector}");
        assert_eq!(claims["xms_mirid"], resource_id);
    }
    for selector in [
        "client_id=nobody".to_owned(),
        format!("client_id={}", user.object_id),
        format!("object_id={}", user.client_id),
        "msi_res_id=/subscriptions/x".to_owned(),
    ] {
        let answer = ask(&emulator, &format!("resource={VAULT}&{selector}")).await;
        refused(&answer, "invalid_request", "Identity not found");
    }

    let query = format!("resource={VAULT}");
    emulator.set_managed_identities(vec![user.clone()]);
    let claims = ask(&emulator, &query).await.token_claims();
    assert_eq!(claims["oid"], user.object_id, "the only one");
    let second = ManagedIdentity::user_assigned("second");
    emulator.set_managed_identities(vec![user, second.clone()]);
    let answer = ask(&emulator, &query).await;
    refused(
        &answer,
        "invalid_request",
        "Multiple user assigned identities exist",
    );
    let named = format!("{query}&client_id={}", second.client_id);
    let claims = ask(&emulator, &named).await.token_claims();
    assert_eq!(claims["oid"], second.object_id);
    emulator.set_managed_identities(Vec::new());
    refused(
        &ask(&emulator, &query).await,
        "invalid_request",
        "Identity not found",
    );
}

#[tokio::test]
async fn the_same_token_comes_again_until_half_of_its_life_is_over() {
    let emulator = with_metadata().await;
    let query = format!("resource={VAULT}");
    let token = |answer: Answer| answer.json()["access_token"].clone();
    let first = token(ask(&emulator, &query).await);
    assert_eq!(token(ask(&emulator, &query).await), first);
    emulator.set_clock_skew(40_000);
    let later = ask(&emulator, &query).await.json();
    assert_eq!(later["access_token"], first);
    let left: i64 = later["expires_in"].as_str().unwrap().parse().unwrap();
    assert!((46_000..=46_400).contains(&left), "{left}");
    emulator.set_clock_skew(43_300);
    assert_ne!(token(ask(&emulator, &query).await), first);

    emulator.set_managed_identity_token_lifetime(60);
    assert_eq!(ask(&emulator, &query).await.json()["expires_in"], "60");
}

#[tokio::test]
async fn a_token_of_a_managed_identity_is_an_assertion_where_a_credential_trusts_it() {
    let emulator = with_metadata().await;
    let user = user_assigned(&emulator);
    let query = format!(
        "resource=api://AzureADTokenExchange&client_id={}",
        user.client_id
    );
    let answer = ask(&emulator, &query).await;
    assert_eq!(answer.token_claims()["iss"], emulator.tenant_issuer());
    assert_eq!(answer.token_claims()["aud"], AUDIENCE);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    post_assertion(&emulator, emulator.client_id(), &token)
        .await
        .refused(700_211);

    let issuer = emulator.tenant_issuer();
    let trusting =
        |subject: &str| register(&emulator, |app| app.federated(&issuer, subject, AUDIENCE));
    let client_id = trusting(&user.object_id);
    post_assertion(&emulator, &client_id, &token)
        .await
        .token_claims();
    let client_id = trusting(&emulator.managed_identities()[0].object_id);
    post_assertion(&emulator, &client_id, &token)
        .await
        .refused(700_213);
    // A token for something else is none.
    let other = ask(&emulator, &query.replace(AUDIENCE, VAULT)).await;
    let other = other.json()["access_token"].as_str().unwrap().to_owned();
    let client_id = trusting(&user.object_id);
    post_assertion(&emulator, &client_id, &other)
        .await
        .refused(700_211);
}

#[tokio::test]
async fn faults_and_the_journal_are_the_token_endpoints() {
    let emulator = with_metadata().await;
    let query = format!("resource={VAULT}");
    let faults = emulator.faults();
    for status in [404, 410, 429, 500] {
        faults.push(Fault::status(status).retry_after("1").on("/metadata/"));
        let answer = ask(&emulator, &query).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("retry-after"), "1");
    }
    faults.push(Fault::html(200).on("/metadata/"));
    assert!(ask(&emulator, &query).await.body.starts_with(b"<!DOCTYPE"));
    faults.push(Fault::oversize(1 << 20).on("/metadata/"));
    assert_eq!(ask(&emulator, &query).await.body.len(), 1 << 20);
    faults.push(Fault::reset().on("/metadata/"));
    let path = format!("{PATH}?api-version=2018-02-01&{query}");
    let authority = emulator.metadata_authority().unwrap();
    let error = send_plain(&authority, "GET", &path, &[("metadata", "true")])
        .await
        .unwrap_err();
    assert!(
        format!("{error:?}").contains("ConnectionReset"),
        "{error:?}"
    );
    ask(&emulator, &query).await.token_claims();

    let seen = emulator.metadata_requests();
    let statuses: Vec<_> = seen.iter().map(|entry| entry.status).collect();
    let expected = [404, 410, 429, 500, 200, 200].map(Some);
    assert_eq!(statuses[..6], expected);
    assert_eq!(statuses[6..], [None, Some(200)]);
    assert_eq!(seen[0].header("metadata"), Some("true"));
    assert_eq!(seen[0].query, format!("api-version=2018-02-01&{query}"));
    assert_eq!(seen[0].alpn, "");
    assert!(emulator.token_requests().is_empty());
}

#[tokio::test]
async fn nothing_else_is_on_that_port_and_none_without_asking_for_it() {
    let emulator = with_metadata().await;
    for path in ["/_emulator/", "/issuer/openid/v1/jwks"] {
        let answer = plain(&emulator, "GET", path, &[("metadata", "true")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let answer = Client::new(&emulator).get(PATH).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);

    assert_eq!(shared().metadata_authority(), None);
    let about = Client::new(shared()).get("/_emulator/").await.json();
    assert_eq!(about["metadata_authority"], Value::Null);
}

#[tokio::test]
async fn the_control_endpoint_assigns_identities() {
    let emulator = with_metadata().await;
    let client = Client::new(&emulator);
    let path = "/_emulator/managed-identities";
    let listed = client.get(path).await.json();
    assert_eq!(
        listed[0]["client_id"],
        emulator.managed_identities()[0].client_id
    );
    let one = json!({ "client_id": "c", "object_id": "o" });
    client.json("POST", path, &one).await;
    let answer = ask(&emulator, &format!("resource={VAULT}")).await;
    assert_eq!(answer.json()["client_id"], "c");
    let life = json!({ "managed_identity_token_lifetime": 90 });
    client.json("POST", "/_emulator/settings", &life).await;
    let answer = ask(&emulator, &format!("resource={VAULT}")).await;
    assert_eq!(answer.json()["expires_in"], "90");
}

#[tokio::test]
async fn the_sdks_for_python_get_tokens() {
    let emulator = with_metadata().await;
    let user = user_assigned(&emulator);
    let machine = emulator.managed_identities()[0].clone();
    let resource_id = user.resource_id.clone().unwrap();
    for (selector, expected) in [
        (None, &machine),
        (Some(("client_id", &user.client_id)), &user),
        (Some(("object_id", &user.object_id)), &user),
        (Some(("resource_id", &resource_id)), &user),
    ] {
        for sdk in ["azure-identity", "msal"] {
            let told = peers::managed_identity(&emulator, sdk, VAULT, selector).await;
            let told = told.unwrap_or_else(|error| panic!("{sdk} {selector:?}: {error}"));
            assert_eq!(told["oid"], expected.object_id, "{sdk} {selector:?}");
            assert_eq!(told["aud"], VAULT);
            let left = told["expires_on"].as_i64().unwrap() - now();
            assert!((80_000..=86_400).contains(&left), "{left}");
        }
    }
    let asked = emulator.metadata_requests();
    assert_eq!(asked.len(), 8);
    assert!(asked.iter().all(|entry| entry.status == Some(200)));

    let nobody = "00000000-0000-4000-8000-000000000000".to_owned();
    for sdk in ["azure-identity", "msal"] {
        let selector = Some(("client_id", &nobody));
        let error = peers::managed_identity(&emulator, sdk, VAULT, selector)
            .await
            .unwrap_err();
        assert!(error.contains("Identity not found"), "{sdk}: {error}");
    }
    // An update of the service, which the one waits for and the other does not.
    emulator.faults().push(Fault::status(410).on("/metadata/"));
    let told = peers::managed_identity(&emulator, "azure-identity", VAULT, None).await;
    assert_eq!(told.unwrap()["oid"], machine.object_id);
    let statuses = |entries: &[JournalEntry]| -> Vec<_> {
        entries.iter().filter_map(|entry| entry.status).collect()
    };
    let asked = emulator.metadata_requests();
    assert_eq!(statuses(&asked[10..]), [410, 200]);
}
