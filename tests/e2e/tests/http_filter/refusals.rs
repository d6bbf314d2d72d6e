//! What becomes of a token that the service refuses.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass_e2e::Lab;
use edgepass_emulator::Fault;
use http::StatusCode;
use serde_json::json;

use crate::ALONE;
use crate::application::{App, Content};
use crate::service::{Seen, Service, good, refusal, refuses_the_first};

const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1790000000"}}}"#;

/// In whatever way a service says that it wants another token, and whatever the request had in it.
#[tokio::test]
async fn a_refusal_is_answered_by_one_refresh_and_one_replay() -> Result<()> {
    let _others = ALONE.read().await;
    let of_claims = format!(
        "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{}\"",
        STANDARD.encode(CLAIMS)
    );
    let content = |length, announced| {
        Some(Content {
            length,
            announced,
            ..Content::default()
        })
    };
    let unauthorized = StatusCode::UNAUTHORIZED;
    for (name, status, challenge, content, is_replayed) in [
        ("bare", unauthorized, "Bearer", None, true),
        ("claims", unauthorized, of_claims.as_str(), None, true),
        (
            "forbidden",
            StatusCode::FORBIDDEN,
            of_claims.as_str(),
            None,
            true,
        ),
        ("permission", StatusCode::FORBIDDEN, "Bearer", None, false),
        (
            "small",
            unauthorized,
            "Bearer",
            content(50_000, false),
            true,
        ),
        (
            "announced",
            unauthorized,
            "Bearer",
            content(50_000, true),
            true,
        ),
        (
            "large",
            unauthorized,
            "Bearer",
            content(100_000, false),
            false,
        ),
        (
            "large_announced",
            unauthorized,
            "Bearer",
            content(100_000, true),
            false,
        ),
    ] {
        let lab = Lab::new(&format!("http_filter_refused_{name}"))?;
        let service = Service::start(&lab, refuses_the_first(status, challenge)).await?;
        let mut app = App::start(&lab, &service.config(json!({}))).await?;
        let mut message = service.get("/v1/me");
        if content.is_some() {
            "POST".clone_into(&mut message.method);
        }
        let length = content.as_ref().map_or(0, |content| content.length);
        message.content = content;
        let answer = app.send(&message).await?.map_err(anyhow::Error::msg)?;
        let requests = lab.emulator.token_requests();
        let seen = service.seen();
        assert!(
            seen.iter().all(|seen| seen.length == length),
            "{name}: {seen:?}"
        );
        let tokens = service.tokens(&lab);
        if is_replayed {
            assert_eq!(
                (answer.status, seen.len(), requests.len()),
                (200, 2, 2),
                "{name}"
            );
            assert_ne!(tokens.first(), tokens.last(), "{name}");
            let claims = requests.last().and_then(|request| request.field("claims"));
            let asked = (!challenge.ends_with("Bearer")).then(|| CLAIMS.to_owned());
            assert_eq!(claims.is_some(), asked.is_some(), "{name}: {claims:?}");
            continue;
        }
        assert_eq!((answer.status, seen.len()), (status.as_u16(), 1), "{name}");
        // who asks next gets another, where the refusal was about the token
        let next = app.send(&service.get("/v1/me")).await?;
        let next = next.map_err(anyhow::Error::msg)?.status;
        let is_about_tokens = status == unauthorized;
        assert_eq!(next == 200, is_about_tokens, "{name}");
        service.tokens(&lab);
    }
    Ok(())
}

/// A service that refuses every token is asked twice, and its answer handed on.
#[tokio::test]
async fn a_service_that_takes_no_token_is_asked_twice() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_never")?;
    let refuse = |_: &Seen| refusal(StatusCode::UNAUTHORIZED, "Bearer");
    let service = Service::start(&lab, refuse).await?;
    let mut app = App::start(&lab, &service.config(json!({}))).await?;
    let answer = app.send(&service.get("/v1/me")).await?;
    let answer = answer.map_err(anyhow::Error::msg)?;
    assert_eq!((answer.status, answer.beginning.as_str()), (401, "refused"));
    assert_eq!(service.tokens(&lab).len(), 2);
    Ok(())
}

/// What is refused is not sent again: neither where the token endpoint issues the same once more, nor where it has no answer.
#[tokio::test]
async fn a_token_that_was_refused_is_not_sent_again() -> Result<()> {
    let _others = ALONE.read().await;
    for name in ["same", "down"] {
        let lab = Lab::new(&format!("http_filter_again_{name}"))?;
        let asked = AtomicUsize::new(0);
        let service = Service::start(&lab, move |_: &Seen| {
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => good(),
                _ => refusal(StatusCode::UNAUTHORIZED, "Bearer"),
            }
        })
        .await?;
        let mut app = App::start(&lab, &service.config(json!({}))).await?;
        let answer = app.send(&service.get("/v1/me")).await?;
        assert_eq!(answer.map_err(anyhow::Error::msg)?.status, 200, "{name}");
        let tokens = service.tokens(&lab);
        let [token] = tokens.as_slice() else {
            anyhow::bail!("{name}: not one request");
        };
        let fault = match name {
            "same" => Fault::omit("ext_expires_in").field("access_token", json!(token)),
            _ => Fault::status(503),
        };
        lab.emulator.faults().push(fault.forever());
        let answer = app.send(&service.get("/v1/me")).await?;
        assert_eq!(answer.map_err(anyhow::Error::msg)?.status, 401, "{name}");
        assert_eq!(service.tokens(&lab).len(), 2, "{name}");
        assert!(
            lab.emulator.token_requests().len() > 1,
            "{name}: it is asked for another"
        );
    }
    Ok(())
}
