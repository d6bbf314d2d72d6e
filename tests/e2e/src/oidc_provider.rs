//! The certified `oidc-provider`, running with the clients that a test wants.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use edgepass::Provider;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

use crate::lab::{Lab, PATIENCE};
use crate::paths::{peers_node, peers_script};

/// How often it is started at most.
const STARTS: u32 = 3;

/// One server with its clients.
pub struct Idp {
    /// Its issuer.
    pub issuer: String,
    /// Host and port of the endpoints for mutual TLS.
    pub alias: String,
    /// The authority of its certificate, PEM.
    pub ca_pem: String,
    lines: Receiver<Value>,
    child: Child,
    // the server ends with it
    _stdin: ChildStdin,
}

impl Idp {
    /// One that checks certificates of clients with those authorities (PEM).
    pub fn start(lab: &Lab, authorities: &str, clients: &Value) -> Result<Self> {
        Self::start_with(
            lab,
            &json!({ "authorities": authorities, "clients": clients }),
        )
    }

    /// One with more of a configuration, which the script describes.
    ///
    /// Node.js was seen to start and say nothing for as long as a test waits: it is started again, because what it does
    /// before it listens is nothing that a test is about.
    pub fn start_with(lab: &Lab, more: &Value) -> Result<Self> {
        let mut started = Self::begin(lab, more);
        for _ in 1..STARTS {
            if started.is_err() {
                started = Self::begin(lab, more);
            }
        }
        started
    }

    fn begin(lab: &Lab, more: &Value) -> Result<Self> {
        let (ca, certificate, key) = server_certificate()?;
        let mut config = json!({
            "key": key,
            "certificate": certificate,
            "authorities": "",
            "clients": [],
        });
        if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
            config.extend(more.clone());
        }
        let config = lab.write("oidc-provider.json", config.to_string())?;
        let mut child = Command::new("node")
            .arg(peers_script("oidc_provider.mjs")?)
            .arg(peers_node()?)
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run node: install Node.js")?;
        let stdin = child.stdin.take().context("standard input")?;
        let stdout = BufReader::new(child.stdout.take().context("standard output")?);
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let told = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(told).is_err() {
                    break;
                }
            }
        });
        let mut idp = Self {
            issuer: String::new(),
            alias: String::new(),
            ca_pem: ca,
            lines,
            child,
            _stdin: stdin,
        };
        while idp.issuer.is_empty() {
            let told = idp.told_within(PATIENCE / STARTS)?;
            let issuer = told.get("issuer").and_then(Value::as_str);
            issuer.unwrap_or_default().clone_into(&mut idp.issuer);
            let alias = told.get("alias").and_then(Value::as_str);
            alias.unwrap_or_default().clone_into(&mut idp.alias);
        }
        Ok(idp)
    }

    /// The next thing that it says.
    pub fn told(&self) -> Result<Value> {
        self.told_within(PATIENCE)
    }

    fn told_within(&self, patience: Duration) -> Result<Value> {
        let told = self.lines.recv_timeout(patience);
        told.context("oidc-provider says nothing more; see its standard error")
    }

    /// Where tokens are got.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer)
    }

    /// A configuration with one identity, `app`, of one of its clients.
    #[must_use]
    pub fn config(&self, client_id: &str, credential: &Value, certificates: &Value) -> Value {
        let host = self.issuer.trim_start_matches("https://");
        json!({
            "authority_hosts": [host],
            "identities": { "app": {
                "client_id": client_id,
                "token_endpoint": self.token_endpoint(),
                "scopes": ["api"],
                "credential": credential,
            } },
            "certificates": certificates,
        })
    }

    /// The same, of which only the issuer is known. Mutual TLS is spoken at another port, which has to be named.
    #[must_use]
    pub fn by_issuer(&self, client_id: &str, credential: &Value, certificates: &Value) -> Value {
        let mut config = self.config(client_id, credential, certificates);
        if let Some(Value::Array(hosts)) = config.get_mut("authority_hosts") {
            hosts.push(json!(self.alias));
        }
        let app = config.pointer_mut("/identities/app");
        if let Some(app) = app.and_then(Value::as_object_mut) {
            app.remove("token_endpoint");
            app.insert("issuer".to_owned(), json!(self.issuer));
        }
        config
    }

    /// A provider that trusts its certificate.
    pub async fn provider(&self, config: &Value) -> Result<Provider> {
        let builder = Provider::builder().config_json(config.to_string());
        Ok(builder.ca_pem(self.ca_pem.as_str()).build().await?)
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority's certificate, and that of `localhost` with its key.
fn server_certificate() -> Result<(String, String, String)> {
    let ca = authority("oidc-provider CA")?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &ca)?;
    Ok((ca.pem(), certificate.pem(), key.serialize_pem()))
}

/// A certification authority of a test's own.
pub fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}
