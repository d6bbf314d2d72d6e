//! Acceptance: no type that holds a secret shows it when it is formatted. (What the whole run printed is searched by
//! `scan-secrets`, after all tests.)

use anyhow::Result;
use edgepass::{
    CertificateSource, Config, Environment, Grant, Provider, Secret, SecretBytes,
    SuppliedAssertion, TokenRequest,
};
use edgepass_core::{
    Algorithm, ClientAssertion, Effect, Engine, HttpRequest, HttpResponse, Now, Outcome,
    StoreAnswer, StoreRequest, TokenSource, Via,
};
use edgepass_e2e::leaks::Secrets;
use edgepass_e2e::{GRAPH, Lab};
use edgepass_emulator::{App, CertificateOptions};

/// Nobody prints this by accident.
const CANARY: &str = "c4nary-Zq8Tn5Lw2Vx7Rj3Hk9Ud6Ye1Pb0Gm4Sf";

#[test]
fn nothing_shows_a_secret_when_it_is_formatted() -> Result<()> {
    let secret = || Secret::new(CANARY);
    let request = |grant| TokenRequest {
        grant,
        ..TokenRequest::for_scopes([GRAPH])
    };
    let config = format!(
        r#"{{"identities":{{
            "post":{{"tenant_id":"t.example","client_id":"c","credential":{{"client_secret":{{"value":"{CANARY}"}}}}}},
            "assertion":{{"tenant_id":"t.example","client_id":"c","credential":{{"client_assertion":{{"value":"{CANARY}"}}}}}}}}}}"#
    );
    let environment = Environment::from_pairs([
        ("AZURE_CLIENT_SECRET", CANARY),
        ("EDGEPASS_CONFIG_JSON", &config),
    ]);
    let loaded = Config::load(Some(&config), &environment)?;
    let mut engine = Engine::new(loaded.clone(), [1; 32]);
    let now = Now {
        unix_ms: 1_793_491_200_000,
        mono_ms: 0,
    };
    let ask = TokenRequest {
        identity: Some("post".into()),
        ..request(Grant::ClientCredentials)
    };
    let reply = engine.request(now, &ask);
    let effect = engine.next_effect().map(|(_, effect)| effect);
    let Some(Effect::Http {
        request: posted, ..
    }) = &effect
    else {
        anyhow::bail!("no request: {effect:?}")
    };
    assert!(
        String::from_utf8_lossy(posted.body.expose()).contains(CANARY),
        "the secret is in there"
    );
    let http = HttpResponse {
        status: 200,
        headers: vec![("x".into(), CANARY.into())],
        body: SecretBytes::new(CANARY),
    };
    let basic = HttpRequest {
        method: "POST",
        scheme: "https",
        authority: "login.example".into(),
        path: format!("/token?code={CANARY}"),
        headers: vec![("authorization", secret())],
        body: SecretBytes::new(CANARY),
        timeout_ms: 1,
        max_response_bytes: 1,
    };
    let token = edgepass::AccessToken {
        token: secret(),
        token_type: "Bearer".into(),
        expires_on: 2,
        refresh_on: 1,
        moments: None,
        scope: GRAPH.into(),
        identity: "app".into(),
        source: TokenSource::Exchange,
        refresh_token: Some(secret()),
        id_token: Some(secret()),
        issued_token_type: None,
        certificate_thumbprint: None,
    };
    let exchange = Grant::TokenExchange {
        subject_token: secret(),
        subject_token_type: "urn:x".into(),
        actor: Some((secret(), "urn:y".into())),
        audience: Vec::new(),
        resource: Vec::new(),
        requested_token_type: None,
    };
    let code = Grant::AuthorizationCode {
        code: secret(),
        redirect_uri: "https://x".into(),
        code_verifier: Some(secret()),
        nonce: None,
    };
    let assertion = ClientAssertion {
        assertion: secret(),
        assertion_type: "urn:x".into(),
        expires_on: None,
    };
    let supplied = SuppliedAssertion { token: secret() };
    let sources = [
        CertificateSource::pem(CANARY),
        CertificateSource::pem_pair(CANARY, CANARY),
    ];
    let broken = config.replace(r#""client_secret""#, r#""client_sekret""#);
    let mistyped = config.replace(r#""tenant_id""#, r#""tenantid""#);
    let errors = [&broken, &mistyped]
        .map(|json| Config::load(Some(json), &environment).expect_err("it is wrong"));

    let mut secrets = Secrets::default();
    secrets.add("canary", CANARY);
    let formatted: [(&str, String); 21] = [
        ("Secret", format!("{:?}", secret())),
        ("SecretBytes", format!("{:?}", SecretBytes::new(CANARY))),
        ("Environment", format!("{environment:?}")),
        ("Config", format!("{loaded:#?}")),
        (
            "ConfigError",
            format!("{0} {0:?} {1} {1:?}", errors[0], errors[1]),
        ),
        ("Reply", format!("{reply:?}")),
        ("Effect", format!("{effect:#?}")),
        ("Via", format!("{:?}", Via::Public)),
        ("HttpRequest", format!("{basic:#?}")),
        ("HttpResponse", format!("{http:#?}")),
        (
            "Outcome",
            format!(
                "{:#?}",
                [
                    Outcome::Http(Ok(http)),
                    Outcome::File(Ok(SecretBytes::new(CANARY)))
                ]
            ),
        ),
        (
            "Outcome of an assertion",
            format!("{:#?}", Outcome::Assertion(Ok(supplied.clone()))),
        ),
        (
            "Outcome of a token store",
            format!(
                "{:#?}",
                Outcome::Store(Ok(StoreAnswer::Value(Some(SecretBytes::new(CANARY)))))
            ),
        ),
        (
            "StoreRequest",
            format!(
                "{:#?}",
                StoreRequest::Put {
                    key: "0".repeat(64),
                    value: SecretBytes::new(CANARY),
                    ttl_s: 1,
                    only_if_absent: false,
                }
            ),
        ),
        ("AccessToken", format!("{token:#?}")),
        ("ClientAssertion", format!("{assertion:#?}")),
        ("SuppliedAssertion", format!("{supplied:#?}")),
        ("CertificateSource", format!("{sources:#?}")),
        (
            "TokenRequest of an exchange",
            format!("{:#?}", request(exchange)),
        ),
        ("TokenRequest of a code", format!("{:#?}", request(code))),
        (
            "TokenRequest of the rest",
            format!(
                "{:#?}",
                [
                    Grant::OnBehalfOf {
                        assertion: Some(secret()),
                        session_key: Some(secret()),
                    },
                    Grant::RefreshToken(secret()),
                    Grant::JwtBearer(secret())
                ]
                .map(request)
            ),
        ),
    ];
    for (what, text) in formatted {
        assert_eq!(secrets.find_in(&text), None, "{what}: {text}");
    }
    assert_eq!(format!("{:?}", Algorithm::Ps256), "Ps256");
    Ok(())
}

#[tokio::test]
async fn live_values_show_nothing_either() -> Result<()> {
    let lab = Lab::new("secrets_live")?;
    let provider = lab.provider().build().await?;
    let request = TokenRequest::for_scopes([GRAPH]);
    let token = provider.get_token(&request).await?;
    let text = lab.issued(&token);
    let (name, header) = provider.get_header(&request).await?;
    let assertion = provider.client_assertion(None, None).await?;
    lab.evidence
        .secret("client assertion", assertion.assertion.expose());
    let certificate = lab
        .emulator
        .create_client_certificate("x", &CertificateOptions::default())?;
    let app = App::new("c").secret(CANARY);

    let mut secrets = Secrets::default();
    for secret in [
        &text,
        assertion.assertion.expose(),
        CANARY,
        certificate.private_key_pem.as_str(),
    ] {
        secrets.add("live", secret);
    }
    let shown = format!(
        "{provider:?} {token:#?} {name}: {header:?} {assertion:?} {certificate:?} {app:?} {:?}",
        builder_of(&lab)
    );
    assert_eq!(secrets.find_in(&shown), None, "{shown}");
    assert!(
        secrets.find_in(header.expose()).is_some(),
        "the search finds what is there"
    );
    Ok(())
}

/// A builder has no `Debug`; the errors that it makes have.
fn builder_of(lab: &Lab) -> Option<edgepass::BuildError> {
    let config =
        lab.config(&serde_json::json!({ "client_secret": { "value": CANARY, "sort": "new" } }));
    Provider::builder()
        .config_json(config.to_string())
        .build_host()
        .err()
}
