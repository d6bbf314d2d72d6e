//! What callers ask for and get.

mod grants;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::grants::{AuthorizationCode, TokenExchange, token_types};
use crate::{Error, ErrorClass, Moment, Now, Secret};

/// One question for a token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenRequest {
    /// Name of a configured identity; `None` is the default identity.
    pub identity: Option<String>,
    /// Scopes; empty means the identity's configured scopes.
    pub scopes: Vec<String>,
    /// Another tenant than the identity's own.
    pub tenant: Option<String>,
    /// How the token is granted.
    pub grant: Grant,
    /// A claims challenge, JSON or base64 of JSON.
    pub claims: Option<String>,
    /// The kind of token wanted.
    pub token_type: TokenType,
    /// When a cached token may be used.
    pub refresh: Refresh,
}

impl TokenRequest {
    /// A client-credentials request of the default identity.
    pub fn for_scopes<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self {
            scopes: scopes.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The same of a configured identity.
    #[must_use]
    pub fn with_identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// The same in another tenant than the identity's own, which the configuration must allow.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The same with the claims of a challenge: JSON, or base64 of JSON.
    #[must_use]
    pub fn with_claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into());
        self
    }

    /// The same with another rule for cached tokens.
    #[must_use]
    pub fn with_refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// The same for a token of that kind.
    #[must_use]
    pub fn with_token_type(mut self, token_type: TokenType) -> Self {
        self.token_type = token_type;
        self
    }

    /// The same by another grant, such as [`Grant::on_behalf_of`].
    #[must_use]
    pub fn with_grant(mut self, grant: impl Into<Grant>) -> Self {
        self.grant = grant.into();
        self
    }
}

/// A moment in Unix seconds. What lies after the year 9999 is there, so that the sum fits everywhere.
fn moment(unix_seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_seconds.min(253_402_300_799))
}

/// How a token is granted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Grant {
    /// RFC 6749 section 4.4.
    #[default]
    ClientCredentials,
    /// Entra on-behalf-of. One of the two is there, or both.
    OnBehalfOf {
        /// The user's access token, which was issued for the identity.
        assertion: Option<Secret>,
        /// A session that outlives the user's access token: with an assertion it begins, or is renewed, and the refresh
        /// token is kept for it in this instance; without one what is kept is used. Who knows it gets the user's tokens, so
        /// it is made at random: 22 to 512 bytes.
        session_key: Option<Secret>,
    },
    /// RFC 6749 section 4.1.3.
    AuthorizationCode {
        /// The code.
        code: Secret,
        /// The redirect URI of the authorization request.
        redirect_uri: String,
        /// The PKCE verifier.
        code_verifier: Option<Secret>,
        /// The nonce of the authorization request, which the ID token must have.
        nonce: Option<Secret>,
    },
    /// RFC 6749 section 6.
    RefreshToken(Secret),
    /// RFC 7523 section 2.1.
    JwtBearer(Secret),
    /// RFC 8693.
    TokenExchange {
        /// `subject_token`.
        subject_token: Secret,
        /// `subject_token_type`.
        subject_token_type: String,
        /// `actor_token` and `actor_token_type`.
        actor: Option<(Secret, String)>,
        /// `audience`.
        audience: Vec<String>,
        /// `resource`.
        resource: Vec<String>,
        /// `requested_token_type`.
        requested_token_type: Option<String>,
    },
    /// Entra agent identities: the application token of the agent with that client id, whose blueprint is the identity.
    Agent(String),
    /// The same for a user whom the agent acts for.
    AgentUser {
        /// Client id of the agent identity.
        agent: String,
        /// The user.
        user: UserReference,
    },
}

/// Names a user of a tenant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UserReference {
    /// The user principal name.
    Username(String),
    /// The object id.
    ObjectId(String),
}

impl Grant {
    /// Which it is, without what is in it.
    pub fn kind(&self) -> GrantKind {
        match self {
            Self::ClientCredentials => GrantKind::ClientCredentials,
            Self::OnBehalfOf { .. } => GrantKind::OnBehalfOf,
            Self::AuthorizationCode { .. } => GrantKind::AuthorizationCode,
            Self::RefreshToken(_) => GrantKind::RefreshToken,
            Self::JwtBearer(_) => GrantKind::JwtBearer,
            Self::TokenExchange { .. } => GrantKind::TokenExchange,
            Self::Agent(_) => GrantKind::Agent,
            Self::AgentUser { .. } => GrantKind::AgentUser,
        }
    }
}

/// A grant without what is in it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum GrantKind {
    /// RFC 6749 section 4.4: the application's own token.
    ClientCredentials,
    /// Entra on-behalf-of.
    OnBehalfOf,
    /// RFC 6749 section 4.1.3.
    AuthorizationCode,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 7523 section 2.1.
    JwtBearer,
    /// RFC 8693.
    TokenExchange,
    /// Entra agent identities.
    Agent,
    /// The same for a user.
    AgentUser,
}

/// The kind of token wanted.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TokenType {
    /// RFC 6750.
    #[default]
    Bearer,
    /// Bound to the client certificate (RFC 8705).
    MtlsPop,
}

/// When a cached token may be used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Refresh {
    /// Whenever it is still good.
    #[default]
    IfNeeded,
    /// Never.
    Force,
    /// Unless its lower-case hex SHA-256 is this.
    IfTokenIs(String),
}

/// Where an access token came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenSource {
    /// An exchange that this call started.
    Exchange,
    /// The cache.
    Cache,
    /// An exchange under way for another caller.
    SharedExchange,
}

/// The times of an access token, to the millisecond and on both clocks of the engine's driver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moments {
    /// When it expires.
    pub expires: Moment,
    /// From when a newer one is looked for.
    pub refresh: Moment,
}

/// An access token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// `token_type` as the server named it: usually `Bearer`; `N_A` where a token exchange issued something that is no
    /// access token (RFC 8693 section 2.2.1).
    pub token_type: String,
    /// Unix seconds when it expires.
    pub expires_on: u64,
    /// Unix seconds from when a newer one is looked for; until then it may be kept without asking again.
    pub refresh_on: u64,
    /// Both of them as the engine knows them. `None` where the token came over an interface, which has seconds.
    pub moments: Option<Moments>,
    /// Granted scopes, space-separated.
    pub scope: String,
    /// The configured identity.
    pub identity: String,
    /// Where it came from.
    pub source: TokenSource,
    /// `refresh_token` (RFC 6749 section 5.1), where the grant brings one.
    pub refresh_token: Option<Secret>,
    /// `id_token` (OpenID Connect Core section 3.1.3.3), where the grant brings one.
    pub id_token: Option<Secret>,
    /// `issued_token_type` (RFC 8693 section 2.2.1).
    pub issued_token_type: Option<String>,
    /// Thumbprint of the certificate that the token is bound to: `x5t#S256` of RFC 8705 section 3.1.
    pub certificate_thumbprint: Option<String>,
}

impl AccessToken {
    /// `token_type` of what is no access token (RFC 8693 section 2.2.1).
    pub(crate) const NOT_APPLICABLE: &str = "N_A";

    /// [`Self::moments`]; by the whole seconds where those are all that is known.
    pub fn moments(&self, now: Now) -> Moments {
        self.moments.unwrap_or_else(|| Moments {
            expires: Moment::at_unix_s(self.expires_on, now),
            refresh: Moment::at_unix_s(self.refresh_on, now),
        })
    }

    /// [`Self::expires_on`] as a time.
    pub fn expires_at(&self) -> SystemTime {
        moment(self.expires_on)
    }

    /// [`Self::refresh_on`] as a time.
    pub fn refresh_at(&self) -> SystemTime {
        moment(self.refresh_on)
    }

    /// The value of an `authorization` header. Servers may name the type in any case (RFC 6749 section 7.1), resource
    /// servers are often stricter about the scheme (RFC 6750 section 2.1), so `Bearer` is written as the RFC writes it.
    ///
    /// # Errors
    ///
    /// When it is no access token: a resource has no business with an ID token or a refresh token.
    pub fn authorization(&self) -> Result<Secret, Error> {
        if self.token_type.eq_ignore_ascii_case(Self::NOT_APPLICABLE) {
            return Err(Error::new(
                ErrorClass::InvalidRequest,
                "the issued token is no access token (its type is N_A), so it is not put into an authorization header",
            )
            .hint("use the token itself as issued_token_type says, or request an access token"));
        }
        let scheme = if self.token_type.eq_ignore_ascii_case("bearer") {
            "Bearer"
        } else {
            &self.token_type
        };
        Ok(Secret::new(format!("{scheme} {}", self.token.expose())))
    }
}

/// A client assertion by itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientAssertion {
    /// The compact JWS.
    pub assertion: Secret,
    /// `client_assertion_type`.
    pub assertion_type: String,
    /// Unix seconds when it expires, if it says so.
    pub expires_on: Option<u64>,
}

impl ClientAssertion {
    /// [`Self::expires_on`] as a time.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_on.map(moment)
    }
}

/// What a reported rejection led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RejectionOutcome {
    /// The cached token was that one; the next call looks for another, and the refused one is served on while there is
    /// none.
    Invalidated,
    /// The cached token is another already, or there is none.
    AlreadyReplaced,
    /// It is itself a fresh replacement, or refusals have caused as many exchanges as they may: it is kept for a while.
    Kept,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_seconds_is_a_time() {
        for (seconds, expected) in [
            (0, 0),
            (1_790_000_000, 1_790_000_000),
            (u64::MAX, 253_402_300_799),
        ] {
            let since = moment(seconds).duration_since(UNIX_EPOCH).unwrap();
            assert_eq!(since.as_secs(), expected);
        }
    }

    #[test]
    fn a_request_is_built_as_it_is_written() {
        let built = TokenRequest::for_scopes(["a"])
            .with_identity("app")
            .with_tenant("t")
            .with_claims("{}")
            .with_refresh(Refresh::Force)
            .with_token_type(TokenType::MtlsPop)
            .with_grant(Grant::JwtBearer(Secret::new("x")));
        let written = TokenRequest {
            identity: Some("app".to_owned()),
            scopes: vec!["a".to_owned()],
            tenant: Some("t".to_owned()),
            grant: Grant::JwtBearer(Secret::new("x")),
            claims: Some("{}".to_owned()),
            token_type: TokenType::MtlsPop,
            refresh: Refresh::Force,
        };
        assert_eq!(built, written);
    }

    fn token(token_type: &str) -> AccessToken {
        AccessToken {
            token: Secret::new("abc"),
            token_type: token_type.to_owned(),
            expires_on: 20,
            refresh_on: 10,
            moments: None,
            scope: "s".to_owned(),
            identity: "app".to_owned(),
            source: TokenSource::Exchange,
            refresh_token: None,
            id_token: None,
            issued_token_type: None,
            certificate_thumbprint: None,
        }
    }

    #[test]
    fn the_header_has_the_scheme_of_the_token() {
        for (token_type, header) in [
            ("bearer", "Bearer abc"),
            ("BEARER", "Bearer abc"),
            ("mtls_pop", "mtls_pop abc"),
        ] {
            assert_eq!(token(token_type).authorization().unwrap().expose(), header);
        }
    }

    #[test]
    fn the_times_of_a_token_are_the_engines_where_it_knows_them() {
        let now = Now {
            unix_ms: 15_400,
            mono_ms: 400,
        };
        let of_seconds = token("bearer").moments(now);
        assert_eq!(of_seconds.expires, Moment::after(now, 4_600));
        assert!(of_seconds.refresh.reached(now));
        let known = Moments {
            expires: Moment::after(now, 4_601),
            refresh: Moment::after(now, 7),
        };
        let token = AccessToken {
            moments: Some(known),
            ..token("bearer")
        };
        assert_eq!(token.moments(now.plus_ms(60)), known);
    }

    #[test]
    fn what_is_no_access_token_makes_no_header() {
        let error = token("N_A").authorization().unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidRequest);
        assert!(!format!("{error:?}").contains("abc"));
    }
}
