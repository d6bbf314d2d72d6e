//! Client secrets, in the body or in an HTTP Basic header.

use url::form_urlencoded;

use crate::encoding::from_base64;
use crate::errors::Refusal;
use crate::registry::App;
use crate::request::TokenCall;

/// A secret as it was presented.
pub(super) struct Presented {
    /// The client the header names; the body names it otherwise.
    pub(super) client_id: Option<String>,
    pub(super) value: String,
    pub(super) basic: bool,
}

/// Finds the secret; there must not be two.
pub(super) fn presented(ask: &TokenCall<'_>) -> Result<Option<Presented>, Refusal> {
    let posted = ask.form.get("client_secret");
    let Some(header) = ask.call.header("authorization") else {
        return Ok(posted.map(|value| Presented {
            client_id: None,
            value: value.to_owned(),
            basic: false,
        }));
    };
    let (client_id, value) = parse_basic(header).ok_or_else(|| {
        malformed("the Authorization header is not HTTP Basic with form-encoded parts")
    })?;
    if posted.is_some() {
        return Err(malformed(
            "the client secret is presented both in the Authorization header and in the body; \
             only one method may be used",
        ));
    }
    if ask
        .form
        .get("client_id")
        .is_some_and(|named| !named.eq_ignore_ascii_case(&client_id))
    {
        return Err(malformed(
            "the client_id of the body is not that of the Authorization header",
        ));
    }
    Ok(Some(Presented {
        client_id: Some(client_id),
        value,
        basic: true,
    }))
}

/// Compares with the registered secrets.
pub(super) fn verify(app: &App, value: &str, now: i64) -> Result<(), Refusal> {
    let expired = |expires_at: Option<i64>| expires_at.is_some_and(|until| until <= now);
    match app.secrets.iter().find(|secret| secret.value == value) {
        Some(secret) if expired(secret.expires_at) => Err(Refusal::new(
            7_000_222,
            format!(
                "The provided client secret keys for app '{}' are expired. Visit the Azure portal \
                 to create new keys for your app: https://aka.ms/NewClientSecret, or consider using \
                 certificate credentials for added security: https://aka.ms/certCreds.",
                app.client_id
            ),
        )),
        Some(_) => Ok(()),
        None => Err(Refusal::new(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is \
                 the client secret value, not the client secret ID, for a secret added to app '{}'.",
                app.client_id
            ),
        )),
    }
}

/// RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
fn parse_basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = String::from_utf8(from_base64(encoded.trim())?).ok()?;
    let (client_id, secret) = joined.split_once(':')?;
    Some((form_decode(client_id), form_decode(secret)))
}

fn form_decode(part: &str) -> String {
    // The parser splits at `&` and `=`; an encoded part has neither bare, so
    // shielding them decodes the rest exactly.
    let shielded = part.replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(shielded.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect()
}

fn malformed(why: &str) -> Refusal {
    Refusal::new(
        9_002_313,
        format!("Invalid request. Request is malformed or invalid: {why}."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::base64;

    #[test]
    fn basic_parts_are_form_decoded() {
        let header = format!("Basic {}", base64(b"id%3A1:a+b%2B%26%3D%25%7E"));
        assert_eq!(
            parse_basic(&header),
            Some(("id:1".into(), "a b+&=%~".into()))
        );
        assert_eq!(parse_basic("Bearer abc"), None);
        assert_eq!(parse_basic(&format!("basic {}", base64(b"no-colon"))), None);
    }
}
