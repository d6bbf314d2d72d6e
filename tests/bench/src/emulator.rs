//! The token endpoint, in a process of its own so that its work is not in a client's.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::json;

/// The certification authorities of a client, if it is not to have the system's.
pub(crate) const CERT_FILE: &str = "SSL_CERT_FILE";

/// A running emulator. It ends when this is dropped.
pub(crate) struct Emulator {
    child: Child,
    dir: PathBuf,
    env: Vec<(String, String)>,
    /// What it has said when it was ready.
    ready: serde_json::Value,
}

impl Emulator {
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("edgepass-bench-{}", std::process::id()));
        let mut child = Command::new(program)
            .arg("--dir")
            .arg(&dir)
            .args(["--quiet", "--metadata-port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let ready = child.stdout.take().map(BufReader::new);
        // dropped, and so stopped, if anything below fails
        let mut emulator = Self {
            child,
            dir,
            env: Vec::new(),
            ready: serde_json::Value::Null,
        };
        let mut line = String::new();
        ready
            .context("the emulator has no output")?
            .read_line(&mut line)
            .context("the emulator says nothing")?;
        let ready: serde_json::Value =
            serde_json::from_str(&line).context("the emulator did not start")?;
        let file = ready
            .get("env_file")
            .and_then(|file| file.as_str())
            .context("the emulator names no env file")?;
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        emulator.env = text.lines().filter_map(export).collect();
        emulator.ready = ready;
        Ok(emulator)
    }

    /// Something of what it has said.
    pub(crate) fn said(&self, field: &str) -> Result<String> {
        let text = self.ready.get(field).and_then(|value| value.as_str());
        Ok(text
            .with_context(|| format!("the emulator names no {field}"))?
            .to_owned())
    }

    /// A file with its certificate and key, as SDKs want them.
    pub(crate) fn certificate_and_key(&self) -> Result<String> {
        let read = |field| {
            let file = self.said(field)?;
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))
        };
        let file = self.dir.join("pair.pem");
        std::fs::write(
            &file,
            read("private_key_file")? + &read("certificate_file")?,
        )
        .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file.display().to_string())
    }

    /// The command line of a client with edgepass that has the application's secret, and `host` as that section of its
    /// configuration, which is written to a file of that name.
    pub(crate) fn with_secret(
        &self,
        client: &Path,
        name: &str,
        host: &serde_json::Value,
    ) -> Result<Command> {
        let authority = self.said("login_authority")?;
        let config = json!({
            "identities": { "app": {
                "tenant_id": self.said("tenant")?,
                "client_id": self.said("client_id")?,
                "authority_host": authority,
                "credential": { "client_secret": { "file": self.said("secret_file")? } },
            } },
            "authority_hosts": [authority.trim_start_matches("https://")],
            "host": host,
        });
        let file = self.dir.join(format!("{name}.json"));
        std::fs::write(&file, config.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = self.command(client);
        without_identity(&mut command).env("EDGEPASS_CONFIG", &file);
        Ok(command)
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, and the file of the certification authority that clients are told to trust.
    pub(crate) fn trust(&self) -> Result<(&Path, &Path)> {
        let mut variables = self.env.iter();
        let ca = variables.find(|(name, _)| name == CERT_FILE);
        let (_, ca) = ca.with_context(|| format!("the emulator names no {CERT_FILE}"))?;
        Ok((&self.dir, Path::new(ca)))
    }

    /// A command with the environment of the emulator and nothing of this process's: no proxies, no other CAs.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // nothing to be done about failures at the end
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// What the configuration says is not said again.
pub(crate) fn without_identity(command: &mut Command) -> &mut Command {
    for name in [
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST",
    ] {
        command.env_remove(name);
    }
    command
}

/// `export NAME='value'`; the emulator's values have no quotes in them.
fn export(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    Some((name.to_owned(), value.trim_matches('\'').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::export;

    #[test]
    fn exports_are_read() {
        assert_eq!(
            export("export A='b=c d'"),
            Some(("A".to_owned(), "b=c d".to_owned()))
        );
        assert_eq!(export("# export"), None);
    }
}
