use edgepass_emulator::Emulator;
use http::StatusCode;
use serde_json::{Value, json};

use crate::files::Scratch;
use crate::support::*;

struct Control {
    emulator: Emulator,
    client: Client,
}

impl Control {
    async fn new() -> Self {
        let emulator = Emulator::builder().start().await.unwrap();
        let client = Client::new(&emulator);
        Self { emulator, client }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self
            .client
            .json(method, &format!("/_emulator/{path}"), &body)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        answer.json()
    }

    async fn token(&self) -> Answer {
        post_secret(&self.emulator, &[("scope", GRAPH)]).await
    }
}

#[tokio::test]
async fn about_says_what_a_program_needs() {
    let control = Control::new().await;
    let about = control.client.get("/_emulator/").await.json();
    assert_eq!(about["authority"], control.emulator.authority());
    assert_eq!(about["mtls_authority"], control.emulator.mtls_authority());
    assert_eq!(about["tenant"], control.emulator.tenant());
    assert_eq!(about["client_id"], control.emulator.client_id());
    assert_eq!(about["scopes"][0], GRAPH);
    assert!(!about.to_string().contains(control.emulator.client_secret()));
    // Nothing of this is in the journal, and no fault meets it.
    control
        .emulator
        .faults()
        .push(edgepass_emulator::Fault::status(500).forever());
    assert_eq!(
        control.client.get("/_emulator").await.status,
        StatusCode::OK
    );
    assert!(control.emulator.journal().is_empty());
}

#[tokio::test]
async fn journal_and_faults() {
    let control = Control::new().await;
    let fault = json!({ "path": "/token", "status": 503, "retry_after": "1" });
    control.ask("POST", "faults", fault).await;
    control
        .ask(
            "POST",
            "faults",
            json!([{ "aadsts": 700_024 }, { "reset": true }]),
        )
        .await;
    assert_eq!(
        control
            .ask("GET", "faults", Value::Null)
            .await
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        control.token().await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    control.token().await.refused(700_024);
    control.ask("DELETE", "faults", Value::Null).await;
    control.token().await.token_claims();

    let journal = control.ask("GET", "journal", Value::Null).await;
    let statuses: Vec<_> = journal
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["status"].clone())
        .collect();
    assert_eq!(statuses, [503, 401, 200]);
    assert!(
        journal[2]["body"]
            .as_str()
            .unwrap()
            .contains("grant_type=client_credentials")
    );
    control.ask("DELETE", "journal", Value::Null).await;
    assert_eq!(control.ask("GET", "journal", Value::Null).await, json!([]));
}

#[tokio::test]
async fn settings_change_one_by_one() {
    let control = Control::new().await;
    let change = json!({ "access_token_lifetime": 60, "clock_skew": 5 });
    let settings = control.ask("POST", "settings", change).await;
    let expected = json!({
        "access_token_lifetime": 60, "clock_skew": 5, "code_lifetime": 600,
        "managed_identity_token_lifetime": 86_400, "refresh_in": null, "refresh_once": false,
        "refresh_token_lifetime": 7_776_000, "refuse_replay": true, "signed_in": null,
        "users_consent": true,
    });
    assert_eq!(settings, expected);
    control
        .ask("POST", "settings", json!({ "refresh_in": 30 }))
        .await;
    let body = control.token().await.json();
    assert_eq!(
        (&body["expires_in"], &body["refresh_in"]),
        (&60.into(), &30.into())
    );
    let wrong = control
        .client
        .json("POST", "/_emulator/settings", &json!({ "life": 1 }))
        .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong.json()["error"].as_str().unwrap().contains("life"),
        "{}",
        wrong.json()
    );
}

#[tokio::test]
async fn apps_tenants_resources_and_issuers_are_registered() {
    let control = Control::new().await;
    let outside = control
        .emulator
        .outside_issuer("https://outside.example")
        .unwrap();
    let id = new_client_id();
    let app = json!({
        "client_id": id,
        "federated_credentials":
            [{ "issuer": outside.url(), "subject": SUBJECT, "audience": AUDIENCE }],
        "secrets": [{ "value": "s3cret" }],
        "roles": ["One"],
    });
    control.ask("POST", "apps", app).await;
    let jwks = json!({ "issuer": outside.url(), "jwks": outside.jwks() });
    control.ask("POST", "issuers", jwks).await;
    control
        .ask(
            "POST",
            "tenants",
            json!({ "id": "00000000-bbbb-4222-8333-444444444444" }),
        )
        .await;
    let resource = json!({
        "identifiers": ["https://api.example"],
        "app_id": "00000000-cccc-4222-8333-444444444444",
    });
    control.ask("POST", "resources", resource).await;

    let token = outside.token().unwrap();
    let fields = [
        ("client_assertion", token.as_str()),
        ("client_assertion_type", JWT_BEARER),
        ("client_id", id.as_str()),
        ("grant_type", "client_credentials"),
        ("scope", "https://api.example/.default"),
    ];
    let path = token_path("00000000-bbbb-4222-8333-444444444444");
    let claims = control.client.post(&path, &fields).await.token_claims();
    assert_eq!(claims["aud"], "https://api.example");
    assert_eq!(claims["roles"], json!(["One"]));

    let apps = control.ask("GET", "apps", Value::Null).await;
    assert_eq!(apps.as_array().unwrap().len(), 2);
    assert!(!apps.to_string().contains("s3cret"), "{apps}");
}

#[tokio::test]
async fn tokens_and_certificates_are_made_to_order() {
    let control = Control::new().await;
    let (emulator, id) = (&control.emulator, control.emulator.client_id());
    let minted = control
        .ask("POST", "mint", json!({ "expires_in": -600 }))
        .await;
    let expired = minted["token"].as_str().unwrap();
    post_assertion(emulator, id, expired).await.refused(700_024);
    control.ask("POST", "issuer/rotate-key", Value::Null).await;
    let minted = control
        .client
        .try_send("POST", "/_emulator/mint", &[], "")
        .await
        .unwrap()
        .json();
    post_assertion(emulator, id, minted["token"].as_str().unwrap())
        .await
        .token_claims();

    let order = json!({ "common_name": "order", "register_with": id });
    let made = control.ask("POST", "certificates", order).await;
    let registered = emulator.app(id).unwrap().certificates;
    assert_eq!(registered.last().unwrap().thumbprint(), made["thumbprint"]);
    assert!(
        made["private_key_pem"]
            .as_str()
            .unwrap()
            .contains("PRIVATE KEY")
    );
    assert_eq!(made["x5c"].as_array().unwrap().len(), 1);

    let certificates = format!("apps/{id}/certificates");
    control.ask("DELETE", &certificates, Value::Null).await;
    assert!(emulator.app(id).unwrap().certificates.is_empty());
    let pem = json!({ "certificate": made["certificate_pem"], "replace": true });
    let answer = control.ask("POST", &certificates, pem).await;
    assert_eq!(answer["thumbprint"], made["thumbprint"]);
}

#[tokio::test]
async fn files_rotate_on_demand() {
    let control = Control::new().await;
    let early = control
        .client
        .json("POST", "/_emulator/rotate", &json!({}))
        .await;
    assert_eq!(early.status, StatusCode::BAD_REQUEST);
    let scratch = Scratch::new("control");
    let directory = control.emulator.write_dir(scratch.path()).unwrap();
    control
        .ask("POST", "rotate", json!({ "subject": "somebody" }))
        .await;
    let token = std::fs::read_to_string(directory.token_file()).unwrap();
    assert_eq!(claims_of(&token)["sub"], "somebody");
    let rotated = control.ask("POST", "rotate-certificate", Value::Null).await;
    let pem = std::fs::read_to_string(directory.certificate_file()).unwrap();
    let written = edgepass_emulator::Certificate::from_pem(&pem).unwrap();
    assert_eq!(written.thumbprint(), rotated["thumbprint"]);
}

#[tokio::test]
async fn mistakes_are_explained() {
    let control = Control::new().await;
    let post = async |path: &str, body: Value| {
        control
            .client
            .json("POST", &format!("/_emulator/{path}"), &body)
            .await
    };
    let unknown = post("nothing", json!({})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for (path, body, part) in [
        ("faults", json!({ "stauts": 500 }), "stauts"),
        ("mint", json!({ "sub": "x" }), "sub"),
        ("apps", json!({}), "client_id"),
        (
            "apps/nobody/certificates",
            json!({ "certificate": "x" }),
            "PEM",
        ),
    ] {
        let answer = post(path, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        let text = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(text.contains(part), "{path}: {text}");
    }
}
