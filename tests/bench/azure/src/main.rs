//! The benchmark's client with the Azure SDK for Rust. See the library of `edgepass-bench` for what it is asked.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential as _;
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use edgepass_bench::{Client, SCOPE, serve};

/// The credential under test, and what others like it are made from.
struct Azure {
    /// One HTTP client for every credential: its connection stays open from one to the next.
    transport: Transport,
    credential: Arc<WorkloadIdentityCredential>,
}

impl Azure {
    fn new() -> Result<Self> {
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        // the same file that edgepass finds by this name; reqwest reads no such variable by itself, and without one
        // trusts what the system does
        if let Some(ca) = std::env::var_os("SSL_CERT_FILE") {
            let ca = PathBuf::from(ca);
            let pem =
                std::fs::read(&ca).with_context(|| format!("cannot read {}", ca.display()))?;
            http = http.tls_certs_only([reqwest::Certificate::from_pem(&pem)?]);
        }
        let http = http.build()?;
        let transport = Transport::new(Arc::new(http));
        let credential = credential(&transport)?;
        Ok(Self {
            transport,
            credential,
        })
    }
}

impl Client for Azure {
    type Fresh = Arc<WorkloadIdentityCredential>;

    async fn cached(&self) -> Result<usize> {
        Ok(self
            .credential
            .get_token(&[SCOPE], None)
            .await?
            .token
            .secret()
            .len())
    }

    fn inner(&self) -> Option<impl Future<Output = Result<usize>>> {
        None::<std::future::Ready<_>>
    }

    // there is no way to make a credential forget its token but to make another
    fn fresh(&self) -> Result<Self::Fresh> {
        credential(&self.transport)
    }

    async fn exchange(&self, fresh: Self::Fresh) -> Result<usize> {
        Ok(fresh.get_token(&[SCOPE], None).await?.token.secret().len())
    }
}

/// A credential with an empty cache. Tenant, client and token file come from the environment.
fn credential(transport: &Transport) -> Result<Arc<WorkloadIdentityCredential>> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host =
        std::env::var("AZURE_AUTHORITY_HOST").context("AZURE_AUTHORITY_HOST is not set")?;
    let client_options = ClientOptions {
        transport: Some(transport.clone()),
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        ..ClientOptions::default()
    };
    let options = WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options },
        ..WorkloadIdentityCredentialOptions::default()
    };
    Ok(WorkloadIdentityCredential::new(Some(options))?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    serve(&Azure::new()?).await
}
