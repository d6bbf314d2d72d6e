//! The same by composition: the filter of `dist/edgepass-http.wasm` puts the tokens on.

use anyhow::{Context as _, Result, ensure};
use edgepass::link;
use edgepass_e2e::{Network, artifact, memory};
use wasmtime::component::{Component, Instance, Linker};
use wasmtime::{Engine, Store};

use crate::cases::{self, Case, Expected};
use crate::{APPLICATION, World, has_token};

const COMPOSED: &str = "target/components/hostile-app-composed.wasm";

const ATTEMPTS: &str = "edgepass:hostile-app/attempts@0.1.0";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_gets_no_token_from_the_filter_in_any_of_these_ways() -> Result<()> {
    let world = World::new("hostile_filter").await?;
    let engine = link::engine()?;
    let component = link::compile(&engine, &std::fs::read(artifact(COMPOSED)?)?)?;
    let application = artifact(APPLICATION)?;
    let mut shared = App::start(&world, &engine, &component).await?;
    let mut failed = Vec::new();
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
            true => Some(App::start(&world, &engine, &component).await?),
            false => None,
        };
        let mark = world.mark();
        let told = own.as_mut().unwrap_or(&mut shared).attempt(&attempt).await;
        let told = told.unwrap_or_else(|error| format!("{error:#} {error:?}"));
        if let Err(error) = world.judge(name, expected, &told, mark) {
            failed.push(format!("{error:#}"));
        }
        let memories = memory::of_component(&application)?;
        ensure!(!memories.is_empty(), "{name}: there is no instance");
        let found = world.found_in(&memories);
        if found.is_some() != (expected == Expected::Repeated) {
            failed.push(format!("{name}: found in memory: {found:?}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));

    // and of two thousand more
    let before = world.named.seen().len();
    for round in 0..20 {
        let attempt = format!(
            "send GET http localhost:{} /v1/{round} times=100",
            world.named.port
        );
        let told = shared.attempt(&attempt).await?;
        ensure!(told.matches("200 own []").count() == 100, "{told}");
    }
    let seen = world.named.seen().split_off(before);
    assert_eq!(seen.iter().filter(|seen| has_token(seen)).count(), 2_000);
    assert_eq!(world.found_in(&memory::of_component(&application)?), None);
    Ok(())
}

/// The composition, running.
struct App {
    store: Store<link::Context>,
    instance: Instance,
}

impl App {
    async fn start(world: &World, engine: &Engine, component: &Component) -> Result<Self> {
        let builder = world.lab.configured(&world.config()?);
        let context = builder
            .build_host()?
            .context()
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
