//! The configuration as users write it: one JSON document. Unknown fields are errors.

use super::envoy::EnvoyFile;
use super::parse::{Choice, Fields, Object};
use crate::{Secret, Table};

/// The configuration of edgepass.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(title = "edgepass configuration")
)]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct ConfigFile {
    /// Where editors find the JSON Schema of this document. Not looked at.
    #[cfg_attr(feature = "schema", schemars(rename = "$schema"))]
    pub schema: Option<String>,
    /// The identity of requests that name none. With one identity it may be left out.
    pub default_identity: Option<String>,
    /// Hosts, as `host` or `host:port`, that are trusted as token endpoints besides the built-in Microsoft clouds.
    /// `EDGEPASS_AUTHORITY_HOSTS` adds to them.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub authority_hosts: Vec<String>,
    /// The identities by name (letters, digits, `.`, `_`, `-`).
    #[cfg_attr(feature = "schema", schemars(default))]
    pub identities: Table<String, IdentityFile>,
    /// Certificates that the host keeps, by the name that credentials use.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub certificates: Table<String, CertificateFiles>,
    /// Settings of the native host alone.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub host: HostFile,
    /// Settings of the Envoy filter alone.
    pub envoy: Option<EnvoyFile>,
}

impl Object for ConfigFile {
    const FIELDS: &[&str] = &[
        "$schema",
        "default_identity",
        "authority_hosts",
        "identities",
        "certificates",
        "host",
        "envoy",
    ];

    fn read(fields: &mut Fields) -> Self {
        Self {
            schema: fields.optional_text("$schema"),
            default_identity: fields.optional_text("default_identity"),
            authority_hosts: fields.texts("authority_hosts"),
            identities: fields.named_objects("identities"),
            certificates: fields.named_objects("certificates"),
            host: fields.object_or_default("host"),
            envoy: fields.optional_object("envoy"),
        }
    }
}

/// One identity. Unless it has a `token_endpoint`, what is left out comes from `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`,
/// `AZURE_AUTHORITY_HOST`, and `AZURE_FEDERATED_TOKEN_FILE` or `AZURE_CLIENT_SECRET`.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct IdentityFile {
    /// Entra tenant: a GUID or a verified domain.
    pub tenant_id: Option<String>,
    /// Application (client) ID.
    pub client_id: Option<String>,
    /// `https://host[:port]` of the Entra cloud; the public cloud by default.
    pub authority_host: Option<String>,
    /// Entra endpoint version.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub endpoint_version: EndpointVersion,
    /// Token endpoint URL of any other OAuth 2.0 server, instead of `tenant_id` and `authority_host`.
    pub token_endpoint: Option<String>,
    /// Token endpoint URL for requests with a client certificate (RFC 8705 section 5), only beside `token_endpoint`.
    pub mtls_token_endpoint: Option<String>,
    /// Tenants besides its own that a request may name; `*` allows any.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub additionally_allowed_tenants: Vec<String>,
    /// Scopes of requests that name none.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub scopes: Vec<String>,
    /// How it proves who it is: exactly one kind.
    pub credential: Option<CredentialFile>,
}

impl Object for IdentityFile {
    const FIELDS: &[&str] = &[
        "tenant_id",
        "client_id",
        "authority_host",
        "endpoint_version",
        "token_endpoint",
        "mtls_token_endpoint",
        "additionally_allowed_tenants",
        "scopes",
        "credential",
    ];

    fn read(fields: &mut Fields) -> Self {
        Self {
            tenant_id: fields.optional_text("tenant_id"),
            client_id: fields.optional_text("client_id"),
            authority_host: fields.optional_text("authority_host"),
            endpoint_version: fields.choice("endpoint_version"),
            token_endpoint: fields.optional_text("token_endpoint"),
            mtls_token_endpoint: fields.optional_text("mtls_token_endpoint"),
            additionally_allowed_tenants: fields.texts("additionally_allowed_tenants"),
            scopes: fields.texts("scopes"),
            credential: fields.optional_object("credential"),
        }
    }
}

/// Entra endpoint version.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EndpointVersion {
    /// `/oauth2/token`, with `resource`.
    #[cfg_attr(feature = "schema", schemars(rename = "v1.0"))]
    V1,
    /// `/oauth2/v2.0/token`, with `scope`.
    #[default]
    #[cfg_attr(feature = "schema", schemars(rename = "v2.0"))]
    V2,
}

impl Choice for EndpointVersion {
    const CHOICES: &[(&str, Self)] = &[("v1.0", Self::V1), ("v2.0", Self::V2)];
}

/// Exactly one of the kinds.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minProperties" = 1, "maxProperties" = 1))
)]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
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

impl Object for CredentialFile {
    const FIELDS: &[&str] = &[
        "federated_token_file",
        "client_assertion",
        "assertion_source",
        "client_secret",
        "certificate",
        "bound_certificate",
    ];

    fn read(fields: &mut Fields) -> Self {
        Self {
            federated_token_file: fields.optional_object("federated_token_file"),
            client_assertion: fields.optional_object("client_assertion"),
            assertion_source: fields.optional_object("assertion_source"),
            client_secret: fields.optional_object("client_secret"),
            certificate: fields.optional_object("certificate"),
            bound_certificate: fields.optional_object("bound_certificate"),
        }
    }
}

/// A token that the platform rotates in a file.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct FederatedTokenFile {
    /// Absolute path; `AZURE_FEDERATED_TOKEN_FILE` if left out.
    pub path: Option<String>,
    /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
    pub assertion_type: Option<String>,
}

impl Object for FederatedTokenFile {
    const FIELDS: &[&str] = &["path", "assertion_type"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            path: fields.optional_text("path"),
            assertion_type: fields.optional_text("assertion_type"),
        }
    }
}

/// An assertion that somebody else built. Exactly one of `value`, `env` and `file`.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
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

impl Object for ClientAssertionFile {
    const FIELDS: &[&str] = &["value", "env", "file", "assertion_type"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            value: fields.optional_secret("value"),
            env: fields.optional_text("env"),
            file: fields.optional_text("file"),
            assertion_type: fields.optional_text("assertion_type"),
        }
    }
}

/// An assertion from the assertion source.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct AssertionSourceFile {
    /// The audience to ask for.
    pub audience: Option<String>,
    /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
    pub assertion_type: Option<String>,
}

impl Object for AssertionSourceFile {
    const FIELDS: &[&str] = &["audience", "assertion_type"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            audience: fields.optional_text("audience"),
            assertion_type: fields.optional_text("assertion_type"),
        }
    }
}

/// A client secret. Exactly one of `value`, `env` and `file`.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct ClientSecretFile {
    /// The secret itself. `env` or `file` keep it out of this document.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("writeOnly" = true)))]
    pub value: Option<Secret>,
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The absolute path of the file that holds it, read at each exchange.
    pub file: Option<String>,
    /// How it is sent.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub method: SecretMethod,
}

impl Object for ClientSecretFile {
    const FIELDS: &[&str] = &["value", "env", "file", "method"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            value: fields.optional_secret("value"),
            env: fields.optional_text("env"),
            file: fields.optional_text("file"),
            method: fields.choice("method"),
        }
    }
}

/// How a client secret is sent (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SecretMethod {
    /// In the `Authorization` header.
    #[cfg_attr(feature = "schema", schemars(rename = "client_secret_basic"))]
    Basic,
    /// In the form.
    #[default]
    #[cfg_attr(feature = "schema", schemars(rename = "client_secret_post"))]
    Post,
}

impl Choice for SecretMethod {
    const CHOICES: &[(&str, Self)] = &[
        ("client_secret_basic", Self::Basic),
        ("client_secret_post", Self::Post),
    ];
}

/// An assertion signed with a certificate's key.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct CertificateFile {
    /// A name out of `certificates`, or one that the embedding host knows.
    pub name: String,
    /// `PS256` with `x5t#S256` (Entra ID), or `RS256` with `x5t` (AD FS and older servers), or `ES256`.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub algorithm: AssertionAlgorithm,
    /// Put the certificate chain into the header, for subject-name-and-issuer apps.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub send_x5c: bool,
    /// `aud`; the token endpoint by default.
    pub audience: Option<String>,
}

impl Object for CertificateFile {
    const FIELDS: &[&str] = &["name", "algorithm", "send_x5c", "audience"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            name: fields.text("name"),
            algorithm: fields.choice("algorithm"),
            send_x5c: fields.flag("send_x5c", false),
            audience: fields.optional_text("audience"),
        }
    }
}

/// A certificate that authenticates the TLS connection.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct BoundCertificateFile {
    /// A name out of `certificates`, or one that the embedding host knows.
    pub name: String,
    /// What goes into the form beside the certificate on the connection.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub mode: BoundMode,
    /// As in `certificate`.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub algorithm: AssertionAlgorithm,
    /// As in `certificate`; on by default, because Entra ID wants the chain in this mode.
    #[cfg_attr(feature = "schema", schemars(default = "yes"))]
    pub send_x5c: bool,
    /// As in `certificate`.
    pub audience: Option<String>,
}

impl Object for BoundCertificateFile {
    const FIELDS: &[&str] = &["name", "mode", "algorithm", "send_x5c", "audience"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            name: fields.text("name"),
            mode: fields.choice("mode"),
            algorithm: fields.choice("algorithm"),
            send_x5c: fields.flag("send_x5c", true),
            audience: fields.optional_text("audience"),
        }
    }
}

#[cfg(feature = "schema")]
fn yes() -> bool {
    true
}

/// What goes into the form beside the certificate on the connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "kebab-case"))]
pub enum BoundMode {
    /// Nothing: the certificate alone authenticates the client (RFC 8705 section 2).
    CertificateOnly,
    /// An assertion signed with the same key; what Entra ID requires today.
    #[default]
    WithAssertion,
}

impl Choice for BoundMode {
    const CHOICES: &[(&str, Self)] = &[
        ("certificate-only", Self::CertificateOnly),
        ("with-assertion", Self::WithAssertion),
    ];
}

/// Algorithm of an assertion built here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AssertionAlgorithm {
    /// ECDSA with P-256; not taken by Entra ID.
    #[cfg_attr(feature = "schema", schemars(rename = "ES256"))]
    Es256,
    /// RSASSA-PSS, with `x5t#S256`.
    #[default]
    #[cfg_attr(feature = "schema", schemars(rename = "PS256"))]
    Ps256,
    /// RSASSA-PKCS1-v1_5, with `x5t` (SHA-1 thumbprint).
    #[cfg_attr(feature = "schema", schemars(rename = "RS256"))]
    Rs256,
}

impl Choice for AssertionAlgorithm {
    const CHOICES: &[(&str, Self)] = &[
        ("ES256", Self::Es256),
        ("PS256", Self::Ps256),
        ("RS256", Self::Rs256),
    ];
}

/// PEM files of one certificate. They are read again when they change.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct CertificateFiles {
    /// The certificate chain, leaf first. May hold the key as well.
    pub certificate_file: String,
    /// The private key, PKCS#8, PKCS#1 or SEC 1; in `certificate_file` if left out.
    pub private_key_file: Option<String>,
}

impl Object for CertificateFiles {
    const FIELDS: &[&str] = &["certificate_file", "private_key_file"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            certificate_file: fields.text("certificate_file"),
            private_key_file: fields.optional_text("private_key_file"),
        }
    }
}

/// Settings of the native host alone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct HostFile {
    /// PEM file of the certification authorities that token endpoints are checked with, instead of the system's.
    pub ca_file: Option<String>,
}

impl Object for HostFile {
    const FIELDS: &[&str] = &["ca_file"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            ca_file: fields.optional_text("ca_file"),
        }
    }
}
