//! The types of the interface and those of the engine, one into the other.

use edgepass_core as core;
use edgepass_core::{ErrorClass, Secret, error_classes};

use crate::bindings::edgepass::credentials::{
    assertion_source, host_certificates, token_file, types as wit,
};

pub(crate) fn request(request: wit::TokenRequest) -> core::TokenRequest {
    let wit::TokenRequest {
        identity,
        scopes,
        tenant,
        grant,
        claims,
        token_type,
        refresh,
    } = request;
    core::TokenRequest {
        identity,
        scopes,
        tenant,
        grant: self::grant(grant),
        claims,
        token_type: match token_type {
            wit::TokenType::Bearer => core::TokenType::Bearer,
            wit::TokenType::MtlsPop => core::TokenType::MtlsPop,
        },
        refresh: match refresh {
            wit::Refresh::IfNeeded => core::Refresh::IfNeeded,
            wit::Refresh::Force => core::Refresh::Force,
            wit::Refresh::IfTokenIs(sha256) => core::Refresh::IfTokenIs(sha256),
        },
    }
}

fn grant(grant: wit::Grant) -> core::Grant {
    match grant {
        wit::Grant::ClientCredentials => core::Grant::ClientCredentials,
        wit::Grant::OnBehalfOf(assertion) => core::Grant::OnBehalfOf(Secret::new(assertion)),
        wit::Grant::AuthorizationCode(grant) => core::Grant::AuthorizationCode {
            code: Secret::new(grant.code),
            redirect_uri: grant.redirect_uri,
            code_verifier: grant.code_verifier.map(Secret::new),
        },
        wit::Grant::RefreshToken(token) => core::Grant::RefreshToken(Secret::new(token)),
        wit::Grant::JwtBearer(assertion) => core::Grant::JwtBearer(Secret::new(assertion)),
        wit::Grant::TokenExchange(grant) => core::Grant::TokenExchange {
            subject_token: Secret::new(grant.subject_token),
            subject_token_type: grant.subject_token_type,
            actor: grant
                .actor
                .map(|(token, token_type)| (Secret::new(token), token_type)),
            audience: grant.audience,
            resource: grant.resource,
            requested_token_type: grant.requested_token_type,
        },
    }
}

/// The token leaves its wiping wrapper here: the caller gets a text of its own.
pub(crate) fn access_token(token: &core::AccessToken) -> wit::AccessToken {
    wit::AccessToken {
        token: token.token.expose().to_owned(),
        token_type: token.token_type.clone(),
        expires_on: token.expires_on,
        refresh_on: token.refresh_on,
        scope: token.scope.clone(),
        identity: token.identity.clone(),
        source: match token.source {
            core::TokenSource::Exchange => wit::TokenSource::Exchange,
            core::TokenSource::Cache => wit::TokenSource::Cache,
            core::TokenSource::SharedExchange => wit::TokenSource::SharedExchange,
        },
    }
}

/// The finished header. Servers may name the type in any case (RFC 6749 section 7.1), resource servers are often
/// stricter about the scheme (RFC 6750 section 2.1), so `Bearer` is written as the RFC writes it.
pub(crate) fn header(token: &core::AccessToken) -> wit::Header {
    let scheme = if token.token_type.eq_ignore_ascii_case("bearer") {
        "Bearer"
    } else {
        &token.token_type
    };
    wit::Header {
        name: "authorization".to_owned(),
        value: format!("{scheme} {}", token.token.expose()),
    }
}

/// The assertion leaves its wiping wrapper here.
pub(crate) fn client_assertion(assertion: core::ClientAssertion) -> wit::ClientAssertion {
    let core::ClientAssertion {
        assertion,
        assertion_type,
        expires_on,
    } = assertion;
    wit::ClientAssertion {
        assertion: assertion.expose().to_owned(),
        assertion_type,
        expires_on,
    }
}

pub(crate) fn rejection_outcome(outcome: core::RejectionOutcome) -> wit::RejectionOutcome {
    match outcome {
        core::RejectionOutcome::Invalidated => wit::RejectionOutcome::Invalidated,
        core::RejectionOutcome::AlreadyReplaced => wit::RejectionOutcome::AlreadyReplaced,
        core::RejectionOutcome::Kept => wit::RejectionOutcome::Kept,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function value in map_err"
)]
pub(crate) fn error(error: core::Error) -> wit::CredentialError {
    let core::ErrorDetail {
        message,
        hint,
        identity,
        retryable,
        retry_after_ms,
        http_status,
        oauth_error,
        aadsts,
        correlation_id,
        trace_id,
        claims,
    } = error.detail().clone();
    let detail = wit::ErrorDetail {
        message,
        hint,
        identity,
        retryable,
        retry_after_ms,
        http_status,
        oauth_error,
        aadsts,
        correlation_id,
        trace_id,
        claims,
    };
    macro_rules! join {
        ($($(#[$doc:meta])* $class:ident $name:literal,)*) => {
            match error.class() {
                $(ErrorClass::$class => wit::CredentialError::$class(detail),)*
                // the classes may grow; what has no case of its own yet is the documented catch-all
                _ => wit::CredentialError::Other(detail),
            }
        };
    }
    error_classes!(join)
}

pub(crate) fn algorithm(algorithm: core::Algorithm) -> host_certificates::Algorithm {
    match algorithm {
        core::Algorithm::Es256 => host_certificates::Algorithm::Es256,
        core::Algorithm::Ps256 => host_certificates::Algorithm::Ps256,
        core::Algorithm::Rs256 => host_certificates::Algorithm::Rs256,
    }
}

pub(crate) fn read_error(error: token_file::ReadError) -> core::ReadError {
    match error {
        token_file::ReadError::NotFound => core::ReadError::NotFound,
        token_file::ReadError::Denied(why) => core::ReadError::Denied(why),
        token_file::ReadError::TooLarge(limit) => core::ReadError::TooLarge(limit),
        token_file::ReadError::Other(why) => core::ReadError::Other(why),
    }
}

pub(crate) fn certificate_error(
    error: host_certificates::CertificateError,
) -> core::CertificateError {
    match error {
        host_certificates::CertificateError::NotFound => core::CertificateError::NotFound,
        host_certificates::CertificateError::Unavailable(why) => {
            core::CertificateError::Unavailable(why)
        }
        host_certificates::CertificateError::UnsupportedAlgorithm => {
            core::CertificateError::UnsupportedAlgorithm
        }
        host_certificates::CertificateError::Other(why) => core::CertificateError::Other(why),
    }
}

pub(crate) fn assertion_options(
    options: core::AssertionOptions,
) -> assertion_source::AssertionOptions {
    let core::AssertionOptions {
        identity,
        client_id,
        tenant,
        token_endpoint,
        audience,
        claims,
        correlation_id,
    } = options;
    assertion_source::AssertionOptions {
        identity,
        client_id,
        tenant,
        token_endpoint,
        audience,
        claims,
        correlation_id,
    }
}

pub(crate) fn supplied_assertion(
    assertion: assertion_source::Assertion,
) -> core::SuppliedAssertion {
    core::SuppliedAssertion {
        token: Secret::new(assertion.token),
        bound_identity: assertion.bound_identity,
    }
}

pub(crate) fn assertion_error(error: assertion_source::AssertionError) -> core::AssertionError {
    match error {
        assertion_source::AssertionError::NotConfigured => core::AssertionError::NotConfigured,
        assertion_source::AssertionError::Temporary(why) => core::AssertionError::Temporary(why),
        assertion_source::AssertionError::Other(why) => core::AssertionError::Other(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(token_type: &str) -> core::AccessToken {
        core::AccessToken {
            token: Secret::new("abc"),
            token_type: token_type.to_owned(),
            expires_on: 20,
            refresh_on: 10,
            scope: "s".to_owned(),
            identity: "app".to_owned(),
            source: core::TokenSource::SharedExchange,
        }
    }

    #[test]
    fn the_header_has_the_scheme_of_the_token() {
        assert_eq!(header(&token("bearer")).value, "Bearer abc");
        assert_eq!(header(&token("mtls_pop")).value, "mtls_pop abc");
        assert_eq!(header(&token("Bearer")).name, "authorization");
    }

    #[test]
    fn every_class_keeps_its_name_and_detail() {
        for class in ErrorClass::ALL {
            let detail = core::ErrorDetail {
                message: "it failed".to_owned(),
                aadsts: vec![700_211],
                retry_after_ms: Some(7),
                ..core::ErrorDetail::default()
            };
            let shown = format!("{:?}", error(core::Error::with_detail(class, detail)));
            let case: String = class.name().split('-').map(capitalised).collect();
            assert!(
                shown.contains(&format!("{case}(")),
                "{shown} has no case {case}"
            );
            assert!(
                shown.contains("it failed")
                    && shown.contains("700211")
                    && shown.contains("Some(7)"),
                "{shown}"
            );
        }
    }

    fn capitalised(word: &str) -> String {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase())
            .into_iter()
            .chain(letters)
            .collect()
    }

    #[test]
    fn a_request_keeps_every_field() {
        let made = request(wit::TokenRequest {
            identity: Some("app".to_owned()),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            tenant: Some("t".to_owned()),
            grant: wit::Grant::TokenExchange(wit::TokenExchange {
                subject_token: "s3cret".to_owned(),
                subject_token_type: "urn:x".to_owned(),
                actor: Some(("act".to_owned(), "urn:y".to_owned())),
                audience: vec!["aud".to_owned()],
                resource: vec!["res".to_owned()],
                requested_token_type: Some("urn:z".to_owned()),
            }),
            claims: Some("{}".to_owned()),
            token_type: wit::TokenType::MtlsPop,
            refresh: wit::Refresh::IfTokenIs("00".to_owned()),
        });
        let expected = core::TokenRequest {
            identity: Some("app".to_owned()),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            tenant: Some("t".to_owned()),
            grant: core::Grant::TokenExchange {
                subject_token: Secret::new("s3cret"),
                subject_token_type: "urn:x".to_owned(),
                actor: Some((Secret::new("act"), "urn:y".to_owned())),
                audience: vec!["aud".to_owned()],
                resource: vec!["res".to_owned()],
                requested_token_type: Some("urn:z".to_owned()),
            },
            claims: Some("{}".to_owned()),
            token_type: core::TokenType::MtlsPop,
            refresh: core::Refresh::IfTokenIs("00".to_owned()),
        };
        assert_eq!(made, expected);
    }
}
