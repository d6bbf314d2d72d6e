//! A system that trusts the emulator: the benchmark runs in a mount namespace of its own, in which the file of the
//! system's certification authorities has one more. So a client finds them where it does in production, with no
//! variable set, and gets a token.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

/// Set in the namespace.
const INSIDE: &str = "EDGEPASS_BENCH_MOUNTS";

/// Where the benchmark runs.
pub(crate) enum Place {
    /// In a namespace of its own.
    Inside,
    /// Not there, and why.
    Outside(String),
    /// It has run there, and this is how it ended.
    Done(ExitCode),
}

/// Runs this program in a namespace, if it can have one.
pub(crate) fn enter() -> Result<Place> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(Place::Inside);
    }
    let mut reason = String::new();
    // the second form is for who is not root
    for options in [&["--mount"][..], &["--mount", "--user", "--map-root-user"]] {
        let tried = Command::new("unshare")
            .args(options)
            .arg("true")
            .stdin(Stdio::null())
            .output();
        match tried {
            Ok(output) if output.status.success() => {
                let own = std::env::current_exe().context("cannot find this program")?;
                let status = Command::new("unshare")
                    .args(options)
                    .arg(own)
                    .args(std::env::args_os().skip(1))
                    .env(INSIDE, "1")
                    .status()
                    .context("cannot run unshare")?;
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                return Ok(Place::Done(ExitCode::from(code.unwrap_or(1))));
            }
            Ok(output) => {
                String::from_utf8_lossy(&output.stderr)
                    .trim()
                    .clone_into(&mut reason);
            }
            Err(e) => reason = format!("unshare (of the package util-linux): {e}"),
        }
    }
    Ok(Place::Outside(reason))
}

/// Adds a certification authority to the system's, for this namespace. `folder` is for the file.
pub(crate) fn add(ca: &Path, folder: &Path) -> Result<()> {
    let system = openssl_probe::probe()
        .cert_file
        .context("this system has no file of certification authorities: install ca-certificates")?;
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let both = folder.join("system-roots.pem");
    std::fs::write(&both, read(&system)? + &read(ca)?)
        .with_context(|| format!("cannot write {}", both.display()))?;
    let output = Command::new("mount")
        .arg("--bind")
        .args([&both, &system])
        .stdin(Stdio::null())
        .output()
        .context("cannot run mount")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("cannot mount over {}: {}", system.display(), reason.trim());
    }
    Ok(())
}
