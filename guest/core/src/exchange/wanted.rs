//! Whether the token that came is of the type that was asked for.

use crate::inspect::{JwtSummary, inspect_jwt};
use crate::{AccessToken, Secret, TokenType};

/// `token_type` of Entra ID's tokens that are bound to a certificate.
pub(crate) const MTLS_POP: &str = "mtls_pop";

/// What a token must be to be the answer to what was asked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) token_type: TokenType,
    /// It is a token exchange, which may issue what is no access token.
    pub(crate) token_exchange: bool,
    /// An assertion of a user was presented besides the client's own.
    pub(crate) has_subject: bool,
    /// Thumbprint of the certificate that authenticated the connection.
    pub(crate) certificate_thumbprint: Option<&'a str>,
}

impl Wanted<'_> {
    /// The certificate that the token is bound to. If the token is another than was asked for: what was asked for.
    pub(super) fn check(
        &self,
        token: &Secret,
        token_type: &str,
    ) -> Result<Option<String>, &'static str> {
        let is = |name: &str| token_type.eq_ignore_ascii_case(name);
        let bound_to = self.bound_to(token, token_type);
        let (is_met, wanted) = match self.token_type {
            TokenType::Bearer => (
                is("Bearer") || self.token_exchange && is(AccessToken::NOT_APPLICABLE),
                "a bearer token",
            ),
            // RFC 8705 section 3: a bearer token by name is bound all the same
            TokenType::MtlsPop => (
                (is(MTLS_POP) || is("Bearer"))
                    && bound_to.is_some()
                    && bound_to.as_deref() == self.certificate_thumbprint,
                "a token that is bound to the client certificate",
            ),
        };
        if is_met { Ok(bound_to) } else { Err(wanted) }
    }

    /// The token says so itself where it can be read; otherwise `mtls_pop` says that it is the connection's.
    fn bound_to(&self, token: &Secret, token_type: &str) -> Option<String> {
        let connection = self.certificate_thumbprint?;
        match inspect_jwt(token.expose()) {
            Some(JwtSummary {
                x5t_s256: Some(thumbprint),
                ..
            }) => Some(thumbprint),
            _ => token_type
                .eq_ignore_ascii_case(MTLS_POP)
                .then(|| connection.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// A JWT that is bound to that certificate.
    fn bound_to(thumbprint: &str) -> String {
        let claims = format!(r#"{{"cnf":{{"x5t#S256":"{thumbprint}"}}}}"#);
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_type_of_a_token_is_the_one_that_was_asked_for() {
        let bearer = Wanted::default();
        let exchanged = Wanted {
            token_exchange: true,
            ..bearer
        };
        let on_mtls = Wanted {
            certificate_thumbprint: Some("mine"),
            ..bearer
        };
        let bound = Wanted {
            token_type: TokenType::MtlsPop,
            ..on_mtls
        };
        let opaque = || "t".to_owned();
        let refused = None;
        let unbound = Some(None);
        let to = |thumbprint| Some(Some(thumbprint));
        for (wanted, token_type, token, expected) in [
            (bearer, "Bearer", opaque(), unbound),
            (bearer, "bearer", opaque(), unbound),
            (bearer, "N_A", opaque(), refused),
            (bearer, "mtls_pop", opaque(), refused),
            (bearer, "DPoP", opaque(), refused),
            // nobody authenticated the connection: it is bound to no certificate of ours
            (bearer, "Bearer", bound_to("mine"), unbound),
            (on_mtls, "Bearer", opaque(), unbound),
            (on_mtls, "Bearer", bound_to("mine"), to("mine")),
            (exchanged, "N_A", opaque(), unbound),
            (exchanged, "n_a", opaque(), unbound),
            (exchanged, "Bearer", opaque(), unbound),
            (exchanged, "mtls_pop", opaque(), refused),
            (bound, "mtls_pop", opaque(), to("mine")),
            (bound, "mtls_pop", bound_to("mine"), to("mine")),
            (bound, "mtls_pop", bound_to("another"), refused),
            (bound, "Bearer", bound_to("mine"), to("mine")),
            (bound, "Bearer", bound_to("another"), refused),
            (bound, "Bearer", opaque(), refused),
            (bound, "N_A", opaque(), refused),
        ] {
            let found = wanted.check(&Secret::new(token.clone()), token_type).ok();
            let found = found.as_ref().map(Option::as_deref);
            assert_eq!(found, expected, "{token_type} {token}");
        }
    }
}
