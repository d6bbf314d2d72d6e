//! Form out, response in.

mod asked;
mod clean;
mod form;
mod transport;
mod wanted;

use crate::effect::HttpResponse;
use crate::json::Json;
use crate::limits::{DEFAULT_EXPIRES_IN_S, MAX_EXPIRES_IN_S, MAX_RETRY_AFTER_MS};
use crate::{Error, ErrorClass, ErrorDetail, Secret, aadsts, challenge, http_date};

pub(crate) use asked::Asked;
use clean::clean;
pub(crate) use form::{Form, request};
pub(crate) use transport::no_response;
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

/// Reads a response.
pub(crate) fn response(asked: &Asked<'_>, response: &HttpResponse) -> Result<Granted, Error> {
    match response.status {
        200 => granted(asked, response),
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
    let body = match Json::parse(response.body.expose()) {
        Ok(body) => body,
        Err(error) => return Err(not_json(asked, response, &error)),
    };
    let wrong_type = |field: &str, wanted: &str| {
        let host = &asked.endpoint.authority;
        let message = format!(
            "the token response of {host} has a `{field}` of a wrong type: {wanted} is expected"
        );
        invalid(asked, response, message)
    };
    let text = |field: &str| match body.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(wrong_type(field, "a string")),
    };
    let seconds = |field: &str| match body.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => match whole_number(value) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(wrong_type(field, "a number or a numeric string")),
        },
    };
    let missing = |field: &str| {
        invalid(
            asked,
            response,
            format!(
                "the token response of {} has no `{field}`",
                asked.endpoint.authority
            ),
        )
    };
    let token = text("access_token")?
        .filter(|token| !token.expose().is_empty())
        .ok_or_else(|| missing("access_token"))?;
    if token
        .expose()
        .bytes()
        .any(|byte| !(0x21..0x7f).contains(&byte))
    {
        let message = format!(
            "the access_token of {} has characters that no header may carry",
            asked.endpoint.authority
        );
        return Err(invalid(asked, response, message));
    }
    let token_type = text("token_type")?
        .ok_or_else(|| missing("token_type"))?
        .expose();
    let certificate_thumbprint = asked.wanted.check(token, token_type).map_err(|wanted| {
        let message = format!(
            "{} issued a token of type `{}` where {wanted} was asked for",
            asked.endpoint.authority,
            clean(token_type, asked.secrets)
        );
        invalid(asked, response, message).edit(|detail| detail.retryable = false)
    })?;
    let lifetime_s = match (seconds("expires_in")?, seconds("expires_on")?) {
        (Some(seconds), _) => seconds,
        (None, Some(unix_s)) => unix_s.saturating_sub(asked.server_unix_s),
        (None, None) => DEFAULT_EXPIRES_IN_S,
    };
    // the engine itself uses none of these: one of a wrong type is left out and fails nothing
    let optional = |field| body.get(field).and_then(Json::text);
    Ok(Granted {
        refresh_token: optional("refresh_token").cloned(),
        id_token: optional("id_token").cloned(),
        issued_token_type: optional("issued_token_type")
            .map(|urn| clean(urn.expose(), asked.secrets)),
        certificate_thumbprint,
        token: token.clone(),
        token_type: token_type.to_owned(),
        lifetime_ms: lifetime_s.min(MAX_EXPIRES_IN_S).saturating_mul(1000),
        refresh_in_ms: seconds("refresh_in")?
            .filter(|seconds| *seconds > 0)
            .map(|seconds| seconds.saturating_mul(1000)),
        scope: text("scope")?
            .map(|scope| scope.expose().to_owned())
            .filter(|scope| !scope.is_empty()),
    })
}

fn refused(asked: &Asked<'_>, response: &HttpResponse) -> Error {
    let host = &asked.endpoint.authority;
    let status = response.status;
    let body = Json::parse(response.body.expose()).unwrap_or(Json::Null);
    let text = |field| body.get(field).and_then(Json::text).map(Secret::expose);
    let Some(error) = text("error") else {
        return no_error_object(asked, response);
    };
    let oauth_error = clean(error, asked.secrets);
    let description = text("error_description").unwrap_or_default();
    let mut codes: Vec<u32> = match body.get("error_codes") {
        Some(Json::List(codes)) => codes
            .iter()
            .filter_map(|code| u32::try_from(whole_number(code)?).ok())
            .collect(),
        _ => Vec::new(),
    };
    if codes.is_empty() {
        codes.extend(aadsts_in(description));
    }
    let claims = text("claims");
    let class = classify(status, &oauth_error, &codes, claims.is_some());
    let hint = codes
        .iter()
        .find_map(|code| match asked.presented {
            Some(presented) if aadsts::federation(*code) => {
                Some(aadsts::federation_hint(presented, *code))
            }
            _ => aadsts::hint(*code).map(str::to_owned),
        })
        .or_else(|| default_hint(class).map(str::to_owned));
    let said = clean(description_without_ids(description), asked.secrets);
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
            correlation_id: Some(text("correlation_id").map_or_else(
                || asked.correlation_id.to_owned(),
                |id| clean(id, asked.secrets),
            )),
            trace_id: text("trace_id").map(|id| clean(id, asked.secrets)),
            claims: claims.and_then(|claims| challenge::parse_claims(claims).ok()),
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
    if any(aadsts::federation) {
        return ErrorClass::FederationMismatch;
    }
    if has_claims
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
    if any(aadsts::credential) || oauth_error == "invalid_client" {
        return ErrorClass::CredentialRejected;
    }
    match status {
        408 => ErrorClass::Timeout,
        500..=599 => ErrorClass::Server,
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
    let kind = describe_body(response);
    let (class, retryable) = match status {
        408 => (ErrorClass::Timeout, true),
        429 => (ErrorClass::Throttled, true),
        500..=599 => (ErrorClass::Server, true),
        _ => (ErrorClass::InvalidResponse, false),
    };
    Error::with_detail(
        class,
        ErrorDetail {
            message: format!("{host} answered HTTP {status} with {kind} instead of an OAuth error"),
            hint: Some(
                default_hint(class)
                    .unwrap_or("check that the authority host is a token endpoint and that no proxy answers in its place")
                    .to_owned(),
            ),
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
                clean(host.rsplit('@').next().unwrap_or_default(), asked.secrets)
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
    let kind = describe_body(response);
    // the position says where to look; serde's own text might quote what stands there
    let place = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early".to_owned(),
        // the one error of its own that the reader has
        serde_json::error::Category::Data => "it has too many values".to_owned(),
        _ => format!("line {} column {}", error.line(), error.column()),
    };
    invalid(
        asked,
        response,
        format!(
            "{host} answered HTTP {} with {kind} that is not a token response: {place}",
            response.status
        ),
    )
}

fn invalid(asked: &Asked<'_>, response: &HttpResponse, message: String) -> Error {
    Error::with_detail(
        ErrorClass::InvalidResponse,
        ErrorDetail {
            message,
            hint: Some("check that the authority host is a token endpoint and that no proxy answers in its place".into()),
            retryable: true,
            http_status: Some(response.status),
            correlation_id: Some(asked.correlation_id.to_owned()),
            ..ErrorDetail::default()
        },
    )
}

/// A body in words, never its content.
fn describe_body(response: &HttpResponse) -> String {
    let body = response.body.expose();
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let content_type = response
        .header("content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    match first {
        None => "an empty body".to_owned(),
        Some(b'<') => format!("an HTML or XML page of {} bytes", body.len()),
        Some(_) if content_type.contains("html") => format!("an HTML page of {} bytes", body.len()),
        Some(b'{' | b'[') => format!("a JSON body of {} bytes", body.len()),
        Some(_) => format!("a body of {} bytes", body.len()),
    }
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
/// cut off, and what is negative is treated as absent.
fn whole_number(value: &Json) -> Option<u64> {
    match value {
        Json::Whole(number) => Some(*number),
        // `as` saturates, and NaN becomes 0
        Json::Number(number) => Some(*number as u64),
        Json::Text(text) => {
            let text = text.expose().trim();
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let is_fraction = fraction.bytes().all(|byte| byte.is_ascii_digit());
            whole.parse().ok().filter(|_| is_fraction)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretBytes;
    use crate::authority::Endpoint;

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
            secrets: &secrets,
        };
        super::response(&asked, response)
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
