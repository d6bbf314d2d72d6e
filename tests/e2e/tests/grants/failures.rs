//! Everything that can be wrong with a grant, at the wire: class, code and text of the error, and that nothing is sent but
//! the one request, if that.

use anyhow::{Context as _, Result, ensure};
use edgepass::{ErrorClass, Grant, Provider, Refresh, Secret, TokenRequest};
use edgepass_emulator::{Fault, Mint};
use serde_json::json;

use crate::{NONCE, READ, REDIRECT, VERIFIER, World, asking, on_behalf_of};

/// How a case must end.
struct Ending<'a> {
    class: ErrorClass,
    aadsts: &'a [u32],
    /// Parts of message and hint together.
    says: &'a [&'a str],
    /// Token requests that may have been sent.
    sent: usize,
}

const SENT_NOTHING: Ending<'static> = Ending {
    class: ErrorClass::InvalidRequest,
    aadsts: &[],
    says: &[],
    sent: 0,
};

fn refused<'a>(class: ErrorClass, aadsts: &'a [u32], says: &'a [&'a str]) -> Ending<'a> {
    Ending {
        class,
        aadsts,
        says,
        sent: 1,
    }
}

/// Asks, and sees it end so.
async fn fails(
    world: &World,
    provider: &Provider,
    what: &str,
    request: &TokenRequest,
    ending: &Ending<'_>,
) -> Result<()> {
    world.emulator().clear_journal();
    let Err(error) = provider.get_token(request).await else {
        anyhow::bail!("{what}: there is a token");
    };
    world.lab.evidence.saw_error(what, &error);
    let detail = error.detail();
    ensure!(
        error.class() == ending.class,
        "{what}: {error:#} ({:?})",
        error.class()
    );
    ensure!(
        detail.aadsts == ending.aadsts,
        "{what}: {:?}",
        detail.aadsts
    );
    ensure!(
        ending.sent == 0 || detail.hint.is_some(),
        "{what}: what to do about it: {error}"
    );
    let told = format!("{error:#}");
    for part in ending.says {
        ensure!(told.contains(part), "{what}: no {part:?} in {told:?}");
    }
    // nothing of it went anywhere else
    let journal = world.emulator().journal();
    let (posted, read): (Vec<_>, Vec<_>) = journal.iter().partition(|entry| entry.method == "POST");
    ensure!(posted.len() == ending.sent, "{what}: {} sent", posted.len());
    for entry in &posted {
        let path = format!("/{}/oauth2/v2.0/token", world.emulator().tenant());
        ensure!(entry.path == path, "{what}: sent to {}", entry.path);
    }
    for entry in &read {
        ensure!(
            entry.body.is_empty() && entry.header("authorization").is_none(),
            "{what}: {}",
            entry.path
        );
    }
    Ok(())
}

#[tokio::test]
async fn users_tokens_that_are_not_taken() -> Result<()> {
    let world = World::new("grants_bad_user_tokens")?;
    let provider = world.provider(&world.lab.config(&world.secret())).await?;
    use ErrorClass::{InteractionRequired, Refused};
    for (what, mint, class, code) in [
        (
            "another issuer's key",
            Mint::new().foreign_key(),
            Refused,
            50_013,
        ),
        ("expired", Mint::new().expires_in(-600), Refused, 500_133),
        (
            "for another API",
            Mint::new().audience("https://vault.azure.net"),
            Refused,
            500_131,
        ),
        (
            "an application's",
            Mint::new().claim("idtyp", json!("app")),
            Refused,
            7_000_114,
        ),
    ] {
        let request = asking(&[READ], on_behalf_of(world.user_token(&mint)?));
        fails(
            &world,
            &provider,
            what,
            &request,
            &refused(class, &[code], &[]),
        )
        .await?;
    }
    // far more than a header can carry
    let request = asking(
        &[READ],
        on_behalf_of(Secret::new("a.b.".to_owned() + &"c".repeat(1 << 20))),
    );
    fails(&world, &provider, "oversized", &request, &SENT_NOTHING).await?;
    let request = asking(&[READ], on_behalf_of(Secret::new("")));
    fails(&world, &provider, "empty", &request, &SENT_NOTHING).await?;

    let good = world.user_token(&Mint::new())?;
    let unknown = asking(
        &["https://nowhere.example/.default"],
        on_behalf_of(good.clone()),
    );
    fails(
        &world,
        &provider,
        "no such API",
        &unknown,
        &refused(Refused, &[500_011], &[]),
    )
    .await?;

    // what a person has to do first
    let mut user = world
        .emulator()
        .user(world.emulator().username())
        .context("no user")?;
    let consents = std::mem::take(&mut user.consents);
    world.emulator().register_user(user.clone());
    let request = asking(&[READ], on_behalf_of(good.clone()));
    let ending = refused(InteractionRequired, &[65_001], &["consent"]);
    fails(&world, &provider, "no consent", &request, &ending).await?;
    user.consents = consents;
    world
        .emulator()
        .register_user(user.second_factor_for("https://graph.microsoft.com"));
    // past what is remembered of the last refusal
    let request = TokenRequest {
        refresh: Refresh::Force,
        ..request
    };
    let ending = refused(InteractionRequired, &[50_076], &[]);
    fails(&world, &provider, "second factor", &request, &ending).await?;
    let error = provider
        .get_token(&request)
        .await
        .err()
        .context("a token")?;
    let claims = error
        .detail()
        .claims
        .as_deref()
        .context("no claims to satisfy")?;
    ensure!(claims.contains("capolids"), "{claims}");
    world.emulator().revoke_user(world.emulator().username())?;
    let other = asking(&[READ], on_behalf_of(good));
    let other = TokenRequest {
        refresh: Refresh::Force,
        ..other
    };
    let ending = refused(InteractionRequired, &[50_173], &[]);
    fails(&world, &provider, "revoked", &other, &ending).await
}

#[tokio::test]
async fn codes_that_are_not_taken() -> Result<()> {
    let world = World::new("grants_bad_codes")?;
    let provider = world.provider(&world.lab.config(&world.secret())).await?;
    use ErrorClass::{InteractionRequired, Refused};
    let scope = format!("openid {READ}");
    let redeeming = |code: Secret, redirect: &str, verifier: Option<&str>| {
        let grant = Grant::AuthorizationCode {
            code,
            redirect_uri: redirect.to_owned(),
            code_verifier: verifier.map(Secret::new),
            nonce: Some(NONCE.into()),
        };
        asking(&[READ], grant)
    };
    let code = world.code(&scope).await?;
    let other = "https://app.example/other";
    let request = redeeming(code.clone(), other, Some(VERIFIER));
    let ending = refused(Refused, &[500_112], &["redirect"]);
    fails(&world, &provider, "redirect URI", &request, &ending).await?;
    let request = redeeming(
        code.clone(),
        REDIRECT,
        Some("another-verifier-that-is-long-enough-for-it-all"),
    );
    let ending = refused(Refused, &[501_481], &["verifier"]);
    fails(&world, &provider, "verifier", &request, &ending).await?;
    let request = redeeming(code.clone(), REDIRECT, None);
    let ending = refused(Refused, &[50_148], &["verifier"]);
    fails(&world, &provider, "no verifier", &request, &ending).await?;
    let request = redeeming(code, REDIRECT, Some(VERIFIER));
    world.lab.issued(&provider.get_token(&request).await?);
    let ending = refused(Refused, &[54_005], &[]);
    fails(&world, &provider, "twice", &request, &ending).await?;
    let code = world.code(&scope).await?;
    world.emulator().set_clock_skew(660);
    let request = redeeming(code, REDIRECT, Some(VERIFIER));
    let ending = refused(InteractionRequired, &[70_008], &[]);
    fails(&world, &provider, "expired", &request, &ending).await?;
    world.emulator().set_clock_skew(0);
    let request = redeeming(Secret::new("1.unknown"), REDIRECT, Some(VERIFIER));
    let ending = refused(InteractionRequired, &[70_000], &[]);
    fails(&world, &provider, "unknown", &request, &ending).await?;
    let request = redeeming(Secret::new(""), REDIRECT, Some(VERIFIER));
    fails(&world, &provider, "empty", &request, &SENT_NOTHING).await
}

#[tokio::test]
async fn refresh_tokens_that_are_not_taken() -> Result<()> {
    let world = World::new("grants_bad_refresh_tokens")?;
    let provider = world.provider(&world.lab.config(&world.secret())).await?;
    use ErrorClass::InteractionRequired;
    let refreshing = |token: &Secret| asking(&[READ], Grant::RefreshToken(token.clone()));
    let token = world.refresh_token(&provider).await?;
    ensure!(world.emulator().revoke_refresh_token(token.expose()));
    let ending = refused(InteractionRequired, &[50_173], &[]);
    fails(&world, &provider, "revoked", &refreshing(&token), &ending).await?;
    let token = world.refresh_token(&provider).await?;
    world.emulator().set_clock_skew(91 * 86_400);
    let ending = refused(InteractionRequired, &[700_082], &[]);
    fails(
        &world,
        &provider,
        "not used for long",
        &refreshing(&token),
        &ending,
    )
    .await?;
    world.emulator().set_clock_skew(0);
    let ending = refused(InteractionRequired, &[70_000], &[]);
    let unknown = refreshing(&Secret::new("1.unknown"));
    fails(&world, &provider, "unknown", &unknown, &ending).await?;
    let token = world.refresh_token(&provider).await?;
    world.emulator().set_refresh_once(true);
    let request = refreshing(&token);
    world.lab.issued(&provider.get_token(&request).await?);
    let ending = refused(InteractionRequired, &[50_173], &[]);
    fails(
        &world,
        &provider,
        "twice where it counts once",
        &request,
        &ending,
    )
    .await
}

#[tokio::test]
async fn id_tokens_that_prove_nothing() -> Result<()> {
    let world = World::new("grants_bad_id_tokens")?;
    let provider = world.provider(&world.lab.config(&world.secret())).await?;
    for (what, mint, says) in [
        ("alg none", Mint::new().header("alg", json!("none")), "none"),
        (
            "alg HS256",
            Mint::new().header("alg", json!("HS256")),
            "HS256",
        ),
        (
            "a key that nobody has",
            Mint::new().foreign_key().kid("unknown"),
            "key",
        ),
        (
            "a stranger's signature",
            Mint::new().foreign_key(),
            "signature",
        ),
        (
            "another nonce",
            Mint::new().claim("nonce", json!("another")),
            "nonce",
        ),
        ("no nonce", Mint::new().without("nonce"), "nonce"),
        ("another audience", Mint::new().audience("another"), "aud"),
        (
            "another issuer",
            Mint::new().issuer("https://elsewhere.example"),
            "iss",
        ),
        ("expired", Mint::new().expires_in(-600), "exp"),
        ("not valid yet", Mint::new().not_before_in(600), "nbf"),
    ] {
        let code = world.code(&format!("openid {READ}")).await?;
        world
            .emulator()
            .faults()
            .push(Fault::id_token(mint).on("/token"));
        let request = asking(&[READ, "openid"], World::redemption(code));
        let says = ["id_token", says];
        let ending = refused(ErrorClass::InvalidResponse, &[], &says);
        fails(&world, &provider, what, &request, &ending).await?;
    }
    // a clock that is a little wrong, and keys that have been rotated, are no reason
    for mint in [Mint::new().expires_in(-200), Mint::new().not_before_in(200)] {
        let code = world.code(&format!("openid {READ}")).await?;
        world
            .emulator()
            .faults()
            .push(Fault::id_token(mint).on("/token"));
        let request = asking(&[READ, "openid"], World::redemption(code));
        world.lab.issued(&provider.get_token(&request).await?);
    }
    Ok(())
}

/// The server's keys are out of reach at the wrong moment: a code is kept for when they are back, and a refresh token that
/// the server has replaced is not lost.
#[tokio::test]
async fn keys_that_cannot_be_had_cost_neither_a_code_nor_a_refresh_token() -> Result<()> {
    let world = World::new("grants_without_keys")?;
    let config = world.lab.config(&world.secret());
    let refresh_token = world.refresh_token(&world.provider(&config).await?).await?;
    // each begins without the keys
    let provider = world.provider(&config).await?;
    let faults = world.emulator().faults();
    faults.push(Fault::status(503).on("/discovery/v2.0/keys").times(3));
    let code = world.code(&format!("openid {READ}")).await?;
    let request = asking(&[READ, "openid"], World::redemption(code));
    let ending = Ending {
        class: ErrorClass::Server,
        aadsts: &[],
        says: &["the keys of the server"],
        sent: 0,
    };
    fails(&world, &provider, "a code without keys", &request, &ending).await?;
    let redeemed = provider.get_token(&request).await?;
    world.lab.issued(&redeemed);
    ensure!(redeemed.id_token.is_some());

    let provider = world.provider(&config).await?;
    world.emulator().set_refresh_once(true);
    for place in ["/openid-configuration", "/discovery/v2.0/keys"] {
        faults.push(Fault::status(503).on(place).times(3));
    }
    let scopes = [READ, "openid", "offline_access"];
    let refreshing = |token: &Secret| asking(&scopes, Grant::RefreshToken(token.clone()));
    let token = provider.get_token(&refreshing(&refresh_token)).await?;
    world.lab.issued(&token);
    ensure!(token.id_token.is_none(), "nobody can have judged it");
    let next = token.refresh_token.clone().context("it is lost")?;
    let token = provider.get_token(&refreshing(&next)).await?;
    world.lab.issued(&token);
    Ok(())
}

/// What the server may have taken is not to be presented again.
#[tokio::test]
async fn what_may_be_spent_is_not_retryable() -> Result<()> {
    let world = World::new("grants_spent")?;
    let provider = world.provider(&world.lab.config(&world.secret())).await?;
    let token = world.refresh_token(&provider).await?;
    for (what, fault) in [
        ("reset", Fault::reset()),
        ("a page", Fault::status(200).body("<html>Sign in</html>")),
        ("a gateway", Fault::status(504).body("")),
    ] {
        let code = world.code(&format!("openid {READ}")).await?;
        let code = asking(&[READ], World::redemption(code));
        let refresh = asking(&[READ], Grant::RefreshToken(token.clone()));
        for request in [code, refresh] {
            let request = TokenRequest {
                refresh: Refresh::Force,
                ..request
            };
            world.emulator().faults().push(fault.clone().on("/token"));
            let error = provider.get_token(&request).await.err();
            let error = error.with_context(|| format!("{what}: a token"))?;
            world.lab.evidence.saw_error(what, &error);
            ensure!(!error.detail().retryable, "{what}: {error:#}");
            let told = format!("{error:#}");
            ensure!(told.contains("start the sign-in again"), "{what}: {told}");
        }
    }
    Ok(())
}
