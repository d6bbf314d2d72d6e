//! The JSON Schema of the configuration, made from the types that read it.

use super::{Config, document};

impl Config {
    /// JSON Schema (draft 2020-12) of the configuration document.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(document::ConfigFile).to_value()
    }
}
