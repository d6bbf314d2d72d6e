//! What is in a request, at every form of authority, and what of a callback is believed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::{
    Completed, Config, Effect, Engine, Environment, Grant, HttpResponse, Now, Outcome, Reply,
    SecretBytes, TokenRequest,
};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

fn engine(app: Value) -> Engine {
    let mut identity = json!({
        "client_id": "app-1", "credential": { "client_secret": { "value": "hunter2" } },
    });
    if let (Some(identity), Value::Object(app)) = (identity.as_object_mut(), app) {
        identity.extend(app);
    }
    let json = json!({ "authority_hosts": ["idp.example"], "identities": { "app": identity } });
    let config = Config::load(Some(&json.to_string()), &Environment::default()).unwrap();
    Engine::new(config, [5; 32])
}

/// The request, and what the server was asked before.
fn request(
    engine: &mut Engine,
    options: AuthorizationOptions,
    metadata: &Value,
) -> (Result<AuthorizationRequest, Error>, Vec<String>) {
    let now = Now {
        unix_ms: 1_793_491_200_000,
        mono_ms: 1,
    };
    let mut asked = Vec::new();
    let ticket = match engine.request_authorization(now, None, options) {
        Ok(ticket) => ticket,
        Err(error) => return (Err(error), asked),
    };
    while let Some((id, effect)) = engine.next_effect() {
        let Effect::Http { request, .. } = effect else {
            panic!("{effect:?}")
        };
        asked.push(request.url());
        let response = HttpResponse {
            status: 200,
            headers: Vec::new(),
            body: SecretBytes::new(metadata.to_string()),
        };
        engine.complete(id, Outcome::Http(Ok(response)), now);
    }
    match engine.take(ticket) {
        Some(Completed::Authorization(answer)) => (answer, asked),
        other => panic!("{other:?}"),
    }
}

fn built(app: Value, options: AuthorizationOptions) -> AuthorizationRequest {
    request(&mut engine(app), options, &Value::Null).0.unwrap()
}

fn usual() -> AuthorizationOptions {
    AuthorizationOptions {
        redirect_uri: "https://app.example/callback".to_owned(),
        scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
        ..AuthorizationOptions::default()
    }
}

fn parameters(request: &AuthorizationRequest) -> BTreeMap<String, String> {
    let (_, query) = request.url.split_once('?').unwrap();
    let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
    let pairs: Vec<_> = pairs.collect();
    let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(map.len(), pairs.len(), "twice: {pairs:?}");
    map
}

#[test]
fn a_request_has_state_nonce_and_pkce() {
    let login = built(json!({ "tenant_id": TENANT }), usual());
    let query = parameters(&login);
    let get = |name: &str| query.get(name).map(String::as_str);
    assert_eq!(get("response_type"), Some("code"));
    assert_eq!(get("client_id"), Some("app-1"));
    assert_eq!(get("redirect_uri"), Some("https://app.example/callback"));
    assert_eq!(get("scope"), Some("openid offline_access"));
    assert_eq!(get("state"), Some(login.state.expose()));
    assert_eq!(get("nonce"), login.nonce.as_ref().map(Secret::expose));
    assert_eq!(get("code_challenge_method"), Some("S256"));
    let challenge = Sha256::digest(login.code_verifier.expose());
    assert_eq!(
        get("code_challenge"),
        Some(URL_SAFE_NO_PAD.encode(challenge).as_str())
    );
    let secrets = [
        &login.state,
        login.nonce.as_ref().unwrap(),
        &login.code_verifier,
    ];
    let shown = format!("{login:?}");
    for (n, secret) in secrets.iter().enumerate() {
        // RFC 7636 section 4.1, for the verifier
        assert_eq!(secret.expose().len(), 43);
        assert!(secrets.iter().skip(n + 1).all(|other| other != secret));
        assert!(!shown.contains(secret.expose()), "{shown}");
    }
    assert!(!login.url.contains(login.code_verifier.expose()));
    // of one engine, no two
    let mut engine = engine(json!({ "tenant_id": TENANT }));
    let mut again = || request(&mut engine, usual(), &Value::Null).0.unwrap();
    let (one, other) = (again(), again());
    assert!(one.state != other.state && one.nonce != other.nonce);
    assert!(one.code_verifier != other.code_verifier);
}

#[test]
fn every_form_of_authority_has_its_endpoint() {
    let metadata = json!({
        "issuer": "https://idp.example/a", "authorization_endpoint": "https://idp.example/login?x=1",
        "authorization_response_iss_parameter_supported": true, "token_endpoint": "https://idp.example/token",
    });
    for (app, endpoint) in [
        (json!({ "tenant_id": TENANT }), format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize?client_id=")),
        (json!({ "tenant_id": TENANT, "region": "westeurope" }), format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize?client_id=")),
        (json!({ "tenant_id": TENANT, "endpoint_version": "v1.0" }), format!("https://login.microsoftonline.com/{TENANT}/oauth2/authorize?client_id=")),
        (
            json!({ "authority_host": "https://contoso.b2clogin.com", "tenant_id": "contoso.onmicrosoft.com", "policy": "B2C_1_a" }),
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_a/oauth2/v2.0/authorize?client_id=".to_owned(),
        ),
        (
            json!({ "token_endpoint": "https://contoso.b2clogin.com/contoso.onmicrosoft.com/oauth2/v2.0/token?p=b2c_1_a" }),
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/oauth2/v2.0/authorize?p=b2c_1_a&client_id=".to_owned(),
        ),
        (
            json!({ "token_endpoint": "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_a/oauth2/v2.0/token" }),
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_a/oauth2/v2.0/authorize?client_id=".to_owned(),
        ),
        (
            json!({ "authority_host": "https://contoso.ciamlogin.com" }),
            "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/oauth2/v2.0/authorize?client_id=".to_owned(),
        ),
        (
            json!({ "token_endpoint": "https://idp.example/adfs/oauth2/token" }),
            "https://idp.example/adfs/oauth2/authorize?client_id=".to_owned(),
        ),
        (json!({ "issuer": "https://idp.example/a" }), "https://idp.example/login?x=1&client_id=".to_owned()),
        (
            json!({ "issuer": "https://idp.example/a", "token_endpoint": "https://idp.example/t" }),
            "https://idp.example/login?x=1&client_id=".to_owned(),
        ),
    ] {
        let mut engine = engine(app.clone());
        let (login, asked) = request(&mut engine, usual(), &metadata);
        let login = login.unwrap();
        assert!(login.url.starts_with(&endpoint), "{app}: {}", login.url);
        let is_found = app.get("issuer").is_some();
        assert_eq!((asked.len(), login.names_issuer), (usize::from(is_found), is_found), "{asked:?}");
        assert_eq!(login.issuer.as_deref(), is_found.then_some("https://idp.example/a"));
        // what was found is kept
        assert!(request(&mut engine, usual(), &Value::Null).1.is_empty());
    }
    for (app, metadata, said) in [
        (
            json!({ "token_endpoint": "https://idp.example/t" }),
            Value::Null,
            "set issuer of the identity",
        ),
        (
            json!({ "token_endpoint": "https://idp.example/t/oauth2/v2.0/token?q=b2c_1_a" }),
            Value::Null,
            "set issuer of the identity",
        ),
        (
            json!({ "token_endpoint": "https://idp.example/t/oauth2/v2.0/token" }),
            Value::Null,
            "set issuer of the identity",
        ),
        (
            json!({ "issuer": "https://idp.example/a" }),
            json!({ "issuer": "https://idp.example/a" }),
            "names no authorization_endpoint",
        ),
        (
            json!({ "issuer": "https://idp.example/a" }),
            json!({ "issuer": "https://idp.example/a", "authorization_endpoint": "https://evil.example/" }),
            "its authorization_endpoint is at `evil.example`",
        ),
        (
            json!({ "issuer": "https://idp.example/a" }),
            json!({ "issuer": "https://idp.example/b", "authorization_endpoint": "https://idp.example/" }),
            "is that of another issuer",
        ),
    ] {
        let error = request(&mut engine(app), usual(), &metadata).0.unwrap_err();
        assert!(format!("{error:#}").contains(said), "{error:#}");
    }
}

/// RFC 6749 section 3.1: whatever an endpoint has in its query, no parameter is there twice, and a query is kept.
#[test]
fn no_query_of_an_endpoint_gives_a_parameter_twice() {
    use ErrorClass::{InvalidRequest, InvalidResponse};
    let discovered =
        json!({ "issuer": "https://idp.example", "additional_parameters": { "audience": "x" } });
    let refused = |app: &Value, endpoint: &str| {
        let metadata =
            json!({ "issuer": "https://idp.example", "authorization_endpoint": endpoint });
        let mut options = usual();
        options
            .parameters
            .push(("ui_locales".to_owned(), "de".to_owned()));
        let login = request(&mut engine(app.clone()), options, &metadata).0;
        login.map(|login| assert!(login.url.starts_with(&format!("{endpoint}&client_id="))))
    };
    for (query, class, said) in [
        (
            "state=evil",
            InvalidResponse,
            "issuer https://idp.example: its authorization_endpoint has `state` in its query",
        ),
        (
            "x=1&redirect_uri=https://evil.example",
            InvalidResponse,
            "has `redirect_uri` in its query",
        ),
        ("client_id", InvalidResponse, "has `client_id` in its query"),
        ("st%61te=x", InvalidResponse, "has `state` in its query"),
        (
            "Code_Challenge=x",
            InvalidResponse,
            "has `code_challenge` in its query",
        ),
        (
            "response_type=token&code_challenge_method=plain",
            InvalidResponse,
            "has `response_type` in its query",
        ),
        ("nonce=x", InvalidResponse, "has `nonce` in its query"),
        ("scope=x", InvalidResponse, "has `scope` in its query"),
        ("audience=y", InvalidResponse, "has `audience` in its query"),
        (
            "ui_locales=en",
            InvalidRequest,
            "parameter ui_locales is in the query of the authorization endpoint already",
        ),
        (
            "x=1#state=y",
            InvalidResponse,
            "its authorization_endpoint has a fragment, which is no part of a request",
        ),
        (
            "#",
            InvalidResponse,
            "its authorization_endpoint has a fragment",
        ),
    ] {
        let error =
            refused(&discovered, &format!("https://idp.example/login?{query}")).unwrap_err();
        assert_eq!(error.class(), class, "{query}: {error:#}");
        assert!(
            error.to_string().contains(said) && error.detail().hint.is_some(),
            "{query}: {error:#}"
        );
        assert!(!error.to_string().contains("evil"), "{error:#}");
    }
    for query in [
        "p=b2c_1_a",
        "prompt=login",
        "states=1",
        "x=state",
        "a=1&a=2",
    ] {
        refused(&discovered, &format!("https://idp.example/login?{query}")).unwrap();
    }
    // of the identity's own and of the request's
    let mut options = usual();
    options
        .parameters
        .push(("audience".to_owned(), "z".to_owned()));
    let metadata = json!({ "issuer": "https://idp.example", "authorization_endpoint": "https://idp.example/login" });
    let error = request(&mut engine(discovered), options, &metadata)
        .0
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("parameter audience is there twice"),
        "{error:#}"
    );
}

#[test]
fn options_go_where_they_belong() {
    let app = json!({
        "issuer": "https://idp.example", "scopes": ["a", "b"], "resources": ["https://api.example"],
        "additional_parameters": { "audience": "x", "fmi_path": "p" },
    });
    let metadata = json!({
        "issuer": "https://idp.example", "authorization_endpoint": "https://idp.example/login",
    });
    let options = AuthorizationOptions {
        redirect_uri: "com.example.app:/back".to_owned(),
        scopes: Vec::new(),
        tenant: None,
        response_mode: Some("form_post".to_owned()),
        prompt: Some("select_account".to_owned()),
        login_hint: Some("alice@contoso.example".to_owned()),
        domain_hint: Some("contoso.example".to_owned()),
        claims: Some(r#"{"id_token":{"auth_time":null}}"#.to_owned()),
        parameters: vec![("ui_locales".to_owned(), "de & en".to_owned())],
    };
    let login = request(&mut engine(app), options, &metadata).0.unwrap();
    let query = parameters(&login);
    for (name, value) in [
        ("response_mode", "form_post"),
        ("prompt", "select_account"),
        ("login_hint", "alice@contoso.example"),
        ("domain_hint", "contoso.example"),
        ("claims", r#"{"id_token":{"auth_time":null}}"#),
        ("ui_locales", "de & en"),
        ("scope", "a b"),
        ("resource", "https://api.example"),
        ("audience", "x"),
        ("redirect_uri", "com.example.app:/back"),
    ] {
        assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
    }
    // of the token request alone
    assert!(!query.contains_key("fmi_path"));
    // without openid there is no ID token that could have it
    assert!(login.nonce.is_none() && !query.contains_key("nonce"));
    // v1 is told the resource by itself
    let v1 = json!({ "tenant_id": TENANT, "endpoint_version": "v1.0" });
    let mut of_v1 = usual();
    of_v1
        .scopes
        .push("https://graph.microsoft.com/.default".to_owned());
    let query = parameters(&built(v1, of_v1));
    assert_eq!(query["resource"], "https://graph.microsoft.com");
    assert_eq!(query["scope"], "openid offline_access");
    // nothing is asked for but who it is
    let mut nothing = usual();
    nothing.scopes.clear();
    assert_eq!(
        parameters(&built(json!({ "tenant_id": TENANT }), nothing))["scope"],
        "openid"
    );
}

#[test]
fn options_are_built_as_they_are_written() {
    let built = AuthorizationOptions::for_redirect("com.example.app:/back")
        .with_scopes(["openid", "a"])
        .with_tenant("t")
        .with_response_mode("form_post")
        .with_prompt("login")
        .with_login_hint("alice")
        .with_domain_hint("contoso.example")
        .with_claims("{}")
        .with_parameter("ui_locales", "de");
    let written = AuthorizationOptions {
        redirect_uri: "com.example.app:/back".to_owned(),
        scopes: vec!["openid".to_owned(), "a".to_owned()],
        tenant: Some("t".to_owned()),
        response_mode: Some("form_post".to_owned()),
        prompt: Some("login".to_owned()),
        login_hint: Some("alice".to_owned()),
        domain_hint: Some("contoso.example".to_owned()),
        claims: Some("{}".to_owned()),
        parameters: vec![("ui_locales".to_owned(), "de".to_owned())],
    };
    assert_eq!(built, written);
}

/// The same scopes in both halves: what the first one sends a user for, the second one redeems, and a refresh renews.
#[test]
fn what_a_user_was_sent_for_is_redeemed() {
    const GRAPH: &str = "https://graph.microsoft.com";
    let default = format!("{GRAPH}/.default");
    for (version, scopes, first, second) in [
        (
            "v2.0",
            vec!["openid", "offline_access"],
            "",
            "scope=openid+offline_access",
        ),
        (
            "v2.0",
            vec!["openid", &default],
            "",
            "scope=openid+https%3A%2F%2Fgraph.microsoft.com%2F.default",
        ),
        ("v1.0", vec!["openid", "offline_access"], "", ""),
        (
            "v1.0",
            vec!["openid", "phone", "offline_access", &default],
            GRAPH,
            "resource=https%3A%2F%2Fgraph.microsoft.com",
        ),
        (
            "v1.0",
            vec![&default],
            GRAPH,
            "resource=https%3A%2F%2Fgraph.microsoft.com",
        ),
    ] {
        let app = json!({ "tenant_id": TENANT, "endpoint_version": version });
        let mut engine = engine(app);
        let options = AuthorizationOptions {
            scopes: scopes.iter().map(ToString::to_string).collect(),
            ..usual()
        };
        let login = request(&mut engine, options, &Value::Null).0.unwrap();
        let resource = parameters(&login).remove("resource").unwrap_or_default();
        assert_eq!(resource, first, "{version} {scopes:?}");
        let code = Grant::authorization_code("c", "https://app.example/callback")
            .with_code_verifier(login.code_verifier);
        for grant in [code.into(), Grant::RefreshToken("r".into())] {
            let asked = TokenRequest::for_scopes(scopes.clone()).with_grant(grant);
            let reply = engine.request(Now::default(), &asked);
            assert!(
                matches!(reply, Reply::Pending(_)),
                "{version} {scopes:?}: {reply:?}"
            );
            let request = loop {
                let Some((id, Effect::Http { request, .. })) = engine.next_effect() else {
                    panic!("{version} {scopes:?}")
                };
                if request.method == "POST" {
                    break request;
                }
                // by what an ID token is judged is at hand before the code is spent
                let page = match request.path.ends_with("openid-configuration") {
                    true => json!({
                        "issuer": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
                        "jwks_uri": "https://login.microsoftonline.com/keys",
                    }),
                    false => json!({ "keys": [{
                        "kty": "RSA", "kid": "k", "e": "AQAB", "n": format!("{}w", "_".repeat(341)),
                    }] }),
                };
                let response = HttpResponse {
                    status: 200,
                    headers: Vec::new(),
                    body: SecretBytes::new(page.to_string()),
                };
                engine.complete(id, Outcome::Http(Ok(response)), Now::default());
            };
            let form = String::from_utf8_lossy(request.body.expose()).into_owned();
            let sent: Vec<&str> = form
                .split('&')
                .filter(|field| field.starts_with("scope=") || field.starts_with("resource="))
                .collect();
            assert_eq!(sent.join("&"), second, "{version} {scopes:?}");
        }
    }
}

#[test]
fn what_no_server_takes_is_refused_before_anything_is_asked() {
    type Edit = fn(&mut AuthorizationOptions);
    let cases: [(Edit, &str); 22] = [
        (
            |o| o.redirect_uri.clear(),
            "redirect_uri is no absolute URI",
        ),
        (
            |o| o.redirect_uri = "/callback".into(),
            "redirect_uri is no absolute URI",
        ),
        (
            |o| o.redirect_uri = "1a:b".into(),
            "redirect_uri is no absolute URI",
        ),
        (
            |o| o.redirect_uri = "https://app.example/{id}".into(),
            "redirect_uri is no absolute URI",
        ),
        (
            |o| o.redirect_uri = "https://app.example/#x".into(),
            "redirect_uri is no absolute URI",
        ),
        (
            |o| o.redirect_uri = "https://app.example/a b".into(),
            "redirect_uri is no absolute URI",
        ),
        (
            |o| o.redirect_uri = format!("https://app.example/{}", "x".repeat(2048)),
            "redirect_uri is empty, longer than",
        ),
        (
            |o| o.response_mode = Some("fragment".into()),
            "response_mode is neither query nor form_post",
        ),
        (|o| o.prompt = Some(String::new()), "prompt is empty"),
        (
            |o| o.prompt = Some("sometimes".into()),
            "prompt is not what",
        ),
        (|o| o.prompt = Some("Login".into()), "prompt is not what"),
        (
            |o| o.prompt = Some("login none".into()),
            "prompt is not what",
        ),
        (
            |o| o.prompt = Some("login  consent".into()),
            "prompt is not what",
        ),
        (
            |o| o.login_hint = Some("a\nb".into()),
            "login_hint is empty, longer than",
        ),
        (|o| o.scopes = vec!["a b".into()], "scope "),
        (|o| o.claims = Some("{".into()), "claims"),
        (
            |o| o.tenant = Some("other.example".into()),
            "may not ask for tokens of tenant",
        ),
        (
            |o| o.parameters = vec![("state".into(), "x".into())],
            "parameter state is written by edgepass",
        ),
        (
            |o| o.parameters = vec![("State".into(), "x".into())],
            "parameter State is written by edgepass",
        ),
        (
            |o| o.parameters = vec![("a".into(), "x".into()), ("a".into(), "y".into())],
            "parameter a is there twice",
        ),
        (
            |o| o.parameters = vec![(" ".into(), "x".into())],
            "a name that no parameter may have",
        ),
        (
            |o| o.parameters = vec![("a".into(), "x".into()); 17],
            "there are 17 parameters",
        ),
    ];
    for (edit, said) in cases {
        let mut options = usual();
        edit(&mut options);
        let mut engine = engine(json!({ "tenant_id": TENANT }));
        let (answer, asked) = request(&mut engine, options, &Value::Null);
        let error = answer.unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidRequest, "{error}");
        assert!(
            error.to_string().contains(said) && error.detail().hint.is_some(),
            "{error:#}"
        );
        assert!(asked.is_empty());
    }
}

fn session(issuer: Option<&str>, names_issuer: bool) -> AuthorizationRequest {
    AuthorizationRequest {
        url: String::new(),
        state: "the-state".into(),
        nonce: None,
        code_verifier: "the-verifier-of-the-session".into(),
        issuer: issuer.map(str::to_owned),
        names_issuer,
    }
}

#[test]
fn a_callback_counts_only_as_the_answer_to_its_request() {
    let issuer = Some("https://idp.example/a");
    let plain = session(None, false);
    let named = session(issuer, true);
    let known = session(issuer, false);
    for (session, query, code) in [
        (&plain, "code=the%2Bcode&state=the-state", "the+code"),
        (
            &plain,
            "?code=c&state=the-state&session_state=x&iss=https%3A%2F%2Fwhoever",
            "c",
        ),
        (&known, "state=the-state&code=c", "c"),
        (
            &named,
            "state=the-state&code=c&iss=https://idp.example/a",
            "c",
        ),
    ] {
        assert_eq!(session.code(query).unwrap(), Secret::new(code), "{query}");
    }
    let long = format!("code={}", "x".repeat(MAX_CALLBACK_BYTES));
    for (session, query, said) in [
        (&plain, "", "has no state"),
        (&plain, "code=c", "has no state"),
        (&plain, "code=c&state=", "has no state"),
        (
            &plain,
            "code=c&state=the-statf",
            "has the state of another request",
        ),
        (
            &plain,
            "code=c&state=the-state1",
            "has the state of another request",
        ),
        (
            &plain,
            "code=c&state=the-state&state=the-state",
            "has state more than once",
        ),
        (
            &plain,
            "code=c&code=d&state=the-state",
            "has code more than once",
        ),
        (&plain, "state=the-state", "has neither code nor error"),
        (
            &plain,
            "error=a&error=b&state=the-state",
            "has error more than once",
        ),
        (&plain, &long, "has more than"),
        (
            &known,
            "code=c&state=the-state&iss=https://evil.example",
            "is of `https://evil.example` (iss), and not of `https://idp.example/a`",
        ),
        (&named, "code=c&state=the-state", "has no iss"),
        (&named, "code=c&state=the-state&iss=", "has no iss"),
        // whoever sends an error has to know the state as well
        (&plain, "error=access_denied", "has no state"),
        (&named, "error=access_denied&state=the-state", "has no iss"),
    ] {
        let error = session.code(query).unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidRequest, "{query}");
        assert!(error.to_string().contains(said), "{query}: {error}");
        let shown = format!("{error:#}");
        assert!(
            !shown.contains("the-state") && !shown.contains("the-verifier"),
            "{shown}"
        );
    }
}

#[test]
fn what_the_server_says_in_place_of_a_code_is_classified() {
    for (error, description, class, retryable) in [
        ("access_denied", "", ErrorClass::Refused, false),
        (
            "access_denied",
            "AADSTS50076: another factor",
            ErrorClass::InteractionRequired,
            false,
        ),
        ("login_required", "", ErrorClass::InteractionRequired, false),
        (
            "interaction_required",
            "",
            ErrorClass::InteractionRequired,
            false,
        ),
        (
            "account_selection_required",
            "",
            ErrorClass::InteractionRequired,
            false,
        ),
        ("invalid_scope", "x", ErrorClass::Refused, false),
        ("unauthorized_client", "", ErrorClass::Refused, false),
        ("server_error", "", ErrorClass::Server, true),
        ("temporarily_unavailable", "", ErrorClass::Server, true),
    ] {
        let description: String = form_urlencoded::byte_serialize(description.as_bytes()).collect();
        let query = format!("error={error}&error_description={description}&state=the-state");
        let refused = session(None, false).code(&query).unwrap_err();
        assert_eq!(
            (refused.class(), refused.detail().retryable),
            (class, retryable),
            "{error}"
        );
        assert_eq!(refused.detail().oauth_error.as_deref(), Some(error));
        assert!(refused.to_string().contains(error));
    }
    let query = "error=x&error_description=the-state%20the-verifier-of-the-session%0A%1b[2J&state=the-state";
    let refused = session(None, false).code(query).unwrap_err().to_string();
    assert!(
        !refused.contains("the-state") && !refused.contains("the-verifier"),
        "{refused}"
    );
    assert!(!refused.contains(['\n', '\u{1b}']));
}

/// Each secret of a login, in each spelling, in each parameter of a callback that may come out of it.
#[test]
fn nothing_that_a_callback_repeats_is_shown() {
    const CODE: &str = "0.AXoA-the_code~of.a+login/1";
    let session = AuthorizationRequest {
        state: "St4te+of/the=login~Zq8Tn5".into(),
        nonce: Some("n0nce-of-the_login~Lw7Kd2".into()),
        ..session(Some("https://idp.example/a"), false)
    };
    let secrets = [
        session.state.expose(),
        session.nonce.as_ref().unwrap().expose(),
        session.code_verifier.expose(),
        CODE,
    ];
    for secret in secrets {
        for (name, spelling) in crate::text::spellings::spellings_of(secret) {
            for before in [0, 390] {
                let said = format!("{}{spelling}", "~ ".repeat(before / 2));
                for [error, description, uri, iss] in [
                    [&*said, "", "", "https://idp.example/a"],
                    ["access_denied", &said, &said, "https://idp.example/a"],
                    ["server_error", "x", "x", &said],
                ] {
                    let query = form_urlencoded::Serializer::new(String::new())
                        .append_pair("state", session.state.expose())
                        .append_pair("code", CODE)
                        .append_pair("error", error)
                        .append_pair("error_description", description)
                        .append_pair("error_uri", uri)
                        .append_pair("iss", iss)
                        .finish();
                    let error = session.code(&query).unwrap_err();
                    let shown = format!("{error:#} {:?}", error.detail());
                    for text in [secret, &spelling] {
                        let (half, _) = text.split_at(text.floor_char_boundary(text.len() / 2));
                        assert!(!shown.contains(half), "{name}: {half}: {shown}");
                    }
                }
            }
        }
    }
}

/// Numbers of Entra ID are looked up where the login was at Entra ID.
#[test]
fn another_server_has_no_numbers_of_entra() {
    let query = "error=access_denied&error_description=AADSTS50076%3A%20another&state=the-state";
    let adfs = AuthorizationRequest {
        url: "https://adfs.example/adfs/oauth2/authorize?client_id=a".to_owned(),
        ..session(None, false)
    };
    for (session, class) in [
        (session(None, false), ErrorClass::InteractionRequired),
        (
            session(Some("https://idp.example/a"), false),
            ErrorClass::Refused,
        ),
        (adfs, ErrorClass::Refused),
    ] {
        let refused = session.code(query).unwrap_err();
        assert_eq!(refused.class(), class, "{refused:#}");
        assert_eq!(
            refused.detail().aadsts.is_empty(),
            class == ErrorClass::Refused
        );
        // it is said all the same
        assert!(
            refused.to_string().contains("AADSTS50076: another"),
            "{refused}"
        );
    }
}
