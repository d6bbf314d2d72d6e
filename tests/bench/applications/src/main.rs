//! `cargo xtask bench --applications`: what a token costs each request of an application, beside the same application
//! without. Everything is in one process; the variants take turns, in reverse order every other round. Nothing is asserted
//! about time.

mod application;
// what is for other clients
#[expect(
    dead_code,
    reason = "the clients of the other benchmarks need more of it"
)]
#[path = "../../src/emulator.rs"]
mod emulator;
#[expect(
    unreachable_pub,
    reason = "the end-to-end tests have it in a library of theirs"
)]
#[path = "../../../e2e/src/network.rs"]
mod network;
mod service;
#[path = "../../src/stats.rs"]
mod stats;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use edgepass::downstream::{Audit, Outgoing, Reach, Record};
use edgepass::link::{self, Host};
use edgepass::{Environment, Provider, TokenRequest};
use serde_json::{Value, json};
use wasmtime::Engine;

use crate::application::{App, Composed, Plain};
use crate::emulator::Emulator;
use crate::service::Service;
use crate::stats::Samples;

const USAGE: &str = "usage: edgepass-bench-applications [--quick] [--rounds N]";

const SCOPE: &str = "https://graph.microsoft.com/.default";

/// Requests of a batch, one after the other; the time of one is that of a batch divided.
const REQUESTS: usize = 50;

#[expect(clippy::cast_precision_loss, reason = "it is small")]
const REQUESTS_F: f64 = REQUESTS as f64;

/// Batches of a round.
const BATCHES: usize = 4;

/// Calls of the application at once, into the provider that it is composed with.
const CALLS: u32 = 256;

fn main() -> Result<()> {
    let mut rounds = 30;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => rounds = 3,
            "--rounds" => {
                let number = arguments.next().and_then(|n| n.parse().ok());
                rounds = number.filter(|n| *n > 0).context(USAGE)?;
            }
            _ => bail!("{USAGE}"),
        }
    }
    let bench = Bench::new()?;
    let table = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(bench.table(rounds))?;
    std::io::stdout()
        .write_all(table.as_bytes())
        .context("cannot print the table")
}

/// Records that nobody reads.
struct Kept(std::sync::Mutex<Vec<Record>>);

impl Audit for Kept {
    fn write(&self, record: &Record) {
        let mut kept = self.0.lock().unwrap_or_else(|error| error.into_inner());
        kept.truncate(1_000);
        kept.push(record.clone());
    }
}

/// What is measured beside the others.
struct Variant<'a> {
    name: &'static str,
    app: &'a mut dyn App,
    path: &'a str,
    header: Option<&'a str>,
    samples: Samples,
}

impl<'a> Variant<'a> {
    fn of(
        name: &'static str,
        app: &'a mut dyn App,
        path: &'a str,
        header: Option<&'a str>,
    ) -> Self {
        let samples = Samples::default();
        Self {
            name,
            app,
            path,
            header,
            samples,
        }
    }

    async fn send(&mut self, port: u16) -> Result<()> {
        self.app.send(port, self.path, self.header, REQUESTS).await
    }
}

struct Bench {
    emulator: Emulator,
    service: Service,
    engine: Engine,
}

impl Bench {
    fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        Ok(Self {
            emulator: Emulator::start(&root.join("dist/edgepass-emulator"))?,
            service: Service::start()?,
            engine: link::engine()?,
        })
    }

    fn config(&self) -> Value {
        json!({ "http": { "rules": [{
            "match": { "host": "127.0.0.1", "port": self.service.port, "path_prefix": "/v1" },
            "scopes": [SCOPE],
            "http_on_loopback": true,
        }] } })
    }

    fn builder(&self) -> edgepass::Builder {
        let command = self.emulator.command(Path::new(""));
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let variables = command.get_envs();
        let variables = variables.filter_map(|(name, value)| Some((text(name), text(value?))));
        let ca = self.emulator.trust();
        let ca = ca.map(|(_, ca)| ca.to_owned()).unwrap_or_default();
        Provider::builder()
            .environment(Environment::from_pairs(variables.collect::<Vec<_>>()))
            .ca_file(ca)
            .config_json(self.config().to_string())
    }

    fn host(&self) -> Result<Host> {
        Ok(self.builder().build_host()?)
    }

    async fn table(&self, rounds: usize) -> Result<String> {
        let port = self.service.port;
        let provider = self.builder().build().await?;
        let downstream = provider.configured_downstream()?;
        let reach = Reach::parse("reach", ["127.0.0.1"])?;
        let hook = || Outgoing::new(&downstream).reaching(reach.clone());
        let kept = Arc::new(Kept(std::sync::Mutex::default()));
        let (plain, composed) = (wasm("plain-app.wasm")?, wasm("plain-app-composed.wasm")?);
        let compiled = |path: &Path| link::compile(&self.engine, &std::fs::read(path)?);
        let (plain, composed) = (compiled(&plain)?, compiled(&composed)?);
        let (named, other) = ("/v1/x", "/other");
        let mut without = Plain::start(&self.engine, &plain, hook()).await?;
        let mut own_hooked = Plain::start(&self.engine, &plain, hook()).await?;
        let mut with = Plain::start(&self.engine, &plain, hook()).await?;
        let audited = hook().audited("plain-app", kept);
        let mut audited = Plain::start(&self.engine, &plain, audited).await?;
        let mut alone = Composed::start(&self.engine, &plain, self.host()?).await?;
        let mut own_alone = Composed::start(&self.engine, &plain, self.host()?).await?;
        let mut passing = Composed::start(&self.engine, &composed, self.host()?).await?;
        let mut filtered = Composed::start(&self.engine, &composed, self.host()?).await?;

        // as long as what the hook and the filter set
        let request = TokenRequest::for_scopes([SCOPE]);
        let (_, header) = provider.get_header(&request).await?;
        let own = "t".repeat(header.expose().len());
        let own = Some(own.as_str());
        let mut variants = vec![
            Variant::of("no rule, through the hook", &mut without, other, None),
            Variant::of(
                "the same, a header of the token's length by the application itself",
                &mut own_hooked,
                other,
                own,
            ),
            Variant::of("**a token by the hook**", &mut with, named, None),
            Variant::of("the same, with a record of each", &mut audited, named, None),
            Variant::of("no hook, no filter", &mut alone, other, None),
            Variant::of(
                "the same, a header of the token's length by the application itself",
                &mut own_alone,
                other,
                own,
            ),
            Variant::of("no rule, through the filter", &mut passing, other, None),
            Variant::of("**a token by the filter**", &mut filtered, named, None),
        ];
        for variant in &mut variants {
            // connections, tokens
            variant.send(port).await?;
        }
        let exchanges = exchanges(&provider).await?;
        for round in 0..rounds {
            let mut order: Vec<usize> = (0..variants.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for n in order {
                let Some(variant) = variants.get_mut(n) else {
                    continue;
                };
                for _ in 0..BATCHES {
                    let begun = Instant::now();
                    variant.send(port).await?;
                    variant
                        .samples
                        .add(round, [nanoseconds(begun) / REQUESTS_F]);
                }
            }
        }
        ensure!(
            self::exchanges(&provider).await? == exchanges,
            "a token was not cached"
        );
        let counted = self.service.with_token();
        ensure!(counted > 0, "no request had a token");
        let samples: Vec<_> = variants
            .into_iter()
            .map(|variant| (variant.name, variant.samples))
            .collect();
        let mut out = requests(&samples)?;
        out += &self.composed_calls(rounds).await?;
        out += &self.traps(&provider, hook(), rounds).await?;
        Ok(out)
    }

    /// A component that asks the provider it is composed with, whose cache has the token.
    async fn composed_calls(&self, rounds: usize) -> Result<String> {
        let path = wasm("consumer-composed.wasm")?;
        let component = link::compile(&self.engine, &std::fs::read(path)?)?;
        let mut app = Composed::start(&self.engine, &component, self.host()?).await?;
        let (mut storm, mut cached) = (Samples::default(), Samples::default());
        app.storm(1, SCOPE).await?;
        for round in 0..rounds {
            for _ in 0..BATCHES {
                let begun = Instant::now();
                app.storm(CALLS, SCOPE).await?;
                storm.add(round, [nanoseconds(begun) / f64::from(CALLS)]);
                let begun = Instant::now();
                for _ in 0..REQUESTS {
                    app.cached(SCOPE).await?;
                }
                cached.add(round, [nanoseconds(begun) / REQUESTS_F]);
            }
        }
        Ok(format!(
            "\n| composed, the token is cached | median |\n|---|---:|\n| `get-token`, one of {CALLS} at once | {} |\n| `cached-token`, with the host's call of the application and the token handed on to the host | {} |\n",
            us(storm.median()),
            us(cached.median())
        ))
    }

    /// What a trap in the application costs the provider.
    async fn traps(&self, provider: &Provider, hook: Outgoing, rounds: usize) -> Result<String> {
        let path = wasm("hostile-app.wasm")?;
        let component = link::compile(&self.engine, &std::fs::read(path)?)?;
        let attempt = format!(
            "send GET http 127.0.0.1:{} /v1/x then=trap",
            self.service.port
        );
        let request = TokenRequest::for_scopes([SCOPE]);
        let exchanges = exchanges(provider).await?;
        let (mut before, mut after) = (Samples::default(), Samples::default());
        for round in 0..rounds {
            for (samples, traps) in [(&mut before, false), (&mut after, true)] {
                if traps {
                    let mut app = Plain::start(&self.engine, &component, hook.clone()).await?;
                    ensure!(app.attempt(&attempt).await.is_err(), "it does not trap");
                }
                let begun = Instant::now();
                for _ in 0..200 {
                    provider.get_token(&request).await?;
                }
                samples.add(round, [nanoseconds(begun) / 200.0]);
            }
        }
        let more = self::exchanges(provider).await? - exchanges;
        let ratio = after.compared(&before, |a, b| a / b);
        Ok(format!(
            "\n| a cached token of the host's provider | median |\n|---|---:|\n| before | {} |\n| after a trap in an application with a token on its way | {} |\n| the ratio, within a round | {} |\n| exchanges after {rounds} traps | {more} |\n",
            us(before.median()),
            us(after.median()),
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
        ))
    }
}

/// The table of requests. The first half is compared with the first, the other with its first.
fn requests(variants: &[(&str, Samples)]) -> Result<String> {
    let mut out = String::from(
        "| one request of the application | median | 99th percentile | over the one without | ratio |\n|---|---:|---:|---:|---:|\n",
    );
    for (n, (name, samples)) in variants.iter().enumerate() {
        let base = variants.get(if n < variants.len() / 2 {
            0
        } else {
            variants.len() / 2
        });
        let (_, base) = base.context("nothing to compare with")?;
        let over = samples.compared(base, |a, b| a - b);
        let ratio = samples.compared(base, |a, b| a / b);
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} |",
            us(samples.median()),
            us(samples.p99()),
            over.map_or_else(|| "–".to_owned(), |ns| format!("{:+.1} µs", ns / 1e3)),
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}")),
        )?;
    }
    let count = variants.first().map_or(0, |(_, samples)| samples.len());
    writeln!(
        out,
        "\n{count} batches of {REQUESTS} requests for each line, which take turns; differences and ratios are medians of those within a round."
    )?;
    Ok(out)
}

/// What the provider has asked its token server so far.
async fn exchanges(provider: &Provider) -> Result<u64> {
    let identities = provider.status().await?;
    let counted = identities
        .iter()
        .map(|identity| identity.counters.exchanges);
    Ok(counted.sum())
}

fn nanoseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e9
}

fn us(ns: Option<f64>) -> String {
    ns.map_or_else(|| "–".to_owned(), |ns| format!("{:.1} µs", ns / 1e3))
}

fn wasm(name: &str) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = root.join("target/components").join(name);
    ensure!(
        path.exists(),
        "{name} is not built: run `cargo xtask bench --applications`"
    );
    Ok(path)
}
