//! Acceptance: `edgepass-run` runs applications that know nothing of tokens, and their requests get them by the rules. The
//! application is of WASI 0.2, made with a public crate; programs, sockets and token server are real.

#![cfg(test)]

#[path = "run/again.rs"]
mod again;
#[path = "run/bounds.rs"]
mod bounds;
#[path = "run/broken.rs"]
mod broken;
#[path = "run/inputs.rs"]
mod inputs;
#[path = "run/late.rs"]
mod late;
#[path = "run/patience.rs"]
mod patience;
#[path = "run/service.rs"]
mod service;
#[path = "run/uploads.rs"]
mod uploads;
#[path = "run/waiting.rs"]
mod waiting;
#[path = "run/words.rs"]
mod words;

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Command, GRAPH, Lab, artifact, edgepass_run_bin};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request as the service got it.
#[derive(Clone, Debug)]
struct Seen {
    headers: HeaderMap,
    bytes: usize,
}

impl Seen {
    fn token(&self) -> Option<&str> {
        let value = self.headers.get(AUTHORIZATION)?.to_str().ok()?;
        value.strip_prefix("Bearer ")
    }
}

type Judge = dyn Fn(&Seen, usize) -> Response<Full<Bytes>> + Send + Sync;

/// A service on this machine, over plain http.
struct Backend {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backend {
    /// `judge` has the request and how many came before it.
    fn start(
        runtime: &tokio::runtime::Runtime,
        judge: impl Fn(&Seen, usize) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let port = listener.local_addr()?.port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let judge: Arc<Judge> = Arc::new(judge);
        let kept = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (judge, seen) = (Arc::clone(&judge), Arc::clone(&kept));
                tokio::spawn(async move {
                    let answer = service_fn(move |request| {
                        let (judge, seen) = (Arc::clone(&judge), Arc::clone(&seen));
                        async move { Ok::<_, Infallible>(answer(judge.as_ref(), &seen, request).await) }
                    });
                    // the peer has gone
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self { port, seen })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn answer(
    judge: &Judge,
    seen: &Mutex<Vec<Seen>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map_or(0, |body| body.to_bytes().len());
    let this = Seen {
        headers: head.headers,
        bytes,
    };
    let before = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(this.clone());
        seen.len() - 1
    };
    judge(&this, before)
}

fn status(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// Asks for a token, whichever.
fn wants_token(seen: &Seen) -> Response<Full<Bytes>> {
    match seen.token() {
        Some(_) => status(StatusCode::OK, "welcome"),
        None => status(StatusCode::UNAUTHORIZED, "who are you?"),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

fn application() -> Result<PathBuf> {
    artifact("target/components/plain-0-2.wasm")
}

/// A configuration whose requests to that port get tokens.
fn rules(lab: &Lab, port: u16) -> Value {
    let mut config =
        lab.config(&json!({ "client_secret": { "value": lab.emulator.client_secret() } }));
    if let Some(config) = config.as_object_mut() {
        config.insert(
            "http".into(),
            json!({ "rules": [
                { "match": { "host": "127.0.0.1", "port": port, "path_prefix": "/open" }, "disabled": true },
                { "match": { "host": "127.0.0.1", "port": port }, "scopes": [GRAPH], "http_on_loopback": true },
            ] }),
        );
    }
    config
}

fn edgepass_run<'l>(lab: &'l Lab, config: &Value, arguments: &[&str]) -> Result<Command<'l>> {
    let path = lab.write("config.json", config.to_string())?;
    let mut command = Command::other(lab, &edgepass_run_bin()?)
        .without_azure()
        .arg(arguments.first().copied().unwrap_or_default())
        .arg("--config")
        .arg(path.display().to_string())
        .arg("--ca-file")
        .arg(lab.files.ca_file().display().to_string());
    for argument in arguments.iter().skip(1) {
        command = command.arg(*argument);
    }
    Ok(command)
}

#[test]
fn a_command_that_knows_nothing_of_tokens_gets_them_by_rules() -> Result<()> {
    let lab = Lab::new("run-by-rules")?;
    let runtime = runtime()?;
    let named = Backend::start(&runtime, |seen, _| wants_token(seen))?;
    let other = Backend::start(&runtime, |_, _| status(StatusCode::OK, "hello"))?;
    let config = rules(&lab, named.port);
    let application = application()?.display().to_string();
    let audit = lab.write("audit.jsonl", "")?.display().to_string();
    let allowed = format!("127.0.0.1:{}", other.port);
    let run = edgepass_run(
        &lab,
        &config,
        &[
            "run",
            "--allow-host",
            &allowed,
            "--audit",
            &audit,
            &application,
        ],
    )?;
    let requests = [
        // what it sets itself does not go out
        vec![
            "GET".to_owned(),
            named.url("/a"),
            "authorization=Bearer mine".to_owned(),
        ],
        vec![
            "POST".to_owned(),
            named.url("/b"),
            "--bytes".to_owned(),
            "300000".to_owned(),
        ],
        vec!["GET".to_owned(), named.url("/open/x")],
        vec!["GET".to_owned(), other.url("/c")],
    ];
    let run = requests
        .join(&"--".to_owned())
        .into_iter()
        .fold(run, Command::arg);
    let output = run.run()?;
    ensure!(output.code == Some(0), "{}", output.stderr);
    ensure!(
        output.stdout == "200 welcome\n200 welcome\n401 who are you?\n200 hello\n",
        "{}",
        output.stdout
    );
    let seen = named.seen();
    let tokens: Vec<_> = seen
        .iter()
        .map(|seen| seen.token().map(str::to_owned))
        .collect();
    let [Some(first), Some(second), None] = tokens.as_slice() else {
        anyhow::bail!("{tokens:?}");
    };
    ensure!(first == second && first != "mine" && first.split('.').count() == 3);
    lab.evidence.secret("access token", first);
    ensure!(seen.get(1).is_some_and(|seen| seen.bytes == 300_000));
    ensure!(other.seen().iter().all(|seen| seen.token().is_none()));
    let exchanges = lab.emulator.token_requests();
    ensure!(exchanges.len() == 1, "one exchange");
    // a server of several protocols takes the one that is spoken
    ensure!(exchanges.iter().all(|exchange| exchange.alpn == "http/1.1"));

    let records = std::fs::read_to_string(&audit)?;
    let records = records.lines().map(serde_json::from_str::<Value>);
    let records = records.collect::<Result<Vec<_>, _>>()?;
    ensure!(records.len() == 2, "{records:?}");
    for record in &records {
        ensure!(
            record["component"] == "plain-0-2" && record["rule"] == 1,
            "{record}"
        );
        ensure!(
            record["identity"] == "app" && record["status"] == 200,
            "{record}"
        );
        ensure!(record["scopes"] == json!([GRAPH]), "{record}");
        ensure!(record["destination"] == named.url(""), "{record}");
        ensure!(!record.to_string().contains(first.as_str()), "{record}");
    }
    Ok(())
}

/// Where the provider is given the machine's credentials an application is not: that may be any port of this machine.
#[test]
fn who_gives_the_provider_credentials_gives_an_application_none() -> Result<()> {
    let lab = Lab::new("run-giver")?;
    let runtime = runtime()?;
    let backend = Backend::start(&runtime, |_, _| status(StatusCode::OK, "a credential"))?;
    let port = backend.port;
    let mut config = rules(&lab, 1);
    config["identities"]["machine"] = json!({ "credential": { "managed_identity": {} } });
    config["default_identity"] = json!("app");
    let application = application()?.display().to_string();
    let here = [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "127.0.0.2",
        "x.localhost",
    ];
    for giver in ["127.0.0.1", "127.0.0.9"] {
        for (allowed, host, is_given) in here
            .map(|host| ("*".to_owned(), host, false))
            .into_iter()
            .chain([(format!("localhost:{port}"), "localhost", true)])
        {
            let ran = edgepass_run(
                &lab,
                &config,
                &["run", "--allow-host", &allowed, &application],
            )?
            .env(
                "AZURE_POD_IDENTITY_AUTHORITY_HOST",
                format!("http://{giver}:{port}"),
            )
            .arg("GET")
            .arg(format!(
                "http://{host}:{port}/metadata/identity/oauth2/token"
            ))
            .arg("metadata=true")
            .run()?;
            let is_said = ran.stderr.contains("gives credentials");
            ensure!(
                (ran.code == Some(0), is_said) == (is_given, !is_given),
                "{giver} {allowed} {host}: {} {}",
                ran.stdout,
                ran.stderr
            );
        }
    }
    Ok(())
}

/// A request without content goes out as one, over either WASI: services refuse it otherwise (411), or wait for its pieces.
#[test]
fn a_request_without_content_says_so() -> Result<()> {
    let lab = Lab::new("run-without-content")?;
    let runtime = runtime()?;
    let backend = Backend::start(&runtime, |_, _| status(StatusCode::OK, "hello"))?;
    let allowed = format!("127.0.0.1:{}", backend.port);
    let config = rules(&lab, 1);
    for component in ["plain-0-2", "plain-0-3"] {
        let application = artifact(&format!("target/components/{component}.wasm"))?;
        let application = application.display().to_string();
        let methods = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET"];
        for method in methods {
            let run = ["run", "--allow-host", &allowed, &application];
            let run = edgepass_run(&lab, &config, &run)?.arg(method);
            let ran = run.arg(backend.url("/x")).run()?;
            ensure!(ran.code == Some(0), "{component} {method}: {}", ran.stderr);
        }
        let seen = backend.seen();
        let seen = seen.get(seen.len().saturating_sub(methods.len())..);
        let seen = seen.context("too few requests")?;
        for (seen, method) in seen.iter().zip(methods) {
            let header = |name: &str| seen.headers.get(name).map(|value| value.as_bytes());
            let length = ["POST", "PUT", "PATCH"]
                .contains(&method)
                .then_some(&b"0"[..]);
            ensure!(
                header("content-length") == length && header("transfer-encoding").is_none(),
                "{component} {method}: {:?}",
                seen.headers
            );
        }
    }
    Ok(())
}

/// What follows the application is the application's, and changes nothing of what it may do.
#[test]
fn the_arguments_of_an_application_are_its_own() -> Result<()> {
    let lab = Lab::new("run-arguments")?;
    let runtime = runtime()?;
    let other = Backend::start(&runtime, |_, _| status(StatusCode::OK, "hello"))?;
    let config = rules(&lab, 1);
    let application = application()?.display().to_string();
    for option in [
        format!("--allow-host=127.0.0.1:{}", other.port),
        "--dir=/".to_owned(),
        "--timeout=0.01".to_owned(),
        "--help".to_owned(),
    ] {
        let run = edgepass_run(&lab, &config, &["run", &application])?;
        let ran = run.arg(&option).arg("GET").arg(other.url("/")).run()?;
        ensure!(
            ran.code == Some(1),
            "{option}: {} {}",
            ran.stdout,
            ran.stderr
        );
        // it takes the option for the method of a request
        ensure!(
            ran.stdout.starts_with("error: "),
            "{option}: {}",
            ran.stdout
        );
    }
    ensure!(other.seen().is_empty());
    Ok(())
}

/// A request that is sent without a body, or refused, is none whose connection broke: the application may still be writing.
#[test]
fn requests_without_a_body_are_all_answered() -> Result<()> {
    let lab = Lab::new("run-bodies")?;
    let runtime = runtime()?;
    let named = Backend::start(&runtime, |seen, _| wants_token(seen))?;
    let other = Backend::start(&runtime, |_, _| status(StatusCode::OK, "hello"))?;
    let config = rules(&lab, named.port);
    let application = application()?.display().to_string();
    let allowed = format!("127.0.0.1:{}", other.port);
    let mut run = edgepass_run(
        &lab,
        &config,
        &["run", "--allow-host", &allowed, &application],
    )?;
    for n in 0..100 {
        let url = if n % 2 == 0 {
            named.url("/a")
        } else {
            other.url("/b")
        };
        run = run.arg("GET").arg(url).arg("--");
    }
    // TRACE would bring the token back
    let ran = run.arg("TRACE").arg(named.url("/t")).run()?;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    ensure!(lines.len() == 101, "{}", ran.stdout);
    for (n, line) in lines.iter().enumerate() {
        let expected = match n {
            100 => "401 who are you?",
            n if n % 2 == 0 => "200 welcome",
            _ => "200 hello",
        };
        ensure!(*line == expected, "{n}: {line}: {}", ran.stderr);
    }
    Ok(())
}

/// The record of a request that gets no token says which rule it was for.
#[test]
fn a_request_that_gets_no_token_is_on_record() -> Result<()> {
    let lab = Lab::new("run-no-token")?;
    let mut config = rules(&lab, 1);
    if let Some(secret) = config.pointer_mut("/identities/app/credential/client_secret/value") {
        *secret = json!("a-secret-that-is-none-of-the-client");
    }
    let application = application()?.display().to_string();
    let run = edgepass_run(&lab, &config, &["run", "--audit", "-", &application])?;
    let ran = run.arg("GET").arg("http://127.0.0.1:1/").run()?;
    ensure!(ran.code == Some(1), "{}", ran.stdout);
    let record = ran.stderr.lines().find(|line| line.starts_with('{'));
    let record: Value = serde_json::from_str(record.context("no record")?)?;
    ensure!(
        record["rule"] == 1 && record["scopes"] == json!([GRAPH]),
        "{record}"
    );
    ensure!(record["outcome"] == "credential-rejected", "{record}");
    Ok(())
}

#[test]
fn a_refused_token_is_replaced_and_the_request_sent_once_more() -> Result<()> {
    let lab = Lab::new("run-challenge")?;
    let runtime = runtime()?;
    let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1790000000"}}}"#;
    let challenge = {
        use base64::Engine as _;
        let claims = base64::engine::general_purpose::STANDARD.encode(claims);
        format!("Bearer error=\"insufficient_claims\", claims=\"{claims}\"")
    };
    // the first request of each path is refused
    let backend = Backend::start(&runtime, move |seen, before| {
        if before.is_multiple_of(2) {
            let mut refused = status(StatusCode::UNAUTHORIZED, "another one");
            if let Ok(value) = challenge.parse() {
                refused.headers_mut().insert(WWW_AUTHENTICATE, value);
            }
            return refused;
        }
        status(StatusCode::OK, &format!("{} bytes", seen.bytes))
    })?;
    let config = rules(&lab, backend.port);
    let application = application()?.display().to_string();
    let run = edgepass_run(&lab, &config, &["run", &application])?
        .arg("POST")
        .arg(backend.url("/x"))
        .arg("--bytes")
        .arg("5000");
    let output = run.run()?;
    ensure!(output.code == Some(0), "{}", output.stderr);
    ensure!(output.stdout == "200 5000 bytes\n", "{}", output.stdout);
    let seen = backend.seen();
    let tokens: Vec<_> = seen.iter().filter_map(Seen::token).collect();
    let [refused, next] = tokens.as_slice() else {
        anyhow::bail!("{seen:?}");
    };
    ensure!(refused != next, "the same token again");
    let asked = lab.emulator.token_requests();
    let [_, second] = asked.as_slice() else {
        anyhow::bail!("two exchanges, and not {}", asked.len());
    };
    ensure!(
        format!("{second:?}").contains("nbf"),
        "the claims go along: {second:?}"
    );
    Ok(())
}

#[test]
fn hosts_that_nobody_names_and_metadata_services_are_not_reached() -> Result<()> {
    let lab = Lab::new("run-reach")?;
    let runtime = runtime()?;
    let backend = Backend::start(&runtime, |_, _| status(StatusCode::OK, "hello"))?;
    let config = rules(&lab, 1);
    let application = application()?.display().to_string();
    for (allowed, url, word) in [
        (None, backend.url("/"), "no rule names that host and port"),
        (
            Some("localhost"),
            backend.url("/"),
            "no rule names that host and port",
        ),
        // what not everybody reads alike is refused for that, also where every host is permitted
        (
            Some("*"),
            backend.url("/").replace("http://", "http://user@"),
            "reads alike",
        ),
        (Some("*"), "http://127.1:1/".to_owned(), "reads alike"),
        (
            Some("*"),
            "http://169.254.169.254/metadata/identity/oauth2/token".to_owned(),
            "gives credentials",
        ),
        (
            Some("*"),
            "http://[fe80::1]/".to_owned(),
            "gives credentials",
        ),
        (
            Some("*"),
            "http://168.63.129.16/".to_owned(),
            "gives credentials",
        ),
    ] {
        let mut arguments = vec!["run"];
        if let Some(allowed) = allowed {
            arguments.extend(["--allow-host", allowed]);
        }
        arguments.push(&application);
        let run = edgepass_run(&lab, &config, &arguments)?
            .arg("GET")
            .arg(&url);
        let output = run.run()?;
        ensure!(
            output.code != Some(0),
            "{url} with {allowed:?}: {}",
            output.stdout
        );
        let said = format!("{} {}", output.stdout, output.stderr);
        ensure!(
            said.to_lowercase().contains(word),
            "{url} with {allowed:?}: {said}"
        );
    }
    ensure!(backend.seen().is_empty(), "nothing was sent");
    ensure!(
        lab.emulator.token_requests().is_empty(),
        "nothing was asked for"
    );
    Ok(())
}

/// A started server, ended with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // it has ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_service_relays_with_tokens_for_a_hundred_at_once() -> Result<()> {
    let lab = Lab::new("run-serve")?;
    let runtime = runtime()?;
    let backend = Backend::start(&runtime, |seen, _| wants_token(seen))?;
    let config = rules(&lab, backend.port);
    let application = application()?.display().to_string();
    let serve = edgepass_run(
        &lab,
        &config,
        &["serve-http", "--listen", "127.0.0.1:0", &application],
    )?;
    let mut child = serve.spawn()?;
    let stdout = child.stdout.take().context("no output")?;
    let _serving = Serving(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().to_owned();
    ensure!(address.starts_with("http://127.0.0.1:"), "{address}");
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{address}/?{}", backend.url("/x"));
        let asked = (0..100).map(|_| client.post(&url).body("b".repeat(1000)).send());
        for response in futures::future::try_join_all(asked).await? {
            ensure!(response.status() == 200, "{}", response.status());
            ensure!(response.text().await? == "welcome");
        }
        anyhow::Ok(())
    })?;
    let seen = backend.seen();
    ensure!(seen.len() == 100 && seen.iter().all(|seen| seen.bytes == 1000));
    if let Some(token) = seen.first().and_then(Seen::token) {
        lab.evidence.secret("access token", token);
    }
    ensure!(lab.emulator.token_requests().len() == 1, "one exchange");
    Ok(())
}

#[test]
fn what_cannot_be_run_is_said_with_what_to_do() -> Result<()> {
    let lab = Lab::new("run-refused")?;
    let config = rules(&lab, 1);
    let application = application()?.display().to_string();
    let module = artifact("dist/edgepass-envoy.wasm")?.display().to_string();
    let text = lab.write("text.wasm", "hello")?.display().to_string();
    let provider = artifact("dist/credential-provider.wasm")?
        .display()
        .to_string();
    let consumer = artifact("target/components/consumer.wasm")?
        .display()
        .to_string();
    for (arguments, words) in [
        (
            vec!["run", "/nowhere.wasm"],
            vec!["/nowhere.wasm cannot be read: there is no such file"],
        ),
        (vec!["run", &module], vec!["is a module", "component new"]),
        (vec!["run", &text], vec!["no WebAssembly"]),
        (vec!["run", &provider], vec!["exports no wasi:cli/run"]),
        (vec!["serve-http", &provider], vec!["exports neither"]),
        (vec!["run", &consumer], vec!["exports no wasi:cli/run"]),
        (
            vec!["run", "--allow-host", "http://x", &application],
            vec!["--allow-host", "neither a host"],
        ),
        (
            vec!["run", "--dir", "/nowhere", &application],
            vec!["--dir", "no directory"],
        ),
        (
            vec!["run", "--audit", "/nowhere/x", &application],
            vec!["--audit", "/nowhere/x"],
        ),
        (
            vec![
                "run",
                "--timeout",
                "0.5",
                &application,
                "GET",
                "http://127.0.0.1:1/",
                "--spin",
            ],
            vec!["--timeout"],
        ),
    ] {
        let output = edgepass_run(&lab, &config, &arguments)?.run()?;
        ensure!(output.code != Some(0), "{arguments:?} succeeds");
        for word in words {
            ensure!(
                output.stderr.contains(word),
                "{arguments:?}: {}",
                output.stderr
            );
        }
    }
    let mut wrong = config;
    if let Some(rule) = wrong.pointer_mut("/http/rules/1") {
        *rule = json!({ "match": { "host": "api.example" }, "identity": "nobody" });
    }
    let output = edgepass_run(&lab, &wrong, &["run", &application])?.run()?;
    ensure!(
        output.stderr.contains("http.rules[1].identity"),
        "{}",
        output.stderr
    );
    Ok(())
}
