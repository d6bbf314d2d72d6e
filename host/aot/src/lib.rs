//! The engine and the components that it runs.
//!
//! The provider is compiled at build time and embedded, so starting up compiles
//! nothing. Loading machine code means to trust it: that is why this is a crate
//! of its own, with the only `unsafe` blocks of the host.

mod in_place;

pub use edgepass_precompile::{ADDRESS_SPACE_OF_A_MEMORY, config};

#[cfg(feature = "compiler")]
pub use edgepass_precompile::compile;

use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// What `edgepass-precompile` wrote, as this crate's build script made or found it.
static CODE: &in_place::Pages<[u8]> = &in_place::Pages(*include_bytes!(env!("EDGEPASS_CWASM")));

/// Whether an engine of this process has been given the code where it lies.
/// wasmtime finds the owner of an address by a table of the whole process, so
/// there can be one.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// An engine for running, with the settings of [`config`].
///
/// # Errors
///
/// When wasmtime does not support this machine.
pub fn engine() -> Result<Engine> {
    let mut config = edgepass_precompile::running();
    in_place::allow(&mut config);
    Engine::new(&config)
}

/// The embedded `credential-provider` component.
///
/// The first in a process runs from the pages of the program's own file: they are
/// read when they are needed, and shared with other processes of the program.
/// Further ones are copies.
///
/// # Errors
///
/// When `engine` has other settings than [`config`] gives, or when the
/// processor lacks what the code needs.
pub fn embedded(engine: &Engine) -> Result<Component> {
    if in_place::possible(&CODE.0) && !TAKEN.swap(true, Ordering::AcqRel) {
        #[expect(
            unsafe_code,
            reason = "wasmtime cannot check machine code; that it is the precompiler's is what this crate guarantees"
        )]
        // SAFETY: a constant that this program's own build wrote with wasmtime's
        // `precompile_component`, there and unchanged for as long as the program
        // runs. wasmtime checks version and settings.
        let component = unsafe { Component::deserialize_raw(engine, (&CODE.0).into()) };
        // an engine that `engine` did not make cannot do this
        if component.is_ok() {
            return component;
        }
    }
    load(engine, &CODE.0)
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
        reason = "wasmtime cannot check machine code; that it is the precompiler's is what this crate guarantees"
    )]
    // SAFETY: the callers pass either a constant of this program, which its own
    // build wrote with wasmtime's `precompile_component`, or what that has just
    // returned. Neither comes from outside. wasmtime checks version and settings.
    unsafe {
        Component::deserialize(engine, code)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "compiler")]
    use super::from_wasm;
    use super::{config, embedded, engine};
    use wasmtime::Engine;

    #[test]
    fn the_embedded_component_loads_again_and_into_any_engine_with_these_settings() {
        let first = embedded(&engine().unwrap()).unwrap();
        let second = embedded(&engine().unwrap()).unwrap();
        assert_ne!(first.image_range(), second.image_range());
        embedded(&Engine::new(&config()).unwrap()).unwrap();
    }

    /// What a build script does elsewhere, with what it has.
    #[cfg(feature = "compiler")]
    #[test]
    fn the_component_that_travels_with_the_crate_compiles_and_loads() {
        let wasm = include_bytes!("../component/credential-provider.wasm");
        from_wasm(&engine().unwrap(), wasm).unwrap();
    }
}
