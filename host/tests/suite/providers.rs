//! Providers that use a test's emulator.

use edgepass::{Builder, Environment, Provider, TokenRequest};
use serde_json::Value;

use crate::support::{GRAPH, Lab};

impl Lab {
    /// With the federated token file, by the environment alone.
    pub(crate) fn federated(&self) -> Builder {
        Provider::builder()
            .environment(Environment::from_pairs(self.emulator.env()))
            .ca_file(self.files.ca_file())
    }

    /// With the configuration of [`Lab::config`].
    pub(crate) fn configured(&self, credential: &Value) -> Builder {
        Provider::builder()
            .config_json(self.config(credential).to_string())
            .ca_file(self.files.ca_file())
    }
}

pub(crate) fn graph() -> TokenRequest {
    TokenRequest::for_scopes([GRAPH])
}
