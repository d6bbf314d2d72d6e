//! What a credential gives an exchange: an assertion, a secret or a certificate, as it goes into the form. How it was got
//! is the kinds' own.

use std::rc::Rc;

#[cfg(feature = "every-credential")]
use crate::authority::Authority;
use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::rules;
use crate::effect::{HttpErrorKind, Via};
use crate::exchange::Form;
use crate::flow::OpenCertificate;
use crate::inspect::JwtSummary;
use crate::{ClientAssertion, Secret};

/// `client_assertion_type` of a JWT (RFC 7523 section 2.2).
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The same of an assertion that is bound to the certificate of the connection.
#[cfg(feature = "every-credential")]
pub(crate) const JWT_POP: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-pop";

/// An assertion from somewhere else.
pub(crate) struct Supplied {
    assertion: ClientAssertion,
    /// What it says of itself, for hints.
    presented: Option<Rc<JwtSummary>>,
    /// What was shown to others to get it: the server may be the same, and say it again.
    shown: Vec<Secret>,
    /// The certificate that it is bound to.
    #[cfg(feature = "every-credential")]
    binding: Option<Box<Binding>>,
}

/// A certificate that an assertion is bound to.
#[cfg(feature = "every-credential")]
pub(crate) struct Binding {
    pub(crate) certificate: OpenCertificate,
    pub(crate) thumbprint: String,
}

impl Supplied {
    pub(crate) fn new(
        assertion: Secret,
        assertion_type: &str,
        presented: Option<Rc<JwtSummary>>,
    ) -> Self {
        Self {
            assertion: ClientAssertion {
                assertion,
                assertion_type: assertion_type.to_owned(),
                expires_on: presented.as_ref().and_then(|summary| summary.exp),
            },
            presented,
            shown: Vec::new(),
            #[cfg(feature = "every-credential")]
            binding: None,
        }
    }

    /// Of an assertion that counts on a connection with that certificate alone.
    #[cfg(feature = "every-credential")]
    pub(crate) fn bound_to(self, binding: Binding) -> Self {
        Self {
            binding: Some(Box::new(binding)),
            ..self
        }
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn showing(self, shown: Vec<Secret>) -> Self {
        Self { shown, ..self }
    }
}

impl From<Supplied> for ClientAuth {
    // one function, whichever kind has supplied it
    #[inline(never)]
    fn from(supplied: Supplied) -> Self {
        #[cfg(feature = "every-credential")]
        let (connection, generation) = match supplied.binding {
            Some(binding) => (Some(binding.certificate), Some(binding.thumbprint)),
            None => (None, None),
        };
        Self {
            read: Some(supplied.assertion.assertion.clone()),
            assertion: Some(supplied.assertion),
            presented: supplied.presented,
            echoes: supplied.shown,
            #[cfg(feature = "every-credential")]
            generation,
            #[cfg(feature = "every-credential")]
            connection,
            ..Self::default()
        }
    }
}

/// One attempt's client authentication.
#[derive(Debug, Default)]
pub(crate) struct ClientAuth {
    /// The assertion, if there is one.
    pub(crate) assertion: Option<ClientAssertion>,
    /// `client_secret` of the form.
    pub(crate) secret: Option<Secret>,
    /// The `Authorization` header.
    pub(crate) authorization: Option<Secret>,
    /// What stands for the secret beside what is sent: a server may answer with any of it.
    pub(crate) echoes: Vec<Secret>,
    /// The certificate that authenticates the connection.
    pub(crate) connection: Option<OpenCertificate>,
    /// What a federated assertion says of itself, for hints.
    pub(crate) presented: Option<Rc<JwtSummary>>,
    /// Names this state of a credential that can rotate: tokens got with another are not served.
    pub(crate) generation: Option<String>,
    /// `token_type` of the form.
    #[cfg(feature = "every-credential")]
    pub(crate) token_type: Option<&'static str>,
    /// What stands for an agent that acts as a user.
    #[cfg(feature = "every-credential")]
    pub(crate) for_user: Option<Secret>,
    /// Material that was only read: presenting the same again would be refused again.
    pub(crate) read: Option<Secret>,
}

impl ClientAuth {
    pub(crate) fn via(&self) -> Via {
        self.connection
            .as_ref()
            .map_or(Via::Public, |opened| Via::Certificate(opened.handle))
    }

    /// For a token that is bound to the certificate on the connection. Entra ID wants to be told, and takes the certificate
    /// alone then, unless that proves nothing without the assertion that is bound to it; other servers bind what they issue
    /// to it by the client's registration (RFC 8705 section 3.4).
    #[cfg(feature = "every-credential")]
    pub(crate) fn for_a_bound_token(mut self, authority: &Authority) -> Self {
        if authority.is_entra() {
            self.assertion.take_if(|own| own.assertion_type != JWT_POP);
            self.token_type = Some(crate::exchange::MTLS_POP);
        }
        self
    }

    /// Whether a handshake that was refused is worth another one: the platform issues another certificate then.
    pub(crate) fn is_issued_anew(&self, kind: HttpErrorKind) -> bool {
        #[cfg(feature = "every-credential")]
        {
            let connection = self.connection.as_ref();
            connection.is_some_and(|opened| opened.issuance.is_some()) && kind.is_of_a_handshake()
        }
        #[cfg(not(feature = "every-credential"))]
        {
            let _ = kind;
            false
        }
    }

    /// One method a request (RFC 6749 section 2.3).
    pub(crate) fn add_to<'a>(&'a self, form: &mut Form<'a>) {
        if let Some(assertion) = &self.assertion {
            let is_plain = self.presented.as_ref().is_some_and(|jwt| jwt.is_plain);
            form.put(
                "client_assertion",
                assertion.assertion.expose().into(),
                is_plain,
            );
            form.add("client_assertion_type", assertion.assertion_type.as_str());
        }
        if let Some(secret) = &self.secret {
            form.add("client_secret", secret.expose());
        }
        #[cfg(feature = "every-credential")]
        if let Some(token_type) = self.token_type {
            form.add("token_type", token_type);
        }
        #[cfg(feature = "every-credential")]
        if let Some(token) = &self.for_user {
            form.add("user_federated_identity_credential", token.expose());
        }
    }

    /// Whether its assertion says times that were taken from a clock here: one that was built is never the same twice.
    pub(crate) fn is_built_by_clock(&self) -> bool {
        self.assertion.is_some() && self.read.is_none()
    }

    /// What is remembered of material that was refused.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.read.as_ref().map(Secret::sha256_hex)
    }

    /// Everything in it that must not come back in a message.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let all = self
            .assertion
            .iter()
            .map(|a| a.assertion.clone())
            .chain(self.secret.clone())
            .chain(self.authorization.clone())
            .chain(self.echoes.iter().cloned());
        #[cfg(feature = "every-credential")]
        let all = all.chain(self.for_user.clone());
        all.collect()
    }
}

/// `client_assertion_type` as configured, or that of a JWT.
pub(super) fn assertion_type(
    place: &Place<'_>,
    configured: Option<&str>,
) -> Result<String, ConfigError> {
    if let Some(uri) = configured {
        check(&place.at("assertion_type"), rules::assertion_type(uri))?;
    }
    Ok(configured.unwrap_or(JWT_BEARER).to_owned())
}
