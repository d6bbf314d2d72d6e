//! The store by which several instances share their tokens: Redis or Valkey. What leaves for it is encrypted here, so that
//! whoever reads it, or its wire, sees no token.
//!
//! It is asked within bounds, and one that fails is left alone for a while. Whatever comes of it, the engine has a token:
//! without the store it asks the server itself.

mod bounded;
mod cipher;
mod connection;
mod format;
mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use edgepass_core::config::TokenStoreFile;
use edgepass_core::{ConfigError, Environment, Secret};
use redis::{Cmd, Value};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::clock::now;
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

const _: () = assert!(format::MAX_ENTRY_BYTES == limits::TOKEN_STORE_ENTRY_BYTES);

/// How far the clock of whoever has put an entry there may be from this one, seconds, before the entry counts as one that
/// the store should have forgotten.
const CLOCK_SKEW_S: u64 = 60;

/// The store that a configuration names.
pub(crate) struct TokenStore {
    prefix: String,
    keys: KeyFile,
    server: Server,
    password: Password,
    said: Mutex<Said>,
    /// Entries that are being forgotten now.
    forgetting: watch::Sender<usize>,
}

/// What was said last, so that it is said once.
#[derive(Default)]
struct Said {
    /// What does not work now.
    faults: BTreeMap<Ability, Fault>,
    /// Why entries are ignored.
    ignored: BTreeSet<&'static str>,
}

/// What works or does not by itself: a store that is full gives what it has, and a user may read and not write.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Ability {
    Keys,
    Connection,
    Get,
    Put,
    Delete,
}

impl TokenStore {
    /// Asks nobody yet. `roots` are for a store with TLS.
    ///
    /// # Errors
    ///
    /// Of a section that names no store, too.
    pub(crate) fn new(
        file: &TokenStoreFile,
        environment: &Environment,
        roots: Roots,
    ) -> Result<Self, ConfigError> {
        let (address, tls) = file.server()?;
        let password = Password::configured(file, environment)?;
        let keys = file.encryption_keys_file.as_deref().unwrap_or_default();
        Ok(Self {
            prefix: file.prefix().to_owned(),
            keys: KeyFile::new(keys),
            server: Server::new(
                address,
                tls.then_some(roots),
                file.username.clone(),
                password.clone(),
                file.database.unwrap_or(0),
            ),
            password,
            said: Mutex::default(),
            forgetting: watch::Sender::default(),
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

        let mut random = [0; format::STORE_KEY_CHARS / 2];
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
        let Some(sealed) = self.read(&key).await? else {
            return Ok(None);
        };
        match keys.open(&key, &sealed) {
            Ok(opened) => Ok(Some(opened.value)),
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
        let refused = || "an entry cannot be encrypted".to_owned();
        let mut nonce = [0; format::NONCE_BYTES];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| refused())?;
        let now_s = now().unix_ms / 1_000;
        let expires_s = now_s.saturating_add(ttl_s.max(1).into());
        let sealed = keys.seal(nonce, &key, expires_s, value);
        let sealed = sealed.ok_or_else(refused)?;
        if sealed.len() > limits::TOKEN_STORE_ENTRY_BYTES {
            return Err("an entry is too long for the token store".to_owned());
        }
        let mut command = Cmd::new();
        command.arg("SET").arg(&key).arg(sealed);
        command.arg("EX").arg(ttl_s.max(1));
        if only_if_absent {
            command.arg("NX");
        }
        match self.ask(Ability::Put, &command).await? {
            Value::Okay => return Ok(true),
            Value::Nil if only_if_absent => {}
            Value::Nil => return Ok(false),
            _ => return Err(self.strange(Ability::Put)),
        }
        // what was put there by an interface that knows no time to live (`wasi:keyvalue`) is there after its time, too
        let kept = self.read(&key).await?;
        let left = kept.and_then(|entry| keys.open(&key, &entry).ok());
        let is_over = |left: format::Opened| left.expires_s.saturating_add(CLOCK_SKEW_S) < now_s;
        if !left.is_some_and(is_over) {
            return Ok(false);
        }
        self.forget(&key).await?;
        Ok(matches!(
            self.ask(Ability::Put, &command).await?,
            Value::Okay
        ))
    }

    /// The entry under that key, as it is in the store.
    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        // so that no store sends more than an entry has
        let mut command = Cmd::new();
        command.arg("GETRANGE").arg(key).arg(0);
        command.arg(limits::TOKEN_STORE_ENTRY_BYTES - 1);
        match self.ask(Ability::Get, &command).await? {
            Value::BulkString(sealed) => Ok(Some(sealed).filter(|sealed| !sealed.is_empty())),
            Value::Nil => Ok(None),
            _ => Err(self.strange(Ability::Get)),
        }
    }

    /// Forgets it.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), String> {
        let _forgetting = Forgetting::begin(&self.forgetting);
        self.forget(&self.key(key)?).await
    }

    /// Waits until what is to be forgotten is, for as long as the store may take for an answer: nobody else waits for that.
    pub(crate) async fn has_forgotten(&self) {
        /// Turns of what runs beside, until what a component has begun with its answer is here.
        const TURNS: usize = 8;

        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let mut forgetting = self.forgetting.subscribe();
        let is_over = forgetting.wait_for(|forgetting| *forgetting == 0);
        // what did not come in time is in the log, if there is one
        let _ = tokio::time::timeout(limits::TOKEN_STORE_ANSWER, is_over).await;
    }

    async fn forget(&self, key: &str) -> Result<(), String> {
        let mut command = Cmd::new();
        command.arg("DEL").arg(key);
        self.ask(Ability::Delete, &command).await.map(drop)
    }

    async fn current_keys(&self) -> Result<std::sync::Arc<keys::Keys>, String> {
        match self.keys.current().await {
            Ok(keys) => {
                self.said().works(&[Ability::Keys]);
                Ok(keys)
            }
            Err(fault) => Err(self.said().fails(Ability::Keys, fault)),
        }
    }

    async fn ask(&self, ability: Ability, command: &Cmd) -> Result<Value, String> {
        let answer = self.server.ask(command).await;
        let mut said = self.said();
        match answer {
            Ok(value) => {
                said.works(&[Ability::Connection, ability]);
                Ok(value)
            }
            Err(Failure::Refused(fault)) => {
                said.works(&[Ability::Connection]);
                Err(said.fails(ability, fault))
            }
            Err(Failure::Gone(fault)) => Err(said.fails(Ability::Connection, fault)),
            Err(Failure::LeftAlone(fault)) => Err(fault.to_string()),
            // followed already
            Err(Failure::Moved(node)) => Err(format!("the token store sends to {node}")),
        }
    }

    /// An answer that no store gives to that.
    fn strange(&self, ability: Ability) -> String {
        let fault = ConfigError::new(
            setting("url"),
            "the store answered something else than it was asked",
        );
        let fault =
            fault.hint("look whether a Redis or Valkey of version 6 or later is behind that port");
        self.said().fails(ability, fault)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, key: &str) -> Result<String, String> {
        format::place(&self.prefix, key)
            .ok_or_else(|| "the token store has no such keys".to_owned())
    }

    fn say_once(&self, reason: &'static str) {
        if self.said().ignored.insert(reason) {
            log::warn!(
                "token store: an entry is ignored, and so will be others like it: {reason} \
                 (host.token_store.encryption_keys_file)"
            );
        }
    }
}

/// That something is being forgotten, until it is dropped.
struct Forgetting<'a>(&'a watch::Sender<usize>);

impl<'a> Forgetting<'a> {
    fn begin(forgetting: &'a watch::Sender<usize>) -> Self {
        forgetting.send_modify(|forgetting| *forgetting += 1);
        Self(forgetting)
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.0
            .send_modify(|forgetting| *forgetting = forgetting.saturating_sub(1));
    }
}

impl Said {
    /// Says it, if it is not what was said last; in words for whoever has asked.
    fn fails(&mut self, ability: Ability, fault: Fault) -> String {
        let text = fault.to_string();
        if !self.faults.values().any(|known| *known == fault) {
            log::warn!("token store: {text}; until it works, each instance asks for itself");
        }
        self.faults.insert(ability, fault);
        text
    }

    fn works(&mut self, abilities: &[Ability]) {
        let mended = abilities
            .iter()
            .filter_map(|ability| self.faults.remove(ability));
        let mended: Vec<Fault> = mended.collect();
        for fault in mended {
            // what still stands is another ability's, too
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
        let password = files::read_password(path).map_err(|reason| {
            let what = format!("{} cannot be read now: {reason}", path.display());
            ConfigError::new(setting("password_file"), what)
                .hint("see that it is there and that this process may read it")
        })?;
        Ok(Some(password))
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
        said.fails(Ability::Connection, fault("down"));
        // it answers, and refuses
        said.works(&[Ability::Connection]);
        said.fails(Ability::Put, fault("full"));
        assert_eq!(standing(&said), [Ability::Put]);
        // that it gives what it has does not mean that it takes anything
        said.works(&[Ability::Connection, Ability::Get]);
        assert_eq!(standing(&said), [Ability::Put]);
        said.fails(Ability::Put, fault("a replica"));
        assert_eq!(said.faults.get(&Ability::Put), Some(&fault("a replica")));
        said.works(&[Ability::Connection, Ability::Put]);
        assert!(said.faults.is_empty());
    }
}
