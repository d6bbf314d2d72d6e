//! The configuration as users write it: one JSON document. Unknown fields are errors.

use super::certificate_files::CertificateFiles;
use super::envoy::EnvoyFile;
use super::error::ConfigError;
use super::http::HttpFile;
use super::parse::{
    self, Choice, ForEveryBuild, OneOrMore, Parameters, TextForEveryBuild, TextsForEveryBuild,
    object,
};
use super::token_store::TokenStoreFile;
use crate::authority::EndpointVersion;
use crate::credential::CredentialFile;
use crate::{Error, ErrorClass, Table};

object! {
    /// The configuration of edgepass.
    #[derive(Clone, Debug, Default)]
    #[cfg_attr(feature = "schema", schemars(title = "edgepass configuration"))]
    pub(crate) struct ConfigFile {
        /// Where editors find the JSON Schema of this document. Not looked at.
        pub _schema: Option<String> = optional_text as "$schema",
        /// The identity of requests that name none. With one identity it may be left out.
        pub default_identity: Option<String> = optional_text,
        /// Hosts, as `host` or `host:port`, that are trusted as token endpoints besides the built-in Microsoft clouds.
        /// `EDGEPASS_AUTHORITY_HOSTS` adds to them.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub authority_hosts: Vec<String> = texts,
        /// The identities by name (letters, digits, `.`, `_`, `-`).
        #[cfg_attr(feature = "schema", schemars(default))]
        pub identities: Table<String, IdentityFile> = named_objects,
        /// Certificates that the host keeps, by the name that credentials use.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub certificates: Table<String, CertificateFiles> = named_objects,
        /// Settings of the native host alone.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub host: HostFile = object_or_default,
        /// What components may ask that use the provider: those that are composed with it, and those that a program
        /// serves.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub consumers: ConsumersFile = object_or_default,
        /// Settings of the Envoy filter alone.
        pub envoy: Option<EnvoyFile> = optional_object,
        /// Settings of the HTTP filter for components alone.
        pub http: ForEveryBuild<HttpFile> = object_for_every_build,
    }
}

impl ConfigFile {
    /// Reads a document as it stands; whether it makes sense is for [`Config::load`](super::Config::load) to say.
    pub(super) fn parse(json: &str) -> Result<Self, ConfigError> {
        parse::document(json)
    }
}

object! {
    /// One identity. Unless it has a `token_endpoint` or an `issuer`, what is left out comes from `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`,
    /// `AZURE_AUTHORITY_HOST`, and `AZURE_FEDERATED_TOKEN_FILE` or `AZURE_CLIENT_SECRET`.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct IdentityFile {
        /// Entra tenant: a GUID or a verified domain.
        pub tenant_id: Option<String> = optional_text,
        /// Application (client) ID.
        pub client_id: Option<String> = optional_text,
        /// `https://host[:port]` of the Entra cloud; the public cloud by default. `https://NAME.ciamlogin.com` is Microsoft
        /// Entra External ID, `https://NAME.b2clogin.com` Azure AD B2C (with `policy`), `https://HOST/adfs` AD FS, and
        /// `https://HOST/dstsv2` dSTS.
        pub authority_host: Option<String> = optional_text,
        /// Region whose servers are asked in place of the cloud's global ones, for example `westus2` (ESTS-R).
        pub region: TextForEveryBuild = text_for_every_build,
        /// User flow or custom policy of Azure AD B2C, for example `B2C_1_signin`.
        pub policy: TextForEveryBuild = text_for_every_build,
        /// Entra endpoint version.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub endpoint_version: EndpointVersion = choice,
        /// Token endpoint URL of any other OAuth 2.0 server, instead of `tenant_id` and `authority_host`.
        pub token_endpoint: Option<String> = optional_text,
        /// Token endpoint URL for requests with a client certificate (RFC 8705 section 5), only beside `token_endpoint`.
        pub mtls_token_endpoint: Option<String> = optional_text,
        /// Issuer identifier of any other OAuth 2.0 server, to the letter. Without a `token_endpoint` the endpoints are found
        /// in its metadata (RFC 8414, OpenID Connect Discovery), at its own host or at `authority_hosts`.
        pub issuer: TextForEveryBuild = text_for_every_build,
        /// Tenants besides its own that a request may name; `*` allows any.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub additionally_allowed_tenants: Vec<String> = texts,
        /// Scopes of requests that name none.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub scopes: Vec<String> = texts,
        /// What its tokens are for (`resource` of RFC 8707), each an absolute URI without fragment. Not for Entra ID, which
        /// takes one resource by its scope.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub resources: TextsForEveryBuild = texts_for_every_build,
        /// Further parameters of its token requests: a text, or a list of texts for one that is repeated. No secrets, and
        /// none that has a setting of its own.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub additional_parameters: Parameters = parameters_for_every_build,
        /// What the client can do, for Entra ID to heed (`xms_cc`): `cp1` if its callers hand claims challenges on, for
        /// tokens that live longer and may be revoked.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub client_capabilities: TextsForEveryBuild = texts_for_every_build,
        /// How it proves who it is: a credential, or a list of them in the order in which they are tried.
        pub credential: Option<OneOrMore<CredentialFile>> = one_or_more,
    }
}

impl ConsumersFile {
    /// Whether a component may have a client assertion.
    ///
    /// # Errors
    ///
    /// Of the class [`Configuration`](ErrorClass::Configuration), naming the setting, if it may not.
    pub fn check_client_assertion(&self) -> Result<(), Error> {
        if self.client_assertions {
            return Ok(());
        }
        Err(Error::new(
            ErrorClass::Configuration,
            "this provider gives no client assertions to components: consumers.client_assertions is not true",
        )
        .hint("a component gets its tokens by get-token; set consumers.client_assertions to true if every component that uses this provider may authenticate as its clients"))
    }
}

impl IdentityFile {
    /// Whether the server is another than Entra ID: then nothing comes from the variables.
    pub(super) fn is_of_another_server(&self) -> bool {
        #[cfg(feature = "every-credential")]
        if self.issuer.is_some() {
            return true;
        }
        self.token_endpoint.is_some()
    }

    /// The settings of a client that are there.
    pub(super) fn client_fields(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        for (name, is_set) in [
            ("tenant_id", self.tenant_id.is_some()),
            ("client_id", self.client_id.is_some()),
            ("authority_host", self.authority_host.is_some()),
            (
                "endpoint_version",
                self.endpoint_version != EndpointVersion::default(),
            ),
            ("token_endpoint", self.token_endpoint.is_some()),
            ("mtls_token_endpoint", self.mtls_token_endpoint.is_some()),
            (
                "additionally_allowed_tenants",
                !self.additionally_allowed_tenants.is_empty(),
            ),
        ] {
            if is_set {
                found.push(name);
            }
        }
        #[cfg(feature = "every-credential")]
        for (name, is_set) in [
            ("region", self.region.is_some()),
            ("policy", self.policy.is_some()),
            ("issuer", self.issuer.is_some()),
            ("resources", !self.resources.is_empty()),
            (
                "additional_parameters",
                !self.additional_parameters.is_empty(),
            ),
            ("client_capabilities", !self.client_capabilities.is_empty()),
        ] {
            if is_set {
                found.push(name);
            }
        }
        found
    }

    /// A setting that this build does without.
    #[cfg(not(feature = "every-credential"))]
    pub(super) fn elsewhere(&self) -> Option<&'static str> {
        let all = [
            self.region.map(|()| "region"),
            self.policy.map(|()| "policy"),
            self.issuer.map(|()| "issuer"),
            self.resources.map(|()| "resources"),
            self.additional_parameters.map(|()| "additional_parameters"),
            self.client_capabilities.map(|()| "client_capabilities"),
        ];
        all.into_iter().flatten().next()
    }
}

impl Choice for EndpointVersion {
    const CHOICES: &[(&str, Self)] = &[("v1.0", Self::V1), ("v2.0", Self::V2)];
}

object! {
    /// What components may ask that use the provider.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct ConsumersFile {
        /// Whether they get client assertions (`get-client-assertion`). Whoever has one authenticates as the client
        /// itself until it expires, anywhere and for any of its tokens.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub client_assertions: bool = flag(false),
    }
}

object! {
    /// Settings of the native host alone.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct HostFile {
        /// PEM file of the certification authorities that token endpoints are checked with, instead of the system's. It
        /// is read again when it changes.
        pub ca_file: Option<String> = optional_text,
        /// PEM file of further certification authorities, beside the system's or those of `ca_file`. It is read again
        /// when it changes.
        pub extra_ca_file: Option<String> = optional_text,
        /// The HTTP proxy that token requests go through, in place of the one that `HTTPS_PROXY` or `ALL_PROXY` name:
        /// `http://host:port` or `https://host:port` without credentials, or `none` for direct connections. Hosts that
        /// `NO_PROXY` names are reached without it, and so are metadata services and this machine.
        pub proxy: Option<String> = optional_text,
        /// A store by which several instances share their tokens. Without it each has its own alone.
        pub token_store: ForEveryBuild<TokenStoreFile> = object_for_every_build,
        /// What the cached tokens of users may take, MiB. Those that were not used for the longest time give way to others:
        /// a MiB is some 400 users. The application's own tokens have room of their own.
        pub user_token_cache_mib: Option<u64> = optional_number,
    }
}
