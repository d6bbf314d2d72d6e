//! The token of a managed identity as the assertion of another application's client (workload identity federation): the
//! application trusts the identity, and nobody keeps a secret.
//!
//! The machine's token is good for what its audience names, so the audience is the configuration's alone. It is that of
//! token exchanges in the identity's cloud unless another is written. Any other may be written: servers that are not
//! Entra ID have audiences of their own.

use crate::config::error::{ConfigError, check};
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::{Client, rules};
#[cfg(feature = "every-credential")]
use crate::credential::managed_identity::Bound;
use crate::credential::managed_identity::{Selector, Source, SourceName};
use crate::credential::{Failure, JWT_BEARER, Kind, Purpose, Supplied, SupplyAssertion};
#[cfg(feature = "every-credential")]
use crate::credential::{Fresh, kept};
use crate::distinction::Distinction;
use crate::flow::Io;
#[cfg(not(feature = "every-credential"))]
use crate::inspect::inspect_jwt;
use crate::limits::HTTP_TIMEOUT_MS;
#[cfg(not(feature = "every-credential"))]
use std::rc::Rc;

object! {
    /// An assertion that is the token of a managed identity. Without any of the three IDs it is of the identity that the
    /// system has assigned.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ManagedIdentityAssertionFile {
        /// Who is asked.
        #[cfg_attr(feature = "schema", schemars(default))]
        source: SourceName = choice,
        /// Client ID of a user-assigned identity.
        client_id: Option<String> = optional_text,
        /// Object (principal) ID of a user-assigned identity.
        object_id: Option<String> = optional_text,
        /// Resource ID of a user-assigned identity, `/subscriptions/…`.
        resource_id: Option<String> = optional_text,
        /// The audience that the federated credential expects; that of the identity's cloud by default, in the public
        /// one `api://AzureADTokenExchange`.
        audience: Option<String> = optional_text,
        /// Have the metadata service of the virtual machine issue a certificate for a key of the host's, and show that on the
        /// connection: the assertion counts nowhere else. Microsoft.Identity.Web calls it `UseBoundCredential`.
        #[cfg_attr(feature = "schema", schemars(default))]
        use_bound_credential: bool = flag(false),
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct ManagedIdentityAssertion {
    giver: Giver,
    audience: String,
}

/// Who gives the token.
#[derive(Clone, Debug)]
enum Giver {
    /// The platform.
    Platform(Source),
    /// The token service of the cloud, on a connection with a certificate that the platform issues.
    #[cfg(feature = "every-credential")]
    Bound(Bound),
}

impl Kind for ManagedIdentityAssertion {
    type Document = ManagedIdentityAssertionFile;
    type Of = Client;

    fn check(
        document: &ManagedIdentityAssertionFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let ManagedIdentityAssertionFile {
            source,
            client_id,
            object_id,
            resource_id,
            audience,
            use_bound_credential,
        } = document;
        if let Some(audience) = audience {
            check(&place.at("audience"), rules::audience(audience))?;
        }
        let audience = audience.as_deref();
        let audience = audience.unwrap_or_else(|| client.authority.federation_audience());
        let audience = audience
            .strip_suffix(rules::DEFAULT_SCOPE)
            .unwrap_or(audience);
        let selector = Selector::check(place, client_id, object_id, resource_id)?;
        let giver = match use_bound_credential {
            false => Giver::Platform(Source::check(*source, selector, Some(audience), place)?),
            #[cfg(feature = "every-credential")]
            true => Giver::Bound(Bound::check(*source, selector, &client.authority, place)?),
            #[cfg(not(feature = "every-credential"))]
            true => {
                return Err(ConfigError::new(
                    place.at("use_bound_credential"),
                    "is not available in Envoy",
                )
                .hint(
                    "leave it out: the filter has no key for which a certificate could be issued",
                ));
            }
        };
        Ok(Self {
            giver,
            audience: audience.to_owned(),
        })
    }

    fn describe(&self) -> String {
        let giver = match &self.giver {
            Giver::Platform(source) => source.describe(),
            #[cfg(feature = "every-credential")]
            Giver::Bound(bound) => bound.describe(),
        };
        format!("assertion of the {giver}")
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self { giver, audience } = self;
        match giver {
            Giver::Platform(source) => source.distinguish(out),
            #[cfg(feature = "every-credential")]
            Giver::Bound(bound) => {
                out.add("bound");
                bound.distinguish(out);
            }
        }
        out.add(audience);
    }
}

impl SupplyAssertion for ManagedIdentityAssertion {
    #[cfg(feature = "every-credential")]
    fn certificate(&self) -> Option<&str> {
        match &self.giver {
            Giver::Platform(_) => None,
            Giver::Bound(bound) => Some(bound.certificate()),
        }
    }

    #[cfg(feature = "every-credential")]
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let mut key = Distinction::default();
        self.distinguish(&mut key);
        let (key, audience, id) = (key.sha256_hex(), &self.audience, purpose.correlation_id);
        let source = match &self.giver {
            Giver::Platform(source) => source,
            Giver::Bound(bound) => return bound.assertion(io, &key, audience, purpose).await,
        };
        let ask = source.token(io, audience, id, HTTP_TIMEOUT_MS);
        let ask = Box::pin(async { ask.await.map(Fresh::from) });
        let kept = kept(io, &key, Some(purpose.identity), ask).await?;
        Ok(Supplied::new(kept.token, JWT_BEARER, kept.presented))
    }

    /// The filter's VMs share what comes of it, which takes long enough.
    #[cfg(not(feature = "every-credential"))]
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let Giver::Platform(source) = &self.giver;
        let id = purpose.correlation_id;
        let granted = source
            .token(io, &self.audience, id, HTTP_TIMEOUT_MS)
            .await?;
        let presented = inspect_jwt(granted.token.expose()).map(Rc::new);
        Ok(Supplied::new(granted.token, JWT_BEARER, presented))
    }
}
