//! The `edgepass` command, run as a user runs it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::lab::Lab;
use crate::paths::edgepass_bin;

/// A run to come.
pub struct Command<'l> {
    lab: &'l Lab,
    program: std::path::PathBuf,
    arguments: Vec<String>,
    env: BTreeMap<String, String>,
    input: String,
}

impl<'l> Command<'l> {
    pub(crate) fn new(lab: &'l Lab, arguments: &[&str]) -> Result<Self> {
        let mut command = Self::other(lab, &edgepass_bin()?);
        command
            .arguments
            .extend(arguments.iter().map(ToString::to_string));
        Ok(command)
    }

    /// Another program in the same environment.
    #[must_use]
    pub fn other(lab: &'l Lab, program: &Path) -> Self {
        let mut env = lab.env();
        // the only thing that a shell script needs of the machine
        env.insert("PATH".into(), std::env::var("PATH").unwrap_or_default());
        Self {
            lab,
            program: program.to_owned(),
            arguments: Vec::new(),
            env,
            input: String::new(),
        }
    }

    /// With that on standard input.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        self.input = text.to_owned();
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With that variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Without that variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// Without any `AZURE_…` variable.
    #[must_use]
    pub fn without_azure(mut self) -> Self {
        self.env.retain(|name, _| !name.starts_with("AZURE_"));
        self
    }

    /// With no variable but `PATH`.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.env.retain(|name, _| name == "PATH");
        self
    }

    /// With a configuration file of that content, and nothing from the `AZURE_…` variables.
    pub fn config(self, config: &Value) -> Result<Self> {
        self.config_text(&config.to_string())
    }

    /// With a configuration file of that content, whatever it is.
    pub fn config_text(self, text: &str) -> Result<Self> {
        let path = self.lab.write("config.json", text)?;
        Ok(self
            .without_azure()
            .arg("--config")
            .arg(path.display().to_string()))
    }

    /// Starts it, for a test that asks something of it while it runs. Standard output is to be read; standard error is the
    /// test's own.
    pub fn spawn(&self) -> Result<process::Child> {
        self.start(process::Stdio::null(), process::Stdio::inherit())
    }

    /// The same with standard error to that place.
    pub fn spawn_with_stderr(&self, stderr: process::Stdio) -> Result<process::Child> {
        self.start(process::Stdio::null(), stderr)
    }

    fn start(&self, stdin: process::Stdio, stderr: process::Stdio) -> Result<process::Child> {
        process::Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.env)
            .stdin(stdin)
            .stdout(process::Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Ran> {
        let mut child = self.start(process::Stdio::piped(), process::Stdio::piped())?;
        if let Some(mut stdin) = child.stdin.take() {
            // who does not read it may end before it is written
            match stdin.write_all(self.input.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.context("cannot write standard input")?,
            }
        }
        let output = child.wait_with_output()?;
        let ran = Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        let what = format!("{} {}", self.program.display(), self.arguments.join(" "));
        self.lab
            .evidence
            .saw(&format!("{what}: standard error"), &ran.stderr);
        self.lab.evidence.saw(
            &format!("{what}: standard output"),
            &ran.stdout_without_token(self.lab),
        );
        Ok(ran)
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit status; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// The JSON of a run that got a token.
    pub fn token(&self) -> Result<Value> {
        ensure!(
            self.code == Some(0),
            "exit status {:?}: {}",
            self.code,
            self.stderr
        );
        serde_json::from_str(&self.stdout).context("standard output is not JSON")
    }

    /// The error of a run that got none: exit status, and what `--format json` says.
    pub fn error(&self) -> Result<(i32, Value)> {
        let code = self.code.context("ended by a signal")?;
        ensure!(code != 0, "it succeeded");
        ensure!(
            self.stdout.is_empty(),
            "there is standard output beside the error"
        );
        // log lines come before it
        let line = self.stderr.lines().last().unwrap_or_default();
        let json: Value = serde_json::from_str(line)
            .with_context(|| format!("standard error does not end in JSON: {}", self.stderr))?;
        let error = json.get("error").context("the JSON has no `error`")?;
        Ok((code, error.clone()))
    }

    /// Standard output is where tokens belong, and what a sign-in has to remember: each is put on record as a secret, and what
    /// is around it as output.
    fn stdout_without_token(&self, lab: &Lab) -> String {
        const SECRETS: [&str; 4] = ["access_token", "refresh_token", "id_token", "code_verifier"];
        let secrets: Vec<(&str, String)> = match serde_json::from_str::<Value>(&self.stdout) {
            Ok(json) => {
                let of = |name| Some((name, json.get(name)?.as_str()?.to_owned()));
                SECRETS.into_iter().filter_map(of).collect()
            }
            // `--format header` and `--format token`: one line, the last word of which is the token
            Err(_) if self.code == Some(0) && self.stdout.lines().count() == 1 => {
                let last = self.stdout.split_whitespace().last();
                let token = last.filter(|word| word.len() > 100);
                let token = token.map(|token| ("access_token", token.to_owned()));
                token.into_iter().collect()
            }
            Err(_) => Vec::new(),
        };
        let mut stdout = self.stdout.clone();
        for (name, secret) in secrets.iter().filter(|(_, secret)| secret.len() >= 24) {
            lab.evidence.secret(name, secret);
            // once: a second time would be a leak
            stdout = stdout.replacen(secret, &format!("(the {name})"), 1);
        }
        stdout
    }
}
