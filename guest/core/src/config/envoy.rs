//! The part of the configuration that the Envoy filter reads. It is parsed with the rest, so that one document serves
//! every driver; what its texts must look like is for `edgepass-rules` to say, whose checks the filter and the command
//! share.

use super::parse::{Choice, object};

pub use super::parse::ForTheCommand;
use crate::Table;

object! {
    /// Settings of the Envoy filter alone.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct EnvoyFile {
        /// Envoy's cluster for each host of a token endpoint, as `host` or `host:port`; `certificate@host` is for the
        /// connections with that certificate alone. TLS, certificate validation and the client certificate of bound
        /// requests are the cluster's.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub token_clusters: Table<String, String> = named_texts,
        /// Where token files are read.
        pub files: Option<EnvoyFilesFile> = optional_object,
        /// How long a request waits for the first token, milliseconds.
        pub request_deadline_ms: Option<u64> = optional_number,
        /// Send a request without a token rather than answer 503 when there is none in time.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub fail_open: bool = flag(false),
        /// What becomes of the caller's own `authorization` header: `strip`, or `keep-as:` and the name of another header.
        pub inbound_authorization: Option<String> = optional_text,
        /// Who gets the tokens.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub sharing: EnvoySharing = choice,
        /// Whether a response with status 401 makes the token that was refused be replaced.
        #[cfg_attr(feature = "schema", schemars(default = "yes"))]
        pub refresh_on_401: bool = flag(true),
        /// Whether a CORS preflight (OPTIONS with `origin` and `access-control-request-method`) goes on without a token.
        /// Each request then costs one look at its method more.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub skip_preflight: bool = flag(false),
        /// Which requests get which token; the first rule that fits counts. Without any, every request gets a token of
        /// the default identity.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub rules: Vec<EnvoyRuleFile> = objects,
        /// Where requests go, for `edgepass envoy-config`, which makes routes, clusters and rules of it. The filter
        /// itself refuses it.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub upstreams: ForTheCommand<EnvoyUpstreamFile> = objects_for_the_command,
    }
}

object! {
    /// A server that requests go to, and the token that they get.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct EnvoyUpstreamFile {
        /// The server: `https://HOST`, `http://HOST` or `HOST:PORT`, and a path that replaces `path_prefix`, if any.
        pub url: String = text,
        /// The requests' host, or `*.` and a domain; every host if left out.
        pub host: Option<String> = optional_text,
        /// What their path begins with; `/` if left out. Of several that fit, the longest counts.
        pub path_prefix: Option<String> = optional_text,
        /// The name of its cluster.
        pub cluster: Option<String> = optional_text,
        /// The identity whose token they get. Without identity, scopes and `disabled` the rules say what they get.
        pub identity: Option<String> = optional_text,
        /// The scopes of that token; the identity's if left out.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub scopes: Vec<String> = texts,
        /// Whose token they get: the identity's own, or one for each caller.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub grant: EnvoyGrant = choice,
        /// What the grant `token-exchange` sends besides the caller's token.
        pub token_exchange: Option<EnvoyTokenExchangeFile> = optional_object,
        /// Leave these requests as they are.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub disabled: bool = flag(false),
    }
}

object! {
    /// Where token files are read: Envoy serves them to the filter, which has no file system.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct EnvoyFilesFile {
        /// The cluster of the listener that serves them.
        pub cluster: String = text,
        /// The beginning of a file's path that is not part of the request's.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub strip_prefix: String = text_or_empty,
        /// What stands before the rest in the request's path.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub add_prefix: String = text_or_empty,
    }
}

/// Who gets the tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "kebab-case"))]
pub enum EnvoySharing {
    /// One worker of the process, for all: they are passed on in Envoy's shared data, which every module with the
    /// same `vm_id` can read.
    #[default]
    PerProcess,
    /// Each worker its own: nothing is shared, and each makes its own requests.
    PerVm,
}

impl Choice for EnvoySharing {
    const CHOICES: &[(&str, Self)] = &[("per-process", Self::PerProcess), ("per-vm", Self::PerVm)];
}

object! {
    /// Which requests get which token.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct EnvoyRuleFile {
        /// The requests it is for; all of them if left out.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub matching: EnvoyMatchFile = object_or_default as "match",
        /// The identity; the default one if left out.
        pub identity: Option<String> = optional_text,
        /// The scopes; the identity's if left out.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub scopes: Vec<String> = texts,
        /// Whose token the requests get: the identity's own, or one for each caller.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub grant: EnvoyGrant = choice,
        /// What the grant `token-exchange` sends besides the caller's token.
        pub token_exchange: Option<EnvoyTokenExchangeFile> = optional_object,
        /// The request header that carries the token; `authorization` if left out.
        pub header: Option<String> = optional_text,
        /// Its value, with `{token}` where the token goes; `Bearer {token}` if left out.
        pub format: Option<String> = optional_text,
        /// Leave these requests as they are.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub disabled: bool = flag(false),
    }
}

/// Whose token requests get.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "kebab-case"))]
pub enum EnvoyGrant {
    /// The identity's own.
    #[default]
    ClientCredentials,
    /// One for the caller, by Entra's on-behalf-of: the bearer token that the request came with is the assertion.
    OnBehalfOf,
    /// One for the caller, by RFC 8693: the bearer token that the request came with is the subject token.
    TokenExchange,
}

impl EnvoyGrant {
    /// How it is written.
    pub fn name(self) -> &'static str {
        let mut choices = Self::CHOICES.iter();
        let of = choices.find(|(_, grant)| *grant == self);
        of.map_or("", |(name, _)| name)
    }
}

impl Choice for EnvoyGrant {
    const CHOICES: &[(&str, Self)] = &[
        ("client-credentials", Self::ClientCredentials),
        ("on-behalf-of", Self::OnBehalfOf),
        ("token-exchange", Self::TokenExchange),
    ];
}

object! {
    /// What a token exchange sends besides the caller's token (RFC 8693 section 2.1).
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct EnvoyTokenExchangeFile {
        /// `subject_token_type`: what callers bring; `urn:ietf:params:oauth:token-type:access_token` if left out.
        pub subject_token_type: Option<String> = optional_text,
        /// `audience`, as often as given: the names of the services that the token is for.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub audience: Vec<String> = texts,
        /// `resource`, as often as given: their URIs.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub resource: Vec<String> = texts,
        /// `requested_token_type`.
        pub requested_token_type: Option<String> = optional_text,
    }
}

object! {
    /// The requests that a rule is for: all that is given must fit.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct EnvoyMatchFile {
        /// A text in the metadata of the request's route.
        pub route_metadata: Option<EnvoyMetadataFile> = optional_object,
        /// The cluster that the request goes to.
        pub cluster: Option<String> = optional_text,
        /// The request's host, or `*.` and a domain for every host below it.
        pub host: Option<String> = optional_text,
        /// What the request's path begins with.
        pub path_prefix: Option<String> = optional_text,
    }
}

object! {
    /// A text in the metadata of a route.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct EnvoyMetadataFile {
        /// The name under `filter_metadata`.
        pub filter: String = text,
        /// The field of it.
        pub key: String = text,
        /// What the field must be.
        pub value: String = text,
    }
}

#[cfg(feature = "schema")]
fn yes() -> bool {
    true
}
