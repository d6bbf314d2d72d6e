//! The token proxy of AKS identity bindings: another server, with a certification authority and a name of its own, that
//! passes token requests on.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::lock;
use crate::pki::Pki;

/// Its name, which no resolver knows.
pub(crate) const NAME: &str = "token-proxy.kube-system.internal";

/// What comes before the path of a token endpoint.
pub(crate) const PATH: &str = "/bindings";

/// The proxy as it is now.
pub(crate) struct Proxy(Mutex<State>);

struct State {
    acceptor: TlsAcceptor,
    ca_pem: String,
}

impl Proxy {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Mutex::new(State::new()?)))
    }

    /// A new certification authority, and a certificate of it.
    pub(crate) fn rotate(&self) -> Result<()> {
        let new = State::new()?;
        *lock(&self.0) = new;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        lock(&self.0).acceptor.clone()
    }

    pub(crate) fn ca_pem(&self) -> String {
        lock(&self.0).ca_pem.clone()
    }
}

impl State {
    fn new() -> Result<Self> {
        let pki = Pki::generate()?;
        let (chain, key) = pki.server_certificate(&[NAME.to_owned()])?;
        let key = any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))?;
        // whoever asks for another name gets no certificate
        let mut resolver = ResolvesServerCertUsingSni::new();
        resolver
            .add(NAME, CertifiedKey::new(chain, key))
            .context("the proxy's certificate is not for its name")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            ca_pem: pki.ca_pem(),
        })
    }
}
