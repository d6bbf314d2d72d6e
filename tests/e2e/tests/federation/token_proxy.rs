//! The token proxy of AKS identity bindings.

use anyhow::{Context as _, Result, ensure};
use edgepass::{Environment, ErrorClass, Provider};
use edgepass_e2e::{Command, GRAPH, Lab, peers_python, peers_script};
use edgepass_emulator::Emulator;

use crate::{forced, graph};

const CA_FILE: &str = "AZURE_KUBERNETES_CA_FILE";
const CA_DATA: &str = "AZURE_KUBERNETES_CA_DATA";
const SNI_NAME: &str = "AZURE_KUBERNETES_SNI_NAME";

fn lab(test: &str) -> Result<Lab> {
    Lab::of(test, Emulator::builder().token_proxy())
}

fn ca(lab: &Lab) -> Result<String> {
    lab.emulator.token_proxy_ca_pem().context("no proxy")
}

/// The variables of a pod with an identity binding.
fn pod(lab: &Lab, more: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let mut variables = lab.emulator.env();
    variables.extend(lab.emulator.token_proxy_variables());
    variables.extend(more.iter().cloned());
    variables
}

/// A host whose own authorities know the emulator and not the proxy.
async fn provider(lab: &Lab, variables: Vec<(&'static str, String)>) -> Result<Provider> {
    let builder = Provider::builder()
        .environment(Environment::from_pairs(variables))
        .ca_file(lab.files.ca_file());
    Ok(builder.build().await?)
}

/// Every request went to the proxy.
fn proxied(lab: &Lab) -> Result<usize> {
    let url = lab.emulator.token_proxy_variables();
    let (_, url) = url.first().context("no proxy")?;
    let host = url.trim_start_matches("https://").split('/').next();
    let path = format!("/bindings/{}/oauth2/v2.0/token", lab.emulator.tenant());
    let journal = lab.emulator.journal();
    for entry in &journal {
        ensure!(Some(entry.host.as_str()) == host, "{entry:?}");
        ensure!(entry.path == path, "{entry:?}");
    }
    Ok(journal.len())
}

#[tokio::test]
async fn the_proxy_is_asked_and_the_authority_never() -> Result<()> {
    let lab = lab("federation_proxy")?;
    let file = lab.write("ca.crt", ca(&lab)?)?;
    for variable in [(CA_FILE, file.display().to_string()), (CA_DATA, ca(&lab)?)] {
        lab.emulator.clear_journal();
        let provider = provider(&lab, pod(&lab, &[variable])).await?;
        lab.issued(&provider.get_token(&graph()).await?);
        lab.issued(&provider.get_token(&forced()).await?);
        assert_eq!(proxied(&lab)?, 2);
    }
    Ok(())
}

/// The proxy's authorities are alone for it, and nobody else's.
#[tokio::test]
async fn its_authority_takes_the_place_of_all_others() -> Result<()> {
    let lab = lab("federation_proxy_authorities")?;
    let refused = async |variables, expected: &str| -> Result<()> {
        let provider = provider(&lab, variables).await?;
        let error = provider.get_token(&graph()).await.err();
        let error = error.with_context(|| format!("a token in place of: {expected}"))?;
        assert!(error.to_string().contains(expected), "{error}");
        let hint = error.detail().hint.as_deref().unwrap_or_default();
        assert!(hint.contains("AZURE_KUBERNETES_"), "{error:#}");
        assert!(lab.emulator.journal().is_empty(), "{expected}");
        Ok(())
    };
    // those of the host do not vouch for it
    refused(pod(&lab, &[]), "is not trusted").await?;
    let others = (CA_DATA, lab.emulator.ca_pem());
    refused(pod(&lab, &[others]), "is not trusted").await?;
    // a certificate for that name alone, and none without it
    let mut unnamed = pod(&lab, &[(CA_DATA, ca(&lab)?)]);
    unnamed.retain(|(name, _)| *name != SNI_NAME);
    refused(unnamed, "the TLS handshake with").await?;
    refused(
        pod(&lab, &[(CA_FILE, "/nowhere/ca.crt".to_owned())]),
        "/nowhere/ca.crt: there is no such file",
    )
    .await?;
    let empty = lab.write("empty.crt", "")?;
    refused(
        pod(&lab, &[(CA_FILE, empty.display().to_string())]),
        "there is no certificate in it",
    )
    .await
}

/// The cluster rotates its authority: the file is read anew, and while it is empty the last good one serves on.
#[tokio::test]
async fn a_new_authority_is_seen_in_its_file() -> Result<()> {
    let lab = lab("federation_proxy_rotation")?;
    let name = "rotating.crt";
    let file = lab.write(name, ca(&lab)?)?.display().to_string();
    let provider = provider(&lab, pod(&lab, &[(CA_FILE, file)])).await?;
    lab.issued(&provider.get_token(&forced()).await?);
    let first = lab.emulator.journal().last().map(|entry| entry.connection);

    lab.write(name, "")?;
    lab.issued(&provider.get_token(&forced()).await?);

    lab.emulator.rotate_token_proxy()?;
    lab.write(name, ca(&lab)?)?;
    lab.issued(&provider.get_token(&forced()).await?);
    let last = lab.emulator.journal().last().map(|entry| entry.connection);
    assert_ne!(first, last, "connections end with their authority");
    assert_eq!(proxied(&lab)?, 3);
    Ok(())
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_before_anything_is_sent() -> Result<()> {
    let lab = lab("federation_proxy_settings")?;
    let both = [(CA_DATA, ca(&lab)?), (CA_FILE, "/ca.crt".to_owned())];
    let mut lonely = pod(&lab, &[(CA_DATA, ca(&lab)?)]);
    lonely.retain(|(name, _)| *name != "AZURE_KUBERNETES_TOKEN_PROXY");
    for (variables, expected) in [
        (
            pod(&lab, &both),
            "AZURE_KUBERNETES_CA_DATA: is set, and so is AZURE_KUBERNETES_CA_FILE",
        ),
        (
            lonely,
            "is set for a token proxy, and AZURE_KUBERNETES_TOKEN_PROXY is not",
        ),
        (
            pod(&lab, &[(SNI_NAME, "127.0.0.1".to_owned())]),
            "AZURE_KUBERNETES_SNI_NAME: is not a DNS name",
        ),
        (
            pod(&lab, &[(CA_DATA, "/ca.crt".to_owned())]),
            "AZURE_KUBERNETES_CA_DATA: has no certificate in it",
        ),
    ] {
        let error = provider(&lab, variables).await.err();
        let error = error.with_context(|| format!("a provider in place of: {expected}"))?;
        assert!(error.to_string().contains(expected), "{error}");
    }
    Ok(())
}

/// The SDK for Python, which has to be told (`enable_azure_proxy`), and edgepass, which has not.
#[tokio::test]
async fn the_sdk_for_python_posts_the_same() -> Result<()> {
    let lab = lab("federation_proxy_python")?;
    let file = lab.write("ca.crt", ca(&lab)?)?.display().to_string();
    let provider = provider(&lab, pod(&lab, &[(CA_FILE, file.clone())])).await?;
    let ours = provider.get_token(&graph()).await?;
    lab.issued(&ours);
    let script = peers_script("azure_identity_token.py")?;
    let mut command = Command::other(&lab, &peers_python()?)
        .arg(script.display().to_string())
        .arg(GRAPH)
        .arg("--azure-proxy")
        .env(CA_FILE, file);
    for (name, value) in lab.emulator.token_proxy_variables() {
        command = command.env(name, value);
    }
    let ran = command.run()?;
    ensure!(
        ran.code == Some(0),
        "azure-identity for Python: {}",
        ran.stderr
    );
    assert_eq!(proxied(&lab)?, 2);
    let [one, other] = <[_; 2]>::try_from(lab.bodies())
        .map_err(|bodies| anyhow::anyhow!("{} requests", bodies.len()))?;
    assert_eq!(one, other, "Python's SDK posts other bytes");
    let requests = lab.emulator.token_requests();
    assert_eq!(requests[0].method_of_proof, requests[1].method_of_proof);
    Ok(())
}

#[tokio::test]
async fn a_refusal_of_the_proxy_is_told_by_its_name() -> Result<()> {
    let lab = lab("federation_proxy_refused")?;
    let provider = provider(&lab, pod(&lab, &[(CA_DATA, ca(&lab)?)])).await?;
    let stranger = edgepass_emulator::Mint::new().foreign_key();
    lab.rotate_token(&stranger)?;
    let error = provider
        .get_token(&graph())
        .await
        .err()
        .context("a token")?;
    assert_eq!(error.class(), ErrorClass::CredentialRejected, "{error}");
    assert!(error.to_string().starts_with("127.0.0.1:"), "{error}");
    proxied(&lab)?;
    Ok(())
}
