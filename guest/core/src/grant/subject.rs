//! What a grant presents: tokens, codes and verifiers that came from elsewhere.

use crate::config::rules::is_absolute_uri;
use crate::limits::MAX_ASSERTION_BYTES;
use crate::{Error, ErrorClass, Secret};

/// Checks a token that is presented: one line of visible characters (RFC 6749 appendix A), which is what a form, a header
/// and a server take. `what` names it.
pub(super) fn check(what: &str, token: &Secret) -> Result<(), Error> {
    let text = token.expose();
    if text.is_empty() {
        return Err(invalid(format!("{what} is empty")));
    }
    if text.len() > MAX_ASSERTION_BYTES {
        return Err(invalid(format!(
            "{what} has {} bytes; at most {MAX_ASSERTION_BYTES} are taken",
            text.len()
        )));
    }
    if let Some(place) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return Err(invalid(format!(
            "{what} has a character that no token has, at byte {}",
            place + 1
        ))
        .hint("pass the token alone: without `Bearer `, quotes and line breaks"));
    }
    Ok(())
}

/// Checks a token type of RFC 8693 section 3: a URI.
pub(super) fn check_type(what: &str, kind: &str) -> Result<(), Error> {
    if kind.len() <= MAX_TYPE_BYTES && is_absolute_uri(kind) {
        return Ok(());
    }
    Err(invalid(format!("{what} is no URI")).hint(
        "write the URN of the token type, urn:ietf:params:oauth:token-type:access_token for example",
    ))
}

/// Of a token type, bytes. Those that are registered have forty or fifty.
const MAX_TYPE_BYTES: usize = 512;

pub(super) fn invalid(message: String) -> Error {
    Error::new(ErrorClass::InvalidRequest, message)
}
