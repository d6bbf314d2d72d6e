//! The command, as a user runs it.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up may stop it; the lints spare only the test functions themselves"
)]

mod answers;
mod arguments;
mod check;
mod component;
mod configuration;
mod envoy_config;
mod files;
mod machine;
mod network;
mod other_files;
mod repeated;
mod secrets;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod unfilled;
mod variables;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, Output, Stdio};

use crate::support::Lab;

/// Runs `edgepass` in the emulator's environment and no other.
fn edgepass(lab: &Lab, arguments: &[&str]) -> Output {
    command(lab, arguments).output().unwrap()
}

fn command(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgepass"));
    let environment: BTreeMap<_, OsString> = lab
        .emulator
        .env()
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs a line of a shell at a terminal of its own, which `script` of util-linux gives it, and tells what is shown there.
#[cfg(target_os = "linux")]
fn at_a_terminal(lab: &Lab, line: &str) -> (Option<i32>, String) {
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .env_clear()
        .envs(lab.emulator.env())
        .env("SHELL", "/bin/sh")
        .env("EDGEPASS", env!("CARGO_BIN_EXE_edgepass"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout).to_owned())
}

/// As root of a user namespace of its own, which has its own processes and mounts. Where the machine has no such namespaces
/// for its users the test fails, or is left out (`None`) if `EDGEPASS_TEST_WITHOUT_NAMESPACES` says that this is known.
#[cfg(target_os = "linux")]
fn in_a_container(options: &[&str]) -> Option<Command> {
    let container = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]).args(options);
        command
    };
    let tried = container().arg("true").output().unwrap();
    if tried.status.success() {
        return Some(container());
    }
    let why = text(&tried.stderr);
    assert!(
        std::env::var_os("EDGEPASS_TEST_WITHOUT_NAMESPACES").is_some(),
        "this machine does not let its users have namespaces: {why}; where it cannot, set EDGEPASS_TEST_WITHOUT_NAMESPACES=1 to leave the test out"
    );
    None
}
