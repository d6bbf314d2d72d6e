//! The directory that makes other programs work with the emulator.

use std::fs;
use std::io::ErrorKind;
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

const ENV_NAME: &str = "env";

/// The files of a running emulator.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
    identity: Volume,
    /// The text of the `env` file, by which it is known again.
    env: String,
}

impl Directory {
    /// Writes everything below `root`, making it when absent.
    pub(crate) fn create(
        root: &Path,
        world: &World,
        certificate: &ClientCertificate,
    ) -> Result<Self> {
        make_private_dir(root)?;
        Self::clear(root)?;
        // The files name each other by absolute path: programs that source
        // the environment run elsewhere.
        let root =
            fs::canonicalize(root).with_context(|| format!("cannot resolve {}", root.display()))?;
        let identity = Volume::open(&root.join("identity"))?;
        let mut directory = Self {
            root,
            identity,
            env: String::new(),
        };
        fs::write(directory.ca_file(), world.pki.ca_pem())
            .with_context(|| format!("cannot write {}", directory.ca_file().display()))?;
        let bundle = directory.bundle_file();
        fs::write(&bundle, world.pki.ca_pem() + &system_authorities())
            .with_context(|| format!("cannot write {}", bundle.display()))?;
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
        // Last and all at once: whoever waits for it finds the rest.
        let mut env = directory.env(world);
        for (name, value) in &mut env {
            // Other programs of that shell go on trusting what they trusted.
            if *name == "SSL_CERT_FILE" {
                *value = directory.bundle_file().display().to_string();
            }
        }
        directory.env = env
            .iter()
            .map(|(name, value)| format!("export {name}={}\n", shell_quote(value)))
            .collect();
        let staged = directory.root.join("env.tmp");
        fs::write(&staged, &directory.env)
            .with_context(|| format!("cannot write {}", staged.display()))?;
        fs::rename(&staged, directory.env_file())
            .with_context(|| format!("cannot write {}", directory.env_file().display()))?;
        Ok(directory)
    }

    /// Removes the `env` file that an earlier emulator has left below `root`:
    /// whoever waits for the file must not get that one.
    pub fn clear(root: &Path) -> Result<()> {
        let file = root.join(ENV_NAME);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", file.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes the `env` file at the end, unless another emulator has written
    /// its own there.
    pub fn retire(&self) -> Result<()> {
        match fs::read_to_string(self.env_file()) {
            Ok(text) if text == self.env => Self::clear(&self.root),
            _ => Ok(()),
        }
    }

    /// The CA that clients must trust.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.root.join("ca.pem")
    }

    /// The CA and those of the system, for programs that talk to others too.
    #[must_use]
    pub fn bundle_file(&self) -> PathBuf {
        self.root.join("ca-bundle.pem")
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
        self.root.join(ENV_NAME)
    }

    /// The paths by name, for the ready line.
    pub(crate) fn about(&self) -> Value {
        json!({
            "dir": self.root,
            "ca_file": self.ca_file(),
            "bundle_file": self.bundle_file(),
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
        let bundle = self.bundle_file().display().to_string();
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
            ("REQUESTS_CA_BUNDLE", bundle.clone()),
            ("CURL_CA_BUNDLE", bundle),
            // Beside those that Node has, as the name says.
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

/// The certification authorities of the system, PEM; none where there are
/// none, or where they are not in one file.
fn system_authorities() -> String {
    let file = openssl_probe::probe().cert_file;
    file.and_then(|file| fs::read_to_string(file).ok())
        .unwrap_or_default()
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
