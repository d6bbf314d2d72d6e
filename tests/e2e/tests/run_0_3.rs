//! Acceptance: an application of WASI 0.3, made with a public crate, gets tokens on its requests by the host's hook, and
//! composed with the filter and a provider that needs WASI alone, under the same program. It is a command and a service.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_e2e::{Command, GRAPH, Lab, artifact, edgepass_run_bin};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

const MEGABYTE: usize = 1_000_000;

/// What a body may leave in the memory of the program, kB.
const GROWTH: u64 = 20 * 1024;

/// A service on this machine that wants the emulator's token.
struct Backend {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    issuer: String,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    token: Option<String>,
    bytes: usize,
}

impl Backend {
    fn start(lab: &Lab, runtime: &tokio::runtime::Runtime) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(listener)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            issuer: format!("{}/{}/", lab.emulator.authority(), lab.emulator.tenant()),
            seen: Mutex::default(),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { port, shared })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What has come since somebody asked last.
    fn seen(&self, lab: &Lab) -> Vec<Seen> {
        let seen = &self.shared.seen;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        for token in seen.iter().filter_map(|seen| seen.token.as_ref()) {
            lab.evidence.secret("access token", token);
        }
        seen
    }
}

impl Shared {
    fn takes(&self, token: &str) -> bool {
        let claims = token.split('.').nth(1);
        let claims = claims.and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims = claims.and_then(|claims| serde_json::from_slice::<Value>(&claims).ok());
        claims.is_some_and(|claims| {
            claims["iss"] == self.issuer.as_str()
                && claims["aud"] == GRAPH.trim_end_matches("/.default")
        })
    }
}

fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

/// `/open` is for everybody; `/large` answers with 50 MB.
async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len());
    }
    let token = token(&head.headers);
    let is_fine =
        head.uri.path() == "/open" || token.as_ref().is_some_and(|token| shared.takes(token));
    let seen = Seen { token, bytes };
    let mut all = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(seen);
    drop(all);
    if !is_fine {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    if head.uri.path() == "/large" {
        let piece = axum::body::Bytes::from(vec![b'y'; MEGABYTE]);
        let pieces = (0..50).map(move |_| Ok::<_, std::convert::Infallible>(piece.clone()));
        return Body::from_stream(futures::stream::iter(pieces)).into_response();
    }
    (StatusCode::OK, "welcome").into_response()
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

/// How the application gets its tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// By the hook of the program that runs it.
    Hook,
    /// By what it is composed with; the program knows of no rule.
    Composed,
}

/// `edgepass-run` with the application, in one of the two ways.
fn edgepass_run<'l>(
    lab: &'l Lab,
    way: Way,
    backend: &Backend,
    others: &[u16],
    verb: &[&str],
) -> Result<Command<'l>> {
    let credential = json!({ "federated_token_file": { "path": lab.files.token_file() } });
    let mut rules = lab.config(&credential);
    // the host's alone
    rules
        .as_object_mut()
        .context("no object")?
        .remove("certificates");
    let plain = lab.write("plain.json", rules.to_string())?;
    rules["http"] = json!({ "audit_as": "plain", "rules": [
        { "match": { "host": "127.0.0.1", "port": backend.port, "path_prefix": "/open" }, "disabled": true },
        { "match": { "host": "127.0.0.1", "port": backend.port }, "scopes": [GRAPH], "http_on_loopback": true },
    ] });
    let rules = lab.write("rules.json", rules.to_string())?;
    let application = artifact("target/components/plain-0-3.wasm")?;
    let program = edgepass_run_bin()?;
    let run = |config: &std::path::Path| {
        let command = Command::other(lab, &program).without_azure();
        let command = verb
            .iter()
            .fold(command, |command, word| command.arg(*word));
        let config = config.display().to_string();
        let authorities = lab.files.ca_file().display().to_string();
        let command = command
            .arg("--config")
            .arg(config)
            .arg("--ca-file")
            .arg(authorities);
        others.iter().fold(command, |command, port| {
            command.arg("--allow-host").arg(format!("127.0.0.1:{port}"))
        })
    };
    match way {
        Way::Hook => Ok(run(&rules).arg(application.display().to_string())),
        Way::Composed => {
            let composed = lab.scratch().join("composed.wasm").display().to_string();
            let made = Command::other(lab, &program)
                .bare()
                .arg("compose")
                .arg(application.display().to_string())
                .arg("--output")
                .arg(&composed)
                .arg("--http")
                .arg("--config")
                .arg(rules.display().to_string())
                .arg("--filter")
                .arg(artifact("dist/edgepass-http.wasm")?.display().to_string())
                .arg("--provider")
                .arg(
                    artifact("dist/edgepass-standalone.wasm")?
                        .display()
                        .to_string(),
                )
                .run()?;
            ensure!(made.code == Some(0), "{}", made.stderr);
            let token_file = lab.files.token_file();
            let folder = token_file.parent().context("no folder")?;
            Ok(run(&plain)
                .arg("--dir")
                .arg(folder.display().to_string())
                .arg("--allow-host")
                .arg(format!("127.0.0.1:{}", backend.port))
                .arg("--allow-host")
                .arg(format!("login.localhost:{}", lab.emulator.port()))
                .arg(&composed))
        }
    }
}

#[test]
fn a_command_of_0_3_gets_tokens_by_rules_in_either_way() -> Result<()> {
    for way in [Way::Hook, Way::Composed] {
        let lab = Lab::new(&format!("run-0-3-{way:?}"))?;
        let runtime = runtime()?;
        let backend = Backend::start(&lab, &runtime)?;
        let other = Backend::start(&lab, &runtime)?;
        let mut run = edgepass_run(&lab, way, &backend, &[other.port], &["run"])?;
        for words in [
            // what it sets itself does not go out
            format!(
                "GET {} authorization=Bearer~mine --times 100 --",
                backend.url("/a")
            ),
            format!("POST {} --bytes 300000 --", backend.url("/b")),
            format!("GET {} --", backend.url("/open")),
            format!("GET {}", other.url("/open")),
        ] {
            for word in words.split(' ') {
                run = run.arg(word.replace('~', " "));
            }
        }
        let ran = run.run()?;
        ensure!(ran.code == Some(0), "{way:?}: {}{}", ran.stdout, ran.stderr);
        ensure!(
            ran.stdout == "200 welcome\n".repeat(103),
            "{way:?}: {}",
            ran.stdout
        );
        let seen = backend.seen(&lab);
        let tokens: BTreeSet<_> = seen.iter().map(|seen| seen.token.clone()).collect();
        ensure!(
            tokens.len() == 2 && tokens.contains(&None),
            "{way:?}: one token, and none for /open"
        );
        ensure!(seen.iter().filter(|seen| seen.token.is_none()).count() == 1);
        ensure!(seen.iter().any(|seen| seen.bytes == 300_000));
        ensure!(other.seen(&lab).iter().all(|seen| seen.token.is_none()));
        ensure!(
            lab.emulator.token_requests().len() == 1,
            "{way:?}: one exchange"
        );
        if way == Way::Composed {
            on_record(&ran.stderr, &backend)?;
        }
    }
    Ok(())
}

/// The filter of a composition has written of each request that had a token, and of no other.
fn on_record(said: &str, backend: &Backend) -> Result<()> {
    let lines = said.lines().filter(|line| line.starts_with('{'));
    let records = lines.map(serde_json::from_str);
    let records: Vec<Value> = records.collect::<Result<_, _>>()?;
    let destination = backend.url("");
    for record in &records {
        let is_answered = record["outcome"] == "sent";
        ensure!(
            record["component"] == "plain"
                && record["rule"] == 1
                && record["identity"] == "app"
                && record["scopes"] == json!([GRAPH])
                && record["destination"] == destination.as_str()
                && (is_answered || record["outcome"] == "pending")
                && record["status"] == if is_answered { json!(200) } else { Value::Null },
            "{record}"
        );
    }
    let of = |method: &str, outcome: &str| {
        let of_it = records
            .iter()
            .filter(|record| record["method"] == method && record["outcome"] == outcome);
        let ids = of_it.map(|record| record["correlation_id"].to_string());
        ids.collect::<BTreeSet<_>>()
    };
    ensure!(of("GET", "sent").len() == 100 && of("POST", "sent").len() == 1);
    for method in ["GET", "POST"] {
        ensure!(
            of(method, "sent") == of(method, "pending"),
            "{method}: each is there before it leaves, and when it is answered"
        );
    }
    ensure!(records.len() == 202, "{} records", records.len());
    Ok(())
}

/// A started server, ended with the test.
struct Serving(Child);

impl Serving {
    /// The most memory that it has had, kB.
    fn peak(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("no peak")?.parse()?)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // it has ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_service_of_0_3_gets_tokens_and_streams_in_either_way() -> Result<()> {
    // an instance of a composed service has a provider of its own, and each of them asks once
    for (way, most) in [
        (Way::Hook, None),
        (Way::Composed, None),
        (Way::Composed, Some("1")),
    ] {
        let lab = Lab::new(&format!("serve-0-3-{way:?}-{}", most.unwrap_or("any")))?;
        let runtime = runtime()?;
        let backend = Backend::start(&lab, &runtime)?;
        let other = Backend::start(&lab, &runtime)?;
        let mut verb = vec!["serve-http", "--listen", "127.0.0.1:0"];
        if let Some(most) = most {
            verb.extend(["--max-instances", most]);
        }
        let mut child = edgepass_run(&lab, way, &backend, &[other.port], &verb)?.spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let serving = Serving(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().to_owned();
        ensure!(
            address.starts_with("http://127.0.0.1:"),
            "{way:?}: {address}"
        );
        let client = reqwest::Client::builder().no_proxy().build()?;
        let relay = |url: String| format!("{address}/?{url}");
        runtime.block_on(async {
            let url = relay(backend.url("/x"));
            let asked = (0..100).map(|_| client.post(&url).body("b".repeat(1000)).send());
            for response in futures::future::try_join_all(asked).await? {
                ensure!(response.status() == 200, "{way:?}: {}", response.status());
                ensure!(response.text().await? == "welcome");
            }
            let answer = client.get(relay(other.url("/open"))).send().await?;
            ensure!(answer.status() == 200, "{way:?}: {}", answer.status());
            anyhow::Ok(())
        })?;
        let seen = backend.seen(&lab);
        ensure!(seen.len() == 100 && seen.iter().all(|seen| seen.bytes == 1000));
        let tokens: BTreeSet<_> = seen.iter().map(|seen| seen.token.clone()).collect();
        ensure!(!tokens.contains(&None), "{way:?}: each has a token");
        ensure!(other.seen(&lab).iter().all(|seen| seen.token.is_none()));
        let exchanges = lab.emulator.token_requests().len();
        ensure!(exchanges == tokens.len(), "{way:?}: {exchanges} exchanges");
        ensure!(
            exchanges == 1 || (way == Way::Composed && most.is_none()),
            "{way:?}, {most:?}: {exchanges} exchanges"
        );

        let before = serving.peak()?;
        runtime.block_on(async {
            let body = vec![b'x'; 50 * MEGABYTE];
            let sent = client
                .post(relay(backend.url("/up")))
                .body(body)
                .send()
                .await?;
            ensure!(sent.status() == 200, "{way:?}: {}", sent.status());
            let mut answer = client.get(relay(backend.url("/large"))).send().await?;
            ensure!(answer.status() == 200, "{way:?}: {}", answer.status());
            let mut length = 0;
            while let Some(piece) = answer.chunk().await? {
                length += piece.len();
            }
            ensure!(length == 50 * MEGABYTE, "{way:?}: {length} bytes");
            anyhow::Ok(())
        })?;
        ensure!(
            backend
                .seen(&lab)
                .iter()
                .any(|seen| seen.bytes == 50 * MEGABYTE)
        );
        let growth = serving.peak()?.saturating_sub(before);
        ensure!(growth < GROWTH, "{way:?}: it grew by {growth} kB");
    }
    Ok(())
}
