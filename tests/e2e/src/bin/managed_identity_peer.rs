//! Gets one token of a managed identity with the Azure SDK for Rust, at the platform that the environment names. The
//! argument is that of `tests/peers/managed_identity_sdks.py`, and so is what is printed. The SDK knows one address of the
//! metadata service, so `EDGEPASS_PEER_PROXY` may name a proxy that stands in for it.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use azure_core::credentials::TokenCredential as _;
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

fn main() -> Result<()> {
    let asked: Value = serde_json::from_str(&std::env::args().nth(1).context("no argument")?)?;
    let mut client = reqwest::Client::builder().no_proxy();
    if let Ok(proxy) = std::env::var("EDGEPASS_PEER_PROXY") {
        client = client.proxy(reqwest::Proxy::http(proxy)?);
    }
    let field = |name: &str| asked.get(name).filter(|value| !value.is_null());
    let id = |name: &str| Some(field("selector")?.get(name)?.as_str()?.to_owned());
    let user_assigned_id = id("client_id")
        .map(UserAssignedId::ClientId)
        .or_else(|| id("object_id").map(UserAssignedId::ObjectId))
        .or_else(|| id("resource_id").map(UserAssignedId::ResourceId));
    if field("exchange").is_some() {
        bail!("there is no exchange here");
    }
    let credential = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id,
        client_options: ClientOptions {
            transport: Some(Transport::new(Arc::new(client.build()?))),
            ..ClientOptions::default()
        },
    }))?;
    let resource = field("resource")
        .and_then(Value::as_str)
        .context("no resource")?;
    let scope = format!("{}/.default", resource);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let token = runtime.block_on(credential.get_token(&[&scope], None))?;
    let payload = token.token.secret().split('.').nth(1).context("no JWT")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    println!(
        "{}",
        json!({ "oid": claims.get("oid"), "aud": claims.get("aud") })
    );
    Ok(())
}
