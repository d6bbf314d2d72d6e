//! In front of other clients, and without one that waits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use edgepass_e2e::{Lab, until};
use edgepass_emulator::Fault;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::json;
use tower::{Layer as _, Service, ServiceExt as _};

use super::resource::{Resource, of_claims, refuses_the_first};
use super::{CLAIMS, downstream};

/// A client that takes a request only when it has said that it can.
#[derive(Debug)]
struct Strict<S> {
    inner: S,
    is_ready: bool,
    broken: Arc<AtomicBool>,
}

impl<S: Clone> Clone for Strict<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            // what one has reserved is not its clone's
            is_ready: false,
            broken: Arc::clone(&self.broken),
        }
    }
}

impl<S: Service<R>, R> Service<R> for Strict<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let ready = self.inner.poll_ready(cx);
        self.is_ready = matches!(ready, Poll::Ready(Ok(())));
        ready
    }

    fn call(&mut self, request: R) -> S::Future {
        if !std::mem::take(&mut self.is_ready) {
            self.broken.store(true, Ordering::Relaxed);
        }
        self.inner.call(request)
    }
}

#[tokio::test]
async fn a_client_is_called_when_it_is_ready_the_second_time_too() -> Result<()> {
    let lab = Lab::new("downstream_ready")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let broken = Arc::new(AtomicBool::new(false));
    let strict = Strict {
        inner: resource.client()?,
        is_ready: false,
        broken: Arc::clone(&broken),
    };
    let mut client = downstream.layer().layer(strict);
    for host in ["localhost", "127.0.0.1", "localhost"] {
        let request = Request::get(resource.url(host, "/v1/me")).body(Full::<Bytes>::default())?;
        let client = client.ready().await.map_err(anyhow::Error::from_boxed)?;
        client
            .call(request)
            .await
            .map_err(anyhow::Error::from_boxed)?;
    }
    assert!(
        !broken.load(Ordering::Relaxed),
        "it was called before it was ready"
    );
    assert_eq!(resource.tokens(&lab).len(), 4);
    Ok(())
}

/// Who leaves ends its own request, and the exchange of nobody else.
#[tokio::test]
async fn a_caller_that_leaves_takes_nothing_along() -> Result<()> {
    let lab = Lab::new("downstream_leaves")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    provider.get_token(&edgepass_e2e::graph()).await?;
    lab.emulator.faults().push(Fault::hold().on("/token"));
    {
        let mut leaves = pin!(client.clone().oneshot(resource.request()));
        let begun = until("the second exchange is under way", || {
            (lab.emulator.token_requests_begun() == 2).then_some(())
        });
        tokio::select! {
            answer = &mut leaves => anyhow::bail!("there is no token yet: {answer:?}"),
            begun = begun => begun?,
        }
    }
    let stays = tokio::spawn(client.oneshot(resource.request()));
    until("the other has been refused too", || {
        (resource.seen().len() == 2).then_some(())
    })
    .await?;
    lab.emulator.faults().release();
    let response = stays.await?.map_err(anyhow::Error::from_boxed)?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        resource.tokens(&lab).len(),
        3,
        "who left sent no second request"
    );
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// reqwest's client by an adapter of a few lines, as docs/downstream.md has it.
#[tokio::test]
async fn reqwest_goes_through_the_layer() -> Result<()> {
    let lab = Lab::new("downstream_reqwest")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(&resource.certificate)?])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let client = tower::service_fn(move |request: Request<reqwest::Body>| {
        let client = client.clone();
        async move {
            let response = client.execute(request.try_into()?).await?;
            Ok::<Response<reqwest::Body>, reqwest::Error>(response.into())
        }
    });
    let whole = |body: &reqwest::Body| body.as_bytes().map(|bytes| bytes.to_vec().into());
    let client = downstream.layer().clone_body(whole).layer(client);
    let request = Request::post(resource.url("localhost", "/v1/me")).body("a body".into())?;
    let response = client
        .oneshot(request)
        .await
        .map_err(anyhow::Error::from_boxed)?;
    let response = reqwest::Response::from(response);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await?, "good");
    let bodies: Vec<_> = resource.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["a body"; 2]);
    assert_eq!(resource.tokens(&lab).len(), 2);
    let asked = lab.emulator.token_requests();
    let claims = asked.last().and_then(|entry| entry.claims.clone());
    assert_eq!(claims, Some(serde_json::from_str(CLAIMS)?));
    let nbf = json!({"essential": true, "value": "1790000000"});
    assert_eq!(
        claims.context("claims")?.pointer("/access_token/nbf"),
        Some(&nbf)
    );
    Ok(())
}
