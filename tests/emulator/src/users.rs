//! People of the directory, and what they have consented to.

use serde::{Deserialize, Serialize};

use crate::encoding::{guid_from, is_guid};
use crate::registry::Resource;

/// The scope that means everything that was consented to.
pub(crate) const DEFAULT_SCOPE: &str = ".default";

/// Somebody who signs in, or the user account of an agent identity.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The object ID, a GUID.
    pub object_id: String,
    /// The user principal name.
    pub username: String,
    /// The display name: two words at least, which are given and family name.
    #[serde(default)]
    pub name: String,
    /// The home tenant; none for the one that is there from the start.
    #[serde(default)]
    pub tenant: Option<String>,
    /// What has been consented to, by whom does not matter.
    #[serde(default)]
    pub consents: Vec<Consent>,
    /// Identifiers of the resources for which a second factor is demanded.
    #[serde(default)]
    pub second_factor_for: Vec<String>,
    /// A disabled account gets nothing.
    #[serde(default)]
    pub disabled: bool,
    /// Client ID of the agent identity whose user account this is.
    #[serde(default)]
    pub agent: Option<String>,
    /// Unix seconds: what was granted before is void. Set by a revocation.
    #[serde(default)]
    pub tokens_valid_from: Option<i64>,
}

/// That an application may have these scopes of a resource.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The application's client ID.
    pub client_id: String,
    /// An identifier of the resource.
    pub resource: String,
    /// Names of scopes, without the resource.
    pub scopes: Vec<String>,
}

impl User {
    /// Somebody of that name who has consented to nothing yet.
    #[must_use]
    pub fn new(username: &str) -> Self {
        let first = username.split('@').next().unwrap_or_default();
        Self {
            object_id: guid_from(&format!("user {}", username.to_ascii_lowercase())),
            username: username.to_owned(),
            name: format!("{first} Example"),
            tenant: None,
            consents: Vec::new(),
            second_factor_for: Vec::new(),
            disabled: false,
            agent: None,
            tokens_valid_from: None,
        }
    }

    /// Who has consented to those scopes as well.
    #[must_use]
    pub fn consent(mut self, client_id: &str, resource: &str, scopes: &[&str]) -> Self {
        let resource = resource.to_owned();
        let scopes = scopes.iter().map(ToString::to_string).collect();
        self.consents.push(Consent {
            client_id: client_id.to_owned(),
            resource,
            scopes,
        });
        self
    }

    /// Of whom that resource demands a second factor.
    #[must_use]
    pub fn second_factor_for(mut self, resource: &str) -> Self {
        self.second_factor_for.push(resource.to_owned());
        self
    }

    /// The user account of that agent identity.
    #[must_use]
    pub fn of_agent(mut self, client_id: &str) -> Self {
        self.agent = Some(client_id.to_owned());
        self
    }

    /// Whether this name or object ID means them.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.username.eq_ignore_ascii_case(name)
            || is_guid(name) && self.object_id.eq_ignore_ascii_case(name)
    }

    /// The scopes of the resource that the application may have.
    pub(crate) fn granted(&self, client_id: &str, resource: &Resource) -> Vec<&str> {
        let consents = self.consents.iter().filter(|consent| {
            consent.client_id.eq_ignore_ascii_case(client_id) && resource.is(&consent.resource)
        });
        consents
            .flat_map(|consent| consent.scopes.iter().map(String::as_str))
            .collect()
    }

    /// Whether the resource demands a second factor of them.
    pub(crate) fn needs_second_factor(&self, resource: &Resource) -> bool {
        let mut demanded = self.second_factor_for.iter();
        demanded.any(|name| resource.is(name))
    }

    /// Given and family name.
    pub(crate) fn names(&self) -> (&str, &str) {
        self.name.split_once(' ').unwrap_or((&self.name, ""))
    }
}
