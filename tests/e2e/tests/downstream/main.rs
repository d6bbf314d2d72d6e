//! Acceptance: requests to other services get tokens by rules, and a service that refuses one is asked once more with the
//! next. Real sockets, TLS, and the clients that people have.

#![cfg(test)]

mod clients;
mod resource;

use std::convert::Infallible;

use anyhow::{Context as _, Result, ensure};
use edgepass::downstream::{Downstream, OnBehalfOf, Rule};
use edgepass::{ErrorClass, Provider, Secret, TokenType};
use edgepass_e2e::{GRAPH, Lab, jwt, until};
use edgepass_emulator::{Fault, Mint, User};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use serde_json::{Value, json};
use tower::{BoxError, Layer as _, Service, ServiceExt as _};

use resource::{Resource, good, of_claims, refusal, refuses_the_first};

const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1790000000"}}}"#;

async fn downstream(
    lab: &Lab,
    rules: impl IntoIterator<Item = Rule>,
) -> Result<(Provider, Downstream)> {
    let provider = lab.provider().build().await?;
    let downstream = provider.downstream(rules)?;
    Ok((provider, downstream))
}

fn whole(body: &Full<Bytes>) -> Option<Full<Bytes>> {
    Some(body.clone())
}

async fn text(response: Response<Incoming>) -> Result<(StatusCode, String)> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((parts.status, String::from_utf8(body.to_vec())?))
}

/// The answer to a request by that client, which has to have one.
async fn sent<S, B>(client: S, request: Request<B>) -> Result<Response<Incoming>>
where
    S: Service<Request<B>, Response = Response<Incoming>, Error = BoxError>,
{
    let answer = client.oneshot(request).await;
    answer.map_err(anyhow::Error::from_boxed)
}

fn ours(error: Box<dyn std::error::Error + Send + Sync>) -> edgepass::Error {
    *error
        .downcast::<edgepass::Error>()
        .expect("an error of edgepass")
}

#[tokio::test]
async fn a_request_has_the_token_of_its_rule_and_no_other_host_sees_one() -> Result<()> {
    let lab = Lab::new("downstream_rule")?;
    let resource = Resource::start(&lab, |seen| match seen.uri.path() {
        "/v1/away" => Response::builder()
            .status(StatusCode::FOUND)
            .header("location", "/v1/me")
            .body(Full::default())
            .unwrap(),
        _ => good(),
    })
    .await?;
    let (_, downstream) = downstream(&lab, [resource.rule().path_prefix("/v1")]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let mut request = resource.request();
    let stale = http::HeaderValue::from_static("Bearer of-the-application");
    request.headers_mut().append("authorization", stale);
    let answer = text(sent(client.clone(), request).await?).await?;
    assert_eq!(answer, (StatusCode::OK, "good".to_owned()));
    // the redirect's goal, another host by its name, another path
    for (host, path) in [("127.0.0.1", "/v1/me"), ("localhost", "/v2/me")] {
        let request = Request::get(resource.url(host, path)).body(Full::default())?;
        let answer = sent(client.clone(), request).await?;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{host}{path}");
    }
    let request = Request::get(resource.url("localhost", "/v1/away")).body(Full::default())?;
    let away = sent(client.clone(), request).await?;
    assert_eq!(
        away.status(),
        StatusCode::FOUND,
        "it is for the caller to follow"
    );
    let tokens = resource.tokens(&lab);
    let with: Vec<_> = tokens.iter().map(|token| !token.is_empty()).collect();
    assert_eq!(with, [true, false, false, true]);
    let sent = resource.seen();
    let sent: Vec<_> = sent
        .iter()
        .map(|seen| seen.headers.get_all("authorization").iter().count())
        .collect();
    assert_eq!(sent, [1, 0, 0, 1], "what the application put there is gone");
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// In whatever way a service says that it wants another token.
#[tokio::test]
async fn a_refusal_is_answered_by_one_refresh_and_one_replay() -> Result<()> {
    for (name, status, challenge, claims) in [
        ("bare", StatusCode::UNAUTHORIZED, "Bearer".to_owned(), None),
        (
            "claims",
            StatusCode::UNAUTHORIZED,
            of_claims(CLAIMS),
            Some(CLAIMS),
        ),
        (
            "forbidden",
            StatusCode::FORBIDDEN,
            of_claims(CLAIMS),
            Some(CLAIMS),
        ),
    ] {
        let lab = Lab::new(&format!("downstream_{name}"))?;
        let resource = Resource::start(&lab, refuses_the_first(status, challenge)).await?;
        let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
        let client = downstream
            .layer()
            .clone_body(whole)
            .layer(resource.client()?);
        let request = Request::put(resource.url("localhost", "/v1/me?a=b"))
            .header("x-own", "kept")
            .body(Full::from("a body"))?;
        let response = sent(client, request).await?;
        assert_eq!(
            text(response).await?,
            (StatusCode::OK, "good".to_owned()),
            "{name}"
        );
        let tokens = resource.tokens(&lab);
        ensure!(
            tokens.len() == 2 && tokens.first() != tokens.last(),
            "{name}"
        );
        for seen in resource.seen() {
            assert_eq!(seen.method, Method::PUT);
            assert_eq!(
                seen.uri.path_and_query().map(|path| path.as_str()),
                Some("/v1/me?a=b")
            );
            assert_eq!(
                seen.headers.get("x-own").map(|own| own.as_bytes()),
                Some(&b"kept"[..])
            );
            assert_eq!(&seen.body[..], b"a body");
        }
        let asked = lab.emulator.token_requests();
        let asked: Vec<_> = asked.iter().map(|entry| entry.field("claims")).collect();
        assert_eq!(asked, [None, claims.map(str::to_owned)], "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_always_refuses_is_asked_twice() -> Result<()> {
    let lab = Lab::new("downstream_always")?;
    let resource = Resource::start(&lab, |_| refusal(StatusCode::UNAUTHORIZED, "Bearer")).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let response = sent(client, resource.request()).await?;
    assert_eq!(
        text(response).await?,
        (StatusCode::UNAUTHORIZED, "refused".to_owned())
    );
    assert_eq!(resource.tokens(&lab).len(), 2);
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// Another refusal than of the token is the service's answer.
#[tokio::test]
async fn what_is_no_refusal_of_the_token_is_handed_on() -> Result<()> {
    let lab = Lab::new("downstream_other")?;
    let resource = Resource::start(&lab, |_| {
        refusal(StatusCode::FORBIDDEN, "Bearer error=\"insufficient_scope\"")
    })
    .await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let response = sent(client, resource.request()).await?;
    assert_eq!(
        text(response).await?,
        (StatusCode::FORBIDDEN, "refused".to_owned())
    );
    assert_eq!(resource.tokens(&lab).len(), 1);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// A body that is read as it is sent has no second time. Who asks next has another token.
#[tokio::test]
async fn a_streaming_body_is_not_sent_again() -> Result<()> {
    let lab = Lab::new("downstream_stream")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    type Streamed = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;
    let client = downstream.layer().layer(resource.client::<Streamed>()?);
    let send = || {
        let frames = ["in ", "parts"].map(|part| Ok(Frame::data(Bytes::from(part))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let request = Request::post(resource.url("localhost", "/v1/me")).body(body);
        client.clone().oneshot(request.unwrap())
    };
    let response = send().await.map_err(anyhow::Error::from_boxed)?;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(resource.seen().len(), 1);
    let response = send().await.map_err(anyhow::Error::from_boxed)?;
    assert_eq!(response.status(), StatusCode::OK);
    for seen in resource.seen() {
        assert_eq!(&seen.body[..], b"in parts");
    }
    assert_eq!(resource.tokens(&lab).len(), 2);
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_refusals_at_once_cause_one_exchange() -> Result<()> {
    const CALLERS: usize = 100;
    let lab = Lab::new("downstream_hundred")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    // the second exchange waits until everybody has been refused
    provider.get_token(&edgepass_e2e::graph()).await?;
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let calls: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(client.clone().oneshot(resource.request())))
        .collect();
    until("all have been refused", || {
        (resource.seen().len() == CALLERS).then_some(())
    })
    .await?;
    lab.emulator.faults().release();
    for call in calls {
        let response = call.await?.map_err(anyhow::Error::from_boxed)?;
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(resource.tokens(&lab).len(), 2 * CALLERS);
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn without_another_token_the_answer_is_the_services_and_says_why() -> Result<()> {
    let lab = Lab::new("downstream_none")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    provider.get_token(&edgepass_e2e::graph()).await?;
    let refused = Fault::aadsts(7_000_215).on("/token").forever();
    lab.emulator.faults().push(refused);
    let client = downstream.layer().layer(resource.client()?);
    let response = sent(client, resource.request()).await?;
    let why = response.extensions().get::<edgepass::Error>().cloned();
    assert_eq!(
        text(response).await?,
        (StatusCode::UNAUTHORIZED, "refused".to_owned())
    );
    assert_eq!(resource.tokens(&lab).len(), 1);
    let why = why.context("why there is no other")?;
    assert_eq!(why.class(), ErrorClass::CredentialRejected);
    Ok(())
}

/// The claims are the user's to satisfy: whoever made the request is told which.
#[tokio::test]
async fn claims_that_the_server_does_not_grant_are_said() -> Result<()> {
    let lab = Lab::new("downstream_claims_refused")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    provider.get_token(&edgepass_e2e::graph()).await?;
    let mut fault = Fault::aadsts(50_076).on("/token");
    fault.claims = Some("{\"access_token\":{\"polids\":{\"essential\":true}}}".to_owned());
    lab.emulator.faults().push(fault);
    let client = downstream.layer().layer(resource.client()?);
    let response = sent(client, resource.request()).await?;
    let why = response.extensions().get::<edgepass::Error>().cloned();
    let why = why.context("why there is no other")?;
    assert_eq!(
        text(response).await?,
        (StatusCode::UNAUTHORIZED, "refused".to_owned())
    );
    assert_eq!(why.class(), ErrorClass::InteractionRequired);
    assert!(
        why.detail()
            .claims
            .as_deref()
            .is_some_and(|claims| claims.contains("polids"))
    );
    assert_eq!(resource.tokens(&lab).len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_request_that_gets_no_token_is_not_sent() -> Result<()> {
    let lab = Lab::new("downstream_unsent")?;
    let resource = Resource::start(&lab, |_| good()).await?;
    std::fs::remove_file(lab.files.token_file())?;
    let users = resource.rule().path_prefix("/users").on_behalf_of();
    let (_, downstream) = downstream(&lab, [users, resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let named = format!("https://me:word@localhost:{}/v1/me", resource.port);
    for (url, class) in [
        (
            resource.url("localhost", "/v1/me"),
            ErrorClass::CredentialUnavailable,
        ),
        (
            resource.url("localhost", "/users/x"),
            ErrorClass::InvalidRequest,
        ),
        (named, ErrorClass::InvalidRequest),
    ] {
        let request = Request::get(&url).body(Full::<Bytes>::default())?;
        let error = ours(client.clone().oneshot(request).await.unwrap_err());
        assert_eq!(error.class(), class, "{url}: {error:#}");
    }
    assert!(resource.seen().is_empty());
    Ok(())
}

/// The assertion is the request's own, and goes to the token server and nowhere else.
#[tokio::test]
async fn the_users_assertion_does_not_travel_to_the_service() -> Result<()> {
    let lab = Lab::new("downstream_user")?;
    let rule = Rule::host("api.example").scopes(["https://graph.microsoft.com/User.Read"]);
    let (_, downstream) = downstream(&lab, [rule.on_behalf_of()]).await?;
    let mut request = Request::get("https://api.example/").body(())?;
    request
        .extensions_mut()
        .insert(OnBehalfOf(Secret::new("the-user's-assertion")));
    let error = downstream.authorize(&mut request).await.unwrap_err();
    assert!(!format!("{error:?} {request:?}").contains("the-user's-assertion"));
    assert_eq!(request.extensions().get::<OnBehalfOf>(), None);
    assert_eq!(request.headers().len(), 0);
    Ok(())
}

/// A token that is bound to a certificate is good on connections that show it; the key stays in the host. When the
/// certificate is replaced, so are token and connection.
#[tokio::test]
async fn a_bound_token_goes_on_a_connection_with_its_certificate() -> Result<()> {
    let lab = Lab::new("downstream_bound")?;
    let resource = Resource::start(&lab, |seen| match seen.certificate.clone() {
        Some(shown) if seen.bound_to().is_some_and(|bound| bound == shown) => good(),
        None if seen.bound_to().is_none() => good(),
        _ => refusal(StatusCode::UNAUTHORIZED, "mtls_pop error=\"invalid_token\""),
    })
    .await?;
    let trusted = format!("{}{}", lab.emulator.ca_pem(), resource.pem);
    let config = lab.config(&json!({"bound_certificate": {"name": "demo"}}));
    let provider = Provider::builder()
        .config_json(config.to_string())
        .ca_pem(trusted.into_bytes())
        .build()
        .await?;
    let bound = resource.rule().path_prefix("/bound");
    let downstream =
        provider.downstream([bound.token_type(TokenType::MtlsPop), resource.rule()])?;
    let client = downstream.layer().layer(provider.client::<Full<Bytes>>());
    let send = async |path: &str| {
        let request = Request::get(resource.url("localhost", path)).body(Full::default())?;
        text(sent(client.clone(), request).await?).await
    };
    let answer = (StatusCode::OK, "good".to_owned());
    for path in ["/bound", "/plain", "/bound"] {
        assert_eq!(send(path).await?, answer, "{path}");
    }
    lab.rotate_certificate()?;
    provider.drop_cached(None).await?;
    assert_eq!(send("/bound").await?, answer, "after a rotation");
    let seen = resource.seen();
    let shown: Vec<_> = seen.iter().map(|seen| seen.certificate.clone()).collect();
    resource.tokens(&lab);
    let [Some(first), None, Some(again), Some(next)] = shown.as_slice() else {
        anyhow::bail!("a certificate where the token is bound to one: {shown:?}");
    };
    assert_eq!(first, again);
    assert_ne!(first, next);
    let schemes: Vec<_> = seen
        .iter()
        .filter_map(|seen| {
            seen.headers
                .get("authorization")?
                .to_str()
                .ok()?
                .split(' ')
                .next()
        })
        .collect();
    assert_eq!(schemes, ["mtls_pop", "Bearer", "mtls_pop", "mtls_pop"]);
    Ok(())
}

/// In a server: each request is for the user who has made it, and one user's token is never on another's request.
#[tokio::test(flavor = "multi_thread")]
async fn each_users_requests_have_that_users_token() -> Result<()> {
    const EACH: usize = 20;
    let lab = Lab::new("downstream_users")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let own = lab.emulator.own_resource();
    let graph = GRAPH.trim_end_matches("/.default");
    let bob = User::new("bob@edgepass-demo.example");
    let bob = bob.consent(lab.emulator.client_id(), graph, &["User.Read"]);
    let users = [lab.emulator.username().to_owned(), bob.username.clone()];
    lab.emulator.register_user(bob);
    let mut assertions = Vec::new();
    for user in &users {
        let assertion = lab.emulator.user_token(user, &own, &Mint::new())?;
        lab.evidence.secret("user's token", &assertion);
        assertions.push(assertion);
    }
    let (_, downstream) = downstream(&lab, [resource.rule().on_behalf_of()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let send = |assertion: &str| {
        let mut request = resource.request();
        let id = jwt::claims(assertion)
            .ok()
            .and_then(|claims| Some(claims.get("oid")?.as_str()?.to_owned()));
        let value = http::HeaderValue::from_str(&id.unwrap_or_default()).unwrap();
        request.headers_mut().insert("x-user", value);
        let user = OnBehalfOf(Secret::new(assertion));
        request.extensions_mut().insert(user);
        tokio::spawn(client.clone().oneshot(request))
    };
    let calls: Vec<_> = (0..EACH)
        .flat_map(|_| {
            assertions
                .iter()
                .map(|assertion| send(assertion))
                .collect::<Vec<_>>()
        })
        .collect();
    for call in calls {
        let response = call.await?.map_err(anyhow::Error::from_boxed)?;
        assert_eq!(response.status(), StatusCode::OK);
    }
    resource.tokens(&lab);
    for seen in resource.seen() {
        let claims = jwt::claims(seen.token().context("a token")?)?;
        let of = claims.get("oid").and_then(Value::as_str);
        let by = seen
            .headers
            .get("x-user")
            .and_then(|user| user.to_str().ok());
        assert_eq!(of, by);
    }
    let asked = lab.emulator.token_requests();
    for (assertion, user) in assertions.iter().zip(&users) {
        let its = asked
            .iter()
            .filter(|entry| entry.field("assertion").as_ref() == Some(assertion));
        let claims: Vec<_> = its.map(|entry| entry.field("claims")).collect();
        // one user's token was refused, and that user's alone
        ensure!(
            claims.len() <= 2 && claims.first() == Some(&None),
            "{user}: {claims:?}"
        );
    }
    assert_eq!(asked.len(), 3);
    Ok(())
}
