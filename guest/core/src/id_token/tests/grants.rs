//! Which answers have one, and what becomes of the rest of an answer whose ID token is not valid.

use super::*;

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
