//! Clients of a service that are not as one would wish.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Lab, artifact};
use http::StatusCode;

use crate::{Backend, Serving, edgepass_run, rules, runtime, status, wants_token};

/// `serve-http` with an application of that version of WASI. Its address, without the scheme.
pub(crate) fn serve(
    lab: &Lab,
    upstream: u16,
    version: &str,
    options: &[&str],
    stderr: Stdio,
) -> Result<(Child, String)> {
    let application = artifact(&format!("target/components/plain-{version}.wasm"))?;
    serve_component(lab, upstream, &application, options, stderr)
}

/// A service of WASI 0.2 that reads nothing of its request; what its function `handle` does is in that module.
pub(crate) fn handler(module: &str) -> Result<Vec<u8>> {
    const COMPONENT: &str = r#"(component
        (import "wasi:http/types@0.2.6" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $out))
        (core module $m MODULE)
        (core instance $i (instantiate $m))
        (func $handle (param "request" (own $request)) (param "response-out" (own $out))
            (canon lift (core func $i "handle")))
        (instance $exported (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.6" (instance $exported)))"#;

    Ok(wat::parse_str(COMPONENT.replace("MODULE", module))?)
}

/// The same as [`serve`] with another application.
pub(crate) fn serve_component(
    lab: &Lab,
    upstream: u16,
    application: &Path,
    options: &[&str],
    stderr: Stdio,
) -> Result<(Child, String)> {
    let application = application.display().to_string();
    let mut arguments = vec!["serve-http", "--listen", "127.0.0.1:0"];
    arguments.extend(options);
    arguments.push(&application);
    let command = edgepass_run(lab, &rules(lab, upstream), &arguments)?;
    let mut child = command.spawn_with_stderr(stderr)?;
    let stdout = child.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().strip_prefix("http://");
    Ok((child, address.context("no address")?.to_owned()))
}

/// Who does not read the answer has a place no longer than that takes.
#[test]
fn a_client_that_does_not_read_keeps_no_place() -> Result<()> {
    const MUCH: usize = 50_000_000;

    for (version, http) in [
        ("0-2", "1.1"),
        ("0-2", "1.0"),
        ("0-3", "1.1"),
        ("0-3", "1.0"),
    ] {
        let lab = Lab::new(&format!("serve-unread-{version}"))?;
        let runtime = runtime()?;
        let backend = Backend::start(&runtime, |_, before| match before {
            0 => status(StatusCode::OK, &"x".repeat(MUCH)),
            _ => status(StatusCode::OK, "welcome"),
        })?;
        let options = ["--max-requests", "1", "--write-timeout", "0.2"];
        let (child, address) = serve(&lab, backend.port, version, &options, Stdio::inherit())?;
        let _serving = Serving(child);
        let mut unread = TcpStream::connect(&address)?;
        let url = backend.url("/x");
        write!(unread, "GET /?{url} HTTP/{http}\r\nhost: {address}\r\n\r\n")?;
        // its answer has begun, and has the place
        let mut first = [0; 12];
        unread.read_exact(&mut first)?;
        ensure!(first == *format!("HTTP/{http} 200").as_bytes());
        let text = runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build()?;
            let response = client
                .get(format!("http://{address}/?{url}"))
                .send()
                .await?;
            ensure!(response.status() == 200, "{version}: {}", response.status());
            Ok(response.text().await?)
        })?;
        ensure!(text == "welcome", "{version}: {text}");
        // what it has not read is not there, and nothing looks as if it were
        let mut rest = Vec::new();
        let read = unread.read_to_end(&mut rest);
        ensure!(
            read.is_err() && rest.len() < MUCH,
            "{version}, {http}: {read:?}, {} bytes",
            rest.len()
        );
    }
    Ok(())
}

/// An instance of WASI 0.3 whose client has hung up works on, and counts until it is done.
#[test]
fn an_instance_without_its_client_is_still_one() -> Result<()> {
    let lab = Lab::new("serve-hung-up")?;
    let upstream = TcpListener::bind("127.0.0.1:0")?;
    let port = upstream.local_addr()?.port();
    let options = [
        "--max-requests",
        "1",
        "--max-requests-per-instance",
        "1",
        "--request-timeout",
        "600",
    ];
    let (child, address) = serve(&lab, port, "0-3", &options, Stdio::inherit())?;
    let _serving = Serving(child);
    let ask = || -> Result<TcpStream> {
        let mut client = TcpStream::connect(&address)?;
        let url = format!("http://127.0.0.1:{port}/x");
        write!(
            client,
            "GET /?{url} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )?;
        Ok(client)
    };
    let gone = ask()?;
    let (first, _) = upstream.accept()?;
    drop(gone);
    let mut waiting = ask()?;
    // long enough for a second instance to come here, if there were one
    upstream.set_nonblocking(true)?;
    for _ in 0..20 {
        ensure!(upstream.accept().is_err(), "a second instance has begun");
        std::thread::sleep(Duration::from_millis(25));
    }
    upstream.set_nonblocking(false)?;
    let answer = |connection: TcpStream| -> Result<()> {
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        Ok(reader.into_inner().write_all(answer.as_bytes())?)
    };
    answer(first)?;
    answer(upstream.accept()?.0)?;
    let mut got = String::new();
    waiting.read_to_string(&mut got)?;
    ensure!(got.starts_with("HTTP/1.1 200"), "{got}");
    Ok(())
}

/// For whom a request is: RFC 9112 section 3.2.
#[test]
fn a_request_says_for_which_host_it_is_or_is_an_old_one() -> Result<()> {
    for version in ["0-2", "0-3"] {
        let lab = Lab::new(&format!("serve-hosts-{version}"))?;
        let runtime = runtime()?;
        let backend = Backend::start(&runtime, |seen, _| wants_token(seen))?;
        let (child, address) = serve(&lab, backend.port, version, &[], Stdio::inherit())?;
        let _serving = Serving(child);
        for (rest, expected) in [
            ("1.0\r\n", 200),
            ("1.0\r\nhost: a.example\r\n", 200),
            ("1.1\r\nhost: a.example\r\n", 200),
            ("1.1\r\nhost:\r\n", 200),
            ("1.1\r\n", 400),
            ("1.1\r\nhost: a.example\r\nhost: a.example\r\n", 400),
            ("1.1\r\nhost: user@a.example\r\n", 400),
            ("1.1\r\nhost: a\u{e9}.example\r\n", 400),
            ("1.0\r\nhost: a b\r\n", 400),
        ] {
            let mut stream = TcpStream::connect(&address)?;
            let url = backend.url("/x");
            write!(stream, "GET /?{url} HTTP/{rest}connection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            let got = answer
                .split(' ')
                .nth(1)
                .and_then(|got| got.parse::<u16>().ok());
            ensure!(got == Some(expected), "{version}, {rest:?}: {answer}");
        }
    }
    Ok(())
}

/// A body that is broken is its client's fault, and not one that the log is filled with.
#[test]
fn a_body_that_is_broken_is_no_failure_of_the_application() -> Result<()> {
    let lab = Lab::new("serve-broken-body")?;
    let runtime = runtime()?;
    let backend = Backend::start(&runtime, |seen, _| wants_token(seen))?;
    let (child, address) = serve(&lab, backend.port, "0-3", &[], Stdio::piped())?;
    let mut child = Serving(child);
    for (chunks, expected) in [
        ("4\r\nbody\r\n0\r\n\r\n", 200),
        ("zz\r\nbody\r\n0\r\n\r\n", 400),
        ("4\r\nbodyzz0\r\n\r\n", 400),
        ("4\r\nbody\r\nffffffffffffffffff\r\n", 400),
    ] {
        let mut stream = TcpStream::connect(&address)?;
        let url = backend.url("/x");
        write!(
            stream,
            "POST /?{url} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let got = answer
            .split(' ')
            .nth(1)
            .and_then(|got| got.parse::<u16>().ok());
        ensure!(got == Some(expected), "{chunks:?}: {answer}");
    }
    child.0.kill()?;
    let said = child.0.stderr.take().context("no log")?;
    let said = std::io::read_to_string(said)?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

/// The end is neither late nor a failure: not for the sake of a request of which half a head is there, nor of instances that
/// nobody asks any more.
#[test]
fn the_end_of_a_service_is_a_clean_one() -> Result<()> {
    for version in ["0-2", "0-3", "0-3", "0-3"] {
        let lab = Lab::new(&format!("serve-end-{version}"))?;
        let runtime = runtime()?;
        let backend = Backend::start(&runtime, |seen, _| wants_token(seen))?;
        let (child, address) = serve(&lab, backend.port, version, &[], Stdio::piped())?;
        let mut child = Serving(child);
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build()?;
            let url = format!("http://{address}/?{}", backend.url("/x"));
            let asked = (0..20).map(|_| client.get(&url).send());
            for response in futures::future::try_join_all(asked).await? {
                ensure!(response.status() == 200, "{}", response.status());
            }
            anyhow::Ok(())
        })?;
        let mut half = TcpStream::connect(&address)?;
        half.write_all(b"GET / HT")?;
        // and one that says nothing
        let _silent = TcpStream::connect(&address)?;
        let id = child.0.id().to_string();
        ensure!(
            Program::new("kill")
                .args(["-TERM", &id])
                .status()?
                .success()
        );
        let stderr = child.0.stderr.take().context("no log")?;
        let said = std::io::read_to_string(stderr)?;
        let ended = child.0.wait()?;
        ensure!(
            ended.code() == Some(0) && said.is_empty(),
            "{version}: {ended:?} {said}"
        );
    }
    Ok(())
}

/// What languages make of WASI 0.2 counts on it.
#[test]
fn an_instance_of_0_2_answers_one_request() -> Result<()> {
    let lab = Lab::new("serve-instances")?;
    let runtime = runtime()?;
    let backend = Backend::start(&runtime, |seen, _| wants_token(seen))?;
    let (child, address) = serve(&lab, backend.port, "0-2", &[], Stdio::inherit())?;
    let _serving = Serving(child);
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{address}/?{}", backend.url("/x"));
        for _ in 0..3 {
            let asked = (0..10).map(|_| client.get(&url).send());
            for response in futures::future::try_join_all(asked).await? {
                let answered = response.headers().get("x-answered").cloned();
                ensure!(answered.is_some_and(|count| count == "1"), "{response:?}");
            }
        }
        anyhow::Ok(())
    })
}
