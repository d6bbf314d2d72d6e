//! Runs an application component into which the credential component is plugged (`wac plug`, or what
//! `cargo xtask build` leaves in `target/components/consumer-composed.wasm`), and prints what it says.
//!
//! ```sh
//! . /tmp/emulator/env     # or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE
//! cargo run --example consumer -- consumer-composed.wasm https://graph.microsoft.com/.default
//! ```

use std::error::Error;

use edgepass::link::{self, Context};
use edgepass::{Provider, process_environment};
use wasmtime::Store;
use wasmtime::component::{Linker, TypedFunc};

/// The interface that the application exports.
const APP: &str = "edgepass:consumer/app@0.1.0";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [component, scope] = arguments.as_slice() else {
        return Err("usage: consumer COMPONENT.wasm SCOPE".into());
    };
    let mut builder = Provider::builder().environment(process_environment());
    if let Some(path) = std::env::var_os("EDGEPASS_CONFIG") {
        builder = builder.config_json(std::fs::read_to_string(path)?);
    }
    let host = builder.build_host()?;

    let engine = link::engine()?;
    let component = link::compile(&engine, &std::fs::read(component)?)?;
    let mut linker = Linker::<Context>::new(&engine);
    link::add_to_linker(&mut linker)?;
    let mut store = Store::new(&engine, host.context());
    // memory, tables and instances of the whole composition
    store.limiter(Context::limiter);
    // the engine counts time in epochs; nobody counts here, so any distance will do
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = linker.instantiate_async(&mut store, &component).await?;

    let app = instance
        .get_export_index(&mut store, None, APP)
        .ok_or(format!("no export {APP}"))?;
    let run = instance
        .get_export_index(&mut store, Some(&app), "run")
        .ok_or("no function run")?;
    let run: TypedFunc<(String,), (Result<String, String>,)> =
        instance.get_typed_func(&mut store, run)?;
    let scope = scope.clone();
    let (said,) = store
        .run_concurrent(async |store| run.call_concurrent(store, (scope,)).await)
        .await??;
    println!("{}", said?);
    Ok(())
}
