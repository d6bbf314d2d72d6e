//! The environment as a value: the driver hands it in, so that the engine never asks the platform for it.

use std::fmt;

use crate::{Secret, Table};

/// Name of the identity, and of its certificate, that the environment alone describes.
pub const ENVIRONMENT_IDENTITY: &str = "default";

/// The variables that name a client.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct ClientVariables {
    pub(crate) client_id: &'static str,
    pub(crate) tenant_id: &'static str,
}

impl ClientVariables {
    /// Those of the Azure SDKs.
    pub(crate) const AZURE: &'static Self = &Self {
        client_id: Environment::AZURE_CLIENT_ID,
        tenant_id: Environment::AZURE_TENANT_ID,
    };
}

/// Environment variables by name. Any of them may hold a secret, so `Debug` prints the names alone.
#[derive(Clone, Default)]
pub struct Environment(Table<String, Secret>);

impl Environment {
    /// Entra tenant, set by the Azure workload identity webhook.
    pub const AZURE_TENANT_ID: &'static str = "AZURE_TENANT_ID";
    /// Application (client) ID, set by the webhook.
    pub const AZURE_CLIENT_ID: &'static str = "AZURE_CLIENT_ID";
    /// Path of the projected service-account token, set by the webhook.
    pub const AZURE_FEDERATED_TOKEN_FILE: &'static str = "AZURE_FEDERATED_TOKEN_FILE";
    /// `https://host` of the Entra cloud, set by the webhook.
    pub const AZURE_AUTHORITY_HOST: &'static str = "AZURE_AUTHORITY_HOST";
    /// URL of the token proxy of AKS identity bindings, set by AKS's webhook.
    pub const AZURE_KUBERNETES_TOKEN_PROXY: &'static str = "AZURE_KUBERNETES_TOKEN_PROXY";
    /// The name by which the token proxy is asked for in the TLS handshake, set by AKS's webhook.
    pub const AZURE_KUBERNETES_SNI_NAME: &'static str = "AZURE_KUBERNETES_SNI_NAME";
    /// PEM file of the certification authority of the token proxy, set by AKS's webhook.
    pub const AZURE_KUBERNETES_CA_FILE: &'static str = "AZURE_KUBERNETES_CA_FILE";
    /// The same, PEM in place of a file.
    pub const AZURE_KUBERNETES_CA_DATA: &'static str = "AZURE_KUBERNETES_CA_DATA";
    /// A client secret, as the Azure SDKs' environment credential names it.
    pub const AZURE_CLIENT_SECRET: &'static str = "AZURE_CLIENT_SECRET";
    /// PEM or PKCS#12 file with a certificate chain and its key, as the Azure SDKs' environment credential names it.
    pub const AZURE_CLIENT_CERTIFICATE_PATH: &'static str = "AZURE_CLIENT_CERTIFICATE_PATH";
    /// The password of that file's key, or of the file itself if it is PKCS#12. It stays in the host.
    pub const AZURE_CLIENT_CERTIFICATE_PASSWORD: &'static str = "AZURE_CLIENT_CERTIFICATE_PASSWORD";
    /// Whether the assertion shows the certificate's chain (`x5c`): `true` or `1`, `false` or `0`.
    pub const AZURE_CLIENT_SEND_CERTIFICATE_CHAIN: &'static str =
        "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN";
    /// Tenants besides `AZURE_TENANT_ID` that a request may name, with `;` between them; `*` for any.
    pub const AZURE_ADDITIONALLY_ALLOWED_TENANTS: &'static str =
        "AZURE_ADDITIONALLY_ALLOWED_TENANTS";
    /// The region whose servers are asked, as MSAL's environment has it.
    pub const AZURE_REGIONAL_AUTHORITY_NAME: &'static str = "AZURE_REGIONAL_AUTHORITY_NAME";
    /// Which credentials of the environment count: `prod` for all, or the name of one as the Azure SDKs have it.
    pub const AZURE_TOKEN_CREDENTIALS: &'static str = "AZURE_TOKEN_CREDENTIALS";
    /// The path of the configuration. A component has no files, and takes none.
    pub const EDGEPASS_CONFIG: &'static str = "EDGEPASS_CONFIG";
    /// The configuration itself, JSON: how a host gives it to a component.
    pub const EDGEPASS_CONFIG_JSON: &'static str = "EDGEPASS_CONFIG_JSON";
    /// Set by a host to `host` where nobody but the host calls the component: then the bounds of `consumers` do not
    /// apply, and `cached-token` gives nothing while `get-token` has more to do than to serve the token (a refresh that
    /// is due). No setting of a user's: a host hands on no variable of this name.
    pub const EDGEPASS_CALLER: &'static str = "EDGEPASS_CALLER";
    /// Set by a host that waits no longer than so many milliseconds for a token: the credentials of a list share that time.
    /// No setting of a user's either.
    pub const EDGEPASS_TOKEN_TIMEOUT_MS: &'static str = "EDGEPASS_TOKEN_TIMEOUT_MS";
    /// `host[:port],…` trusted as token endpoints besides the built-in clouds and `authority_hosts`.
    pub const EDGEPASS_AUTHORITY_HOSTS: &'static str = "EDGEPASS_AUTHORITY_HOSTS";

    /// An environment of these variables. Of one that comes twice the last counts.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), Secret::new(value)))
                .collect(),
        )
    }

    /// The variable's value. Empty and blank ones count as unset: that is how a deployment template leaves one out.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(Secret::expose)
            .filter(|value| !value.trim().is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// All variables that are set, each with its value: for settings whose names are not known beforehand.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.0.keys().map(String::as_str);
        names.filter_map(|name| Some((name, self.get(name)?)))
    }

    /// The same with these variables besides, in the place of those of the same name.
    #[must_use]
    pub fn with(mut self, more: impl IntoIterator<Item = (String, Secret)>) -> Self {
        for (name, value) in more {
            self.0.insert(name, value);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_is_unset() {
        let environment = Environment::from_pairs([("A", "x"), ("B", ""), ("C", " \n")]);
        assert_eq!(
            [
                environment.get("A"),
                environment.get("B"),
                environment.get("C"),
                environment.get("D")
            ],
            [Some("x"), None, None, None]
        );
    }

    #[test]
    fn debug_prints_names_only() {
        let environment = Environment::from_pairs([("AZURE_CLIENT_SECRET", "hunter2")]);
        assert_eq!(format!("{environment:?}"), "{\"AZURE_CLIENT_SECRET\"}");
    }
}
