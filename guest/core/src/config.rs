//! The configuration: what users write, the environment contract, and the validated form that the engine runs on. Every
//! error names the setting and the fix. What a credential of a kind looks like is the kind's own affair
//! (`credential.rs`).

pub mod envoy;
pub mod http;

pub(crate) mod document;
pub(crate) mod error;
pub(crate) mod parse;
pub(crate) mod place;
pub(crate) mod rules;

mod certificate_files;
mod client;
#[cfg(feature = "every-credential")]
mod entra;
mod environment;
mod key_vault;
mod load;
#[cfg(feature = "every-credential")]
pub(crate) mod parameters;
mod request;
#[cfg(feature = "schema")]
mod schema;
#[cfg(not(target_family = "wasm"))]
mod spelling;
mod token_store;
#[cfg(all(feature = "every-credential", not(target_family = "wasm")))]
mod unreachable;
mod variables;
#[cfg(feature = "every-credential")]
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;

#[cfg(feature = "every-credential")]
use crate::authority::Authority;
use crate::credential::{Credentials, Direct};
use crate::distinction::Distinction;
#[cfg(feature = "every-credential")]
use crate::grant;
use crate::needs::Needs;
use crate::{Error, GrantKind, Secret, Table, limits};

pub use certificate_files::CertificateFiles;
pub use client::Client;
pub use document::{ConsumersFile, HostFile};
pub use environment::{ENVIRONMENT_IDENTITY, Environment};
pub use error::{ConfigError, ConfigErrorDetail};
pub use key_vault::KeyVaultFile;
#[doc(hidden)]
pub use rules::is_absolute_uri;
pub use token_store::TokenStoreFile;
pub use variables::{KnownVariables, Reading, VARIABLES};

#[cfg(feature = "every-credential")]
pub(crate) use walk::FromEnvironment;

/// A configuration that has been checked whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The identity of requests that name none. `None` if there are several and none is marked.
    pub default_identity: Option<String>,
    /// The identities by name.
    pub identities: Table<String, Arc<IdentityConfig>>,
    /// Where the host finds certificates and their keys, by the name that credentials use.
    pub certificates: Table<String, CertificateFiles>,
    /// Settings of the native host alone.
    pub host: HostFile,
    /// What components may ask that use the provider.
    pub consumers: ConsumersFile,
    /// Settings of the Envoy filter alone.
    pub envoy: Option<envoy::EnvoyFile>,
    /// Settings of the HTTP filter for components alone.
    #[cfg(feature = "every-credential")]
    pub http: Option<http::HttpFile>,
    /// What it needs besides its identities.
    needs: Needs,
    /// The environment alone describes its identity.
    environment_only: bool,
    /// By which the host reads certificates of Key Vault. No request of anybody else's names one.
    #[cfg(feature = "key-vault")]
    pub(crate) vaults: Table<String, Arc<IdentityConfig>>,
}

/// One identity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IdentityConfig {
    /// Its name.
    pub name: String,
    /// Scopes of requests that name none.
    pub scopes: Vec<String>,
    pub(crate) source: Source,
    needs: Needs,
    /// Nothing is written down of it.
    #[cfg(feature = "every-credential")]
    pub(crate) environment: Option<FromEnvironment>,
}

/// Where an identity's tokens come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// From the platform, which knows who it is.
    Direct(Box<Direct>),
    /// From a token endpoint, to which it authenticates itself.
    Exchange(Box<Exchange>),
}

/// A client and how it authenticates itself: by the first of its credentials that is there and accepted.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) client: Client,
    pub(crate) credentials: Credentials,
}

impl Config {
    /// What the tokens of users may take of an engine's memory, bytes: what `host.user_token_cache_mib` says, which a
    /// build without users' grants does not read.
    pub fn user_token_bytes(&self) -> usize {
        let set = self.host.user_token_cache_mib;
        let set = set.filter(|_| cfg!(feature = "every-credential"));
        let mib = set.and_then(|mib| usize::try_from(mib).ok());
        mib.unwrap_or(limits::USER_TOKENS_MIB) << 20
    }

    /// What a driver must be able to do for any of its identities.
    pub fn needs(&self) -> Needs {
        let mut needs = self.needs.clone();
        for identity in self.identities.values() {
            needs.add(identity.needs());
        }
        needs
    }

    /// Whether nothing is written down of its identity: the environment alone describes it.
    pub fn is_of_the_environment(&self) -> bool {
        self.environment_only
    }

    /// What a driver says of files and settings, with variables in the place of settings where the environment alone
    /// describes the identity.
    #[cfg(feature = "every-credential")]
    pub fn in_variables(&self, text: &str) -> String {
        let mut identities = self.identities.values();
        let described = identities.find_map(|identity| identity.environment.as_ref());
        described.map_or_else(|| text.to_owned(), |described| described.in_variables(text))
    }

    /// Names of certificates that credentials use and `certificates` does not have. The embedding host may know them
    /// otherwise, so this is for the host to judge.
    pub fn unresolved_certificates(&self) -> BTreeSet<String> {
        self.needs()
            .certificates
            .into_iter()
            .map(|certificate| certificate.name)
            .filter(|name| !self.certificates.contains_key(name))
            .collect()
    }
}

impl IdentityConfig {
    /// What a driver must be able to do for it.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Of an identity that the environment alone describes the credentials that come before its own, and why it is none of
    /// them; nothing of one that is written down.
    #[cfg(feature = "every-credential")]
    pub fn passed(&self) -> &[crate::Attempt] {
        self.environment
            .as_ref()
            .map_or(&[], |environment| &environment.passed)
    }

    /// The kinds of its credentials in their order, as a configuration names them.
    #[cfg(feature = "every-credential")]
    pub fn kinds(&self) -> Vec<String> {
        match &self.source {
            Source::Direct(direct) => vec![direct.reference().kind],
            Source::Exchange(exchange) => {
                let credentials = exchange.credentials.iter();
                credentials
                    .map(|credential| credential.reference().kind)
                    .collect()
            }
        }
    }

    /// Of an identity that the environment alone describes the variables that name its client and its tenant.
    #[cfg(feature = "every-credential")]
    pub fn client_variables(&self) -> Option<(&'static str, &'static str)> {
        let variables = self.environment.as_ref()?.variables;
        Some((variables.client_id, variables.tenant_id))
    }

    /// That error, with variables in the place of settings where the identity has none.
    #[cfg(feature = "every-credential")]
    pub(crate) fn in_variables(&self, error: Error) -> Error {
        match &self.environment {
            Some(environment) => environment.explain(error),
            None => error,
        }
    }

    /// That error of a credential that is not here. Of the last one that an environment can mean it says what the others
    /// lack, and time changes none of that.
    #[cfg(feature = "every-credential")]
    pub(crate) fn nothing_there(&self, error: Error) -> Error {
        match (&self.environment, &self.source) {
            (Some(environment), Source::Direct(_)) => environment.nothing_there(error),
            _ => error,
        }
    }

    /// What would give this process a token of its own, where the environment says that it could have one.
    #[cfg(feature = "key-vault")]
    pub(crate) fn likely(&self) -> Option<&'static str> {
        self.environment.as_ref()?.likely
    }

    #[cfg(not(feature = "key-vault"))]
    pub(crate) fn likely(&self) -> Option<&'static str> {
        None
    }

    #[cfg(not(feature = "every-credential"))]
    pub(crate) fn in_variables(&self, error: Error) -> Error {
        error
    }

    /// The client that it is, unless its tokens come from the platform.
    pub fn client(&self) -> Option<&Client> {
        match &self.source {
            Source::Direct(_) => None,
            Source::Exchange(exchange) => Some(&exchange.client),
        }
    }

    /// How many credentials it has; none where its tokens come from the platform.
    pub fn credential_count(&self) -> usize {
        self.credentials().map_or(0, Credentials::len)
    }

    /// Its credentials, unless its tokens come from the platform.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        match &self.source {
            Source::Direct(_) => None,
            Source::Exchange(exchange) => Some(&exchange.credentials),
        }
    }

    /// Checks the scopes of a request and gives them without repetitions, in their order.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](crate::ErrorClass::InvalidRequest), naming the scope, when the server would not take
    /// them.
    pub fn check_scopes(&self, scopes: &[String]) -> Result<Vec<String>, Error> {
        match &self.source {
            Source::Direct(_) => request::check_direct_scopes(scopes),
            Source::Exchange(exchange) => request::check_scopes(&exchange.client.authority, scopes),
        }
        .map_err(|error| self.in_variables(error))
    }

    /// The same for another grant than the application's own: where a user is meant, Entra ID takes several scopes of one
    /// resource, and those of OpenID Connect beside them.
    ///
    /// # Errors
    ///
    /// As those of [`Self::check_scopes`].
    pub fn check_scopes_of(
        &self,
        grant: GrantKind,
        scopes: &[String],
    ) -> Result<Vec<String>, Error> {
        match &self.source {
            // a build that has no grant with a user has refused the request
            Source::Exchange(exchange)
                if cfg!(feature = "every-credential") && grant.is_of_a_user() =>
            {
                request::check_delegated_scopes(&exchange.client.authority, grant, scopes)
                    .map_err(|error| self.in_variables(error))
            }
            _ => self.check_scopes(scopes),
        }
    }

    /// Whether its server has that grant.
    ///
    /// # Errors
    ///
    /// Of the class [`Unsupported`](crate::ErrorClass::Unsupported) with what there is in its place, or
    /// [`InvalidRequest`](crate::ErrorClass::InvalidRequest) where the platform gives the tokens.
    #[cfg(feature = "every-credential")]
    pub fn check_grant(&self, kind: GrantKind) -> Result<(), Error> {
        match &self.source {
            Source::Exchange(exchange) => grant::check_server(kind, &exchange.client.authority),
            Source::Direct(_) if kind == GrantKind::ClientCredentials => Ok(()),
            Source::Direct(_) => Err(grant::not_of_a_platform(&self.name)),
        }
    }

    /// Checks what a request presents, as far as that can be told before anything is sent.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](crate::ErrorClass::InvalidRequest), naming the parameter.
    #[cfg(feature = "every-credential")]
    pub fn check_presented(&self, request: &crate::TokenRequest) -> Result<(), Error> {
        grant::check(request, self)
    }

    /// Checks the tenant of a request and gives the one to use; `None` where there are no tenants.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](crate::ErrorClass::InvalidRequest), when the configuration does not allow that tenant.
    pub fn check_tenant(&self, requested: Option<&str>) -> Result<Option<String>, Error> {
        request::check_tenant(&self.name, self.client(), requested, false)
            .map_err(|error| self.in_variables(error))
    }

    /// The same for a sign-in and what it has brought: where any tenant is allowed, it may be of whichever its user is.
    #[cfg(feature = "every-credential")]
    pub(crate) fn check_tenant_of_sign_in(
        &self,
        requested: Option<&str>,
    ) -> Result<Option<String>, Error> {
        request::check_tenant(&self.name, self.client(), requested, true)
            .map_err(|error| self.in_variables(error))
    }

    /// A description for people: lines, each with what it is about. Never a secret.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        match &self.source {
            Source::Direct(direct) => {
                out.push(("asks", direct.server().to_owned()));
                out.push(("credential", direct.describe()));
            }
            Source::Exchange(exchange) => {
                let Exchange {
                    client,
                    credentials,
                } = exchange.as_ref();
                out.push(("client", client.client_id.clone()));
                #[cfg(feature = "every-credential")]
                if let Authority::Discovered(issuer) = &client.authority {
                    out.push(("issuer", issuer.identifier.clone()));
                }
                let mut last = None;
                for (index, credential) in credentials.iter().enumerate() {
                    let endpoint = credential.token_endpoint(client, client.tenant.as_deref());
                    let endpoint =
                        endpoint.map_or_else(|error| error.to_string(), |endpoint| endpoint.url());
                    if last.as_ref() != Some(&endpoint) {
                        out.push(("token endpoint", endpoint.clone()));
                        last = Some(endpoint);
                    }
                    let what = match index {
                        0 => "credential",
                        _ => "or else",
                    };
                    out.push((what, credential.describe()));
                }
            }
        }
        if !self.scopes.is_empty() {
            out.push(("scopes", self.scopes.join(" ")));
        }
        #[cfg(feature = "every-credential")]
        let parameters = self.client().map(|client| client.parameters.iter());
        #[cfg(feature = "every-credential")]
        let parameters = parameters.into_iter().flatten();
        #[cfg(feature = "every-credential")]
        let parameters: Vec<String> = parameters.map(|(n, v)| format!("{n}={v}")).collect();
        #[cfg(feature = "every-credential")]
        if !parameters.is_empty() {
            out.push(("parameters", parameters.join(" ")));
        }
        #[cfg(feature = "every-credential")]
        if let Some(client) = self
            .client()
            .filter(|client| !client.capabilities.is_empty())
        {
            out.push(("client capabilities", client.capabilities.join(" ")));
        }
        let tenants = self
            .client()
            .map(|client| &client.additionally_allowed_tenants);
        if let Some(tenants) = tenants.filter(|tenants| !tenants.is_empty()) {
            out.push(("further tenants", tenants.join(" ")));
        }
        out
    }

    /// A text that two identities have in common only if they get the same tokens. It holds whatever secret stands in
    /// the configuration itself, so it is for digests, not for people.
    pub fn distinction(&self) -> Secret {
        // all by name, so that a new setting is not forgotten here
        let Self {
            name,
            scopes,
            source,
            // follows from the others
            needs: _,
            // changes no token
            #[cfg(feature = "every-credential")]
                environment: _,
        } = self;
        let mut out = Distinction::default();
        out.add(name);
        out.add_all(scopes);
        match source {
            Source::Direct(direct) => direct.distinguish(&mut out),
            Source::Exchange(exchange) => {
                let Exchange {
                    client,
                    credentials,
                } = exchange.as_ref();
                client.distinguish(&mut out);
                for credential in credentials.iter() {
                    credential.distinguish(&mut out);
                }
            }
        }
        out.into_secret()
    }
}
