//! python-social-auth's settings and what is made of them.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

mod backends;
mod mistakes;
mod modules;
mod unknown;
mod words;

use std::path::Path;

use edgepass_core::{Config, Environment};
use edgepass_settings::{File, Imported, social_auth};
use serde_json::Value;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

const CLIENT: &str = "66666666-7777-8888-9999-000000000000";

fn file(text: &str, name: &str, variables: &[(&str, &str)]) -> Result<Imported, String> {
    let file = File {
        text,
        name,
        folder: Path::new("/app"),
    };
    let environment = Environment::from_pairs(variables.iter().copied());
    social_auth::import(&file, &environment).map_err(|error| error.to_string())
}

fn variables(variables: &[(&str, &str)]) -> Result<Option<Imported>, String> {
    let environment = Environment::from_pairs(variables.iter().copied());
    social_auth::import_environment(&environment).map_err(|error| error.to_string())
}

fn identities(imported: &Imported) -> Value {
    let document: Value = serde_json::from_str(&imported.document).unwrap();
    document["identities"].clone()
}

/// Loads what was made, which the engine must take.
fn loaded(imported: &Imported, variables: &[(&str, &str)]) {
    let environment = Environment::from_pairs(variables.iter().copied());
    let environment = imported.environment(environment);
    let loaded = Config::load(Some(&imported.document), &environment);
    loaded.unwrap_or_else(|error| panic!("{error}: {}", *imported.document));
}

const OAUTH2: &str = "SOCIAL_AUTH_AZUREAD_OAUTH2_";

/// The value of a name in a module, as social-core would see it, told by the client that comes of it.
fn key(module: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let rest = format!("\n{OAUTH2}TENANT_ID = 'contoso.example'\n{OAUTH2}SECRET = 'x'\n");
    let imported = file(&format!("{module}{rest}"), "settings.py", variables)?;
    let client = &identities(&imported)["azuread-oauth2"]["client_id"];
    Ok(client.as_str().unwrap().to_owned())
}
