//! How long an application waits for an answer.

use std::error::Error as StdError;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

use super::Client;
use crate::limits;

/// The timeouts of `wasi:http`. An application may only be less patient than the host.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For a connection; the host has times of its own for its parts.
    connect: Duration,
    /// For the head of the answer, from when there is a connection.
    first: Duration,
    /// For each next part of its body.
    pub(super) between: Duration,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// It has not come in time.
    Late(WasiError),
    Failed(Box<dyn StdError + Send + Sync>),
}

impl Patience {
    pub(super) fn of(options: Option<&RequestOptions>) -> Self {
        let asked = |of: fn(&RequestOptions) -> Option<Duration>| {
            let asked = options.and_then(of).unwrap_or(limits::APPLICATION_PATIENCE);
            asked.min(limits::APPLICATION_PATIENCE)
        };
        Self {
            connect: asked(|options| options.connect_timeout),
            first: asked(|options| options.first_byte_timeout),
            between: asked(|options| options.between_bytes_timeout),
        }
    }

    /// Sends it, by a new connection or one that is kept.
    pub(super) async fn send(
        self,
        client: &Client<WasiBody>,
        mut request: Request<WasiBody>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let mut connection = capture_connection(&mut request);
        let mut sending = pin!(client.send(request));
        let connected = async {
            let connection = connection.wait_for_connection_metadata();
            timeout(self.connect, connection).await.is_ok()
        };
        let is_connected = tokio::select! {
            // also when there is no connection to wait for any more
            biased;
            sent = &mut sending => return sent.map_err(NoAnswer::Failed),
            connected = connected => connected,
        };
        if !is_connected {
            return Err(NoAnswer::Late(WasiError::ConnectionTimeout));
        }
        match timeout(self.first, sending).await {
            Ok(sent) => sent.map_err(NoAnswer::Failed),
            Err(_) => Err(NoAnswer::Late(WasiError::ConnectionReadTimeout)),
        }
    }
}
