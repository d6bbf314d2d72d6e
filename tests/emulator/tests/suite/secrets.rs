use edgepass_emulator::Secret;

use crate::support::*;

async fn basic(client_id: &str, header: &str, extra: &[(&str, &str)]) -> Answer {
    let mut fields = vec![("grant_type", "client_credentials"), ("scope", GRAPH)];
    if !client_id.is_empty() {
        fields.push(("client_id", client_id));
    }
    fields.extend(extra);
    let headers = [FORM, ("authorization", header)];
    Client::new(shared())
        .try_send(
            "POST",
            &token_path(shared().tenant()),
            &headers,
            &form(&fields),
        )
        .await
        .unwrap()
}

fn basic_header(client_id: &str, secret: &str) -> String {
    let part =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!(
        "Basic {}",
        base64(format!("{}:{}", part(client_id), part(secret)).as_bytes())
    )
}

#[tokio::test]
async fn a_secret_in_the_body_is_taken() {
    let claims = post_secret(shared(), &[("scope", GRAPH)])
        .await
        .token_claims();
    assert_eq!(claims["appid"], shared().client_id());
}

#[tokio::test]
async fn a_secret_in_basic_is_form_decoded() {
    let (client_id, secret) = (shared().client_id(), shared().client_secret());
    assert!(
        secret.contains(['+', '&', '=', '%']),
        "the seed must need encoding: {}",
        secret.len()
    );
    basic("", &basic_header(client_id, secret), &[])
        .await
        .token_claims();
    // The same client may be named again in the body.
    basic(client_id, &basic_header(client_id, secret), &[])
        .await
        .token_claims();
    // Unencoded, `+` reads as a space and `%_` as it is: another secret.
    let raw = format!(
        "Basic {}",
        base64(format!("{client_id}:{secret}").as_bytes())
    );
    basic("", &raw, &[]).await.refused(7_000_215);
}

#[tokio::test]
async fn two_secrets_or_two_clients_are_refused() {
    let (client_id, secret) = (shared().client_id(), shared().client_secret());
    let header = basic_header(client_id, secret);
    basic("", &header, &[("client_secret", secret)])
        .await
        .refused(9_002_313)
        .saying("both");
    basic(&new_client_id(), &header, &[])
        .await
        .refused(9_002_313);
    basic("", "Bearer abc", &[]).await.refused(9_002_313);
}

#[tokio::test]
async fn wrong_and_expired_secrets_have_their_codes() {
    let client_id = register(shared(), |mut app| {
        app.secrets.push(Secret {
            value: "old".into(),
            expires_at: Some(now() - 1),
        });
        app.secret("current")
    });
    let post = async |secret: &str| {
        let fields = [
            ("client_id", client_id.as_str()),
            ("client_secret", secret),
            ("grant_type", "client_credentials"),
            ("scope", GRAPH),
        ];
        Client::new(shared())
            .post(&token_path(shared().tenant()), &fields)
            .await
    };
    post("current").await.token_claims();
    post("old").await.refused(7_000_222).saying(&client_id);
    post("Current").await.refused(7_000_215).saying(&client_id);
    post("").await.refused(7_000_218);
}

#[tokio::test]
async fn unknown_public_and_disabled_apps_are_refused() {
    let fields = |client_id: &'static str| {
        [
            ("client_id", client_id),
            ("client_secret", "s"),
            ("grant_type", "client_credentials"),
            ("scope", GRAPH),
        ]
    };
    let client = Client::new(shared());
    let path = token_path(shared().tenant());

    let unknown = client
        .post(&path, &fields("11111111-2222-4333-8444-555555555555"))
        .await;
    unknown
        .refused(700_016)
        .saying("11111111-2222-4333-8444-555555555555");

    let leak = |id: String| -> &'static str { id.leak() };
    let public = leak(register(shared(), |mut app| {
        app.public = true;
        app
    }));
    client.post(&path, &fields(public)).await.refused(700_025);
    let disabled = leak(register(shared(), |mut app| {
        app.disabled = true;
        app.secret("s")
    }));
    client
        .post(&path, &fields(disabled))
        .await
        .refused(7_000_112);
    let elsewhere = leak(register(shared(), |mut app| {
        app.tenants
            .push("99999999-2222-4333-8444-555555555555".into());
        app.secret("s")
    }));
    client
        .post(&path, &fields(elsewhere))
        .await
        .refused(700_016);
}

#[tokio::test]
async fn client_ids_are_compared_without_case() {
    let upper = shared().client_id().to_ascii_uppercase();
    let fields = [
        ("client_id", upper.as_str()),
        ("client_secret", shared().client_secret()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ];
    Client::new(shared())
        .post(&token_path(shared().tenant()), &fields)
        .await
        .token_claims();
}
