//! Linking components of an embedder's own.

use edgepass::Provider;
use edgepass::link::{self, Context, HostContextView, HostView, ProviderView};
use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// Store data for a component that has a provider in it and asks another one.
struct Both {
    context: Context,
    provider: Provider,
}

impl WasiView for Both {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.context.ctx()
    }
}

impl WasiHttpView for Both {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.context.http()
    }
}

impl HostView for Both {
    fn edgepass(&mut self) -> HostContextView<'_> {
        self.context.edgepass()
    }
}

impl ProviderView for Both {
    fn provider(&self) -> &Provider {
        &self.provider
    }
}

type Add = fn(&mut Linker<Both>) -> wasmtime::Result<()>;

#[test]
fn interfaces_are_added_in_any_order_and_the_linker_stays_as_it_is() {
    let engine = link::engine().unwrap();
    let all: [Add; 4] = [
        link::add_to_linker,
        link::add_provider_to_linker,
        link::add_opaque_tokens_to_linker,
        link::add_status_to_linker,
    ];
    for first in 0..all.len() {
        let mut linker = Linker::<Both>::new(&engine);
        for step in 0..all.len() {
            all[(first + step) % all.len()](&mut linker).unwrap();
        }
        for add in all {
            assert!(add(&mut linker).is_err(), "what is there is not replaced");
        }
        // an embedder who replaces what he has linked before
        linker.allow_shadowing(true);
        for add in all {
            add(&mut linker).unwrap();
            add(&mut linker).unwrap();
        }
    }
}

/// Adds up to the number that it is given.
const ADDS: &str = r#"(component
    (core module $m
        (func (export "add") (param $n i32) (result i32) (local $sum i32)
            (loop $again
                (local.set $sum (i32.add (local.get $sum) (local.get $n)))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $sum)))
    (core instance $i (instantiate $m))
    (func (export "add") (param "n" u32) (result u32) (canon lift (core func $i "add"))))"#;

#[tokio::test]
async fn a_store_of_the_library_runs_a_component_without_further_ado() {
    let engine = link::engine().unwrap();
    let component = link::compile(&engine, &wat::parse_str(ADDS).unwrap()).unwrap();
    let linker = Linker::<()>::new(&engine);
    let mut store = link::store(&engine, ());
    // time goes by for the engine, as it does where another store is watched
    engine.increment_epoch();
    let instance = linker
        .instantiate_async(&mut store, &component)
        .await
        .unwrap();
    let add = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "add")
        .unwrap();
    let (sum,) = add.call_async(&mut store, (1000,)).await.unwrap();
    assert_eq!(sum, 500_500);
}
