//! The token of a rule, behind a handle.

use edgepass_bindings::types::{
    AuthorizeError, CredentialError, RejectionOutcome, TokenInfo, TokenSource,
};
use edgepass_core::{Error, ErrorClass, wipe};
use edgepass_rules::http::HttpRule;

use crate::bindings::edgepass::credentials::opaque_tokens;
use crate::bindings::wasi::http::types::Fields;

const AUTHORIZATION: &str = "authorization";

/// A token that a request has, or is about to get.
pub(crate) struct Token(opaque_tokens::Token);

impl Token {
    /// That of a rule.
    pub(crate) async fn of(rule: &HttpRule) -> Result<Self, CredentialError> {
        let request = rule.token.clone().try_into()?;
        if let Some(token) = opaque_tokens::fresh(&request) {
            return Ok(Self(token));
        }
        opaque_tokens::get(request).await.map(Self)
    }

    /// Puts it on the headers of a request. `Ok(false)`: it has expired meanwhile.
    pub(crate) fn put_on(&self, headers: &Fields, rule: &HttpRule) -> Result<bool, Error> {
        let set = if rule.header == AUTHORIZATION {
            self.0.authorize(headers)
        } else {
            self.put_elsewhere(headers, &rule.header)
        };
        match set {
            Ok(()) => Ok(true),
            Err(AuthorizeError::Expired) => Ok(false),
            Err(AuthorizeError::NotAnAccessToken) => Err(Error::new(
                ErrorClass::InvalidResponse,
                "what the token endpoint issued is no access token",
            )),
            Err(AuthorizeError::Fields(why)) => Err(Error::new(
                ErrorClass::InvalidRequest,
                format!("the header {} cannot be set: {why}", rule.header),
            )),
        }
    }

    /// In another header: the provider knows one alone, so it is carried over here, and nothing stays behind.
    fn put_elsewhere(&self, headers: &Fields, name: &str) -> Result<(), AuthorizeError> {
        let aside = Fields::new();
        self.0.authorize(&aside)?;
        let taken = aside.get_and_delete(AUTHORIZATION);
        let mut values =
            taken.map_err(|_| AuthorizeError::Fields("it cannot be carried over".to_owned()))?;
        let set = headers.set(name, &values);
        for value in &mut values {
            wipe(value);
        }
        set.map_err(|error| AuthorizeError::Fields(format!("{error:?}")))
    }

    /// What is known of it without reading it.
    pub(crate) fn info(&self) -> TokenInfo {
        self.0.info()
    }

    /// Says that a server has refused it. What became of that, if it could be noted.
    pub(crate) fn refused(&self, challenge: Option<&str>) -> Option<Outcome> {
        self.0.report_rejection(challenge).ok().map(Outcome)
    }

    /// Whether that is another token than this one, which was got before it.
    pub(crate) fn is_followed_by(&self, next: &Self, outcome: &Outcome) -> bool {
        let (this, next) = (self.0.info(), next.0.info());
        let times = |info: &TokenInfo| (info.expires_on, info.refresh_on);
        matches!(outcome.0, RejectionOutcome::AlreadyReplaced)
            || !matches!(next.source, TokenSource::Cache)
            || times(&this) != times(&next)
    }
}

/// What became of a refusal.
pub(crate) struct Outcome(RejectionOutcome);

impl Outcome {
    /// Whether there may be another token.
    pub(crate) fn may_be_another(&self) -> bool {
        !matches!(self.0, RejectionOutcome::Kept)
    }
}
