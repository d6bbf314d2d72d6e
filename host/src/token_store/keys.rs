//! The keys that entries are encrypted with, from a file that is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use edgepass_core::{ConfigError, without_byte_order_mark};
use zeroize::Zeroizing;

use super::{Fault, setting};
use crate::files::{self, Stamp};
use crate::limits;

/// The setting that names the file.
const FIELD: &str = "encryption_keys_file";

/// Bytes of a key of AES-256.
const KEY_BYTES: usize = 32;

/// The longest id of a key.
pub(super) const MAX_ID_BYTES: usize = 64;

/// Keys in the file: one that encrypts, and those before it that entries are still encrypted with.
const MAX_KEYS: usize = 16;

/// base64 as tools write it, with `=` at the end or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys of a file, in their order: there is one at least.
pub(super) struct Keys(Vec<(String, LessSafeKey)>);

impl Keys {
    /// The one that encrypts, with its id.
    pub(super) fn first(&self) -> Option<(&str, &LessSafeKey)> {
        self.0.first().map(|(id, key)| (id.as_str(), key))
    }

    pub(super) fn get(&self, id: &[u8]) -> Option<&LessSafeKey> {
        let mut keys = self.0.iter();
        keys.find(|(known, _)| known.as_bytes() == id)
            .map(|(_, key)| key)
    }

    /// Reads lines of an id and a key. Those that are blank or begin with `#` are left out. What is wrong with one is said
    /// without what stands in it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<(String, LessSafeKey)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| format!("line {}: {what}", index + 1);
            let (id, encoded) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong("an id, a space and a key are needed"))?;
            let is_id = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            if id.is_empty() || id.len() > MAX_ID_BYTES || !id.chars().all(is_id) {
                return Err(wrong(
                    "the id has other characters than letters, digits and `.-_`, or more than 64",
                ));
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(wrong("there is another key of that id"));
            }
            if keys.len() >= MAX_KEYS {
                return Err(wrong("there are more than 16 keys"));
            }
            let key = BASE64.decode(encoded.trim()).map(Zeroizing::new);
            let key = key.ok().filter(|key| key.len() == KEY_BYTES);
            let key = key.ok_or_else(|| {
                wrong("the key is not 32 bytes in base64; `openssl rand -base64 32` makes one")
            })?;
            let key = UnboundKey::new(&AES_256_GCM, &key);
            let key = key.map_err(|_| wrong("the key is refused"))?;
            keys.push((id.to_owned(), LessSafeKey::new(key)));
        }
        match keys.is_empty() {
            true => Err(
                "there is no key in it; a line is an id, a space, and the output of `openssl rand -base64 32`"
                    .to_owned(),
            ),
            false => Ok(Self(keys)),
        }
    }
}

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
        mended(path, known.fault.take());
        return Ok(Arc::clone(&known.keys));
    }
    match (read(path), stamp, &mut *current) {
        (Ok(keys), Some(stamp), before) => {
            mended(path, before.as_mut().and_then(|known| known.fault.take()));
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

fn mended(path: &Path, fault: Option<Fault>) {
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
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| fault("cannot be used: it is not text in UTF-8".to_owned()))?;
    let text = without_byte_order_mark(text);
    Keys::parse(text).map_err(|reason| fault(format!("cannot be used: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 32 bytes in base64.
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_file_of_keys_is_read_line_by_line() {
        let unpadded = KEY.trim_end_matches('=');
        let text = format!("# the new one\r\nnew {unpadded}\r\n\nold\t {KEY} \n");
        let keys = Keys::parse(&text).unwrap();
        assert_eq!(keys.first().map(|(id, _)| id), Some("new"));
        assert!(keys.get(b"old").is_some() && keys.get(b"older").is_none());

        let many: String = (0..17).map(|n| format!("k{n} {KEY}\n")).collect();
        for (text, says) in [
            (String::new(), "there is no key"),
            ("# nothing".to_owned(), "openssl rand"),
            (KEY.to_owned(), "line 1: an id, a space"),
            (format!("a {KEY}\na {KEY}"), "line 2: there is another key"),
            (format!("a/b {KEY}"), "line 1: the id"),
            (format!("{} {KEY}", "a".repeat(65)), "line 1: the id"),
            (
                "a aHVudGVyMg==".to_owned(),
                "line 1: the key is not 32 bytes",
            ),
            (format!("a {KEY} {KEY}"), "line 1: the key is not 32 bytes"),
            (many, "line 17: there are more than 16"),
        ] {
            let error = Keys::parse(&text).err().unwrap();
            assert!(error.contains(says), "{says}: {error}");
            assert!(
                !error.contains("aHVudGVyMg") && !error.contains(KEY),
                "{error}"
            );
        }
    }

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
            keys.first().map(|(id, _)| id.to_owned()).unwrap()
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
