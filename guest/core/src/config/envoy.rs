//! The part of the configuration that the Envoy filter reads. It is parsed with the rest, so that one document serves
//! every driver; only the filter knows what its texts must look like.

use super::parse::{Choice, Fields, Object};
use crate::Table;

/// Settings of the Envoy filter alone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct EnvoyFile {
    /// Envoy's cluster for each host of a token endpoint, as `host` or `host:port`. TLS, certificate validation and
    /// the client certificate of bound requests are the cluster's.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub token_clusters: Table<String, String>,
    /// Where token files are read.
    pub files: Option<EnvoyFilesFile>,
    /// How long a request waits for the first token, milliseconds.
    pub request_deadline_ms: Option<u64>,
    /// Send a request without a token rather than answer 503 when there is none in time.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub fail_open: bool,
    /// What becomes of the caller's own `authorization` header: `strip`, or `keep-as:` and the name of another header.
    pub inbound_authorization: Option<String>,
    /// Who gets the tokens.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub sharing: EnvoySharing,
    /// Whether a response with status 401 makes the token that was refused be replaced.
    #[cfg_attr(feature = "schema", schemars(default = "yes"))]
    pub refresh_on_401: bool,
    /// Which requests get which token; the first rule that fits counts. Without any, every request gets a token of
    /// the default identity.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub rules: Vec<EnvoyRuleFile>,
}

impl Object for EnvoyFile {
    const FIELDS: &[&str] = &[
        "token_clusters",
        "files",
        "request_deadline_ms",
        "fail_open",
        "inbound_authorization",
        "sharing",
        "refresh_on_401",
        "rules",
    ];

    fn read(fields: &mut Fields) -> Self {
        Self {
            token_clusters: fields.named_texts("token_clusters"),
            files: fields.optional_object("files"),
            request_deadline_ms: fields.optional_number("request_deadline_ms"),
            fail_open: fields.flag("fail_open", false),
            inbound_authorization: fields.optional_text("inbound_authorization"),
            sharing: fields.choice("sharing"),
            refresh_on_401: fields.flag("refresh_on_401", true),
            rules: fields.objects("rules"),
        }
    }
}

/// Where token files are read: Envoy serves them to the filter, which has no file system.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct EnvoyFilesFile {
    /// The cluster of the listener that serves them.
    pub cluster: String,
    /// The beginning of a file's path that is not part of the request's.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub strip_prefix: String,
    /// What stands before the rest in the request's path.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub add_prefix: String,
}

impl Object for EnvoyFilesFile {
    const FIELDS: &[&str] = &["cluster", "strip_prefix", "add_prefix"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            cluster: fields.text("cluster"),
            strip_prefix: fields.text_or_empty("strip_prefix"),
            add_prefix: fields.text_or_empty("add_prefix"),
        }
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

/// Which requests get which token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct EnvoyRuleFile {
    /// The requests it is for; all of them if left out.
    #[cfg_attr(feature = "schema", schemars(default, rename = "match"))]
    pub matching: EnvoyMatchFile,
    /// The identity; the default one if left out.
    pub identity: Option<String>,
    /// The scopes; the identity's if left out.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub scopes: Vec<String>,
    /// The request header that carries the token; `authorization` if left out.
    pub header: Option<String>,
    /// Its value, with `{token}` where the token goes; `Bearer {token}` if left out.
    pub format: Option<String>,
    /// Leave these requests as they are.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub disabled: bool,
}

impl Object for EnvoyRuleFile {
    const FIELDS: &[&str] = &[
        "match", "identity", "scopes", "header", "format", "disabled",
    ];

    fn read(fields: &mut Fields) -> Self {
        Self {
            matching: fields.object_or_default("match"),
            identity: fields.optional_text("identity"),
            scopes: fields.texts("scopes"),
            header: fields.optional_text("header"),
            format: fields.optional_text("format"),
            disabled: fields.flag("disabled", false),
        }
    }
}

/// The requests that a rule is for: all that is given must fit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
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

impl Object for EnvoyMatchFile {
    const FIELDS: &[&str] = &["route_metadata", "cluster", "host", "path_prefix"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            route_metadata: fields.optional_object("route_metadata"),
            cluster: fields.optional_text("cluster"),
            host: fields.optional_text("host"),
            path_prefix: fields.optional_text("path_prefix"),
        }
    }
}

/// A text in the metadata of a route.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct EnvoyMetadataFile {
    /// The name under `filter_metadata`.
    pub filter: String,
    /// The field of it.
    pub key: String,
    /// What the field must be.
    pub value: String,
}

impl Object for EnvoyMetadataFile {
    const FIELDS: &[&str] = &["filter", "key", "value"];

    fn read(fields: &mut Fields) -> Self {
        Self {
            filter: fields.text("filter"),
            key: fields.text("key"),
            value: fields.text("value"),
        }
    }
}

#[cfg(feature = "schema")]
fn yes() -> bool {
    true
}
