//! Gets one token with a certificate, by the Azure SDK for Rust: `azure-identity-certificate SCOPE FILE --password PASSWORD`.
//! Client, tenant and authority come from the environment. Prints nothing of the token.

use std::error::Error;
use std::sync::Arc;

use azure_core::credentials::{SecretBytes, TokenCredential as _};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{ClientCertificateCredential, ClientCertificateCredentialOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [scope, file, flag, password] = given.as_slice() else {
        return Err("usage: azure-identity-certificate SCOPE FILE --password PASSWORD".into());
    };
    if flag != "--password" {
        return Err(format!("{flag} is not known here").into());
    }
    let authorities = std::fs::read(std::env::var("SSL_CERT_FILE")?)?;
    let mut client = reqwest::Client::builder().no_proxy();
    for authority in reqwest::Certificate::from_pem_bundle(&authorities)? {
        client = client.add_root_certificate(authority);
    }
    let options = ClientCertificateCredentialOptions {
        client_options: ClientOptions {
            transport: Some(Transport::new(Arc::new(client.build()?))),
            ..ClientOptions::default()
        },
        password: Some(password.clone().into()),
    };
    let credential = ClientCertificateCredential::new(
        std::env::var("AZURE_TENANT_ID")?,
        std::env::var("AZURE_CLIENT_ID")?,
        SecretBytes::new(std::fs::read(file)?),
        Some(options),
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(credential.get_token(&[scope], None))?;
    Ok(())
}
