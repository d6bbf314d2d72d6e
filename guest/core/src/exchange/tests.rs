use super::*;
use crate::authority::Endpoint;
use crate::{ErrorClass, HttpError, HttpErrorKind, Secret, SecretBytes};

pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: SecretBytes::new(body),
    }
}

pub(super) fn read(response: &HttpResponse) -> Result<Granted, Error> {
    with_asked(|asked| super::response(asked, response))
}

pub(super) fn with_asked<T>(read: impl Fn(&Asked<'_>) -> T) -> T {
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

/// The right server, which answers in another way than token endpoints do: nobody is sent to look for a proxy.
#[cfg(feature = "key-vault")]
#[test]
fn who_answers_another_thing_is_told_what_is_expected() {
    const FORM: &str = "a token response is JSON (RFC 6749 section 5.1)";
    const TYPE: &str = "a token response says `token_type` Bearer";
    const ELSE: &str = "no proxy answers in its place";
    for (body, shown, hint) in [
        (
            "access_token=SHOWN&scope=repo&token_type=bearer",
            "a form of 47 bytes",
            FORM,
        ),
        ("scope=&access_token=SHOWN", "a form of 25 bytes", FORM),
        (
            "error=SHOWN&error_description=no",
            "a form of 32 bytes",
            FORM,
        ),
        (
            "token=SHOWN",
            "a body of 11 bytes that is not a token response: line 1",
            ELSE,
        ),
        ("no_access_token=SHOWN", "a body of 21 bytes", ELSE),
        (r#"{"access_token":"SHOWN"}"#, "has no `token_type`", TYPE),
        (
            r#"{"access_token":"SHOWN","token_type":7}"#,
            "wrong type",
            TYPE,
        ),
        (
            r#"{"access_token":"SHOWN","token_type":"mac"}"#,
            "type `mac` where a bearer",
            TYPE,
        ),
        (
            r#"{"access_token":"SHOWN","token_type":"DPoP"}"#,
            "type `DPoP`",
            TYPE,
        ),
        (r#"{"token_type":"Bearer"}"#, "has no `access_token`", ELSE),
    ] {
        let error = read(&response(200, &[], body)).expect_err(body);
        assert!(error.to_string().contains(shown), "{body}: {error}");
        let said = error.detail().hint.as_deref().unwrap_or_default();
        assert!(said.contains(hint), "{body}: {said}");
        assert!(!error.detail().retryable || hint != FORM, "{body}");
        assert!(!format!("{error:?}").contains("SHOWN"), "{error:?}");
    }
}

/// Each field of an answer that reaches an error or a grant, with a secret in it.
#[test]
fn a_secret_comes_back_in_no_field() {
    let echo =
        r#"a \"the-client-secret\" dGhlLWNsaWVudC1zZWNyZXQ= the%2Dclient%2Dsecret\u202e \u009b2J"#;
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
