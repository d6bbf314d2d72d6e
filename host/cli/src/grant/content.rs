//! What a file of a grant holds, as far as its look tells: a callback's URL, a document or a token of another kind in the
//! place of what belongs there is a mistake that a server answers with `invalid_grant`, which says nothing.
//!
//! Only what cannot be right is refused. Codes and refresh tokens are opaque, of any form that a server likes: some are JWTs
//! (Keycloak's refresh tokens) or JWEs (the codes of Azure AD B2C).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass::{Secret, token_types};
use edgepass_core::without_byte_order_mark;
use serde_json::{Map, Value};

use super::SECRET_BYTES;

/// What belongs into a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// Whom on-behalf-of is for: what the user has called with.
    UsersToken,
    /// Of JWT bearer (RFC 7523 section 2.1).
    Assertion,
    Code,
    Verifier,
    RefreshToken,
    /// Of token exchange, by its type.
    Token(&'a str),
}

/// What a text is by its look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Look {
    Url,
    /// A query, or a form.
    Parameters,
    /// With `%2F` and the like in it.
    PercentEncoded,
    AccessToken,
    IdToken,
    /// A JWT that says so of itself.
    RefreshToken,
    /// A JWT, and nothing is known of its use; or one that is encrypted.
    Jwt,
    /// What Entra ID issues as a code or a refresh token, which look alike.
    Opaque,
    Other,
}

/// What is wrong with a file: continues the option, and what to do.
type Wrong = (String, &'static str);

const ALONE: &str = "it must hold the token, code or verifier alone, in one line";

/// The secret in what was read, or what is wrong with that. Nothing of it is repeated.
pub(super) fn of(bytes: &[u8], is_stdin: bool, wanted: Wanted<'_>) -> Result<Secret, Wrong> {
    let wrong = |message: &str, hint| Err((message.to_owned(), hint));
    if bytes.len() as u64 > SECRET_BYTES {
        return wrong("gives more than 128 KiB", ALONE);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return wrong("gives no text: it is not UTF-8", ALONE);
    };
    let text = without_byte_order_mark(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let begins = |prefix: &str| {
        text.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if text.trim().is_empty() {
        return match is_stdin {
            true => wrong(
                "is `-`, and standard input is empty",
                "send it there: … < FILE",
            ),
            false => wrong("names a file that is empty", "write the secret into it"),
        };
    }
    if text.trim_start().starts_with(['{', '[']) {
        return wrong(
            "gives JSON, and must give the value alone",
            "take it out: jq -r .access_token FILE, or .refresh_token",
        );
    }
    if text.starts_with(['"', '\'']) {
        return wrong(
            "gives a text in quotes, and must give the value alone",
            "take the quotes away: jq -r writes none",
        );
    }
    if begins("bearer ") || begins("authorization:") {
        return wrong(
            "gives a header, and must give the token alone",
            "take `Authorization: Bearer ` away",
        );
    }
    if begins("-----BEGIN") {
        return wrong(
            "gives PEM, a certificate or a key",
            "a certificate is named by the identity's credential, in the configuration",
        );
    }
    if begins("<") {
        return wrong(
            "gives XML, and must give the value alone",
            "a SAML assertion is presented in base64url (RFC 8693 section 3)",
        );
    }
    if text.contains(|c: char| c.is_control()) {
        return wrong("gives more than one line", ALONE);
    }
    let look = look(text);
    wanted.refuses(text, look).map_or_else(
        || Ok(Secret::new(text)),
        |hint| {
            let message = match wanted {
                Wanted::Verifier if look == Look::Other => {
                    "gives no code verifier, which has 43 to 128 letters, digits, `-`, `.`, `_` and `~`"
                        .to_owned()
                }
                _ => format!("gives {}, and not {}", look.in_words(), wanted.in_words()),
            };
            Err((message, hint))
        },
    )
}

impl Wanted<'_> {
    fn in_words(self) -> &'static str {
        match self {
            Self::UsersToken => "the user's access token",
            Self::Assertion => "an assertion, which is a JWT (RFC 7523)",
            Self::Code => "a code alone",
            Self::Verifier => "a code verifier",
            Self::RefreshToken => "a refresh token",
            Self::Token(token_types::ID_TOKEN) => "an ID token, which the option of its type says",
            Self::Token(token_types::JWT) => "a JWT, which the option of its type says",
            Self::Token(token_types::REFRESH_TOKEN) => {
                "a refresh token, which the option of its type says"
            }
            Self::Token(token_types::ACCESS_TOKEN) => {
                "an access token, which the option of its type says"
            }
            Self::Token(_) => "a token alone",
        }
    }

    /// What to do, if that cannot be what is wanted.
    fn refuses(self, text: &str, look: Look) -> Option<&'static str> {
        const ITS_OPTION: &str =
            "give each file to the option of its kind; `edgepass token --help` lists them";
        const ITS_TYPE: &str = "give the token's own type, or the other file";
        const ITS_PARAMETER: &str = "write the value of its parameter alone into the file, decoded";

        let is_jwt = matches!(
            look,
            Look::AccessToken | Look::IdToken | Look::RefreshToken | Look::Jwt
        );
        match (self, look) {
            (_, Look::Url | Look::Parameters | Look::PercentEncoded) => Some(ITS_PARAMETER),
            (Self::Verifier, _) => {
                // RFC 7636 section 4.1
                let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
                let is_verifier =
                    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved);
                (!is_verifier || is_jwt).then_some(
                    "give the verifier itself, as `edgepass authorization-url` prints it, and not the challenge",
                )
            }
            (Self::Code, Look::AccessToken | Look::IdToken | Look::RefreshToken)
            | (Self::RefreshToken, Look::AccessToken | Look::IdToken)
            | (Self::UsersToken, Look::Opaque | Look::RefreshToken) => Some(ITS_OPTION),
            (Self::Assertion, _) => (!is_jwt).then_some(ITS_OPTION),
            (Self::Token(token_types::JWT), _) => (!is_jwt).then_some(ITS_TYPE),
            (Self::Token(token_types::ID_TOKEN), look) => {
                let is_other = matches!(look, Look::AccessToken | Look::RefreshToken);
                (!is_jwt || is_other).then_some(ITS_TYPE)
            }
            (Self::Token(token_types::REFRESH_TOKEN), Look::AccessToken | Look::IdToken)
            | (
                Self::Token(token_types::ACCESS_TOKEN),
                Look::IdToken | Look::RefreshToken | Look::Opaque,
            ) => Some(ITS_TYPE),
            _ => None,
        }
    }
}

impl Look {
    fn in_words(self) -> &'static str {
        match self {
            Self::Url => "a whole URL",
            Self::Parameters => "parameters of a URL or a form",
            Self::PercentEncoded => "what stands in a URL, percent-encoded",
            Self::AccessToken => "an access token",
            Self::IdToken => "an ID token",
            Self::RefreshToken => "a refresh token",
            Self::Jwt => "a JWT",
            Self::Opaque => "a code or a refresh token",
            Self::Other => "something else",
        }
    }
}

fn look(text: &str) -> Look {
    /// Of a callback, and of a token response.
    const PARAMETERS: [&str; 8] = [
        "code=",
        "state=",
        "session_state=",
        "error=",
        "access_token=",
        "id_token=",
        "refresh_token=",
        "grant_type=",
    ];

    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    if text
        .split_once("://")
        .is_some_and(|(scheme, _)| is_scheme(scheme))
    {
        return Look::Url;
    }
    let mut parts = text.split(['?', '&', '#']);
    if parts.any(|part| PARAMETERS.iter().any(|name| part.starts_with(name))) {
        return Look::Parameters;
    }
    if text.split('%').skip(1).any(|rest| {
        let digits = rest.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.count() == 2
    }) {
        return Look::PercentEncoded;
    }
    let parts: Vec<&str> = text.split('.').collect();
    match parts.as_slice() {
        [header, claims, _] => {
            if let (Some(header), Some(claims)) = (object(header), object(claims)) {
                return jwt(&header, &claims);
            }
        }
        [header, _, _, _, _] if object(header).is_some() => return Look::Jwt,
        _ => {}
    }
    // Entra ID's begin with a version and base64url of the tenant and the client
    match parts.as_slice() {
        ["0" | "1", body, ..] if body.starts_with('A') && body.len() > 30 => Look::Opaque,
        _ => Look::Other,
    }
}

/// What a JWT says of itself, where that is beyond doubt.
fn jwt(header: &Map<String, Value>, claims: &Map<String, Value>) -> Look {
    const MICROSOFT: [&str; 5] = [
        "https://login.microsoftonline.",
        "https://login.partner.microsoftonline.",
        "https://sts.windows.net/",
        ".b2clogin.com/",
        ".ciamlogin.com/",
    ];

    let text = |of: &Map<String, Value>, name: &str| {
        let text = of.get(name).and_then(Value::as_str);
        text.map(str::to_ascii_lowercase).unwrap_or_default()
    };
    // Keycloak's own, and a usual claim of others
    match text(claims, "typ").as_str() {
        "refresh" | "offline" => return Look::RefreshToken,
        "bearer" => return Look::AccessToken,
        "id" => return Look::IdToken,
        _ => {}
    }
    if text(claims, "token_type") == "refresh" {
        return Look::RefreshToken;
    }
    // RFC 9068 section 2.1
    if text(header, "typ").ends_with("at+jwt") {
        return Look::AccessToken;
    }
    // OpenID Connect Core section 3.3.2.11
    if claims.contains_key("at_hash") || claims.contains_key("c_hash") {
        return Look::IdToken;
    }
    let issuer = text(claims, "iss");
    if !MICROSOFT.iter().any(|known| issuer.contains(known)) {
        return Look::Jwt;
    }
    let of_access = ["scp", "roles", "appid", "azp", "wids", "xms_cc"];
    match of_access.iter().any(|name| claims.contains_key(*name)) {
        true => Look::AccessToken,
        false => Look::IdToken,
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let decoded = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    match serde_json::from_slice(&decoded) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmF0dXJl", part(header), part(claims))
    }

    fn with(claims: &Value) -> String {
        made(&json!({ "alg": "RS256", "typ": "JWT" }), claims)
    }

    fn access() -> String {
        with(&json!({ "iss": "https://login.microsoftonline.com/t/v2.0", "scp": "User.Read" }))
    }

    fn id() -> String {
        with(&json!({ "iss": "https://idp.example", "nonce": "n", "at_hash": "h" }))
    }

    fn keycloak() -> String {
        with(&json!({ "iss": "https://idp.example", "nonce": "n", "typ": "Refresh" }))
    }

    /// As B2C issues its codes.
    fn jwe() -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"kid":"k","alg":"RSA-OAEP"}"#);
        format!("{header}.a2V5.aXY.dGV4dA.dGFn")
    }

    fn entra() -> String {
        format!(
            "1.{}.AgABAAEAAAD",
            "AXoAs1QVb2GKf0m5eG3tQk9ZrZ0vBAgAAAA".repeat(2)
        )
    }

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn what_a_file_holds_is_taken_as_people_write_it() {
        for good in ["abc", "abc\n", "abc\r\n", "\u{feff}abc\n"] {
            let read = of(good.as_bytes(), false, Wanted::Code);
            assert_eq!(read, Ok(Secret::new("abc")), "{good:?}");
        }
        for (bad, says) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"a\nb\n", "more than one line"),
            (b"abc\n\n", "more than one line"),
            (b"a\0b", "more than one line"),
            (b"{\"access_token\":\"x\"}", "JSON"),
            (b"\n  {\"access_token\":\n\"x\"}", "JSON"),
            (b"[\"x\"]", "JSON"),
            (b"\"abc\"", "quotes"),
            (b"'abc'\n", "quotes"),
            (b"Bearer abc", "header"),
            (b"authorization: Bearer abc", "header"),
            (b"-----BEGIN CERTIFICATE-----\nMII\n", "PEM"),
            (b"<saml:Assertion>\n", "XML"),
            (b"\xff\xfe", "UTF-8"),
            (&[b'a'; 131_073], "128 KiB"),
        ] {
            for wanted in [
                Wanted::UsersToken,
                Wanted::Assertion,
                Wanted::Code,
                Wanted::Verifier,
                Wanted::RefreshToken,
                Wanted::Token(token_types::SAML2),
            ] {
                let (message, _) = of(bad, false, wanted).expect_err("it is no secret");
                assert!(message.contains(says), "{says}: {message}");
            }
        }
        assert!(of(&[b'a'; 131_072], false, Wanted::Code).is_ok());
        let (message, _) = of(b"", true, Wanted::Code).expect_err("nothing came");
        assert!(message.contains("standard input is empty"), "{message}");
    }

    /// A row is an option, a column what stands in its file; `true` is taken.
    #[test]
    fn kinds_of_secrets_are_told_apart_by_what_cannot_be_right() {
        let texts = [
            ("access token", access()),
            ("ID token", id()),
            ("Keycloak's refresh token", keycloak()),
            (
                "any JWT",
                with(&json!({ "iss": "https://idp.example", "sub": "alice" })),
            ),
            ("JWE", jwe()),
            ("Entra's code", entra()),
            ("verifier", VERIFIER.to_owned()),
            ("opaque", "SplxlOBeZQQYbYS6WxSbIA".to_owned()),
        ];
        let rows: [(Wanted<'_>, [bool; 8]); 10] = [
            (
                Wanted::UsersToken,
                [true, true, false, true, true, false, true, true],
            ),
            (
                Wanted::Assertion,
                [true, true, true, true, true, false, false, false],
            ),
            (
                Wanted::Code,
                [false, false, false, true, true, true, true, true],
            ),
            (
                Wanted::Verifier,
                [false, false, false, false, false, true, true, false],
            ),
            (
                Wanted::RefreshToken,
                [false, false, true, true, true, true, true, true],
            ),
            (
                Wanted::Token(token_types::JWT),
                [true, true, true, true, true, false, false, false],
            ),
            (
                Wanted::Token(token_types::ID_TOKEN),
                [false, true, false, true, true, false, false, false],
            ),
            (
                Wanted::Token(token_types::ACCESS_TOKEN),
                [true, false, false, true, true, false, true, true],
            ),
            (
                Wanted::Token(token_types::REFRESH_TOKEN),
                [false, false, true, true, true, true, true, true],
            ),
            (Wanted::Token("urn:x:y"), [true; 8]),
        ];
        for (wanted, expected) in rows {
            for ((what, text), expected) in texts.iter().zip(expected) {
                let read = of(text.as_bytes(), false, wanted);
                assert_eq!(read.is_ok(), expected, "{what} for {wanted:?}: {read:?}");
                if let Err((message, hint)) = read {
                    assert!(message.starts_with("gives "), "{message}");
                    assert!(!message.contains(text) && !hint.contains(text), "{message}");
                }
            }
        }
    }

    #[test]
    fn what_stands_in_a_callback_is_no_code() {
        for (text, says) in [
            (
                "https://app.example/callback?code=abc&state=s",
                "a whole URL",
            ),
            ("myapp://callback?code=abc", "a whole URL"),
            ("/callback?code=abc&state=s", "parameters"),
            ("?code=abc", "parameters"),
            ("code=abc&state=s", "parameters"),
            ("state=s&code=abc", "parameters"),
            ("access_token=abc&token_type=Bearer", "parameters"),
            ("#id_token=abc", "parameters"),
            ("4%2F0AX4XfWh", "percent-encoded"),
        ] {
            for wanted in [Wanted::Code, Wanted::RefreshToken, Wanted::UsersToken] {
                let (message, hint) = of(text.as_bytes(), false, wanted).expect_err(text);
                assert!(message.contains(says), "{says}: {message}");
                assert!(
                    hint.contains("parameter") && !message.contains(text),
                    "{hint}"
                );
            }
        }
        for good in [
            "4/0AX4XfWh==",
            "a%b",
            "100%",
            "barcode=x",
            "a.b.c",
            "M.C5_BAY.2.U.1-2!*$$",
        ] {
            assert!(of(good.as_bytes(), false, Wanted::Code).is_ok(), "{good}");
        }
    }
}
