//! Services that close a connection which the host has kept for the next request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Lab, artifact};

use super::late::VERSIONS;
use crate::{edgepass_run, rules};

/// What a service does with a connection, of which nothing is said in its answers.
#[derive(Clone, Copy, Debug)]
enum Closes {
    /// Behind an answer.
    Behind,
    /// When the next request comes, and has not been read: by a reset.
    AtNext,
    /// When the next request has been read.
    ReadingNext,
    /// When the answer to the next request has begun.
    AnsweringNext,
    /// When its first request has been read, but for the first connection.
    ReadingFirst,
}

/// A request as it came: its method, and what it has in `authorization`.
type Seen = (String, Option<String>);

struct Service {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Service {
    fn start(closes: Closes) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (stream, seen) = (stream?, Arc::clone(&kept));
                // a client that has gone is none of this test's
                std::thread::spawn(move || serve(&stream, closes, number, &seen));
            }
            std::io::Result::Ok(())
        });
        Ok(Self { port, seen })
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

fn serve(
    stream: &TcpStream,
    closes: Closes,
    number: usize,
    seen: &Mutex<Vec<Seen>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut to = stream;
    for before in 0.. {
        if before > 0 && matches!(closes, Closes::AtNext) {
            stream.peek(&mut [0])?;
            return Ok(());
        }
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let method = line.split(' ').next().unwrap_or_default().to_owned();
        let (mut token, mut length, mut is_chunked) = (None, 0, false);
        loop {
            line.clear();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            let (name, value) = line.trim().split_once(": ").unwrap_or_default();
            match name {
                "authorization" => token = Some(value.to_owned()),
                "content-length" => length = value.parse().unwrap_or(0),
                "transfer-encoding" => is_chunked = true,
                _ => {}
            }
        }
        if length > 0 {
            reader.read_exact(&mut vec![0; length])?;
        }
        if is_chunked {
            while reader.read_line(&mut line)? > 0 && !line.ends_with("0\r\n\r\n") {}
        }
        let mut all = seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((method, token));
        drop(all);
        match (closes, before, number) {
            (Closes::ReadingNext, 1, _) | (Closes::ReadingFirst, 0, 1..) => return Ok(()),
            (Closes::AnsweringNext, 1, _) => return to.write_all(b"HTTP/1.1 2"),
            _ => to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nwelcome")?,
        }
        match closes {
            Closes::Behind => return Ok(()),
            Closes::ReadingFirst if number == 0 => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// A request that may be sent twice is, once, and by a new connection (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1): with the
/// same token, and as if nothing had been. One whose answer has begun, and one that may be done twice by it, is not.
#[test]
fn a_connection_that_the_service_has_closed_fails_no_request() -> Result<()> {
    const OK: &str = "200 welcome";

    for version in VERSIONS {
        let application = artifact(&format!("target/components/plain-{version}.wasm"))?;
        let application = application.display().to_string();
        // the words of the second request and of every other behind it, whether it is answered, and how often it comes to the
        // service
        for (closes, words, is_answered, comes) in [
            (Closes::Behind, "GET", true, 1),
            (Closes::AtNext, "GET", true, 1),
            (Closes::ReadingNext, "GET", true, 2),
            (Closes::ReadingNext, "DELETE", true, 2),
            (Closes::ReadingNext, "PUT", true, 2),
            (Closes::ReadingNext, "OPTIONS", true, 2),
            (Closes::ReadingNext, "PUT --bytes 10", false, 1),
            (Closes::ReadingNext, "POST", false, 1),
            (Closes::ReadingNext, "POST --bytes 10", false, 1),
            (Closes::ReadingNext, "PATCH", false, 1),
            (Closes::AnsweringNext, "GET", false, 1),
            (Closes::ReadingFirst, "GET", false, 1),
        ] {
            let case = format!("WASI {version}, {closes:?}, {words}");
            let lab = Lab::new(&format!("run-again-{version}"))?;
            let service = Service::start(closes)?;
            let url = format!("http://127.0.0.1:{}/x", service.port);
            let config = rules(&lab, service.port);
            let mut run = edgepass_run(&lab, &config, &["run", &application])?;
            run = run.arg("GET").arg(&url);
            let (method, rest) = words.split_once(' ').unwrap_or((words, ""));
            for _ in 0..3 {
                run = run.arg("--").arg(method).arg(&url);
                run = rest.split_whitespace().fold(run, |run, word| run.arg(word));
            }
            let ran = run.run()?;
            let lines: Vec<_> = ran.stdout.lines().collect();
            let second = lines.get(1).context(ran.stderr.clone())?;
            ensure!(lines.first() == Some(&OK), "{case}: {}", ran.stdout);
            ensure!((*second == OK) == is_answered, "{case}: {}", ran.stdout);
            if is_answered {
                ensure!(lines == [OK; 4], "{case}: {}", ran.stdout);
            } else {
                ensure!(second.starts_with("error: "), "{case}: {second}");
            }
            let seen = service.seen();
            let methods: Vec<_> = seen.iter().map(|(method, _)| method.as_str()).collect();
            // the first one, and the second as often as it came; what comes then is the next one
            ensure!(
                methods.get(1..=comes) == Some(&vec![method; comes][..]),
                "{case}: {methods:?}"
            );
            let all = match (closes, is_answered) {
                // the second and the fourth come twice: the third has a new connection, as the second did, which is not kept
                (Closes::ReadingNext, true) => Some(4 + 2),
                (Closes::Behind | Closes::AtNext, true) => Some(4),
                (Closes::ReadingFirst, _) => Some(4),
                _ => None,
            };
            ensure!(
                all.is_none_or(|all| all == seen.len()),
                "{case}: {methods:?}"
            );
            let tokens: Vec<_> = seen.iter().map(|(_, token)| token.as_deref()).collect();
            let token = tokens.first().copied().flatten().context("no token")?;
            lab.evidence.secret("access token", token);
            ensure!(
                tokens.iter().all(|one| *one == Some(token)),
                "{case}: tokens differ"
            );
            ensure!(lab.emulator.token_requests().len() == 1, "{case}");
        }
    }
    Ok(())
}
