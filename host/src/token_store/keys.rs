//! The keys that entries are encrypted with, from a file that is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use edgepass_core::ConfigError;

use super::cipher::Aes256Gcm;
use super::{Fault, format, setting};
use crate::files::{self, Stamp};
use crate::limits;

/// The setting that names the file.
const FIELD: &str = "encryption_keys_file";

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
    /// Why what the file holds now cannot be used, which was said.
    fault: Option<Fault>,
}

impl KeyFile {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            current: Arc::default(),
        }
    }

    /// The keys as they are in the file now.
    pub(super) fn read(&self) -> Result<Keys, Fault> {
        read(&self.path)
    }

    /// The keys to use: those of the file, or while that cannot be used those that it had.
    pub(super) async fn current(&self) -> Result<Arc<Keys>, Fault> {
        let (path, current) = (self.path.clone(), Arc::clone(&self.current));
        let task = tokio::task::spawn_blocking(move || load(&path, &current));
        task.await
            .map_err(|error| ConfigError::new(setting(FIELD), error.to_string()))?
    }

    /// Why what the file holds now is not used, where its keys from before are.
    pub(super) fn fault(&self) -> Option<Fault> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().and_then(|current| current.fault.clone())
    }
}

fn load(path: &Path, current: &Mutex<Option<Current>>) -> Result<Arc<Keys>, Fault> {
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    let stamp = Stamp::of(path).ok();
    if let Some(known) = &mut *current
        && stamp.as_ref() == Some(&known.stamp)
    {
        mended(path, known.fault.take().as_ref());
        return Ok(Arc::clone(&known.keys));
    }
    match (read(path), stamp, &mut *current) {
        (Ok(keys), Some(stamp), before) => {
            let fault = before.as_mut().and_then(|known| known.fault.take());
            mended(path, fault.as_ref());
            let keys = Arc::new(keys);
            *before = Some(Current {
                stamp,
                keys: Arc::clone(&keys),
                fault: None,
            });
            Ok(keys)
        }
        (Ok(keys), None, _) => Ok(Arc::new(keys)),
        (Err(fault), _, Some(known)) => {
            if known.fault.as_ref() != Some(&fault) {
                log::warn!("token store: {fault}; the keys from before stay in use");
                known.fault = Some(fault);
            }
            Ok(Arc::clone(&known.keys))
        }
        (Err(fault), _, None) => Err(fault),
    }
}

fn mended(path: &Path, fault: Option<&Fault>) {
    if fault.is_some() {
        log::info!("token store: {} can be used again", path.display());
    }
}

fn read(path: &Path) -> Result<Keys, Fault> {
    let fault = |what: String| {
        ConfigError::new(setting(FIELD), format!("{} {what}", path.display()))
            .hint("a line is an id, a space, and the output of `openssl rand -base64 32`; all instances have the same file")
    };
    let bytes = files::read_bounded(path, limits::TOKEN_STORE_KEYS_BYTES)
        .map_err(|error| fault(format!("cannot be read now: {error}")))?;
    Keys::parse(&bytes).map_err(|reason| fault(format!("cannot be used: {reason}")))
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
        let fault = file.current().await.err().unwrap().to_string();
        assert!(
            fault.contains("no such file") && fault.contains("openssl"),
            "{fault}"
        );
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
