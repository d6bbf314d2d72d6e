//! Entra's on-behalf-of: the grant of RFC 7523 section 2.1, whose assertion is
//! the access token that a user's client has sent.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::delegated::{Delegation, find_user, respond};
use crate::clock::precise_stamp;
use crate::errors::Refusal;
use crate::jose::{Jws, find_key};
use crate::lock;
use crate::request::{TokenCall, Version};
use crate::scopes::Wanted;
use crate::sessions::{Asked, Granted, Oidc};
use crate::verify::{ALLOWED_SKEW, Client, authenticate};

/// What `requested_token_use` is in this grant.
const ON_BEHALF_OF: &str = "on_behalf_of";

/// Exchanges a user's token for one of another resource.
pub(super) fn exchange(mut ask: TokenCall<'_>) -> Result<Value, Refusal> {
    let client = authenticate(&mut ask)?;
    let assertion = ask.form.require("assertion")?.to_owned();
    let token_use = ask.form.require("requested_token_use")?;
    if token_use != ON_BEHALF_OF {
        return Err(Refusal::new(
            9_002_313,
            format!(
                "Invalid request. Request is malformed or invalid: the requested_token_use \
                 '{token_use}' is not supported."
            ),
        ));
    }
    let (asked, oidc) = scopes(&ask, &client.app.client_id)?;
    let token = Jws::parse(&assertion).ok_or_else(|| Refusal::plain(50_027))?;
    check(&ask, &client, &token)?;
    let name = token.claim("oid").ok_or_else(|| Refusal::plain(50_013))?;
    let at = token.claims.get("iat").and_then(Value::as_i64);
    let user = find_user(&ask, name, at)?;
    let methods = token.claims.get("amr").and_then(Value::as_array);
    let second_factor = methods.is_some_and(|methods| methods.iter().any(|one| one == "mfa"));
    let granted = Granted {
        client_id: client.app.client_id.clone(),
        user: user.object_id.clone(),
        tenant: ask.tenant.id.clone(),
        asked: vec![asked.clone()],
        oidc,
        nonce: None,
        policy: None,
        second_factor,
        at: at.unwrap_or(ask.call.now),
    };
    let of = Delegation {
        user,
        granted,
        asked: Some(asked),
        code: None,
    };
    respond(&ask, &client, of)
}

/// The one resource that the request names.
pub(super) fn scopes(ask: &TokenCall<'_>, client_id: &str) -> Result<(Asked, Oidc), Refusal> {
    let tenant = &ask.tenant.id;
    if ask.version == Version::V1 {
        let asked = Wanted::of_resource(ask.world, tenant, ask.form.require("resource")?)?;
        let scope = ask.form.get("scope").unwrap_or_default();
        let openid = scope.split_ascii_whitespace().any(|one| one == "openid");
        let oidc = Oidc {
            openid,
            ..Oidc::default()
        };
        return Ok((asked, oidc));
    }
    if ask.form.get("resource").is_some() {
        return Err(Refusal::plain(901_002));
    }
    let text = ask.form.require("scope")?;
    let wanted = Wanted::parse(ask.world, tenant, client_id, text)?;
    let asked = wanted.one(text)?.cloned().ok_or_else(|| {
        Refusal::new(
            70_011,
            format!(
                "The provided request must include a 'scope' input parameter that names a resource. \
                 The scope {text} is not valid."
            ),
        )
    })?;
    Ok((asked, wanted.oidc))
}

/// That it is a user's access token of this tenant for the client.
fn check(ask: &TokenCall<'_>, client: &Client, token: &Jws<'_>) -> Result<(), Refusal> {
    check_signature(ask, token)?;
    if token.claim("tid") != Some(&ask.tenant.id) {
        return Err(Refusal::new(
            50_013,
            "Assertion is invalid: the token issuer is not of this tenant.",
        ));
    }
    check_expiry(ask, token)?;
    check_audience(ask, client, token)?;
    if token.claim("idtyp") == Some("app") {
        return Err(Refusal::new(
            7_000_114,
            format!(
                "Application '{}' is not allowed to make application on-behalf-of calls.",
                client.app.client_id
            ),
        ));
    }
    if token.claim("scp").is_none() {
        return Err(Refusal::new(
            50_013,
            "Assertion is invalid: it is not an access token.",
        ));
    }
    Ok(())
}

/// That a key of this server signed it.
pub(super) fn check_signature(ask: &TokenCall<'_>, token: &Jws<'_>) -> Result<(), Refusal> {
    let keys = ask.world.keys.jwks(None);
    let named = token.parameter("kid").unwrap_or_default();
    let key = find_key(&keys, named).ok_or_else(|| {
        Refusal::new(
            50_013,
            format!(
                "Assertion failed signature validation. [Reason - The key was not found., Thumbprint \
                 of key used by client: '{named}']"
            ),
        )
    })?;
    if token.parameter("alg") == Some("RS256") && token.verify(&key, Algorithm::RS256) {
        return Ok(());
    }
    Err(Refusal::new(
        50_013,
        "Assertion failed signature validation. [Reason - The provided signature value did not match \
         the expected signature value.]",
    ))
}

/// That it has not expired.
pub(super) fn check_expiry(ask: &TokenCall<'_>, token: &Jws<'_>) -> Result<(), Refusal> {
    let expires = token.claims.get("exp").and_then(Value::as_i64).unwrap_or(0);
    let now = ask.call.now;
    if expires.saturating_add(ALLOWED_SKEW) > now {
        return Ok(());
    }
    Err(Refusal::new(
        500_133,
        format!(
            "Assertion is not within its valid time range. Ensure that the access token is not \
             expired before using it for user assertion, or request a new token. Current time: {}, \
             expiry time of assertion {}.",
            precise_stamp(now),
            precise_stamp(expires)
        ),
    ))
}

/// That the client is whom it was issued for; an agent identity takes its
/// blueprint's.
fn check_audience(ask: &TokenCall<'_>, client: &Client, token: &Jws<'_>) -> Result<(), Refusal> {
    let registry = lock(&ask.world.registry);
    let meant = client.app.agent_of.as_ref();
    let meant = meant.unwrap_or(&client.app.client_id);
    let expected = registry.audiences_of(meant);
    let audiences = token.audiences();
    let same = |one: &&str| expected.iter().any(|known| known.eq_ignore_ascii_case(one));
    if audiences.iter().any(same) {
        return Ok(());
    }
    Err(Refusal::new(
        500_131,
        format!(
            "Assertion audience does not match the Client app presenting the assertion. The audience \
             in the assertion was '{}' and the expected audience is '{}' or one of the Application \
             Uris of this application with App ID '{meant}'. The downstream client must request a \
             token for the expected audience (the application that made the OBO request) and this \
             application should use that token as the assertion.",
            audiences.join(" "),
            expected.last().unwrap_or(meant)
        ),
    ))
}
