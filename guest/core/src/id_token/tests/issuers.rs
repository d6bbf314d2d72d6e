//! Who may have issued it, and where that is asked.

use super::*;

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
