//! The settings of the wasmtime engine that runs the component.
//!
//! Machine code compiled ahead of time loads only into an engine with the same
//! settings, so the tool that compiles and the host that loads take them from
//! here. A crate of its own, because the tool has to exist before the host can
//! be compiled.

use wasmtime::Config;
#[cfg(feature = "compiler")]
use wasmtime::{Engine, Result};

/// Address space that a linear memory may grow into without being moved. The
/// host limits the guest's memory below this; wasmtime's own 4 GiB would only
/// spare bounds checks, and be refused where address space is limited.
const MEMORY_RESERVATION: u64 = 64 << 20;

/// Unmapped space after a linear memory: accesses at constant offsets below
/// this need no check of their own.
const MEMORY_GUARD: u64 = 1 << 20;

/// Further space when a memory outgrows its reservation, which the host's limit
/// forbids: only components run with raised limits get here.
const MEMORY_GROWTH: u64 = 16 << 20;

/// The engine settings.
///
/// The allocator is the on-demand one: a host keeps one instance, or a few, for
/// its whole life, and pooled memories would stay resident after use.
pub fn config() -> Config {
    settings(cfg!(windows))
}

fn settings(windows: bool) -> Config {
    let mut config = Config::new();
    config
        // the watchdog that ends a guest which does not yield
        .epoch_interruption(true)
        // asynchronous exports, many calls into one instance
        .concurrency_support(true)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_guard_size(MEMORY_GUARD)
        .memory_reservation_for_growth(MEMORY_GROWTH)
        // traps are reported by frame, never by the guest's source lines
        .generate_address_map(false)
        // for debuggers and profilers that walk the stack; wasmtime itself needs it
        // on Windows only
        .native_unwind_info(windows)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}

/// The same for an engine that only runs code. It has no compiler even where one
/// is linked: setting one up costs a start milliseconds and megabytes.
pub fn running() -> Config {
    #[cfg_attr(
        not(feature = "compiler"),
        expect(unused_mut, reason = "there is no compiler to leave out")
    )]
    let mut config = config();
    #[cfg(feature = "compiler")]
    config.enable_compiler(false);
    config
}

/// Compiles a component for any machine of the architecture that this crate is
/// compiled for.
///
/// # Errors
///
/// When `wasm` is not a valid component.
#[cfg(feature = "compiler")]
pub fn compile(wasm: &[u8]) -> Result<Vec<u8>> {
    compile_for(env!("EDGEPASS_TARGET"), wasm)
}

/// Compiles a component for any machine of the architecture of `target`, a target triple.
///
/// # Errors
///
/// When `wasm` is not a valid component, or `target` has another architecture than this machine and wasmtime was
/// built without its feature `all-arch`.
#[cfg(feature = "compiler")]
pub fn compile_for(target: &str, wasm: &[u8]) -> Result<Vec<u8>> {
    let mut config = settings(target.contains("-windows"));
    // named, so that the features of the processor at hand are not taken for granted
    config.target(target)?;
    Engine::new(&config)?.precompile_component(wasm)
}
