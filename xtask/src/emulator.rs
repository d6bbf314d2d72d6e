//! The emulator, for what runs beside it.

use crate::sh::Cmd;
use crate::workspace;
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to write its files.
const PATIENCE: Duration = Duration::from_secs(60);

/// One that runs. It ends with the value.
pub(crate) struct Emulator {
    child: Child,
    folder: PathBuf,
}

impl Emulator {
    /// Starts it, with its files in that folder, and waits until they are there.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let mut cmd = Cmd::new(workspace::dist().join("edgepass-emulator"))
            .arg("--dir")
            .arg(folder);
        // it tells of each request
        cmd.inner().stdout(Stdio::null()).stderr(Stdio::null());
        let mut emulator = Self {
            child: cmd.spawn()?,
            folder: folder.to_owned(),
        };
        let begun = Instant::now();
        while !emulator.env().exists() {
            let ended = emulator.child.try_wait();
            if let Some(status) = ended.context("cannot wait for the emulator")? {
                bail!("the emulator ended: {status}");
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the emulator has written no `env`"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(emulator)
    }

    /// The variables of a workload, as a shell reads them. The last of its files.
    pub(crate) fn env(&self) -> PathBuf {
        self.folder.join("env")
    }

    /// One of its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A shell that runs this as the workload would.
    pub(crate) fn workload(&self, script: &str) -> Cmd {
        let script = format!("set -e\n. '{}'\n{script}", self.env().display());
        Cmd::new("sh").arg("-c").arg(script)
    }

    /// What one of the variables is.
    pub(crate) fn variable(&self, name: &str) -> Result<String> {
        let value = self.workload(&format!("printf %s \"${name}\"")).read()?;
        ensure!(!value.is_empty(), "the emulator sets no {name}");
        Ok(value)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
