//! By which of the server's keys.

use super::*;

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
