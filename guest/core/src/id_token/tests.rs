//! ID tokens with real signatures, through the whole of an acquisition.

mod grants;
mod issuers;
mod keys;
mod repeated;
mod signing;

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, Ed25519KeyPair,
};
use serde_json::{Value, json};

use signing::{Key, verify};

use super::*;
use crate::effect::PublicKey;
use crate::grant::tests::allow_every_grant;
use crate::needs::Purpose;
use crate::{
    AccessToken, Completed, Config, Effect, Engine, Environment, HttpRequest, HttpResponse, Now,
    Outcome, Reply, SecretBytes, TokenRequest, TokenType,
};

/// 2026-11-01 00:00:00 UTC.
const START_S: u64 = 1_793_491_200;
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const OTHER_TENANT: &str = "99999999-2222-3333-4444-555555555555";
const ISSUER: &str = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0";
const METADATA: &str = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0/.well-known/openid-configuration";
const KEYS: &str = "https://login.microsoftonline.com/common/discovery/v2.0/keys";
const TOKEN: &str =
    "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token";
const SECRET: &str = "the-client-secret";
const NONCE: &str = "the-nonce";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A server, and the engine that asks it.
struct World {
    engine: Engine,
    mono_ms: u64,
    /// What stands at a URL: status and body.
    pages: BTreeMap<String, (u16, String)>,
    /// `Date` of the token server.
    date: Option<&'static str>,
    id_token: Option<String>,
    /// The tenant of each request, where it is not the identity's own.
    tenant: Option<&'static str>,
    /// Method and URL of what was asked.
    asked: Vec<String>,
    verified: usize,
}

impl World {
    fn new(key: &Key) -> Self {
        Self::with(key, entra(json!({})))
    }

    fn with(key: &Key, config: Config) -> Self {
        allow_every_grant();
        let mut world = Self {
            engine: Engine::new(config, [5; 32]),
            mono_ms: 0,
            pages: BTreeMap::new(),
            date: None,
            id_token: None,
            tenant: None,
            asked: Vec::new(),
            verified: 0,
        };
        world.page(METADATA, &json!({ "issuer": ISSUER, "jwks_uri": KEYS }));
        world.publish(KEYS, &[("k1", key)]);
        world
    }

    fn page(&mut self, url: &str, body: &Value) {
        self.pages.insert(url.to_owned(), (200, body.to_string()));
    }

    fn publish(&mut self, url: &str, keys: &[(&str, &Key)]) {
        let keys: Vec<Value> = keys.iter().map(|(kid, key)| key.jwk(kid)).collect();
        self.page(url, &json!({ "keys": keys }));
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: START_S * 1000 + self.mono_ms,
            mono_ms: self.mono_ms,
        }
    }

    /// Redeems a code, which brings that ID token.
    fn redeem(&mut self, id_token: &str) -> Result<AccessToken, Error> {
        self.get(
            Some(id_token),
            Grant::AuthorizationCode {
                code: format!("code-{}", self.mono_ms).into(),
                redirect_uri: "https://app.example/callback".to_owned(),
                code_verifier: None,
                nonce: Some(NONCE.into()),
            },
        )
    }

    fn get(&mut self, id_token: Option<&str>, grant: Grant) -> Result<AccessToken, Error> {
        self.get_for(&["https://graph.microsoft.com/.default"], id_token, grant)
    }

    fn get_for(
        &mut self,
        scopes: &[&str],
        id_token: Option<&str>,
        grant: Grant,
    ) -> Result<AccessToken, Error> {
        self.id_token = id_token.map(str::to_owned);
        self.asked.clear();
        self.mono_ms += 1;
        let request = TokenRequest {
            refresh: crate::Refresh::Force,
            token_type: TokenType::Bearer,
            tenant: self.tenant.map(str::to_owned),
            ..TokenRequest::for_scopes(scopes.iter().copied()).with_grant(grant)
        };
        let now = self.now();
        let ticket = match self.engine.request(now, &request) {
            Reply::Ready(answer) => return answer,
            Reply::Pending(ticket) => ticket,
        };
        loop {
            while let Some((id, effect)) = self.engine.next_effect() {
                let outcome = match effect {
                    Effect::Http { request, .. } => Outcome::Http(Ok(self.answer(&request))),
                    Effect::Verify {
                        algorithm,
                        key,
                        input,
                        signature,
                    } => {
                        self.verified += 1;
                        Outcome::Verified(Ok(verify(algorithm, &key, &input, &signature)))
                    }
                    _ => continue,
                };
                let now = self.now();
                self.engine.complete(id, outcome, now);
            }
            if let Some(Completed::Token(answer)) = self.engine.take(ticket) {
                if let (Err(error), Some(id_token)) = (&answer, id_token) {
                    assert_is_discreet(error, id_token, self.has_redeemed());
                }
                return answer;
            }
            self.mono_ms = self.engine.next_deadline().expect("something to come");
            let now = self.now();
            self.engine.wake(now);
        }
    }

    /// Whether the server was asked for tokens.
    fn has_redeemed(&self) -> bool {
        self.asked.iter().any(|asked| asked.starts_with("POST"))
    }

    fn answer(&mut self, request: &HttpRequest) -> HttpResponse {
        // with its query, which no message has
        let url = format!("{}://{}{}", request.scheme, request.authority, request.path);
        let needs = self.engine.config().needs();
        let mut all = needs.connections.iter().chain(&needs.id_tokens);
        let is_permitted = all.any(|need| {
            need.permission
                .permits(request.scheme, &request.authority, &request.path)
                && need.permission.purpose.method() == request.method
        });
        assert!(is_permitted, "no driver lets {url} out");
        self.asked.push(format!("{} {url}", request.method));
        if request.method == "GET" {
            assert!(request.body.is_empty());
            let headers: Vec<_> = request.headers.iter().map(|(name, _)| *name).collect();
            assert_eq!(headers, ["accept-encoding", "user-agent", "accept"]);
        }
        let (status, body) = match (request.method, self.pages.get(&url)) {
            ("GET", Some((status, body))) => (*status, body.clone()),
            ("GET", None) => (404, "no such page".to_owned()),
            _ => {
                let mut answer = json!({
                    "access_token": "the-access-token", "token_type": "Bearer", "expires_in": 3600,
                    "refresh_token": "the-next-refresh-token",
                });
                if let Some(id_token) = &self.id_token {
                    answer["id_token"] = json!(id_token);
                }
                (200, answer.to_string())
            }
        };
        let mut headers = Vec::new();
        if status == 302 {
            headers.push(("location".to_owned(), "https://evil.example/".to_owned()));
        }
        if let Some(date) = self.date.filter(|_| request.method == "POST") {
            headers.push(("date".to_owned(), date.to_owned()));
        }
        HttpResponse {
            status,
            headers,
            body: SecretBytes::new(body),
        }
    }

    /// What is said of that token, which is refused.
    fn refusal(&mut self, id_token: &str) -> String {
        let error = self.redeem(id_token).unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidResponse, "{error}");
        assert!(error.detail().hint.is_some(), "{error}");
        error.to_string()
    }
}

/// Neither the token nor anything about its user. What is not issued yet is no secret.
fn assert_is_discreet(error: &Error, id_token: &str, is_issued: bool) {
    let shown = format!("{error:#} {error:?}");
    let issued = is_issued.then_some("the-access-token");
    let known = ["alice", "alice@contoso.example", NONCE, SECRET];
    for secret in known.into_iter().chain(issued) {
        assert!(!shown.contains(secret), "{shown}");
    }
    let mut parts = id_token.split('.').filter(|part| part.len() > 20);
    assert!(!parts.any(|part| shown.contains(part)), "{shown}");
}

fn entra(more: Value) -> Config {
    config(
        json!({
            "tenant_id": TENANT, "client_id": "app-1",
            "credential": { "client_secret": { "value": SECRET } },
        }),
        more,
    )
}

fn config(mut app: Value, more: Value) -> Config {
    if let (Some(app), Value::Object(more)) = (app.as_object_mut(), more) {
        app.extend(more);
    }
    let json = json!({
        "authority_hosts": ["idp.example", "keys.example", "entra.example"], "identities": { "app": app },
    });
    Config::load(Some(&json.to_string()), &Environment::default()).unwrap()
}

fn header(alg: &str) -> Value {
    json!({ "alg": alg, "kid": "k1", "typ": "JWT" })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "app-1", "sub": "alice", "preferred_username": "alice@contoso.example",
        "tid": TENANT, "nonce": NONCE, "iat": START_S, "nbf": START_S, "exp": START_S + 3600,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn signed(key: &Key, claim: &str, said: &str) -> String {
    key.jws(&header("ES256"), &with(claim, json!(said)))
}

fn good(key: &Key) -> String {
    key.jws(&header("ES256"), &claims())
}

fn rs256() -> Key {
    Key::rsa(KeySize::Rsa2048)
}

#[test]
fn a_good_token_of_each_algorithm_is_handed_out() {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    for (alg, key) in [
        ("RS256", rs256()),
        ("PS256", rs256()),
        ("ES256", Key::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")),
        ("ES384", Key::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")),
        ("EdDSA", Key::Ed25519(ed25519)),
    ] {
        let mut world = World::new(&key);
        let mut claims = claims();
        let algorithm = ALGORITHMS.into_iter().find(|known| known.name() == alg);
        claims["at_hash"] = json!(half_hash(algorithm.unwrap(), "the-access-token"));
        let id_token = key.jws(&header(alg), &claims);
        let token = world.redeem(&id_token).expect(alg);
        assert_eq!(token.id_token, Some(Secret::new(&*id_token)), "{alg}");
        assert_eq!(
            world.asked,
            [
                format!("GET {METADATA}"),
                format!("GET {KEYS}"),
                format!("POST {TOKEN}")
            ],
            "a code is not spent for an ID token that nobody could judge"
        );
        // what the keys cost is not paid again
        world.redeem(&id_token).expect(alg);
        assert_eq!(world.asked, [format!("POST {TOKEN}")]);
        // of another key, under the same name
        let other = match &key {
            Key::Rsa(_) => rs256(),
            Key::Ec(_, "P-256") => Key::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Key::Ec(..) => Key::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Key::Ed25519(_) => Key::Ed25519(Ed25519KeyPair::generate().unwrap()),
        };
        let said = world.refusal(&other.jws(&header(alg), &claims));
        assert!(
            said.contains("a signature that its key did not make"),
            "{said}"
        );
        claims["at_hash"] = json!(half_hash(algorithm.unwrap(), "another token"));
        let said = world.refusal(&key.jws(&header(alg), &claims));
        assert!(said.contains("(at_hash)"), "{said}");
    }
}

/// The digests of OpenID Connect Core, appendices A.3 and A.4, and of the longer algorithms by their length.
#[test]
fn a_hash_is_the_left_half_of_the_digest() {
    let text = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(half_hash(Algorithm::Rs256, text), "77QmUPtjPfzWtF2AnpK9RQ");
    assert_eq!(half_hash(Algorithm::Es384, text).len(), 32);
    assert_eq!(half_hash(Algorithm::EdDsa, text).len(), 43);
}

#[test]
fn what_does_not_fit_is_refused_and_says_what_was_expected() {
    let key = rs256();
    let mut world = World::new(&key);
    world.redeem(&key.jws(&header("RS256"), &claims())).unwrap();
    for (name, value, said) in [
        (
            "iss",
            json!("https://evil.example/v2.0"),
            "issued by `https://evil.example/v2.0` (iss), and not by `https://login.microsoftonline.com/1111",
        ),
        ("iss", json!(format!("{ISSUER}/")), "(iss), and not by"),
        (
            "iss",
            json!(format!("https://sts.windows.net/{TENANT}/")),
            "(iss), and not by",
        ),
        ("iss", Value::Null, "issued by nobody (iss)"),
        ("iss", json!([ISSUER]), "issued by nobody (iss)"),
        (
            "aud",
            json!("app-2"),
            "for `app-2` (aud), and not for the client `app-1`",
        ),
        ("aud", json!("APP-1"), "not for the client"),
        (
            "aud",
            json!(["app-2", "app-3"]),
            "for `app-2`, `app-3` (aud)",
        ),
        ("aud", Value::Null, "for nobody (aud)"),
        ("aud", json!([]), "for nobody (aud)"),
        ("aud", json!({ "app-1": 1 }), "for nobody (aud)"),
        (
            "aud",
            json!(["app-1", "app-2"]),
            "2 audiences, and has no azp",
        ),
        ("azp", json!("app-2"), "issued to `app-2` (azp)"),
        ("azp", json!(1), "issued to nobody (azp)"),
        ("sub", Value::Null, "has no sub"),
        ("sub", json!(""), "has no sub"),
        ("nonce", json!("another"), "another nonce"),
        ("nonce", json!("the-noncf"), "another nonce"),
        ("nonce", Value::Null, "has no nonce"),
        ("nonce", json!([NONCE]), "has no nonce"),
        ("exp", Value::Null, "has no exp"),
        ("exp", json!("soon"), "has no exp"),
        ("exp", json!(-1), "has no exp"),
        ("iat", Value::Null, "has no iat"),
        ("nbf", json!("x"), "has no nbf"),
        ("at_hash", json!("x"), "(at_hash)"),
        ("at_hash", json!(7), "(at_hash)"),
    ] {
        let shown = world.refusal(&key.jws(&header("RS256"), &with(name, value.clone())));
        assert!(shown.contains(said), "{name} {value}: {shown}");
        assert!(
            shown.starts_with("the id_token of login.microsoftonline.com "),
            "{shown}"
        );
        assert_eq!(world.asked, [format!("POST {TOKEN}")], "{name}");
    }
    let mut several = with("aud", json!(["app-1", "app-2"]));
    several["azp"] = json!("app-1");
    world.redeem(&key.jws(&header("RS256"), &several)).unwrap();
    world
        .redeem(&key.jws(&header("RS256"), &with("nbf", Value::Null)))
        .unwrap();
}

#[test]
fn times_may_be_off_by_five_minutes_and_no_more() {
    let key = rs256();
    let mut world = World::new(&key);
    // the clock shows a moment more with each
    let inside = ID_TOKEN_SKEW_S - 10;
    let outside = ID_TOKEN_SKEW_S + 10;
    for (name, value, said) in [
        ("exp", START_S - inside, None),
        ("exp", START_S - outside, Some("expired 5 min ago (exp)")),
        ("nbf", START_S + inside, None),
        (
            "nbf",
            START_S + outside,
            Some("is not valid for another 5 min (nbf)"),
        ),
        ("iat", START_S + inside, None),
        (
            "iat",
            START_S + outside,
            Some("is not valid for another 5 min (iat)"),
        ),
        ("exp", 0, Some("(exp)")),
        ("exp", u64::MAX, None),
        ("nbf", u64::MAX, Some("(nbf)")),
    ] {
        let id_token = key.jws(&header("RS256"), &with(name, json!(value)));
        match said {
            None => drop(world.redeem(&id_token).expect(name)),
            Some(said) => {
                let shown = world.refusal(&id_token);
                assert!(shown.contains(said), "{name}: {shown}");
            }
        }
    }
}

/// Where it is known that the local clock is the wrong one.
#[test]
fn times_are_judged_by_the_servers_clock() {
    let key = rs256();
    let mut world = World::new(&key);
    // an hour ahead of this machine, and said twice before it counts
    world.date = Some("Sun, 01 Nov 2026 01:00:00 GMT");
    for _ in 0..2 {
        world.get(None, Grant::RefreshToken("r".into())).unwrap();
    }
    let mut late = with("iat", json!(START_S + 3600));
    late["nbf"] = json!(START_S + 3600);
    late["exp"] = json!(START_S + 7200);
    world.redeem(&key.jws(&header("RS256"), &late)).unwrap();
    let shown = world.refusal(&key.jws(&header("RS256"), &with("exp", json!(START_S + 1800))));
    assert!(shown.contains("expired 30 min ago"), "{shown}");
}

#[test]
fn no_algorithm_but_those_of_the_list_is_taken() {
    let key = rs256();
    let mut world = World::new(&key);
    let part = |json: &Value| b64(json.to_string());
    for (alg, said) in [
        (
            "none",
            "has the alg `none`, where one of RS256, PS256, ES256, ES384, EdDSA is expected",
        ),
        ("None", "has the alg `None`"),
        ("", "names no alg"),
        ("RS512", "has the alg `RS512`"),
        ("rs256", "has the alg `rs256`"),
    ] {
        let input = format!("{}.{}", part(&header(alg)), part(&claims()));
        for signature in [
            String::new(),
            b64("x"),
            b64(key.sign("RS256", input.as_bytes())),
        ] {
            let shown = world.refusal(&format!("{input}.{signature}"));
            assert!(shown.contains(said), "{alg}: {shown}");
        }
    }
    // who knows the client's secret, or takes the public key for one
    let jwk = key.jwk("k1");
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [SECRET.as_bytes(), &n] {
        let input = format!("{}.{}", part(&header("HS256")), part(&claims()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        let shown = world.refusal(&format!("{input}.{}", b64(tag)));
        assert!(shown.contains("has the alg `HS256`"), "{shown}");
    }
    assert_eq!(world.verified, 0);
    for (name, value, said) in [
        ("crit", json!(["exp"]), "has a crit"),
        (
            "typ",
            json!("at+jwt"),
            "has the typ `at+jwt`, where JWT is expected",
        ),
        ("typ", json!("logout+JWT"), "has the typ"),
    ] {
        let mut header = header("RS256");
        header[name] = value;
        let shown = world.refusal(&key.jws(&header, &claims()));
        assert!(shown.contains(said), "{shown}");
    }
}

#[test]
fn what_is_no_jws_is_refused() {
    let key = rs256();
    let mut world = World::new(&key);
    let good = key.jws(&header("RS256"), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        panic!("three parts")
    };
    for (bad, said) in [
        ("x".to_owned(), "no compact JWS"),
        ("..".to_owned(), "no compact JWS"),
        (format!("{header}.{payload}"), "no compact JWS"),
        (format!("{header}.{payload}.{signature}."), "no compact JWS"),
        (format!("{header}.{payload}.{signature}="), "no compact JWS"),
        (
            format!("{header}.{payload}.{signature}\n"),
            "no compact JWS",
        ),
        (
            format!("{header}.{}.{signature}", b64("[]")),
            "no compact JWS",
        ),
        (
            format!("{header}.{}.{signature}", b64("{")),
            "no compact JWS",
        ),
        (
            format!("{}.{payload}.{signature}", b64("\"RS256\"")),
            "no compact JWS",
        ),
        (
            format!("{header}.{payload}.{signature}.a.b"),
            "is encrypted (JWE)",
        ),
        (
            format!("{good}{}", "A".repeat(MAX_ID_TOKEN_BYTES)),
            "bytes, and 65536 are taken",
        ),
    ] {
        let shown = world.refusal(&bad);
        assert!(shown.contains(said), "{shown}");
    }
}

/// Every byte counts: any other in its place, or none, and it is not the token any more.
#[test]
fn a_token_with_a_byte_changed_is_never_accepted() {
    for (alg, key) in [
        ("RS256", rs256()),
        ("ES256", Key::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")),
    ] {
        let mut world = World::new(&key);
        let good = key.jws(&header(alg), &claims());
        world.redeem(&good).unwrap();
        for at in 0..good.len() {
            let old = good.as_bytes()[at];
            // the neighbour in the alphabet differs in the bits that padding would hide
            for new in [old ^ 1, b'.'] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] = new;
                if new == old || !new.is_ascii_graphic() {
                    continue;
                }
                let changed = String::from_utf8(bytes).unwrap();
                assert!(
                    world.redeem(&changed).is_err(),
                    "{alg} byte {at}: {changed}"
                );
            }
            let mut shorter = good.clone();
            shorter.remove(at);
            assert!(world.redeem(&shorter).is_err(), "{alg} without byte {at}");
        }
        world.redeem(&good).unwrap();
    }
}
