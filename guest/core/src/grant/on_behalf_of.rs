//! Entra's on-behalf-of: RFC 7523 section 2.1 with a parameter of its own, which makes of a user's token for one API the
//! same user's token for another.

use super::{add_scopes, subject};
use crate::authority::Authority;
use crate::exchange::Form;
use crate::{Error, Secret};

pub(super) fn check(assertion: Option<&Secret>, session_key: Option<&Secret>) -> Result<(), Error> {
    if session_key.is_some() {
        return Err(super::unsupported("a session key of on-behalf-of"));
    }
    match assertion {
        Some(assertion) => subject::check("the assertion of on-behalf-of", assertion),
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
