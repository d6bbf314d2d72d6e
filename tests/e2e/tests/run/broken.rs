//! Answers that are broken off. Over HTTP/1.0 the end of the connection is the end of the answer, so it has to be another end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::Lab;

use super::late::{Asked, Upstream, VERSIONS};
use super::service::serve;
use crate::Serving;

/// A request of that head, without a body, on a connection that has no other.
fn ask(host: &str, address: &str, method: &str, url: &str, http: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} /?{url} HTTP/{http}\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )?;
    Ok(stream)
}

/// Reads to the end: what came, and whether the connection was ended in good order.
fn ended(stream: &mut TcpStream) -> Result<(String, bool)> {
    let mut got = Vec::new();
    let ended = match stream.read_to_end(&mut got) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
        Err(error) => return Err(error.into()),
    };
    Ok((String::from_utf8(got)?, ended))
}

#[derive(Clone, Copy, Debug)]
enum Breaks {
    /// The service that the application asks sends no more.
    Stalls,
    /// It ends in the middle of its answer.
    Ends,
    /// The program that serves is killed.
    Killed,
}

#[test]
fn an_answer_that_is_broken_off_looks_so_to_old_clients_too() -> Result<()> {
    for breaks in [Breaks::Stalls, Breaks::Ends, Breaks::Killed] {
        for version in VERSIONS {
            for http in ["1.0", "1.1"] {
                let case = format!("{breaks:?}, WASI {version}, HTTP/{http}");
                let lab = Lab::new(&format!("serve-broken-{version}"))?;
                let upstream = Upstream::start()?;
                let limit = match breaks {
                    Breaks::Stalls => "1",
                    Breaks::Ends | Breaks::Killed => "600",
                };
                let options = ["--request-timeout", limit];
                let (child, address) =
                    serve(&lab, upstream.port, version, &options, Stdio::inherit())?;
                let mut serving = Serving(child);
                let mut client = ask(&address, &address, "GET", &upstream.url, http)?;
                let mut asked = upstream.asked()?;
                asked.begin(10)?;
                asked.write("hello")?;
                let mut got = String::new();
                while !got.contains("hello") {
                    let mut some = [0; 1024];
                    let length = client.read(&mut some)?;
                    ensure!(length > 0, "{case}: {got}");
                    got += std::str::from_utf8(some.get(..length).context("too much")?)?;
                }
                ensure!(
                    got.starts_with(&format!("HTTP/{http} 200")),
                    "{case}: {got}"
                );
                match breaks {
                    Breaks::Stalls => {}
                    Breaks::Ends => drop(asked),
                    Breaks::Killed => serving.0.kill()?,
                }
                let (rest, is_in_order) = ended(&mut client)?;
                ensure!(!is_in_order, "{case}: it ends as a whole one: {rest}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_whole_answer_ends_in_good_order() -> Result<()> {
    type Answer = fn(Asked) -> Result<()>;
    let whole: Answer = |asked| asked.answer("welcome");
    let empty: Answer = |asked| asked.answer("");
    let chunked: Answer = |mut asked| {
        asked
            .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")?;
        asked.write("3\r\nwel\r\n")?;
        asked.write("4\r\ncome\r\n0\r\n\r\n")
    };
    let twice: Answer = |mut asked| {
        let length = "content-length: 7\r\n";
        asked.write(&format!(
            "HTTP/1.1 200 OK\r\n{length}{length}connection: close\r\n\r\nwelcome"
        ))
    };
    let of_head: Answer = |mut asked| asked.begin(7);
    for version in VERSIONS {
        let lab = Lab::new(&format!("serve-whole-{version}"))?;
        let upstream = Upstream::start()?;
        let (child, address) = serve(&lab, upstream.port, version, &[], Stdio::inherit())?;
        let _serving = Serving(child);
        for (name, method, text, answer) in [
            ("whole", "GET", "welcome", whole),
            ("empty", "GET", "", empty),
            ("of a length that is said twice", "GET", "welcome", twice),
            ("in pieces", "GET", "come", chunked),
            ("without its body", "HEAD", "", of_head),
        ] {
            for http in ["1.0", "1.1"] {
                let case = format!("{name}, WASI {version}, HTTP/{http}");
                let mut client = ask(&address, &address, method, &upstream.url, http)?;
                answer(upstream.asked()?)?;
                let (got, is_in_order) = ended(&mut client)?;
                let (head, body) = got.split_once("\r\n\r\n").context("no head")?;
                ensure!(
                    head.starts_with(&format!("HTTP/{http} 200")),
                    "{case}: {got}"
                );
                ensure!(body.contains(text), "{case}: {got}");
                ensure!(is_in_order, "{case}: it ends as one that is not whole");
            }
        }
        // one that comes from the server itself
        for http in ["1.0", "1.1"] {
            let mut client = ask("no host", &address, "GET", "nothing", http)?;
            let (got, is_in_order) = ended(&mut client)?;
            ensure!(got.starts_with(&format!("HTTP/{http} 400")), "{got}");
            ensure!(is_in_order, "WASI {version}, HTTP/{http}");
        }
    }
    Ok(())
}
