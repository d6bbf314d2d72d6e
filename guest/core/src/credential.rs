//! How an identity gets its tokens: the table of the kinds of credentials, one module each.
//!
//! A module has all that its kind is: what users write, its checks, the variable that stands for it, what it needs of
//! the driver (noted while it is checked), a line about it for people, and its flow. A new kind is a module and a row in
//! [`table`]; drivers see [`Needs`](crate::Needs) and no kinds.
//!
//! There are two routes to a token. An *exchange* authenticates the client and posts a grant to a token endpoint; some
//! of its kinds only supply an assertion, and what is done with that is the same for all of them. A *direct* kind asks
//! the platform in a dialect of its own, and has neither client nor tenant.

#[cfg(feature = "every-credential")]
mod assertion_source;
mod availability;
#[cfg(feature = "every-credential")]
mod aws_web_identity;
#[cfg(feature = "every-credential")]
mod azure_pipelines;
mod bound_certificate;
mod certificate;
mod client_assertion;
mod client_auth;
mod client_secret;
#[cfg(feature = "every-credential")]
pub(crate) mod discovery;
#[cfg(not(feature = "every-credential"))]
mod elsewhere;
#[cfg(feature = "every-credential")]
mod executable;
mod federated_token_file;
#[cfg(feature = "every-credential")]
mod github_actions;
#[cfg(feature = "every-credential")]
mod google_metadata;
#[cfg(feature = "every-credential")]
mod kept;
#[cfg(feature = "every-credential")]
pub(crate) mod keyset;
mod kind;
mod list;
mod managed_identity;
mod managed_identity_assertion;
#[cfg(feature = "every-credential")]
mod oidc_federation;
#[cfg(feature = "every-credential")]
mod platform;
#[cfg(feature = "every-credential")]
mod private_key_jwt;
mod secret_value;
mod signed_assertion;
#[cfg(feature = "every-credential")]
mod silence;
#[cfg(feature = "every-credential")]
mod spiffe;
mod table;
mod text_file;
#[cfg(feature = "every-credential")]
mod token_proxy;

#[cfg(not(feature = "every-credential"))]
use elsewhere as token_proxy;
#[cfg(feature = "every-credential")]
use kept::{Fresh, kept};

#[cfg(feature = "key-vault")]
use crate::config::error::ConfigError;
#[cfg(feature = "key-vault")]
use crate::config::place::Place;

pub(crate) use availability::{Availability, Failure};
use client_auth::assertion_type;
#[cfg(feature = "every-credential")]
pub(crate) use client_auth::{Binding, JWT_POP};
pub(crate) use client_auth::{ClientAuth, JWT_BEARER, Supplied};
#[cfg(feature = "every-credential")]
pub(crate) use kept::Shelf;
pub(crate) use kind::{
    AskDirectly, Authenticate, DirectRequest, Kind, Purpose, Shortcut, SupplyAssertion,
};
pub use list::CredentialTrial;
pub(crate) use list::{Credentials, Standings};
pub(crate) use managed_identity::ManagedIdentityFile;
#[cfg(feature = "every-credential")]
pub(crate) use oidc_federation::OidcFederation;
#[cfg(feature = "every-credential")]
pub(crate) use signed_assertion::x5t_s256;
#[cfg(not(feature = "every-credential"))]
pub(crate) use table::set_elsewhere;
pub(crate) use table::{Credential, CredentialFile, Direct, SHORTCUTS};
pub(crate) use text_file::TextFile;
pub(crate) use token_proxy::TokenProxy;

#[cfg(feature = "key-vault")]
impl Direct {
    /// A managed identity for tokens of that resource alone.
    pub(crate) fn managed_identity(
        document: &ManagedIdentityFile,
        resource: &str,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        let identity = managed_identity::ManagedIdentity::of(document, Some(resource), place);
        identity.map(Self::ManagedIdentity)
    }
}
