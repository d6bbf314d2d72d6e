//! The platforms' places for tokens of managed identities: each takes what
//! its own SDKs send, and refuses everything that is a little different.

use edgepass_emulator::{Emulator, Platform};
use http::StatusCode;
use serde_json::Value;

use crate::support::*;

const RESOURCE: &str = "resource=https%3A%2F%2Fvault.azure.net";

async fn on_platforms() -> Emulator {
    let builder = Emulator::builder().metadata_port(0);
    builder.start().await.unwrap()
}

/// One that answers by http, with what a good request has.
struct Place {
    endpoint: String,
    secret: String,
    keys: Option<String>,
}

impl Place {
    fn of(emulator: &Emulator, platform: Platform) -> Self {
        let env = emulator.platform_env(platform);
        let get = |names: [&str; 2]| {
            let found = env.iter().find(|(name, _)| names.contains(name));
            found.map(|(_, value)| value.clone())
        };
        Self {
            endpoint: get(["IDENTITY_ENDPOINT", "MSI_ENDPOINT"]).unwrap(),
            secret: get(["IDENTITY_HEADER", "MSI_SECRET"]).unwrap_or_default(),
            keys: get(["ProgramData", ""]),
        }
    }

    async fn send(
        &self,
        method: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let host_and_path = self.endpoint.strip_prefix("http://").unwrap();
        let (host, path) = host_and_path.split_once('/').unwrap();
        let authority = format!("http://{host}");
        let path = match query {
            "" => format!("/{path}"),
            query => format!("/{path}?{query}"),
        };
        send_plain_with(&authority, method, &path, headers, body)
            .await
            .unwrap()
    }
}

fn refused(answer: &Answer, status: StatusCode, part: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{text}");
    assert!(text.contains(part), "{text:?} does not contain {part:?}");
    assert!(!text.contains("access_token"), "{text}");
}

fn resource_id(emulator: &Emulator) -> String {
    let identities = emulator.managed_identities();
    let mut ids = identities.iter().filter_map(|one| one.resource_id.clone());
    ids.next().unwrap()
}

#[tokio::test]
async fn app_service_and_machine_learning_know_their_secret_and_parameters() {
    let emulator = on_platforms().await;
    let user = emulator.managed_identities().pop().unwrap();
    for (platform, header, version, good, bad) in [
        (
            Platform::AppService,
            "x-identity-header",
            "2019-08-01",
            "mi_res_id",
            ["msi_res_id", "resource_id", "clientid"],
        ),
        (
            Platform::AzureMl,
            "secret",
            "2017-09-01",
            "clientid",
            ["client_id", "object_id", "mi_res_id"],
        ),
    ] {
        let place = Place::of(&emulator, platform);
        let secret = [(header, place.secret.as_str())];
        let query = format!("api-version={version}&{RESOURCE}");
        let answer = place.send("GET", &query, &secret, "").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["token_type"], "Bearer");
        assert!(answer.json().get("expires_in").is_none(), "{platform:?}");
        let id = match good {
            "clientid" => user.client_id.clone(),
            _ => resource_id(&emulator),
        };
        let chosen = format!("{query}&{}", form(&[(good, &id)]));
        let answer = place.send("GET", &chosen, &secret, "").await;
        assert_eq!(answer.token_claims()["oid"], user.object_id.as_str());

        let bad_request = StatusCode::BAD_REQUEST;
        for parameter in bad {
            let query = format!("{query}&{}", form(&[(parameter, &id)]));
            let answer = place.send("GET", &query, &secret, "").await;
            refused(&answer, bad_request, parameter);
        }
        let answer = place.send("GET", &query, &[], "").await;
        refused(&answer, bad_request, header);
        for headers in [vec![(header, "wrong")], vec![secret[0], (header, "again")]] {
            let answer = place.send("GET", &query, &headers, "").await;
            refused(&answer, StatusCode::UNAUTHORIZED, header);
        }
        let forwarded = [secret[0], ("x-forwarded-for", "10.0.0.1")];
        let answer = place.send("GET", &query, &forwarded, "").await;
        refused(&answer, bad_request, "X-Forwarded-For");
        let old = query.replace(version, "2016-01-01");
        let answer = place.send("GET", &old, &secret, "").await;
        refused(&answer, bad_request, "2016-01-01");
        let answer = place.send("POST", &query, &secret, "").await;
        refused(&answer, StatusCode::METHOD_NOT_ALLOWED, "GET");
        let nobody = format!("{query}&{}", form(&[(good, "nobody")]));
        let answer = place.send("GET", &nobody, &secret, "").await;
        refused(&answer, bad_request, "Identity not found");
    }
}

#[tokio::test]
async fn cloud_shell_takes_a_form_and_nothing_besides() {
    let emulator = on_platforms().await;
    let place = Place::of(&emulator, Platform::CloudShell);
    let headers = [("metadata", "true"), FORM];
    let answer = place.send("POST", "", &headers, RESOURCE).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.json()["expires_in"].is_string());
    let bad_request = StatusCode::BAD_REQUEST;
    let answer = place.send("POST", "", &[FORM], RESOURCE).await;
    refused(&answer, bad_request, "metadata header");
    let answer = place.send("POST", "", &headers[..1], RESOURCE).await;
    refused(&answer, bad_request, "must be a form");
    let answer = place.send("POST", RESOURCE, &headers, RESOURCE).await;
    refused(&answer, bad_request, "must be a form");
    let chosen = format!("{RESOURCE}&client_id=x");
    let answer = place.send("POST", "", &headers, &chosen).await;
    refused(&answer, bad_request, "client_id");
    let answer = place.send("GET", RESOURCE, &headers, "").await;
    refused(&answer, StatusCode::METHOD_NOT_ALLOWED, "POST");
    let forwarded = [headers[0], headers[1], ("x-forwarded-for", "10.0.0.1")];
    let answer = place.send("POST", "", &forwarded, RESOURCE).await;
    refused(&answer, bad_request, "X-Forwarded-For");
}

#[tokio::test]
async fn azure_arc_wants_to_see_its_own_key_and_each_once() {
    let emulator = on_platforms().await;
    let place = Place::of(&emulator, Platform::AzureArc);
    let query = format!("api-version=2020-06-01&{RESOURCE}");
    let metadata = ("metadata", "true");
    let challenge = async || {
        let answer = place.send("GET", &query, &[metadata], "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let file = answer.header("www-authenticate").to_owned();
        let file = file.strip_prefix("Basic realm=").unwrap().to_owned();
        assert!(file.starts_with(place.keys.as_deref().unwrap()), "{file}");
        assert!(file.ends_with(".key"), "{file}");
        let key = std::fs::read_to_string(&file).unwrap();
        (file, format!("Basic {key}"))
    };
    let (file, key) = challenge().await;
    let (_, other) = challenge().await;
    assert_ne!(key, other);
    let answer = place
        .send("GET", &query, &[metadata, ("authorization", &key)], "")
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!std::path::Path::new(&file).exists());
    for wrong in [key.as_str(), "Basic wrong"] {
        let headers = [metadata, ("authorization", wrong)];
        let answer = place.send("GET", &query, &headers, "").await;
        refused(&answer, StatusCode::UNAUTHORIZED, "none of a challenge");
    }
    let bad_request = StatusCode::BAD_REQUEST;
    let answer = place.send("GET", &query, &[], "").await;
    refused(&answer, bad_request, "metadata header");
    let chosen = format!("{query}&client_id=x");
    let answer = place.send("GET", &chosen, &[metadata], "").await;
    refused(&answer, bad_request, "client_id");
    let forwarded = [metadata, ("x-forwarded-for", "10.0.0.1")];
    let answer = place.send("GET", &query, &forwarded, "").await;
    refused(&answer, bad_request, "X-Forwarded-For");
}

#[tokio::test]
async fn service_fabric_s_place_is_not_on_the_port_of_the_others() {
    let emulator = on_platforms().await;
    let env = emulator.platform_env(Platform::ServiceFabric);
    let value = |name: &str| {
        let found = env.iter().find(|(known, _)| *known == name);
        found.unwrap().1.clone()
    };
    assert!(value("IDENTITY_ENDPOINT").starts_with("https://127.0.0.1:"));
    let thumbprint = value("IDENTITY_SERVER_THUMBPRINT");
    assert_eq!(thumbprint.len(), 40);
    let endpoint = value("IDENTITY_ENDPOINT");
    let (_, path) = endpoint
        .split_once("://")
        .unwrap()
        .1
        .split_once('/')
        .unwrap();
    let query = format!("/{path}?api-version=2019-07-01-preview&{RESOURCE}");
    let secret = value("IDENTITY_HEADER");
    let authority = emulator.metadata_authority().unwrap();
    let headers = [("secret", secret.as_str())];
    let answer = send_plain(&authority, "GET", &query, &headers)
        .await
        .unwrap();
    refused(&answer, StatusCode::NOT_FOUND, "Not found");
    // without the metadata service there are none of them
    let alone = Emulator::builder().start().await.unwrap();
    for platform in Platform::ALL {
        assert!(alone.platform_env(platform).is_empty(), "{platform:?}");
    }
}

#[tokio::test]
async fn their_requests_are_in_the_journal_and_meet_faults() {
    let emulator = on_platforms().await;
    let place = Place::of(&emulator, Platform::AppService);
    let query = format!("api-version=2019-08-01&{RESOURCE}");
    let headers = [("x-identity-header", place.secret.as_str())];
    let fault = edgepass_emulator::Fault::status(503).on("/platform/");
    emulator.faults().push(fault);
    let answer = place.send("GET", &query, &headers, "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let answer = place.send("GET", &query, &headers, "").await;
    let body: Value = answer.json();
    assert_eq!(body["resource"], "https://vault.azure.net");
    let asked = emulator.metadata_requests();
    assert_eq!(asked.len(), 2);
    assert!(emulator.token_requests().is_empty());
}
