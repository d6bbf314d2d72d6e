//! What is compared, and how each is configured.

use anyhow::{Context as _, Result};
use edgepass_envoy_tests::Setup;
use serde_json::{Value, json};
use std::path::Path;

use crate::world::{SCOPE, TOKEN_CLUSTER};

/// A way to put a token on requests, or none.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Variant {
    /// No filter.
    Plain,
    /// The same once more: how far two that are equal differ.
    PlainAgain,
    /// `request_headers_to_add`.
    HeadersToAdd,
    /// The filter `credential_injector` with a secret that is the token.
    Generic,
    /// The same filter with a client secret and a token endpoint.
    Oauth2,
    /// A line of Lua.
    Lua,
    /// edgepass in the listener's filter chain.
    Edgepass,
    /// edgepass in the upstream's.
    EdgepassUpstream,
}

impl Variant {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 8] = [
        Self::Plain,
        Self::PlainAgain,
        Self::HeadersToAdd,
        Self::Generic,
        Self::Oauth2,
        Self::Lua,
        Self::Edgepass,
        Self::EdgepassUpstream,
    ];

    /// As the table has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "no filter",
            Self::PlainAgain => "no filter again (control)",
            Self::HeadersToAdd => "`request_headers_to_add`, the token fixed",
            Self::Generic => "`credential_injector` generic, the token fixed",
            Self::Oauth2 => "`credential_injector` oauth2, client secret",
            Self::Lua => "Lua `headers():replace`, the token fixed",
            Self::Edgepass => "**edgepass**",
            Self::EdgepassUpstream => "**edgepass** as upstream filter",
        }
    }

    /// Whether the upstream must get a token from it.
    pub(crate) fn injects(self) -> bool {
        !matches!(self, Self::Plain | Self::PlainAgain)
    }

    /// Whether the token is one that was given to it.
    pub(crate) fn is_fixed(self) -> bool {
        matches!(self, Self::HeadersToAdd | Self::Generic | Self::Lua)
    }

    /// Envoy's configuration: that of the filter with something else in its place, so that the rest is the same.
    pub(crate) fn config(
        self,
        setup: &Setup,
        dir: &Path,
        wasm: &Path,
        native: &Native<'_>,
    ) -> Result<String> {
        let setup = Setup {
            as_upstream_filter: self == Self::EdgepassUpstream,
            ..setup.clone()
        };
        let text = setup.write(dir, wasm);
        let mut config: Value = serde_json::from_str(&text)?;
        if matches!(self, Self::Edgepass | Self::EdgepassUpstream) {
            return Ok(text);
        }
        let manager = config
            .pointer_mut(MANAGER)
            .context("the listener `main` is not the first")?;
        let filters = manager
            .pointer_mut("/http_filters")
            .and_then(Value::as_array_mut)
            .context("no filters")?;
        filters.remove(0);
        match self {
            Self::HeadersToAdd => {
                let host = manager
                    .pointer_mut("/route_config/virtual_hosts/0")
                    .and_then(Value::as_object_mut)
                    .context("no virtual host")?;
                host.insert(
                    "request_headers_to_add".to_owned(),
                    json!([{"header": {"key": "authorization", "value": native.header},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]),
                );
            }
            Self::Generic => filters.insert(0, native.generic()),
            Self::Oauth2 => filters.insert(0, native.oauth2()),
            Self::Lua => filters.insert(0, native.lua()),
            _ => {}
        }
        let resources = config
            .pointer_mut("/static_resources")
            .and_then(Value::as_object_mut)
            .context("no static resources")?;
        resources.insert("secrets".to_owned(), native.secrets());
        Ok(config.to_string())
    }
}

/// What Envoy's own filters are given.
pub(crate) struct Native<'a> {
    /// The header's value with the token.
    pub(crate) header: &'a str,
    pub(crate) token_endpoint: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: &'a str,
}

impl Native<'_> {
    fn secrets(&self) -> Value {
        let secret = |name: &str, text: &str| json!({"name": name, "generic_secret": {"secret": {"inline_string": text}}});
        json!([
            secret(TOKEN, self.header),
            secret(CLIENT_SECRET, self.client_secret)
        ])
    }

    fn generic(&self) -> Value {
        injector(&json!({
            "name": "envoy.http.injected_credentials.generic",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                "credential": {"name": TOKEN}}}))
    }

    fn oauth2(&self) -> Value {
        injector(&json!({
            "name": "envoy.http.injected_credentials.oauth2",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2",
                "token_endpoint": {"uri": self.token_endpoint, "cluster": TOKEN_CLUSTER, "timeout": "5s"},
                "scopes": [SCOPE],
                "client_credentials": {
                    "client_id": self.client_id,
                    "client_secret": {"name": CLIENT_SECRET},
                    "auth_type": "URL_ENCODED_BODY"}}}))
    }

    fn lua(&self) -> Value {
        let header = self.header;
        json!({"name": "lua", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": format!(
                "function envoy_on_request(h) h:headers():replace(\"authorization\", \"{header}\") end")}}})
    }
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Names of secrets.
const TOKEN: &str = "token";
const CLIENT_SECRET: &str = "client_secret";

/// As the filter does, it takes the caller's own credential off.
fn injector(credential: &Value) -> Value {
    json!({"name": "credential_injector", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": true,
        "credential": credential}})
}
