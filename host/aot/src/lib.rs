//! The engine and the components that it runs.
//!
//! The provider is compiled at build time and embedded, so starting up compiles
//! nothing. Loading machine code means to trust it: that is why this is a crate
//! of its own, with the only `unsafe` block of the workspace.

pub use edgepass_precompile::{config, engine};

#[cfg(feature = "compiler")]
pub use edgepass_precompile::compile;

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// What `edgepass-precompile` wrote, as this crate's build script found it.
static CODE: &[u8] = include_bytes!(env!("EDGEPASS_CWASM"));

/// The embedded `credential-provider` component.
///
/// # Errors
///
/// When `engine` has other settings than [`config`] gives, or when the
/// processor lacks what the code needs.
pub fn embedded(engine: &Engine) -> Result<Component> {
    load(engine, CODE)
}

/// Compiles another component for this machine; takes a second or two.
///
/// # Errors
///
/// When `wasm` is not a valid component.
#[cfg(feature = "compiler")]
pub fn from_wasm(engine: &Engine, wasm: &[u8]) -> Result<Component> {
    load(engine, &compile(wasm)?)
}

/// Loads machine code that [`edgepass_precompile`] has written, at build time or just now.
fn load(engine: &Engine, code: &[u8]) -> Result<Component> {
    #[expect(
        unsafe_code,
        reason = "wasmtime cannot check machine code, somebody has to vouch for it"
    )]
    // SAFETY: the callers pass either a constant of this program, which its own
    // build wrote with wasmtime's `precompile_component`, or what that has just
    // returned. Neither comes from outside. wasmtime checks version and settings.
    unsafe {
        Component::deserialize(engine, code)
    }
}
