//! Acceptance: an application that is after the tokens of its requests does not get one, but where the service that a rule
//! names gives it back. Each attempt is a row of a table; the tokens are put on by `edgepass-run`, and by the filter of a
//! composition. After each the whole linear memory of the application is searched for every token, assertion and key.

#![cfg(test)]

#[path = "hostile_app/cases.rs"]
mod cases;
#[path = "hostile_app/filter.rs"]
mod filter;
#[path = "hostile_app/interfaces.rs"]
mod interfaces;
#[path = "hostile_app/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::leaks::Secrets;
use edgepass_e2e::{Command, GRAPH, Lab, artifact, edgepass_run_bin, memory};
use serde_json::{Value, json};

use self::cases::{Case, Expected, Ports};
use self::server::{Seen, Service};

const APPLICATION: &str = "target/components/hostile-app.wasm";

/// The token server, the services, and what is known of secrets.
struct World {
    lab: Lab,
    named: Service,
    other: Service,
    trailing: Service,
    secrets: Mutex<(Secrets, BTreeSet<String>)>,
}

/// What has arrived.
#[derive(Clone, Copy)]
struct Mark([usize; 3]);

impl World {
    async fn new(test: &str) -> Result<Self> {
        let lab = tokio::task::block_in_place(|| Lab::new(test))?;
        let world = Self {
            named: Service::start().await?,
            other: Service::start().await?,
            trailing: Service::with_trailers().await?,
            secrets: Mutex::default(),
            lab,
        };
        let files = &world.lab.files;
        let file = std::fs::read_to_string(files.token_file())?;
        world.knows("token file", file.trim());
        world.knows("client secret", world.lab.emulator.client_secret());
        let key = std::fs::read_to_string(files.private_key_file())?;
        let key: String = key.lines().filter(|line| !line.starts_with('-')).collect();
        world.knows("private key", &key);
        Ok(world)
    }

    fn ports(&self) -> Ports {
        Ports {
            named: self.named.port,
            other: self.other.port,
            trailing: self.trailing.port,
            tokens: self.lab.emulator.port(),
        }
    }

    /// Three identities, of which rules name two.
    fn config(&self) -> Result<Value> {
        let token_file = json!({ "federated_token_file": { "path": self.lab.files.token_file() } });
        let mut config = self.lab.config(&token_file);
        let identities = config.pointer_mut("/identities").context("no identities")?;
        for (name, credential) in [
            (
                "vault",
                json!({ "client_secret": { "value": self.lab.emulator.client_secret() } }),
            ),
            ("unnamed", json!({ "certificate": { "name": "demo" } })),
        ] {
            let mut identity = identities["app"].clone();
            identity["credential"] = credential;
            identities[name] = identity;
        }
        config["default_identity"] = json!("app");
        let rule = |port: u16, path: &str, more: Value| {
            let mut rule = json!({
                "match": { "host": "localhost", "port": port, "path_prefix": path },
                "scopes": [GRAPH],
                "http_on_loopback": true,
            });
            if let (Some(rule), Value::Object(more)) = (rule.as_object_mut(), more) {
                rule.extend(more);
            }
            rule
        };
        let (named, trailing) = (self.named.port, self.trailing.port);
        config["http"] = json!({ "audit_as": "hostile-app", "rules": [
            rule(named, "/v1/x-token", json!({ "header": "x-token" })),
            rule(named, "/v1/vault", json!({ "identity": "vault" })),
            rule(named, "/v1", json!({})),
            rule(trailing, "/v1", json!({})),
        ] });
        Ok(config)
    }

    fn knows(&self, kind: &str, value: &str) {
        let mut known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if known.1.insert(value.to_owned()) {
            known.0.add(kind, value);
            self.lab.evidence.secret(kind, value);
        }
    }

    fn mark(&self) -> Mark {
        Mark([&self.named, &self.trailing, &self.other].map(|service| service.seen().len()))
    }

    /// Requests that came to the services that rules name, and to the other one.
    fn since(&self, Mark([named, trailing, other]): Mark) -> (Vec<Seen>, Vec<Seen>) {
        let mut of_rules = self.named.seen().split_off(named);
        of_rules.extend(self.trailing.seen().split_off(trailing));
        (of_rules, self.other.seen().split_off(other))
    }

    /// Takes in what the run has of secrets by now.
    fn learn(&self) {
        let all = self.named.seen().into_iter().chain(self.trailing.seen());
        for seen in all {
            for header in ["authorization", "x-token"] {
                let token = seen.token(header).filter(|token| is_token(token));
                if let Some(token) = token {
                    self.knows("access token", token);
                }
            }
        }
        for entry in self.lab.emulator.token_requests() {
            if let Some(assertion) = entry.field("client_assertion") {
                self.knows("client assertion", &assertion);
            }
        }
    }

    /// The kind of a secret that one of these memories has.
    fn found_in(&self, memories: &[Vec<u8>]) -> Option<String> {
        self.learn();
        let known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = memories.iter().map(|memory| known.0.find_in_memory(memory));
        found.find_map(|kind| kind.map(str::to_owned))
    }

    fn is_secret(&self, text: &str) -> bool {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .find_in(text)
            .is_some()
    }

    /// Whether it came as the table says. How many requests had a token.
    fn judge(&self, name: &str, expected: Expected, told: &str, mark: Mark) -> Result<usize> {
        self.learn();
        let (named, other) = self.since(mark);
        let with_token: Vec<_> = named.iter().filter(|seen| has_token(seen)).collect();
        for seen in &with_token {
            for header in ["authorization", "x-token"] {
                let count = seen.headers.get_all(header).iter().count();
                ensure!(count < 2, "{name}: {header} is there {count} times");
            }
        }
        ensure!(
            expected == Expected::Repeated
                || !other.iter().any(|seen| self.is_secret(&seen.text())),
            "{name}: a service that no rule names has got a secret"
        );
        let arrived = named.len() + other.len();
        let shown = || {
            let lines = named.iter().chain(&other).map(|seen| seen.line.as_str());
            // what it was told may have a token
            let told = if self.is_secret(told) {
                "a secret"
            } else {
                told
            };
            format!(
                "{name}: {} of {arrived} with a token ({}); told: {told}",
                with_token.len(),
                lines.collect::<Vec<_>>().join(", ")
            )
        };
        match expected {
            Expected::Token(count, word) => {
                ensure!(
                    with_token.len() == count && told.contains(word),
                    "{}",
                    shown()
                );
            }
            Expected::NoToken(word) => {
                ensure!(
                    with_token.is_empty() && arrived > 0 && told.contains(word),
                    "{}",
                    shown()
                );
            }
            Expected::Refused(word) => ensure!(arrived == 0 && told.contains(word), "{}", shown()),
            Expected::Repeated => ensure!(
                !with_token.is_empty() && self.is_secret(told),
                "{}",
                shown()
            ),
        }
        if expected != Expected::Repeated {
            self.lab.evidence.saw(name, told);
        }
        Ok(with_token.len())
    }
}

fn is_token(text: &str) -> bool {
    text.len() > 100 && text.split('.').count() == 3
}

fn has_token(seen: &Seen) -> bool {
    let mut tokens = ["authorization", "x-token"]
        .iter()
        .filter_map(|header| seen.token(header));
    tokens.any(is_token)
}

/// `edgepass-run serve-http` with an application, ended with the test.
struct Running {
    child: Child,
    address: String,
    client: reqwest::Client,
}

impl Running {
    fn start(world: &World, audit: &Path) -> Result<Self> {
        let lab = &world.lab;
        let config = lab.write("config.json", world.config()?.to_string())?;
        let command = Command::other(lab, &edgepass_run_bin()?).without_azure();
        let command = [
            "serve-http",
            "--listen",
            "127.0.0.1:0",
            "--request-timeout",
            "10",
            "--allow-host",
            &format!("localhost:{}", world.other.port),
            "--config",
            &config.display().to_string(),
            "--ca-file",
            &lab.files.ca_file().display().to_string(),
            "--audit",
            &audit.display().to_string(),
            &artifact(APPLICATION)?.display().to_string(),
        ]
        .into_iter()
        .fold(command, Command::arg);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let running = Self {
            child,
            address: line.trim().to_owned(),
            client: reqwest::Client::builder().no_proxy().build()?,
        };
        read?;
        ensure!(running.address.starts_with("http://"), "{line}");
        Ok(running)
    }

    /// What the application says of an attempt; the status, if it did not live to say it.
    async fn attempt(&self, what: &str) -> Result<String> {
        let sent = self.client.post(&self.address).body(what.to_owned()).send();
        let response = sent.await?;
        let status = response.status();
        let text = response.text().await?;
        Ok(match status.is_success() {
            true => text,
            false => status.to_string(),
        })
    }

    fn memories(&self) -> Result<Vec<Vec<u8>>> {
        memory::of_component_of(&self.child, &artifact(APPLICATION)?)
    }

    /// Ends it as an operator does.
    fn end(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        let asked = std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status()?;
        ensure!(asked.success());
        ensure!(self.child.wait()?.success(), "it does not end well");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it has ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn records(audit: &Path) -> Result<Vec<Value>> {
    read(&std::fs::read_to_string(audit)?)
}

/// Lines of JSON, some of which may be empty.
fn read(text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().filter(|line| !line.is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Records of requests to that service that had a token.
fn injected(records: &[Value], port: u16) -> usize {
    let had_token = |record: &&Value| record["token_sha256_prefix"].is_string();
    records
        .iter()
        .filter(had_token)
        .filter(|record| is_to(record, port))
        .count()
}

/// Whether a record of the ten thousand says what it has to.
fn is_whole(record: &Value) -> bool {
    let is_answered = record["outcome"] == "sent";
    record["component"] == "hostile-app"
        && record["rule"] == 2
        && record["identity"] == "app"
        && record["scopes"] == json!([GRAPH])
        && record["method"] == "GET"
        && record["status"] == if is_answered { json!(200) } else { Value::Null }
        && record["time_unix_ms"].as_u64() > Some(0)
        && record["correlation_id"]
            .as_str()
            .is_some_and(|id| id.len() == 32)
}

/// Whether a record is of a request to that service, in whatever spelling.
fn is_to(record: &Value, port: u16) -> bool {
    let place = record["destination"].as_str().unwrap_or_default();
    let place = place.to_lowercase().replace("localhost.", "localhost");
    place.replace(":0", ":") == format!("http://localhost:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_gets_no_token_from_the_hook_in_any_of_these_ways() -> Result<()> {
    let world = World::new("hostile_hook").await?;
    let audit = world.lab.write("audit.jsonl", "")?;
    let running = Running::start(&world, &audit)?;
    let (mut with_token, mut failed) = (0, Vec::new());
    for Case {
        name,
        attempt,
        hook: expected,
        ..
    } in cases::all(world.ports())
    {
        // what has been repeated stays in that instance
        let own = match expected {
            Expected::Repeated => Some(Running::start(&world, &audit)?),
            _ => None,
        };
        let running = own.as_ref().unwrap_or(&running);
        let mark = world.mark();
        let told = running.attempt(&attempt).await.with_context(|| name)?;
        let judged = world.judge(name, expected, &told, mark);
        match judged {
            Ok(count) => with_token += count,
            Err(error) => {
                with_token += world
                    .since(mark)
                    .0
                    .iter()
                    .filter(|seen| has_token(seen))
                    .count();
                failed.push(format!("{error:#}"));
            }
        }
        let memories = running.memories()?;
        let ends_it = ["then=trap", "then=spin"]
            .iter()
            .any(|then| attempt.contains(then));
        ensure!(
            ends_it || !memories.is_empty(),
            "{name}: there is no instance"
        );
        let found = world.found_in(&memories);
        if found.is_some() != (expected == Expected::Repeated) {
            failed.push(format!("{name}: found in memory: {found:?}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    running.end()?;
    let records = records(&audit)?;
    let ports = world.ports();
    let on_record = injected(&records, ports.named) + injected(&records, ports.trailing);
    assert_eq!(
        on_record, with_token,
        "requests with a token, and records of them"
    );
    let abandoned = records
        .iter()
        .filter(|record| record["outcome"] == "abandoned");
    assert_eq!(abandoned.count(), 5);
    let ids = records
        .iter()
        .filter_map(|record| record["correlation_id"].as_str());
    let ids: BTreeSet<_> = ids.collect();
    ensure!(
        ids.len() + 1 >= records.len(),
        "one request was sent twice, and all have an identifier"
    );
    for record in &records {
        ensure!(
            !world.is_secret(&record.to_string()),
            "a record has a secret"
        );
    }
    // an identity that no rule names is asked for nothing
    for entry in world.lab.emulator.token_requests() {
        ensure!(
            entry.method_of_proof.as_deref() != Some("certificate"),
            "{entry:?}"
        );
    }
    Ok(())
}

/// Ten thousand requests with a token, each on record, among a thousand to another service.
#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_requests_no_byte_of_a_token_is_in_the_application() -> Result<()> {
    let world = World::new("hostile_many").await?;
    let audit = world.lab.write("audit.jsonl", "")?;
    let running = Running::start(&world, &audit)?;
    let ports = world.ports();
    for round in 0..100 {
        let attempt = format!(
            "send GET http localhost:{} /v1/{round} times=100",
            ports.named
        );
        let told = running.attempt(&attempt).await?;
        ensure!(
            told.lines()
                .filter(|line| line.starts_with("200 own []"))
                .count()
                == 100,
            "{told}"
        );
        if round % 10 == 0 {
            let attempt = format!(
                "send GET http localhost:{} /v1/{round} times=100\nh authorization=Bearer mine",
                ports.other
            );
            let told = running.attempt(&attempt).await?;
            ensure!(
                told.lines().filter(|line| line.starts_with("200 ")).count() == 100,
                "{told}"
            );
        }
    }
    let memories = running.memories()?;
    ensure!(!memories.is_empty());
    assert_eq!(world.found_in(&memories), None);
    let (named, other) = (world.named.seen(), world.other.seen());
    assert_eq!((named.len(), other.len()), (10_000, 1_000));
    ensure!(named.iter().all(has_token));
    ensure!(
        other
            .iter()
            .all(|seen| seen.token("authorization") == Some("mine"))
    );
    assert_eq!(world.lab.emulator.token_requests().len(), 1);
    running.end()?;
    let records = records(&audit)?;
    assert_eq!(
        (records.len(), injected(&records, ports.named)),
        (10_000, 10_000)
    );
    let whole = |record: &Value| is_whole(record) && record["outcome"] == "sent";
    ensure!(
        records.iter().all(whole),
        "{:?}",
        records.iter().find(|record| !whole(record))
    );
    let ids: BTreeSet<_> = records
        .iter()
        .map(|record| record["correlation_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 10_000);
    Ok(())
}
