//! One HTTP/1.1 request on a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Longer than any wait that a test provokes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A GET.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    get_with(port, path, &[])
}

/// A GET with headers; `host` among them takes the place of the usual one.
pub fn get_with(port: u16, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).context("cannot connect")?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    let mut request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str("host: upstream.test\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    connection.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    connection.read_to_end(&mut response)?;
    parse(&String::from_utf8_lossy(&response))
}

fn parse(text: &str) -> Result<Answer> {
    let (head, body) = text.split_once("\r\n\r\n").context("no end of headers")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .context("no status line")?;
    Ok(Answer {
        status,
        headers: lines.filter_map(field).collect(),
        body: body.to_owned(),
    })
}

/// One header line.
pub(crate) fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// The first header of that lower-case name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}
