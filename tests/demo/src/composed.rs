//! The call from another component, in one sandbox with the provider.

use crate::{SCOPE, Stage, show};
use anyhow::{Context as _, Result};
use edgepass::{Environment, Provider, link};
use std::fs;
use std::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Linker, TypedFunc};

/// The interface of the demo's application.
const APP: &str = "edgepass:consumer/app@0.1.0";

pub(crate) async fn call(stage: &Stage) -> Result<()> {
    show::title("6. Called from another component");
    show::text(
        "An application component imports edgepass:credentials/credential-provider and was composed\n\
         with the provider into one component. It asks for a token, and for an identity that is not\n\
         configured:",
    );
    let environment = Environment::from_pairs(stage.emulator.env());
    let host = Provider::builder()
        .environment(environment)
        .ca_pem(stage.emulator.ca_pem())
        .build_host()?;
    let engine = link::engine()?;
    let wasm = fs::read(&stage.composed)
        .with_context(|| format!("cannot read {}", stage.composed.display()))?;
    let started = Instant::now();
    let component = link::compile(&engine, &wasm)?;
    show::fact("compiled in", &show::time(started.elapsed()));
    let mut linker = Linker::new(&engine);
    link::add_to_linker(&mut linker)?;
    let mut store = Store::new(&engine, host.context());
    // nothing counts epochs here, so the first one never ends
    store.set_epoch_deadline(1);
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let app = instance
        .get_export_index(&mut store, None, APP)
        .context("the component has no such interface")?;
    let mut function = |name: &str| {
        instance
            .get_export_index(&mut store, Some(&app), name)
            .with_context(|| format!("{APP} has no {name}"))
    };
    let (run, fail) = (function("run")?, function("fail")?);
    let run: TypedFunc<(String,), (Result<String, String>,)> =
        instance.get_typed_func(&mut store, run)?;
    let fail: TypedFunc<(String,), (String,)> = instance.get_typed_func(&mut store, fail)?;
    let started = Instant::now();
    let (token,) = run.call_async(&mut store, (SCOPE.to_owned(),)).await?;
    show::fact("it got", &token.map_err(anyhow::Error::msg)?);
    show::fact("in", &show::time(started.elapsed()));
    let (error,) = fail.call_async(&mut store, ("nobody".to_owned(),)).await?;
    show::fact("it was told", &error);
    Ok(())
}
