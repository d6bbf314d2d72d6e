//! Tokens that say about whom a new one shall be.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{Ask, Fault};
use crate::jose::{Jws, find_key};
use crate::verify::ALLOWED_SKEW;

/// What a verified token says.
pub(super) struct Verified {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audiences: Vec<String>,
}

/// Verifies a JWT of an issuer that is known here; `what` names its parameter.
pub(super) fn verify(
    ask: &Ask<'_>,
    what: &str,
    error: &'static str,
    token: &str,
) -> Result<Verified, Fault> {
    let wrong = |why: &str| Fault::new(error, format!("{what}: {why}"));
    let jws = Jws::parse(token).ok_or_else(|| wrong("it is not a signed JWT"))?;
    let claim = |name: &str| {
        let value = jws.claim(name).map(ToOwned::to_owned);
        value.ok_or_else(|| wrong(&format!("it has no '{name}'")))
    };
    let (issuer, subject) = (claim("iss")?, claim("sub")?);
    let keys = ask.world.issuer_keys(&issuer).or_else(|| {
        // Entra's first version has another issuer and the same keys
        let own = ask.world.identity.authority();
        issuer
            .starts_with(&format!("{own}/"))
            .then(|| ask.world.keys.jwks(None))
    });
    let keys = keys.ok_or_else(|| wrong(&format!("its issuer {issuer} is not known")))?;
    let key = jws.parameter("kid").and_then(|kid| find_key(&keys, kid));
    let key = key.ok_or_else(|| wrong("its issuer has no such key"))?;
    if jws.parameter("alg") != Some("RS256") || !jws.verify(&key, Algorithm::RS256) {
        return Err(wrong("its signature is not its issuer's"));
    }
    let time = |name: &str| jws.claims.get(name).and_then(Value::as_i64);
    let now = ask.call.now;
    let expires = time("exp").ok_or_else(|| wrong("it has no 'exp'"))?;
    if expires.saturating_add(ALLOWED_SKEW) <= now {
        return Err(wrong("it has expired"));
    }
    if time("nbf").is_some_and(|from| from > now.saturating_add(ALLOWED_SKEW)) {
        return Err(wrong("it is not valid yet"));
    }
    let audiences = jws.audiences().into_iter().map(ToOwned::to_owned);
    Ok(Verified {
        issuer,
        subject,
        audiences: audiences.collect(),
    })
}
