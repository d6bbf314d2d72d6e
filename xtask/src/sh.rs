//! Runs commands: progress while they last, the end of their output when they fail.

use crate::workspace;
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A silent step says at this interval that it is alive: CI systems and people
/// lose patience after about a minute.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How often a child is looked at; short beside any step that is worth a line.
const POLL: Duration = Duration::from_millis(20);

/// Lines of a failed step's log that are shown: a compiler error or a pip
/// traceback fits, a whole build log does not.
const TAIL_LINES: usize = 40;

/// A command to run.
pub(crate) struct Cmd {
    inner: Command,
    name: String,
    missing: &'static str,
    timeout: Option<Duration>,
}

/// Why a command did not succeed, where the caller treats it as an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    TimedOut,
    NotInstalled,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut inner = Command::new(program.as_ref());
        inner
            .current_dir(workspace::root())
            .env(workspace::WITHIN, "1");
        Self {
            inner,
            name: Path::new(program.as_ref())
                .file_name()
                .unwrap_or(program.as_ref())
                .to_string_lossy()
                .into_owned(),
            missing: "is it installed and in PATH?",
            timeout: None,
        }
    }

    /// Cargo as it runs this task, building into the tree's own `target/`.
    pub(crate) fn cargo() -> Self {
        let mut cmd = Self::new(workspace::cargo());
        cmd.inner.env("CARGO_TARGET_DIR", workspace::target());
        cmd
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.inner.arg(arg);
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.inner.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(key, value);
        self
    }

    pub(crate) fn env_remove(mut self, key: &str) -> Self {
        self.inner.env_remove(key);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// What to say when the program is not there.
    pub(crate) fn missing(mut self, how_to_get_it: &'static str) -> Self {
        self.missing = how_to_get_it;
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Behind whatever else this machine has to do.
    pub(crate) fn in_the_background(self) -> Self {
        let Self {
            inner,
            name,
            missing,
            timeout,
        } = self;
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"])
            .arg(inner.get_program())
            .args(inner.get_args());
        for (key, value) in inner.get_envs() {
            match value {
                Some(value) => nice.env(key, value),
                None => nice.env_remove(key),
            };
        }
        if let Some(dir) = inner.get_current_dir() {
            nice.current_dir(dir);
        }
        Self {
            inner: nice,
            name: format!("{name} in the background"),
            missing,
            timeout,
        }
    }

    /// Runs with the terminal's own output: cargo shows its progress itself.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self.spawn()?.wait().context("cannot wait for a child")?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.line());
        }
        Ok(())
    }

    /// Runs without output; the log stays under `target/logs` and its end is
    /// shown when the command fails.
    pub(crate) fn quiet(mut self, log: &str) -> Result<()> {
        let path = self.log_to(log)?;
        match self.watch()? {
            (Outcome::Succeeded, _) => Ok(()),
            (Outcome::TimedOut, _) => bail!(
                "`{}` did not finish within {} s\n{}",
                self.line(),
                self.timeout.unwrap_or_default().as_secs(),
                tail(&path)
            ),
            (_, status) => bail!(
                "`{}` failed ({})\n{}\nthe whole log: {}",
                self.line(),
                status.map_or_else(|| "not started".to_owned(), |s| s.to_string()),
                tail(&path),
                workspace::shown(&path)
            ),
        }
    }

    /// Runs without output where failure is an answer, not an error.
    pub(crate) fn attempt(mut self, log: &str) -> Result<Outcome> {
        self.log_to(log)?;
        match self.spawn_raw() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::NotInstalled),
            Err(error) => Err(error).with_context(|| format!("cannot start {}", self.name)),
            Ok(child) => Ok(self.wait(child)?.0),
        }
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn read(mut self) -> Result<String> {
        self.inner.stdin(Stdio::null());
        let output = match self.inner.output() {
            Ok(output) => output,
            Err(error) => return Err(self.not_started(error)),
        };
        if !output.status.success() {
            bail!(
                "`{}` failed ({})\n{}",
                self.line(),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("{} printed what is not UTF-8", self.name))
    }

    /// The child itself, for a caller that talks to it.
    pub(crate) fn spawn(&mut self) -> Result<Child> {
        match self.spawn_raw() {
            Ok(child) => Ok(child),
            Err(error) => Err(self.not_started(error)),
        }
    }

    /// The command underneath, for redirections.
    pub(crate) fn inner(&mut self) -> &mut Command {
        &mut self.inner
    }

    /// The command as a person would type it.
    pub(crate) fn line(&self) -> String {
        let mut line = self.name.clone();
        for arg in self.inner.get_args() {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }

    fn spawn_raw(&mut self) -> std::io::Result<Child> {
        self.inner.stdin(Stdio::null()).spawn()
    }

    fn not_started(&self, error: std::io::Error) -> anyhow::Error {
        if error.kind() == ErrorKind::NotFound {
            return anyhow::anyhow!("{} was not found: {}", self.name, self.missing);
        }
        anyhow::Error::new(error).context(format!("cannot start {}", self.name))
    }

    fn log_to(&mut self, log: &str) -> Result<PathBuf> {
        let folder = workspace::target().join("logs");
        fs::create_dir_all(&folder).context("cannot create target/logs")?;
        let path = folder.join(format!("{log}.log"));
        let file = File::create(&path)
            .with_context(|| format!("cannot create {}", workspace::shown(&path)))?;
        let copy = file.try_clone().context("cannot open a log twice")?;
        self.inner.stdout(file).stderr(copy);
        Ok(path)
    }

    fn watch(&mut self) -> Result<(Outcome, Option<ExitStatus>)> {
        let child = self.spawn()?;
        self.wait(child)
    }

    fn wait(&self, mut child: Child) -> Result<(Outcome, Option<ExitStatus>)> {
        let started = Instant::now();
        let mut said = HEARTBEAT;
        loop {
            if let Some(status) = child.try_wait().context("cannot wait for a child")? {
                let outcome = if status.success() {
                    Outcome::Succeeded
                } else {
                    Outcome::Failed
                };
                return Ok((outcome, Some(status)));
            }
            let elapsed = started.elapsed();
            if self.timeout.is_some_and(|limit| elapsed > limit) {
                // it may have ended just now: nothing is lost either way
                let _ = child.kill();
                let _ = child.wait();
                return Ok((Outcome::TimedOut, None));
            }
            if elapsed > said {
                eprintln!(
                    "    … {} still running ({} s)",
                    self.name,
                    elapsed.as_secs()
                );
                said += HEARTBEAT;
            }
            thread::sleep(POLL);
        }
    }
}

/// Announces a step, does it, and says how long it took when that was noticeable.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {what}");
    let started = Instant::now();
    let result = work()?;
    let elapsed = started.elapsed();
    if elapsed >= Duration::from_secs(1) {
        eprintln!("    done in {:.1} s", elapsed.as_secs_f64());
    }
    Ok(result)
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    lines
        .iter()
        .skip(first)
        .map(|line| format!("    | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
