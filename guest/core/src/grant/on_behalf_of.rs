//! Entra's on-behalf-of: RFC 7523 section 2.1 with a parameter of its own, which makes of a user's token for one API the
//! same user's token for another.

use super::{add_scopes, subject};
use crate::authority::Authority;
use crate::exchange::Form;
use crate::inspect::inspect_jwt;
use crate::{Error, Secret};

/// Session keys, bytes: who guesses one gets a user's tokens, so a name or a number of the user's is none. 16 random bytes
/// are 22 characters of base64.
const SESSION_KEY_BYTES: std::ops::RangeInclusive<usize> = 22..=512;

pub(super) fn check(assertion: Option<&Secret>, session_key: Option<&Secret>) -> Result<(), Error> {
    if let Some(key) = session_key
        && !SESSION_KEY_BYTES.contains(&key.expose().len())
    {
        return Err(subject::invalid(format!(
            "the session key has {} bytes; {} to {} are taken",
            key.expose().len(),
            SESSION_KEY_BYTES.start(),
            SESSION_KEY_BYTES.end()
        ))
        .hint("make it at random, of 16 bytes or more: who knows it gets the user's tokens"));
    }
    match assertion {
        Some(assertion) => {
            subject::check("the assertion of on-behalf-of", assertion)?;
            // RFC 7523 section 2.1; what is in one that is encrypted (RFC 7516 section 7.1) is the server's to see
            let text = assertion.expose();
            match inspect_jwt(text).is_some() || text.split('.').count() == 5 {
                true => Ok(()),
                false => Err(subject::invalid(
                    "the assertion of on-behalf-of is no JWT".to_owned(),
                )
                .hint("pass the access token that the user has sent, as it came")),
            }
        }
        None if session_key.is_some() => Ok(()),
        None => Err(subject::invalid(
            "on-behalf-of has neither an assertion nor a session key".to_owned(),
        )
        .hint("pass the access token that the user has sent")),
    }
}

pub(super) fn add_to<'a>(
    form: &mut Form<'a>,
    assertion: Option<&'a Secret>,
    authority: &Authority,
    scopes: &[String],
) {
    form.add("grant_type", super::JWT_BEARER);
    form.add("requested_token_use", "on_behalf_of");
    if let Some(assertion) = assertion {
        form.add("assertion", assertion.expose());
    }
    add_scopes(form, authority, scopes);
}
