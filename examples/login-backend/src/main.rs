//! A back end that signs users in, and calls another API on their behalf: see README.md.

mod backend;
mod sessions;

use anyhow::Context as _;
use edgepass::Builder;

use crate::backend::{Backend, Settings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let settings = Settings {
        public_url: variable("PUBLIC_URL")?,
        own_scope: variable("OWN_SCOPE")?,
        downstream_scope: std::env::var("DOWNSTREAM_SCOPE")
            .unwrap_or_else(|_| "https://graph.microsoft.com/.default".to_owned()),
    };
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    // AZURE_TENANT_ID and the like, or the configuration that EDGEPASS_CONFIG names
    let provider = Builder::from_process().build().await?;
    let backend = Backend::new(provider, settings)?;
    let listener = tokio::net::TcpListener::bind(&address)
        .await
        .with_context(|| format!("cannot listen at {address}"))?;
    println!("listening at http://{}", listener.local_addr()?);
    axum::serve(listener, backend.router()).await?;
    Ok(())
}
