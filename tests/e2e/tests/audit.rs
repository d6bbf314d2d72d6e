//! Acceptance: what `edgepass-run` puts tokens on is on record, also at a receiver of OpenTelemetry's logs, which reads it by
//! its own definitions; and a place that takes no records fails no request.

#![cfg(test)]

use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command as Program, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{
    Command, GRAPH, Lab, Ran, artifact, edgepass_run_bin, peers_python, peers_script,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

/// How long what a test waits for may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request: its path, its headers, its body.
type Request = (String, HeaderMap, Bytes);

/// Something that answers HTTP on this machine.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` has how many requests came before; without one there is no answer.
    fn start(
        runtime: &Runtime,
        answer: impl Fn(usize) -> Option<(StatusCode, &'static str)> + Send + Sync + 'static,
    ) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let port = listener.local_addr()?.port();
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let (shared, answer) = (Arc::clone(&seen), Arc::new(answer));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(|body| body.to_bytes());
                        let request =
                            (head.uri.to_string(), head.headers, body.unwrap_or_default());
                        let before = {
                            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                            seen.push(request);
                            seen.len() - 1
                        };
                        let Some((status, text)) = answer(before) else {
                            return std::future::pending().await;
                        };
                        let mut response =
                            Response::new(Full::new(Bytes::from_static(text.as_bytes())));
                        *response.status_mut() = status;
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(async move {
                    // the peer has gone
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { port, seen })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn seen(&self) -> Vec<Request> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

/// Runs an application that sends so many requests to a service, with records to these places.
fn run(lab: &Lab, service: &Server, places: &[&str], requests: usize) -> Result<Ran> {
    command(lab, service, places, requests)?.run()
}

fn command<'l>(
    lab: &'l Lab,
    service: &Server,
    places: &[&str],
    requests: usize,
) -> Result<Command<'l>> {
    let mut config =
        lab.config(&json!({ "client_secret": { "value": lab.emulator.client_secret() } }));
    config["http"] = json!({ "rules": [{
        "match": { "host": "127.0.0.1", "port": service.port },
        "scopes": [GRAPH],
        "http_on_loopback": true,
    }] });
    let config = lab.write("config.json", config.to_string())?;
    let mut command = Command::other(lab, &edgepass_run_bin()?)
        .without_azure()
        .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=all,x-of-all=1")
        .env(
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
            "x-scope=tenant%20one,api-key=logs",
        )
        .env("OTEL_SERVICE_NAME", "greeter")
        .arg("run")
        .arg("--config")
        .arg(config.display().to_string())
        .arg("--ca-file")
        .arg(lab.files.ca_file().display().to_string());
    for place in places {
        command = command.arg("--audit").arg(*place);
    }
    command = command.arg(
        artifact("target/components/plain-0-2.wasm")?
            .display()
            .to_string(),
    );
    for request in 0..requests {
        if request > 0 {
            command = command.arg("--");
        }
        command = command.arg("GET").arg(service.url("/x"));
        command = command.arg(format!("traceparent={TRACE}"));
    }
    Ok(command)
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn fine(_: usize) -> Option<(StatusCode, &'static str)> {
    Some((StatusCode::OK, "{}"))
}

/// The log records of requests, as OpenTelemetry's definitions read them.
fn decoded(requests: &[Request]) -> Result<Vec<Value>> {
    let mut child = Program::new(peers_python()?)
        .arg(peers_script("otlp_logs.py")?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no input")?;
    for (_, _, body) in requests {
        stdin.write_all(body)?;
        stdin.write_all(b"\n")?;
    }
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "it cannot be read");
    let lines = String::from_utf8(output.stdout)?;
    let records = lines.lines().map(serde_json::from_str);
    Ok(records.collect::<Result<_, _>>()?)
}

#[test]
fn a_receiver_of_logs_gets_what_the_file_has() -> Result<()> {
    let lab = Lab::new("audit_otlp")?;
    let runtime = runtime()?;
    let service = Server::start(&runtime, fine)?;
    // one that is busy at first
    let receiver = Server::start(&runtime, |before| match before {
        0 => Some((StatusCode::SERVICE_UNAVAILABLE, "")),
        _ => Some((StatusCode::OK, "{\"partialSuccess\":{}}")),
    })?;
    let file = lab.write("audit.jsonl", "")?;
    let path = file.display().to_string();
    let ran = run(
        &lab,
        &service,
        // schemes are the same in capital letters
        &[&path, &receiver.url("").replace("http", "HTTP")],
        3,
    )?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    ensure!(!ran.stderr.contains("audit"), "{}", ran.stderr);
    let written = std::fs::read_to_string(&file)?;
    let written = written.lines().map(serde_json::from_str::<Value>);
    let written = written.collect::<Result<Vec<_>, _>>()?;

    let requests = receiver.seen();
    let [refused, taken @ ..] = requests.as_slice() else {
        anyhow::bail!("nothing has come");
    };
    ensure!(
        taken.first().is_some_and(|(_, _, body)| *body == refused.2),
        "it is not sent again"
    );
    for (path, headers, _) in &requests {
        assert_eq!(path, "/v1/logs");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["x-scope"], "tenant one");
        assert_eq!(headers["api-key"], "logs");
        // the variable for logs takes the place of the other
        ensure!(!headers.contains_key("x-of-all"));
    }
    let records = decoded(taken)?;
    assert_eq!((written.len(), records.len()), (3, 3));
    let tokens = service.seen();
    for ((written, record), (_, headers, _)) in written.iter().zip(&records).zip(&tokens) {
        let attributes = &record["attributes"];
        for (attribute, field) in [
            ("edgepass.correlation_id", "correlation_id"),
            ("edgepass.component", "component"),
            ("edgepass.rule", "rule"),
            ("edgepass.identity", "identity"),
            ("edgepass.scopes", "scopes"),
            ("edgepass.destination", "destination"),
            ("edgepass.outcome", "outcome"),
            ("edgepass.token_sha256_prefix", "token_sha256_prefix"),
            ("http.request.method", "method"),
            ("http.response.status_code", "status"),
        ] {
            ensure!(!written[field].is_null(), "{field}: {written}");
            assert_eq!(attributes[attribute], written[field], "{attribute}");
        }
        assert_eq!(record["resource"]["service.name"], "greeter");
        assert_eq!(record["event"], "edgepass.injection");
        assert_eq!(record["severity"], 9);
        let unix_ms = written["time_unix_ms"].as_u64().unwrap_or_default();
        assert_eq!(record["time_unix_nano"], json!(unix_ms * 1_000_000));
        ensure!(record["observed_time_unix_nano"].as_u64() >= record["time_unix_nano"].as_u64());
        assert_eq!(record["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(written["trace_id"], record["trace_id"]);
        assert_eq!(record["span_id"], "00f067aa0ba902b7");
        let token = headers["authorization"].to_str()?;
        let token = token.strip_prefix("Bearer ").context("no token")?;
        lab.evidence.secret("access token", token);
        ensure!(!format!("{written} {record}").contains(token));
    }
    Ok(())
}

/// Whatever is wrong with a place: all requests are answered, and it is said once, with how many records are lost.
#[test]
fn a_place_that_takes_no_records_fails_no_request() -> Result<()> {
    let runtime = runtime()?;
    let refusing = Server::start(&runtime, |_| Some((StatusCode::FORBIDDEN, "no")))?;
    let silent = Server::start(&runtime, |_| None)?;
    // how many batches there are is the machine's affair
    let partial = Server::start(&runtime, |before| {
        let answer = r#"{"partialSuccess":{"rejectedLogRecords":"20","errorMessage":"no"}}"#;
        Some((StatusCode::OK, if before == 0 { answer } else { "{}" }))
    })?;
    // of answers that make no sense the worst is taken
    let all_there_are = r#"{"partialSuccess":{"rejectedLogRecords":"18446744073709551615"}}"#;
    let beyond = Server::start(&runtime, move |_| Some((StatusCode::OK, all_there_are)))?;
    let fewer_than_none = r#"{"partialSuccess":{"rejectedLogRecords":-1}}"#;
    let negative = Server::start(&runtime, move |_| Some((StatusCode::OK, fewer_than_none)))?;
    // it is bound, so that nobody else gets it, and nobody listens
    let bound = TcpSocket::new_v4()?;
    bound.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let nobody = format!("http://{}", bound.local_addr()?);
    for (name, place, why) in [
        ("full", "/dev/full".to_owned(), "No space left"),
        ("refusing", refusing.url("/v1/logs"), "it answers 403"),
        ("silent", silent.url("/v1/logs"), "it is not taken in time"),
        ("partial", partial.url("/v1/logs"), "refuses records"),
        ("nobody", nobody, "refused"),
        ("beyond", beyond.url(""), "refuses records"),
        ("negative", negative.url(""), "does not say in a way"),
    ] {
        let lab = Lab::new(&format!("audit_{name}"))?;
        let service = Server::start(&runtime, fine)?;
        let ran = run(&lab, &service, &[&place], 20)?;
        ensure!(ran.code == Some(0), "{name}: {}", ran.stderr);
        assert_eq!(ran.stdout, "200 {}\n".repeat(20), "{name}");
        let said = |word: &str| {
            ran.stderr
                .lines()
                .filter(|line| line.contains(word))
                .count()
        };
        assert_eq!(
            said("a record of the audit is lost"),
            1,
            "{name}: {}",
            ran.stderr
        );
        assert_eq!(
            said("records of the audit were lost: 20, to"),
            1,
            "{name}: {}",
            ran.stderr
        );
        ensure!(ran.stderr.contains(why), "{name}: {}", ran.stderr);
    }
    Ok(())
}

fn pipe(lab: &Lab) -> Result<String> {
    let path = lab.scratch().join("audit.pipe").display().to_string();
    let made = Program::new("mkfifo").arg(&path).status()?;
    ensure!(made.success());
    Ok(path)
}

/// Waits for its end, which does not come where something waits for who will not come.
fn end_of(mut child: Child) -> Result<String> {
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            anyhow::bail!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{:?}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// As many records as a pipe does not take.
const MANY: usize = 400;

/// Whoever has a pipe and does not read it holds up no request; each record is in the pipe, or is said to be lost.
#[test]
fn a_pipe_that_nobody_reads_holds_up_no_request() -> Result<()> {
    let lab = Lab::new("audit_unread")?;
    let runtime = runtime()?;
    let service = Server::start(&runtime, fine)?;
    let place = pipe(&lab)?;
    // for both, so that it is open, and never at its end
    let mut open = File::options().read(true).write(true).open(&place)?;
    let ran = run(&lab, &service, &[&place], MANY)?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "200 {}\n".repeat(MANY));
    let mut writer = open.try_clone()?;
    let end = std::thread::spawn(move || writer.write_all(b"end\n"));
    let lines = BufReader::new(&mut open).lines();
    let lines = lines.take_while(|line| line.as_ref().is_ok_and(|line| line != "end"));
    let written = lines.collect::<Result<Vec<_>, _>>()?;
    end.join().ok().context("it has not come to its end")??;
    for line in &written {
        serde_json::from_str::<Value>(line)?;
    }
    let lost = ran.stderr.lines().find_map(|line| {
        let (_, rest) = line.split_once("records of the audit were lost: ")?;
        rest.split(',').next()?.parse::<usize>().ok()
    });
    let lost = lost.with_context(|| ran.stderr.clone())?;
    assert_eq!(written.len() + lost, MANY, "{}", ran.stderr);
    ensure!(ran.stderr.contains("not taken in time"), "{}", ran.stderr);
    Ok(())
}

/// The same of standard error, on which the log is as well.
#[test]
fn standard_error_that_nobody_reads_holds_up_no_request() -> Result<()> {
    let lab = Lab::new("audit_unread_stderr")?;
    let runtime = runtime()?;
    let service = Server::start(&runtime, fine)?;
    let place = pipe(&lab)?;
    let open = File::options().read(true).write(true).open(&place)?;
    let child = command(&lab, &service, &["-", "/dev/full"], MANY)?;
    let child = child.spawn_with_stderr(open.try_clone()?.into())?;
    assert_eq!(end_of(child)?, "200 {}\n".repeat(MANY));
    drop(open);
    Ok(())
}

/// A pipe is a place as any other where somebody reads it.
#[test]
fn a_pipe_gets_all_records() -> Result<()> {
    let lab = Lab::new("audit_pipe")?;
    let runtime = runtime()?;
    let service = Server::start(&runtime, fine)?;
    let place = pipe(&lab)?;
    // its end comes when the program has gone, which is there before this one has gone
    let open = File::options().read(true).write(true).open(&place)?;
    let (path, begun) = (place.clone(), std::sync::mpsc::channel());
    let reader = std::thread::spawn(move || {
        let file = File::open(path)?;
        begun.0.send(()).ok();
        BufReader::new(file).lines().collect::<Result<Vec<_>, _>>()
    });
    begun.1.recv()?;
    let ran = run(&lab, &service, &[&place], MANY)?;
    drop(open);
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    let lines = reader.join().ok().context("it is not read")??;
    assert_eq!(lines.len(), MANY, "{}", ran.stderr);
    ensure!(!ran.stderr.contains("audit"), "{}", ran.stderr);
    Ok(())
}

/// A signal loses no record: neither what waits for the receiver, nor the request that the signal gives up.
#[test]
fn a_signal_writes_down_what_is_on_its_way() -> Result<()> {
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        let lab = Lab::new(&format!("audit_signal_{signal}"))?;
        let runtime = runtime()?;
        // the third request is never answered
        let service = Server::start(
            &runtime,
            |before| if before < 2 { fine(before) } else { None },
        )?;
        let receiver = Server::start(&runtime, fine)?;
        let file = lab.write("audit.jsonl", "")?;
        let places = [&*file.display().to_string(), &receiver.url("")];
        let mut child = command(&lab, &service, &places, 3)?.spawn()?;
        let begun = Instant::now();
        while service.seen().len() < 3 {
            let ended = child.try_wait()?;
            ensure!(ended.is_none(), "{signal}: it has ended: {ended:?}");
            if begun.elapsed() > PATIENCE {
                child.kill()?;
                anyhow::bail!("{signal}: three requests have not come");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Program::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status()?;
        ensure!(sent.success());
        assert_eq!(child.wait()?.code(), Some(128 + number), "{signal}");
        let written = std::fs::read_to_string(&file)?;
        let written = written.lines().map(serde_json::from_str::<Value>);
        let written = written.collect::<Result<Vec<_>, _>>()?;
        let outcomes = |records: &[Value], of: &dyn Fn(&Value) -> Value| {
            records.iter().map(of).collect::<Vec<_>>()
        };
        let expected = [json!("sent"), json!("sent"), json!("abandoned")];
        let in_file = outcomes(&written, &|record| record["outcome"].clone());
        assert_eq!(in_file, expected, "{signal}");
        let records = decoded(&receiver.seen())?;
        let at_receiver = outcomes(&records, &|record| {
            record["attributes"]["edgepass.outcome"].clone()
        });
        assert_eq!(at_receiver, expected, "{signal}");
    }
    Ok(())
}

#[test]
fn a_place_that_is_none_is_refused_before_the_application_runs() -> Result<()> {
    let lab = Lab::new("audit_places")?;
    let runtime = runtime()?;
    let service = Server::start(&runtime, fine)?;
    let pipe = pipe(&lab)?;
    for place in [
        "http://",
        "https://user:a-long-password@collector.example/v1/logs",
        // with headers, which may have keys
        "http://collector.example/v1/logs",
        "/nowhere/audit.jsonl",
        "ftp://user:a-long-password@collector.example",
        "localhost:4318",
        // nobody reads it
        &pipe,
    ] {
        let ran = run(&lab, &service, &[place], 1)?;
        ensure!(
            ran.code == Some(2) && ran.stderr.contains("--audit"),
            "{place}: {}",
            ran.stderr
        );
        ensure!(!ran.stderr.contains("a-long-password"), "{}", ran.stderr);
    }
    ensure!(service.seen().is_empty());
    Ok(())
}
