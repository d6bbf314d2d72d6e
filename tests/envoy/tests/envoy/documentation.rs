//! The documentation names what there is. What it shows is compared in `generated`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use edgepass_envoy_tests::{Version, filter_path, folder};

use super::generated::{edgepass, root};

const PAGE: &str = include_str!("../../../../docs/envoy.md");

#[test]
fn every_metric_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filters/envoy/src/metrics.rs");
    let text = fs::read_to_string(path).unwrap();
    let names: Vec<&str> = text
        .split('"')
        .filter(|part| part.starts_with("edgepass_"))
        .filter_map(|name| name.split(['{', '.']).next())
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(PAGE.contains(name), "docs/envoy.md does not name {name}");
    }
}

/// The commands of `Try it` do as the page says, in a folder that looks like a clone where everything is built. Only the
/// ports are others: somebody may be using those.
#[test]
fn it_can_be_tried_as_the_page_says() {
    let (_, rest) = PAGE.split_once("```bash\n").unwrap();
    let (script, rest) = rest.split_once("```").unwrap();
    let (_, rest) = rest.split_once("```text\n").unwrap();
    let (expected, _) = rest.split_once("```").unwrap();
    let dir = folder().unwrap();
    for made in ["dist", "target/try", "target/peers/envoy/envoy/_bin"] {
        fs::create_dir_all(dir.join(made)).unwrap();
    }
    let there = |path: &Path| fs::canonicalize(path).unwrap();
    for (path, name) in [
        (edgepass(), "dist/edgepass"),
        (
            root().join("dist/edgepass-emulator"),
            "dist/edgepass-emulator",
        ),
        (filter_path().unwrap(), "dist/edgepass-envoy.wasm"),
        (
            Version::Main.program().unwrap(),
            "target/peers/envoy/envoy/_bin/envoy",
        ),
        (root().join("docs"), "docs"),
    ] {
        symlink(there(&path), dir.join(name)).unwrap();
    }
    let mut script = format!("set -e\n{script}");
    // both at once, so that they are not the same
    let free = ["8080", "8081"].map(|port| (port, TcpListener::bind("127.0.0.1:0").unwrap()));
    for (port, free) in free {
        assert!(script.contains(port), "{script}");
        script = script.replace(port, &free.local_addr().unwrap().port().to_string());
    }
    let log = dir.join("log");
    let said = File::create(&log).unwrap();
    // a process group of its own, so that whatever it leaves running can be ended
    let mut shell = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&dir)
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .process_group(0)
        .spawn()
        .unwrap();
    let status = shell.wait().unwrap();
    let group = format!("-{}", shell.id());
    Command::new("kill")
        .args(["--", &group])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(status.success(), "{status}\n{script}\n---\n{said}");
    for line in expected.lines() {
        assert!(said.contains(line), "{line}\n---\n{said}");
    }
    fs::remove_dir_all(dir).unwrap();
}
