use edgepass_core::ErrorClass;

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
