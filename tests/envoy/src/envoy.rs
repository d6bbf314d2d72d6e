//! The Envoy process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::client::get;
use crate::lab::until;

/// A start takes 0.3 s, more on a machine with other work.
const START_TIMEOUT: Duration = Duration::from_secs(90);

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
        Self::start_version(Version::Main, concurrency, write)
    }

    /// The same with another version of Envoy.
    pub fn start_version(
        version: Version,
        concurrency: u32,
        write: impl FnOnce(&Path) -> String,
    ) -> Result<Self> {
        Self::run(version, concurrency, &[], write)
    }

    /// The same in an environment of these variables alone.
    pub fn start_in(
        environment: &[(&str, String)],
        concurrency: u32,
        write: impl FnOnce(&Path) -> String,
    ) -> Result<Self> {
        Self::run(Version::Main, concurrency, environment, write)
    }

    fn run(
        version: Version,
        concurrency: u32,
        environment: &[(&str, String)],
        write: impl FnOnce(&Path) -> String,
    ) -> Result<Self> {
        let dir = folder()?;
        let config = dir.join("envoy.yaml");
        fs::write(&config, write(&dir))?;
        let began = Instant::now();
        let child = command(&version.program()?, &config)
            .args(["--concurrency", &concurrency.to_string()])
            .args(["--use-dynamic-base-id", "--file-flush-interval-msec", "20"])
            .args(["--component-log-level", "wasm:debug"])
            .envs(environment.iter().map(|(name, value)| (name, value)))
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

    /// The folder that its configuration was written for.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The port of the admin interface.
    pub fn admin_port(&self) -> u16 {
        self.admin
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

    /// Waits until a counter or gauge is as `so` says: the filter passes on at its next tick what it has counted.
    pub fn until_stat(&self, name: &str, so: impl Fn(u64) -> bool) -> Result<()> {
        let mut last = 0;
        until(name, || {
            last = self.stat(name).unwrap_or_default();
            so(last)
        })
        .with_context(|| format!("{name} is {last}"))
    }

    /// Waits until the log has these words: Envoy writes it down a little later.
    pub fn until_logged(&self, words: &str) -> Result<()> {
        until(words, || self.log().contains(words)).with_context(|| self.log())
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
        self.port = main_port(self.admin)?;
        Ok(true)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // it may have ended by itself
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            // a start tells of every extension there is
            let log: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains("[source/server/server.cc"))
                .collect();
            eprintln!("--- {}\n{}", self.dir.display(), log.join("\n"));
        } else {
            _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// What `envoy --mode validate` says about a configuration: whether it is good, and the text.
pub fn validate(write: impl FnOnce(&Path) -> String) -> Result<(bool, String)> {
    let (code, text) = validation(write)?;
    Ok((code == Some(0), text))
}

/// The same with the status that the command ended with, `None` for a signal.
pub fn validation(write: impl FnOnce(&Path) -> String) -> Result<(Option<i32>, String)> {
    let dir = folder()?;
    let config = dir.join("envoy.yaml");
    fs::write(&config, write(&dir))?;
    let output = command(&Version::Main.program()?, &config)
        .args(["--mode", "validate"])
        .output()
        .context("cannot start Envoy")?;
    fs::remove_dir_all(&dir)?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((output.status.code(), text))
}

/// A version of Envoy that the filter is tested in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// The one that `tests/envoy/requirements.txt` pins.
    Main,
    /// 1.39.3
    V1_39,
    /// 1.37.0, which has no `file_server` yet.
    V1_37,
}

impl Version {
    /// The folder of `target/peers`, and the variable that names another program.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Main => ("envoy", "EDGEPASS_ENVOY"),
            Self::V1_39 => ("envoy-1.39.3", "EDGEPASS_ENVOY_1_39"),
            Self::V1_37 => ("envoy-1.37.0", "EDGEPASS_ENVOY_1_37"),
        }
    }

    /// Its program.
    pub fn program(self) -> Result<PathBuf> {
        let (folder, variable) = self.place();
        if let Some(path) = std::env::var_os(variable) {
            return Ok(path.into());
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root
            .join("target/peers")
            .join(folder)
            .join("envoy/_bin/envoy");
        if path.exists() {
            return Ok(path);
        }
        bail!(
            "there is no {}: run `cargo xtask test --only envoy` or `cargo xtask bench --envoy`, which install it, or set {variable} to the program",
            path.display()
        )
    }
}

/// The port of the listener `main` of the Envoy with that admin port.
pub fn main_port(admin: u16) -> Result<u16> {
    let listeners: Value = serde_json::from_str(&get(admin, "/listeners?format=json")?.body)?;
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
    Ok(u16::try_from(port)?)
}

fn command(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(config)
        .args(["-l", "info"])
        .env_clear()
        .stdin(Stdio::null());
    command
}

/// A folder of this process's own, with a path short enough for a socket's name.
pub fn folder() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("edgepass-envoy-{}-{number}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}
