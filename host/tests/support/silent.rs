//! A file server that does not answer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

/// A file system of FUSE whose server takes no request. Whoever asks it for anything waits until it is gone.
pub(crate) struct Silent {
    folder: PathBuf,
    /// Ends the server.
    end: mpsc::Sender<()>,
}

impl Silent {
    /// An error is why this machine lets nobody mount one.
    pub(crate) fn mount(folder: &Path) -> Result<Self, String> {
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
