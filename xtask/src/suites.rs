//! Runs the programs that `cargo test` makes, those of some packages at a time.
//!
//! Cargo runs what it has selected, and what is selected decides the features of everything: with fewer packages the tests
//! would be compiled again. So cargo compiles them all, and says where they are.

use crate::sh::Cmd;
use crate::test::counted;
use crate::workspace;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

/// A program of tests.
pub(crate) struct Suite {
    /// The package that it tests.
    pub(crate) package: String,
    /// Where that is, and where cargo would run it.
    folder: PathBuf,
    /// The source file, from there.
    pub(crate) source: String,
    program: PathBuf,
}

/// Compiles the tests of a selection, `cargo test` with its packages, and lists them in cargo's order.
pub(crate) fn compile(cmd: Cmd) -> Result<Vec<Suite>> {
    let mut cmd = cmd.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    cmd.inner().stdout(Stdio::piped());
    let mut child = cmd.spawn()?;
    // to its end, whatever it prints: cargo goes on only while somebody reads
    let lines: Vec<_> = match child.stdout.take() {
        Some(pipe) => BufReader::new(pipe).lines().collect(),
        None => Vec::new(),
    };
    if !child.wait().context("cannot wait for cargo")?.success() {
        bail!("`{}` failed", cmd.line());
    }
    let mut suites = Vec::new();
    for line in lines {
        let line = line.context("cannot read what cargo prints")?;
        let message: Value = serde_json::from_str(&line)
            .with_context(|| format!("cargo printed {line:?}, which is no JSON"))?;
        suites.extend(suite(&message));
    }
    // cargo reports them as they are finished
    suites.sort_by(|a, b| (&a.package, &a.source).cmp(&(&b.package, &b.source)));
    Ok(suites)
}

/// What cargo says of a program of tests.
fn suite(message: &Value) -> Option<Suite> {
    if message.pointer("/profile/test")? != &Value::Bool(true) {
        return None;
    }
    let text = |pointer: &str| message.pointer(pointer)?.as_str();
    let folder = PathBuf::from(text("/manifest_path")?).parent()?.to_owned();
    let source = PathBuf::from(text("/target/src_path")?);
    let source = source.strip_prefix(&folder).unwrap_or(&source);
    // `path+file:///…/host/cli#edgepass-cli@0.1.0`, and `…/host/edgepass#0.1.0` where the folder has the package's name
    let (place, version) = text("/package_id")?.rsplit_once('#')?;
    let package = match version.split_once('@') {
        Some((package, _)) => package,
        None => place.rsplit('/').next()?,
    };
    Some(Suite {
        package: package.to_owned(),
        source: source.display().to_string(),
        program: PathBuf::from(text("/executable")?),
        folder,
    })
}

/// Runs them one after another, to the last one whatever fails; `with` says what else a run is told.
pub(crate) fn run<'s>(
    suites: impl Iterator<Item = &'s Suite>,
    with: impl Fn(Cmd) -> Cmd,
) -> Result<()> {
    let mut failed = Vec::new();
    let mut total = crate::test::Total::default();
    for suite in suites {
        let Suite {
            package, source, ..
        } = suite;
        eprintln!("     Running {source} of {package}");
        let cmd = Cmd::new(&suite.program)
            .dir(&suite.folder)
            // as cargo tells it
            .env("CARGO_MANIFEST_DIR", &suite.folder)
            .env("CARGO_PKG_NAME", package)
            .env("CARGO", workspace::cargo());
        if !counted(with(cmd), &mut total)? {
            failed.push(format!("{source} of {package}"));
        }
    }
    total.say()?;
    if !failed.is_empty() {
        bail!("tests failed: {}", failed.join(", "));
    }
    total.some()
}

#[cfg(test)]
mod tests {
    use super::suite;
    use serde_json::json;

    #[test]
    fn a_program_of_tests_is_known_by_what_cargo_says_of_it() {
        for (id, executable, is_test, expected) in [
            (
                "path+file:///t/host/cli#edgepass-cli@0.1.0",
                Some("/t/x"),
                true,
                Some("edgepass-cli"),
            ),
            (
                "path+file:///t/host/edgepass#0.1.0",
                Some("/t/x"),
                true,
                Some("edgepass"),
            ),
            (
                "path+file:///t/host/cli#edgepass-cli@0.1.0",
                Some("/t/x"),
                false,
                None,
            ),
            (
                "path+file:///t/host/cli#edgepass-cli@0.1.0",
                None,
                true,
                None,
            ),
        ] {
            let message = json!({
                "reason": "compiler-artifact",
                "package_id": id,
                "manifest_path": "/t/host/cli/Cargo.toml",
                "target": { "src_path": "/t/host/cli/tests/command.rs" },
                "profile": { "test": is_test },
                "executable": executable,
            });
            let found = suite(&message);
            let found = found.as_ref();
            assert_eq!(found.map(|suite| suite.package.as_str()), expected, "{id}");
            if let Some(suite) = found {
                assert_eq!(suite.source, "tests/command.rs");
            }
        }
        assert!(suite(&json!({ "reason": "build-finished", "success": true })).is_none());
    }
}
