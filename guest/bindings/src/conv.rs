//! The conversions between the types of the interface and those of the engine, both ways.
//!
//! The host compiles this file as well (`host/src/bindings.rs`): its generator gives the types the same names and
//! fields. So it refers to `super::types` alone and has nothing but implementations of `From` and `TryFrom`.

use edgepass_core::{self as core, ErrorClass, Secret, error_classes};

use super::types as wit;

/// Both ways between two enums with the same cases.
macro_rules! same_cases {
    ($($name:ident { $($case:ident),* $(,)? })*) => {$(
        impl From<wit::$name> for core::$name {
            fn from(value: wit::$name) -> Self {
                match value {
                    $(wit::$name::$case => Self::$case,)*
                }
            }
        }

        impl From<core::$name> for wit::$name {
            fn from(value: core::$name) -> Self {
                match value {
                    $(core::$name::$case => Self::$case,)*
                }
            }
        }
    )*};
}

same_cases! {
    TokenType { Bearer, MtlsPop }
    GrantKind {
        ClientCredentials, OnBehalfOf, AuthorizationCode, RefreshToken, JwtBearer, TokenExchange, Agent, AgentUser
    }
    TokenSource { Exchange, Cache, SharedExchange }
    TokenState { Fresh, RefreshDue, Expiring, Rejected }
    RejectionOutcome { Invalidated, AlreadyReplaced, Kept }
    Algorithm { EdDsa, Es256, Es384, Ps256, Rs256 }
}

/// Both ways between two records with the same fields. All are named, so that a new one is missed at compile time; `maybe` is
/// an optional one whose content has two types.
macro_rules! same_fields {
    ($($name:ident { $($field:ident $($maybe:ident)?),* $(,)? })*) => {$(
        impl From<core::$name> for wit::$name {
            fn from(value: core::$name) -> Self {
                let core::$name { $($field),* } = value;
                Self { $($field: same_fields!(@ $field $($maybe)?)),* }
            }
        }

        impl From<wit::$name> for core::$name {
            fn from(value: wit::$name) -> Self {
                let wit::$name { $($field),* } = value;
                Self { $($field: same_fields!(@ $field $($maybe)?)),* }
            }
        }
    )*};
    (@ $field:ident) => { $field.into() };
    (@ $field:ident maybe) => { $field.map(Into::into) };
}

same_fields! {
    AssertionOptions {
        identity, client_id, tenant, token_endpoint, audience, claims, correlation_id, client_capabilities, fmi_path,
        source,
    }
    Attempt { credential, class, message }
    AuthorizationOptions {
        redirect_uri, scopes, tenant, response_mode, prompt, login_hint, domain_hint, claims, parameters,
    }
    CredentialRef { kind, name }
    CredentialStatus { credential, state }
    CredentialTrial { credential, description, problem maybe }
    Failure { class, message, at }
    Issuance { client_id, tenant_id, token_service }
    TokenStatus { scopes, tenant, grant, token_type, state, expires_on, refresh_on }
}

macro_rules! error_class_conversions {
    ($($(#[$doc:meta])* $class:ident $name:literal,)*) => {
        impl From<wit::ErrorClass> for ErrorClass {
            fn from(class: wit::ErrorClass) -> Self {
                match class {
                    $(wit::ErrorClass::$class => Self::$class,)*
                }
            }
        }

        impl From<ErrorClass> for wit::ErrorClass {
            fn from(class: ErrorClass) -> Self {
                match class {
                    $(ErrorClass::$class => Self::$class,)*
                    // the classes may grow; what has no case of its own yet is the documented catch-all
                    _ => Self::Other,
                }
            }
        }

        fn split(error: wit::CredentialError) -> (ErrorClass, wit::ErrorDetail) {
            match error {
                $(wit::CredentialError::$class(detail) => (ErrorClass::$class, detail),)*
            }
        }

        fn join(class: ErrorClass, detail: wit::ErrorDetail) -> wit::CredentialError {
            match class {
                $(ErrorClass::$class => wit::CredentialError::$class(detail),)*
                _ => wit::CredentialError::Other(detail),
            }
        }
    };
}

error_classes!(error_class_conversions);

impl From<wit::TokenRequest> for core::TokenRequest {
    fn from(request: wit::TokenRequest) -> Self {
        let wit::TokenRequest {
            identity,
            scopes,
            tenant,
            grant,
            claims,
            token_type,
            refresh,
        } = request;
        Self {
            identity,
            scopes,
            tenant,
            grant: grant.into(),
            claims,
            token_type: token_type.into(),
            refresh: match refresh {
                wit::Refresh::IfNeeded => core::Refresh::IfNeeded,
                wit::Refresh::Force => core::Refresh::Force,
                wit::Refresh::IfTokenIs(sha256) => core::Refresh::IfTokenIs(sha256),
            },
        }
    }
}

/// The secrets of a grant leave their wiping wrappers here.
impl TryFrom<core::TokenRequest> for wit::TokenRequest {
    type Error = core::Error;

    fn try_from(request: core::TokenRequest) -> Result<Self, core::Error> {
        let core::TokenRequest {
            identity,
            scopes,
            tenant,
            grant,
            claims,
            token_type,
            refresh,
        } = request;
        Ok(Self {
            identity,
            scopes,
            tenant,
            grant: grant.try_into()?,
            claims,
            token_type: token_type.into(),
            refresh: match refresh {
                core::Refresh::IfNeeded => wit::Refresh::IfNeeded,
                core::Refresh::Force => wit::Refresh::Force,
                core::Refresh::IfTokenIs(sha256) => wit::Refresh::IfTokenIs(sha256),
            },
        })
    }
}

impl From<wit::Grant> for core::Grant {
    fn from(grant: wit::Grant) -> Self {
        match grant {
            wit::Grant::ClientCredentials => Self::ClientCredentials,
            wit::Grant::OnBehalfOf(grant) => Self::OnBehalfOf {
                assertion: grant.assertion.map(Secret::new),
                session_key: grant.session_key.map(Secret::new),
            },
            wit::Grant::AuthorizationCode(grant) => Self::AuthorizationCode {
                code: Secret::new(grant.code),
                redirect_uri: grant.redirect_uri,
                code_verifier: grant.code_verifier.map(Secret::new),
                nonce: grant.nonce.map(Secret::new),
            },
            wit::Grant::RefreshToken(token) => Self::RefreshToken(Secret::new(token)),
            wit::Grant::JwtBearer(assertion) => Self::JwtBearer(Secret::new(assertion)),
            wit::Grant::TokenExchange(grant) => Self::TokenExchange {
                subject_token: Secret::new(grant.subject_token),
                subject_token_type: grant.subject_token_type,
                actor: grant
                    .actor
                    .map(|(token, token_type)| (Secret::new(token), token_type)),
                audience: grant.audience,
                resource: grant.resource,
                requested_token_type: grant.requested_token_type,
            },
            wit::Grant::Agent(agent) => Self::Agent(agent),
            wit::Grant::AgentUser(grant) => Self::AgentUser {
                agent: grant.agent,
                user: match grant.user {
                    wit::UserReference::Username(name) => core::UserReference::Username(name),
                    wit::UserReference::ObjectId(id) => core::UserReference::ObjectId(id),
                },
            },
        }
    }
}

impl TryFrom<core::Grant> for wit::Grant {
    type Error = core::Error;

    fn try_from(grant: core::Grant) -> Result<Self, core::Error> {
        Ok(match grant {
            core::Grant::ClientCredentials => Self::ClientCredentials,
            core::Grant::OnBehalfOf {
                assertion,
                session_key,
            } => Self::OnBehalfOf(wit::OnBehalfOf {
                assertion: assertion.as_ref().map(bare),
                session_key: session_key.as_ref().map(bare),
            }),
            core::Grant::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                nonce,
            } => Self::AuthorizationCode(wit::AuthorizationCode {
                code: bare(&code),
                redirect_uri,
                code_verifier: code_verifier.as_ref().map(bare),
                nonce: nonce.as_ref().map(bare),
            }),
            core::Grant::RefreshToken(token) => Self::RefreshToken(bare(&token)),
            core::Grant::JwtBearer(assertion) => Self::JwtBearer(bare(&assertion)),
            core::Grant::TokenExchange {
                subject_token,
                subject_token_type,
                actor,
                audience,
                resource,
                requested_token_type,
            } => Self::TokenExchange(wit::TokenExchange {
                subject_token: bare(&subject_token),
                subject_token_type,
                actor: actor.map(|(token, token_type)| (bare(&token), token_type)),
                audience,
                resource,
                requested_token_type,
            }),
            core::Grant::Agent(agent) => Self::Agent(agent),
            core::Grant::AgentUser { agent, user } => Self::AgentUser(wit::AgentUser {
                agent,
                user: match user {
                    core::UserReference::Username(name) => wit::UserReference::Username(name),
                    core::UserReference::ObjectId(id) => wit::UserReference::ObjectId(id),
                },
            }),
            // the engine may know a grant before the interface does
            _ => {
                return Err(core::Error::new(
                    ErrorClass::Unsupported,
                    "this grant cannot be passed to another component",
                ));
            }
        })
    }
}

/// The token leaves its wiping wrapper here: the caller gets a text of its own.
impl From<core::AccessToken> for wit::AccessToken {
    fn from(token: core::AccessToken) -> Self {
        let core::AccessToken {
            token,
            token_type,
            expires_on,
            refresh_on,
            moments: _,
            scope,
            identity,
            source,
            refresh_token,
            id_token,
            issued_token_type,
            certificate_thumbprint,
        } = token;
        Self {
            token: bare(&token),
            token_type,
            expires_on,
            refresh_on,
            scope,
            identity,
            source: source.into(),
            refresh_token: refresh_token.as_ref().map(bare),
            id_token: id_token.as_ref().map(bare),
            issued_token_type,
            certificate_thumbprint,
        }
    }
}

impl From<wit::AccessToken> for core::AccessToken {
    fn from(token: wit::AccessToken) -> Self {
        let wit::AccessToken {
            token,
            token_type,
            expires_on,
            refresh_on,
            scope,
            identity,
            source,
            refresh_token,
            id_token,
            issued_token_type,
            certificate_thumbprint,
        } = token;
        Self {
            token: Secret::new(token),
            token_type,
            expires_on,
            refresh_on,
            moments: None,
            scope,
            identity,
            source: source.into(),
            refresh_token: refresh_token.map(Secret::new),
            id_token: id_token.map(Secret::new),
            issued_token_type,
            certificate_thumbprint,
        }
    }
}

/// The finished header, unless it is no access token. The token leaves its wiping wrapper here.
impl TryFrom<&core::AccessToken> for wit::Header {
    type Error = core::Error;

    fn try_from(token: &core::AccessToken) -> Result<Self, core::Error> {
        Ok(Self {
            name: "authorization".to_owned(),
            value: bare(&token.authorization()?),
        })
    }
}

/// Everything but the secrets.
impl From<&core::AccessToken> for wit::TokenInfo {
    fn from(token: &core::AccessToken) -> Self {
        Self {
            token_type: token.token_type.clone(),
            expires_on: token.expires_on,
            refresh_on: token.refresh_on,
            scope: token.scope.clone(),
            identity: token.identity.clone(),
            source: token.source.into(),
            issued_token_type: token.issued_token_type.clone(),
            certificate_thumbprint: token.certificate_thumbprint.clone(),
        }
    }
}

/// The assertion leaves its wiping wrapper here.
impl From<core::ClientAssertion> for wit::ClientAssertion {
    fn from(assertion: core::ClientAssertion) -> Self {
        let core::ClientAssertion {
            assertion,
            assertion_type,
            expires_on,
        } = assertion;
        Self {
            assertion: bare(&assertion),
            assertion_type,
            expires_on,
        }
    }
}

impl From<wit::ClientAssertion> for core::ClientAssertion {
    fn from(assertion: wit::ClientAssertion) -> Self {
        Self {
            assertion: Secret::new(assertion.assertion),
            assertion_type: assertion.assertion_type,
            expires_on: assertion.expires_on,
        }
    }
}

impl From<core::Error> for wit::CredentialError {
    fn from(error: core::Error) -> Self {
        let core::ErrorDetail {
            message,
            hint,
            identity,
            credential,
            attempts,
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
            credential: credential.map(Into::into),
            attempts: attempts.into_iter().map(Into::into).collect(),
            retryable,
            retry_after_ms,
            http_status,
            oauth_error,
            aadsts,
            correlation_id,
            trace_id,
            claims,
        };
        join(error.class(), detail)
    }
}

impl From<wit::CredentialError> for core::Error {
    fn from(error: wit::CredentialError) -> Self {
        let (class, detail) = split(error);
        let wit::ErrorDetail {
            message,
            hint,
            identity,
            credential,
            attempts,
            retryable,
            retry_after_ms,
            http_status,
            oauth_error,
            aadsts,
            correlation_id,
            trace_id,
            claims,
        } = detail;
        Self::with_detail(
            class,
            core::ErrorDetail {
                message,
                hint,
                identity,
                credential: credential.map(Into::into),
                attempts: attempts.into_iter().map(Into::into).collect(),
                retryable,
                retry_after_ms,
                http_status,
                oauth_error,
                aadsts,
                correlation_id,
                trace_id,
                claims,
            },
        )
    }
}

impl From<core::CredentialState> for wit::CredentialState {
    fn from(state: core::CredentialState) -> Self {
        match state {
            core::CredentialState::Untried => Self::Untried,
            core::CredentialState::Good(at) => Self::Good(at),
            core::CredentialState::Aside { failure, retry_on } => {
                Self::Aside(wit::CredentialAside {
                    failure: failure.into(),
                    retry_on,
                })
            }
        }
    }
}

impl From<wit::CredentialState> for core::CredentialState {
    fn from(state: wit::CredentialState) -> Self {
        match state {
            wit::CredentialState::Untried => Self::Untried,
            wit::CredentialState::Good(at) => Self::Good(at),
            wit::CredentialState::Aside(wit::CredentialAside { failure, retry_on }) => {
                Self::Aside {
                    failure: failure.into(),
                    retry_on,
                }
            }
        }
    }
}

impl From<core::Error> for wit::CredentialProblem {
    fn from(error: core::Error) -> Self {
        Self {
            class: error.class().into(),
            message: error.detail().message.clone(),
            hint: error.detail().hint.clone(),
        }
    }
}

impl From<wit::CredentialProblem> for core::Error {
    fn from(problem: wit::CredentialProblem) -> Self {
        let wit::CredentialProblem {
            class,
            message,
            hint,
        } = problem;
        let detail = core::ErrorDetail {
            message,
            hint,
            ..core::ErrorDetail::default()
        };
        Self::with_detail(class.into(), detail)
    }
}

impl From<core::IdentityStatus> for wit::IdentityStatus {
    fn from(status: core::IdentityStatus) -> Self {
        let core::IdentityStatus {
            identity,
            counters,
            last_failure,
            credentials,
            tokens,
        } = status;
        Self {
            identity,
            counters: counters
                .named()
                .into_iter()
                .map(|(name, value)| wit::Counter {
                    name: name.to_owned(),
                    value,
                })
                .collect(),
            last_failure: last_failure.map(Into::into),
            credentials: credentials.into_iter().map(Into::into).collect(),
            tokens: tokens.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wit::IdentityStatus> for core::IdentityStatus {
    fn from(status: wit::IdentityStatus) -> Self {
        let wit::IdentityStatus {
            identity,
            counters,
            last_failure,
            credentials,
            tokens,
        } = status;
        let named = counters
            .iter()
            .map(|counter| (counter.name.as_str(), counter.value));
        Self {
            identity,
            counters: core::Counters::from_named(named),
            last_failure: last_failure.map(Into::into),
            credentials: credentials.into_iter().map(Into::into).collect(),
            tokens: tokens.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wit::ReadError> for core::ReadError {
    fn from(error: wit::ReadError) -> Self {
        match error {
            wit::ReadError::NotFound => Self::NotFound,
            wit::ReadError::Denied(why) => Self::Denied(why),
            wit::ReadError::TooLarge(limit) => Self::TooLarge(limit),
            wit::ReadError::Other(why) => Self::Other(why),
        }
    }
}

impl From<wit::CertificateError> for core::CertificateError {
    fn from(error: wit::CertificateError) -> Self {
        match error {
            wit::CertificateError::NotFound => Self::NotFound,
            wit::CertificateError::Unavailable(why) => Self::Unavailable(why),
            wit::CertificateError::UnsupportedAlgorithm => Self::UnsupportedAlgorithm,
            wit::CertificateError::Other(why) => Self::Other(why),
        }
    }
}

/// The assertion leaves its wiping wrapper here.
impl From<core::SuppliedAssertion> for wit::Assertion {
    fn from(core::SuppliedAssertion { token }: core::SuppliedAssertion) -> Self {
        Self {
            token: bare(&token),
        }
    }
}

impl From<wit::Assertion> for core::SuppliedAssertion {
    fn from(wit::Assertion { token }: wit::Assertion) -> Self {
        Self {
            token: Secret::new(token),
        }
    }
}

impl From<core::PublicKey> for wit::PublicKey {
    fn from(key: core::PublicKey) -> Self {
        match key {
            core::PublicKey::Rsa { n, e } => Self::Rsa(wit::RsaPublicKey { n, e }),
            core::PublicKey::Ec { x, y } => Self::Ec(wit::EcPublicKey { x, y }),
            core::PublicKey::Ed25519 { x } => Self::Ed25519(x),
        }
    }
}

impl From<wit::PublicKey> for core::PublicKey {
    fn from(key: wit::PublicKey) -> Self {
        match key {
            wit::PublicKey::Rsa(wit::RsaPublicKey { n, e }) => Self::Rsa { n, e },
            wit::PublicKey::Ec(wit::EcPublicKey { x, y }) => Self::Ec { x, y },
            wit::PublicKey::Ed25519(x) => Self::Ed25519 { x },
        }
    }
}

/// What the session has to remember leaves its wiping wrapper here.
impl From<core::AuthorizationRequest> for wit::AuthorizationRequest {
    fn from(request: core::AuthorizationRequest) -> Self {
        let core::AuthorizationRequest {
            url,
            state,
            nonce,
            code_verifier,
            issuer,
            names_issuer,
        } = request;
        Self {
            url,
            state: bare(&state),
            nonce: nonce.as_ref().map(bare),
            code_verifier: bare(&code_verifier),
            issuer,
            names_issuer,
        }
    }
}

impl From<wit::AuthorizationRequest> for core::AuthorizationRequest {
    fn from(request: wit::AuthorizationRequest) -> Self {
        let wit::AuthorizationRequest {
            url,
            state,
            nonce,
            code_verifier,
            issuer,
            names_issuer,
        } = request;
        Self {
            url,
            state: Secret::new(state),
            nonce: nonce.map(Secret::new),
            code_verifier: Secret::new(code_verifier),
            issuer,
            names_issuer,
        }
    }
}

impl From<wit::AssertionError> for core::AssertionError {
    fn from(error: wit::AssertionError) -> Self {
        match error {
            wit::AssertionError::NotConfigured => Self::NotConfigured,
            wit::AssertionError::Temporary(why) => Self::Temporary(why),
            wit::AssertionError::Other(why) => Self::Other(why),
        }
    }
}

impl From<wit::StoreError> for core::StoreError {
    fn from(error: wit::StoreError) -> Self {
        let wit::StoreError::Unavailable(why) = error;
        Self::Unavailable(why)
    }
}

impl From<core::AssertionError> for wit::AssertionError {
    fn from(error: core::AssertionError) -> Self {
        match error {
            core::AssertionError::NotConfigured => Self::NotConfigured,
            core::AssertionError::Temporary(why) => Self::Temporary(why),
            core::AssertionError::Other(why) => Self::Other(why),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

fn bare(secret: &Secret) -> String {
    secret.expose().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> core::AccessToken {
        core::AccessToken {
            token: Secret::new("abc"),
            token_type: "bearer".to_owned(),
            expires_on: 20,
            refresh_on: 10,
            moments: None,
            scope: "s".to_owned(),
            identity: "app".to_owned(),
            source: core::TokenSource::SharedExchange,
            refresh_token: Some(Secret::new("r3fresh")),
            id_token: Some(Secret::new("1d")),
            issued_token_type: Some("urn:x".to_owned()),
            certificate_thumbprint: Some("t".to_owned()),
        }
    }

    #[test]
    fn a_token_survives_the_way_there_and_back() {
        assert_eq!(
            core::AccessToken::from(wit::AccessToken::from(token())),
            token()
        );
    }

    #[test]
    fn what_may_be_known_of_a_token_has_no_secret() {
        let info = format!("{:?}", wit::TokenInfo::from(&token()));
        assert!(info.contains("urn:x") && info.contains("\"app\""), "{info}");
        for secret in ["abc", "r3fresh", "1d"] {
            assert!(!info.contains(secret), "{info}");
        }
    }

    #[test]
    fn the_header_is_finished() {
        let header = wit::Header::try_from(&token()).unwrap();
        assert_eq!(
            (header.name.as_str(), header.value.as_str()),
            ("authorization", "Bearer abc")
        );
        let other = core::AccessToken {
            token_type: "N_A".to_owned(),
            ..token()
        };
        assert_eq!(
            wit::Header::try_from(&other).unwrap_err().class(),
            ErrorClass::InvalidRequest
        );
    }

    #[test]
    fn every_error_survives_the_way_there_and_back() {
        for class in ErrorClass::ALL {
            let tried = |kind: &str, name: Option<&str>| core::CredentialRef {
                kind: kind.to_owned(),
                name: name.map(str::to_owned),
            };
            let detail = core::ErrorDetail {
                message: "it failed".to_owned(),
                hint: Some("h".to_owned()),
                identity: Some("app".to_owned()),
                credential: Some(tried("certificate", Some("demo"))),
                attempts: vec![core::Attempt {
                    credential: tried("federated_token_file", None),
                    class,
                    message: "m".to_owned(),
                }],
                retryable: true,
                retry_after_ms: Some(7),
                http_status: Some(400),
                oauth_error: Some("invalid_client".to_owned()),
                aadsts: vec![700_211],
                correlation_id: Some("c".to_owned()),
                trace_id: Some("t".to_owned()),
                claims: Some("{}".to_owned()),
            };
            let error = core::Error::with_detail(class, detail);
            let crossed = wit::CredentialError::from(error.clone());
            let case: String = class.name().split('-').map(capitalised).collect();
            assert!(
                format!("{crossed:?}").contains(&format!("{case}(")),
                "{case}"
            );
            assert_eq!(core::Error::from(crossed), error);
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
    fn a_status_survives_the_way_there_and_back() {
        let mut counters = core::Counters::default();
        counters.exchanges = 1;
        counters.failures = 2;
        counters.cache_hits = 3;
        counters.rejections = 4;
        counters.store_hits = 5;
        counters.store_misses = 6;
        counters.store_failures = 7;
        counters.store_ignored = 8;
        let states = [
            core::TokenState::Fresh,
            core::TokenState::RefreshDue,
            core::TokenState::Expiring,
            core::TokenState::Rejected,
        ];
        let credentials = [
            core::CredentialState::Untried,
            core::CredentialState::Good(8),
            core::CredentialState::Aside {
                failure: core::Failure {
                    class: ErrorClass::CredentialRejected,
                    message: "n".to_owned(),
                    at: 9,
                },
                retry_on: 10,
            },
        ];
        let status = core::IdentityStatus {
            identity: "app".to_owned(),
            counters,
            last_failure: Some(core::Failure {
                class: ErrorClass::Server,
                message: "m".to_owned(),
                at: 5,
            }),
            credentials: credentials
                .into_iter()
                .map(|state| core::CredentialStatus {
                    credential: core::CredentialRef {
                        kind: "certificate".to_owned(),
                        name: Some("c".to_owned()),
                    },
                    state,
                })
                .collect(),
            tokens: states
                .into_iter()
                .map(|state| core::TokenStatus {
                    scopes: vec!["s".to_owned()],
                    tenant: Some("t".to_owned()),
                    grant: core::GrantKind::OnBehalfOf,
                    token_type: core::TokenType::MtlsPop,
                    state,
                    expires_on: 7,
                    refresh_on: 6,
                })
                .collect(),
        };
        let crossed = wit::IdentityStatus::from(status.clone());
        assert_eq!(core::IdentityStatus::from(crossed), status);
    }

    #[test]
    fn every_request_survives_the_way_there_and_back() {
        let secret = Secret::new;
        for grant in [
            core::Grant::ClientCredentials,
            core::Grant::OnBehalfOf {
                assertion: Some(secret("a")),
                session_key: Some(secret("k")),
            },
            core::Grant::Agent("agent".to_owned()),
            core::Grant::AgentUser {
                agent: "agent".to_owned(),
                user: core::UserReference::Username("ada@contoso.example".to_owned()),
            },
            core::Grant::AgentUser {
                agent: "agent".to_owned(),
                user: core::UserReference::ObjectId("o".to_owned()),
            },
            core::Grant::AuthorizationCode {
                code: secret("c"),
                redirect_uri: "https://app.test/".to_owned(),
                code_verifier: Some(secret("v")),
                nonce: Some("n".into()),
            },
            core::Grant::RefreshToken(secret("r")),
            core::Grant::JwtBearer(secret("j")),
            core::Grant::TokenExchange {
                subject_token: secret("s3cret"),
                subject_token_type: "urn:x".to_owned(),
                actor: Some((secret("act"), "urn:y".to_owned())),
                audience: vec!["aud".to_owned()],
                resource: vec!["res".to_owned()],
                requested_token_type: Some("urn:z".to_owned()),
            },
        ] {
            for (token_type, refresh) in [
                (core::TokenType::Bearer, core::Refresh::IfNeeded),
                (core::TokenType::Bearer, core::Refresh::Force),
                (
                    core::TokenType::MtlsPop,
                    core::Refresh::IfTokenIs("00".to_owned()),
                ),
            ] {
                let request = core::TokenRequest {
                    identity: Some("app".to_owned()),
                    scopes: vec!["a".to_owned(), "b".to_owned()],
                    tenant: Some("t".to_owned()),
                    grant: grant.clone(),
                    claims: Some("{}".to_owned()),
                    token_type,
                    refresh,
                };
                let crossed = wit::TokenRequest::try_from(request.clone()).unwrap();
                assert_eq!(core::TokenRequest::from(crossed), request);
            }
        }
    }
}
