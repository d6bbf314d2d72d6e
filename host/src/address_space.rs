//! What it means when the address space of the process is limited (`ulimit -v`, `RLIMIT_AS`, systemd's `LimitAS=`).

use std::io;

/// The limit, bytes.
#[cfg(unix)]
fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

/// Other systems have none.
#[cfg(not(unix))]
fn limit() -> Option<u64> {
    None
}

/// Why no component can run here, if that is certain: not even one memory fits.
pub(crate) fn too_small() -> Option<String> {
    let limit = limit()?;
    (limit < edgepass_aot::ADDRESS_SPACE_OF_A_MEMORY).then(|| explain(limit))
}

/// What to say of an instance that did not start, if it is for want of address space.
pub(crate) fn explains(error: &wasmtime::Error) -> Option<String> {
    let limit = limit()?;
    let is_memory = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::OutOfMemory)
            || is_no_memory(cause)
    };
    error.chain().any(is_memory).then(|| explain(limit))
}

/// The same as wasmtime has it from the kernel.
#[cfg(unix)]
fn is_no_memory(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref() == Some(&rustix::io::Errno::NOMEM)
}

#[cfg(not(unix))]
fn is_no_memory(_: &(dyn std::error::Error + 'static)) -> bool {
    false
}

fn explain(limit: u64) -> String {
    let mib = |bytes: u64| bytes >> 20;
    format!(
        "the address space of this process is limited to {} MiB (ulimit -v, RLIMIT_AS), and a component's memory reserves \
         {} MiB of it, whatever it uses: raise the limit by that, or lift it (ulimit -v unlimited); to bound memory, use \
         a cgroup's limit (memory.max, a container's memory limit)",
        mib(limit),
        mib(edgepass_aot::ADDRESS_SPACE_OF_A_MEMORY)
    )
}
