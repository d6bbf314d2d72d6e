//! The configuration as users write it: one JSON document. Unknown fields are errors.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::envoy::EnvoyFile;
use crate::Secret;

/// The configuration of edgepass.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(title = "edgepass configuration")
)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct ConfigFile {
    /// Where editors find the JSON Schema of this document. Not looked at.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// The identity of requests that name none. With one identity it may be left out.
    pub default_identity: Option<String>,
    /// Hosts, as `host` or `host:port`, that are trusted as token endpoints besides the built-in Microsoft clouds.
    /// `EDGEPASS_AUTHORITY_HOSTS` adds to them.
    #[serde(default)]
    pub authority_hosts: Vec<String>,
    /// The identities by name (letters, digits, `.`, `_`, `-`).
    #[serde(default, deserialize_with = "unique_names")]
    pub identities: BTreeMap<String, IdentityFile>,
    /// Certificates that the host keeps, by the name that credentials use.
    #[serde(default, deserialize_with = "unique_names")]
    pub certificates: BTreeMap<String, CertificateFiles>,
    /// Settings of the native host alone.
    #[serde(default)]
    pub host: HostFile,
    /// Settings of the Envoy filter alone.
    pub envoy: Option<EnvoyFile>,
}

/// One identity. Unless it has a `token_endpoint`, what is left out comes from `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`,
/// `AZURE_AUTHORITY_HOST`, and `AZURE_FEDERATED_TOKEN_FILE` or `AZURE_CLIENT_SECRET`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct IdentityFile {
    /// Entra tenant: a GUID or a verified domain.
    pub tenant_id: Option<String>,
    /// Application (client) ID.
    pub client_id: Option<String>,
    /// `https://host[:port]` of the Entra cloud; the public cloud by default.
    pub authority_host: Option<String>,
    /// Entra endpoint version.
    #[serde(default)]
    pub endpoint_version: EndpointVersion,
    /// Token endpoint URL of any other OAuth 2.0 server, instead of `tenant_id` and `authority_host`.
    pub token_endpoint: Option<String>,
    /// Token endpoint URL for requests with a client certificate (RFC 8705 section 5), only beside `token_endpoint`.
    pub mtls_token_endpoint: Option<String>,
    /// Tenants besides its own that a request may name; `*` allows any.
    #[serde(default)]
    pub additionally_allowed_tenants: Vec<String>,
    /// Scopes of requests that name none.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How it proves who it is: exactly one kind.
    pub credential: Option<CredentialFile>,
}

/// Entra endpoint version.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EndpointVersion {
    /// `/oauth2/token`, with `resource`.
    #[serde(rename = "v1.0")]
    V1,
    /// `/oauth2/v2.0/token`, with `scope`.
    #[default]
    #[serde(rename = "v2.0")]
    V2,
}

/// Exactly one of the kinds.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minProperties" = 1, "maxProperties" = 1))
)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct CredentialFile {
    /// A token that the platform rotates in a file, for example a Kubernetes projected service-account token.
    pub federated_token_file: Option<FederatedTokenFile>,
    /// An assertion that somebody else built.
    pub client_assertion: Option<ClientAssertionFile>,
    /// An assertion from the host's or a component's assertion source.
    pub assertion_source: Option<AssertionSourceFile>,
    /// A client secret.
    pub client_secret: Option<ClientSecretFile>,
    /// An assertion signed with a certificate's key, which the host keeps.
    pub certificate: Option<CertificateFile>,
    /// A certificate that authenticates the TLS connection to the authority's mTLS endpoint.
    pub bound_certificate: Option<BoundCertificateFile>,
}

/// A token that the platform rotates in a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct FederatedTokenFile {
    /// Absolute path; `AZURE_FEDERATED_TOKEN_FILE` if left out.
    pub path: Option<String>,
    /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
    pub assertion_type: Option<String>,
}

/// An assertion that somebody else built. Exactly one of `value`, `env` and `file`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct ClientAssertionFile {
    /// The compact JWS itself. A secret: `env` or `file` keep it out of this document.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("writeOnly" = true)))]
    pub value: Option<Secret>,
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The absolute path of the file that holds it, read at each exchange.
    pub file: Option<String>,
    /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
    pub assertion_type: Option<String>,
}

/// An assertion from the assertion source.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct AssertionSourceFile {
    /// The audience to ask for.
    pub audience: Option<String>,
    /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
    pub assertion_type: Option<String>,
}

/// A client secret. Exactly one of `value`, `env` and `file`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct ClientSecretFile {
    /// The secret itself. `env` or `file` keep it out of this document.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("writeOnly" = true)))]
    pub value: Option<Secret>,
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The absolute path of the file that holds it, read at each exchange.
    pub file: Option<String>,
    /// How it is sent.
    #[serde(default)]
    pub method: SecretMethod,
}

/// How a client secret is sent (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SecretMethod {
    /// In the `Authorization` header.
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// In the form.
    #[default]
    #[serde(rename = "client_secret_post")]
    Post,
}

/// An assertion signed with a certificate's key.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct CertificateFile {
    /// A name out of `certificates`, or one that the embedding host knows.
    pub name: String,
    /// `PS256` with `x5t#S256` (Entra ID), or `RS256` with `x5t` (AD FS and older servers), or `ES256`.
    #[serde(default)]
    pub algorithm: AssertionAlgorithm,
    /// Put the certificate chain into the header, for subject-name-and-issuer apps.
    #[serde(default)]
    pub send_x5c: bool,
    /// `aud`; the token endpoint by default.
    pub audience: Option<String>,
}

/// A certificate that authenticates the TLS connection.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct BoundCertificateFile {
    /// A name out of `certificates`, or one that the embedding host knows.
    pub name: String,
    /// What goes into the form beside the certificate on the connection.
    #[serde(default)]
    pub mode: BoundMode,
    /// As in `certificate`.
    #[serde(default)]
    pub algorithm: AssertionAlgorithm,
    /// As in `certificate`; on by default, because Entra ID wants the chain in this mode.
    #[serde(default = "yes")]
    pub send_x5c: bool,
    /// As in `certificate`.
    pub audience: Option<String>,
}

fn yes() -> bool {
    true
}

/// What goes into the form beside the certificate on the connection.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BoundMode {
    /// Nothing: the certificate alone authenticates the client (RFC 8705 section 2).
    CertificateOnly,
    /// An assertion signed with the same key; what Entra ID requires today.
    #[default]
    WithAssertion,
}

/// Algorithm of an assertion built here.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AssertionAlgorithm {
    /// ECDSA with P-256; not taken by Entra ID.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PSS, with `x5t#S256`.
    #[default]
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PKCS1-v1_5, with `x5t` (SHA-1 thumbprint).
    #[serde(rename = "RS256")]
    Rs256,
}

/// PEM files of one certificate. They are read again when they change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct CertificateFiles {
    /// The certificate chain, leaf first. May hold the key as well.
    pub certificate_file: String,
    /// The private key, PKCS#8, PKCS#1 or SEC 1; in `certificate_file` if left out.
    pub private_key_file: Option<String>,
}

/// Settings of the native host alone.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct HostFile {
    /// PEM file of the certification authorities that token endpoints are checked with, instead of the system's.
    pub ca_file: Option<String>,
}

/// A map in which a repeated name is an error: of two identities of one name the first would vanish unseen.
pub(super) fn unique_names<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Unique<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut out = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, T>()? {
                if out.contains_key(&name) {
                    return Err(A::Error::custom(format_args!("duplicate name `{name}`")));
                }
                out.insert(name, value);
            }
            Ok(out)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}
