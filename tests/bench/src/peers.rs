//! The programs that are measured, and the conversation with those that keep running.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use edgepass_bench::{ONCE, SCOPE};
use serde_json::Value;

use crate::emulator::{CERT_FILE, Emulator};

/// Where `cargo xtask` tells of the interpreter that has azure-identity.
const PYTHON: &str = "EDGEPASS_PEERS_PYTHON";

/// Everything that must have been built.
pub(crate) struct Programs {
    pub(crate) edgepass: PathBuf,
    pub(crate) emulator: PathBuf,
    pub(crate) embedder: PathBuf,
    pub(crate) azure: PathBuf,
    pub(crate) component: PathBuf,
    pub(crate) precompiled: PathBuf,
    /// The client with the token store, where it was built.
    pub(crate) sharing: PathBuf,
    /// The engine's example for many users, where it was built.
    pub(crate) users: PathBuf,
    python: PathBuf,
    script: PathBuf,
}

impl Programs {
    pub(crate) fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .ancestors()
            .nth(2)
            .context("this crate has been moved")?;
        let built = |path: &str| {
            let file = root.join(path);
            if !file.is_file() {
                bail!("{path} is not built: run `cargo xtask bench`, which builds it");
            }
            Ok(file)
        };
        let python = std::env::var_os(PYTHON)
            .map_or_else(|| root.join("target/peers/py/bin/python"), PathBuf::from);
        if !python.is_file() {
            bail!(
                "the Azure SDK for Python is not installed ({} is missing): run `cargo xtask setup` or `cargo xtask bench`, or name a Python that has azure-identity in {PYTHON}",
                python.display()
            );
        }
        Ok(Self {
            edgepass: built("dist/edgepass")?,
            emulator: built("dist/edgepass-emulator")?,
            embedder: built("target/release/edgepass-bench-embedder")?,
            azure: built("target/release/edgepass-bench-azure")?,
            component: built("dist/credential-provider.wasm")?,
            precompiled: built("target/edgepass/credential-provider.cwasm")?,
            sharing: root.join("target/release/edgepass-bench-sharing"),
            users: root.join("target/release/examples/users"),
            python,
            script: here.join("python/client.py"),
        })
    }

    /// The version of a package of the Python peer.
    pub(crate) fn python_version(&self) -> Result<String> {
        let program = "import importlib.metadata as m, platform as p; print(m.version('azure-identity'), 'on Python', p.python_version())";
        let output = Command::new(&self.python)
            .args(["-c", program])
            .output()
            .context("cannot run Python")?;
        if !output.status.success() {
            bail!(
                "{} has no azure-identity: run `cargo xtask setup`",
                self.python.display()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Asks the emulator's control endpoint so many times.
    pub(crate) fn controls(
        &self,
        emulator: &Emulator,
        path: &str,
        body: &Value,
        times: usize,
    ) -> Result<Vec<Value>> {
        let mut command = emulator.command(&self.python);
        let output = command
            .arg(self.script.with_file_name("control.py"))
            .args([path, &body.to_string(), &times.to_string()])
            .env("EDGEPASS_BENCH_CONTROL", emulator.said("control")?)
            .output()
            .context("cannot run Python")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("the emulator was asked for {path}: {}", said.trim());
        }
        let lines = String::from_utf8_lossy(&output.stdout);
        let answers = lines.lines().map(serde_json::from_str);
        answers
            .collect::<Result<_, _>>()
            .context("the emulator's answer is no JSON")
    }

    /// The command line of a client.
    pub(crate) fn command(&self, who: Who, emulator: &Emulator) -> Command {
        match who {
            Who::Edgepass => emulator.command(&self.embedder),
            Who::Azure => emulator.command(&self.azure),
            Who::Python => {
                let mut command = emulator.command(&self.python);
                command.arg(&self.script);
                command
            }
        }
    }

    /// A process that gets one token and ends.
    pub(crate) fn once(&self, what: Once, emulator: &Emulator) -> Command {
        match what {
            Once::Command => {
                let mut command = emulator.command(&self.edgepass);
                command.args(["token", "--scope", SCOPE]);
                command
            }
            Once::Client(who) => {
                let mut command = self.command(who, emulator);
                command.arg(ONCE);
                command
            }
            Once::SystemRoots(what) => {
                let mut command = self.once(what.once(), emulator);
                command.env_remove(CERT_FILE);
                command
            }
        }
    }
}

/// The clients.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Who {
    /// edgepass as a library.
    Edgepass,
    /// azure_identity, Rust.
    Azure,
    /// azure-identity, Python.
    Python,
}

impl Who {
    pub(crate) const ALL: [Self; 3] = [Self::Edgepass, Self::Azure, Self::Python];
}

/// What gets one token in a new process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Once {
    /// The command `edgepass token`.
    Command,
    /// A client.
    Client(Who),
    /// The same with the system's certification authorities instead of one in a file.
    SystemRoots(Native),
}

/// What looks for the system's certification authorities; Python's HTTP library brings its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Native {
    Command,
    Edgepass,
    Azure,
}

impl Native {
    /// With one certification authority.
    pub(crate) fn once(self) -> Once {
        match self {
            Self::Command => Once::Command,
            Self::Edgepass => Once::Client(Who::Edgepass),
            Self::Azure => Once::Client(Who::Azure),
        }
    }
}

impl Once {
    pub(crate) const ALL: [Self; 7] = [
        Self::Command,
        Self::Client(Who::Edgepass),
        Self::Client(Who::Azure),
        Self::Client(Who::Python),
        Self::SystemRoots(Native::Command),
        Self::SystemRoots(Native::Edgepass),
        Self::SystemRoots(Native::Azure),
    ];

    pub(crate) fn trusts_system(self) -> bool {
        matches!(self, Self::SystemRoots(_))
    }
}

/// A client that runs. It has a token when this exists.
pub(crate) struct Peer {
    who: Who,
    child: Child,
    stdin: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(crate) fn start(who: Who, programs: &Programs, emulator: &Emulator) -> Result<Self> {
        Self::of(who, programs.command(who, emulator))
    }

    /// One of that command line.
    pub(crate) fn of(who: Who, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the client {who:?}"))?;
        let stdin = child.stdin.take().context("no pipe to the client")?;
        let stdout = child.stdout.take().context("no pipe from the client")?;
        let mut peer = Self {
            who,
            child,
            stdin,
            replies: BufReader::new(stdout).lines(),
        };
        peer.reply()?;
        Ok(peer)
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Nanoseconds; empty when the client has nothing of the kind.
    pub(crate) fn times(&mut self, question: &str) -> Result<Vec<f64>> {
        writeln!(self.stdin, "{question}")
            .with_context(|| format!("the client {:?} is gone", self.who))?;
        Ok(match self.reply()? {
            Value::Array(times) => times.iter().filter_map(Value::as_f64).collect(),
            _ => Vec::new(),
        })
    }

    /// What it has resident now, KiB.
    pub(crate) fn resident_kib(&mut self) -> Result<f64> {
        writeln!(self.stdin, "memory")
            .with_context(|| format!("the client {:?} is gone", self.who))?;
        let reply = self.reply()?;
        let resident = reply.get("rss").and_then(Value::as_f64);
        resident.with_context(|| format!("the client {:?} answered {reply}", self.who))
    }

    fn reply(&mut self) -> Result<Value> {
        let line = self
            .replies
            .next()
            .with_context(|| format!("the client {:?} ended; see above", self.who))??;
        serde_json::from_str(&line)
            .with_context(|| format!("the client {:?} answered {line}", self.who))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // nothing to be done about failures at the end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
