//! Clients that send all that they have before they read, and get an answer that did not wait for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::Lab;

use super::late::{Upstream, VERSIONS};
use super::service::{handler, serve, serve_component};
use crate::Serving;

/// More than the buffers of two sockets take.
const UPLOAD: usize = 30_000_000;

/// The answer is not lost with a reset of the connection (RFC 9112 section 9.6).
#[test]
fn an_answer_before_the_upload_has_come_is_read() -> Result<()> {
    let lab = Lab::new("serve-uploads")?;
    for (case, does, host, framing, expected) in [
        ("fails", "unreachable", "host: a\r\n", "length", 500),
        (
            "fails, in pieces",
            "unreachable",
            "host: a\r\n",
            "pieces",
            500,
        ),
        ("does nothing", "", "host: a\r\n", "length", 500),
        (
            "is late",
            "(loop $again (br $again))",
            "host: a\r\n",
            "length",
            504,
        ),
        ("is not asked", "unreachable", "", "length", 400),
        ("is not asked, in pieces", "unreachable", "", "pieces", 400),
        (
            "is not asked: no head",
            "unreachable",
            "host a\r\n",
            "length",
            400,
        ),
    ] {
        let component = handler(&format!(
            "(func (export \"handle\") (param i32 i32) {does})"
        ))?;
        let component = lab.write("handler.wasm", component)?;
        let options = ["--request-timeout", "1"];
        let (child, address) = serve_component(&lab, 1, &component, &options, Stdio::null())?;
        let _serving = Serving(child);
        let mut client = TcpStream::connect(&address)?;
        let (header, before, behind) = match framing {
            "length" => (format!("content-length: {UPLOAD}"), String::new(), ""),
            _ => (
                "transfer-encoding: chunked".to_owned(),
                format!("{UPLOAD:x}\r\n"),
                "\r\n0\r\n\r\n",
            ),
        };
        write!(client, "POST / HTTP/1.1\r\n{host}{header}\r\n\r\n{before}")?;
        let sent = client.write_all(&vec![b'x'; UPLOAD]);
        let sent = sent.and_then(|()| client.write_all(behind.as_bytes()));
        sent.with_context(|| format!("{case}: while it is sent"))?;
        let mut answer = String::new();
        let read = client.read_to_string(&mut answer);
        read.with_context(|| format!("{case}: while it is read"))?;
        let status = answer.split(' ').nth(1);
        let status = status.and_then(|status| status.parse::<u16>().ok());
        ensure!(status == Some(expected), "{case}: {answer}");
    }
    Ok(())
}

/// Who announces a body and does not send it is told that this took too long, and does not keep the connection: the others
/// have to connect as well.
#[test]
fn a_body_that_never_comes_keeps_no_connection() -> Result<()> {
    let lab = Lab::new("serve-withheld")?;
    // it takes connections, and answers nothing
    let upstream = Upstream::start()?;
    let mut clients = Vec::new();
    for version in VERSIONS {
        let options = ["--request-timeout", "1"];
        let (child, address) = serve(&lab, upstream.port, version, &options, Stdio::null())?;
        let serving = Serving(child);
        let mut client = TcpStream::connect(&address)?;
        // past what an idle connection may take, and the slowness of a machine
        client.set_read_timeout(Some(Duration::from_secs(120)))?;
        write!(
            client,
            "POST /?{} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nab",
            upstream.url
        )?;
        clients.push((version, client, serving));
    }
    for (version, mut client, _serving) in clients {
        let mut answer = Vec::new();
        // in whatever way it ends
        let ended = client.read_to_end(&mut answer);
        let is_open = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        let answer = String::from_utf8(answer)?;
        ensure!(!is_open, "{version}: {answer}");
        ensure!(answer.starts_with("HTTP/1.1 504"), "{version}: {answer}");
    }
    Ok(())
}
