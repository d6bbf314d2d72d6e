//! Between the engine's types, which callers see, and the generated ones, which cross the component's boundary.

use edgepass_core::{
    AccessToken, ClientAssertion, Error, ErrorClass, ErrorDetail, Grant, Refresh, RejectionOutcome,
    Secret, TokenRequest, TokenSource, TokenType, error_classes,
};

use crate::bindings::types as wit;

/// A request on its way into the component.
pub(crate) fn request_to_wit(request: &TokenRequest) -> Result<wit::TokenRequest, Error> {
    Ok(wit::TokenRequest {
        identity: request.identity.clone(),
        scopes: request.scopes.clone(),
        tenant: request.tenant.clone(),
        grant: grant_to_wit(&request.grant)?,
        claims: request.claims.clone(),
        token_type: match request.token_type {
            TokenType::Bearer => wit::TokenType::Bearer,
            TokenType::MtlsPop => wit::TokenType::MtlsPop,
        },
        refresh: match &request.refresh {
            Refresh::IfNeeded => wit::Refresh::IfNeeded,
            Refresh::Force => wit::Refresh::Force,
            Refresh::IfTokenIs(sha256) => wit::Refresh::IfTokenIs(sha256.clone()),
        },
    })
}

/// A request from another component.
pub(crate) fn request_from_wit(request: wit::TokenRequest) -> TokenRequest {
    TokenRequest {
        identity: request.identity,
        scopes: request.scopes,
        tenant: request.tenant,
        grant: grant_from_wit(request.grant),
        claims: request.claims,
        token_type: match request.token_type {
            wit::TokenType::Bearer => TokenType::Bearer,
            wit::TokenType::MtlsPop => TokenType::MtlsPop,
        },
        refresh: match request.refresh {
            wit::Refresh::IfNeeded => Refresh::IfNeeded,
            wit::Refresh::Force => Refresh::Force,
            wit::Refresh::IfTokenIs(sha256) => Refresh::IfTokenIs(sha256),
        },
    }
}

pub(crate) fn token_from_wit(token: wit::AccessToken) -> AccessToken {
    AccessToken {
        token: Secret::new(token.token),
        token_type: token.token_type,
        expires_on: token.expires_on,
        refresh_on: token.refresh_on,
        scope: token.scope,
        identity: token.identity,
        source: match token.source {
            wit::TokenSource::Exchange => TokenSource::Exchange,
            wit::TokenSource::Cache => TokenSource::Cache,
            wit::TokenSource::SharedExchange => TokenSource::SharedExchange,
        },
    }
}

pub(crate) fn token_to_wit(token: &AccessToken) -> wit::AccessToken {
    wit::AccessToken {
        token: token.token.expose().to_owned(),
        token_type: token.token_type.clone(),
        expires_on: token.expires_on,
        refresh_on: token.refresh_on,
        scope: token.scope.clone(),
        identity: token.identity.clone(),
        source: match token.source {
            TokenSource::Exchange => wit::TokenSource::Exchange,
            TokenSource::Cache => wit::TokenSource::Cache,
            TokenSource::SharedExchange => wit::TokenSource::SharedExchange,
        },
    }
}

pub(crate) fn assertion_from_wit(assertion: wit::ClientAssertion) -> ClientAssertion {
    ClientAssertion {
        assertion: Secret::new(assertion.assertion),
        assertion_type: assertion.assertion_type,
        expires_on: assertion.expires_on,
    }
}

pub(crate) fn assertion_to_wit(assertion: &ClientAssertion) -> wit::ClientAssertion {
    wit::ClientAssertion {
        assertion: assertion.assertion.expose().to_owned(),
        assertion_type: assertion.assertion_type.clone(),
        expires_on: assertion.expires_on,
    }
}

pub(crate) fn outcome_from_wit(outcome: wit::RejectionOutcome) -> RejectionOutcome {
    match outcome {
        wit::RejectionOutcome::Invalidated => RejectionOutcome::Invalidated,
        wit::RejectionOutcome::AlreadyReplaced => RejectionOutcome::AlreadyReplaced,
        wit::RejectionOutcome::Kept => RejectionOutcome::Kept,
    }
}

pub(crate) fn outcome_to_wit(outcome: RejectionOutcome) -> wit::RejectionOutcome {
    match outcome {
        RejectionOutcome::Invalidated => wit::RejectionOutcome::Invalidated,
        RejectionOutcome::AlreadyReplaced => wit::RejectionOutcome::AlreadyReplaced,
        RejectionOutcome::Kept => wit::RejectionOutcome::Kept,
    }
}

pub(crate) fn error_from_wit(error: wit::CredentialError) -> Error {
    macro_rules! split {
        ($($(#[$doc:meta])* $class:ident $name:literal,)*) => {
            match error {
                $(wit::CredentialError::$class(detail) => (ErrorClass::$class, detail),)*
            }
        };
    }
    let (class, detail) = error_classes!(split);
    Error::with_detail(
        class,
        ErrorDetail {
            message: detail.message,
            hint: detail.hint,
            identity: detail.identity,
            retryable: detail.retryable,
            retry_after_ms: detail.retry_after_ms,
            http_status: detail.http_status,
            oauth_error: detail.oauth_error,
            aadsts: detail.aadsts,
            correlation_id: detail.correlation_id,
            trace_id: detail.trace_id,
            claims: detail.claims,
        },
    )
}

pub(crate) fn error_to_wit(error: &Error) -> wit::CredentialError {
    let detail = error.detail().clone();
    let detail = wit::ErrorDetail {
        message: detail.message,
        hint: detail.hint,
        identity: detail.identity,
        retryable: detail.retryable,
        retry_after_ms: detail.retry_after_ms,
        http_status: detail.http_status,
        oauth_error: detail.oauth_error,
        aadsts: detail.aadsts,
        correlation_id: detail.correlation_id,
        trace_id: detail.trace_id,
        claims: detail.claims,
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

fn grant_to_wit(grant: &Grant) -> Result<wit::Grant, Error> {
    Ok(match grant {
        Grant::ClientCredentials => wit::Grant::ClientCredentials,
        Grant::OnBehalfOf(token) => wit::Grant::OnBehalfOf(token.expose().to_owned()),
        Grant::AuthorizationCode {
            code,
            redirect_uri,
            code_verifier,
        } => wit::Grant::AuthorizationCode(wit::AuthorizationCode {
            code: code.expose().to_owned(),
            redirect_uri: redirect_uri.clone(),
            code_verifier: code_verifier
                .as_ref()
                .map(|verifier| verifier.expose().to_owned()),
        }),
        Grant::RefreshToken(token) => wit::Grant::RefreshToken(token.expose().to_owned()),
        Grant::JwtBearer(assertion) => wit::Grant::JwtBearer(assertion.expose().to_owned()),
        Grant::TokenExchange {
            subject_token,
            subject_token_type,
            actor,
            audience,
            resource,
            requested_token_type,
        } => wit::Grant::TokenExchange(wit::TokenExchange {
            subject_token: subject_token.expose().to_owned(),
            subject_token_type: subject_token_type.clone(),
            actor: actor
                .as_ref()
                .map(|(token, kind)| (token.expose().to_owned(), kind.clone())),
            audience: audience.clone(),
            resource: resource.clone(),
            requested_token_type: requested_token_type.clone(),
        }),
        // the grants are open for growth in the engine before the interface learns them
        _ => {
            return Err(Error::new(
                ErrorClass::Unsupported,
                "this grant cannot be passed to the component",
            ));
        }
    })
}

fn grant_from_wit(grant: wit::Grant) -> Grant {
    match grant {
        wit::Grant::ClientCredentials => Grant::ClientCredentials,
        wit::Grant::OnBehalfOf(token) => Grant::OnBehalfOf(Secret::new(token)),
        wit::Grant::AuthorizationCode(code) => Grant::AuthorizationCode {
            code: Secret::new(code.code),
            redirect_uri: code.redirect_uri,
            code_verifier: code.code_verifier.map(Secret::new),
        },
        wit::Grant::RefreshToken(token) => Grant::RefreshToken(Secret::new(token)),
        wit::Grant::JwtBearer(assertion) => Grant::JwtBearer(Secret::new(assertion)),
        wit::Grant::TokenExchange(exchange) => Grant::TokenExchange {
            subject_token: Secret::new(exchange.subject_token),
            subject_token_type: exchange.subject_token_type,
            actor: exchange
                .actor
                .map(|(token, kind)| (Secret::new(token), kind)),
            audience: exchange.audience,
            resource: exchange.resource,
            requested_token_type: exchange.requested_token_type,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_way_there_and_back() {
        let request = TokenRequest {
            identity: Some("app".into()),
            scopes: vec!["a/.default".into(), "b".into()],
            tenant: Some("t".into()),
            grant: Grant::TokenExchange {
                subject_token: Secret::new("s"),
                subject_token_type: "urn:s".into(),
                actor: Some((Secret::new("a"), "urn:a".into())),
                audience: vec!["aud".into()],
                resource: vec!["res".into()],
                requested_token_type: Some("urn:r".into()),
            },
            claims: Some("{}".into()),
            token_type: TokenType::MtlsPop,
            refresh: Refresh::IfTokenIs("ab".into()),
        };
        assert_eq!(request_from_wit(request_to_wit(&request).unwrap()), request);
    }

    #[test]
    fn every_error_class_survives_the_way_there_and_back() {
        for class in ErrorClass::ALL {
            let error = Error::with_detail(
                class,
                ErrorDetail {
                    message: "m".into(),
                    hint: Some("h".into()),
                    identity: Some("i".into()),
                    retryable: true,
                    retry_after_ms: Some(5),
                    http_status: Some(400),
                    oauth_error: Some("invalid_client".into()),
                    aadsts: vec![700_024],
                    correlation_id: Some("c".into()),
                    trace_id: Some("t".into()),
                    claims: Some("{}".into()),
                },
            );
            assert_eq!(error_from_wit(error_to_wit(&error)), error);
        }
    }
}
