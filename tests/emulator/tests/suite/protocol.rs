use std::time::SystemTime;

use edgepass_emulator::{Emulator, Mint, Tenant};
use http::StatusCode;

use crate::support::*;

fn secret_fields() -> Vec<(&'static str, &'static str)> {
    vec![
        ("client_id", shared().client_id()),
        ("client_secret", shared().client_secret()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ]
}

#[tokio::test]
async fn tenants_are_known_by_id_and_domain() {
    let client = Client::new(shared());
    let at = async |tenant: &str| client.post(&token_path(tenant), &secret_fields()).await;
    let by_domain = at(shared().tenant_domain()).await.token_claims();
    assert_eq!(by_domain["tid"], shared().tenant());
    at(&shared().tenant().to_ascii_uppercase())
        .await
        .token_claims();
    at("00000000-1111-4222-8333-444444444444")
        .await
        .refused(90_002)
        .saying("00000000-1111");
    at("unknown.example")
        .await
        .refused(90_002)
        .saying("'unknown.example'");
    at("nonsense").await.refused(900_023).saying("'nonsense'");
    at("a..b").await.refused(900_023);
    at("..%2f..").await.refused(900_023);
    for shared_tenant in ["common", "organizations", "consumers", "Common"] {
        at(shared_tenant).await.refused(9_001_023);
    }
    shared().register_tenant(Tenant {
        id: "00000000-aaaa-4222-8333-444444444444".into(),
        domains: vec!["second.example".into()],
    });
    let second = at("second.example").await.token_claims();
    assert_eq!(second["tid"], "00000000-aaaa-4222-8333-444444444444");
}

#[tokio::test]
async fn the_token_endpoint_takes_posted_forms_only() {
    let client = Client::new(shared());
    let path = token_path(shared().tenant());
    let body = form(&secret_fields());
    let send = async |method: &str, content_type: &str, body: &str| {
        client
            .try_send(method, &path, &[("content-type", content_type)], body)
            .await
            .unwrap()
    };
    let urlencoded = FORM.1;
    send(
        "POST",
        "application/x-www-form-urlencoded; charset=UTF-8",
        &body,
    )
    .await
    .token_claims();
    send("GET", urlencoded, "")
        .await
        .refused(900_561)
        .saying("GET");
    send("PUT", urlencoded, &body).await.refused(900_561);
    send("POST", "application/json", "{}")
        .await
        .refused(900_144)
        .saying("'grant_type'");
    send("POST", "text/plain", &body).await.refused(900_144);
    send("POST", urlencoded, "")
        .await
        .refused(900_144)
        .saying("'grant_type'");
    let doubled = format!("{body}&scope=x");
    send("POST", urlencoded, &doubled)
        .await
        .refused(9_002_313)
        .saying("'scope'");
}

#[tokio::test]
async fn required_fields_and_grants() {
    let client = Client::new(shared());
    let path = token_path(shared().tenant());
    let mut fields = secret_fields();
    fields.remove(0);
    client
        .post(&path, &fields)
        .await
        .refused(900_144)
        .saying("'client_id'");
    let mut fields = secret_fields();
    fields.remove(1);
    client.post(&path, &fields).await.refused(7_000_218);
    let mut fields = secret_fields();
    fields[2].1 = "password";
    client
        .post(&path, &fields)
        .await
        .refused(70_003)
        .saying("'password'");
}

#[tokio::test]
async fn error_bodies_have_entras_shape() {
    let correlation = "0b5a8d5e-1f4c-4b5c-9a41-7f3f2f0e6a11";
    let headers = [FORM, ("client-request-id", correlation)];
    let path = token_path(shared().tenant());
    let answer = Client::new(shared())
        .try_send(
            "POST",
            &path,
            &headers,
            "grant_type=client_credentials&client_id=x&scope=y",
        )
        .await
        .unwrap();
    let body = answer.json();
    answer.refused(700_016);
    let names: Vec<&str> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
        [
            "correlation_id",
            "error",
            "error_codes",
            "error_description",
            "error_uri",
            "timestamp",
            "trace_id"
        ]
    );
    assert_eq!(body["correlation_id"], correlation);
    assert_eq!(answer.header("client-request-id"), correlation);
    assert_eq!(answer.header("x-ms-request-id"), body["trace_id"]);
    assert_eq!(
        body["error_uri"],
        format!("{}/error?code=700016", shared().authority())
    );
    let text = body["error_description"].as_str().unwrap();
    let tail = format!(
        "Trace ID: {} Correlation ID: {correlation} Timestamp: {}",
        body["trace_id"].as_str().unwrap(),
        body["timestamp"].as_str().unwrap()
    );
    assert!(text.ends_with(&tail), "{text}");
    assert!(answer.header("cache-control").contains("no-store"));

    // What is not a GUID does not come back.
    let headers = [FORM, ("client-request-id", "evil\"text")];
    let answer = Client::new(shared())
        .try_send("POST", &path, &headers, "")
        .await
        .unwrap();
    assert_ne!(answer.json()["correlation_id"], "evil\"text");
}

#[tokio::test]
async fn discovery_leads_to_the_endpoints_under_the_name_called() {
    let tenant = shared().tenant();
    for host in ["localhost", "login.localhost"] {
        let client = Client::new(shared()).host(host);
        let base = format!("https://{host}:{}/{tenant}", shared().port());
        let path = format!(
            "/{}/v2.0/.well-known/openid-configuration",
            shared().tenant_domain()
        );
        let v2 = client.get(&path).await.json();
        assert_eq!(v2["issuer"], format!("{base}/v2.0"));
        assert_eq!(v2["token_endpoint"], format!("{base}/oauth2/v2.0/token"));
        assert_eq!(v2["jwks_uri"], format!("{base}/discovery/v2.0/keys"));
        assert_eq!(
            v2["mtls_endpoint_aliases"]["token_endpoint"],
            format!("{}/{tenant}/oauth2/v2.0/token", shared().mtls_authority())
        );
        let v1 = client
            .get(&format!("/{tenant}/.well-known/openid-configuration"))
            .await
            .json();
        assert_eq!(v1["token_endpoint"], format!("{base}/oauth2/token"));
    }
    let client = Client::new(shared());
    client
        .get("/nobody.example/v2.0/.well-known/openid-configuration")
        .await
        .refused(90_002);
    assert_eq!(client.get("/a/b/c").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn instance_discovery_vouches_for_itself_alone() {
    let ask = async |endpoint: &str| {
        let query = form(&[("api-version", "1.1"), ("authorization_endpoint", endpoint)]);
        Client::new(shared())
            .get(&format!("/common/discovery/instance?{query}"))
            .await
    };
    let (port, tenant) = (shared().port(), shared().tenant());
    // One client leaves the port out.
    for at in [format!("localhost:{port}"), "localhost".into()] {
        let answer = ask(&format!("https://{at}/{tenant}/oauth2/v2.0/authorize"))
            .await
            .json();
        assert_eq!(
            answer["tenant_discovery_endpoint"],
            format!("https://localhost:{port}/{tenant}/v2.0/.well-known/openid-configuration")
        );
        assert_eq!(
            answer["metadata"][0]["preferred_network"],
            format!("localhost:{port}")
        );
    }
    ask("https://login.example/x/oauth2/v2.0/authorize")
        .await
        .refused(50_049);
    ask("nonsense").await.refused(50_049);
}

#[tokio::test]
async fn the_workload_issuer_publishes_its_keys() {
    let client = Client::new(shared());
    let document = client
        .get("/issuer/.well-known/openid-configuration")
        .await
        .json();
    assert_eq!(document["issuer"], shared().issuer().url());
    let path = document["jwks_uri"]
        .as_str()
        .unwrap()
        .replace(&shared().authority(), "");
    let keys = client.get(&path).await.json();
    let kid = header_of(&shared().issuer().mint(&Mint::new()).unwrap())["kid"].clone();
    assert!(
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["kid"] == kid),
        "{keys}"
    );
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_noted() {
    let emulator = Emulator::builder().start().await.unwrap();
    let path = token_path(emulator.tenant());
    let body = form(&[
        ("client_id", emulator.client_id()),
        ("client_secret", emulator.client_secret()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ]);
    for client in [Client::new(&emulator), Client::new(&emulator).http2()] {
        let mut connection = client.connect().await.unwrap();
        for _ in 0..2 {
            let answer = connection
                .send("POST", &path, &[FORM], &body)
                .await
                .unwrap();
            answer.token_claims();
        }
    }
    let journal = emulator.journal();
    let seen: Vec<_> = journal
        .iter()
        .map(|entry| {
            (
                entry.alpn.as_str(),
                entry.http_version.as_str(),
                entry.connection,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("http/1.1", "HTTP/1.1", 1),
            ("http/1.1", "HTTP/1.1", 1),
            ("h2", "HTTP/2.0", 2),
            ("h2", "HTTP/2.0", 2)
        ]
    );
    let entry = &journal[3];
    assert_eq!(entry.number, 4);
    assert_eq!(entry.method, "POST");
    assert_eq!(entry.host, format!("localhost:{}", emulator.port()));
    assert_eq!(entry.path, path);
    assert_eq!(entry.body, body.as_bytes());
    assert_eq!(entry.field("scope").as_deref(), Some(GRAPH));
    assert_eq!(entry.header("content-type"), Some(FORM.1));
    assert_eq!((entry.status, entry.aadsts), (Some(200), None));
    assert_eq!(entry.method_of_proof.as_deref(), Some("secret"));
    assert_eq!(entry.client_certificate, None);

    emulator.clear_journal();
    assert!(emulator.journal().is_empty());
    Client::new(&emulator).get("/x?q=1").await;
    let journal = emulator.journal();
    assert_eq!((journal[0].number, journal[0].query.as_str()), (5, "q=1"));
    assert_eq!(journal[0].status, Some(404));
}

#[tokio::test]
async fn the_clock_moves_date_and_judgement() {
    let emulator = Emulator::builder().start().await.unwrap();
    let token = emulator.issuer().token().unwrap();
    emulator.set_clock_skew(3_600 + 301);
    let answer = post_assertion(&emulator, emulator.client_id(), &token).await;
    answer.refused(700_024);
    let date = httpdate::parse_http_date(answer.header("date")).unwrap();
    let ahead = date.duration_since(SystemTime::now()).unwrap().as_secs();
    assert!((3_800..=3_902).contains(&ahead), "{ahead}");
    emulator.set_clock_skew(3_600 + 200);
    post_assertion(&emulator, emulator.client_id(), &token)
        .await
        .token_claims();
}

#[tokio::test]
async fn lifetimes_are_settings() {
    let emulator = Emulator::builder()
        .access_token_lifetime(120)
        .refresh_in(60)
        .start()
        .await
        .unwrap();
    let body = post_secret(&emulator, &[("scope", GRAPH)]).await.json();
    assert_eq!(
        (&body["expires_in"], &body["refresh_in"]),
        (&120.into(), &60.into())
    );
    emulator.set_token_lifetime(86_400, Some(43_200));
    let body = post_secret(&emulator, &[("scope", GRAPH)]).await.json();
    assert_eq!(
        (&body["expires_in"], &body["refresh_in"]),
        (&86_400.into(), &43_200.into())
    );
}

#[tokio::test]
async fn a_client_that_trusts_another_ca_gets_nowhere() {
    let other = Emulator::builder().start().await.unwrap();
    let client = Client::new(&other).at(&shared().authority());
    let error = client.try_send("GET", "/", &[], "").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    drop(other);
}

#[tokio::test]
async fn dropping_stops_listening() {
    let emulator = Emulator::builder().start().await.unwrap();
    let client = Client::new(&emulator);
    let mut connection = client.connect().await.unwrap();
    connection.send("GET", "/", &[], "").await.unwrap();
    emulator.shutdown();
    assert!(connection.send("GET", "/", &[], "").await.is_err());
    assert!(client.connect().await.is_err());
}
