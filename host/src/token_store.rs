//! The store by which several instances share their tokens: Redis or Valkey. What leaves for it is encrypted here, so that
//! whoever reads it, or its wire, sees no token.
//!
//! It is asked within bounds, and one that fails is left alone for a while. Whatever comes of it, the engine has a token:
//! without the store it asks the server itself.

mod connection;
mod envelope;
mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use edgepass_core::config::TokenStoreFile;
use edgepass_core::{ConfigError, Environment, Secret, without_byte_order_mark};
use redis::{Cmd, Value};
use zeroize::Zeroizing;

use crate::files;
use crate::limits;
use crate::roots::Roots;
use connection::{Failure, Server};
use keys::KeyFile;

/// Why the store is of no use, or not for something: the setting to look at, and what to do.
pub(crate) type Fault = ConfigError;

/// A setting of the section.
fn setting(field: &str) -> String {
    format!("host.token_store.{field}")
}

/// Characters of a key: a digest in hexadecimal. No component names another one.
const KEY_CHARS: usize = 64;

/// The store that a configuration names.
pub(crate) struct TokenStore {
    /// Braces and all.
    prefix: String,
    keys: KeyFile,
    server: Server,
    password: Password,
    said: Mutex<Said>,
}

/// What was said last, so that it is said once.
#[derive(Default)]
struct Said {
    /// What does not work now.
    faults: BTreeMap<Part, Fault>,
    /// Why entries are ignored.
    ignored: BTreeSet<&'static str>,
}

/// What works or does not by itself: a store that is full gives what it has, and a user may read and not write.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    Keys,
    Connection,
    Get,
    Put,
    Delete,
}

impl TokenStore {
    /// Asks nobody yet. `roots` are for a store with TLS.
    pub(crate) fn new(
        file: &TokenStoreFile,
        environment: &Environment,
        roots: Roots,
    ) -> Result<Self, ConfigError> {
        let (address, tls) = file.server()?;
        let password = Password::configured(file, environment)?;
        Ok(Self {
            prefix: format!("{{{}}}:", file.prefix()),
            keys: KeyFile::new(&file.encryption_keys_file),
            server: Server::new(
                address,
                tls.then_some(roots),
                file.username.clone(),
                password.clone(),
                file.database.unwrap_or(0),
            ),
            password,
            said: Mutex::default(),
        })
    }

    /// What is configured and cannot be used now. Reads files, and asks no store.
    pub(crate) fn problems(&self) -> Vec<String> {
        let keys = self.keys.read().err();
        let password = self.password.read().err();
        let faults = keys.into_iter().chain(password);
        faults.map(|fault| fault.to_string()).collect()
    }

    /// What of it did not work when it was last asked, each once.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out: Vec<Fault> = Vec::new();
        let said = self.said();
        for fault in said.faults.values().cloned().chain(self.keys.fault()) {
            if !out.contains(&fault) {
                out.push(fault);
            }
        }
        let ignored = said.ignored.iter();
        out.extend(ignored.map(|reason| {
            ConfigError::new(
                setting("encryption_keys_file"),
                format!("an entry is ignored: {reason}"),
            )
        }));
        out
    }

    /// Connects, logs in, and puts, gets and deletes an entry of no token; what of it does not work.
    pub(crate) async fn try_out(&self) -> Vec<Fault> {
        /// As long as the longest entry lives that nobody deletes.
        const TTL_S: u32 = 5;
        const PROBE: &[u8] = b"edgepass: a probe";

        let mut random = [0; KEY_CHARS / 2];
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return vec![ConfigError::new(
                setting("url"),
                "there is no random number",
            )];
        }
        let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let probe = Zeroizing::new(PROBE.to_vec());
        // what is wrong is in `faults`; all three are asked, so that each right of the user is looked at
        let put = self.put(&key, probe, TTL_S, true).await;
        let got = self.get(&key).await;
        let deleted = self.delete(&key).await;
        let mut faults = self.faults();
        if let (true, Ok(true), Ok(got), Ok(())) = (faults.is_empty(), put, got, deleted)
            && got.is_none_or(|got| *got != PROBE)
        {
            let fault =
                ConfigError::new(setting("url"), "the store does not give what it was given");
            faults.push(fault.hint(
                "name one server, or any node of a cluster: behind the name are several stores, or a replica answers",
            ));
        }
        faults
    }

    /// What is kept under that key and can be read.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let key = self.key(key)?;
        let keys = self.current_keys().await?;
        // so that no store sends more than an entry has
        let mut command = Cmd::new();
        command.arg("GETRANGE").arg(&key).arg(0);
        command.arg(limits::TOKEN_STORE_ENTRY_BYTES - 1);
        let sealed = match self.ask(Part::Get, &command).await? {
            Value::BulkString(sealed) if sealed.is_empty() => return Ok(None),
            Value::BulkString(sealed) => sealed,
            Value::Nil => return Ok(None),
            _ => return Err(self.strange(Part::Get)),
        };
        match envelope::open(&keys, &key, &sealed) {
            Ok(entry) => Ok(Some(entry)),
            Err(reason) => {
                self.say_once(reason);
                Ok(None)
            }
        }
    }

    /// Keeps it; whether it is kept.
    pub(crate) async fn put(
        &self,
        key: &str,
        value: Zeroizing<Vec<u8>>,
        ttl_s: u32,
        only_if_absent: bool,
    ) -> Result<bool, String> {
        let key = self.key(key)?;
        let keys = self.current_keys().await?;
        let sealed = envelope::seal(&keys, &key, value)?;
        if sealed.len() > limits::TOKEN_STORE_ENTRY_BYTES {
            return Err("an entry is too long for the token store".to_owned());
        }
        let mut command = Cmd::new();
        command.arg("SET").arg(&key).arg(sealed);
        command.arg("EX").arg(ttl_s.max(1));
        if only_if_absent {
            command.arg("NX");
        }
        match self.ask(Part::Put, &command).await? {
            Value::Okay => Ok(true),
            Value::Nil => Ok(false),
            _ => Err(self.strange(Part::Put)),
        }
    }

    /// Forgets it.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), String> {
        let mut command = Cmd::new();
        command.arg("DEL").arg(self.key(key)?);
        self.ask(Part::Delete, &command).await.map(drop)
    }

    async fn current_keys(&self) -> Result<std::sync::Arc<keys::Keys>, String> {
        match self.keys.current().await {
            Ok(keys) => {
                self.said().works(&[Part::Keys]);
                Ok(keys)
            }
            Err(fault) => Err(self.said().fails(Part::Keys, fault)),
        }
    }

    async fn ask(&self, part: Part, command: &Cmd) -> Result<Value, String> {
        let answer = self.server.ask(command).await;
        let mut said = self.said();
        match answer {
            Ok(value) => {
                said.works(&[Part::Connection, part]);
                Ok(value)
            }
            Err(Failure::Refused(fault)) => {
                said.works(&[Part::Connection]);
                Err(said.fails(part, fault))
            }
            Err(Failure::Gone(fault)) => Err(said.fails(Part::Connection, fault)),
            Err(Failure::LeftAlone(fault)) => Err(fault.to_string()),
            // followed already
            Err(Failure::Moved(node)) => Err(format!("the token store sends to {node}")),
        }
    }

    /// An answer that no store gives to that.
    fn strange(&self, part: Part) -> String {
        let fault = ConfigError::new(
            setting("url"),
            "the store answered something else than it was asked",
        );
        let fault =
            fault.hint("look whether a Redis or Valkey of version 6 or later is behind that port");
        self.said().fails(part, fault)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, key: &str) -> Result<String, String> {
        let is_digest = key.len() == KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_digest {
            true => Ok(format!("{}{key}", self.prefix)),
            false => Err("the token store has no such keys".to_owned()),
        }
    }

    fn say_once(&self, reason: &'static str) {
        if self.said().ignored.insert(reason) {
            log::warn!("token store: an entry is ignored, and so will be others like it: {reason}");
        }
    }
}

impl Said {
    /// Says it, if it is not what was said last; in words for whoever has asked.
    fn fails(&mut self, part: Part, fault: Fault) -> String {
        let text = fault.to_string();
        if !self.faults.values().any(|known| *known == fault) {
            log::warn!("token store: {text}; until it works, each instance asks for itself");
        }
        self.faults.insert(part, fault);
        text
    }

    fn works(&mut self, parts: &[Part]) {
        let mended = parts.iter().filter_map(|part| self.faults.remove(part));
        let mended: Vec<Fault> = mended.collect();
        for fault in mended {
            // what still stands is another part's, too
            if !self.faults.values().any(|known| *known == fault) {
                log::info!(
                    "token store: it works again ({}: {})",
                    fault.setting,
                    fault.message
                );
            }
        }
    }
}

/// Where the password is.
#[derive(Clone)]
enum Password {
    None,
    File(PathBuf),
    Value(Secret),
}

impl Password {
    fn configured(file: &TokenStoreFile, environment: &Environment) -> Result<Self, ConfigError> {
        if let Some(path) = &file.password_file {
            return Ok(Self::File(path.into()));
        }
        let Some(name) = &file.password_env else {
            return Ok(Self::None);
        };
        let value = environment.get(name).map(Secret::new);
        value.map(Self::Value).ok_or_else(|| {
            // a password may stand where the variable's name belongs
            ConfigError::new(
                "host.token_store.password_env",
                "names an environment variable that is not set; it takes the variable's name, not the password",
            )
        })
    }

    /// The field of the section that says it.
    fn field(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::File(_) => Some("password_file"),
            Self::Value(_) => Some("password_env"),
        }
    }

    fn read(&self) -> Result<Option<Secret>, Fault> {
        let path = match self {
            Self::None => return Ok(None),
            Self::Value(password) => return Ok(Some(password.clone())),
            Self::File(path) => path,
        };
        let unread = |reason: String| {
            let what = format!("{} cannot be read now: {reason}", path.display());
            ConfigError::new(setting("password_file"), what)
                .hint("see that it is there and that this process may read it")
        };
        let bytes = files::read_bounded(path, limits::PASSWORD_FILE_BYTES);
        let bytes = bytes.map_err(|error| unread(error.to_string()))?;
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| unread("it is not text in UTF-8".to_owned()))?;
        let text = without_byte_order_mark(text);
        Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(what: &str) -> Fault {
        ConfigError::new(setting("url"), what)
    }

    /// What is said is said once, until it changes or works again, whatever goes on between.
    #[test]
    fn a_fault_stands_until_its_own_part_works() {
        let mut said = Said::default();
        let standing = |said: &Said| Vec::from_iter(said.faults.keys().copied());
        said.fails(Part::Connection, fault("down"));
        // it answers, and refuses
        said.works(&[Part::Connection]);
        said.fails(Part::Put, fault("full"));
        assert_eq!(standing(&said), [Part::Put]);
        // that it gives what it has does not mean that it takes anything
        said.works(&[Part::Connection, Part::Get]);
        assert_eq!(standing(&said), [Part::Put]);
        said.fails(Part::Put, fault("a replica"));
        assert_eq!(said.faults.get(&Part::Put), Some(&fault("a replica")));
        said.works(&[Part::Connection, Part::Put]);
        assert!(said.faults.is_empty());
    }
}
