//! The directory that makes other programs work with the emulator.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::files::{Volume, make_private_dir, write_private};
use crate::issuer::Mint;
use crate::lock;
use crate::pki::{CertificateOptions, ClientCertificate};
use crate::registry::Certificate;
use crate::world::World;

/// File names inside the volumes, as Azure's webhook and most tools have them.
const TOKEN_NAME: &str = "azure-identity-token";
const CERTIFICATE_NAME: &str = "client.pem";
const KEY_NAME: &str = "client.key";

/// The files of a running emulator.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    identity: Volume,
}

impl Directory {
    /// Writes everything below `root`, making it when absent.
    pub(crate) fn create(
        root: &Path,
        world: &World,
        certificate: &ClientCertificate,
    ) -> Result<Self> {
        make_private_dir(root)?;
        // The files name each other by absolute path: programs that source
        // the environment run elsewhere.
        let root =
            fs::canonicalize(root).with_context(|| format!("cannot resolve {}", root.display()))?;
        let identity = Volume::open(&root.join("identity"))?;
        let directory = Self { root, identity };
        fs::write(directory.ca_file(), world.pki.ca_pem())
            .with_context(|| format!("cannot write {}", directory.ca_file().display()))?;
        directory.rotate_token(world, &Mint::new())?;
        directory.write_certificate(certificate)?;
        for name in [CERTIFICATE_NAME, KEY_NAME] {
            let visible = directory.root.join(name);
            // Left over by an earlier emulator in the same directory.
            let _ = fs::remove_file(&visible);
            symlink(Path::new("identity").join(name), &visible)
                .with_context(|| format!("cannot link {}", visible.display()))?;
        }
        let secret = directory.secret_file();
        write_private(&secret, world.identity.client_secret.as_bytes())?;
        let env: String = directory
            .env(world)
            .iter()
            .map(|(name, value)| format!("export {name}={}\n", shell_quote(value)))
            .collect();
        fs::write(directory.env_file(), env)
            .with_context(|| format!("cannot write {}", directory.env_file().display()))?;
        Ok(directory)
    }

    /// The CA that clients must trust.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.root.join("ca.pem")
    }

    /// The projected token, a link that survives rotation.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.root.join("token").join(TOKEN_NAME)
    }

    /// The registered client certificate, a link that survives rotation.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.root.join(CERTIFICATE_NAME)
    }

    /// Its private key, a link that survives rotation.
    #[must_use]
    pub fn private_key_file(&self) -> PathBuf {
        self.root.join(KEY_NAME)
    }

    /// The client secret.
    #[must_use]
    pub fn secret_file(&self) -> PathBuf {
        self.root.join("client.secret")
    }

    /// The shell exports.
    #[must_use]
    pub fn env_file(&self) -> PathBuf {
        self.root.join("env")
    }

    /// The paths by name, for the ready line.
    pub(crate) fn about(&self) -> Value {
        json!({
            "dir": self.root,
            "ca_file": self.ca_file(),
            "token_file": self.token_file(),
            "certificate_file": self.certificate_file(),
            "private_key_file": self.private_key_file(),
            "secret_file": self.secret_file(),
            "env_file": self.env_file(),
        })
    }

    /// The variables of the `env` file.
    pub(crate) fn env(&self, world: &World) -> Vec<(&'static str, String)> {
        let identity = &world.identity;
        let ca = self.ca_file().display().to_string();
        let port = identity.port;
        let mut env = vec![
            ("AZURE_TENANT_ID", identity.tenant.clone()),
            ("AZURE_CLIENT_ID", identity.client_id.clone()),
            (
                "AZURE_FEDERATED_TOKEN_FILE",
                self.token_file().display().to_string(),
            ),
            ("AZURE_AUTHORITY_HOST", format!("{}/", identity.authority())),
            (
                "EDGEPASS_AUTHORITY_HOSTS",
                format!("localhost:{port},login.localhost:{port},mtlsauth.localhost:{port}"),
            ),
            ("SSL_CERT_FILE", ca.clone()),
            ("REQUESTS_CA_BUNDLE", ca.clone()),
            ("CURL_CA_BUNDLE", ca.clone()),
            ("NODE_EXTRA_CA_CERTS", ca),
            // Behind a proxy, loopback must not be asked of it.
            ("NO_PROXY", "localhost,127.0.0.1,.localhost".to_owned()),
            ("no_proxy", "localhost,127.0.0.1,.localhost".to_owned()),
        ];
        // The SDKs take this for the base of the metadata service.
        if let Some(authority) = identity.metadata_authority() {
            env.push(("AZURE_POD_IDENTITY_AUTHORITY_HOST", authority));
        }
        env
    }

    /// Swaps in a new token.
    pub(crate) fn rotate_token(&self, world: &World, mint: &Mint) -> Result<()> {
        let token = world.issuer.mint(mint)?;
        world.issuer.write_file(&self.token_file(), &token)
    }

    /// Makes and registers a new certificate, then swaps the files. Older
    /// ones stay registered: requests signed before the swap are under way.
    pub(crate) fn rotate_certificate(&self, world: &World) -> Result<String> {
        let fresh = world
            .pki
            .client_certificate("edgepass-demo", &CertificateOptions::default())?;
        let registered = Certificate::from_pem(&fresh.certificate_pem)?;
        lock(&world.registry)
            .app_mut(&world.identity.client_id)
            .context("the app of this directory is gone")?
            .certificates
            .push(registered);
        self.write_certificate(&fresh)?;
        Ok(fresh.thumbprint)
    }

    fn write_certificate(&self, certificate: &ClientCertificate) -> Result<()> {
        self.identity.write(&[
            (CERTIFICATE_NAME, certificate.certificate_pem.as_bytes()),
            (KEY_NAME, certificate.private_key_pem.as_bytes()),
        ])
    }
}

/// Single quotes, inside which a shell interprets nothing but the quote itself.
fn shell_quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_quotes() {
        assert_eq!(shell_quote("a b"), "'a b'");
        assert_eq!(shell_quote("it's"), r"'it'\''s'");
    }
}
