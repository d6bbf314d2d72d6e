//! Claims challenges: what a resource server wants to see in the next token, and how it says so.

use base64::Engine as _;

use crate::base64_standard::BASE64;
use crate::json::Json;
use crate::limits::MAX_CLAIMS_BYTES;
use crate::text::{Needles, clean_json};
use crate::{Error, ErrorClass};

/// A `WWW-Authenticate` value, bytes. Room for the largest claims in base64 and some parameters beside them.
const MAX_HEADER_BYTES: usize = 2 * MAX_CLAIMS_BYTES;

/// A `Bearer` challenge (RFC 6750 section 3) with the parameters that Entra-protected services add.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Challenge {
    /// `realm`.
    pub realm: Option<String>,
    /// `error`, for example `invalid_token` or `insufficient_claims`.
    pub error: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `claims`, decoded: JSON text that fits a token request.
    pub claims: Option<String>,
    /// `authorization_uri`.
    pub authorization_uri: Option<String>,
}

/// Takes claims as people have them, a JSON object or base64 of one (either alphabet, padded or not), and gives the
/// JSON text. JSON stays as it was written but for white space around it.
///
/// # Errors
///
/// Of the class [`InvalidRequest`](crate::ErrorClass::InvalidRequest), when they are empty, too long, or neither.
pub fn parse_claims(claims: &str) -> Result<String, Error> {
    let claims = claims.trim();
    if claims.is_empty() {
        return Err(invalid("claims are empty"));
    }
    // base64 takes four characters for three bytes
    if claims.len() > MAX_CLAIMS_BYTES / 3 * 4 + 4 {
        return Err(too_long());
    }
    let json = if claims.starts_with('{') {
        claims.to_owned()
    } else {
        decode(claims)?
    };
    if json.len() > MAX_CLAIMS_BYTES {
        return Err(too_long());
    }
    // the parser's own words could quote the claims, which are nobody's business in a log
    match Json::parse(json.as_bytes()) {
        Ok(Json::Object(_)) => {}
        Ok(_) => return Err(invalid("claims are not a JSON object")),
        Err(error) => {
            let message = format!("claims are not a JSON object (column {})", error.column());
            return Err(invalid(&message));
        }
    }
    Ok(json)
}

/// Claims out of an answer, as ASCII alone and without what was sent. `None` if that leaves no claims.
pub(crate) fn clean_claims(claims: &str, sent: &Needles) -> Option<String> {
    let claims = parse_claims(claims).ok()?;
    parse_claims(&clean_json(&claims, sent)).ok()
}

/// Finds the `Bearer` challenge in a `WWW-Authenticate` value, which may hold several challenges (RFC 9110 section
/// 11.6.1). Of several `Bearer` ones the first with claims counts.
pub fn from_www_authenticate(value: &str) -> Option<Challenge> {
    if value.len() > MAX_HEADER_BYTES {
        return None;
    }
    let mut bearers = challenges(value)
        .into_iter()
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, parameters)| Challenge::from_parameters(parameters))
        .collect::<Vec<_>>();
    let chosen = bearers
        .iter()
        .position(|challenge| challenge.claims.is_some())
        .unwrap_or(0);
    (chosen < bearers.len()).then(|| bearers.swap_remove(chosen))
}

/// Whether an answer refuses the token of its request: a 401, and a 403 that asks for claims. In that case the challenge, if it
/// has one. There may be several headers, and several challenges in each (RFC 9110 section 11.6.1): what is wrong with one is
/// no matter for the others, and the first that has claims counts, then the first that asks for some, then the first of all.
/// Of answers with another status nobody asks for the values of `www-authenticate`.
pub fn refused(
    status: u16,
    www_authenticate: impl FnOnce() -> Vec<Vec<u8>>,
) -> Option<Option<String>> {
    if !matches!(status, 401 | 403) {
        return None;
    }
    let values = www_authenticate();
    let values = values.iter();
    let values = values.filter_map(|value| std::str::from_utf8(value).ok());
    let challenges = values.filter_map(|value| {
        let challenge = from_www_authenticate(value)?;
        let has_claims = challenge.claims.is_some();
        let asks = has_claims || challenge.error.as_deref() == Some("insufficient_claims");
        Some((value, asks, has_claims))
    });
    let challenges: Vec<_> = challenges.collect();
    let asking = challenges.iter().find(|(_, asks, _)| *asks);
    (status == 401 || asking.is_some()).then(|| {
        let with_claims = challenges.iter().find(|(_, _, has)| *has);
        let chosen = with_claims.or(asking).or(challenges.first());
        chosen.map(|(value, ..)| (*value).to_owned())
    })
}

/// The `WWW-Authenticate` value that tells a caller what is to be satisfied first: the claims of a challenge, as Entra's
/// clients read them, or a person's consent or sign-in (RFC 6750 section 3).
pub fn to_www_authenticate(claims: Option<&str>) -> String {
    match claims {
        Some(claims) => format!(
            "Bearer error=\"insufficient_claims\", claims=\"{}\"",
            BASE64.encode(claims)
        ),
        None => "Bearer error=\"interaction_required\"".to_owned(),
    }
}

impl Challenge {
    fn from_parameters(mut parameters: Vec<(String, String)>) -> Self {
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(known, _)| known == name)?;
            // the first of a repeated name counts, so the order has to stay
            let (_, value) = parameters.remove(at);
            Some(value).filter(|value| !value.is_empty())
        };
        Self {
            realm: take("realm"),
            error: take("error"),
            scope: take("scope"),
            // claims that cannot be read are treated as absent: the service's error is still there
            claims: take("claims").and_then(|claims| parse_claims(&claims).ok()),
            authorization_uri: take("authorization_uri").or_else(|| take("authorization")),
        }
    }
}

fn decode(claims: &str) -> Result<String, Error> {
    let standard: String = claims
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let bytes = BASE64
        .decode(standard)
        .map_err(|_| invalid("claims are neither a JSON object nor base64 of one"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| invalid("claims are base64 of something that is not text"))?;
    Ok(text.trim().to_owned())
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorClass::InvalidRequest, message)
        .hint("pass the claims value of the WWW-Authenticate header, or its decoded JSON")
}

fn too_long() -> Error {
    invalid(&format!("claims are longer than {MAX_CLAIMS_BYTES} bytes"))
}

type Parsed = (String, Vec<(String, String)>);

/// Every challenge with its parameters, names in lower case; the first of a repeated name counts. What comes after a
/// syntax error is left out.
fn challenges(value: &str) -> Vec<Parsed> {
    let mut out: Vec<Parsed> = Vec::new();
    let mut rest = Scanner(value);
    loop {
        rest.skip(|c| matches!(c, ' ' | '\t' | ','));
        let name = rest.take(is_token_char);
        if name.is_empty() {
            return out;
        }
        let after_name = rest.0;
        rest.skip(is_space);
        match (rest.eat('='), out.last_mut()) {
            (true, Some((_, parameters))) => {
                rest.skip(is_space);
                let Some(value) = rest.value() else {
                    return out;
                };
                parameters.push((name.to_ascii_lowercase(), value));
            }
            (true, None) => return out,
            (false, _) => {
                out.push((name.to_owned(), Vec::new()));
                rest.0 = after_name;
                rest.skip_token68();
            }
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// What is left of the header value.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn skip(&mut self, skip: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(skip);
    }

    fn take(&mut self, take: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !take(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(end).unwrap_or_default();
        self.0 = rest;
        taken
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A token or quoted string. Older Azure services leave the quotes around URLs out, so anything up to the next
    /// comma or space is taken. `None` for a string without its closing quote.
    fn value(&mut self) -> Option<String> {
        if !self.eat('"') {
            return Some(self.take(|c| c != ',' && !is_space(c)).to_owned());
        }
        let mut out = String::new();
        let mut chars = self.0.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => out.push(chars.next()?),
                other => out.push(other),
            }
        }
        self.0 = chars.as_str();
        Some(out)
    }

    /// Skips `token68`, the one opaque value that schemes like `Negotiate` have in the place of parameters.
    fn skip_token68(&mut self) {
        let mut ahead = Scanner(self.0);
        ahead.skip(is_space);
        ahead.take(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        ahead.take(|c| c == '=');
        ahead.skip(is_space);
        if ahead.0.is_empty() || ahead.0.starts_with(',') {
            self.0 = ahead.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::*;

    const CLAIMS: &str =
        r#"{"access_token":{"nbf":{"essential":true,"value":"1790000000"},"x":"?>~"}}"#;

    #[test]
    fn an_answer_refuses_a_token_or_does_not() {
        const CLAIMS: &str = "Bearer error=\"insufficient_claims\", claims=\"eyJhIjp7fX0=\"";
        const BARE: &str = "Bearer error=\"insufficient_claims\"";
        const SCOPE: &str = "Bearer error=\"insufficient_scope\"";
        for (status, values, expected) in [
            (200, &[CLAIMS][..], None),
            (401, &[], Some(None)),
            (401, &["Negotiate"], Some(None)),
            (401, &["Bearer"], Some(Some("Bearer"))),
            (401, &["Basic realm=\"x\"", CLAIMS], Some(Some(CLAIMS))),
            (401, &["Bearer", CLAIMS], Some(Some(CLAIMS))),
            (401, &["Bearer", BARE], Some(Some(BARE))),
            (401, &["Bearer realm=\"no end", CLAIMS], Some(Some(CLAIMS))),
            (401, &["\u{e9}", CLAIMS], Some(Some(CLAIMS))),
            (403, &[], None),
            (403, &["Bearer"], None),
            (403, &[SCOPE], None),
            (403, &[BARE], Some(Some(BARE))),
            (403, &[CLAIMS], Some(Some(CLAIMS))),
            (403, &["Bearer", CLAIMS], Some(Some(CLAIMS))),
            // which scopes are missing is one thing, and which claims another
            (403, &[SCOPE, BARE], Some(Some(BARE))),
            (407, &[CLAIMS], None),
            (500, &[], None),
        ] {
            let headers = || {
                let values = values.iter();
                values.map(|value| value.as_bytes().to_vec()).collect()
            };
            let expected = expected.map(|challenge: Option<&str>| challenge.map(str::to_owned));
            assert_eq!(refused(status, headers), expected, "{status} {values:?}");
        }
    }

    #[test]
    fn claims_come_as_json_or_base64_of_it() {
        assert_eq!(parse_claims(CLAIMS).unwrap(), CLAIMS);
        assert_eq!(parse_claims(&format!(" {CLAIMS}\n")).unwrap(), CLAIMS);
        for encoded in [
            STANDARD.encode(CLAIMS),
            STANDARD_NO_PAD.encode(CLAIMS),
            URL_SAFE_NO_PAD.encode(CLAIMS),
        ] {
            assert_eq!(parse_claims(&encoded).unwrap(), CLAIMS, "{encoded}");
        }
        // order and spacing are the sender's
        assert_eq!(
            parse_claims(r#"{"b": 1, "a": 2}"#).unwrap(),
            r#"{"b": 1, "a": 2}"#
        );
    }

    #[test]
    fn other_claims_are_refused_without_being_repeated() {
        for (claims, expected) in [
            ("", "claims are empty"),
            ("  ", "claims are empty"),
            (r#"{"secret-word":"#, "not a JSON object"),
            (r#"{"secret-word":1} trailing"#, "not a JSON object"),
            (&STANDARD.encode("[\"secret-word\"]"), "not a JSON object"),
            ("secret-word!", "neither a JSON object nor base64"),
            (&STANDARD.encode([0xff, 0xfe, 0xfd]), "not text"),
            (&"x".repeat(MAX_CLAIMS_BYTES * 2), "longer than 16384 bytes"),
            (
                &format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_CLAIMS_BYTES)),
                "longer than 16384 bytes",
            ),
        ] {
            let error = parse_claims(claims).unwrap_err();
            assert_eq!(error.class(), ErrorClass::InvalidRequest);
            assert!(
                error.to_string().contains(expected),
                "{error} does not say: {expected}"
            );
            assert!(!format!("{error:?}").contains("secret-word"), "{error:?}");
        }
    }

    #[test]
    fn finds_the_claims_challenge_of_an_entra_protected_service() {
        let header = format!(
            r#"Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000", error="insufficient_claims", claims="{}""#,
            STANDARD.encode(CLAIMS)
        );
        assert_eq!(
            from_www_authenticate(&header).unwrap(),
            Challenge {
                realm: None,
                error: Some("insufficient_claims".into()),
                scope: None,
                claims: Some(CLAIMS.into()),
                authorization_uri: Some(
                    "https://login.microsoftonline.com/common/oauth2/authorize".into()
                ),
            }
        );
    }

    /// The cases of the Azure SDKs' and MSAL's own tests, and what services have been seen to send.
    #[test]
    fn the_challenges_of_the_sdks_are_read() {
        const FOO: &str = r#"{"access_token": {"foo": "bar"}}"#;
        const NBF: &str = r#"{"access_token":{"nbf":{"essential":true, "value":"1726258122"}}}"#;
        const FOO_64: &str = "eyJhY2Nlc3NfdG9rZW4iOiB7ImZvbyI6ICJiYXIifX0=";
        const NBF_64: &str = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwgInZhbHVlIjoiMTcyNjI1ODEyMiJ9fX0=";
        const OF_CAE: &str = r#"realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000""#;
        const WHY: &str = r#"error_description="Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp""#;
        let insufficient = "insufficient_claims";
        let cases = [
            (
                format!(r#"Bearer {OF_CAE}, error="{insufficient}", claims="{FOO_64}""#),
                Some(insufficient),
                Some(FOO),
            ),
            // beside another scheme, whose parameters are its own
            (
                format!(r#"PoP {OF_CAE}, nonce="ey==", Bearer {OF_CAE}, {WHY}, error="{insufficient}", claims="{NBF_64}""#),
                Some(insufficient),
                Some(NBF),
            ),
            (
                format!(r#"PoP {OF_CAE}, error="{insufficient}", claims="{FOO_64}", Bearer error="{insufficient}""#),
                Some(insufficient),
                None,
            ),
            (
                format!(r#"Bearer claims="{NBF_64}", error="{insufficient}", PoP nonce="x""#),
                Some(insufficient),
                Some(NBF),
            ),
            // in another order, without spaces, unpadded, without quotes
            (
                format!(r#"Bearer claims="{NBF_64}",error="{insufficient}",realm="""#),
                Some(insufficient),
                Some(NBF),
            ),
            (
                format!(
                    r#"Bearer error="{insufficient}", claims={}"#,
                    FOO_64.trim_end_matches('=')
                ),
                Some(insufficient),
                Some(FOO),
            ),
            // an error of another name with claims, as some services send it
            (
                format!(r#"Bearer error="invalid_token", claims="{NBF_64}""#),
                Some("invalid_token"),
                Some(NBF),
            ),
            // nothing that can be read
            (
                format!(r#"Bearer {OF_CAE}, error="{insufficient}", claims="ey==""#),
                Some(insufficient),
                None,
            ),
            (
                format!(r#"Bearer {OF_CAE}, error="{insufficient}", claims="""#),
                Some(insufficient),
                None,
            ),
            (
                r#"Bearer authorization="https://login.windows.net/t", resource="https://vault.azure.net""#
                    .to_owned(),
                None,
                None,
            ),
        ];
        for (header, error, claims) in cases {
            let challenge = from_www_authenticate(&header).unwrap();
            assert_eq!(challenge.error.as_deref(), error, "{header}");
            assert_eq!(challenge.claims.as_deref(), claims, "{header}");
        }
    }

    #[test]
    fn finds_bearer_among_other_challenges() {
        let header = r#"Negotiate YWJj==, Digest realm="a, Bearer error=\"no\"", nonce=x , bEaReR ERROR = "in\"valid" , scope="a b",Basic realm="z""#;
        let challenge = from_www_authenticate(header).unwrap();
        assert_eq!(challenge.error.as_deref(), Some("in\"valid"));
        assert_eq!(challenge.scope.as_deref(), Some("a b"));
        assert_eq!(
            challenge.realm, None,
            "the realms are those of Digest and Basic"
        );
    }

    #[test]
    fn of_two_bearer_challenges_the_one_with_claims_counts() {
        let header = format!(
            r#"Bearer error="invalid_token", Bearer error="insufficient_claims", claims="{}""#,
            STANDARD.encode("{}")
        );
        assert_eq!(
            from_www_authenticate(&header).unwrap().error.as_deref(),
            Some("insufficient_claims")
        );
        let header = r#"Bearer error="first", Bearer error="second""#;
        assert_eq!(
            from_www_authenticate(header).unwrap().error.as_deref(),
            Some("first")
        );
    }

    #[test]
    fn sloppy_headers_are_read_as_far_as_they_go() {
        let challenge = from_www_authenticate(
            "Bearer authorization_uri=https://login.windows.net/x, error=invalid_token",
        )
        .unwrap();
        assert_eq!(
            challenge.authorization_uri.as_deref(),
            Some("https://login.windows.net/x")
        );
        assert_eq!(challenge.error.as_deref(), Some("invalid_token"));
        assert_eq!(from_www_authenticate("Bearer"), Some(Challenge::default()));
        let twice = from_www_authenticate(r#"Bearer error="first", error="second""#).unwrap();
        assert_eq!(
            twice.error.as_deref(),
            Some("first"),
            "a repeated parameter"
        );
        assert_eq!(
            from_www_authenticate("Negotiate Bearer"),
            None,
            "the opaque value of another scheme"
        );
        assert_eq!(
            from_www_authenticate(r#"Bearer error="a", scope="no end"#)
                .unwrap()
                .error
                .as_deref(),
            Some("a")
        );
        assert_eq!(
            from_www_authenticate(r#"Bearer error="a", claims="%%%""#)
                .unwrap()
                .claims,
            None
        );
        for none in [
            "",
            "Basic realm=\"x\"",
            "error=\"Bearer\"",
            "=,=",
            "\"Bearer\"",
            &"Bearer ".repeat(MAX_HEADER_BYTES),
        ] {
            assert_eq!(from_www_authenticate(none), None);
        }
    }

    /// Whatever a service writes into a quoted string comes out as it was, and does not disturb what follows.
    #[test]
    fn quoted_strings_survive() {
        const PIECES: [&str; 12] = [
            "\"", "\\", ",", "=", " ", "\t", "Bearer ", "Basic x", "error=", "é", "a", "\\\"",
        ];
        let mut state = 7_u64;
        for _ in 0..2_000 {
            let realm: String = (0..6)
                .map(|_| {
                    // Knuth's MMIX generator: any spread will do
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    PIECES[(state >> 33) as usize % PIECES.len()]
                })
                .collect();
            let escaped = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header =
                format!(r#"Basic realm="{escaped}", Bearer realm="{escaped}" , error="last""#);
            let challenge = from_www_authenticate(&header).unwrap();
            assert_eq!(challenge.realm.as_deref(), Some(realm.as_str()), "{header}");
            assert_eq!(challenge.error.as_deref(), Some("last"), "{header}");
        }
    }

    #[test]
    fn claims_are_ascii_on_one_line() {
        let claims = "{\r\"a\u{9b}2J\":1,\n\"b\": \"é 😀\u{202e}\"}";
        let shown = clean_claims(claims, &Needles::default()).unwrap();
        assert_eq!(shown, r#"{"a\u009b2J":1,"b": "\u00e9 \ud83d\ude00\u202e"}"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(claims));
        // a secret that is not inside a text leaves no JSON
        let needles = Needles::of(&[crate::Secret::new("123456789")]);
        assert_eq!(clean_claims(r#"{"a":123456789}"#, &needles), None);
        assert_eq!(
            clean_claims(r#"{"a":"x 123456789 y"}"#, &needles).as_deref(),
            Some(r#"{"a":"x [redacted] y"}"#)
        );
    }
}
