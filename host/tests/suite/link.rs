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
