//! The same by composition: the filter of `dist/edgepass-http.wasm` puts the tokens on.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use edgepass::link;
use edgepass_e2e::{Network, artifact, memory};
use serde_json::Value;
use wasmtime::component::{Component, Instance, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use crate::cases::{self, Case, Expected};
use crate::{APPLICATION, World, has_token, is_to, is_whole, read};

const COMPOSED: &str = "target/components/hostile-app-composed.wasm";

const ATTEMPTS: &str = "edgepass:hostile-app/attempts@0.1.0";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_gets_no_token_from_the_filter_in_any_of_these_ways() -> Result<()> {
    let world = World::new("hostile_filter").await?;
    let engine = link::engine()?;
    let component = link::compile(&engine, &std::fs::read(artifact(COMPOSED)?)?)?;
    let application = artifact(APPLICATION)?;
    let audit = Records::default();
    let mut shared = App::start(&world, &engine, &component, &audit).await?;
    let (mut with_token, mut failed) = (0, Vec::new());
    for Case {
        name,
        attempt,
        filter,
        ..
    } in cases::all(world.ports())
    {
        let Some(expected) = filter else { continue };
        // what has been repeated stays in that instance, and one that traps is no more
        let is_alone = expected == Expected::Repeated || attempt.contains("then=trap");
        let mut own = match is_alone {
            true => Some(App::start(&world, &engine, &component, &audit).await?),
            false => None,
        };
        let mark = world.mark();
        let told = own.as_mut().unwrap_or(&mut shared).attempt(&attempt).await;
        let told = told.unwrap_or_else(|error| format!("{error:#} {error:?}"));
        match world.judge(name, expected, &told, mark) {
            Ok(count) => with_token += count,
            Err(error) => failed.push(format!("{error:#}")),
        }
        let memories = memory::of_component(&application)?;
        ensure!(!memories.is_empty(), "{name}: there is no instance");
        let found = world.found_in(&memories);
        if found.is_some() != (expected == Expected::Repeated) {
            failed.push(format!("{name}: found in memory: {found:?}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));

    // whatever the application does, what has left with a token is on record before
    let records = audit.records()?;
    let of = |outcomes: &[&str]| -> Vec<String> {
        let of_it = records
            .iter()
            .filter(|record| outcomes.iter().any(|outcome| record["outcome"] == *outcome));
        of_it
            .map(|record| record["correlation_id"].to_string())
            .collect()
    };
    let left = of(&["pending"]);
    ensure!(
        (of(&["sent"]).len()..=left.len()).contains(&with_token),
        "{with_token} with a token, {} on record",
        left.len()
    );
    let ended = of(&["sent", "failed", "abandoned"]);
    ensure!(ended.iter().all(|id| left.contains(id)));
    for record in &records {
        ensure!(
            !world.is_secret(&record.to_string()),
            "a record has a secret"
        );
    }
    Ok(())
}

/// Ten thousand requests with a token, each on record, among a thousand to another service.
#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_requests_by_the_filter_no_byte_of_a_token_is_in_the_application()
-> Result<()> {
    let world = World::new("hostile_filter_many").await?;
    let engine = link::engine()?;
    let component = link::compile(&engine, &std::fs::read(artifact(COMPOSED)?)?)?;
    let audit = Records::default();
    let mut app = App::start(&world, &engine, &component, &audit).await?;
    let ports = world.ports();
    for round in 0..100 {
        let attempt = format!(
            "send GET http localhost:{} /v1/{round} times=100",
            ports.named
        );
        let told = app.attempt(&attempt).await?;
        ensure!(told.matches("200 own []").count() == 100, "{told}");
        if round % 10 == 0 {
            let attempt = format!(
                "send GET http localhost:{} /v1/{round} times=100\nh authorization=Bearer mine",
                ports.other
            );
            let told = app.attempt(&attempt).await?;
            ensure!(told.matches("200 ").count() == 100, "{told}");
        }
    }
    let memories = memory::of_component(&artifact(APPLICATION)?)?;
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

    let records = audit.records()?;
    ensure!(
        records
            .iter()
            .all(|record| is_to(record, ports.named) && is_whole(record)),
        "{:?}",
        records.iter().find(|record| !is_whole(record))
    );
    for outcome in ["pending", "sent"] {
        let of_it = records.iter().filter(|record| record["outcome"] == outcome);
        let ids: BTreeSet<_> = of_it
            .map(|record| record["correlation_id"].to_string())
            .collect();
        assert_eq!(ids.len(), 10_000, "{outcome}");
    }
    assert_eq!(records.len(), 20_000);
    Ok(())
}

/// What is written to the standard error of compositions.
#[derive(Clone)]
struct Records(MemoryOutputPipe);

impl Default for Records {
    fn default() -> Self {
        Self(MemoryOutputPipe::new(64 << 20))
    }
}

impl Records {
    fn records(&self) -> Result<Vec<Value>> {
        read(std::str::from_utf8(&self.0.contents())?)
    }
}

/// The composition, running.
struct App {
    store: Store<link::Context>,
    instance: Instance,
}

impl App {
    async fn start(
        world: &World,
        engine: &Engine,
        component: &Component,
        audit: &Records,
    ) -> Result<Self> {
        let builder = world.lab.configured(&world.config()?);
        let context = builder
            .build_host()?
            .context_with_standard_error(audit.0.clone())
            .with_network(Network::default());
        let mut linker = Linker::new(engine);
        link::add_to_linker(&mut linker)?;
        let mut store = link::store(engine, context);
        store.limiter(link::Context::limiter);
        let instance = linker.instantiate_async(&mut store, component).await?;
        Ok(Self { store, instance })
    }

    async fn attempt(&mut self, what: &str) -> Result<String> {
        let (store, instance) = (&mut self.store, &self.instance);
        let attempts = instance.get_export_index(&mut *store, None, ATTEMPTS);
        let attempts = attempts.context("no interface")?;
        let function = instance.get_export_index(&mut *store, Some(&attempts), "attempt");
        let function = function.context("no function")?;
        let function = instance.get_typed_func::<(String,), (String,)>(&mut *store, function)?;
        let (told,) = function.call_async(store, (what.to_owned(),)).await?;
        Ok(told)
    }
}
