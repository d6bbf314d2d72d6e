//! Runs a function of a component that gets its tokens from edgepass, and prints what it says.
//!
//! ```sh
//! . /tmp/emulator/env     # or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE
//! cargo run -p edgepass --features compiler --example run -- app.wasm greet ann
//! ```
//!
//! There are two ways, and it takes the one that fits the component:
//!
//! - one that imports `edgepass:credentials/credential-provider` is answered by a [`Provider`] of this process, and has
//!   WASI 0.3 beside it, with no variable, no file and no argument;
//! - one into which the provider has been plugged (`cargo xtask compose`, or `wac plug`) gets what a provider imports.

use std::error::Error;
use std::process::ExitCode;

use edgepass::link::{self, Context};
use edgepass::{Builder, Provider};
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, Linker, ResourceTable, Val};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What a component imports that has no provider in it.
const PROVIDER: &str = "edgepass:credentials/credential-provider@";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, function, texts @ ..] = arguments.as_slice() else {
        return Err("usage: run COMPONENT.wasm FUNCTION [TEXT]...".into());
    };
    let builder = Builder::from_process();
    let engine = link::engine()?;
    let wasm = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let component = link::compile(&engine, &wasm)?;
    let call = Call {
        engine: &engine,
        component: &component,
        function,
        texts,
    };

    let imported = component.component_type();
    let said = if imported
        .imports(&engine)
        .any(|(name, _)| name.starts_with(PROVIDER))
    {
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        link::add_provider_to_linker(&mut linker)?;
        link::add_status_to_linker(&mut linker)?;
        let application = Application {
            provider: builder.build().await?,
            wasi: WasiCtx::default(),
            table: ResourceTable::new(),
        };
        call.run(&linker, link::store(&engine, application)).await?
    } else {
        let mut linker = Linker::new(&engine);
        link::add_to_linker(&mut linker)?;
        let mut store = link::store(&engine, builder.build_host()?.context());
        // memory, tables and instances of the whole composition
        store.limiter(Context::limiter);
        call.run(&linker, store).await?
    };
    println!("{said}");
    Ok(())
}

/// The store of an application that a handle answers: no credential is in it.
struct Application {
    provider: Provider,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Application {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl link::ProviderView for Application {
    fn provider(&self) -> &Provider {
        &self.provider
    }
}

/// What is to be called, with which texts.
struct Call<'a> {
    engine: &'a Engine,
    component: &'a Component,
    function: &'a str,
    texts: &'a [String],
}

impl Call<'_> {
    async fn run<T: Send + 'static>(
        &self,
        linker: &Linker<T>,
        mut store: Store<T>,
    ) -> Result<String, Box<dyn Error>> {
        let instance = linker.instantiate_async(&mut store, self.component).await?;
        let (index, signature) = self.exported().ok_or_else(|| {
            format!(
                "the component exports no function `{}`, neither by itself nor in an interface",
                self.function
            )
        })?;
        let function = instance
            .get_func(&mut store, index)
            .ok_or("what is exported is no function")?;
        let arguments = self.arguments(&signature)?;
        let mut results = vec![Val::Bool(false); signature.results().len()];
        store
            .run_concurrent(async |store| {
                function
                    .call_concurrent(store, &arguments, &mut results)
                    .await
            })
            .await??;
        match results.as_slice() {
            [Val::Result(Err(Some(error)))] => Err(shown(error).into()),
            [Val::Result(Ok(Some(value)))] => Ok(shown(value)),
            values => Ok(values.iter().map(shown).collect::<Vec<_>>().join(" ")),
        }
    }

    /// The function of that name: the component's own, or the first in an interface that it exports.
    fn exported(&self) -> Option<(ComponentExportIndex, ComponentFunc)> {
        let component = self.component.component_type();
        for (name, item) in component.exports(self.engine) {
            match item.ty {
                ComponentItem::ComponentFunc(signature) if name == self.function => {
                    let index = self.component.get_export_index(None, name)?;
                    return Some((index, signature));
                }
                ComponentItem::ComponentInstance(interface) => {
                    for (inner, item) in interface.exports(self.engine) {
                        if let ComponentItem::ComponentFunc(signature) = item.ty
                            && inner == self.function
                        {
                            let interface = self.component.get_export_index(None, name)?;
                            let index = self.component.get_export_index(Some(&interface), inner)?;
                            return Some((index, signature));
                        }
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn arguments(&self, signature: &ComponentFunc) -> Result<Vec<Val>, String> {
        let wanted = signature.params();
        if wanted.len() != self.texts.len() {
            return Err(format!(
                "`{}` takes {} arguments, and {} are given",
                self.function,
                wanted.len(),
                self.texts.len()
            ));
        }
        wanted
            .zip(self.texts)
            .map(|((name, kind), text)| match kind {
                Type::String => Ok(Val::String(text.clone())),
                _ => Err(format!(
                    "`{name}` is not a string: this example passes strings"
                )),
            })
            .collect()
    }
}

/// A text as it is, anything else as wasmtime prints it.
fn shown(value: &Val) -> String {
    match value {
        Val::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
