//! The store by which several instances share their tokens: Redis or Valkey. What leaves for it is encrypted here, so that
//! whoever reads it, or its wire, sees no token.
//!
//! It is asked within bounds, and one that fails is left alone for a while. Whatever comes of it, the engine has a token:
//! without the store it asks the server itself.

mod bounded;
mod connection;
mod envelope;
mod keys;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use edgepass_core::config::TokenStoreFile;
use edgepass_core::{ConfigError, Environment, Secret};
use redis::{Cmd, Value};
use zeroize::Zeroizing;

use crate::files;
use crate::limits;
use crate::roots::Roots;
use connection::Server;
use keys::KeyFile;

/// Characters of a key: a digest in hexadecimal. No component names another one.
const KEY_CHARS: usize = 64;

/// The store that a configuration names.
pub(crate) struct TokenStore {
    /// Braces and all.
    prefix: String,
    keys: KeyFile,
    server: Server,
    password: Password,
    said: Mutex<BTreeSet<&'static str>>,
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
        keys.into_iter().chain(password).collect()
    }

    /// What is kept under that key and can be read.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let key = self.key(key)?;
        let keys = self.keys.current().await?;
        // so that no store sends more than an entry has
        let mut command = Cmd::new();
        command.arg("GETRANGE").arg(&key).arg(0);
        command.arg(limits::TOKEN_STORE_ENTRY_BYTES - 1);
        let sealed = match self.server.ask(&command).await? {
            Value::BulkString(sealed) if sealed.is_empty() => return Ok(None),
            Value::BulkString(sealed) => sealed,
            Value::Nil => return Ok(None),
            _ => return Err("the token store answered something else".to_owned()),
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
        let keys = self.keys.current().await?;
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
        match self.server.ask(&command).await? {
            Value::Okay => Ok(true),
            Value::Nil => Ok(false),
            _ => Err("the token store answered something else".to_owned()),
        }
    }

    /// Forgets it.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), String> {
        let mut command = Cmd::new();
        command.arg("DEL").arg(self.key(key)?);
        self.server.ask(&command).await.map(drop)
    }

    fn key(&self, key: &str) -> Result<String, String> {
        let is_digest = key.len() == KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_digest {
            true => Ok(format!("{}{key}", self.prefix)),
            false => Err("the token store has no such keys".to_owned()),
        }
    }

    fn say_once(&self, reason: &'static str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(reason) {
            log::warn!("token store: an entry is ignored, and so will be others like it: {reason}");
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

    fn read(&self) -> Result<Option<Secret>, String> {
        let path = match self {
            Self::None => return Ok(None),
            Self::Value(password) => return Ok(Some(password.clone())),
            Self::File(path) => path,
        };
        let unread = |reason: String| {
            format!(
                "{} (host.token_store.password_file) cannot be read now: {reason}",
                path.display()
            )
        };
        let bytes = files::read_bounded(path, limits::PASSWORD_FILE_BYTES);
        let bytes = bytes.map_err(|error| unread(error.to_string()))?;
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| unread("it is not text in UTF-8".to_owned()))?;
        let text = text.trim_start_matches('\u{feff}');
        Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
    }
}
