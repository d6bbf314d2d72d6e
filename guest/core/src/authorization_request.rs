//! The first half of an authorization code flow (RFC 6749 section 4.1.1): where a back end sends its users to sign in, and what
//! it has to remember for the second half, [`Grant::AuthorizationCode`](crate::Grant).
//!
//! Each request has a state, a PKCE verifier (RFC 7636, S256 alone) and, where an ID token is asked for, a nonce: RFC 9700
//! section 2.1. They belong into the user's session, and nowhere else.

#[cfg(feature = "every-credential")]
mod build;
#[cfg(test)]
#[cfg(feature = "every-credential")]
mod tests;

use std::fmt;

#[cfg(feature = "every-credential")]
pub(crate) use build::build;

use crate::text::{Needles, clean};
use crate::{Error, ErrorClass, Secret, exchange};

/// A callback's parameters, bytes. A code of Entra ID is 1 to 2 KiB.
const MAX_CALLBACK_BYTES: usize = 64 * 1024;

/// What an authorization request is to have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AuthorizationOptions {
    /// Where the server sends the user back to. It has to be registered there.
    pub redirect_uri: String,
    /// Scopes; empty means those of the identity, and without any `openid`. With `openid` there is an ID token, and so a nonce;
    /// with `offline_access` Entra ID and others give a refresh token.
    pub scopes: Vec<String>,
    /// Another tenant than the identity's own.
    pub tenant: Option<String>,
    /// How the answer comes back: `query` (which servers take by themselves) or `form_post`.
    pub response_mode: Option<String>,
    /// `login`, `none`, `consent`, `select_account` (OpenID Connect Core section 3.1.2.1).
    pub prompt: Option<String>,
    /// Who is about to sign in, as far as that is known.
    pub login_hint: Option<String>,
    /// Of Entra ID: where the user's account is.
    pub domain_hint: Option<String>,
    /// Claims to ask for, JSON or base64 of JSON (OpenID Connect Core section 5.5): those of a challenge.
    pub claims: Option<String>,
    /// Parameters that are the server's own affair.
    pub parameters: Vec<(String, String)>,
}

impl AuthorizationOptions {
    /// With that redirect URI, and the scopes of the identity.
    pub fn for_redirect(redirect_uri: impl Into<String>) -> Self {
        Self {
            redirect_uri: redirect_uri.into(),
            ..Self::default()
        }
    }

    /// With these scopes in place of the identity's.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// At another tenant than the identity's own.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// With an answer that comes back as `query` or `form_post`.
    #[must_use]
    pub fn with_response_mode(mut self, mode: impl Into<String>) -> Self {
        self.response_mode = Some(mode.into());
        self
    }

    /// With what the user is to be asked: `login`, `none`, `consent` or `select_account`.
    #[must_use]
    pub fn with_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// Of a user who is about to sign in.
    #[must_use]
    pub fn with_login_hint(mut self, user: impl Into<String>) -> Self {
        self.login_hint = Some(user.into());
        self
    }

    /// Of a user whose account is there (Entra ID).
    #[must_use]
    pub fn with_domain_hint(mut self, domain: impl Into<String>) -> Self {
        self.domain_hint = Some(domain.into());
        self
    }

    /// With the claims of a challenge, JSON or base64 of JSON.
    #[must_use]
    pub fn with_claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into());
        self
    }

    /// With one more parameter, which is the server's own affair.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }
}

/// Where to send a user, and what to remember meanwhile.
#[derive(Clone, Eq, PartialEq)]
pub struct AuthorizationRequest {
    /// Where the user's browser goes.
    pub url: String,
    /// Comes back with the callback.
    pub state: Secret,
    /// Is in the ID token. There is none without the scope `openid`.
    pub nonce: Option<Secret>,
    /// For the redemption of the code.
    pub code_verifier: Secret,
    /// Who the server is, where its metadata were asked.
    pub issuer: Option<String>,
    /// The server says that it names itself in each callback (RFC 9207 section 3), so one that does not is none of its.
    pub names_issuer: bool,
}

impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the query has state and nonce
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("AuthorizationRequest")
            .field("url", &url)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl AuthorizationRequest {
    /// The code that a callback brings: `parameters` is the query of the redirect URI, or the form that was posted to it.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`](ErrorClass::InvalidRequest) for a callback that is not the answer to this request, whoever has sent
    /// it; and what the server says in place of a code, classified as at its token endpoint.
    pub fn code(&self, parameters: &str) -> Result<Secret, Error> {
        let foreign = |what: String| {
            Err(
                Error::new(ErrorClass::InvalidRequest, format!("the callback {what}"))
                    .hint("somebody else may have made it: let the user begin anew"),
            )
        };
        if parameters.len() > MAX_CALLBACK_BYTES {
            return foreign(format!("has more than {MAX_CALLBACK_BYTES} bytes"));
        }
        let parameters = parameters.strip_prefix('?').unwrap_or(parameters);
        let pairs: Vec<_> = form_urlencoded::parse(parameters.as_bytes()).collect();
        // whoever sends the callback may write into one parameter what belongs into another
        let mut known = vec![self.state.clone(), self.code_verifier.clone()];
        known.extend(self.nonce.clone());
        let codes = pairs.iter().filter(|(name, _)| name == "code");
        known.extend(codes.map(|(_, code)| Secret::new(code.as_ref())));
        let known = Needles::of(&known);
        let get = |name: &str| {
            let mut values = pairs.iter().filter(|(known, _)| known == name);
            let first = values.next().map(|(_, value)| value.as_ref());
            match values.next() {
                None => Ok(first.filter(|value| !value.is_empty())),
                Some(_) => Err(name.to_owned()),
            }
        };
        let twice = |name: String| format!("has {name} more than once");
        match get("state") {
            Ok(Some(state)) if is_same_in_constant_time(state, self.state.expose()) => {}
            Ok(Some(_)) => return foreign("has the state of another request".to_owned()),
            Ok(None) => return foreign("has no state".to_owned()),
            Err(name) => return foreign(twice(name)),
        }
        match (get("iss"), &self.issuer) {
            (Ok(Some(said)), Some(issuer)) if said == issuer => {}
            (Ok(Some(said)), Some(issuer)) => {
                let said = clean(said, &known);
                return foreign(format!("is of `{said}` (iss), and not of `{issuer}`"));
            }
            (Ok(None), Some(issuer)) if self.names_issuer => {
                return foreign(format!("has no iss, and `{issuer}` names itself in each"));
            }
            (Ok(_), _) => {}
            (Err(name), _) => return foreign(twice(name)),
        }
        let (error, description) = match (get("error"), get("error_description")) {
            (Ok(error), Ok(description)) => (error, description),
            (Err(name), _) | (_, Err(name)) => return foreign(twice(name)),
        };
        if let Some(error) = error {
            let description = description.unwrap_or_default();
            // its endpoints are known without metadata, and so are those of AD FS
            let is_entra = self.issuer.is_none() && !self.url.contains("/adfs/");
            return Err(exchange::refused_callback(
                error,
                description,
                is_entra,
                &known,
            ));
        }
        match get("code") {
            Ok(Some(code)) => Ok(Secret::new(code)),
            Ok(None) => foreign("has neither code nor error".to_owned()),
            Err(name) => foreign(twice(name)),
        }
    }
}

/// Whether two texts are the same; how long it takes says no more than their lengths.
pub(crate) fn is_same_in_constant_time(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differing = pairs.fold(0, |differing, (one, other)| differing | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}
