//! Files as the platform leaves them: private ones, and volumes that change
//! all at once.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::clock::{real_now, stamp};

/// Keys and tokens are readable by their owner only.
const PRIVATE: u32 = 0o600;

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(bytes)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a directory (and what leads to it) that only its owner may enter.
pub(crate) fn make_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create the directory {}", path.display()))
}

/// A directory kept the way the kubelet keeps a projected volume: the files
/// are links through `..data`, itself a link to a directory named after the
/// time, and an update renames a new `..data` over the old one. A reader sees
/// all of one generation or all of the next.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    dir: PathBuf,
}

impl Volume {
    /// The volume at `dir`, made when absent.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        make_private_dir(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Replaces the whole content by `files`.
    pub(crate) fn write(&self, files: &[(&str, &[u8])]) -> Result<()> {
        let data = self.dir.join("..data");
        let previous = fs::read_link(&data).ok();

        let generation = generation_name();
        let fresh = self.dir.join(&generation);
        make_private_dir(&fresh)?;
        for (name, bytes) in files {
            write_private(&fresh.join(name), bytes)?;
        }

        let staged = self.dir.join("..data_tmp");
        // Left behind only by a writer that died between these two steps.
        let _ = fs::remove_file(&staged);
        symlink(&generation, &staged)
            .with_context(|| format!("cannot link {}", staged.display()))?;
        fs::rename(&staged, &data).with_context(|| format!("cannot swap {}", data.display()))?;

        for (name, _) in files {
            let visible = self.dir.join(name);
            if fs::symlink_metadata(&visible).is_err() {
                symlink(Path::new("..data").join(name), &visible)
                    .with_context(|| format!("cannot link {}", visible.display()))?;
            }
        }
        match previous.map(|old| fs::remove_dir_all(self.dir.join(old))) {
            // It was removed already, which is not an error.
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => Err(error)
                .with_context(|| format!("cannot remove what was in {}", self.dir.display())),
            _ => Ok(()),
        }
    }
}

/// `..2026_11_23_01_02_03.123456789`: the nanoseconds keep two updates within
/// one second apart.
fn generation_name() -> String {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .subsec_nanos();
    let date: String = stamp(real_now())
        .trim_end_matches('Z')
        .chars()
        .map(|c| if c.is_ascii_digit() { c } else { '_' })
        .collect();
    format!("..{date}.{nanos:09}")
}
