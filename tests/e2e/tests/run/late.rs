//! Requests that a service does not answer in time, what becomes of those beside them, and of answers that do not go on.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::Lab;

use super::service::{handler, serve, serve_component};
use crate::Serving;

pub(crate) const VERSIONS: [&str; 2] = ["0-2", "0-3"];

/// A service on this machine that answers when the test says so.
pub(crate) struct Upstream {
    listener: TcpListener,
    pub(crate) url: String,
    pub(crate) port: u16,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}/x");
        Ok(Self {
            listener,
            url,
            port,
        })
    }

    /// Waits for the next request.
    pub(crate) fn asked(&self) -> Result<Asked> {
        let until = Instant::now() + PATIENCE;
        self.listener.set_nonblocking(true)?;
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ensure!(Instant::now() < until, "nobody asks");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.listener.set_nonblocking(false)?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        Ok(Asked(reader.into_inner()))
    }

    /// Whether there is another now.
    fn is_asked(&self) -> Result<bool> {
        self.listener.set_nonblocking(true)?;
        let is_there = self.listener.accept().is_ok();
        self.listener.set_nonblocking(false)?;
        Ok(is_there)
    }
}

/// After this it is no matter of a slow machine any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that waits for its answer.
pub(crate) struct Asked(TcpStream);

impl Asked {
    /// Begins an answer of that many bytes.
    pub(crate) fn begin(&mut self, length: usize) -> Result<()> {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        self.write(&head)
    }

    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        Ok(self.0.write_all(text.as_bytes())?)
    }

    pub(crate) fn answer(mut self, text: &str) -> Result<()> {
        self.begin(text.len())?;
        self.write(text)
    }
}

/// A request to the service, by a connection of its own.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn ask(address: &str, query: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /?{query} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )?;
        Ok(Self(stream))
    }

    /// The status of its answer, the body, and whether that is whole: by its length, or with its last piece.
    pub(crate) fn answer(mut self) -> Result<(u16, String, bool)> {
        let mut got = Vec::new();
        // what has come counts, whatever ends the connection
        let _ = self.0.read_to_end(&mut got);
        let got = String::from_utf8(got)?;
        let (head, body) = got.split_once("\r\n\r\n").context("no head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let head = head.to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length {
            let is_whole = body.len() == length.parse::<usize>()?;
            return Ok((status, body.to_owned(), is_whole));
        }
        let mut rest = body;
        let mut text = String::new();
        while let Some((length, next)) = rest.split_once("\r\n") {
            let length = usize::from_str_radix(length, 16)?;
            if length == 0 {
                return Ok((status, text, true));
            }
            text += next.get(..length).context("a piece is cut")?;
            rest = next.get(length + 2..).unwrap_or_default();
        }
        Ok((status, text, false))
    }
}

/// Whoever is late is answered 504. Those beside it, in the same instance where there is one for several, end as they would:
/// one that is answered after it, and one whose answer goes on for longer than any request may take to be answered.
#[test]
fn who_is_late_is_told_so_and_nobody_else_is() -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(4);

    for version in VERSIONS {
        let lab = Lab::new(&format!("serve-late-{version}"))?;
        let upstream = Upstream::start()?;
        let most = if version == "0-3" { "1" } else { "8" };
        let options = ["--request-timeout", "4", "--max-instances", most];
        let (child, address) = serve(&lab, upstream.port, version, &options, Stdio::inherit())?;
        let _serving = Serving(child);
        let late = Client::ask(&address, &upstream.url)?;
        let _silent = upstream.asked()?;
        // so that these have some time when that one is late
        std::thread::sleep(LIMIT / 2);
        let long = Client::ask(&address, &upstream.url)?;
        let (mut going_on, began) = (upstream.asked()?, Instant::now());
        let pieces = 10;
        going_on.begin(pieces)?;
        going_on.write("x")?;
        let beside = Client::ask(&address, &upstream.url)?;
        let asked = upstream.asked()?;
        let (status, ..) = late.answer()?;
        ensure!(status == 504, "{version}: late, and answered {status}");
        asked.answer("welcome")?;
        let (status, text, is_whole) = beside.answer()?;
        ensure!(
            status == 200 && text == "welcome" && is_whole,
            "{version}: beside it: {status} {text}"
        );
        for _ in 1..pieces {
            std::thread::sleep(LIMIT / 5);
            going_on.write("x")?;
        }
        ensure!(began.elapsed() > LIMIT + Duration::from_secs(1));
        let (status, text, is_whole) = long.answer()?;
        ensure!(
            status == 200 && text.len() == pieces && is_whole,
            "{version}: one that goes on: {status} {text}"
        );
    }
    Ok(())
}

/// An instance that is late with a request gets no other, and who comes then has another instance.
#[test]
fn who_comes_after_one_that_is_late_is_answered() -> Result<()> {
    for version in VERSIONS {
        let lab = Lab::new(&format!("serve-after-{version}"))?;
        let upstream = Upstream::start()?;
        let options = ["--request-timeout", "1", "--max-instances", "2"];
        let (child, address) = serve(&lab, upstream.port, version, &options, Stdio::inherit())?;
        let _serving = Serving(child);
        let late = Client::ask(&address, &upstream.url)?;
        let _silent = upstream.asked()?;
        let (status, ..) = late.answer()?;
        ensure!(status == 504, "{version}: late, and answered {status}");
        let next = Client::ask(&address, &upstream.url)?;
        upstream.asked()?.answer("welcome")?;
        let (status, text, is_whole) = next.answer()?;
        ensure!(
            status == 200 && text == "welcome" && is_whole,
            "{version}: the next one: {status} {text}"
        );
    }
    Ok(())
}

/// One that computes keeps its thread, and its client does not wait for it any longer than for another.
#[test]
fn one_that_computes_is_late_as_any_other() -> Result<()> {
    let spins = "(func $spin (export \"handle\") (param i32 i32) (loop $again (br $again)))
        (func $start (loop $again (br $again)))";

    let lab = Lab::new("serve-computing")?;
    for (name, start) in [("a request", ""), ("its start", "(start $start)")] {
        let component = handler(&format!("{start} {spins}"))?;
        let component = lab.write("computing.wasm", component)?;
        let options = ["--request-timeout", "1"];
        let (child, address) = serve_component(&lab, 1, &component, &options, Stdio::piped())?;
        let mut child = Serving(child);
        for _ in 0..2 {
            let (status, ..) = Client::ask(&address, "x")?.answer()?;
            ensure!(status == 504, "{name}: {status}");
        }
        child.0.kill()?;
        let said = child.0.stderr.take().context("no log")?;
        let said = std::io::read_to_string(said)?;
        ensure!(said.contains("--request-timeout"), "{name}: {said}");
    }
    Ok(())
}

/// An answer of which the next part does not come is ended, and not so that it looks whole.
#[test]
fn an_answer_that_does_not_go_on_is_not_whole() -> Result<()> {
    for version in VERSIONS {
        let lab = Lab::new(&format!("serve-stuck-{version}"))?;
        let upstream = Upstream::start()?;
        let options = ["--request-timeout", "1"];
        let (child, address) = serve(&lab, upstream.port, version, &options, Stdio::inherit())?;
        let _serving = Serving(child);
        let client = Client::ask(&address, &upstream.url)?;
        let mut stuck = upstream.asked()?;
        stuck.begin(10)?;
        stuck.write("hello")?;
        let (status, text, is_whole) = client.answer()?;
        ensure!(
            status == 200 && text == "hello" && !is_whole,
            "{version}: {status} {text}"
        );
    }
    Ok(())
}

/// `--max-requests-per-instance`, and what waits for an instance in vain.
#[test]
fn an_instance_has_as_many_requests_as_it_may() -> Result<()> {
    let lab = Lab::new("serve-per-instance")?;
    for (most, together) in [("1", false), ("2", true)] {
        let upstream = Upstream::start()?;
        let options = [
            "--max-instances",
            "1",
            "--max-requests-per-instance",
            most,
            "--request-timeout",
            "600",
        ];
        let (child, address) = serve(&lab, upstream.port, "0-3", &options, Stdio::inherit())?;
        let _serving = Serving(child);
        let first = Client::ask(&address, &upstream.url)?;
        let one = upstream.asked()?;
        let second = Client::ask(&address, &upstream.url)?;
        if together {
            upstream.asked()?.answer("welcome")?;
            ensure!(second.answer()?.0 == 200);
            one.answer("welcome")?;
            ensure!(first.answer()?.0 == 200);
            continue;
        }
        // long enough for it to come here, if it did not wait
        for _ in 0..20 {
            ensure!(!upstream.is_asked()?, "a second request has come");
            std::thread::sleep(Duration::from_millis(25));
        }
        one.answer("welcome")?;
        ensure!(first.answer()?.0 == 200);
        upstream.asked()?.answer("welcome")?;
        ensure!(second.answer()?.0 == 200);
    }
    Ok(())
}

/// Who has the instance for as long as somebody else waits for it.
#[test]
fn who_waits_for_an_instance_in_vain_is_told_so() -> Result<()> {
    let lab = Lab::new("serve-in-vain")?;
    let upstream = Upstream::start()?;
    let options = [
        "--max-instances",
        "1",
        "--max-requests-per-instance",
        "1",
        "--request-timeout",
        "2",
    ];
    let (child, address) = serve(&lab, upstream.port, "0-3", &options, Stdio::inherit())?;
    let _serving = Serving(child);
    // its answer has begun and goes on, so that the instance is there for as long as this test likes, and may take the next one
    let long = Client::ask(&address, &upstream.url)?;
    let mut going_on = upstream.asked()?;
    going_on.begin(1_000_000_000)?;
    let late = Client::ask(&address, &upstream.url)?;
    let _silent = upstream.asked()?;
    let in_vain = Client::ask(&address, &upstream.url)?;
    let (told, is_told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let statuses = [late, in_vain].map(|client| client.answer().map(|(status, ..)| status));
        // the test may have ended
        let _ = told.send(statuses);
    });
    let until = Instant::now() + PATIENCE;
    let statuses = loop {
        going_on.write("x")?;
        match is_told.recv_timeout(Duration::from_millis(100)) {
            Ok(statuses) => break statuses,
            Err(_) => ensure!(Instant::now() < until, "nobody is told"),
        }
    };
    let [late, in_vain] = statuses;
    let (late, in_vain) = (late?, in_vain?);
    ensure!((late, in_vain) == (504, 503), "{late}, {in_vain}");
    drop(long);
    Ok(())
}

/// Over WASI 0.2 an instance answers one request: where nobody waits for that any more, nobody waits for the instance.
#[test]
fn who_has_gone_leaves_no_instance_behind() -> Result<()> {
    for version in VERSIONS {
        let lab = Lab::new(&format!("serve-gone-{version}"))?;
        let upstream = Upstream::start()?;
        // as long as this test has
        let options = ["--max-instances", "2", "--request-timeout", "600"];
        let (child, address) = serve(&lab, upstream.port, version, &options, Stdio::piped())?;
        let mut child = Serving(child);
        let mut left_behind = Vec::new();
        for _ in 0..6 {
            let gone = Client::ask(&address, &upstream.url)?;
            left_behind.push(upstream.asked()?);
            drop(gone);
        }
        let next = Client::ask(&address, &upstream.url)?;
        upstream.asked()?.answer("welcome")?;
        let (status, text, is_whole) = next.answer()?;
        ensure!(
            status == 200 && text == "welcome" && is_whole,
            "{version}: the next one: {status} {text}"
        );
        child.0.kill()?;
        let said = child.0.stderr.take().context("no log")?;
        let said = std::io::read_to_string(said)?;
        ensure!(said.is_empty(), "{version}: {said}");
    }
    Ok(())
}
