//! A token response (RFC 6749 section 5.1): what of it counts, and what makes it none. An ID token in it is not judged here.

use crate::effect::HttpResponse;
use crate::exchange::invalid::{invalid, not_json};
use crate::exchange::number::whole_number;
use crate::exchange::refusal::refused;
use crate::exchange::{Asked, body};
use crate::json::Json;
use crate::limits::{DEFAULT_EXPIRES_IN_S, MAX_EXPIRES_IN_S};
use crate::text::{clean, clean_whole};
use crate::{Error, Secret};

/// What a token response says.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) token: Secret,
    pub(crate) token_type: String,
    pub(crate) lifetime_ms: u64,
    pub(crate) refresh_in_ms: Option<u64>,
    pub(crate) scope: Option<String>,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) id_token: Option<Secret>,
    pub(crate) issued_token_type: Option<String>,
    pub(crate) certificate_thumbprint: Option<String>,
}

impl Granted {
    /// When it is due for a refresh, after it was asked for: when the server says so, and after half of its life otherwise.
    pub(crate) fn refresh_after_ms(&self) -> u64 {
        refresh_after_ms(self.lifetime_ms, self.refresh_in_ms)
    }
}

/// The same of anything that lives so long. A moment that is not within its life counts for none.
pub(crate) fn refresh_after_ms(lifetime_ms: u64, refresh_in_ms: Option<u64>) -> u64 {
    let within = refresh_in_ms.filter(|ms| *ms < lifetime_ms);
    within.unwrap_or(lifetime_ms / 2)
}

/// Azure AD B2C issues no access token where only scopes of OpenID Connect are asked for
/// (learn.microsoft.com/azure/active-directory-b2c/access-tokens#scopes).
#[cfg(feature = "every-credential")]
const ID_TOKEN_ALONE: &str = "it has an id_token alone: ask for a scope of an API beside openid, at Azure AD B2C for the client_id itself if there is none";

/// The server is the right one, and what it issues is not what can be sent on.
#[cfg(feature = "key-vault")]
const TOKEN_TYPE: &str = "a token response says `token_type` Bearer (RFC 6749 section 5.1, RFC 6750): ask whoever runs the server for bearer tokens for this client";

#[cfg(feature = "key-vault")]
const UNBOUND: &str = "the server has not bound it to the certificate of the connection: ask whoever runs it whether this client may have such tokens, or ask for a bearer token";

pub(super) fn granted(asked: &Asked<'_>, response: &HttpResponse) -> Result<Granted, Error> {
    let body = match Json::parse_answer(body::text(response)) {
        Ok(body) => body,
        Err(error) => return Err(not_json(asked, response, &error)),
    };
    let host = &asked.endpoint.authority;
    let text = |field: &str| body.get(field).and_then(Json::text);
    // an empty one is none
    let given = |field: &str| text(field).filter(|text| !text.expose().is_empty());
    let required = |field: &str| {
        text(field).ok_or_else(|| {
            let message = match body.get(field) {
                None | Some(Json::Null) => format!("the token response of {host} has no `{field}`"),
                Some(_) => format!(
                    "the token response of {host} has a `{field}` of a wrong type: a string is expected"
                ),
            };
            invalid(asked, response, message)
        })
    };
    let token = match given("access_token") {
        Some(token) => token,
        None if text("error").is_some() => return Err(refused(asked, response)),
        None => {
            let error = required("access_token").err().unwrap_or_else(|| {
                let message = format!("the token response of {host} has an empty `access_token`");
                invalid(asked, response, message)
            });
            #[cfg(feature = "every-credential")]
            let error = match given("id_token") {
                // the same scopes bring the same
                Some(_) => error
                    .edit(|detail| detail.retryable = false)
                    .hint(ID_TOKEN_ALONE),
                None => error,
            };
            return Err(error);
        }
    };
    if !is_visible_ascii(token.expose()) {
        let message = format!("the access_token of {host} has characters that no header may carry");
        return Err(invalid(asked, response, message));
    }
    let token_type = required("token_type");
    #[cfg(feature = "key-vault")]
    let token_type = token_type.map_err(|error| error.hint(TOKEN_TYPE));
    let token_type = token_type?.expose();
    // few answers have words to clean, and it takes the secrets in every coding
    let known = || asked.known(&body);
    let certificate_thumbprint = asked.wanted.check(token, token_type).map_err(|wanted| {
        let message = format!(
            "{host} issued a token of type `{}` where {wanted} was asked for",
            clean(token_type, &known())
        );
        let error = invalid(asked, response, message).edit(|detail| detail.retryable = false);
        #[cfg(feature = "key-vault")]
        let error = error.hint(match asked.wanted.token_type {
            crate::TokenType::Bearer => TOKEN_TYPE,
            crate::TokenType::MtlsPop => UNBOUND,
        });
        error
    })?;
    // nobody has to send what follows (RFC 6749 section 5.1), so what cannot be read is treated as absent
    let seconds = |field| body.get(field).and_then(whole_number);
    let lifetime_s = seconds("expires_in")
        .or_else(|| Some(seconds("expires_on")?.saturating_sub(asked.server_unix_s)))
        .unwrap_or(DEFAULT_EXPIRES_IN_S);
    let scope = match body.get("scope") {
        Some(Json::Text(scope)) => Some(clean_whole(scope.expose(), &known())),
        Some(Json::List(scopes)) => {
            let scopes: Vec<&str> = scopes
                .iter()
                .filter_map(|scope| scope.text().map(Secret::expose))
                .collect();
            Some(clean_whole(&scopes.join(" "), &known()))
        }
        _ => None,
    };
    Ok(Granted {
        refresh_token: given("refresh_token").cloned(),
        // without the means to validate it, it is not handed out
        id_token: given("id_token")
            .filter(|_| cfg!(feature = "every-credential"))
            .cloned(),
        issued_token_type: given("issued_token_type").map(|urn| clean(urn.expose(), &known())),
        // the token says it of itself
        certificate_thumbprint: certificate_thumbprint.map(|text| clean(&text, &known())),
        token: token.clone(),
        token_type: token_type.to_owned(),
        lifetime_ms: lifetime_s.min(MAX_EXPIRES_IN_S).saturating_mul(1000),
        refresh_in_ms: seconds("refresh_in")
            .filter(|seconds| *seconds > 0)
            .map(|seconds| seconds.saturating_mul(1000)),
        scope: scope.filter(|scope| !scope.is_empty()),
    })
}

/// Whether it has no character but `!` to `~`. Looked at eight at a time: tokens are long.
fn is_visible_ascii(text: &str) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    // of bytes below 0x80, adding to each sets the highest bit of those that are too high, and not of those too low
    let is_visible = |bytes: &[u8; 8]| {
        let word = u64::from_ne_bytes(*bytes);
        let high = word | word.wrapping_add(EACH);
        let low = !word.wrapping_add(EACH * (0x80 - 0x21));
        (high | low) & (EACH * 0x80) == 0
    };
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    words.iter().all(is_visible) && rest.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorClass;
    use crate::exchange::tests::{read, response};

    #[test]
    fn a_grant_brings_more_than_a_token() {
        let body = r#"{"token_type":"Bearer","access_token":"t","refresh_token":"r","id_token":"i","issued_token_type":"urn:x\ny"}"#;
        let granted = read(&response(200, &[], body)).unwrap();
        assert_eq!(granted.refresh_token, Some(Secret::new("r")));
        assert_eq!(granted.id_token, Some(Secret::new("i")));
        assert_eq!(granted.issued_token_type.as_deref(), Some("urn:x y"));
        // nobody insists on them
        let body =
            r#"{"token_type":"Bearer","access_token":"t","refresh_token":1,"id_token":null}"#;
        let granted = read(&response(200, &[], body)).unwrap();
        assert_eq!((granted.refresh_token, granted.id_token), (None, None));
    }

    #[test]
    fn lifetimes_may_be_numbers_or_numeric_strings() {
        for (times, life_s, refresh_s) in [
            (r#""expires_in":3599"#, 3599, None),
            (
                r#""expires_in":"3599","refresh_in":"1800""#,
                3599,
                Some(1800),
            ),
            (r#""expires_in":3599.9"#, 3599, None),
            (r#""expires_on":"1000500""#, 500, None),
            (r#""expires_in":null,"expires_on":1000500"#, 500, None),
            (r#""expires_in":-5"#, 0, None),
            (r#""expires_in":"-5""#, 0, None),
            (r#""expires_in":"-0.5""#, 0, None),
            (
                r#""expires_in":"18446744073709551616""#,
                MAX_EXPIRES_IN_S,
                None,
            ),
            (r#""expires_in":"-""#, DEFAULT_EXPIRES_IN_S, None),
            // what nobody has to send vetoes nothing
            (
                r#""expires_in":"3599","expires_on":"2026-11-01T00:00:00Z""#,
                3599,
                None,
            ),
            (
                r#""expires_in":3599,"expires_on":"11/01/2026 00:00:00 AM +00:00""#,
                3599,
                None,
            ),
            (
                r#""expires_on":"2026-11-01T00:00:00Z""#,
                DEFAULT_EXPIRES_IN_S,
                None,
            ),
            (r#""expires_in":"soon","expires_on":"1000500""#, 500, None),
            (r#""expires_in":[3599]"#, DEFAULT_EXPIRES_IN_S, None),
            (r#""expires_in":3599,"refresh_in":true"#, 3599, None),
            (r#""expires_in":3599,"refresh_in":{}"#, 3599, None),
            (r#""expires_in":99999999999999"#, MAX_EXPIRES_IN_S, None),
            (r#""scope":"x""#, DEFAULT_EXPIRES_IN_S, None),
        ] {
            let body = format!(r#"{{"token_type":"bearer","access_token":"t",{times}}}"#);
            let granted = read(&response(200, &[], &body)).expect(times);
            assert_eq!(granted.lifetime_ms, life_s * 1000, "{times}");
            assert_eq!(
                granted.refresh_in_ms,
                refresh_s.map(|s: u64| s * 1000),
                "{times}"
            );
        }
    }

    #[test]
    fn scopes_may_be_a_text_or_a_list_or_nonsense() {
        for (scope, expected) in [
            (r#""a b""#, Some("a b")),
            (r#"["a","b"]"#, Some("a b")),
            (r#"["a",7]"#, Some("a")),
            ("[]", None),
            (r#""""#, None),
            ("7", None),
            ("null", None),
            ("{}", None),
            (r#""a the-client-secret\u202e""#, Some("a [redacted]")),
        ] {
            let body = format!(r#"{{"token_type":"bearer","access_token":"t","scope":{scope}}}"#);
            let granted = read(&response(200, &[], &body)).expect(scope);
            assert_eq!(granted.scope.as_deref(), expected, "{scope}");
        }
    }

    #[test]
    fn an_id_token_alone_is_told_from_no_token() {
        for (body, is_told) in [
            (r#"{"token_type":"Bearer","id_token":"i"}"#, true),
            (
                r#"{"token_type":"Bearer","id_token":"i","access_token":""}"#,
                true,
            ),
            (r#"{"token_type":"Bearer","id_token":""}"#, false),
            (r#"{"token_type":"Bearer"}"#, false),
        ] {
            let error = read(&response(200, &[], body)).expect_err("no access token");
            assert_eq!(error.class(), ErrorClass::InvalidResponse);
            let hint = error.detail().hint.clone().unwrap_or_default();
            assert_eq!(hint == ID_TOKEN_ALONE, is_told, "{body}: {hint}");
            assert_eq!(error.detail().retryable, !is_told, "{body}");
        }
    }

    /// Every character at every place of a word, and of what is left of one.
    #[test]
    fn what_no_header_may_carry_is_seen_wherever_it_stands() {
        for length in [1, 7, 8, 9, 20] {
            for at in 0..length {
                for c in (0..0x180).filter_map(char::from_u32) {
                    let text: String = (0..length)
                        .map(|n| match n {
                            n if n == at => c,
                            n if n % 2 == 0 => '!',
                            _ => '~',
                        })
                        .collect();
                    assert_eq!(
                        is_visible_ascii(&text),
                        ('!'..='~').contains(&c),
                        "{text:?}"
                    );
                }
            }
        }
        assert!(is_visible_ascii(""));
    }
}
