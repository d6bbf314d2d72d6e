//! ID tokens with real signatures, through the whole of an acquisition.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};

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

/// A private key, and its public half as a server publishes it.
enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    fn rsa(size: KeySize) -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(size).unwrap()))
    }

    fn ec(algorithm: &'static EcdsaSigningAlgorithm, crv: &'static str) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap(), crv)
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                // PKCS#1 of 2048 bits: a sequence of the modulus, with a zero before it, and 65537
                let (n, e) = (&key.public_key().as_ref()[9..265], [1, 0, 1]);
                json!({ "kty": "RSA", "use": "sig", "kid": kid, "n": b64(n), "e": b64(e) })
            }
            Self::Ec(key, crv) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": crv, "kid": kid, "x": b64(x), "y": b64(y) })
            }
            Self::Ed25519(key) => {
                let x = b64(key.public_key());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
            }
        }
    }

    fn sign(&self, alg: &str, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let encoding: &'static dyn RsaEncoding = match alg {
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, input, &mut signature).unwrap();
                signature
            }
            Self::Ec(key, _) => key.sign(&random, input).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(input).as_ref().to_vec(),
        }
    }

    fn jws(&self, header: &Value, claims: &Value) -> String {
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let alg = header["alg"].as_str().unwrap_or_default();
        format!("{input}.{}", b64(self.sign(alg, input.as_bytes())))
    }
}

/// What a host does.
fn verify(algorithm: Algorithm, key: &PublicKey, input: &[u8], signature: &[u8]) -> bool {
    let point = |x: &[u8], y: &[u8]| [&[4], x, y].concat();
    match (algorithm, key) {
        (Algorithm::Rs256, PublicKey::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, input, signature)
            .is_ok(),
        (Algorithm::Ps256, PublicKey::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
            .verify(&RSA_PSS_2048_8192_SHA256, input, signature)
            .is_ok(),
        (Algorithm::Es256, PublicKey::Ec { x, y }) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(x, y))
                .verify(input, signature)
                .is_ok()
        }
        (Algorithm::Es384, PublicKey::Ec { x, y }) => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point(x, y))
                .verify(input, signature)
                .is_ok()
        }
        (Algorithm::EdDsa, PublicKey::Ed25519 { x }) => UnparsedPublicKey::new(&ED25519, x)
            .verify(input, signature)
            .is_ok(),
        other => panic!("a key of another kind: {other:?}"),
    }
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

#[test]
fn an_unknown_key_is_asked_for_once_in_a_minute() {
    let (old, new) = (rs256(), rs256());
    let mut world = World::new(&old);
    world.redeem(&old.jws(&header("RS256"), &claims())).unwrap();
    let mut of_new = header("RS256");
    of_new["kid"] = json!("k2");
    let id_token = new.jws(&of_new, &claims());
    world.publish(KEYS, &[("k1", &old), ("k2", &new)]);
    world.redeem(&id_token).unwrap();
    assert_eq!(
        world.asked,
        [format!("POST {TOKEN}"), format!("GET {KEYS}")]
    );
    let mut invented = header("RS256");
    invented["kid"] = json!("k3");
    let invented = new.jws(&invented, &claims());
    let shown = world.refusal(&invented);
    assert_eq!(world.asked, [format!("POST {TOKEN}")]);
    assert!(shown.contains("the key `k3` (RS256)"), "{shown}");
    world.mono_ms += 60_000;
    for asked in [1, 0, 0] {
        world.refusal(&invented);
        assert_eq!(world.asked.len(), 1 + asked);
    }
    // whatever becomes of that, the others serve on
    world.pages.insert(KEYS.to_owned(), (500, String::new()));
    world.mono_ms += 60_000;
    world.refusal(&invented);
    world.redeem(&id_token).unwrap();
}

#[test]
fn a_key_is_taken_for_what_it_is_for() {
    let key = rs256();
    let weak = {
        let mut jwk = key.jwk("k1");
        jwk["n"] = json!(b64([0xc5; 128]));
        jwk
    };
    let changed = |name: &str, value: Value| {
        let mut jwk = key.jwk("k1");
        jwk[name] = value;
        jwk
    };
    let none = "has none of that name that is for signatures of that kind";
    for (jwk, said) in [
        (weak, "is RSA of 1024 bits, where 2048 to 8192 are expected"),
        (
            changed("n", json!(b64([0xff; 1025]))),
            "is RSA of 8200 bits",
        ),
        (changed("n", json!("")), "is RSA of 0 bits"),
        (changed("n", Value::Null), "has no n in base64url"),
        (changed("e", json!("=")), "has no e in base64url"),
        (changed("use", json!("enc")), none),
        (changed("key_ops", json!(["encrypt"])), none),
        (changed("alg", json!("PS256")), none),
        (changed("kty", json!("EC")), none),
        (changed("kid", json!("K1")), none),
        (changed("kid", Value::Null), none),
        (
            changed(
                "issuer",
                json!(format!(
                    "https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"
                )),
            ),
            none,
        ),
        (
            changed("issuer", json!("https://sts.windows.net/{tenantid}/")),
            none,
        ),
        (json!("key"), none),
    ] {
        let mut world = World::new(&key);
        world.page(KEYS, &json!({ "keys": [jwk] }));
        let shown = world.refusal(&key.jws(&header("RS256"), &claims()));
        assert!(shown.contains(said), "{jwk}: {shown}");
        assert_eq!(world.verified, 0);
    }
    for jwk in [
        changed("use", json!("sig")),
        changed("key_ops", json!(["verify"])),
        changed("alg", json!("RS256")),
        changed("issuer", json!(ISSUER)),
        changed(
            "issuer",
            json!("https://login.microsoftonline.com/{tenantid}/v2.0"),
        ),
    ] {
        let mut world = World::new(&key);
        world.page(
            KEYS,
            &json!({ "keys": [{ "kty": "oct", "kid": "k1", "k": "AA" }, jwk] }),
        );
        world.redeem(&key.jws(&header("RS256"), &claims())).unwrap();
    }
    // curves whose coordinates are cut
    let ec = Key::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let mut world = World::new(&ec);
    let mut jwk = ec.jwk("k1");
    jwk["x"] = json!(b64([1; 31]));
    world.page(KEYS, &json!({ "keys": [jwk] }));
    let shown = world.refusal(&ec.jws(&header("ES256"), &claims()));
    assert!(
        shown.contains("has 31 bytes of x, where the curve has 32"),
        "{shown}"
    );
}

#[test]
fn a_token_without_a_key_id_needs_a_set_of_one() {
    let (one, other) = (rs256(), rs256());
    let nameless = one.jws(&json!({ "alg": "RS256" }), &claims());
    let mut world = World::new(&one);
    world.redeem(&nameless).unwrap();
    let mut world = World::new(&one);
    world.publish(KEYS, &[("k1", &one), ("k2", &other)]);
    let shown = world.refusal(&nameless);
    assert!(
        shown.contains("names no kid") && shown.contains("has 2 keys for RS256"),
        "{shown}"
    );
}

#[test]
fn keys_and_metadata_that_are_no_good_are_named_and_lead_nowhere() {
    let key = rs256();
    let id_token = key.jws(&header("RS256"), &claims());
    let page = "<html>Sign in to the network</html>".to_owned();
    let huge = json!({ "keys": vec![json!({}); 101] }).to_string();
    for (url, status, body, said) in [
        (KEYS, 200, page.clone(), "/common/discovery/v2.0/keys is no JSON"),
        (KEYS, 200, "{}".to_owned(), "has no list `keys`"),
        (KEYS, 200, huge, "has 101 keys, and 100 are taken"),
        (KEYS, 302, String::new(), "answered HTTP 302"),
        (KEYS, 404, String::new(), "answered HTTP 404"),
        (METADATA, 200, page, "openid-configuration is no JSON"),
        (METADATA, 302, String::new(), "answered HTTP 302"),
        (METADATA, 200, json!({ "issuer": ISSUER }).to_string(), "names no jwks_uri"),
        (METADATA, 200, json!({ "jwks_uri": KEYS }).to_string(), "names no issuer"),
        (METADATA, 200, json!({ "issuer": format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"), "jwks_uri": KEYS }).to_string(), "is that of another issuer"),
        (METADATA, 200, json!({ "issuer": format!("https://evil.example/{TENANT}/v2.0"), "jwks_uri": KEYS }).to_string(), "is that of another issuer, `https://evil.example/"),
        (METADATA, 200, json!({ "issuer": ISSUER, "jwks_uri": "http://login.microsoftonline.com/keys" }).to_string(), "its jwks_uri has the scheme `http`"),
    ] {
        let mut world = World::new(&key);
        world.pages.insert(url.to_owned(), (status, body));
        let shown = world.refusal(&id_token);
        assert!(shown.contains(said), "{said}: {shown}");
        assert!(world.asked.iter().all(|asked| asked.contains(" https://login.microsoftonline.com/")));
    }
    // a set that is elsewhere is not asked for
    let mut world = World::new(&key);
    world.page(
        METADATA,
        &json!({ "issuer": ISSUER, "jwks_uri": "https://evil.example/keys" }),
    );
    let error = world.redeem(&id_token).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Configuration);
    assert!(
        error
            .to_string()
            .contains("its jwks_uri is at `evil.example`"),
        "{error}"
    );
    assert_eq!(world.asked, [format!("GET {METADATA}")]);
    // one that fails for a moment is asked again, and the code is not spent meanwhile
    let mut world = World::new(&key);
    world.pages.insert(KEYS.to_owned(), (503, String::new()));
    let error = world.redeem(&id_token).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Server, "{error}");
    let asked: Vec<bool> = world
        .asked
        .iter()
        .map(|asked| asked.contains(KEYS))
        .collect();
    assert_eq!(asked, [false, true, true, true]);
    assert!(error.detail().retryable);
}

#[test]
fn only_a_user_has_an_id_token() {
    let key = rs256();
    let mut world = World::new(&key);
    let id_token = key.jws(&header("RS256"), &claims());
    // nobody has asked for it, and nobody is it
    let token = world
        .get(Some("anything"), Grant::ClientCredentials)
        .unwrap();
    assert_eq!(token.id_token, None);
    assert_eq!(world.asked, [format!("POST {TOKEN}")]);
    // the nonce is the authorization request's
    for grant in [
        Grant::RefreshToken("r".into()),
        Grant::OnBehalfOf {
            assertion: Some("a".into()),
            session_key: None,
        },
        Grant::JwtBearer("a".into()),
    ] {
        let token = world.get(Some(&id_token), grant.clone()).unwrap();
        assert_eq!(token.id_token, Some(Secret::new(&*id_token)));
        assert!(world.get(None, grant.clone()).unwrap().id_token.is_none());
        let other = key.jws(&header("RS256"), &with("aud", json!("app-2")));
        // nor has anybody asked for this one
        assert_eq!(world.get(Some(&other), grant).unwrap().id_token, None);
    }
    let code = |nonce: Option<&str>| Grant::AuthorizationCode {
        code: "c".into(),
        redirect_uri: "https://app.example/".into(),
        code_verifier: None,
        nonce: nonce.map(Secret::new),
    };
    world.get(None, code(None)).unwrap();
    world.get(Some(&id_token), code(None)).unwrap();
    let error = world.get(None, code(Some("n"))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has no `id_token`, and the authorization request had a nonce"),
        "{error}"
    );
}

/// Whatever is wrong with an ID token, a refresh token that was rotated is handed out; only who has asked for the ID token,
/// and may ask again, is told in place of it.
#[test]
fn a_bad_id_token_takes_a_refresh_token_from_nobody() {
    const OPENID: [&str; 2] = ["https://graph.microsoft.com/User.Read", "openid"];
    const PLAIN: [&str; 1] = ["https://graph.microsoft.com/User.Read"];
    let (key, other) = (rs256(), rs256());
    let good = key.jws(&header("RS256"), &claims());
    let down = |world: &mut World, url: &str| {
        world.pages.insert(url.to_owned(), (503, String::new()));
    };
    let kinds: [(&str, String, &[&str]); 8] = [
        ("good", good.clone(), &[]),
        ("forged", other.jws(&header("RS256"), &claims()), &[]),
        (
            "unsigned",
            format!(
                "{}.{}.",
                b64(r#"{"alg":"none"}"#),
                b64(claims().to_string())
            ),
            &[],
        ),
        (
            "of a stranger",
            key.jws(
                &header("RS256"),
                &with("iss", json!("https://evil.example")),
            ),
            &[],
        ),
        (
            "expired",
            key.jws(&header("RS256"), &with("exp", json!(START_S - 3600))),
            &[],
        ),
        ("none", "none".to_owned(), &[]),
        ("without keys", good.clone(), &[KEYS]),
        ("without metadata", good, &[METADATA]),
    ];
    let code = |n: usize, nonce: Option<&str>| Grant::AuthorizationCode {
        code: format!("code-{n}").into(),
        redirect_uri: "https://app.example/callback".to_owned(),
        code_verifier: None,
        nonce: nonce.map(Secret::new),
    };
    let on_behalf = || Grant::OnBehalfOf {
        assertion: Some("a".into()),
        session_key: None,
    };
    for (n, (what, id_token, lost)) in kinds.iter().enumerate() {
        let is_good = *what == "good";
        for (grant, scopes, is_needed) in [
            (code(n, Some(NONCE)), PLAIN.as_slice(), true),
            (code(n, None), &OPENID, true),
            (code(n, None), &PLAIN, false),
            (Grant::RefreshToken("r".into()), &OPENID, false),
            (Grant::RefreshToken("r".into()), &PLAIN, false),
            (on_behalf(), &OPENID, true),
            (on_behalf(), &PLAIN, false),
        ] {
            let mut world = World::new(&key);
            for url in *lost {
                down(&mut world, url);
            }
            let shown = format!("{what}: {grant:?} {scopes:?}");
            let is_code = matches!(grant, Grant::AuthorizationCode { .. });
            let answer = world.get_for(scopes, Some(id_token), grant);
            let posted = world.asked.iter().filter(|asked| asked.starts_with("POST"));
            let posted = posted.count();
            match answer {
                Ok(token) => {
                    assert!(is_good || !is_needed, "{shown}");
                    assert_eq!(token.id_token.is_some(), is_good, "{shown}");
                    let next = token.refresh_token.as_ref().map(Secret::expose);
                    assert_eq!(next, Some("the-next-refresh-token"), "{shown}");
                }
                Err(error) => {
                    assert!(is_needed && !is_good, "{shown}: {error}");
                    // who has lost nothing may come again
                    let is_unspent = is_code && !lost.is_empty();
                    assert_eq!(posted == 0, is_unspent, "{shown}");
                    if is_code {
                        assert_eq!(error.detail().retryable, is_unspent, "{shown}: {error:?}");
                    }
                }
            }
        }
    }
}

/// Keys that never come take a part of the time, and not the answer.
#[test]
fn who_can_do_without_an_id_token_does_not_wait_for_its_keys() {
    let key = rs256();
    let mut world = World::new(&key);
    world.id_token = Some(key.jws(&header("RS256"), &claims()));
    let request = TokenRequest::for_scopes(["openid"]).with_grant(Grant::refresh_token("r"));
    let now = world.now();
    let Reply::Pending(ticket) = world.engine.request(now, &request) else {
        panic!("it is asked for");
    };
    let answer = loop {
        while let Some((id, effect)) = world.engine.next_effect() {
            let Effect::Http { request, .. } = effect else {
                continue;
            };
            // the rest is never answered
            if request.method == "POST" {
                let outcome = Outcome::Http(Ok(world.answer(&request)));
                let now = world.now();
                world.engine.complete(id, outcome, now);
            }
        }
        if let Some(Completed::Token(answer)) = world.engine.take(ticket) {
            break answer;
        }
        world.mono_ms = world.engine.next_deadline().expect("something to come");
        let now = world.now();
        world.engine.wake(now);
    };
    let token = answer.unwrap();
    assert_eq!(token.id_token, None);
    assert!(token.refresh_token.is_some());
    assert_eq!(world.mono_ms, crate::limits::HTTP_TIMEOUT_MS / 2);
}

/// Sign-ins of the users of any tenant: the issuer is that of the token's own tenant, whatever the grant.
#[test]
fn users_of_any_tenant_sign_in_where_any_is_allowed() {
    const ANY: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let key = rs256();
    let config = || entra(json!({ "additionally_allowed_tenants": ["*"] }));
    for many in ["common", "organizations"] {
        let mut world = World::with(&key, config());
        world.tenant = Some(many);
        let host = "https://login.microsoftonline.com";
        let metadata = format!("{host}/{many}/v2.0/.well-known/openid-configuration");
        world.page(&metadata, &json!({ "issuer": ANY, "jwks_uri": KEYS }));
        let mut said = with("tid", json!(OTHER_TENANT));
        for (issuer, is_its_own) in [
            (ANY.replace("{tenantid}", OTHER_TENANT), true),
            (ISSUER.to_owned(), false),
            (ANY.to_owned(), false),
            (format!("{host}/{many}/v2.0"), false),
        ] {
            said["iss"] = json!(issuer);
            let id_token = key.jws(&header("RS256"), &said);
            let code = world.redeem(&id_token);
            assert_eq!(code.is_ok(), is_its_own, "{many} {issuer}: {code:?}");
            let sent = format!("POST {host}/{many}/oauth2/v2.0/token");
            assert!(world.asked.contains(&sent), "{:?}", world.asked);
            let refresh = Grant::refresh_token(format!("r-{}", world.mono_ms));
            let refreshed = world.get_for(&["openid"], Some(&id_token), refresh);
            let id_token = refreshed.unwrap().id_token;
            assert_eq!(id_token.is_some(), is_its_own, "{many} {issuer}");
        }
        // there is nobody whose tenant that could be
        let own = world.get(None, Grant::ClientCredentials).unwrap_err();
        assert_eq!(own.class(), ErrorClass::InvalidRequest, "{own}");
    }
    let mut world = World::new(&key);
    world.tenant = Some("organizations");
    let error = world.redeem("whatever").unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest, "{error}");
    assert!(world.asked.is_empty());
}

/// Key sets as real servers write them: other encodings of base64, several keys of one name, and keys beside the good one
/// that nobody can use.
#[test]
fn a_good_key_is_found_whatever_stands_beside_it() {
    let (key, other) = (rs256(), rs256());
    let spelled = |spell: &dyn Fn(&str) -> String| {
        let mut jwk = key.jwk("k1");
        for name in ["n", "e"] {
            jwk[name] = json!(spell(jwk[name].as_str().unwrap()));
        }
        jwk
    };
    let standard = |text: &str| text.replace('-', "+").replace('_', "/");
    let changed = |name: &str, value: Value| {
        let mut jwk = key.jwk("k1");
        jwk[name] = value;
        jwk
    };
    let good = || key.jwk("k1");
    for keys in [
        vec![spelled(&|text| format!("{text}=="))],
        vec![spelled(&standard)],
        vec![spelled(&|text| format!("{}=", standard(text)))],
        vec![other.jwk("k1"), good()],
        vec![good(), other.jwk("k1")],
        vec![changed("n", json!("!")), good()],
        vec![changed("n", Value::Null), good()],
        vec![changed("n", json!(b64([0xc5; 128]))), good()],
        vec![changed("e", json!("")), changed("n", json!(7)), good()],
        vec![
            json!(null),
            json!("key"),
            json!({}),
            json!({ "kid": "k1" }),
            good(),
        ],
    ] {
        let mut world = World::new(&key);
        world.page(KEYS, &json!({ "keys": keys }));
        let answer = world.redeem(&key.jws(&header("RS256"), &claims()));
        assert!(answer.is_ok(), "{keys:?}: {answer:?}");
        // without a kid there is to be one that can be used
        let nameless = key.jws(&json!({ "alg": "RS256" }), &claims());
        let usable = keys.iter().filter(|jwk| **jwk == other.jwk("k1")).count();
        assert_eq!(world.redeem(&nameless).is_ok(), usable == 0, "{keys:?}");
    }
    // where none is good, the first of those that are not is named
    let mut world = World::new(&key);
    let keys = [
        changed("n", json!(b64([0xc5; 128]))),
        changed("n", Value::Null),
    ];
    world.page(KEYS, &json!({ "keys": keys }));
    let shown = world.refusal(&key.jws(&header("RS256"), &claims()));
    assert!(
        shown.contains("the key `k1` of") && shown.contains("is RSA of 1024 bits"),
        "{shown}"
    );
}

#[test]
fn every_form_of_authority_has_its_issuer() {
    let key = rs256();
    let entra_at = |more: Value| entra(more);
    let ciam = format!("https://{TENANT}.ciamlogin.com/{TENANT}/v2.0");
    for (config, metadata, issuer, keys) in [
        (
            entra_at(json!({ "endpoint_version": "v1.0" })),
            format!("https://login.microsoftonline.com/{TENANT}/.well-known/openid-configuration"),
            format!("https://sts.windows.net/{TENANT}/"),
            "https://login.microsoftonline.com/common/discovery/keys",
        ),
        (
            entra_at(json!({ "tenant_id": "contoso.example" })),
            "https://login.microsoftonline.com/contoso.example/v2.0/.well-known/openid-configuration".to_owned(),
            ISSUER.to_owned(),
            "https://login.windows.net/common/discovery/v2.0/keys",
        ),
        (
            entra_at(json!({ "region": "westeurope" })),
            METADATA.to_owned(),
            ISSUER.to_owned(),
            KEYS,
        ),
        (
            entra_at(json!({ "authority_host": "https://contoso.ciamlogin.com", "tenant_id": "contoso.onmicrosoft.com" })),
            "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/v2.0/.well-known/openid-configuration".to_owned(),
            ciam,
            "https://contoso.ciamlogin.com/k",
        ),
        (
            entra_at(json!({ "authority_host": "https://contoso.b2clogin.com", "tenant_id": "contoso.onmicrosoft.com", "policy": "B2C_1_signin" })),
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin/v2.0/.well-known/openid-configuration".to_owned(),
            format!("https://contoso.b2clogin.com/{TENANT}/v2.0/"),
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_signin/discovery/v2.0/keys",
        ),
        (
            other_server(json!({ "token_endpoint": "https://contoso.b2clogin.com/contoso.onmicrosoft.com/oauth2/v2.0/token?p=b2c_1_signin" })),
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/v2.0/.well-known/openid-configuration?p=b2c_1_signin".to_owned(),
            format!("https://contoso.b2clogin.com/{TENANT}/v2.0/"),
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_signin/discovery/v2.0/keys",
        ),
        (
            other_server(json!({ "token_endpoint": "https://idp.example/tfp/contoso.onmicrosoft.com/B2C_1A_x/oauth2/v2.0/token" })),
            "https://idp.example/tfp/contoso.onmicrosoft.com/B2C_1A_x/v2.0/.well-known/openid-configuration".to_owned(),
            format!("https://idp.example/{TENANT}/v2.0/"),
            "https://idp.example/keys",
        ),
        (
            entra_at(json!({ "authority_host": "https://entra.example/dstsv2" })),
            format!("https://entra.example/dstsv2/{TENANT}/v2.0/.well-known/openid-configuration"),
            format!("https://entra.example/dstsv2/{TENANT}/"),
            "https://entra.example/keys",
        ),
        (
            other_server(json!({ "token_endpoint": "https://idp.example/adfs/oauth2/token" })),
            "https://idp.example/adfs/.well-known/openid-configuration".to_owned(),
            "https://idp.example/adfs".to_owned(),
            "https://idp.example/adfs/discovery/keys",
        ),
        (
            other_server(json!({ "token_endpoint": "https://idp.example/token", "issuer": "https://idp.example/a" })),
            "https://idp.example/a/.well-known/openid-configuration".to_owned(),
            "https://idp.example/a".to_owned(),
            "https://keys.example/k",
        ),
        (
            other_server(json!({ "issuer": "https://idp.example/a" })),
            "https://idp.example/.well-known/oauth-authorization-server/a".to_owned(),
            "https://idp.example/a".to_owned(),
            "https://idp.example/k",
        ),
    ] {
        let mut world = World::with(&key, config);
        world.pages.clear();
        world.page(&metadata, &json!({
            "issuer": issuer, "jwks_uri": keys, "token_endpoint": "https://idp.example/token",
        }));
        world.publish(keys, &[("k1", &key)]);
        let good = key.jws(&header("RS256"), &with("iss", json!(issuer)));
        let token = world.redeem(&good);
        let token = token.unwrap_or_else(|error| panic!("{metadata}: {error:?} {:?}", world.asked));
        assert!(token.id_token.is_some());
        assert!(world.asked.contains(&format!("GET {metadata}")));
        let shown = world.refusal(&key.jws(&header("RS256"), &with("iss", json!("https://evil.example"))));
        assert!(shown.contains("(iss), and not by"), "{shown}");
    }
}

/// Its keys are published to who names it: by the metadata of the application alone, where there are applications of that kind.
#[test]
fn an_application_may_have_a_signing_key_of_its_own() {
    const APP: &str = "66666666-7777-8888-9999-000000000000";
    let (of_tenant, own) = (rs256(), rs256());
    let b2c = json!({ "client_id": APP, "authority_host": "https://contoso.b2clogin.com",
        "tenant_id": "contoso.onmicrosoft.com", "policy": "B2C_1_signin" });
    for (config, metadata, issuer) in [
        (json!({ "client_id": APP }), format!("{METADATA}?appid={APP}"), ISSUER.to_owned()),
        (
            json!({ "client_id": APP, "endpoint_version": "v1.0" }),
            format!(
                "https://login.microsoftonline.com/{TENANT}/.well-known/openid-configuration?appid={APP}"
            ),
            format!("https://sts.windows.net/{TENANT}/"),
        ),
        (
            json!({ "client_id": APP, "authority_host": "https://contoso.ciamlogin.com" }),
            format!("https://contoso.ciamlogin.com/{TENANT}/v2.0/.well-known/openid-configuration?appid={APP}"),
            format!("https://contoso.ciamlogin.com/{TENANT}/v2.0"),
        ),
        (
            b2c,
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin/v2.0/.well-known/openid-configuration".to_owned(),
            format!("https://contoso.b2clogin.com/{TENANT}/v2.0/"),
        ),
        (
            json!({ "client_id": APP, "authority_host": "https://entra.example/dstsv2" }),
            format!("https://entra.example/dstsv2/{TENANT}/v2.0/.well-known/openid-configuration"),
            format!("https://entra.example/dstsv2/{TENANT}/"),
        ),
        // an application of Entra ID has a GUID
        (json!({ "client_id": "app-1" }), METADATA.to_owned(), ISSUER.to_owned()),
    ] {
        let client = config["client_id"].clone();
        let mut world = World::with(&of_tenant, entra(config));
        let (_, host) = metadata.split_once("https://").unwrap();
        let (host, _) = host.split_once('/').unwrap();
        let keys = format!("https://{host}/common/discovery/v2.0/keys?appid={APP}");
        world.page(&metadata, &json!({ "issuer": issuer, "jwks_uri": keys }));
        world.publish(&keys, &[("own", &own)]);
        let mut said = claims();
        said["aud"] = client;
        said["iss"] = json!(issuer);
        let id_token = own.jws(&json!({ "alg": "RS256", "kid": "own" }), &said);
        let token = world.redeem(&id_token);
        let token = token.unwrap_or_else(|error| panic!("{metadata}: {error:#} {:?}", world.asked));
        assert!(token.id_token.is_some());
        let asked = world.asked.iter().filter(|asked| asked.starts_with("GET"));
        let asked: Vec<&str> = asked.map(String::as_str).collect();
        assert_eq!(asked, [format!("GET {metadata}"), format!("GET {keys}")]);
        // another key is nobody's
        let id_token = of_tenant.jws(&json!({ "alg": "RS256", "kid": "own" }), &said);
        assert!(world.redeem(&id_token).is_err(), "{metadata}");
    }
}

/// A server without tenants.
fn other_server(more: Value) -> Config {
    config(
        json!({ "client_id": "app-1", "credential": { "client_secret": { "value": SECRET } } }),
        more,
    )
}

#[test]
fn an_issuer_for_many_tenants_is_that_of_those_that_the_identity_is_for() {
    let key = rs256();
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let others = |others: Value| entra(json!({ "additionally_allowed_tenants": others }));
    for (config, tid, is_taken) in [
        (others(json!([])), TENANT, true),
        (others(json!([])), OTHER_TENANT, false),
        (others(json!([OTHER_TENANT])), OTHER_TENANT, true),
        (others(json!(["*"])), OTHER_TENANT, true),
        (others(json!(["*"])), "evil.example", false),
    ] {
        let mut world = World::with(&key, config);
        world.page(METADATA, &json!({ "issuer": template, "jwks_uri": KEYS }));
        let mut claims = with("tid", json!(tid));
        claims["iss"] = json!(template.replace("{tenantid}", tid));
        let answer = world.redeem(&key.jws(&header("RS256"), &claims));
        assert_eq!(answer.is_ok(), is_taken, "{tid}: {answer:?}");
        claims["iss"] =
            json!(template.replace("{tenantid}", "22222222-2222-3333-4444-555555555555"));
        assert!(world.redeem(&key.jws(&header("RS256"), &claims)).is_err());
        claims["iss"] = json!(template);
        assert!(world.redeem(&key.jws(&header("RS256"), &claims)).is_err());
    }
}

/// Nothing is sent where it would end in an ID token that nobody can validate.
#[test]
fn a_server_of_no_known_issuer_gives_no_id_tokens() {
    let key = rs256();
    let known = json!({ "token_endpoint": "https://idp.example/token" });
    let mut world = World::with(&key, other_server(known));
    let error = world.redeem("whatever").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Configuration);
    assert!(
        format!("{error:#}").contains("set issuer of the identity"),
        "{error:#}"
    );
    assert!(world.asked.is_empty());
    let id_token = key.jws(&header("RS256"), &claims());
    let token = world
        .get(Some(&id_token), Grant::RefreshToken("r".into()))
        .unwrap();
    assert_eq!(token.id_token, None);
    assert_eq!(world.asked, ["POST https://idp.example/token"]);
    let elsewhere =
        json!({ "token_endpoint": "https://idp.example/token", "issuer": "https://evil.example" });
    let mut world = World::with(&key, other_server(elsewhere));
    let error = world.redeem("whatever").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the host of the issuer https://evil.example is not trusted"),
        "{error}"
    );
    assert!(world.asked.is_empty());
}

/// A request may name any of many tenants; what is kept of them is bounded.
#[test]
fn metadata_of_many_tenants_are_bounded() {
    let key = rs256();
    let mut world = World::with(
        &key,
        entra(json!({ "additionally_allowed_tenants": ["*"] })),
    );
    let io = Io::new([1; 32]);
    for n in 0..200 {
        let key = format!("keys {n}");
        io.bound_shelves("keys", &key, 3);
        io.shelf(&key, |_| ());
    }
    let kept = (0..200)
        .filter(|n| io.has_shelf(&format!("keys {n}")))
        .count();
    assert_eq!(kept, 3);
    assert!(world.redeem(&key.jws(&header("RS256"), &claims())).is_ok());
}

#[test]
fn what_is_asked_for_id_tokens_is_a_need_of_its_own() {
    let needs = entra(json!({ "additionally_allowed_tenants": ["*"] })).needs();
    let purposes = |purpose| {
        needs
            .id_tokens
            .iter()
            .filter(move |c| c.permission.purpose == purpose)
    };
    assert!(purposes(Purpose::Metadata).any(|c| c.permission.permits(
        "https",
        "login.microsoftonline.com",
        "/contoso.example/v2.0/.well-known/openid-configuration"
    )));
    assert!(!purposes(Purpose::Metadata).any(|c| c.permission.permits(
        "https",
        "login.microsoftonline.com",
        "/contoso.example/v2.0/keys"
    )));
    assert!(purposes(Purpose::KeySet).all(|c| c.permission.purpose.method() == "GET"));
    assert!(
        !needs
            .id_tokens
            .iter()
            .any(|c| c.permission.is_of("evil.example"))
    );
    assert!(
        !needs
            .connections
            .iter()
            .any(|c| c.permission.purpose == Purpose::KeySet)
    );
    let nobody = other_server(json!({ "token_endpoint": "https://idp.example/token" })).needs();
    assert!(nobody.id_tokens.is_empty());
}

/// Has the server write that text, and gives its ID token.
type Repeat = fn(&mut World, &Key, &str) -> String;

/// Where a server may write what it was sent, or has just issued: into its metadata, its keys and its ID token.
const REPEATERS: [(&str, Repeat); 13] = [
    ("iss", |_, key, said| signed(key, "iss", said)),
    ("aud", |_, key, said| signed(key, "aud", said)),
    ("azp", |_, key, said| signed(key, "azp", said)),
    ("nonce", |_, key, said| signed(key, "nonce", said)),
    ("alg", |_, key, said| key.jws(&header(said), &claims())),
    ("typ", |_, key, said| {
        let header = json!({ "alg": "ES256", "kid": "k1", "typ": format!("{said}+jwt") });
        key.jws(&header, &claims())
    }),
    ("kid", |_, key, said| {
        key.jws(&json!({ "alg": "ES256", "kid": said }), &claims())
    }),
    ("issuer", |world, key, said| {
        world.page(METADATA, &json!({ "issuer": said, "jwks_uri": KEYS }));
        good(key)
    }),
    ("host of jwks_uri", |world, key, said| {
        let uri = format!("https://{said}/keys");
        world.page(METADATA, &json!({ "issuer": ISSUER, "jwks_uri": uri }));
        good(key)
    }),
    ("path of jwks_uri", |world, key, said| {
        let uri = format!("https://login.microsoftonline.com/{said}");
        world.page(METADATA, &json!({ "issuer": ISSUER, "jwks_uri": uri }));
        good(key)
    }),
    ("another endpoint", |world, key, said| {
        let page = json!({ "issuer": ISSUER, "jwks_uri": KEYS, "authorization_endpoint": said });
        world.page(METADATA, &page);
        good(key)
    }),
    ("refusal", |world, key, said| {
        let page = json!({ "error": said, "message": said }).to_string();
        world.pages.insert(METADATA.to_owned(), (400, page));
        good(key)
    }),
    ("keys", |world, key, said| {
        let mut jwk = key.jwk("k1");
        jwk["x5t"] = json!(said);
        world.page(KEYS, &json!({ "keys": [jwk] }));
        good(key)
    }),
];

fn signed(key: &Key, claim: &str, said: &str) -> String {
    key.jws(&header("ES256"), &with(claim, json!(said)))
}

fn good(key: &Key) -> String {
    key.jws(&header("ES256"), &claims())
}

/// Each secret of a login, in each spelling, in each of those places: whoever logs in then is not shown it, and whoever comes
/// next has nothing of it either.
#[test]
fn what_a_server_repeats_of_a_login_is_neither_shown_nor_kept() {
    const CODE: &str = "0.AXoA-the_code~of.a+login/1";
    const VERIFIER: &str = "the-verifier-0123456789012345678901234567890";
    let redeeming = || Grant::AuthorizationCode {
        code: CODE.into(),
        redirect_uri: "https://app.example/callback".to_owned(),
        code_verifier: Some(VERIFIER.into()),
        nonce: Some(NONCE.into()),
    };
    let key = Key::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let mut kept_nothing = 0;
    for secret in [SECRET, CODE, VERIFIER, "the-access-token"] {
        for (spelt, spelling) in crate::text::spellings::spellings_of(secret) {
            for (place, repeat) in REPEATERS {
                // at an end of what is shown of it, the text may have been cut
                for before in [0, 390] {
                    let said = format!("{}{spelling}", "~ ".repeat(before / 2));
                    let mut world = World::new(&key);
                    let id_token = repeat(&mut world, &key, &said);
                    let case = format!("{place}, {spelt} of {secret}");
                    let answer = world.get(Some(&id_token), redeeming());
                    if secret == "the-access-token" && place == "keys" {
                        // they were had before there was one
                        continue;
                    }
                    let Err(error) = answer else {
                        // of what is not used nothing is shown; of the rest there is none that is good
                        panic!("{case}: taken");
                    };
                    if secret == "the-access-token" && !world.has_redeemed() {
                        // what is wrong was found before there was one
                        continue;
                    }
                    let shown = format!("{error:#} {:?} {:?}", error.detail(), world.engine);
                    assert_holds_none(&shown, secret, &spelling, &case);
                    // what the server says to others is in order; what it said before must not be there any more
                    world.pages = World::new(&key).pages;
                    let next = world.redeem(&signed(&key, "iss", "https://another.example"));
                    let next = next.unwrap_err();
                    let shown = format!("{next:#} {:?}", next.detail());
                    assert_holds_none(&shown, secret, &spelling, &case);
                    kept_nothing += usize::from(world.asked.contains(&format!("GET {METADATA}")));
                }
            }
        }
    }
    assert!(kept_nothing > 100, "{kept_nothing}");
}

/// Neither all of it nor its first half.
fn assert_holds_none(shown: &str, secret: &str, spelling: &str, case: &str) {
    let halves = [secret, spelling].map(|text| {
        let (half, _) = text.split_at(text.floor_char_boundary(text.len() / 2));
        half.to_owned()
    });
    for half in halves {
        assert!(!shown.contains(&half), "{case}: {half}: {shown}");
    }
}

/// A key that is broken is no reason to leave the others of its name alone.
#[test]
fn one_good_key_of_a_name_is_enough() {
    let key = Key::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let other = Key::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let mut broken = key.jwk("k1");
    broken["x"] = json!("AAAA");
    let (good_one, other) = (key.jwk("k1"), other.jwk("k1"));
    for (keys, is_good, said) in [
        (json!([good_one, broken]), true, ""),
        (json!([broken, good_one]), true, ""),
        (
            json!([broken, broken, broken, broken, broken, other, good_one]),
            true,
            "",
        ),
        (
            json!([broken, other]),
            false,
            "a signature that its key did not make",
        ),
        (json!([broken, broken]), false, "has 3 bytes of x"),
    ] {
        let mut world = World::new(&key);
        world.page(KEYS, &json!({ "keys": keys }));
        match world.redeem(&good(&key)) {
            Ok(_) => assert!(is_good, "{keys}"),
            Err(error) => assert!(!is_good && error.to_string().contains(said), "{error}"),
        }
    }
}
