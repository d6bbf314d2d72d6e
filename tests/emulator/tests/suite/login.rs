//! Users who sign in: authorization endpoint, codes, refresh tokens, ID tokens.

use std::collections::BTreeMap;

use edgepass_emulator::{App, Emulator, Fault, Mint, Tenant, User};
use http::StatusCode;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::*;

const REDIRECT: &str = "https://app.example/complete";
const VERIFIER: &str = "dBjftJeZ4CVP-mBdNcUVMVQ2vZAUDwRkjrMzN9uzWZaY";
const ALICE: &str = "alice@edgepass-demo.example";

fn challenge() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()))
}

/// An emulator whose application users may come back to.
struct World {
    emulator: Emulator,
    client: Client,
    /// What is between host and `/oauth2`.
    place: String,
    second: bool,
}

impl World {
    fn new() -> Self {
        let emulator = Emulator::builder().start_blocking().unwrap();
        let app = emulator.app(emulator.client_id()).unwrap();
        emulator.register_app(app.redirect_uri(REDIRECT));
        let client = Client::new(&emulator);
        let place = format!("/{}", emulator.tenant());
        Self {
            emulator,
            client,
            place,
            second: true,
        }
    }

    fn path(&self, endpoint: &str) -> String {
        let version = if self.second { "/v2.0" } else { "" };
        format!("{}/oauth2{version}/{endpoint}", self.place)
    }

    fn usual(&self) -> BTreeMap<String, String> {
        let fields = [
            ("client_id", self.emulator.client_id()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid profile offline_access User.Read"),
            ("state", "s t&te"),
            ("nonce", "n-1"),
            ("login_hint", ALICE),
        ];
        let mut fields: BTreeMap<String, String> = fields
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect();
        fields.insert("code_challenge".into(), challenge());
        fields.insert("code_challenge_method".into(), "S256".into());
        fields
    }

    async fn authorize(&self, change: &[(&str, &str)]) -> Answer {
        self.authorize_as(change, &[]).await
    }

    async fn authorize_as(&self, change: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut fields = self.usual();
        for (name, value) in change {
            if value.is_empty() {
                fields.remove(*name);
            } else {
                fields.insert((*name).into(), (*value).into());
            }
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (&**k, &**v)).collect();
        let path = format!("{}?{}", self.path("authorize"), form(&fields));
        let sent = self.client.try_send("GET", &path, headers, "").await;
        sent.unwrap()
    }

    async fn code(&self, change: &[(&str, &str)]) -> String {
        let answer = self.authorize(change).await;
        let fields = redirected(&answer);
        fields
            .get("code")
            .unwrap_or_else(|| panic!("{fields:?}"))
            .clone()
    }

    async fn redeem(&self, code: &str, change: &[(&str, &str)]) -> Answer {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", self.emulator.client_id()),
            ("client_secret", self.emulator.client_secret()),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in change {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name, value));
            }
        }
        self.client.post(&self.path("token"), &fields).await
    }

    async fn refresh(&self, token: &str, change: &[(&str, &str)]) -> Answer {
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        let own = [
            ("client_id", self.emulator.client_id()),
            ("client_secret", self.emulator.client_secret()),
        ];
        fields.extend(
            own.into_iter()
                .filter(|(name, _)| change.iter().all(|(other, _)| other != name)),
        );
        fields.extend(change);
        self.client.post(&self.path("token"), &fields).await
    }

    /// Validates an ID token as a relying party does: by the metadata of its endpoint.
    async fn id_token(&self, token: &str, metadata: &str) -> Value {
        let document = self.client.get(metadata).await.json();
        let keys = document["jwks_uri"].as_str().unwrap();
        let path = keys.splitn(4, '/').nth(3).unwrap();
        let set: JwkSet =
            serde_json::from_value(self.client.get(&format!("/{path}")).await.json()).unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let key = set.find(&header.kid.unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[self.emulator.client_id()]);
        let claims =
            jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation);
        let claims = claims.unwrap().claims;
        let issuer = document["issuer"].as_str().unwrap();
        let tenant = self.emulator.tenant();
        assert_eq!(claims["iss"], issuer.replace("{tenantid}", tenant));
        claims
    }
}

/// The fields that an answer sends to the application.
fn redirected(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, StatusCode::FOUND, "{:?}", answer.body);
    let url = url::Url::parse(answer.header("location")).unwrap();
    assert!(url.as_str().starts_with(REDIRECT), "{url}");
    url.query_pairs().into_owned().collect()
}

/// Fails unless the application is told of that code.
fn told(answer: &Answer, code: u32, error: &str) {
    let fields = redirected(answer);
    assert_eq!(fields["error"], error, "{fields:?}");
    let text = &fields["error_description"];
    assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
    assert_eq!(fields["state"], "s t&te");
    assert!(!fields.contains_key("code"));
}

/// Fails unless the person is, and the application is not.
fn shown(answer: &Answer, code: u32) {
    assert!(answer.headers.get("location").is_none(), "{answer:?}");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains(&format!("AADSTS{code}: ")), "{text}");
}

#[tokio::test]
async fn a_user_signs_in_and_everything_fits_together() {
    let world = World::new();
    let answer = world.authorize(&[]).await;
    let fields = redirected(&answer);
    assert_eq!(fields["state"], "s t&te");
    let tenant = world.emulator.tenant();
    assert_eq!(
        fields["iss"],
        format!("{}/{tenant}/v2.0", world.emulator.authority())
    );
    assert!(answer.header("set-cookie").contains("HttpOnly"));

    let answer = world.redeem(&fields["code"], &[("client_info", "1")]).await;
    let body = answer.json();
    let claims = answer.token_claims();
    let user = world.emulator.user(ALICE).unwrap();
    for (name, value) in [
        ("aud", "https://graph.microsoft.com"),
        ("scp", "User.Read"),
        ("upn", ALICE),
        ("idtyp", "user"),
        ("oid", &user.object_id),
        ("appid", world.emulator.client_id()),
        ("tid", tenant),
    ] {
        assert_eq!(claims[name], value, "{claims}");
    }
    assert_eq!(
        body["scope"],
        "openid profile https://graph.microsoft.com/User.Read"
    );
    assert!(body["client_info"].is_string());
    let metadata = format!("/{tenant}/v2.0/.well-known/openid-configuration");
    let claims = world
        .id_token(body["id_token"].as_str().unwrap(), &metadata)
        .await;
    assert_eq!(claims["nonce"], "n-1");
    assert_eq!(claims["ver"], "2.0");
    assert_eq!(claims["preferred_username"], ALICE);
    assert_eq!(claims["oid"], user.object_id);
    // pairwise: another name than for the resource
    assert_ne!(claims["sub"], answer.token_claims()["sub"]);

    let refreshed = world
        .refresh(body["refresh_token"].as_str().unwrap(), &[])
        .await;
    let again = refreshed.json();
    assert_eq!(refreshed.token_claims()["oid"], user.object_id);
    assert_ne!(again["refresh_token"], body["refresh_token"]);
    let claims = world
        .id_token(again["id_token"].as_str().unwrap(), &metadata)
        .await;
    assert!(claims.get("nonce").is_none());
    let requests = world.emulator.token_requests();
    assert!(requests.iter().all(|entry| entry.status == Some(200)));
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn the_first_version_and_all_tenants() {
    let mut world = World::new();
    world.second = false;
    let tenant = world.emulator.tenant().to_owned();
    for place in [tenant.as_str(), "common"] {
        world.place = format!("/{place}");
        let code = world.code(&[("scope", "openid")]).await;
        let answer = world.redeem(&code, &[]).await;
        let body = answer.json();
        assert_eq!(answer.token_claims()["aud"], "https://graph.microsoft.com");
        assert!(body["expires_on"].is_string(), "{body}");
        let metadata = format!("/{place}/.well-known/openid-configuration");
        let claims = world
            .id_token(body["id_token"].as_str().unwrap(), &metadata)
            .await;
        assert_eq!(
            (&claims["ver"], &claims["upn"]),
            (&json!("1.0"), &json!(ALICE))
        );
        // its refresh token needs no scope
        let token = body["refresh_token"].as_str().unwrap();
        let resource = [("resource", "https://vault.azure.net")];
        let answer = world.refresh(token, &resource).await;
        assert_eq!(answer.token_claims()["aud"], "https://vault.azure.net");
    }
    world.second = true;
    let code = world.code(&[]).await;
    let body = world.redeem(&code, &[]).await.json();
    let metadata = "/common/v2.0/.well-known/openid-configuration";
    world
        .id_token(body["id_token"].as_str().unwrap(), metadata)
        .await;
    // no refresh token where it was not asked for
    let code = world.code(&[("scope", "openid User.Read")]).await;
    let body = world.redeem(&code, &[]).await.json();
    assert!(body.get("refresh_token").is_none() && body.get("id_token").is_some());
    let code = world.code(&[("scope", "User.Read")]).await;
    let body = world.redeem(&code, &[]).await.json();
    assert!(body.get("id_token").is_none(), "{body}");
}

#[tokio::test]
async fn user_flows_and_external_tenants() {
    let mut world = World::new();
    world.emulator.register_tenant(Tenant {
        id: world.emulator.tenant().into(),
        domains: vec!["fabrikam.onmicrosoft.com".into()],
    });
    let own = format!("openid offline_access {}", world.emulator.client_id());
    for place in [
        "fabrikam.onmicrosoft.com/B2C_1_signin",
        "tfp/fabrikam.onmicrosoft.com/B2C_1_signin",
    ] {
        world.place = format!("/{place}");
        let code = world.code(&[("scope", "openid")]).await;
        let body = world.redeem(&code, &[]).await.json();
        assert!(body.get("access_token").is_none(), "{body}");
        let metadata = format!("/{place}/v2.0/.well-known/openid-configuration");
        let claims = world
            .id_token(body["id_token"].as_str().unwrap(), &metadata)
            .await;
        assert_eq!(claims["tfp"], "B2C_1_signin");
        assert_eq!(claims["emails"], json!([ALICE]));
        let code = world.code(&[("scope", &own)]).await;
        let answer = world.redeem(&code, &[]).await;
        assert_eq!(answer.token_claims()["aud"], world.emulator.client_id());
        let token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
        world.refresh(&token, &[]).await.token_claims();
        // a grant is of its user flow
        let elsewhere = "/fabrikam.onmicrosoft.com/oauth2/v2.0/token";
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &token),
            ("client_id", world.emulator.client_id()),
            ("client_secret", world.emulator.client_secret()),
        ];
        world
            .client
            .post(elsewhere, &fields)
            .await
            .refused(70_000)
            .saying("user flow");
        let queried = format!("{elsewhere}?p=b2c_1_SIGNIN");
        world.client.post(&queried, &fields).await.token_claims();
    }
    world.place = format!("/{}", world.emulator.tenant());
    world.client = Client::new(&world.emulator).host("ciam.localhost");
    let code = world.code(&[]).await;
    let body = world.redeem(&code, &[]).await.json();
    let metadata = format!("{}/v2.0/.well-known/openid-configuration", world.place);
    let claims = world
        .id_token(body["id_token"].as_str().unwrap(), &metadata)
        .await;
    let tenant = world.emulator.tenant();
    let issuer = format!(
        "https://{tenant}.localhost:{}/{tenant}/v2.0",
        world.emulator.port()
    );
    assert_eq!(claims["iss"], issuer);
}

#[tokio::test]
async fn mistakes_at_the_authorization_endpoint() {
    let world = World::new();
    for (change, code) in [
        (("client_id", ""), 900_144),
        (
            ("client_id", "00000000-0000-4000-8000-00000000ffff"),
            700_016,
        ),
        (("redirect_uri", "https://app.example/complete/"), 50_011),
        (("redirect_uri", "https://App.example/complete"), 50_011),
        (("redirect_uri", "https://app.example/complete?x=1"), 50_011),
        (("response_mode", "pigeon"), 70_007),
        (("login_hint", ""), 50_058),
        (("login_hint", "nobody@edgepass-demo.example"), 50_034),
    ] {
        shown(&world.authorize(&[change]).await, code);
    }
    let too_short = "a".repeat(42);
    for (change, code, error) in [
        (("response_type", ""), 900_144, "invalid_request"),
        (
            ("response_type", "token"),
            70_005,
            "unsupported_response_type",
        ),
        (("code_challenge", ""), 50_147, "invalid_request"),
        (("code_challenge", &*too_short), 501_491, "invalid_request"),
        (("code_challenge_method", "S512"), 50_149, "invalid_request"),
        (("scope", ""), 900_144, "invalid_request"),
        (
            ("scope", "https://nowhere.example/x"),
            500_011,
            "invalid_resource",
        ),
        (("scope", "Mail.Eat"), 650_053, "invalid_client"),
        (
            ("resource", "https://vault.azure.net"),
            901_002,
            "invalid_request",
        ),
        (("prompt", "none"), 50_058, "login_required"),
    ] {
        told(&world.authorize(&[change]).await, code, error);
    }
    // one redirect URI is enough to know it
    redirected(&world.authorize(&[("redirect_uri", "")]).await);
    let app = world.emulator.app(world.emulator.client_id()).unwrap();
    world
        .emulator
        .register_app(app.redirect_uri("https://app.example/other"));
    shown(&world.authorize(&[("redirect_uri", "")]).await, 900_971);
    let mut user = world.emulator.user(ALICE).unwrap();
    user.disabled = true;
    world.emulator.register_user(user);
    shown(&world.authorize(&[]).await, 50_057);
    let mut stranger = User::new("eve@elsewhere.example");
    stranger.tenant = Some("00000000-bbbb-4222-8333-444444444444".into());
    world.emulator.register_user(stranger);
    shown(
        &world
            .authorize(&[("login_hint", "eve@elsewhere.example")])
            .await,
        50_020,
    );
}

#[tokio::test]
async fn consent_sessions_and_ways_of_answering() {
    let world = World::new();
    world
        .emulator
        .register_user(User::new("bob@edgepass-demo.example"));
    let bob = ("login_hint", "bob@edgepass-demo.example");
    world.emulator.set_users_consent(false);
    told(&world.authorize(&[bob]).await, 65_004, "access_denied");
    world.emulator.set_users_consent(true);
    let answer = world.authorize(&[bob]).await;
    let code = redirected(&answer)["code"].clone();
    world.redeem(&code, &[]).await.token_claims();
    // now it is consented to, and the browser knows who they are
    world.emulator.set_users_consent(false);
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let silent = [("login_hint", ""), ("prompt", "none")];
    let answer = world.authorize_as(&silent, &[("cookie", &cookie)]).await;
    let code = redirected(&answer)["code"].clone();
    let claims = world.redeem(&code, &[]).await.token_claims();
    assert_eq!(claims["upn"], "bob@edgepass-demo.example");
    let more = [
        ("login_hint", ""),
        ("prompt", "none"),
        ("scope", "Mail.Read"),
    ];
    told(
        &world.authorize_as(&more, &[("cookie", &cookie)]).await,
        65_001,
        "consent_required",
    );
    world.emulator.set_signed_in(Some(ALICE));
    let code = world.code(&[("login_hint", "")]).await;
    assert_eq!(world.redeem(&code, &[]).await.token_claims()["upn"], ALICE);

    let answer = world.authorize(&[("response_mode", "form_post")]).await;
    let page = String::from_utf8_lossy(&answer.body);
    assert!(page.contains("name=\"code\" value=\"1."), "{page}");
    assert!(page.contains("value=\"s t&amp;te\""), "{page}");
    let answer = world.authorize(&[("response_mode", "fragment")]).await;
    assert!(
        answer
            .header("location")
            .starts_with(&format!("{REDIRECT}#code=1."))
    );
}

#[tokio::test]
async fn codes_count_once_and_at_one_place() {
    let world = World::new();
    let code = world.code(&[]).await;
    for (change, number) in [
        (("redirect_uri", "https://app.example/other"), 500_112),
        (("redirect_uri", ""), 900_144),
        (("code_verifier", ""), 50_148),
        (
            (
                "code_verifier",
                "another-verifier-another-verifier-another-1",
            ),
            501_481,
        ),
        (("client_secret", "wrong"), 7_000_215),
        (("client_secret", ""), 7_000_218),
        (
            ("scope", "https://vault.azure.net/.default User.Read"),
            28_000,
        ),
        (("resource", "https://vault.azure.net"), 901_002),
        (("code", "1.unknown"), 70_000),
    ] {
        world.redeem(&code, &[change]).await.refused(number);
    }
    let garbled = world.redeem("garbled", &[]).await.json();
    assert_eq!(garbled["error_codes"], json!([9_002_313]));
    assert_eq!(garbled["error"], "invalid_grant");
    // another client has no use for it
    let other = register(&world.emulator, |app| app.secret("other"));
    let of_other = [("client_id", other.as_str()), ("client_secret", "other")];
    world.redeem(&code, &of_other).await.refused(70_000);
    // none of that has spent it
    let body = world.redeem(&code, &[]).await.json();
    world.redeem(&code, &[]).await.refused(54_005);
    // and whoever brought it twice has lost what it brought
    let token = body["refresh_token"].as_str().unwrap();
    world.refresh(token, &[]).await.refused(50_173);

    let code = world.code(&[]).await;
    world.emulator.set_clock_skew(601);
    world.redeem(&code, &[]).await.refused(70_008);
    world.emulator.set_clock_skew(0);
    // without a challenge, a verifier is a sign of an attack
    let bare = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = world.code(&bare).await;
    world.redeem(&code, &[]).await.refused(501_481);
    world
        .redeem(&code, &[("code_verifier", "")])
        .await
        .token_claims();
    let plain = [("code_challenge", VERIFIER), ("code_challenge_method", "")];
    let code = world.code(&plain).await;
    world.redeem(&code, &[]).await.token_claims();
    let code = world.code(&[]).await;
    world.emulator.revoke_user(ALICE).unwrap();
    world.redeem(&code, &[]).await.refused(50_173);
}

#[tokio::test]
async fn refresh_tokens_rotate_end_and_are_revoked() {
    let world = World::new();
    let code = world.code(&[]).await;
    let body = world.redeem(&code, &[]).await.json();
    let first = body["refresh_token"].as_str().unwrap().to_owned();
    // Entra's go on being valid
    world.refresh(&first, &[]).await.token_claims();
    let second = world
        .refresh(
            &first,
            &[("scope", "https://vault.azure.net/.default offline_access")],
        )
        .await;
    assert_eq!(second.token_claims()["aud"], "https://vault.azure.net");
    let second = second.json()["refresh_token"].as_str().unwrap().to_owned();
    let several = [(
        "scope",
        "https://vault.azure.net/.default https://storage.azure.com/.default",
    )];
    world.refresh(&first, &several).await.refused(28_000);
    let missing = world
        .refresh(&first, &[("scope", "api://edgepass-demo/.default")])
        .await;
    missing.token_claims();
    let bare = register(&world.emulator, |app| app.secret("other"));
    let of_bare = [("client_id", bare.as_str()), ("client_secret", "other")];
    world.refresh(&first, &of_bare).await.refused(70_000);
    world.refresh("1.unknown", &[]).await.refused(70_000);
    let garbled = world.refresh("garbled", &[]).await.json();
    assert_eq!(
        (&garbled["error_codes"][0], &garbled["error"]),
        (&json!(9_002_313), &json!("invalid_grant"))
    );

    world.emulator.set_clock_skew(90 * 86_400 + 1);
    world.refresh(&first, &[]).await.refused(700_082);
    world.emulator.set_clock_skew(0);
    assert!(world.emulator.revoke_refresh_token(&second));
    world.refresh(&second, &[]).await.refused(50_173);
    world.emulator.set_refresh_once(true);
    let third = world.refresh(&first, &[]).await.json();
    world.refresh(&first, &[]).await.refused(50_173);
    let third = third["refresh_token"].as_str().unwrap();
    // a second factor that was not shown at the sign-in
    let user = world.emulator.user(ALICE).unwrap();
    world
        .emulator
        .register_user(user.second_factor_for("https://graph.microsoft.com"));
    let refused = world.refresh(third, &[]).await.json();
    assert_eq!(refused["error_codes"], json!([50_076]));
    assert_eq!(refused["error"], "invalid_grant");
    let claims: Value = serde_json::from_str(refused["claims"].as_str().unwrap()).unwrap();
    assert_eq!(claims["access_token"]["capolids"]["essential"], true);
    world.emulator.revoke_user(ALICE).unwrap();
    world.refresh(third, &[]).await.refused(50_173);
}

#[tokio::test]
async fn every_kind_of_client_redeems_codes() {
    let world = World::new();
    let metadata_app = certificate(0);
    let id = register(&world.emulator, |app| {
        app.redirect_uri(REDIRECT)
            .federated(world.emulator.issuer().url(), SUBJECT, AUDIENCE)
    });
    world.emulator.set_certificate(&id, metadata_app).unwrap();
    let endpoint = format!("{}{}", world.emulator.authority(), world.path("token"));
    let token = world.emulator.issuer().token().unwrap();
    let federated = [
        ("client_assertion", token.as_str()),
        ("client_assertion_type", JWT_BEARER),
    ];
    let signed = Assertion::new(metadata_app, &id, &endpoint).sign();
    let signed = [
        ("client_assertion", signed.as_str()),
        ("client_assertion_type", JWT_BEARER),
    ];
    for (proof, name) in [(federated, "federated"), (signed, "certificate")] {
        let code = world.code(&[("client_id", &id)]).await;
        let mut change = vec![("client_id", id.as_str()), ("client_secret", "")];
        change.extend(proof);
        world.redeem(&code, &change).await.token_claims();
        let last = world.emulator.token_requests().pop().unwrap();
        assert_eq!(last.method_of_proof.as_deref(), Some(name));
    }
    let code = world.code(&[("client_id", &id)]).await;
    let mtls = Client::new(&world.emulator)
        .at(&world.emulator.mtls_authority())
        .identity(metadata_app);
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", id.as_str()),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("token_type", "mtls_pop"),
    ];
    let claims = mtls
        .post(&world.path("token"), &fields)
        .await
        .token_claims();
    assert_eq!(claims["cnf"]["x5t#S256"], metadata_app.thumbprint);
}

#[tokio::test]
async fn id_tokens_go_wrong_on_demand() {
    let world = World::new();
    let id_token = async |mint: Mint| {
        let code = world.code(&[]).await;
        world
            .emulator
            .faults()
            .push(Fault::id_token(mint).on("/token"));
        let body = world.redeem(&code, &[]).await.json();
        body["id_token"].as_str().unwrap().to_owned()
    };
    let token = id_token(Mint::new().header("alg", json!("none"))).await;
    assert!(token.ends_with('.') && token.matches('.').count() == 2);
    let token = id_token(Mint::new().header("alg", json!("HS256"))).await;
    assert_eq!(header_of(&token)["alg"], "HS256");
    let token = id_token(Mint::new().kid("unknown").claim("nonce", json!("n-2"))).await;
    assert_eq!(header_of(&token)["kid"], "unknown");
    assert_eq!(claims_of(&token)["nonce"], "n-2");
    let token = id_token(
        Mint::new()
            .without("nonce")
            .expires_in(-600)
            .audience("x")
            .issuer("y"),
    )
    .await;
    let claims = claims_of(&token);
    assert!(claims.get("nonce").is_none() && claims["exp"].as_i64().unwrap() < now());
    assert_eq!((&claims["aud"], &claims["iss"]), (&json!("x"), &json!("y")));

    // a rotation leaves the old key published, until it is retired
    let keys = format!("/{}/discovery/v2.0/keys", world.emulator.tenant());
    world.emulator.rotate_signing_key(false).unwrap();
    let published = world.client.get(&keys).await.json();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    let code = world.code(&[]).await;
    let body = world.redeem(&code, &[]).await.json();
    let newest = header_of(body["id_token"].as_str().unwrap());
    assert_eq!(published["keys"][1]["kid"], newest["kid"]);
    world.emulator.rotate_signing_key(true).unwrap();
    let published = world.client.get(&keys).await.json();
    assert_eq!(published["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn control_reaches_users_too() {
    let world = World::new();
    let post = async |path: &str, body: Value| {
        let answer = world
            .client
            .json("POST", &format!("/_emulator/{path}"), &body)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        answer.json()
    };
    let user = json!({
        "object_id": "00000000-0000-4000-8000-0000000000c1",
        "username": "carol@edgepass-demo.example",
        "consents": [{ "client_id": world.emulator.client_id(), "resource": "https://vault.azure.net", "scopes": ["user_impersonation"] }],
    });
    post("users", user).await;
    let listed = world.client.get("/_emulator/users").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let own = world.emulator.own_resource();
    let token = post(
        "users/carol@edgepass-demo.example/token",
        json!({ "resource": own }),
    )
    .await;
    let claims = claims_of(token["token"].as_str().unwrap());
    assert_eq!(claims["aud"], world.emulator.client_id());
    post(
        "settings",
        json!({ "signed_in": "carol@edgepass-demo.example", "code_lifetime": 60 }),
    )
    .await;
    let code = world.code(&[("login_hint", "")]).await;
    let body = world.redeem(&code, &[]).await.json();
    let refresh_token = body["refresh_token"].clone();
    post(
        "refresh-tokens/revoke",
        json!({ "refresh_token": refresh_token }),
    )
    .await;
    world
        .refresh(refresh_token.as_str().unwrap(), &[])
        .await
        .refused(50_173);
    post("users/carol@edgepass-demo.example/revoke", Value::Null).await;
    post("rotate-signing-key", json!({ "retire": true })).await;
    let unknown = world
        .client
        .json("POST", "/_emulator/users/nobody/revoke", &Value::Null)
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    let _: App = world.emulator.app(world.emulator.client_id()).unwrap();
}
