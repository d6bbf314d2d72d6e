//! The token store of a provider over `wasi:keyvalue`, for runtimes that are not the host of this project.
//!
//! `adapter` has what it does, `outside` calls the imports, and `format` is the file that the host compiles as well.

mod adapter;
mod bindings;
mod cipher;
mod format;
mod outside;

use std::rc::Rc;

use bindings::edgepass::credentials::types::StoreError;
use bindings::exports::edgepass::credentials::token_store::Guest;

use adapter::Adapter;
use outside::Outside;

thread_local! {
    /// Made at the first call.
    static ADAPTER: Rc<Adapter<Outside>> = Rc::new(Outside::adapter());
}

/// The adapter, after one turn of the event loop: wasmtime 48 forgets to delete its record of a call between two components
/// that returns at once.
async fn adapter() -> Rc<Adapter<Outside>> {
    wit_bindgen::yield_async().await;
    ADAPTER.with(Rc::clone)
}

struct Component;

impl Guest for Component {
    async fn get(key: String) -> Result<Option<Vec<u8>>, StoreError> {
        let value = adapter().await.get(&key).await;
        value.map_err(StoreError::Unavailable)
    }

    async fn put(
        key: String,
        value: Vec<u8>,
        ttl_seconds: u32,
        only_if_absent: bool,
    ) -> Result<bool, StoreError> {
        let adapter = adapter().await;
        let kept = adapter.put(&key, value.into(), ttl_seconds, only_if_absent);
        kept.await.map_err(StoreError::Unavailable)
    }

    async fn delete(key: String) -> Result<(), StoreError> {
        let deleted = adapter().await.delete(&key);
        deleted.map_err(StoreError::Unavailable)
    }
}

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}
