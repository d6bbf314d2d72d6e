//! Token files on a file system that somebody serves, and who serves does not answer.

use std::process::Command;

use edgepass::{Refresh, TokenRequest};
use serde_json::json;

use crate::providers::graph;
use crate::support::Lab;
use crate::support::silent::Silent;

// one thread: who blocks it blocks everybody
#[tokio::test]
async fn a_file_server_that_hangs_keeps_nobody_else_waiting() {
    let lab = Lab::new();
    let folder = lab.root().join("silent");
    let path = folder.join("token");
    let stuck = lab
        .configured(&json!({ "federated_token_file": { "path": path } }))
        .build()
        .await
        .unwrap();
    // First the same file is on a file system of this machine, and read in place. The kernel may give the numbers of that
    // mount to the next one.
    std::fs::create_dir_all(&folder).unwrap();
    let local = Command::new("mount")
        .args(["-t", "tmpfs", "local"])
        .arg(&folder)
        .output();
    let was_there = local.is_ok_and(|local| local.status.success());
    if was_there {
        std::fs::copy(lab.files.token_file(), &path).unwrap();
        stuck.get_token(&graph()).await.unwrap();
        let unmounted = Command::new("umount").arg(&folder).status().unwrap();
        assert!(unmounted.success(), "the file is read and closed");
    }
    let silent = match Silent::mount(&folder) {
        Ok(silent) => silent,
        Err(why) => {
            eprintln!("not tested: this machine does not let its users mount a file system: {why}");
            return;
        }
    };
    let again = TokenRequest {
        refresh: Refresh::Force,
        ..graph()
    };
    let call = tokio::spawn(async move { stuck.get_token(&again).await });
    // it is polled before this
    tokio::task::yield_now().await;
    let other = lab.federated().build().await.unwrap();
    other.get_token(&graph()).await.unwrap();
    assert!(!call.is_finished(), "nobody has answered");
    // its requests fail now
    drop(silent);
    match call.await.unwrap() {
        // what was read last is good for a while
        Ok(_) => assert!(was_there, "it had nothing to present"),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("silent/token"), "{error}");
        }
    }
}
