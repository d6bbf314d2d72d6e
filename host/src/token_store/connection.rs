//! The one connection to the store: made when it is needed, made again when it broke, and left alone for a while when that
//! fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use edgepass_core::Secret;
use http::Uri;
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, Value};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use tokio::time::timeout;
use tower_service::Service as _;

use super::Password;
use super::bounded::{Bounded, MAX_ANSWER_BYTES, Meter};
use crate::connect::{Connector, NoConnection, Plan, Stream, Timeouts};
use crate::limits;
use crate::roots::Roots;

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

/// Whether it is worth asking.
#[derive(Default)]
struct Health {
    failures: u32,
    /// Until then it is left alone.
    until: Option<Instant>,
    /// Why.
    reason: String,
}

/// Why there is no answer.
enum Failure {
    /// There is no connection any more, or none came about.
    Gone(String),
    /// The store says no to this.
    Refused(String),
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
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, String> {
        if let Some(reason) = self.is_left_alone() {
            return Err(reason);
        }
        let asked = timeout(limits::TOKEN_STORE_DEADLINE, self.follow(command)).await;
        let result = asked.unwrap_or_else(|_| {
            Err(Failure::Gone(format!(
                "gave no answer in {} ms",
                limits::TOKEN_STORE_DEADLINE.as_millis()
            )))
        });
        match result {
            Ok(value) => {
                self.works();
                Ok(value)
            }
            Err(Failure::Gone(reason)) => {
                self.give_up(None).await;
                self.fails(&reason);
                Err(format!("the token store {} {reason}", self.address))
            }
            Err(Failure::Refused(reason)) => {
                Err(format!("the token store {} {reason}", self.address))
            }
            Err(Failure::Moved(_)) => Err(format!(
                "the token store {} sends from one node to another",
                self.address
            )),
        }
    }

    /// Asks, and once more of the node that has the keys, or where the connection had broken before.
    async fn follow(&self, command: &Cmd) -> Result<Value, Failure> {
        let (mut connection, made, is_new) = self.connection().await?;
        let first = send(&mut connection, command).await;
        match first {
            // an idle connection may have been closed meanwhile; what was asked may be asked twice
            Err(Failure::Gone(_)) if !is_new => self.give_up(Some(made)).await,
            Err(Failure::Moved(node)) => self.move_to(node).await,
            other => return other,
        }
        let (mut connection, ..) = self.connection().await?;
        send(&mut connection, command).await
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
            Err(reason) => {
                // the configured one knows which node is the right one now
                state.node = None;
                return Err(Failure::Gone(reason));
            }
        };
        state.made += 1;
        state.connection = Some(connection.clone());
        Ok((connection, state.made, true))
    }

    async fn connect(&self, address: &str) -> Result<Connection, String> {
        let tls = match &self.roots {
            Some(roots) => {
                let roots = roots.load().await.map_err(|error| error.to_string())?;
                let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                    .with_safe_default_protocol_versions()
                    .map_err(|error| error.to_string())?;
                Some(tls.with_root_certificates(roots).with_no_client_auth())
            }
            None => None,
        };
        let stream = stream(address, tls)
            .await
            .map_err(|error| error.of_a_server())?;
        let password = self.password.clone();
        let password = tokio::task::spawn_blocking(move || password.read());
        let password = password.await.map_err(|error| error.to_string())??;
        let info = self.login(password.as_ref());
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let meter: Arc<Meter> = Arc::default();
        let stream = Bounded::new(stream, &meter);
        let room = meter.ask();
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        drop(room);
        let (client, driver) = made.map_err(|error| said(&error, &meter))?;
        tokio::spawn(driver);
        Ok(Connection { client, meter })
    }

    fn login(&self, password: Option<&Secret>) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_skip_set_lib_name()
            .set_db(i64::try_from(self.database).unwrap_or_default());
        if let Some(username) = &self.username {
            info = info.set_username(username);
        }
        if let Some(password) = password {
            info = info.set_password(password.expose());
        }
        info
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

    fn is_left_alone(&self) -> Option<String> {
        let mut health = self.health();
        let until = health.until?;
        if Instant::now() < until {
            return Some(format!(
                "the token store {} is left alone for a moment: it {}",
                self.address, health.reason
            ));
        }
        // one finds out, and the others wait for what he says
        health.until = Some(Instant::now() + limits::TOKEN_STORE_DEADLINE);
        None
    }

    fn works(&self) {
        let mut health = self.health();
        if health.failures > 0 {
            log::info!("token store {}: it answers again", self.address);
        }
        *health = Health::default();
    }

    fn fails(&self, reason: &str) {
        let mut health = self.health();
        if health.failures == 0 {
            log::warn!(
                "token store {}: it {reason}; every instance asks for itself until it is back",
                self.address
            );
        }
        let wait = limits::TOKEN_STORE_ALONE
            .saturating_mul(1 << health.failures.min(16))
            .min(limits::MAX_TOKEN_STORE_ALONE);
        health.failures = health.failures.saturating_add(1);
        health.until = Some(Instant::now() + wait);
        reason.clone_into(&mut health.reason);
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn stream(address: &str, tls: Option<ClientConfig>) -> Result<Stream, NoConnection> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{address}/")
        .parse()
        .map_err(|_| NoConnection::Name("is no name of a server".to_owned()))?;
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
        timeouts: Timeouts {
            tcp: limits::TOKEN_STORE_DEADLINE,
            all: limits::TOKEN_STORE_DEADLINE,
        },
    });
    connector.call(uri).await.map(TokioIo::into_inner)
}

async fn send(connection: &mut Connection, command: &Cmd) -> Result<Value, Failure> {
    let Connection { client, meter } = connection;
    let room = meter.ask();
    let asked = timeout(
        limits::TOKEN_STORE_ANSWER,
        client.send_packed_command(command),
    );
    let asked = asked.await;
    drop(room);
    let error = match asked {
        Ok(Ok(Value::ServerError(error))) => RedisError::from(error),
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => {
            return Err(Failure::Gone(format!(
                "gave no answer in {} ms",
                limits::TOKEN_STORE_ANSWER.as_millis()
            )));
        }
    };
    if let (Some("MOVED"), Some((node, _))) = (error.code(), error.redirect_node()) {
        return Err(Failure::Moved(node.to_owned()));
    }
    // a node that has become a replica, or is only starting, is found by another connection
    let is_elsewhere = matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN"));
    match error.code().is_none() || error.is_unrecoverable_error() || is_elsewhere {
        true => Err(Failure::Gone(said(&error, meter))),
        false => Err(Failure::Refused(said(&error, meter))),
    }
}

/// What went wrong, in words that continue the name of the store. Never what the store has written beyond its code: some
/// repeat the password that they do not understand.
fn said(error: &RedisError, meter: &Meter) -> String {
    if meter.is_exceeded() {
        return format!("sent more than the {MAX_ANSWER_BYTES} bytes that an answer may have");
    }
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH" | "NOPERM")) => {
            "refused username or password (host.token_store.username, password_file, password_env)"
                .to_owned()
        }
        (_, Some("OOM")) => "is full, and takes nothing".to_owned(),
        (_, Some(code)) if code.len() < 32 && code.bytes().all(|b| b.is_ascii_uppercase()) => {
            format!("answered {code}")
        }
        _ if error.is_timeout() => "gave no answer in time".to_owned(),
        _ if error.is_io_error() => "ended the connection".to_owned(),
        _ => format!("failed: {}", error.category()),
    }
}
