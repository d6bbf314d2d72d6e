//! The world outside: every import is called here and nowhere else.

use std::cell::RefCell;
use std::rc::Rc;

use wit_bindgen::StreamResult;
use zeroize::Zeroizing;

use crate::adapter::{Adapter, Fault, World};
use crate::bindings::wasi::cli::{environment, stderr};
use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};
use crate::bindings::wasi::filesystem::preopens;
use crate::bindings::wasi::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use crate::bindings::wasi::keyvalue::store::{self, Bucket, Error};
use crate::bindings::wasi::random::random;
use crate::bindings::wit_stream;
use crate::format::NONCE_BYTES;

/// The path of the file of keys.
const KEYS_FILE: &str = "EDGEPASS_TOKEN_STORE_KEYS_FILE";

/// What stands in that file, where there are no files.
const KEYS: &str = "EDGEPASS_TOKEN_STORE_KEYS";

/// The name of the bucket.
const BUCKET: &str = "EDGEPASS_TOKEN_STORE_BUCKET";

/// What keys in the bucket begin with.
const KEY_PREFIX: &str = "EDGEPASS_TOKEN_STORE_KEY_PREFIX";

/// The file of keys, bytes: sixteen lines, and comments.
const MAX_KEYS_FILE_BYTES: usize = 16 * 1024;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What the component imports, as its environment says.
pub(crate) struct Outside {
    keys: Source,
    bucket: String,
    opened: RefCell<Option<Rc<Bucket>>>,
}

/// Where the keys are.
enum Source {
    File(String),
    Lines(Zeroizing<String>),
    Nowhere,
}

impl Outside {
    /// The adapter that the environment describes.
    pub(crate) fn adapter() -> Adapter<Self> {
        let (mut file, mut lines, mut bucket, mut prefix) = (None, None, String::new(), None);
        for (name, value) in environment::get_environment() {
            let value = Zeroizing::new(value);
            let is_set = !value.trim().is_empty();
            match name.as_str() {
                KEYS_FILE if is_set => file = Some(value.as_str().to_owned()),
                KEYS if is_set => lines = Some(value),
                BUCKET => value.as_str().clone_into(&mut bucket),
                KEY_PREFIX if is_set => prefix = Some(value.as_str().to_owned()),
                _ => {}
            }
        }
        let keys = match (file, lines) {
            (Some(path), _) => Source::File(path),
            (None, Some(lines)) => Source::Lines(lines),
            (None, None) => Source::Nowhere,
        };
        let outside = Self {
            keys,
            bucket,
            opened: RefCell::default(),
        };
        Adapter::new(outside, prefix)
    }

    fn with<T>(&self, work: impl FnOnce(&Bucket) -> Result<T, Error>) -> Result<T, Fault> {
        let opened = self.opened.borrow().clone();
        let done = match opened {
            Some(bucket) => work(&bucket),
            None => store::open(&self.bucket).map(Rc::new).and_then(|bucket| {
                *self.opened.borrow_mut() = Some(Rc::clone(&bucket));
                work(&bucket)
            }),
        };
        done.map_err(|error| {
            // another one may have another connection
            *self.opened.borrow_mut() = None;
            match error {
                Error::NoSuchStore => Fault(format!(
                    "is not there: the runtime knows no bucket `{}` ({BUCKET})",
                    self.bucket
                )),
                Error::AccessDenied => Fault(format!(
                    "is refused: this component may not have the bucket `{}` ({BUCKET})",
                    self.bucket
                )),
                // some repeat the password that the store does not take
                Error::Other(_) => Fault(
                    "answers with an error, whose text is not repeated because there may be a password in it"
                        .to_owned(),
                ),
            }
        })
    }
}

impl World for Outside {
    fn unix_s(&self) -> u64 {
        // before 1970 is a clock that was never set
        u64::try_from(system_clock::now().seconds).unwrap_or(0)
    }

    fn mono_ms(&self) -> u64 {
        monotonic_clock::now() / NANOS_PER_MILLI
    }

    async fn sleep_ms(&self, ms: u64) {
        monotonic_clock::wait_for(ms.saturating_mul(NANOS_PER_MILLI)).await;
    }

    fn nonce(&self) -> Option<[u8; NONCE_BYTES]> {
        let bytes = random::get_random_bytes(NONCE_BYTES as u64);
        bytes.as_slice().try_into().ok()
    }

    async fn keys(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.keys {
            Source::File(path) => {
                let read = read_file(path).await;
                read.map_err(|reason| format!("{path} ({KEYS_FILE}) cannot be read now: {reason}"))
            }
            Source::Lines(lines) => Ok(Zeroizing::new(lines.as_bytes().to_vec())),
            Source::Nowhere => Err(format!(
                "there are no keys: set {KEYS_FILE} to the path of a file in a preopened folder, or {KEYS} to its lines"
            )),
        }
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.with(|bucket| bucket.get(key))
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        self.with(|bucket| bucket.set(key, value))
    }

    fn delete(&self, key: &str) -> Result<(), Fault> {
        self.with(|bucket| bucket.delete(key))
    }

    fn say(&self, what: &str) {
        let line = format!("edgepass token store: {what}\n").into_bytes();
        let (mut to, from) = wit_stream::new();
        let written = stderr::write_via_stream(from);
        wit_bindgen::spawn_local(async move {
            to.write_all(line).await;
            drop(to);
            // there is nobody to tell that it cannot be said
            _ = written.await;
        });
    }
}

/// The content of a file in one of the preopened folders.
async fn read_file(path: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut folders = preopens::get_directories();
    // the innermost first
    folders.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    let found = folders
        .iter()
        .find_map(|(folder, name)| below(path, name).map(|rest| (folder, rest)));
    let (folder, rest) = found.ok_or("it is in no folder that the runtime has preopened")?;
    let opened = folder.open_at(
        PathFlags::SYMLINK_FOLLOW,
        rest.to_owned(),
        OpenFlags::empty(),
        DescriptorFlags::READ,
    );
    let file = opened.await.map_err(|code| said(&code))?;
    let (mut content, end) = file.read_via_stream(0);
    // at once: growing would leave copies of keys behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEYS_FILE_BYTES + 1));
    while bytes.len() <= MAX_KEYS_FILE_BYTES {
        let (result, back) = content.read(std::mem::take(&mut *bytes)).await;
        *bytes = back;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    drop(content);
    if bytes.len() > MAX_KEYS_FILE_BYTES {
        return Err(format!("it has more than {MAX_KEYS_FILE_BYTES} bytes"));
    }
    end.await.map_err(|code| said(&code))?;
    Ok(bytes)
}

/// What of a path is below a folder of that name.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = match folder.trim_end_matches('/') {
        "" | "." if folder != "/" => path.strip_prefix("./").unwrap_or(path),
        folder => path.strip_prefix(folder)?.strip_prefix('/')?,
    };
    (!rest.is_empty() && !rest.starts_with('/')).then_some(rest)
}

fn said(code: &ErrorCode) -> String {
    match code {
        ErrorCode::NoEntry => "there is no such file".to_owned(),
        ErrorCode::Access | ErrorCode::NotPermitted => "reading it is not permitted".to_owned(),
        ErrorCode::IsDirectory => "it is a folder".to_owned(),
        code => format!("the runtime says {code:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_below_its_folder() {
        for (path, folder, rest) in [
            ("/etc/keys", "/", Some("etc/keys")),
            ("/etc/keys", "/etc", Some("keys")),
            ("/etc/keys", "/etc/", Some("keys")),
            ("/etc/edgepass/keys", "/etc", Some("edgepass/keys")),
            ("/etcetera/keys", "/etc", None),
            ("/etc", "/etc", None),
            ("/etc//keys", "/etc", None),
            ("keys", ".", Some("keys")),
            ("./keys", ".", Some("keys")),
            ("keys", "", Some("keys")),
            ("/keys", ".", None),
            ("folder/keys", "folder", Some("keys")),
        ] {
            assert_eq!(below(path, folder), rest, "{path} in {folder}");
        }
    }
}
