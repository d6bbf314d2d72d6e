//! An Envoy with one worker, bound to a processor.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use edgepass_envoy_tests::{Version, folder, get, main_port};

/// A start takes a fraction of a second; this is for a machine with much other work.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks at whether it is ready: how exact the time of a start is.
const POLL: Duration = Duration::from_millis(1);

/// The processor of what is measured.
pub(crate) const UNDER_TEST: usize = 0;

/// The processor of everything else.
pub(crate) const OTHERS: usize = 1;

/// A running Envoy. Dropping it ends it and removes its folder.
pub(crate) struct Proxy {
    child: Child,
    dir: PathBuf,
    port: u16,
    started_in: Duration,
}

impl Proxy {
    /// Starts it with the configuration that `write` makes for a folder, and waits until it is ready.
    pub(crate) fn start(
        processor: usize,
        write: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Self> {
        let dir = folder()?;
        let config = dir.join("envoy.yaml");
        fs::write(&config, write(&dir)?)?;
        let began = Instant::now();
        let child = pinned(processor, &Version::Main.program()?)
            .arg("-c")
            .arg(&config)
            .args(["-l", "warning", "--concurrency", "1"])
            .arg("--use-dynamic-base-id")
            .arg("--admin-address-path")
            .arg(dir.join("admin"))
            .arg("--log-path")
            .arg(dir.join("log"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("stderr"))?)
            .spawn()
            .context("cannot start Envoy")?;
        let mut proxy = Self {
            child,
            dir,
            port: 0,
            started_in: Duration::ZERO,
        };
        proxy.wait_until_ready(began)?;
        Ok(proxy)
    }

    /// The port of the listener `main`.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From before the process was made until its admin interface said that it is live.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// What its log says.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Nanoseconds of processor time of its threads so far. None of them ends while it runs.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut total: u64 = 0;
        for task in fs::read_dir(&tasks).with_context(|| format!("cannot list {tasks}"))? {
            let file = task?.path().join("schedstat");
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let ns: u64 = text
                .split_whitespace()
                .next()
                .and_then(|ns| ns.parse().ok())
                .with_context(|| format!("{} has no time", file.display()))?;
            total = total.saturating_add(ns);
        }
        Ok(total)
    }

    /// What it has resident, KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.child.id());
        fs::read_to_string(&file)
            .with_context(|| format!("cannot read {file}"))?
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .with_context(|| format!("no VmRSS in {file}"))
    }

    fn wait_until_ready(&mut self, began: Instant) -> Result<()> {
        let mut admin = None;
        while began.elapsed() < START_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                let stderr = fs::read_to_string(self.dir.join("stderr")).unwrap_or_default();
                bail!("Envoy ended with {status}:\n{}\n{stderr}", self.log());
            }
            if admin.is_none() {
                admin = self.admin_port();
            }
            if let Some(port) = admin
                && get(port, "/ready").is_ok_and(|answer| answer.body.contains("LIVE"))
            {
                self.started_in = began.elapsed();
                self.port = main_port(port)?;
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!(
            "Envoy is not ready after {START_TIMEOUT:?}:\n{}",
            self.log()
        )
    }

    fn admin_port(&self) -> Option<u16> {
        let address = fs::read_to_string(self.dir.join("admin")).ok()?;
        address.trim().rsplit_once(':')?.1.parse().ok()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // it may have ended by itself
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_dir_all(&self.dir);
    }
}

/// A command that runs on that processor alone.
pub(crate) fn pinned(processor: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string()]).arg(program);
    command
}

/// What Envoy calls itself.
pub(crate) fn version() -> Result<String> {
    let output = Command::new(Version::Main.program()?)
        .arg("--version")
        .output()
        .context("cannot start Envoy")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // after the program's path come commit/version/state/build/TLS library
    let version = text
        .split_once("version: ")
        .and_then(|(_, about)| about.split('/').nth(1))
        .unwrap_or("of an unknown version");
    Ok(version.to_owned())
}
