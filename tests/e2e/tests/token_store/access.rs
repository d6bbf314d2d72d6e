//! Who may ask a store: passwords, TLS, users with few commands.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use edgepass::{Environment, TokenSource};
use edgepass_e2e::{Lab, RedisServer as Store, artifact, free_port, graph, warnings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use super::{KEY_ONE, PASSWORD, counters, instance, section};

/// A store that speaks TLS alone.
pub(super) async fn with_tls(files: &TlsFiles) -> Result<Store> {
    let port = free_port()?;
    let path = |path: &Path| path.display().to_string();
    let options = [
        ("--port", "0".to_owned()),
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", path(&files.certificate)),
        ("--tls-key-file", path(&files.key)),
        ("--tls-ca-cert-file", path(&files.authority)),
        ("--tls-auth-clients", "no".to_owned()),
    ];
    let options = options
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
    Store::at(port, options).await
}

/// Who is not let in gives a token all the same, and says why without the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_needed_and_a_wrong_one_fails_no_request() -> Result<()> {
    let lab = Lab::new("token_store_password")?;
    let store = Store::start(&["--requirepass", PASSWORD]).await?;
    lab.evidence.secret("password of the store", PASSWORD);
    let mut section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let wrong = lab.write("wrong", "hunter3-of-nobody\n")?;
    lab.evidence
        .secret("password of the store", "hunter3-of-nobody");
    let right = lab.write("right", format!("{PASSWORD}\n"))?;
    let ask = async |section: &Value| -> Result<TokenSource> {
        let variables = Environment::from_pairs([("STORE_PASSWORD", PASSWORD)]);
        let provider = instance(&lab, section)
            .environment(variables)
            .build()
            .await?;
        Ok(provider.get_token(&graph()).await?.source)
    };
    for password_file in [None, Some(wrong)] {
        section["password_file"] = json!(password_file);
        assert_eq!(ask(&section).await?, TokenSource::Exchange);
        assert_eq!(ask(&section).await?, TokenSource::Exchange);
    }
    assert!(warnings("refused username or password").len() >= 2);
    section["password_file"] = json!(right);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    assert_eq!(ask(&section).await?, TokenSource::Cache);
    section["password_file"] = Value::Null;
    section["password_env"] = json!("STORE_PASSWORD");
    section["username"] = json!("default");
    assert_eq!(ask(&section).await?, TokenSource::Cache);
    section["database"] = json!(3);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    section["database"] = json!(0);
    section["key_prefix"] = json!("other:fleet");
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    Ok(())
}

/// What a store with TLS needs.
pub(super) struct TlsFiles {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl TlsFiles {
    pub(super) fn new(lab: &Lab) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(["localhost".to_owned()])?;
        let leaf = leaf.signed_by(&key, &authority)?;
        Ok(Self {
            authority: lab.write("store-ca.pem", authority.pem())?,
            certificate: lab.write("store.pem", leaf.pem())?,
            key: lab.write("store-key.pem", key.serialize_pem())?,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_to_a_store_that_its_authority_vouches_for() -> Result<()> {
    let lab = Lab::new("token_store_tls")?;
    let files = TlsFiles::new(&lab)?;
    let store = with_tls(&files).await?;
    let url = format!("rediss://localhost:{}", store.port);
    let mut section = section(&lab, &url, "keys", &[KEY_ONE])?;
    let ask = async |section: &Value| -> Result<TokenSource> {
        let provider = instance(&lab, section).build().await?;
        Ok(provider.get_token(&graph()).await?.source)
    };
    // an authority that nobody here trusts
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    section["ca_file"] = json!(files.authority);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    assert_eq!(ask(&section).await?, TokenSource::Cache);
    // another name than the certificate's
    section["url"] = json!(format!("rediss://127.0.0.1:{}", store.port));
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    Ok(())
}

/// What the documentation says that the store's user may do is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_three_commands_is_enough() -> Result<()> {
    let lab = Lab::new("token_store_user")?;
    let store = Store::start(&[]).await?;
    lab.evidence.secret("password of the store", PASSWORD);
    let page = fs::read_to_string(artifact("docs/shared-cache.md")?)?;
    let rules = page
        .split_once("ACL SETUSER edgepass on >PASSWORD ")
        .and_then(|(_, rest)| rest.split_once('`'));
    let (rules, _) = rules.context("the page shows the user's rules")?;
    let password = format!(">{PASSWORD}");
    let user = ["ACL", "SETUSER", "edgepass", "on", &password];
    let user: Vec<&str> = user.into_iter().chain(rules.split(' ')).collect();
    store.ask(&user)?;
    let mut section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    section["username"] = json!("edgepass");
    section["password_file"] = json!(lab.write("password", PASSWORD)?);
    for source in [TokenSource::Exchange, TokenSource::Cache] {
        let provider = instance(&lab, &section).build().await?;
        assert_eq!(provider.get_token(&graph()).await?.source, source);
        assert_eq!(counters(&provider).await?.store_failures, 0);
    }
    Ok(())
}
