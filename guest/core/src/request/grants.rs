//! Grants as callers write them.

use super::{Grant, UserReference};
use crate::Secret;
use crate::authority::is_guid;

/// Types of tokens (RFC 8693 section 3).
pub mod token_types {
    /// An OAuth 2.0 access token of the server that is asked.
    pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
    /// An OAuth 2.0 refresh token of the server that is asked.
    pub const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
    /// An ID token (OpenID Connect Core section 2).
    pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
    /// A JWT, whoever has issued it.
    pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
    /// A SAML 1.1 assertion, in base64url.
    pub const SAML1: &str = "urn:ietf:params:oauth:token-type:saml1";
    /// A SAML 2.0 assertion, in base64url.
    pub const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";
}

impl Grant {
    /// On behalf of the user who has sent this access token, which was issued for the identity (Entra ID).
    pub fn on_behalf_of(assertion: impl Into<Secret>) -> Self {
        Self::OnBehalfOf {
            assertion: Some(assertion.into()),
            session_key: None,
        }
    }

    /// The same, and begins or renews a session, which outlives the user's access token: [`Self::session`] gets tokens
    /// by its key alone. Who knows the key gets the user's tokens, so it is made at random, for each user and sign-in
    /// another.
    pub fn on_behalf_of_in_session(
        assertion: impl Into<Secret>,
        session_key: impl Into<Secret>,
    ) -> Self {
        Self::OnBehalfOf {
            assertion: Some(assertion.into()),
            session_key: Some(session_key.into()),
        }
    }

    /// On behalf of the user of a session that [`Self::on_behalf_of_in_session`] has begun.
    pub fn session(session_key: impl Into<Secret>) -> Self {
        Self::OnBehalfOf {
            assertion: None,
            session_key: Some(session_key.into()),
        }
    }

    /// For a code of the authorization endpoint, with the redirect URI of that request, letter for letter (RFC 6749 section
    /// 4.1.3).
    pub fn authorization_code(
        code: impl Into<Secret>,
        redirect_uri: impl Into<String>,
    ) -> AuthorizationCode {
        AuthorizationCode {
            code: code.into(),
            redirect_uri: redirect_uri.into(),
            code_verifier: None,
            nonce: None,
        }
    }

    /// For a refresh token (RFC 6749 section 6). The server may replace it: the one to use next is the response's, if it has
    /// one.
    pub fn refresh_token(token: impl Into<Secret>) -> Self {
        Self::RefreshToken(token.into())
    }

    /// For an assertion that another issuer has signed (RFC 7523 section 2.1).
    pub fn jwt_bearer(assertion: impl Into<Secret>) -> Self {
        Self::JwtBearer(assertion.into())
    }

    /// For another token (RFC 8693), whose type is one of [`token_types`] or another URI.
    pub fn token_exchange(
        subject_token: impl Into<Secret>,
        subject_token_type: impl Into<String>,
    ) -> TokenExchange {
        TokenExchange {
            subject_token: subject_token.into(),
            subject_token_type: subject_token_type.into(),
            actor: None,
            audience: Vec::new(),
            resource: Vec::new(),
            requested_token_type: None,
        }
    }

    /// As the agent identity with that client ID, whose blueprint is the identity (Entra ID).
    pub fn agent(client_id: impl Into<String>) -> Self {
        Self::Agent(client_id.into())
    }

    /// The same on behalf of a user: an object ID, or a user principal name.
    pub fn agent_user(client_id: impl Into<String>, user: impl Into<UserReference>) -> Self {
        Self::AgentUser {
            agent: client_id.into(),
            user: user.into(),
        }
    }
}

/// An authorization code and what belongs to it: see [`Grant::authorization_code`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct AuthorizationCode {
    code: Secret,
    redirect_uri: String,
    code_verifier: Option<Secret>,
    nonce: Option<Secret>,
}

impl AuthorizationCode {
    /// With the code verifier whose challenge the authorization request had (RFC 7636 section 4.5).
    pub fn with_code_verifier(mut self, code_verifier: impl Into<Secret>) -> Self {
        self.code_verifier = Some(code_verifier.into());
        self
    }

    /// With the nonce of the authorization request. An ID token without it is refused, and the tokens with it (OpenID Connect
    /// Core section 3.1.3.7).
    pub fn with_nonce(mut self, nonce: impl Into<Secret>) -> Self {
        self.nonce = Some(nonce.into());
        self
    }
}

impl From<AuthorizationCode> for Grant {
    fn from(grant: AuthorizationCode) -> Self {
        let AuthorizationCode {
            code,
            redirect_uri,
            code_verifier,
            nonce,
        } = grant;
        Self::AuthorizationCode {
            code,
            redirect_uri,
            code_verifier,
            nonce,
        }
    }
}

/// A token that is exchanged for another, and what that shall be: see [`Grant::token_exchange`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct TokenExchange {
    subject_token: Secret,
    subject_token_type: String,
    actor: Option<(Secret, String)>,
    audience: Vec<String>,
    resource: Vec<String>,
    requested_token_type: Option<String>,
}

impl TokenExchange {
    /// With the token of who acts for the subject, and its type.
    pub fn with_actor(mut self, token: impl Into<Secret>, token_type: impl Into<String>) -> Self {
        self.actor = Some((token.into(), token_type.into()));
        self
    }

    /// For the service of that name; for several, if called so often.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// For the service at that URI; for several, if called so often.
    pub fn with_resource(mut self, resource: impl Into<String>) -> Self {
        self.resource.push(resource.into());
        self
    }

    /// For a token of that type: one of [`token_types`], or another URI.
    pub fn with_requested_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.requested_token_type = Some(token_type.into());
        self
    }
}

impl From<TokenExchange> for Grant {
    fn from(grant: TokenExchange) -> Self {
        let TokenExchange {
            subject_token,
            subject_token_type,
            actor,
            audience,
            resource,
            requested_token_type,
        } = grant;
        Self::TokenExchange {
            subject_token,
            subject_token_type,
            actor,
            audience,
            resource,
            requested_token_type,
        }
    }
}

/// An object ID if it has the form of one, which no user principal name has, and a user principal name otherwise.
impl From<String> for UserReference {
    fn from(text: String) -> Self {
        match is_guid(&text) {
            true => Self::ObjectId(text),
            false => Self::Username(text),
        }
    }
}

impl From<&str> for UserReference {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenRequest;

    #[test]
    fn grants_are_what_is_written() {
        let agent = "11111111-2222-3333-4444-555555555555";
        for (built, written) in [
            (
                Grant::on_behalf_of("t"),
                Grant::OnBehalfOf {
                    assertion: Some("t".into()),
                    session_key: None,
                },
            ),
            (
                Grant::on_behalf_of_in_session("t", "k"),
                Grant::OnBehalfOf {
                    assertion: Some("t".into()),
                    session_key: Some("k".into()),
                },
            ),
            (
                Grant::session("k"),
                Grant::OnBehalfOf {
                    assertion: None,
                    session_key: Some("k".into()),
                },
            ),
            (
                Grant::authorization_code("c", "https://app.example/back")
                    .with_code_verifier("v")
                    .with_nonce("n")
                    .into(),
                Grant::AuthorizationCode {
                    code: "c".into(),
                    redirect_uri: "https://app.example/back".to_owned(),
                    code_verifier: Some("v".into()),
                    nonce: Some("n".into()),
                },
            ),
            (Grant::refresh_token("t"), Grant::RefreshToken("t".into())),
            (Grant::jwt_bearer("t"), Grant::JwtBearer("t".into())),
            (
                Grant::token_exchange("t", token_types::JWT)
                    .with_actor("a", token_types::ACCESS_TOKEN)
                    .with_audience("x")
                    .with_audience("y")
                    .with_resource("https://api.example/")
                    .with_requested_token_type(token_types::ID_TOKEN)
                    .into(),
                Grant::TokenExchange {
                    subject_token: "t".into(),
                    subject_token_type: token_types::JWT.to_owned(),
                    actor: Some(("a".into(), token_types::ACCESS_TOKEN.to_owned())),
                    audience: vec!["x".to_owned(), "y".to_owned()],
                    resource: vec!["https://api.example/".to_owned()],
                    requested_token_type: Some(token_types::ID_TOKEN.to_owned()),
                },
            ),
            (Grant::agent(agent), Grant::Agent(agent.to_owned())),
            (
                Grant::agent_user(agent, "alice@contoso.example"),
                Grant::AgentUser {
                    agent: agent.to_owned(),
                    user: UserReference::Username("alice@contoso.example".to_owned()),
                },
            ),
            (
                Grant::agent_user(agent, agent),
                Grant::AgentUser {
                    agent: agent.to_owned(),
                    user: UserReference::ObjectId(agent.to_owned()),
                },
            ),
        ] {
            assert_eq!(built, written);
        }
    }

    #[test]
    fn what_is_built_shows_no_secret() {
        let code = Grant::authorization_code("s3cret", "https://app.example/back")
            .with_code_verifier("s3cret");
        let exchange = Grant::token_exchange("s3cret", token_types::JWT).with_actor("s3cret", "t");
        let request = TokenRequest::default().with_grant(exchange.clone());
        let shown = format!("{code:?} {exchange:?} {request:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
