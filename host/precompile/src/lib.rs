//! The settings of the wasmtime engine that runs the component.
//!
//! Machine code compiled ahead of time loads only into an engine with the same
//! settings, so the tool that compiles and the host that loads take them from
//! here. A crate of its own, because the tool has to exist before the host can
//! be compiled.

use wasmtime::Config;
#[cfg(feature = "compiler")]
use wasmtime::{Engine, Result};

/// Address space for a linear memory: all that its 32-bit addresses reach, so
/// that the code needs no check before an access. Without them it is a fifth
/// smaller and a quarter faster. It is not memory: pages that were never written
/// to do not exist, and the host bounds how many there may be.
const MEMORY_RESERVATION: u64 = 4 << 30;

/// Unmapped space before and after a linear memory, for accesses at a constant
/// offset from such an address.
const MEMORY_GUARD: u64 = 32 << 20;

/// Further space when a memory outgrows its reservation, which only one with
/// 64-bit addresses can: a component of somebody else's, with raised limits.
const MEMORY_GROWTH: u64 = 16 << 20;

/// Address space that one linear memory takes in all, bytes. A process whose
/// address space is limited to less (`ulimit -v`) runs no component.
pub const ADDRESS_SPACE_OF_A_MEMORY: u64 = MEMORY_RESERVATION + 2 * MEMORY_GUARD;

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
