//! Token files on a file system that somebody serves, and who serves does not answer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use edgepass::{Refresh, TokenRequest};
use serde_json::json;

use crate::providers::graph;
use crate::support::Lab;

/// A file system of FUSE whose server takes no request. Whoever asks it for anything waits until it is gone.
struct Silent {
    folder: PathBuf,
    /// Ends the server.
    end: mpsc::Sender<()>,
}

impl Silent {
    /// An error is why this machine lets nobody mount one.
    fn mount(folder: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(folder).unwrap();
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|e| format!("/dev/fuse: {e}"))?;
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse"])
            .args(["-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "silent"])
            .arg(folder)
            .stdin(device.try_clone().unwrap())
            .output()
            .map_err(|e| format!("mount: {e}"))?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).into_owned());
        }
        let (end, ended) = mpsc::channel();
        std::thread::spawn(move || {
            // so that a test that waits for it fails, and does not stay for ever
            let _ = ended.recv_timeout(Duration::from_secs(60));
            drop(device);
        });
        Ok(Self {
            folder: folder.to_owned(),
            end,
        })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.end.send(());
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

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
