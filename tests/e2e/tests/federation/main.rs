//! Acceptance: assertions from other platforms and issuers, and the token proxy of AKS, through the real component.

mod environment;
mod executable;
mod oidc;
mod platforms;
mod spiffe;
mod token_proxy;
mod x509_svid;

use anyhow::{Context as _, Result};
use edgepass::{Environment, Provider};
use edgepass_e2e::{Lab, forced, graph, jwt};
use edgepass_emulator::App;
use serde_json::{Value, json};

/// The audience of token exchanges.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// An application that trusts somebody outside.
const TRUSTING: &str = "7c1d2e3f-0000-4000-8000-00000000000a";

/// An identity of the trusting application.
fn document(lab: &Lab, credential: &Value) -> Value {
    document_of(lab, TRUSTING, credential)
}

fn document_of(lab: &Lab, client_id: &str, credential: &Value) -> Value {
    json!({
        "authority_hosts": [format!("localhost:{}", lab.emulator.port())],
        "identities": { "app": {
            "tenant_id": lab.emulator.tenant(),
            "client_id": client_id,
            "authority_host": lab.emulator.authority(),
            "credential": credential,
        } },
    })
}

async fn provider(
    lab: &Lab,
    credential: &Value,
    variables: &[(&'static str, String)],
) -> Result<Provider> {
    let builder = lab
        .configured(&document(lab, credential))
        .environment(Environment::from_pairs(variables.iter().cloned()));
    Ok(builder.build().await?)
}

fn trust(lab: &Lab, issuer: &str, subject: &str) {
    let app = App::new(TRUSTING).federated(issuer, subject, EXCHANGE);
    lab.emulator.register_app(app);
}

fn claim(token: &str, name: &str) -> Result<Value> {
    let claims = jwt::claims(token)?;
    claims.get(name).cloned().context("no such claim")
}
