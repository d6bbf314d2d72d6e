//! The credential-provider component over WASI 0.2: the same engine, and the same driver, for runtimes without WASI 0.3 and
//! for components whose own exports are plain functions.
//!
//! What does not depend on the version of WASI is the source of `guest/provider`, compiled for the bindings here. The tasks
//! that perform effects run while a call is in the component (`tasks`, `call`): between calls nothing does.

mod bindings;
#[path = "../../provider/src/body.rs"]
mod body;
mod call;
#[path = "../../provider/src/driver.rs"]
mod driver;
#[path = "../../provider/src/effects.rs"]
mod effects;
mod export;
mod http;
#[path = "../../provider/src/http_error.rs"]
mod http_error;
mod imports;
#[path = "../../provider/src/message.rs"]
mod message;
#[path = "../../provider/src/opaque.rs"]
mod opaque;
#[path = "../../provider/src/start.rs"]
mod start;
mod tasks;

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use crate::bindings;
    use crate::export::Component;

    bindings::export!(Component with_types_in bindings);
}
