//! The one connection to the store: made when it is needed, made again when it broke, and left alone for a while when that
//! fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use edgepass_core::{ConfigError, Secret};
use http::Uri;
use redis::aio::MultiplexedConnection;
use redis::{Arg, AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Value};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use tokio::time::timeout;
use tower_service::Service as _;

use super::bounded::{Bounded, MAX_ANSWER_BYTES, Meter};
use super::{Fault, Password, setting};
use crate::connect::{Connector, NoConnection, Plan, Stream, Timeouts};
use crate::limits;
use crate::roots::Roots;

/// A store says so to whatever it is asked first, which is AUTH where there is a password.
const MAX_CLIENTS: &str = "max number of clients";

/// A store, or a node of a cluster.
pub(super) struct Server {
    /// Host and port, as configured.
    address: String,
    /// For TLS.
    roots: Option<Roots>,
    username: Option<String>,
    password: Password,
    database: u64,
    state: tokio::sync::Mutex<State>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// The node of a cluster that has the keys, where that is another than the configured one. All keys have the same
    /// tag, so it is one.
    node: Option<String>,
    /// Counts connections, so that one that broke is given up once.
    made: u64,
}

/// A connection, and what came on it.
#[derive(Clone)]
struct Connection {
    client: MultiplexedConnection,
    meter: Arc<Meter>,
}

impl Connection {
    /// The answer to a command, whose time is another's affair.
    async fn run(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        let _room = self.meter.ask();
        match self.client.send_packed_command(command).await? {
            Value::ServerError(error) => Err(error.into()),
            value => Ok(value),
        }
    }
}

/// Whether it is worth asking.
#[derive(Default)]
struct Health {
    failures: u32,
    /// Until then it is left alone.
    until: Option<Instant>,
    /// Why.
    fault: Option<Fault>,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// There is no connection any more, or none came about.
    Gone(Fault),
    /// That was so a moment ago, and it was not asked.
    LeftAlone(Fault),
    /// The store says no to this.
    Refused(Fault),
    /// Another node of the cluster has it.
    Moved(String),
}

impl Server {
    pub(super) fn new(
        address: String,
        roots: Option<Roots>,
        username: Option<String>,
        password: Password,
        database: u64,
    ) -> Self {
        Self {
            address,
            roots,
            username,
            password,
            database,
            state: tokio::sync::Mutex::default(),
            health: Mutex::default(),
        }
    }

    /// The answer to a command, within bounds.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Failure> {
        if let Some(fault) = self.is_left_alone() {
            return Err(Failure::LeftAlone(fault));
        }
        let asked = timeout(limits::TOKEN_STORE_DEADLINE, self.follow(command)).await;
        let result = asked.unwrap_or_else(|_| {
            Err(Failure::Gone(
                self.no_answer(limits::TOKEN_STORE_DEADLINE.as_millis()),
            ))
        });
        match result {
            Ok(value) => {
                self.works();
                Ok(value)
            }
            Err(Failure::Gone(fault)) => {
                self.give_up(None).await;
                self.fails(&fault);
                Err(Failure::Gone(fault))
            }
            Err(Failure::Moved(_)) => Err(Failure::Refused(self.fault(
                "url",
                "sends from one node to another",
                "the cluster is being changed, or its nodes do not agree: CLUSTER INFO says which",
            ))),
            other => other,
        }
    }

    /// Asks, and once more of the node that has the keys, or where the connection had broken before.
    async fn follow(&self, command: &Cmd) -> Result<Value, Failure> {
        let (mut connection, made, is_new) = self.connection().await?;
        let first = self.send(&mut connection, command).await;
        match first {
            // an idle connection may have been closed meanwhile; what was asked may be asked twice
            Err(Failure::Gone(_)) if !is_new => self.give_up(Some(made)).await,
            Err(Failure::Moved(node)) => self.move_to(node).await,
            other => return other,
        }
        let (mut connection, ..) = self.connection().await?;
        self.send(&mut connection, command).await
    }

    /// The connection, its number, and whether it was made now.
    async fn connection(&self) -> Result<(Connection, u64, bool), Failure> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((connection.clone(), state.made, false));
        }
        let address = state.node.as_deref().unwrap_or(&self.address).to_owned();
        let connection = match self.connect(&address).await {
            Ok(connection) => connection,
            Err(fault) => {
                // the configured one knows which node is the right one now
                state.node = None;
                return Err(Failure::Gone(fault));
            }
        };
        state.made += 1;
        state.connection = Some(connection.clone());
        Ok((connection, state.made, true))
    }

    async fn connect(&self, address: &str) -> Result<Connection, Fault> {
        let of_machine = |error: String| {
            self.fault(
                "url",
                &format!("cannot be asked: {error}"),
                "it is this machine, not the store",
            )
        };
        let tls = match &self.roots {
            Some(roots) => {
                let roots = roots.load().await.map_err(|error| {
                    let named = error.named();
                    named.unwrap_or_else(|| ConfigError::new(setting("ca_file"), error.to_string())
                        .hint("without ca_file it is the authorities that token endpoints are checked with"))
                })?;
                let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                    .with_safe_default_protocol_versions()
                    .map_err(|error| of_machine(error.to_string()))?;
                Some(tls.with_root_certificates(roots).with_no_client_auth())
            }
            None => None,
        };
        let stream = stream(address, tls)
            .await
            .map_err(|error| self.not_connected(&error))?;
        let password = self.password.clone();
        let password = tokio::task::spawn_blocking(move || password.read());
        let password = password
            .await
            .map_err(|error| of_machine(error.to_string()))??;
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let meter: Arc<Meter> = Arc::default();
        let stream = Bounded::new(stream, &meter);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (client, driver) = made.map_err(|error| self.said(&error, "", &meter))?;
        tokio::spawn(driver);
        let mut connection = Connection { client, meter };
        self.log_in(&mut connection, password.as_ref()).await?;
        Ok(connection)
    }

    /// By commands of our own: the library's login keeps to itself what a store says to it.
    async fn log_in(
        &self,
        connection: &mut Connection,
        password: Option<&Secret>,
    ) -> Result<(), Fault> {
        if let Some(password) = password {
            let mut auth = Cmd::new();
            auth.arg("AUTH");
            if let Some(username) = &self.username {
                auth.arg(username);
            }
            auth.arg(password.expose());
            connection.run(&auth).await.map_err(|error| {
                self.not_logged_in(&error)
                    .unwrap_or_else(|| self.said(&error, "AUTH", &connection.meter))
            })?;
        }
        if self.database != 0 {
            let mut select = Cmd::new();
            select.arg("SELECT").arg(self.database);
            connection.run(&select).await.map_err(|error| {
                let details = error.detail().unwrap_or_default();
                match error.code() == Some("ERR") && !details.contains(MAX_CLIENTS) {
                    true => self.fault(
                        "database",
                        &format!("has no database {}", self.database),
                        "leave it out, which is 0; a cluster has that one alone, and others have `databases` of them",
                    ),
                    false => self.said(&error, "SELECT", &connection.meter),
                }
            })?;
        }
        Ok(())
    }

    /// What a store says to AUTH, and to nothing else, in words without a code of their own.
    fn not_logged_in(&self, error: &RedisError) -> Option<Fault> {
        let details = error.detail().unwrap_or_default();
        let field = self.password.field().unwrap_or("username");
        if error.code() != Some("ERR") {
            return None;
        }
        if details.contains("without any password configured") {
            return Some(self.fault(
                field,
                "has no password for its user `default`, and one is configured",
                "name the user by username, or leave the password out",
            ));
        }
        if details.contains("wrong number of arguments") {
            return Some(self.fault(
                "username",
                "takes no user name: it is older than version 6",
                "leave username out, or use a Redis or Valkey of version 6 or later",
            ));
        }
        details.contains("unknown command").then(|| {
            self.fault(
                "url",
                "knows no AUTH",
                "look whether a Redis or Valkey of version 6 or later is behind that port",
            )
        })
    }

    /// Gives the connection up, if it is still that one.
    async fn give_up(&self, made: Option<u64>) {
        let mut state = self.state.lock().await;
        if made.is_none_or(|made| made == state.made) {
            state.connection = None;
        }
    }

    async fn move_to(&self, node: String) {
        let mut state = self.state.lock().await;
        if state.node.as_ref() != Some(&node) {
            state.connection = None;
            state.node = Some(node);
        }
    }

    fn is_left_alone(&self) -> Option<Fault> {
        let mut health = self.health();
        let until = health.until?;
        if Instant::now() < until {
            return health.fault.clone();
        }
        // one finds out, and the others wait for what he says
        health.until = Some(Instant::now() + limits::TOKEN_STORE_DEADLINE);
        None
    }

    fn works(&self) {
        *self.health() = Health::default();
    }

    fn fails(&self, fault: &Fault) {
        let mut health = self.health();
        let wait = limits::TOKEN_STORE_ALONE
            .saturating_mul(1 << health.failures.min(16))
            .min(limits::MAX_TOKEN_STORE_ALONE);
        health.failures = health.failures.saturating_add(1);
        health.until = Some(Instant::now() + wait);
        health.fault = Some(fault.clone());
    }

    async fn send(&self, connection: &mut Connection, command: &Cmd) -> Result<Value, Failure> {
        let asked = timeout(limits::TOKEN_STORE_ANSWER, connection.run(command));
        let error = match asked.await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => {
                let fault = self.no_answer(limits::TOKEN_STORE_ANSWER.as_millis());
                return Err(Failure::Gone(fault));
            }
        };
        if let (Some("MOVED"), Some((node, _))) = (error.code(), error.redirect_node()) {
            return Err(Failure::Moved(node.to_owned()));
        }
        let name = match command.args_iter().next() {
            Some(Arg::Simple(name)) => std::str::from_utf8(name).unwrap_or_default(),
            _ => "",
        };
        let fault = self.said(&error, name, &connection.meter);
        // a node that has become a replica, or is only starting, is found by another connection
        let is_elsewhere = matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN"));
        match error.code().is_none() || error.is_unrecoverable_error() || is_elsewhere {
            true => Err(Failure::Gone(fault)),
            false => Err(Failure::Refused(fault)),
        }
    }

    /// A fault of the store, about that setting of its section.
    fn fault(&self, field: &str, what: &str, hint: &str) -> Fault {
        ConfigError::new(setting(field), format!("the store {} {what}", self.address)).hint(hint)
    }

    fn no_answer(&self, after_ms: u128) -> Fault {
        self.fault(
            "url",
            &format!("gave no answer in {after_ms} ms"),
            "look whether it is overloaded, or whether something swallows what is sent to that port",
        )
    }

    fn not_connected(&self, error: &NoConnection) -> Fault {
        match error {
            NoConnection::Slow => self.no_answer(limits::TOKEN_STORE_CONNECTION.as_millis()),
            // who waits for a line of a command says nothing to a handshake
            NoConnection::SlowTls { .. } => self.fault(
                "url",
                &format!(
                    "did not end the TLS handshake in {} ms",
                    limits::TOKEN_STORE_CONNECTION.as_millis()
                ),
                "a store without TLS is redis://; otherwise look whether it is overloaded",
            ),
            NoConnection::Tls { .. } => self.fault(
                "url",
                &error.of_a_server(),
                "name the authority of its certificate by ca_file, and the host as the certificate does; \
                 a store without TLS is redis://",
            ),
            _ => self.fault(
                "url",
                &error.of_a_server(),
                "look whether it runs, and whether host and port are right and no firewall is in between",
            ),
        }
    }

    /// What went wrong with that command. Never what the store has written beyond its code: some repeat the password that
    /// they do not understand.
    fn said(&self, error: &RedisError, command: &str, meter: &Meter) -> Fault {
        if meter.is_exceeded() {
            return self.fault(
                "url",
                &format!("sent more than the {MAX_ANSWER_BYTES} bytes that an answer may have"),
                "look whether a Redis or Valkey is behind that port",
            );
        }
        let details = error.detail().unwrap_or_default();
        if details.contains(MAX_CLIENTS) {
            return self.fault(
                "url",
                "has as many clients as it takes",
                "raise its maxclients, or look which clients keep their connections",
            );
        }
        match error.code() {
            Some("NOPERM") => self.fault(
                "username",
                &format!("does not let its user run {command} on the keys of key_prefix"),
                "give the user GETRANGE, SET and DEL on them, and SELECT where database is not 0",
            ),
            Some("NOAUTH") if self.password.field().is_none() => self.fault(
                "password_file",
                "wants a password, and none is configured",
                "set password_file or password_env",
            ),
            Some("WRONGPASS" | "NOAUTH") => self.fault(
                self.password.field().unwrap_or("username"),
                "refused username or password",
                "write the password of that user; a store with `requirepass` alone has the user `default`, \
                 which needs no username",
            ),
            Some("LOADING") => self.fault(
                "url",
                "has only started, and reads its data",
                "nothing has to be done: it is asked again",
            ),
            Some("MASTERDOWN") => self.fault(
                "url",
                "is a replica that has lost its primary",
                "name the primary, or a name that follows it",
            ),
            Some("DENIED") => self.fault(
                "url",
                "takes connections of its own machine alone, as long as it has no password (protected mode)",
                "give its user a password, and name it by password_file or password_env",
            ),
            Some("OOM") => self.fault(
                "url",
                "is full, and takes nothing",
                "give it memory, or the maxmemory-policy volatile-ttl or allkeys-lru",
            ),
            Some("READONLY") => self.fault(
                "url",
                "is a replica, which takes nothing",
                "name the primary, or a name that follows it",
            ),
            Some(code) if code.len() < 32 && code.bytes().all(|b| b.is_ascii_uppercase()) => {
                self.fault("url", &format!("answered {code}"), "its log says more")
            }
            _ if error.is_timeout() => self.no_answer(limits::TOKEN_STORE_DEADLINE.as_millis()),
            _ if error.is_io_error() => self.fault(
                "url",
                "ended the connection",
                match self.roots {
                    None => "write rediss:// if it speaks TLS; otherwise its log says more",
                    Some(_) => "its log says more",
                },
            ),
            _ => self.fault(
                "url",
                &format!("failed: {}", error.category()),
                "look whether a Redis or Valkey of version 6 or later is behind that port",
            ),
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn stream(address: &str, tls: Option<ClientConfig>) -> Result<Stream, NoConnection> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{address}/")
        .parse()
        .map_err(|_| NoConnection::Name(format!("{address} is no host and port")))?;
    let http = tls.is_none();
    let tls = match tls {
        Some(tls) => tls,
        // never used: http goes without
        None => ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| NoConnection::Name(error.to_string()))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    };
    let mut connector = Connector::new(Plan {
        tls: Arc::new(tls),
        server_name: None,
        http,
        route: None,
        shuns: None,
        timeouts: Timeouts {
            tcp: limits::TOKEN_STORE_CONNECTION,
            all: limits::TOKEN_STORE_CONNECTION,
        },
    });
    let connection = connector.call(uri).await?;
    Ok(connection.into_inner().into_inner())
}

#[cfg(test)]
mod tests;
