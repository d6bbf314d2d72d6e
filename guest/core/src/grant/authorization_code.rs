//! RFC 6749 section 4.1.3, with the verifier of RFC 7636.

use super::{add_scopes, subject};
use crate::authority::Authority;
use crate::config::rules::is_absolute_uri;
use crate::exchange::Form;
use crate::{Error, Secret};

/// Of a redirect URI, bytes: longer than servers register.
const MAX_REDIRECT_URI_BYTES: usize = 2048;

pub(super) fn check(
    code: &Secret,
    redirect_uri: &str,
    code_verifier: Option<&Secret>,
    nonce: Option<&Secret>,
) -> Result<(), Error> {
    subject::check("the authorization code", code)?;
    check_redirect_uri(redirect_uri)?;
    if nonce.is_some_and(|nonce| nonce.expose().trim().is_empty()) {
        return Err(subject::invalid("the nonce is empty".to_owned())
            .hint("hand in that of the authorization request, or none where it had none"));
    }
    code_verifier.map_or(Ok(()), check_verifier)
}

/// An absolute URI without a fragment (RFC 6749 section 3.1.2).
fn check_redirect_uri(uri: &str) -> Result<(), Error> {
    let hint = "write it to the letter as the authorization request had it, https://app.example/callback for example";
    if uri.len() > MAX_REDIRECT_URI_BYTES || !is_absolute_uri(uri) {
        return Err(subject::invalid("the redirect URI is no absolute URI".to_owned()).hint(hint));
    }
    if uri.contains('#') {
        return Err(subject::invalid("the redirect URI has a fragment".to_owned()).hint(hint));
    }
    Ok(())
}

/// RFC 7636 section 4.1.
fn check_verifier(verifier: &Secret) -> Result<(), Error> {
    let text = verifier.expose();
    let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved) {
        return Ok(());
    }
    Err(subject::invalid(
        "the code verifier is not of 43 to 128 letters, digits, `-`, `.`, `_` and `~` (RFC 7636 section 4.1)".to_owned(),
    )
    .hint("pass the verifier itself, and not the challenge that was made of it"))
}

pub(super) fn add_to<'a>(
    form: &mut Form<'a>,
    code: &'a Secret,
    redirect_uri: &'a str,
    code_verifier: Option<&'a Secret>,
    authority: &Authority,
    scopes: &[String],
) {
    form.add("grant_type", "authorization_code");
    form.add("code", code.expose());
    form.add("redirect_uri", redirect_uri);
    if let Some(verifier) = code_verifier {
        form.add("code_verifier", verifier.expose());
    }
    add_scopes(form, authority, scopes);
}
