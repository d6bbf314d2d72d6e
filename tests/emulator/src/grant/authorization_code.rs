//! The authorization code grant (RFC 6749 section 4.1.3), with the verifier of
//! RFC 7636.

use serde_json::Value;

use super::delegated::{Delegation, find_user, respond};
use crate::encoding::sha256_url;
use crate::errors::Refusal;
use crate::lock;
use crate::request::{TokenCall, Version};
use crate::scopes::Wanted;
use crate::sessions::{Asked, Challenge, Code, Oidc, is_well_formed};
use crate::verify::authenticate;

/// Redeems a code.
pub(super) fn redeem(mut ask: TokenCall<'_>) -> Result<Value, Refusal> {
    let client = authenticate(&mut ask)?;
    let text = ask.form.require("code")?.to_owned();
    let redirect_uri = ask.form.require("redirect_uri")?.to_owned();
    if !is_well_formed(&text) {
        return Err(malformed());
    }
    let code = ask.world.sessions.code(&text).ok_or_else(|| {
        Refusal::new(
            70_000,
            "The provided value for the 'code' parameter is not valid.",
        )
    })?;
    let client_id = &client.app.client_id;
    if !code.granted.client_id.eq_ignore_ascii_case(client_id) {
        return Err(Refusal::new(
            70_000,
            "The provided value for the 'code' parameter is not valid. The code was not issued to this client.",
        ));
    }
    check_place(&ask, &code.granted.tenant, code.granted.policy.as_deref())?;
    if code.redeemed {
        // once more, for what the first time brought
        ask.world.sessions.redeem(&text);
        return Err(Refusal::plain(54_005));
    }
    let life = lock(&ask.world.settings).code_lifetime;
    if code.issued.saturating_add(life) <= ask.call.now {
        return Err(Refusal::plain(70_008));
    }
    if code.redirect_uri != redirect_uri {
        return Err(Refusal::new(
            500_112,
            format!(
                "The reply address '{redirect_uri}' does not match the reply address '{}' provided \
                 when requesting Authorization code.",
                code.redirect_uri
            ),
        ));
    }
    check_verifier(&code, ask.form.get("code_verifier"))?;
    let (asked, oidc) = scopes(&ask, &code)?;
    let user = find_user(&ask, &code.granted.user, Some(code.issued))?;
    if !ask.world.sessions.redeem(&text) {
        return Err(Refusal::plain(54_005));
    }
    let mut granted = code.granted;
    granted.oidc = oidc;
    let of = Delegation {
        user,
        granted,
        asked,
        code: Some(text),
    };
    respond(&ask, &client, of)
}

/// What the token is for: what was asked for at first, unless the request says otherwise.
fn scopes(ask: &TokenCall<'_>, code: &Code) -> Result<(Option<Asked>, Oidc), Refusal> {
    let first = code.granted.asked.first().cloned();
    if ask.version == Version::V1 {
        let tenant = &ask.tenant.id;
        return Ok(match ask.form.get("resource") {
            Some(name) => (
                Some(Wanted::of_resource(ask.world, tenant, name)?),
                code.granted.oidc,
            ),
            None => (first, code.granted.oidc),
        });
    }
    if ask.form.get("resource").is_some() {
        return Err(Refusal::plain(901_002));
    }
    let Some(text) = ask.form.get("scope") else {
        return Ok((first, code.granted.oidc));
    };
    let wanted = Wanted::parse(ask.world, &ask.tenant.id, &code.granted.client_id, text)?;
    let asked = wanted.one(text)?.cloned().or(first);
    Ok((asked, code.granted.oidc.or(wanted.oidc)))
}

/// That what a user granted is used where it was granted.
pub(super) fn check_place(
    ask: &TokenCall<'_>,
    tenant: &str,
    policy: Option<&str>,
) -> Result<(), Refusal> {
    if !tenant.eq_ignore_ascii_case(&ask.tenant.id) {
        return Err(Refusal::plain(700_005));
    }
    let same = match (policy, ask.policy.as_deref()) {
        (None, None) => true,
        (Some(granted), Some(called)) => granted.eq_ignore_ascii_case(called),
        _ => false,
    };
    if same {
        return Ok(());
    }
    Err(Refusal::new(
        70_000,
        "The provided grant has not been issued for this endpoint: it is of another user flow.",
    ))
}

/// What Entra says of a grant that is not even one.
pub(super) fn malformed() -> Refusal {
    Refusal::plain(9_002_313).error("invalid_grant")
}

fn check_verifier(code: &Code, verifier: Option<&str>) -> Result<(), Refusal> {
    let (challenge, made) = match (&code.challenge, verifier) {
        (None, None) => return Ok(()),
        (Some(_), None) => return Err(Refusal::plain(50_148)),
        // RFC 9700 section 4.8.2: somebody has taken the challenge away
        (None, Some(_)) => return Err(Refusal::plain(501_481)),
        (Some(Challenge::Plain(challenge)), Some(verifier)) => (challenge, verifier.to_owned()),
        (Some(Challenge::S256(challenge)), Some(verifier)) => {
            (challenge, sha256_url(verifier.as_bytes()))
        }
    };
    if *challenge == made {
        return Ok(());
    }
    Err(Refusal::plain(501_481))
}
