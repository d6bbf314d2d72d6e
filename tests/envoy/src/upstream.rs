//! The server behind Envoy. It records each request and answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

use crate::client::{field, header};

/// A request that reached the upstream.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The token in the `authorization` header.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

/// What the upstream answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// A `www-authenticate` header.
    pub challenge: Option<String>,
}

impl Reply {
    /// A plain answer.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            challenge: None,
        }
    }
}

type Answerer = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A running upstream. Its thread lives as long as the test.
pub struct Upstream {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// One that answers 200.
    pub fn start() -> Result<Self> {
        Self::answering(|_| Reply::status(200))
    }

    /// One that answers what `answer` says.
    pub fn answering(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&seen);
        let answer: Arc<Answerer> = Arc::new(answer);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (recorded, answer) = (Arc::clone(&recorded), Arc::clone(&answer));
                // a connection that breaks off is the client's business
                thread::spawn(move || serve(connection, &recorded, &*answer));
            }
        });
        Ok(Self { port, seen })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What has reached it.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn serve(connection: TcpStream, seen: &Mutex<Vec<Seen>>, answer: &Answerer) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let path = first.split(' ').nth(1).context("no path")?.to_owned();
        let mut headers = Vec::new();
        for line in reader.by_ref().lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            headers.extend(field(&line));
        }
        // Envoy keeps the length that the client gave
        let length = header(&headers, "content-length").map_or(Ok(0), str::parse)?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = Seen {
            path,
            headers,
            body,
        };
        let reply = answer(&request);
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        let challenge = reply
            .challenge
            .map(|text| format!("www-authenticate: {text}\r\n"))
            .unwrap_or_default();
        let status = reply.status;
        write!(
            writer,
            "HTTP/1.1 {status} x\r\n{challenge}content-length: 3\r\n\r\nok\n"
        )?;
    }
}
