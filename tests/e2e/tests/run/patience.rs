//! Services that do not answer as they should.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use anyhow::{Result, ensure};
use edgepass_e2e::{Lab, artifact};

use crate::{edgepass_run, rules};

/// A service that takes what comes and writes that, and nothing more. Its port.
fn service(answer: String) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream?;
            // a request, or the beginning of TLS
            let _ = stream.read(&mut [0; 8_192])?;
            stream.write_all(answer.as_bytes())?;
            // nobody ends it
            open.push(stream);
        }
        std::io::Result::Ok(())
    });
    Ok(port)
}

/// A word of an error, however it is written.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.collect::<String>().to_lowercase()
}

/// The three timeouts of `wasi:http` hold, over WASI 0.2 and 0.3, for connections, for the head and for the rest. A connection
/// that does not come about by TLS is none: the host's own time for it is longer than the application's.
#[test]
fn an_application_waits_as_long_as_it_says() -> Result<()> {
    let lab = Lab::new("run-patience")?;
    let silent = service(String::new())?;
    let begins = service("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello".to_owned())?;
    for version in ["0-2", "0-3"] {
        let application = artifact(&format!("target/components/plain-{version}.wasm"))?;
        let application = application.display().to_string();
        for (url, option, word) in [
            (
                format!("https://127.0.0.1:{silent}/"),
                "--connect",
                Some("connectiontimeout"),
            ),
            (
                format!("http://127.0.0.1:{silent}/"),
                "--first",
                Some("connectionreadtimeout"),
            ),
            // over 0.2 what reads a body has no codes
            (
                format!("http://127.0.0.1:{begins}/"),
                "--between",
                (version == "0-3").then_some("connectionreadtimeout"),
            ),
        ] {
            let config = rules(&lab, 1);
            let arguments = ["run", "--allow-host", "*", &application];
            let run = edgepass_run(&lab, &config, &arguments)?;
            let ran = run.arg("GET").arg(&url).arg(option).arg("200").run()?;
            ensure!(
                ran.code == Some(1) && ran.stdout.starts_with("error: "),
                "{version} {option}: {:?} {} {}",
                ran.code,
                ran.stdout,
                ran.stderr
            );
            ensure!(
                word.is_none_or(|word| plain(&ran.stdout).contains(word)),
                "{version} {option}: {}",
                ran.stdout
            );
        }
    }
    Ok(())
}

/// An answer that cannot be read is none, and the log says why.
#[test]
fn an_answer_that_cannot_be_read_is_said_to_be_so() -> Result<()> {
    let lab = Lab::new("run-unreadable")?;
    let config = rules(&lab, 1);
    let application = crate::application()?.display().to_string();
    let headers = |count: usize| {
        let headers: String = (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok")
    };
    for (answer, word) in [
        (headers(99), None),
        (headers(150), Some("100 headers")),
        (
            format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(600_000)),
            Some("larger than is taken"),
        ),
        ("SSH-2.0-a-server\r\n\r\n".to_owned(), Some("not HTTP/1.1")),
    ] {
        let port = service(answer)?;
        let arguments = ["run", "--allow-host", "*", &application];
        let run = edgepass_run(&lab, &config, &arguments)?;
        let ran = run
            .arg("GET")
            .arg(format!("http://127.0.0.1:{port}/"))
            .run()?;
        ensure!(
            ran.code == Some(i32::from(word.is_some())),
            "{word:?}: {} {}",
            ran.stdout,
            ran.stderr
        );
        let place = format!("127.0.0.1:{port}");
        ensure!(
            word.is_none_or(|word| ran.stderr.contains(word) && ran.stderr.contains(&place)),
            "{word:?}: {}",
            ran.stderr
        );
    }
    Ok(())
}
