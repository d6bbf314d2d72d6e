//! What a server repeats of a login.

use super::*;

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
