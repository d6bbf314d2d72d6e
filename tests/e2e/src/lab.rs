//! An emulator with its files, and ways to use it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use edgepass::{Builder, Environment, Provider, Refresh, Token, TokenRequest};
use edgepass_emulator::{Directory, Emulator, JournalEntry, ManagedIdentity, Mint};
use serde_json::{Value, json};

use crate::command::Command;
use crate::evidence::Evidence;

/// The scope that most tests ask for.
pub const GRAPH: &str = "https://graph.microsoft.com/.default";

/// A request for [`GRAPH`].
#[must_use]
pub fn graph() -> TokenRequest {
    TokenRequest::for_scopes([GRAPH])
}

/// The same, past every cache.
#[must_use]
pub fn forced() -> TokenRequest {
    TokenRequest {
        refresh: Refresh::Force,
        ..graph()
    }
}

/// The fields of a token request whose values nobody else may see.
const SECRET_FIELDS: [&str; 9] = [
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "refresh_token",
    "assertion",
    "subject_token",
    "actor_token",
    "user_federated_identity_credential",
];

/// How long [`until`] waits: more than any retry of the engine takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often [`until`] looks.
const GLANCE: Duration = Duration::from_millis(5);

/// One test's world. When it goes, the secrets that were used in it are on record.
pub struct Lab {
    /// The token endpoint, the workload issuer, the journal.
    pub emulator: Emulator,
    /// The files of the emulator.
    pub files: Directory,
    /// What the test saw and used.
    pub evidence: Evidence,
    scratch: PathBuf,
}

impl Lab {
    /// A new world; `test` names the record.
    pub fn new(test: &str) -> Result<Self> {
        Self::of(test, Emulator::builder())
    }

    /// A new world on a machine with a metadata service.
    pub fn with_metadata(test: &str) -> Result<Self> {
        Self::of(test, Emulator::builder().metadata_port(0))
    }

    /// A new world of that emulator.
    pub fn of(test: &str, builder: edgepass_emulator::Builder) -> Result<Self> {
        let evidence = Evidence::new(test)?;
        let emulator = builder.start_blocking()?;
        let scratch =
            std::env::temp_dir().join(format!("edgepass-e2e-{}-{test}", std::process::id()));
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot create {}", scratch.display()))?;
        let files = emulator.write_dir(&scratch.join("emulator"))?;
        let lab = Self {
            emulator,
            files,
            evidence,
            scratch,
        };
        lab.evidence
            .secret("client secret", lab.emulator.client_secret());
        lab.record_key()?;
        lab.record_token_file()?;
        Ok(lab)
    }

    /// The variables of the emulator's `env` file.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        self.emulator
            .env()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// `edgepass` with these arguments, in the emulator's environment and no other.
    pub fn edgepass(&self, arguments: &[&str]) -> Result<Command<'_>> {
        Command::new(self, arguments)
    }

    /// A configuration with one identity, `app`, whose authority has an mTLS twin.
    #[must_use]
    pub fn config(&self, credential: &Value) -> Value {
        let port = self.emulator.port();
        json!({
            "authority_hosts": [
                format!("localhost:{port}"),
                format!("login.localhost:{port}"),
                format!("mtlsauth.localhost:{port}"),
            ],
            "identities": { "app": {
                "tenant_id": self.emulator.tenant(),
                "client_id": self.emulator.client_id(),
                "authority_host": self.emulator.login_authority(),
                "credential": credential,
            } },
            "certificates": { "demo": {
                "certificate_file": self.files.certificate_file(),
                "private_key_file": self.files.private_key_file(),
            } },
        })
    }

    /// The same with that in the place of `certificates`.
    #[must_use]
    pub fn config_with(&self, credential: &Value, certificates: Value) -> Value {
        let mut config = self.config(credential);
        if let Some(place) = config.get_mut("certificates") {
            *place = certificates;
        }
        config
    }

    /// The same of another client.
    #[must_use]
    pub fn config_of(&self, client_id: &str, credential: &Value, certificates: Value) -> Value {
        let mut config = self.config_with(credential, certificates);
        if let Some(place) = config.pointer_mut("/identities/app/client_id") {
            *place = json!(client_id);
        }
        config
    }

    /// A provider builder in the emulator's environment.
    pub fn provider(&self) -> Builder {
        Provider::builder()
            .environment(Environment::from_pairs(self.emulator.env()))
            .ca_file(self.files.ca_file())
    }

    /// A provider builder with a configuration alone.
    pub fn configured(&self, config: &Value) -> Builder {
        Provider::builder()
            .config_json(config.to_string())
            .ca_file(self.files.ca_file())
    }

    /// The same on the machine of the metadata service.
    pub fn on_the_machine(&self, config: &Value) -> Result<Builder> {
        let metadata = self.metadata_authority()?;
        let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata)];
        let builder = self.configured(config);
        Ok(builder.environment(Environment::from_pairs(variables)))
    }

    /// The machine's identity that is a resource of its own.
    pub fn user_assigned(&self) -> Result<ManagedIdentity> {
        let mut identities = self.emulator.managed_identities().into_iter();
        let assigned = identities.find(|identity| identity.resource_id.is_some());
        assigned.context("no identity is assigned")
    }

    /// The base of the machine's metadata service.
    pub fn metadata_authority(&self) -> Result<String> {
        self.emulator
            .metadata_authority()
            .context("this world has no metadata service")
    }

    /// Puts a token, or what a test has in its place, into the token file, the kubelet's way.
    pub fn write_token_file(&self, content: &str) -> Result<()> {
        if content.split('.').count() == 3 {
            self.evidence.secret("token file", content.trim());
        }
        self.emulator
            .issuer()
            .write_file(&self.files.token_file(), content)
    }

    /// Rotates the token file and says what stands in it now.
    pub fn rotate_token(&self, mint: &Mint) -> Result<String> {
        let token = self.emulator.issuer().mint(mint)?;
        self.write_token_file(&token)?;
        Ok(token)
    }

    /// Rotates certificate and key; the new thumbprint.
    pub fn rotate_certificate(&self) -> Result<String> {
        let thumbprint = self.emulator.rotate_certificate()?;
        self.record_key()?;
        Ok(thumbprint)
    }

    /// A file of the test's own.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Where [`Self::write`] puts files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Puts a token that was issued on record.
    pub fn issued(&self, token: &Token) -> String {
        self.evidence.secret("access token", token.token.expose());
        let more = [&token.refresh_token, &token.id_token];
        for more in more.into_iter().flatten() {
            self.evidence.secret("token of an answer", more.expose());
        }
        self.evidence
            .saw("a token, formatted", &format!("{token:?} {token:#?}"));
        token.token.expose().to_owned()
    }

    /// The raw bodies of the token requests so far.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        let requests = self.emulator.token_requests();
        requests
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.body).into_owned())
            .collect()
    }

    fn record_key(&self) -> Result<()> {
        let path = self.files.private_key_file();
        let pem =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        self.evidence.secret("private key", &body);
        Ok(())
    }

    fn record_token_file(&self) -> Result<()> {
        let path = self.files.token_file();
        let token =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.evidence.secret("token file", token.trim());
        Ok(())
    }

    fn record_request(&self, entry: &JournalEntry) {
        for name in SECRET_FIELDS {
            // what is shorter is a test's own, and would be found anywhere
            let value = entry.field(name).filter(|value| value.len() >= 24);
            if let Some(value) = value {
                self.evidence.secret(name, &value);
            }
        }
        if let Some((_, credentials)) = entry
            .header("authorization")
            .and_then(|value| value.split_once(' '))
        {
            self.evidence.secret("authorization", credentials);
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for entry in self.emulator.token_requests() {
            self.record_request(&entry);
        }
        // what stays behind in the temporary directory hurts nobody
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Waits for something that will happen by itself soon; `what` says what did not.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            bail!("in {} s it did not happen that {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(GLANCE).await;
    }
}
