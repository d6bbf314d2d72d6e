//! Limits of the machine: files to open, address space, a full disk, a container's first process.

use std::process::{Command, Stdio};

#[cfg(target_os = "linux")]
use super::in_a_container;
use super::text;
use crate::support::{GRAPH, Lab};

/// Every limit from the one at which the loader finds its libraries.
#[cfg(target_os = "linux")]
#[test]
fn too_few_files_to_open_are_an_error_and_no_panic() {
    let lab = Lab::new();
    let mut good = 0;
    for limit in 5..=24 {
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_edgepass")])
            .args(["token", "-s", GRAPH, "-o", "token"])
            .env_clear()
            .envs(lab.emulator.env())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(!said.contains("panicked"), "{limit}: {said}");
        if limit < 12 {
            assert_eq!(output.status.code(), Some(2), "{limit}: {said}");
            let line = "RLIMIT_NOFILE: this process may open too few files: Too many open files";
            assert!(
                said.contains(line) && said.contains("ulimit -n"),
                "{limit}: {said}"
            );
        }
        good += u32::from(output.status.success());
    }
    assert!(good > 0, "24 files are enough");
}

#[cfg(target_os = "linux")]
#[test]
fn a_container_whose_first_process_it_is_can_be_stopped() {
    use std::time::{Duration, Instant};

    for (signal, number) in [("TERM", 15_u32), ("INT", 2), ("HUP", 1)] {
        let Some(mut container) = in_a_container(&["--pid", "--fork", "--kill-child"]) else {
            return;
        };
        let mut child = container
            .arg(env!("CARGO_BIN_EXE_edgepass"))
            .args(["config", "check", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux runs");
        // it waits for its standard input, which stays open; the signal is for when its handler is there
        let began = Instant::now();
        let first = loop {
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let status = children.trim().parse::<u32>().ok().map(|first| {
                (
                    first,
                    std::fs::read_to_string(format!("/proc/{first}/status")).unwrap_or_default(),
                )
            });
            let caught = |status: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
                line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            };
            let is_edgepass = |status: &str| status.starts_with("Name:\tedgepass\n");
            match status {
                Some((first, status))
                    if is_edgepass(&status)
                        && caught(&status).is_some_and(|mask| mask & (1 << (number - 1)) != 0) =>
                {
                    break first;
                }
                _ => {}
            }
            assert!(
                child.try_wait().unwrap().is_none(),
                "user namespaces are needed: {child:?}"
            );
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no handler of {signal}"
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let sent = Command::new("kill")
            .args(["-s", signal, &first.to_string()])
            .status();
        assert!(sent.unwrap().success());
        assert_eq!(
            child.wait().unwrap().code(),
            Some(128 + number as i32),
            "{signal}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_said() {
    let lab = Lab::new();
    for arguments in ["token -s SCOPE", "config schema", "--version", "--help"] {
        for place in [">/dev/full", "1</dev/null", "1</tmp"] {
            // clap writes help itself, by the standard library
            if arguments.starts_with("--") && place != ">/dev/full" {
                continue;
            }
            let arguments = arguments.replace("SCOPE", GRAPH);
            let line = format!("exec \"$EDGEPASS\" {arguments} {place}");
            let output = Command::new("sh")
                .args(["-c", &line])
                .env_clear()
                .envs(lab.emulator.env())
                .env("EDGEPASS", env!("CARGO_BIN_EXE_edgepass"))
                .output()
                .unwrap();
            assert_eq!(
                output.status.code(),
                Some(1),
                "{line}: {}",
                text(&output.stderr)
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn a_limit_of_address_space_is_named_with_its_fix() {
    let lab = Lab::new();
    let script = format!(
        "ulimit -v 4000000 && exec {} token --scope {GRAPH}",
        env!("CARGO_BIN_EXE_edgepass")
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .envs(lab.emulator.env())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for part in ["3906 MiB", "ulimit -v unlimited", "memory.max"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(lab.emulator.token_requests().is_empty());
}
