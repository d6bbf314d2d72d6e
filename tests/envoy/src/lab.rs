//! An emulator and the files of a workload, ready for an Envoy.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use edgepass_emulator::Emulator;
use serde_json::{Value, json};

use crate::envoy::{Envoy, Version};
use crate::setup::{Setup, filter_path};

/// The emulator and its directory.
pub struct Lab {
    /// The token server.
    pub emulator: Emulator,
    dir: PathBuf,
}

impl Lab {
    /// Starts the emulator and writes its files.
    pub fn start() -> Result<Self> {
        Self::with(Emulator::builder())
    }

    /// The same with a metadata service.
    pub fn start_with_metadata() -> Result<Self> {
        Self::with(Emulator::builder().metadata_port(0))
    }

    fn with(emulator: edgepass_emulator::Builder) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let emulator = emulator.start_blocking()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("edgepass-envoy-lab-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        emulator.write_dir(&dir)?;
        Ok(Self { emulator, dir })
    }

    /// The token server as the configuration names it.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.emulator.port())
    }

    /// A plugin configuration with one workload identity and much patience, `envoy` added to its section of that name.
    pub fn plugin(&self, envoy: Value) -> Value {
        let token_dir = self.dir.join("token");
        let mut section = json!({
            "request_deadline_ms": DEADLINE_MS,
            "token_clusters": {self.host(): "entra"},
            "files": {"cluster": "token_files", "strip_prefix": token_dir},
        });
        if let (Some(section), Value::Object(more)) = (section.as_object_mut(), envoy) {
            section.extend(more);
        }
        json!({
            "authority_hosts": [self.host()],
            "identities": {"app": {
                "tenant_id": self.emulator.tenant(),
                "client_id": self.emulator.client_id(),
                "authority_host": self.emulator.authority(),
                "scopes": ["api://edgepass-demo/.default"],
                "credential": {"federated_token_file": {"path": token_dir.join(TOKEN_NAME)}},
            }},
            "envoy": section,
        })
    }

    /// Envoy's configuration with that plugin and one upstream.
    pub fn setup(&self, plugin: &Value, upstream: u16) -> Setup {
        Setup {
            plugin: plugin.to_string(),
            upstreams: vec![("upstream", upstream)],
            routes: Vec::new(),
            token_port: self.emulator.port(),
            token_name: "localhost".to_owned(),
            ca_file: self.dir.join("ca.pem"),
            certificate: None,
            token_dir: self.dir.join("token"),
            token_name_in_dir: TOKEN_NAME.to_owned(),
            more_files: Vec::new(),
            file_server: false,
            vm_id: "edgepass".to_owned(),
            as_upstream_filter: false,
            discovery: None,
            listeners: Vec::new(),
            clusters: Vec::new(),
        }
    }

    /// The directory of the emulator's files.
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// Starts Envoy with that configuration.
    pub fn envoy(&self, setup: &Setup, concurrency: u32) -> Result<Envoy> {
        let wasm = filter_path()?;
        Envoy::start(concurrency, |dir| setup.write(dir, &wasm))
    }

    /// Starts another version of Envoy with that configuration.
    pub fn envoy_version(
        &self,
        version: Version,
        setup: &Setup,
        concurrency: u32,
    ) -> Result<Envoy> {
        let wasm = filter_path()?;
        Envoy::start_version(version, concurrency, |dir| setup.write(dir, &wasm))
    }

    /// The file of the workload's token.
    pub fn token_file(&self) -> PathBuf {
        self.dir.join("token").join(TOKEN_NAME)
    }

    /// The assertions of the token requests so far, where they have one.
    pub fn assertions(&self) -> Vec<String> {
        let asked = self.emulator.token_requests();
        asked
            .iter()
            .filter_map(|request| request.field("client_assertion"))
            .collect()
    }

    /// The same without repetitions of the one before.
    pub fn successive_assertions(&self) -> Vec<String> {
        let mut assertions = self.assertions();
        assertions.dedup();
        assertions
    }

    /// The token that the workload presents now.
    pub fn workload_token(&self) -> Result<String> {
        let path = self.token_file();
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

const TOKEN_NAME: &str = "azure-identity-token";

/// How long a request waits for a token where the test says nothing of it: what is not about the deadline must not meet
/// it on a machine with much other work.
const DEADLINE_MS: u64 = 60_000;

impl Drop for Lab {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// How long [`until`] waits: far longer than anything takes on a machine with much other work. Only what never comes
/// to be takes so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until something is so, and fails with `what` if it does not come to be.
pub fn until(what: &str, mut so: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !so() {
        if began.elapsed() > PATIENCE {
            bail!("after {PATIENCE:?} still not: {what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
