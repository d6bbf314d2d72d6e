//! RFC 6749 section 6.

use super::{add_scopes, subject};
use crate::authority::Authority;
use crate::exchange::Form;
use crate::{Error, Secret};

pub(super) fn check(token: &Secret) -> Result<(), Error> {
    subject::check("the refresh token", token)
}

pub(super) fn add_to<'a>(
    form: &mut Form<'a>,
    token: &'a Secret,
    authority: &Authority,
    scopes: &[String],
) {
    form.add("grant_type", "refresh_token");
    form.add("refresh_token", token.expose());
    add_scopes(form, authority, scopes);
}
