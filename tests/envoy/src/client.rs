//! A small HTTP/1.1 client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Longer than any wait that a test provokes.
const TIMEOUT: Duration = Duration::from_secs(120);

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
    send(port, "GET", path, headers, None)
}

/// A POST.
pub fn post(port: u16, path: &str, body: &[u8]) -> Result<Answer> {
    send(port, "POST", path, &[], Some(body))
}

/// A connection that stays open, and with it stays with the worker that took it.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("cannot connect")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// A GET and its answer.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.ask(path, headers)?;
        self.answer()
    }

    /// Sends a GET.
    pub fn ask(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<()> {
        self.send("GET", path, headers)
    }

    /// Sends a request without a body.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<()> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: upstream.test\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        Ok(())
    }

    /// Reads the answer to the request that was sent, which must say how long it is.
    pub fn answer(&mut self) -> Result<Answer> {
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut response)? == 0 {
                bail!("the connection was closed");
            }
        }
        let mut answer = parse(&response)?;
        let length = answer
            .header("content-length")
            .context("no length")?
            .parse()?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        answer.body = String::from_utf8(body)?;
        Ok(answer)
    }
}

fn send(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<Answer> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).context("cannot connect")?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str("host: upstream.test\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    connection.write_all(request.as_bytes())?;
    connection.write_all(body.unwrap_or_default())?;
    let mut response = Vec::new();
    connection.read_to_end(&mut response)?;
    parse(&response)
}

fn parse(response: &[u8]) -> Result<Answer> {
    let end = find(response, b"\r\n\r\n").context("no end of headers")?;
    let (head, body) = response.split_at(end);
    let body = body.get(4..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .context("no status line")?;
    let headers: Vec<_> = lines.filter_map(field).collect();
    // what is looked for in a page may lie across two of its chunks
    let body = if header(&headers, "transfer-encoding") == Some("chunked") {
        unchunked(body)?
    } else {
        body.to_vec()
    };
    Ok(Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = find(rest, b"\r\n").context("a chunk without a size")?;
        let (size, after) = rest.split_at(end);
        let size = usize::from_str_radix(std::str::from_utf8(size)?.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = after.get(2..).unwrap_or_default();
        body.extend_from_slice(chunk.get(..size).context("a chunk that ends early")?);
        rest = chunk.get(size..).unwrap_or_default();
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
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
