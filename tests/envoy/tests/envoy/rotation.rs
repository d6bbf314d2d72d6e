//! Files that change, in the ways in which they do, with the configuration that the command prints. The next exchange is
//! made with what is in the file then.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;

use edgepass_envoy_tests::{Envoy, Lab, Upstream, Version, get, until};
use serde_json::json;

use crate::generated::{generated, plain};

/// Writes a token file, for the first time or again: the folder, its number, and the token.
type Writer = fn(&Path, u32, &str);

/// The volume of the Azure Workload Identity webhook: the file is in a folder that is a link behind `..data`.
const TOKEN: &str = "token/azure-identity-token";

fn volume(dir: &Path, number: u32, token: &str) {
    let state = format!("..2026_11_26_00_00_0{number}.1");
    fs::create_dir_all(dir.join(&state).join("token")).unwrap();
    fs::write(dir.join(&state).join(TOKEN), token).unwrap();
    symlink(&state, dir.join("..data_tmp")).unwrap();
    let before = fs::read_link(dir.join("..data"));
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    match before {
        Ok(before) => fs::remove_dir_all(dir.join(before)).unwrap(),
        Err(_) => symlink("..data/token", dir.join("token")).unwrap(),
    }
}

fn renamed(dir: &Path, _: u32, token: &str) {
    fs::create_dir_all(dir.join("token")).unwrap();
    fs::write(dir.join("token/new"), token).unwrap();
    fs::rename(dir.join("token/new"), dir.join(TOKEN)).unwrap();
}

fn in_place(dir: &Path, _: u32, token: &str) {
    fs::create_dir_all(dir.join("token")).unwrap();
    fs::write(dir.join(TOKEN), token).unwrap();
}

/// What the filter gets when it asks for a file.
fn served(envoy: &Envoy, path: &Path) -> String {
    let mut stream = UnixStream::connect(envoy.dir().join("token_files.sock")).unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        path.display()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn rotates(version: Version, write: Writer, more: &[&str]) {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(60, Some(2));
    let upstream = Upstream::start().unwrap();
    let dir = lab.dir().join("rotated");
    let first = lab.workload_token().unwrap();
    write(&dir, 1, &first);
    let path = dir.join(TOKEN);
    let mut config = plain(&lab);
    config["identities"]["app"]["credential"] = json!({"federated_token_file": {"path": path}});
    let print = |dir: &Path| generated(&lab, upstream.port(), dir, &config, more);
    let envoy = Envoy::start_version(version, 2, print).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    assert_eq!(lab.assertions(), [first.as_str()]);

    for number in 2..4 {
        lab.emulator.rotate_token().unwrap();
        let after = lab.workload_token().unwrap();
        write(&dir, number, &after);
        until("Envoy has read the file", || {
            served(&envoy, &path).ends_with(&after)
        })
        .unwrap();
        // one exchange may be under way with what was read before
        let asked = lab.assertions().len();
        until("two more exchanges", || lab.assertions().len() >= asked + 2).unwrap();
        let assertions = lab.assertions();
        assert!(assertions[asked + 1..].iter().all(|one| *one == after));
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    }
    let answered = lab.emulator.token_requests();
    assert!(
        answered
            .iter()
            .all(|asked| asked.status.is_none_or(|status| status == 200))
    );
}

#[test]
fn a_volume_whose_folders_are_links() {
    rotates(Version::Main, volume, &[]);
}

#[test]
fn a_volume_whose_folders_are_links_by_the_file_server() {
    rotates(Version::Main, volume, &["--file-server"]);
}

#[test]
fn a_file_that_is_renamed_into_place() {
    rotates(Version::Main, renamed, &[]);
}

#[test]
fn a_file_that_is_written_in_place() {
    rotates(Version::Main, in_place, &[]);
}

#[test]
fn a_file_that_is_written_in_place_by_the_file_server() {
    rotates(Version::Main, in_place, &["--file-server"]);
}

#[test]
fn envoy_1_39_notices_what_is_written_in_place() {
    rotates(Version::V1_39, in_place, &[]);
}

#[test]
fn envoy_1_37_notices_what_is_moved() {
    rotates(Version::V1_37, volume, &["--no-watch-modify"]);
    rotates(Version::V1_37, renamed, &["--no-watch-modify"]);
}
