//! Microsoft.Identity.Web's settings and what is made of them.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

mod api;
mod client;
mod credentials;
mod key_vault;
mod layers;
mod mistakes;
mod slips;

use std::path::Path;

use edgepass_core::Environment;
use edgepass_settings::{File, Imported, appsettings};
use serde_json::{Value, json};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

const CLIENT: &str = "66666666-7777-8888-9999-000000000000";

fn file<'a>(text: &'a str, name: &'a str) -> File<'a> {
    File {
        text,
        name,
        folder: Path::new("/app"),
    }
}

fn read(
    text: &str,
    section: Option<&str>,
    api: Option<&str>,
    environment: &[(&str, &str)],
) -> Result<Imported, String> {
    let file = file(text, "appsettings.json");
    let environment = Environment::from_pairs(environment.iter().copied());
    let imported = appsettings::import(&file, None, section, api, &environment);
    imported.map_err(|error| error.to_string())
}

/// With a file over it.
fn read_both(text: &str, over: &str, environment: &[(&str, &str)]) -> Result<Imported, String> {
    let over = file(over, "appsettings.Production.json");
    let file = file(text, "appsettings.json");
    let environment = Environment::from_pairs(environment.iter().copied());
    let imported = appsettings::import(&file, Some(&over), None, None, &environment);
    imported.map_err(|error| error.to_string())
}

fn document(imported: &Imported) -> Value {
    serde_json::from_str(&imported.document).unwrap()
}

/// A section of a client with these settings besides.
fn section(more: &Value) -> Value {
    let mut section = json!({
        "Instance": "https://login.microsoftonline.com/",
        "TenantId": TENANT,
        "ClientId": CLIENT,
    });
    for (name, value) in more.as_object().unwrap() {
        section[name] = value.clone();
    }
    json!({ "AzureAd": section })
}

/// The one identity of what is made of settings.
fn identity(settings: &Value) -> (Value, Imported) {
    let imported = read(&settings.to_string(), None, None, &[]).unwrap();
    let document = document(&imported);
    (document["identities"]["AzureAd"].clone(), imported)
}
