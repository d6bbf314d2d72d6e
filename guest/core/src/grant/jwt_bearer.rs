//! RFC 7523 section 2.1: an assertion of somebody whom the server trusts, in place of a code.

use super::{add_scopes, subject};
use crate::authority::Authority;
use crate::exchange::Form;
use crate::{Error, Secret};

pub(super) fn check(assertion: &Secret) -> Result<(), Error> {
    subject::check("the assertion of jwt-bearer", assertion)
}

pub(super) fn add_to<'a>(
    form: &mut Form<'a>,
    assertion: &'a Secret,
    authority: &Authority,
    scopes: &[String],
) {
    form.add("grant_type", super::JWT_BEARER);
    form.add("assertion", assertion.expose());
    add_scopes(form, authority, scopes);
}
