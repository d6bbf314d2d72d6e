//! What a server says when it refuses (RFC 6749 section 5.2), as an error. What is done about it is not decided here.

use crate::effect::HttpResponse;
use crate::exchange::class::{aadsts_in, classify, default_hint, is_for_a_person};
use crate::exchange::invalid::no_error_object;
use crate::exchange::number::whole_number;
use crate::exchange::retry_after::retry_after_ms;
use crate::exchange::{Asked, body};
use crate::json::Json;
use crate::text::{Needles, clean};
use crate::{Error, ErrorClass, ErrorDetail, Secret, aadsts, challenge};

/// Whether a token server has refused what was presented, and does not only answer badly for now (RFC 6749 section 5.2): one
/// that is overloaded says so in the form of an OAuth error as well.
#[cfg(feature = "every-credential")]
pub(crate) fn is_refusal(error: &Error) -> bool {
    let detail = error.detail();
    detail.oauth_error.is_some() && !detail.retryable
}

pub(super) fn refused(asked: &Asked<'_>, response: &HttpResponse) -> Error {
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
            claims: claims.and_then(|claims| challenge::clean_claims(claims, &known)),
            ..ErrorDetail::default()
        },
    )
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

/// Entra appends ids and a time that have fields of their own.
fn description_without_ids(description: &str) -> &str {
    let end = description.find("Trace ID:").unwrap_or(description.len());
    description.get(..end).unwrap_or(description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::{read, response, with_asked};

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
                        crate::exchange::response(&asked, &response(400, &[], &body))
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
                    crate::exchange::response(&asked, &response(status, &[], &body.to_string()))
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
}
