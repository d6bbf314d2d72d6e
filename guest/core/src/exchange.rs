//! Form out, response in.

mod asked;
mod body;
mod clock;
mod form;
mod transport;
mod wanted;

use crate::effect::HttpResponse;
use crate::json::Json;
use crate::limits::{DEFAULT_EXPIRES_IN_S, MAX_EXPIRES_IN_S, MAX_RETRY_AFTER_MS};
use crate::text::{Needles, clean, clean_json, clean_whole};
use crate::{Error, ErrorClass, ErrorDetail, Secret, aadsts, challenge, http_date};

pub(crate) use asked::Asked;
use body::Body;
pub(crate) use clock::learn_clock;
pub(crate) use form::{Form, request};
pub(crate) use transport::no_response;
#[cfg(feature = "every-credential")]
pub(crate) use wanted::MTLS_POP;
pub(crate) use wanted::Wanted;

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

/// Whether a token server has refused what was presented, and does not only answer badly for now (RFC 6749 section 5.2): one
/// that is overloaded says so in the form of an OAuth error as well.
#[cfg(feature = "every-credential")]
pub(crate) fn is_refusal(error: &Error) -> bool {
    let detail = error.detail();
    detail.oauth_error.is_some() && !detail.retryable
}

/// Azure AD B2C issues no access token where only scopes of OpenID Connect are asked for
/// (learn.microsoft.com/azure/active-directory-b2c/access-tokens#scopes).
#[cfg(feature = "every-credential")]
const ID_TOKEN_ALONE: &str = "it has an id_token alone: ask for a scope of an API beside openid, at Azure AD B2C for the client_id itself if there is none";

/// Reads a response. Some servers say 201 or 203 where RFC 6749 section 5.1 has 200, and some refuse with 200.
pub(crate) fn response(asked: &Asked<'_>, response: &HttpResponse) -> Result<Granted, Error> {
    match response.status {
        200..=299 => granted(asked, response),
        300..=399 => Err(redirect(asked, response)),
        _ => Err(refused(asked, response)),
    }
}

/// `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110 section 10.2.3), the date read on the server's own
/// clock.
pub(crate) fn retry_after_ms(response: &HttpResponse, server_unix_s: u64) -> Option<u64> {
    let value = response.header("retry-after")?.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let at = http_date::unix_seconds(value)?;
            let from = response
                .header("date")
                .and_then(http_date::unix_seconds)
                .unwrap_or(server_unix_s);
            at.saturating_sub(from)
        }
    };
    Some(seconds.saturating_mul(1000).min(MAX_RETRY_AFTER_MS))
}

fn granted(asked: &Asked<'_>, response: &HttpResponse) -> Result<Granted, Error> {
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
    let token_type = required("token_type")?.expose();
    let known = asked.known(&body);
    let certificate_thumbprint = asked.wanted.check(token, token_type).map_err(|wanted| {
        let message = format!(
            "{host} issued a token of type `{}` where {wanted} was asked for",
            clean(token_type, &known)
        );
        invalid(asked, response, message).edit(|detail| detail.retryable = false)
    })?;
    // nobody has to send what follows (RFC 6749 section 5.1), so what cannot be read is treated as absent
    let seconds = |field| body.get(field).and_then(whole_number);
    let lifetime_s = seconds("expires_in")
        .or_else(|| Some(seconds("expires_on")?.saturating_sub(asked.server_unix_s)))
        .unwrap_or(DEFAULT_EXPIRES_IN_S);
    let scope = match body.get("scope") {
        Some(Json::Text(scope)) => Some(clean_whole(scope.expose(), &known)),
        Some(Json::List(scopes)) => {
            let scopes: Vec<&str> = scopes
                .iter()
                .filter_map(|scope| scope.text().map(Secret::expose))
                .collect();
            Some(clean_whole(&scopes.join(" "), &known))
        }
        _ => None,
    };
    Ok(Granted {
        refresh_token: given("refresh_token").cloned(),
        // without the means to validate it, it is not handed out
        id_token: given("id_token")
            .filter(|_| cfg!(feature = "every-credential"))
            .cloned(),
        issued_token_type: given("issued_token_type").map(|urn| clean(urn.expose(), &known)),
        // the token says it of itself
        certificate_thumbprint: certificate_thumbprint.map(|text| clean(&text, &known)),
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

fn refused(asked: &Asked<'_>, response: &HttpResponse) -> Error {
    let host = &asked.endpoint.authority;
    let status = response.status;
    let body = Json::parse_answer(body::text(response)).unwrap_or(Json::Null);
    let text = |field| body.get(field).and_then(Json::text).map(Secret::expose);
    let Some(error) = text("error") else {
        return no_error_object(asked, response);
    };
    let known = asked.known(&body);
    let clean = |text| clean(text, &known);
    // what it is about is judged by what the server says, and not by what of that is shown
    let oauth_error = clean(error);
    let description = text("error_description").unwrap_or_default();
    let mut codes: Vec<u32> = match body.get("error_codes") {
        Some(Json::List(codes)) if asked.is_entra => codes
            .iter()
            .filter_map(|code| u32::try_from(whole_number(code)?).ok())
            .collect(),
        _ => Vec::new(),
    };
    if codes.is_empty() && asked.is_entra {
        codes.extend(aadsts_in(description));
    }
    let claims = text("claims");
    let is_of_subject = |code: &u32| aadsts::of_subject(*code, error);
    // a build that has no grant with a user needs no code for that
    let has_subject = cfg!(feature = "every-credential") && asked.wanted.has_subject;
    let class = if has_subject && codes.iter().any(is_of_subject) {
        // the user's token is at fault, and no other credential of the client changes that
        ErrorClass::Refused
    } else if asked.is_entra && is_for_a_person(error, text("suberror")) {
        ErrorClass::InteractionRequired
    } else {
        classify(status, error, &codes, claims.is_some())
    };
    let hint = codes
        .iter()
        .find_map(|code| match asked.presented {
            Some(presented) if aadsts::federation(*code) => {
                Some(aadsts::federation_hint(presented, *code))
            }
            _ => aadsts::hint(*code).map(str::to_owned),
        })
        .or_else(|| default_hint(class).map(str::to_owned));
    let said = clean(description_without_ids(description));
    let mut message = format!("{host} refused: {oauth_error}");
    if !said.is_empty() {
        message = format!("{message}: {said}");
    }
    let propagation = codes.iter().any(|code| aadsts::is_propagation(*code));
    Error::with_detail(
        class,
        ErrorDetail {
            message: format!("{message} (HTTP {status})"),
            hint,
            retryable: propagation
                || matches!(
                    class,
                    ErrorClass::Throttled | ErrorClass::Server | ErrorClass::Timeout
                ),
            retry_after_ms: retry_after_ms(response, asked.server_unix_s),
            http_status: Some(status),
            oauth_error: Some(oauth_error),
            aadsts: codes,
            correlation_id: Some(
                text("correlation_id").map_or_else(|| asked.correlation_id.to_owned(), clean),
            ),
            trace_id: text("trace_id").map(clean),
            claims: claims
                .and_then(|claims| challenge::parse_claims(claims).ok())
                .and_then(|claims| clean_json(&claims, &known)),
            ..ErrorDetail::default()
        },
    )
}

/// Whether Entra says with `suberror` that somebody has to agree or to sign in: `invalid_grant` is for that as well.
fn is_for_a_person(oauth_error: &str, suberror: Option<&str>) -> bool {
    const OF_A_PERSON: [&str; 4] = [
        "additional_action",
        "basic_action",
        "consent_required",
        "user_password_expired",
    ];
    oauth_error == "invalid_grant" && suberror.is_some_and(|said| OF_A_PERSON.contains(&said))
}

/// What an authorization endpoint says in place of a code (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6).
pub(crate) fn refused_callback(
    error: &str,
    description: &str,
    is_entra: bool,
    known: &Needles,
) -> Error {
    // it has no status; what a browser brings is none of a server that is ill
    const STATUS: u16 = 400;
    let oauth_error = clean(error, known);
    let codes: Vec<u32> = aadsts_in(description).filter(|_| is_entra).collect();
    let class = match error {
        "server_error" => ErrorClass::Server,
        "account_selection_required" | "registration_required" => ErrorClass::InteractionRequired,
        error => classify(STATUS, error, &codes, false),
    };
    let hint = codes
        .iter()
        .find_map(|code| aadsts::hint(*code).map(str::to_owned))
        .or_else(|| match error {
            "access_denied" => Some("the user, or a policy, has refused".to_owned()),
            _ => default_hint(class).map(str::to_owned),
        });
    let said = clean(description_without_ids(description), known);
    let mut message = format!("the sign-in was refused: {oauth_error}");
    if !said.is_empty() {
        message = format!("{message}: {said}");
    }
    Error::with_detail(
        class,
        ErrorDetail {
            message,
            hint,
            retryable: matches!(class, ErrorClass::Throttled | ErrorClass::Server),
            oauth_error: Some(oauth_error),
            aadsts: codes,
            ..ErrorDetail::default()
        },
    )
}

/// `error` decides (RFC 6749 section 5.2, and Microsoft's advice); codes only where `error` is too coarse, because
/// Entra answers the same failure with several of them.
fn classify(status: u16, oauth_error: &str, codes: &[u32], has_claims: bool) -> ErrorClass {
    let any = |test: fn(u32) -> bool| codes.iter().any(|code| test(*code));
    if status == 429 {
        return ErrorClass::Throttled;
    }
    // whatever it says besides, it is the server that is ill: another credential would only hide that
    if (500..=599).contains(&status) {
        return ErrorClass::Server;
    }
    if any(aadsts::federation) {
        return ErrorClass::FederationMismatch;
    }
    if has_claims
        || any(aadsts::interaction)
        || matches!(
            oauth_error,
            "interaction_required" | "login_required" | "consent_required"
        )
    {
        return ErrorClass::InteractionRequired;
    }
    if any(aadsts::is_throttling) {
        return ErrorClass::Throttled;
    }
    // Entra says `invalid_client` of many an app whose credential nobody looked at
    let other_cause = any(|code| aadsts::lookup(code).is_some());
    if any(aadsts::credential) || oauth_error == "invalid_client" && !other_cause {
        return ErrorClass::CredentialRejected;
    }
    match status {
        408 => ErrorClass::Timeout,
        _ if oauth_error == "temporarily_unavailable" || any(aadsts::is_transient) => {
            ErrorClass::Server
        }
        _ => ErrorClass::Refused,
    }
}

fn default_hint(class: ErrorClass) -> Option<&'static str> {
    match class {
        ErrorClass::Throttled => Some("too many requests; the server says when to come back"),
        ErrorClass::Server => {
            Some("the server has a fault of its own; the same request may succeed later")
        }
        ErrorClass::CredentialRejected => {
            Some("check the client id and the credential that is registered for it")
        }
        ErrorClass::InteractionRequired => {
            Some("a person, or a claims challenge, must be satisfied first")
        }
        _ => None,
    }
}

/// An error status without an error object: a proxy's page, an empty body.
fn no_error_object(asked: &Asked<'_>, response: &HttpResponse) -> Error {
    let host = &asked.endpoint.authority;
    let status = response.status;
    let body = Body::of(response);
    let (class, retryable) = match status {
        408 => (ErrorClass::Timeout, true),
        429 => (ErrorClass::Throttled, true),
        500..=599 => (ErrorClass::Server, true),
        _ => (ErrorClass::InvalidResponse, false),
    };
    Error::with_detail(
        class,
        ErrorDetail {
            message: format!("{host} answered HTTP {status} with {body} instead of an OAuth error"),
            hint: Some(default_hint(class).unwrap_or(body.hint()).to_owned()),
            retryable,
            retry_after_ms: retry_after_ms(response, asked.server_unix_s),
            http_status: Some(status),
            correlation_id: Some(asked.correlation_id.to_owned()),
            ..ErrorDetail::default()
        },
    )
}

/// Following it would carry the credential to another place, so it is an error (RFC 9700 section 4.12 shows why).
fn redirect(asked: &Asked<'_>, response: &HttpResponse) -> Error {
    let target = response
        .header("location")
        .and_then(|location| location.split_once("://"))
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
        .map(|host| {
            format!(
                " to {}",
                asked.clean(host.rsplit('@').next().unwrap_or_default())
            )
        })
        .unwrap_or_default();
    let host = &asked.endpoint.authority;
    invalid(asked, response, format!("{host} answered with a redirect{target} (HTTP {}), which is never followed", response.status))
        .edit(|detail| detail.retryable = false)
        .hint("a token endpoint answers by itself; check the authority host, or the proxy on the way to it")
}

fn not_json(asked: &Asked<'_>, response: &HttpResponse, error: &serde_json::Error) -> Error {
    let host = &asked.endpoint.authority;
    let status = response.status;
    let body = Body::of(response);
    let place = match error.classify() {
        _ if !body.is_text() => String::new(),
        // the position says where to look; serde's own text might quote what stands there
        serde_json::error::Category::Eof => ": it ends too early".to_owned(),
        // the one error of its own that the reader has
        serde_json::error::Category::Data => ": it has too many values".to_owned(),
        _ => format!(": line {} column {}", error.line(), error.column()),
    };
    let message =
        format!("{host} answered HTTP {status} with {body} that is not a token response{place}");
    let is_text = body.is_text();
    invalid(asked, response, message)
        .edit(|detail| detail.retryable = is_text)
        .hint(body.hint())
}

fn invalid(asked: &Asked<'_>, response: &HttpResponse, message: String) -> Error {
    Error::with_detail(
        ErrorClass::InvalidResponse,
        ErrorDetail {
            message,
            hint: Some(body::NO_TOKEN_ENDPOINT.to_owned()),
            retryable: true,
            http_status: Some(response.status),
            correlation_id: Some(asked.correlation_id.to_owned()),
            ..ErrorDetail::default()
        },
    )
}

/// The digits of every `AADSTS…` in a text.
fn aadsts_in(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split("AADSTS").skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

/// Entra appends ids and a time that have fields of their own.
fn description_without_ids(description: &str) -> &str {
    let end = description.find("Trace ID:").unwrap_or(description.len());
    description.get(..end).unwrap_or(description)
}

/// A count of seconds (or a code) as a number, or as a numeric string as Entra's v1 endpoint writes it. Fractions are
/// cut off; what is negative is 0, and what is too large is the largest, however it is written.
fn whole_number(value: &Json) -> Option<u64> {
    match value {
        Json::Whole(number) => Some(*number),
        // `as` saturates, and NaN becomes 0
        Json::Number(number) => Some(*number as u64),
        Json::Text(text) => {
            let text = text.expose().trim();
            let digits = text.strip_prefix('-').unwrap_or(text);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
                return None;
            }
            Some(match digits.len() == text.len() {
                true => whole.parse().unwrap_or(u64::MAX),
                false => 0,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::authority::Endpoint;
    use crate::{HttpError, HttpErrorKind, SecretBytes};

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        HttpResponse {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: SecretBytes::new(body),
        }
    }

    fn read(response: &HttpResponse) -> Result<Granted, Error> {
        with_asked(|asked| super::response(asked, response))
    }

    fn with_asked<T>(read: impl Fn(&Asked<'_>) -> T) -> T {
        let endpoint = Endpoint {
            authority: "login.test".into(),
            path: "/t/oauth2/v2.0/token".into(),
        };
        let secrets = [Secret::new("the-client-secret")];
        let asked = Asked {
            endpoint: &endpoint,
            server_unix_s: 1_000_000,
            correlation_id: "c0",
            presented: None,
            wanted: Wanted::default(),
            is_entra: true,
            secrets: &secrets,
        };
        read(&asked)
    }

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
    fn any_2xx_with_a_token_is_good() {
        let body = "\u{feff}{\"token_type\":\"bearer\",\"access_token\":\"t\"}";
        for status in [200, 201, 203, 206, 299] {
            assert!(read(&response(status, &[], body)).is_ok(), "{status}");
        }
        let error = read(&response(204, &[], "")).expect_err("nothing");
        assert!(
            error.to_string().contains("HTTP 204 with an empty body"),
            "{error}"
        );
    }

    #[test]
    fn an_error_inside_a_200_is_an_error() {
        for (body, class, retryable, shown) in [
            (
                r#"{"error":"invalid_client","error_description":"no such client"}"#,
                ErrorClass::CredentialRejected,
                false,
                "invalid_client: no such client (HTTP 200)",
            ),
            (
                r#"{"error":"invalid_grant","access_token":null}"#,
                ErrorClass::Refused,
                false,
                "invalid_grant",
            ),
            (
                r#"{"error":"temporarily_unavailable","access_token":""}"#,
                ErrorClass::Server,
                true,
                "temporarily_unavailable",
            ),
            (
                r#"{"error":"x","error_codes":[90033]}"#,
                ErrorClass::Server,
                true,
                "refused: x",
            ),
            (
                r#"{"error":7}"#,
                ErrorClass::InvalidResponse,
                true,
                "no `access_token`",
            ),
        ] {
            let error = read(&response(200, &[], body)).expect_err(body);
            assert_eq!(
                (error.class(), error.detail().retryable),
                (class, retryable),
                "{body}"
            );
            assert!(error.to_string().contains(shown), "{error}");
        }
        // who issues a token has not refused
        let body = r#"{"error":"","access_token":"t","token_type":"bearer"}"#;
        assert!(read(&response(200, &[], body)).is_ok());
    }

    #[test]
    fn a_body_that_cannot_be_read_is_named_for_what_it_is() {
        let gzip: &[u8] = b"\x1f\x8b\x08\x00SHOWN";
        for (status, headers, body, expected, retryable) in [
            (
                200,
                [].as_slice(),
                gzip,
                "a body of 9 bytes, compressed with gzip,",
                false,
            ),
            (400, &[], gzip, "compressed with gzip,", false),
            (503, &[], gzip, "compressed with gzip,", true),
            (
                200,
                &[],
                b"\x28\xb5\x2f\xfdSHOWN",
                "compressed with zstd,",
                false,
            ),
            (
                200,
                &[],
                b"\x78\x9cSHOWN",
                "compressed with deflate,",
                false,
            ),
            (
                200,
                &[("content-encoding", "br")],
                b"\x0b\x02SHOWN",
                "compressed with brotli,",
                false,
            ),
            (
                200,
                &[("content-encoding", "x-y")],
                b"\x0b\x02SHOWN",
                "compressed with a content coding,",
                false,
            ),
            (
                200,
                &[],
                b"\xff\xfe{\x00",
                "a body in UTF-16 of 4 bytes",
                false,
            ),
            (200, &[], b"\xef\xbb\xbf", "an empty body", true),
            (200, &[], b"  ", "an empty body", true),
            (
                200,
                &[],
                b"\xef\xbb\xbf<html>",
                "an HTML or XML page of 9 bytes",
                true,
            ),
            (
                200,
                &[("content-type", "text/html")],
                b"SHOWN",
                "an HTML page of 5 bytes",
                true,
            ),
            (
                200,
                &[("content-encoding", "identity")],
                b"SHOWN",
                "a body of 5 bytes that",
                true,
            ),
        ] {
            let mut answer = response(status, headers, "");
            answer.body = SecretBytes::new(body);
            let error = read(&answer).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.detail().retryable, retryable, "{error}");
            assert!(!format!("{error:?}").contains("SHOWN"), "{error:?}");
            if expected.contains("compressed") && status != 503 {
                let hint = error.detail().hint.as_deref().unwrap_or_default();
                assert!(hint.contains("accept-encoding: identity"), "{hint}");
            }
        }
    }

    /// Each field of an answer that reaches an error or a grant, with a secret in it.
    #[test]
    fn a_secret_comes_back_in_no_field() {
        let echo = r#"a \"the-client-secret\" dGhlLWNsaWVudC1zZWNyZXQ= the%2Dclient%2Dsecret\u202e \u009b2J"#;
        let body = format!(
            r#"{{"error":"{echo}","error_description":"{echo}","correlation_id":"{echo}","trace_id":"{echo}","claims":"{{\"a\":\"the-client-secret\\u009b\",\r\"the-client-secret\":\"é\"}}"}}"#
        );
        let error = read(&response(400, &[], &body)).expect_err("refused");
        let moved = [(
            "location",
            "https://the-client-secret.dGhlLWNsaWVudC1zZWNyZXQ.test/x",
        )];
        let bound = r#"{"token_type":"the-client-secret","access_token":"t"}"#;
        let failed = |detail: &str| HttpError {
            kind: HttpErrorKind::Other,
            detail: detail.to_owned(),
        };
        for error in [
            error.clone(),
            read(&response(302, &moved, "")).expect_err("moved"),
            read(&response(200, &[], bound)).expect_err("of another type"),
            with_asked(|asked| no_response(asked, &failed("the-client-secret\u{1b}[2J"))),
        ] {
            let shown = format!("{error} {error:?} {:?}", error.detail().claims);
            assert!(shown.contains("[redacted]"), "{shown}");
            assert!(
                !shown.contains("the-client-secret")
                    && !shown.contains("dGhlLWNsaWVudC1zZWNyZXQ")
                    && !shown.contains("the%2Dclient"),
                "{shown}"
            );
            assert!(shown.chars().all(crate::is_printable), "{shown:?}");
        }
        assert_eq!(
            error.detail().claims.as_deref(),
            Some(r#"{"a":"[redacted]\u009b","[redacted]":"\u00e9"}"#)
        );
    }

    /// The tokens of an answer in each field of it that is handed out or shown.
    #[test]
    fn a_token_comes_back_in_no_other_field() {
        const TOKENS: [(&str, &str); 3] = [
            ("access_token", "the-access_token.0f~this/answer+1"),
            ("refresh_token", "the-refresh_token.0f~this/answer+2"),
            ("id_token", "the-id_token.0f~this/answer+3"),
        ];
        for (_, token) in TOKENS {
            for (name, spelling) in crate::text::spellings::spellings_of(token) {
                let said = format!("it is '{spelling}', no");
                for fields in [
                    serde_json::json!({"token_type": "Bearer", "scope": said, "issued_token_type": said}),
                    serde_json::json!({"token_type": "Bearer", "scope": ["a", said]}),
                    serde_json::json!({"token_type": said}),
                    serde_json::json!({"error": said, "error_description": said, "trace_id": said,
                        "correlation_id": said, "claims": format!("{{\"a\":\"{token}\"}}")}),
                ] {
                    let mut body = fields;
                    let status = if body.get("error").is_some() {
                        400
                    } else {
                        200
                    };
                    for (name, token) in TOKENS {
                        body[name] = token.into();
                    }
                    let shown = match read(&response(status, &[], &body.to_string())) {
                        Ok(granted) => format!(
                            "{:?} {:?} {}",
                            granted.scope, granted.issued_token_type, granted.token_type
                        ),
                        Err(error) => format!("{error:#} {:?}", error.detail()),
                    };
                    for text in [token, &spelling] {
                        let (half, _) = text.split_at(text.floor_char_boundary(text.len() / 2));
                        assert!(!shown.contains(half), "{name}: {half}: {shown}");
                    }
                }
            }
        }
    }

    /// What has the form of Entra ID's errors, and is another server's, is one by its `error` alone.
    #[test]
    fn only_entra_has_numbers_of_entra() {
        for (code, error, at_entra, elsewhere) in [
            (
                50_013,
                "invalid_grant",
                ErrorClass::CredentialRejected,
                ErrorClass::Refused,
            ),
            (
                700_213,
                "invalid_request",
                ErrorClass::FederationMismatch,
                ErrorClass::Refused,
            ),
            (
                50_076,
                "invalid_grant",
                ErrorClass::InteractionRequired,
                ErrorClass::Refused,
            ),
            (
                90_033,
                "invalid_request",
                ErrorClass::Server,
                ErrorClass::Refused,
            ),
            (
                90_055,
                "invalid_request",
                ErrorClass::Throttled,
                ErrorClass::Refused,
            ),
            (
                700_016,
                "invalid_client",
                ErrorClass::Refused,
                ErrorClass::CredentialRejected,
            ),
        ] {
            let described =
                format!(r#"{{"error":"{error}","error_description":"AADSTS{code}: x"}}"#);
            let listed = format!(
                r#"{{"error":"{error}","error_codes":[{code}],"suberror":"consent_required"}}"#
            );
            for body in [described, listed] {
                for (is_entra, class) in [(true, at_entra), (false, elsewhere)] {
                    let refused = with_asked(|asked| {
                        let asked = Asked { is_entra, ..*asked };
                        super::response(&asked, &response(400, &[], &body))
                    });
                    let refused = refused.expect_err("refused");
                    if is_entra && body.contains("suberror") && error == "invalid_grant" {
                        continue;
                    }
                    assert_eq!(refused.class(), class, "{is_entra} {body}");
                    assert_eq!(refused.detail().aadsts.is_empty(), !is_entra);
                }
            }
        }
    }

    /// A secret may be a word of the protocol: what of the answer is shown has no part in what it is taken for.
    #[test]
    fn a_refusal_is_judged_by_what_was_said_and_not_by_what_is_shown() {
        for (status, error, description, class, retryable) in [
            (
                401,
                "invalid_client",
                "",
                ErrorClass::CredentialRejected,
                false,
            ),
            (
                400,
                "interaction_required",
                "",
                ErrorClass::InteractionRequired,
                false,
            ),
            (
                400,
                "login_required",
                "",
                ErrorClass::InteractionRequired,
                false,
            ),
            (
                400,
                "consent_required",
                "",
                ErrorClass::InteractionRequired,
                false,
            ),
            (400, "temporarily_unavailable", "", ErrorClass::Server, true),
            (
                400,
                "invalid_grant",
                "AADSTS70021: x",
                ErrorClass::FederationMismatch,
                true,
            ),
            (400, "invalid_grant", "", ErrorClass::Refused, false),
        ] {
            let body = serde_json::json!({ "error": error, "error_description": description });
            let words = error.split('_').chain([error]);
            for secret in words {
                let secrets = [Secret::new(secret)];
                let refused = with_asked(|asked| {
                    let asked = Asked {
                        secrets: &secrets,
                        ..*asked
                    };
                    super::response(&asked, &response(status, &[], &body.to_string()))
                });
                let refused = refused.expect_err("refused");
                let said = (refused.class(), refused.detail().retryable);
                assert_eq!(said, (class, retryable), "{secret}: {refused:#}");
                let shown = refused.detail().oauth_error.clone().unwrap_or_default();
                assert!(
                    shown.contains("[redacted]") && !shown.contains(secret),
                    "{shown}"
                );
                let callback = refused_callback(error, description, true, &Needles::of(&secrets));
                let expected = match status {
                    _ if error == "invalid_grant" && description.is_empty() => ErrorClass::Refused,
                    _ => class,
                };
                assert_eq!(callback.class(), expected, "{secret}: {callback:#}");
            }
        }
        for (error, class) in [
            ("server_error", ErrorClass::Server),
            (
                "account_selection_required",
                ErrorClass::InteractionRequired,
            ),
        ] {
            let known = Needles::of(&[Secret::new(error)]);
            assert_eq!(refused_callback(error, "", true, &known).class(), class);
        }
        let known = Needles::of(&[Secret::new("access")]);
        let denied = refused_callback("access_denied", "", true, &known);
        assert!(format!("{denied:#}").contains("the user, or a policy, has refused"));
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

    #[test]
    fn what_is_not_a_token_response_is_said_and_never_shown() {
        for (answer, expected) in [
            (response(200, &[], ""), "empty body"),
            (
                response(200, &[], r#"{"access_token":"SHOWN"#),
                "ends too early",
            ),
            (
                response(200, &[], r#"{"access_token":"SHOWN"}"#),
                "no `token_type`",
            ),
            (
                response(200, &[], r#"{"token_type":"Bearer"}"#),
                "no `access_token`",
            ),
            (
                response(
                    200,
                    &[],
                    r#"{"access_token":"SHOWN\r\nx: y","token_type":"Bearer"}"#,
                ),
                "no header may carry",
            ),
            (
                response(200, &[], r#"{"access_token":"SHOWN","token_type":"mac"}"#),
                "`mac`",
            ),
            (
                response(200, &[], r#"{"access_token":{"a":"SHOWN"}}"#),
                "wrong type",
            ),
            (
                response(200, &[("content-type", "text/html")], "<html>SHOWN</html>"),
                "HTML or XML page",
            ),
            (
                response(
                    302,
                    &[("location", "https://user:SHOWN@evil.test/SHOWN")],
                    "",
                ),
                "redirect to evil.test",
            ),
            (response(502, &[], "<html>SHOWN</html>"), "HTTP 502"),
            (response(404, &[], "SHOWN"), "HTTP 404"),
        ] {
            let error = read(&answer).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!format!("{error:?}").contains("SHOWN"), "{error:?}");
        }
    }

    #[test]
    fn refusals_are_classified_and_cleaned() {
        let entra = |status, error: &str, code: u32, more: &str| {
            let body = format!(
                r#"{{"error":"{error}","error_codes":[{code}],"error_description":"AADSTS{code}: text the-client-secret eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl end. Trace ID: x\r\nCorrelation ID: y","correlation_id":"y","trace_id":"x"{more}}}"#
            );
            read(&response(status, &[], &body)).expect_err("refused")
        };
        for (error, class, retryable) in [
            (
                entra(401, "invalid_client", 7_000_215, ""),
                ErrorClass::CredentialRejected,
                false,
            ),
            (
                entra(400, "invalid_request", 700_212, ""),
                ErrorClass::FederationMismatch,
                true,
            ),
            (
                entra(401, "invalid_client", 7_002_138, ""),
                ErrorClass::FederationMismatch,
                false,
            ),
            (
                entra(400, "unauthorized_client", 700_016, ""),
                ErrorClass::Refused,
                false,
            ),
            // nothing is wrong with the credential, whatever `error` says
            (
                entra(401, "invalid_client", 7_000_229, ""),
                ErrorClass::Refused,
                false,
            ),
            (
                entra(400, "invalid_grant", 50_105, ""),
                ErrorClass::Refused,
                false,
            ),
            (
                entra(401, "invalid_client", 1, ""),
                ErrorClass::CredentialRejected,
                false,
            ),
            (
                entra(400, "invalid_grant", 50_173, ""),
                ErrorClass::InteractionRequired,
                false,
            ),
            (
                entra(400, "invalid_grant", 50_076, r#","claims":"{\"a\":1}""#),
                ErrorClass::InteractionRequired,
                false,
            ),
            (
                entra(429, "temporarily_unavailable", 90_055, ""),
                ErrorClass::Throttled,
                true,
            ),
            (
                entra(503, "temporarily_unavailable", 90_033, ""),
                ErrorClass::Server,
                true,
            ),
            // a server that is ill has refused nobody
            (
                entra(500, "invalid_client", 7_000_215, ""),
                ErrorClass::Server,
                true,
            ),
            (
                entra(503, "invalid_client", 7_002_138, ""),
                ErrorClass::Server,
                true,
            ),
        ] {
            assert_eq!(
                (error.class(), error.detail().retryable),
                (class, retryable),
                "{error:?}"
            );
            let shown = format!("{error:?}");
            assert!(
                !shown.contains("the-client-secret") && !shown.contains("c2lnbmF0dXJl"),
                "{shown}"
            );
            assert!(
                !error.to_string().contains("Trace ID") && !error.to_string().contains('\n'),
                "{error}"
            );
            assert_eq!(error.detail().correlation_id.as_deref(), Some("y"));
        }
        let foreign =
            read(&response(400, &[], r#"{"error":"invalid_scope"}"#)).expect_err("refused");
        assert_eq!(
            foreign.detail().oauth_error.as_deref(),
            Some("invalid_scope")
        );
        assert_eq!(
            foreign.detail().correlation_id.as_deref(),
            Some("c0"),
            "our own where the server names none"
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_on_the_servers_clock() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (headers, expected) in [
            (vec![("retry-after", "7")], Some(7_000)),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), date],
                Some(30_000),
            ),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date],
                Some(0),
            ),
            (vec![("retry-after", "999999")], Some(MAX_RETRY_AFTER_MS)),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            assert_eq!(
                retry_after_ms(&response(429, &headers, ""), 0),
                expected,
                "{headers:?}"
            );
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

    #[test]
    fn a_jwt_goes_into_the_form_as_it_is_and_anything_else_encoded() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        // what base64url is made of, all of it
        let all = URL_SAFE_NO_PAD.encode((0..=255).collect::<Vec<u8>>());
        let plain = format!("{}.{}.{all}", part("{}"), part("{}"));
        for (jwt, expected) in [
            (plain.clone(), plain.clone()),
            (format!("{plain}="), format!("{plain}%3D")),
            (
                format!("{}==.{}.c2ln", part("{ }  "), part("{}")),
                format!("{}%3D%3D.{}.c2ln", part("{ }  "), part("{}")),
            ),
        ] {
            let summary = crate::inspect_jwt(&jwt).expect("a JWT");
            let mut form = Form::default();
            form.add("scope", "a&b=c");
            form.put("client_assertion", jwt.as_str().into(), summary.is_plain);
            let encoded = form.encode();
            assert_eq!(
                String::from_utf8_lossy(encoded.expose()),
                format!("client_assertion={expected}&scope=a%26b%3Dc")
            );
            let serialized: String = form_urlencoded::byte_serialize(jwt.as_bytes()).collect();
            assert_eq!(serialized, expected);
        }
    }

    #[test]
    fn the_form_is_sorted_with_claims_last() {
        let mut form = Form::default();
        for name in [
            "scope",
            "claims",
            "client_id",
            "grant_type",
            "client_assertion",
        ] {
            form.add(name, "a b");
        }
        assert_eq!(
            form.encode().expose(),
            b"client_assertion=a+b&client_id=a+b&grant_type=a+b&scope=a+b&claims=a+b"
        );
    }
}
