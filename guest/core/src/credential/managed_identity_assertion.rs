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

/// `aud` of an assertion where the cloud has no other.
const TOKEN_EXCHANGE: &str = "api://AzureADTokenExchange";

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
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct ManagedIdentityAssertion {
    source: Source,
    audience: String,
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
        } = document;
        if let Some(audience) = audience {
            check(&place.at("audience"), rules::audience(audience))?;
        }
        let of_cloud = client
            .authority
            .cloud()
            .and_then(|cloud| cloud.federation_audience);
        let audience = audience.as_deref().or(of_cloud).unwrap_or(TOKEN_EXCHANGE);
        let audience = audience
            .strip_suffix(rules::DEFAULT_SCOPE)
            .unwrap_or(audience);
        let selector = Selector::check(place, client_id, object_id, resource_id)?;
        Ok(Self {
            source: Source::check(*source, selector, Some(audience), place)?,
            audience: audience.to_owned(),
        })
    }

    fn describe(&self) -> String {
        format!("assertion of the {}", self.source.describe())
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self { source, audience } = self;
        source.distinguish(out);
        out.add(audience);
    }
}

impl SupplyAssertion for ManagedIdentityAssertion {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let ask = self
            .source
            .token(io, &self.audience, purpose.correlation_id, HTTP_TIMEOUT_MS);
        #[cfg(feature = "every-credential")]
        {
            let mut key = Distinction::default();
            self.distinguish(&mut key);
            let ask = Box::pin(async { ask.await.map(Fresh::from) });
            let kept = kept(io, &key.sha256_hex(), ask).await?;
            Ok(Supplied::new(kept.token, JWT_BEARER, kept.presented))
        }
        // the filter's VMs share what comes of it, which takes long enough
        #[cfg(not(feature = "every-credential"))]
        {
            let granted = ask.await?;
            let presented = inspect_jwt(granted.token.expose()).map(Rc::new);
            Ok(Supplied::new(granted.token, JWT_BEARER, presented))
        }
    }
}
