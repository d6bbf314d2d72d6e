//! The token server that is not Entra: what it refuses.

use anyhow::{Result, ensure};
use edgepass::{ErrorClass, Grant, Secret};
use edgepass_emulator::Mint;

use crate::{World, asking};

#[tokio::test]
async fn assertions_and_exchanges_that_are_not_taken() -> Result<()> {
    let world = World::new("grants_generic_failures")?;
    let provider = world.provider(&world.generic(&world.secret())).await?;
    let issuer = world.emulator().generic_issuer();
    let mint = |mint: Mint| world.emulator().issuer().mint(&mint).map(Secret::new);
    let kind = |name: &str| format!("urn:ietf:params:oauth:token-type:{name}");
    let exchange =
        |subject: Secret, kind_of: String, actor, audience: &[&str], wanted| Grant::TokenExchange {
            subject_token: subject,
            subject_token_type: kind_of,
            actor,
            audience: audience.iter().map(ToString::to_string).collect(),
            resource: Vec::new(),
            requested_token_type: wanted,
        };
    let good = || mint(Mint::new().audience(&issuer));
    for (what, grant, error, sent) in [
        (
            "audience",
            Grant::JwtBearer(mint(Mint::new())?),
            Some("invalid_grant"),
            1,
        ),
        (
            "expired",
            Grant::JwtBearer(mint(Mint::new().audience(&issuer).expires_in(-600))?),
            Some("invalid_grant"),
            1,
        ),
        (
            "signature",
            Grant::JwtBearer(mint(Mint::new().audience(&issuer).foreign_key())?),
            Some("invalid_grant"),
            1,
        ),
        (
            "oversized",
            Grant::JwtBearer(Secret::new("c".repeat(1 << 20))),
            None,
            0,
        ),
        (
            "subject",
            exchange(
                mint(Mint::new().foreign_key())?,
                kind("jwt"),
                None,
                &[],
                None,
            ),
            Some("invalid_request"),
            1,
        ),
        (
            "target",
            exchange(good()?, kind("jwt"), None, &["api://nowhere"], None),
            Some("invalid_target"),
            1,
        ),
        (
            "type",
            exchange(good()?, kind("saml2"), None, &[], None),
            Some("invalid_request"),
            1,
        ),
        (
            "subject without type",
            exchange(good()?, String::new(), None, &[], None),
            None,
            0,
        ),
        (
            "actor without type",
            exchange(
                good()?,
                kind("jwt"),
                Some((good()?, String::new())),
                &[],
                None,
            ),
            None,
            0,
        ),
    ] {
        world.emulator().clear_journal();
        let Err(refused) = provider.get_token(&asking(&["read"], grant)).await else {
            anyhow::bail!("{what}: there is a token");
        };
        world.lab.evidence.saw_error(what, &refused);
        ensure!(
            refused.detail().oauth_error.as_deref() == error,
            "{what}: {refused:#}"
        );
        if error.is_none() {
            ensure!(
                refused.class() == ErrorClass::InvalidRequest,
                "{what}: {refused:#}"
            );
        }
        let posted = world.emulator().token_requests();
        ensure!(posted.len() == sent, "{what}: {} sent", posted.len());
        ensure!(
            posted.iter().all(|entry| entry.path == "/generic/token"),
            "{what}"
        );
    }
    Ok(())
}
