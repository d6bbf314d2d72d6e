//! What was asked, as far as reading the answer needs it.

use crate::authority::Endpoint;
use crate::inspect::JwtSummary;
use crate::{AccessToken, Secret, TokenType};

/// What a response must hold to be the answer to what was asked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) token_type: TokenType,
    /// It is a token exchange, which may issue what is no access token.
    pub(crate) token_exchange: bool,
    /// Thumbprint of the certificate that authenticated the connection.
    pub(crate) certificate_thumbprint: Option<&'a str>,
}

impl Wanted<'_> {
    /// Whether a token of that type, bound to that certificate, is what was asked for.
    pub(super) fn is_met_by(&self, token_type: &str, bound_to: Option<&str>) -> bool {
        let is = |name: &str| token_type.eq_ignore_ascii_case(name);
        match self.token_type {
            TokenType::Bearer => {
                is("Bearer") || self.token_exchange && is(AccessToken::NOT_APPLICABLE)
            }
            // a bearer token by name that is bound to the certificate all the same (RFC 8705 section 3)
            TokenType::MtlsPop => {
                is("mtls_pop")
                    || is("Bearer") && bound_to.is_some() && bound_to == self.certificate_thumbprint
            }
        }
    }

    pub(super) fn describe(&self) -> &'static str {
        match self.token_type {
            TokenType::Bearer => "a bearer token",
            TokenType::MtlsPop => "a token that is bound to the client certificate",
        }
    }
}

/// What is needed to read a response and to describe a failure.
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// The server's time, unix seconds.
    pub(crate) server_unix_s: u64,
    pub(crate) correlation_id: &'a str,
    /// The federated assertion that was presented, for hints.
    pub(crate) presented: Option<&'a JwtSummary>,
    pub(crate) wanted: Wanted<'a>,
    /// What was sent and must not come back in a message.
    pub(crate) secrets: &'a [Secret],
}
