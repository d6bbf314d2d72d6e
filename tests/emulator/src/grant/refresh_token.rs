//! The refresh token grant (RFC 6749 section 6).

use serde_json::Value;

use super::authorization_code::{check_place, malformed};
use super::delegated::{Delegation, find_user, respond};
use crate::clock::precise_stamp;
use crate::errors::Refusal;
use crate::lock;
use crate::request::{TokenCall, Version};
use crate::scopes::Wanted;
use crate::sessions::is_well_formed;
use crate::verify::authenticate;

/// Gives a new token, and a new refresh token beside it.
pub(super) fn redeem(mut ask: TokenCall<'_>) -> Result<Value, Refusal> {
    let client = authenticate(&mut ask)?;
    let text = ask.form.require("refresh_token")?.to_owned();
    if !is_well_formed(&text) {
        return Err(malformed());
    }
    let known = ask.world.sessions.refresh_token(&text);
    let known = known.ok_or_else(|| Refusal::plain(70_000))?;
    let client_id = &client.app.client_id;
    if !known.granted.client_id.eq_ignore_ascii_case(client_id) {
        return Err(Refusal::new(
            70_000,
            "Provided grant is invalid or malformed. The refresh token was not issued to this client.",
        ));
    }
    check_place(&ask, &known.granted.tenant, known.granted.policy.as_deref())?;
    let settings = lock(&ask.world.settings).clone();
    if known.revoked {
        return Err(Refusal::plain(50_173));
    }
    let user = find_user(&ask, &known.granted.user, Some(known.issued))?;
    let life = settings.refresh_token_lifetime;
    if known.used.saturating_add(life) <= ask.call.now {
        return Err(Refusal::new(
            700_082,
            format!(
                "The refresh token has expired due to inactivity. The token was issued on {} and \
                 was inactive for {life} seconds.",
                precise_stamp(known.issued)
            ),
        ));
    }
    let mut granted = known.granted;
    let asked = match ask.version {
        Version::V1 => match ask.form.get("resource") {
            Some(name) => Some(Wanted::of_resource(ask.world, &ask.tenant.id, name)?),
            None => granted.asked.first().cloned(),
        },
        Version::V2 => {
            if ask.form.get("resource").is_some() {
                return Err(Refusal::plain(901_002));
            }
            match ask.form.get("scope") {
                None => granted.asked.first().cloned(),
                Some(text) => {
                    let wanted = Wanted::parse(ask.world, &ask.tenant.id, client_id, text)?;
                    granted.oidc = granted.oidc.or(wanted.oidc);
                    let one = wanted.one(text)?.cloned();
                    one.or_else(|| granted.asked.first().cloned())
                }
            }
        }
    };
    let of = Delegation {
        user,
        granted,
        asked,
        code: known.code,
    };
    // a sign-in would cure it, which this grant has none of
    let answer = respond(&ask, &client, of).map_err(|refusal| match refusal.code {
        50_076 => refusal.error("invalid_grant"),
        _ => refusal,
    })?;
    let sessions = &ask.world.sessions;
    sessions.use_refresh_token(&text, ask.call.now, settings.refresh_once);
    Ok(answer)
}
