//! What a kind of credential has to say and do: the traits that its module implements, and what it is told of the exchange.
//! None of the kinds is here.

use super::client_auth::{ClientAuth, Supplied};
use super::{Credential, Failure, TokenProxy};
use crate::authority::Endpoint;
use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::Object;
use crate::config::place::Place;
use crate::distinction::Distinction;
use crate::exchange::Granted;
use crate::flow::Io;

/// What every kind says of itself.
pub(crate) trait Kind: Sized {
    /// What users write.
    type Document: Object;

    /// Whose credential it is: a [`Client`]'s, or nobody's in particular.
    type Of;

    /// The environment variable that stands for the whole of it.
    const SHORTCUT: Option<Shortcut> = None;

    /// Checks what is written, and notes what it needs.
    fn check(
        document: &Self::Document,
        place: &Place<'_>,
        of: &Self::Of,
    ) -> Result<Self, ConfigError>;

    /// One line about it, for people. Never a secret.
    fn describe(&self) -> String;

    /// Its name, where it has one: that of its certificate.
    fn name(&self) -> Option<&str> {
        None
    }

    /// All by which it differs from another of its kind.
    fn distinguish(&self, out: &mut Distinction);
}

/// A variable that stands for a credential.
pub(crate) struct Shortcut {
    pub(crate) variable: &'static str,
    /// The field below `credential` that it stands for.
    pub(super) field: &'static str,
    pub(super) is_secret: bool,
    /// Only for an identity of which nothing is written down.
    pub(crate) environment_only: bool,
    /// Makes the credential of its value; the place is that of the credential.
    pub(super) check: fn(&str, &Place<'_>) -> Result<Credential, ConfigError>,
}

impl Shortcut {
    /// The credential, if the variable is set.
    pub(crate) fn credential(&self, place: &Place<'_>) -> Result<Option<Credential>, ConfigError> {
        let value = place.variable(self.variable, self.field, self.is_secret);
        value.map(|value| (self.check)(value, place)).transpose()
    }
}

/// A kind that authenticates a client.
pub(crate) trait Authenticate: Kind<Of = Client> {
    /// The certificate that authenticates the connection.
    fn certificate(&self) -> Option<&str> {
        None
    }

    /// The proxy that its requests go to in place of the authority.
    fn proxy(&self) -> Option<&TokenProxy> {
        None
    }

    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure>;
}

/// A kind that brings an assertion from somewhere and does no more.
pub(crate) trait SupplyAssertion: Kind<Of = Client> {
    /// The certificate that its assertions are bound to, and that authenticates the connection.
    fn certificate(&self) -> Option<&str> {
        None
    }

    /// The proxy that the exchange goes to in place of the authority.
    fn proxy(&self) -> Option<&TokenProxy> {
        None
    }

    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure>;
}

/// A kind that asks the platform for tokens without an exchange.
pub(crate) trait AskDirectly: Kind<Of = ()> {
    /// The server that it asks, for messages.
    fn server(&self) -> &str;

    async fn token(&self, io: &Io, request: &DirectRequest<'_>) -> Result<Granted, Failure>;
}

/// The token that a direct kind is asked for.
pub(crate) struct DirectRequest<'a> {
    /// One, `<resource>/.default` or the resource alone.
    pub(crate) scopes: &'a [String],
    pub(crate) correlation_id: &'a str,
    /// How long it may take.
    pub(crate) timeout_ms: u64,
}

/// What credentials may know of the exchange they are for.
pub(crate) struct Purpose<'a> {
    pub(crate) identity: &'a str,
    pub(crate) client_id: &'a str,
    #[cfg_attr(
        not(feature = "every-credential"),
        expect(dead_code, reason = "read by kinds that this build does without")
    )]
    pub(crate) tenant: Option<&'a str>,
    pub(crate) endpoint: &'a Endpoint,
    /// The caller's, in place of the configured `aud` of an assertion built here. No supplier sees one.
    pub(crate) audience: Option<&'a str>,
    #[cfg_attr(
        not(feature = "every-credential"),
        expect(dead_code, reason = "read by kinds that this build does without")
    )]
    pub(crate) claims: Option<&'a str>,
    pub(crate) correlation_id: &'a str,
}
