//! The part of the configuration that the Envoy filter reads. It is parsed with the rest, so that one document serves
//! every driver; only the filter knows what its texts must look like.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::file::unique_names;

/// Settings of the Envoy filter alone.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct EnvoyFile {
    /// Envoy's cluster for each host of a token endpoint, as `host` or `host:port`. TLS, certificate validation and
    /// the client certificate of bound requests are the cluster's.
    #[serde(default, deserialize_with = "unique_names")]
    pub token_clusters: BTreeMap<String, String>,
    /// Where token files are read.
    pub files: Option<EnvoyFilesFile>,
    /// How long a request waits for the first token, milliseconds.
    pub request_deadline_ms: Option<u64>,
    /// Send a request without a token rather than answer 503 when there is none in time.
    #[serde(default)]
    pub fail_open: bool,
    /// What becomes of the caller's own `authorization` header: `strip`, or `keep-as:` and the name of another header.
    pub inbound_authorization: Option<String>,
    /// Who gets the tokens.
    #[serde(default)]
    pub sharing: EnvoySharing,
    /// Whether a response with status 401 makes the token that was refused be replaced.
    #[serde(default = "yes")]
    pub refresh_on_401: bool,
    /// Which requests get which token; the first rule that fits counts. Without any, every request gets a token of
    /// the default identity.
    #[serde(default)]
    pub rules: Vec<EnvoyRuleFile>,
}

/// Where token files are read: Envoy serves them to the filter, which has no file system.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct EnvoyFilesFile {
    /// The cluster of the listener that serves them.
    pub cluster: String,
    /// The beginning of a file's path that is not part of the request's.
    #[serde(default)]
    pub strip_prefix: String,
    /// What stands before the rest in the request's path.
    #[serde(default)]
    pub add_prefix: String,
}

/// Who gets the tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EnvoySharing {
    /// One worker of the process, for all: they are passed on in Envoy's shared data, which every module with the
    /// same `vm_id` can read.
    #[default]
    PerProcess,
    /// Each worker its own: nothing is shared, and each makes its own requests.
    PerVm,
}

/// Which requests get which token.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct EnvoyRuleFile {
    /// The requests it is for; all of them if left out.
    #[serde(default, rename = "match")]
    pub matching: EnvoyMatchFile,
    /// The identity; the default one if left out.
    pub identity: Option<String>,
    /// The scopes; the identity's if left out.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The request header that carries the token; `authorization` if left out.
    pub header: Option<String>,
    /// Its value, with `{token}` where the token goes; `Bearer {token}` if left out.
    pub format: Option<String>,
    /// Leave these requests as they are.
    #[serde(default)]
    pub disabled: bool,
}

/// The requests that a rule is for: all that is given must fit.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct EnvoyMatchFile {
    /// A text in the metadata of the request's route.
    pub route_metadata: Option<EnvoyMetadataFile>,
    /// The cluster that the request goes to.
    pub cluster: Option<String>,
    /// The request's host, or `*.` and a domain for every host below it.
    pub host: Option<String>,
    /// What the request's path begins with.
    pub path_prefix: Option<String>,
}

/// A text in the metadata of a route.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct EnvoyMetadataFile {
    /// The name under `filter_metadata`.
    pub filter: String,
    /// The field of it.
    pub key: String,
    /// What the field must be.
    pub value: String,
}

fn yes() -> bool {
    true
}
