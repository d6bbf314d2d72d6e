//! The keys that entries are encrypted with, from a file that is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::files::{self, Stamp};
use crate::limits;

use super::cipher::Aes256Gcm;
use super::format;

/// The keys of the host's cryptography.
pub(super) type Keys = format::Keys<Aes256Gcm>;

/// The file, and what was last read of it.
pub(super) struct KeyFile {
    path: PathBuf,
    current: Arc<Mutex<Option<Current>>>,
}

struct Current {
    stamp: Stamp,
    keys: Arc<Keys>,
    /// It was said that what the file holds now cannot be used.
    said: bool,
}

impl KeyFile {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            current: Arc::default(),
        }
    }

    /// The keys as they are in the file now.
    pub(super) fn read(&self) -> Result<Keys, String> {
        read(&self.path)
    }

    /// The keys to use: those of the file, or while that cannot be used those that it had.
    pub(super) async fn current(&self) -> Result<Arc<Keys>, String> {
        let (path, current) = (self.path.clone(), Arc::clone(&self.current));
        let task = tokio::task::spawn_blocking(move || load(&path, &current));
        task.await.map_err(|error| error.to_string())?
    }
}

fn load(path: &Path, current: &Mutex<Option<Current>>) -> Result<Arc<Keys>, String> {
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    let stamp = Stamp::of(path).ok();
    if let Some(known) = &*current
        && stamp.as_ref() == Some(&known.stamp)
    {
        return Ok(Arc::clone(&known.keys));
    }
    match (read(path), stamp, &mut *current) {
        (Ok(keys), Some(stamp), _) => {
            let keys = Arc::new(keys);
            *current = Some(Current {
                stamp,
                keys: Arc::clone(&keys),
                said: false,
            });
            Ok(keys)
        }
        (Ok(keys), None, _) => Ok(Arc::new(keys)),
        (Err(reason), _, Some(known)) => {
            if !std::mem::replace(&mut known.said, true) {
                log::warn!("token store: {reason}; the keys from before stay in use");
            }
            Ok(Arc::clone(&known.keys))
        }
        (Err(reason), _, None) => Err(reason),
    }
}

fn read(path: &Path) -> Result<Keys, String> {
    let shown = format!("{} (host.token_store.encryption_keys_file)", path.display());
    let bytes = files::read_bounded(path, limits::TOKEN_STORE_KEYS_BYTES)
        .map_err(|error| format!("{shown} cannot be read now: {error}"))?;
    Keys::parse(&bytes).map_err(|reason| format!("{shown} cannot be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 32 bytes in base64.
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[tokio::test]
    async fn keys_are_read_again_and_kept_while_the_file_is_broken() {
        let folder = std::env::temp_dir().join(format!("edgepass-keys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("keys");
        let file = KeyFile::new(&path);
        assert!(file.current().await.err().unwrap().contains("no such file"));
        // the id of the key that encrypts is in what is encrypted, behind its length
        let first = async || {
            let keys = file.current().await.unwrap();
            let entry = keys
                .seal([0; 12], "", 0, zeroize::Zeroizing::default())
                .unwrap();
            let (_, rest) = entry.split_at(2);
            String::from_utf8(rest[..usize::from(entry[1])].to_vec()).unwrap()
        };
        std::fs::write(&path, format!("one {KEY}")).unwrap();
        assert_eq!(first().await, "one");
        std::fs::write(&path, format!("another {KEY}\none {KEY}")).unwrap();
        assert_eq!(first().await, "another");
        std::fs::write(&path, "another half-a-key").unwrap();
        assert_eq!(first().await, "another");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(first().await, "another");
        std::fs::write(&path, format!("third {KEY}")).unwrap();
        assert_eq!(first().await, "third");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
