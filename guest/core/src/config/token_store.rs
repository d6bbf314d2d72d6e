//! The store by which several instances share their tokens.

#[cfg(feature = "every-credential")]
use super::error::{ConfigError, check};
use super::parse::object;
#[cfg(feature = "every-credential")]
use super::rules;
#[cfg(feature = "every-credential")]
use crate::authority::{canonical_authority, split_port};

object! {
    /// A store by which several instances share their tokens: Redis or Valkey. What is put there is encrypted by the host.
    /// Without `url` the store is whatever the component's `token-store` is, and `users` is the one setting.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct TokenStoreFile {
        /// `redis://host[:port]`, or `rediss://host[:port]` with TLS; port 6379 unless it is named. One server, or any node of
        /// a cluster. No credentials are in it. The command and the library need it.
        pub url: Option<String> = optional_text,
        /// File of the keys that entries are encrypted with, a line each: an id, a space, and 32 bytes in base64. The first
        /// one encrypts, all of them decrypt. It is read again when it changes. Needed beside `url`.
        pub encryption_keys_file: Option<String> = optional_text,
        /// Who logs in; the store's default user otherwise.
        pub username: Option<String> = optional_text,
        /// File with the password. It is read again at each new connection.
        pub password_file: Option<String> = optional_text,
        /// Name of the environment variable with the password.
        pub password_env: Option<String> = optional_text,
        /// PEM file of the certification authorities that the store's certificate is checked with, instead of those that
        /// token endpoints are checked with. Only with `rediss://`. It is read again when it changes.
        pub ca_file: Option<String> = optional_text,
        /// Number of the database. A cluster has one alone, 0.
        pub database: Option<u64> = optional_number,
        /// What keys in the store begin with, in braces, so that a cluster keeps them on one node: letters, digits, `.`, `_`,
        /// `-` and `:`. Instances share tokens with those of the same prefix.
        pub key_prefix: Option<String> = optional_text,
        /// Whether tokens of users (on-behalf-of and other grants with a user's token) are shared as well, and not only those
        /// of the application itself.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub users: bool = flag(false),
    }
}

impl TokenStoreFile {
    /// The scheme without TLS.
    pub const PLAIN: &str = "redis://";

    /// The scheme with TLS.
    pub const TLS: &str = "rediss://";

    /// The port of a store unless one is named.
    pub const PORT: u16 = 6379;

    /// The prefix of keys unless one is configured.
    pub const PREFIX: &str = "edgepass";

    /// Host and port of the store, and whether TLS is spoken to it.
    ///
    /// # Errors
    ///
    /// Of a `url` that is none of a store, the reason without what is written there.
    #[cfg(feature = "every-credential")]
    pub fn server(&self) -> Result<(String, bool), ConfigError> {
        const SETTING: &str = "host.token_store.url";
        const FORM: &str = "write rediss://HOST:PORT, or redis://HOST:PORT for a store without TLS";
        let wrong = |message: &str| ConfigError::new(SETTING, message).hint(FORM);
        let Some(url) = &self.url else {
            return Err(wrong("is not set, and there is no other store here"));
        };
        check(SETTING, rules::filled_in(url))?;
        let (rest, tls) = match (url.strip_prefix(Self::TLS), url.strip_prefix(Self::PLAIN)) {
            (Some(rest), _) => (rest, true),
            (_, Some(rest)) => (rest, false),
            _ => return Err(wrong("is not the URL of a Redis or Valkey store")),
        };
        if rest.contains('@') {
            return Err(wrong("has credentials in it").hint(
                "set username, and the password by password_file or password_env; and change that password, which stood in a configuration",
            ));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(wrong("has more than host and port")
                .hint("leave the path away: the database is the setting `database`"));
        }
        let mut server = check(SETTING, canonical_authority(authority, 0))?;
        if split_port(&server).1.is_none() {
            server = format!("{server}:{}", Self::PORT);
        }
        Ok((server, tls))
    }

    /// What keys begin with.
    pub fn prefix(&self) -> &str {
        self.key_prefix.as_deref().unwrap_or(Self::PREFIX)
    }

    #[cfg(feature = "every-credential")]
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        /// A store has 16 unless it is told otherwise; none has more than this.
        const MAX_DATABASE: u64 = 65_535;
        /// In each of the store's keys.
        const MAX_PREFIX_CHARS: usize = 64;

        let at = |field: &str| format!("host.token_store.{field}");
        if self.url.is_none() {
            return self.check_without_url();
        }
        let (_, tls) = self.server()?;
        if self.encryption_keys_file.is_none() {
            let error =
                ConfigError::new("host.token_store", "missing field `encryption_keys_file`");
            return Err(error.hint("set encryption_keys_file"));
        }
        for (field, path) in [
            ("encryption_keys_file", self.encryption_keys_file.as_ref()),
            ("password_file", self.password_file.as_ref()),
            ("ca_file", self.ca_file.as_ref()),
        ] {
            if let Some(path) = path {
                check(&at(field), rules::path(path))?;
            }
        }
        if self.password_file.is_some() && self.password_env.is_some() {
            let error = ConfigError::new("host.token_store", "has password_file and password_env");
            return Err(error.hint("keep one of them"));
        }
        if self.ca_file.is_some() && !tls {
            let error =
                ConfigError::new(at("ca_file"), "is set, and the store is asked without TLS");
            return Err(error.hint("write rediss:// in url, or leave ca_file away"));
        }
        if self.database.is_some_and(|number| number > MAX_DATABASE) {
            let error = ConfigError::new(at("database"), "is not the number of a database");
            return Err(error.hint("write a small number; most stores have 16, from 0"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
        let prefix = self.prefix();
        if prefix.is_empty() || prefix.len() > MAX_PREFIX_CHARS || !prefix.chars().all(allowed) {
            let error = ConfigError::new(
                at("key_prefix"),
                format!(
                    "has other characters than letters, digits and `.:_-`, or not 1 to {MAX_PREFIX_CHARS} of them"
                ),
            );
            return Err(error.hint("the braces around it come by themselves"));
        }
        Ok(())
    }
    /// The store is not the host's, and what is set beside `users` would do nothing.
    #[cfg(feature = "every-credential")]
    fn check_without_url(&self) -> Result<(), ConfigError> {
        // all by name, so that a new setting is not forgotten here
        let Self {
            url: _,
            encryption_keys_file,
            username,
            password_file,
            password_env,
            ca_file,
            database,
            key_prefix,
            users: _,
        } = self;
        let texts = [
            ("encryption_keys_file", encryption_keys_file),
            ("username", username),
            ("password_file", password_file),
            ("password_env", password_env),
            ("ca_file", ca_file),
            ("key_prefix", key_prefix),
        ];
        let mut set = texts
            .into_iter()
            .filter_map(|(field, value)| value.is_some().then_some(field))
            .chain(database.map(|_| "database"));
        let Some(field) = set.next() else {
            return Ok(());
        };
        let error = ConfigError::new("host.token_store", "missing field `url`");
        Err(error.hint(format!(
            "set url, or leave {field} away: a store that a component brings has its settings in variables"
        )))
    }
}
