//! Managed identity: the platform knows which machine asks, and answers with a token. No client, no tenant, no secret.

#[cfg(feature = "every-credential")]
mod answer;
#[cfg(feature = "every-credential")]
mod app_service;
#[cfg(feature = "every-credential")]
mod azure_arc;
#[cfg(feature = "every-credential")]
mod azure_ml;
#[cfg(feature = "every-credential")]
mod beside;
#[cfg(feature = "every-credential")]
mod bound;
#[cfg(feature = "every-credential")]
mod cloud_shell;
mod imds;
mod selector;
#[cfg(feature = "every-credential")]
mod service_fabric;
mod source;
mod wire;

use crate::config::error::ConfigError;
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::{AskDirectly, DirectRequest, Failure, Kind};
use crate::distinction::Distinction;
use crate::exchange::Granted;
use crate::flow::Io;

#[cfg(feature = "every-credential")]
pub(super) use bound::Bound;
pub(super) use selector::Selector;
pub(super) use source::{Source, SourceName};

object! {
    /// The managed identity of the machine. Without any of the three IDs the one that the system has assigned.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub(crate) struct ManagedIdentityFile {
        /// Who is asked.
        #[cfg_attr(feature = "schema", schemars(default))]
        source: SourceName = choice,
        /// Client ID of a user-assigned identity.
        client_id: Option<String> = optional_text,
        /// Object (principal) ID of a user-assigned identity.
        object_id: Option<String> = optional_text,
        /// Resource ID of a user-assigned identity, `/subscriptions/…`.
        resource_id: Option<String> = optional_text,
    }
}

#[cfg(feature = "every-credential")]
impl ManagedIdentityFile {
    /// The user-assigned identity of that client ID, or the one that the system has assigned.
    pub(super) fn of(client_id: Option<&str>) -> Self {
        Self {
            client_id: client_id.map(str::to_owned),
            ..Self::default()
        }
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct ManagedIdentity(Source);

impl ManagedIdentity {
    /// One whose tokens are for that resource alone, or for any.
    pub(super) fn of(
        document: &ManagedIdentityFile,
        resource: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        let ManagedIdentityFile {
            source,
            client_id,
            object_id,
            resource_id,
        } = document;
        let selector = Selector::check(place, client_id, object_id, resource_id)?;
        Source::check(*source, selector, resource, place).map(Self)
    }
}

impl Kind for ManagedIdentity {
    type Document = ManagedIdentityFile;
    type Of = ();

    fn check(
        document: &ManagedIdentityFile,
        place: &Place<'_>,
        (): &(),
    ) -> Result<Self, ConfigError> {
        Self::of(document, None, place)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn distinguish(&self, out: &mut Distinction) {
        self.0.distinguish(out);
    }
}

impl AskDirectly for ManagedIdentity {
    fn server(&self) -> &str {
        self.0.server()
    }

    async fn token(&self, io: &Io, request: &DirectRequest<'_>) -> Result<Granted, Failure> {
        let scope = request.scopes.first().map_or("", String::as_str);
        let resource = scope.strip_suffix(rules::DEFAULT_SCOPE).unwrap_or(scope);
        self.0
            .token(io, resource, request.correlation_id, request.timeout_ms)
            .await
    }
}
