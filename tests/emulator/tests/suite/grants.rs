//! Grants that take a token: on-behalf-of, agent identities, and those of the
//! token server that is not Entra.

use edgepass_emulator::{App, Emulator, Mint, User};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

const ALICE: &str = "alice@edgepass-demo.example";
const OBO: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPE: &str = "urn:ietf:params:oauth:token-type:";

struct World {
    emulator: Emulator,
    client: Client,
}

impl World {
    fn new() -> Self {
        let emulator = Emulator::builder().start_blocking().unwrap();
        let client = Client::new(&emulator);
        Self { emulator, client }
    }

    fn token(&self, mint: &Mint) -> String {
        let own = self.emulator.own_resource();
        self.emulator.user_token(ALICE, &own, mint).unwrap()
    }

    async fn post(&self, usual: &[(&str, &str)], change: &[(&str, &str)]) -> Answer {
        let path = token_path(self.emulator.tenant());
        self.client.post(&path, &merged(usual, change)).await
    }

    async fn on_behalf_of(&self, assertion: &str, change: &[(&str, &str)]) -> Answer {
        let usual = [
            ("grant_type", OBO),
            ("client_id", self.emulator.client_id()),
            ("client_secret", self.emulator.client_secret()),
            ("assertion", assertion),
            ("requested_token_use", "on_behalf_of"),
            ("scope", "https://graph.microsoft.com/User.Read"),
        ];
        self.post(&usual, change).await
    }

    async fn generic(&self, usual: &[(&str, &str)], more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![
            ("client_id", self.emulator.client_id()),
            ("client_secret", self.emulator.client_secret()),
        ];
        fields.extend(usual);
        fields.extend(more);
        self.client.post("/generic/token", &fields).await
    }
}

/// The fields with those replaced, and without those that are empty.
fn merged<'a>(
    usual: &[(&'a str, &'a str)],
    change: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = usual
        .iter()
        .filter(|(name, _)| change.iter().all(|(other, _)| other != name));
    kept.chain(change)
        .copied()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

#[tokio::test]
async fn on_behalf_of_a_user() {
    let world = World::new();
    let token = world.token(&Mint::new());
    let answer = world.on_behalf_of(&token, &[]).await;
    let claims = answer.token_claims();
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    assert_eq!(claims["oid"], claims_of(&token)["oid"]);
    assert_eq!(claims["scp"], "User.Read");
    assert_eq!(claims["idtyp"], "user");
    assert!(answer.json().get("refresh_token").is_none());
    let wide = [(
        "scope",
        "https://graph.microsoft.com/.default offline_access openid profile",
    )];
    let body = world.on_behalf_of(&token, &wide).await.json();
    assert!(body["refresh_token"].is_string() && body["id_token"].is_string());
    let claims = claims_of(body["access_token"].as_str().unwrap());
    assert_eq!(claims["scp"], "User.Read Mail.Read Calendars.Read");

    // the first version
    let path = format!("/{}/oauth2/token", world.emulator.tenant());
    let fields = [
        ("grant_type", OBO),
        ("client_id", world.emulator.client_id()),
        ("client_secret", world.emulator.client_secret()),
        ("assertion", &token),
        ("requested_token_use", "on_behalf_of"),
        ("resource", "https://vault.azure.net"),
    ];
    let answer = world.client.post(&path, &fields).await;
    assert_eq!(answer.token_claims()["aud"], "https://vault.azure.net");
    assert!(answer.json()["expires_in"].is_string());
}

#[tokio::test]
async fn assertions_that_are_not_taken() {
    let world = World::new();
    for (mint, code) in [
        (Mint::new().foreign_key(), 50_013),
        (Mint::new().kid("unknown"), 50_013),
        (Mint::new().header("alg", json!("none")), 50_013),
        (Mint::new().header("alg", json!("HS256")), 50_013),
        (Mint::new().claim("tid", json!("elsewhere")), 50_013),
        (Mint::new().expires_in(-301), 500_133),
        (Mint::new().audience("https://graph.microsoft.com"), 500_131),
        (Mint::new().claim("idtyp", json!("app")), 7_000_114),
        (Mint::new().without("scp"), 50_013),
        (
            Mint::new().claim("oid", json!("00000000-0000-4000-8000-00000000dead")),
            50_034,
        ),
    ] {
        let token = world.token(&mint);
        world.on_behalf_of(&token, &[]).await.refused(code);
    }
    let token = world.token(&Mint::new());
    for (change, code) in [
        (("assertion", "garbled"), 50_027),
        (("assertion", ""), 900_144),
        (("requested_token_use", ""), 900_144),
        (("requested_token_use", "other"), 9_002_313),
        (("scope", ""), 900_144),
        (("scope", "openid"), 70_011),
        (
            ("scope", "https://graph.microsoft.com/.default User.Read"),
            70_011,
        ),
        (
            ("scope", "User.Read https://vault.azure.net/.default"),
            28_000,
        ),
        (("scope", "https://nowhere.example/.default"), 500_011),
        (("scope", "Mail.Eat"), 650_053),
        (("client_secret", "wrong"), 7_000_215),
        (("client_secret", ""), 7_000_218),
    ] {
        world.on_behalf_of(&token, &[change]).await.refused(code);
    }
    // a token for another application
    let other = register(&world.emulator, |app| app.secret("other"));
    let of_other = [("client_id", other.as_str()), ("client_secret", "other")];
    world
        .on_behalf_of(&token, &of_other)
        .await
        .refused(500_131)
        .saying(&other);
    let common = "/common/oauth2/v2.0/token";
    let fields = [("grant_type", OBO), ("assertion", &token)];
    world.client.post(common, &fields).await.refused(9_001_023);
}

#[tokio::test]
async fn consent_second_factor_and_revocation() {
    let world = World::new();
    let token = world.token(&Mint::new());
    let mut user = world.emulator.user(ALICE).unwrap();
    let consents = std::mem::take(&mut user.consents);
    world.emulator.register_user(user.clone());
    let refused = world.on_behalf_of(&token, &[]).await;
    assert_eq!(
        refused.refused(65_001).json()["suberror"],
        "consent_required"
    );
    user.consents = consents;
    let user = user.second_factor_for("https://graph.microsoft.com");
    world.emulator.register_user(user);
    let refused = world.on_behalf_of(&token, &[]).await.refused(50_076).json();
    assert_eq!(refused["suberror"], "basic_action");
    assert_eq!(refused["error"], "interaction_required");
    assert!(refused["claims"].as_str().unwrap().contains("capolids"));
    let vault = [("scope", "https://vault.azure.net/.default")];
    world.on_behalf_of(&token, &vault).await.token_claims();
    let own = world.emulator.own_resource();
    let strong = world
        .emulator
        .user_token_with_second_factor(ALICE, &own)
        .unwrap();
    world.on_behalf_of(&strong, &[]).await.token_claims();
    world.emulator.revoke_user(ALICE).unwrap();
    world.on_behalf_of(&strong, &[]).await.refused(50_173);
}

#[tokio::test]
async fn the_three_legs_of_an_agent() {
    let world = World::new();
    let emulator = &world.emulator;
    let blueprint = register(emulator, |app| app.secret("of the blueprint").blueprint());
    let agent = register(emulator, |app| app.agent_of(&blueprint).role("Agent.Read"));
    let sibling = register(emulator, |app| app.agent_of(&blueprint));
    let username = "agent@edgepass-demo.example";
    let user = User::new(username).of_agent(&agent);
    let object_id = user.object_id.clone();
    let user = user.consent(&agent, "https://graph.microsoft.com", &["User.Read"]);
    emulator.register_user(user);

    let exchange = "api://AzureADTokenExchange/.default";
    let leg_1 = [
        ("grant_type", "client_credentials"),
        ("client_id", blueprint.as_str()),
        ("client_secret", "of the blueprint"),
        ("scope", exchange),
        ("fmi_path", agent.as_str()),
    ];
    let access_token = |answer: &Answer| answer.json()["access_token"].as_str().unwrap().to_owned();
    world
        .post(&leg_1, &[("fmi_path", "")])
        .await
        .refused(82_008);
    world
        .post(&leg_1, &[("scope", GRAPH)])
        .await
        .refused(9_002_313);
    let answer = world.post(&leg_1, &[]).await;
    let subject = answer.token_claims()["sub"].as_str().unwrap().to_owned();
    assert!(subject.starts_with("/eid1/c/pub/t/") && subject.ends_with(&format!("/{agent}")));
    let t1 = access_token(&answer);
    let t1_of_sibling = access_token(&world.post(&leg_1, &[("fmi_path", &sibling)]).await);

    let leg_2 = [
        ("grant_type", "client_credentials"),
        ("client_id", agent.as_str()),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", t1.as_str()),
        ("scope", exchange),
    ];
    world
        .post(&leg_2, &[("client_assertion", &t1_of_sibling)])
        .await
        .refused(7_002_137);
    let secret = [
        ("client_assertion", ""),
        ("client_secret", "of the blueprint"),
    ];
    world.post(&leg_2, &secret).await.refused(7_000_215);
    let app_token = world.post(&leg_2, &[("scope", GRAPH)]).await.token_claims();
    assert_eq!(app_token["appid"], agent);
    assert_eq!(app_token["xms_par_app_azp"], blueprint);
    assert_eq!(
        (&app_token["idtyp"], &app_token["roles"]),
        (&json!("app"), &json!(["Agent.Read"]))
    );
    let t2 = access_token(&world.post(&leg_2, &[]).await);
    let sibling_2 = [
        ("client_id", sibling.as_str()),
        ("client_assertion", &t1_of_sibling),
    ];
    let t2_of_sibling = access_token(&world.post(&leg_2, &sibling_2).await);

    let leg_3 = [
        ("grant_type", "user_fic"),
        ("client_id", agent.as_str()),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", t1.as_str()),
        ("user_federated_identity_credential", t2.as_str()),
        ("username", username),
        ("scope", "User.Read offline_access openid profile"),
        ("client_info", "1"),
    ];
    for change in [
        vec![],
        vec![("username", ""), ("user_id", object_id.as_str())],
    ] {
        let answer = world.post(&leg_3, &change).await;
        let claims = answer.token_claims();
        for (name, value) in [
            ("appid", &agent),
            ("oid", &object_id),
            ("xms_par_app_azp", &blueprint),
        ] {
            assert_eq!(claims[name], *value);
        }
        assert_eq!(
            (&claims["scp"], &claims["idtyp"]),
            (&json!("User.Read"), &json!("user"))
        );
        let body = answer.json();
        assert!(body["refresh_token"].is_string() && body["client_info"].is_string());
    }
    for (change, code) in [
        (("user_federated_identity_credential", ""), 900_144),
        (("user_federated_identity_credential", "garbled"), 50_027),
        (
            ("user_federated_identity_credential", &*t2_of_sibling),
            50_013,
        ),
        (("user_federated_identity_credential", &*t1), 50_013),
        (("client_assertion", &*t1_of_sibling), 7_002_137),
        (("username", ""), 900_144),
        (("user_id", &*object_id), 9_002_313),
        (("username", ALICE), 50_034),
        (("username", "nobody@edgepass-demo.example"), 50_034),
        (("scope", "Mail.Read"), 65_001),
    ] {
        world.post(&leg_3, &[change]).await.refused(code);
    }
    let by_name = [("username", ""), ("user_id", username)];
    world.post(&leg_3, &by_name).await.refused(50_000);
    let of_app = [
        ("client_id", emulator.client_id()),
        ("client_assertion", ""),
    ];
    let secret = [
        of_app[0],
        of_app[1],
        ("client_secret", emulator.client_secret()),
    ];
    world.post(&leg_3, &secret).await.refused(70_003);

    // on behalf of who has called the blueprint
    emulator.register_resource(
        serde_json::from_value(json!({
            "identifiers": [format!("api://{blueprint}")], "app_id": blueprint, "token_version": 2,
        }))
        .unwrap(),
    );
    let alice = emulator.user(ALICE).unwrap();
    emulator.register_user(alice.consent(&agent, "https://graph.microsoft.com", &["User.Read"]));
    let assertion = emulator
        .user_token(ALICE, &format!("api://{blueprint}"), &Mint::new())
        .unwrap();
    let on_behalf = [
        ("grant_type", OBO),
        ("client_id", agent.as_str()),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", t1.as_str()),
        ("assertion", assertion.as_str()),
        ("requested_token_use", "on_behalf_of"),
        ("scope", "User.Read"),
    ];
    let claims = world.post(&on_behalf, &[]).await.token_claims();
    assert_eq!(
        (&claims["upn"], &claims["appid"]),
        (&json!(ALICE), &json!(agent))
    );
    let of_another = world.token(&Mint::new());
    world
        .post(&on_behalf, &[("assertion", &of_another)])
        .await
        .refused(500_131);
}

#[tokio::test]
async fn a_jwt_as_grant() {
    let world = World::new();
    let issuer = world.emulator.generic_issuer();
    let mint = |mint: Mint| world.emulator.issuer().mint(&mint).unwrap();
    let good = mint(Mint::new().audience(&issuer));
    let answer = world
        .generic(
            &[("grant_type", OBO), ("assertion", &good), ("scope", "a b")],
            &[],
        )
        .await;
    let claims = answer.token_claims();
    assert_eq!(
        (&claims["sub"], &claims["iss"]),
        (&json!(SUBJECT), &json!(issuer))
    );
    assert_eq!(answer.json()["scope"], "a b");
    for (assertion, why) in [
        (mint(Mint::new()), "'aud'"),
        (
            mint(Mint::new().audience(&issuer).expires_in(-600)),
            "expired",
        ),
        (
            mint(Mint::new().audience(&issuer).not_before_in(600)),
            "not valid yet",
        ),
        (
            mint(Mint::new().audience(&issuer).foreign_key()),
            "signature",
        ),
        (mint(Mint::new().audience(&issuer).kid("x")), "no such key"),
        (
            mint(Mint::new().audience(&issuer).issuer("https://x.example")),
            "not known",
        ),
        (mint(Mint::new().audience(&issuer).without("sub")), "'sub'"),
        ("garbled".to_owned(), "not a signed JWT"),
    ] {
        let answer = world
            .generic(&[("grant_type", OBO), ("assertion", &assertion)], &[])
            .await;
        refused(&answer, "invalid_grant", why);
    }
    let answer = world.generic(&[("grant_type", OBO)], &[]).await;
    refused(&answer, "invalid_request", "'assertion'");
    let answer = world
        .generic(&[("grant_type", "client_credentials")], &[])
        .await;
    refused(&answer, "unsupported_grant_type", "client_credentials");
    let wrong = [
        ("grant_type", OBO),
        ("client_id", world.emulator.client_id()),
        ("client_secret", "x"),
    ];
    let answer = world.client.post("/generic/token", &wrong).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    refused(&answer, "invalid_client", "secret");
    for name in ["openid-configuration", "oauth-authorization-server"] {
        let document = world
            .client
            .get(&format!("/generic/.well-known/{name}"))
            .await
            .json();
        assert_eq!(document["issuer"], issuer);
    }
}

#[tokio::test]
async fn a_token_exchanged() {
    let world = World::new();
    let subject = world.token(&Mint::new());
    let actor = world.emulator.issuer().token().unwrap();
    let kind = |name: &str| format!("{TYPE}{name}");
    let (access, jwt) = (kind("access_token"), kind("jwt"));
    let usual = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject.as_str()),
        ("subject_token_type", access.as_str()),
    ];
    let all = [
        ("actor_token", actor.as_str()),
        ("actor_token_type", jwt.as_str()),
        ("audience", "api://edgepass-demo"),
        ("audience", "https://vault.azure.net"),
        ("resource", "https://storage.azure.com"),
        ("scope", "read"),
        ("requested_token_type", jwt.as_str()),
    ];
    let answer = world.generic(&usual, &all).await;
    let (claims, body) = (answer.token_claims(), answer.json());
    assert_eq!(claims["act"]["sub"], SUBJECT);
    assert_eq!(claims["sub"], claims_of(&subject)["sub"]);
    assert_eq!(claims["aud"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&body["token_type"], &body["issued_token_type"]),
        (&json!("N_A"), &json!(jwt))
    );
    let answer = world.generic(&usual, &[]).await;
    let body = answer.json();
    assert_eq!(
        (&body["token_type"], &body["issued_token_type"]),
        (&json!("Bearer"), &json!(access))
    );

    let (other, saml) = (kind("other"), kind("saml2"));
    for (more, error, why) in [
        (
            vec![("actor_token", actor.as_str())],
            "invalid_request",
            "actor_token_type is missing",
        ),
        (
            vec![("actor_token_type", &*jwt)],
            "invalid_request",
            "without actor_token",
        ),
        (
            vec![("actor_token", "garbled"), ("actor_token_type", &*jwt)],
            "invalid_request",
            "actor_token: ",
        ),
        (
            vec![("requested_token_type", &*other)],
            "invalid_request",
            "requested_token_type",
        ),
        (
            vec![("audience", "api://nowhere")],
            "invalid_target",
            "api://nowhere",
        ),
        (
            vec![("resource", "nowhere")],
            "invalid_target",
            "absolute URI",
        ),
        (
            vec![("resource", "https://vault.azure.net#x")],
            "invalid_target",
            "fragment",
        ),
        (
            vec![("scope", "a"), ("scope", "b")],
            "invalid_request",
            "'scope'",
        ),
    ] {
        refused(&world.generic(&usual, &more).await, error, why);
    }
    for (change, why) in [
        (("subject_token_type", ""), "subject_token_type is missing"),
        (("subject_token_type", &*saml), "saml2"),
        (("subject_token", ""), "without subject_token"),
        (("subject_token", "garbled"), "subject_token: "),
    ] {
        let fields = merged(&usual, &[change]);
        refused(&world.generic(&fields, &[]).await, "invalid_request", why);
    }
    // Entra has no such grant
    world.post(&usual, &[]).await.refused(70_003);
}

fn refused(answer: &Answer, error: &str, why: &str) {
    let body: Value = answer.json();
    assert_eq!(body["error"], error, "{body}");
    let text = body["error_description"].as_str().unwrap();
    assert!(text.contains(why), "{text}");
    assert!(body.get("access_token").is_none() && body.get("error_codes").is_none());
}

#[test]
fn what_is_registered_is_there() {
    let app = App::new("x").redirect_uri("https://a/").blueprint();
    assert!(app.blueprint && app.redirect_uris == ["https://a/"]);
}
