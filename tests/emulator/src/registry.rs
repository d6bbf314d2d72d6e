//! What the directory knows: tenants, applications with their credentials,
//! resources, and the keys of outside issuers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::encoding::{guid_from, sha1_url, sha256_url};
use crate::jose::rsa_components;
use crate::users::User;

/// An application registration with its service principal.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The application (client) ID, a GUID.
    pub client_id: String,
    /// Tenant IDs in which it is present; empty for every tenant.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Issuer, subject and audience combinations it trusts.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
    /// Its secrets.
    #[serde(default, skip_serializing)]
    pub secrets: Vec<Secret>,
    /// Its certificates (PEM in JSON).
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// App roles that its tokens carry.
    #[serde(default)]
    pub roles: Vec<String>,
    /// A public client may present no credential.
    #[serde(default)]
    pub public: bool,
    /// A disabled application gets nothing.
    #[serde(default)]
    pub disabled: bool,
    /// Whether the mTLS endpoint serves it.
    #[serde(default = "enabled")]
    pub mtls_enabled: bool,
    /// Where users may be sent back to, byte for byte.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// A blueprint of agent identities: it authenticates for them.
    #[serde(default)]
    pub blueprint: bool,
    /// Client ID of the blueprint whose agent identity this is.
    #[serde(default)]
    pub agent_of: Option<String>,
}

impl App {
    /// An application without credentials, present in every tenant.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            tenants: Vec::new(),
            federated_credentials: Vec::new(),
            secrets: Vec::new(),
            certificates: Vec::new(),
            roles: Vec::new(),
            public: false,
            disabled: false,
            mtls_enabled: true,
            redirect_uris: Vec::new(),
            blueprint: false,
            agent_of: None,
        }
    }

    /// With one more federated credential.
    #[must_use]
    pub fn federated(mut self, issuer: &str, subject: &str, audience: &str) -> Self {
        self.federated_credentials.push(FederatedCredential {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: audience.to_owned(),
        });
        self
    }

    /// With one more secret that does not expire.
    #[must_use]
    pub fn secret(mut self, value: &str) -> Self {
        self.secrets.push(Secret {
            value: value.to_owned(),
            expires_at: None,
        });
        self
    }

    /// With one more certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificates.push(certificate);
        self
    }

    /// With one more app role.
    #[must_use]
    pub fn role(mut self, role: &str) -> Self {
        self.roles.push(role.to_owned());
        self
    }

    /// With one more redirect URI.
    #[must_use]
    pub fn redirect_uri(mut self, uri: &str) -> Self {
        self.redirect_uris.push(uri.to_owned());
        self
    }

    /// A blueprint of agent identities.
    #[must_use]
    pub fn blueprint(mut self) -> Self {
        self.blueprint = true;
        self
    }

    /// An agent identity of that blueprint.
    #[must_use]
    pub fn agent_of(mut self, blueprint: &str) -> Self {
        self.agent_of = Some(blueprint.to_owned());
        self
    }

    /// The object ID of its service principal in `tenant`.
    pub(crate) fn object_id(&self, tenant: &str) -> String {
        guid_from(&format!("{}@{tenant}", self.client_id.to_ascii_lowercase()))
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("client_id", &self.client_id)
            .field("federated_credentials", &self.federated_credentials)
            .field("secrets", &self.secrets.len())
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}

/// What an outside token must say to be taken for the application. All three
/// are compared byte for byte.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    /// The `iss`.
    pub issuer: String,
    /// The `sub`.
    pub subject: String,
    /// The one `aud` that must be among the token's.
    pub audience: String,
}

/// A client secret.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The secret itself.
    pub value: String,
    /// Unix seconds after which it is refused.
    #[serde(default)]
    pub expires_at: Option<i64>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A certificate registered with an application.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) sha256: String,
    pub(crate) sha1: String,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| anyhow::anyhow!("the PEM holds no certificate: {error}"))?;
        Self::from_der(&der)
    }

    /// Reads a DER certificate; its key must be RSA, as Entra demands.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        use x509_parser::prelude::{FromDer as _, X509Certificate};

        rsa_components(der)?;
        let (_, parsed) = X509Certificate::from_der(der).context("not an X.509 certificate")?;
        Ok(Self {
            sha256: sha256_url(der),
            sha1: sha1_url(der),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            der: der.to_vec(),
        })
    }

    /// Base64url SHA-256 of the DER.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.sha256
    }
}

impl TryFrom<String> for Certificate {
    type Error = anyhow::Error;

    fn try_from(pem: String) -> Result<Self> {
        Self::from_pem(&pem)
    }
}

impl From<Certificate> for String {
    fn from(certificate: Certificate) -> Self {
        certificate.sha256
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificate").field(&self.sha256).finish()
    }
}

/// An identity of the machine that the metadata service runs on.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentity {
    /// The client ID, a GUID.
    pub client_id: String,
    /// The object ID of its service principal, a GUID: the `sub` of its
    /// tokens.
    pub object_id: String,
    /// The Azure resource ID. The identity that is the machine's own
    /// (system-assigned) has none.
    #[serde(default)]
    pub resource_id: Option<String>,
}

impl ManagedIdentity {
    /// The identity of a machine.
    #[must_use]
    pub fn system_assigned(machine: &str) -> Self {
        Self {
            client_id: guid_from(&format!("client of {machine}")),
            object_id: guid_from(&format!("principal of {machine}")),
            resource_id: None,
        }
    }

    /// An identity with a life of its own.
    #[must_use]
    pub fn user_assigned(name: &str) -> Self {
        Self {
            client_id: guid_from(&format!("client {name}")),
            object_id: guid_from(&format!("principal {name}")),
            resource_id: Some(format!(
                "/subscriptions/{}/resourceGroups/edgepass-demo/providers\
                 /Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
                guid_from("subscription")
            )),
        }
    }
}

/// An API for which tokens are issued.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its application ID URIs.
    pub identifiers: Vec<String>,
    /// Its application ID.
    pub app_id: String,
    /// Version of the tokens it wants: 1 (`aud` is the identifier asked for)
    /// or 2 (`aud` is the application ID).
    #[serde(default = "version_one")]
    pub token_version: u8,
    /// The scopes that applications may have of it for a user.
    #[serde(default = "impersonation")]
    pub scopes: Vec<String>,
}

impl Resource {
    /// Whether this is one of its identifiers, or its application ID.
    pub(crate) fn is(&self, name: &str) -> bool {
        let mut identifiers = self.identifiers.iter();
        self.app_id.eq_ignore_ascii_case(name)
            || identifiers.any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// A directory.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant ID, a GUID.
    pub id: String,
    /// Verified domains by which it may be addressed too.
    #[serde(default)]
    pub domains: Vec<String>,
}

/// Everything registered.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tenants: Vec<Tenant>,
    apps: BTreeMap<String, App>,
    resources: Vec<Resource>,
    issuers: BTreeMap<String, Value>,
    managed_identities: Vec<ManagedIdentity>,
    /// By object ID.
    users: BTreeMap<String, User>,
}

impl Registry {
    pub(crate) fn put_tenant(&mut self, tenant: Tenant) {
        self.tenants
            .retain(|known| !known.id.eq_ignore_ascii_case(&tenant.id));
        self.tenants.push(tenant);
    }

    /// The tenant with this ID or verified domain.
    pub(crate) fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| {
            tenant.id.eq_ignore_ascii_case(name)
                || tenant
                    .domains
                    .iter()
                    .any(|domain| domain.eq_ignore_ascii_case(name))
        })
    }

    pub(crate) fn put_app(&mut self, app: App) {
        self.apps.insert(app.client_id.to_ascii_lowercase(), app);
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values()
    }

    /// The application wherever it is.
    pub(crate) fn app_mut(&mut self, client_id: &str) -> Option<&mut App> {
        self.apps.get_mut(&client_id.to_ascii_lowercase())
    }

    /// The application if it is present in the tenant.
    pub(crate) fn app_in(&self, client_id: &str, tenant_id: &str) -> Option<&App> {
        self.apps
            .get(&client_id.to_ascii_lowercase())
            .filter(|app| {
                app.tenants.is_empty()
                    || app
                        .tenants
                        .iter()
                        .any(|tenant| tenant.eq_ignore_ascii_case(tenant_id))
            })
    }

    pub(crate) fn put_resource(&mut self, resource: Resource) {
        self.resources
            .retain(|known| !known.app_id.eq_ignore_ascii_case(&resource.app_id));
        self.resources.push(resource);
    }

    pub(crate) fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource with this identifier or application ID.
    pub(crate) fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.is(name))
    }

    /// The names by which tokens for the application itself are asked for.
    pub(crate) fn audiences_of(&self, client_id: &str) -> Vec<String> {
        let mut names = vec![client_id.to_ascii_lowercase()];
        let own = |resource: &&Resource| resource.app_id.eq_ignore_ascii_case(client_id);
        for resource in self.resources.iter().filter(own) {
            names.extend(resource.identifiers.iter().cloned());
        }
        names
    }

    /// Registers somebody, or replaces who has the object ID.
    pub(crate) fn put_user(&mut self, user: User) {
        self.users.insert(user.object_id.to_ascii_lowercase(), user);
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The user with that object ID or user principal name.
    pub(crate) fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        let id = name.to_ascii_lowercase();
        if self.users.contains_key(&id) {
            return self.users.get_mut(&id);
        }
        self.users.values_mut().find(|user| user.is(name))
    }

    pub(crate) fn user(&mut self, name: &str) -> Option<User> {
        self.user_mut(name).cloned()
    }

    /// Makes the keys of an outside issuer known, as if they could be fetched.
    pub(crate) fn put_issuer(&mut self, issuer: &str, jwks: Value) {
        self.issuers.insert(issuer.to_owned(), jwks);
    }

    /// Assigns these managed identities to the machine, and no others.
    pub(crate) fn set_managed_identities(&mut self, identities: Vec<ManagedIdentity>) {
        self.managed_identities = identities;
    }

    pub(crate) fn managed_identities(&self) -> &[ManagedIdentity] {
        &self.managed_identities
    }

    pub(crate) fn issuer_keys(&self, issuer: &str) -> Option<&Value> {
        self.issuers.get(issuer)
    }
}

fn enabled() -> bool {
    true
}

fn version_one() -> u8 {
    1
}

/// The scope that the portal proposes.
pub(crate) fn impersonation() -> Vec<String> {
    vec!["user_impersonation".to_owned()]
}
